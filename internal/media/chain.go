package media

import (
	"slices"
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
	stages  []Stage       // ears first
	out     Output        // nil: what the stages have left ends here
	control ControlOutput // out, when it wants RTCP
}

// newChain makes a chain that the given ears hear, too.
func newChain(out Output, stages []Stage, ears []Stage) *chain {
	all := slices.Clone(ears)
	for _, stage := range stages {
		if !isEar(stage) {
			all = append(all, stage)
		}
	}
	if out == nil {
		all = all[:len(ears)]
	}
	if out == nil && len(all) == 0 {
		return nil
	}
	c := &chain{stages: all, out: out}
	c.control, _ = out.(ControlOutput)
	return c
}

func isEar(s Stage) bool {
	_, ok := s.(*Ear)
	return ok
}

// ears are those stages of a chain, which may be nil, that hear whatever it is connected to.
func (c *chain) ears() []Stage {
	if c == nil {
		return nil
	}
	n := slices.IndexFunc(c.stages, func(s Stage) bool { return !isEar(s) })
	if n < 0 {
		n = len(c.stages)
	}
	return c.stages[:n]
}

func (c *chain) pass(ps []network.Packet) {
	for _, stage := range c.stages {
		if ps = stage.Pass(ps); len(ps) == 0 {
			return
		}
	}
	if c.out != nil {
		c.out.WritePackets(ps)
	}
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
	if c.out == nil {
		return b.String() + "nowhere"
	}
	b.WriteString(c.out.String())
	return b.String()
}

// Connect swaps the chain of the stream: from the next packet on, what the party sends passes the stages and ends in
// out. A nil out lets it end nowhere. Ears stay.
func (st *Stream) Connect(out Output, stages ...Stage) {
	st.connecting.Lock()
	old := st.chain.Load()
	st.chain.Store(newChain(out, stages, old.ears()))
	st.connecting.Unlock()
	if old == nil {
		return
	}
	if d, ok := old.out.(detacher); ok && old.out != out {
		d.detach()
	}
}

// tap changes who hears the stream beside its output.
func (st *Stream) tap(change func(ears []Stage) []Stage) {
	st.connecting.Lock()
	defer st.connecting.Unlock()
	old := st.chain.Load()
	ears := change(slices.Clone(old.ears()))
	if old == nil {
		old = new(chain)
	}
	st.chain.Store(newChain(old.out, old.stages, ears))
}
