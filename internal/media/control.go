package media

import (
	"encoding/binary"
	"sync"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// reports takes a run of RTCP packets.
func (p *port) reports(run []network.Packet, now int64) {
	st := p.stream
	p.mu.Lock()
	kept := 0
	for i := range run {
		if !p.admitControl(&run[i], now) {
			continue
		}
		run[kept], run[i] = run[i], run[kept]
		kept++
	}
	p.mu.Unlock()
	if kept == 0 {
		return
	}
	p.last.Store(now)
	if st.riders.Load() == nil {
		st.control.hand(st, run[:kept], now)
		return
	}
	for i := range kept {
		st.control.hand(st.concerned(run[i].Data), run[i:i+1], now)
	}
}

// admitControl judges one RTCP packet and decrypts it in place. The caller holds p.mu.
func (p *port) admitControl(packet *network.Packet, now int64) bool {
	// RTCP on the RTP port of a party that did not ask for one port for both says nothing about where its RTP is.
	if !p.control && p.checks == nil && !p.stream.mux.Load() && packet.Addr != p.latch.source {
		p.foreign.Add(1)
		return false
	}
	c := p.cipher.Load()
	switch {
	case c == nil && p.encrypted.Load():
		p.unauthentic.Add(1)
		return false
	case c != nil && !p.mayBe(packet.Addr, now):
		p.foreign.Add(1)
		return false
	case c != nil && c.open(packet, true) != nil:
		p.unauthentic.Add(1)
		return false
	}
	return p.judge(sighting{from: packet.Addr, at: now, verified: c.proves(true)})
}

// hand gives RTCP packets to the stream that they are about.
func (p *port) hand(st *Stream, run []network.Packet, now int64) {
	st.expire(now)
	st.controlIn.Add(uint64(len(run)))
	for i := range run {
		st.read(run[i].Data, now)
	}
	if c := st.chain.Load(); c != nil && c.control != nil {
		c.control.WriteControl(run)
	}
}

// concerned is the stream of a bundle that a compound is about: the one that its sender's media belongs to, else the one
// whose media it reports on (RFC 9143 §9.2 leaves no other mark).
func (st *Stream) concerned(compound []byte) *Stream {
	all := append([]*Stream{st}, *st.riders.Load()...)
	for rest := compound; len(rest) > 0; {
		p, next, err := rtp.NextControl(rest)
		if err != nil {
			break
		}
		rest = next
		for _, ssrc := range [...]uint32{p.Sender(), p.About()} {
			for _, x := range all {
				if ssrc != 0 && (x.hears(ssrc) || x.out.says(ssrc)) {
					return x
				}
			}
		}
	}
	return st
}

// hears reports whether the party's media on the stream has that SSRC.
func (st *Stream) hears(ssrc uint32) bool {
	p := st.carrier().rtp
	p.mu.Lock()
	defer p.mu.Unlock()
	return st.in.receiver.Valid() && st.in.receiver.SSRC == ssrc
}

// expire tells a press whose end was lost before the party fell silent: its RTCP goes on.
func (st *Stream) expire(now int64) {
	var digits presses
	p := st.carrier().rtp
	p.mu.Lock()
	if st.in.decoder.Active() {
		st.in.decoder.Expire(time.Duration(now), digits.add)
	}
	p.mu.Unlock()
	for _, d := range digits.list[:digits.n] {
		st.session.pressed(d)
	}
}

// read takes what a compound of the party tells about the leg.
func (st *Stream) read(compound []byte, now int64) {
	var report rtp.Report
	for len(compound) > 0 {
		p, rest, err := rtp.NextControl(compound)
		if err != nil {
			st.control.malformed.Add(1)
			return
		}
		compound = rest
		if p.Type == rtp.TypeExtendedReport {
			st.readExtended(p, now)
			continue
		}
		if p.Type != rtp.TypeSenderReport && p.Type != rtp.TypeReceiverReport {
			continue
		}
		if report.Parse(p) != nil {
			st.control.malformed.Add(1)
			return
		}
		if report.FromSender {
			port := st.carrier().rtp
			port.mu.Lock()
			st.in.lastReport, st.in.lastReportAt = rtp.Middle(report.Sender.NTP), now
			st.in.reported = true
			port.mu.Unlock()
		}
		// One stream goes to the party; with several sources the first block is that of the main one.
		if len(report.Blocks) > 0 {
			st.heardBack(&report.Blocks[0], now)
		}
	}
}

// heardBack takes the party's view of what it receives from us.
func (st *Stream) heardBack(b *rtp.ReportBlock, now int64) {
	var upstream uint64
	if far := st.feeder.Load(); far != nil {
		// What was lost before it came to us is missing in the sequence numbers that we pass on: that is the other leg's.
		port := far.carrier().rtp
		port.mu.Lock()
		upstream = far.in.totals().Lost
		port.mu.Unlock()
	}
	rtt := st.feedback.take(b, upstream, now)
	if t := st.talker.Load(); t != nil {
		clock := max(st.outRate(), 1)
		t.tune(float64(b.FractionLost)*100/256, rtt, time.Duration(b.Jitter)*time.Second/time.Duration(clock), st.session.engine.wall(now))
	}
}

// feedback is what the party tells about the packets that we send to it.
type feedback struct {
	mu     sync.Mutex
	sent   [4]sentReport // the last sender reports that went to the party
	next   int
	ssrc   uint32
	before int64 // lost, of sources before this one
	lost   int64 // lost, of this source
	jitter uint32
	blocks uint32        // reports that have come
	rtt    time.Duration // of the leg; 0 unknown
	view   *view         // nil when the party has told none
}

// sentReport is a sender report on its way to the party.
type sentReport struct {
	middle uint32
	at     int64
}

// sentReport notes that a sender report went to the party at engine time now.
func (f *feedback) sentReport(middle uint32, now int64) {
	f.mu.Lock()
	f.sent[f.next%len(f.sent)] = sentReport{middle, now}
	f.next++
	f.mu.Unlock()
}

// take reads a reception report block of the party.
//
// RFC 3550 §6.4.1: round trip = A - LSR - DLSR. A - LSR is taken on our own clock, as the time since the report with that
// LSR passed here, so that the result is the round trip of this leg alone and no clock need agree with another.
func (f *feedback) take(b *rtp.ReportBlock, upstream uint64, now int64) (rtt time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.SSRC != f.ssrc {
		f.before += f.lost
		f.ssrc, f.lost = b.SSRC, 0
	}
	f.blocks++
	f.lost = max(0, int64(b.CumulativeLost)-int64(upstream))
	f.jitter = b.Jitter
	f.returned(b.LSR, b.DLSR, now)
	return f.rtt
}

// returned takes the answer to a report of ours, whose middle it names, after the delay that it names. The caller holds
// f.mu.
func (f *feedback) returned(middle, delay uint32, now int64) {
	if middle == 0 {
		return // RFC 3550 §6.4.1, RFC 3611 §4.5: nothing of ours has come yet
	}
	for _, s := range f.sent {
		if s.middle != middle {
			continue
		}
		if rtt := time.Duration(now-s.at) - rtp.Span(delay); rtt >= 0 {
			f.rtt = rtt
		}
	}
}

// passedReports notes the sender reports among packets of another party that go to this one.
func (st *Stream) passedReports(ps []network.Packet) {
	for i := range ps {
		p, _, err := rtp.NextControl(ps[i].Data)
		// RFC 3550 §6.4.1: SSRC, NTP timestamp; a compound begins with its report.
		if err == nil && p.Type == rtp.TypeSenderReport && len(p.Body) >= 12 {
			st.feedback.sentReport(rtp.Middle(binary.BigEndian.Uint64(p.Body[4:])), st.session.engine.now())
		}
	}
}
