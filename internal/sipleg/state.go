package sipleg

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"

	"dialtone/internal/call"
	"dialtone/internal/media"
	"dialtone/internal/sip/dialog"
)

// state is a connected leg written down.
type state struct {
	Key       string              `json:"key"`
	Inbound   bool                `json:"inbound"`
	User      string              `json:"user"`
	Device    string              `json:"device"`
	Terms     media.Terms         `json:"terms"`
	UserAgent string              `json:"userAgent"`
	Dialog    *dialog.Dialog      `json:"dialog"`
	Timer     dialog.SessionTimer `json:"timer"`
	Allow     allowed             `json:"allow"`
	Flow      string              `json:"flow"`   // Flow.String: the way to the party
	Remote    netip.AddrPort      `json:"remote"` // of the flow
	NATted    bool                `json:"natted"`
	Ours      []byte              `json:"ours"`
	Theirs    []byte              `json:"theirs"`
	Media     *media.State        `json:"media"`
}

// Reviver is a Router that can take up a flow that another process has had.
type Reviver interface {
	// Revive returns a flow to the same peer; name is what Flow.String returned.
	Revive(name string, remote netip.AddrPort) (Flow, error)
}

// ErrNotConnected is returned by State for a leg that is not in a confirmed dialog.
var ErrNotConnected = errors.New("sipleg: not connected")

// State implements call.Leg.
func (l *Leg) State() ([]byte, error) {
	if l.phase != connected || l.dialog == nil {
		return nil, ErrNotConnected
	}
	flow := l.way.now()
	s := state{Key: l.key, Inbound: l.inbound, User: l.user, Device: l.device, Terms: l.terms, UserAgent: l.userAgent, Dialog: l.dialog, Timer: l.timer, Allow: l.allow,
		Flow: flow.String(), Remote: flow.Remote(), NATted: l.natted, Ours: l.ours, Theirs: l.theirs}
	if l.media != nil {
		m := l.media.State()
		s.Media = &m
	}
	return json.Marshal(s)
}

// RestoreLeg implements call.LegRestorer.
func (e *Endpoint) RestoreLeg(id string, b []byte, m *call.Mailbox) (call.Leg, error) {
	var s state
	if err := json.Unmarshal(b, &s); err != nil {
		return nil, fmt.Errorf("read state of leg: %w", err)
	}
	if s.Dialog == nil {
		return nil, errors.New("state of leg has no dialog")
	}
	reviver, ok := e.Router.(Reviver)
	if !ok {
		return nil, errors.New("sipleg: this router revives no flows")
	}
	flow, err := reviver.Revive(s.Flow, s.Remote)
	if err != nil {
		return nil, fmt.Errorf("revive flow %s: %w", s.Flow, err)
	}
	l := &Leg{endpoint: e, id: id, mailbox: m, key: s.Key, inbound: s.Inbound, phase: connected, user: s.User, device: s.Device, terms: s.Terms,
		userAgent: s.UserAgent, tag: s.Dialog.LocalTag, secure: s.Dialog.Secure, natted: s.NATted, dialog: s.Dialog, timer: s.Timer, allow: s.Allow, ours: s.Ours, theirs: s.Theirs}
	l.way.set(flow)
	if s.Media != nil {
		restored, err := e.Media.Restore(*s.Media)
		if err != nil {
			return nil, fmt.Errorf("restore media: %w", err)
		}
		l.adopt(restored)
	}
	e.enter(l)
	l.startTimer()
	return l, nil
}
