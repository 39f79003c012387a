package media

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/catalog"
	"dialtone/internal/media/tone"
	"dialtone/internal/network"
	"dialtone/internal/sdp"
)

// endpoint is a telephone with a media engine of its own: it encrypts, answers and decodes as we do.
type endpoint struct {
	l      *lab
	e      *Engine
	s      *Session // its own
	x      *Session // ours, towards it
	caps   sdp.Capabilities
	addr   netip.Addr
	host   *network.Host
	heard  tone.Detector
	mu     sync.Mutex
	digits []byte
}

// endpoint makes a telephone that speaks these codecs; terms are its own, ours are those that it is configured with here.
func (l *lab) endpoint(addr netip.Addr, terms, ours Terms, codecs ...string) *endpoint {
	l.t.Helper()
	return l.endpointOn(l.net.Host(addr), addr, terms, ours, codecs...)
}

// endpointOn is endpoint on a host that is seen at an address.
func (l *lab) endpointOn(host *network.Host, addr netip.Addr, terms, ours Terms, codecs ...string) *endpoint {
	l.t.Helper()
	e, err := New(Config{Network: host, Workers: 1, Ports: PortRange{20000, 20099}})
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { e.Close() })
	p := &endpoint{l: l, e: e, addr: addr, host: host, caps: sdp.Capabilities{Address: host.Addr(), DTMF: true, Ports: []int{9}}}
	terms.Codecs = codecs
	for _, spec := range catalog.All() {
		if slices.Contains(codecs, spec.Name) {
			p.caps.Audio = append(p.caps.Audio, sdp.Codec{PayloadType: spec.PayloadType, Name: spec.Name, ClockRate: spec.ClockRate, Channels: spec.Channels})
		}
	}
	p.caps.DTMF = terms.Digits != DigitTones
	if p.s, err = e.NewSession(SessionConfig{Peer: exchange4, Terms: terms, OnDigit: func(digit byte, _ int) {
		p.mu.Lock()
		p.digits = append(p.digits, digit)
		p.mu.Unlock()
	}, OnFault: func(err error) { l.t.Errorf("%v: %v", addr, err) }}); err != nil {
		l.t.Fatal(err)
	}
	p.x = l.session(SessionConfig{Peer: addr, Terms: ours})
	return p
}

func must[T any](t *testing.T) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// meet lets a call b through us, and connects them.
func (l *lab) meet(a, b *endpoint) (err error) {
	d := must[*sdp.Description](l.t)
	offer := d(a.s.Offer(sdp.Offer(a.caps)))
	if err := a.x.RemoteOffer(wire(l.t, offer), a.addr); err != nil {
		return fmt.Errorf("offer: %w", err)
	}
	answer, err := b.respond(wire(l.t, offer))
	if err != nil && b.x.Extend() { // as a leg does after a 488
		answer, err = b.respond(wire(l.t, offer))
	}
	if err != nil {
		return err
	}
	back, err := a.x.Answer(answer)
	if err != nil {
		return fmt.Errorf("answer: %w", err)
	}
	if err := a.s.RemoteAnswer(wire(l.t, back), exchange4); err != nil {
		return fmt.Errorf("our answer: %w", err)
	}
	Bridge(a.x, b.x)
	return nil
}

// respond offers b what the other party has said and returns b's answer.
func (p *endpoint) respond(theirs *sdp.Description) (*sdp.Description, error) {
	d := must[*sdp.Description](p.l.t)
	told := wire(p.l.t, d(p.x.Offer(theirs)))
	if err := p.s.RemoteOffer(told, exchange4); err != nil {
		return nil, fmt.Errorf("our offer: %w", err)
	}
	own, _, err := sdp.Answer(told, p.caps)
	if err != nil {
		return nil, err
	}
	said, err := p.s.Answer(own)
	if err != nil {
		return nil, err
	}
	said = wire(p.l.t, said)
	if err := p.x.RemoteAnswer(said, p.addr); err != nil {
		return nil, fmt.Errorf("its answer: %w", err)
	}
	return said, nil
}

// wire is a description as it arrives.
func wire(t *testing.T, d *sdp.Description) *sdp.Description {
	t.Helper()
	back, err := sdp.Parse(d.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return back
}

// sings plays a tone and listens.
func (p *endpoint) sings(hz float64) {
	p.l.t.Helper()
	if err := p.s.Listen(SinkFunc(func(frame codec.Frame) {
		p.mu.Lock()
		p.heard.Write(frame)
		p.mu.Unlock()
	})); err != nil {
		p.l.t.Fatal(err)
	}
	g := tone.NewGenerator(tone.Sine(hz, -10))
	if _, err := p.s.Play(SourceFunc(func(frame codec.Frame) error { g.Read(frame); return nil })); err != nil {
		p.l.t.Fatal(err)
	}
}

func (p *endpoint) hears(hz, not float64) {
	p.l.t.Helper()
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.heard.Heard(hz) || p.heard.Heard(not) {
		p.l.t.Errorf("%v heard %v, not %v Hz\nit: %s\nus: %s", p.addr, p.heard.Hz(), hz, p.s, p.x)
	}
}

// converse lets each hear the other's tone and not its own.
func converse(x, y *endpoint) {
	x.l.t.Helper()
	x.sings(440)
	y.sings(1000)
	wait(3 * time.Second)
	x.hears(1000, 440)
	y.hears(440, 1000)
}

// Every pair of encryption that should work does: tones cross both ways, what is on the wire is not what is said, and the
// statistics say how it was protected.
func TestEncryptionOfEachLeg(t *testing.T) {
	sdes := Terms{Protection: Required}
	dtls := Terms{Protection: Required, Keying: ByHandshake}
	osrtp := Terms{Private: true}
	forms := []struct {
		name        string
		terms, ours Terms
		crypto      string // when it is called
		calling     string // when it calls
	}{
		{"plain", Terms{Protection: Off}, Terms{}, "", ""},
		{"SDES", sdes, sdes, SDES, SDES},
		{"DTLS", dtls, dtls, DTLS, DTLS},
		{"opportunistic", osrtp, osrtp, SDES, SDES},
		{"opportunistic by handshake", Terms{Private: true, Keying: ByHandshake}, Terms{Private: true, Keying: ByHandshake}, DTLS, DTLS},
		{"SDES with GCM alone", Terms{Protection: Required, Suites: []string{"AEAD_AES_256_GCM"}}, sdes, SDES, SDES},
		{"SDES with short tags", Terms{Protection: Required, Suites: []string{"AES_CM_128_HMAC_SHA1_32"}}, sdes, SDES, SDES},
	}
	for _, a := range forms {
		for _, b := range forms {
			t.Run(a.name+" calls "+b.name, func(t *testing.T) {
				inBothLabs(t, func(t *testing.T, l *lab) {
					x := l.endpoint(alice, a.terms, a.ours, "PCMA")
					y := l.endpoint(bob, b.terms, b.ours, "PCMA")
					seen := spy(l)
					if err := l.meet(x, y); err != nil {
						t.Fatal(err)
					}
					converse(x, y)
					for _, leg := range []struct {
						p    *endpoint
						want string
					}{{x, a.calling}, {y, b.crypto}} {
						st := leg.p.x.Stats()[0]
						if st.Crypto != leg.want || (st.Suite != "") != (leg.want != "") || st.Unauthentic != 0 || st.Lost != 0 {
							t.Errorf("%v: %+v, want crypto %q", leg.p.addr, st, leg.want)
						}
						if plain := seen(leg.p.addr); plain == (leg.want != "") {
							t.Errorf("%v: voice in clear %v with %q", leg.p.addr, plain, leg.want)
						}
					}
				})
			})
		}
	}
}

// spy tells whether any RTP from or to a host could be understood: a tone in A-law has few different bytes, a cipher's
// output has all.
func spy(l *lab) func(netip.Addr) bool {
	var mu sync.Mutex
	clear := map[netip.Addr]bool{}
	l.net.Tap(func(f network.Frame) {
		if len(f.Data) < 172 || f.Data[0]>>6 != 2 || f.Data[1]&0x7f > 95 {
			return
		}
		var values [256]bool
		different := 0
		for _, b := range f.Data[12:172] {
			if !values[b] {
				values[b] = true
				different++
			}
		}
		mu.Lock()
		for _, a := range []netip.Addr{f.From.Addr(), f.To.Addr()} {
			clear[a] = clear[a] || different < 70
		}
		mu.Unlock()
	})
	return func(a netip.Addr) bool {
		mu.Lock()
		defer mu.Unlock()
		return clear[a]
	}
}

func TestEncryptionThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		name        string
		terms, ours Terms
		want        error
	}{
		{"plain where it is required", Terms{Protection: Off}, Terms{Protection: Required}, ErrPlain},
		{"encrypted where it is off", Terms{Protection: Required}, Terms{Protection: Off}, ErrEncrypted},
		{"no suite in common", Terms{Protection: Required, Suites: []string{"AEAD_AES_256_GCM"}},
			Terms{Protection: Required, Suites: []string{"AES_CM_128_HMAC_SHA1_80"}}, ErrSuite},
	} {
		t.Run(c.name, func(t *testing.T) {
			inBothLabs(t, func(t *testing.T, l *lab) {
				x := l.endpoint(alice, c.terms, c.ours, "PCMA")
				y := l.endpoint(bob, Terms{}, Terms{}, "PCMA")
				if err := l.meet(x, y); err == nil || !strings.Contains(err.Error(), c.want.Error()) {
					t.Errorf("%v, want %v", err, c.want)
				}
			})
		})
	}
}

// Another process goes on with encrypted media: same keys, counters beyond the first turn of the sequence numbers, the
// party's replay window and ours.
func TestEncryptedSessionIsTakenUpAgain(t *testing.T) {
	for _, terms := range []Terms{{Protection: Required}, {Protection: Required, Keying: ByHandshake}} {
		inLab(t, func(t *testing.T, l *lab) {
			x := l.endpoint(alice, terms, terms, "PCMA")
			y := l.endpoint(bob, Terms{}, Terms{}, "PCMA")
			if err := l.meet(x, y); err != nil {
				t.Fatal(err)
			}
			talker := x.s.Audio().talk()
			talker.mu.Lock()
			talker.sender.Sequence = 32000
			talker.mu.Unlock()
			x.sings(440)
			y.sings(1000)
			wait(700 * time.Second) // 35,000 packets: the sequence numbers have turned once
			states := []State{x.x.State(), y.x.State()}
			text, err := json.Marshal(states)
			if err != nil {
				t.Fatal(err)
			}
			wait(time.Second)
			if err := l.e.Close(); err != nil {
				t.Fatal(err)
			}
			wait(time.Second)
			second := must[*Engine](t)(New(Config{Network: l.host, Workers: 1, Ports: PortRange{10000, 10099}}))
			t.Cleanup(func() { second.Close() })
			var back []State
			if err := json.Unmarshal(text, &back); err != nil {
				t.Fatal(err)
			}
			a := must[*Session](t)(second.Restore(back[0]))
			b := must[*Session](t)(second.Restore(back[1]))
			Bridge(a, b)
			for _, p := range []*endpoint{x, y} {
				p.mu.Lock()
				p.heard = tone.Detector{}
				p.mu.Unlock()
			}
			before := a.Stats()[0]
			wait(5 * time.Second)
			x.hears(1000, 440)
			y.hears(440, 1000)
			after := a.Stats()[0]
			if after.Unauthentic != 0 || after.PacketsIn-before.PacketsIn < 240 || after.Crypto != before.Crypto || after.Suite == "" {
				t.Errorf("%+v\nthen %+v", before, after)
			}
			if far := x.s.Stats()[0]; far.Unauthentic != 0 {
				t.Errorf("the party refuses %d packets", far.Unauthentic)
			}
		})
	}
}

// From the moment at which an encrypted party's address is known, nothing goes there in clear, though there are no keys yet.
func TestNothingInClearBeforeTheKeys(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x := &leg{phone: a, s: l.session(SessionConfig{Peer: alice})}
		y := &leg{phone: b, s: l.session(SessionConfig{Peer: bob, Terms: Terms{Protection: Required, Keying: ByHandshake}})}
		x.says(a.describe(), alice)
		y.tell(a.describe())
		x.tell(b.describe())
		Bridge(x.s, y.s)
		d := describeAt(t, b.address(), 1, "fingerprint:sha-256 "+strings.Repeat("AA:", 31)+"AA", "setup:active", "rtcp-mux")
		d.Media[0].Proto = "UDP/TLS/RTP/SAVP"
		y.s.apply(describe(d, bob)) // as in the middle of RemoteAnswer
		a.talk(x.to, 1, 1, 3)
		wait(100 * time.Millisecond)
		if got, _ := b.heard(); len(got) != 0 {
			t.Errorf("%d packets in clear", len(got))
		}
	})
}
