package rtp

import "time"

// Session is what the interval between RTCP reports depends on, RFC 3550 §6.3.
type Session struct {
	Members     int     // participants, ourselves included
	Senders     int     // of those who sent RTP since the last two reports
	Bandwidth   float64 // for RTCP, in bytes per second: 5 % of the session's
	AverageSize float64 // of RTCP packets with UDP and IP headers, in bytes
	WeSent      bool    // we are one of the senders
	Initial     bool    // no report was sent yet
}

// Interval is the time until the next report; random is uniform in [0, 1).
//
// RFC 3550 §6.3.1 and A.7, with the fixed minimum of five seconds.
func (s Session) Interval(random float64) time.Duration {
	const (
		minimum        = 5.0
		senderFraction = 0.25
		compensation   = 2.71828 - 1.5
	)
	least := minimum
	if s.Initial {
		least /= 2
	}
	n, bandwidth := float64(s.Members), s.Bandwidth
	if float64(s.Senders) <= float64(s.Members)*senderFraction {
		if s.WeSent {
			bandwidth *= senderFraction
			n = float64(s.Senders)
		} else {
			bandwidth *= 1 - senderFraction
			n -= float64(s.Senders)
		}
	}
	t := least
	if bandwidth > 0 {
		t = max(t, s.AverageSize*n/bandwidth)
	}
	t *= (random + 0.5) / compensation
	return time.Duration(t * float64(time.Second))
}
