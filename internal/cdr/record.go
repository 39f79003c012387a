package cdr

import (
	"dialtone/internal/cause"
	"dialtone/internal/directory"
)

// Record is the call record. Its JSON names are a public contract. A pointer that is nil is an unknown value and
// printed as null; a list is never null. Durations are milliseconds.
type Record struct {
	CallID    string       `json:"call_id"`   // UUIDv7, ours, never the SIP Call-ID
	Tenant    string       `json:"tenant"`    // name
	TenantID  directory.ID `json:"-"`         // stands in the row
	Direction *string      `json:"direction"` // in, out, internal
	From      *string      `json:"from"`      // as the caller gave it
	FromE164  *string      `json:"from_e164"`
	FromName  *string      `json:"from_name"`
	To        *string      `json:"to"` // as dialled
	ToE164    *string      `json:"to_e164"`
	Number    *string      `json:"number"` // the number object that was called
	TrunkIn   *string      `json:"trunk_in"`
	TrunkOut  *string      `json:"trunk_out"`

	Start  *Time `json:"start"`
	Ring   *Time `json:"ring"`   // first alerting or early media
	Answer *Time `json:"answer"` // of the caller
	End    *Time `json:"end"`

	PostDialMS *int64 `json:"post_dial_ms"` // start to ring, or to the answer of a call that did not ring
	RingMS     *int64 `json:"ring_ms"`      // ring to answer, or to the end
	TalkMS     *int64 `json:"talk_ms"`      // answer to end, hold included; 0 when it was not answered
	HoldMS     *int64 `json:"hold_ms"`

	Cause      *cause.Cause `json:"cause"`
	Legs       []Leg        `json:"legs"`
	Path       []Step       `json:"path"`
	Queue      *Queue       `json:"queue"`
	Tags       []string     `json:"tags"`
	Notes      []Note       `json:"notes"`
	Recordings []string     `json:"recordings"` // identifiers
	Cost       *Cost        `json:"cost"`
	Flags      Flags        `json:"flags"`
}

// Leg is one party's part of the call.
type Leg struct {
	Device     *string  `json:"device"`            // username of the device, name of the trunk
	Codec      *string  `json:"codec"`             // "pcma", "opus"
	Crypto     *string  `json:"crypto"`            // how the keys of SRTP came about, "sdes" or "dtls-srtp"; "none" for plain RTP
	Suite      *string  `json:"suite"`             // SRTP protection profile, by its name of RFC 4568
	Transcoded *string  `json:"transcoded"`        // what the party's voice was converted to, "opus -> pcma"; null: it passed as it was
	Reason     *string  `json:"transcoded_reason"` // why: "no codec in common"
	MOSIn      *float64 `json:"mos_in"`            // what we received, 1 to 4.5
	MOSOut     *float64 `json:"mos_out"`           // what the party received, by its reports
	Loss       *float64 `json:"loss"`              // share of packets that did not arrive, 0 to 1
	Bursts     *int64   `json:"bursts"`            // of loss, RFC 3611 §4.7.2
	JitterMS   *float64 `json:"jitter_ms"`         // RFC 3550 §6.4.1 interarrival jitter
	RTTMS      *float64 `json:"rtt_ms"`            // RFC 3550 §6.4.1 round trip
	Site       *string  `json:"site"`

	// Plain tells that a stream of the leg was not encrypted, be it not that of the voice.
	Plain bool `json:"-"`
}

// Step is a station of the call's way: a rule, key, queue, agent, transfer, park, flip.
type Step struct {
	At     *Time  `json:"at"`
	Kind   string `json:"kind"`
	Detail string `json:"detail"`
	Reason string `json:"reason"` // why the call came here; "" where it needs no words
}

// Queue is what the waiting line has to say.
type Queue struct {
	WaitMS *int64  `json:"wait"`
	Agent  *string `json:"agent"`
	SLA    *bool   `json:"sla"` // answered in time
}

// Note is a remark of a person.
type Note struct {
	At   *Time  `json:"at"`
	By   string `json:"by"`
	Text string `json:"text"`
}

// Cost is the price of the call in minor units of the currency.
type Cost struct {
	Buy      *int64 `json:"buy"`
	Sell     *int64 `json:"sell"`
	Currency string `json:"currency"` // ISO 4217
}

// Flags are yes-or-no facts.
type Flags struct {
	OnNet     *bool `json:"on_net"`    // neither party came through a trunk
	Encrypted *bool `json:"encrypted"` // the media of every leg; null when there was none
	Bypassed  *bool `json:"bypassed"`  // the media did not pass through the exchange
	Emergency *bool `json:"emergency"`
	// RecordingFailed: a recording of the call is missing or cut short.
	RecordingFailed *bool `json:"recording_failed"`
}
