package transport

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/netip"
	"testing"

	"dialtone/internal/network"
	"dialtone/internal/sip"
)

// answerer answers each request with a 200 that is built in memory used again and again.
type answerer struct {
	b   sip.Builder
	out []byte
}

func (a *answerer) HandleMessage(f *Flow, m *sip.Message) {
	a.out = a.b.Response(m, 200, "OK", "tag").Append(a.out[:0])
	_ = f.Send(a.out)
}
func (a *answerer) HandleMalformed(*Flow, []byte, *sip.Message, error) {}
func (a *answerer) HandleClosed(*Flow, error)                          {}

// answererOfMany is an answerer for many workers.
type answererOfMany struct{}

func (answererOfMany) HandleMessage(f *Flow, m *sip.Message) {
	_ = f.Send(sip.NewResponse(m, 200, "OK", "tag").Append(nil))
}
func (answererOfMany) HandleMalformed(*Flow, []byte, *sip.Message, error) {}
func (answererOfMany) HandleClosed(*Flow, error)                          {}

// echoLayer answers on loopback until the test ends.
func echoLayer(tb testing.TB) *Layer {
	at := netip.AddrPortFrom(loopback, 0)
	l, err := New(Config{Network: network.NewOS(network.OSConfig{}), Handler: &answerer{}, Workers: 1,
		Listeners: []Listener{{Kind: UDP, Addr: at}, {Kind: TCP, Addr: at}}})
	if err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Run(ctx) }()
	tb.Cleanup(func() {
		cancel()
		<-done
	})
	return l
}

// exchange sends n requests over UDP and waits for n answers, and again.
func exchange(tb testing.TB, l *Layer, n int) func() {
	c, err := network.NewOS(network.OSConfig{}).ListenPacket(netip.AddrPortFrom(loopback, 0), false)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { c.Close() })
	out, in := make([]network.Packet, n), make([]network.Packet, 32)
	for i := range out {
		out[i] = network.Packet{Data: options("SIP/2.0/UDP 127.0.0.1:5060;rport", "call", 0), Addr: l.Addrs(UDP)[0]}
	}
	bufs := make([][]byte, len(in))
	for i := range bufs {
		bufs[i] = make([]byte, 2048)
	}
	return func() {
		if _, err := c.WriteBatch(out); err != nil {
			tb.Fatal(err)
		}
		for got := 0; got < n; {
			for i := range in {
				in[i].Data = bufs[i]
			}
			k, err := c.ReadBatch(in)
			if err != nil {
				tb.Fatal(err)
			}
			got += k
		}
	}
}

// BenchmarkUDPOptions is an OPTIONS answered, the client included: alone, and in batches.
func BenchmarkUDPOptions(b *testing.B) {
	for name, n := range map[string]int{"lonely": 1, "batch": 32} {
		b.Run(name, func(b *testing.B) {
			round := exchange(b, echoLayer(b), n)
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i += n {
				round()
			}
		})
	}
}

func TestUDPAllocatesNothing(t *testing.T) {
	l := echoLayer(t)
	for _, n := range []int{1, 32} {
		round := exchange(t, l, n)
		if got := testing.AllocsPerRun(200, round); got >= 1 {
			t.Errorf("%d requests answered: %v allocations", n, got)
		}
	}
}

// BenchmarkTCPOptions is an OPTIONS answered on a stream, pipelined.
func BenchmarkTCPOptions(b *testing.B) {
	c, err := net.Dial("tcp", echoLayer(b).Addrs(TCP)[0].String())
	if err != nil {
		b.Fatal(err)
	}
	defer c.Close()
	request := options("SIP/2.0/TCP 127.0.0.1:5060", "call", 0)
	if _, err := c.Write(request); err != nil {
		b.Fatal(err)
	}
	answer, err := readMessage(bufio.NewReader(c))
	if err != nil {
		b.Fatal(err)
	}
	const n = 32
	var out []byte
	for range n {
		out = append(out, request...)
	}
	in := make([]byte, n*len(answer))
	b.ReportAllocs()
	b.ResetTimer()
	for i := 0; i < b.N; i += n {
		if _, err := c.Write(out); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(c, in); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkResolveAddress(b *testing.B) {
	r := NewResolver(ResolverConfig{DNS: &zone{}})
	defer r.Close()
	u, err := sip.ParseURI([]byte("sip:101@192.0.2.7:5062;transport=udp"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, ok := r.Known(&u); !ok {
			b.Fatal("not known")
		}
	}
}
