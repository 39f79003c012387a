package laddertest

import (
	"maps"
	"slices"
	"strconv"
	"strings"

	"dialtone/internal/digest"
	"dialtone/internal/sip"
)

// send sends a message.
func (w *dialogue) send(m *move) {
	w.party.player.t.Helper()
	var out []byte
	switch {
	case m.status > 0:
		out = w.response(m)
	case m.again:
		if out = w.sent[m.method]; m.merged {
			old, _ := sip.ParseVia(via(out))
			out = []byte(strings.Replace(string(out), string(old.Branch), w.party.fresh("z9hG4bK"), 1))
			w.remember(out)
		}
	default:
		out = w.request(m)
		w.sent[m.method] = out
	}
	if out == nil {
		w.party.player.failf("there is nothing to send")
		return
	}
	to := w.party.server
	if w.via.IsValid() {
		to = w.via
	}
	if m.status > 0 && w.party.player.world.Forwards {
		to = w.requestOf(m).Received
	}
	w.party.player.carry(out, m)
	if err := w.party.write(out, to); err != nil {
		w.party.player.failf("send: %v", err)
	}
}

func via(b []byte) []byte {
	var m sip.Message
	_ = m.Parse(slices.Clone(b))
	v, _ := m.Header(sip.HVia)
	return v
}

// request builds a request: outside a dialog when it has a target, else in the party's dialog.
func (w *dialogue) request(m *move) []byte {
	switch m.method {
	case "CANCEL":
		return w.print(m, sip.NewCANCEL(w.invite))
	case "ACK":
		if w.final == nil {
			return nil
		}
		if w.final.Status() >= 300 {
			v, _ := w.final.Via()
			return w.print(m, sip.NewACK(w.invites[string(v.Branch)], w.final))
		}
	}
	uri := w.target
	if m.target != "" {
		uri = w.party.player.uri(m.target)
		w.via = m.via
		w.routes, w.remote, w.remoteTag = nil, "<"+uri+">", ""
		w.local = "<sip:" + w.party.user + "@" + w.party.domain + ">"
		if m.method == "REGISTER" && w.party.player.world.Forwards {
			w.remote = w.local
		}
		if !m.auth {
			w.callID, w.localTag = w.party.fresh("call"), w.party.fresh("tag")
		}
	}
	seq := w.seq + 1
	if m.method == "ACK" {
		seq = w.invite.CSeq()
	} else {
		w.seq = seq
	}
	b := sip.NewRequest(methodOf(m.method), uri)
	if methodOf(m.method) == sip.Other {
		b.Request(m.method, uri)
	}
	protocol, parameter := w.party.transport()
	b.Via("SIP/2.0/" + protocol + " " + w.party.addr.String() + ";rport;branch=" + w.party.fresh("z9hG4bK"))
	for _, r := range w.routes {
		b.Add(sip.HRoute, r)
	}
	b.Add(sip.HFrom, w.local, ";tag=", w.localTag)
	if w.remoteTag == "" {
		b.Add(sip.HTo, w.remote)
	} else {
		b.Add(sip.HTo, w.remote, ";tag=", w.remoteTag)
	}
	b.Add(sip.HCallID, w.callID).Add(sip.HCSeq, cseq(seq, m.method)).Add(sip.HMaxForwards, "70")
	switch m.method {
	case "INVITE", "UPDATE", "REGISTER", "SUBSCRIBE", "REFER", "NOTIFY":
		b.Add(sip.HContact, "<sip:", w.party.user, "@", w.party.addr.String(), parameter, ">")
		b.Add(sip.HAllow, "INVITE, ACK, BYE, CANCEL, UPDATE, PRACK, INFO, OPTIONS")
	case "PRACK":
		b.Add(sip.HRAck, w.rseq, " ", strconv.Itoa(int(w.invite.CSeq())), " INVITE")
	}
	if m.auth {
		w.authorize(b, m.method, uri)
	}
	if m.hasBody {
		b.Body(w.compose(m.body))
	}
	out := w.print(m, b)
	if m.method == "INVITE" {
		w.invite, w.final = w.remember(out), nil
	}
	return out
}

// remember keeps an INVITE for its ACK.
func (w *dialogue) remember(out []byte) *sip.Message {
	m := &sip.Message{}
	if err := m.Parse(slices.Clone(out)); err != nil {
		w.party.player.failf("INVITE: %v", err)
		return nil
	}
	v, _ := m.Via()
	w.invites[string(v.Branch)] = m
	return m
}

func methodOf(name string) sip.Method {
	for m := sip.Method(0); m < 32; m++ {
		if m.String() == name {
			return m
		}
	}
	return sip.Other
}

// authorize answers the challenges of all realms that have been met.
func (w *dialogue) authorize(b *sip.Builder, method, uri string) {
	p := w.party
	if p.challenge != nil {
		if err := p.challenged(); err != nil {
			p.player.failf("challenge: %v", err)
			return
		}
	}
	if len(p.accounts) == 0 {
		p.player.failf("there was no challenge")
		return
	}
	to := sip.HProxyAuthorization
	if method == "REGISTER" || !p.player.world.Forwards {
		to = sip.HAuthorization
	}
	for _, realm := range slices.Sorted(maps.Keys(p.accounts)) {
		b.Add(to, string(p.accounts[realm].Append(nil, method, uri)))
	}
}

// challenged takes the challenges of the last 401 or 407, each realm for itself.
func (w *party) challenged() error {
	from := sip.HWWWAuthenticate
	if w.challenge.Status() == 407 {
		from = sip.HProxyAuthenticate
	}
	realms := map[string][]digest.Challenge{}
	for i := range w.challenge.Len() {
		if _, value, id := w.challenge.At(i); id == from {
			if c, err := digest.ParseChallenge(value); err == nil {
				realms[c.Realm] = append(realms[c.Realm], c)
			}
		}
	}
	w.challenge = nil
	for realm, challenges := range realms {
		if w.accounts[realm] == nil {
			w.accounts[realm] = &digest.Client{Username: w.user, Password: "secret-" + w.user, Realm: realm}
		}
		if err := w.accounts[realm].Challenged(challenges); err != nil {
			return err
		}
	}
	return nil
}

// requestOf is the request that a response is for.
func (w *dialogue) requestOf(m *move) *sip.Message {
	if m.method != "" {
		return w.asked[m.method]
	}
	return w.last
}

// response builds a response to the last request, or to the last one of a method.
func (w *dialogue) response(m *move) []byte {
	req := w.requestOf(m)
	if req == nil {
		return nil
	}
	key := strconv.Itoa(m.status) + string(req.MethodName())
	if m.again {
		return w.answered[key]
	}
	tag := w.localTag
	if m.tag != "" {
		tag = m.tag
	}
	b := sip.NewResponse(req, m.status, "", tag)
	if m.status > 100 && m.status < 300 && req.Method() != sip.BYE && req.Method() != sip.MESSAGE && req.Method() != sip.CANCEL {
		_, parameter := w.party.transport()
		b.Copy(req, sip.HRecordRoute)
		b.Add(sip.HContact, "<sip:", w.party.user, "@", w.party.addr.String(), parameter, ">")
	}
	if m.hasBody {
		b.Body(w.compose(m.body))
	}
	w.answered[key] = w.print(m, b)
	return w.answered[key]
}

// print finishes a message with the headers of the ladder in the place of its own.
func (w *dialogue) print(m *move, b *sip.Builder) []byte {
	head, body, _ := strings.Cut(string(b.Append(nil)), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	for _, h := range m.headers {
		if h.name == "URI" {
			method, _, _ := strings.Cut(lines[0], " ")
			lines[0] = method + " " + w.party.player.fill(h.value) + " SIP/2.0"
			continue
		}
		add := strings.HasPrefix(h.name, "+")
		name := strings.TrimPrefix(h.name, "+")
		at := slices.IndexFunc(lines, func(l string) bool {
			n, _, _ := strings.Cut(l, ":")
			return strings.EqualFold(n, name)
		})
		value := name + ": " + w.party.player.fill(h.value)
		switch {
		case h.value == "-" && at >= 0:
			lines = slices.Delete(lines, at, at+1)
		case h.value == "-":
		case at >= 0 && !add:
			lines[at] = value
		default:
			lines = slices.Insert(lines, len(lines)-1, value)
		}
	}
	return []byte(strings.Join(lines, "\r\n") + "\r\n\r\n" + body)
}
