package media

import (
	"net/netip"
	"testing"

	"dialtone/internal/network"
	"dialtone/internal/rtp"
)

// Whatever arrives from whomever: nothing falls over, a stranger changes neither where packets go nor any count but
// that of strangers, and what is relayed is what was sent.
func FuzzPackets(f *testing.F) {
	f.Add(packet(1, 1), true, false)
	f.Add(senderReport(1, 2, rtp.ReportBlock{SSRC: 3, LSR: 4}), true, true)
	f.Add([]byte{0, 1, 0, 0}, false, false)
	f.Add([]byte{0x80, 101, 0, 1, 0, 0, 0, 1, 0, 0, 0, 1, 5, 0x80, 1, 0}, true, false)
	f.Add([]byte{}, false, true)
	v, _, a, _ := voidCall(f)
	st := a.Streams()[0]
	f.Fuzz(func(t *testing.T, data []byte, ours, control bool) {
		from, p := netip.AddrPortFrom(mallory, 1), st.rtp
		if control {
			p = st.control
		}
		if ours {
			from = netip.AddrPortFrom(alice, 4000)
		}
		before, sent, target := a.counters(), v.sent.Load(), *st.rtp.target.Load()
		p.HandlePackets(nil, []network.Packet{{Data: data, Addr: from}})
		after := a.counters()
		if !ours {
			if v.sent.Load() != sent || after.PacketsIn != before.PacketsIn || after.ControlIn != before.ControlIn {
				t.Errorf("a stranger's packet got through: %x", data)
			}
			if *st.rtp.target.Load() != target {
				t.Errorf("a stranger has moved the target to %v", *st.rtp.target.Load())
			}
			if after.Foreign+after.Malformed != before.Foreign+before.Malformed+1 {
				t.Errorf("a stranger's packet was not counted: %x", data)
			}
		}
		if out := v.sent.Load() - sent; out > 1 || uint64(out) != after.PacketsIn+after.ControlIn-before.PacketsIn-before.ControlIn {
			t.Errorf("%d packets out for one in", out)
		}
		_ = a.Stats()
	})
}
