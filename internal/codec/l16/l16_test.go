package l16

import (
	"bytes"
	"slices"
	"testing"

	"dialtone/internal/codec"
)

var (
	_ codec.Encoder = Encoder{}
	_ codec.Decoder = (*Decoder)(nil)
)

func TestNetworkByteOrder(t *testing.T) {
	pcm := codec.Frame{0, 1, -1, 256, 32767, -32768}
	want := []byte{9, 0, 0, 0, 1, 0xff, 0xff, 1, 0, 0x7f, 0xff, 0x80, 0}
	payload := Encoder{}.Encode([]byte{9}, pcm)
	if !bytes.Equal(payload, want) {
		t.Errorf("payload % x, want % x", payload, want)
	}
	d := NewDecoder(8000)
	if back := d.Decode(codec.Frame{5}, append(payload[1:], 7)); !slices.Equal(back, append(codec.Frame{5}, pcm...)) {
		t.Errorf("samples %v", back)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	d, in := NewDecoder(16000), make(codec.Frame, 320)
	payload, pcm := make([]byte, 0, 640), make(codec.Frame, 0, 640)
	if n := testing.AllocsPerRun(100, func() {
		payload = Encoder{}.Encode(payload[:0], in)
		pcm = d.Decode(pcm[:0], payload)
		pcm = d.Conceal(pcm, 320)
	}); n != 0 {
		t.Errorf("%v allocations a frame", n)
	}
}

func BenchmarkEncode(b *testing.B) {
	in, payload := make(codec.Frame, 320), make([]byte, 0, 640)
	b.ReportAllocs()
	for b.Loop() {
		payload = Encoder{}.Encode(payload[:0], in)
	}
}

func BenchmarkDecode(b *testing.B) {
	d, pcm, payload := NewDecoder(16000), make(codec.Frame, 0, 320), make([]byte, 640)
	b.ReportAllocs()
	for b.Loop() {
		pcm = d.Decode(pcm[:0], payload)
	}
}
