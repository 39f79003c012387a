// Package network is where sockets live: packet and stream connections, batches, and the polling engine that serves
// thousands of media ports on few threads. Nobody above it sees a file descriptor. It owns addresses, socket options
// and counters of what the system refused; it does not know what the bytes mean.
//
// Two implementations stand behind the same interfaces: OS, the machine's own network, and Memory, a network inside
// the process with loss, delay, reordering and NAT drawn from a printed seed, which runs in virtual time.
//
// Ordering: datagrams of one PacketConn are delivered in the order in which they arrived, and so are those of one
// polled socket. Goroutines: a Poller owns its workers, which end with Close; a PacketConn that was opened with
// ListenPacket owns none; a Memory owns one goroutine that delivers everything, which ends with Memory.Close.
//
// RFCs: 768 (UDP), 9293 (TCP), 4787 (the words for NAT behaviour), 3493 §3.7 and §5.3 (dual-stack sockets).
package network

import (
	"context"
	"net"
	"net/netip"
	"time"
)

// Packet is one datagram of a batch.
type Packet struct {
	// Data is the datagram. ReadBatch reads into the slice that it is given (its length is the room) and cuts it to
	// the length of the datagram; the caller restores the length before the next call.
	Data []byte
	// Addr is the remote address: the sender after ReadBatch, the receiver for WriteBatch. An IPv4 peer of a dual-stack
	// socket appears as plain IPv4, never as an IPv4-mapped IPv6 address.
	Addr netip.AddrPort
	// Outbox is set by a handler of a shared port while it passes a packet on: who sends it further on the same port puts it
	// in there. It is never set by ReadBatch or for a handler.
	Outbox *Outbox
}

// PacketWriter sends datagrams. It is safe for use by several goroutines and never blocks: a datagram that the
// system does not take is dropped, as any network may do.
type PacketWriter interface {
	// LocalAddr is the bound address; its IP may be unspecified ("::" serves IPv4 as well).
	LocalAddr() netip.AddrPort
	// WriteTo sends one datagram.
	WriteTo(b []byte, to netip.AddrPort) error
	// WriteBatch sends all packets, with as few system calls as the platform allows, and returns how many were taken.
	WriteBatch(ps []Packet) (int, error)
	// Close releases the socket; ReadBatch returns net.ErrClosed and a poller's handler is not called again once Close
	// has returned (Close must not be called from the handler itself; use CloseLater for that).
	Close() error
	// CloseLater is Close without the wait, for a handler that ends its own socket: the handler is not called again
	// once the present call has returned.
	CloseLater()
}

// Widener is a PacketWriter whose receive buffer can be made larger than what the system gives, for streams that come in
// bursts (video key frames).
type Widener interface {
	Widen(bytes int)
}

// Connector is a PacketWriter that can be given one peer, for a stream that will not change its far end any more. It costs
// less to send to the peer then, and what others send is thrown away by the system, uncounted: somebody who floods a port
// of a call costs nothing but the way to the socket.
//
// What a peer hides must be looked for by whoever connects. A party that moves to another port is not heard until
// Disconnect: call it when the peer has been silent for a moment, and whenever signalling lets the party move. And with a
// peer, a socket that is bound to the unspecified address hears only what is sent to the one address from which the system
// itself would send to the peer. Where the party was told another address of this machine, silence follows as well.
type Connector interface {
	// Connect takes a peer, in place of the one before. WriteTo and WriteBatch send to others as before. Datagrams that
	// have arrived already are still delivered, from whomever they are; one that is just being sent to the peer before may
	// go to the new one.
	Connect(to netip.AddrPort) error
	// Disconnect hears everybody again.
	Disconnect() error
}

// Marker is a PacketWriter that can mark what it sends with a DSCP value (RFC 2474); every socket of this package can.
type Marker interface {
	// Mark sets the value, 0 to 63; 46 is Expedited Forwarding (RFC 3246).
	Mark(dscp int) error
}

// PacketConn is a datagram socket whose reader brings its own goroutine.
type PacketConn interface {
	PacketWriter
	// ReadBatch blocks until at least one datagram is there and returns how many it read. One reader at a time.
	ReadBatch(ps []Packet) (int, error)
}

// PacketHandler takes the datagrams of one polled socket, on the worker that owns the socket. The packets are valid
// until it returns; it must not block. w is the socket they came in on.
type PacketHandler interface {
	HandlePackets(w PacketWriter, ps []Packet)
}

// Toucher is a PacketHandler, or a PacketWriter, with memory of its own for each socket. Of thousands of sockets none is in
// the processor's cache when its packet comes. So a worker that finds several of them ready touches them all before it serves
// the first: the processor then waits for their memory once, and not for one after the other.
type Toucher interface {
	// Touch reads a word of each cache line that a packet is going to need, and returns something made of them. It runs
	// beside everything else: what it reads is atomic, or never changes.
	Touch() uint64
}

// Poller serves many datagram sockets on few threads.
type Poller interface {
	// Open binds addr and calls h for what arrives. Port 0 takes any free port. Datagrams longer than an Ethernet jumbo
	// frame (9,216 bytes) are thrown away.
	Open(addr netip.AddrPort, h PacketHandler) (PacketWriter, error)
	// Close ends the workers and every socket that is still open.
	Close() error
}

// Sharer is a Poller that can serve one port with all its workers, for very many streams on that port. The system spreads
// the remote addresses over them and leaves each with its worker; the handlers then get many datagrams of different
// senders at once (up to 64), which costs a system call for all of them, and answer with one WriteBatch.
type Sharer interface {
	// OpenShared binds addr once for each worker, with a large receive buffer, and calls the worker's own handler for what
	// arrives there; handlers of different workers run at the same time. Port 0 takes any free port. Closing is for
	// each of the sockets; while some are closed, the addresses of those are spread anew.
	OpenShared(addr netip.AddrPort, handler func(worker int) PacketHandler) ([]PacketWriter, error)
}

// Network opens sockets.
type Network interface {
	// ListenPacket binds a datagram socket. Shared sockets may be opened several times for one address: they share the
	// port (SO_REUSEPORT) and the system gives each remote address one of them. Where the system cannot do that, the
	// second one fails with errors.ErrUnsupported.
	ListenPacket(addr netip.AddrPort, shared bool) (PacketConn, error)
	// Listen binds a stream (TCP) listener.
	Listen(addr netip.AddrPort) (net.Listener, error)
	// Dial opens a stream (TCP).
	Dial(ctx context.Context, addr netip.AddrPort) (net.Conn, error)
	// NewPoller starts an engine with the given number of workers.
	NewPoller(workers int) (Poller, error)
	// LocalAddrFor is the local address from which remote is reached: what stands in Via, Contact and SDP when a socket
	// is bound to the unspecified address.
	LocalAddrFor(remote netip.Addr) (netip.Addr, error)
}

// Aged is a PacketConn that knows how long what it has read last had waited in the system's queue. Linux tells; elsewhere
// nobody does.
type Aged interface {
	// Age is that of the last datagram of the last batch, seen from now; for the one who reads. false: it is not known.
	Age() (time.Duration, bool)
}
