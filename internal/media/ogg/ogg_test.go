package ogg

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
)

// stream writes packets of the given sizes, a page after each few.
func stream(t testing.TB, h Head, each int, packets ...[]byte) []byte {
	t.Helper()
	w, b := NewWriter(nil, h, "test")
	var err error
	for i, p := range packets {
		if b, err = w.Write(b, p, 960); err != nil {
			t.Fatal(err)
		}
		if i%each == each-1 {
			b = w.Flush(b)
		}
	}
	return w.Close(b)
}

func noise(sizes ...int) (packets [][]byte) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, n := range sizes {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		packets = append(packets, p)
	}
	return packets
}

func TestPacketsComeBack(t *testing.T) {
	packets := noise(1, 0, 254, 255, 256, 510, 1276, 3, 60000, 100)
	for _, each := range []int{1, 3, 100} {
		h := Head{Channels: 2, PreSkip: 312, Rate: 16000, Streams: 2, Gain: -256}
		b := stream(t, h, each, packets...)
		r, err := NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if r.Head != h {
			t.Errorf("header %+v", r.Head)
		}
		for i, want := range packets {
			if got, err := r.Next(); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("packet %d of %d bytes: %d bytes, %v", i, len(want), len(got), err)
			}
		}
		if _, err := r.Next(); err != io.EOF {
			t.Errorf("at the end: %v", err)
		}
	}
	w, _ := NewWriter(nil, Head{Channels: 1, Streams: 1}, "")
	if _, err := w.Write(nil, make([]byte, 255*255), 960); !errors.Is(err, ErrPacket) {
		t.Errorf("endless packet: %v", err)
	}
}

// The sum of the usual check string, worked out bit by bit: RFC 3533 §6 gives no example.
func TestChecksum(t *testing.T) {
	if got := checksum(0, []byte("123456789")); got != 0x89a1897f {
		t.Errorf("checksum %08x", got)
	}
}

func TestCutAndDamagedFiles(t *testing.T) {
	packets := noise(50, 50, 50, 50)
	b := stream(t, Head{Channels: 1, Streams: 1}, 1, packets...)
	for n := range b {
		r, err := NewReader(bytes.NewReader(b[:n]))
		if err != nil {
			if !errors.Is(err, ErrFormat) {
				t.Fatalf("cut to %d bytes: %v", n, err)
			}
			continue
		}
		for i := 0; ; i++ {
			p, err := r.Next()
			if err == io.EOF {
				break
			}
			if err != nil || !bytes.Equal(p, packets[i]) {
				t.Fatalf("cut to %d bytes, packet %d: %v", n, i, err)
			}
		}
		damaged := slices.Clone(b)
		damaged[n] ^= 0x10
		if r, err := NewReader(bytes.NewReader(damaged)); err == nil {
			for err == nil {
				_, err = r.Next()
			}
			if err != io.EOF && !errors.Is(err, ErrFormat) {
				t.Errorf("byte %d changed: %v", n, err)
			}
		}
	}
}

func TestPairs(t *testing.T) {
	for _, n := range []int{1, 2, 252, 253, 254, 256, 257, 1000, 1276} {
		first, second := noise(n, 7)[0], noise(1, 33)[1]
		first[0] &^= 3
		b, err := AppendPair(nil, first, second)
		if err != nil {
			t.Fatal(err)
		}
		x, y, err := SplitPair(nil, b)
		if err != nil || !bytes.Equal(x, first) || !bytes.Equal(y, second) {
			t.Errorf("%d bytes came back as %d and %d, %v", n, len(x), len(y), err)
		}
	}
	for _, bad := range [][2][]byte{{nil, {0}}, {{0}, nil}, {{1, 2}, {0}}, {make([]byte, 1277), {0}}} {
		if _, err := AppendPair(nil, bad[0], bad[1]); !errors.Is(err, ErrFormat) {
			t.Errorf("%v", err)
		}
	}
}

// A file that is read gives packets that are written and read again as the same; memory is bounded by the input.
func FuzzReader(f *testing.F) {
	f.Add(stream(f, Head{Channels: 1, Streams: 1, PreSkip: 312}, 2, noise(10, 300, 20)...))
	f.Add(stream(f, Head{Channels: 2, Streams: 2}, 1, noise(1000, 1)...))
	f.Add([]byte("OggS"))
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := NewReader(bytes.NewReader(in))
		if err != nil {
			return
		}
		var packets [][]byte
		total := 0
		for {
			p, err := r.Next()
			if err != nil {
				break
			}
			_, _, _ = SplitPair(nil, p)
			if len(p)/255+1 > maxSegments {
				return
			}
			total += len(p)
			packets = append(packets, bytes.Clone(p))
		}
		if total > len(in) {
			t.Fatalf("%d bytes out of %d", total, len(in))
		}
		again, err := NewReader(bytes.NewReader(stream(t, r.Head, 3, packets...)))
		if err != nil || again.Head != r.Head {
			t.Fatalf("%+v came back as %+v, %v", r.Head, again, err)
		}
		for i, want := range packets {
			if got, err := again.Next(); err != nil || !bytes.Equal(got, want) {
				t.Fatalf("packet %d: %v", i, err)
			}
		}
	})
}
