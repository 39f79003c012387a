package exchange

import (
	"errors"
	"time"

	"dialtone/internal/announce"
	"dialtone/internal/call"
	"dialtone/internal/cause"
)

// musicTime is how long music is played at most.
const musicTime = time.Hour

// music answers the caller and plays music, until they hang up.
func (x *Exchange) music(c *call.Call) cause.Cause {
	if x.config.Music == nil {
		return cause.NoRoute()
	}
	if why := announce.Answer(c); !why.IsZero() {
		return why
	}
	return x.playMusic(c)
}

// playMusic keeps answered music going.
func (x *Exchange) playMusic(c *call.Call) cause.Cause {
	m := c.Caller().Media()
	if x.config.Music == nil || m == nil {
		return cause.NotAcceptable()
	}
	rate, ok := m.VoiceRate()
	if !ok {
		return cause.NotAcceptable()
	}
	if _, err := m.Play(x.config.Music.Music(rate)); err != nil {
		return cause.NotAcceptable()
	}
	until := c.Record().Answer.Add(musicTime)
	for {
		switch _, err := announce.Next(c, until); {
		case errors.Is(err, call.ErrTimeout):
			return cause.MaxDuration()
		case err != nil:
			return c.Cause()
		}
	}
}
