package conference

import (
	"context"
	"crypto/subtle"
	"errors"
	"time"

	"dialtone/internal/announce"
	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/directory"
	"dialtone/internal/media/tone"
)

const (
	tries   = 3                // wrong PINs until the caller is hung up
	pinTime = 10 * time.Second // between two keys
)

// Join answers the caller, asks for the PIN, and lets the caller take part until one side ends it.
func (r *Rooms) Join(_ context.Context, c *call.Call, o *directory.Room) cause.Cause {
	if why := announce.Answer(c); !why.IsZero() {
		return why
	}
	if o.Protected {
		if why := ask(c, o); !why.IsZero() {
			return why
		}
	}
	return r.attend(c, o)
}

// Rejoin is Join for a call that was in the room before a restart.
func (r *Rooms) Rejoin(c *call.Call, o *directory.Room) cause.Cause { return r.attend(c, o) }

// ask lets the caller press the PIN; zero when it is right.
func ask(c *call.Call, o *directory.Room) cause.Cause {
	prompt := beep(800, 100*time.Millisecond, 3)
	wrong := beep(300, 500*time.Millisecond, 1)
	for range tries {
		announce.Tone(c, prompt, 600*time.Millisecond)
		pressed, why := collect(c, len(o.PIN))
		if !why.IsZero() {
			return why
		}
		// A PIN that the keys of the server do not open lets nobody in.
		if o.PIN != "" && subtle.ConstantTimeCompare([]byte(pressed), []byte(o.PIN.Reveal())) == 1 {
			return cause.Cause{}
		}
		announce.Tone(c, wrong, time.Second)
		if _, why := wait(c, time.Now().Add(time.Second)); !why.IsZero() {
			return why
		}
	}
	return cause.NotAllowed()
}

// beep is a tone that sounds that often, with pauses as long as itself.
func beep(hz float64, length time.Duration, times int) tone.Cadence {
	var c tone.Cadence
	for range times {
		c = append(c, tone.Burst{Tone: tone.Tone{Hz: [2]float64{hz}, DBm0: -15}, Duration: length}, tone.Burst{Duration: length})
	}
	return append(c, tone.Burst{})
}

// collect takes keys: as many as the PIN has, or up to #, or until nothing comes.
func collect(c *call.Call, length int) (string, cause.Cause) {
	var pressed []byte
	for len(pressed) < max(length, 1) {
		key, why := wait(c, time.Now().Add(pinTime))
		if !why.IsZero() {
			return "", why
		}
		if key == 0 || key == '#' {
			break
		}
		pressed = append(pressed, key)
	}
	return string(pressed), cause.Cause{}
}

// wait waits for a key; 0 when none came in time.
func wait(c *call.Call, until time.Time) (key byte, why cause.Cause) {
	for {
		e, err := announce.Next(c, until)
		switch {
		case errors.Is(err, call.ErrTimeout):
			return 0, cause.Cause{}
		case err != nil:
			return 0, c.Cause()
		}
		if p, ok := e.(call.Pressed); ok {
			return p.Digit, cause.Cause{}
		}
	}
}

// attend is the stay in a room.
func (r *Rooms) attend(c *call.Call, o *directory.Room) cause.Cause {
	m := c.Caller().Media()
	if m == nil {
		return cause.NotAcceptable()
	}
	ear, err := m.Hear(Rate)
	if err != nil {
		return cause.NotAcceptable()
	}
	defer ear.Close()
	rate, ok := m.VoiceRate()
	if !ok {
		return cause.NotAcceptable()
	}
	x, me, err := r.enter(c, o, ear, rate)
	if err != nil {
		return cause.Failed()
	}
	defer func() {
		if r.leave(o.ID, x, me) {
			sound(x, 500, 400)
		}
		r.publish("left", x, me)
	}()
	if _, err := m.Play(me.mixed); err != nil {
		return cause.NotAcceptable()
	}
	r.publish("joined", x, me)
	sound(x, 400, 500)
	for {
		if _, err := announce.Next(c, time.Time{}); err != nil {
			return c.Cause()
		}
	}
}

// sound lets all members hear that somebody has come or gone: two short tones, up or down.
func sound(x *room, first, second float64) {
	const length = 120 * time.Millisecond
	tones := tone.Cadence{
		{Tone: tone.Tone{Hz: [2]float64{first}, DBm0: -20}, Duration: length}, {Tone: tone.Tone{Hz: [2]float64{second}, DBm0: -20}, Duration: length}, {},
	}
	_, _ = x.mix.Announce(announce.Samples(tones, 2*length), nil) // a room that has just closed needs none
}
