package laddertest

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"

	"dialtone/internal/digest"
	"dialtone/internal/network"
	"dialtone/internal/sip"
)

// party is a scripted user agent.
type party struct {
	player *Player
	name   string
	user   string
	addr   netip.AddrPort
	server netip.AddrPort     // where it sends to
	domain string             // of its address-of-record
	conn   network.PacketConn // or
	stream net.Conn
	done   chan struct{}

	mu    sync.Mutex
	inbox []*sip.Message
	news  chan struct{}

	dialogs   map[string]*dialogue
	made      int                       // dialogs and branches so far
	accounts  map[string]*digest.Client // by realm
	challenge *sip.Message              // that has not been answered yet
}

func newParty(p *Player, name string, place place) *party {
	return &party{player: p, name: name, user: place.user, addr: place.addr, server: place.server, domain: place.domain,
		news: make(chan struct{}, 1), dialogs: map[string]*dialogue{}, accounts: map[string]*digest.Client{}}
}

// dialogue is the one of a name, "" for that of whoever has but one.
func (w *party) dialogue(name string) *dialogue {
	d := w.dialogs[name]
	if d == nil {
		d = &dialogue{party: w, name: name, asked: map[string]*sip.Message{}, sent: map[string][]byte{}, answered: map[string][]byte{},
			invites: map[string]*sip.Message{}}
		w.dialogs[name] = d
	}
	return d
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
	stream, err := w.player.Host(w.name).Dial(context.Background(), w.server)
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
			w.take(packet.Data, packet.Addr)
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
			w.take(all[:total], w.server)
			all = all[total:]
		}
	}
}

// take puts what was read into the inbox.
func (w *party) take(b []byte, from netip.AddrPort) {
	var m sip.Message
	if err := m.Parse(slices.Clone(b)); err != nil {
		w.player.t.Errorf("%s cannot read: %v\n%s", w.name, err, b)
		return
	}
	m.Received = from
	w.mu.Lock()
	w.inbox = append(w.inbox, &m)
	w.mu.Unlock()
	select {
	case w.news <- struct{}{}:
	default:
	}
}

// write sends bytes.
func (w *party) write(b []byte, to netip.AddrPort) error {
	if w.conn != nil {
		return w.conn.WriteTo(b, to)
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

func (w *party) fresh(what string) string {
	w.made++
	return what + "-" + w.name + "-" + strconv.Itoa(w.made)
}
