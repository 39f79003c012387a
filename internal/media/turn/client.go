package turn

import (
	"net"
	"net/netip"

	pion "github.com/pion/turn/v5"
)

// clients counts the permissions and channels of each client: Pion bounds neither.
type clients struct {
	guarded[map[netip.AddrPort]*holding]
}

// holding is what one client has.
type holding struct{ permissions, channels int }

func newClients() *clients {
	c := &clients{}
	c.v = map[netip.AddrPort]*holding{}
	return c
}

// events are the call-backs of Pion. authenticated hears of clients whose messages were signed well.
func (c *clients) events(authenticated func(netip.AddrPort)) pion.EventHandler {
	return pion.EventHandler{
		OnAuth: func(src, _ net.Addr, _, _, _, _ string, verdict bool) {
			if verdict {
				authenticated(addrPort(src))
			}
		},
		OnPermissionCreated: func(src, _ net.Addr, _, _, _ string, _ net.Addr, _ net.IP) { c.add(src, 1, 0) },
		OnPermissionDeleted: func(src, _ net.Addr, _, _, _ string, _ net.Addr, _ net.IP) { c.add(src, -1, 0) },
		OnChannelCreated:    func(src, _ net.Addr, _, _, _ string, _, _ net.Addr, _ uint16) { c.add(src, 0, 1) },
		OnChannelDeleted:    func(src, _ net.Addr, _, _, _ string, _, _ net.Addr, _ uint16) { c.add(src, 0, -1) },
	}
}

func (c *clients) add(src net.Addr, permissions, channels int) {
	key := addrPort(src)
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.v[key]
	if h == nil {
		h = &holding{}
		c.v[key] = h
	}
	h.permissions += permissions
	h.channels += channels
	if h.permissions <= 0 && h.channels <= 0 {
		delete(c.v, key)
	}
}

// busiest is the greater of the two numbers of a client.
func (c *clients) busiest(client netip.AddrPort) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if h := c.v[client]; h != nil {
		return max(h.permissions, h.channels)
	}
	return 0
}

// has reports whether a client has permissions, and so an allocation.
func (c *clients) has(client netip.AddrPort) bool { return c.busiest(client) > 0 }

func (c *clients) len() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.v)
}
