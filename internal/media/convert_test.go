package media

import (
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/codec/catalog"
	"dialtone/internal/rtp"
	"dialtone/internal/sdp"
)

// Every pair of codecs connects: those in common are passed on as they are, the others are converted, and the statistics
// say so.
func TestEveryPairOfCodecsConnects(t *testing.T) {
	names := []string{"PCMU", "PCMA", "G722"}
	if spec, _ := catalog.Find("opus", 48000, 2); spec.NewEncoder != nil {
		names = append(names, "opus")
	}
	for _, a := range names {
		for _, b := range names {
			t.Run(a+" calls "+b, func(t *testing.T) {
				inBothLabs(t, func(t *testing.T, l *lab) {
					x := l.endpoint(alice, Terms{}, Terms{}, a)
					y := l.endpoint(bob, Terms{}, Terms{}, b)
					if err := l.meet(x, y); err != nil {
						t.Fatal(err)
					}
					converse(x, y)
					for _, leg := range []struct {
						p          *endpoint
						codec, far string
					}{{x, a, b}, {y, b, a}} {
						st := leg.p.x.Stats()[0]
						want := ""
						if a != b {
							want = strings.ToLower(leg.codec) + " -> " + strings.ToLower(leg.far)
						}
						if !strings.EqualFold(st.Codec, leg.codec) || st.Transcoded != want || st.Lost != 0 {
							t.Errorf("%v: %+v, want %q", leg.p.addr, st, want)
						}
						if converts := strings.Contains(leg.p.x.String(), "jitter buffer"); converts != (a != b) {
							t.Errorf("chain %s", leg.p.x)
						}
					}
				})
			})
		}
	}
}

// A conversion that starts and ends with the party's choice of codec goes on in one run of numbers.
func TestOneRunOfNumbersWhoeverIsHeard(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		a.talk(x.to, 7, 100, 20)
		wait(100 * time.Millisecond)
		Unbridge(x.s, y.s)
		play, err := y.s.Play(&ramp{n: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		play.Stop()
		// Another party takes a's place.
		c := l.phone(mallory, 6000)
		z := &leg{phone: c, s: l.session(SessionConfig{Peer: mallory})}
		z.says(c.describe(), mallory)
		z.tell(b.describe())
		Bridge(z.s, y.s)
		wait(500 * time.Millisecond)
		c.talk(z.to, 9, 3000, 20)
		wait(100 * time.Millisecond)
		if err := y.s.SendDigit('5', 0); err != nil {
			t.Fatal(err)
		}
		c.talk(z.to, 9, 3020, 20)
		wait(100 * time.Millisecond)
		heard, _ := b.heard()
		var last rtp.Packet
		events, stamps := 0, map[uint32]bool{}
		for i, got := range heard {
			var p rtp.Packet
			if err := p.Parse(got.Data); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				last = p
				continue
			}
			ahead, later := rtp.SequenceDiff(p.Sequence, last.Sequence), rtp.TimestampDiff(p.Timestamp, last.Timestamp)
			if p.SSRC != 7 || ahead != 1 || later < -1000 || later > 8000 {
				t.Errorf("packet %d of %d: SSRC %d, sequence +%d, time +%d", i, len(heard), p.SSRC, ahead, later)
			}
			if p.PayloadType == 101 {
				events++
				stamps[p.Timestamp] = true
			}
			last = p
		}
		if len(heard) < 20+45+40+4 || events < 4 || len(stamps) != 1 {
			t.Errorf("%d packets, %d of events with timestamps %v", len(heard), events, stamps)
		}
		if got := payloads(heard)[:20]; string(got[0]) != string(packet(7, 100)) {
			t.Error("the first source was changed")
		}
	})
}

// Keys reach a party that takes no events as tones, and pressed keys are never doubled.
func TestKeysAreConverted(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		x := l.endpoint(alice, Terms{}, Terms{}, "PCMU")
		y := l.endpoint(bob, Terms{Digits: DigitTones}, Terms{}, "PCMU")
		if err := l.meet(x, y); err != nil {
			t.Fatal(err)
		}
		x.s.OnDigit(nil)
		var pressed []byte
		x.x.OnDigit(func(digit byte, ms int) {
			pressed = append(pressed, digit)
			carryOn(t, x, y, digit, ms)
		})
		x.sings(440)
		y.sings(1000)
		wait(time.Second)
		if err := x.s.SendDigit('5', 200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		wait(2 * time.Second)
		y.mu.Lock()
		defer y.mu.Unlock()
		if string(pressed) != "5" || !y.heard.Heard(770) || !y.heard.Heard(1336) || !y.heard.Heard(440) {
			t.Errorf("pressed %q, heard %v", pressed, y.heard.Hz())
		}
	})
}

// carryOn presses a key of x's anew for y, as a call does where the media does not carry it.
func carryOn(t *testing.T, x, y *endpoint, digit byte, ms int) {
	if Conveys(x.x, y.x) {
		t.Error("the media is said to carry it")
	}
	go func() {
		if err := y.x.SendDigit(digit, time.Duration(ms)*time.Millisecond); err != nil {
			t.Error(err)
		}
	}()
}

// Beside a voice that is converted keys are pressed anew, and the conversion goes on.
func TestKeysBesideAConversion(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		x := l.endpoint(alice, Terms{}, Terms{}, "G722")
		y := l.endpoint(bob, Terms{}, Terms{}, "PCMU")
		if err := l.meet(x, y); err != nil {
			t.Fatal(err)
		}
		pressed := 0
		x.x.OnDigit(func(digit byte, ms int) {
			pressed++
			carryOn(t, x, y, digit, ms)
		})
		x.sings(440)
		y.sings(1000)
		wait(time.Second)
		before := x.x.Audio().chain.Load().out.(*bridge).playing
		if err := x.s.SendDigit('5', 200*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		wait(2 * time.Second)
		y.mu.Lock()
		defer y.mu.Unlock()
		if pressed != 1 || string(y.digits) != "5" {
			t.Errorf("%d presses arrived as %q", pressed, y.digits)
		}
		if now := x.x.Audio().chain.Load().out.(*bridge).playing; now != before || now == nil {
			t.Error("the conversion began anew")
		}
	})
}

// A browser's keys at another clock rate than its voice's are pressed anew.
func TestKeysAtAnotherClock(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		b := l.browser(alice)
		x, y := l.session(SessionConfig{Peer: alice}), l.session(SessionConfig{Peer: bob})
		offer := b.describe("actpass")
		offer.Media[0].SetAttribute("rtpmap", "111 opus/48000/2")
		offer.Media[0].AddCodec(sdp.Codec{PayloadType: 126, Name: "telephone-event", ClockRate: 8000, Channels: 1})
		if err := x.RemoteOffer(offer, alice); err != nil {
			t.Fatal(err)
		}
		if _, err := y.Offer(offer); err != nil {
			t.Fatal(err)
		}
		answer := parse(t, "v=0\no=p 1 1 IN IP4 198.51.100.2\ns=-\nc=IN IP4 198.51.100.2\nt=0 0\n"+
			"m=audio 5000 RTP/AVP 111 101\na=rtpmap:111 opus/48000/2\na=rtpmap:101 telephone-event/8000\nm=video 0 RTP/AVP 96\n")
		if err := y.RemoteAnswer(answer, bob); err != nil {
			t.Fatal(err)
		}
		if _, err := x.Answer(answer); err != nil {
			t.Fatal(err)
		}
		Bridge(x, y)
		if Conveys(x, y) {
			t.Errorf("the keys go on as they come: %s", x)
		}
		if !Conveys(y, x) {
			t.Errorf("the telephone's keys do not go on: %s", y)
		}
	})
}

// Keys that a party presses as tones are heard once each, here and by the other party, whom they reach in the voice.
func TestTonesAreHeardOnce(t *testing.T) {
	const keys = "1590*#"
	inBothLabs(t, func(t *testing.T, l *lab) {
		x := l.endpoint(alice, Terms{Digits: DigitTones}, Terms{}, "PCMA")
		y := l.endpoint(bob, Terms{}, Terms{}, "PCMA")
		if err := l.meet(x, y); err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var pressed []byte
		x.x.OnDigit(func(digit byte, ms int) {
			mu.Lock()
			pressed = append(pressed, digit)
			mu.Unlock()
			if ms < 60 || ms > 200 || !Conveys(x.x, y.x) {
				t.Errorf("%c lasted %d ms, conveyed %v", digit, ms, Conveys(x.x, y.x))
			}
		})
		for i := range len(keys) {
			if err := x.s.SendDigit(keys[i], 120*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
		wait(4 * time.Second)
		y.mu.Lock()
		defer y.mu.Unlock()
		if string(pressed) != keys || string(y.digits) != keys {
			t.Errorf("heard %q, told %q, want %q", pressed, y.digits, keys)
		}
	})
}

// RFC 3264 §8.3.3, T.38 Annex D: a voice stream becomes a fax stream by a re-INVITE, and its packets pass as they are.
func TestFaxTakesTheVoicesPlace(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		a.talk(x.to, 1, 1, 3)
		b.talk(y.to, 2, 1, 3)
		wait(100 * time.Millisecond)
		a.heard()
		b.heard()
		fax := func(p *phone) *sdp.Description {
			return parse(t, "v=0\no=phone 77 2 IN IP4 "+p.host.Addr().String()+"\ns=-\nc=IN IP4 "+p.host.Addr().String()+
				"\nt=0 0\nm=image "+p.number()+" udptl t38\na=T38FaxVersion:0\na=T38FaxRateManagement:transferredTCF\na=T38FaxUdpEC:t38UDPRedundancy\n")
		}
		x.says(fax(a), alice)
		y.tell(fax(a))
		if m := y.told.Media[0]; m.Kind != "image" || m.Proto != "udptl" || m.Port != int(y.s.Streams()[0].local().Port()) || len(m.Attributes) != 3 {
			t.Errorf("b is told\n%s", y.told)
		}
		y.says(fax(b), bob)
		x.tell(fax(b))
		datagram := []byte{0, 1, 1, 0xc0, 0, 0}
		a.send(datagram, x.to)
		b.send(append(datagram, 1), y.to)
		a.send([]byte{0, 2, 1, 0xc0, 0, 0}, x.to)
		wait(100 * time.Millisecond)
		toA, _ := a.heard()
		toB, _ := b.heard()
		if len(toA) != 1 || len(toB) != 2 || string(toB[0].Data) != string(datagram) {
			t.Errorf("%d and %d datagrams arrived, %v", len(toA), len(toB), payloads(toB))
		}
		// A leg that must be encrypted sends no fax in clear.
		z := l.session(SessionConfig{Peer: alice, Terms: Terms{Protection: Required}})
		if err := z.RemoteOffer(fax(a), alice); err != ErrPlain {
			t.Errorf("fax in clear: %v", err)
		}
	})
}
