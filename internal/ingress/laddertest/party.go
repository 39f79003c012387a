package laddertest

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing/synctest"
	"time"

	"dialtone/internal/digest"
	"dialtone/internal/network"
	"dialtone/internal/sip"
)

// party is a scripted user agent with one dialog at a time.
type party struct {
	player *Player
	name   string
	user   string
	addr   netip.AddrPort
	conn   network.PacketConn // or
	stream net.Conn
	done   chan struct{}

	mu    sync.Mutex
	inbox []*sip.Message
	news  chan struct{}

	// the dialog
	callID, localTag, remoteTag  string
	local, remote, target        string // name-addr, name-addr, URI
	routes                       []string
	seq                          uint32
	made                         int // dialogs and branches so far
	asked                        map[string]*sip.Message
	last                         *sip.Message // request that an unnamed response is for
	sent                         map[string][]byte
	answered                     map[string][]byte       // responses, by status and method
	invite, final                *sip.Message            // our INVITE and its final response
	invites                      map[string]*sip.Message // by branch
	rseq                         string
	described, heard, lastPacket []byte
	version                      int
	account                      *digest.Client
	challenge                    *sip.Message
}

func newParty(p *Player, name, user string, addr netip.AddrPort) *party {
	w := &party{player: p, name: name, user: user, addr: addr, news: make(chan struct{}, 1), asked: map[string]*sip.Message{},
		sent: map[string][]byte{}, answered: map[string][]byte{}, invites: map[string]*sip.Message{}}
	w.account = &digest.Client{Username: user, Password: "secret-" + user}
	return w
}

// bind opens the party's socket.
func (w *party) bind(h *network.Host) {
	conn, err := h.ListenPacket(w.addr, false)
	if err != nil {
		w.player.t.Fatalf("party %s: %v", w.name, err)
	}
	w.conn, w.done = conn, make(chan struct{})
	go w.read()
}

// connect opens the party's stream.
func (w *party) connect() error {
	stream, err := w.player.Host(w.name).Dial(context.Background(), w.player.world.Exchange)
	if err != nil {
		return err
	}
	w.stream, w.done = stream, make(chan struct{})
	go w.readStream()
	return nil
}

func (w *party) close() {
	switch {
	case w.conn != nil:
		_ = w.conn.Close()
	case w.stream != nil:
		_ = w.stream.Close()
	default:
		return
	}
	<-w.done
	w.conn, w.stream = nil, nil
}

func (w *party) read() {
	defer close(w.done)
	ps := []network.Packet{{Data: make([]byte, 65536)}}
	for {
		ps[0].Data = ps[0].Data[:65536]
		n, err := w.conn.ReadBatch(ps)
		if err != nil {
			return
		}
		for _, packet := range ps[:n] {
			w.take(packet.Data)
		}
	}
}

func (w *party) readStream() {
	defer close(w.done)
	var all []byte
	b := make([]byte, 4096)
	for {
		n, err := w.stream.Read(b)
		if err != nil {
			return
		}
		all = append(all, b[:n]...)
		for {
			_, total, err := sip.Frame(all)
			if err != nil || total == 0 {
				break
			}
			w.take(all[:total])
			all = all[total:]
		}
	}
}

// take puts what was read into the inbox.
func (w *party) take(b []byte) {
	var m sip.Message
	if err := m.Parse(slices.Clone(b)); err != nil {
		w.player.t.Errorf("%s cannot read: %v\n%s", w.name, err, b)
		return
	}
	w.mu.Lock()
	w.inbox = append(w.inbox, &m)
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// write sends bytes to the exchange.
func (w *party) write(b []byte) error {
	if w.conn != nil {
		return w.conn.WriteTo(b, w.player.world.Exchange)
	}
	if w.stream == nil {
		if err := w.connect(); err != nil {
			return err
		}
	}
	_, err := w.stream.Write(b)
	return err
}

// transport is the protocol of the party's Via, and parameter what its Contact says of it.
func (w *party) transport() (protocol, parameter string) {
	if w.conn == nil {
		return "TCP", ";transport=tcp"
	}
	return "UDP", ""
}

// waiting is what has arrived and was not expected yet, without 100.
func (w *party) waiting() []*sip.Message {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(w.inbox), func(m *sip.Message) bool { return m.Status() == 100 })
}

// patience is how long an expected message may be under way.
const patience = 100 * time.Millisecond

// next takes the next message; nil when none comes.
func (w *party) next(take100 bool, within time.Duration) *sip.Message {
	deadline := time.After(within)
	for {
		w.mu.Lock()
		for len(w.inbox) > 0 {
			m := w.inbox[0]
			w.inbox = w.inbox[1:]
			if m.Status() == 100 && !take100 {
				continue
			}
			w.mu.Unlock()
			return m
		}
		w.mu.Unlock()
		select {
		case <-w.news:
		case <-deadline:
			return nil
		}
	}
}

// expect takes the next message and compares it.
func (w *party) expect(m *move) {
	w.player.t.Helper()
	if m.nothing {
		synctest.Wait()
		if all := w.waiting(); len(all) > 0 {
			w.player.failf("there is:\n%s", all[0].Bytes())
		}
		return
	}
	for range m.times {
		got := w.next(m.status == 100, m.within)
		if got == nil {
			w.player.failf("nothing came")
			return
		}
		if why := w.compare(m, got); why != "" {
			w.player.failf("%s:\n%s", why, got.Bytes())
			return
		}
	}
}

func (w *party) compare(m *move, got *sip.Message) string {
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
	w.lastPacket = got.Bytes()
	if contentType, _ := got.Header(sip.HContentType); len(got.Body()) > 0 || m.hasBody {
		if len(got.Body()) == 0 {
			return "no body"
		}
		if !m.hasBody {
			return "a body"
		}
		if why := w.check(m.body, string(contentType), got.Body()); why != "" {
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
		case h.value != "-" && !w.player.matches(h.value, all):
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

func (w *party) takeRequest(method string, m *sip.Message) {
	if method != "ACK" {
		w.asked[method], w.last = m, m
	}
	if method == "INVITE" && m.ToTag() == nil {
		w.callID, w.remoteTag, w.localTag = string(m.CallID()), string(m.FromTag()), w.fresh("tag")
		from, _ := m.From()
		to, _ := m.To()
		from.Params, to.Params = nil, nil
		w.remote, w.local = string(from.Append(nil)), string(to.Append(nil))
		w.routes, w.seq = elements(m, sip.HRecordRoute), 0
	}
	if method == "INVITE" || method == "UPDATE" {
		w.contact(m)
	}
}

func (w *party) takeResponse(method string, m *sip.Message) {
	if status := m.Status(); status == 401 || status == 407 {
		w.challenge = m
	} else if status/100 == 2 {
		w.account.Accepted()
	}
	if v, ok := m.Header(sip.HRSeq); ok {
		w.rseq = string(v)
	}
	if method != "INVITE" && method != "UPDATE" {
		return
	}
	if method == "INVITE" && m.Status() >= 200 {
		w.final = m
	}
	if m.Status() > 100 && m.Status() < 300 {
		if method == "INVITE" {
			w.remoteTag = string(m.ToTag())
			w.routes = elements(m, sip.HRecordRoute)
			slices.Reverse(w.routes)
		}
		w.contact(m)
	}
}

func (w *party) contact(m *sip.Message) {
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

func (w *party) fresh(what string) string {
	w.made++
	return what + "-" + w.name + "-" + strconv.Itoa(w.made)
}

// send sends a message.
func (w *party) send(m *move) {
	w.player.t.Helper()
	var out []byte
	switch {
	case m.status > 0:
		out = w.response(m)
	case m.again:
		if out = w.sent[m.method]; m.merged {
			old, _ := sip.ParseVia(via(out))
			out = []byte(strings.Replace(string(out), string(old.Branch), w.fresh("z9hG4bK"), 1))
			w.remember(out)
		}
	default:
		out = w.request(m)
		w.sent[m.method] = out
	}
	if out == nil {
		w.player.failf("there is nothing to send")
		return
	}
	if err := w.write(out); err != nil {
		w.player.failf("send: %v", err)
	}
}

func via(b []byte) []byte {
	var m sip.Message
	_ = m.Parse(slices.Clone(b))
	v, _ := m.Header(sip.HVia)
	return v
}

// request builds a request: outside a dialog when it has a target, else in the party's dialog.
func (w *party) request(m *move) []byte {
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
		if uri = m.target; !strings.HasPrefix(uri, "sip") {
			uri = "sip:" + uri + "@" + w.player.world.Exchange.Addr().String()
		}
		w.routes, w.remote, w.remoteTag = nil, "<"+uri+">", ""
		w.local = "<sip:" + w.user + "@" + w.player.world.Exchange.Addr().String() + ">"
		if !m.auth {
			w.callID, w.localTag = w.fresh("call"), w.fresh("tag")
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
	protocol, parameter := w.transport()
	b.Via("SIP/2.0/" + protocol + " " + w.addr.String() + ";rport;branch=" + w.fresh("z9hG4bK"))
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
	case "INVITE", "UPDATE", "REGISTER", "SUBSCRIBE", "REFER":
		b.Add(sip.HContact, "<sip:", w.user, "@", w.addr.String(), parameter, ">")
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
func (w *party) remember(out []byte) *sip.Message {
	m := &sip.Message{}
	if err := m.Parse(slices.Clone(out)); err != nil {
		w.player.failf("INVITE: %v", err)
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

// authorize answers the last challenge.
func (w *party) authorize(b *sip.Builder, method, uri string) {
	from, to := sip.HWWWAuthenticate, sip.HAuthorization
	if w.challenge == nil {
		w.player.failf("there was no challenge")
		return
	}
	if w.challenge.Status() == 407 {
		from, to = sip.HProxyAuthenticate, sip.HProxyAuthorization
	}
	var challenges []digest.Challenge
	for i := range w.challenge.Len() {
		if _, value, id := w.challenge.At(i); id == from {
			if c, err := digest.ParseChallenge(value); err == nil {
				challenges = append(challenges, c)
			}
		}
	}
	if err := w.account.Challenged(challenges); err != nil {
		w.player.failf("challenge: %v", err)
		return
	}
	b.Add(to, string(w.account.Append(nil, method, uri)))
}

// response builds a response to the last request, or to the last one of a method.
func (w *party) response(m *move) []byte {
	req := w.last
	if m.method != "" {
		req = w.asked[m.method]
	}
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
	if m.status > 100 && m.status < 300 && string(req.MethodName()) != "BYE" {
		_, parameter := w.transport()
		b.Copy(req, sip.HRecordRoute)
		b.Add(sip.HContact, "<sip:", w.user, "@", w.addr.String(), parameter, ">")
	}
	if m.hasBody {
		b.Body(w.compose(m.body))
	}
	w.answered[key] = w.print(m, b)
	return w.answered[key]
}

// print finishes a message with the headers of the ladder in the place of its own.
func (w *party) print(m *move, b *sip.Builder) []byte {
	head, body, _ := strings.Cut(string(b.Append(nil)), "\r\n\r\n")
	lines := strings.Split(head, "\r\n")
	for _, h := range m.headers {
		if h.name == "URI" {
			method, _, _ := strings.Cut(lines[0], " ")
			lines[0] = method + " " + w.player.fill(h.value) + " SIP/2.0"
			continue
		}
		add := strings.HasPrefix(h.name, "+")
		name := strings.TrimPrefix(h.name, "+")
		at := slices.IndexFunc(lines, func(l string) bool {
			n, _, _ := strings.Cut(l, ":")
			return strings.EqualFold(n, name)
		})
		value := name + ": " + w.player.fill(h.value)
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
