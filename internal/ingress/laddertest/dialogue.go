package laddertest

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing/synctest"

	"dialtone/internal/sip"
)

// dialogue is one dialog of a party, or whatever it says outside of one.
type dialogue struct {
	party *party
	name  string

	callID, localTag, remoteTag  string
	local, remote, target        string // name-addr, name-addr, URI
	routes                       []string
	seq                          uint32
	via                          netip.AddrPort // where it goes instead of the party's server
	asked                        map[string]*sip.Message
	last                         *sip.Message // request that an unnamed response is for
	sent                         map[string][]byte
	answered                     map[string][]byte       // responses, by status and method
	invite, final                *sip.Message            // our INVITE and its final response
	invites                      map[string]*sip.Message // by branch
	rseq                         string
	described, heard, lastPacket []byte
	version                      int
}

// expect takes the next message and compares it.
func (w *dialogue) expect(m *move) {
	w.party.player.t.Helper()
	if m.nothing {
		synctest.Wait()
		if all := w.party.waiting(); len(all) > 0 {
			w.party.player.failf("there is:\n%s", all[0].Bytes())
		}
		return
	}
	for range m.times {
		got := w.party.next(m.status == 100, m.within)
		if got == nil {
			w.party.player.failf("nothing came")
			return
		}
		if why := w.compare(m, got); why != "" {
			w.party.player.failf("%s:\n%s", why, got.Bytes())
			return
		}
	}
}

func (w *dialogue) compare(m *move, got *sip.Message) string {
	method := string(got.MethodName())
	switch {
	case m.status != got.Status():
		return "another message"
	case m.method != "" && m.method != method:
		return "another method"
	}
	if m.again {
		if string(got.Bytes()) != string(w.lastPacket) {
			return "not the same"
		}
		return ""
	}
	if w.party.player.world.Forwards {
		if why := w.carried(m, got); why != "" {
			return why
		}
	}
	w.lastPacket = got.Bytes()
	if contentType, _ := got.Header(sip.HContentType); len(got.Body()) > 0 || m.hasBody {
		if len(got.Body()) == 0 {
			return "no body"
		}
		if !m.hasBody {
			return "a body"
		}
		if why := w.check(m.body, string(contentType), got.Body()); why != "" && !w.party.player.world.Forwards {
			return why
		}
	}
	for _, h := range m.headers {
		var values []string
		for i := range got.Len() {
			if name, value, _ := got.At(i); sip.EqualFold(name, h.name) {
				values = append(values, string(value))
			}
		}
		if h.name == "URI" {
			values = []string{string(got.RequestURI())}
		}
		all := strings.Join(values, ", ")
		switch {
		case h.value == "-" && values != nil:
			return "has " + h.name + ": " + all
		case h.value != "-" && !w.party.player.matches(h.value, all):
			return fmt.Sprintf("%s is %q", h.name, all)
		}
	}
	if got.IsRequest() {
		w.takeRequest(method, got)
	} else {
		w.takeResponse(method, got)
	}
	return ""
}

func (w *dialogue) takeRequest(method string, m *sip.Message) {
	if method != "ACK" {
		w.asked[method], w.last = m, m
	}
	if method != "ACK" && method != "CANCEL" && m.ToTag() == nil {
		w.callID, w.remoteTag, w.localTag = string(m.CallID()), string(m.FromTag()), w.party.fresh("tag")
		from, _ := m.From()
		to, _ := m.To()
		from.Params, to.Params = nil, nil
		w.remote, w.local = string(from.Append(nil)), string(to.Append(nil))
		w.routes, w.seq = elements(m, sip.HRecordRoute), 0
	}
	switch method {
	case "INVITE", "UPDATE", "SUBSCRIBE", "NOTIFY", "REFER":
		w.contact(m)
	}
}

func (w *dialogue) takeResponse(method string, m *sip.Message) {
	if status := m.Status(); status == 401 || status == 407 {
		w.party.challenge = m
	} else if status/100 == 2 {
		for _, account := range w.party.accounts {
			account.Accepted()
		}
	}
	if v, ok := m.Header(sip.HRSeq); ok {
		w.rseq = string(v)
	}
	begins := method == "INVITE" || (method == "SUBSCRIBE" || method == "REFER") && w.remoteTag == ""
	if !begins && method != "UPDATE" {
		return
	}
	if method == "INVITE" && m.Status() >= 200 {
		w.final = m
	}
	if m.Status() > 100 && m.Status() < 300 {
		if begins {
			w.remoteTag = string(m.ToTag())
			w.routes = elements(m, sip.HRecordRoute)
			slices.Reverse(w.routes)
		}
		w.contact(m)
	}
}

func (w *dialogue) contact(m *sip.Message) {
	e := m.Elements(sip.HContact)
	if e.Next() {
		if a, err := e.Address(); err == nil {
			w.target = a.URI.String()
		}
	}
}

func elements(m *sip.Message, id sip.HeaderID) []string {
	var out []string
	for e := m.Elements(id); e.Next(); {
		out = append(out, string(e.Value()))
	}
	return out
}
