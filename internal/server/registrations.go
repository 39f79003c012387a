package server

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"dialtone/internal/admin"
	"dialtone/internal/cdr"
	"dialtone/internal/directory"
	"dialtone/internal/location"
)

// Registrations implements admin.Live. It walks through the lines of a snapshot of the directory, by tenant and number,
// and asks for the bindings of each: nothing is locked but one line at a time, and a page costs what it passes. The
// bindings of one line stay together, so a page may be a little longer than its limit.
func (l live) Registrations(q admin.RegistrationQuery) (page []admin.Registration, next string) {
	w := walk{table: l.s.locations, snapshot: l.s.directory.Snapshot(), q: q, now: time.Now()}
	tenant, number := parseCursor(q.After)
	if q.Tenant != "" {
		id, err := directory.ParseID(q.Tenant)
		if t := w.snapshot.Tenant(id); err == nil && t != nil {
			w.tenant(t, number)
		}
		return w.page, w.next
	}
	if t := w.snapshot.TenantByName(tenant); t != nil && w.tenant(t, number) {
		return w.page, w.next
	}
	for t := range w.snapshot.Tenants(tenant) {
		if w.tenant(t, "") {
			break
		}
	}
	return w.page, w.next
}

// walk makes one page.
type walk struct {
	table    *location.Table
	snapshot *directory.Snapshot
	q        admin.RegistrationQuery
	now      time.Time
	page     []admin.Registration
	next     string
	bindings []location.Binding // used again
}

// tenant goes through the lines of a tenant behind the given one. It reports whether the page is full.
func (w *walk) tenant(t *directory.Tenant, after string) (full bool) {
	if w.q.Line != "" {
		return w.named(t, after)
	}
	for line := range w.snapshot.Lines(t.ID, after) {
		if w.line(t, line, "") {
			return true
		}
	}
	return false
}

// named goes to the line that has the number, and to that of the device that has the name.
func (w *walk) named(t *directory.Tenant, after string) (full bool) {
	line := w.snapshot.Line(t.ID, w.q.Line)
	account, ok := w.snapshot.Device(t.ID, w.q.Line)
	if ok && (line == nil || account.Line.ID != line.ID) && account.Line.Number > after && w.line(t, account.Line, w.q.Line) {
		return true
	}
	return line != nil && line.Number > after && w.line(t, line, "")
}

// line adds the bindings of a line, or of one device of it.
func (w *walk) line(t *directory.Tenant, line *directory.Line, device string) (full bool) {
	w.bindings = w.table.Lookup(w.bindings[:0], location.AOR{Tenant: t.ID, Line: line.ID}, w.now)
	for i := range w.bindings {
		b := &w.bindings[i]
		if (device == "" || b.Device == device) && strings.Contains(b.Contact, w.q.Contact) && w.isFrom(b.Flow.Remote) {
			w.page = append(w.page, registration(line, b))
		}
	}
	if len(w.page) < w.q.Limit {
		return false
	}
	w.next = cursor(t, line)
	return true
}

// isFrom reports whether an address is one of the wanted source.
func (w *walk) isFrom(a netip.AddrPort) bool {
	from := w.q.Source
	return (!from.IsValid() || from.Contains(a.Addr().Unmap().WithZone(""))) && (w.q.Port == 0 || w.q.Port == a.Port())
}

func registration(line *directory.Line, b *location.Binding) admin.Registration {
	return admin.Registration{ID: bindingID(line, b), Tenant: line.Tenant.String(), Line: line.Number, Device: b.Device, Contact: b.Contact,
		Source: b.Flow.Remote.String(), Transport: string(b.Flow.Transport), Path: known(b.Path), UserAgent: known(b.UserAgent),
		Registered: cdr.Time{Time: b.Updated}, Expires: cdr.Time{Time: b.Expires}}
}

// bindingID names a binding for as long as it lives.
func bindingID(line *directory.Line, b *location.Binding) string {
	h := fnv.New64a()
	fmt.Fprintf(h, "%s|%s|%s|%s|%d", line.Tenant, line.ID, b.Device, b.Contact, b.RegID)
	return strconv.FormatUint(h.Sum64(), 36)
}

// cursor is where a page of registrations ended.
func cursor(t *directory.Tenant, line *directory.Line) string {
	return url.QueryEscape(t.Name) + "/" + url.QueryEscape(line.Number)
}

// parseCursor reads a cursor; what is none is the beginning.
func parseCursor(c string) (tenant, number string) {
	before, after, _ := strings.Cut(c, "/")
	tenant, err1 := url.QueryUnescape(before)
	number, err2 := url.QueryUnescape(after)
	if err1 != nil || err2 != nil {
		return "", ""
	}
	return tenant, number
}
