// Package examples holds the files that the documents show to people, and the tests that keep them true: they are read
// by the code that reads them in the server. It has no goroutines.
package examples

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"dialtone/internal/admin/apply"
	"dialtone/internal/config"
	"dialtone/internal/sip"
	"dialtone/internal/store"
	"dialtone/internal/store/seal"
	"dialtone/internal/store/sqlite"
)

func read(t *testing.T, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func openStore(t *testing.T) apply.Store {
	t.Helper()
	dir := t.TempDir()
	keys, err := seal.LoadOrCreate(filepath.Join(dir, "secret.key"))
	if err != nil {
		t.Fatal(err)
	}
	s, err := sqlite.Open(t.Context(), sqlite.Config{Dir: dir, Keys: keys})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// Each file is taken without a warning, and taking it twice changes nothing.
func TestApplyFiles(t *testing.T) {
	for name, objects := range map[string]int{"first.yaml": 3, "office.yaml": 11, "edge.yaml": 3} {
		t.Run(name, func(t *testing.T) {
			s, text := openStore(t), read(t, name)
			r, err := apply.Apply(t.Context(), s, store.Actor{Name: "test"}, text, apply.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if r.Created != objects || len(r.Warnings) > 0 {
				t.Errorf("%d objects created, want %d; warnings %v", r.Created, objects, r.Warnings)
			}
			if r, err = apply.Apply(t.Context(), s, store.Actor{Name: "test"}, text, apply.Options{}); err != nil {
				t.Fatal(err)
			}
			if r.Created+r.Changed+r.Removed != 0 || r.Unchanged != objects {
				t.Errorf("the second time: %d created, %d changed, %d removed, %d unchanged", r.Created, r.Changed, r.Removed, r.Unchanged)
			}
		})
	}
}

// The static file says the defaults, so that it can be read as their documentation.
func TestStaticFileSaysTheDefaults(t *testing.T) {
	c, err := config.Parse("dialtone.toml", read(t, "dialtone.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if faults := c.Unsupported(); len(faults) > 0 {
		t.Errorf("the server would refuse it: %v", faults)
	}
	want, err := config.Parse("empty", nil)
	if err != nil {
		t.Fatal(err)
	}
	got := reflect.ValueOf(c)
	for i := range got.NumField() {
		field := got.Type().Field(i)
		if !field.IsExported() { // where the keys stood
			continue
		}
		if a, b := got.Field(i).Interface(), reflect.ValueOf(want).Field(i).Interface(); !same(a, b) {
			t.Errorf("%s is %+v, the default is %+v", field.Name, a, b)
		}
	}
}

// same compares sections; an empty list is none.
func same(a, b any) bool {
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	if va.Kind() != reflect.Struct {
		if va.Kind() == reflect.Slice && va.Len()+vb.Len() == 0 {
			return true
		}
		return reflect.DeepEqual(a, b)
	}
	for i := range va.NumField() {
		if !va.Type().Field(i).IsExported() {
			return reflect.DeepEqual(a, b)
		}
		if !same(va.Field(i).Interface(), vb.Field(i).Interface()) {
			return false
		}
	}
	return true
}

// The account of the softphone is for a device of first.yaml, with its password.
func TestSoftphoneAccount(t *testing.T) {
	var account string
	for line := range strings.Lines(string(read(t, "baresip-accounts"))) {
		if !strings.HasPrefix(line, "#") {
			account = strings.TrimSpace(line)
		}
	}
	address, parameters, ok := strings.Cut(account, ">;")
	if !ok {
		t.Fatalf("%q is not <address>;parameters", account)
	}
	u, err := sip.ParseURI([]byte(strings.TrimPrefix(address, "<")))
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(p, "=")
		values[name] = value
	}
	device := `{username: "` + values["auth_user"] + `", password: "` + values["auth_pass"] + `"}`
	if string(u.User) != values["auth_user"] || !strings.Contains(string(read(t, "first.yaml")), device) {
		t.Errorf("%s is not in first.yaml", device)
	}
}
