// Package trace keeps the ladder of every call: all SIP messages as they went over the wire, in a ring of bounded size
// on disk, joined over both legs of a call by our call identifier.
//
// It owns the ring and its files, the masking of secrets, and the ways a ladder is shown: as text (WriteText) and as a
// packet capture (WritePCAP). It does not parse SIP beyond what a person wants to read in a ladder, so that broken
// messages show up as well, and it does not judge them.
//
// A message is masked where it enters (Tap): credentials and media keys are overwritten before anything else sees the
// copy. Bodies of MESSAGE are kept.
//
// Goroutines: a Ring has one, which writes to disk ten times a second; Open starts it and Close ends it. Tap copies
// into memory under a short lock, does not allocate and never waits for the disk: when the disk is too slow, messages
// are left out and counted.
// Ordering: a ladder is in the order in which its messages were tapped. A message is on disk 100 ms later at the
// latest, so that much may be missing after a crash. A tail torn by a crash is passed over.
package trace

import (
	"net/netip"
	"time"
)

// Direction of a message, seen from the exchange.
type Direction uint8

// The directions.
const (
	In Direction = iota
	Out
)

// Entry is one message of a ladder.
type Entry struct {
	// Seq is the place of the message among all that were tapped, ever.
	Seq uint64
	// At is when it was read or written.
	At        time.Time
	Direction Direction
	// Kind is the transport: "udp", "tcp", "tls", "ws", "wss".
	Kind          string
	Local, Remote netip.AddrPort
	SIPCallID     string
	// Message is the message with its secrets masked, of the length it had.
	Message []byte
}
