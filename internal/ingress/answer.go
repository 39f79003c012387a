package ingress

import (
	"hash/maphash"
	"unsafe"

	"dialtone/internal/sip"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
)

// answer is the way back of one request, and the room that its response is written in: on the request's transaction, or
// without one.
//
// REGISTER and OPTIONS are answered without (RFC 3261 §8.2.7): whatever arrives is worked off to the end at once, so there
// is nothing to wait for, and a repetition is worked off again with the same result. What would be kept of each for half a
// minute in case it is repeated costs more than the work itself.
type answer struct {
	sip.Builder
	f   *transport.Flow
	m   *sip.Message
	tx  *transaction.Server // nil: without
	out []byte
	tag []byte
}

// answerTo takes an answer from the pool; done puts it back.
func (i *Ingress) answerTo(f *transport.Flow, m *sip.Message, tx *transaction.Server) *answer {
	a := i.answers.Get().(*answer)
	a.f, a.m, a.tx = f, m, tx
	return a
}

func (i *Ingress) done(a *answer) {
	a.f, a.m, a.tx = nil, nil, nil
	i.answers.Put(a)
}

// start begins the response.
func (i *Ingress) start(a *answer, status int, reason string) *sip.Builder {
	return a.Response(a.m, status, reason, i.requestTag(a))
}

// requestTag is the To tag of an answer: the same whenever the request comes again, as RFC 3261 §8.2.7 asks. It is valid
// as long as the answer.
func (i *Ingress) requestTag(a *answer) string {
	if a.tx != nil {
		return a.tx.RequestTag()
	}
	via, _ := a.m.Via()
	var h maphash.Hash
	h.SetSeed(i.tags)
	h.Write(via.Branch)
	h.WriteByte(0)
	h.Write(a.m.CallID())
	h.WriteByte(0)
	h.Write(a.m.FromTag())
	a.tag = sip.AppendHex(a.tag[:0], h.Sum64())
	return view(a.tag)
}

// view is b as a string, without a copy, for as long as b is not changed.
func view(b []byte) string { return unsafe.String(unsafe.SliceData(b), len(b)) }

// send sends the response; on a transaction it is repeated whenever the request is.
func (a *answer) send() {
	if a.tx != nil {
		_ = a.tx.Respond(&a.Builder) // too late is nobody's loss
		return
	}
	a.out = a.Append(a.out[:0])
	_ = a.f.Send(a.out) // lost like any datagram: the client asks again
}

// sendOnce sends the response and remembers nothing.
func (a *answer) sendOnce() {
	if a.tx != nil {
		_ = a.tx.RespondOnce(&a.Builder) // lost like any datagram
		return
	}
	a.send()
}
