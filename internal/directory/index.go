package directory

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"net/netip"
	"strings"
)

// named is a key that is unique in a tenant, or, with the zero tenant, everywhere. Make it with key.
type named struct {
	tenant ID
	head   uint64 // the first bytes of name: decides most comparisons without going to where the name is kept
	name   string
}

func key(tenant ID, name string) named {
	var head [8]byte
	copy(head[:], name)
	return named{tenant, binary.BigEndian.Uint64(head[:]), name}
}

func (a named) Compare(b named) int { return compareNamed(&a, &b) }

// compareNamed orders by tenant, then by the bytes of the name.
func compareNamed(a, b *named) int {
	if a.tenant != b.tenant {
		return a.tenant.Compare(b.tenant)
	}
	switch {
	case a.head != b.head:
		return cmp.Compare(a.head, b.head)
	case a.name < b.name: // strings.Compare would move its arguments to the heap
		return -1
	case a.name > b.name:
		return 1
	}
	return 0
}

// network is a prefix in IPv6 form (IPv4 mapped, its length plus 96). Longer prefixes sort first.
type network struct {
	bits uint8
	addr [16]byte
}

func (a network) Compare(b network) int {
	if c := cmp.Compare(b.bits, a.bits); c != 0 {
		return c
	}
	return bytes.Compare(a.addr[:], b.addr[:])
}

const mappedBits = 96 // length of ::ffff:0:0/96

func networkOf(p netip.Prefix) network {
	bits := p.Bits()
	if p.Addr().Is4() {
		bits += mappedBits
	}
	return network{uint8(bits), p.Masked().Addr().As16()}
}

// within returns the network of that length an address (in IPv6 form) is in.
func within(addr [16]byte, bits uint8) network {
	whole := int(bits) / 8
	if rest := bits % 8; rest > 0 {
		addr[whole] &= 0xff << (8 - rest)
		whole++
	}
	clear(addr[whole:])
	return network{bits, addr}
}

// lowestBits is the length of the shortest prefix that may hold addr: an IPv4 address is in no IPv6 network.
func lowestBits(addr netip.Addr) uint8 {
	if addr.Is4() || addr.Is4In6() {
		return mappedBits
	}
	return 0
}

// source is a network that a static device sends from. Each device stands there three times: under its username, under
// its line's number, and under "" for the first of all.
type source struct {
	network
	name   string
	tenant ID
	device ID
}

func (a source) Compare(b source) int {
	if c := a.network.Compare(b.network); c != 0 {
		return c
	}
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	if c := a.tenant.Compare(b.tenant); c != 0 {
		return c
	}
	return a.device.Compare(b.device)
}

// subnet is a network of a tenant's site.
type subnet struct {
	tenant ID
	network
}

func (a subnet) Compare(b subnet) int {
	if c := a.tenant.Compare(b.tenant); c != 0 {
		return c
	}
	return a.network.Compare(b.network)
}
