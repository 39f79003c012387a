package proxy

import (
	"time"

	"dialtone/internal/nexthop"
	"dialtone/internal/sip"
)

// Failover from one server of a set to the next. One target of the fork stands for the whole set, its ways are the
// servers, so that the client never sees more than one final response that is no 2xx.
//
// What becomes of a server that was silent for longer than the set's patience and answers after all:
//
//   - Its INVITE is as good as answered with 408 (RFC 3261 §16.8: no provisional response has come), and the next server
//     gets one. It is not repeated any more, lest a server that comes back finds the calls of the past. It is cancelled as
//     soon as that is allowed, with its first provisional response (§9.1), which goes no further; so it rings nowhere
//     while another server does.
//   - A 2xx that it sends in spite of that is forwarded at once, before or after any other response (§16.7 items 5 and 10:
//     a proxy must forward every 2xx to an INVITE), and what else is under way is cancelled. Only the caller can end such
//     a call: he has the dialog, a proxy has not (§13.2.2.4). To swallow the 2xx would leave a callee who has answered in
//     silence until he gives up (§13.3.1.4).
//   - Any other final response is acknowledged by its transaction and dropped: the 408 has been counted.

// aimAtSet makes the servers of a set the ways of the only target.
func (r *relay) aimAtSet(d destination) refusal {
	var room [8]*nexthop.Target
	servers := d.servers(room[:0], d.set.Key(r.m), r.m, &r.c, r.m.Arrived)
	if len(servers) == 0 {
		return refusal{status: 480}
	}
	ways := make([]way, len(servers))
	for i, t := range servers {
		ways[i] = d.wayToServer(t, &r.c)
	}
	r.patience = d.set.Patience
	r.add(ways, 0)
	return refusal{}
}

// hasMore reports whether there is another place to try: an address of the way in use, or another way.
func (t *target) hasMore() bool { return len(t.ways) > 0 || t.hasAddress() }

func (t *target) hasAddress() bool { return len(t.resolve) > 0 || t.uri != nil }

// notSent notes a server that has no address, or no connection.
func (t *target) notSent() {
	if t.way != nil && t.way.server != nil && !t.sent {
		t.way.server.Failed(time.Now())
	}
}

// heard notes that a server of a set has answered, if only that it refuses work.
func (r *relay) heard(b *branch, m *sip.Message) {
	t := &r.targets[b.target]
	switch status := m.Status(); {
	case b.server == nil:
	case status != 408 && status != 503:
		b.server.Answered()
	case t.branch != b || t.answered || t.hasAddress(): // it was reached before, or not all of it has been tried
	case status == 408:
		b.server.Failed(time.Now())
	default:
		b.server.Busy(time.Now(), retryAfter(m))
	}
}

// retryAfter is the time that a response names; 0: none. RFC 3261 §20.33: a comment and parameters may follow.
func retryAfter(m *sip.Message) time.Duration {
	v, _ := m.Header(sip.HRetryAfter)
	n := time.Duration(0)
	for _, c := range v {
		if c < '0' || c > '9' || n > 1<<32 {
			break
		}
		n = 10*n + time.Duration(c-'0')
	}
	return n * time.Second
}

// missed notes that a server of a set has not answered, when it has no other address.
func (r *relay) missed(b *branch) {
	if t := &r.targets[b.target]; b.server != nil && !t.hasAddress() && !t.answered && !r.fork.stopped {
		b.server.Failed(time.Now())
	}
}

// abandon sends the request to the next place because nothing at all has come from a server within the set's patience. A
// client who has cancelled need not wait any longer either. Where no place is left, timer C goes on.
func (r *relay) abandon(b *branch) {
	i := b.target
	b.patient = false
	switch {
	case r.fork.cancelled:
		b.end()
		b.client.Abandon(r.reason)
		r.settle(i, 487, nil)
	case r.fork.stopped || !r.targets[i].hasMore():
		b.setAlarm(max(r.p.TimerC-r.patience, time.Second))
	default:
		r.missed(b)
		b.end()
		b.client.Abandon(`SIP;cause=408;text="Request Timeout"`)
		if !r.advance(i) {
			r.settle(i, 408, nil)
		}
	}
}

// registersAt reports whether a REGISTER is for the registrar behind this proxy: a server for its domain.
func registersAt(c *course, d destination) bool {
	return d.set != nil && d.tenant == nil && c.next == nil
}
