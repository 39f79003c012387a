package tap

import (
	"bytes"
	"context"
	"errors"
	"io"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/g711"
	"dialtone/internal/media/tone"
)

// numbers is a Source whose frames are filled with 1, 2, 3 ... up to its end.
type numbers struct{ at, end int16 }

func (n *numbers) ReadFrame(f codec.Frame) error {
	if n.at == n.end {
		return io.EOF
	}
	n.at++
	for i := range f {
		f[i] = n.at
	}
	return nil
}

func full(n int, value int16) codec.Frame { return slices.Repeat(codec.Frame{value}, n) }

// notes is a Listener and a Sink that remembers.
type notes struct {
	mu   sync.Mutex
	said [3][]int16 // by direction; 0 is the sink
}

func (n *notes) WriteTap(d Direction, f codec.Frame) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.said[d] = append(n.said[d], f[0])
}

func (n *notes) WriteFrame(f codec.Frame) { n.WriteTap(0, f) }

func TestTapCopiesAndPassesOn(t *testing.T) {
	var tap Tap
	var a, b, end notes
	sink, source := tap.Sink(Said, &end), tap.Source(Heard, &numbers{end: 3})
	alone := tap.Sink(Said, nil)
	frame := make(codec.Frame, 160)
	read := func(want error) {
		t.Helper()
		if err := source.ReadFrame(frame); err != want {
			t.Errorf("%v, want %v", err, want)
		}
	}
	sink.WriteFrame(full(160, 10))
	read(nil)
	tap.Add(&a)
	sink.WriteFrame(full(160, 11))
	read(nil)
	tap.Add(&b)
	alone.WriteFrame(full(160, 12))
	tap.Remove(&a)
	tap.Remove(&a)
	read(nil)
	read(io.EOF)
	if !slices.Equal(a.said[Said], []int16{11, 12}) || !slices.Equal(a.said[Heard], []int16{2}) {
		t.Errorf("the first heard %v", a.said)
	}
	if !slices.Equal(b.said[Said], []int16{12}) || !slices.Equal(b.said[Heard], []int16{3}) {
		t.Errorf("the second heard %v", b.said)
	}
	if !slices.Equal(end.said[0], []int16{10, 11}) {
		t.Errorf("the call heard %v", end.said)
	}
	if r := source.(interface{ Rate() int }).Rate(); r != 8000 {
		t.Errorf("rate %d", r)
	}
}

func TestMonitorHearsBothDirections(t *testing.T) {
	m := NewMonitor(8000)
	said, heard := tone.NewGenerator(tone.Sine(500, -12)), tone.NewGenerator(tone.Sine(1500, -12))
	frame := make(codec.Frame, 160)
	var pcm []int16
	for i := range 100 {
		said.Read(frame)
		m.WriteTap(Said, frame[:80]) // packets of 10 ms
		m.WriteTap(Said, frame[80:])
		heard.Read(frame)
		m.WriteTap(Heard, frame)
		if i%4 == 3 { // pulled in bursts
			for range 4 {
				if err := m.ReadFrame(frame); err != nil {
					t.Fatal(err)
				}
				pcm = append(pcm, frame...)
			}
		}
	}
	for _, hz := range []float64{500, 1500} {
		if l := tone.Goertzel(pcm[1600:], hz); l < -12.5 || l > -11.5 {
			t.Errorf("%v Hz is heard at %.1f dBm0", hz, l)
		}
	}
	if m.Dropped() != 0 || m.Rate() != 8000 {
		t.Errorf("%d samples dropped", m.Dropped())
	}
	// Nobody listens for a while: no more than the queue is kept, and the delay is small again afterwards.
	for i := range int16(50) {
		m.WriteTap(Said, full(160, i))
	}
	if err := m.ReadFrame(frame); err != nil || frame[0] < 50-monitorMost {
		t.Errorf("the oldest that is kept is %d, %v", frame[0], err)
	}
	if m.Dropped() < (50-monitorMost)*160 {
		t.Errorf("%d samples dropped", m.Dropped())
	}
	m.WriteTap(Said, full(10000, 1))
	for range 20 {
		if err := m.ReadFrame(frame); err != nil {
			t.Fatal(err)
		}
	}
	if frame[0] != 0 {
		t.Errorf("silence is %d", frame[0])
	}
	m.WriteTap(0, frame)
	m.WriteTap(3, frame)
	for range monitorMost + 1 {
		m.WriteTap(Said, full(160, 1))
	}
	if got := m.queues[0].count; got != monitorDelay*160 {
		t.Errorf("what piled up leaves a delay of %d samples", got)
	}
}

func TestFanoutReadsOnce(t *testing.T) {
	in := &numbers{end: 40}
	f := NewFanout(in)
	branches := make([]*Branch, 4)
	for i := range branches {
		branches[i] = f.Join()
	}
	frame := make(codec.Frame, 160)
	for want := int16(1); want <= 20; want++ {
		for i, b := range branches {
			if err := b.ReadFrame(frame); err != nil || frame[159] != want {
				t.Fatalf("branch %d heard %d, %v, want %d", i, frame[159], err, want)
			}
		}
	}
	late := f.Join()
	if err := late.ReadFrame(frame); err != nil || frame[0] != 20 {
		t.Errorf("a new one hears %d, %v", frame[0], err)
	}
	if err := late.ReadFrame(frame[:3]); err == nil {
		t.Error("a frame of 3 samples was filled")
	}
	// The end: each hears all up to it.
	for i, b := range branches {
		n := 20
		for b.ReadFrame(frame) == nil {
			n++
		}
		if i == 0 && n != 40 || n < 24 || frame[0] != 40 {
			t.Errorf("branch %d ended with %d after %d frames", i, frame[0], n)
		}
		if err := b.ReadFrame(frame); err != io.EOF {
			t.Errorf("branch %d: %v", i, err)
		}
	}
	f = NewFanout(&numbers{end: 40})
	b := f.Join()
	if err := b.ReadFrame(frame); err != nil {
		t.Fatal(err)
	}
	f.End()
	if err := b.ReadFrame(frame); err != io.EOF {
		t.Errorf("after End: %v", err)
	}
}

func TestFramer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, encoding := range []Encoding{L16, PCMA, PCMU} {
			f, err := NewFramer(FramerConfig{Encoding: encoding, Queue: 4})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(70 * time.Millisecond)
			f.WriteTap(Heard, full(100, 900)) // half a message waits for the rest
			f.WriteTap(Said, full(320, -300))
			f.WriteTap(Heard, full(100, 900))
			var got []Message
			next := func() (b []byte, err error) { return f.Next(t.Context(), nil) }
			for range 3 {
				b, err := next()
				var m Message
				if err = errors.Join(err, m.Parse(b)); err != nil {
					t.Fatal(err)
				}
				pcm := m.Decode(nil)
				want := full(160, -300)
				if m.Direction == Heard {
					want = full(160, 900)
				}
				switch encoding {
				case PCMA:
					want = full(160, g711.DecodeALaw(g711.EncodeALaw(want[0])))
				case PCMU:
					want = full(160, g711.DecodeMuLaw(g711.EncodeMuLaw(want[0])))
				}
				if !slices.Equal(pcm, want) || m.Time != 70 || m.Encoding != encoding {
					t.Errorf("encoding %d: %d samples of %d at %d ms", m.Encoding, len(pcm), pcm[0], m.Time)
				}
				m.Samples = nil
				got = append(got, m)
			}
			if got[0].Direction != Said || got[0].Sequence != 0 || got[1].Direction != Said || got[1].Sequence != 1 ||
				got[2].Direction != Heard || got[2].Sequence != 0 {
				t.Errorf("%+v", got)
			}

			// Nobody fetches: the newest stay, the hole shows.
			f.WriteTap(Said, full(160*10, 5))
			if f.Dropped() != 6 {
				t.Errorf("%d dropped", f.Dropped())
			}
			var m Message
			if b, err := next(); err != nil || m.Parse(b) != nil || m.Sequence != 8 {
				t.Errorf("%+v, %v", m, err)
			}
			f.Close()
			f.WriteTap(Said, full(160, 5))
			for range 3 {
				if _, err := next(); err != nil {
					t.Error(err)
				}
			}
			if _, err := next(); err != io.EOF {
				t.Errorf("at the end: %v", err)
			}
		}
	})
}

func TestNextWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f, err := NewFramer(FramerConfig{Encoding: L16, Rate: 16000})
		if err != nil {
			t.Fatal(err)
		}
		done := make(chan error)
		go func() {
			b, err := f.Next(t.Context(), []byte("x"))
			if len(b) != 1+8+640 {
				t.Errorf("%d bytes", len(b))
			}
			done <- err
		}()
		synctest.Wait()
		f.WriteTap(Said, full(320, 1))
		if err := <-done; err != nil {
			t.Error(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := f.Next(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v", err)
		}
		go func() {
			_, err := f.Next(t.Context(), nil)
			done <- err
		}()
		synctest.Wait()
		f.Close()
		if err := <-done; err != io.EOF {
			t.Errorf("%v", err)
		}
	})
	for _, c := range []FramerConfig{{}, {Encoding: 4}, {Encoding: PCMA, Rate: 16000}, {Encoding: L16, Rate: 8001}, {Encoding: L16, Queue: -1}} {
		if _, err := NewFramer(c); err == nil {
			t.Errorf("%+v was taken", c)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte{1, 1, 0, 1, 0, 0, 0, 20, 1, 2})
	f.Add([]byte{2, 3, 0xff, 0xff, 0, 0, 0, 0, 0x55})
	f.Fuzz(func(t *testing.T, in []byte) {
		var m Message
		if err := m.Parse(in); err != nil {
			if !errors.Is(err, ErrMessage) {
				t.Fatal(err)
			}
			return
		}
		if out := m.Append(nil); !bytes.Equal(out, in) {
			t.Fatalf("% x came back as % x", in, out)
		}
		if n := len(m.Decode(nil)); n > len(in) {
			t.Fatalf("%d samples", n)
		}
	})
}

func TestGoroutines(t *testing.T) {
	var tap Tap
	m := NewMonitor(8000)
	f, err := NewFramer(FramerConfig{Encoding: PCMA})
	if err != nil {
		t.Fatal(err)
	}
	fan := NewFanout(&numbers{end: 1000})
	var all sync.WaitGroup
	for i, d := range []Direction{Said, Heard} {
		branch := fan.Join()
		all.Go(func() {
			sink, frame := tap.Sink(d, nil), make(codec.Frame, 160)
			for range 200 {
				sink.WriteFrame(full(160, int16(i)))
				if err := branch.ReadFrame(frame); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		frame := make(codec.Frame, 160)
		for range 100 {
			tap.Add(m)
			tap.Add(f)
			if err := m.ReadFrame(frame); err != nil {
				t.Error(err)
			}
			tap.Remove(f)
			tap.Remove(m)
		}
		f.Close()
	})
	all.Go(func() {
		for {
			if _, err := f.Next(context.Background(), nil); err != nil {
				return
			}
		}
	})
	all.Wait()
}

func TestFramesAllocateNothing(t *testing.T) {
	var tap Tap
	m := NewMonitor(8000)
	f, err := NewFramer(FramerConfig{Encoding: L16})
	if err != nil {
		t.Fatal(err)
	}
	tap.Add(m)
	tap.Add(f)
	sink, source := tap.Sink(Said, nil), tap.Source(Heard, NewFanout(&numbers{end: 32000}).Join())
	frame, message := make(codec.Frame, 160), make([]byte, 0, 1000)
	n := testing.AllocsPerRun(500, func() {
		sink.WriteFrame(frame)
		if err := errors.Join(source.ReadFrame(frame), m.ReadFrame(frame)); err != nil {
			t.Fatal(err)
		}
		if _, err := f.Next(t.Context(), message); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}
