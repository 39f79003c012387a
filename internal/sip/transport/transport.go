// Package transport carries SIP messages: RFC 3261 §18. It owns the listeners for UDP, TCP, TLS and WebSocket, the
// flows over them, framing, keep-alives, size and time limits, and the search for the next hop (RFC 3263). It knows no
// transactions and no dialogs; it decides nothing about a message but whether it can be read.
//
// A Flow is where a message came from and where its answer goes. The layer reads on workers: one for each datagram
// socket (the kernel gives each remote address one of a listener's sockets), one for each stream. A worker parses a
// message into its own buffer, calls the Handler, and goes on; the message is valid until the handler returns, and the
// handler must not block. Messages of one flow therefore reach the handler in the order in which they arrived. Sending
// never blocks either: what a handler sends while its worker is busy leaves together at the end of the batch, and a
// stream whose reader is slow is closed when its queue is full.
//
// Goroutines: Run starts and waits for all of them: one per UDP socket and per listener, one per stream, one more for
// a stream while something waits to be written outside its worker, one for each WebSocket's pings. A Resolver owns
// those that refresh what it remembers, until its Close.
//
// RFCs: 3261 §18 and §19.1.1, 3263, 2782, 3403, 3581, 5389 (Binding only), 5626 §3.5 and §4.4, 5923 (by not reusing
// streams for names they were not opened for), 7118, 7984 in part (IPv4 before IPv6).
package transport

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync/atomic"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/sip"
)

// Kind is a transport protocol.
type Kind uint8

// The kinds. The zero value is none of them.
const (
	UDP Kind = iota + 1
	TCP
	TLS
	WS
	WSS
)

var kindNames = [...]string{UDP: "UDP", TCP: "TCP", TLS: "TLS", WS: "WS", WSS: "WSS"}

// String is the name as it stands in Via (RFC 3261 §20.42, RFC 7118 §5.1).
func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return ""
}

var kindLower = [...]string{UDP: "udp", TCP: "tcp", TLS: "tls", WS: "ws", WSS: "wss"}

// Name is the name as people and the transport parameter write it: "udp".
func (k Kind) Name() string {
	if int(k) < len(kindLower) {
		return kindLower[k]
	}
	return ""
}

// ParseKind reads a name of Via or of the transport parameter, whatever its case; 0 for an unknown one.
func ParseKind(s string) Kind {
	for k := UDP; k <= WSS; k++ {
		if strings.EqualFold(s, kindNames[k]) {
			return k
		}
	}
	return 0
}

// Reliable tells whether the transport retransmits and keeps order by itself.
func (k Kind) Reliable() bool { return k != UDP }

// Secure tells whether the transport is encrypted.
func (k Kind) Secure() bool { return k == TLS || k == WSS }

// DefaultPort is the port where none is written (RFC 3261 §19.1.2, RFC 7118 §5.4).
func (k Kind) DefaultPort() uint16 {
	switch k {
	case TLS:
		return 5061
	case WS:
		return 80
	case WSS:
		return 443
	}
	return 5060
}

// Listener says where to listen.
type Listener struct {
	Kind Kind
	Addr netip.AddrPort // "[::]:5060" is dual-stack; port 0 takes any free one
	TLS  *tls.Config    // for TLS and WSS; older versions than 1.2 are refused whatever it says
	Role string         // handed on with each flow; what it means is decided above
}

// Target is a next hop.
type Target struct {
	Kind Kind
	Addr netip.AddrPort
	// Name is what the certificate of the far end must be for, and the Host of a WebSocket; the address when empty.
	Name string
	// Role prefers a listener with this role as the local side; "" takes any.
	Role string
}

// String is "udp 192.0.2.7:5060", for the log.
func (t Target) String() string { return strings.ToLower(t.Kind.String()) + " " + t.Addr.String() }

// Direction tells what comes from what goes.
type Direction uint8

// The directions.
const (
	In Direction = iota
	Out
)

// Handler is the layer above. Its methods run on the worker that read the message; they must not block, and what they
// are given is valid until they return.
type Handler interface {
	// HandleMessage takes a message that could be parsed. Received is set. f is the flow on which a request is to be
	// answered: where it came from, or, for a client that asks for it by leaving out rport, the port of its Via
	// (RFC 3261 §18.2.2).
	HandleMessage(f *Flow, m *sip.Message)
	// HandleMalformed takes what could not be parsed, with as much of it as was understood; where m.Answerable, the
	// error's status is the answer. A stream is closed once the handler has returned and its answer is written.
	HandleMalformed(f *Flow, raw []byte, m *sip.Message, err error)
	// HandleClosed tells that a stream is gone, or could not be opened. Nothing is sent on it any more.
	HandleClosed(f *Flow, err error)
}

// Limits bound what strangers can take. Zero fields get the defaults.
type Limits struct {
	Streams           int           // in all; 16,384
	StreamsPerAddress int           // from one address; 512, for a whole office behind a NAT
	Handshakes        int           // TLS handshakes at a time; 64
	Handshake         time.Duration // for TLS and for the WebSocket upgrade; 5 s
	Message           time.Duration // from the first byte of a message to its last; 5 s
	Idle              time.Duration // of a stream that nobody has vouched for with Flow.Keep; 30 s
	Kept              time.Duration // of one that somebody has, or that we opened; 2 h
	Connect           time.Duration // to open a stream, TLS included; 4 s
	Write             time.Duration // for the far end to take what is written; 10 s
	Queue             int           // bytes waiting in a stream; 512 KB
	Head              int           // bytes of a message before its body; 32 KB
}

func (l Limits) withDefaults() Limits {
	number := func(p *int, d int) {
		if *p <= 0 {
			*p = d
		}
	}
	duration := func(p *time.Duration, d time.Duration) {
		if *p <= 0 {
			*p = d
		}
	}
	number(&l.Streams, 16384)
	number(&l.StreamsPerAddress, 512)
	number(&l.Handshakes, 64)
	duration(&l.Handshake, 5*time.Second)
	duration(&l.Message, 5*time.Second)
	duration(&l.Idle, 30*time.Second)
	duration(&l.Kept, 2*time.Hour)
	duration(&l.Connect, 4*time.Second)
	duration(&l.Write, 10*time.Second)
	number(&l.Queue, 512<<10)
	number(&l.Head, 32<<10)
	return l
}

// Config of a Layer.
type Config struct {
	Network   network.Network
	Listeners []Listener
	Handler   Handler
	// Workers is the number of sockets of each UDP listener; 0 takes GOMAXPROCS.
	Workers int
	// Admit is asked for each message, and for each stream that is accepted, before anything is parsed; nil admits all.
	Admit func(src netip.AddrPort, now time.Time) bool
	// Tap sees each message that comes or goes, on whatever goroutine it does; b is valid until it returns.
	Tap func(f *Flow, d Direction, b []byte)
	// Advertise is the host that parties at remote are told, where it is not the local address; "" where it is.
	Advertise func(remote netip.Addr) string
	// ClientTLS is used to open TLS and WSS streams; nil verifies against the system's authorities. Where ServerName is
	// empty it becomes the target's name.
	ClientTLS func(t Target) *tls.Config
	// Origin decides about the Origin of a WebSocket; nil takes all.
	Origin func(r *http.Request) bool
	Limits Limits
	Log    *slog.Logger // nil is silent
}

// Stats counts; for metrics.
type Stats struct {
	Received     [WSS + 1]atomic.Uint64 // messages read, by kind
	Sent         [WSS + 1]atomic.Uint64
	Refused      atomic.Uint64 // not admitted
	Malformed    atomic.Uint64
	KeepAlives   atomic.Uint64
	Accepted     atomic.Uint64 // streams
	OverLimit    atomic.Uint64 // streams closed at once: too many
	SlowReaders  atomic.Uint64 // streams closed because their queue was full
	SlowSenders  atomic.Uint64 // streams closed in the middle of a message or when idle
	DialFailures atomic.Uint64
	Handshakes   atomic.Uint64 // TLS handshakes that failed
	Panics       atomic.Uint64
}

// Errors of a flow.
var (
	// ErrClosed: the stream, or the layer, is closed.
	ErrClosed = errors.New("transport: closed")
	// ErrSlow: the far end does not read; the stream was closed.
	ErrSlow = errors.New("transport: send queue full")
	// ErrNoListener: no listener fits the target.
	ErrNoListener = errors.New("transport: no listener for this target")
	// ErrTooLarge: the message does not fit a datagram.
	ErrTooLarge = errors.New("transport: message too large")
	errIdle     = errors.New("transport: idle")
	errMalform  = errors.New("transport: malformed message")
	errFlood    = errors.New("transport: more messages than the source may send")
)
