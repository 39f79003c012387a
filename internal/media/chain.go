package media

import (
	"strings"

	"dialtone/internal/network"
)

// Output is the end of a chain: what becomes of the packets that a party sends.
type Output interface {
	// WritePackets takes RTP packets of the party, in the order in which they arrived and with their source checked.
	// It runs on a media worker and must not block; the packets are valid until it returns and may be changed in place.
	WritePackets(ps []network.Packet)
	// String names the output when the chain is printed.
	String() string
}

// ControlOutput is an Output that also wants the party's RTCP, under the same rules.
type ControlOutput interface {
	Output
	WriteControl(ps []network.Packet)
}

// Stage works on packets on their way through a chain: encryption, a recorder's tee, a change of payload type.
type Stage interface {
	// Pass works on the packets in place and returns those that go on. It runs on a media worker and must not block.
	Pass(ps []network.Packet) []network.Packet
	// String names the stage when the chain is printed.
	String() string
}

// detacher is an Output that must know when it is no longer the end of a chain. After detach has returned it
// passes nothing on.
type detacher interface{ detach() }

// chain is the immutable way of a stream's packets. It is swapped as a whole.
type chain struct {
	stages  []Stage
	out     Output
	control ControlOutput // out, when it wants RTCP
}

func newChain(out Output, stages []Stage) *chain {
	if out == nil {
		return nil
	}
	c := &chain{stages: stages, out: out}
	c.control, _ = out.(ControlOutput)
	return c
}

func (c *chain) pass(ps []network.Packet) {
	for _, stage := range c.stages {
		if ps = stage.Pass(ps); len(ps) == 0 {
			return
		}
	}
	c.out.WritePackets(ps)
}

func (c *chain) String() string {
	if c == nil {
		return "nowhere"
	}
	var b strings.Builder
	for _, stage := range c.stages {
		b.WriteString(stage.String())
		b.WriteString(" -> ")
	}
	b.WriteString(c.out.String())
	return b.String()
}

// Connect swaps the chain of the stream: from the next packet on, what the party sends passes the stages and ends in
// out. A nil out lets it end nowhere.
func (st *Stream) Connect(out Output, stages ...Stage) {
	old := st.chain.Swap(newChain(out, stages))
	if old == nil {
		return
	}
	if d, ok := old.out.(detacher); ok && old.out != out {
		d.detach()
	}
}

// relay sends what one party says to another, byte for byte.
type relay struct{ to *Stream }

func (r relay) WritePackets(ps []network.Packet) { r.to.send(ps) }
func (r relay) WriteControl(ps []network.Packet) {
	r.to.passedReports(ps)
	r.to.sendControl(ps)
}

func (r relay) String() string { return "relay " + r.to.local().String() }

// Bridge connects two sessions: what the party of one says, the party of the other hears, stream by stream in the
// order of the m-lines. Streams that are opened later (by a re-INVITE) join by themselves. A session that was
// bridged with a third one leaves it. What is being played goes on: stop it before.
func Bridge(a, b *Session) {
	if a.bridged == b && b.bridged == a {
		a.link()
		return
	}
	a.unbridge()
	b.unbridge()
	a.bridged, b.bridged = b, a
	a.link()
}

// Unbridge undoes Bridge; packets of both parties end nowhere until their streams are connected again.
func Unbridge(a, b *Session) {
	if a.bridged == b {
		a.unbridge()
	}
}

func (s *Session) unbridge() {
	other := s.bridged
	if other == nil {
		return
	}
	s.bridged, other.bridged = nil, nil
	s.unlink()
	other.unlink()
}

func (s *Session) unlink() {
	for _, st := range s.Streams() {
		if c := st.chain.Load(); c != nil {
			if _, ok := c.out.(relay); ok {
				st.Connect(nil)
			}
		}
	}
}

// link connects the streams that both bridged sessions have.
func (s *Session) link() {
	other := s.bridged
	if other == nil {
		return
	}
	for _, st := range s.Streams() {
		far := other.stream(st.index)
		if far == nil {
			continue
		}
		st.join(far)
		far.join(st)
	}
}

// join relays st to far, unless it does so already: a chain with stages stays as it is.
func (st *Stream) join(far *Stream) {
	if c := st.chain.Load(); c != nil {
		if r, ok := c.out.(relay); ok && r.to == far {
			return
		}
	}
	far.feeder.Store(st)
	st.Connect(relay{far})
}
