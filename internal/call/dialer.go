package call

import (
	"context"

	"dialtone/internal/directory"
	"dialtone/internal/media"
	"dialtone/internal/sdp"
)

// Target is one place to ring: a device of a line at one of its addresses. The call only carries it to the Dialer.
type Target struct {
	Line   string   // number of the line it belongs to
	Device string   // username of the device
	URI    string   // where to: the contact of a binding, or the static address of a device
	Route  []string // what must be visited first, nearest first (RFC 3327 Path)
	Direct bool     // its media may go straight between it and the caller
	Fixed  bool     // URI is configured, not registered: several parties may share it
	Source any      // what the Dialer needs beyond (a flow, a binding); opaque to the call

	Terms *media.Terms // of the device's media; nil: nothing particular
}

// Invite is what a Dialer needs for one outbound leg.
type Invite struct {
	Call        string           // ID of the call
	Leg         string           // ID that the new leg answers to
	Tenant      directory.ID     // of the call
	Mailbox     *Mailbox         // where the leg posts its events
	Target      Target           // where to
	Offer       *sdp.Description // the caller's own words, not yet localized; nil asks the target to make the offer
	From        Side             // who calls, as it is shown
	To          string           // number that is called
	MaxForwards int              // for the outgoing request (already counted down)
	Emergency   bool
}

// Dialer makes outbound legs. Dial returns at once: how the leg fares comes as events. An error means that there is no
// leg; a *cause.Failure in it says what the caller is told, anything else counts as unreachable.
type Dialer interface {
	Dial(ctx context.Context, i Invite) (Leg, error)
}

// LegRestorer rebuilds legs that another process has written down.
type LegRestorer interface {
	// RestoreLeg takes up the leg whose State returned state. It may post to the mailbox from then on.
	RestoreLeg(id string, state []byte, m *Mailbox) (Leg, error)
}
