// Package form is how the objects of the directory are written: the words of the API and of the configuration file,
// with references by name where the directory has identifiers, and with secrets that go in but never come out.
//
// It owns the translation between a form and its object, in both directions. It does not own the meaning of the fields
// (directory validates), how a form reaches us (JSON or YAML), or where objects are kept. A form says everything about
// its object: a field that is left out has its default. Only secrets are kept when they are left out, since nobody can
// repeat what is not shown.
//
// Pure values, no goroutines.
package form

import (
	"net/netip"
	"slices"
	"strconv"

	"dialtone/internal/directory"
)

// Names resolves the references between objects. Names are unique in their tenant, those of tenants everywhere. What
// only the whole directory can know (the destination of a number) is checked by the store.
type Names interface {
	TenantID(name string) (directory.ID, bool)
	TenantName(id directory.ID) string
	UserID(tenant directory.ID, name string) (directory.ID, bool)
	UserName(id directory.ID) string
	SiteID(tenant directory.ID, name string) (directory.ID, bool)
	SiteName(id directory.ID) string
}

// Head is what every form shows and nobody writes.
type Head struct {
	ID      string `json:"id,omitempty" readOnly:"true" doc:"UUIDv7"`
	Version int64  `json:"version,omitempty" readOnly:"true" doc:"Grows by one with each change; the ETag"`
}

func head(o directory.Object) Head { return Head{o.Head().ID.String(), o.Head().Version} }

// errs collects field errors.
type errs struct{ list directory.Errors }

func (e *errs) add(field, code, reason string) {
	e.list = append(e.list, directory.FieldError{Field: field, Code: code, Reason: reason})
}

// validate appends what the object says of itself, except about fields that already are at fault.
func (e *errs) validate(o directory.Object) directory.Errors {
	o.SetDefaults()
	own, _ := o.Validate().(directory.Errors) // Validate returns Errors or nil
	for _, f := range own {
		known := slices.ContainsFunc(e.list, func(k directory.FieldError) bool { return k.Field == f.Field })
		if !known {
			e.list = append(e.list, f)
		}
	}
	return e.list
}

// prefixes reads networks; a bare address is a network of one.
func (e *errs) prefixes(field string, texts []string) []netip.Prefix {
	var out []netip.Prefix
	for i, text := range texts {
		p, err := netip.ParsePrefix(text)
		if err != nil {
			addr, addrErr := netip.ParseAddr(text)
			if addrErr != nil || addr.Zone() != "" {
				e.add(field+"["+strconv.Itoa(i)+"]", directory.CodeInvalid, "is not a network such as 10.1.0.0/16")
				continue
			}
			p = netip.PrefixFrom(addr, addr.BitLen())
		}
		out = append(out, p)
	}
	return out
}

func texts(prefixes []netip.Prefix) []string {
	var out []string
	for _, p := range prefixes {
		out = append(out, p.String())
	}
	return out
}
