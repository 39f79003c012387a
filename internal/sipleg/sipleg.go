// Package sipleg is call.Leg over a SIP dialog: the only package besides h323leg that knows both sides. It turns
// requests and responses into the typed events of a call, and the call's wishes into requests and responses.
//
// It owns the INVITE usage of a dialog: the INVITE transaction of either side, provisional responses and their
// reliability (RFC 3262), ACK, re-INVITE and UPDATE with glare (RFC 3261 §14, RFC 3311), session timers (RFC 4028),
// INFO (RFC 6086), BYE and CANCEL with their Reason (RFC 3326), the digest answer of a user agent client, and the leg's
// media session. It does not decide who is called, whether a call may start, or what an offer contains.
//
// Concurrency: a Leg belongs to the goroutine of its call. The transaction layer calls the Endpoint on a transport
// worker; the Endpoint clones the message (that is where it outlives its worker) and posts it to the call's mailbox,
// where the Leg handles it. So messages of one dialog are handled in the order in which they arrived. Once the mailbox
// is closed, what still arrives for a leg (a late 2xx) is handled on the worker. Timers post to the mailbox. The
// package starts no goroutines.
package sipleg

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"sync"
	"sync/atomic"

	"dialtone/internal/call"
	"dialtone/internal/media"
	"dialtone/internal/sip"
	"dialtone/internal/sip/dialog"
	"dialtone/internal/sip/transaction"
)

// Flow is where messages of a leg go.
type Flow interface {
	transaction.Flow
	// Remote is the peer's address.
	Remote() netip.AddrPort
	// String names the flow for records: "udp 192.0.2.7:5060".
	String() string
}

// Path is the places where a request may be sent to, best first (RFC 3263 §4.3).
type Path interface {
	// Next finds the next place and calls done with a flow to it, at once where the address is known and needs no
	// connection, else from another goroutine. size is about how long the request will be, in bytes: long ones do not
	// go over UDP (RFC 3261 §18.1.1). When there is no more place, err is set.
	Next(size int, done func(f Flow, err error))
}

// Router finds the way to a URI. Implementations never block.
type Router interface {
	// Path starts at uri, the next hop. source is call.Target.Source of an outbound leg: a flow that is preferred; nil
	// otherwise.
	Path(uri string, source any) Path
}

// ErrNoFlow is what a Path reports in the end when no place could be reached.
var ErrNoFlow = errors.New("sipleg: no way to the target")

// Config of an Endpoint.
type Config struct {
	Transactions *transaction.Layer
	Router       Router
	Media        *media.Engine
	Timer        dialog.TimerPolicy
	UserAgent    string // for User-Agent and Server
	Log          *slog.Logger
}

// Endpoint is where SIP legs come from. It finds the leg that a request inside a dialog is for.
type Endpoint struct {
	Config
	shards [64]shard
	// Refused counts requests inside dialogs that found their call too busy.
	Refused atomic.Uint64
	// Late counts 2xx that came after their leg was given up.
	Late atomic.Uint64
}

type shard struct {
	mu   sync.RWMutex
	legs map[string]*Leg // by Call-ID and our tag
}

// New makes an endpoint.
func New(c Config) *Endpoint {
	e := &Endpoint{Config: c}
	if e.Log == nil {
		e.Log = slog.Default()
	}
	for i := range e.shards {
		e.shards[i].legs = map[string]*Leg{}
	}
	return e
}

var _ call.Dialer = (*Endpoint)(nil)
var _ call.LegRestorer = (*Endpoint)(nil)

// Allow is what a leg understands.
const Allow = "INVITE, ACK, CANCEL, BYE, OPTIONS, PRACK, UPDATE, INFO"

// supported goes into Supported; Unsupported must know the same.
const supported = "100rel, timer"

// Unsupported are the option tags in Require of a request that a leg does not understand: RFC 3261 §8.2.2.3.
func Unsupported(m *sip.Message) []string {
	var tags []string
	for e := m.Elements(sip.HRequire); e.Next(); {
		if tag := e.Value(); !sip.EqualFold(tag, "100rel") && !sip.EqualFold(tag, "timer") {
			tags = append(tags, string(tag))
		}
	}
	return tags
}

// Readable tells whether the body of an INVITE or UPDATE, if any, is a description: RFC 3261 §8.2.3.
func Readable(m *sip.Message) bool {
	if len(m.Body()) == 0 {
		return true
	}
	encoding, encoded := m.Header(sip.HContentEncoding)
	return m.SDP() != nil && (!encoded || sip.EqualFold(encoding, "identity"))
}

// AddReadable adds to a 415 what would have been understood.
func AddReadable(b *sip.Builder) *sip.Builder {
	return b.Add(sip.HAccept, "application/sdp").Add(sip.HAcceptEncoding, "identity")
}

// appendKey is what a request inside a dialog is found by.
func appendKey(dst, callID, localTag []byte) []byte {
	return append(append(append(dst, callID...), '|'), localTag...)
}

func (e *Endpoint) shard(key []byte) *shard {
	h := uint32(2166136261)
	for _, c := range key {
		h = (h ^ uint32(c)) * 16777619
	}
	return &e.shards[h%uint32(len(e.shards))]
}

func (e *Endpoint) enter(l *Leg) {
	s := e.shard([]byte(l.key))
	s.mu.Lock()
	s.legs[l.key] = l
	s.mu.Unlock()
}

func (e *Endpoint) leave(l *Leg) {
	s := e.shard([]byte(l.key))
	s.mu.Lock()
	if s.legs[l.key] == l {
		delete(s.legs, l.key)
	}
	s.mu.Unlock()
}

// Len counts the legs that are alive.
func (e *Endpoint) Len() int {
	n := 0
	for i := range e.shards {
		s := &e.shards[i]
		s.mu.RLock()
		n += len(s.legs)
		s.mu.RUnlock()
	}
	return n
}

// find is the leg that a message of the peer is for.
func (e *Endpoint) find(m *sip.Message) *Leg {
	tag := m.ToTag()
	if len(tag) == 0 {
		return nil
	}
	var space [256]byte
	key := appendKey(space[:0], m.CallID(), tag)
	s := e.shard(key)
	s.mu.RLock()
	l := s.legs[string(key)]
	s.mu.RUnlock()
	return l
}

// HandleRequest takes a request with a To tag; false when no leg knows the dialog. It runs on a transport worker.
func (e *Endpoint) HandleRequest(tx *transaction.Server, m *sip.Message) bool {
	l := e.find(m)
	if l == nil {
		return false
	}
	m = m.Clone() // the request outlives its worker
	handle := func() { l.request(tx, m) }
	switch {
	case tx == nil || m.Method() == sip.BYE:
		return l.post(handle) || l.afterwards(tx, m)
	case l.mailbox.PostIfRoom(call.Do{F: handle}):
		return true
	case l.isOver.Load():
		return l.afterwards(tx, m)
	}
	// RFC 3261 §21.5.1: the party sends faster than the call can listen. It may try again; the call goes on.
	e.Refused.Add(1)
	tx.Respond(sip.NewResponse(m, 500, "Too Many Requests", "").Add(sip.HRetryAfter, "1").Add(sip.HServer, e.UserAgent))
	return true
}

// HandleCancel takes the CANCEL of an INVITE that a leg was made for. It runs on a transport worker.
func (e *Endpoint) HandleCancel(tx *transaction.Server, m *sip.Message) {
	l, ok := tx.Handler().(*Leg)
	if !ok {
		return
	}
	reason, _ := m.Header(sip.HReason)
	why := string(reason)
	l.post(func() { l.cancelled(why) })
}

// Dial implements call.Dialer.
func (e *Endpoint) Dial(_ context.Context, i call.Invite) (call.Leg, error) {
	return e.dial(i)
}
