package opus

import "testing"

func TestSamples(t *testing.T) {
	for _, tt := range []struct {
		payload []byte
		want    int // at 48 kHz
	}{
		{nil, 0},
		{[]byte{0 << 3}, 480}, {[]byte{1 << 3}, 960}, {[]byte{2 << 3}, 1920}, {[]byte{3 << 3}, 2880},
		{[]byte{7 << 3}, 2880}, {[]byte{9<<3 | 4}, 960}, {[]byte{11 << 3}, 2880},
		{[]byte{12 << 3}, 480}, {[]byte{13 << 3}, 960}, {[]byte{14 << 3}, 480}, {[]byte{15 << 3}, 960},
		{[]byte{16 << 3}, 120}, {[]byte{17 << 3}, 240}, {[]byte{22 << 3}, 480}, {[]byte{31 << 3}, 960},
		{[]byte{1<<3 | 1}, 1920}, {[]byte{3<<3 | 2}, 5760},
		{[]byte{1<<3 | 3}, 0}, {[]byte{1<<3 | 3, 0}, 0}, {[]byte{1<<3 | 3, 0xc0}, 0},
		{[]byte{1<<3 | 3, 3}, 2880}, {[]byte{1<<3 | 3, 0xc6}, 5760}, {[]byte{1<<3 | 3, 7}, 0},
		{[]byte{16<<3 | 3, 48}, 5760}, {[]byte{16<<3 | 3, 49}, 0},
	} {
		for _, rate := range []int{8000, 12000, 16000, 24000, 48000} {
			if got := Samples(tt.payload, rate); got != tt.want*rate/48000 {
				t.Errorf("% x at %d Hz: %d samples, want %d", tt.payload, rate, got, tt.want*rate/48000)
			}
		}
	}
}

// Whatever the bytes: between nothing and 120 ms, a multiple of 2.5 ms, at every rate the same time.
func FuzzSamples(f *testing.F) {
	f.Add([]byte{0x0b, 3, 1, 2})
	f.Fuzz(func(t *testing.T, payload []byte) {
		n := Samples(payload, 48000)
		if n < 0 || n > 5760 || n%120 != 0 {
			t.Fatalf("%d samples", n)
		}
		if m := Samples(payload, 8000); m*6 != n {
			t.Fatalf("%d samples at 8000 Hz, %d at 48000", m, n)
		}
		if n > 0 && Frames(payload) > 48 {
			t.Fatalf("%d frames", Frames(payload))
		}
	})
}
