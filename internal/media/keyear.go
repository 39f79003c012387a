package media

import (
	"strings"
	"sync/atomic"
	"time"

	"dialtone/internal/codec/g711"
	"dialtone/internal/media/tone"
	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// keyEar listens for keys that a party presses as tones in its voice: one that has no telephone-events, or that is
// configured so. It hears G.711, the only codec through which tones come reliably (RFC 4733 §1). The worker that has the
// packets owns it.
type keyEar struct {
	st       *Stream
	detector tone.DTMF
	report   func(tone.Press) // press, made once: a packet must allocate nothing
	pcm      []int16
	next     uint32 // timestamp of the sample that is due
}

// keyEars is a stream's ear; nil where keys come in another form.
type keyEars struct{ atomic.Pointer[keyEar] }

// listenForKeys gives the stream an ear, or takes it away, as the descriptions and the terms now want it. To hear costs a
// fifth of what to relay a packet does, so it is done for somebody only.
func (st *Stream) listenForKeys() {
	wants := false
	switch list := st.wanted.Load(); st.session.terms.Digits {
	case DigitTones:
		wants = true
	case DigitsAuto:
		wants = list != nil && len(*list) > 0
		for i := 0; wants && i < len(*list); i++ {
			wants = !(*list)[i].isEvent()
		}
	}
	switch {
	case !wants || st.Kind() != "audio" || st.session.onDigit.Load() == nil:
		st.ears.Store(nil)
	case st.ears.Load() == nil:
		e := &keyEar{st: st}
		e.report = e.press
		st.ears.Store(e)
	}
}

// hear takes packets of the party.
func (e *keyEar) hear(ps []network.Packet) {
	for i := range ps {
		var p rtp.Packet
		if p.Parse(ps[i].Data) != nil {
			continue
		}
		codec, ok := e.st.codec(p.PayloadType)
		switch {
		case !ok || len(p.Payload) > 960:
			continue
		case strings.EqualFold(codec.Name, "PCMA"):
			e.pcm = g711.ALaw{}.Decode(e.pcm[:0], p.Payload)
		case strings.EqualFold(codec.Name, "PCMU"):
			e.pcm = g711.MuLaw{}.Decode(e.pcm[:0], p.Payload)
		default:
			continue
		}
		if gap := rtp.TimestampDiff(p.Timestamp, e.next); gap != 0 && (gap < 0 || gap > 800) {
			e.detector.Reset() // another source, or a pause
		}
		e.next = p.Timestamp + uint32(len(e.pcm))
		e.detector.Write(e.pcm, e.report)
	}
}

// press tells a key when it is released.
func (e *keyEar) press(p tone.Press) {
	if p.Ended {
		e.st.session.pressed(rtp.Press{Key: p.Key, Duration: p.Length.Round(time.Millisecond)})
	}
}
