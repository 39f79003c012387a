package ingress

import (
	"bytes"
	"net/netip"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/sip"
)

// Whose name a request bears, as its From says it. Whether that is true auth finds out.

// sender is the tenant and the line in From; nil where there is none.
func (i *Ingress) sender(s *directory.Snapshot, m *sip.Message) (*directory.Tenant, *directory.Line) {
	from, err := m.From()
	if err != nil {
		return nil, nil
	}
	t := tenantOf(s, &from.URI)
	if t == nil {
		return nil, nil
	}
	name := userOf(&from.URI)
	if account, ok := s.Device(t.ID, name); ok {
		return t, account.Line
	}
	return t, s.Line(t.ID, name)
}

// knows reports whether a request comes from a static device, by its address, or from the flow that the line in its From
// is registered on.
func (i *Ingress) knows(m *sip.Message, now time.Time) bool {
	from, err := m.From()
	if err != nil {
		return false
	}
	s := i.Directory.Snapshot()
	t := tenantOf(s, &from.URI)
	if t == nil {
		return false
	}
	name := userOf(&from.URI)
	if _, ok := s.StaticDevice(t.ID, m.Received.Addr().Unmap(), name); ok {
		return true
	}
	return i.isHere(s, t, name, m.Received, now)
}

// isHere reports whether a device of that name, or a line of that number, is registered from src.
func (i *Ingress) isHere(s *directory.Snapshot, t *directory.Tenant, name string, src netip.AddrPort, now time.Time) bool {
	if account, ok := s.Device(t.ID, name); ok && i.Locations.HasFlow(t.ID, account.Line.ID, src, now) {
		return true
	}
	line := s.Line(t.ID, name)
	return line != nil && i.Locations.HasFlow(t.ID, line.ID, src, now)
}

// tenantOf is the tenant of the domain of a URI, else the default one.
func tenantOf(s *directory.Snapshot, u *sip.URI) *directory.Tenant {
	if t := s.TenantByDomain(view(u.Host)); t != nil {
		return t
	}
	return s.TenantByName(directory.DefaultTenant)
}

// userOf is the user part of a URI with its escapes decoded; where there are none it is a view on the message.
func userOf(u *sip.URI) string {
	if bytes.IndexByte(u.User, '%') >= 0 {
		return u.UserUnescaped()
	}
	return view(u.User)
}
