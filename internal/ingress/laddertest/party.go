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

// forget throws away what has arrived.
func (w *party) forget() {
	w.mu.Lock()
	w.inbox = nil
	w.mu.Unlock()
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
