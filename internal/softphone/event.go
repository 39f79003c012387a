package softphone

import (
	"encoding/json"
	"net/netip"
	"strings"
	"time"
)

// Kind names what happened.
type Kind string

// The events.
const (
	Registered   Kind = "registered"
	Unregistered Kind = "unregistered" // refused, failed, or ended by the phone; Cause says why
	Calling      Kind = "calling"      // the phone calls
	Called       Kind = "incoming"     // the phone is called
	Ringing      Kind = "ringing"      // the other party is alerted, or this one is
	Answered     Kind = "answered"
	DTMF         Kind = "dtmf"     // a key was pressed by the other party
	Informed     Kind = "informed" // the other party sent a body inside the dialog
	Held         Kind = "held"     // by the other party
	Resumed      Kind = "resumed"
	Ended        Kind = "ended"
)

// Event is something that happened to a phone.
type Event struct {
	Kind   Kind
	Time   time.Time
	Call   *Call  // nil where no call is concerned
	Number string // of the other party
	Status int    // SIP status, where there is one
	Digit  byte   // of DTMF
	Body   []byte // of Informed
	Cause  string // words of Ended and Unregistered
}

// MarshalJSON prints one line of `dialtone phone --json`.
func (e Event) MarshalJSON() ([]byte, error) {
	line := struct {
		Event  Kind   `json:"event"`
		Time   string `json:"time"`
		Number string `json:"number,omitempty"`
		Status int    `json:"status,omitempty"`
		Digit  string `json:"digit,omitempty"`
		Cause  string `json:"cause,omitempty"`
	}{e.Kind, e.Time.UTC().Format("2006-01-02T15:04:05.000Z07:00"), e.Number, e.Status, "", e.Cause}
	if e.Digit != 0 {
		line.Digit = string(rune(e.Digit))
	}
	return json.Marshal(line)
}

// String prints the event for a person: "12:30:01.250 answered 102".
func (e Event) String() string {
	words := []string{e.Time.Format("15:04:05.000"), string(e.Kind)}
	if e.Number != "" {
		words = append(words, e.Number)
	}
	if e.Digit != 0 {
		words = append(words, string(rune(e.Digit)))
	}
	if e.Cause != "" {
		words = append(words, "("+e.Cause+")")
	}
	return strings.Join(words, " ")
}

// placeholder is an address that the media session replaces.
func placeholder() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }
