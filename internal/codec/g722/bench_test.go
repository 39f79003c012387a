package g722

import (
	"testing"

	"dialtone/internal/codec"
)

func BenchmarkEncode(b *testing.B) {
	e, pcm := NewEncoder(), chirp(Rate)
	var payload []byte
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := i % 50 * 320
		payload = e.Encode(payload[:0], pcm[at:at+320])
	}
}

func BenchmarkDecode(b *testing.B) {
	d, payload := NewDecoder(), NewEncoder().Encode(nil, chirp(Rate))
	var pcm codec.Frame
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := i % 50 * 160
		pcm = d.Decode(pcm[:0], payload[at:at+160])
	}
}

func BenchmarkConceal(b *testing.B) {
	d, payload := NewDecoder(), NewEncoder().Encode(nil, chirp(Rate))
	var pcm codec.Frame
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		at := i % 50 * 160
		pcm = d.Decode(pcm[:0], payload[at:at+160])
		pcm = d.Conceal(pcm[:0], 320)
	}
}
