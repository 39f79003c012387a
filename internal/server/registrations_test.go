package server

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"dialtone/internal/admin"
	"dialtone/internal/directory"
	"dialtone/internal/location"
)

// TestRegistrations: a list is cut into pages wherever its limit falls, in the order of tenants and line numbers, and
// narrowed by what is asked for.
func TestRegistrations(t *testing.T) {
	c := small(t)
	c.HTTP.Listen = nil
	s, err := New(t.Context(), Options{Config: c, Getenv: noEnv})
	if err != nil {
		t.Fatal(err)
	}
	defer s.close()
	for _, tenant := range []string{"default", "acme&sons"} {
		var site strings.Builder
		fmt.Fprintf(&site, "tenant: %q\nlines:\n", tenant)
		for i := range 10 {
			fmt.Fprintf(&site, "  - {number: \"%[1]d\", devices: [{username: \"%[1]d\", password: a-password-%[1]d}, {username: \"m%[1]d\", password: b-password-%[1]d}]}\n", 100+i)
		}
		if _, err := s.Apply(t.Context(), []byte(site.String())); err != nil {
			t.Fatal(err)
		}
	}
	now := time.Now()
	var want []string
	snapshot := s.directory.Snapshot()
	for tenant := range snapshot.Tenants("") {
		for line := range snapshot.Lines(tenant.ID, "") {
			if line.Number == "105" {
				continue // nobody is registered
			}
			want = append(want, tenant.Name+" "+line.Number+" "+line.Number, tenant.Name+" "+line.Number+" m"+line.Number)
			s.locations.Update(location.AOR{Tenant: tenant.ID, Line: line.ID}, now, func([]location.Binding) ([]location.Binding, bool) {
				var next []location.Binding
				for i, device := range []string{"m" + line.Number, line.Number} {
					next = append(next, location.Binding{Device: device, Contact: "sip:" + device + "@h", Q: 1000,
						Flow:    location.Flow{Transport: directory.UDP, Remote: netip.AddrPortFrom(netip.AddrFrom4([4]byte{192, 0, 2, byte(i)}), 5060+uint16(i))},
						Created: now, Updated: now.Add(time.Duration(i)), Expires: now.Add(time.Hour)})
				}
				return next, true
			})
		}
	}
	acme := snapshot.TenantByName("acme&sons")
	if len(want) != 36 || acme == nil {
		t.Fatalf("%d registrations", len(want))
	}
	read := func(q admin.RegistrationQuery) (got []string) {
		t.Helper()
		for pages := 0; ; pages++ {
			page, next := live{s}.Registrations(q)
			for _, r := range page {
				id, err := directory.ParseID(r.Tenant)
				if err != nil {
					t.Fatal(err)
				}
				got = append(got, snapshot.Tenant(id).Name+" "+r.Line+" "+r.Device)
			}
			if next == "" {
				return got
			}
			if len(page) < q.Limit || len(page) > q.Limit+1 || pages > 50 {
				t.Fatalf("%d on page %d", len(page), pages)
			}
			q.After = next
		}
	}
	only := func(text string) (list []string) {
		for _, w := range want {
			if strings.Contains(w, text) {
				list = append(list, w)
			}
		}
		return list
	}
	for _, limit := range []int{1, 2, 3, 7, 1000} {
		for _, c := range []struct {
			q    admin.RegistrationQuery
			want []string
		}{
			{admin.RegistrationQuery{}, want},
			{admin.RegistrationQuery{Tenant: acme.ID.String()}, only("acme")},
			{admin.RegistrationQuery{Tenant: directory.NewID().String()}, nil},
			{admin.RegistrationQuery{Line: "103"}, only(" 103 ")},
			{admin.RegistrationQuery{Line: "m103"}, only(" m103")},
			{admin.RegistrationQuery{Line: "105"}, nil},
			{admin.RegistrationQuery{Line: "nobody"}, nil},
			{admin.RegistrationQuery{Contact: "sip:m"}, only(" m")},
			{admin.RegistrationQuery{Contact: "m104@h", Tenant: acme.ID.String()}, []string{"acme&sons 104 m104"}},
			{admin.RegistrationQuery{Source: netip.MustParsePrefix("192.0.2.0/32")}, only(" m")},
			{admin.RegistrationQuery{Source: netip.MustParsePrefix("192.0.2.0/24")}, want},
			{admin.RegistrationQuery{Source: netip.MustParsePrefix("192.0.2.0/24"), Port: 5060}, only(" m")},
			{admin.RegistrationQuery{Source: netip.MustParsePrefix("2001:db8::/32")}, nil},
		} {
			c.q.Limit = limit
			if got := read(c.q); !slices.Equal(got, c.want) {
				t.Errorf("%+v:\n got %q\nwant %q", c.q, got, c.want)
			}
		}
	}
	// A cursor of a tenant that has gone, or of nothing.
	for _, after := range []string{"acme and daughters/107", "%zz/%zz", "a"} {
		if _, next := (live{s}).Registrations(admin.RegistrationQuery{After: after, Limit: 1}); next == "" {
			t.Errorf("after %q nothing comes", after)
		}
	}
}
