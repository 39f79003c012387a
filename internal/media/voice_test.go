package media

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/g711"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// ramp is a source whose samples count up, n frames long.
type ramp struct{ n, next int }

func (r *ramp) ReadFrame(frame codec.Frame) error {
	if r.n == 0 {
		return io.EOF
	}
	r.n--
	for i := range frame {
		frame[i] = int16(r.next % 8000)
		r.next++
	}
	return nil
}

// tape is a sink that keeps what it hears.
type tape struct {
	mu  sync.Mutex
	pcm []int16
}

func (t *tape) WriteFrame(frame codec.Frame) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.pcm = append(t.pcm, frame...)
}

func (t *tape) length() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.pcm)
}

// end is a session that terminates media itself towards a phone.
func (l *lab) end(p *phone, attributes ...string) *leg {
	g := &leg{phone: p, s: l.session(SessionConfig{Peer: p.host.Addr()})}
	g.says(p.describe(attributes...), p.host.Addr())
	g.tell(p.describe(attributes...))
	return g
}

func TestPlay(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		x := l.end(a)
		begin := time.Now()
		p, err := x.s.Play(&ramp{n: 50})
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		if p.Err() != io.EOF {
			t.Errorf("ended with %v", p.Err())
		}
		// 50 frames and the tick that finds no more.
		if d := time.Since(begin); d < time.Second || d > 1021*time.Millisecond {
			t.Errorf("50 frames took %v", d)
		}
		wait(100 * time.Millisecond)
		p, err = x.s.Play(&ramp{n: 2, next: 8000})
		if err != nil {
			t.Fatal(err)
		}
		<-p.Done()
		wait(time.Second)
		got, _ := a.heard()
		if len(got) != 52 {
			t.Fatalf("%d packets, want 52", len(got))
		}
		var first, previous rtp.Packet
		for i, b := range got {
			var p rtp.Packet
			if err := p.Parse(b.Data); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first, previous = p, p
			}
			if p.SSRC != first.SSRC || p.Sequence != first.Sequence+uint16(i) || p.PayloadType != 0 || len(p.Payload) != 160 {
				t.Fatalf("packet %d: %+v", i, p)
			}
			if p.Marker != (i == 0 || i == 50) {
				t.Errorf("packet %d: marker %v", i, p.Marker)
			}
			step := p.Timestamp - previous.Timestamp
			if i > 0 && i != 50 && step != 160 || i == 50 && (step < 900 || step > 1300) {
				t.Errorf("packet %d: timestamp moved by %d", i, step)
			}
			previous = p
		}
		if want := (g711.MuLaw{}).Encode(nil, codec.Frame{160, 161, 162}); !slices.Equal(got[1].Data[12:15], want) {
			t.Errorf("payload %v, want %v", got[1].Data[12:15], want)
		}
	})
}

func TestPlayStopAndReplace(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		x := l.end(a)
		one, err := x.s.Play(&ramp{n: 1000})
		if err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		source := &ramp{n: 1000}
		two, err := x.s.Play(source)
		if err != nil {
			t.Fatal(err)
		}
		<-one.Done()
		if one.Err() != ErrStopped || two.Err() != nil {
			t.Errorf("replaced ended with %v, the other with %v", one.Err(), two.Err())
		}
		wait(time.Second)
		two.Stop()
		two.Stop()
		left := source.n
		wait(time.Second)
		if source.n != left || left > 951 || left < 949 || two.Err() != ErrStopped {
			t.Errorf("%d frames left when stopped, %d now, %v", left, source.n, two.Err())
		}
		three, err := x.s.Play(&ramp{n: 1000})
		if err != nil {
			t.Fatal(err)
		}
		x.s.Close()
		<-three.Done()
		if !errors.Is(three.Err(), ErrClosed) {
			t.Errorf("closed: %v", three.Err())
		}
		if _, err := x.s.Play(source); err != ErrClosed {
			t.Errorf("play on a closed session: %v", err)
		}
	})
}

func TestPlayRefusals(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		s := l.session(SessionConfig{Peer: alice})
		if _, err := s.Play(&ramp{}); err != ErrNoAudio {
			t.Errorf("without ports: %v", err)
		}
		g := &leg{phone: a, s: s}
		own := parse(t, "v=0\no=- 1 1 IN IP4 198.51.100.1\ns=-\nc=IN IP4 198.51.100.1\nt=0 0\nm=audio 4000 RTP/AVP 18\n")
		g.says(own, alice)
		g.tell(own)
		if _, err := s.Play(&ramp{}); err != ErrNoCodec {
			t.Errorf("with G.729 only: %v", err)
		}
		if err := s.SendDigit('1', 0); err != ErrNoEvents {
			t.Errorf("without telephone-event: %v", err)
		}
		if err := s.SendDigit('x', 0); err == nil {
			t.Error("x is no key")
		}
	})
}

// A party that has put us on hold is not spoken to; the source goes on meanwhile.
func TestPlayOnHold(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		x := l.end(a)
		source := &ramp{n: 1000}
		if _, err := x.s.Play(source); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		x.says(describeAt(t, a.address(), 2, "sendonly"), alice)
		if !x.s.Held() {
			t.Error("sendonly is not taken for a hold")
		}
		a.heard()
		wait(time.Second)
		if got, _ := a.heard(); len(got) > 1 {
			t.Errorf("%d packets to a party that does not listen", len(got))
		}
		if source.n > 905 {
			t.Errorf("the source stood still: %d frames left", source.n)
		}
		x.says(describeAt(t, a.address(), 3), alice)
		wait(time.Second)
		if got, _ := a.heard(); len(got) < 49 || x.s.Held() {
			t.Errorf("%d packets after the hold, held %v", len(got), x.s.Held())
		}
	})
}

func TestListenKeepsTime(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		x := l.end(a)
		sink := &tape{}
		if err := x.s.Listen(sink); err != nil {
			t.Fatal(err)
		}
		say := func(seq int, ts uint32, n int, b byte) {
			p := rtp.Packet{SSRC: 1, Sequence: uint16(seq), Timestamp: ts, PayloadType: 8, Payload: make([]byte, n)}
			for i := range p.Payload {
				p.Payload[i] = b
			}
			a.send(p.Append(nil), x.to)
			wait(20 * time.Millisecond)
		}
		const loud = 0xaa
		say(1, 1000, 160, loud)
		say(2, 1160, 240, loud)  // 30 ms
		say(4, 1560, 160, loud)  // 160 samples are missing before
		say(3, 1400, 160, loud)  // too late
		say(4, 1560, 160, loud)  // twice
		say(5, 90000, 160, loud) // a new beginning: no gap of ten seconds
		wait(time.Second)
		v := g711.DecodeALaw(loud)
		want := slices.Concat(slices.Repeat([]int16{v}, 400), make([]int16, 160), slices.Repeat([]int16{v}, 320))
		if !slices.Equal(sink.pcm, want) {
			t.Errorf("%d samples heard, want %d, or they differ", len(sink.pcm), len(want))
		}
		if err := x.s.Listen(nil); err != nil {
			t.Fatal(err)
		}
		say(6, 90160, 160, loud)
		wait(time.Second)
		if sink.length() != len(want) {
			t.Error("the sink was written to after listening had ended")
		}
	})
}

func TestEcho(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		x := l.end(a)
		if err := x.s.Echo(); err != nil {
			t.Fatal(err)
		}
		sent := a.talk(x.to, 77, 65530, 50)
		wait(time.Second)
		got, _ := a.heard()
		if len(got) != len(sent) {
			t.Fatalf("%d packets came back, %d sent", len(got), len(sent))
		}
		var first rtp.Packet
		for i, b := range got {
			var p rtp.Packet
			if err := p.Parse(b.Data); err != nil {
				t.Fatal(err)
			}
			if i == 0 {
				first = p
			}
			if p.SSRC == 77 || p.SSRC != first.SSRC || p.Sequence != first.Sequence+uint16(i) {
				t.Fatalf("packet %d: SSRC %x sequence %d", i, p.SSRC, p.Sequence)
			}
			if !slices.Equal(p.Payload, sent[i][12:]) || p.Timestamp != binary.BigEndian.Uint32(sent[i][4:]) {
				t.Fatalf("packet %d came back changed", i)
			}
		}
		if want := "audio 198.51.100.1:4000 -> " + x.s.Streams()[0].local().String() + " -> echo"; x.s.String() != want {
			t.Errorf("chain %q, want %q", x.s, want)
		}
	})
}

// digits presses all keys towards a session and returns what it told.
func TestDigitsOnceEach(t *testing.T) {
	const keys = "0123456789*#ABCD55501100"
	for _, loss := range []float64{0, 0.05} {
		inBothLabs(t, func(t *testing.T, l *lab) {
			// One leg presses towards the other: our own encoder over a bad line into our own decoder.
			m := l.net.Host(bob)
			l.net.Between(l.host, m, network.Conditions{Loss: loss, Duplicate: 0.05, Reorder: 0.05})
			far, err := New(Config{Network: m, Workers: 1, Ports: PortRange{20000, 20009}})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { far.Close() })
			var mu sync.Mutex
			var got []byte
			s, err := far.NewSession(SessionConfig{Peer: exchange4, OnDigit: func(digit byte, ms int) {
				mu.Lock()
				defer mu.Unlock()
				got = append(got, digit)
				if ms < 50 || ms > 120 {
					t.Errorf("%c lasted %d ms", digit, ms)
				}
			}})
			if err != nil {
				t.Fatal(err)
			}
			x := l.session(SessionConfig{Peer: bob})
			offer := localized(t, x, at("10.0.0.1:4000"))
			if err := s.RemoteOffer(offer, exchange4); err != nil {
				t.Fatal(err)
			}
			answer := answered(t, s, at("10.0.0.2:4000"))
			if err := x.RemoteAnswer(answer, bob); err != nil {
				t.Fatal(err)
			}
			if _, err := x.Play(&ramp{n: 1000}); err != nil {
				t.Fatal(err)
			}
			for i := range len(keys) {
				if err := x.SendDigit(keys[i], 0); err != nil {
					t.Fatal(err)
				}
			}
			wait(20 * time.Second)
			mu.Lock()
			defer mu.Unlock()
			if string(got) != keys {
				t.Errorf("loss %v: heard %q, pressed %q", loss, got, keys)
			}
		})
	}
}

// Presses of a party are told also while its packets are relayed.
func TestDigitsOfARelayedParty(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, _ := l.call(a, b, a.describe(), b.describe())
		var got []byte
		x.s.OnDigit(func(digit byte, ms int) { got = append(got, digit) })
		e := rtp.NewEventEncoder(5, 10, 100*time.Millisecond, 160, 8000)
		n := 0
		for seq := uint16(1); ; seq++ {
			event, ok := e.Next()
			if !ok {
				break
			}
			n++
			p := rtp.Packet{PayloadType: 101, SSRC: 1, Sequence: seq, Timestamp: event.Timestamp, Marker: event.Marker, Payload: event.Event.Append(nil)}
			a.send(p.Append(nil), x.to)
		}
		wait(time.Second)
		toB, _ := b.heard()
		if len(toB) != n {
			t.Errorf("%d of %d event packets relayed", len(toB), n)
		}
		if string(got) != "5" {
			t.Errorf("heard %q", got)
		}
	})
}

// A press whose end is lost is told all the same: by the next audio, or by RTCP when the party has fallen silent.
func TestDigitWhoseEndIsLost(t *testing.T) {
	for _, control := range []bool{false, true} {
		inBothLabs(t, func(t *testing.T, l *lab) {
			a := l.phone(alice, 4000)
			x := l.end(a, "rtcp-mux")
			var got []byte
			x.s.OnDigit(func(digit byte, ms int) { got = append(got, digit) })
			e := rtp.Event{Code: 9, Duration: 400}
			p := rtp.Packet{PayloadType: 101, SSRC: 1, Sequence: 1, Timestamp: 160, Marker: true, Payload: e.Append(nil)}
			a.send(p.Append(nil), x.to)
			wait(time.Second)
			next := packet(1, 50)
			if control {
				next = senderReport(1, 1)
			}
			a.send(next, x.to)
			a.send(next, x.to)
			wait(time.Second)
			if string(got) != "9" {
				t.Errorf("RTCP %v: heard %q", control, got)
			}
		})
	}
}
