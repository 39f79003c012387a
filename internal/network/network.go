// Package network is where sockets live: packet and stream connections, batches, and the polling engine that serves
// thousands of media ports on few threads. Nobody above it sees a file descriptor.
//
// Two implementations stand behind the same interfaces: OS, the machine's own network, and Memory, a network inside
// the process with loss, delay, reordering and NAT drawn from a printed seed, which runs in virtual time.
//
// Ordering: datagrams of one PacketConn are delivered in the order in which they arrived. Goroutines: a Poller owns
// its workers, which end with Close; a PacketConn that was opened with ListenPacket owns none.
package network

import (
	"context"
	"net"
	"net/netip"
)

// Packet is one datagram of a batch.
type Packet struct {
	// Data is the datagram. ReadBatch reads into the slice that it is given (its length is the room) and cuts it to
	// the length of the datagram; the caller restores the length before the next call.
	Data []byte
	// Addr is the remote address: the sender after ReadBatch, the receiver for WriteBatch. An IPv4 peer of a dual-stack
	// socket appears as plain IPv4, never as an IPv4-mapped IPv6 address.
	Addr netip.AddrPort
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

// Poller serves many datagram sockets on few threads.
type Poller interface {
	// Open binds addr and calls h for what arrives. Port 0 takes any free port.
	Open(addr netip.AddrPort, h PacketHandler) (PacketWriter, error)
	// Close ends the workers and every socket that is still open.
	Close() error
}

// Network opens sockets.
type Network interface {
	// ListenPacket binds a datagram socket. With shards > 1 the caller may call it several times for one address: the
	// sockets share the port (SO_REUSEPORT) and the system gives each remote address one of them.
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
