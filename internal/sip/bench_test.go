package sip

import (
	"strings"
	"testing"
)

// invite is a typical INVITE with SDP as it reaches a second proxy: 1.3 KB.
var invite = []byte(strings.ReplaceAll(`INVITE sip:+982188776655@pbx.example.ir;user=phone SIP/2.0
Via: SIP/2.0/UDP 192.0.2.10:5060;rport;branch=z9hG4bK3f4c2b1a9d8e7f60
Via: SIP/2.0/UDP 10.1.2.3:5060;branch=z9hG4bKnashds8d7a6s;received=198.51.100.7;rport=40312
Record-Route: <sip:192.0.2.10:5060;lr;ftag=a73kszlfl>
Route: <sip:edge.example.ir:5060;lr>
Max-Forwards: 69
From: "Sara Ahmadi" <sip:101@pbx.example.ir>;tag=a73kszlfl
To: <sip:+982188776655@pbx.example.ir;user=phone>
Call-ID: f81d4fae7dec11d0a76500a0c91e6bf6@10.1.2.3
CSeq: 314159 INVITE
Contact: <sip:101@10.1.2.3:5060;transport=udp>;+sip.instance="<urn:uuid:00000000-0000-1000-8000-000A95A0E128>"
Allow: INVITE, ACK, CANCEL, OPTIONS, BYE, REFER, NOTIFY, INFO, UPDATE, PRACK
Supported: replaces, outbound, timer, 100rel
Session-Expires: 1800
Min-SE: 90
User-Agent: Yealink SIP-T46S 66.86.0.15
P-Preferred-Identity: <sip:101@pbx.example.ir>
Content-Type: application/sdp
Content-Length: 391

v=0
o=- 20518 20518 IN IP4 10.1.2.3
s=SDP data
c=IN IP4 10.1.2.3
t=0 0
m=audio 11780 RTP/AVP 9 0 8 18 101
a=rtpmap:9 G722/8000
a=rtpmap:0 PCMU/8000
a=rtpmap:8 PCMA/8000
a=rtpmap:18 G729/8000
a=fmtp:18 annexb=no
a=rtpmap:101 telephone-event/8000
a=fmtp:101 0-15
a=ptime:20
a=sendrecv
a=rtcp:11781 IN IP4 10.1.2.3
a=ssrc:3735928559 cname:sara@10.1.2.3
a=setup:actpass
a=label:audio-main-01
`, "\n", "\r\n"))

// lookAtAll decodes every URI, Via and Route of a message.
func lookAtAll(m *Message) (n int, err error) {
	u, err := m.URI()
	if err != nil {
		return 0, err
	}
	n += len(u.Host)
	for e := m.Elements(HVia); e.Next(); {
		v, err := e.Via()
		if err != nil {
			return 0, err
		}
		n += len(v.Branch)
	}
	for _, id := range [...]HeaderID{HFrom, HTo, HContact, HRoute, HRecordRoute, HPPreferredIdentity} {
		for e := m.Elements(id); e.Next(); {
			a, err := e.Address()
			if err != nil {
				return 0, err
			}
			n += len(a.URI.Host)
		}
	}
	return n, nil
}

func TestParseAllocatesNothing(t *testing.T) {
	var m Message
	if n := testing.AllocsPerRun(100, func() {
		if err := m.Parse(invite); err != nil {
			t.Fatal(err)
		}
		if _, err := lookAtAll(&m); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("parsing an INVITE and looking at every URI, Via and Route: %v allocations, want 0", n)
	}
}

func BenchmarkParseINVITE(b *testing.B) {
	var m Message
	b.SetBytes(int64(len(invite)))
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Parse(invite); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkParseINVITEFull(b *testing.B) {
	var m Message
	b.SetBytes(int64(len(invite)))
	b.ReportAllocs()
	for b.Loop() {
		if err := m.Parse(invite); err != nil {
			b.Fatal(err)
		}
		if _, err := lookAtAll(&m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResponse(b *testing.B) {
	var m Message
	var w Builder
	if err := m.Parse(invite); err != nil {
		b.Fatal(err)
	}
	out := make([]byte, 0, 2048)
	b.ReportAllocs()
	for b.Loop() {
		out = w.Response(&m, 180, "", "4fa1").Append(out[:0])
	}
}

func BenchmarkClone(b *testing.B) {
	var m Message
	if err := m.Parse(invite); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		_ = m.Clone()
	}
}
