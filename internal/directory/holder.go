package directory

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
)

// Loader reads all objects, for instance from a database. Each object is given to add once; add keeps no reference.
type Loader interface {
	LoadObjects(ctx context.Context, add func(Object) error) error
}

// Directory holds the snapshot of now.
type Directory struct {
	current atomic.Pointer[Snapshot]
	writer  sync.Mutex // held while the next snapshot is made
}

// New returns an empty directory.
func New() *Directory {
	d := &Directory{}
	d.current.Store(&Snapshot{})
	return d
}

// Snapshot returns the directory as it is now. It never blocks.
func (d *Directory) Snapshot() *Snapshot { return d.current.Load() }

// Apply makes committed changes visible, all at once, and returns the snapshot with them.
func (d *Directory) Apply(changes []Change) *Snapshot {
	d.writer.Lock()
	defer d.writer.Unlock()
	s := d.current.Load()
	if len(changes) == 0 {
		return s
	}
	s = s.next(changes)
	d.current.Store(s)
	return s
}

// Load replaces the whole directory by what the loader has.
func (d *Directory) Load(ctx context.Context, l Loader) error {
	d.writer.Lock()
	defer d.writer.Unlock()
	var f filling
	if err := l.LoadObjects(ctx, f.add); err != nil {
		return fmt.Errorf("load directory: %w", err)
	}
	s := f.snapshot()
	s.seq = d.current.Load().seq + 1
	d.current.Store(s)
	return nil
}

// filling collects objects for a snapshot that is built at once.
type filling struct {
	tenants     []entry[ID, *Tenant]
	tenantNames []entry[named, *Tenant]
	domains     []entry[named, *Tenant]
	sites       []entry[named, *Site]
	sitesByID   []entry[ID, *Site]
	subnets     []entry[subnet, *Site]
	users       []entry[named, *User]
	usersByID   []entry[ID, *User]
	lines       []entry[named, *Line]
	linesByID   []entry[ID, *Line]
	accounts    []entry[named, Account]
	sources     []entry[source, Account]
	numbers     []entry[named, *Number]
	numbersByID []entry[ID, *Number]
	hops        []entry[named, *NextHop]
	hopsByID    []entry[ID, *NextHop]
	rooms       []entry[named, *Room]
	roomNumbers []entry[named, *Room]
	roomsByID   []entry[ID, *Room]
}

func (f *filling) add(o Object) error {
	switch o := o.(type) {
	case *Tenant:
		t := copyTenant(o)
		push(&f.tenants, t.ID, t)
		push(&f.tenantNames, key(ID{}, t.Name), t)
		for _, d := range t.Domains {
			push(&f.domains, key(ID{}, d), t)
		}
	case *Site:
		v := copySite(o)
		push(&f.sites, key(v.Tenant, v.Name), v)
		push(&f.sitesByID, v.ID, v)
		for _, p := range v.Subnets {
			push(&f.subnets, subnet{v.Tenant, networkOf(p)}, v)
		}
	case *User:
		u := copyUser(o)
		push(&f.users, key(u.Tenant, u.Name), u)
		push(&f.usersByID, u.ID, u)
	case *Line:
		f.addLine(copyLine(o))
	case *Number:
		n := copyNumber(o)
		push(&f.numbers, key(n.Tenant, n.Number), n)
		push(&f.numbersByID, n.ID, n)
	case *NextHop:
		n := copyNextHop(o)
		push(&f.hops, key(n.Tenant, n.Name), n)
		push(&f.hopsByID, n.ID, n)
	case *Room:
		r := copyRoom(o)
		push(&f.rooms, key(r.Tenant, r.Name), r)
		push(&f.roomNumbers, key(r.Tenant, r.Number), r)
		push(&f.roomsByID, r.ID, r)
	default:
		return fmt.Errorf("unknown object %T", o)
	}
	return nil
}

func (f *filling) addLine(l *Line) {
	push(&f.lines, key(l.Tenant, l.Number), l)
	push(&f.linesByID, l.ID, l)
	for i := range l.Devices {
		account := Account{l, &l.Devices[i]}
		push(&f.accounts, key(l.Tenant, account.Device.Username), account)
		for k := range sources(l, account.Device) {
			push(&f.sources, k, account)
		}
	}
}

func (f *filling) snapshot() *Snapshot {
	return &Snapshot{
		tenants: build(f.tenants), tenantNames: build(f.tenantNames), domains: build(f.domains),
		sites: build(f.sites), sitesByID: build(f.sitesByID), subnets: build(f.subnets),
		users: build(f.users), usersByID: build(f.usersByID),
		lines: build(f.lines), linesByID: build(f.linesByID), accounts: build(f.accounts), sources: build(f.sources),
		numbers: build(f.numbers), numbersByID: build(f.numbersByID),
		hops: build(f.hops), hopsByID: build(f.hopsByID),
		rooms: build(f.rooms), roomNumbers: build(f.roomNumbers), roomsByID: build(f.roomsByID),
	}
}

func push[K sortable[K], V any](to *[]entry[K, V], k K, v V) { *to = append(*to, entry[K, V]{k, v}) }
