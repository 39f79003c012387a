package proxy

import (
	"bytes"
	"strings"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/nexthop"
	"dialtone/internal/sip"
)

// Sets of servers behind: which set takes a request, and what its servers are told about theirs. nexthop chooses among
// them.

// setFor is the set for the domain of a request; nil: there is none.
func (p *Proxy) setFor(c *course) *nexthop.Set {
	if p.NextHops == nil || !c.target.IsSIP() {
		return nil
	}
	return p.NextHops.ForDomain(c.target.Host, userOf(&c.target))
}

// within is the destination of a request for a tenant's own domain: its lines, and what is no line by its prefix.
func (p *Proxy) within(s *directory.Snapshot, t *directory.Tenant, c *course) destination {
	d := destination{tenant: t}
	if p.NextHops == nil || t == nil || len(c.target.User) == 0 {
		return d
	}
	if set := p.NextHops.ForTenant(t.ID, userOf(&c.target)); set != nil && line(s, t, &c.target) == nil {
		d.set = set
	}
	return d
}

// userOf is the user part that prefixes are compared with: without escapes, a number without what makes it legible
// (RFC 3966 §5.1.1).
func userOf(u *sip.URI) []byte {
	switch {
	case u.Scheme == sip.SchemeTel && bytes.ContainsAny(u.User, "-.()"):
		return bytes.Map(func(r rune) rune {
			if strings.ContainsRune("-.()", r) {
				return -1
			}
			return r
		}, u.User)
	case bytes.IndexByte(u.User, '%') >= 0:
		return sip.AppendUnescaped(nil, u.User)
	}
	return u.User
}

// toSet reports whether a request goes to a server of the destination's set: no Route and no flow leads elsewhere.
func (c *course) toSet(d destination) bool { return d.set != nil && c.next == nil && !c.has }

// servers appends the servers for a request in the order in which they are tried. RFC 3261 §26.2.2: to a sips URI only
// those that are reached securely.
func (d destination) servers(dst []*nexthop.Target, key uint64, m *sip.Message, c *course, now time.Time) []*nexthop.Target {
	start := len(dst)
	dst = d.set.Order(dst, key, m.ToTag() != nil, now)
	if c.target.Scheme != sip.SchemeSIPS {
		return dst
	}
	kept := dst[:start]
	for _, t := range dst[start:] {
		if isSecure(t.URI) {
			kept = append(kept, t)
		}
	}
	return kept
}

func isSecure(uri string) bool {
	u, err := sip.ParseURI(raw(uri))
	if err != nil || u.Scheme == sip.SchemeSIPS {
		return err == nil
	}
	t, _ := u.Param("transport")
	return sip.EqualFold(t, "tls") || sip.EqualFold(t, "wss")
}

// wayToServer is the way to a server of a set. It is only the next hop for the domain of a set, which stays in the
// Request-URI (RFC 3261 §16.6 item 6). A domain of our own is ours to replace (§16.5): the server knows itself by its own
// name.
func (d destination) wayToServer(t *nexthop.Target, c *course) way {
	w := way{hop: raw(t.URI), server: t, q: 1000}
	if d.tenant != nil {
		w.uri = uriAt(t, &c.target)
	}
	return w
}

// uriAt is a URI with the user part of u at a server; nil where u has none that a SIP URI could have.
func uriAt(t *nexthop.Target, u *sip.URI) []byte {
	scheme, host, _ := bytes.Cut(raw(t.URI), []byte{':'})
	if !u.IsSIP() || len(u.User) == 0 {
		return nil
	}
	out := make([]byte, 0, len(t.URI)+len(u.User)+1)
	out = append(append(append(out, scheme...), ':'), u.User...)
	return append(append(out, '@'), host...)
}
