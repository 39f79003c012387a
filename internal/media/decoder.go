package media

import (
	"sync"

	"dialtone/internal/codec"
	"dialtone/internal/codec/resample"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// decoder turns the party's packets into PCM for a sink. It keeps the party's time: what did not arrive is silence,
// what arrives too late is dropped. It has no jitter buffer and adds no delay.
type decoder struct {
	st *Stream

	mu    sync.Mutex
	sink  Sink // nil once detached
	rate  int  // of its frames, in Hz
	ear   hearing
	begun bool
	ssrc  uint32
	next  uint32 // timestamp of the sample that is due
	frame codec.Frame
}

// hearing is a decoder under the payload type of a party.
type hearing struct {
	payload payload
	decoder codec.Decoder
	rate    int                 // of its PCM
	bring   *resample.Resampler // to that of the sink; nil where it is that
}

// longestGap is how much silence is made up for at once; a longer leap of the timestamp is a new beginning.
const longestGap = 1 // seconds

func newDecoder(st *Stream, sink Sink) *decoder {
	return &decoder{st: st, sink: sink, rate: rateFor(sink)}
}

func (d *decoder) String() string { return "decode" }

func (d *decoder) detach() {
	d.mu.Lock()
	d.sink = nil
	d.mu.Unlock()
}

// WritePackets implements Output.
func (d *decoder) WritePackets(ps []network.Packet) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range ps {
		if d.sink == nil {
			return
		}
		var p rtp.Packet
		if p.Parse(ps[i].Data) == nil && d.know(p.PayloadType) {
			d.take(&p)
		}
	}
}

// know finds the codec of a payload type.
func (d *decoder) know(pt uint8) bool {
	if d.ear.decoder != nil && d.ear.payload.Type == pt {
		return true
	}
	p, ok := d.st.codec(pt)
	if !ok {
		return false
	}
	spec, ok := p.spec()
	if !ok || spec.NewDecoder == nil {
		return false
	}
	x := hearing{payload: p, rate: nearestRate(spec.Rates, d.rate)}
	var err error
	if x.decoder, err = spec.NewDecoder(codec.Params{Rate: x.rate, FMTP: p.FMTP}); err != nil {
		return false
	}
	if x.rate != d.rate {
		if x.bring, err = resample.NewStream(x.rate, d.rate); err != nil {
			return false
		}
	}
	d.ear = x
	return true
}

// take decodes one packet behind the silence that may be missing before it.
func (d *decoder) take(p *rtp.Packet) {
	clock, whole := int(d.ear.payload.ClockRate), d.rate/framesPerSecond
	gap := rtp.TimestampDiff(p.Timestamp, d.next) * d.rate / clock
	switch {
	case !d.begun || p.SSRC != d.ssrc || gap > longestGap*d.rate || gap < -longestGap*d.rate:
		d.begun, d.ssrc = true, p.SSRC
	case gap < 0:
		return
	case gap > 0:
		d.frame = append(d.frame[:0], make([]int16, min(gap, whole))...)
		for gap > 0 {
			n := min(gap, whole)
			d.sink.WriteFrame(d.frame[:n])
			gap -= n
		}
	}
	pcm := d.ear.decoder.Decode(d.frame[:0], p.Payload)
	d.next = p.Timestamp + uint32(len(pcm)*clock/d.ear.rate)
	if d.ear.bring != nil {
		n := len(pcm)
		pcm = d.ear.bring.Write(pcm, pcm)
		pcm = pcm[n:]
	}
	d.frame = pcm[:0]
	for len(pcm) > 0 {
		n := min(len(pcm), whole)
		d.sink.WriteFrame(pcm[:n])
		pcm = pcm[n:]
	}
}
