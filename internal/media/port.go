package media

import (
	"net/netip"
	"sync"
	"sync/atomic"

	"dialtone/internal/network"
)

// port is one socket of a stream: where a party's packets come in, and where packets for it go out.
//
// What comes in is handled on the worker that owns the socket; what goes out is written by whoever has it, mostly the
// worker of the other party's socket. The two share nothing but atomics: the lock guards what only the socket's own
// worker changes often, and is held neither while packets are passed on nor while they are sent.
type port struct {
	stream  *Stream
	control bool // the RTCP port of the pair
	writer  network.PacketWriter

	target    atomic.Pointer[netip.AddrPort] // where packets for the party go; nil while nowhere
	last      atomic.Int64                   // engine time of the last accepted packet
	foreign   atomic.Uint64
	malformed atomic.Uint64

	mu    sync.Mutex
	latch latch
	in    inbound // of RTP; unused on the RTCP port
}

// HandlePackets implements network.PacketHandler.
func (p *port) HandlePackets(_ network.PacketWriter, ps []network.Packet) {
	now := p.stream.session.engine.now()
	raw := !p.stream.isRTP.Load()
	// A batch is nearly always of one kind; it is cut into runs so that the order stays as it was.
	for len(ps) > 0 {
		kind := p.classify(ps[0].Data, raw)
		n := 1
		for n < len(ps) && p.classify(ps[n].Data, raw) == kind {
			n++
		}
		run := ps[:n]
		ps = ps[n:]
		switch kind {
		case classRTP:
			p.media(run, now)
		case classRTCP:
			p.reports(run, now)
		case classOther:
			p.bytes(run, now)
		default:
			p.malformed.Add(uint64(n))
		}
	}
}

// media takes a run of RTP packets.
func (p *port) media(run []network.Packet, now int64) {
	var digits presses
	p.mu.Lock()
	kept, bytes := 0, 0
	for i := range run {
		if !p.accept(&run[i], now, &digits) {
			continue
		}
		bytes += len(run[i].Data)
		// Swapped, not overwritten: the slices are the poller's.
		run[kept], run[i] = run[i], run[kept]
		kept++
	}
	p.mu.Unlock()
	for _, d := range digits.list[:digits.n] {
		p.stream.session.pressed(d)
	}
	p.forward(run[:kept], bytes, now)
}

// bytes takes a run of packets that are not looked into: T.38, DTLS, and whatever else a stream carries.
func (p *port) bytes(run []network.Packet, now int64) {
	p.mu.Lock()
	kept, bytes := 0, 0
	for i := range run {
		if !p.judge(sighting{from: run[i].Addr, at: now}) {
			continue
		}
		bytes += len(run[i].Data)
		run[kept], run[i] = run[i], run[kept]
		kept++
	}
	p.mu.Unlock()
	p.forward(run[:kept], bytes, now)
}

// forward counts what was accepted and lets it go down the chain.
func (p *port) forward(kept []network.Packet, bytes int, now int64) {
	if len(kept) == 0 {
		return
	}
	st := p.stream
	p.last.Store(now)
	st.packetsIn.Add(uint64(len(kept)))
	st.bytesIn.Add(uint64(bytes))
	if c := st.chain.Load(); c != nil {
		c.pass(kept)
	}
}

// judge asks the latch about a source and lets what it learns take effect. The caller holds p.mu.
func (p *port) judge(s sighting) bool {
	switch p.latch.admit(s) {
	case foreign:
		p.foreign.Add(1)
		return false
	case learnt:
		p.retarget()
	}
	return true
}

// retarget publishes where packets for the party go. The caller holds p.mu.
func (p *port) retarget() {
	to := p.latch.target()
	if !to.IsValid() {
		p.target.Store(nil)
		return
	}
	if old := p.target.Load(); old == nil || *old != to {
		p.target.Store(&to)
	}
}

// direct takes the address that the party's description names for this port, and whether the party takes packets at all.
func (p *port) direct(named netip.AddrPort, open bool, signalled netip.Addr, changed bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.latch.describe(named, open, signalled, changed)
	p.retarget()
}

// write sends packets to the party and returns how many were taken.
func (p *port) write(ps []network.Packet) int {
	to := p.target.Load()
	if to == nil {
		return 0
	}
	if len(ps) == 1 {
		if p.writer.WriteTo(ps[0].Data, *to) != nil {
			return 0
		}
		return 1
	}
	for i := range ps {
		ps[i].Addr = *to
	}
	n, err := p.writer.WriteBatch(ps)
	if err != nil && n < 0 {
		return 0
	}
	return n
}
