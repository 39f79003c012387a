//go:build linux && (amd64 || arm64)

package network

import (
	"net"
	"net/netip"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const pollEvents = 256 // sockets served per epoll_pwait

// fastPoller owns its workers, each a goroutine locked to a thread of its own, and deals sockets out to them in turn.
type fastPoller struct {
	o       *OS
	workers []*pollWorker
	next    atomic.Uint32
	wg      sync.WaitGroup
	once    sync.Once
}

// pollWorker is one epoll loop with one set of receive buffers for all its sockets.
type pollWorker struct {
	o    *OS
	ep   int // epoll descriptor
	wake int // eventfd that ends a wait

	mu     sync.Mutex // guards the three below
	slots  []*polledSocket
	free   []uint32
	closed bool

	round uint32 // counts what wait returned, twice when it had to wait; the loop's alone
	event [pollEvents]unix.EpollEvent
	buf   []byte
	ps    [batchCap]Packet
	msgs  [batchCap]mmsghdr
	iovs  [batchCap]unix.Iovec
	names [batchCap]sockaddr
}

// polledSocket is one socket of a worker. Its receive buffer in user space is the worker's.
type polledSocket struct {
	socket
	w     *pollWorker
	h     PacketHandler
	slot  uint32
	round uint32 // in which round it was last served
	busy  sync.Mutex
	ended atomic.Bool
}

func newFastPoller(o *OS, workers int) (Poller, error) {
	p := &fastPoller{o: o}
	for range workers {
		w, err := newPollWorker(o)
		if err != nil {
			p.Close()
			return nil, err
		}
		p.workers = append(p.workers, w)
		p.wg.Go(w.run)
	}
	return p, nil
}

func newPollWorker(o *OS) (*pollWorker, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("epoll_create1", err)
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(ep)
		return nil, os.NewSyscallError("eventfd", err)
	}
	w := &pollWorker{o: o, ep: ep, wake: wake, buf: make([]byte, batchCap*pollDatagram)}
	w.slots = []*polledSocket{nil} // slot 0 is the eventfd
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		unix.Close(ep)
		unix.Close(wake)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	for i := range w.msgs {
		w.iovs[i] = unix.Iovec{Base: &w.buf[i*pollDatagram], Len: pollDatagram}
		w.msgs[i].hdr = unix.Msghdr{Name: &w.names[i][0], Iov: &w.iovs[i], Iovlen: 1}
	}
	return w, nil
}

// Open implements Poller.
func (p *fastPoller) Open(addr netip.AddrPort, h PacketHandler) (PacketWriter, error) {
	w := p.workers[int(p.next.Add(1))%len(p.workers)]
	s := &polledSocket{w: w, h: h}
	s.o = p.o
	if err := s.bind(addr); err != nil {
		return nil, &net.OpError{Op: "listen", Net: "udp", Addr: net.UDPAddrFromAddrPort(addr), Err: err}
	}
	fd := s.fd
	s.release = func() { unix.Close(fd) }
	if err := w.add(s); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return s, nil
}

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
	s.fd = fd
	if s.v6 { // RFC 3493 §5.3
		only := 1
		if addr.Addr().IsUnspecified() {
			only = 0
		}
		unix.SetsockoptInt(fd, unix.IPPROTO_IPV6, unix.IPV6_V6ONLY, only)
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
	n = uint32(len(name))
	if _, _, errno := syscall.RawSyscall(unix.SYS_GETSOCKNAME, uintptr(fd), uintptr(unsafe.Pointer(&name)),
		uintptr(unsafe.Pointer(&n))); errno != 0 {
		unix.Close(fd)
		return os.NewSyscallError("getsockname", errno)
	}
	s.local = name.take(&s.o.zones)
	return nil
}

func (w *pollWorker) add(s *polledSocket) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	if n := len(w.free); n > 0 {
		s.slot, w.free = w.free[n-1], w.free[:n-1]
		w.slots[s.slot] = s
	} else {
		s.slot = uint32(len(w.slots))
		w.slots = append(w.slots, s)
	}
	err := unix.EpollCtl(w.ep, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.slot)})
	if err != nil {
		w.forget(s)
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

// forget gives the slot back. An event that the loop already holds for it then finds nothing, or the socket that took
// the slot since, whose receive merely says that nothing is there. The caller holds w.mu.
func (w *pollWorker) forget(s *polledSocket) {
	w.slots[s.slot] = nil
	w.free = append(w.free, s.slot)
}

// CloseLater implements PacketWriter.
func (s *polledSocket) CloseLater() {
	if !s.ended.CompareAndSwap(false, true) {
		return
	}
	s.w.mu.Lock()
	if !s.w.closed {
		unix.EpollCtl(s.w.ep, unix.EPOLL_CTL_DEL, s.fd, nil)
		s.w.forget(s)
	}
	s.w.mu.Unlock()
	s.shut()
}

// Close implements PacketWriter.
func (s *polledSocket) Close() error {
	s.CloseLater()
	s.busy.Lock() // the handler, if it runs, has returned now
	defer s.busy.Unlock()
	return nil
}

// Close implements Poller.
func (p *fastPoller) Close() error {
	p.once.Do(func() {
		for _, w := range p.workers {
			w.end()
		}
		p.wg.Wait()
		for _, w := range p.workers {
			unix.Close(w.ep)
			unix.Close(w.wake)
		}
	})
	return nil
}

// end closes the worker's sockets and stops its loop.
func (w *pollWorker) end() {
	w.mu.Lock()
	w.closed = true
	open := append([]*polledSocket(nil), w.slots...)
	w.mu.Unlock()
	unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	for _, s := range open {
		if s != nil {
			s.Close()
		}
	}
}

// run serves the sockets until the worker is closed.
func (w *pollWorker) run() {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	wasBusy := false
	for {
		n := w.wait(wasBusy)
		wasBusy = n > 0
		if n == 0 {
			continue
		}
		for i := range n {
			slot := uint32(w.event[i].Fd)
			if slot == 0 {
				return // the eventfd is written once, by end
			}
			w.mu.Lock()
			var s *polledSocket
			if int(slot) < len(w.slots) {
				s = w.slots[slot]
			}
			w.mu.Unlock()
			if s != nil {
				w.serve(s)
			}
		}
	}
}

// wait returns how many sockets are ready. It asks first without waiting; a worker that has just been busy then waits
// raw; only when nothing came is the wait handed to the scheduler, so an idle poller costs nothing.
func (w *pollWorker) wait(wasBusy bool) int {
	w.round++
	if n, _ := w.pollRaw(0); n > 0 {
		return n
	}
	w.round++
	if wasBusy && w.o.rawEnter() {
		n, errno := w.pollRaw(rawWait)
		w.o.rawLeave()
		if n > 0 {
			return n
		}
		if errno != 0 {
			runtime.Gosched() // a signal: the collector may want the thread
			return 0
		}
	}
	k, err := unix.EpollWait(w.ep, w.event[:], -1)
	if err != nil {
		return 0
	}
	return k
}

func (w *pollWorker) pollRaw(ms int) (int, syscall.Errno) {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(w.ep), uintptr(unsafe.Pointer(&w.event[0])),
		pollEvents, uintptr(ms), 0, 0)
	if errno != 0 {
		return 0, errno
	}
	return int(n), 0
}

// serve reads what one socket has and hands it to its handler. Mostly one datagram is there, and recvfrom is then
// the cheapest way; a socket that is ready in two rounds with no wait between them has more, and gets recvmmsg.
func (w *pollWorker) serve(s *polledSocket) {
	s.busy.Lock()
	defer s.busy.Unlock()
	if s.ended.Load() || !s.hold() {
		return
	}
	n := 0
	if s.round == w.round-1 {
		n = w.receiveMany(s)
	} else {
		n = w.receiveOne(s)
	}
	s.round = w.round
	if n > 0 {
		s.h.HandlePackets(s, w.ps[:n])
	}
	s.drop()
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
	for i := range w.msgs {
		w.msgs[i].hdr.Namelen = uint32(len(w.names[i]))
	}
	k, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, uintptr(s.fd), uintptr(unsafe.Pointer(&w.msgs[0])), batchCap,
		unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 {
		return 0
	}
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

var _ Network = (*OS)(nil)
