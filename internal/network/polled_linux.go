//go:build linux && (amd64 || arm64)

package network

import (
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// polledSocket is one socket of a worker. Its receive buffer in user space is the worker's. What a packet touches stands
// first, within a cache line: with a thousand sockets each of them is out of the cache when its packet comes.
//
// Two may end it: Close and CloseLater from anywhere, and the loop, when the socket is closed while the loop is with it.
// Neither takes a lock for that. The loop says whom it is with (pollWorker.serving), then looks whether that one is ended;
// who closes sets ended, then looks whether the loop is with it. One of them at least sees the other, and finish happens once.
type polledSocket struct {
	h     PacketHandler
	round uint32 // in which round it was last served
	many  bool   // it had more than one datagram then
	ended atomic.Bool
	socket

	w        *pollWorker
	slot     uint32
	finished atomic.Bool
	gone     sync.WaitGroup // 1 until finish: the handler is not called any more
	auto     bool           // the system has chosen the port
	shared   bool           // other workers have sockets on the same port

	connecting sync.Mutex // one change of the peer at a time
	_          [32]byte   // a size of whole cache lines
}

// Open implements Poller.
func (p *fastPoller) Open(addr netip.AddrPort, h PacketHandler) (PacketWriter, error) {
	w := p.workers[int(p.next.Add(1))%len(p.workers)]
	return w.open(addr, h, false)
}

// OpenShared implements Sharer.
func (p *fastPoller) OpenShared(addr netip.AddrPort, handler func(worker int) PacketHandler) ([]PacketWriter, error) {
	var open []PacketWriter
	for i, w := range p.workers {
		s, err := w.open(addr, handler(i), true)
		if err != nil {
			for _, o := range open {
				o.Close()
			}
			return nil, err
		}
		s.Widen(receiveBuffer)
		addr = s.LocalAddr()
		open = append(open, s)
	}
	return open, nil
}

func (w *pollWorker) open(addr netip.AddrPort, h PacketHandler, shared bool) (*polledSocket, error) {
	s := &polledSocket{w: w, h: h, shared: shared}
	s.o = w.o
	if err := s.bind(addr); err != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(addr), Err: err}
	}
	fd := int(s.fd)
	s.release = func() { unix.Close(fd) }
	s.users.Store(1) // the loop's; given back by finish
	s.gone.Add(1)
	if err := w.add(s); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return s, nil
}

// Touch implements Toucher.
func (s *polledSocket) Touch() uint64 { return uint64(s.users.Load()) }

// bind makes the descriptor. It does not go through package net: a call opens four of these while it is being set up,
// and the runtime's poller need not know them.
func (s *polledSocket) bind(addr netip.AddrPort) error {
	family := unix.AF_INET
	s.v6 = addr.Addr().Is6() && !addr.Addr().Is4In6()
	if s.v6 {
		family = unix.AF_INET6
	}
	fd, err := unix.Socket(family, unix.SOCK_DGRAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	s.fd = int32(fd)
	if s.v6 { // RFC 3493 §5.3
		only := 1
		if addr.Addr().IsUnspecified() {
			only = 0
		}
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
	}
	if s.shared {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1); err != nil {
			unix.Close(fd)
			return os.NewSyscallError("setsockopt", err)
		}
	}
	var name sockaddr
	n := name.put(addr, s.v6, &s.o.zones)
	if _, _, errno := syscall.RawSyscall(unix.SYS_BIND, uintptr(fd), uintptr(unsafe.Pointer(&name)), uintptr(n)); errno != 0 {
		unix.Close(fd)
		return os.NewSyscallError("bind", errno)
	}
	if s.local = addr; addr.Port() != 0 {
		return nil
	}
	s.auto = true
	if s.local, err = s.bound(); err != nil {
		unix.Close(fd)
	}
	return err
}

// bound asks the system for the address of the socket.
func (s *polledSocket) bound() (netip.AddrPort, error) {
	var name sockaddr
	n := uint32(len(name))
	if _, _, errno := syscall.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(s.fd), uintptr(unsafe.Pointer(&name)),
		uintptr(unsafe.Pointer(&n))); errno != 0 {
		return netip.AddrPort{}, os.NewSyscallError("getsockname", errno)
	}
	return name.take(&s.o.zones), nil
}

// CloseLater implements PacketWriter.
func (s *polledSocket) CloseLater() {
	if !s.ended.CompareAndSwap(false, true) {
		return
	}
	s.w.mu.Lock()
	if !s.w.closed {
		unix.EpollCtl(s.w.ep, unix.EPOLL_CTL_DEL, int(s.fd), nil)
		s.w.forget(s)
	}
	s.w.mu.Unlock()
	s.shut()
	if s.w.serving.Load() != s {
		s.finish()
	}
}

// finish gives back the loop's hold on the descriptor, once the loop is not with the socket and will not be again.
func (s *polledSocket) finish() {
	if s.finished.CompareAndSwap(false, true) {
		s.drop()
		s.gone.Done()
	}
}

// Close implements PacketWriter.
func (s *polledSocket) Close() error {
	s.CloseLater()
	s.gone.Wait()
	return nil
}

// serve reads what one socket has and hands it to its handler. Mostly one datagram is there, and recvfrom is then the
// cheapest way. A socket that has just had several, or is ready in two rounds with no wait between them, gets recvmmsg.
func (w *pollWorker) serve(s *polledSocket) {
	w.enter(s)
	if s.ended.Load() {
		return
	}
	n := 0
	if s.many || s.round == w.round-1 {
		n = w.receiveMany(s)
	} else {
		n = w.receiveOne(s)
	}
	s.round, s.many = w.round, n > 1
	if n > 0 {
		s.h.HandlePackets(s, w.ps[:n])
	}
}

func (w *pollWorker) receiveOne(s *polledSocket) int {
	namelen := uint32(len(w.names[0]))
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, uintptr(s.fd), uintptr(unsafe.Pointer(&w.buf[0])), pollDatagram,
		unix.MSG_DONTWAIT|unix.MSG_TRUNC, uintptr(unsafe.Pointer(&w.names[0])), uintptr(unsafe.Pointer(&namelen)))
	if errno != 0 {
		return 0
	}
	if n > pollDatagram { // MSG_TRUNC: the true length
		w.o.cut.Add(1)
		return 0
	}
	w.ps[0] = Packet{Data: w.buf[:n:pollDatagram], Addr: w.names[0].take(&w.o.zones)}
	return 1
}

func (w *pollWorker) receiveMany(s *polledSocket) int {
	for i := range w.used { // those that the system has written to
		w.msgs[i].hdr.Namelen = uint32(len(w.names[i]))
	}
	w.used = 0
	k, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&w.msgs[0])), batchCap,
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
	w.used = int(k)
	n := 0
	for i := range int(k) {
		if w.msgs[i].hdr.Flags&unix.MSG_TRUNC != 0 {
			w.o.cut.Add(1)
			continue
		}
		off := i * pollDatagram
		w.ps[n] = Packet{Data: w.buf[off : off+int(w.msgs[i].n) : off+pollDatagram], Addr: w.names[i].take(&w.o.zones)}
		n++
	}
	return n
}
