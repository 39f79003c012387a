package sdp

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func capable() Capabilities {
	return Capabilities{
		Origin:  Origin{SessID: 7, SessVersion: 1},
		Address: netip.MustParseAddr("198.51.100.7"),
		Ports:   []int{30000},
		Audio:   []Codec{PCMA(), PCMU()},
		DTMF:    true,
		PTime:   20,
	}
}

func TestAnswerToAPhone(t *testing.T) {
	answer, agreed, err := Answer(mustParse(t, phoneOffer), capable())
	if err != nil {
		t.Fatal(err)
	}
	want := crlf("v=0", "o=- 7 1 IN IP4 198.51.100.7", "s=-", "c=IN IP4 198.51.100.7", "t=0 0",
		"m=audio 30000 RTP/AVP 8 101", "a=rtpmap:8 PCMA/8000", "a=rtpmap:101 telephone-event/8000", "a=fmtp:101 0-15",
		"a=ptime:20", "a=sendrecv")
	if answer.String() != want {
		t.Errorf("answer\n%s\nwant\n%s", answer, want)
	}
	wantAgreed := Agreed{0, PCMA(), 101, SendRecv, netip.MustParseAddrPort("192.0.2.10:11784"), netip.MustParseAddrPort("192.0.2.10:11785"), false, 20}
	if len(agreed) != 1 || agreed[0] != wantAgreed {
		t.Errorf("agreed %+v", agreed)
	}
}

func TestAnswerTakesTheOffersOrderAndPayloadTypes(t *testing.T) {
	offer := section(t, "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 99 97 0", "a=rtpmap:99 pcmu/8000", "a=rtpmap:97 telephone-event/8000")
	answer, agreed, err := Answer(offer, capable())
	if err != nil {
		t.Fatal(err)
	}
	if c := agreed[0].Codec; c.PayloadType != 99 || c.Name != "pcmu" || agreed[0].DTMF != 97 {
		t.Errorf("agreed %+v", agreed[0])
	}
	if got := strings.Join(answer.Media[0].Formats, " "); got != "99 97" {
		t.Errorf("formats %s", got)
	}
}

// RFC 3264 §10.1, with video refused.
func TestAnswerKeepsNumberAndOrderOfStreams(t *testing.T) {
	offer := mustParse(t, crlf("v=0", "o=alice 2890844526 2890844526 IN IP4 host.anywhere.com", "s=",
		"c=IN IP4 host.anywhere.com", "t=0 0", "m=video 51372 RTP/AVP 31", "a=rtpmap:31 H261/90000",
		"m=audio 49170 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "m=audio 0 RTP/AVP 0", "m=audio 49172 RTP/AVP 0",
		"m=image 4000 udptl t38", "m=message 2855 TCP/MSRP *", "m=audio 49174 RTP/SAVP 0"))
	answer, agreed, err := Answer(offer, capable())
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i := range answer.Media {
		lines = append(lines, string(answer.Media[i].append(nil)))
	}
	want := []string{
		"m=video 0 RTP/AVP 31\r\n",
		"m=audio 30000 RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\na=ptime:20\r\na=sendrecv\r\n",
		"m=audio 0 RTP/AVP 0\r\n",
		"m=audio 0 RTP/AVP 0\r\n",
		"m=image 0 udptl t38\r\n",
		"m=message 0 TCP/MSRP *\r\n",
		"m=audio 0 RTP/SAVP 0\r\n",
	}
	if strings.Join(lines, "") != strings.Join(want, "") {
		t.Errorf("answer\n%s", answer)
	}
	if len(agreed) != 1 || agreed[0].Index != 1 || agreed[0].DTMF != -1 || agreed[0].Remote.IsValid() {
		t.Errorf("agreed %+v", agreed)
	}
	c := capable()
	c.Ports = []int{30000, 30002}
	c.Protos = []string{"RTP/SAVP", "RTP/AVP"}
	if answer, agreed, err = Answer(offer, c); err != nil || len(agreed) != 2 || agreed[1].Index != 3 || answer.Media[3].Port != 30002 || answer.Media[6].Port != 0 {
		t.Errorf("two ports: %v %+v\n%s", err, agreed, answer)
	}
}

func TestAnswerWithNothingInCommon(t *testing.T) {
	for name, offer := range map[string]*Description{
		"codecs":   section(t, "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 18 101", "a=rtpmap:101 telephone-event/8000"),
		"no RTP":   section(t, "c=IN IP4 192.0.2.1", "m=audio 4000 udptl 0"),
		"removed":  section(t, "c=IN IP4 192.0.2.1", "m=audio 0 RTP/AVP 0"),
		"nothing":  section(t, "c=IN IP4 192.0.2.1"),
		"no audio": section(t, "c=IN IP4 192.0.2.1", "m=video 4000 RTP/AVP 31"),
	} {
		answer, agreed, err := Answer(offer, capable())
		if !errors.Is(err, ErrNoCommonMedia) || agreed != nil || len(answer.Media) != len(offer.Media) {
			t.Errorf("%s: %v %+v\n%s", name, err, agreed, answer)
		}
	}
}

func TestAnswerDirectionsMuxAndPlaceholders(t *testing.T) {
	for _, tt := range []struct {
		line string
		want Direction
	}{{"a=sendrecv", SendRecv}, {"a=sendonly", RecvOnly}, {"a=recvonly", SendOnly}, {"a=inactive", Inactive}, {"c=IN IP4 0.0.0.0", RecvOnly}} {
		offer := section(t, "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVPF 0", tt.line, "a=rtcp-mux")
		answer, agreed, err := Answer(offer, Capabilities{Audio: []Codec{PCMU()}, Mux: true})
		if err != nil {
			t.Fatal(err)
		}
		m := &answer.Media[0]
		if answer.Direction(0)&^noRecv != tt.want&^noRecv || agreed[0].Direction != tt.want || !m.RTCPMux() || !agreed[0].Mux {
			t.Errorf("%s: %v %+v", tt.line, m, agreed[0])
		}
		if m.Port != 9 || m.Proto != "RTP/AVPF" || answer.Conn.Address != "0.0.0.0" {
			t.Errorf("placeholders: %+v %+v", answer.Conn, m)
		}
	}
	offer := section(t, "c=IN IP4 192.0.2.1", "t=5 6", "m=audio 4000 RTP/AVP 0")
	c := capable()
	c.Mux = true
	answer, agreed, err := Answer(offer, c)
	if err != nil || agreed[0].Mux || answer.Media[0].RTCPMux() {
		t.Errorf("mux accepted though it was not offered: %v %+v", err, agreed)
	}
	if answer.Timing != "5 6" {
		t.Errorf("t=%s", answer.Timing)
	}
}

func TestOfferAndAccept(t *testing.T) {
	c := capable()
	c.Mux = true
	c.Audio = append([]Codec{{96, "opus", 48000, 2, "useinbandfec=1"}, {101, "speex", 16000, 1, ""}}, c.Audio...)
	offer := Offer(c)
	want := crlf("v=0", "o=- 7 1 IN IP4 198.51.100.7", "s=-", "c=IN IP4 198.51.100.7", "t=0 0",
		"m=audio 30000 RTP/AVP 96 101 8 0 102 103 104", "a=rtpmap:96 opus/48000/2", "a=fmtp:96 useinbandfec=1",
		"a=rtpmap:101 speex/16000", "a=rtpmap:8 PCMA/8000", "a=rtpmap:0 PCMU/8000",
		"a=rtpmap:102 telephone-event/48000", "a=fmtp:102 0-15", "a=rtpmap:103 telephone-event/16000", "a=fmtp:103 0-15",
		"a=rtpmap:104 telephone-event/8000", "a=fmtp:104 0-15", "a=ptime:20", "a=rtcp-mux", "a=sendrecv")
	if offer.String() != want {
		t.Fatalf("offer\n%s\nwant\n%s", offer, want)
	}
	other := Capabilities{Address: netip.MustParseAddr("2001:db8::5"), Ports: []int{5000}, Audio: []Codec{PCMU()}, DTMF: true, Direction: SendOnly}
	answer, theirs, err := Answer(offer, other)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := Accept(answer, offer, c)
	if err != nil {
		t.Fatal(err)
	}
	wantOurs := Agreed{0, PCMU(), 104, RecvOnly, netip.MustParseAddrPort("[2001:db8::5]:5000"), netip.MustParseAddrPort("[2001:db8::5]:5001"), false, 0}
	if len(ours) != 1 || ours[0] != wantOurs || theirs[0].Direction != SendOnly {
		t.Errorf("ours %+v, theirs %+v", ours, theirs)
	}
	refused, _, _ := Answer(offer, Capabilities{Audio: []Codec{{18, "G729", 8000, 1, ""}}})
	if _, err := Accept(refused, offer, c); !errors.Is(err, ErrNoCommonMedia) {
		t.Errorf("refused: %v", err)
	}
}

func TestOfferRunsOutOfPayloadTypes(t *testing.T) {
	c := Capabilities{DTMF: true}
	for i := range 30 {
		c.Audio = append(c.Audio, Codec{PayloadType: uint8(98 + i), Name: "x", ClockRate: 1000 * (i + 1)})
	}
	if m := Offer(c).Media[0]; len(m.Formats) != 30 {
		t.Errorf("%v", m.Formats)
	}
}

func TestMatches(t *testing.T) {
	offer := section(t, "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0 8 101 99", "a=rtpmap:101 telephone-event/8000",
		"m=image 4002 udptl t38", "m=video 0 RTP/AVP 31")
	good := []string{"m=audio 5000 RTP/AVP 0", "m=image 5002 udptl t38", "m=video 0 RTP/AVP 31"}
	for name, tt := range map[string]struct {
		media []string
		want  string // "" when it matches
	}{
		"good":                {good, ""},
		"all refused":         {[]string{"m=audio 0 RTP/AVP 0", "m=image 0 udptl t38", "m=video 0 RTP/AVP 31"}, ""},
		"more codecs":         {[]string{"m=audio 5000 RTP/AVP 18 8", good[1], good[2]}, ""},
		"other payload type":  {[]string{"m=audio 5000 RTP/AVP 120\r\na=rtpmap:120 pcma/8000", good[1], good[2]}, ""},
		"same unknown number": {[]string{"m=audio 5000 RTP/AVP 99", good[1], good[2]}, ""},
		"events alone":        {[]string{"m=audio 5000 RTP/AVP 101\r\na=rtpmap:101 telephone-event/8000", good[1], good[2]}, ""},
		"AVPF for AVP":        {[]string{"m=audio 5000 RTP/AVPF 0", good[1], good[2]}, ""},
		"too few":             {good[:2], "2 streams, offer 3"},
		"too many":            {append(good[:3:3], good[0]), "4 streams, offer 3"},
		"other kind":          {[]string{"m=video 5000 RTP/AVP 0", good[1], good[2]}, "stream 1: answer is video"},
		"revived":             {[]string{good[0], good[1], "m=video 5000 RTP/AVP 31"}, "stream 3: answer accepts"},
		"other transport":     {[]string{"m=audio 5000 udptl t38", good[1], good[2]}, "stream 1: answer uses udptl"},
		"nothing in common":   {[]string{"m=audio 5000 RTP/AVP 18 101\r\na=rtpmap:101 telephone-event/8000", good[1], good[2]}, "stream 1: no format"},
		"other number":        {[]string{"m=audio 5000 RTP/AVP 98", good[1], good[2]}, "stream 1: no format"},
		"other format":        {[]string{good[0], "m=image 5002 udptl t37", good[2]}, "stream 2: no format"},
	} {
		answer := section(t, append([]string{"c=IN IP4 192.0.2.2"}, tt.media...)...)
		err := Matches(answer, offer)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
}

// The exchanges of RFC 3264 §10.1 and §10.2: each answer fits its offer, whoever made it.
func TestExchangesOfRFC3264(t *testing.T) {
	alice := func(media ...string) *Description {
		return mustParse(t, crlf(append([]string{"v=0", "o=alice 2890844526 2890844526 IN IP4 host.anywhere.com", "s=",
			"c=IN IP4 host.anywhere.com", "t=0 0"}, media...)...))
	}
	for name, tt := range map[string]struct{ offer, answer *Description }{
		"basic": {
			alice("m=audio 49170 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "m=video 51372 RTP/AVP 31", "a=rtpmap:31 H261/90000", "m=video 53000 RTP/AVP 32", "a=rtpmap:32 MPV/90000"),
			alice("m=audio 49920 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "m=video 0 RTP/AVP 31", "m=video 53000 RTP/AVP 32", "a=rtpmap:32 MPV/90000"),
		},
		"stream added": {
			alice("m=audio 65422 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "m=video 0 RTP/AVP 31", "m=video 53000 RTP/AVP 32", "a=rtpmap:32 MPV/90000", "m=audio 51434 RTP/AVP 110", "a=rtpmap:110 telephone-events/8000", "a=recvonly"),
			alice("m=audio 49170 RTP/AVP 0", "a=rtpmap:0 PCMU/8000", "m=video 0 RTP/AVP 31", "a=rtpmap:31 H261/90000", "m=video 53000 RTP/AVP 32", "a=rtpmap:32 MPV/90000", "m=audio 53122 RTP/AVP 110", "a=rtpmap:110 telephone-events/8000", "a=sendonly"),
		},
		"one of N": {
			alice("m=audio 62986 RTP/AVP 0 4 18", "a=rtpmap:0 PCMU/8000", "a=rtpmap:4 G723/8000", "a=rtpmap:18 G729/8000", "a=inactive"),
			alice("m=audio 54344 RTP/AVP 0 4", "a=rtpmap:0 PCMU/8000", "a=rtpmap:4 G723/8000", "a=inactive"),
		},
	} {
		if err := Matches(tt.answer, tt.offer); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := Matches(tt.offer, tt.offer); err != nil {
			t.Errorf("%s, the offer as its own answer: %v", name, err)
		}
	}
}
