package call

import "dialtone/internal/media"

// LegMedia is a leg's end of the media.
type LegMedia struct {
	Leg     string // its ID
	Session *media.Session
}

// Media are the ends of the media of the legs that are part of the call, the caller's first. It may be called from any
// goroutine; of the sessions, only what looks at them.
func (c *Call) Media() []LegMedia {
	if list := c.sessions.Load(); list != nil {
		return *list
	}
	return nil
}

func (c *Call) publishMedia() {
	var list []LegMedia
	for _, p := range c.parties {
		if m := p.media(); m != nil {
			list = append(list, LegMedia{p.record.ID, m})
		}
	}
	c.sessions.Store(&list)
}
