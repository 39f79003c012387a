package apply

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"reflect"
	"strconv"
	"strings"

	"dialtone/internal/admin/form"
	"dialtone/internal/directory"
	"dialtone/internal/store"
)

// Export writes everything that is configured as one file, secrets sealed: applying it changes nothing.
func Export(ctx context.Context, s Store, w io.Writer) error {
	out := &exporter{w: bufio.NewWriter(w)}
	err := s.View(ctx, func(tx store.Tx) error {
		names := NewNames(ctx, tx)
		for after := ""; ; {
			tenants, err := tx.Tenants().List(ctx, directory.ID{}, after, listed)
			if err != nil {
				return err
			}
			for _, tenant := range tenants {
				after = tenant.Name
				if err := out.tenant(ctx, tx, names, tenant); err != nil {
					return err
				}
			}
			if len(tenants) < listed {
				return names.Err()
			}
		}
	})
	if err != nil {
		return fmt.Errorf("export: %w", err)
	}
	if out.err != nil {
		return fmt.Errorf("export: %w", out.err)
	}
	return out.w.Flush()
}

// exporter writes YAML. Strings that are more than a word are written as JSON strings, which YAML reads as they are.
type exporter struct {
	w       *bufio.Writer
	started bool
	err     error // the first failure to write
}

func (x *exporter) print(parts ...string) {
	for _, p := range parts {
		if _, err := x.w.WriteString(p); err != nil && x.err == nil {
			x.err = err
		}
	}
}

func (x *exporter) tenant(ctx context.Context, tx store.Tx, names *Names, tenant *directory.Tenant) error {
	if x.started {
		x.print("---\n")
	}
	x.started = true
	f := form.OfTenant(tenant, names)
	x.print("tenant: ", scalar(f.Name), "\n", "kind: ", scalar(f.Kind), "\n")
	if f.Parent != "" {
		x.print("parent: ", scalar(f.Parent), "\n")
	}
	x.print("domains: ", flow(reflect.ValueOf(f.Domains)), "\n", "realm: ", scalar(f.Realm), "\n")
	if f.Language != "" {
		x.print("language: ", scalar(f.Language), "\n")
	}
	err := list(ctx, x, "sites", tx.Sites(), tenant, func(s *directory.Site) any { return form.OfSite(s, names) })
	if err != nil {
		return err
	}
	err = list(ctx, x, "users", tx.Users(), tenant, func(u *directory.User) any {
		f := form.OfUser(u, names)
		f.Sealed = u.PasswordHash
		return f
	})
	if err != nil {
		return err
	}
	err = list(ctx, x, "lines", tx.Lines(), tenant, func(l *directory.Line) any {
		f := form.OfLine(l, names)
		for i := range f.Devices {
			if len(l.Devices[i].Credentials) > 0 {
				f.Devices[i].Sealed = base64.StdEncoding.EncodeToString(l.Devices[i].Credentials[0].Sealed)
			}
		}
		return f
	})
	if err != nil {
		return err
	}
	err = list(ctx, x, "numbers", tx.Numbers(), tenant, func(n *directory.Number) any { return form.OfNumber(n, names) })
	if err != nil {
		return err
	}
	err = list(ctx, x, "rooms", tx.Rooms(), tenant, func(r *directory.Room) any {
		f := form.OfRoom(r, names)
		f.Protected = false // it follows from the PIN
		if len(r.Sealed) > 0 {
			f.Sealed = base64.StdEncoding.EncodeToString(r.Sealed)
		}
		return f
	})
	if err != nil {
		return err
	}
	return list(ctx, x, "next_hops", tx.NextHops(), tenant, func(n *directory.NextHop) any { return form.OfNextHop(n, names) })
}

// list writes a section. One without objects is left out: written, it would let --prune remove what is made meanwhile.
func list[T any, O object[T]](
	ctx context.Context, x *exporter, section string, table store.Table[T], tenant *directory.Tenant, write func(O) any,
) error {
	begun := false
	for after := ""; ; {
		objects, err := table.List(ctx, tenant.ID, after, listed)
		if err != nil {
			return err
		}
		for _, o := range objects {
			after = O(o).Key()
			if !begun {
				x.print(section, ":\n")
				begun = true
			}
			x.entry(reflect.ValueOf(write(o)))
		}
		if len(objects) < listed {
			return x.err
		}
	}
}

// entry writes an object: its fields in braces, a list of structs below them, one a line.
func (x *exporter) entry(v reflect.Value) {
	var below []string
	separator := "  - "
	for name, field := range written(v) {
		if field.Kind() == reflect.Slice && field.Type().Elem().Kind() == reflect.Struct {
			below = append(below, "    "+name+":\n")
			for i := range field.Len() {
				below = append(below, "      - "+flow(field.Index(i))+"\n")
			}
			continue
		}
		x.print(separator, name, ": ", flow(field), "\n")
		separator = "    "
	}
	x.print(below...)
}

// written yields the fields of a form that are written: those that are not empty.
func written(v reflect.Value) func(func(string, reflect.Value) bool) {
	return func(yield func(string, reflect.Value) bool) {
		t := v.Type()
		for i := range t.NumField() {
			if t.Field(i).Anonymous || v.Field(i).IsZero() {
				continue
			}
			name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
			if !yield(name, v.Field(i)) {
				return
			}
		}
	}
}

// flow writes a value on one line.
func flow(v reflect.Value) string {
	switch v.Kind() {
	case reflect.String:
		return scalar(v.String())
	case reflect.Int:
		return strconv.FormatInt(v.Int(), 10)
	case reflect.Bool:
		return strconv.FormatBool(v.Bool())
	case reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = flow(v.Index(i))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case reflect.Pointer:
		return flow(v.Elem()) // where it is nil, nothing is written
	case reflect.Struct:
		var parts []string
		for name, field := range written(v) {
			parts = append(parts, name+": "+flow(field))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	default:
		panic("apply: no way to write a " + v.Kind().String())
	}
}

// scalar writes a text: a plain word where YAML cannot mistake it for anything else, else quoted.
func scalar(s string) string {
	if isWord(s) {
		return s
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(s); err != nil {
		panic("apply: a text is not JSON: " + err.Error()) // every string is
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// isWord tells whether s is a word that starts with a letter and that no version of YAML reads as something else.
func isWord(s string) bool {
	if s == "" || s[0] < 'A' || s[0] > 'z' || (s[0] > 'Z' && s[0] < 'a') {
		return false
	}
	for i := range len(s) {
		c := s[i]
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	switch strings.ToLower(s) {
	case "true", "false", "yes", "no", "on", "off", "y", "n", "null":
		return false
	}
	return true
}
