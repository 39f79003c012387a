package network

import "net/netip"

// Outbox collects what is sent in answer to a batch of a shared port, so that it leaves with one system call. The one who
// handles the batch owns it, and sets it in the packets that it passes on; see Packet.
type Outbox struct {
	port   PacketWriter // as those know it who send
	socket PacketWriter // by which it leaves
	ps     [64]Packet
	n      int
}

// NewOutbox makes an outbox for those who send by port; what they send leaves by socket, one of the port's.
func NewOutbox(port, socket PacketWriter) *Outbox { return &Outbox{port: port, socket: socket} }

// Serves reports whether what is to be sent by w can go this way.
func (o *Outbox) Serves(w PacketWriter) bool { return o != nil && o.port == w }

// Add takes a datagram, which must stay as it is until Flush.
func (o *Outbox) Add(b []byte, to netip.AddrPort) {
	if o.n == len(o.ps) {
		o.Flush()
	}
	o.ps[o.n] = Packet{Data: b, Addr: to}
	o.n++
}

// Flush sends what was collected. What the system refuses is lost, as on any network.
func (o *Outbox) Flush() {
	if o.n == 0 {
		return
	}
	_, _ = o.socket.WriteBatch(o.ps[:o.n])
	clear(o.ps[:o.n])
	o.n = 0
}
