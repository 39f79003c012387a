// Package calltest has legs and a dialer without a protocol, to test calls and the services that run on them. A Leg
// writes down what it is asked, in words, and says what the test lets it say.
//
// It has no goroutines; a Leg may be used by a call and a test at the same time.
package calltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/media"
	"dialtone/internal/sdp"
)

// Leg is a call.Leg that does nothing and remembers everything.
type Leg struct {
	Mailbox *call.Mailbox
	Session *media.Session   // what Media returns; may be nil
	Invite  call.Invite      // of an outbound leg
	Panic   string           // the method that panics, "Hangup"
	NoState bool             // State fails
	Last    *sdp.Description // the last description it was given

	id    string
	mu    sync.Mutex
	asked []string
}

// NewLeg makes a leg that posts to m.
func NewLeg(id string, m *call.Mailbox) *Leg { return &Leg{id: id, Mailbox: m} }

func (l *Leg) note(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.asked = append(l.asked, fmt.Sprintf(format, args...))
}

func (l *Leg) given(d *sdp.Description) string {
	if d == nil {
		return "nothing"
	}
	l.mu.Lock()
	l.Last = d
	l.mu.Unlock()
	return d.Name
}

// Asked returns what the leg was asked since the last time, and forgets it.
func (l *Leg) Asked() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	asked := l.asked
	l.asked = nil
	return asked
}

// ID implements call.Leg.
func (l *Leg) ID() string { return l.id }

// Ring implements call.Leg: "ring 180", "ring 183 NAME".
func (l *Leg) Ring(status int, early *sdp.Description) {
	if early == nil {
		l.note("ring %d", status)
		return
	}
	l.note("ring %d %s", status, l.given(early))
}

// Answer implements call.Leg: "answer NAME".
func (l *Leg) Answer(d *sdp.Description) { l.note("answer %s", l.given(d)) }

// Offer implements call.Leg: "offer NAME".
func (l *Leg) Offer(d *sdp.Description) { l.note("offer %s", l.given(d)) }

// Respond implements call.Leg: "respond NAME" or "refuse 491".
func (l *Leg) Respond(d *sdp.Description, refusal cause.Cause) {
	if refusal.IsRefusal() {
		l.note("refuse %d", refusal.SIP)
		return
	}
	l.note("respond %s", l.given(d))
}

// Acknowledge implements call.Leg: "acknowledge NAME".
func (l *Leg) Acknowledge(d *sdp.Description) { l.note("acknowledge %s", l.given(d)) }

// Info implements call.Leg: "info TYPE BODY".
func (l *Leg) Info(contentType string, body []byte) { l.note("info %s %s", contentType, body) }

// Press implements call.Leg: "press 5 100".
func (l *Leg) Press(digit byte, ms int) { l.note("press %c %d", digit, ms) }

// Hangup implements call.Leg: "hangup 486 busy".
func (l *Leg) Hangup(c cause.Cause) {
	l.note("hangup %d %s", c.SIP, c.Words)
	if l.Panic == "Hangup" {
		panic("calltest: told to")
	}
}

// Media implements call.Leg.
func (l *Leg) Media() *media.Session { return l.Session }

// Describe implements call.Leg.
func (l *Leg) Describe() call.LegInfo {
	return call.LegInfo{Device: l.Invite.Target.Device, SIPCallID: "sip-" + l.id, Remote: "udp 192.0.2.1:5060"}
}

type state struct {
	ID     string
	Device string
}

// State implements call.Leg.
func (l *Leg) State() ([]byte, error) {
	if l.NoState {
		return nil, errors.New("not confirmed yet")
	}
	return json.Marshal(state{ID: l.id, Device: l.Invite.Target.Device})
}

// Say posts an event; it must be one of this leg.
func (l *Leg) Say(e call.Event) bool { return l.Mailbox.Post(e) }

// Dialer makes a Leg for each target and keeps them.
type Dialer struct {
	Fail   map[string]error // by URI of the target
	OnDial func(l *Leg)     // runs on the call's goroutine; may be nil

	mu   sync.Mutex
	legs []*Leg
}

// Dial implements call.Dialer.
func (d *Dialer) Dial(_ context.Context, i call.Invite) (call.Leg, error) {
	if err := d.Fail[i.Target.URI]; err != nil {
		return nil, err
	}
	l := NewLeg(i.Leg, i.Mailbox)
	l.Invite = i
	d.mu.Lock()
	d.legs = append(d.legs, l)
	d.mu.Unlock()
	if d.OnDial != nil {
		d.OnDial(l)
	}
	return l, nil
}

// Legs are the legs that were dialled, in their order.
func (d *Dialer) Legs() []*Leg {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]*Leg(nil), d.legs...)
}

// Leg is the leg that was dialled for a target; nil when there is none.
func (d *Dialer) Leg(uri string) *Leg {
	for _, l := range d.Legs() {
		if l.Invite.Target.URI == uri {
			return l
		}
	}
	return nil
}

// Restorer rebuilds Legs.
type Restorer struct {
	Fail string // ID of the leg that cannot be rebuilt
	Legs map[string]*Leg
}

// RestoreLeg implements call.LegRestorer.
func (r *Restorer) RestoreLeg(id string, s []byte, m *call.Mailbox) (call.Leg, error) {
	if id == r.Fail {
		return nil, errors.New("its port is taken")
	}
	var saved state
	if err := json.Unmarshal(s, &saved); err != nil {
		return nil, err
	}
	l := NewLeg(saved.ID, m)
	l.Invite.Target.Device = saved.Device
	if r.Legs == nil {
		r.Legs = make(map[string]*Leg)
	}
	r.Legs[id] = l
	return l, nil
}

// Description makes a description with one audio stream; what it is called shows in Asked.
func Description(name string, dir sdp.Direction) *sdp.Description {
	d, err := sdp.Parse([]byte(strings.Join([]string{
		"v=0", "o=- 1 1 IN IP4 192.0.2.1", "s=" + name, "c=IN IP4 192.0.2.1", "t=0 0",
		"m=audio 4000 RTP/AVP 8 0 101", "a=rtpmap:101 telephone-event/8000", "a=" + dir.String(), "",
	}, "\r\n")))
	if err != nil {
		panic("calltest: " + err.Error())
	}
	return d
}

// Recorder is a call.Observer that keeps the notices as words: "started", "held".
type Recorder struct {
	mu      sync.Mutex
	notices []string
	ended   []*call.Record
	states  [][]byte
}

// Observe implements call.Observer.
func (r *Recorder) Observe(n call.Notice) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch n := n.(type) {
	case call.CallNegotiated:
		state, err := n.State()
		if err != nil {
			r.notices = append(r.notices, "state: "+err.Error())
			return
		}
		r.states = append(r.states, state)
		r.notices = append(r.notices, "negotiated")
		return
	case call.DigitPressed:
		r.notices = append(r.notices, "pressed "+string(n.Digit))
		return
	case call.CallEnded:
		r.ended = append(r.ended, n.Record)
	}
	name := fmt.Sprintf("%T", n)
	r.notices = append(r.notices, strings.ToLower(strings.TrimPrefix(name, "call.Call")))
}

// Notices returns what was told since the last time, and forgets it.
func (r *Recorder) Notices() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	notices := r.notices
	r.notices = nil
	return notices
}

// Ended are the records of the calls that ended.
func (r *Recorder) Ended() []*call.Record {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]*call.Record(nil), r.ended...)
}

// States are the states that were worth keeping.
func (r *Recorder) States() [][]byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([][]byte(nil), r.states...)
}
