package directory

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"testing"
)

// world is a directory with ways to fill it.
type world struct {
	*Directory
	t testing.TB
}

func newWorld(t testing.TB) *world { return &world{New(), t} }

// put applies objects as a store would: completed and valid.
func (w *world) put(objects ...Object) {
	w.t.Helper()
	var changes []Change
	for _, o := range objects {
		if o.Head().ID.IsZero() {
			o.Head().ID = NewID()
		}
		o.Head().Version++
		o.SetDefaults()
		if l, ok := o.(*Line); ok {
			for i := range l.Devices {
				if l.Devices[i].ID.IsZero() {
					l.Devices[i].ID = NewID()
				}
			}
		}
		if err := o.Validate(); err != nil {
			w.t.Fatal(err)
		}
		changes = append(changes, Change{After: o})
	}
	w.Apply(changes)
}

func (w *world) tenant(name string, domains ...string) *Tenant {
	v := &Tenant{Name: name, Domains: domains}
	w.put(v)
	return v
}

func phone(tenant ID, number string, usernames ...string) *Line {
	l := &Line{Meta: Meta{Tenant: tenant}, Number: number}
	for _, u := range usernames {
		l.Devices = append(l.Devices, Device{Username: u, Credentials: []Credential{{Secret: "s3cret", Sealed: []byte("sealed")}}})
	}
	return l
}

func static(tenant ID, number, username string, from ...string) *Line {
	d := Device{Username: username, Auth: AuthStatic, Address: "sip:127.0.0.1:26000"}
	for _, p := range from {
		d.From = append(d.From, netip.MustParsePrefix(p))
	}
	return &Line{Meta: Meta{Tenant: tenant}, Number: number, Devices: []Device{d}}
}

func TestLookups(t *testing.T) {
	w := newWorld(t)
	acme, other := w.tenant("acme", "Acme.Example", "10.0.0.1"), w.tenant("other", "other.example")
	site := &Site{Meta: Meta{Tenant: acme.ID}, Name: "tehran"}
	user := &User{Meta: Meta{Tenant: acme.ID}, Name: "sara", PasswordHash: "$argon2id$x"}
	number := &Number{Meta: Meta{Tenant: acme.ID}, Number: "+982188776655", To: Destination{ToLine, "101"}}
	mine, theirs := phone(acme.ID, "101", "101", "101-mobile"), phone(other.ID, "101", "101")
	w.put(site, user, number, mine, theirs)
	s := w.Snapshot()
	for host, want := range map[string]string{
		"acme.example": "acme", "ACME.EXAMPLE.": "acme", "10.0.0.1": "acme", "other.example": "other", "": "", "example": "", "acme.example..": "",
	} {
		got := ""
		if v := s.TenantByDomain(host); v != nil {
			got = v.Name
		}
		if got != want {
			t.Errorf("domain %q belongs to %q, want %q", host, got, want)
		}
	}
	if s.Tenant(acme.ID).Name != "acme" || s.TenantByName("other").ID != other.ID || s.TenantByName("nobody") != nil {
		t.Error("tenants are not found")
	}
	if s.Line(acme.ID, "101").ID != mine.ID || s.Line(other.ID, "101").ID != theirs.ID || s.Line(acme.ID, "102") != nil || s.Line(ID{}, "101") != nil {
		t.Error("lines are not found, or in another tenant")
	}
	if s.LineByID(mine.ID).Number != "101" || s.LineByID(acme.ID) != nil {
		t.Error("line is not found by ID")
	}
	if a, ok := s.Device(acme.ID, "101-mobile"); !ok || a.Line.ID != mine.ID || a.Device.Username != "101-mobile" {
		t.Errorf("device %+v", a)
	}
	if _, ok := s.Device(other.ID, "101-mobile"); ok {
		t.Error("a device is found in another tenant")
	}
	if s.Site(acme.ID, "tehran").ID != site.ID || s.SiteByID(site.ID) == nil || s.User(acme.ID, "sara") == nil || s.UserByID(user.ID) == nil ||
		s.Number(acme.ID, "+982188776655") == nil || s.NumberByID(number.ID) == nil || s.User(other.ID, "sara") != nil {
		t.Error("site, user or number is not found, or in another tenant")
	}
	if s.Counts() != (Counts{Tenants: 2, Sites: 1, Users: 1, Lines: 2, Devices: 3, Numbers: 1}) {
		t.Errorf("counts %+v", s.Counts())
	}
}

// TestNoSecrets: a snapshot holds copies, without what it does not need.
func TestNoSecrets(t *testing.T) {
	w := newWorld(t)
	acme := w.tenant("acme")
	l := phone(acme.ID, "101", "101")
	u := &User{Meta: Meta{Tenant: acme.ID}, Name: "sara", PasswordHash: "$argon2id$x"}
	w.put(l, u)
	l.Name, l.Devices[0].Username = "changed later", "changed"
	kept := w.Snapshot().Line(acme.ID, "101")
	if kept.Name != "" || kept.Devices[0].Username != "101" {
		t.Error("the snapshot shares memory with its giver")
	}
	c := kept.Devices[0].Credentials[0]
	if c.Secret != "" || c.Sealed != nil || w.Snapshot().User(acme.ID, "sara").PasswordHash != "" {
		t.Error("the snapshot holds secrets")
	}
	if c.MD5 == [16]byte{} || c.SHA256 == [32]byte{} {
		t.Error("a hash that is not known can be guessed: it is zero")
	}
	if l.Devices[0].Credentials[0].Secret == "" || u.PasswordHash == "" {
		t.Error("the giver's object was changed")
	}
}

// TestEdits: renames, moves and removals leave nothing of the old state, and nothing of it changes in an old snapshot.
func TestEdits(t *testing.T) {
	w := newWorld(t)
	acme := w.tenant("acme", "a.example", "b.example")
	one, two := phone(acme.ID, "101", "one"), static(acme.ID, "102", "two", "10.0.0.0/8", "192.0.2.1/32")
	w.put(one, two)
	old := w.Snapshot()

	one.Number, two.Number = "102", "101" // exchanged at once
	one.Devices[0].Username, two.Devices[0].Username = "two", "one"
	two.Devices[0].From = two.Devices[0].From[:1]
	acme.Domains = []string{"b.example", "c.example"}
	w.put(one, two, acme)
	s := w.Snapshot()
	if s.Line(acme.ID, "102").ID != one.ID || s.Line(acme.ID, "101").ID != two.ID {
		t.Error("numbers were not exchanged")
	}
	if a, _ := s.Device(acme.ID, "two"); a.Line == nil || a.Line.ID != one.ID {
		t.Error("usernames were not exchanged")
	}
	if _, ok := s.StaticDevice(ID{}, netip.MustParseAddr("192.0.2.1"), ""); ok {
		t.Error("a device is known by an address that it lost")
	}
	if s.TenantByDomain("a.example") != nil || s.TenantByDomain("b.example") == nil || s.TenantByDomain("c.example") == nil {
		t.Error("domains are not those of now")
	}
	if s.Counts() != (Counts{Tenants: 1, Lines: 2, Devices: 2}) || s.sources.size != 3 {
		t.Errorf("counts %+v, %d sources", s.Counts(), s.sources.size)
	}
	if old.Line(acme.ID, "101").ID != one.ID || old.TenantByDomain("a.example") == nil || old.TenantByDomain("c.example") != nil {
		t.Error("the old snapshot changed")
	}
	if s.Seq() != old.Seq()+1 {
		t.Errorf("seq %d after %d", s.Seq(), old.Seq())
	}
	w.Apply([]Change{{Before: one}, {Before: two}, {Before: acme}, {Before: one}})
	if s := w.Snapshot(); s.Counts() != (Counts{}) || s.sources.size+s.domains.size+s.linesByID.size+s.tenantNames.size != 0 {
		t.Errorf("after removal: %+v", s.Counts())
	}
	if before := w.Snapshot(); w.Apply(nil) != before {
		t.Error("no change made a new snapshot")
	}
}

// TestStaticDevice: the most specific network decides, then the tenant, then the name, then age.
func TestStaticDevice(t *testing.T) {
	w := newWorld(t)
	acme, other := w.tenant("acme"), w.tenant("other")
	w.put(
		static(acme.ID, "1", "wide", "10.0.0.0/8"),
		static(acme.ID, "2", "first", "10.1.0.0/16"),
		static(acme.ID, "3", "second", "10.1.0.0/16"),
		static(other.ID, "3", "second", "10.1.0.0/16"),
		static(acme.ID, "5", "host", "10.1.2.3/32", "2001:db8::/32"),
		static(acme.ID, "6", "any6", "::/0"),
		static(acme.ID, "7", "mapped", "::ffff:203.0.113.0/120"),
	)
	s := w.Snapshot()
	for _, c := range []struct{ src, user, tenant, want string }{
		{"10.9.9.9", "", "", "acme/wide"},
		{"10.9.9.9", "first", "", "acme/wide"},
		{"10.1.9.9", "", "", "acme/first"},
		{"10.1.9.9", "unknown", "", "acme/first"},
		{"10.1.9.9", "second", "", "acme/second"},
		{"10.1.9.9", "3", "", "acme/second"}, // the number of its line
		{"10.1.9.9", "3", "other", "other/second"},
		{"10.1.9.9", "", "other", "other/second"},
		{"10.1.9.9", "first", "other", "other/second"},
		{"10.1.9.9", "wide", "", "acme/first"}, // a less specific network does not count
		{"10.1.2.3", "second", "", "acme/host"},
		{"::ffff:10.1.2.3", "", "", "acme/host"},
		{"2001:db8::1", "", "", "acme/host"},
		{"2001:db9::1", "", "", "acme/any6"},
		{"203.0.113.9", "", "", "acme/mapped"},
		{"192.0.2.1", "", "", ""}, // ::/0 holds no IPv4 address
		{"11.0.0.0", "", "", ""},
	} {
		var tenant ID
		if c.tenant != "" {
			tenant = s.TenantByName(c.tenant).ID
		}
		got := ""
		if a, ok := s.StaticDevice(tenant, netip.MustParseAddr(c.src), c.user); ok {
			got = s.Tenant(a.Line.Tenant).Name + "/" + a.Device.Username
		}
		if got != c.want {
			t.Errorf("from %s as %q for %q: %q, want %q", c.src, c.user, c.tenant, got, c.want)
		}
	}
	if _, ok := s.StaticDevice(ID{}, netip.Addr{}, ""); ok {
		t.Error("found by no address")
	}
}

func TestSiteByAddress(t *testing.T) {
	w := newWorld(t)
	acme, other := w.tenant("acme"), w.tenant("other")
	site := func(tenant *Tenant, name string, subnets ...string) *Site {
		v := &Site{Meta: Meta{Tenant: tenant.ID}, Name: name}
		for _, p := range subnets {
			v.Subnets = append(v.Subnets, netip.MustParsePrefix(p))
		}
		return v
	}
	w.put(site(acme, "all", "0.0.0.0/0"), site(acme, "tehran", "10.1.0.0/16", "2001:db8::/48"), site(acme, "floor", "10.1.7.64/26"), site(other, "theirs", "10.1.0.0/16"))
	for _, c := range []struct {
		tenant    *Tenant
		src, want string
	}{
		{acme, "10.1.7.65", "floor"}, {acme, "10.1.7.63", "tehran"}, {acme, "192.0.2.1", "all"}, {acme, "2001:db8::1", "tehran"},
		{acme, "2001:db8:1::1", ""}, {other, "10.1.7.65", "theirs"}, {other, "192.0.2.1", ""},
	} {
		got := ""
		if v := w.Snapshot().SiteByAddress(c.tenant.ID, netip.MustParseAddr(c.src)); v != nil {
			got = v.Name
		}
		if got != c.want {
			t.Errorf("%s of %s is in %q, want %q", c.src, c.tenant.Name, got, c.want)
		}
	}
	if w.Snapshot().SiteByAddress(acme.ID, netip.Addr{}) != nil {
		t.Error("no address is in a site")
	}
}

func TestPages(t *testing.T) {
	w := newWorld(t)
	acme, other := w.tenant("acme"), w.tenant("other")
	var want []string
	for i := range 100 {
		number := fmt.Sprint(i)
		want = append(want, number)
		w.put(phone(acme.ID, number), phone(other.ID, number))
	}
	slices.Sort(want)
	var got []string
	for after := ""; ; {
		n := 0
		for l := range w.Snapshot().Lines(acme.ID, after) {
			if l.Tenant != acme.ID {
				t.Fatal("a line of another tenant")
			}
			got = append(got, l.Number)
			if n++; n == 7 {
				break
			}
		}
		if n < 7 {
			break
		}
		after = got[len(got)-1]
	}
	if !slices.Equal(got, want) {
		t.Errorf("lines %v, want %v", got, want)
	}
	var names []string
	for v := range w.Snapshot().Tenants("acme") {
		names = append(names, v.Name)
	}
	if !slices.Equal(names, []string{"other"}) {
		t.Errorf("tenants after acme: %v", names)
	}
}

// loader gives objects, or fails.
type loader struct {
	objects []Object
	err     error
}

func (l loader) LoadObjects(_ context.Context, add func(Object) error) error {
	for _, o := range l.objects {
		if err := add(o); err != nil {
			return err
		}
	}
	return l.err
}

// TestLoad: a loaded snapshot is that which the same changes make; a failed load leaves the old one.
func TestLoad(t *testing.T) {
	w := newWorld(t)
	acme := w.tenant("acme", "acme.example")
	objects := []Object{
		acme, &Site{Meta: Meta{Tenant: acme.ID}, Name: "tehran", Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}},
		&User{Meta: Meta{Tenant: acme.ID}, Name: "sara"}, phone(acme.ID, "101", "101"), static(acme.ID, "102", "bench", "10.0.0.0/8"),
		&Number{Meta: Meta{Tenant: acme.ID}, Number: "1548", Kind: Short, To: Destination{ToLine, "101"}},
	}
	w.put(objects...)
	d := New()
	if err := d.Load(t.Context(), loader{objects: objects}); err != nil {
		t.Fatal(err)
	}
	applied, loaded := w.Snapshot(), d.Snapshot()
	if applied.Counts() != loaded.Counts() || applied.sources.size != loaded.sources.size || applied.subnets.size != loaded.subnets.size ||
		applied.domains.size != loaded.domains.size || applied.numbersByID.size != loaded.numbersByID.size {
		t.Errorf("loaded %+v, applied %+v", loaded.Counts(), applied.Counts())
	}
	boom := errors.New("boom")
	if err := d.Load(t.Context(), loader{err: boom}); !errors.Is(err, boom) || d.Snapshot() != loaded {
		t.Errorf("failed load: %v", err)
	}
}

// TestReadersAndWriter: readers always see whole changes.
func TestReadersAndWriter(t *testing.T) {
	w := newWorld(t)
	acme := w.tenant("acme")
	one, two := phone(acme.ID, "101", "101"), phone(acme.ID, "102", "102")
	w.put(one, two)
	var readers sync.WaitGroup
	done := make(chan struct{})
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				s := w.Snapshot()
				if a, b := s.Line(acme.ID, "101").Name, s.Line(acme.ID, "102").Name; a != b {
					t.Errorf("half a change: %q and %q", a, b)
					return
				}
			}
		})
	}
	for i := range 500 {
		one.Name, two.Name = fmt.Sprint(i), fmt.Sprint(i)
		w.put(one, two)
	}
	close(done)
	readers.Wait()
}

// TestLookupsAllocateNothing holds what is done for each message to its promise.
func TestLookupsAllocateNothing(t *testing.T) {
	d, tenant := big(t, 10, 1000)
	s, src := d.Snapshot(), netip.MustParseAddr("10.0.0.7")
	name := []byte("100500")
	for what, fn := range map[string]func(){
		"domain":  func() { _ = s.TenantByDomain("tenant0.example") },
		"line":    func() { _ = s.Line(tenant, string(name)) },
		"device":  func() { _, _ = s.Device(tenant, string(name)) },
		"static":  func() { _, _ = s.StaticDevice(tenant, src, "100500") },
		"site":    func() { _ = s.SiteByAddress(tenant, src) },
		"by ID":   func() { _ = s.LineByID(tenant) },
		"current": func() { _ = d.Snapshot() },
	} {
		if n := testing.AllocsPerRun(100, fn); n != 0 {
			t.Errorf("%s: %v allocations", what, n)
		}
	}
}

// big makes a directory of many tenants and lines; the first tenant is returned.
func big(t testing.TB, tenants, lines int) (*Directory, ID) {
	t.Helper()
	var objects []Object
	var ids []ID
	for i := range tenants {
		v := &Tenant{Meta: Meta{ID: NewID()}, Name: fmt.Sprint("tenant", i), Domains: []string{fmt.Sprintf("tenant%d.example", i)}}
		v.SetDefaults()
		ids = append(ids, v.ID)
		objects = append(objects, v)
	}
	for i := range lines {
		number := fmt.Sprint(100000 + i)
		l := phone(ids[i%tenants], number, number)
		if i%100 == 50 {
			l = static(ids[i%tenants], number, number, "10.0.0.0/8")
		}
		l.ID, l.Version, l.Name, l.Devices[0].ID = NewID(), 1, "Line "+number, NewID()
		l.SetDefaults()
		objects = append(objects, l)
	}
	d := New()
	if err := d.Load(t.Context(), loader{objects: objects}); err != nil {
		t.Fatal(err)
	}
	return d, ids[0]
}
