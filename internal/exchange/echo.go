package exchange

import (
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/sdp"
)

// echoTime is how long an echo test lasts at most.
const echoTime = 10 * time.Minute

// echo answers the caller and sends them what they say, until they hang up.
func echo(c *call.Call) cause.Cause {
	var answer *sdp.Description
	if offer := c.Offer(); offer != nil {
		var err error
		if answer, _, err = sdp.Answer(offer, echoes(offer)); err != nil {
			return cause.NotAcceptable()
		}
	} else {
		answer = sdp.Offer(echoes(nil))
	}
	c.Answer(answer)
	return reflect(c)
}

// reflect keeps an answered echo going.
func reflect(c *call.Call) cause.Cause {
	until := c.Record().Answer.Add(echoTime)
	if !reflects(c) {
		return cause.NotAcceptable()
	}
	for {
		e, err := c.Next(until)
		switch {
		case errors.Is(err, call.ErrTimeout):
			return cause.MaxDuration()
		case err != nil:
			return c.Cause()
		}
		switch e := e.(type) {
		case call.Acked:
			if !c.IsDelayed() {
				continue
			}
			if e.Description == nil {
				return cause.NotAcceptable()
			}
			c.Negotiated(nil)
		case call.Updated:
			renew(c, e)
		default:
			continue
		}
		if !reflects(c) {
			return cause.NotAcceptable()
		}
	}
}

// reflects makes the streams that the caller has now send back what they hear.
func reflects(c *call.Call) bool {
	m := c.Caller().Media()
	return m == nil || m.Echo() == nil
}

// renew answers a change of the media.
func renew(c *call.Call, e call.Updated) {
	if e.Offer == nil {
		e.Leg.Respond(sdp.Offer(echoes(nil)), cause.Cause{})
		return
	}
	answer, _, err := sdp.Answer(e.Offer, echoes(e.Offer))
	if err != nil {
		e.Leg.Respond(nil, cause.NotAcceptable())
		return
	}
	e.Leg.Respond(answer, cause.Cause{})
	c.Negotiated(e.Offer)
}

// echoes are the capabilities of an echo: whatever the caller speaks, since nothing is decoded.
func echoes(offer *sdp.Description) sdp.Capabilities {
	c := sdp.Capabilities{
		// The leg puts its own address in; an unspecified one would read as a hold (RFC 3264 §8.4).
		Address: netip.AddrFrom4([4]byte{127, 0, 0, 1}),
		Origin:  sdp.Origin{Username: "-"}, Mux: true, DTMF: true,
		Audio: []sdp.Codec{sdp.PCMA(), sdp.PCMU()},
	}
	if offer == nil {
		return c
	}
	c.Audio = nil
	for i := range offer.Media {
		if offer.Media[i].Kind != "audio" {
			continue
		}
		for _, codec := range offer.Media[i].Codecs() {
			if codec.Is(sdp.TelephoneEvent) || codec.Is("CN") || strings.EqualFold(codec.Name, "red") {
				continue
			}
			if !slices.ContainsFunc(c.Audio, codec.Same) {
				c.Audio = append(c.Audio, codec)
			}
		}
	}
	return c
}
