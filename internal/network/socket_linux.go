//go:build linux && (amd64 || arm64)

package network

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fastPath: this system has recvmmsg, sendmmsg and epoll.
const fastPath = true

// batchCap is how many datagrams one system call carries.
const batchCap = 64

// sockaddr is a struct sockaddr_in or sockaddr_in6 as the kernel reads and writes it.
//
//	offset  0        2      4            8                 24
//	IPv4    family   port   address      zero
//	IPv6    family   port   flow label   address           scope
type sockaddr [unix.SizeofSockaddrInet6]byte

// put fills s for a socket of the given family and returns its length, 0 when that family cannot reach a.
func (s *sockaddr) put(a netip.AddrPort, v6 bool, z *zones) uint32 {
	ip := a.Addr()
	if !v6 {
		if ip = ip.Unmap(); !ip.Is4() {
			return 0
		}
		binary.NativeEndian.PutUint16(s[0:], unix.AF_INET)
		binary.BigEndian.PutUint16(s[2:], a.Port())
		b := ip.As4()
		copy(s[4:8], b[:])
		clear(s[8:16])
		return unix.SizeofSockaddrInet4
	}
	if !ip.IsValid() {
		return 0
	}
	binary.NativeEndian.PutUint16(s[0:], unix.AF_INET6)
	binary.BigEndian.PutUint16(s[2:], a.Port())
	clear(s[4:8])
	b := ip.As16() // RFC 3493 §3.7: an IPv4 peer of a dual-stack socket is ::ffff:a.b.c.d
	copy(s[8:24], b[:])
	scope := uint32(0)
	if zone := ip.Zone(); zone != "" {
		scope = z.index(zone)
	}
	binary.NativeEndian.PutUint32(s[24:], scope)
	return unix.SizeofSockaddrInet6
}

// take reads the address that the kernel wrote.
func (s *sockaddr) take(z *zones) netip.AddrPort {
	port := binary.BigEndian.Uint16(s[2:])
	if binary.NativeEndian.Uint16(s[0:]) == unix.AF_INET {
		return netip.AddrPortFrom(netip.AddrFrom4([4]byte(s[4:8])), port)
	}
	ip := netip.AddrFrom16([16]byte(s[8:24])).Unmap()
	if scope := binary.NativeEndian.Uint32(s[24:]); scope != 0 && ip.Is6() {
		ip = ip.WithZone(z.name(scope))
	}
	return netip.AddrPortFrom(ip, port)
}

// mmsghdr is the kernel's struct mmsghdr.
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// sendBatch is the working memory of one WriteBatch.
type sendBatch struct {
	msgs  [batchCap]mmsghdr
	iovs  [batchCap]unix.Iovec
	names [batchCap]sockaddr
}

func newSendBatch() *sendBatch {
	b := &sendBatch{}
	for i := range b.msgs {
		b.msgs[i].hdr.Name = &b.names[i][0]
		b.msgs[i].hdr.Iov = &b.iovs[i]
		b.msgs[i].hdr.Iovlen = 1
	}
	return b
}

// closedBit marks a socket that takes no new users; the rest of users counts those inside a system call.
const closedBit = 1 << 32

// socket is a datagram file descriptor with its senders. Senders on any goroutine hold a reference for the time of the
// system call, and the last one out of a closed socket releases the descriptor: its number cannot be given to another
// socket while somebody still writes to it.
type socket struct {
	fd    int32
	v6    bool
	users atomic.Int64
	peer  atomic.Uint64 // whom the descriptor is connected to, as peerKey has it; 0 nobody
	o     *OS

	release func() // closes the descriptor; called once
	local   netip.AddrPort
	far     atomic.Pointer[netip.AddrPort] // the same, where peer is farPeer
}

func (s *socket) hold() bool {
	if s.users.Add(1)&closedBit != 0 {
		s.drop()
		return false
	}
	return true
}

func (s *socket) drop() {
	// The bit and a zero count are seen by exactly one: the count of a closed socket can only touch zero again through
	// a hold that failed, so the bit is taken away by whoever releases.
	if s.users.Add(-1) == closedBit && s.users.CompareAndSwap(closedBit, closedBit<<1|closedBit) {
		s.release()
	}
}

// shut takes no new users and releases the descriptor once the present ones are done. It reports whether this call was
// the first.
func (s *socket) shut() bool {
	for {
		u := s.users.Load()
		if u&closedBit != 0 {
			return false
		}
		if s.users.CompareAndSwap(u, (u+1)|closedBit) {
			s.drop()
			return true
		}
	}
}

func (s *socket) LocalAddr() netip.AddrPort { return s.local }

func (s *socket) WriteTo(b []byte, to netip.AddrPort) error {
	var name sockaddr
	n := uint32(0)
	connected := s.isPeer(to)
	if !connected {
		if n = name.put(to, s.v6, &s.o.zones); n == 0 {
			return fmt.Errorf("send to %v: %w", to, syscall.EAFNOSUPPORT)
		}
	}
	if !s.hold() {
		return net.ErrClosed
	}
	errno := s.sendTo(b, &name, n)
	if connected && errno != 0 && errno != syscall.EAGAIN {
		// An ICMP error of an earlier datagram (RFC 1122 §4.1.3.3), which a socket without a peer is not told of; or the
		// peer is gone this moment. In either case this datagram has not been sent.
		n = name.put(to, s.v6, &s.o.zones)
		errno = s.sendTo(b, &name, n)
	}
	s.drop()
	if errno == 0 {
		return nil
	}
	return s.refused(errno)
}

// sendTo sends one datagram; with no length of a name, to the peer.
func (s *socket) sendTo(b []byte, name *sockaddr, n uint32) syscall.Errno {
	at := unsafe.Pointer(name)
	if n == 0 {
		at = nil
	}
	_, _, errno := syscall.RawSyscall6(unix.SYS_SENDTO, uintptr(s.fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))),
		uintptr(len(b)), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, uintptr(at), uintptr(n))
	return errno
}

// refused counts what a full queue swallowed, which is no error for the sender, and passes on everything else.
func (s *socket) refused(errno syscall.Errno) error {
	switch errno {
	case syscall.EAGAIN, syscall.ENOBUFS:
		s.o.dropped.Add(1)
		return nil
	}
	return os.NewSyscallError("sendto", errno)
}

func (s *socket) WriteBatch(ps []Packet) (int, error) {
	if !s.hold() {
		return 0, net.ErrClosed
	}
	defer s.drop()
	w := s.o.batches.Get().(*sendBatch)
	sent, used := 0, min(len(ps), batchCap)
	var first error
	for len(ps) > 0 {
		n := min(len(ps), batchCap)
		k, err := s.writeChunk(w, ps[:n])
		sent += k
		if err != nil && first == nil {
			first = err
		}
		ps = ps[n:]
	}
	clear(w.iovs[:used]) // the pool must not keep the caller's buffers alive
	s.o.batches.Put(w)
	return sent, first
}

// writeChunk sends what fits into one sendBatch. A datagram that the system refuses is skipped, not the ones behind it.
func (s *socket) writeChunk(w *sendBatch, ps []Packet) (sent int, first error) {
	m := 0
	for i := range ps {
		n := w.names[m].put(ps[i].Addr, s.v6, &s.o.zones)
		if n == 0 {
			first = fmt.Errorf("send to %v: %w", ps[i].Addr, syscall.EAFNOSUPPORT)
			continue
		}
		w.msgs[m].hdr.Namelen = n
		w.iovs[m].Base = unsafe.SliceData(ps[i].Data)
		w.iovs[m].Len = uint64(len(ps[i].Data))
		m++
	}
	for off := 0; off < m; {
		k, _, errno := syscall.RawSyscall6(unix.SYS_SENDMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&w.msgs[off])),
			uintptr(m-off), unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno != 0 {
			if err := s.refused(errno); err != nil && first == nil {
				first = err
			}
			off++
			continue
		}
		sent += int(k)
		off += int(k)
	}
	return sent, first
}

// Widen implements Widener.
func (s *socket) Widen(bytes int) {
	if s.hold() {
		growReceiveFD(int(s.fd), bytes)
		s.drop()
	}
}

// Mark implements Marker.
func (s *socket) Mark(dscp int) error {
	if !s.hold() {
		return net.ErrClosed
	}
	defer s.drop()
	return markFD(int(s.fd), s.v6, dscp)
}

func markFD(fd int, v6 bool, dscp int) error {
	tos := dscp << 2 // RFC 2474 §3: the upper six bits of the octet
	if v6 {
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_TCLASS, tos); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	// A dual-stack socket sends IPv4 too and reads IP_TOS for it; a v6-only socket may refuse.
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_IP, unix.IP_TOS, tos); err != nil && !v6 {
		return os.NewSyscallError("setsockopt", err)
	}
	return nil
}

func markConn(c *net.UDPConn, v6 bool, dscp int) error {
	rc, err := c.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := rc.Control(func(fd uintptr) { inner = markFD(int(fd), v6, dscp) }); err != nil {
		return err
	}
	return inner
}

// packetControl sets what must be set before the socket is bound.
func packetControl(shared bool) func(string, string, syscall.RawConn) error {
	if !shared {
		return nil
	}
	return func(_, _ string, rc syscall.RawConn) error {
		var inner error
		err := rc.Control(func(fd uintptr) {
			inner = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_REUSEPORT, 1)
		})
		if err != nil {
			return err
		}
		return os.NewSyscallError("setsockopt", inner)
	}
}

// growReceive asks for a receive buffer, past the limit of net.core.rmem_max where the process may.
func growReceive(c *net.UDPConn, n int) {
	rc, err := c.SyscallConn()
	if err != nil {
		return
	}
	rc.Control(func(fd uintptr) { growReceiveFD(int(fd), n) })
}

// defaultReceive is the receive buffer that the system gives to a new datagram socket.
var defaultReceive = sync.OnceValue(func() int {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0
	}
	defer unix.Close(fd)
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	if err != nil {
		return 0
	}
	return n
})

func growReceiveFD(fd, n int) {
	if n <= defaultReceive() {
		return
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, n) != nil {
		unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, n)
	}
}
