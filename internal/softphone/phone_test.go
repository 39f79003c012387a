package softphone

import (
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/cause"
	"dialtone/internal/network"
)

// desk is two phones on a network of their own; the first calls the second without a server between them.
type desk struct {
	net    *network.Memory
	caller *Phone
	callee *Phone
	events []Event // of the callee
}

// newDesk opens both phones.
func newDesk(t *testing.T, answer func(Incoming) Decision) *desk {
	t.Helper()
	d := &desk{net: network.NewMemory(network.MemoryConfig{Seed: 1, Test: t})}
	d.callee = d.phone(t, "192.0.2.2", Config{Server: "192.0.2.1", User: "102", Answer: answer})
	d.caller = d.phone(t, "192.0.2.1", Config{Server: d.callee.Addr(), User: "101", Name: "Sara \"S\""})
	return d
}

// phone opens a phone on a host of its own and closes it with the test.
func (d *desk) phone(t *testing.T, addr string, c Config) *Phone {
	t.Helper()
	c.Network = d.net.Host(netip.MustParseAddr(addr))
	p, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Open(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

func TestCallWithoutServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var far Incoming
		d := newDesk(t, func(in Incoming) Decision {
			far = in
			return Decision{Ring: 2 * time.Second, Talk: Talk{Hz: 1000}}
		})
		o, err := d.caller.Call(t.Context(), "102", Talk{Duration: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		if o.Cause.SIP != 200 || o.Cause.Party != cause.Caller || !slices.Equal(o.TonesHz, []int{1000}) {
			t.Errorf("caller: %v, heard %v", o.Cause, o.TonesHz)
		}
		if talk, ring := o.Talk(), o.Answer.Sub(o.Ring); talk != 3*time.Second || ring < 2*time.Second || ring > 2100*time.Millisecond {
			t.Errorf("talked %v after ringing %v", talk, ring)
		}
		if m := o.Media; m.Codec != "PCMA" || m.PacketsIn < 145 || m.Lost != 0 || m.MOSIn < 4.3 {
			t.Errorf("media %+v", m)
		}
		if far.From != "101" || far.Name != `Sara "S"` {
			t.Errorf("shown to the callee: %+v", far)
		}
	})
}
