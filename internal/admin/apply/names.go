package apply

import (
	"context"
	"errors"

	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// Names resolves references inside a transaction, so that what the transaction has put is found too. It remembers what
// it has found. A failure of the store ends up in Err; the name is then taken as unknown.
type Names struct {
	ctx  context.Context // lives as long as one transaction
	tx   store.Tx
	ids  map[nameKey]directory.ID
	text map[directory.ID]string
	err  error
}

type nameKey struct {
	kind   directory.Kind
	tenant directory.ID
	name   string
}

// NewNames resolves by tx.
func NewNames(ctx context.Context, tx store.Tx) *Names {
	return &Names{ctx: ctx, tx: tx, ids: map[nameKey]directory.ID{}, text: map[directory.ID]string{}}
}

// Err is the first failure of the store.
func (n *Names) Err() error { return n.err }

// end cuts the names off from the transaction. What is not known by then is shown by its identifier.
func (n *Names) end() { n.tx = nil }

// learn takes down the name of an object, so that nobody has to ask for it.
func (n *Names) learn(o directory.Object) {
	k := nameKey{kind: o.ObjectKind(), name: o.Key()}
	if k.kind != directory.KindTenant {
		k.tenant = o.Head().Tenant
	}
	n.ids[k] = o.Head().ID
	n.text[o.Head().ID] = k.name
}

// TenantID implements form.Names.
func (n *Names) TenantID(name string) (directory.ID, bool) {
	return find(n, nameKey{kind: directory.KindTenant, name: name}, n.tx.Tenants())
}

// UserID implements form.Names.
func (n *Names) UserID(tenant directory.ID, name string) (directory.ID, bool) {
	return find(n, nameKey{directory.KindUser, tenant, name}, n.tx.Users())
}

// SiteID implements form.Names.
func (n *Names) SiteID(tenant directory.ID, name string) (directory.ID, bool) {
	return find(n, nameKey{directory.KindSite, tenant, name}, n.tx.Sites())
}

// TenantName implements form.Names.
func (n *Names) TenantName(id directory.ID) string { return name(n, id, store.Tx.Tenants) }

// UserName implements form.Names.
func (n *Names) UserName(id directory.ID) string { return name(n, id, store.Tx.Users) }

// SiteName implements form.Names.
func (n *Names) SiteName(id directory.ID) string { return name(n, id, store.Tx.Sites) }

func find[T any](n *Names, k nameKey, table store.Table[T]) (directory.ID, bool) {
	if id, ok := n.ids[k]; ok {
		return id, !id.IsZero()
	}
	found, err := table.Find(n.ctx, k.tenant, k.name)
	var id directory.ID
	switch {
	case err == nil:
		id = any(found).(directory.Object).Head().ID // tables hold objects
	case !errors.Is(err, store.ErrNotFound) && n.err == nil:
		n.err = err
	}
	n.ids[k] = id
	return id, !id.IsZero()
}

func name[T any](n *Names, id directory.ID, table func(store.Tx) store.Table[T]) string {
	if id.IsZero() {
		return ""
	}
	if text, ok := n.text[id]; ok {
		return text
	}
	if n.tx == nil {
		return id.String()
	}
	text := ""
	found, err := table(n.tx).Get(n.ctx, id)
	switch {
	case err == nil:
		text = any(found).(directory.Object).Key() // tables hold objects
	case !errors.Is(err, store.ErrNotFound) && n.err == nil:
		n.err = err
	}
	n.text[id] = text
	return text
}
