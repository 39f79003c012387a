package media

import (
	"errors"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"

	"dialtone/internal/sdp"
)

// fill puts the ports of the session into an expected text: %0 is the RTP port of m-line 0, %0+ the port above.
func fill(s *Session, text string) string {
	for _, st := range s.Streams() {
		i := string(rune('0' + st.index))
		port := int(st.local().Port())
		text = strings.ReplaceAll(text, "%"+i+"+", strconv.Itoa(port+1))
		text = strings.ReplaceAll(text, "%"+i, strconv.Itoa(port))
	}
	return text
}

func TestDescriptions(t *testing.T) {
	for _, c := range []struct {
		name, theirs, ours string // from c= on
		party              string // its own description, when it has spoken before
	}{
		{"address and port", "c=IN IP4 10.0.0.1\nt=0 0\nm=audio 4000 RTP/AVP 0\n",
			"c=IN IP4 192.0.2.10\nt=0 0\nm=audio %0 RTP/AVP 0\n", ""},
		{"c= of the section, port count, a=rtcp", "t=0 0\nm=audio 4000/2 RTP/AVP 0\nc=IN IP4 10.0.0.1\na=rtcp:4009 IN IP4 10.0.0.9\n",
			"t=0 0\nm=audio %0 RTP/AVP 0\nc=IN IP4 192.0.2.10\na=rtcp:%0+\n", ""},
		{"a section without c= gets one from the session", "t=0 0\nm=audio 4000 RTP/AVP 0\nm=audio 0 RTP/AVP 0\nc=IN IP4 10.0.0.1\n",
			"c=IN IP4 192.0.2.10\nt=0 0\nm=audio %0 RTP/AVP 0\nm=audio 0 RTP/AVP 0\nc=IN IP4 192.0.2.10\n", ""},
		{"refused stays refused", "c=IN IP4 10.0.0.1\nt=0 0\nm=audio 4000 RTP/AVP 0\nm=video 0 RTP/AVP 96\n",
			"c=IN IP4 192.0.2.10\nt=0 0\nm=audio %0 RTP/AVP 0\nm=video 0 RTP/AVP 96\n", ""},
		{"what is no UDP flow is refused", "c=IN IP4 10.0.0.1\nt=0 0\nm=message 2855 TCP/MSRP *\nm=audio 4000 RTP/AVP 0\n",
			"c=IN IP4 192.0.2.10\nt=0 0\nm=message 0 TCP/MSRP *\nm=audio %1 RTP/AVP 0\n", ""},
		{"ICE, bundle and keys go, the rest stays", "c=IN IP4 10.0.0.1\nt=0 0\na=ice-lite\na=ice-ufrag:x\na=group:BUNDLE 0\na=group:LS 0\na=tool:y\n" +
			"m=audio 4000 RTP/SAVP 0\na=candidate:1 1 UDP 1 10.0.0.1 4000 typ host\na=end-of-candidates\na=ice-pwd:z\na=mid:0\n" +
			"a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:abc\na=fingerprint:sha-256 AA\na=x-unknown:1\na=sendonly\n",
			"c=IN IP4 192.0.2.10\nt=0 0\na=group:LS 0\na=tool:y\nm=audio %0 RTP/AVP 0\na=mid:0\na=x-unknown:1\na=sendonly\n", ""},
		{"old hold becomes sendonly", "c=IN IP4 0.0.0.0\nt=0 0\nm=audio 4000 RTP/AVP 0\n",
			"c=IN IP4 192.0.2.10\nt=0 0\nm=audio %0 RTP/AVP 0\na=sendonly\n", ""},
		{"old hold of a listener becomes inactive", "c=IN IP4 10.0.0.1\nt=0 0\nm=audio 4000 RTP/AVP 0\nc=IN IP4 0.0.0.0\na=recvonly\n",
			"c=IN IP4 192.0.2.10\nt=0 0\nm=audio %0 RTP/AVP 0\nc=IN IP4 192.0.2.10\na=inactive\n", ""},
		{"rtcp-mux is offered on to a party that has not spoken", "c=IN IP4 10.0.0.1\nt=0 0\nm=audio 4000 RTP/AVP 0\na=rtcp-mux\na=rtcp:4000\n",
			"c=IN IP4 192.0.2.10\nt=0 0\nm=audio %0 RTP/AVP 0\na=rtcp-mux\na=rtcp:%0\n", ""},
		{"rtcp-mux is kept from a party that did not offer it", "c=IN IP4 10.0.0.1\nt=0 0\nm=audio 4000 RTP/AVP 0\na=rtcp-mux\na=rtcp-mux-only\n",
			"c=IN IP4 192.0.2.10\nt=0 0\nm=audio %0 RTP/AVP 0\n", "c=IN IP4 10.0.0.2\nt=0 0\nm=audio 6000 RTP/AVP 0\n"},
		{"rtcp-mux is answered to a party that offered it", "c=IN IP4 10.0.0.1\nt=0 0\nm=audio 4000 RTP/AVP 0\n",
			"c=IN IP4 192.0.2.10\nt=0 0\nm=audio %0 RTP/AVP 0\na=rtcp-mux\n", "c=IN IP4 10.0.0.2\nt=0 0\nm=audio 6000 RTP/AVP 0\na=rtcp-mux\n"},
		{"feedback is not asked of a party that has not spoken", "c=IN IP4 10.0.0.1\nt=0 0\nm=audio 4000 RTP/AVPF 0\n",
			"c=IN IP4 192.0.2.10\nt=0 0\nm=audio %0 RTP/AVP 0\n", ""},
		{"a party with IPv6 media gets IPv6", "c=IN IP4 10.0.0.1\nt=0 0\nm=audio 4000 RTP/AVP 0\n",
			"c=IN IP6 2001:db8::10\nt=0 0\nm=audio %0 RTP/AVP 0\n", "c=IN IP6 2001:db8::2\nt=0 0\nm=audio 6000 RTP/AVP 0\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBothLabs(t, func(t *testing.T, l *lab) {
				l.net.Host(alice)
				s := l.session(SessionConfig{Peer: alice})
				head := "v=0\no=them 5 9 IN IP4 10.0.0.1\ns=call\n"
				if c.party != "" {
					if err := s.RemoteOffer(parse(t, head+c.party), alice); err != nil {
						t.Fatal(err)
					}
				}
				theirs := parse(t, head+c.theirs)
				before := theirs.String()
				write := s.Offer
				if s.asked {
					write = s.Answer
				}
				ours, err := write(theirs)
				if err != nil {
					t.Fatal(err)
				}
				if theirs.String() != before {
					t.Error("the given description was changed")
				}
				_, got, _ := strings.Cut(strings.ReplaceAll(ours.String(), "\r\n", "\n"), "s=call\n")
				if want := fill(s, c.ours); got != want {
					t.Errorf("got\n%s\nwant\n%s", got, want)
				}
				if o := ours.Origin; o.SessID == 5 || o.Username != "-" || strings.Contains(o.Address, "10.0.0.1") {
					t.Errorf("origin %+v shows the other party", o)
				}
			})
		})
	}
}

// RFC 3264 §8: the version grows by one when the description differs from the last one, and stays when not, whatever the
// other party does with its own.
func TestDescriptionVersions(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		l.net.Host(alice)
		s := l.session(SessionConfig{Peer: alice})
		version := uint64(0)
		id := uint64(0)
		for i, c := range []struct {
			theirs *sdp.Description
			grows  bool
		}{
			{describeAt(t, at("10.0.0.1:4000"), 1), true},
			{describeAt(t, at("10.0.0.1:4000"), 1), false},
			{describeAt(t, at("10.0.0.1:4000"), 2), false},
			{describeAt(t, at("10.0.0.7:4444"), 3), false}, // moved: not our party's business
			{describeAt(t, at("10.0.0.1:4000"), 4, "sendonly"), true},
			{describeAt(t, at("10.0.0.1:4000"), 4, "sendonly"), false},
			{describeAt(t, at("10.0.0.1:4000"), 5, "sendrecv"), true},
		} {
			ours, err := s.Offer(c.theirs)
			if err != nil {
				t.Fatal(err)
			}
			want := version
			if c.grows {
				want++
			}
			if i > 0 && (ours.Origin.SessVersion != want || ours.Origin.SessID != id) {
				t.Errorf("step %d: o= %d %d, want %d %d", i, ours.Origin.SessID, ours.Origin.SessVersion, id, want)
			}
			version, id = ours.Origin.SessVersion, ours.Origin.SessID
		}
	})
}

func TestPortsRunOut(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		l.net.Host(alice)
		var open []*Session
		for range 50 {
			s := l.session(SessionConfig{Peer: alice})
			if _, err := s.Offer(describeAt(t, at("10.0.0.1:4000"), 1)); err != nil {
				t.Fatal(err)
			}
			open = append(open, s)
		}
		s := l.session(SessionConfig{Peer: alice})
		if _, err := s.Offer(describeAt(t, at("10.0.0.1:4000"), 1)); !errors.Is(err, ErrNoPorts) {
			t.Fatalf("the 51st of 50 pairs: %v", err)
		}
		open[20].Close()
		if _, err := s.Offer(describeAt(t, at("10.0.0.1:4000"), 1)); err != nil {
			t.Errorf("a pair was given back: %v", err)
		}
	})
}

func TestAllocator(t *testing.T) {
	if _, err := newAllocator(PortRange{10001, 10002}, func(int) int { return 0 }); err == nil {
		t.Error("a range without an even/odd pair was taken")
	}
	a, err := newAllocator(PortRange{9999, 10008}, func(n int) int { return n - 1 })
	if err != nil {
		t.Fatal(err)
	}
	// 10000-10007 hold four pairs; 10008 has no odd port above it inside the range.
	var got []uint16
	for range 4 {
		p, err := a.take()
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, p)
	}
	if want := []uint16{10006, 10000, 10002, 10004}; !slices.Equal(got, want) {
		t.Errorf("pairs %v, want %v", got, want)
	}
	if _, err := a.take(); err != ErrNoPorts {
		t.Errorf("empty: %v", err)
	}
	a.give(10002)
	a.give(10002) // twice is once
	a.give(10000)
	if err := a.claim(10006); err == nil {
		t.Error("a pair in use was claimed")
	}
	if err := a.claim(10000); err != nil {
		t.Error(err)
	}
	p, err := a.take()
	if err != nil || p != 10002 {
		t.Errorf("longest at rest: %d %v, want 10002", p, err)
	}
	if used, total := a.counts(); used != 4 || total != 4 {
		t.Errorf("%d of %d in use", used, total)
	}
}

func TestAdvertise(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		l.net.Host(alice)
		l.e.advertise = func(peer netip.Addr) netip.Addr {
			if peer == alice {
				return mallory
			}
			return netip.Addr{}
		}
		s := l.session(SessionConfig{Peer: alice})
		ours, err := s.Offer(describeAt(t, at("10.0.0.1:4000"), 1))
		if err != nil || ours.Address(0).Addr() != mallory || ours.Origin.Address != mallory.String() {
			t.Errorf("%v\n%v", err, ours)
		}
		s = l.session(SessionConfig{Peer: bob})
		l.net.Host(bob)
		if ours, err = s.Offer(describeAt(t, at("10.0.0.1:4000"), 1)); err != nil || ours.Address(0).Addr() != exchange4 {
			t.Errorf("%v\n%v", err, ours)
		}
	})
}
