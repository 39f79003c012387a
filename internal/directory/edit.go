package directory

import (
	"slices"
	"unique"
)

// next returns the snapshot after the changes. What was there before is found by ID, so that Change.Before need not
// be exact; a change that was seen already does no harm.
func (s *Snapshot) next(changes []Change) *Snapshot {
	n := *s
	n.seq++
	for _, c := range changes {
		o := c.Object()
		if o == nil {
			continue
		}
		n.drop(o)
		if c.After != nil {
			n.add(c.After)
		}
	}
	return &n
}

// drop removes the object with the ID of o from all indexes.
func (s *Snapshot) drop(o Object) {
	id := o.Head().ID
	switch o.ObjectKind() {
	case KindTenant:
		if old, ok := s.tenants.get(id); ok {
			s.dropTenant(old)
		}
	case KindSite:
		if old, ok := s.sitesByID.get(id); ok {
			s.dropSite(old)
		}
	case KindUser:
		if old, ok := s.usersByID.get(id); ok {
			s.usersByID = s.usersByID.remove(id)
			s.users = removeOwn(s.users, key(old.Tenant, old.Name), func(u *User) bool { return u.ID == id })
		}
	case KindLine:
		if old, ok := s.linesByID.get(id); ok {
			s.dropLine(old)
		}
	case KindNumber:
		if old, ok := s.numbersByID.get(id); ok {
			s.numbersByID = s.numbersByID.remove(id)
			s.numbers = removeOwn(s.numbers, key(old.Tenant, old.Number), func(n *Number) bool { return n.ID == id })
		}
	case KindNextHop:
		if old, ok := s.hopsByID.get(id); ok {
			s.hopsByID = s.hopsByID.remove(id)
			s.hops = removeOwn(s.hops, key(old.Tenant, old.Name), func(n *NextHop) bool { return n.ID == id })
		}
	case KindRoom:
		if old, ok := s.roomsByID.get(id); ok {
			own := func(r *Room) bool { return r.ID == id }
			s.roomsByID = s.roomsByID.remove(id)
			s.rooms = removeOwn(s.rooms, key(old.Tenant, old.Name), own)
			s.roomNumbers = removeOwn(s.roomNumbers, key(old.Tenant, old.Number), own)
		}
	}
}

// removeOwn removes a key unless, within the same group of changes, another object has taken it.
func removeOwn[K sortable[K], V any](t tree[K, V], k K, own func(V) bool) tree[K, V] {
	if v, ok := t.get(k); ok && own(v) {
		return t.remove(k)
	}
	return t
}

func (s *Snapshot) dropTenant(old *Tenant) {
	own := func(t *Tenant) bool { return t.ID == old.ID }
	s.tenants = s.tenants.remove(old.ID)
	s.tenantNames = removeOwn(s.tenantNames, key(ID{}, old.Name), own)
	for _, d := range old.Domains {
		s.domains = removeOwn(s.domains, key(ID{}, d), own)
	}
}

func (s *Snapshot) dropSite(old *Site) {
	own := func(v *Site) bool { return v.ID == old.ID }
	s.sitesByID = s.sitesByID.remove(old.ID)
	s.sites = removeOwn(s.sites, key(old.Tenant, old.Name), own)
	for _, p := range old.Subnets {
		s.subnets = removeOwn(s.subnets, subnet{old.Tenant, networkOf(p)}, own)
	}
}

func (s *Snapshot) dropLine(old *Line) {
	s.linesByID = s.linesByID.remove(old.ID)
	s.lines = removeOwn(s.lines, key(old.Tenant, old.Number), func(l *Line) bool { return l.ID == old.ID })
	own := func(a Account) bool { return a.Line.ID == old.ID }
	for i := range old.Devices {
		d := &old.Devices[i]
		s.accounts = removeOwn(s.accounts, key(old.Tenant, d.Username), own)
		for k := range sources(old, d) {
			s.sources = s.sources.remove(k)
		}
	}
}

// add puts a copy of o, without what a snapshot does not hold, into all indexes.
func (s *Snapshot) add(o Object) {
	switch o := o.(type) {
	case *Tenant:
		t := copyTenant(o)
		s.tenants = s.tenants.put(t.ID, t)
		s.tenantNames = s.tenantNames.put(key(ID{}, t.Name), t)
		for _, d := range t.Domains {
			s.domains = s.domains.put(key(ID{}, d), t)
		}
	case *Site:
		v := copySite(o)
		s.sitesByID = s.sitesByID.put(v.ID, v)
		s.sites = s.sites.put(key(v.Tenant, v.Name), v)
		for _, p := range v.Subnets {
			s.subnets = s.subnets.put(subnet{v.Tenant, networkOf(p)}, v)
		}
	case *User:
		u := copyUser(o)
		s.usersByID = s.usersByID.put(u.ID, u)
		s.users = s.users.put(key(u.Tenant, u.Name), u)
	case *Line:
		l := copyLine(o)
		s.linesByID = s.linesByID.put(l.ID, l)
		s.lines = s.lines.put(key(l.Tenant, l.Number), l)
		for i := range l.Devices {
			account := Account{l, &l.Devices[i]}
			s.accounts = s.accounts.put(key(l.Tenant, l.Devices[i].Username), account)
			for k := range sources(l, account.Device) {
				s.sources = s.sources.put(k, account)
			}
		}
	case *Number:
		v := copyNumber(o)
		s.numbersByID = s.numbersByID.put(v.ID, v)
		s.numbers = s.numbers.put(key(v.Tenant, v.Number), v)
	case *NextHop:
		v := copyNextHop(o)
		s.hopsByID = s.hopsByID.put(v.ID, v)
		s.hops = s.hops.put(key(v.Tenant, v.Name), v)
	case *Room:
		v := copyRoom(o)
		s.roomsByID = s.roomsByID.put(v.ID, v)
		s.rooms = s.rooms.put(key(v.Tenant, v.Name), v)
		s.roomNumbers = s.roomNumbers.put(key(v.Tenant, v.Number), v)
	}
}

// sources yields the keys a static device is found under.
func sources(l *Line, d *Device) func(yield func(source) bool) {
	return func(yield func(source) bool) {
		if !d.Static() {
			return
		}
		for _, p := range d.From {
			k := source{network: networkOf(p), tenant: l.Tenant, device: d.ID}
			for _, name := range [...]string{"", d.Username, l.Number} {
				k.name = name
				if !yield(k) {
					return
				}
			}
		}
	}
}

func copyTenant(o *Tenant) *Tenant {
	t := *o
	t.Domains = slices.Clone(o.Domains)
	return &t
}

func copySite(o *Site) *Site {
	v := *o
	v.Subnets = slices.Clone(o.Subnets)
	return &v
}

func copyUser(o *User) *User {
	u := *o
	u.PasswordHash = ""
	u.Role, u.Language = intern(o.Role), intern(o.Language)
	return &u
}

func copyNumber(o *Number) *Number {
	n := *o
	n.Kind, n.Language = intern(o.Kind), intern(o.Language)
	return &n
}

// usualLine is a line with what most lines have, one device with one password, in one piece: a request that looks for
// the device finds all of it side by side, and the garbage collector has one object to mark instead of three.
type usualLine struct {
	line        Line
	devices     [1]Device
	credentials [1]Credential
}

func copyNextHop(o *NextHop) *NextHop {
	n := *o
	n.Targets = slices.Clone(o.Targets)
	return &n
}

func copyRoom(o *Room) *Room {
	r := *o
	r.Sealed = nil
	return &r
}

func copyLine(o *Line) *Line {
	var l *Line
	var room []Credential
	if len(o.Devices) == 1 && len(o.Devices[0].Credentials) == 1 {
		u := &usualLine{line: *o, devices: [1]Device(o.Devices)}
		l, room = &u.line, u.credentials[:0]
		l.Devices = u.devices[:]
	} else {
		clone := *o
		l = &clone
		l.Devices = slices.Clone(o.Devices)
	}
	l.Product, l.Language, l.Record = intern(o.Product), intern(o.Language), intern(o.Record)
	for i := range l.Devices {
		d := &l.Devices[i]
		d.Auth, d.Transport, d.SRTP = intern(d.Auth), intern(d.Transport), intern(d.SRTP)
		d.From = slices.Clone(d.From)
		d.Media = d.Media.clone()
		if d.Username == l.Number {
			d.Username = l.Number // one text for both
		}
		d.Credentials = append(room, d.Credentials...)
		for j := range d.Credentials {
			d.Credentials[j].forSnapshot()
		}
	}
	return l
}

// intern returns the one copy of a word that many objects have.
func intern[T ~string](s T) T {
	if s == "" {
		return ""
	}
	return unique.Make(s).Value()
}
