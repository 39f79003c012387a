//go:build linux && (amd64 || arm64)

package network

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Age implements Aged: the kernel stamps datagrams when they arrive, from shortly after the first question on (socket(7),
// SIOCGSTAMP); those without a stamp are as old as the question.
// The stamp and the time it is compared with are of the clock that can be set, so a wrong age may come once of that.
func (f *fastConn) Age() (time.Duration, bool) {
	if !f.hold() {
		return 0, false
	}
	defer f.drop()
	var stamp unix.Timespec
	_, _, errno := syscall.RawSyscall(unix.SYS_IOCTL, uintptr(f.fd), unix.SIOCGSTAMPNS, uintptr(unsafe.Pointer(&stamp)))
	if errno != 0 {
		return 0, false
	}
	return max(0, time.Since(time.Unix(stamp.Unix()))), true
}
