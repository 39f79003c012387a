package transaction

import "time"

// Timers are the base values of RFC 3261 §17.1.1.1 (table 4). The zero value stands for the defaults.
type Timers struct {
	T1 time.Duration // round-trip estimate, 500 ms
	T2 time.Duration // longest retransmission interval of requests other than INVITE and of INVITE responses, 4 s
	T4 time.Duration // how long a message stays in the network, 5 s
}

func (t Timers) withDefaults() Timers {
	if t.T1 <= 0 {
		t.T1 = 500 * time.Millisecond
	}
	if t.T2 <= 0 {
		t.T2 = 4 * time.Second
	}
	if t.T4 <= 0 {
		t.T4 = 5 * time.Second
	}
	return t
}

// lifetime is how long a machine stays in a state that it has just entered, when nothing happens: RFC 3261 table 4,
// RFC 6026 §7.
func (t Timers) lifetime(k Kind, s State) time.Duration {
	switch {
	case s == Confirmed || s == Completed && k == ClientOther:
		return t.T4 // timers I and K
	case s == Completed && k == ClientInvite:
		return max(32*time.Second, 64*t.T1) // timer D
	}
	return 64 * t.T1 // timers B, F, H, J, L, M
}

// retry is the interval before the n-th retransmission, n from 0.
func (t Timers) retry(k Kind, n int) time.Duration {
	d := t.T1 << min(n, 16)
	if k != ClientInvite { // timer A is not capped; E and G are
		d = min(d, t.T2)
	}
	return d
}

// unanswered is how long a server transaction waits for its user at most, since the last provisional response: beyond
// timer C of any proxy. It only bounds what a fault of the user can cost.
const unanswered = 10 * time.Minute
