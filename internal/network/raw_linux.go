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

// rawEnter asks for leave to wait so. A thread inside a raw wait keeps its P, so two Ps are always left for everybody
// else: with GOMAXPROCS up to 2 there are no raw waits at all.
func (o *OS) rawEnter() bool {
	if int(o.rawWaits.Add(1)) <= runtime.GOMAXPROCS(0)-2 {
		return true
	}
	o.rawWaits.Add(-1)
	return false
}

func (o *OS) rawLeave() { o.rawWaits.Add(-1) }
