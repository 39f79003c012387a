package media

import (
	"crypto/rand"
	"encoding/base64"
	"sync/atomic"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// reporter sends RTCP for a stream that ends here: sender reports while we speak, receiver reports while we listen.
// On relayed streams it is silent; there the parties' own reports pass. It runs on the clock.
type reporter struct {
	talker  *talker
	started atomic.Bool

	// The clock's lock guards these.
	due    int64
	queued bool
	place  int

	// The clock's goroutine owns these.
	sent    [2]uint32 // packets that had been sent at the last two reports
	reports int
}

// The session of one voice stream as RFC 3550 §6.2 wants it: 5 % of 64 kbit/s plus headers for RTCP, two members.
const (
	controlBandwidth = 0.05 * 10000 // bytes per second
	controlSize      = 120          // bytes with UDP and IP headers
)

// start schedules the first report, unless reports are under way.
func (r *reporter) start() {
	if !r.started.CompareAndSwap(false, true) {
		return
	}
	e := r.talker.st.session.engine
	e.clock.schedule(r, e.now()+int64(r.interval(true)))
}

func (r *reporter) interval(initial bool) time.Duration {
	return rtp.Session{
		Members: 2, Senders: 2, Bandwidth: controlBandwidth, AverageSize: controlSize, WeSent: true, Initial: initial,
	}.Interval(chance())
}

// report sends a report and returns when the next one is due, in engine time; 0 when there will be none.
func (r *reporter) report(now int64, s *scratch) int64 {
	st := r.talker.st
	packets := r.talker.spoken()
	if st.session.closed.Load() || !st.ends() && packets == r.sent[0] {
		// Neither heard here nor spoken since the report before the last.
		r.started.Store(false)
		return 0
	}
	speaks := packets != r.sent[0]
	r.sent[0], r.sent[1] = r.sent[1], packets
	r.reports++
	r.send(r.compound(s.report[:0], now, speaks))
	return now + int64(r.interval(false))
}

// compound makes SR or RR and the CNAME (RFC 3550 §6.1).
func (r *reporter) compound(dst []byte, now int64, speaks bool) []byte {
	t, st := r.talker, r.talker.st
	e := st.session.engine
	var blocks [1]rtp.ReportBlock
	report := rtp.Report{Blocks: st.block(blocks[:0], now)}
	t.mu.Lock()
	seen, stamp := st.out.ownAs(t.sender.SSRC)
	report.SSRC = seen
	if speaks {
		// RFC 3550 §6.4: a sender report when there was data since the last or the one before it.
		report.FromSender = true
		report.Sender = t.sender.Info(e.epoch.Add(time.Duration(now)), time.Duration(now))
		report.Sender.Timestamp += stamp
	}
	t.mu.Unlock()
	if report.FromSender {
		st.feedback.sentReport(rtp.Middle(report.Sender.NTP), now)
	}
	dst = report.Append(dst)
	dst = rtp.AppendCNAME(dst, report.SSRC, st.session.cname)
	return st.appendExtended(dst, report.SSRC, now, speaks)
}

func (r *reporter) send(b []byte) {
	r.talker.st.sendControl([]network.Packet{{Data: b}})
}

// stop ends reporting; spoke says that there is somebody to say BYE.
func (r *reporter) stop(spoke bool) {
	st := r.talker.st
	e := st.session.engine
	e.clock.cancel(r)
	// RFC 3550 §6.3.7: "A participant which never sent an RTP or RTCP packet MUST NOT send a BYE packet".
	if !spoke {
		return
	}
	b := r.compound(make([]byte, 0, 256), e.now(), true)
	r.talker.mu.Lock()
	ssrc, _ := st.out.ownAs(r.talker.sender.SSRC)
	r.talker.mu.Unlock()
	r.send(rtp.Bye{SSRCs: []uint32{ssrc}}.Append(b))
}

// spoken is how many RTP packets the talker has sent, modulo 2^32.
func (t *talker) spoken() uint32 {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.sender.Info(time.Time{}, 0).Packets
}

// ends reports whether the party's packets end here and are not relayed.
func (st *Stream) ends() bool {
	c := st.chain.Load()
	if c == nil || c.out == nil {
		return false
	}
	b, relayed := c.out.(*bridge)
	return !relayed || b.talks.Load()
}

// block appends the reception report on what the party sends.
func (st *Stream) block(dst []rtp.ReportBlock, now int64) []rtp.ReportBlock {
	p := st.carrier().rtp
	p.mu.Lock()
	defer p.mu.Unlock()
	b, ok := st.in.receiver.Report()
	if !ok {
		return dst
	}
	if st.in.reported {
		// RFC 3550 §6.4.1: LSR and DLSR.
		b.LSR, b.DLSR = st.in.lastReport, rtp.Delay(time.Duration(now-st.in.lastReportAt))
	}
	return append(dst, b)
}

// newCNAME makes a name that says nothing about anybody.
//
// RFC 7022 §4.2: at least 96 bits of randomness in base64.
func newCNAME() string {
	var b [12]byte
	rand.Read(b[:])
	return base64.RawStdEncoding.EncodeToString(b[:])
}
