package admin

import (
	"net/netip"

	"dialtone/internal/admin/form"
	"dialtone/internal/cdr"
	"dialtone/internal/directory"
	"dialtone/internal/media"
)

// Live is what the API needs from the running exchange. Its methods are called from many goroutines and must not wait
// for calls or devices.
type Live interface {
	// Calls lists the calls in progress, oldest first.
	Calls() []Call
	// Registrations lists bindings in a stable order, those of q only, and where the next page begins ("" at the end).
	Registrations(q RegistrationQuery) (page []Registration, next string)
	// Status tells how the server is.
	Status() Status
	// Hangup ends a call. It reports whether there was one.
	Hangup(callID string) bool
	// Media tells what becomes of the media of a call in progress; false when there is none.
	Media(callID string) (CallMedia, bool)
	// NextHop tells how the targets of a set are; nil when nothing is sent on here.
	NextHop(id directory.ID) []form.HopState
}

// Call is a call in progress.
type Call struct {
	ID        string    `json:"id" doc:"Our identifier of the call, never the SIP Call-ID"`
	Tenant    string    `json:"tenant" doc:"Identifier of the tenant"`
	Direction string    `json:"direction" doc:"internal, in or out"`
	From      string    `json:"from"`
	To        string    `json:"to" doc:"As dialled"`
	State     string    `json:"state" enum:"starting,ringing,answered,held"`
	Start     cdr.Time  `json:"start"`
	Ring      *cdr.Time `json:"ring"`
	Answer    *cdr.Time `json:"answer"`
	Legs      []CallLeg `json:"legs"`
}

// CallLeg is one party of a call in progress.
type CallLeg struct {
	ID        string  `json:"id"`
	Device    *string `json:"device" doc:"Username of the device"`
	Remote    string  `json:"remote" doc:"Signalling address of the party"`
	UserAgent *string `json:"user_agent"`
	SIPCallID string  `json:"sip_call_id"`
	Codec     *string `json:"codec" doc:"Of the audio, once it is agreed upon"`

	MOSIn  *float64 `json:"mos_in" doc:"How the party is heard so far, 1 to 4.5; null while unknown"`
	MOSOut *float64 `json:"mos_out" doc:"How the party hears, by its reports"`
}

// CallMedia is what becomes of the media of a call in progress.
type CallMedia struct {
	Call string     `json:"call"`
	Legs []LegMedia `json:"legs"`
}

// LegMedia is one leg's end of the media.
type LegMedia struct {
	ID      string              `json:"id"`
	Device  *string             `json:"device" doc:"Username of the device"`
	Streams []media.StreamStats `json:"streams" doc:"In the order of the m-lines; in is what the party sends"`
	Chain   string              `json:"chain" doc:"The way of what the party sends, one stream a line"`
}

// RegistrationQuery narrows a list of registrations.
type RegistrationQuery struct {
	Tenant  string       // identifier of the tenant; "" is all
	Line    string       // line number or username; "" is all
	Contact string       // part of the contact; "" is all
	Source  netip.Prefix // where the registration came from; the zero value is everywhere
	Port    uint16       // and from which port; 0 is any
	After   string       // where the previous page ended
	Limit   int          // at least 1
}

// Registration is one binding of an address of record to a contact.
type Registration struct {
	ID         string   `json:"id" doc:"Stable while the binding lives"`
	Tenant     string   `json:"tenant" doc:"Identifier of the tenant"`
	Line       string   `json:"line" doc:"Number of the line"`
	Device     string   `json:"device" doc:"Username of the device"`
	Contact    string   `json:"contact"`
	Source     string   `json:"source" doc:"Address that the registration came from"`
	Transport  string   `json:"transport"`
	Path       *string  `json:"path" doc:"The Route that leads to it, of the proxies that the registration came through (RFC 3327)"`
	UserAgent  *string  `json:"user_agent"`
	Registered cdr.Time `json:"registered" doc:"When it was last refreshed"`
	Expires    cdr.Time `json:"expires"`
}

// Status tells how the server is.
type Status struct {
	Version       string           `json:"version"`
	Node          string           `json:"node"`
	State         string           `json:"state" enum:"running,draining"`
	Started       cdr.Time         `json:"started"`
	Data          string           `json:"data" doc:"The data directory"`
	Calls         int              `json:"calls"`
	Registrations int              `json:"registrations"`
	Tenants       int              `json:"tenants"`
	Lines         int              `json:"lines"`
	Listeners     []StatusListener `json:"listeners"`
	Warnings      []string         `json:"warnings" doc:"What a person should look at, in words"`
}

// StatusListener is one place where the server listens.
type StatusListener struct {
	URL  string `json:"url" doc:"Such as udp://[::]:5060"`
	Role string `json:"role" doc:"exchange, proxy, stateless, redirect or registrar; turn; http for web listeners"`
}
