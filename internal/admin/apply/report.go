package apply

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"

	"dialtone/internal/admin/form"
	"dialtone/internal/directory"
)

// Report is what applying a file did, or would do.
type Report struct {
	Plan      bool      `json:"plan" doc:"Nothing was changed: this is what would be"`
	Created   int       `json:"created"`
	Changed   int       `json:"changed"`
	Removed   int       `json:"removed"`
	Unchanged int       `json:"unchanged"`
	Changes   []Change  `json:"changes" nullable:"false"`
	Warnings  []Warning `json:"warnings" nullable:"false"`
}

// Change is one object that is not as it was.
type Change struct {
	Action string   `json:"action" enum:"create,change,remove"`
	Tenant string   `json:"tenant" doc:"Name of the tenant"`
	Kind   string   `json:"kind" doc:"tenant, site, user, line, number or next_hop"`
	Key    string   `json:"key" doc:"Name or number"`
	Fields []string `json:"fields,omitempty" doc:"What is changed"`
}

// Warning is something that was done and should be looked at.
type Warning struct {
	Line   int    `json:"line"`
	Field  string `json:"field"`
	Reason string `json:"reason"`
}

// The actions of a Change.
const (
	create = "create"
	change = "change"
	remove = "remove"
)

// Describe puts a change of an object into words.
func Describe(c directory.Change, names form.Names) Change {
	o := c.Object()
	d := Change{Kind: string(o.ObjectKind()), Key: o.Key()}
	if tenant, ok := o.(*directory.Tenant); ok {
		d.Tenant = tenant.Name
	} else {
		d.Tenant = names.TenantName(o.Head().Tenant)
	}
	switch {
	case c.Before == nil:
		d.Action = create
	case c.After == nil:
		d.Action = remove
	default:
		d.Action = change
		d.Fields = differing(c.Before, c.After, names)
	}
	return d
}

// Form writes any object.
func Form(o directory.Object, names form.Names) any {
	switch o := o.(type) {
	case *directory.Tenant:
		return form.OfTenant(o, names)
	case *directory.Site:
		return form.OfSite(o, names)
	case *directory.User:
		return form.OfUser(o, names)
	case *directory.Line:
		return form.OfLine(o, names)
	case *directory.Number:
		return form.OfNumber(o, names)
	case *directory.NextHop:
		return form.OfNextHop(o, names)
	case *directory.Room:
		return form.OfRoom(o, names)
	}
	panic("apply: no form for a " + string(o.ObjectKind()))
}

// differing names the fields that two versions of an object do not share. Secrets are told apart, not told.
func differing(before, after directory.Object, names form.Names) []string {
	a, b := fieldsOf(before, names), fieldsOf(after, names)
	var fields []string
	for name, value := range a {
		if !bytes.Equal(value, b[name]) {
			fields = append(fields, name)
		}
	}
	for name := range b {
		if _, ok := a[name]; !ok {
			fields = append(fields, name)
		}
	}
	if secretsDiffer(before, after) {
		fields = append(fields, "password")
	}
	slices.Sort(fields)
	return slices.DeleteFunc(fields, func(f string) bool { return f == "version" })
}

func fieldsOf(o directory.Object, names form.Names) map[string]json.RawMessage {
	fields := map[string]json.RawMessage{}
	text, err := json.Marshal(Form(o, names))
	if err == nil {
		err = json.Unmarshal(text, &fields)
	}
	if err != nil {
		panic("apply: a form is not JSON: " + err.Error()) // forms are plain structs
	}
	return fields
}

func secretsDiffer(before, after directory.Object) bool {
	switch b := before.(type) {
	case *directory.User:
		a, ok := after.(*directory.User)
		return ok && a.PasswordHash.Reveal() != b.PasswordHash.Reveal()
	case *directory.Line:
		a, ok := after.(*directory.Line)
		if !ok {
			return false
		}
		for i := range a.Devices {
			at := slices.IndexFunc(b.Devices, func(d directory.Device) bool { return d.Username == a.Devices[i].Username })
			if at >= 0 && !slices.EqualFunc(a.Devices[i].Credentials, b.Devices[at].Credentials, sameCredential) {
				return true
			}
		}
	}
	return false
}

func sameCredential(a, b directory.Credential) bool { return a.MD5 == b.MD5 && a.SHA256 == b.SHA256 }

// String writes the change as a plan shows it: "change line 101 of default: name, devices".
func (c Change) String() string {
	s := c.Action + " " + c.Kind + " " + c.Key
	if c.Kind != string(directory.KindTenant) {
		s += " of " + c.Tenant
	}
	if len(c.Fields) > 0 {
		s += ": " + strings.Join(c.Fields, ", ")
	}
	return s
}
