package location

import (
	"slices"
	"time"

	"dialtone/internal/directory"
)

// Entry is a binding with its address-of-record.
type Entry struct {
	AOR AOR
	Binding
}

// Page returns the live bindings of the addresses-of-record that follow after, in the order of AOR.Compare, and the
// cursor for the next page. It stops after the address-of-record with which there are limit bindings or more; more is
// false on the last page. A zero tenant is all tenants. A page is not a snapshot: what changes between two calls may be
// seen or not, but nothing that stays is left out or comes twice.
func (t *Table) Page(tenant directory.ID, after AOR, limit int, now time.Time) (entries []Entry, last AOR, more bool) {
	limit = max(limit, 1)
	keys := t.following(tenant, after, limit+1)
	for i, aor := range keys {
		if len(entries) >= limit || i == limit {
			return entries, last, true
		}
		for _, b := range t.Lookup(nil, aor, now) {
			entries = append(entries, Entry{aor, b})
		}
		last = aor
	}
	return entries, last, false
}

// following returns the first n addresses-of-record after the given one, in order.
func (t *Table) following(tenant directory.ID, after AOR, n int) []AOR {
	keys := make([]AOR, 0, 2*n)
	trim := func() {
		slices.SortFunc(keys, AOR.Compare)
		keys = keys[:min(len(keys), n)]
	}
	for i := range t.shards {
		s := &t.shards[i]
		s.mu.Lock()
		for aor := range s.aors {
			if !tenant.IsZero() && aor.Tenant != tenant || aor.Compare(after) <= 0 {
				continue
			}
			if len(keys) == cap(keys) {
				trim()
			}
			keys = append(keys, aor)
		}
		s.mu.Unlock()
	}
	trim()
	return keys
}
