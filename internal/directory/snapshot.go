package directory

import (
	"iter"
	"net/netip"
)

// Snapshot is the directory at one moment. It never changes; objects it returns must not be changed either, and hold
// no secrets but the digest hashes of devices and the PINs of rooms: neither Credential.Sealed nor User.PasswordHash. To edit an object read
// it from the store.
type Snapshot struct {
	seq uint64

	tenants     tree[ID, *Tenant]
	tenantNames tree[named, *Tenant]
	domains     tree[named, *Tenant]
	sites       tree[named, *Site]
	sitesByID   tree[ID, *Site]
	subnets     tree[subnet, *Site]
	users       tree[named, *User]
	usersByID   tree[ID, *User]
	lines       tree[named, *Line]
	linesByID   tree[ID, *Line]
	accounts    tree[named, Account]
	sources     tree[source, Account]
	numbers     tree[named, *Number]
	numbersByID tree[ID, *Number]
	hops        tree[named, *NextHop]
	hopsByID    tree[ID, *NextHop]
	rooms       tree[named, *Room]
	roomNumbers tree[named, *Room]
	roomsByID   tree[ID, *Room]
}

// Account is a device with the line it belongs to.
type Account struct {
	Line   *Line
	Device *Device
}

// Seq grows with each snapshot of a Directory.
func (s *Snapshot) Seq() uint64 { return s.seq }

// Counts is the number of objects of each kind.
type Counts struct {
	Tenants, Sites, Users, Lines, Devices, Numbers, NextHops, Rooms int
}

// Counts tells how large the directory is.
func (s *Snapshot) Counts() Counts {
	return Counts{
		Tenants: s.tenants.size, Sites: s.sites.size, Users: s.users.size,
		Lines: s.lines.size, Devices: s.accounts.size, Numbers: s.numbers.size, NextHops: s.hops.size, Rooms: s.rooms.size,
	}
}

// Tenant returns the tenant, or nil.
func (s *Snapshot) Tenant(id ID) *Tenant {
	t, _ := s.tenants.get(id)
	return t
}

// TenantByName returns the tenant of that name, or nil.
func (s *Snapshot) TenantByName(name string) *Tenant {
	t, _ := lookup(s.tenantNames, key(ID{}, name))
	return t
}

// TenantByDomain returns the tenant that has the SIP domain, or nil. Case and a final dot do not matter
// (RFC 3261 §19.1.4: hosts are compared without case).
func (s *Snapshot) TenantByDomain(host string) *Tenant {
	t, _ := lookup(s.domains, key(ID{}, CanonicalDomain(host)))
	return t
}

// Site returns the tenant's site of that name, or nil.
func (s *Snapshot) Site(tenant ID, name string) *Site {
	v, _ := lookup(s.sites, key(tenant, name))
	return v
}

// SiteByID returns the site, or nil.
func (s *Snapshot) SiteByID(id ID) *Site {
	v, _ := s.sitesByID.get(id)
	return v
}

// SiteByAddress returns the tenant's site with the most specific subnet that holds addr, or nil.
func (s *Snapshot) SiteByAddress(tenant ID, addr netip.Addr) *Site {
	if !addr.IsValid() {
		return nil
	}
	whole, lowest, bits := addr.As16(), lowestBits(addr), uint8(128)
	for {
		k, _, ok := s.subnets.ceil(subnet{tenant, network{bits: bits}})
		if !ok || k.tenant != tenant || k.bits < lowest {
			return nil
		}
		if site, ok := s.subnets.get(subnet{tenant, within(whole, k.bits)}); ok {
			return site
		}
		if k.bits == 0 {
			return nil
		}
		bits = k.bits - 1
	}
}

// User returns the tenant's user of that name, or nil.
func (s *Snapshot) User(tenant ID, name string) *User {
	v, _ := lookup(s.users, key(tenant, name))
	return v
}

// UserByID returns the user, or nil.
func (s *Snapshot) UserByID(id ID) *User {
	v, _ := s.usersByID.get(id)
	return v
}

// Line returns the tenant's line with that number, or nil.
func (s *Snapshot) Line(tenant ID, number string) *Line {
	v, _ := lookup(s.lines, key(tenant, number))
	return v
}

// LineByID returns the line, or nil.
func (s *Snapshot) LineByID(id ID) *Line {
	v, _ := s.linesByID.get(id)
	return v
}

// Number returns the tenant's number, written as it was configured ("+982188776655"), or nil.
func (s *Snapshot) Number(tenant ID, number string) *Number {
	v, _ := lookup(s.numbers, key(tenant, number))
	return v
}

// NumberByID returns the number, or nil.
func (s *Snapshot) NumberByID(id ID) *Number {
	v, _ := s.numbersByID.get(id)
	return v
}

// NextHop returns the tenant's set of that name, or nil.
func (s *Snapshot) NextHop(tenant ID, name string) *NextHop {
	v, _ := lookup(s.hops, key(tenant, name))
	return v
}

// NextHopByID returns the set, or nil.
func (s *Snapshot) NextHopByID(id ID) *NextHop {
	v, _ := s.hopsByID.get(id)
	return v
}

// Room returns the tenant's room of that name, or nil.
func (s *Snapshot) Room(tenant ID, name string) *Room {
	v, _ := lookup(s.rooms, key(tenant, name))
	return v
}

// RoomByNumber returns the tenant's room that is dialled so, or nil.
func (s *Snapshot) RoomByNumber(tenant ID, number string) *Room {
	v, _ := lookup(s.roomNumbers, key(tenant, number))
	return v
}

// RoomByID returns the room, or nil.
func (s *Snapshot) RoomByID(id ID) *Room {
	v, _ := s.roomsByID.get(id)
	return v
}

// Device returns the tenant's device with that username.
func (s *Snapshot) Device(tenant ID, username string) (Account, bool) {
	return lookup(s.accounts, key(tenant, username))
}

// StaticDevice returns the device of all tenants that is known by the source address of a packet. The most specific
// network decides; among the devices of one network those of the given tenant (zero: none is preferred) go first, and
// among these the one whose username or line number is user, else the one that was made first.
func (s *Snapshot) StaticDevice(tenant ID, src netip.Addr, user string) (Account, bool) {
	if !src.IsValid() {
		return Account{}, false
	}
	whole, lowest, bits := src.As16(), lowestBits(src), uint8(128)
	for {
		k, _, ok := s.sources.ceil(source{network: network{bits: bits}})
		if !ok || k.bits < lowest {
			return Account{}, false
		}
		at := within(whole, k.bits)
		for _, t := range [...]ID{tenant, {}} {
			for _, name := range [...]string{user, ""} {
				found, account, ok := s.sources.ceil(source{network: at, name: name, tenant: t})
				if ok && found.network == at && found.name == name && (t.IsZero() || found.tenant == t) {
					return account, true
				}
			}
		}
		if k.bits == 0 {
			return Account{}, false
		}
		bits = k.bits - 1
	}
}

// Tenants yields the tenants by name, those after the given name ("" for all).
func (s *Snapshot) Tenants(after string) iter.Seq[*Tenant] {
	return page(s.tenantNames, ID{}, after)
}

// Sites yields the tenant's sites by name, those after the given name.
func (s *Snapshot) Sites(tenant ID, after string) iter.Seq[*Site] {
	return page(s.sites, tenant, after)
}

// Users yields the tenant's users by name, those after the given name.
func (s *Snapshot) Users(tenant ID, after string) iter.Seq[*User] {
	return page(s.users, tenant, after)
}

// Lines yields the tenant's lines by number (byte order), those after the given number.
func (s *Snapshot) Lines(tenant ID, after string) iter.Seq[*Line] {
	return page(s.lines, tenant, after)
}

// Numbers yields the tenant's numbers in byte order, those after the given number.
func (s *Snapshot) Numbers(tenant ID, after string) iter.Seq[*Number] {
	return page(s.numbers, tenant, after)
}

// NextHops yields the tenant's sets by name, those after the given name.
func (s *Snapshot) NextHops(tenant ID, after string) iter.Seq[*NextHop] {
	return page(s.hops, tenant, after)
}

// Rooms yields the tenant's rooms by name, those after the given name.
func (s *Snapshot) Rooms(tenant ID, after string) iter.Seq[*Room] {
	return page(s.rooms, tenant, after)
}

// AllNextHops yields the sets of all tenants, by tenant and name.
func (s *Snapshot) AllNextHops() iter.Seq[*NextHop] {
	return func(yield func(*NextHop) bool) {
		s.hops.ascend(named{}, func(_ named, v *NextHop) bool { return yield(v) })
	}
}

// page yields the entries of a tenant whose name is greater than after.
func page[V any](t tree[named, V], tenant ID, after string) iter.Seq[V] {
	return func(yield func(V) bool) {
		t.ascend(key(tenant, after), func(k named, v V) bool {
			if k.tenant != tenant {
				return false
			}
			return k.name == after && after != "" || yield(v)
		})
	}
}
