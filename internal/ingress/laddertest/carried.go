package laddertest

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"dialtone/internal/sip"
)

// What a proxy must hold to, checked for every message that a party receives in a world that forwards: what is end to end
// is what the other end has sent, byte for byte (RFC 3261 §16.6, §16.7), and what counts hops counts them.

// carried is a message that a party has sent.
type carried struct {
	m    *sip.Message
	body string // what the ladder calls it
}

// carry notes what is sent.
func (p *Player) carry(b []byte, m *move) {
	if !p.world.Forwards {
		return
	}
	c := carried{m: &sip.Message{}, body: m.body}
	if err := c.m.Parse(bytes.Clone(b)); err != nil {
		return // it is a ladder about what cannot be read
	}
	p.sent[key(c.m)] = c
}

// key tells messages apart, end to end.
func key(m *sip.Message) string {
	v, _ := m.Header(sip.HCSeq)
	if m.IsRequest() {
		return fmt.Sprintf("%s %s %s", m.CallID(), v, m.FromTag())
	}
	return fmt.Sprintf("%s %s %s %d %s", m.CallID(), v, m.FromTag(), m.Status(), m.ToTag())
}

// carried compares a message with the one that was sent; "" is right. What a proxy says by itself has no sender.
func (w *dialogue) carried(m *move, got *sip.Message) string {
	method := got.Method()
	if id := string(got.CallID()); w.callID != "" && id != w.callID && (!got.IsRequest() || got.ToTag() != nil) {
		return fmt.Sprintf("a message of another dialog than %q", w.name)
	}
	sent, ok := w.party.player.sent[key(got)]
	switch {
	case method == sip.CANCEL || got.IsRequest() && method == sip.ACK && w.refused(got):
		return "" // hop by hop
	case !ok && got.IsRequest():
		return "a request that nobody has sent"
	case !ok:
		return ""
	}
	if why := same(sent.m, got); why != "" {
		return why
	}
	if a, b := kindOf(m.body), kindOf(sent.body); m.hasBody && a != "any" && a != b {
		return "the body was called " + b
	}
	if got.IsRequest() {
		for _, r := range elements(got, sip.HRoute) { // but his who put himself on the path
			if !strings.Contains(r, w.party.addr.String()) {
				return "Route is left: " + r
			}
		}
		return counted(sent.m, got)
	}
	if n := len(elements(got, sip.HVia)); n != 1 {
		return fmt.Sprintf("%d Vias", n)
	}
	return ""
}

// refused reports whether an ACK is for a response of ours that was no 2xx.
func (w *dialogue) refused(ack *sip.Message) bool {
	via, err := ack.Via()
	invite := w.asked["INVITE"]
	if err != nil || invite == nil {
		return false
	}
	own, err := invite.Via()
	return err == nil && string(own.Branch) == string(via.Branch)
}

func kindOf(body string) string {
	kind, _, _ := strings.Cut(body, " ")
	return kind
}

// same compares what is end to end: the other header lines, in their order, and the body.
func same(sent, got *sip.Message) string {
	a, b := lines(sent), lines(got)
	if !slices.Equal(a, b) {
		for i := range max(len(a), len(b)) {
			if i >= len(a) || i >= len(b) || a[i] != b[i] {
				return fmt.Sprintf("not what was sent, from header %d on: %q, not %q", i, b[min(i, len(b)):], a[min(i, len(a)):])
			}
		}
	}
	if !bytes.Equal(sent.Body(), got.Body()) {
		return fmt.Sprintf("not the body that was sent:\n%s", sent.Body())
	}
	return ""
}

// lines are the header lines that no proxy may change.
func lines(m *sip.Message) (out []string) {
	for i := range m.Len() {
		name, value, id := m.At(i)
		switch id {
		case sip.HVia, sip.HContentLength:
			continue
		case sip.HRoute, sip.HRecordRoute, sip.HMaxForwards, sip.HMaxBreadth, sip.HProxyAuthorization, sip.HPath:
			if m.IsRequest() {
				continue
			}
		case sip.HContact, sip.HWWWAuthenticate, sip.HProxyAuthenticate:
			if m.Status() >= 300 { // contacts that were followed, challenges of others
				continue
			}
		}
		out = append(out, string(name)+": "+string(value))
	}
	return out
}

// counted checks what grows and shrinks by the hop.
func counted(sent, got *sip.Message) string {
	hops := len(elements(got, sip.HVia)) - len(elements(sent, sip.HVia))
	before, _ := sent.MaxForwards()
	after, _ := got.MaxForwards()
	if hops < 1 || before-after != hops {
		return fmt.Sprintf("%d hops, and Max-Forwards fell from %d to %d", hops, before, after)
	}
	routes := len(elements(got, sip.HRecordRoute)) - len(elements(sent, sip.HRecordRoute))
	switch got.Method() {
	case sip.INVITE, sip.SUBSCRIBE, sip.REFER, sip.NOTIFY:
		if routes < hops {
			return fmt.Sprintf("%d hops, but %d Record-Routes", hops, routes)
		}
	default:
		if routes != 0 {
			return fmt.Sprintf("%d Record-Routes", routes)
		}
	}
	return ""
}
