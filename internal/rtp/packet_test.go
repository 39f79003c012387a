package rtp

import (
	"bytes"
	"errors"
	"testing"
)

func TestPacketParse(t *testing.T) {
	for name, tt := range map[string]struct {
		in   []byte
		want Packet
		err  error
	}{
		"plain": {[]byte{0x80, 0x88, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8, 0xd5, 0xd5},
			Packet{Marker: true, PayloadType: 8, Sequence: 0x1234, Timestamp: 0x01020304, SSRC: 0x05060708, Payload: []byte{0xd5, 0xd5}}, nil},
		"no payload": {[]byte{0x80, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}, Packet{Sequence: 1, Timestamp: 2, SSRC: 3, Payload: []byte{}}, nil},
		"everything": {[]byte{0xb1, 0x65, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 9, 0xbe, 0xde, 0, 1, 0x10, 0x42, 0, 0, 7, 0, 2},
			Packet{PayloadType: 101, Sequence: 1, Timestamp: 2, SSRC: 3, CSRC: []byte{9, 9, 9, 9}, HasExtension: true, ExtensionProfile: 0xbede,
				Extension: []byte{0x10, 0x42, 0, 0}, Payload: []byte{7}, Padding: 2}, nil},
		"empty extension": {[]byte{0x90, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1, 0, 0, 5},
			Packet{Sequence: 1, Timestamp: 2, SSRC: 3, HasExtension: true, ExtensionProfile: 1, Extension: []byte{}, Payload: []byte{5}}, nil},
		"only padding":         {[]byte{0xa0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 2}, Packet{Sequence: 1, Timestamp: 2, SSRC: 3, Payload: []byte{}, Padding: 2}, nil},
		"empty":                {nil, Packet{}, ErrShort},
		"eleven bytes":         {make([]byte, 11), Packet{}, ErrShort},
		"version 1":            {[]byte{0x40, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}, Packet{}, ErrVersion},
		"CSRC cut":             {[]byte{0x82, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 9, 9}, Packet{}, ErrShort},
		"extension header cut": {[]byte{0x90, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1}, Packet{}, ErrShort},
		"extension lies":       {[]byte{0x90, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 1, 0xff, 0xff, 1, 2, 3, 4}, Packet{}, ErrShort},
		"padding lies":         {[]byte{0xa0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 2, 4}, Packet{}, ErrPadding},
		"padding 0":            {[]byte{0xa0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 1, 0}, Packet{}, ErrPadding},
		"padding of nothing":   {[]byte{0xa0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3}, Packet{}, ErrPadding},
	} {
		var p Packet
		err := p.Parse(tt.in)
		if !errors.Is(err, tt.err) || err == nil && !equalPackets(p, tt.want) {
			t.Errorf("%s: %+v, %v, want %+v, %v", name, p, err, tt.want, tt.err)
		}
		if err == nil && !bytes.Equal(p.Append(nil), tt.in) {
			t.Errorf("%s: printed %x, want %x", name, p.Append(nil), tt.in)
		}
	}
}

func equalPackets(p, q Packet) bool {
	same := p.Marker == q.Marker && p.PayloadType == q.PayloadType && p.Sequence == q.Sequence && p.Timestamp == q.Timestamp
	same = same && p.SSRC == q.SSRC && p.HasExtension == q.HasExtension && p.ExtensionProfile == q.ExtensionProfile && p.Padding == q.Padding
	return same && bytes.Equal(p.CSRC, q.CSRC) && bytes.Equal(p.Extension, q.Extension) && bytes.Equal(p.Payload, q.Payload)
}

// RFC 7983 §7 for every first byte, RFC 5761 §4 for every second.
func TestClassify(t *testing.T) {
	for first := range 256 {
		for second := range 256 {
			want := Unknown
			switch {
			case first <= 3:
				want = STUN
			case first >= 20 && first <= 63:
				want = DTLS
			case first >= 64 && first <= 79:
				want = TURN
			case first >= 128 && first <= 191 && second >= 192 && second <= 223:
				want = RTCP
			case first >= 128 && first <= 191:
				want = RTP
			}
			if got := Classify([]byte{byte(first), byte(second)}); got != want {
				t.Fatalf("%d %d: %v, want %v", first, second, got, want)
			}
		}
	}
	if Classify(nil) != Unknown || Classify([]byte{0x80}) != Unknown {
		t.Error("too short")
	}
}

func TestDifferences(t *testing.T) {
	for _, tt := range []struct {
		a, b uint16
		want int
	}{{5, 3, 2}, {3, 5, -2}, {0, 65535, 1}, {65535, 0, -1}, {32767, 0, 32767}, {32768, 0, -32768}} {
		if got := SequenceDiff(tt.a, tt.b); got != tt.want {
			t.Errorf("%d-%d: %d, want %d", tt.a, tt.b, got, tt.want)
		}
	}
	if TimestampDiff(10, 1<<32-10) != 20 || TimestampDiff(1<<32-10, 10) != -20 {
		t.Error("timestamps do not wrap")
	}
}

func TestPacketAllocatesNothing(t *testing.T) {
	in := (&Packet{PayloadType: 8, CSRC: make([]byte, 8), HasExtension: true, Extension: make([]byte, 4), Payload: make([]byte, 160)}).Append(nil)
	out := make([]byte, 0, 1500)
	var p Packet
	n := testing.AllocsPerRun(100, func() {
		if err := p.Parse(in); err != nil {
			panic(err)
		}
		out = p.Append(out[:0])
	})
	if n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkPacketParse(b *testing.B) {
	in := (&Packet{PayloadType: 8, Payload: make([]byte, 160)}).Append(nil)
	var p Packet
	b.ReportAllocs()
	for b.Loop() {
		if err := p.Parse(in); err != nil {
			b.Fatal(err)
		}
	}
}

// What parses prints to the same bytes, but for the content of padding.
func FuzzPacket(f *testing.F) {
	f.Add([]byte{0xb1, 0x65, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 9, 9, 9, 9, 0xbe, 0xde, 0, 1, 0x10, 0x42, 0, 0, 7, 0, 2})
	f.Add([]byte{0x80, 0x88, 0x12, 0x34, 1, 2, 3, 4, 5, 6, 7, 8, 0xd5})
	f.Fuzz(func(t *testing.T, b []byte) {
		var p, q Packet
		if p.Parse(b) != nil {
			return
		}
		printed := p.Append(nil)
		body := len(b) - int(p.Padding)
		if len(printed) != len(b) || !bytes.Equal(printed[:body], b[:body]) {
			t.Fatalf("%x printed as %x", b, printed)
		}
		if err := q.Parse(printed); err != nil || !equalPackets(p, q) {
			t.Fatalf("%+v came back as %+v, %v", p, q, err)
		}
	})
}
