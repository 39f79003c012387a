package ingress

import (
	"bytes"

	"dialtone/internal/guard"
	"dialtone/internal/proxy"
	"dialtone/internal/sip"
	"dialtone/internal/sip/transport"
)

// Whoever writes the address of another on a datagram has our answer sent there. So that this is not worth anybody's
// while, an answer to a source that nobody vouches for is no longer than half as much again as its request: what a
// response may do without is left out, and where that is not enough there is no response. No phone is as terse as
// that: a REGISTER of 260 bytes gets its challenge.

// mayAnswer is how long an answer to an unknown source may be.
func mayAnswer(request int) int { return request + request/2 }

// Vouches reports whether an answer reaches the one who has asked.
func (i *Ingress) Vouches(f *transport.Flow, m *sip.Message) bool {
	return f.Reliable() || i.Guard.Vouched(f.Remote(), m.Arrived)
}

// sendLean sends an answer to a source that nobody vouches for, and remembers nothing.
func (i *Ingress) sendLean(a *answer) {
	a.out = a.Append(a.out[:0])
	out, fits := lean(a.out, mayAnswer(len(a.m.Bytes())))
	switch {
	case !fits:
		i.Metrics.GuardBlocked(guard.ReasonSmall.String())
		if a.tx != nil {
			a.tx.Drop()
		}
	case a.tx != nil:
		_ = a.tx.RespondOnceBytes(out) // lost like any datagram
	default:
		_ = a.f.Send(out) // the same
	}
}

// Trim shortens a response of the proxy for a source that nobody vouches for.
func (i *Ingress) Trim(f *transport.Flow, m *sip.Message, res []byte) []byte {
	res, _ = lean(res, mayAnswer(len(m.Bytes())))
	return res
}

var _ proxy.Doubter = (*Ingress)(nil)

// lean leaves out of a printed response, in its place, what it may do without: always the name of the server, and of
// the rest as much as is needed to make it no longer than limit. It reports whether that was enough.
//
// RFC 3261 §21.4.6 and §21.4.13: a 405 must have its Allow, a 415 its Accept. §20.14: only streams need a Content-Length.
func lean(res []byte, limit int) ([]byte, bool) {
	res = without(res, "Server")
	status := string(res[8:11]) // "SIP/2.0 nnn"
	for _, header := range [...]struct{ name, needed string }{
		{"Allow", "405"}, {"Accept", "415"}, {"Supported", ""}, {"Content-Length", ""},
	} {
		if len(res) <= limit {
			return res, true
		}
		if header.needed != status {
			res = without(res, header.name)
		}
	}
	return res, len(res) <= limit
}

// without takes the first line of a header out of a response without a body.
func without(res []byte, name string) []byte {
	for at := 0; ; {
		n := bytes.Index(res[at:], []byte("\r\n"))
		if n < 0 {
			return res
		}
		at += n + 2
		line := res[at:]
		if len(line) > len(name) && line[len(name)] == ':' && string(line[:len(name)]) == name {
			end := bytes.Index(line, []byte("\r\n"))
			return append(res[:at], line[end+2:]...)
		}
	}
}
