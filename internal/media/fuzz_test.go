package media

import (
	"encoding/json"
	"net/netip"
	"strings"
	"testing"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
	"dialtone/internal/sdp"
)

// Whatever arrives from whomever: nothing falls over, a stranger changes neither where packets go nor any count but
// that of strangers, and what is relayed is what was sent.
func FuzzPackets(f *testing.F) {
	f.Add(packet(1, 1), true, false)
	f.Add(senderReport(1, 2, rtp.ReportBlock{SSRC: 3, LSR: 4}), true, true)
	f.Add([]byte{0, 1, 0, 0}, false, false)
	f.Add([]byte{0x80, 101, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 5, 0x80, 1, 0}, true, false)
	f.Add([]byte{}, false, true)
	v, _, a, _ := voidCall(f)
	st := a.Streams()[0]
	f.Fuzz(func(t *testing.T, data []byte, ours, control bool) {
		from, p := netip.AddrPortFrom(mallory, 1), st.rtp
		if control {
			p = st.control
		}
		if ours {
			from = netip.AddrPortFrom(alice, 4000)
		}
		before, sent, target := a.counters(), v.sent.Load(), *st.rtp.target.Load()
		p.HandlePackets(nil, []network.Packet{{Data: data, Addr: from}})
		after := a.counters()
		if !ours {
			if v.sent.Load() != sent || after.PacketsIn != before.PacketsIn || after.ControlIn != before.ControlIn {
				t.Errorf("a stranger's packet got through: %x", data)
			}
			if *st.rtp.target.Load() != target {
				t.Errorf("a stranger has moved the target to %v", *st.rtp.target.Load())
			}
			if after.Foreign+after.Malformed != before.Foreign+before.Malformed+1 {
				t.Errorf("a stranger's packet was not counted: %x", data)
			}
		}
		if out := v.sent.Load() - sent; out > 1 || uint64(out) != after.PacketsIn+after.ControlIn-before.PacketsIn-before.ControlIn {
			t.Errorf("%d packets out for one in", out)
		}
		_ = a.Stats()
	})
}

// Whatever the other party describes: the party gets a description that can be read, with as many m-lines, ports of
// ours or none, and no address but ours in o= and c=; what the other party said is not changed.
func FuzzDescriptions(f *testing.F) {
	f.Add(describeAt(f, at("10.0.0.1:4000"), 1, "rtcp-mux", "candidate:1 1 UDP 1 10.0.0.1 4000 typ host").String())
	f.Add("v=0\r\no=- 1 1 IN IP6 ::1\r\ns=-\r\nt=0 0\r\nm=image 9 udptl t38\r\nc=IN IP4 0.0.0.0\r\nc=IN IP4 1.2.3.4\r\na=rtcp:7 IN IP4 9.9.9.9\r\n")
	f.Add("v=0\r\no=- 1 1 IN IP4 1.1.1.1\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0 1\r\nm=audio 9 TCP/RTP/AVP 0\r\nm=x 1 a b\r\n")
	_, e, _, _ := voidCall(f)
	f.Fuzz(func(t *testing.T, text string) {
		theirs, err := sdp.Parse([]byte(text))
		if err != nil {
			return
		}
		before := theirs.String()
		s, err := e.NewSession(SessionConfig{Peer: alice})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		if err := s.RemoteOffer(theirs, alice); err != nil {
			t.Fatal(err)
		}
		ours, err := s.Offer(theirs)
		if err != nil {
			t.Fatal(err)
		}
		if theirs.String() != before {
			t.Error("the given description was changed")
		}
		back, err := sdp.Parse(ours.Bytes())
		if err != nil || len(back.Media) != len(theirs.Media) {
			t.Fatalf("%v\n%s", err, ours)
		}
		if back.Origin.Address != exchange4.String() {
			t.Errorf("o= %+v", back.Origin)
		}
		for i := range back.Media {
			m := &back.Media[i]
			if c := back.Connection(i); c == nil || c.Addr() != exchange4 {
				t.Errorf("m-line %d has c= %+v", i, c)
			}
			if m.Port != 0 && (m.Port < 10000 || m.Port > 59999 || m.Port&1 != 0) {
				t.Errorf("m-line %d has port %d", i, m.Port)
			}
			if strings.Contains(m.Proto, "TCP/") && m.Port != 0 || theirs.Media[i].Port == 0 && m.Port != 0 {
				t.Errorf("m-line %d was opened: %+v", i, m)
			}
			for _, a := range m.Attributes {
				if a.Name == "candidate" {
					t.Errorf("m-line %d: %+v", i, a)
				}
			}
		}
		again, err := s.Offer(theirs)
		if err != nil || again.String() != ours.String() {
			t.Errorf("%v: told twice and differently:\n%s\n%s", err, ours, again)
		}
	})
}

// Whatever a state says: it is restored whole or refused, and nothing stays behind; what was restored writes down as the same.
func FuzzRestore(f *testing.F) {
	_, e, a, b := voidCall(f)
	for _, s := range []*Session{a, b} {
		text, err := json.Marshal(s.State())
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		s.Close()
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var x State
		if json.Unmarshal(text, &x) != nil {
			return
		}
		if s, err := e.Restore(x); err == nil {
			if y := s.State(); len(y.Streams) != len(x.Streams) || y.Origin != x.Origin {
				t.Errorf("restored as %+v", y)
			}
			_, _ = s.Stats(), s.String()
			s.Close()
		}
		if c := e.Counters(); c.PortsUsed != 0 || c.Sessions != 0 {
			t.Errorf("left behind: %+v", c)
		}
	})
}
