package config

import (
	"fmt"
	"net/netip"
	"slices"
	"time"
)

// TURN is the [turn] section; no listener means that the server is off.
type TURN struct {
	Listen []TURNListener `toml:"listen"`
	// Realm of the credentials; "" is the first of sip.domains, else the name of the node.
	Realm    string    `toml:"realm"`
	Ports    PortRange `toml:"ports"`    // of relays, one for each allocation; apart from those of [rtp]
	Lifetime Duration  `toml:"lifetime"` // of credentials
}

// TURNListener is a place where STUN and TURN arrive, written "udp://0.0.0.0:3478".
type TURNListener struct {
	Transport string // "udp", "tcp" or "tls"
	Addr      netip.AddrPort
}

// UnmarshalText reads a listener URL.
func (l *TURNListener) UnmarshalText(text []byte) error {
	u, _, err := splitURL(string(text))
	if err != nil {
		return err
	}
	v := TURNListener{Transport: u.Scheme}
	var defaultPort uint16
	switch u.Scheme { // RFC 8656 §4
	case "udp", "tcp":
		defaultPort = 3478
	case "tls":
		defaultPort = 5349
	default:
		return fmt.Errorf("%q: the transport is none of udp, tcp, tls", text)
	}
	if v.Addr, err = address(u, defaultPort); err != nil {
		return err
	}
	*l = v
	return nil
}

// String writes the listener as the file does.
func (l TURNListener) String() string { return l.Transport + "://" + l.Addr.String() }

// collides tells whether two listeners want the same socket.
func (l TURNListener) collides(o TURNListener) bool {
	return l.Addr == o.Addr && l.Addr.Port() != 0 && (l.Transport == "udp") == (o.Transport == "udp")
}

// check holds the section to what can be; rtp are the ports of media.
func (c *TURN) check(rtp PortRange, fault func(key, format string, args ...any)) {
	for i, l := range c.Listen {
		if slices.ContainsFunc(c.Listen[:i], func(o TURNListener) bool { return o.collides(l) }) {
			fault("turn.listen", "%s is taken twice", l)
		}
		if l.Addr.Port() != 0 && l.Transport == "udp" && (c.Ports.holds(l.Addr.Port()) || rtp.holds(l.Addr.Port())) {
			fault("turn.listen", "%s lies in the ports of relays or media", l)
		}
	}
	if len(c.Realm) > 127 { // RFC 8489 §14.9
		fault("turn.realm", "is longer than 127 bytes")
	}
	// A relay must not be taken for our media, nor take its ports away. It does not matter where there are no relays.
	if len(c.Listen) > 0 && c.Ports.First <= rtp.Last && rtp.First <= c.Ports.Last {
		fault("turn.ports", "%s and rtp.ports, %s, overlap", c.Ports, rtp)
	}
	if d := c.Lifetime.Duration; d < time.Minute || d > 7*24*time.Hour {
		fault("turn.lifetime", "%s is not between 1m0s and 168h0m0s", c.Lifetime)
	}
}

// holds tells whether a port is one of the range.
func (p PortRange) holds(port uint16) bool { return p.First <= port && port <= p.Last }
