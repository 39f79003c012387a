// Package announce lets a service of the exchange speak to a caller: it answers the call with the codecs that are made
// here, keeps the media agreed upon through re-INVITEs, and plays tones.
//
// It owns the negotiation of services that make their own sound. It does not own what they say or hear, nor files.
//
// Goroutines: none; everything runs on that of the call. RFC 3264 (answers), RFC 6337 §3 (offers that come late).
package announce

import (
	"net/netip"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/codec/catalog"
	"dialtone/internal/media"
	"dialtone/internal/media/tone"
	"dialtone/internal/sdp"
)

// Capabilities are what a service speaks: every codec that this build encodes and decodes, the best first.
func Capabilities() sdp.Capabilities {
	c := sdp.Capabilities{
		// The leg puts its own address in; an unspecified one would read as a hold (RFC 3264 §8.4).
		Address: netip.AddrFrom4([4]byte{127, 0, 0, 1}),
		Origin:  sdp.Origin{Username: "-"}, Mux: true, DTMF: true,
	}
	for _, spec := range catalog.All() {
		if spec.NewEncoder == nil || spec.NewDecoder == nil || spec.Name == "L16" {
			continue
		}
		c.Audio = append(c.Audio, sdp.Codec{PayloadType: spec.PayloadType, Name: spec.Name, ClockRate: spec.ClockRate, Channels: max(spec.Channels, 1),
			FMTP: spec.FMTP})
	}
	return c
}

// answerTime is how long a caller that made no offer may take to answer ours.
const answerTime = 32 * time.Second // 64*T1: then the call is over anyway

// Answer answers the caller, and waits for the codecs of one that made no offer. The cause is zero when the caller can be
// spoken to.
func Answer(c *call.Call) cause.Cause {
	description := sdp.Offer(Capabilities())
	if offer := c.Offer(); offer != nil {
		var err error
		if description, _, err = sdp.Answer(offer, Capabilities()); err != nil {
			return cause.NotAcceptable()
		}
	}
	c.Answer(description)
	until := time.Now().Add(answerTime)
	for c.IsDelayed() {
		e, err := c.Next(until)
		if err != nil {
			return over(c)
		}
		if a, ok := e.(call.Acked); ok {
			if a.Description == nil {
				return cause.NotAcceptable() // RFC 3264 §4: our offer was never answered
			}
			c.Negotiated(nil)
		}
	}
	return cause.Cause{}
}

// Next is Call.Next, but answers changes of the media itself.
func Next(c *call.Call, until time.Time) (call.Event, error) {
	for {
		e, err := c.Next(until)
		if err != nil {
			return nil, err
		}
		if u, ok := e.(call.Updated); ok {
			renew(c, u)
			continue
		}
		return e, nil
	}
}

// renew answers a change of the media.
func renew(c *call.Call, e call.Updated) {
	if e.Offer == nil {
		e.Leg.Respond(sdp.Offer(Capabilities()), cause.Cause{})
		return
	}
	answer, _, err := sdp.Answer(e.Offer, Capabilities())
	if err != nil {
		e.Leg.Respond(nil, cause.NotAcceptable())
		return
	}
	e.Leg.Respond(answer, cause.Cause{})
	c.Negotiated(e.Offer)
}

// over is why the call has ended; one that goes on has not agreed in time.
func over(c *call.Call) cause.Cause {
	if why := c.Cause(); !why.IsZero() {
		return why
	}
	return cause.NotAcceptable()
}

// Tone plays a tone to the caller once. It returns at once.
func Tone(c *call.Call, t tone.Cadence, length time.Duration) {
	if m := c.Caller().Media(); m != nil {
		_, _ = m.Play(Samples(t, length)) // a caller that takes no sound of ours hears none
	}
}

// Samples is a tone as a source of that length, at 8 kHz.
func Samples(t tone.Cadence, length time.Duration) *media.Samples {
	pcm := make([]int16, length.Milliseconds()*8)
	tone.NewGenerator(t).Read(pcm)
	return &media.Samples{PCM: pcm}
}
