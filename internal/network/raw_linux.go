//go:build linux && (amd64 || arm64)

package network

import "runtime"

// rawWait is how long, in milliseconds, a reader that has just been busy waits inside the kernel without telling the
// scheduler. Telling it means to hand the P over and to take one again, which costs as much as the datagram itself.
//
// This is safe beside the garbage collector. To stop the world, or one goroutine, the runtime signals the thread, again
// and again every 100 µs; the signal ends epoll_pwait and ppoll with EINTR whatever the flags of its handler
// (signal(7)), and the reader then calls Gosched, which lets the collector in. Should such signals be switched off
// (GODEBUG=asyncpreemptoff=1), the time limit does the same a little later.
const rawWait = 2

// rawEnter asks for leave to wait so. A thread inside a raw wait uses no processor but keeps its P, which nobody else
// can run on meanwhile. So raw waits take only Ps that are there beyond the processors of the machine: with GOMAXPROCS
// as it is by default there are none, and a program that wants them sets GOMAXPROCS to the number of processors plus
// that of its busy readers.
func (o *OS) rawEnter() bool {
	if int(o.rawWaits.Add(1)) <= runtime.GOMAXPROCS(0)-runtime.NumCPU() {
		return true
	}
	o.rawWaits.Add(-1)
	return false
}

func (o *OS) rawLeave() { o.rawWaits.Add(-1) }
