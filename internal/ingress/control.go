package ingress

import (
	"bytes"
	"strconv"
	"time"

	"dialtone/internal/sip"
)

// Overload control between servers: RFC 7339, the server's side, by the loss algorithm of its §7. A client announces in
// its Via that it can hold requests back, and reads in our responses how many:
//
//	Via: SIP/2.0/UDP p1.example.net;branch=z9hG4bK2d4790.1;oc;oc-algo="loss,A"
//	Via: SIP/2.0/UDP p1.example.net;branch=z9hG4bK2d4790.1;oc=20;oc-algo="loss";oc-validity=500;oc-seq=1282321615.782
//
// A response repeats the Via of its request, so we write the answer into the request as it arrives: every response to it
// carries what was right at that time, and oc-seq tells the client which is the latest (§5.2). Only parties that are
// known are told (§5.2 allows a server to speak of its load to neighbours that it trusts only).
//
// Deviation: a request that is forwarded keeps these parameters in the Via of the client, which §5.6 says should be
// stripped. They mean nothing to the next server, and it is its response that brings them back.

// controlValidity is for how long a client is to hold back, in milliseconds, when it hears no more.
const controlValidity = 500

// announced is how the parameter stands in a Via.
var announced = []byte(";oc")

// announcesControl reports whether the client that has sent a request can hold others back by a share. RFC 7339 §4.2:
// every client that announces control knows "loss".
func announcesControl(m *sip.Message) bool {
	v, ok := m.Header(sip.HVia)
	if !ok || !bytes.Contains(v, announced) {
		return false
	}
	via, err := m.Via()
	if err != nil {
		return false
	}
	for it := via.Params.Iter(); it.Next(); {
		if sip.EqualFold(it.Name(), "oc") {
			return true
		}
	}
	return false
}

// newLetter is room for a request that is written anew.
func newLetter() any { b := make([]byte, 0, 2048); return &b }

// advise writes into the top Via of a request how much its client is to hold back. The message is then a view on a buffer
// that the caller gives back when the message has been handled; nil where the client has not asked.
func (i *Ingress) advise(f peer, m *sip.Message, now time.Time) *[]byte {
	if !announcesControl(m) || !i.Guard.Vouched(f.Remote(), now) {
		return nil
	}
	value, _ := m.Header(sip.HVia)
	raw := m.Bytes()
	at := bytes.Index(raw, value)
	via, err := m.Via()
	if err != nil || at < 0 {
		return nil
	}
	params := bytes.Index(value, via.Params)
	if params < 0 || len(raw)+128 > sip.MaxMessage {
		return nil
	}
	buffer := i.letters.Get().(*[]byte)
	out := append((*buffer)[:0], raw[:at+params]...)
	for it := via.Params.Iter(); it.Next(); {
		if n := it.Name(); len(n) >= 2 && sip.EqualFold(n[:2], "oc") && (len(n) == 2 || n[2] == '-') {
			continue
		}
		out = append(append(out, ';'), it.Name()...)
		if it.HasValue() {
			out = append(append(out, '='), it.Value()...)
		}
	}
	out = appendControl(out, i.Overload.Percent(), now)
	out = append(out, raw[at+params+len(via.Params):]...)
	*buffer = out
	from, arrived := m.Received, m.Arrived
	if err := m.Parse(out); err != nil { // cannot be: what was parsed has got parameters that can be
		i.letters.Put(buffer)
		return nil
	}
	m.Received, m.Arrived = from, arrived
	return buffer
}

// appendControl prints the parameters. §5.7: what ends the control is a validity of 0.
func appendControl(dst []byte, percent uint32, now time.Time) []byte {
	validity := uint64(controlValidity)
	if percent == 0 {
		validity = 0
	}
	dst = strconv.AppendUint(append(dst, ";oc="...), uint64(percent), 10)
	dst = strconv.AppendUint(append(dst, `;oc-algo="loss";oc-validity=`...), validity, 10)
	dst = strconv.AppendInt(append(dst, ";oc-seq="...), now.Unix(), 10)
	ms := uint64(now.UnixMilli() % 1000)
	return append(dst, '.', byte('0'+ms/100), byte('0'+ms/10%10), byte('0'+ms%10))
}
