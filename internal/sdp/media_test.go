package sdp

import (
	"net/netip"
	"slices"
	"testing"
)

func section(t *testing.T, lines ...string) *Description {
	t.Helper()
	return mustParse(t, crlf(append([]string{"v=0", "o=- 1 1 IN IP4 192.0.2.1"}, lines...)...))
}

// RFC 3264 §6.1 in full: what may be answered, for each offer and each wish.
func TestDirectionAnswerTable(t *testing.T) {
	for _, tt := range []struct{ offer, want, answer Direction }{
		{SendRecv, SendRecv, SendRecv}, {SendRecv, SendOnly, SendOnly}, {SendRecv, RecvOnly, RecvOnly}, {SendRecv, Inactive, Inactive},
		{SendOnly, SendRecv, RecvOnly}, {SendOnly, SendOnly, Inactive}, {SendOnly, RecvOnly, RecvOnly}, {SendOnly, Inactive, Inactive},
		{RecvOnly, SendRecv, SendOnly}, {RecvOnly, SendOnly, SendOnly}, {RecvOnly, RecvOnly, Inactive}, {RecvOnly, Inactive, Inactive},
		{Inactive, SendRecv, Inactive}, {Inactive, SendOnly, Inactive}, {Inactive, RecvOnly, Inactive}, {Inactive, Inactive, Inactive},
	} {
		if got := tt.offer.Answer(tt.want); got != tt.answer {
			t.Errorf("offer %v, wish %v: answer %v, want %v", tt.offer, tt.want, got, tt.answer)
		}
	}
	for _, tt := range []struct {
		d, reverse      Direction
		sends, receives bool
		name            string
	}{
		{SendRecv, SendRecv, true, true, "sendrecv"}, {SendOnly, RecvOnly, true, false, "sendonly"},
		{RecvOnly, SendOnly, false, true, "recvonly"}, {Inactive, Inactive, false, false, "inactive"},
	} {
		if tt.d.Reverse() != tt.reverse || tt.d.Sends() != tt.sends || tt.d.Receives() != tt.receives || tt.d.String() != tt.name {
			t.Errorf("%v: reverse %v, sends %v, receives %v", tt.d, tt.d.Reverse(), tt.d.Sends(), tt.d.Receives())
		}
	}
}

func TestDirectionAndHold(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		want  Direction
		held  bool
	}{
		"nothing said":           {[]string{"c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0"}, SendRecv, false},
		"sendrecv":               {[]string{"c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "a=sendrecv"}, SendRecv, false},
		"sendonly":               {[]string{"c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "a=sendonly"}, SendOnly, true},
		"recvonly":               {[]string{"c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "a=recvonly"}, RecvOnly, false},
		"inactive":               {[]string{"c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "a=inactive"}, Inactive, true},
		"by the session":         {[]string{"c=IN IP4 192.0.2.1", "a=sendonly", "m=audio 4000 RTP/AVP 0"}, SendOnly, true},
		"media over session":     {[]string{"c=IN IP4 192.0.2.1", "a=sendonly", "m=audio 4000 RTP/AVP 0", "a=recvonly"}, RecvOnly, false},
		"0.0.0.0":                {[]string{"c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0"}, SendOnly, true},
		"0.0.0.0 and sendrecv":   {[]string{"c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0", "a=sendrecv"}, SendOnly, true},
		"0.0.0.0 and recvonly":   {[]string{"c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0", "a=recvonly"}, Inactive, true},
		"0.0.0.0 in the media":   {[]string{"c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "c=IN IP4 0.0.0.0"}, SendOnly, true},
		"0.0.0.0 in the session": {[]string{"c=IN IP4 0.0.0.0", "m=audio 4000 RTP/AVP 0", "c=IN IP4 192.0.2.1"}, SendRecv, false},
		"::":                     {[]string{"c=IN IP6 ::", "m=audio 4000 RTP/AVP 0"}, SendOnly, true},
		"ICE without candidates": {[]string{"c=IN IP4 0.0.0.0", "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=ice-ufrag:x"}, SendRecv, false},
		"ICE of the session":     {[]string{"c=IN IP4 0.0.0.0", "a=ice-ufrag:x", "m=audio 9 UDP/TLS/RTP/SAVPF 0"}, SendRecv, false},
		"ICE on hold":            {[]string{"c=IN IP4 0.0.0.0", "m=audio 9 UDP/TLS/RTP/SAVPF 0", "a=ice-ufrag:x", "a=sendonly"}, SendOnly, true},
		"removed":                {[]string{"c=IN IP4 192.0.2.1", "m=audio 0 RTP/AVP 0", "a=sendrecv"}, Inactive, false},
		"no c= at all":           {[]string{"m=audio 4000 RTP/AVP 0"}, SendRecv, false},
	} {
		d := section(t, tt.lines...)
		if got := d.Direction(0); got != tt.want || d.Held(0) != tt.held || d.OnHold() != tt.held {
			t.Errorf("%s: %v, held %v, on hold %v", name, got, d.Held(0), d.OnHold())
		}
	}
}

func TestOnHoldLooksAtAudioThatIsThere(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		want  bool
	}{
		"no media":             {nil, false},
		"video only":           {[]string{"m=video 4000 RTP/AVP 31", "a=sendonly"}, false},
		"audio held, video on": {[]string{"m=audio 4000 RTP/AVP 0", "a=inactive", "m=video 4000 RTP/AVP 31"}, true},
		"one audio of two":     {[]string{"m=audio 4000 RTP/AVP 0", "a=inactive", "m=audio 4000 RTP/AVP 0"}, false},
		"the other removed":    {[]string{"m=audio 4000 RTP/AVP 0", "a=inactive", "m=audio 0 RTP/AVP 0"}, true},
		"all removed":          {[]string{"m=audio 0 RTP/AVP 0"}, false},
	} {
		d := section(t, append([]string{"c=IN IP4 192.0.2.1"}, tt.lines...)...)
		if d.OnHold() != tt.want {
			t.Errorf("%s: %v", name, !tt.want)
		}
	}
}

func TestSetDirection(t *testing.T) {
	d := section(t, "c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "a=x", "a=sendonly", "a=y")
	m := &d.Media[0]
	m.SetDirection(RecvOnly)
	if want := []Attribute{{"x", ""}, {"recvonly", ""}, {"y", ""}}; !slices.Equal(m.Attributes, want) {
		t.Errorf("%v, want %v", m.Attributes, want)
	}
	for _, dir := range []Direction{SendRecv, SendOnly, RecvOnly, Inactive} {
		m.Attributes = nil
		m.SetDirection(dir)
		if d.Direction(0) != dir || len(m.Attributes) != 1 {
			t.Errorf("%v: %v", dir, m.Attributes)
		}
	}
}

func TestAddresses(t *testing.T) {
	for name, tt := range map[string]struct {
		lines     []string
		rtp, rtcp string
	}{
		"session":      {[]string{"c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0"}, "192.0.2.1:4000", "192.0.2.1:4001"},
		"media":        {[]string{"c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "c=IN IP4 192.0.2.9"}, "192.0.2.9:4000", "192.0.2.9:4001"},
		"IPv6":         {[]string{"c=IN IP6 2001:db8::1", "m=audio 4000 RTP/AVP 0"}, "[2001:db8::1]:4000", "[2001:db8::1]:4001"},
		"mapped IPv4":  {[]string{"c=IN IP6 ::ffff:192.0.2.1", "m=audio 4000 RTP/AVP 0"}, "192.0.2.1:4000", "192.0.2.1:4001"},
		"zone":         {[]string{"c=IN IP6 fe80::1%eth0", "m=audio 4000 RTP/AVP 0"}, "[fe80::1]:4000", "[fe80::1]:4001"},
		"multicast":    {[]string{"c=IN IP4 233.252.0.1/127/3", "m=audio 4000 RTP/AVP 0"}, "233.252.0.1:4000", "233.252.0.1:4001"},
		"host name":    {[]string{"c=IN IP4 host.example", "m=audio 4000 RTP/AVP 0"}, "invalid AddrPort", "invalid AddrPort"},
		"no c=":        {[]string{"m=audio 4000 RTP/AVP 0"}, "invalid AddrPort", "invalid AddrPort"},
		"rtcp port":    {[]string{"c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "a=rtcp:53020"}, "192.0.2.1:4000", "192.0.2.1:53020"},
		"rtcp address": {[]string{"c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "a=rtcp:53020 IN IP6 2001:db8::7"}, "192.0.2.1:4000", "[2001:db8::7]:53020"},
		"rtcp name":    {[]string{"c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "a=rtcp:53020 IN IP4 x.example"}, "192.0.2.1:4000", "192.0.2.1:53020"},
		"rtcp garbage": {[]string{"c=IN IP4 192.0.2.1", "m=audio 4000 RTP/AVP 0", "a=rtcp:no"}, "192.0.2.1:4000", "192.0.2.1:4001"},
		"last port":    {[]string{"c=IN IP4 192.0.2.1", "m=audio 65535 RTP/AVP 0"}, "192.0.2.1:65535", "invalid AddrPort"},
		"removed":      {[]string{"c=IN IP4 192.0.2.1", "m=audio 0 RTP/AVP 0"}, "192.0.2.1:0", "invalid AddrPort"},
	} {
		d := section(t, tt.lines...)
		if rtp, rtcp := d.Address(0).String(), d.RTCPAddress(0).String(); rtp != tt.rtp || rtcp != tt.rtcp {
			t.Errorf("%s: RTP %s RTCP %s, want %s and %s", name, rtp, rtcp, tt.rtp, tt.rtcp)
		}
	}
	if d := section(t, "m=audio 4000 RTP/AVP 0"); d.Address(0).Port() != 4000 {
		t.Error("the port is lost without an address")
	}
	if c := ConnectionTo(netip.MustParseAddr("::ffff:192.0.2.1")); *c != (Connection{"IN", "IP4", "192.0.2.1"}) {
		t.Errorf("ConnectionTo: %+v", c)
	}
	var o Origin
	if o.SetAddress(netip.MustParseAddr("2001:db8::1%eth0")); o.AddrType != "IP6" || o.Address != "2001:db8::1" {
		t.Errorf("SetAddress: %+v", o)
	}
}

func TestAttributes(t *testing.T) {
	d := section(t, "a=group:BUNDLE 0", "a=x:1", "a=x:2", "m=audio 4000 RTP/AVP 0", "a=ptime:20.5", "a=maxptime:60",
		"a=x:3", "a=y", "a=x:4", "a=rtcp-mux")
	m := &d.Media[0]
	if m.PTime() != 20 || m.MaxPTime() != 60 || !m.RTCPMux() {
		t.Errorf("ptime %d, maxptime %d, mux %v", m.PTime(), m.MaxPTime(), m.RTCPMux())
	}
	m.SetAttribute("x", "5")
	m.SetAttribute("z", "6")
	m.RemoveAttributes("ptime", "rtcp-mux")
	if want := []Attribute{{"maxptime", "60"}, {"x", "5"}, {"y", ""}, {"z", "6"}}; !slices.Equal(m.Attributes, want) {
		t.Errorf("%v, want %v", m.Attributes, want)
	}
	if m.PTime() != 0 || m.RTCPMux() {
		t.Error("removed attributes are still read")
	}
	if v, ok := d.Attribute("group"); v != "BUNDLE 0" || !ok {
		t.Errorf("group is %q", v)
	}
	d.RemoveAttributes("x")
	d.SetAttribute("group", "BUNDLE 1")
	if want := []Attribute{{"group", "BUNDLE 1"}}; !slices.Equal(d.Attributes, want) {
		t.Errorf("%v, want %v", d.Attributes, want)
	}
	if _, ok := d.Attribute("x"); ok {
		t.Error("x is still there")
	}
	big := section(t, "m=audio 4000 RTP/AVP 0", "a=ptime:99999999999999999999", "a=maxptime:abc")
	if p := big.Media[0].PTime(); p < 0 || p > 100000 || big.Media[0].MaxPTime() != 0 {
		t.Errorf("ptime %d", p)
	}
}

// RFC 3551 Tables 4 and 5, line by line.
func TestStaticPayloadTypes(t *testing.T) {
	table := map[uint8]Codec{
		0: {0, "PCMU", 8000, 1, ""}, 3: {3, "GSM", 8000, 1, ""}, 4: {4, "G723", 8000, 1, ""}, 5: {5, "DVI4", 8000, 1, ""},
		6: {6, "DVI4", 16000, 1, ""}, 7: {7, "LPC", 8000, 1, ""}, 8: {8, "PCMA", 8000, 1, ""}, 9: {9, "G722", 8000, 1, ""},
		10: {10, "L16", 44100, 2, ""}, 11: {11, "L16", 44100, 1, ""}, 12: {12, "QCELP", 8000, 1, ""}, 13: {13, "CN", 8000, 1, ""},
		14: {14, "MPA", 90000, 1, ""}, 15: {15, "G728", 8000, 1, ""}, 16: {16, "DVI4", 11025, 1, ""}, 17: {17, "DVI4", 22050, 1, ""},
		18: {18, "G729", 8000, 1, ""}, 25: {25, "CelB", 90000, 1, ""}, 26: {26, "JPEG", 90000, 1, ""}, 28: {28, "nv", 90000, 1, ""},
		31: {31, "H261", 90000, 1, ""}, 32: {32, "MPV", 90000, 1, ""}, 33: {33, "MP2T", 90000, 1, ""}, 34: {34, "H263", 90000, 1, ""},
	}
	for pt := range 256 {
		got, ok := StaticCodec(uint8(pt))
		want, known := table[uint8(pt)]
		if ok != known || got != want {
			t.Errorf("%d: %+v %v, want %+v %v", pt, got, ok, want, known)
		}
	}
}

func TestCodecs(t *testing.T) {
	for name, tt := range map[string]struct {
		lines []string
		want  []Codec
	}{
		"static without rtpmap": {[]string{"m=audio 4000 RTP/AVP 8 0 18"}, []Codec{{8, "PCMA", 8000, 1, ""}, {0, "PCMU", 8000, 1, ""}, {18, "G729", 8000, 1, ""}}},
		"rtpmap over static":    {[]string{"m=audio 4000 RTP/AVP 0", "a=rtpmap:0 speex/16000"}, []Codec{{0, "speex", 16000, 1, ""}}},
		"first rtpmap counts":   {[]string{"m=audio 4000 RTP/AVP 96", "a=rtpmap:96 a/8000", "a=rtpmap:96 b/8000"}, []Codec{{96, "a", 8000, 1, ""}}},
		"channels and fmtp":     {[]string{"m=audio 4000 RTP/SAVPF 111", "a=fmtp:111 minptime=10;x=1", "a=rtpmap:111 opus/48000/2"}, []Codec{{111, "opus", 48000, 2, "minptime=10;x=1"}}},
		"fmtp of a static one":  {[]string{"m=audio 4000 RTP/AVP 18", "a=fmtp:18 annexb=no"}, []Codec{{18, "G729", 8000, 1, "annexb=no"}}},
		"unexplained":           {[]string{"m=audio 4000 RTP/AVP 96 1 0"}, []Codec{{0, "PCMU", 8000, 1, ""}}},
		"bad formats":           {[]string{"m=audio 4000 RTP/AVP x 128 1234 -1 0"}, []Codec{{0, "PCMU", 8000, 1, ""}}},
		"bad rtpmaps":           {[]string{"m=audio 4000 RTP/AVP 96 97 98 99 8", "a=rtpmap:96", "a=rtpmap:97 x", "a=rtpmap:98 x/0", "a=rtpmap:99 /8000", "a=rtpmap:8 x/y"}, []Codec{{8, "PCMA", 8000, 1, ""}}},
		"extra blanks":          {[]string{"m=audio 4000 RTP/AVP 96", "a=rtpmap:96   iLBC/8000", "a=fmtp:96  mode=30"}, []Codec{{96, "iLBC", 8000, 1, "mode=30"}}},
		"no RTP":                {[]string{"m=image 4000 udptl t38"}, nil},
		"message":               {[]string{"m=message 4000 TCP/MSRP *"}, nil},
	} {
		d := section(t, tt.lines...)
		if got := d.Media[0].Codecs(); !slices.Equal(got, tt.want) {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
}

func TestTwentyFourCodecs(t *testing.T) {
	m := Media{Kind: "audio", Port: 4000, Proto: "RTP/AVP"}
	var want []Codec
	for i := range 24 {
		c := Codec{uint8(96 + i), "codec" + string(rune('a'+i)), 8000 * (i%6 + 1), i%2 + 1, ""}
		if i%3 == 0 {
			c.FMTP = "mode=" + string(rune('0'+i%10))
		}
		want = append(want, c)
		m.AddCodec(c)
	}
	d := mustParse(t, (&Description{Media: []Media{m}}).String())
	if got := d.Media[0].Codecs(); !slices.Equal(got, want) {
		t.Errorf("%+v", got)
	}
	if c, ok := d.Media[0].Codec(110); !ok || c != want[14] {
		t.Errorf("110 is %+v", c)
	}
	if _, ok := d.Media[0].Codec(8); ok {
		t.Error("8 is there though it was not listed")
	}
}

func TestCodecSame(t *testing.T) {
	a := Codec{96, "Opus", 48000, 2, "x"}
	if !a.Same(Codec{111, "opus", 48000, 2, ""}) || a.Same(Codec{96, "opus", 48000, 1, ""}) || a.Same(Codec{96, "opus", 16000, 2, ""}) || a.Same(Codec{96, "opu", 48000, 2, ""}) {
		t.Error("wrong comparison")
	}
	if !(Codec{0, "PCMU", 8000, 0, ""}).Same(PCMU()) {
		t.Error("no channels are not one")
	}
	if got := a.RTPMap(); got != "96 Opus/48000/2" {
		t.Errorf("rtpmap %q", got)
	}
}

func TestTelephoneEvent(t *testing.T) {
	d := mustParse(t, browserOffer)
	for rate, want := range map[int]uint8{48000: 110, 8000: 126, 16000: 110} {
		if got, ok := d.Media[0].TelephoneEvent(rate); got != want || !ok {
			t.Errorf("%d Hz: %d %v", rate, got, ok)
		}
	}
	if _, ok := d.Media[1].TelephoneEvent(8000); ok {
		t.Error("video has key presses")
	}
}
