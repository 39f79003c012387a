package sdp

import (
	"fmt"
	"net/netip"
	"reflect"
	"strings"
	"testing"
)

func TestParseCandidate(t *testing.T) {
	ap := netip.MustParseAddrPort
	for _, tt := range []struct {
		line string
		want Candidate
	}{
		{"2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998",
			Candidate{"2", 1, "UDP", 1694498815, ap("192.0.2.3:45664"), "srflx", ap("203.0.113.141:8998"), nil}},
		{"842163049 1 udp 1677729535 2001:db8::1 9 typ HOST generation 0 network-cost 999",
			Candidate{"842163049", 1, "UDP", 1677729535, ap("[2001:db8::1]:9"), "host", netip.AddrPort{}, []Attribute{{"generation", "0"}, {"network-cost", "999"}}}},
		{"a 2 TCP 1 10.0.0.1 9 typ host tcptype active odd", Candidate{"a", 2, "TCP", 1, ap("10.0.0.1:9"), "host", netip.AddrPort{}, []Attribute{{"tcptype", "active"}}}},
		{"a 1 UDP 5 192.0.2.1 1 typ relay raddr 0.0.0.0 rport 9", Candidate{"a", 1, "UDP", 5, ap("192.0.2.1:1"), "relay", ap("0.0.0.0:9"), nil}},
	} {
		got, err := ParseCandidate(tt.line)
		if err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: %v %+v", tt.line, err, got)
		}
	}
	for _, line := range []string{
		"", "1 1 UDP 5 192.0.2.1 1 typ", "1 1 UDP 5 192.0.2.1 1 type host", "1 0 UDP 5 192.0.2.1 1 typ host", "1 257 UDP 5 192.0.2.1 1 typ host",
		"1 1 UDP 0 192.0.2.1 1 typ host", "1 1 UDP 2147483648 192.0.2.1 1 typ host", "1 1 UDP 5 example.com 1 typ host",
		"1 1 UDP 5 6b2c.local 1 typ host", "1 1 UDP 5 fe80::1%eth0 1 typ host", "1 1 UDP 5 192.0.2.1 0 typ host", "1 1 UDP 5 192.0.2.1 65536 typ host",
		"1- 1 UDP 5 192.0.2.1 1 typ host", strings.Repeat("1", 33) + " 1 UDP 5 192.0.2.1 1 typ host", "1 1 U@P 5 192.0.2.1 1 typ host",
		"1 1 UDP 5 192.0.2.1 1 typ host" + strings.Repeat(" x y", 40),
	} {
		if c, err := ParseCandidate(line); err == nil {
			t.Errorf("%q read as %+v", line, c)
		}
	}
}

func TestICEOfBrowser(t *testing.T) {
	d := mustParse(t, browserOffer)
	ice, ok := d.ICE(0)
	if !ok || ice.Ufrag != "aB1c" || ice.Pwd != "abcdefghijklmnopqrstuvwx" || !reflect.DeepEqual(ice.Options, []string{"trickle"}) {
		t.Errorf("%v %+v", ok, ice)
	}
	if _, ok := d.ICE(1); ok {
		t.Error("ICE for a stream that does not have it")
	}
	if d.Setup(0) != ActPass || d.Setup(1) != NoSetup || d.Setup(0).Answer() != Active || NoSetup.Answer() != Passive || Active.Answer() != Passive {
		t.Error("setup")
	}
	if f := d.Fingerprints(0); f != nil {
		t.Errorf("a fingerprint too short is taken: %v", f)
	}
}

func TestICELevels(t *testing.T) {
	pwd, own := strings.Repeat("p", 22), strings.Repeat("q", 22)
	sum := strings.TrimSuffix(strings.Repeat("4A:", 32), ":")
	d := section(t, "c=IN IP4 192.0.2.1", "a=ice-lite", "a=ice-ufrag:sess", "a=ice-pwd:"+pwd, "a=ice-options:ice2 rtp+ecn", "a=setup:passive", "a=fingerprint:SHA-256 "+strings.ToLower(sum),
		"m=audio 4000 RTP/AVP 0", "a=candidate:1 1 UDP 5 192.0.2.1 1 typ host", "a=candidate:1 1 UDP 5 a.local 1 typ host", "a=tls-id:abc3de65cddef001be82", "a=ice-options:x-y ice2",
		"m=audio 4002 RTP/AVP 0", "a=ice-ufrag:mine", "a=ice-pwd:"+own, "a=ice-mismatch", "a=end-of-candidates", "a=setup:active", "a=tls-id:short", "a=fingerprint:sha-1 "+sum[:59],
		"m=audio 4004 RTP/AVP 0", "a=ice-ufrag:bad!", "a=ice-pwd:short", "a=ice-lite")
	first, ok := d.ICE(0)
	if !ok || first.Ufrag != "sess" || first.Pwd != pwd || !first.Lite || len(first.Candidates) != 1 || fmt.Sprint(first.Options) != "[ice2 rtp+ecn x-y]" || first.Ended {
		t.Errorf("%v %+v", ok, first)
	}
	second, ok := d.ICE(1)
	if !ok || second.Ufrag != "mine" || second.Pwd != own || !second.Mismatch || !second.Ended || fmt.Sprint(second.Options) != "[ice2 rtp+ecn]" {
		t.Errorf("%v %+v", ok, second)
	}
	if third, ok := d.ICE(2); !ok || third.Ufrag != "sess" || third.Pwd != pwd {
		t.Errorf("%v %+v", ok, third)
	}
	if d.TLSID(0) != "abc3de65cddef001be82" || d.TLSID(1) != "" || d.Setup(0) != Passive || d.Setup(1) != Active {
		t.Error("tls-id, setup")
	}
	f := d.Fingerprints(0)
	if len(f) != 1 || f[0].String() != "sha-256 "+sum || !f[0].Equal(f[0]) {
		t.Errorf("%v", f)
	}
	if f := d.Fingerprints(1); len(f) != 1 || f[0].Hash != "sha-1" || f[0].Equal(d.Fingerprints(0)[0]) {
		t.Errorf("%v", f)
	}
	m := Media{Kind: "audio", Attributes: second.Attributes()}
	if back, ok := (&Description{Attributes: []Attribute{{"ice-lite", ""}}, Media: []Media{m}}).ICE(0); !ok || !reflect.DeepEqual(back, second) {
		t.Errorf("%+v is printed as %+v", second, m.Attributes)
	}
}

func TestParseFingerprintRefuses(t *testing.T) {
	for _, value := range []string{"", "sha-256", "sha-256 4A", "sha-1 4A:", "x 4A4B", "x 4A;4B", "x 4G", "x 4A:4B more", "x/y 4A", "x " + strings.Repeat("4A:", 64) + "4A"} {
		if f, err := ParseFingerprint(value); err == nil {
			t.Errorf("%q read as %v", value, f)
		}
	}
}

// RFC 8840 §9.3 shows such a body.
const fragmentExample = "a=ice-pwd:asd88fgpdd777uzjYhagZg\r\na=ice-ufrag:8hhY\r\nm=audio 9 RTP/AVP 0\r\na=mid:1\r\n" +
	"a=candidate:1 1 UDP 2130706432 2001:db8:a0b:12f0::1 5000 typ host\r\na=candidate:1 1 UDP 2130706432 10.0.1.1 5000 typ host\r\n" +
	"m=audio 9 RTP/AVP 0\r\na=MID:2\r\nA=ignored\r\nx=ignored\r\na=candidate:1 1 UDP 2130706432 10.0.1.1 5004 typ host\r\na=End-Of-Candidates\r\n"

func TestParseFragment(t *testing.T) {
	f, err := ParseFragment([]byte(fragmentExample))
	if err != nil || f.Ufrag != "8hhY" || f.Pwd != "asd88fgpdd777uzjYhagZg" || len(f.Streams) != 2 || f.Ended {
		t.Fatalf("%v %+v", err, f)
	}
	if s := f.Streams[0]; s.MID != "1" || len(s.Candidates) != 2 || s.Ended || s.Kind != "audio" {
		t.Errorf("%+v", s)
	}
	if s := f.Streams[1]; s.MID != "2" || len(s.Candidates) != 1 || !s.Ended {
		t.Errorf("%+v", s)
	}
	for _, text := range []string{"nonsense", "m=\r\n", "a=x\ry\r\n", strings.Repeat("m=audio\n", 65), strings.Repeat("a=x\n", 5000)} {
		if _, err := ParseFragment([]byte(text)); err == nil {
			t.Errorf("%.20q is read", text)
		}
	}
}

func FuzzParseFragment(f *testing.F) {
	f.Add([]byte(fragmentExample))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := ParseFragment(b)
		if err != nil {
			return
		}
		printed := got.Bytes()
		if len(printed) > maxFragment {
			return
		}
		again, err := ParseFragment(printed)
		if err != nil || !reflect.DeepEqual(got, again) {
			t.Fatalf("%q is printed as %q: %v", b, printed, err)
		}
	})
}

func FuzzParseCandidate(f *testing.F) {
	f.Add("2 1 UDP 1694498815 192.0.2.3 45664 typ srflx raddr 203.0.113.141 rport 8998 a b")
	f.Add("2 1 tcp 1694498815 ::ffff:192.0.2.3 45664 typ host tcptype passive")
	f.Fuzz(func(t *testing.T, value string) {
		c, err := ParseCandidate(value)
		if err != nil {
			return
		}
		again, err := ParseCandidate(c.String())
		if err != nil || !reflect.DeepEqual(c, again) {
			t.Fatalf("%q is printed as %q: %v", value, c.String(), err)
		}
	})
}

func FuzzParseFingerprint(f *testing.F) {
	f.Add("sha-256 " + strings.TrimSuffix(strings.Repeat("4A:", 32), ":"))
	f.Fuzz(func(t *testing.T, value string) {
		p, err := ParseFingerprint(value)
		if err != nil {
			return
		}
		if again, err := ParseFingerprint(p.String()); err != nil || !again.Equal(p) {
			t.Fatalf("%q is printed as %q: %v", value, p, err)
		}
	})
}
