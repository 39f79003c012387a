package call

import (
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/directory"
	"dialtone/internal/media"
)

// Direction tells how a call came and where it goes, seen by the exchange.
type Direction string

// The directions.
const (
	Internal Direction = "internal" // line to line
	Inbound  Direction = "in"       // from a trunk
	Outbound Direction = "out"      // to a trunk
)

// Side is one end of a call as people know it.
type Side struct {
	Number string `json:"number"`           // of the line, or the number presented
	Name   string `json:"name,omitempty"`   // display name
	Line   string `json:"line,omitempty"`   // number of the line; "" for a party outside
	Device string `json:"device,omitempty"` // username of the device
}

// Record is the facts about one call. A Record that was handed out never changes; times are zero while unknown.
type Record struct {
	ID        string       `json:"id"` // UUIDv7, never a SIP Call-ID
	Tenant    directory.ID `json:"tenant"`
	Direction Direction    `json:"direction"`
	From      Side         `json:"from"`
	Dialled   string       `json:"dialled"` // as it was dialled
	// DialledE164 is the same in E.164; "" where it is no number of the public network.
	DialledE164 string `json:"dialled_e164,omitempty"`
	Number      string `json:"number,omitempty"` // the directory's number that was dialled; "" for lines, codes and all else
	To          Side   `json:"to"`               // whom the dial plan found; after the answer who answered
	Emergency   bool   `json:"emergency,omitempty"`
	Bypassed    bool   `json:"bypassed,omitempty"` // the media goes, or went at first, straight between the parties

	Start  time.Time     `json:"start"`
	Ring   time.Time     `json:"ring"`   // first ringing or early media
	Answer time.Time     `json:"answer"` // zero: never answered
	End    time.Time     `json:"end"`
	Hold   time.Duration `json:"hold"`    // while at least one party held the other
	OnHold bool          `json:"on_hold"` // now

	Recordings      []string `json:"recordings,omitempty"`       // identifiers
	RecordingFailed bool     `json:"recording_failed,omitempty"` // one of them, at least, is missing or cut short

	Cause cause.Cause `json:"cause"` // zero while the call lasts
	Legs  []LegRecord `json:"legs"`
	Path  []PathStep  `json:"path"`
}

// LegRecord is the facts about one leg.
type LegRecord struct {
	ID       string              `json:"id"`
	Line     string              `json:"line,omitempty"`
	Info     LegInfo             `json:"info"`
	Start    time.Time           `json:"start"`
	Ring     time.Time           `json:"ring"`
	Answer   time.Time           `json:"answer"`
	End      time.Time           `json:"end"`
	Cause    cause.Cause         `json:"cause"`
	OnHold   bool                `json:"on_hold"`           // the party has put the other one on hold
	Streams  []media.StreamStats `json:"streams,omitempty"` // as of the last change of the media, in the end of the whole leg
	Received time.Time           `json:"received"`          // last RTP or RTCP from the party, once the leg has ended
}

// PathStep is one step on the call's way through the exchange.
type PathStep struct {
	At     time.Time `json:"at"`
	Step   string    `json:"step"`   // a verb and what it is about: "dial 102", "echo", "refuse busy"
	Reason string    `json:"reason"` // why the dial plan came here
}

// IsAnswered reports whether the call has been, or was, answered.
func (r *Record) IsAnswered() bool { return !r.Answer.IsZero() }
