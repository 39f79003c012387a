//go:build linux

package network

import (
	"fmt"
	"net/netip"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// osNetworks are the two ways of the machine's network, side by side.
func osNetworks(b *testing.B, f func(b *testing.B, n Network)) {
	b.Run("fast", func(b *testing.B) { f(b, NewOS(OSConfig{})) })
	b.Run("portable", func(b *testing.B) { f(b, NewOS(OSConfig{Portable: true})) })
}

// cpu reports the processor time of the whole process for each operation: what counts, and what a busy machine does not
// blur.
func cpu(b *testing.B) func() {
	used := func() time.Duration {
		var r unix.Rusage
		if err := unix.Getrusage(unix.RUSAGE_SELF, &r); err != nil {
			b.Fatal(err)
		}
		return time.Duration(r.Utime.Nano() + r.Stime.Nano())
	}
	start := used()
	b.ReportAllocs()
	b.ResetTimer()
	return func() { b.ReportMetric(float64(used()-start)/float64(b.N), "cpu-ns/op") }
}

// BenchmarkEcho measures one datagram there and back: alone, and in batches.
func BenchmarkEcho(b *testing.B) {
	for _, c := range []struct{ size, spare int }{{1, 0}, {1, 2}, {32, 0}, {32, 2}} {
		size := c.size
		b.Run(fmt.Sprintf("batch=%d/spare=%d", size, c.spare), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + c.spare))
			osNetworks(b, func(b *testing.B, n Network) {
				server, err := n.ListenPacket(netip.AddrPortFrom(loop4, 0), false)
				if err != nil {
					b.Fatal(err)
				}
				defer server.Close()
				client, err := n.ListenPacket(netip.AddrPortFrom(loop4, 0), false)
				if err != nil {
					b.Fatal(err)
				}
				defer client.Close()
				go func() {
					ps := batch(32)
					for {
						for i := range ps {
							ps[i].Data = ps[i].Data[:2048]
						}
						k, err := server.ReadBatch(ps)
						if err != nil {
							return
						}
						server.WriteBatch(ps[:k])
					}
				}()
				out, in := batch(size), batch(32)
				for i := range out {
					out[i].Data, out[i].Addr = out[i].Data[:400], server.LocalAddr()
				}
				defer cpu(b)()
				for sent := 0; sent < b.N; {
					client.WriteBatch(out)
					for got := 0; got < size; {
						for i := range in {
							in[i].Data = in[i].Data[:2048]
						}
						k, err := client.ReadBatch(in)
						if err != nil {
							b.Fatal(err)
						}
						got += k
					}
					sent += size
				}
			})
		})
	}
}

// relay sends what it gets to the peer of its socket.
type relay struct {
	to    atomic.Pointer[PacketWriter]
	addr  netip.AddrPort
	count *atomic.Int64
	wake  chan struct{}
}

func (r *relay) HandlePackets(_ PacketWriter, ps []Packet) {
	w := *r.to.Load()
	for i := range ps {
		w.WriteTo(ps[i].Data, r.addr)
	}
	if r.count.Add(int64(len(ps)))%window == 0 {
		r.wake <- struct{}{}
	}
}

const window = 50

// BenchmarkRelay measures one G.711 packet through the polling engine: in on one of 100 ports, out on its neighbour,
// sender included (one system call).
func BenchmarkRelay(b *testing.B) {
	for _, spare := range []int{0, 2} {
		b.Run(fmt.Sprintf("spare=%d", spare), func(b *testing.B) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(runtime.NumCPU() + spare))
			osNetworks(b, benchmarkRelay)
		})
	}
}

func benchmarkRelay(b *testing.B, n Network) {
	p, err := n.NewPoller(1)
	if err != nil {
		b.Fatal(err)
	}
	defer p.Close()
	sink, err := n.ListenPacket(netip.AddrPortFrom(loop4, 0), false)
	if err != nil {
		b.Fatal(err)
	}
	defer sink.Close()
	var count atomic.Int64
	wake := make(chan struct{}, 1<<16)
	var ports []netip.AddrPort
	for range 50 {
		x := &relay{addr: sink.LocalAddr(), count: &count, wake: wake}
		in, err := p.Open(netip.AddrPortFrom(loop4, 0), x)
		if err != nil {
			b.Fatal(err)
		}
		out, err := p.Open(netip.AddrPortFrom(loop4, 0), discard{})
		if err != nil {
			b.Fatal(err)
		}
		x.to.Store(&out)
		ports = append(ports, in.LocalAddr())
	}
	payload := make([]byte, 172)
	defer cpu(b)()
	for sent := 0; sent < b.N; sent += window {
		for i := range window {
			sink.WriteTo(payload, ports[i%len(ports)])
		}
		<-wake
	}
}
