package call

import (
	"dialtone/internal/cause"
	"dialtone/internal/media"
	"dialtone/internal/sdp"
)

// Leg is one party of a call, whatever protocol it speaks. A leg belongs to the call's goroutine: its methods are
// called there and nowhere else, never block, and are safe to call after the leg has ended (they do nothing then).
// What the party does arrives as Events in the call's mailbox.
//
// Descriptions that a leg reports are the party's own words. Descriptions that a leg is given are those of the other
// party: the leg puts its own addresses and ports into them (media.Session.Localize) before they go out.
//
// A leg posts to the Mailbox that it was made with. What it has to do to its media.Session because of a message
// (SetRemote), it does on the call's goroutine too: it posts a Do ahead of the event.
//
// A leg that cannot do what it is asked (no ports, no common media, transport gone) posts Ended or, while it is not
// connected, Failed.
type Leg interface {
	// ID is unique within the call ("a", "b1", "b2" ...).
	ID() string
	// Ring tells the party that the far end is alerted; with early not nil it also gets media before the answer.
	// status is 180, 181, 182 or 183.
	Ring(status int, early *sdp.Description)
	// Answer connects an inbound leg. answer may be an offer when the party made none (delayed offer); the party's
	// answer then comes with the Acked event. nil where nothing is to be negotiated any more.
	Answer(answer *sdp.Description)
	// Offer asks a connected party to change the media; nil asks the party to make the offer itself. The result is an
	// Answered event.
	Offer(offer *sdp.Description)
	// Respond ends an Updated event: the answer for the party, or, with a cause whose SIP is 300 or more, a refusal
	// that leaves the session as it was.
	Respond(answer *sdp.Description, refusal cause.Cause)
	// Acknowledge completes a delayed offer: the answer for the offer that came with Connected or Answered (in SIP it
	// goes into the ACK).
	Acknowledge(answer *sdp.Description)
	// Press presses a key towards the party for that many milliseconds, in the form that the party takes: events or tones
	// in the media, or a message of the signalling.
	Press(digit byte, ms int)
	// Info passes a body on inside the dialog (pictures that are asked for, and the like).
	Info(contentType string, body []byte)
	// Hangup ends the leg as its state asks: refusal, CANCEL or BYE, with the Reason of the cause. No event follows.
	Hangup(c cause.Cause)
	// Media is the leg's own end of the media; nil until there is one.
	Media() *media.Session
	// Describe is what the record and the live view show of the leg.
	Describe() LegInfo
	// State is everything needed to take the leg up again in another process (both dialog and media), as bytes.
	State() ([]byte, error)
}

// LegInfo is what a leg tells about itself.
type LegInfo struct {
	Device    string `json:"device,omitempty"`      // username of the device or name of the trunk; "" unknown
	SIPCallID string `json:"sip_call_id,omitempty"` // of the leg's dialog: joins the ladder
	Remote    string `json:"remote,omitempty"`      // signalling address of the party, "udp 192.0.2.7:5060"
	UserAgent string `json:"user_agent,omitempty"`
	Tag       string `json:"tag,omitempty"` // the local tag, for Replaces
	RemoteTag string `json:"remote_tag,omitempty"`
}

// Event is something a leg, a timer or another goroutine tells the call. Events of one leg keep their order.
type Event interface{ event() }

type (
	// Rang: the outbound party is alerted (180) or gives early media (183 with a description).
	Rang struct {
		Leg    Leg
		Status int
		Early  *sdp.Description
	}
	// Connected: the outbound party has answered. Description is its answer, or its offer when we made none: the call
	// then owes it an Acknowledge with the answer.
	Connected struct {
		Leg         Leg
		Description *sdp.Description
	}
	// Acked: the inbound party has confirmed our answer; Description is its answer when ours was the offer, else nil.
	Acked struct {
		Leg         Leg
		Description *sdp.Description
	}
	// Failed: the outbound leg did not come about. Contacts are the targets of a 3xx.
	Failed struct {
		Leg      Leg
		Cause    cause.Cause
		Contacts []string
	}
	// Ended: the party hung up, or the leg died (session timer, transport). For an inbound leg that is not answered
	// yet it means CANCEL.
	Ended struct {
		Leg   Leg
		Cause cause.Cause
	}
	// Updated: the party wants to change the media; Offer nil asks us to make the offer. The call owes a Respond.
	Updated struct {
		Leg   Leg
		Offer *sdp.Description
	}
	// Answered: the result of Leg.Offer. Description is the party's answer (or its offer when we sent none: the call
	// then owes an Acknowledge); Cause is set when the party refused.
	Answered struct {
		Leg         Leg
		Description *sdp.Description
		Cause       cause.Cause
	}
	// Informed: the party sent an INFO body.
	Informed struct {
		Leg         Leg
		ContentType string
		Body        []byte
	}
	// Pressed: the party pressed a key; posted once per press, when it ends.
	Pressed struct {
		Leg        Leg
		Digit      byte // '0'-'9', '*', '#', 'A'-'D'
		DurationMS int
		Signalled  bool // by a message of the signalling, not in the media
	}
	// Sounded: the media of the party has sounded bad for long, or sounds well again.
	Sounded struct {
		Leg    Leg
		Notice media.QualityNotice
	}
	// Do runs a function on the call's goroutine.
	Do struct{ F func() }
)

func (Rang) event()      {}
func (Connected) event() {}
func (Acked) event()     {}
func (Failed) event()    {}
func (Ended) event()     {}
func (Updated) event()   {}
func (Answered) event()  {}
func (Informed) event()  {}
func (Pressed) event()   {}
func (Sounded) event()   {}
func (Do) event()        {}
