package media

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
	"dialtone/internal/sdp"
)

var (
	exchange4 = netip.MustParseAddr("192.0.2.10")
	exchange6 = netip.MustParseAddr("2001:db8::10")
	alice     = netip.MustParseAddr("198.51.100.1")
	bob       = netip.MustParseAddr("198.51.100.2")
	bob6      = netip.MustParseAddr("2001:db8::2")
	mallory   = netip.MustParseAddr("203.0.113.66")
)

// lab is a network in virtual time with an engine on it.
type lab struct {
	t    *testing.T
	net  *network.Memory
	host *network.Host
	e    *Engine

	config Config // of e
}

// inLab runs a test on a network of its own.
func inLab(t *testing.T, f func(t *testing.T, l *lab)) {
	t.Helper()
	inLabWith(t, netip.AddrPort{}, f)
}

// inBothLabs runs a test with ports of its own for every stream, and with one that all share.
func inBothLabs(t *testing.T, f func(t *testing.T, l *lab)) {
	t.Helper()
	t.Run("own ports", func(t *testing.T) { inLab(t, f) })
	t.Run("shared port", func(t *testing.T) { inLabWith(t, netip.AddrPortFrom(netip.IPv6Unspecified(), 9998), f) })
}

func inLabWith(t *testing.T, shared netip.AddrPort, f func(t *testing.T, l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		m := network.NewMemory(network.MemoryConfig{Test: t})
		l := &lab{t: t, net: m, host: m.Host(exchange4, exchange6)}
		l.config = Config{Network: l.host, Workers: 1, Ports: PortRange{10000, 10099}, Shared: shared}
		e, err := New(l.config)
		if err != nil {
			t.Fatal(err)
		}
		l.e = e
		t.Cleanup(func() {
			if err := e.Close(); err != nil {
				t.Error(err)
			}
		})
		f(t, l)
	})
}

// pairs is how many pairs of ports are in use for that many streams.
func (l *lab) pairs(streams int) int {
	if l.config.Shared.IsValid() {
		return 0
	}
	return streams
}

// wait lets virtual time pass, and all that is to happen in it happen.
func wait(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// phone is a party: a host with a socket for RTP and one for RTCP, that notes what arrives.
type phone struct {
	l    *lab
	host *network.Host
	rtp  network.PacketConn
	rtcp network.PacketConn

	mu      sync.Mutex
	media   []network.Packet
	control []network.Packet
}

func (l *lab) phone(addr netip.Addr, port uint16) *phone {
	return l.phoneOn(l.net.Host(addr), port)
}

func (l *lab) phoneOn(host *network.Host, port uint16) *phone {
	p := &phone{l: l, host: host}
	p.rtp = p.listen(port, &p.media)
	p.rtcp = p.listen(port+1, &p.control)
	return p
}

func (p *phone) listen(port uint16, into *[]network.Packet) network.PacketConn {
	p.l.t.Helper()
	c, err := p.host.ListenPacket(netip.AddrPortFrom(p.host.Addr(), port), false)
	if err != nil {
		p.l.t.Fatal(err)
	}
	p.l.t.Cleanup(func() { c.Close() })
	go func() {
		ps := []network.Packet{{Data: make([]byte, 2048)}}
		for {
			ps[0].Data = ps[0].Data[:2048]
			if _, err := c.ReadBatch(ps); err != nil {
				return
			}
			p.mu.Lock()
			*into = append(*into, network.Packet{Data: append([]byte(nil), ps[0].Data...), Addr: ps[0].Addr})
			p.mu.Unlock()
		}
	}()
	return c
}

// heard returns what has arrived and forgets it.
func (p *phone) heard() (media, control []network.Packet) {
	p.mu.Lock()
	defer p.mu.Unlock()
	media, control = p.media, p.control
	p.media, p.control = nil, nil
	return media, control
}

// address is where the phone takes RTP.
func (p *phone) address() netip.AddrPort { return p.rtp.LocalAddr() }

// number is the RTP port as text.
func (p *phone) number() string { return strconv.Itoa(int(p.address().Port())) }

// describe is the phone's description.
func (p *phone) describe(attributes ...string) *sdp.Description {
	return describeAt(p.l.t, p.address(), 1, attributes...)
}

func describeAt(t testing.TB, at netip.AddrPort, version int, attributes ...string) *sdp.Description {
	t.Helper()
	family := "IP4"
	if at.Addr().Is6() {
		family = "IP6"
	}
	text := fmt.Sprintf("v=0\r\no=phone 77 %d IN %s %s\r\ns=-\r\nc=IN %s %s\r\nt=0 0\r\n"+
		"m=audio %d RTP/AVP 0 8 101\r\na=rtpmap:101 telephone-event/8000\r\n",
		version, family, at.Addr(), family, at.Addr(), at.Port())
	for _, a := range attributes {
		text += "a=" + a + "\r\n"
	}
	return parse(t, text)
}

func parse(t testing.TB, text string) *sdp.Description {
	t.Helper()
	d, err := sdp.Parse([]byte(strings.ReplaceAll(strings.ReplaceAll(text, "\r\n", "\n"), "\n", "\r\n")))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// packet is an RTP packet whose payload tells it from all others.
func packet(ssrc uint32, seq uint16) []byte {
	payload := make([]byte, 160)
	binary.BigEndian.PutUint32(payload, ssrc)
	binary.BigEndian.PutUint16(payload[4:], seq)
	p := rtp.Packet{SSRC: ssrc, Sequence: seq, Timestamp: uint32(seq) * 160, Payload: payload}
	return p.Append(nil)
}

// talk sends n packets, 20 ms apart.
func (p *phone) talk(to netip.AddrPort, ssrc uint32, first uint16, n int) [][]byte {
	var sent [][]byte
	for i := range n {
		b := packet(ssrc, first+uint16(i))
		p.send(b, to)
		sent = append(sent, b)
		<-time.After(20 * time.Millisecond)
	}
	return sent
}

func (p *phone) send(b []byte, to netip.AddrPort) {
	p.l.t.Helper()
	if err := p.rtp.WriteTo(b, to); err != nil {
		p.l.t.Error(err)
	}
}

// leg is a session with its phone, and what the phone was told.
type leg struct {
	*phone
	s    *Session
	told *sdp.Description
	to   netip.AddrPort // our RTP address for the phone

	offered bool // told is an offer that the phone has not answered yet
}

func (l *lab) session(c SessionConfig) *Session {
	l.t.Helper()
	s, err := l.e.NewSession(c)
	if err != nil {
		l.t.Fatal(err)
	}
	return s
}

// tell turns the other party's description into ours for the leg: the answer to the phone's offer, else an offer.
func (g *leg) tell(theirs *sdp.Description) {
	g.l.t.Helper()
	write := g.s.Offer
	if g.offered = !g.s.asked; g.s.asked {
		write = g.s.Answer
	}
	told, err := write(theirs)
	if err != nil {
		g.l.t.Fatal(err)
	}
	g.told = told
	g.to = told.Address(0)
}

func (g *leg) says(own *sdp.Description, signalling netip.Addr) {
	g.l.t.Helper()
	take := g.s.RemoteOffer
	if g.offered {
		take = g.s.RemoteAnswer
	}
	g.offered = false
	if err := take(own, signalling); err != nil {
		g.l.t.Fatal(err)
	}
}

// call sets up a bridged call: offer from a, answer from b.
func (l *lab) call(a, b *phone, offer, answer *sdp.Description) (*leg, *leg) {
	l.t.Helper()
	x := &leg{phone: a, s: l.session(SessionConfig{Peer: a.host.Addr()})}
	y := &leg{phone: b, s: l.session(SessionConfig{Peer: b.host.Addr()})}
	x.says(offer, a.host.Addr())
	y.tell(offer)
	y.says(answer, b.host.Addr())
	x.tell(answer)
	Bridge(x.s, y.s)
	return x, y
}

// above is the RTCP address of an RTP address.
func above(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), a.Port()+1) }

// answered is the answer that the session's party gets to its offer.
func answered(t *testing.T, s *Session, from netip.AddrPort) *sdp.Description {
	t.Helper()
	d, err := s.Answer(describeAt(t, from, 1))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// localized is an audio offer for the session's party.
func localized(t *testing.T, s *Session, from netip.AddrPort) *sdp.Description {
	t.Helper()
	d, err := s.Offer(describeAt(t, from, 1))
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func payloads(ps []network.Packet) [][]byte {
	list := make([][]byte, len(ps))
	for i := range ps {
		list[i] = ps[i].Data
	}
	return list
}
