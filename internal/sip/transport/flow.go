package transport

import (
	"context"
	"encoding/binary"
	"errors"
	"hash/maphash"
	"net/netip"
	"strings"

	"dialtone/internal/sip"
)

// Flow is one way to one far end: a socket and an address for UDP, a connection for everything else (RFC 5626 §3.1). It
// is safe for any goroutine. Two flows to the same far end over UDP may be different values; Same compares.
type Flow struct {
	l      *Layer
	kind   Kind
	id     uint64
	role   string
	remote netip.AddrPort
	local  netip.AddrPort // of a stream; UDP has that of its socket
	udp    *udpSocket     // nil for a stream
	conn   *conn          // nil for UDP
}

// Kind is the transport.
func (f *Flow) Kind() Kind { return f.kind }

// Role is that of the listener.
func (f *Flow) Role() string { return f.role }

// Remote is the far end.
func (f *Flow) Remote() netip.AddrPort { return f.remote }

// Local is our end; its address is the one that the far end sees, unless a NAT is between.
func (f *Flow) Local() netip.AddrPort {
	if f.udp != nil {
		return f.udp.listener.localFor(f.remote.Addr())
	}
	return f.local
}

// Reliable tells whether the transport retransmits by itself.
func (f *Flow) Reliable() bool { return f.kind.Reliable() }

// Secure tells whether the transport is encrypted.
func (f *Flow) Secure() bool { return f.kind.Secure() }

// ID names the flow for as long as the process lives. A stream has a number of its own; UDP has one for each pair of
// addresses.
func (f *Flow) ID() uint64 { return f.id }

// Same tells whether two flows are one way to one far end.
func (f *Flow) Same(o *Flow) bool {
	return f == o || f != nil && o != nil && f.id == o.id && f.kind == o.kind && f.remote == o.remote
}

// String is "udp 192.0.2.7:5060", for the log.
func (f *Flow) String() string { return strings.ToLower(f.kind.String()) + " " + f.remote.String() }

// Target is where the flow leads.
func (f *Flow) Target() Target {
	t := Target{Kind: f.kind, Addr: f.remote, Role: f.role}
	if f.conn != nil {
		t.Name = f.conn.name
	}
	return t
}

// Via is sent-protocol and sent-by for a request that leaves on this flow: "SIP/2.0/UDP 192.0.2.1:5060"
// (RFC 3261 §18.1.1).
func (f *Flow) Via() string {
	if f.udp != nil {
		return f.udp.listener.names(f.remote.Addr()).via
	}
	return f.conn.names.via
}

// SentBy is the host and port of Via, which is also what stands in Contact: "192.0.2.1:5060".
func (f *Flow) SentBy() string {
	if f.udp != nil {
		return f.udp.listener.names(f.remote.Addr()).sentBy
	}
	return f.conn.names.sentBy
}

// Send puts one message on its way, without blocking and, on UDP, without allocating. b may be used again at once. An
// error means that the flow is of no use any more; what is lost behind it is for the transaction to find out.
func (f *Flow) Send(b []byte) error {
	var err error
	if f.udp != nil {
		err = f.udp.send(b, f.remote)
	} else {
		err = f.conn.send(b)
	}
	if err == nil {
		f.l.Stats.Sent[f.kind].Add(1)
		if f.l.c.Tap != nil {
			f.l.c.Tap(f, Out, b)
		}
	}
	return err
}

// Keep vouches for a stream: somebody has authenticated on it, so it may be idle for longer.
func (f *Flow) Keep() {
	if f.conn != nil {
		f.conn.kept.Store(true)
	}
}

// Close ends a stream after what waits in it is written; it does nothing to UDP.
func (f *Flow) Close() {
	if f.conn != nil {
		f.conn.closeSoon(ErrClosed)
	}
}

// Err is why a stream is closed; nil while it is open or being opened.
func (f *Flow) Err() error {
	if f.conn == nil {
		return nil
	}
	f.conn.mu.Lock()
	defer f.conn.mu.Unlock()
	return f.conn.err
}

// Wait waits until a stream is open and returns why it could not be opened. It blocks: not for workers.
func (f *Flow) Wait(ctx context.Context) error {
	if f.conn == nil {
		return nil
	}
	select {
	case <-f.conn.opened:
		return f.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// tokenLength is kind, number, local port, remote address and port.
const tokenLength = 1 + 8 + 2 + 16 + 2

// AppendToken prints a handle that Layer.Flow understands: a flow token of RFC 5626 §5.2 before it is signed, which is
// for the one who puts it into a header to do.
func (f *Flow) AppendToken(dst []byte) []byte {
	ip := f.remote.Addr().As16()
	dst = binary.BigEndian.AppendUint64(append(dst, byte(f.kind)), f.id)
	dst = binary.BigEndian.AppendUint16(dst, f.localPort())
	return binary.BigEndian.AppendUint16(append(dst, ip[:]...), f.remote.Port())
}

func (f *Flow) localPort() uint16 {
	if f.udp != nil {
		return f.udp.listener.addr.Port()
	}
	return f.local.Port()
}

var errToken = errors.New("transport: no such flow")

// Flow finds the flow of a token: a stream while it is open, UDP always, even in a later process that listens on the
// same port.
func (l *Layer) Flow(token []byte) (*Flow, error) {
	if len(token) != tokenLength {
		return nil, errToken
	}
	kind, id := Kind(token[0]), binary.BigEndian.Uint64(token[1:])
	remote := netip.AddrPortFrom(netip.AddrFrom16([16]byte(token[11:27])).Unmap(), binary.BigEndian.Uint16(token[27:]))
	if f := l.Find(kind, id, remote); f != nil {
		return f, nil
	}
	if kind != UDP || remote.Port() == 0 {
		return nil, errToken
	}
	port := binary.BigEndian.Uint16(token[9:])
	for _, u := range l.udp {
		if u.addr.Port() == port && u.reaches(remote.Addr()) > 0 {
			return u.flow(remote), nil
		}
	}
	return nil, errToken
}

// Find is the flow with a number and a remote address: a stream while it is open, UDP as long as the process lives, on
// the listener that it came in on. nil when there is none.
func (l *Layer) Find(k Kind, id uint64, remote netip.AddrPort) *Flow {
	if k != UDP {
		if f := l.streams.byID(id); f != nil && f.kind == k && f.remote == remote {
			return f
		}
		return nil
	}
	for _, u := range l.udp {
		if l.udpID(u.addr, remote) == id {
			return u.flow(remote)
		}
	}
	return nil
}

// UDPFrom is the way to remote over the datagram listener with the port of local: behind a NAT, a phone hears only the
// port that it has spoken to, also after a restart. nil when there is no such listener.
func (l *Layer) UDPFrom(local, remote netip.AddrPort) *Flow {
	for _, u := range l.udp {
		if u.addr.Port() == local.Port() && u.reaches(remote.Addr()) > 0 {
			return u.flow(remote)
		}
	}
	return nil
}

// udpID is the number of a pair of addresses.
func (l *Layer) udpID(local, remote netip.AddrPort) uint64 {
	return maphash.Comparable(l.seed, [2]netip.AddrPort{local, remote})
}

// replyFlow is where the response to a request goes. RFC 3261 §18.2.2 and RFC 3581 §4: to the source port when the
// client put rport into its Via, else to the port of its Via, always at the source address.
func (f *Flow) replyFlow(m *sip.Message) *Flow {
	if f.udp == nil || !m.IsRequest() {
		return f
	}
	via, err := m.Via()
	if err != nil || via.HasRPort {
		return f
	}
	port := via.Port
	if port == 0 {
		port = UDP.DefaultPort()
	}
	if port == f.remote.Port() {
		return f
	}
	return f.udp.flowTo(netip.AddrPortFrom(f.remote.Addr(), port))
}

// Stream is the open stream with a number; nil when there is none.
func (l *Layer) Stream(id uint64) *Flow { return l.streams.byID(id) }
