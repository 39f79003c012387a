package ingress

import (
	"bytes"
	"hash/maphash"
	"net/netip"
	"time"

	"dialtone/internal/dialplan"
	"dialtone/internal/guard"
	"dialtone/internal/sip"
)

// peer is what a refusal needs to know of a flow.
type peer interface {
	Remote() netip.AddrPort
	Reliable() bool
	Send(b []byte) error
}

// shedder refuses new work while the server has more than it can do.
type shedder struct {
	seed  maphash.Seed // of decisions
	tags  maphash.Seed // of the To tags of refusals, which strangers see
	known familiar
}

const (
	refusalTag    = "busy-"
	refusalTagLen = len(refusalTag) + 16
	// Decisions go by the Call-ID, so that what belongs together shares its fate; and by the time, so that nobody is
	// unlucky for ever: phones keep the Call-ID of their registration.
	shedEpoch = 32 // seconds
	// A Retry-After is between these, so that those who were refused at once do not come back at once.
	retryFirst, retrySpread = 5, 11 // seconds
)

func newShedder() *shedder {
	return &shedder{seed: maphash.MakeSeed(), tags: maphash.MakeSeed(), known: familiar{seed: maphash.MakeSeed()}}
}

// shed refuses a request where the server cannot do all that it is asked for, and reports whether it has dealt with it.
// The refusal is without state: whoever is refused leaves nothing behind, and asks again at no more cost.
//
// The order in which work is refused is that of guard.Rank. Never refused are responses, ACK, CANCEL, whatever is inside a
// dialog, repetitions of what was let in, and emergency calls.
func (i *Ingress) shed(f peer, m *sip.Message, now time.Time) bool {
	if m.Method() == sip.ACK {
		return i.shedder.refused(m)
	}
	if !i.Overload.Watch(now) || m.Method() == sip.CANCEL || m.ToTag() != nil {
		return false
	}
	vouched := i.known(f, m, now)
	rank := i.rank(m, vouched, now)
	hash := i.shedder.lot(m, now)
	if !i.Overload.Refuses(rank, hash) || i.Transactions.Knows(m) {
		return false
	}
	if i.emergency(m, vouched) {
		i.Overload.Exempted()
		return false
	}
	i.Overload.Count(rank)
	i.Metrics.GuardBlocked(guard.ReasonOverload.String())
	if m.Method() != sip.INVITE && !f.Reliable() && !i.Overload.MayAnswer() {
		return true
	}
	a := i.answerTo(nil, m, nil)
	defer i.done(a)
	b := a.Response(m, 503, "", i.shedder.tag(a, m))
	if rank == guard.RankNew && m.Method() == sip.REGISTER && !vouched && isAlone(m) {
		b.AddUint(sip.HRetryAfter, retryFirst+hash%retrySpread)
	}
	a.out = b.Append(a.out[:0])
	_ = f.Send(a.out) // lost like any datagram: the client asks again
	return true
}

// lot is what a request draws: the same for whatever has its Call-ID, for a while.
func (d *shedder) lot(m *sip.Message, now time.Time) uint64 {
	return maphash.Bytes(d.seed, m.CallID()) + uint64(now.Unix()/shedEpoch)*0x9e3779b97f4a7c15
}

// rank says how dear a request outside dialogs is.
func (i *Ingress) rank(m *sip.Message, vouched bool, now time.Time) guard.Rank {
	rank := guard.RankNew
	switch {
	case (m.Has(sip.HAuthorization) || m.Has(sip.HProxyAuthorization)) && i.Auth.Answers(m, m.Received.Addr(), now):
		return guard.RankAnswer
	case m.Method() == sip.REGISTER:
		if i.refreshes(m, now) {
			rank = guard.RankKnown
		}
	case m.Method() == sip.INVITE:
		if rank = guard.RankStranger; vouched {
			rank = guard.RankCall
		}
	}
	if vouched && announcesControl(m) {
		// RFC 7339 §5.10.2: a client that holds back by itself has done its part already.
		rank = min(rank+1, guard.RankAnswer)
	}
	return rank
}

// known reports whether a request comes from a flow on which somebody has authenticated, a trusted network, a static
// device or the flow of a registration.
func (i *Ingress) known(f peer, m *sip.Message, now time.Time) bool {
	return i.Guard.Vouched(f.Remote(), now) || i.knows(m, now)
}

// refreshes reports whether a REGISTER is for a line that is registered from where it comes.
func (i *Ingress) refreshes(m *sip.Message, now time.Time) bool {
	key := i.shedder.known.key(m)
	if yes, known := i.shedder.known.has(key, now); known {
		return yes
	}
	to, err := m.To()
	if err != nil {
		return false
	}
	s := i.Directory.Snapshot()
	t := tenantOf(s, &to.URI)
	yes := t != nil && i.isHere(s, t, userOf(&to.URI), m.Received, now)
	i.shedder.known.add(key, yes, now)
	return yes
}

// emergency reports whether a request asks for help: a service URN (RFC 5031), an emergency number of the country that
// the caller is in, or, from parties that are known, a Resource-Priority of those services (RFC 4412 §10, RFC 7135).
func (i *Ingress) emergency(m *sip.Message, vouched bool) bool {
	if m.Method() != sip.INVITE {
		return false
	}
	uri := m.RequestURI()
	const sos = "urn:service:sos"
	if len(uri) >= len(sos) && sip.EqualFold(uri[:len(sos)], sos) {
		return true
	}
	if v, ok := m.Header(sip.HResourcePriority); ok && vouched && isPrior(v) {
		return true
	}
	u, err := m.URI()
	if err != nil {
		return false
	}
	who := dialplan.Caller{}
	snapshot := i.Directory.Snapshot()
	if t, line := i.sender(snapshot, m); line != nil {
		who = dialplan.Caller{Tenant: t.ID, Line: line.Number}
	}
	return dialplan.IsEmergency(snapshot, who, userOf(&u))
}

// isPrior reports whether a Resource-Priority is of the namespaces for emergencies and the priority of authorities.
func isPrior(v []byte) bool {
	for _, namespace := range [...]string{"esnet.", "ets.", "wps."} {
		if len(v) >= len(namespace) && sip.EqualFold(v[:len(namespace)], namespace) {
			return true
		}
	}
	return false
}

// isAlone reports whether a request has come straight from the one who made it. RFC 3261 §21.5.4: whoever sees a
// Retry-After keeps everything from us for that time, which is right for a phone that cannot register and wrong for a
// proxy that others are behind (RFC 5390 §4).
func isAlone(m *sip.Message) bool {
	e := m.Elements(sip.HVia)
	return e.Next() && !e.Next()
}

// tag writes the To tag of a refusal, the same for each repetition (RFC 3261 §8.2.7). It is valid as long as a.
func (d *shedder) tag(a *answer, m *sip.Message) string {
	a.tag = sip.AppendHex(append(a.tag[:0], refusalTag...), d.sum(m))
	return view(a.tag)
}

func (d *shedder) sum(m *sip.Message) uint64 {
	return maphash.Bytes(d.tags, m.CallID()) ^ maphash.Bytes(d.tags, m.FromTag())<<1
}

// refused reports whether an ACK is for a refusal of ours: it has reached its goal (RFC 3261 §17.1.1.3).
func (d *shedder) refused(ack *sip.Message) bool {
	tag := ack.ToTag()
	if len(tag) != refusalTagLen || string(tag[:len(refusalTag)]) != refusalTag {
		return false
	}
	var want [16]byte
	return bytes.Equal(tag[len(refusalTag):], sip.AppendHex(want[:0], d.sum(ack)))
}
