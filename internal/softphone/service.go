package softphone

import (
	"context"
	"errors"
	"fmt"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/codec"
	"dialtone/internal/media"
	"dialtone/internal/sdp"
)

const (
	// sessionExpires is what the phone asks for by RFC 4028.
	sessionExpires = 30 * time.Minute
	// supported are the options of RFC 3261 §11 that the phone knows outside a dialog.
	supported = "100rel, timer, outbound, path"
	// pressAfter is how long after the answer the first key is pressed: the far end has its media path by then.
	pressAfter = 300 * time.Millisecond
	// flushEvery is how often a recording is written.
	flushEvery = time.Second
)

// serve is the service of a phone's call: a person who rings or is rung, talks, and hangs up.
func (c *Call) serve(_ context.Context, k *call.Call) cause.Cause {
	c.phone.enter(c, k)
	why := c.connect(k)
	if why.IsZero() {
		why = c.converse(k)
	}
	c.store(true)
	select {
	case <-c.answered:
		if why.Party != c.far() { // else nothing is left to be said
			c.phone.willSayBye(c.leg.Describe().SIPCallID)
		}
	default:
	}
	return why
}

// enter notes a call that runs.
func (p *Phone) enter(c *Call, k *call.Call) {
	c.running.Store(k)
	p.mu.Lock()
	p.live[k.ID()] = c
	closing := p.closing
	p.mu.Unlock()
	kind := Calling
	if c.inbound {
		kind = Called
	}
	p.tell(Event{Kind: kind, Call: c, Number: c.Number})
	if closing {
		c.Hangup()
	}
}

// over is why a call ended that the other party, or Hangup, has ended.
func (c *Call) over(k *call.Call) cause.Cause {
	why := k.Cause()
	if !c.hungUp.Load() && why.Party == cause.Caller {
		why.Party = c.far()
	}
	return why
}

// connect brings the call to its answer; a cause that is not zero says why there was none.
func (c *Call) connect(k *call.Call) cause.Cause {
	if c.inbound {
		return c.pickUp(k)
	}
	for {
		e, err := k.Next(time.Time{})
		if err != nil {
			return c.over(k)
		}
		switch e := e.(type) {
		case call.Rang:
			c.previewed = c.previewed || e.Early != nil
			c.alerted(e.Status)
		case call.Failed:
			return e.Cause
		case call.Connected:
			return c.connected(k, e)
		}
	}
}

// alerted notes that somebody's phone rings.
func (c *Call) alerted(status int) {
	if c.rang.IsZero() {
		c.rang = time.Now()
		close(c.ringing)
		c.phone.tell(Event{Kind: Ringing, Call: c, Number: c.Number, Status: status})
	}
}

// connected takes the answer to our call.
func (c *Call) connected(k *call.Call, e call.Connected) cause.Cause {
	if c.talk.NoOffer {
		if e.Description == nil {
			return cause.NotAcceptable().By(c.side())
		}
		answer, _, err := sdp.Answer(e.Description, c.phone.capabilities(c.direction))
		if err != nil {
			return cause.NotAcceptable().By(c.side())
		}
		c.leg.Acknowledge(answer)
	} else if e.Description == nil && !c.previewed {
		return cause.NotAcceptable().By(c.side())
	}
	k.Answer(nil) // the leg is connected already; the call learns it
	if c.talk.NoOffer {
		k.Negotiated(nil)
	}
	return c.begin()
}

// pickUp lets the phone ring and answers, as was decided.
func (c *Call) pickUp(k *call.Call) cause.Cause {
	d := &c.decision
	if why, over := c.ring(k, d); over {
		return why
	}
	if d.Refuse.IsRefusal() {
		return d.Refuse
	}
	offer := k.Offer()
	if offer == nil {
		k.Answer(c.phone.offer(c.direction))
		return c.awaitAnswer(k)
	}
	answer, _, err := sdp.Answer(offer, c.phone.capabilities(c.direction))
	if err != nil {
		return cause.NotAcceptable().By(c.side())
	}
	k.Answer(answer)
	return c.begin()
}

// ring rings as long as was decided.
func (c *Call) ring(k *call.Call, d *Decision) (why cause.Cause, over bool) {
	if d.Refuse.IsRefusal() && d.Ring == 0 {
		return cause.Cause{}, false
	}
	k.Caller().Ring(180, nil)
	c.alerted(180)
	if d.Ring == 0 {
		return cause.Cause{}, false
	}
	var until time.Time
	if d.Ring > 0 {
		until = time.Now().Add(d.Ring)
	}
	for {
		_, err := k.Next(until)
		switch {
		case errors.Is(err, call.ErrTimeout):
			return cause.Cause{}, false
		case err != nil:
			return c.over(k), true
		}
	}
}

// awaitAnswer waits for the answer to the offer in our 200, which comes in the ACK.
func (c *Call) awaitAnswer(k *call.Call) cause.Cause {
	for k.IsDelayed() {
		e, err := k.Next(time.Time{})
		if err != nil {
			return c.over(k)
		}
		if e, ok := e.(call.Acked); ok {
			if e.Description == nil { // RFC 3264 §4: the offer was never answered
				return cause.NotAcceptable().By(c.side())
			}
			k.Negotiated(nil)
		}
	}
	return c.begin()
}

// begin starts to talk and to listen.
func (c *Call) begin() cause.Cause {
	if err := c.speak(); err != nil {
		c.phone.log.Info("softphone: no media", "error", err)
		close(c.answered)
		return cause.NotAcceptable().By(c.side())
	}
	close(c.answered)
	c.phone.tell(Event{Kind: Answered, Call: c, Number: c.Number, Status: 200})
	return cause.Cause{}
}

// speak connects mouth and ear.
func (c *Call) speak() error {
	m := c.leg.Media()
	if m == nil {
		return errors.New("there is no media session")
	}
	if err := c.listen(m); err != nil {
		return err
	}
	var err error
	c.playing, err = m.Play(newVoice(c.talk))
	return err
}

// listen opens the ear, at the rate of the codec that was agreed on first.
func (c *Call) listen(m *media.Session) error {
	spoken, _ := m.VoiceRate()
	rated, told := c.talk.Record.(RatedRecorder)
	if c.talk.Record != nil && !told {
		spoken = codec.Rate
	}
	if rate, first := c.ear.open(spoken); first && told {
		if err := rated.Begin(rate); err != nil {
			return fmt.Errorf("record: %w", err)
		}
	}
	return m.Listen(&c.ear)
}

// converse is the talk: until somebody hangs up, or its time is over.
func (c *Call) converse(k *call.Call) cause.Cause {
	now := time.Now()
	var end, press, flush time.Time // zero: never
	if c.talk.Duration > 0 {
		end = now.Add(c.talk.Duration)
	}
	if c.talk.Press != "" {
		press = now.Add(pressAfter)
	}
	if c.talk.Record != nil {
		flush = now.Add(flushEvery)
	}
	for {
		e, err := k.Next(earliest(end, press, flush))
		if err == nil {
			if why := c.take(k, e); !why.IsZero() {
				return why
			}
			continue
		}
		if !errors.Is(err, call.ErrTimeout) {
			return c.over(k)
		}
		now := time.Now()
		if isDue(press, now) {
			c.press(c.talk.Press)
			press = time.Time{}
		}
		if isDue(flush, now) {
			c.store(false)
			flush = now.Add(flushEvery)
		}
		if isDue(end, now) {
			c.hungUp.Store(true)
			return cause.Normal(c.side())
		}
	}
}

// earliest is the first of the times that are set.
func earliest(ts ...time.Time) time.Time {
	var first time.Time
	for _, t := range ts {
		if !t.IsZero() && (first.IsZero() || t.Before(first)) {
			first = t
		}
	}
	return first
}

func isDue(t, now time.Time) bool { return !t.IsZero() && !now.Before(t) }

// take handles what happens during the talk.
func (c *Call) take(k *call.Call, e call.Event) cause.Cause {
	switch e := e.(type) {
	case call.Pressed:
		c.mu.Lock()
		c.digits = append(c.digits, e.Digit)
		c.mu.Unlock()
		c.phone.tell(Event{Kind: DTMF, Call: c, Number: c.Number, Digit: e.Digit})
	case call.Informed:
		c.phone.tell(Event{Kind: Informed, Call: c, Number: c.Number, Body: e.Body})
	case call.Updated:
		c.updated(k, e)
	case call.Answered:
		c.settled(e)
	case call.Acked: // of an answer, or of an offer in our 2xx to a re-INVITE without one
	}
	return cause.Cause{}
}

// updated answers the other party's wish to change the media.
func (c *Call) updated(k *call.Call, e call.Updated) {
	if e.Offer == nil {
		e.Leg.Respond(c.phone.offer(c.direction), cause.Cause{})
		return
	}
	answer, _, err := sdp.Answer(e.Offer, c.phone.capabilities(c.direction))
	if err != nil {
		e.Leg.Respond(nil, cause.NotAcceptable())
		return
	}
	e.Leg.Respond(answer, cause.Cause{})
	was := k.Record().OnHold
	k.Negotiated(e.Offer)
	switch held := k.Record().OnHold; {
	case held && !was:
		c.phone.tell(Event{Kind: Held, Call: c, Number: c.Number})
	case was && !held:
		c.phone.tell(Event{Kind: Resumed, Call: c, Number: c.Number})
	}
}

// startChange asks the other party for a direction.
func (c *Call) startChange(ch *change) {
	if c.change != nil {
		ch.done <- errChange
		return
	}
	c.change = ch
	c.leg.Offer(c.phone.offer(ch.direction))
}

// settled takes the answer.
func (c *Call) settled(e call.Answered) {
	ch := c.change
	if ch == nil {
		return
	}
	c.change = nil
	if e.Cause.IsRefusal() {
		ch.done <- &cause.Failure{Cause: e.Cause}
		return
	}
	c.direction = ch.direction
	// A person who holds says nothing to the other one.
	if c.playing != nil && !ch.direction.Receives() {
		c.playing.Stop()
		c.playing = nil
	}
	var err error
	if c.playing == nil && ch.direction.Receives() {
		err = c.speak()
	}
	ch.done <- err
}

// press presses keys; that they cannot be pressed shows in the outcome.
func (c *Call) press(keys string) {
	m := c.leg.Media()
	if m == nil {
		c.unpressed = fmt.Errorf("press %s: there is no media", keys)
		return
	}
	for i := range len(keys) {
		if err := m.SendDigit(keys[i], 0); err != nil {
			c.unpressed = fmt.Errorf("press %c: %w", keys[i], err)
			return
		}
	}
}

// store writes what was heard since the last time; the last time of all, the file is completed.
func (c *Call) store(last bool) {
	r := c.talk.Record
	if r == nil {
		return
	}
	err := r.Write(c.ear.fetch())
	if err == nil && last {
		err = r.Flush()
	}
	if err != nil && c.unpressed == nil {
		c.unpressed = fmt.Errorf("record: %w", err)
	}
}
