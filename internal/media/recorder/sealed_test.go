package recorder

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/media/wav"
	"dialtone/internal/store/seal"
)

// vault is a Keyring that hides nothing, for tests of everything but the keys.
type vault struct{}

var errPlace = errors.New("another place")

func (vault) Seal(place, plain []byte) []byte {
	return append(append([]byte{byte(len(place))}, place...), plain...)
}

func (vault) Open(place, sealed []byte) ([]byte, error) {
	if len(sealed) != 1+len(place)+keySize || !bytes.Equal(sealed[1:1+len(place)], place) {
		return nil, errPlace
	}
	return bytes.Clone(sealed[1+len(place):]), nil
}

// fileBytes is a file in memory for repairs.
type fileBytes struct{ data []byte }

func (f *fileBytes) ReadAt(p []byte, at int64) (int, error) {
	return bytes.NewReader(f.data).ReadAt(p, at)
}

func (f *fileBytes) WriteAt(p []byte, at int64) (int, error) {
	if need := int(at) + len(p); need > len(f.data) {
		f.data = append(f.data, make([]byte, need-len(f.data))...)
	}
	return copy(f.data[at:], p), nil
}

func (f *fileBytes) Seek(int64, int) (int64, error) { return int64(len(f.data)), nil }

func (f *fileBytes) Truncate(n int64) error { f.data = f.data[:n]; return nil }

func TestSealedRecordings(t *testing.T) {
	keys, err := seal.Create(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	mine := &Seal{Keys: keys, Place: []byte("recording 1"), Chunk: leastChunk}
	for _, encoding := range []string{"PCMA", "PCM16"} {
		running(t, New(), func(t *testing.T, e *Engine) {
			dir := t.TempDir()
			path, cut := filepath.Join(dir, "sealed"), filepath.Join(dir, "cut")
			r := start(t, e, Options{Path: path, Encoding: encoding, Seal: mine})
			open := &memory{}
			twin := start(t, e, Options{File: open, Encoding: encoding})
			a, b := says(r, 0, 500), says(twin, 0, 500)
			speak(4*time.Second, a, b)
			crashed, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			speak(time.Second, a, b)
			r.Stop()
			twin.Stop()
			<-r.Done()
			<-twin.Done()

			in, err := Open(path, mine)
			if err != nil {
				t.Fatal(err)
			}
			defer in.Close()
			got, err := io.ReadAll(in)
			if err != nil || !bytes.Equal(got, open.bytes()) || !in.Complete || in.Encoding != encoding || in.ContentType() != "audio/wav" {
				t.Errorf("%d bytes, %v, complete %v, want %d", len(got), err, in.Complete, len(open.bytes()))
			}
			raw, _ := os.ReadFile(path)
			if bytes.Contains(raw, got[1000:1016]) {
				t.Error("the sound stands in the file as it is")
			}

			// After a crash: everything up to the last whole chunk, and whatever the crash left of the next is no harm.
			for _, junk := range []int{0, 1, 100} {
				if err := os.WriteFile(cut, append(slices.Clone(crashed), make([]byte, junk)...), 0o600); err != nil {
					t.Fatal(err)
				}
				in, err := Open(cut, mine)
				if err != nil {
					t.Fatal(err)
				}
				part, err := io.ReadAll(in)
				pcm := sound(t, part)[0]
				if err != nil || in.Complete || len(pcm) < 8000*2 {
					t.Errorf("after a crash: %d samples, %v, complete %v", len(pcm), err, in.Complete)
				}
				if l := level(pcm, 0.1, 2, 500); math.Abs(l+10) > 0.5 {
					t.Errorf("after a crash %.1f dBm0", l)
				}
				_ = in.Close()
			}

			if _, err := Open(path, &Seal{Keys: keys, Place: []byte("recording 2")}); !errors.Is(err, ErrSealed) {
				t.Errorf("in another place: %v", err)
			}
			if _, err := Open(path+"x", mine); !errors.Is(err, os.ErrNotExist) {
				t.Errorf("no file: %v", err)
			}
		})
	}
}

// written is a sealed file with that much sound, and the sound.
func written(t testing.TB, size int) (sealedFile, sound []byte) {
	t.Helper()
	f := &memory{}
	w, err := newSealed(f, &wavCoder{wav.Format{Encoding: "PCM16", Rate: 8000, Channels: 1}}, &Seal{Keys: vault{}, Chunk: leastChunk})
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]int16, size/2)
	for i := range pcm {
		pcm[i] = int16(i * 7)
		sound = binary.LittleEndian.AppendUint16(sound, uint16(pcm[i]))
	}
	for rest := pcm; len(rest) > 0; {
		n := min(len(rest), 1001)
		if err := errors.Join(w.write([][]int16{rest}, n), w.flush()); err != nil {
			t.Fatal(err)
		}
		rest = rest[n:]
	}
	if err := w.close(true); err != nil {
		t.Fatal(err)
	}
	return f.data, sound
}

func TestRandomAccess(t *testing.T) {
	for _, size := range []int{0, 2, leastChunk - 2, leastChunk, leastChunk + 2, 5 * leastChunk, 5*leastChunk + 700} {
		file, want := written(t, size)
		r, err := open(bytes.NewReader(file), int64(len(file)), &Seal{Keys: vault{}})
		if err != nil || !r.Complete || r.Size() != int64(44+size) {
			t.Fatalf("%d bytes: %v, complete %v", size, err, r.Complete)
		}
		want = append(wav.Format{Encoding: "PCM16", Rate: 8000, Channels: 1}.AppendHeader(nil, int64(size)), want...)
		random := rand.New(rand.NewPCG(1, uint64(size)))
		for range 200 {
			at := random.IntN(len(want) + 1)
			p := make([]byte, random.IntN(3*leastChunk))
			n, err := r.ReadAt(p, int64(at))
			if !bytes.Equal(p[:n], want[at:at+n]) || n < min(len(p), len(want)-at) || err != nil && err != io.EOF {
				t.Fatalf("%d bytes at %d: %d, %v", len(p), at, n, err)
			}
		}
	}
}

// A chunk may end within a sample of all channels; a file that was cut there ends before it.
func TestCutWithinASample(t *testing.T) {
	f := &memory{}
	is := wav.Format{Encoding: "PCM16", Rate: 8000, Channels: 2}
	w, err := newSealed(f, &wavCoder{is}, &Seal{Keys: vault{}, Chunk: leastChunk + 3})
	if err != nil {
		t.Fatal(err)
	}
	pcm := make([]int16, 2000)
	if err := w.write([][]int16{pcm, pcm}, len(pcm)); err != nil { // not closed: killed
		t.Fatal(err)
	}
	r, err := open(bytes.NewReader(f.data), int64(len(f.data)), &Seal{Keys: vault{}})
	if err != nil {
		t.Fatal(err)
	}
	p := make([]byte, 3*leastChunk)
	n, err := r.ReadAt(p, 0)
	if want := is.HeaderSize() + leastChunk; n != want || err != io.EOF || !bytes.Equal(p[:is.HeaderSize()], is.AppendHeader(nil, leastChunk)) {
		t.Errorf("%d bytes, %v, want %d", n, err, want)
	}
}

func TestAlteredChunksAreNotRead(t *testing.T) {
	file, _ := written(t, 3*leastChunk+100)
	whole := leastChunk + tagSize
	swapped := slices.Clone(file)
	copy(swapped[sealHeader:], file[sealHeader+whole:sealHeader+2*whole])
	copy(swapped[sealHeader+whole:], file[sealHeader:sealHeader+whole])
	flipped := slices.Clone(file)
	flipped[sealHeader+5] ^= 1
	rate := slices.Clone(file)
	rate[14] = 0x3e // 16000 samples a second
	rate[15] = 0x80
	for name, b := range map[string][]byte{"swapped": swapped, "flipped": flipped, "another rate": rate} {
		r, err := open(bytes.NewReader(b), int64(len(b)), &Seal{Keys: vault{}})
		if err == nil {
			_, err = io.ReadAll(r)
		}
		if !errors.Is(err, ErrSealed) {
			t.Errorf("%s: %v", name, err)
		}
	}
	short := file[:len(file)-50-tagSize]
	r, err := open(bytes.NewReader(short), int64(len(short)), &Seal{Keys: vault{}})
	if err != nil || r.Complete {
		t.Errorf("cut: %v, complete %v", err, r.Complete)
	}
}

// Nothing that is no sealed file of ours makes more memory than a chunk, or anything but an error.
func FuzzOpen(f *testing.F) {
	file, _ := written(f, 5000)
	f.Add(file)
	f.Add(file[:300])
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := open(bytes.NewReader(in), int64(len(in)), &Seal{Keys: vault{}})
		if err != nil {
			return
		}
		n, err := io.Copy(io.Discard, r)
		if n > int64(len(in)) || err != nil && !errors.Is(err, ErrSealed) {
			t.Fatalf("%d bytes of %d, %v", n, len(in), err)
		}
	})
}

func TestRepairOfWaves(t *testing.T) {
	for _, is := range []wav.Format{
		{Encoding: "PCMA", Rate: 8000, Channels: 2}, {Encoding: "PCM16", Rate: 16000, Channels: 2}, {Encoding: "PCMA", Rate: 8000, Channels: 1},
	} {
		path := filepath.Join(t.TempDir(), "a.wav")
		b := is.AppendHeader(nil, 400)
		b = append(b, make([]byte, 1001)...) // behind the 400 that the header knows
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		if changed, err := Repair(path); !changed || err != nil {
			t.Fatalf("%v: %v, %v", is, changed, err)
		}
		if changed, err := Repair(path); changed || err != nil {
			t.Errorf("%v again: %v, %v", is, changed, err)
		}
		got, _ := os.ReadFile(path)
		whole := 1001 / is.BlockSize() * is.BlockSize()
		if want := is.AppendHeader(nil, int64(whole)); !bytes.Equal(got[:len(want)], want) {
			t.Errorf("%v: % x", is, got[:60])
		}
	}
}

// A repair changes headers and ends of our own files only, and a second one finds nothing to do.
func FuzzRepair(f *testing.F) {
	f.Add(append(wav.Format{Encoding: "PCMA", Rate: 8000, Channels: 2}.AppendHeader(nil, 9), make([]byte, 100)...))
	f.Add([]byte("RIFF"))
	f.Add([]byte("OggS"))
	f.Fuzz(func(t *testing.T, in []byte) {
		file := &fileBytes{bytes.Clone(in)}
		changed, err := repair(file)
		if (err != nil || !changed) && !bytes.Equal(file.data, in) {
			t.Fatalf("changed in spite of %v", err)
		}
		if err != nil {
			return
		}
		if again, err := repair(file); again || err != nil {
			t.Fatalf("second time: %v, %v", again, err)
		}
	})
}

func TestFramesAllocateNothing(t *testing.T) {
	e := New()
	r := start(t, e, Options{File: &memory{}})
	frame := make(codec.Frame, 160)
	c := r.Channel(0)
	if n := testing.AllocsPerRun(500, func() { c.WriteFrame(frame) }); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

// What 200 recordings of two channels cost for each second of a call: frames, encoding, writing to a disk.
func BenchmarkRecordings(b *testing.B) {
	for _, encoding := range []string{"PCMA", "PCM16"} {
		b.Run(encoding, func(b *testing.B) {
			const calls = 200
			e := New()
			var all []*Recording
			for i := range calls {
				r, err := e.Start(Options{Path: filepath.Join(b.TempDir(), string(rune('a'+i%26))), Encoding: encoding})
				if err != nil {
					b.Fatal(err)
				}
				all = append(all, r)
			}
			frame := make(codec.Frame, 160)
			for i := range frame {
				frame[i] = int16(i * 300)
			}
			b.ReportAllocs()
			for b.Loop() { // one second of all
				for range 2 {
					for _, r := range all {
						r.began = r.began.Add(-500 * time.Millisecond)
						for _, c := range r.channels {
							for range 25 {
								c.WriteFrame(frame)
							}
						}
					}
					e.pass()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/calls/1e7, "%core/recording")
			for _, r := range all {
				r.Stop()
			}
			e.pass()
		})
	}
}
