package media

import (
	"sync"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// decoder turns the party's packets into PCM for a sink. It keeps the party's time: what did not arrive is silence,
// what arrives too late is dropped. It has no jitter buffer and adds no delay.
type decoder struct {
	st *Stream

	mu    sync.Mutex
	sink  Sink // nil once detached
	voice voice
	begun bool
	ssrc  uint32
	next  uint32 // timestamp of the sample that is due
	frame [frameSamples]int16
}

// longestGap is how much silence is made up for at once; a longer leap of the timestamp is a new beginning.
const longestGap = 8000 // samples

func newDecoder(st *Stream, sink Sink) *decoder { return &decoder{st: st, sink: sink} }

func (d *decoder) String() string { return "decode" }

func (d *decoder) detach() {
	d.mu.Lock()
	d.sink = nil
	d.mu.Unlock()
}

// WritePackets implements Output.
func (d *decoder) WritePackets(ps []network.Packet) {
	if d.st.secure.Load() {
		return
	}
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
	if d.voice.codec != nil && d.voice.payload.Type == pt {
		return true
	}
	p, ok := d.st.codec(pt)
	if !ok {
		return false
	}
	codec := codecOf(p)
	if codec == nil {
		return false
	}
	d.voice = voice{codec: codec, payload: p}
	return true
}

// take decodes one packet behind the silence that may be missing before it.
func (d *decoder) take(p *rtp.Packet) {
	gap := rtp.TimestampDiff(p.Timestamp, d.next)
	switch {
	case !d.begun || p.SSRC != d.ssrc || gap > longestGap || gap < -longestGap:
		d.begun, d.ssrc = true, p.SSRC
	case gap < 0:
		return
	case gap > 0:
		clear(d.frame[:])
		for gap > 0 {
			n := min(gap, frameSamples)
			d.sink.WriteFrame(d.frame[:n])
			gap -= n
		}
	}
	d.next = p.Timestamp
	for rest := p.Payload; len(rest) > 0; {
		n := min(len(rest), frameSamples)
		frame := d.voice.codec.Decode(d.frame[:0], rest[:n])
		d.sink.WriteFrame(frame)
		d.next += uint32(n)
		rest = rest[n:]
	}
}
