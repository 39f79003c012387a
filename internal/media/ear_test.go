package media

import (
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/g711"
	"dialtone/internal/media/tone"
	"dialtone/internal/rtp"
)

// sing sends n packets of a tone in G.711 µ-law.
func (p *phone) sing(to netip.AddrPort, hz float64, ssrc uint32, first uint16, n int) {
	g := tone.NewGenerator(tone.Sine(hz, -10))
	pcm := make(codec.Frame, frameSamples)
	for i := range n {
		g.Read(pcm)
		seq := first + uint16(i)
		packet := rtp.Packet{SSRC: ssrc, Sequence: seq, Timestamp: uint32(seq) * frameSamples, Payload: g711.MuLaw{}.Encode(nil, pcm)}
		p.send(packet.Append(nil), to)
		<-time.After(frameTime)
	}
}

// hears tells whether a tape holds a tone, and begins it anew.
func (t *tape) hears(hz float64) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	var d tone.Detector
	d.Write(t.pcm)
	t.pcm = nil
	return d.Heard(hz)
}

// An ear hears a party beside the relay, which it does not touch, whatever the chain is connected to, until it is closed.
func TestEarsHearBesideTheRelay(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, y := l.call(a, b, a.describe(), b.describe())
		ear, err := x.s.Tap(codec.Rate)
		if err != nil {
			t.Fatal(err)
		}
		heard := &tape{}
		pump, err := l.e.Pump(ear, heard)
		if err != nil {
			t.Fatal(err)
		}
		a.sing(x.to, 440, 7, 1, 50)
		if !heard.hears(440) {
			t.Error("the ear does not hear the party")
		}
		if got, _ := b.heard(); len(got) != 50 {
			t.Errorf("%d packets were relayed beside the ear, want 50", len(got))
		}
		if text := x.s.String(); !strings.Contains(text, "ear -> relay") {
			t.Errorf("the chain reads %q", text)
		}
		x.s.Hush(true)
		a.sing(x.to, 500, 7, 51, 50)
		if got, _ := b.heard(); len(got) != 0 {
			t.Errorf("%d packets of a party that is hushed were relayed", len(got))
		}
		Bridge(x.s, y.s) // a change of the media does not undo it
		a.sing(x.to, 500, 7, 101, 20)
		if got, _ := b.heard(); len(got) != 0 || !heard.hears(500) {
			t.Errorf("%d packets of a party that is hushed were relayed, or the ear has gone", len(got))
		}
		x.s.Hush(false)
		a.sing(x.to, 600, 7, 121, 50)
		if got, _ := b.heard(); len(got) != 50 || !heard.hears(600) {
			t.Errorf("%d packets were relayed again, want 50", len(got))
		}
		ear.Close()
		wait(100 * time.Millisecond)
		if !errors.Is(pump.Err(), io.EOF) {
			t.Errorf("the pump of a closed ear ended with %v", pump.Err())
		}
		if text := x.s.String(); strings.Contains(text, "ear") {
			t.Errorf("the chain reads %q", text)
		}
		l.e.clock.mu.Lock()
		defer l.e.clock.mu.Unlock()
		if l.e.clock.members != 0 {
			t.Error("the clock still has the pump")
		}
	})
}

// A session that is heard as its output, and a beep that takes the place of what is relayed.
func TestHearAndBeep(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a, b := l.phone(alice, 4000), l.phone(bob, 5000)
		x, _ := l.call(a, b, a.describe(), b.describe())
		if err := x.s.Beep(tone.Tone{Hz: [2]float64{1400}, DBm0: -20}, time.Second); err != nil {
			t.Fatal(err)
		}
		wait(1200 * time.Millisecond)
		got, _ := a.heard()
		var d tone.Detector
		for _, p := range got {
			d.Write(g711.MuLaw{}.Decode(nil, p.Data[rtp.HeaderSize:]))
		}
		if len(got) != 50 || !d.Heard(1400) {
			t.Errorf("a beep of a second has %d packets with %v Hz", len(got), d.Hz())
		}
		ear, err := x.s.Hear(16000)
		if err != nil {
			t.Fatal(err)
		}
		frame := make(codec.Frame, 320)
		if err := ear.ReadFrame(frame); err != nil || ear.Rate() != 16000 {
			t.Errorf("an ear at %d Hz says %v", ear.Rate(), err)
		}
		x.s.Close()
		if err := ear.ReadFrame(frame); !errors.Is(err, io.EOF) {
			t.Errorf("the ear of a closed session says %v", err)
		}
	})
}

func TestEarsAllocateNothing(t *testing.T) {
	_, e, a, _ := voidCall(t)
	ear, err := a.Tap(codec.Rate)
	if err != nil {
		t.Fatal(err)
	}
	sink := &deaf{}
	pump := &Pump{clock: e.clock, source: ear, sink: sink, rate: codec.Rate, done: make(chan struct{})}
	f := newFeed(a, netip.AddrPortFrom(alice, 4000), 1)
	var s scratch
	step := func() {
		f.run()
		pump.tick(0, &s)
	}
	for range 100 {
		step()
	}
	if n := testing.AllocsPerRun(1000, step); n != 0 {
		t.Errorf("%v allocations for each packet that is heard", n)
	}
	if sink.n == 0 {
		t.Error("nothing came out of the pump")
	}
}
