package recorder

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/g711"
	"dialtone/internal/media/ogg"
	"dialtone/internal/media/tone"
)

// memory is a File that can fail and be slow.
type memory struct {
	mu     sync.Mutex
	data   []byte
	most   int           // 0: any size; else writes beyond fail
	wait   chan struct{} // writes wait while it is there
	closed bool
}

var errNoSpace = errors.New("no space left on device")

func (m *memory) WriteAt(b []byte, at int64) (int, error) {
	m.mu.Lock()
	wait := m.wait
	m.mu.Unlock()
	if wait != nil {
		<-wait
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		return 0, os.ErrClosed
	}
	if m.most > 0 && int(at)+len(b) > m.most {
		return 0, errNoSpace
	}
	if need := int(at) + len(b); need > len(m.data) {
		m.data = append(m.data, make([]byte, need-len(m.data))...)
	}
	return copy(m.data[at:], b), nil
}

func (m *memory) Sync() error { return nil }

func (m *memory) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	return nil
}

func (m *memory) bytes() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Clone(m.data)
}

// running runs an engine in a bubble of virtual time until the function returns.
func running(t *testing.T, e *Engine, f func(t *testing.T, e *Engine)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		e.wake = make(chan struct{}, 1) // of the bubble
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- e.Run(ctx) }()
		f(t, e)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

func start(t *testing.T, e *Engine, o Options) *Recording {
	t.Helper()
	r, err := e.Start(o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// party says a tone to a channel.
type party struct {
	channel *Channel
	g       *tone.Generator
}

func says(r *Recording, i int, hz float64) party {
	return party{r.Channel(i), tone.NewGenerator(tone.Sine(hz, -10))}
}

// speak lets the parties speak for a while, a frame every 20 ms.
func speak(d time.Duration, parties ...party) {
	frame := make(codec.Frame, 160)
	for range d / (20 * time.Millisecond) {
		time.Sleep(20 * time.Millisecond)
		for _, p := range parties {
			p.g.Read(frame)
			p.channel.WriteFrame(frame)
		}
	}
}

// sound is a WAVE file taken apart: samples of each channel at 8000 Hz.
func sound(t *testing.T, b []byte) [][]int16 {
	t.Helper()
	is, ok := ownFormat(b)
	if !ok {
		t.Fatalf("no header: % x", b[:min(len(b), 60)])
	}
	n := int(binary.LittleEndian.Uint32(b[is.HeaderSize()-4:]))
	if riff := int(binary.LittleEndian.Uint32(b[4:])); riff != is.HeaderSize()-8+n {
		t.Errorf("RIFF size %d for %d bytes of samples", riff, n)
	}
	if is.HeaderSize()+n > len(b) {
		t.Fatalf("the header promises %d bytes of %d", n, len(b)-is.HeaderSize())
	}
	channels := make([][]int16, is.Channels)
	for at := is.HeaderSize(); at < is.HeaderSize()+n; {
		for i := range channels {
			if is.Encoding == "PCMA" {
				channels[i] = append(channels[i], g711.DecodeALaw(b[at]))
				at++
			} else {
				channels[i] = append(channels[i], int16(binary.LittleEndian.Uint16(b[at:])))
				at += 2
			}
		}
	}
	return channels
}

// level of a tone in a part of the samples, given in seconds.
func level(pcm []int16, from, to, hz float64) float64 {
	a, b := min(int(from*8000), len(pcm)), min(int(to*8000), len(pcm))
	return tone.Goertzel(pcm[a:b], hz)
}

func TestPartiesHaveTheirChannelsAndPlaces(t *testing.T) {
	for _, encoding := range []string{"PCMA", "PCM16"} {
		running(t, New(), func(t *testing.T, e *Engine) {
			path := filepath.Join(t.TempDir(), "call.wav")
			r := start(t, e, Options{Path: path, Encoding: encoding})
			a, b := says(r, 0, 500), says(r, 1, 1500)
			speak(2*time.Second, a)
			speak(2*time.Second, a, b) // answers 2 s later
			time.Sleep(1 * time.Second)
			speak(2*time.Second, a, b)
			r.Stop()
			<-r.Done()
			if r.Err() != nil || len(r.Marks()) != 0 {
				t.Errorf("%v, %v", r.Err(), r.Marks())
			}
			file, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			got := sound(t, file)
			for i, pcm := range got {
				if d := float64(len(pcm)) / 8000; math.Abs(d-7) > 0.05 {
					t.Errorf("channel %d lasts %v s", i, d)
				}
			}
			for _, c := range []struct {
				channel  int
				from, to float64
				hz, want float64
			}{
				{0, 0.1, 3.9, 500, -10}, {0, 0.1, 6.9, 1500, -100}, {1, 0, 1.9, 1500, -100}, {1, 2.1, 3.9, 1500, -10},
				{0, 4.1, 4.9, 500, -100}, {1, 4.1, 4.9, 1500, -100}, {0, 5.1, 6.9, 500, -10}, {1, 5.1, 6.9, 1500, -10},
			} {
				l := level(got[c.channel], c.from, c.to, c.hz)
				if c.want == -10 && math.Abs(l+10) > 0.5 || c.want == -100 && l > -45 {
					t.Errorf("%s: %v Hz in channel %d from %v to %v s: %.1f dBm0, want %v", encoding, c.hz, c.channel, c.from, c.to, l, c.want)
				}
			}
			if mode, _ := os.Stat(path); mode.Mode().Perm() != 0o600 {
				t.Errorf("mode %v", mode.Mode())
			}
		})
	}
}

// At any moment the file is whole and lacks less than a second.
func TestFileIsWholeAtAnyMoment(t *testing.T) {
	running(t, New(), func(t *testing.T, e *Engine) {
		f := &memory{}
		r := start(t, e, Options{File: f})
		a := says(r, 0, 500)
		for range 120 {
			speak(60*time.Millisecond, a)
			synctest.Wait()
			got := sound(t, f.bytes())
			if lost := r.Length() - time.Duration(len(got[0]))*time.Second/8000; lost >= time.Second {
				t.Fatalf("a crash after %v costs %v", r.Length(), lost)
			}
		}
	})
}

func TestPauses(t *testing.T) {
	for _, omit := range []bool{false, true} {
		running(t, New(), func(t *testing.T, e *Engine) {
			f := &memory{}
			r := start(t, e, Options{File: f, OmitPauses: omit})
			a, card := says(r, 0, 500), says(r, 0, 2500)
			speak(time.Second, a)
			r.Pause()
			r.Pause()
			speak(3*time.Second, card)
			r.Resume()
			r.Resume()
			speak(2*time.Second, a)
			r.Stop()
			<-r.Done()
			pcm := sound(t, f.bytes())[0]
			want := 6.0
			if omit {
				want = 3
			}
			if d := float64(len(pcm)) / 8000; math.Abs(d-want) > 0.05 {
				t.Errorf("omit %v: %v s, want %v", omit, d, want)
			}
			if l := level(pcm, 0, want, 2500); l > -50 {
				t.Errorf("omit %v: what was said in the pause is in the file at %.1f dBm0", omit, l)
			}
			if l := level(pcm, want-1.9, want, 500); math.Abs(l+10) > 0.5 {
				t.Errorf("omit %v: after the pause %.1f dBm0", omit, l)
			}
		})
	}
}

func TestFullDiskEndsTheRecordingLoudly(t *testing.T) {
	running(t, New(), func(t *testing.T, e *Engine) {
		var told []error
		f := &memory{most: 40000}
		r := start(t, e, Options{File: f, Notify: func(err error) { told = append(told, err) }})
		fine := &memory{}
		other := start(t, e, Options{File: fine})
		speak(5*time.Second, says(r, 0, 500), says(other, 0, 500))
		<-r.Done()
		if !errors.Is(r.Err(), errNoSpace) || len(told) != 1 || !errors.Is(told[0], errNoSpace) || e.Stats().Failed != 1 {
			t.Errorf("%v, told %v, %+v", r.Err(), told, e.Stats())
		}
		if d := len(sound(t, f.bytes())[0]); d < 8000 {
			t.Errorf("%d samples are left of 2 s", d)
		}
		r.Stop()
		other.Stop()
		<-other.Done()
		if d := len(sound(t, fine.bytes())[0]); other.Err() != nil || d < 39000 {
			t.Errorf("the other one: %v, %d samples", other.Err(), d)
		}
	})
}

func TestSlowDiskBecomesMarkedSilence(t *testing.T) {
	running(t, New(), func(t *testing.T, e *Engine) {
		var told []error
		f := &memory{}
		r := start(t, e, Options{File: f, Notify: func(err error) { told = append(told, err) }})
		a, b := says(r, 0, 500), says(r, 1, 1500)
		speak(2*time.Second, a, b)
		gate := make(chan struct{})
		f.mu.Lock()
		f.wait = gate
		f.mu.Unlock()
		speak(6*time.Second, a, b)
		f.mu.Lock()
		f.wait = nil
		f.mu.Unlock()
		close(gate)
		speak(3*time.Second, a, b)
		r.Stop()
		<-r.Done()
		if r.Err() != nil || len(told) != 1 || !errors.Is(told[0], ErrSlow) {
			t.Errorf("%v, told %v", r.Err(), told)
		}
		marks := r.Marks()
		if len(marks) < 2 || marks[0].Lost < 2*time.Second || marks[0].Lost > 5*time.Second || e.Stats().Lost < 4*time.Second {
			t.Errorf("%v, %+v", marks, e.Stats())
		}
		got := sound(t, f.bytes())
		if len(got[0]) != len(got[1]) || len(got[0]) != 11*8000 {
			t.Errorf("%d and %d samples", len(got[0]), len(got[1]))
		}
		if l := level(got[1], 9, 10.9, 1500); math.Abs(l+10) > 0.5 {
			t.Errorf("afterwards %.1f dBm0", l)
		}
	})
}

// Frames that come much faster than time passes are not sound of this moment: the channels would drift apart.
func TestFloodIsNotTaken(t *testing.T) {
	running(t, New(), func(t *testing.T, e *Engine) {
		f := &memory{}
		r := start(t, e, Options{File: f})
		a, b := says(r, 0, 500), says(r, 1, 1500)
		speak(time.Second, a, b)
		frame := make(codec.Frame, 160)
		for range 50 {
			r.Channel(0).WriteFrame(frame) // a second of silence at once
		}
		speak(3*time.Second, a, b)
		r.Stop()
		<-r.Done()
		var lost time.Duration
		for _, m := range r.Marks() {
			if m.Channel != 0 {
				t.Errorf("%+v", m)
			}
			lost += m.Lost
		}
		got := sound(t, f.bytes())
		if len(got[0]) > 4*8000+1000 || lost < 800*time.Millisecond {
			t.Errorf("4 s became %d samples, %v lost", len(got[0]), lost)
		}
	})
}

func TestLimitAndEndOfEngine(t *testing.T) {
	f, g := &memory{}, &memory{}
	running(t, New(), func(t *testing.T, e *Engine) {
		r := start(t, e, Options{File: f, Limit: time.Second})
		start(t, e, Options{File: g})
		speak(3*time.Second, says(r, 0, 500))
		<-r.Done()
		if r.Err() != nil {
			t.Error(r.Err())
		}
	})
	if n := len(sound(t, f.bytes())[0]); n != 8000 {
		t.Errorf("limit of a second: %d samples", n)
	}
	if n := len(sound(t, g.bytes())[0]); n != 24000 {
		t.Errorf("ended with the engine after 3 s: %d samples", n)
	}
}

func TestRefusedOptions(t *testing.T) {
	dir := t.TempDir()
	e := New()
	e.newOpus = func(int) (encoder, error) { return nil, errNoOpus }
	for _, o := range []Options{
		{Encoding: "mp3"}, {Encoding: "opus"}, {Rate: 11025}, {Rate: 16000}, {Channels: 9}, {Channels: -1},
		{Seal: &Seal{Chunk: 1}}, {Seal: &Seal{Keys: vault{}, Chunk: 2 << 20}},
	} {
		o.Path = filepath.Join(dir, "x")
		if _, err := e.Start(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if left, _ := os.ReadDir(dir); len(left) != 0 {
		t.Errorf("%v stayed behind", left)
	}
	path := filepath.Join(dir, "x")
	if _, err := e.Start(Options{Path: path}); err != nil {
		t.Fatal(err)
	}
	if _, err := e.Start(Options{Path: path}); !errors.Is(err, os.ErrExist) {
		t.Errorf("a file that exists: %v", err)
	}
}

// parrot is an encoder whose packets tell who made them and how loud it was.
type parrot struct{ silent bool }

func (p *parrot) Encode(dst []byte, pcm codec.Frame) []byte {
	if p.silent = pcm[0] == 0 && pcm[1] == 0; p.silent {
		return dst // DTX
	}
	return append(dst, 9<<3, byte(len(pcm)/100), byte(uint16(pcm[0])>>8), byte(pcm[0]))
}

func TestOpusInOgg(t *testing.T) {
	for _, channels := range []int{1, 2} {
		e := New()
		e.newOpus = func(int) (encoder, error) { return &parrot{}, nil }
		running(t, e, func(t *testing.T, e *Engine) {
			f := &memory{}
			r := start(t, e, Options{File: f, Encoding: "opus", Rate: 16000, Channels: channels})
			frame := make(codec.Frame, 320)
			for i := range 100 {
				time.Sleep(20 * time.Millisecond)
				for k := range frame {
					frame[k] = int16(i + 1)
				}
				r.Channel(channels - 1).WriteFrame(frame)
			}
			synctest.Wait()
			cut := f.bytes() // as after a kill
			r.Stop()
			<-r.Done()
			if r.Err() != nil {
				t.Fatal(r.Err())
			}
			if n := opusPackets(t, cut, channels); n < 100-50 {
				t.Errorf("a crash leaves %d packets of 100", n)
			}
			if n := opusPackets(t, f.bytes(), channels); n != 100 {
				t.Errorf("%d packets of 100", n)
			}
			repaired := &fileBytes{data: cut[:len(cut)-3]}
			if changed, err := repair(repaired); !changed || err != nil {
				t.Errorf("repaired %v, %v", changed, err)
			}
			opusPackets(t, repaired.data, channels)
			if changed, err := repair(repaired); changed || err != nil {
				t.Errorf("repaired again %v, %v", changed, err)
			}
		})
	}
}

// opusPackets reads a file and counts the packets that carry sound of the last channel, in their order.
func opusPackets(t *testing.T, b []byte, channels int) (n int) {
	t.Helper()
	in, err := ogg.NewReader(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	if in.Head.Channels != channels || in.Head.Streams != channels || in.Head.Rate != 16000 {
		t.Fatalf("header %+v", in.Head)
	}
	for {
		p, err := in.Next()
		if err != nil {
			return n
		}
		if channels == 2 {
			first, second, err := ogg.SplitPair(nil, p)
			if err != nil || !bytes.Equal(first, []byte{opusSilence}) {
				t.Fatalf("pair % x, %v", p, err)
			}
			p = second
		}
		if len(p) == 4 {
			if n++; p[1] != 3 || int(p[3]) != n {
				t.Fatalf("packet %d: % x", n, p)
			}
		}
	}
}

func TestBeep(t *testing.T) {
	b := NewBeep(nothing{}, 2*time.Second)
	var pcm []int16
	frame := make(codec.Frame, 160)
	for range 200 {
		if err := b.ReadFrame(frame); err != nil {
			t.Fatal(err)
		}
		pcm = append(pcm, frame...)
	}
	for from, want := range map[float64]float64{0: -20, 2: -20, 0.5: -100, 1.5: -100, 3: -100} {
		if l := level(pcm, from, from+0.2, 1400); math.Abs(l-want) > 1 {
			t.Errorf("at %v s %.1f dBm0, want %v", from, l, want)
		}
	}
}

type nothing struct{}

func (nothing) ReadFrame(f codec.Frame) error { clear(f); return nil }
