package dialog

import (
	"bytes"
	"math/rand/v2"
	"time"

	"dialtone/internal/sip"
)

// SessionTimer is what two sides agreed on: RFC 4028. The zero value is "no timer".
type SessionTimer struct {
	Interval time.Duration `json:"interval"` // 0: the session needs no refresh
	Refresh  bool          `json:"refresh"`  // we send the refreshes; else the peer does
}

// TimerPolicy is what this side wants.
type TimerPolicy struct {
	Expires time.Duration // Session-Expires that is offered; 0 switches our own wish off
	MinSE   time.Duration // shorter ones are refused with 422
}

// minimumSE is the smallest that RFC 4028 §4 allows.
const minimumSE = 90 * time.Second

func (p TimerPolicy) minSE() time.Duration { return max(p.MinSE, minimumSE) }

// MinSESeconds is the value of Min-SE in requests and in a 422.
func (p TimerPolicy) MinSESeconds() uint64 { return uint64(p.minSE() / time.Second) }

// sessionExpires reads Session-Expires: seconds and refresher ("uac", "uas" or nothing).
func sessionExpires(m *sip.Message) (d time.Duration, refresher string, ok bool) {
	n, ok := m.Uint(sip.HSessionExpires)
	if !ok {
		return 0, "", false
	}
	v, _ := m.Header(sip.HSessionExpires)
	if i := bytes.IndexByte(v, ';'); i >= 0 {
		r, _ := sip.Params(v[i:]).Value("refresher")
		switch {
		case sip.EqualFold(r, "uac"):
			refresher = "uac"
		case sip.EqualFold(r, "uas"):
			refresher = "uas"
		}
	}
	return time.Duration(n) * time.Second, refresher, true
}

// Accept is the UAS side of RFC 4028 §9 for an INVITE or UPDATE: the timer, and the Session-Expires value for the 2xx
// (empty for none; require tells that Require: timer goes with it). tooSmall asks for a 422 with Min-SE.
func (p TimerPolicy) Accept(req *sip.Message) (t SessionTimer, value string, require, tooSmall bool) {
	supported := req.HasOption(sip.HSupported, "timer") || req.HasOption(sip.HRequire, "timer")
	want, refresher, asked := sessionExpires(req)
	peerMin := minimumSE
	if n, ok := req.Uint(sip.HMinSE); ok {
		peerMin = max(peerMin, time.Duration(n)*time.Second)
	}
	switch {
	case asked && supported && want < p.minSE():
		return SessionTimer{}, "", false, true
	case !asked && p.Expires == 0:
		return SessionTimer{}, "", false, false
	case !asked:
		want = max(p.Expires, p.minSE(), peerMin)
	default:
		// §9: the UAS may shorten, but neither below the Min-SE of the request nor below 90 s, and never lengthen. Without
		// support it was a proxy that asked, and the UAC would not understand a 422.
		want = max(want, minimumSE)
		if p.Expires != 0 {
			want = min(want, max(p.Expires, p.minSE(), peerMin))
		}
	}
	if !supported { // table 2: only the UAS can refresh
		return SessionTimer{want, true}, seconds(want) + ";refresher=uas", false, false
	}
	if refresher == "" {
		refresher = "uac"
	}
	// §9: with uac the UAS must, with uas it should require that the UAC reads the header.
	return SessionTimer{want, refresher == "uas"}, seconds(want) + ";refresher=" + refresher, true, false
}

// Offer adds the headers of the UAC side to an INVITE or UPDATE: RFC 4028 §7.1. current is the running timer of a
// dialog that is refreshed, zero for a new one.
func (p TimerPolicy) Offer(b *sip.Builder, current SessionTimer) {
	b.AddUint(sip.HMinSE, p.MinSESeconds())
	switch {
	case current.Interval > 0:
		// §7.4: a refresh names the refresher, so that the roles stay.
		refresher := ";refresher=uas"
		if current.Refresh {
			refresher = ";refresher=uac"
		}
		b.Add(sip.HSessionExpires, seconds(p.interval(current)), refresher)
	case p.Expires > 0:
		b.Add(sip.HSessionExpires, seconds(p.interval(current)))
	}
}

// interval is what Offer asks for.
func (p TimerPolicy) interval(current SessionTimer) time.Duration {
	switch {
	case current.Interval > 0:
		return max(current.Interval, p.minSE())
	case p.Expires > 0:
		return max(p.Expires, p.minSE())
	}
	return 0
}

// Result is the UAC side of RFC 4028 §7.2: the timer that the 2xx to an Offer with the same current settles.
func (p TimerPolicy) Result(res *sip.Message, current SessionTimer) SessionTimer {
	d, refresher, ok := sessionExpires(res)
	if !ok {
		// §7.2: the UAS does not know timers; we refresh all the same, as if it had agreed.
		d = p.interval(current)
		return SessionTimer{d, d > 0}
	}
	d = max(d, minimumSE)
	return SessionTimer{d, refresher != "uas"}
}

// Raise takes the Min-SE of a 422 for the next attempt (RFC 4028 §7.3); false when the peer asks for nothing new.
func (p TimerPolicy) Raise(res *sip.Message) (TimerPolicy, bool) {
	n, ok := res.Uint(sip.HMinSE)
	d := time.Duration(n) * time.Second
	if !ok || d <= p.minSE() || d > 24*time.Hour {
		return p, false
	}
	p.MinSE, p.Expires = d, max(p.Expires, d)
	return p, true
}

// Due is how long after the last refresh the next one is sent, or, when the peer refreshes, the session is given up:
// RFC 4028 §7.2, §10.
func (t SessionTimer) Due() time.Duration {
	if t.Refresh {
		return t.Interval / 2
	}
	// §10: BYE slightly before the session expires: 32 seconds or a third of it.
	return t.Interval - min(32*time.Second, t.Interval/3)
}

func seconds(d time.Duration) string {
	n := uint64(d / time.Second)
	if n == 0 {
		return "0"
	}
	var b [20]byte
	i := len(b)
	for ; n > 0; n /= 10 {
		i--
		b[i] = byte('0' + n%10)
	}
	return string(b[i:])
}

// GlareWait is how long to wait after a 491 before the request is tried again: RFC 3261 §14.1: the owner of the
// Call-ID (the UAC of the first INVITE) 2.1 to 4 s, the other 0 to 2 s, in steps of 10 ms.
func GlareWait(owner bool) time.Duration {
	if owner {
		return 2100*time.Millisecond + time.Duration(rand.IntN(191))*10*time.Millisecond
	}
	return time.Duration(rand.IntN(201)) * 10 * time.Millisecond
}
