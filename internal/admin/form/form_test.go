package form

import (
	"encoding/json"
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"dialtone/internal/directory"
)

// fixed resolves a few names.
type fixed struct{ tenants, users, sites map[string]directory.ID }

func (f fixed) TenantID(name string) (directory.ID, bool) { id, ok := f.tenants[name]; return id, ok }
func (f fixed) UserID(_ directory.ID, name string) (directory.ID, bool) {
	id, ok := f.users[name]
	return id, ok
}
func (f fixed) SiteID(_ directory.ID, name string) (directory.ID, bool) {
	id, ok := f.sites[name]
	return id, ok
}
func (f fixed) TenantName(id directory.ID) string { return reverse(f.tenants, id) }
func (f fixed) UserName(id directory.ID) string   { return reverse(f.users, id) }
func (f fixed) SiteName(id directory.ID) string   { return reverse(f.sites, id) }

func reverse(names map[string]directory.ID, id directory.ID) string {
	for name, known := range names {
		if known == id {
			return name
		}
	}
	return ""
}

func names() fixed {
	return fixed{
		tenants: map[string]directory.ID{"default": directory.NewID()},
		users:   map[string]directory.ID{"sara": directory.NewID()},
		sites:   map[string]directory.ID{"tehran": directory.NewID()},
	}
}

// What is written of an object reads back as the same object.
func TestFormsReadBack(t *testing.T) {
	n := names()
	meta := directory.Meta{ID: directory.NewID(), Tenant: directory.NewID(), Version: 3}
	tenant := &directory.Tenant{
		Meta: directory.Meta{ID: meta.Tenant, Tenant: meta.Tenant, Version: 1}, Name: "acme", Kind: directory.Reseller,
		Parent: n.tenants["default"], Domains: []string{"a.example"}, Realm: "r", Language: "fa",
	}
	f := OfTenant(tenant, n)
	if got, errs := f.Object(tenant, n); errs != nil || !reflect.DeepEqual(got, tenant) {
		t.Errorf("tenant %+v %v", got, errs)
	}
	site := &directory.Site{Meta: meta, Name: "x", Subnets: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}, AreaCode: "21", Country: "IR"}
	s := OfSite(site, n)
	if got, errs := s.Object(meta.Tenant, site); errs != nil || !reflect.DeepEqual(got, site) {
		t.Errorf("site %+v %v", got, errs)
	}
	user := &directory.User{Meta: meta, Name: "x", Email: "x@example.com", Role: directory.RoleAgent, Language: "fa", PasswordHash: "$argon2id$x"}
	u := OfUser(user, n)
	if got, errs := u.Object(meta.Tenant, user); errs != nil || !reflect.DeepEqual(got, user) {
		t.Errorf("user %+v %v", got, errs)
	}
	line := &directory.Line{
		Meta: meta, Number: "101", Name: "Sara", Product: directory.Extension, User: n.users["sara"], Site: n.sites["tehran"], MaxCalls: 2,
		Record: directory.RecordAlways, Devices: []directory.Device{
			{ID: directory.NewID(), Username: "a", Auth: directory.AuthPassword, Transport: directory.TLS, SRTP: directory.SRTPRequired,
				Credentials: []directory.Credential{{MD5: [16]byte{1}, SHA256: [32]byte{2}}, {MD5: [16]byte{3}, SHA256: [32]byte{4}}}},
			{ID: directory.NewID(), Username: "b", Auth: directory.AuthStatic, SRTP: directory.SRTPOff,
				From: []netip.Prefix{netip.MustParsePrefix("127.0.0.1/32")}, Address: "sip:127.0.0.1:5070"},
		},
	}
	l := OfLine(line, n)
	if got, errs := l.Object(meta.Tenant, "r", line, n); errs != nil || !reflect.DeepEqual(got, line) {
		t.Errorf("line %+v %v", got, errs)
	}
	room := &directory.Room{Meta: meta, Name: "board", Number: "800", PIN: "2468", Sealed: []byte{1}, Protected: true}
	r := OfRoom(room, n)
	if got, errs := r.Object(meta.Tenant, room); errs != nil || !reflect.DeepEqual(got, room) {
		t.Errorf("room %+v %v", got, errs)
	}
	number := &directory.Number{Meta: meta, Number: "+982188776655", Kind: directory.Direct, To: directory.Destination{Kind: directory.ToLine, Name: "101"}}
	m := OfNumber(number, n)
	if got, errs := m.Object(meta.Tenant, number); errs != nil || !reflect.DeepEqual(got, number) {
		t.Errorf("number %+v %v", got, errs)
	}
	hop := &directory.NextHop{Meta: meta, Name: "inside", Domain: "pbx.example", Prefix: "+98", Hash: directory.HashSource, Health: directory.HealthNone,
		Patience: 1500 * time.Millisecond, Targets: []directory.HopTarget{{URI: "sip:10.0.0.7", Priority: 2, Weight: 3, Drain: true}, {URI: "sip:b", Priority: 1, Weight: 1}}}
	h := OfNextHop(hop, n)
	h.State = []HopState{{URI: "sip:10.0.0.7", State: "down"}} // shown, and nothing of the object
	if got, errs := h.Object(meta.Tenant, hop); errs != nil || !reflect.DeepEqual(got, hop) {
		t.Errorf("next hop %+v %v", got, errs)
	}
	h.Patience = "soon"
	if _, errs := h.Object(meta.Tenant, hop); len(errs) != 1 || errs[0].Field != "patience" {
		t.Errorf("faults of the patience: %v", errs)
	}
	for _, form := range []any{f, s, u, l, m, h} {
		text, err := json.Marshal(form)
		if err != nil || strings.Contains(string(text), "argon2") || strings.Contains(string(text), "***") {
			t.Errorf("%s %v", text, err)
		}
	}
}

func TestSecretsOfDevices(t *testing.T) {
	n := names()
	tenant := directory.NewID()
	m, s := directory.HA1("a", "realm", "old-password")
	before := &directory.Line{
		Meta: directory.Meta{ID: directory.NewID(), Tenant: tenant, Version: 1}, Number: "1", Product: directory.Extension,
		Devices: []directory.Device{{ID: directory.NewID(), Username: "a", Auth: directory.AuthPassword, SRTP: directory.SRTPOff,
			Credentials: []directory.Credential{{MD5: m, SHA256: s, Sealed: []byte("sealed")}}}},
	}
	const hash = "0123456789abcdef0123456789abcdef"
	for _, c := range []struct {
		name   string
		device Device
		kept   bool
		check  func(directory.Credential) bool
		fault  string
	}{
		{name: "left out", device: Device{}, kept: true},
		{name: "same password", device: Device{Password: "old-password"}, kept: true},
		{name: "same hash", device: Device{HA1: directory.Secret(hexOf(m[:]))}, kept: true},
		{name: "same hash in capitals, both", device: Device{HA1: directory.Secret(strings.ToUpper(hexOf(m[:])) + "," + hexOf(s[:]))}, kept: true},
		{name: "same sealed", device: Device{Sealed: "c2VhbGVk"}, kept: true},
		{name: "new password", device: Device{Password: "new-password"}, check: func(c directory.Credential) bool { return c.Secret == "new-password" }},
		{name: "new hash", device: Device{HA1: hash}, check: func(c directory.Credential) bool {
			// An absent SHA-256 hash must be one that nobody can compute.
			return hexOf(c.MD5[:]) == hash && c.SHA256 != [32]byte{} && c.HashOnly
		}},
		{name: "other sealed", device: Device{Sealed: "b3RoZXI="}, check: func(c directory.Credential) bool { return string(c.Sealed) == "other" }},
		{name: "two of them", device: Device{Password: "x", HA1: hash}, fault: "devices[0].password"},
		{name: "short hash", device: Device{HA1: directory.Secret(hash[1:])}, fault: "devices[0].ha1"},
		{name: "not a hash", device: Device{HA1: directory.Secret(strings.Repeat("x", 32))}, fault: "devices[0].ha1"},
		{name: "half a second hash", device: Device{HA1: directory.Secret(hash + ",00")}, fault: "devices[0].ha1"},
		{name: "not sealed", device: Device{Sealed: "!"}, fault: "devices[0].sealed"},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.device.Username = "a"
			f := Line{Number: "1", Devices: []Device{c.device}}
			got, errs := f.Object(tenant, "realm", before, n)
			if c.fault != "" {
				if len(errs) != 1 || errs[0].Field != c.fault {
					t.Errorf("errors %v, want one of %s", errs, c.fault)
				}
				return
			}
			if errs != nil {
				t.Fatal(errs)
			}
			if got.Devices[0].ID != before.Devices[0].ID {
				t.Error("the device is another one now")
			}
			credentials := got.Devices[0].Credentials
			if same := reflect.DeepEqual(credentials, before.Devices[0].Credentials); same != c.kept {
				t.Errorf("kept %v, want %v", same, c.kept)
			}
			if c.check != nil && (len(credentials) != 1 || !c.check(credentials[0])) {
				t.Error("the new secret is not what was given")
			}
		})
	}
}

func TestTwoHashesWithoutTheSecondAreNotAlike(t *testing.T) {
	a, _ := parseHA1(strings.Repeat("0", 32))
	b, ok := parseHA1(strings.Repeat("0", 32))
	if !ok || a.SHA256 == b.SHA256 {
		t.Error("what stands for an unknown hash can be guessed")
	}
}

func TestRealmStaysUnlessItIsGiven(t *testing.T) {
	n := names()
	before := &directory.Tenant{Name: "acme", Kind: directory.Customer, Realm: "old.example", Domains: []string{"old.example"}}
	f := Tenant{Name: "acme", Domains: []string{"new.example"}}
	if got, errs := f.Object(before, n); errs != nil || got.Realm != "old.example" {
		t.Errorf("realm %s %v", got.Realm, errs)
	}
	if got, errs := f.Object(nil, n); errs != nil || got.Realm != "new.example" {
		t.Errorf("realm of a new tenant %s %v", got.Realm, errs)
	}
}

func hexOf(b []byte) string {
	const digits = "0123456789abcdef"
	var out strings.Builder
	for _, c := range b {
		out.WriteByte(digits[c>>4])
		out.WriteByte(digits[c&15])
	}
	return out.String()
}
