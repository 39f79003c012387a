package server

import (
	"net"
	"net/netip"
)

// hostAddrs are the addresses of this machine, loopback and link-local ones left out.
func hostAddrs() []netip.Addr {
	var out []netip.Addr
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil
	}
	for _, a := range list {
		if p, err := netip.ParsePrefix(a.String()); err == nil {
			if addr := p.Addr().Unmap(); !addr.IsLoopback() && !addr.IsLinkLocalUnicast() {
				out = append(out, addr)
			}
		}
	}
	return out
}

// isLocal tells whether an address is one of this host: packets to it leave from it.
func (s *Server) isLocal(a netip.Addr) bool {
	a = a.Unmap()
	if public, ok := s.public(); ok && public == a {
		return true
	}
	if a.IsUnspecified() {
		return false
	}
	local, err := s.options.Network.LocalAddrFor(a)
	return err == nil && local.Unmap() == a
}

// public is the configured public address, when it is one and not a name.
func (s *Server) public() (netip.Addr, bool) {
	if s.options.Config.SIP.Public == "auto" { // asked for each message
		return netip.Addr{}, false
	}
	a, err := netip.ParseAddr(s.options.Config.SIP.Public)
	return a.Unmap(), err == nil
}

// isOutside tells parties that cannot know the private addresses of this host.
func isOutside(remote netip.Addr) bool {
	return remote.IsValid() && !remote.IsPrivate() && !remote.IsLoopback() && !remote.IsLinkLocalUnicast()
}

// advertise is the host in Via and Contact for a party; "" is the local address.
func (s *Server) advertise(remote netip.Addr) string {
	if p := s.options.Config.SIP.Public; p != "" && p != "auto" && isOutside(remote) {
		return p
	}
	return ""
}

// advertiseMedia is the same for media, where only an address will do.
func (s *Server) advertiseMedia(peer netip.Addr) netip.Addr {
	if a, ok := s.public(); ok && isOutside(peer) && a.Is4() == peer.Unmap().Is4() {
		return a
	}
	return netip.Addr{}
}
