package network

import (
	"net"
	"net/netip"
	"strconv"
	"sync"
)

// zones translates the zone of a link-local IPv6 address to the interface index that system calls want and back. It
// remembers what it saw: asking the system costs a netlink dump. An interface that is renamed keeps its old name here
// until the process ends.
type zones struct {
	names   sync.Map // uint32 -> string
	indexes sync.Map // string -> uint32
}

func (z *zones) name(index uint32) string {
	if v, ok := z.names.Load(index); ok {
		return v.(string)
	}
	name := strconv.FormatUint(uint64(index), 10)
	if i, err := net.InterfaceByIndex(int(index)); err == nil {
		name = i.Name
	}
	z.names.Store(index, name)
	return name
}

func (z *zones) index(name string) uint32 {
	if v, ok := z.indexes.Load(name); ok {
		return v.(uint32)
	}
	i, err := net.InterfaceByName(name)
	if err != nil {
		n, _ := strconv.ParseUint(name, 10, 32)
		return uint32(n) // not remembered: the interface may come up later
	}
	z.indexes.Store(name, uint32(i.Index))
	return uint32(i.Index)
}

// unmapped is the address as the rest of the program knows it: IPv4 is IPv4 whatever the socket's family.
func unmapped(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr().Unmap(), a.Port()) }

// addrPort is the address of a socket of the standard library.
func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.UDPAddr:
		return unmapped(a.AddrPort())
	case *net.TCPAddr:
		return unmapped(a.AddrPort())
	}
	return netip.AddrPort{}
}

// family names the network for the standard library so that "::" is dual-stack, "0.0.0.0" is IPv4 only and a
// specific IPv6 address is IPv6 only (RFC 3493 §5.3).
func family(proto string, a netip.Addr) string {
	switch {
	case a.Is4() || a.Is4In6():
		return proto + "4"
	case a.IsUnspecified():
		return proto
	}
	return proto + "6"
}
