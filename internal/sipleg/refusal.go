package sipleg

import (
	"bytes"
	"strconv"

	"dialtone/internal/cause"
	"dialtone/internal/sip"
)

// refused takes a final response other than 2xx.
func (l *Leg) refused(m *sip.Message) {
	out := l.out
	switch status := m.Status(); {
	case (status == 401 || status == 407) && l.account.challenged(m):
		l.retry(cause.FromSIP(status))
	case status == 422: // RFC 4028 §7.3
		if p, ok := out.policy.Raise(m); ok {
			out.policy = p
			l.retry(cause.FromSIP(status))
			return
		}
		l.failed(causeOf(m, cause.FromSIP(status)), nil)
	case (status == 488 || status == 606) && l.relax():
		l.retry(causeOf(m, cause.FromSIP(status)))
	case status == 503 || status == 408: // RFC 3263 §4.3
		l.nextTarget(causeOf(m, cause.FromSIP(status)))
	case status < 400:
		l.failed(cause.FromSIP(status), contacts(m))
	default:
		l.failed(causeOf(m, cause.FromSIP(status)), nil)
	}
}

// relax offers the party something else than what it has refused: media through us where it was to go straight to the caller,
// more codecs; false when there is nothing else.
func (l *Leg) relax() bool {
	if l.media != nil && l.media.IsDirect() {
		l.media.SetDirect(false)
		return true
	}
	return l.extend()
}

// extend widens the offer by the codecs that need a conversion, when the party has refused the others; false when that makes
// no difference.
func (l *Leg) extend() bool {
	if !l.out.offered || l.media == nil || !l.media.Extend() {
		return false
	}
	body, err := l.localize(l.out.invite.Offer, offers)
	return err == nil && !bytes.Equal(body, l.ours)
}

func (l *Leg) retry(last cause.Cause) {
	if err := l.invite(); err != nil {
		l.failed(last, nil)
	}
}

// contacts are the targets of a 3xx by falling q: RFC 3261 §8.1.3.4.
func contacts(m *sip.Message) []string {
	type entry struct {
		uri string
		q   float64
	}
	var es []entry
	for e := m.Elements(sip.HContact); e.Next() && len(es) < 10; {
		a, err := e.Address()
		if err != nil || a.Star {
			continue
		}
		q := 1.0
		if v, ok := a.Params.Value("q"); ok {
			q, _ = strconv.ParseFloat(string(v), 64) // rubbish comes last
		}
		i := len(es)
		for i > 0 && es[i-1].q < q {
			i--
		}
		es = append(es[:i], append([]entry{{a.URI.String(), q}}, es[i:]...)...)
	}
	uris := make([]string, len(es))
	for i, e := range es {
		uris[i] = e.uri
	}
	return uris
}
