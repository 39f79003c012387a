package network

import (
	"time"

	"golang.org/x/sys/unix"
)

// ProcessorTime is how long the processors have worked for this process.
func ProcessorTime() (time.Duration, bool) {
	var u unix.Rusage
	if unix.Getrusage(unix.RUSAGE_SELF, &u) != nil {
		return 0, false
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), true
}
