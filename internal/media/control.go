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
		// RTCP on the RTP port of a party that did not ask for one port for both says nothing about where its RTP is.
		if !p.control && !st.mux.Load() && run[i].Addr != p.latch.source {
			p.foreign.Add(1)
			continue
		}
		if !p.judge(sighting{from: run[i].Addr, at: now}) {
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
	st.expire(now)
	st.controlIn.Add(uint64(kept))
	if !st.secure.Load() {
		for i := range kept {
			st.read(run[i].Data, now)
		}
	}
	if c := st.chain.Load(); c != nil && c.control != nil {
		c.control.WriteControl(run[:kept])
	}
}

// expire tells a press whose end was lost before the party fell silent: its RTCP goes on.
func (st *Stream) expire(now int64) {
	var digits presses
	st.rtp.mu.Lock()
	if st.rtp.in.decoder.Active() {
		st.rtp.in.decoder.Expire(time.Duration(now), digits.add)
	}
	st.rtp.mu.Unlock()
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
		if p.Type != rtp.TypeSenderReport && p.Type != rtp.TypeReceiverReport {
			continue
		}
		if report.Parse(p) != nil {
			st.control.malformed.Add(1)
			return
		}
		if report.FromSender {
			st.rtp.mu.Lock()
			st.rtp.in.lastReport, st.rtp.in.lastReportAt = rtp.Middle(report.Sender.NTP), now
			st.rtp.in.reported = true
			st.rtp.mu.Unlock()
		}
		// One stream goes to the party; with several sources the first block is that of the main one.
		if len(report.Blocks) > 0 {
			st.heardBack(report.Blocks[0], now)
		}
	}
}

// heardBack takes the party's view of what it receives from us.
func (st *Stream) heardBack(b rtp.ReportBlock, now int64) {
	var upstream uint64
	if far := st.feeder.Load(); far != nil {
		// What was lost before it came to us is missing in the sequence numbers that we pass on: that is the other leg's.
		far.rtp.mu.Lock()
		upstream = far.rtp.in.totals().Lost
		far.rtp.mu.Unlock()
	}
	st.feedback.take(b, upstream, now)
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
	rtt    time.Duration // of the leg; 0 unknown
	known  bool          // a block has come
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
func (f *feedback) take(b rtp.ReportBlock, upstream uint64, now int64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if b.SSRC != f.ssrc {
		f.before += f.lost
		f.ssrc, f.lost = b.SSRC, 0
	}
	f.known = true
	f.lost = max(0, int64(b.CumulativeLost)-int64(upstream))
	f.jitter = b.Jitter
	if b.LSR == 0 {
		return
	}
	for _, s := range f.sent {
		if s.middle != b.LSR {
			continue
		}
		if rtt := time.Duration(now-s.at) - rtp.Span(b.DLSR); rtt >= 0 {
			f.rtt = rtt
		}
	}
}

// passedReports notes the sender reports among packets of another party that go to this one.
func (st *Stream) passedReports(ps []network.Packet) {
	if st.secure.Load() {
		return
	}
	for i := range ps {
		p, _, err := rtp.NextControl(ps[i].Data)
		// RFC 3550 §6.4.1: SSRC, NTP timestamp; a compound begins with its report.
		if err == nil && p.Type == rtp.TypeSenderReport && len(p.Body) >= 12 {
			st.feedback.sentReport(rtp.Middle(binary.BigEndian.Uint64(p.Body[4:])), st.session.engine.now())
		}
	}
}
