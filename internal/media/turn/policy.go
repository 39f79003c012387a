package turn

import "net/netip"

// Policy says what clients may reach.
//
// RFC 8656 §21.1.6: a relay must not lead to the services of its own host, and its operator decides about the network
// behind. Deviation: no list can be configured. What is not globally reachable is never relayed to, so that nobody can
// forget to say so.
type Policy struct {
	// Local reports whether an address is one of this host; nil: none is known.
	Local func(netip.Addr) bool
	// Media reports whether an address and port are those of our own media, which may be reached whatever address this
	// host has. With port 0 it is asked whether the address has any such ports. nil: none.
	Media func(netip.AddrPort) bool
}

// allows reports whether datagrams may go to a peer, or come from it.
func (p Policy) allows(peer netip.AddrPort) bool {
	peer = netip.AddrPortFrom(plain(peer.Addr()), peer.Port())
	if !peer.IsValid() || peer.Port() == 0 {
		return false
	}
	return p.isMedia(peer) || p.isForeign(peer.Addr())
}

// allowsHost reports whether there is a port at an address that may be reached: permissions are for hosts.
func (p Policy) allowsHost(peer netip.Addr) bool {
	peer = plain(peer)
	return peer.IsValid() && (p.isMedia(netip.AddrPortFrom(peer, 0)) || p.isForeign(peer))
}

func (p Policy) isMedia(peer netip.AddrPort) bool {
	a := peer.Addr()
	return p.Media != nil && !a.IsMulticast() && !a.IsUnspecified() && p.Media(peer)
}

// isForeign reports whether an address belongs to somebody on the public network.
func (p Policy) isForeign(a netip.Addr) bool {
	return isReachable(a) && (p.Local == nil || !p.Local(a))
}

// plain undoes the disguise of an IPv4-mapped address and of a zone.
func plain(a netip.Addr) netip.Addr { return a.Unmap().WithZone("") }

// isReachable reports whether an address is a unicast one that the public network knows. Documentation networks count as
// public: nobody is there.
func isReachable(a netip.Addr) bool {
	if !a.IsValid() || !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	if a.Is4() {
		b := a.As4()
		switch {
		case b[0] == 0, b[0] == 127, b[0] >= 224: // this network, loopback, multicast, reserved and broadcast
			return false
		case b[0] == 100 && b[1]&0xc0 == 64: // RFC 6598: shared by carrier-grade NATs
			return false
		case b[0] == 192 && b[1] == 0 && b[2] == 0: // RFC 6890: protocol assignments
			return false
		case b[0] == 192 && b[1] == 88 && b[2] == 99: // RFC 7526: 6to4 relays
			return false
		case b[0] == 198 && b[1]&0xfe == 18: // RFC 2544: benchmarks
			return false
		}
		return true
	}
	// Of IPv6 only 2000::/3 is given out (RFC 4291 §2.4): that leaves out ::/96 and 64:ff9b::/96 with IPv4 addresses inside,
	// 100::/64, fec0::/10 and everything unknown.
	b := a.As16()
	switch {
	case b[0]&0xe0 != 0x20:
		return false
	case b[0] == 0x20 && b[1] == 0x02: // RFC 3056: 6to4, an IPv4 address inside
		return false
	case b[0] == 0x20 && b[1] == 0x01 && b[2] <= 0x01: // RFC 2928: 2001::/23, Teredo among it
		return false
	}
	return true
}
