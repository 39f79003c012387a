package jitter

import (
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/g711"
	"dialtone/internal/rtp"
)

// check is what holds whatever arrives.
func check(t testing.TB, r *Receiver, put int) {
	t.Helper()
	s := r.Stats()
	if s.Received+s.Duplicates > uint64(put) {
		t.Fatalf("%d packets put: %+v", put, s)
	}
	waiting := uint64(0)
	for i := range r.ring.slots {
		if r.ring.slots[i].present {
			waiting++
		}
	}
	if s.Played+s.Late+s.Overruns+waiting > s.Received {
		t.Fatalf("%d packets wait: %+v", waiting, s)
	}
	if len(r.ring.pool) > ringSize {
		t.Fatalf("%d buffers", len(r.ring.pool))
	}
	if n := cap(r.pcm.pcm); n > 8*r.cfg.Rate {
		t.Fatalf("room for %d samples", n)
	}
	if r.ring.top-r.ring.next > ringSize || r.ring.top < r.ring.next {
		t.Fatalf("ring from %d to %d", r.ring.next, r.ring.top)
	}
}

// Random networks: frames always come, memory is bounded, nothing is counted twice, and a network that becomes clean is
// played clean.
func TestAnyNetwork(t *testing.T) {
	rng := seeded(t)
	pcm := voiced(rng, 8000*30)
	for round := range 30 {
		loss, duplicate, jitter := 0.3*rng.Float64()*rng.Float64(), 0.1*rng.Float64(), 1+rng.Int64N(int64(120*time.Millisecond))
		if round%3 == 0 {
			jitter = 1 + rng.Int64N(int64(400*time.Millisecond))
		}
		lengths := []int{80, 160, 160, 240, 320, 480}
		clean := 20 * time.Second
		list := party{pcm: pcm, pt: 8, length: lengths[rng.IntN(len(lengths))], first: uint16(rng.Uint32()),
			ppm: 600 * (rng.Float64() - 0.5), delay: nil}
		each := timeOf(list.length, 8000)
		list.delay = func(i int) []time.Duration {
			if time.Duration(i)*each > clean {
				return []time.Duration{0}
			}
			var delays []time.Duration
			for range 3 {
				if rng.Float64() < loss {
					break
				}
				delays = append(delays, time.Duration(rng.Int64N(jitter)))
				if rng.Float64() > duplicate {
					break
				}
			}
			return delays
		}
		rates := []int{8000, 8000, 16000, 48000}
		r := newReceiver(t, rates[rng.IntN(len(rates))])
		packets := list.send(45 * time.Second)
		frames := 0
		var before, later Stats
		play(r, packets, time.Duration(rng.Int64N(int64(frameTime))), 0, func(_ codec.Frame, now time.Duration) {
			frames++
			if now < 35*time.Second {
				before = r.Stats()
			} else if now < 44*time.Second {
				later = r.Stats()
			}
			if frames%16 == 0 {
				check(t, r, len(packets))
			}
		})
		s := r.Stats()
		if s.Frames != uint64(frames) {
			t.Fatalf("%d frames: %+v", frames, s)
		}
		after := since(later, before)
		most := DefaultLeast + frameTime + roundUp(each, frameTime) + 10*time.Millisecond
		if after.Late+after.Lost > 0 || after.Concealed > 0 || s.Maximum > most {
			t.Fatalf("round %d, %d samples a packet, loss %.2f, jitter %v, %v ppm: %v after the network was clean: %+v", round, list.length,
				loss, time.Duration(jitter), list.ppm, s.Maximum, after)
		}
	}
}

func TestNoAllocation(t *testing.T) {
	rng := seeded(t)
	pcm := voiced(rng, 8000*30)
	for name, y := range map[string]party{
		"clean":  {pcm: pcm, pt: 8},
		"jitter": {pcm: pcm, pt: 8, delay: jittery(rng, 40*time.Millisecond, 0.02)},
		"drift":  {pcm: pcm, pt: 8, ppm: 20000},
	} {
		list := y.send(5 * time.Minute)
		r := newReceiver(t, 16000)
		frame := make(codec.Frame, 320)
		now := 9 * time.Millisecond
		pull := func() {
			for len(list) > 0 && list[0].arrival <= now {
				r.Put(&list[0].packet, list[0].arrival)
				list = list[1:]
			}
			r.ReadFrame(frame, now)
			now += frameTime
		}
		for range 2000 {
			pull()
		}
		if n := testing.AllocsPerRun(5000, pull); n != 0 {
			t.Errorf("%s: %v allocations a frame", name, n)
		}
	}
}

// Put and ReadFrame run beside each other.
func TestConcurrent(t *testing.T) {
	r := newReceiver(t, 8000)
	list := party{pcm: tone(8000), pt: 8}.send(20 * time.Second)
	var wait sync.WaitGroup
	wait.Go(func() {
		for i := range list {
			r.Put(&list[i].packet, list[i].arrival)
		}
	})
	frame := make(codec.Frame, 160)
	for i := range 1000 {
		r.ReadFrame(frame, time.Duration(i)*frameTime)
		r.Freeze(i%100 < 10)
		r.Codec()
		r.Reset()
	}
	wait.Wait()
	check(t, r, len(list))
}

func TestConfig(t *testing.T) {
	for _, c := range []Config{{}, {Rate: 8000}, {Rate: 10, Codec: codecs}, {Rate: 1 << 20, Codec: codecs}} {
		if _, err := New(c); err == nil {
			t.Errorf("%d Hz is accepted", c.Rate)
		}
	}
}

// Any packets at any time: every frame comes, memory is bounded, nothing is counted twice.
func FuzzReceiver(f *testing.F) {
	packet := func(pt byte, seq uint16, ts uint32, wait byte, n byte) []byte {
		b := []byte{pt, wait, n}
		b = binary.BigEndian.AppendUint16(b, seq)
		return binary.BigEndian.AppendUint32(b, ts)
	}
	var clean, mixed []byte
	for i := range 20 {
		clean = append(clean, packet(8, uint16(i), uint32(160*i), 20, 160)...)
		mixed = append(mixed, packet([]byte{8, 96, 13, 101, 97}[i%5], uint16(i*i), uint32(160*i*i), byte(7*i), byte(40*i))...)
	}
	f.Add(uint16(20), clean)
	f.Add(uint16(7), mixed)
	f.Add(uint16(60), append(clean, mixed...))
	f.Fuzz(func(t *testing.T, frameTenths uint16, script []byte) {
		r := newReceiver(t, []int{8000, 16000, 48000}[frameTenths%3])
		frame := make(codec.Frame, int(frameTenths%800)+1)
		var now time.Duration
		pulls, put := 0, 0
		payload := g711.ALaw{}.Encode(nil, tone(8192))
		for len(script) >= 9 && put < 2000 {
			p := rtp.Packet{
				PayloadType: script[0] & 127, Marker: script[0]&128 != 0, Sequence: binary.BigEndian.Uint16(script[3:]),
				Timestamp: binary.BigEndian.Uint32(script[5:]), SSRC: uint32(script[2] >> 6), Payload: payload[:int(script[2])*32],
			}
			wait := time.Duration(script[1]) * time.Millisecond
			script = script[9:]
			r.Put(&p, now+wait/2)
			put++
			for end := now + wait; now < end && wait > 0; now += r.duration(len(frame)) + 1 {
				if pulls++; pulls%200 == 0 {
					break
				}
				r.ReadFrame(frame, now)
			}
			if put%50 == 49 {
				r.Freeze(put%100 > 50)
			}
			check(t, r, put)
		}
		for range 3 {
			now += time.Duration(pulls) * time.Second
			r.ReadFrame(frame, now)
		}
		check(t, r, put)
	})
}

func BenchmarkG711(b *testing.B) {
	rng := rand.New(rand.NewPCG(1, 1))
	list := party{pcm: voiced(rng, 8000*30), pt: 8}.send(30 * time.Second)
	r := newReceiver(b, 8000)
	frame := make(codec.Frame, 160)
	b.ReportAllocs()
	now := 9 * time.Millisecond
	i := 0
	for b.Loop() {
		p := list[i%len(list)].packet
		p.Sequence, p.Timestamp = uint16(i), uint32(i*160)
		r.Put(&p, now-5*time.Millisecond)
		r.ReadFrame(frame, now)
		now += frameTime
		i++
	}
	if s := r.Stats(); s.Played < uint64(i)-1 {
		b.Fatalf("%+v", s)
	}
}
