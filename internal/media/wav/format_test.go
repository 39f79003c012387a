package wav

import (
	"bytes"
	"errors"
	"io"
	"testing"
)

func TestHeadersAreRead(t *testing.T) {
	for _, is := range []Format{
		{"PCM16", 8000, 1}, {"PCM16", 48000, 2}, {"PCMA", 8000, 1}, {"PCMA", 8000, 2}, {"PCMU", 8000, 2},
	} {
		if err := is.Validate(); err != nil {
			t.Errorf("%+v: %v", is, err)
		}
		const n = 1000
		b := is.AppendHeader(nil, int64(n*is.BlockSize()))
		if len(b) != is.HeaderSize() {
			t.Errorf("%+v: %d bytes, not %d", is, len(b), is.HeaderSize())
		}
		f, err := NewReader(bytes.NewReader(append(b, make([]byte, (n+5)*is.BlockSize())...)))
		if err != nil {
			t.Errorf("%+v: %v", is, err)
			continue
		}
		pcm := make([]int16, 2*n)
		got, err := f.Read(pcm)
		if err != nil && err != io.EOF || got != n || f.Rate != is.Rate || f.Channels != is.Channels || f.Encoding != is.Encoding {
			t.Errorf("%+v: %d samples of %+v, %v", is, got, f, err)
		}
	}
	for _, is := range []Format{{}, {"PCM16", 7000, 1}, {"PCM16", 8000, 0}, {"PCM16", 8000, 256}, {"MP3", 8000, 1}} {
		if err := is.Validate(); !errors.Is(err, ErrFormat) {
			t.Errorf("%+v: %v", is, err)
		}
	}
}

// Whatever the header and the rate wanted: no more comes out than goes in, and the same in pieces of any size.
func FuzzReader(f *testing.F) {
	f.Add(file(1, 1, 8000, 16, pcm16(1, 2, 3), -1), 3)
	f.Add(Format{"PCMA", 8000, 2}.AppendHeader(nil, 4), 1)
	f.Add(file(7, 2, 11025, 8, []byte{1, 2, 3}, -1, []byte("LIST\x01\x00\x00\x00a\x00")...), 100)
	f.Fuzz(func(t *testing.T, in []byte, piece int) {
		whole, err := NewReader(bytes.NewReader(in))
		if err != nil {
			return
		}
		want := make([]int16, len(in)+1)
		n, _ := whole.Read(want)
		if n > len(in) {
			t.Fatalf("%d samples of %d bytes", n, len(in))
		}
		r, err := NewReader(bytes.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		part := make([]int16, max(1, min(piece, 5000)))
		for at := 0; ; {
			k, err := r.Read(part)
			for i, s := range part[:k] {
				if at+i >= n || s != want[at+i] {
					t.Fatalf("sample %d in pieces of %d differs", at+i, len(part))
				}
			}
			if at += k; err != nil {
				if at != n {
					t.Fatalf("%d samples in pieces of %d, %d in one", at, len(part), n)
				}
				return
			}
		}
	})
}
