//go:build linux && (amd64 || arm64)

package network

import (
	"errors"
	"net"
	"os"
	"runtime"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fastConn is a datagram socket that waits in the runtime's poller and reads with recvmmsg.
type fastConn struct {
	socket
	raw syscall.RawConn

	// The reader's own memory: one reader at a time. read is the method value that RawConn.Read calls, made once so
	// that a batch allocates nothing.
	read  func(fd uintptr) bool
	msgs  [batchCap]mmsghdr
	iovs  [batchCap]unix.Iovec
	names [batchCap]sockaddr
	poll  unix.PollFd
	want  int
	many  bool // more than one datagram is likely to be there
	dry   bool // this batch found nothing at first
	name  uint32
	got   int
	errno syscall.Errno
}

func newFastConn(o *OS, c *net.UDPConn) (PacketConn, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	f := &fastConn{raw: raw}
	f.o = o
	f.local = addrPort(c.LocalAddr())
	f.v6 = f.local.Addr().Is6()
	f.release = func() { c.Close() }
	if err := raw.Control(func(fd uintptr) { f.fd = int32(fd) }); err != nil {
		return nil, err
	}
	for i := range f.msgs {
		f.msgs[i].hdr.Name = &f.names[i][0]
		f.msgs[i].hdr.Iov = &f.iovs[i]
		f.msgs[i].hdr.Iovlen = 1
	}
	f.read = f.receive
	return f, nil
}

// ReadBatch implements PacketConn.
func (f *fastConn) ReadBatch(ps []Packet) (int, error) {
	n := min(len(ps), batchCap)
	if n == 0 {
		return 0, nil
	}
	for i := range n {
		f.iovs[i].Base = unsafe.SliceData(ps[i].Data)
		f.iovs[i].Len = uint64(len(ps[i].Data))
	}
	f.want, f.dry = n, false
	for {
		if !f.receiveSoon() {
			if err := f.raw.Read(f.read); err != nil {
				if errors.Is(err, net.ErrClosed) {
					err = net.ErrClosed
				}
				return 0, err
			}
		}
		if f.errno == 0 {
			break
		}
		switch f.errno {
		case syscall.EBADF, syscall.ENOTSOCK, syscall.EFAULT, syscall.EINVAL:
			return 0, os.NewSyscallError("recvmmsg", f.errno)
		}
		// Anything else is an ICMP error of an earlier datagram, or a passing lack of memory.
	}
	// One datagram costs less with recvfrom than with recvmmsg. What came after a wait is likely to be alone; what was
	// there at once is not.
	f.many = f.got > 1 || !f.dry && !f.many
	for i := range f.got {
		ps[i].Data = ps[i].Data[:f.msgs[i].n]
		ps[i].Addr = f.names[i].take(&f.o.zones)
	}
	return f.got, nil
}

// receiveSoon reads what is there, or comes within rawWait milliseconds, without the runtime's poller: for a busy socket
// the wake-up through it costs more than the datagram. It reports whether receive has got anything.
func (f *fastConn) receiveSoon() bool {
	if !f.o.rawEnter() {
		return false
	}
	defer f.o.rawLeave()
	if !f.hold() {
		return false // the runtime's poller knows how to say it
	}
	defer f.drop()
	if f.receive(uintptr(f.fd)) {
		return true
	}
	f.poll = unix.PollFd{Fd: f.fd, Events: unix.POLLIN}
	limit := unix.Timespec{Nsec: rawWait * 1e6}
	n, _, errno := syscall.RawSyscall6(unix.SYS_PPOLL, uintptr(unsafe.Pointer(&f.poll)), 1,
		uintptr(unsafe.Pointer(&limit)), 0, 0, 0)
	if errno != 0 {
		runtime.Gosched() // a signal: the collector may want the thread
		return false
	}
	return n > 0 && f.receive(uintptr(f.fd))
}

// receive is one attempt; false makes the runtime wait until the socket is readable.
func (f *fastConn) receive(fd uintptr) bool {
	for {
		var k uintptr
		var errno syscall.Errno
		if f.many && f.want > 1 {
			k, errno = f.receiveMany(fd)
		} else {
			k, errno = f.receiveOne(fd)
		}
		switch errno {
		case syscall.EINTR:
			continue
		case syscall.EAGAIN:
			f.dry = true
			return false
		}
		f.got, f.errno = int(k), errno
		return true
	}
}

func (f *fastConn) receiveMany(fd uintptr) (uintptr, syscall.Errno) {
	for i := range f.want {
		f.msgs[i].hdr.Namelen = uint32(len(f.names[i]))
	}
	k, _, errno := syscall.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&f.msgs[0])), uintptr(f.want),
		unix.MSG_DONTWAIT, 0, 0)
	return k, errno
}

func (f *fastConn) receiveOne(fd uintptr) (uintptr, syscall.Errno) {
	f.name = uint32(len(f.names[0]))
	n, _, errno := syscall.RawSyscall6(unix.SYS_RECVFROM, fd, uintptr(unsafe.Pointer(f.iovs[0].Base)),
		uintptr(f.iovs[0].Len), unix.MSG_DONTWAIT, uintptr(unsafe.Pointer(&f.names[0])), uintptr(unsafe.Pointer(&f.name)))
	f.msgs[0].n = uint32(n)
	return 1, errno
}

// Close implements PacketWriter.
func (f *fastConn) Close() error {
	f.shut()
	return nil
}

// CloseLater implements PacketWriter.
func (f *fastConn) CloseLater() { f.shut() }
