//go:build linux && (amd64 || arm64)

package network

import (
	"net"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const pollEvents = 256 // sockets served per epoll_pwait

// fastPoller owns its workers, each a goroutine, and deals sockets out to them in turn.
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

	// slots are the sockets by the number that epoll gives back. The loop reads them without a lock: the slice is
	// replaced when it must grow, and what is in it is atomic. Slot 0 is the eventfd's.
	slots   atomic.Pointer[[]atomic.Pointer[polledSocket]]
	serving atomic.Pointer[polledSocket] // whom the loop is with; see polledSocket.finish

	mu     sync.Mutex // guards changes of slots, and the two below
	free   []uint32
	closed bool

	// The loop's alone from here on.

	inside *polledSocket // as serving
	round  uint32        // counts what wait returned, twice when it had to wait
	event  [pollEvents]unix.EpollEvent
	buf    []byte
	ps     [batchCap]Packet
	msgs   [batchCap]mmsghdr
	iovs   [batchCap]unix.Iovec
	names  [batchCap]sockaddr
	used   int    // of msgs, by the last recvmmsg
	sum    uint64 // of what was touched
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
	slots := make([]atomic.Pointer[polledSocket], 64)
	w.slots.Store(&slots)
	for i := len(slots) - 1; i > 0; i-- {
		w.free = append(w.free, uint32(i))
	}
	if err := unix.EpollCtl(ep, unix.EPOLL_CTL_ADD, wake, &unix.EpollEvent{Events: unix.EPOLLIN}); err != nil {
		unix.Close(ep)
		unix.Close(wake)
		return nil, os.NewSyscallError("epoll_ctl", err)
	}
	for i := range w.msgs {
		w.iovs[i] = unix.Iovec{Base: &w.buf[i*pollDatagram], Len: pollDatagram}
		w.msgs[i].hdr = unix.Msghdr{Name: &w.names[i][0], Namelen: uint32(len(w.names[i])), Iov: &w.iovs[i], Iovlen: 1}
	}
	return w, nil
}

// add gives a socket its slot.
func (w *pollWorker) add(s *polledSocket) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return net.ErrClosed
	}
	if len(w.free) == 0 {
		w.grow()
	}
	n := len(w.free) - 1
	s.slot, w.free = w.free[n], w.free[:n]
	(*w.slots.Load())[s.slot].Store(s)
	err := unix.EpollCtl(w.ep, unix.EPOLL_CTL_ADD, int(s.fd), &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(s.slot)})
	if err != nil {
		w.forget(s)
		return os.NewSyscallError("epoll_ctl", err)
	}
	return nil
}

// grow doubles the slots. The loop may go on with the old ones for a moment: what has been added since is reported again,
// and what has been taken out knows it. The caller holds w.mu.
func (w *pollWorker) grow() {
	old := *w.slots.Load()
	slots := make([]atomic.Pointer[polledSocket], 2*len(old))
	for i := range old {
		slots[i].Store(old[i].Load())
	}
	for i := len(slots) - 1; i >= len(old); i-- {
		w.free = append(w.free, uint32(i))
	}
	w.slots.Store(&slots)
}

// forget gives the slot back. An event that the loop already holds for it then finds nothing, or the socket that took
// the slot since, whose receive merely says that nothing is there. The caller holds w.mu.
func (w *pollWorker) forget(s *polledSocket) {
	(*w.slots.Load())[s.slot].Store(nil)
	w.free = append(w.free, s.slot)
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
	slots := *w.slots.Load()
	w.mu.Unlock()
	unix.Write(w.wake, []byte{1, 0, 0, 0, 0, 0, 0, 0})
	for i := range slots {
		if s := slots[i].Load(); s != nil {
			s.Close()
		}
	}
}

// run serves the sockets until the worker is closed.
func (w *pollWorker) run() {
	defer w.enter(nil)
	wasBusy := false
	for {
		n := w.wait(wasBusy)
		wasBusy = n > 0
		slots := *w.slots.Load()
		if n > 1 {
			w.touch(slots, w.event[:n])
		}
		for i := range n {
			slot := int(w.event[i].Fd)
			if slot == 0 {
				return // the eventfd is written once, by end
			}
			if slot >= len(slots) {
				continue
			}
			if s := slots[slot].Load(); s != nil {
				w.serve(s)
			}
		}
		w.enter(nil)
	}
}

// touch brings the memory of the sockets that are ready nearer; see Toucher.
func (w *pollWorker) touch(slots []atomic.Pointer[polledSocket], events []unix.EpollEvent) {
	for i := range events {
		if slot := int(events[i].Fd); slot < len(slots) {
			if s := slots[slot].Load(); s != nil {
				if t, ok := s.h.(Toucher); ok {
					w.sum += t.Touch()
				}
			}
		}
	}
}

// enter says with whom the loop is from now on, and ends the socket that it leaves if that was closed meanwhile.
func (w *pollWorker) enter(s *polledSocket) {
	left := w.inside
	w.inside = s
	w.serving.Store(s)
	if left != nil && left.ended.Load() {
		left.finish()
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
		for errno == unix.EINTR {
			runtime.Gosched() // a signal: the scheduler or the collector wants the thread
			n, errno = w.pollRaw(rawWait)
		}
		w.o.rawLeave()
		if n > 0 {
			return n
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

var _ Network = (*OS)(nil)
