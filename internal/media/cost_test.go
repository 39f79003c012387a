package media

import (
	"encoding/binary"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"dialtone/internal/codec"
	"dialtone/internal/network"
)

// void is a network whose sockets take everything and give nothing.
type void struct {
	network.Network
	sent atomic.Int64
}

type voidSocket struct {
	v    *void
	addr netip.AddrPort
}

func (v *void) NewPoller(int) (network.Poller, error) { return v, nil }
func (v *void) Close() error                          { return nil }
func (v *void) LocalAddrFor(netip.Addr) (netip.Addr, error) {
	return exchange4, nil
}

func (v *void) Open(addr netip.AddrPort, _ network.PacketHandler) (network.PacketWriter, error) {
	return &voidSocket{v, addr}, nil
}

// OpenShared implements network.Sharer, with one worker.
func (v *void) OpenShared(addr netip.AddrPort, handler func(int) network.PacketHandler) ([]network.PacketWriter, error) {
	handler(0)
	return []network.PacketWriter{&voidSocket{v, addr}}, nil
}

func (s *voidSocket) LocalAddr() netip.AddrPort { return s.addr }
func (s *voidSocket) Close() error              { return nil }
func (s *voidSocket) CloseLater()               {}
func (s *voidSocket) WriteTo([]byte, netip.AddrPort) error {
	s.v.sent.Add(1)
	return nil
}

func (s *voidSocket) WriteBatch(ps []network.Packet) (int, error) {
	s.v.sent.Add(int64(len(ps)))
	return len(ps), nil
}

// voidCall is a bridged call on the void.
func voidCall(t testing.TB) (*void, *Engine, *Session, *Session) {
	t.Helper()
	v := &void{}
	e, err := New(Config{Network: v, Workers: 1, Ports: PortRange{10000, 59999}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	a, b := openCall(t, e, netip.AddrPortFrom(alice, 4000), netip.AddrPortFrom(bob, 5000))
	return v, e, a, b
}

func openCall(t testing.TB, e *Engine, x, y netip.AddrPort) (a, b *Session) {
	t.Helper()
	var err error
	check := func(e error) {
		if e != nil {
			t.Fatal(e)
		}
	}
	a, err = e.NewSession(SessionConfig{Peer: x.Addr()})
	check(err)
	b, err = e.NewSession(SessionConfig{Peer: y.Addr()})
	check(err)
	offer, answer := describeAt(t, x, 1), describeAt(t, y, 1)
	check(a.RemoteOffer(offer, x.Addr()))
	_, err = b.Offer(offer)
	check(err)
	check(b.RemoteAnswer(answer, y.Addr()))
	_, err = a.Answer(answer)
	check(err)
	Bridge(a, b)
	return a, b
}

// stream of packets with growing sequence numbers for a port.
type feed struct {
	port *port
	ps   []network.Packet
	seq  uint16
}

func newFeed(s *Session, from netip.AddrPort, n int) *feed {
	f := &feed{port: s.Streams()[0].rtp, ps: make([]network.Packet, n)}
	for i := range f.ps {
		f.ps[i] = network.Packet{Data: packet(0xa, 0), Addr: from}
	}
	return f
}

func (f *feed) run() {
	for i := range f.ps {
		f.seq++
		binary.BigEndian.PutUint16(f.ps[i].Data[2:], f.seq)
		binary.BigEndian.PutUint32(f.ps[i].Data[4:], uint32(f.seq)*160)
		f.ps[i].Addr = netip.AddrPortFrom(alice, 4000)
	}
	f.port.HandlePackets(nil, f.ps)
}

func TestHotPathsAllocateNothing(t *testing.T) {
	v, _, a, _ := voidCall(t)
	count := func(what string, f func()) {
		t.Helper()
		f()
		if n := testing.AllocsPerRun(1000, f); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
	from := netip.AddrPortFrom(alice, 4000)
	count("relay of one packet", newFeed(a, from, 1).run)
	count("relay of a batch", newFeed(a, from, 16).run)
	before := v.sent.Load()
	st := a.Streams()[0]
	foreign := []network.Packet{{Data: packet(1, 1), Addr: netip.AddrPortFrom(mallory, 1)}}
	count("foreign packet", func() { st.rtp.HandlePackets(nil, foreign) })
	if v.sent.Load() != before {
		t.Error("a foreign packet was relayed")
	}
	event := packet(0xa, 7)[:16]
	event[1] = 101
	pressed := []network.Packet{{Data: event, Addr: from}}
	digits := 0
	a.OnDigit(func(byte, int) { digits++ })
	count("telephone-event", func() {
		binary.BigEndian.PutUint32(event[4:], binary.BigEndian.Uint32(event[4:])+800)
		event[13] = 0x80 // end
		st.rtp.HandlePackets(nil, pressed)
	})
	if digits < 1000 {
		t.Errorf("%d digits told of a thousand", digits)
	}
	report := []network.Packet{{Data: senderReport(0xa, 1), Addr: netip.AddrPortFrom(alice, 4001)}}
	count("RTCP", func() { st.control.HandlePackets(nil, report) })
	if err := a.Echo(); err != nil {
		t.Fatal(err)
	}
	count("echo", newFeed(a, from, 1).run)
	if err := a.Listen(&deaf{}); err != nil {
		t.Fatal(err)
	}
	count("decoding", newFeed(a, from, 1).run)
	player := st.talk()
	player.playing = &Playing{talker: player, source: &ramp{n: 1 << 30}, rate: codec.Rate, done: make(chan struct{})}
	var s scratch
	tick := int64(1000)
	count("playing", func() { tick += 20; player.tick(tick, &s) })
}

type deaf struct{ n int }

func (d *deaf) WriteFrame(frame codec.Frame) { d.n += len(frame) }

func TestMemoryPerLeg(t *testing.T) {
	size := unsafe.Sizeof(Session{}) + unsafe.Sizeof(Stream{}) + 2*unsafe.Sizeof(port{}) + unsafe.Sizeof(chain{})
	t.Logf("session %d, stream %d, port %d bytes", unsafe.Sizeof(Session{}), unsafe.Sizeof(Stream{}), unsafe.Sizeof(port{}))
	if size > 2048 {
		t.Errorf("%d bytes of state a leg", size)
	}
}

// Relaying without a network: what our own code costs.
func BenchmarkRelayPacket(b *testing.B) {
	_, _, a, _ := voidCall(b)
	f := newFeed(a, netip.AddrPortFrom(alice, 4000), 1)
	b.ReportAllocs()
	for b.Loop() {
		f.run()
	}
}

// Setting up and taking down the media of a call: two legs, four sockets of the system.
func BenchmarkCallSetup(b *testing.B) {
	e, err := New(Config{Network: network.NewOS(network.OSConfig{}), Workers: 1, Ports: PortRange{20000, 29999}})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	x, y := netip.MustParseAddrPort("127.0.0.1:4000"), netip.MustParseAddrPort("127.0.0.1:5000")
	b.ReportAllocs()
	for b.Loop() {
		a, c := openCall(b, e, x, y)
		a.Close()
		c.Close()
	}
}

// One packet through the system's network: sent by a phone, relayed by the engine, received by the other one.
func BenchmarkRelayOS(b *testing.B) {
	n := network.NewOS(network.OSConfig{})
	e, err := New(Config{Network: n, Workers: 1, Ports: PortRange{30000, 30099}})
	if err != nil {
		b.Fatal(err)
	}
	defer e.Close()
	open := func() network.PacketConn {
		c, err := n.ListenPacket(netip.MustParseAddrPort("127.0.0.1:0"), false)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { c.Close() })
		return c
	}
	x, y := open(), open()
	s, _ := openCall(b, e, x.LocalAddr(), y.LocalAddr())
	to := netip.AddrPortFrom(x.LocalAddr().Addr(), s.Streams()[0].local().Port())
	data := packet(0xa, 0)
	in := make([]network.Packet, 32)
	for i := range in {
		in[i].Data = make([]byte, 1500)
	}
	seq := uint16(0)
	b.ReportAllocs()
	for b.Loop() {
		const burst = 16
		for range burst {
			seq++
			binary.BigEndian.PutUint16(data[2:], seq)
			if err := x.WriteTo(data, to); err != nil {
				b.Fatal(err)
			}
		}
		for got := 0; got < burst; {
			k, err := y.ReadBatch(in)
			if err != nil {
				b.Fatal(err)
			}
			for i := range k {
				in[i].Data = in[i].Data[:1500]
			}
			got += k
		}
	}
	b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/16, "us/packet")
}

// The engine's state after a second of a thousand relayed calls must be exact: nothing is counted twice or lost.
func TestCountersUnderLoad(t *testing.T) {
	v, e, a, b := voidCall(t)
	x, y := newFeed(a, netip.AddrPortFrom(alice, 4000), 8), newFeed(b, netip.AddrPortFrom(alice, 4000), 8)
	for i := range y.ps {
		y.ps[i].Addr = netip.AddrPortFrom(bob, 5000)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 1000 {
			x.run()
		}
	}()
	for range 1000 {
		for i := range y.ps {
			y.seq++
			binary.BigEndian.PutUint16(y.ps[i].Data[2:], y.seq)
			y.ps[i].Addr = netip.AddrPortFrom(bob, 5000)
		}
		y.port.HandlePackets(nil, y.ps)
		_ = a.Stats()
		_ = a.String()
		_ = a.LastMedia().Add(time.Second)
	}
	<-done
	if c := e.Counters(); c.PacketsIn != 16000 || c.PacketsOut != 16000 || v.sent.Load() != 16000 || c.Lost != 0 {
		t.Errorf("counters %+v, sent %d", c, v.sent.Load())
	}
}

// One frame of one player: read, encoded, numbered, sent to nowhere.
func BenchmarkPlayFrame(b *testing.B) {
	_, _, a, _ := voidCall(b)
	player := a.Streams()[0].talk()
	player.playing = &Playing{talker: player, source: &ramp{n: 1 << 40}, done: make(chan struct{})}
	var s scratch
	tick := int64(1000)
	b.ReportAllocs()
	for b.Loop() {
		tick += slotCount
		player.tick(tick, &s)
	}
}
