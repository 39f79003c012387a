package sdp

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// crlf makes a description of its lines.
func crlf(lines ...string) string { return strings.Join(lines, "\r\n") + "\r\n" }

const phoneOffer = "v=0\r\no=- 3847 3847 IN IP4 192.0.2.10\r\ns=-\r\nc=IN IP4 192.0.2.10\r\nt=0 0\r\n" +
	"m=audio 11784 RTP/AVP 9 8 0 18 101\r\na=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n" +
	"a=rtpmap:18 G729/8000\r\na=fmtp:18 annexb=no\r\na=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-15\r\n" +
	"a=ptime:20\r\na=rtcp:11785\r\na=sendrecv\r\n"

// rfc8866Example is the description of RFC 8866 §5.
const rfc8866Example = "v=0\r\no=jdoe 3724394400 3724394405 IN IP4 198.51.100.1\r\ns=Call to John Smith\r\n" +
	"i=SDP Offer #1\r\nu=http://www.jdoe.example.com/home.html\r\ne=Jane Doe <jane@jdoe.example.com>\r\n" +
	"p=+1 617 555-6011\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\nm=audio 49170 RTP/AVP 0\r\nm=audio 49180 RTP/AVP 0\r\n" +
	"m=video 51372 RTP/AVP 99\r\nc=IN IP6 2001:db8::2\r\na=rtpmap:99 h263-1998/90000\r\n"

const browserOffer = "v=0\r\no=- 4611731400430051336 2 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\n" +
	"a=extmap-allow-mixed\r\na=msid-semantic: WMS stream\r\n" +
	"m=audio 9 UDP/TLS/RTP/SAVPF 111 63 9 0 8 110 126\r\nc=IN IP4 0.0.0.0\r\na=rtcp:9 IN IP4 0.0.0.0\r\n" +
	"a=ice-ufrag:aB1c\r\na=ice-pwd:abcdefghijklmnopqrstuvwx\r\na=ice-options:trickle\r\n" +
	"a=fingerprint:sha-256 AA:BB:CC\r\na=setup:actpass\r\na=mid:0\r\n" +
	"a=extmap:1 urn:ietf:params:rtp-hdrext:ssrc-audio-level\r\na=sendrecv\r\na=rtcp-mux\r\n" +
	"a=rtpmap:111 opus/48000/2\r\na=rtcp-fb:111 transport-cc\r\na=fmtp:111 minptime=10;useinbandfec=1\r\n" +
	"a=rtpmap:63 red/48000/2\r\na=fmtp:63 111/111\r\na=rtpmap:9 G722/8000\r\na=rtpmap:0 PCMU/8000\r\n" +
	"a=rtpmap:8 PCMA/8000\r\na=rtpmap:110 telephone-event/48000\r\na=rtpmap:126 telephone-event/8000\r\n" +
	"m=video 9 UDP/TLS/RTP/SAVPF 96 97\r\nc=IN IP4 0.0.0.0\r\nb=AS:2000\r\na=mid:1\r\na=rtcp-mux\r\na=rtcp-rsize\r\n" +
	"a=rtpmap:96 VP8/90000\r\na=rtpmap:97 rtx/90000\r\na=fmtp:97 apt=96\r\n"

func mustParse(t testing.TB, s string) *Description {
	t.Helper()
	d, err := Parse([]byte(s))
	if err != nil {
		t.Fatalf("%v in\n%s", err, s)
	}
	return d
}

func TestWhatIsInOrderComesBackByteForByte(t *testing.T) {
	for name, text := range map[string]string{
		"phone":   phoneOffer,
		"browser": browserOffer,
		"RFC":     rfc8866Example,
		"everything": crlf("v=0", "o=a 1 2 IN IP6 2001:db8::1", "s=x y", "i=info", "u=http://a", "e=a@b", "p=1",
			"c=IN IP6 ff15::101/3", "b=CT:100", "b=X-YZ:1", "t=10 20", "r=7d 1h 0 25h", "t=30 40", "z=0 -1h", "k=clear:x",
			"x=unknown", "y=other", "a=recvonly", "a=odd: value:with:colons",
			"m=audio 49170/2 RTP/AVP 31", "i=title", "c=IN IP4 233.252.0.1/127", "c=IN IP4 233.252.0.2/127", "b=AS:64",
			"k=prompt", "w=?", "a=x"),
		"message":     crlf("v=0", "o=- 1 1 IN IP4 a.example", "s=-", "c=IN IP4 a.example", "t=0 0", "m=message 2855 TCP/MSRP *", "a=accept-types:text/plain", "a=path:msrp://a.example:2855/x;tcp"),
		"fax":         crlf("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "c=IN IP4 192.0.2.1", "t=0 0", "m=image 4000 udptl t38", "a=T38FaxVersion:0"),
		"application": crlf("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "t=0 0", "m=application 9 UDP/DTLS/SCTP webrtc-datachannel"),
		"no format":   crlf("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "t=0 0", "m=audio 0 RTP/AVP"),
	} {
		d := mustParse(t, text)
		if got := d.String(); got != text {
			t.Errorf("%s: printed\n%s\nwant\n%s", name, got, text)
		}
	}
}

func TestLiberalInWhatTelephonesSend(t *testing.T) {
	want := mustParse(t, crlf("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=-", "i=x", "c=IN IP4 192.0.2.1", "t=0 0", "m=audio 4000 RTP/AVP 0 8", "a=sendonly"))
	for name, text := range map[string]string{
		"LF only":             "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\ni=x\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 0 8\na=sendonly\n",
		"no last line end":    "v=0\no=- 1 1 IN IP4 192.0.2.1\ns=-\ni=x\nc=IN IP4 192.0.2.1\nt=0 0\nm=audio 4000 RTP/AVP 0 8\na=sendonly",
		"no s= and t=":        crlf("v=0", "o=- 1 1 IN IP4 192.0.2.1", "i=x", "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0 8", "a=sendonly"),
		"empty s=":            crlf("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=", "i=x", "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0 8", "a=sendonly"),
		"s= with a blank":     crlf("v=0", "o=- 1 1 IN IP4 192.0.2.1", "s= ", "i=x", "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0 8", "a=sendonly"),
		"trailing blanks":     crlf("v=0 ", "o=- 1 1 IN IP4 192.0.2.1\t", "i=x  ", "c=IN IP4 192.0.2.1 ", "m=audio 4000 RTP/AVP 0 8 ", "a=sendonly  "),
		"double blanks":       crlf("v=0", "o=-  1 1  IN IP4  192.0.2.1", "i=x", "c=IN  IP4 192.0.2.1", "m=audio  4000 RTP/AVP  0  8", "a=sendonly"),
		"blank lines":         "\r\n\r\n" + crlf("v=0", "", "o=- 1 1 IN IP4 192.0.2.1", "i=x", "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0 8", "a=sendonly", "", ""),
		"session order":       crlf("v=0", "t=0 0", "c=IN IP4 192.0.2.1", "i=x", "s=-", "o=- 1 1 IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0 8", "a=sendonly"),
		"second s=":           crlf("v=0", "s=-", "s=again", "i=x", "o=- 1 1 IN IP4 192.0.2.1", "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0 8", "a=sendonly"),
		"o= behind the media": crlf("v=0", "o=- 1 1 IN IP4 192.0.2.1", "i=x", "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0 8", "o=- 2 2 IN IP4 192.0.2.2", "s=x", "a=sendonly"),
	} {
		got, err := Parse([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", name, err)
		} else if !got.Equal(want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, got, want)
		}
	}
}

func TestOriginNumbers(t *testing.T) {
	parse := func(id string) uint64 {
		return mustParse(t, crlf("v=0", "o=- "+id+" 7 IN IP4 192.0.2.1")).Origin.SessID
	}
	if got := parse("18446744073709551615"); got != 1<<64-1 {
		t.Errorf("greatest number is %d", got)
	}
	if parse("18446744073709551617") != 1 {
		t.Error("a longer number does not wrap")
	}
	if parse("-5") == parse("5") || parse("-5") != parse("-5") || parse("0x1f") == parse("0x1e") {
		t.Error("texts that are no numbers do not keep their identity")
	}
}

func TestErrorsNameTheLine(t *testing.T) {
	head := "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\n"
	for _, tt := range []struct {
		in   string
		line int
		word string
	}{
		{"", 0, "empty"},
		{"\r\n\r\n", 0, "empty"},
		{"v=0\r\n", 0, "o="},
		{"o=- 1 1 IN IP4 192.0.2.1\r\nv=0\r\n", 1, "begin with v="},
		{"v=1\r\n", 1, "version"},
		{"v=\r\n", 1, "version"},
		{"INVITE sip:a SIP/2.0\r\n", 1, "form"},
		{head + "v=0\r\n", 3, "second v="},
		{head + "o=- 1 1 IN IP4 192.0.2.1\r\n", 3, "second o="},
		{"v=0\r\no=- 1 1 IN IP4\r\n", 2, "six fields"},
		{"v=0\r\no=- 1 1 IN IP4 192.0.2.1 x\r\n", 2, "six fields"},
		{head + "c=IN IP4\r\n", 3, "three fields"},
		{head + "s=-\r\nm=audio\r\n", 4, "fewer than three"},
		{head + "m=audio 1\r\n", 3, "fewer than three"},
		{head + "m=audio x RTP/AVP 0\r\n", 3, "port"},
		{head + "m=audio 65536 RTP/AVP 0\r\n", 3, "port"},
		{head + "m=audio -1 RTP/AVP 0\r\n", 3, "port"},
		{head + "m=audio 1/0 RTP/AVP 0\r\n", 3, "number of ports"},
		{head + "m=audio 1/x RTP/AVP 0\r\n", 3, "number of ports"},
		{head + "m=audio 1 RTP/AVP 0\r\nv=0\r\n", 4, "second v="},
		{head + "a=x\ry=z\r\n", 3, "control"},
		{head + "a=x\x00\r\n", 3, "control"},
		{head + "m=\x18 9 RTP\r\n", 3, "three fields"},
		{head + "\x10=x\r\n", 3, "x=value"},
		{head + "rubbish\r\n", 3, "form"},
		{head + "a\r\n", 3, "form"},
		{head + " a=x\r\n", 3, "form"},
		{head + "m=audio 1 RTP/AVP" + strings.Repeat(" 0", 129) + "\r\n", 3, "128 formats"},
		{head + "m=audio 1 RTP/AVP" + strings.Repeat(" 0", 200) + "\r\n", 0, "formats"},
		{head + strings.Repeat("m=audio 1 RTP/AVP 0\r\n", 65), 0, "64 m="},
		{head + strings.Repeat("a=x\r\n", 1025), 0, "1024 a="},
		{head + strings.Repeat("b=AS:1\r\n", 2048), 0, "too many lines"},
		{head + strings.Repeat("\n", 2048), 0, "too many lines"},
		{head + "a=" + strings.Repeat("x", 65536) + "\r\n", 0, "64 KiB"},
	} {
		_, err := Parse([]byte(tt.in))
		var syntax *SyntaxError
		if !errors.As(err, &syntax) || syntax.Line != tt.line || !strings.Contains(syntax.Error(), tt.word) {
			t.Errorf("%.60q: error %v, want line %d and %q", tt.in, err, tt.line, tt.word)
		}
	}
}

func TestGreatestAllowedDescription(t *testing.T) {
	text := "v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\ns=-\r\nt=0 0\r\n"
	for range MaxMedia {
		text += "m=audio 1 RTP/AVP" + strings.Repeat(" 0", 100) + "\r\n" + strings.Repeat("a=x:1\r\n", MaxAttributes/MaxMedia)
	}
	if d := mustParse(t, text); d.String() != text {
		t.Error("came back changed")
	}
}

func TestSectionsDoNotShareRoomToGrow(t *testing.T) {
	d := mustParse(t, browserOffer)
	d.SetAttribute("x-session", "1")
	d.Media[0].SetAttribute("x-audio", "2")
	d.Media[0].Formats = append(d.Media[0].Formats, "77")
	want := mustParse(t, browserOffer)
	if !slices.Equal(d.Media[1].Attributes, want.Media[1].Attributes) || !slices.Equal(d.Media[1].Formats, want.Media[1].Formats) {
		t.Error("appending to one section changed the next")
	}
	if v, _ := d.Media[0].Attribute("ice-ufrag"); v != "aB1c" {
		t.Error("appending to the session part changed the first section")
	}
}

func TestCloneIsDeep(t *testing.T) {
	d, want := mustParse(t, browserOffer), mustParse(t, browserOffer)
	c := d.Clone()
	if !c.Equal(d) {
		t.Fatal("clone differs")
	}
	c.Attributes[0].Value = "changed"
	c.Media[0].Conn.Address = "changed"
	c.Media[0].Attributes[0].Value = "changed"
	c.Media[0].Formats[0] = "changed"
	c.Media[1].Lines[0].Value = "changed"
	c.Media[1].Port = 1
	if !d.Equal(want) {
		t.Error("changing the clone changed the original")
	}
}

func TestEqualSeesEveryField(t *testing.T) {
	d := mustParse(t, browserOffer)
	d.Conn = &Connection{"IN", "IP4", "192.0.2.1"}
	d.Lines = []Line{{'b', "AS:1"}}
	for name, change := range map[string]func(*Description){
		"version":    func(d *Description) { d.Version = 1 },
		"origin":     func(d *Description) { d.Origin.SessVersion++ },
		"name":       func(d *Description) { d.Name = "x" },
		"c=":         func(d *Description) { d.Conn.Address = "192.0.2.2" },
		"no c=":      func(d *Description) { d.Conn = nil },
		"timing":     func(d *Description) { d.Timing = "1 2" },
		"line":       func(d *Description) { d.Lines[0].Value = "AS:2" },
		"attribute":  func(d *Description) { d.Attributes[1].Name = "x" },
		"kind":       func(d *Description) { d.Media[0].Kind = "video" },
		"port":       func(d *Description) { d.Media[0].Port = 8 },
		"port count": func(d *Description) { d.Media[0].PortCount = 2 },
		"proto":      func(d *Description) { d.Media[0].Proto = "RTP/AVP" },
		"format":     func(d *Description) { d.Media[0].Formats[0] = "8" },
		"media c=":   func(d *Description) { d.Media[0].Conn = nil },
		"media line": func(d *Description) { d.Media[1].Lines = nil },
		"media a=":   func(d *Description) { d.Media[1].Attributes = d.Media[1].Attributes[1:] },
		"media gone": func(d *Description) { d.Media = d.Media[:1] },
	} {
		c := d.Clone()
		change(c)
		if c.Equal(d) || d.Equal(c) {
			t.Errorf("%s: not seen", name)
		}
		if same := name == "origin"; c.EqualContent(d) != same {
			t.Errorf("%s: EqualContent is %v", name, !same)
		}
	}
	if !(*Description)(nil).Equal(nil) || d.Equal(nil) {
		t.Error("nil")
	}
}

func TestSupersede(t *testing.T) {
	first := mustParse(t, phoneOffer)
	second := first.Clone()
	second.Origin = Origin{Username: "other", SessID: 99, SessVersion: 1}
	second.Supersede(first)
	if second.Origin != first.Origin {
		t.Errorf("nothing changed but o= became %+v", second.Origin)
	}
	second.Media[0].SetDirection(SendOnly)
	second.Supersede(first)
	if second.Origin.SessID != 3847 || second.Origin.SessVersion != 3848 {
		t.Errorf("after a change o= is %+v", second.Origin)
	}
	alone := first.Clone()
	alone.Supersede(nil)
	if !alone.Equal(first) {
		t.Error("the first description changed")
	}
}

func TestZeroDescriptionPrintsAsOne(t *testing.T) {
	got := new(Description).String()
	if want := crlf("v=0", "o=- 0 0 IN IP4 0.0.0.0", "s=-", "t=0 0"); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// What parses prints, and what was printed parses to the same value and prints to the same bytes.
func FuzzParse(f *testing.F) {
	for _, s := range []string{phoneOffer, rfc8866Example, browserOffer, "v=0\no=a -1 0x2 IN IP4 h\nt=1 2\nr=1\ni=late\nc=a b c\nc=d e f\nm=a 1/2 x  y\na=:\na=b:\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Parse(b)
		if err != nil {
			var syntax *SyntaxError
			if !errors.As(err, &syntax) {
				t.Fatalf("error %T", err)
			}
			return
		}
		printed := d.Bytes()
		if len(printed) > MaxBytes {
			return // canonical line ends may make it longer than Parse takes
		}
		again, err := Parse(printed)
		if err != nil {
			t.Fatalf("%v in printed\n%q", err, printed)
		}
		if !again.Equal(d) {
			t.Fatalf("parsed %q\nprinted %q", b, printed)
		}
		if !bytes.Equal(again.Bytes(), printed) || !d.Clone().Equal(d) {
			t.Fatalf("printing is not stable: %q", printed)
		}
		for i := range d.Media {
			dir := d.Direction(i)
			d.Address(i)
			d.RTCPAddress(i)
			if d.Held(i) && dir.Receives() {
				t.Fatal("held but receiving")
			}
		}
		answer, agreed, err := Answer(d, Capabilities{Audio: []Codec{PCMU(), PCMA()}, DTMF: true})
		if (err == nil) != (len(agreed) > 0) {
			t.Fatalf("%d streams agreed with error %v", len(agreed), err)
		}
		if err := Matches(answer, d); err != nil {
			t.Fatalf("our answer does not match: %v", err)
		}
	})
}

func TestParseAllocatesLittle(t *testing.T) {
	in := []byte(phoneOffer)
	n := testing.AllocsPerRun(100, func() {
		if _, err := Parse(in); err != nil {
			panic(err)
		}
	})
	if n > 7 {
		t.Errorf("%v allocations", n)
	}
	d := mustParse(t, phoneOffer)
	buffer := make([]byte, 0, 1024)
	if n := testing.AllocsPerRun(100, func() { buffer = d.Append(buffer[:0]) }); n != 0 {
		t.Errorf("Append: %v allocations", n)
	}
}

func BenchmarkParse(b *testing.B) {
	for _, in := range []struct{ name, text string }{{"phone", phoneOffer}, {"browser", browserOffer}} {
		b.Run(in.name, func(b *testing.B) {
			text := []byte(in.text)
			b.SetBytes(int64(len(text)))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Parse(text); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkCodecs(b *testing.B) {
	d, err := Parse([]byte(browserOffer))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = d.Media[0].Codecs()
	}
}

func BenchmarkBytes(b *testing.B) {
	d, err := Parse([]byte(phoneOffer))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = d.Bytes()
	}
}

func ExampleParse() {
	d, err := Parse([]byte(phoneOffer))
	if err != nil {
		fmt.Println(err)
		return
	}
	for i := range d.Media {
		m := &d.Media[i]
		fmt.Println(m.Kind, d.Address(i), d.Direction(i), m.PTime())
		for _, c := range m.Codecs() {
			fmt.Printf("%d %s/%d %q\n", c.PayloadType, c.Name, c.ClockRate, c.FMTP)
		}
	}
	// Output:
	// audio 192.0.2.10:11784 sendrecv 20
	// 9 G722/8000 ""
	// 8 PCMA/8000 ""
	// 0 PCMU/8000 ""
	// 18 G729/8000 "annexb=no"
	// 101 telephone-event/8000 "0-15"
}
