package jitter

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/codec/catalog"
	"dialtone/internal/codec/g711"
	"dialtone/internal/rtp"
)

const frameTime = 20 * time.Millisecond

// codecs are the payload types of the party in these tests.
func codecs(pt uint8) (codec.Spec, codec.Params, bool) {
	switch pt {
	case 0:
		s, ok := catalog.Find("PCMU", 8000, 1)
		return s, codec.Params{}, ok
	case 8:
		s, ok := catalog.Find("PCMA", 8000, 1)
		return s, codec.Params{}, ok
	case 13:
		return codec.Spec{Name: "CN", ClockRate: 8000}, codec.Params{}, true
	case 96:
		return wide(), codec.Params{}, true
	case 97:
		return recovering(), codec.Params{}, true
	}
	return codec.Spec{}, codec.Params{}, false
}

// wide is a codec of 16 kHz and a clock of 48 kHz: linear samples.
func wide() codec.Spec {
	return codec.Spec{Name: "wide", ClockRate: 48000, Rates: []int{16000}, NewDecoder: func(codec.Params) (codec.Decoder, error) {
		return linear{}, nil
	}}
}

// linear decodes big-endian samples.
type linear struct{}

func (linear) Decode(dst codec.Frame, payload []byte) codec.Frame {
	for i := 0; i+1 < len(payload); i += 2 {
		dst = append(dst, int16(payload[i])<<8|int16(payload[i+1]))
	}
	return dst
}

func (linear) Conceal(dst codec.Frame, n int) codec.Frame {
	return append(dst, make(codec.Frame, n)...)
}

// recovering is a codec whose packets can be won back: the samples are negated where they were.
func recovering() codec.Spec {
	return codec.Spec{Name: "fec", ClockRate: 8000, Rates: []int{8000}, NewDecoder: func(codec.Params) (codec.Decoder, error) {
		return fec{}, nil
	}}
}

type fec struct{ linear }

func (fec) Recover(dst codec.Frame, next []byte, n int) codec.Frame {
	for range n {
		dst = append(dst, 7777)
	}
	return dst
}

func printLinear(pcm codec.Frame) []byte {
	var b []byte
	for _, s := range pcm {
		b = append(b, byte(s>>8), byte(s))
	}
	return b
}

// sent is a packet on its way.
type sent struct {
	packet  rtp.Packet
	arrival time.Duration
}

// party makes packets of PCMA, or of what encode makes.
type party struct {
	pcm    codec.Frame // at 8 kHz; repeated
	length int         // samples a packet; 0: 160
	pt     uint8
	clock  int     // timestamp units a sample; 0: 1
	ppm    float64 // of its clock: how much faster it is
	first  uint16
	encode func(codec.Frame) []byte
	delay  func(i int) (delays []time.Duration) // none: lost; several: duplicated
}

// send gives the packets of a time in the order of their arrival.
func (y party) send(total time.Duration) []sent {
	if y.length == 0 {
		y.length = 160
	}
	var list []sent
	each := time.Duration(float64(timeOf(y.length, 8000)) / (1 + y.ppm/1e6))
	for i := range int(total / each) {
		from := i * y.length % (len(y.pcm) / y.length * y.length)
		pcm := y.pcm[from : from+y.length]
		var payload []byte
		if y.encode != nil {
			payload = y.encode(pcm)
		} else {
			payload = g711.ALaw{}.Encode(nil, pcm)
		}
		p := rtp.Packet{
			PayloadType: y.pt, Sequence: y.first + uint16(i), Timestamp: 12345 + uint32(i*y.length*max(y.clock, 1)),
			SSRC: 99, Payload: payload,
		}
		at := time.Duration(float64(i) * float64(timeOf(y.length, 8000)) / (1 + y.ppm/1e6))
		delays := []time.Duration{0}
		if y.delay != nil {
			delays = y.delay(i)
		}
		for _, d := range delays {
			list = append(list, sent{p, at + d})
		}
	}
	slices.SortStableFunc(list, func(a, b sent) int { return cmp.Compare(a.arrival, b.arrival) })
	return list
}

// play pulls frames from the first at phase on until all has arrived and as long again as tail; each is called with
// what was pulled.
func play(r *Receiver, list []sent, phase, tail time.Duration, each func(frame codec.Frame, now time.Duration)) {
	frame := make(codec.Frame, r.Rate()/50)
	end := list[len(list)-1].arrival + frameTime + tail
	for now := phase; now < end; now += frameTime {
		for len(list) > 0 && list[0].arrival <= now {
			r.Put(&list[0].packet, list[0].arrival)
			list = list[1:]
		}
		r.ReadFrame(frame, now)
		if each != nil {
			each(frame, now)
		}
	}
}

func newReceiver(t testing.TB, rate int) *Receiver {
	t.Helper()
	r, err := New(Config{Rate: rate, Codec: codecs})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// seeded makes chance that can be repeated.
func seeded(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// voiced is speech-like: a gliding pitch with decaying harmonics, syllables and pauses, and a breath of noise.
func voiced(rng *rand.Rand, n int) codec.Frame {
	pcm := make(codec.Frame, n)
	phase, low := 0.0, 0.0
	var formants [13]float64 // by harmonic
	for i := range pcm {
		t := float64(i) / 8000
		pitch := 120 + 15*math.Sin(2*math.Pi*0.5*t) + 3*math.Sin(2*math.Pi*2.3*t)
		phase += 2 * math.Pi * pitch / 8000
		var s float64
		if i%80 == 0 {
			for h := range formants {
				f := float64(h) * pitch
				formants[h] = math.Exp(-math.Pow((f-600)/500, 2)) + 0.5*math.Exp(-math.Pow((f-1500)/300, 2))
			}
		}
		envelope := max(0, math.Sin(2*math.Pi*2.1*t)) // syllables
		for h := 1; h < len(formants) && envelope > 0; h++ {
			s += formants[h] * math.Sin(float64(h)*phase)
		}
		low += 0.5 * (rng.NormFloat64() - low)
		pcm[i] = int16(3000*envelope*s + 20*low)
	}
	return pcm
}

// throughALaw is what a decoder makes of samples.
func throughALaw(pcm codec.Frame) codec.Frame {
	return g711.ALaw{}.Decode(nil, g711.ALaw{}.Encode(nil, pcm))
}
