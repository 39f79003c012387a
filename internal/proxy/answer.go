package proxy

import (
	"strconv"

	"dialtone/internal/sip"
)

// forward sends a response upstream as it is, without our Via: RFC 3261 §16.7 items 3 and 9.
func (r *relay) forward(m *sip.Message) {
	out := sip.AppendUpstream(make([]byte, 0, len(m.Bytes())), m, nil)
	if len(out) == 0 {
		return // no Via but ours: it cannot go anywhere
	}
	err := r.tx.RespondBytes(out)
	if m.Status()/100 != 2 || r.tx.Method() != sip.INVITE {
		return
	}
	if err != nil {
		// §16.7 item 5: a 2xx is forwarded even after another final response.
		_ = r.in.Send(out)
		return
	}
	// RFC 6026 §7.1: it is the callee who sends a 2xx again, not a proxy.
	r.tx.Acknowledged()
}

// finish sends the best response upstream: RFC 3261 §16.7 items 6 to 9.
func (r *relay) finish() {
	i := r.fork.best()
	status, answer := 408, (*sip.Message)(nil)
	if i >= 0 {
		status, answer = r.fork.attempts[i].status, r.targets[i].answer
	}
	if r.fork.cancelled && i < 0 {
		status = 487
	}
	if answer != nil && answer.Status() != status { // timer C
		answer = nil
	}
	if status == 430 && r.located {
		status, answer = 480, nil // RFC 5626 §11.5: no endpoint is to receive it
	}
	switch {
	case status == 503: // item 6: a 503 would be taken for our own state
		r.p.reply(r.tx, r.in, r.m, refusal{status: 500})
	case answer == nil:
		r.p.reply(r.tx, r.in, r.m, refusal{status: status})
	default:
		var lines []byte
		if status == 401 || status == 407 {
			lines = r.challenges(i)
		}
		out := sip.AppendUpstream(make([]byte, 0, len(answer.Bytes())+len(lines)), answer, lines)
		if len(out) > 0 {
			_ = r.tx.RespondBytes(out) // too late is nobody's loss
		}
	}
}

// challenges are those of all the other 401 and 407 responses, in the order of the targets; each keeps the order in which
// its lines came (RFC 3261 §16.7 item 7, RFC 8760 §2.4).
func (r *relay) challenges(best int) (lines []byte) {
	for i := range r.targets {
		m := r.targets[i].answer
		if s := r.fork.attempts[i].status; i == best || m == nil || s != 401 && s != 407 {
			continue
		}
		lines = m.AppendLines(lines, sip.HWWWAuthenticate)
		lines = m.AppendLines(lines, sip.HProxyAuthenticate)
	}
	return lines
}

// tell199 sends a 199 for an early dialog: RFC 6228 §6. Its Reason says what the branch was answered.
func (r *relay) tell199(tag string, status int) {
	s := r.p.scratch()
	defer r.p.free(s)
	b := s.builder.Response(r.m, 199, "", tag)
	if status != 0 {
		b.Add(sip.HReason, "SIP;cause="+strconv.Itoa(status))
	}
	_ = r.tx.Respond(b) // a final response has been quicker
}
