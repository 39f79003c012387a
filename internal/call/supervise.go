package call

import (
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/media"
)

// watchUntil is when watch has to look next; zero when nothing is supervised. The time follows from the last media
// that was seen, so that a call with media wakes up once in a media timeout and no more.
func (c *Call) watchUntil() time.Time {
	if !c.facts.IsAnswered() {
		return time.Time{}
	}
	var next time.Time
	if d := c.registry.config.MediaTimeout; d > 0 {
		next = c.silenceEnds(d)
		// Media that begins meanwhile shortens the patience: look again.
		if look := time.Now().Add(d); look.Before(next) {
			next = look
		}
	}
	if d := c.registry.config.MaxDuration; d > 0 {
		if end := c.facts.Answer.Add(d); next.IsZero() || end.Before(next) {
			next = end
		}
	}
	return next
}

// watch ends a call that lasted too long or fell silent.
func (c *Call) watch(now time.Time) {
	if !c.facts.IsAnswered() || !c.over.IsZero() {
		return
	}
	if d := c.registry.config.MaxDuration; d > 0 && !now.Before(c.facts.Answer.Add(d)) {
		c.stop(cause.MaxDuration())
		return
	}
	d := c.registry.config.MediaTimeout
	if d <= 0 {
		return
	}
	if end := c.silenceEnds(d); !end.IsZero() && !now.Before(end) {
		c.silent = c.lastHeard(now, d)
		c.stop(cause.MediaTimeout())
	}
}

// unheardPatience is how many media timeouts a call may last in which no party was ever heard: a stream that never
// began has not stopped (callers without media, test tools), but neither may a call that nobody is left of stay for ever.
const unheardPatience = 10

// silenceEnds is when the silence that has lasted so far, if it goes on, ends the call; zero while silence means
// nothing. Silence is neither RTP nor RTCP from any party for d. A party that has sent RTCP before and now sends
// nothing at all is gone even while the other one talks; on hold only such a party can be missed.
func (c *Call) silenceEnds(d time.Duration) time.Time {
	var end time.Time                     // of the earliest rule
	all, silent := c.watched, !c.restored // a restored call had media before
	for _, p := range c.parties {
		m := p.media()
		if m == nil {
			continue
		}
		heard := m.LastMedia()
		silent = silent && heard.IsZero()
		if heard.After(all) {
			all = heard
		}
		if since := latest(heard, c.watched); m.HeardControl() && (end.IsZero() || since.Add(d).Before(end)) {
			end = since.Add(d)
		}
	}
	if !c.hasMedia() || c.facts.OnHold {
		return end
	}
	if silent {
		d *= unheardPatience
	}
	if all = all.Add(d); end.IsZero() || all.Before(end) {
		end = all
	}
	return end
}

// hasMedia reports whether there is anything to listen to.
func (c *Call) hasMedia() bool {
	for _, p := range c.parties {
		if m := p.media(); m != nil && !m.IsDirect() {
			return true
		}
	}
	return false
}

// lastHeard is when the conversation fell silent, but not before the answer: the last media of all, or, when one
// party still talks, the last of the party that is gone.
func (c *Call) lastHeard(now time.Time, d time.Duration) time.Time {
	var all, gone time.Time
	for _, p := range c.parties {
		m := p.media()
		if m == nil {
			continue
		}
		at := m.LastMedia()
		all = latest(all, at)
		if m.HeardControl() && now.Sub(at) >= d && (gone.IsZero() || at.Before(gone)) {
			gone = at
		}
	}
	if !gone.IsZero() && now.Sub(all) < d {
		return latest(gone, c.facts.Answer)
	}
	return latest(all, c.facts.Answer)
}

// media is the party's session while it is part of the conversation.
func (p *party) media() *media.Session {
	if p.gone {
		return nil
	}
	return p.leg.Media()
}

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
