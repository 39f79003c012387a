package turn

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"dialtone/internal/network"
)

const (
	// datagramBytes is the longest datagram that is relayed; Pion's own buffer has as many.
	datagramBytes = 1600

	listenBatch = 32 // datagrams that one call of the system reads at most
	relayBatch  = 8
)

// packetConn makes a net.PacketConn of a PacketConn of network. One reader at a time.
type packetConn struct {
	conn  network.PacketConn
	batch []network.Packet
	next  int // of those that were read
	have  int
	last  *net.UDPAddr // what netAddr gave last; never changed, Pion keeps it
	key   netip.AddrPort
}

func newPacketConn(c network.PacketConn, batch int) *packetConn {
	p := &packetConn{conn: c, batch: make([]network.Packet, batch)}
	room := make([]byte, batch*datagramBytes)
	for i := range p.batch {
		p.batch[i].Data = room[i*datagramBytes : (i+1)*datagramBytes : (i+1)*datagramBytes]
	}
	return p
}

// read gives the next datagram. One that is as long as its room may have been cut, and is left out.
func (p *packetConn) read(b []byte) (int, netip.AddrPort, error) {
	for {
		for p.next < p.have {
			x := &p.batch[p.next]
			p.next++
			if len(x.Data) < datagramBytes && len(x.Data) <= len(b) {
				return copy(b, x.Data), x.Addr, nil
			}
		}
		for i := range p.batch {
			p.batch[i].Data = p.batch[i].Data[:datagramBytes]
		}
		n, err := p.conn.ReadBatch(p.batch)
		if err != nil {
			return 0, netip.AddrPort{}, err
		}
		p.next, p.have = 0, n
	}
}

// netAddr is an address as Pion wants it; the one of the last call is made once.
func (p *packetConn) netAddr(a netip.AddrPort) *net.UDPAddr {
	if p.last == nil || p.key != a {
		p.key, p.last = a, net.UDPAddrFromAddrPort(a)
	}
	return p.last
}

// LocalAddr implements net.PacketConn.
func (p *packetConn) LocalAddr() net.Addr { return net.UDPAddrFromAddrPort(p.conn.LocalAddr()) }

// Close implements net.PacketConn.
func (p *packetConn) Close() error { return p.conn.Close() }

// SetDeadline implements net.PacketConn; nobody here has one.
func (p *packetConn) SetDeadline(time.Time) error { return errUnsupported }

// SetReadDeadline implements net.PacketConn.
func (p *packetConn) SetReadDeadline(time.Time) error { return errUnsupported }

// SetWriteDeadline implements net.PacketConn.
func (p *packetConn) SetWriteDeadline(time.Time) error { return errUnsupported }

// packetListener is where datagrams of clients arrive.
type packetListener struct {
	*packetConn
	s     *Server
	local *net.UDPAddr
}

func newPacketListener(s *Server, c network.PacketConn) *packetListener {
	return &packetListener{newPacketConn(c, listenBatch), s, net.UDPAddrFromAddrPort(c.LocalAddr())}
}

// LocalAddr implements net.PacketConn: Pion asks for each message.
func (p *packetListener) LocalAddr() net.Addr { return p.local }

// ReadFrom waits for a message that is worth Pion's time.
func (p *packetListener) ReadFrom(b []byte) (int, net.Addr, error) {
	for {
		n, from, err := p.read(b)
		if err != nil {
			return 0, nil, err
		}
		if p.s.admits(b[:n], from) {
			return n, p.netAddr(from), nil
		}
	}
}

// WriteTo implements net.PacketConn.
func (p *packetListener) WriteTo(b []byte, to net.Addr) (int, error) {
	if err := p.conn.WriteTo(b, addrPort(to)); err != nil {
		return 0, err
	}
	return len(b), nil
}

// The first bytes of what arrives.
//
//	 0                   1                   2                   3
//	+-+-+-----------------------------+-------------------------------+
//	|0|0| method and class            | length, without 20 of header  |   STUN, RFC 8489 §5
//	+-+-+-----------------------------+-------------------------------+
//	| magic cookie 0x2112A442                                         |
//	+-----------------------------------------------------------------+
//
//	+-+-+-----------------------------+-------------------------------+
//	|0|1| channel 0x4000 to 0x4FFF    | length, without 4 of header   |   channel data, RFC 8656 §12.4
//	+-+-+-----------------------------+-------------------------------+
const (
	stunHeader    = 20
	channelHeader = 4
	magicCookie   = 0x2112A442
	sendType      = 0x0016 // Send indication
)

// frameLength is how long the frame is that begins with head, padding left out; false: that is no frame. head has at
// least four bytes; the cookie is looked at as soon as it is there.
func frameLength(head []byte) (int, bool) {
	kind, length := binary.BigEndian.Uint16(head), int(binary.BigEndian.Uint16(head[2:]))
	switch kind >> 14 {
	case 0:
		// RFC 8489 §5: the last two bits of the length are always zero.
		if length%4 != 0 || len(head) >= 8 && binary.BigEndian.Uint32(head[4:]) != magicCookie {
			return 0, false
		}
		return stunHeader + length, true
	case 1:
		return channelHeader + length, true
	}
	return 0, false
}

// admits reports whether a message may pass to Pion: whether it is one, and inside the budget of its source. Data has a
// budget of its own, that of the allocation.
func (s *Server) admits(b []byte, from netip.AddrPort) bool {
	if len(b) < channelHeader {
		s.refuse(reasonFrame)
		return false
	}
	length, ok := frameLength(b)
	if !ok || len(b) < length {
		s.refuse(reasonFrame)
		return false
	}
	kind := binary.BigEndian.Uint16(b)
	if kind>>14 == 1 || kind == sendType {
		if !s.clients.has(from) {
			s.refuse(reasonFrame)
			return false
		}
		return true
	}
	if !s.sources.admit(from.Addr(), time.Now()) {
		s.refuse(reasonRate)
		return false
	}
	return true
}
