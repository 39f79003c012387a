package admin

import (
	"context"
	"encoding/json"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"dialtone/internal/cdr"
	"dialtone/internal/directory"
	"dialtone/internal/guard"
	"dialtone/internal/store"
)

// Guard bans sources of SIP messages; *guard.Guard does.
type Guard interface {
	Banned(now time.Time) []guard.Ban
	Ban(addr netip.Addr, d time.Duration, now time.Time) guard.Ban
	Unban(addr netip.Addr, now time.Time) bool
	Trusted(addr netip.Addr) bool
}

// Ban is a source that is not heard.
type Ban struct {
	Source string   `json:"source" doc:"An IPv4 address, or the /64 of an IPv6 one"`
	Until  cdr.Time `json:"until"`
	Reason string   `json:"reason" enum:"password,flood,probe,scanner,operator"`
	Count  int      `json:"count" doc:"Bans that the source has had of late, this one included; those by hand do not count"`
}

// NewBan is the body of a request that bans a source.
type NewBan struct {
	Source  string `json:"source" doc:"An address; of an IPv6 one the whole /64 is banned"`
	Seconds int    `json:"seconds,omitempty" minimum:"1" maximum:"2592000" default:"3600"`
}

type (
	bansIn struct{}
	banIn  struct {
		ChangeParameter
		Body NewBan
	}
	banOut  struct{ Body Ban }
	unbanIn struct {
		ChangeParameter
		Source string `path:"source" doc:"An address of the source, or what the list calls it"`
	}
)

// banRoutes registers the bans. They belong to no tenant, and are for those who run the system.
func (a *api) banRoutes() {
	route(a, huma.Operation{
		OperationID: "list-bans", Method: http.MethodGet, Path: "/bans", Tags: []string{"bans"},
		Summary: "List the sources that are banned now, those that end last first",
	}, a.listBans)
	route(a, huma.Operation{
		OperationID: "add-ban", Method: http.MethodPost, Path: "/bans", Tags: []string{"bans"}, Summary: "Ban a source by hand",
		Description:   "Phones that have authenticated from there go on. Bans end with a restart.",
		DefaultStatus: http.StatusCreated, MaxBodyBytes: objectLimit,
	}, a.addBan)
	route(a, huma.Operation{
		OperationID: "remove-ban", Method: http.MethodDelete, Path: "/bans/{source}", Tags: []string{"bans"},
		Summary: "End the ban of a source, and forget what it has done", DefaultStatus: http.StatusNoContent,
	}, a.removeBan)
}

// runs is an error unless the request comes from somebody who runs the system.
func (a *api) runs(ctx context.Context) error {
	if !who(ctx).may(a.Directory.Snapshot(), runSystem, directory.ID{}) {
		return forbidden()
	}
	return nil
}

func (a *api) listBans(ctx context.Context, _ *bansIn) (*pageOut[Ban], error) {
	if err := a.runs(ctx); err != nil {
		return nil, err
	}
	out := &pageOut[Ban]{Body: Page[Ban]{Items: []Ban{}}}
	for _, b := range a.Guard.Banned(a.Now()) {
		out.Body.Items = append(out.Body.Items, banOf(b))
	}
	return out, nil
}

func (a *api) addBan(ctx context.Context, in *banIn) (*banOut, error) {
	if err := a.runs(ctx); err != nil {
		return nil, err
	}
	addr, ok := banSource(in.Body.Source)
	reason := ""
	switch {
	case !ok:
		reason = "is not an address"
	case a.Guard.Trusted(addr):
		reason = "is trusted by the static file: its guard.trusted would win"
	}
	if reason != "" {
		return nil, invalid(directory.Errors{{Field: "source", Code: directory.CodeInvalid, Reason: reason}})
	}
	d := time.Duration(in.Body.Seconds) * time.Second
	if d == 0 {
		d = time.Hour
	}
	b := Ban{Source: sourceText(guard.Source(addr)), Until: cdr.Time{Time: a.Now().Add(d)}, Reason: guard.ReasonOperator.String()}
	if in.DryRun {
		return &banOut{b}, nil
	}
	after, err := json.Marshal(b)
	if err != nil {
		return nil, a.failed(err)
	}
	// The row comes first: there is nothing that could fail after it.
	if err := a.noteBan(ctx, b.Source, nil, after); err != nil {
		return nil, a.failed(err)
	}
	return &banOut{banOf(a.Guard.Ban(addr, d, a.Now()))}, nil
}

func (a *api) removeBan(ctx context.Context, in *unbanIn) (*struct{}, error) {
	if err := a.runs(ctx); err != nil {
		return nil, err
	}
	addr, ok := banSource(in.Source)
	var before []byte
	for _, b := range a.Guard.Banned(a.Now()) {
		if ok && b.Source.Contains(addr) {
			var err error
			if before, err = json.Marshal(banOf(b)); err != nil {
				return nil, a.failed(err)
			}
		}
	}
	if before == nil {
		return nil, notFound("ban of", in.Source)
	}
	if in.DryRun {
		return nil, nil
	}
	if err := a.noteBan(ctx, sourceText(guard.Source(addr)), before, nil); err != nil {
		return nil, a.failed(err)
	}
	a.Guard.Unban(addr, a.Now())
	return nil, nil
}

// noteBan writes the audit row of a ban.
func (a *api) noteBan(ctx context.Context, source string, before, after []byte) error {
	act := store.Act{Kind: "ban", Key: source, Before: before, After: after}
	if t := a.Directory.Snapshot().TenantByName(directory.DefaultTenant); t != nil {
		act.Tenant = t.ID
	}
	return a.Store.Note(ctx, who(ctx).actor, act)
}

func banOf(b guard.Ban) Ban {
	return Ban{Source: sourceText(b.Source), Until: cdr.Time{Time: b.Until}, Reason: b.Reason.String(), Count: b.Count}
}

// sourceText writes an IPv4 source as the address that it is.
func sourceText(p netip.Prefix) string {
	if p.IsSingleIP() {
		return p.Addr().String()
	}
	return p.String()
}

// banSource reads an address, or a source as sourceText writes it.
func banSource(text string) (netip.Addr, bool) {
	text, bits, has := strings.Cut(text, "/")
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, false
	}
	addr = addr.Unmap()
	return addr, !has || bits == "64" && addr.Is6() || bits == "32" && addr.Is4()
}

// SourceBanned is the event of a ban that begins: "guard.banned".
type SourceBanned struct {
	Ban
}

// EventType implements event.Data.
func (SourceBanned) EventType() string { return "guard.banned" }

// SourceUnbanned is the event of a ban that was ended by hand: "guard.unbanned". Of those that end by themselves the end
// stands in the event of their beginning.
type SourceUnbanned struct {
	Source string `json:"source"`
}

// EventType implements event.Data.
func (SourceUnbanned) EventType() string { return "guard.unbanned" }

// AnnounceBan publishes a ban that begins. It belongs to no tenant.
func AnnounceBan(p Publisher, b guard.Ban) {
	p.Publish("", sourceText(b.Source), SourceBanned{banOf(b)})
}

// AnnounceUnban publishes the end of a ban by hand.
func AnnounceUnban(p Publisher, source netip.Prefix) {
	p.Publish("", sourceText(source), SourceUnbanned{sourceText(source)})
}
