package apply

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/store"
	"dialtone/internal/store/relational"
	"dialtone/internal/store/seal"
	"dialtone/internal/store/sqlite"
)

var update = flag.Bool("update", false, "write the golden files")

func open(t testing.TB, dir string) *relational.Store {
	t.Helper()
	keys, err := seal.LoadOrCreate(filepath.Join(dir, "keys"))
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

func actor() store.Actor { return store.Actor{Name: "test"} }

func must(t testing.TB, s *relational.Store, text string, o Options) *Report {
	t.Helper()
	r, err := Apply(t.Context(), s, actor(), []byte(text), o)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	return r
}

func export(t testing.TB, s *relational.Store) string {
	t.Helper()
	var out bytes.Buffer
	if err := Export(t.Context(), s, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func rows(t testing.TB, s *relational.Store) int64 {
	t.Helper()
	n, err := s.VerifyAudit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func counts(r *Report) [4]int { return [4]int{r.Created, r.Changed, r.Removed, r.Unchanged} }

func whole(t testing.TB) string {
	t.Helper()
	text, err := os.ReadFile("testdata/whole.yaml")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestWholeFile(t *testing.T) {
	s := open(t, t.TempDir())
	plan := must(t, s, whole(t), Options{Plan: true})
	if got := counts(plan); got != [4]int{15, 0, 0, 0} || rows(t, s) != 0 || !plan.Plan {
		t.Fatalf("plan %v with %d audit rows", got, rows(t, s))
	}
	if got := counts(must(t, s, whole(t), Options{})); got != [4]int{15, 0, 0, 0} {
		t.Fatalf("first time %v", got)
	}
	before := rows(t, s)
	for _, o := range []Options{{}, {Prune: true}, {Plan: true, Prune: true}} {
		if r := must(t, s, whole(t), o); counts(r) != [4]int{0, 0, 0, 15} || len(r.Changes) != 0 {
			t.Errorf("again with %+v: %v %v", o, counts(r), r.Changes)
		}
	}
	if rows(t, s) != before {
		t.Error("applying again wrote audit rows")
	}
}

func TestExportIsTheSameFileAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	must(t, s, whole(t), Options{})
	first := export(t, s)
	before := rows(t, s)
	if r := must(t, s, first, Options{Prune: true}); counts(r) != [4]int{0, 0, 0, 15} {
		t.Errorf("applying the export: %v %v", counts(r), r.Changes)
	}
	if rows(t, s) != before || export(t, s) != first {
		t.Error("applying the export changed something")
	}
	for _, secret := range []string{"s3cret", "0123456789abcdef"} {
		if strings.Contains(first, secret) {
			t.Errorf("the export tells %s", secret)
		}
	}
	golden(t, regexp.MustCompile(`sealed: "[A-Za-z0-9+/=]+"`).ReplaceAllString(first, `sealed: "..."`))

	// A new installation with the same key file takes the export, secrets and all.
	fresh := t.TempDir()
	key, err := os.ReadFile(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(fresh, "keys"), key, 0o600); err != nil {
		t.Fatal(err)
	}
	other := open(t, fresh)
	if r := must(t, other, first, Options{}); r.Created != 15 {
		t.Errorf("a fresh installation: %v", counts(r))
	}
	if again := export(t, other); again != first {
		t.Errorf("a fresh installation exports\n%s\nnot\n%s", again, first)
	}
	view(t, other, func(tx store.Tx) {
		tenant, err := tx.Tenants().Find(t.Context(), directory.ID{}, "default")
		if err != nil {
			t.Fatal(err)
		}
		line, err := tx.Lines().Find(t.Context(), tenant.ID, "101")
		if err != nil {
			t.Fatal(err)
		}
		if !line.Devices[0].Credentials[0].Matches("101", "pbx.example.ir", "s3cret-101-long") {
			t.Error("the password did not survive")
		}
	})
}

func view(t *testing.T, s *relational.Store, fn func(store.Tx)) {
	t.Helper()
	if err := s.View(t.Context(), func(tx store.Tx) error { fn(tx); return nil }); err != nil {
		t.Fatal(err)
	}
}

func golden(t *testing.T, got string) {
	t.Helper()
	const path = "testdata/whole.export.yaml"
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("export\n%s\nwant\n%s", got, want)
	}
}

func TestFaultsNameTheirLines(t *testing.T) {
	s := open(t, t.TempDir())
	for _, c := range []struct{ name, text, want string }{
		{"nothing like YAML", "a: b: c", "1 mapping values are not allowed in this context"},
		{"broken later", "lines:\n  - {number: \"1\"\n  - x", "2 did not find expected ',' or '}'"},
		{"a list", "- a", "1 must be fields with values, not a list"},
		{"a word", "hello", "1 must be fields with values, not a text"},
		{"unknown section", "tenant: default\nliens: []", "2 liens: unknown key"},
		{"section of later", "\ntrunks:\n  - {name: a}", "2 trunks: section trunks is not supported by this version"},
		{"unknown key", "lines:\n  - number: \"101\"\n    nam: x", "3 lines[0].nam: unknown key"},
		{"key of later", "lines:\n  - number: \"101\"\n    voicemail: {enabled: true}", "3 lines[0].voicemail: is not supported by this version"},
		{"identifier", "lines: [{number: \"1\", id: x}]", "1 lines[0].id: unknown key"},
		{"key twice", "lines:\n  - number: \"1\"\n    number: \"2\"", "3 lines[0].number: is written twice"},
		{"section twice", "lines: []\nlines: []", "2 lines: is written twice"},
		{"alias", "sites: &x []\nusers: *x", "1 sites: anchors, aliases and merge keys are not part of this file\n2 users: anchors, aliases and merge keys are not part of this file"},
		{"merge key", "lines:\n  - {number: \"1\", <<: {name: x}}", "2 lines[0].<<: anchors, aliases and merge keys are not part of this file"},
		{"section of the wrong kind", "lines: {number: 1}", "1 lines: must be a list, not fields"},
		{"entry of the wrong kind", "lines:\n  - 101", "2 lines[0]: must be fields with values, not a number"},
		{"text of the wrong kind", "lines:\n  - number: [1]", "2 lines[0].number: must be a text, not a list"},
		{"number of the wrong kind", "lines:\n  - {number: \"1\", max_calls: many}", "2 lines[0].max_calls: must be a whole number, not a text"},
		{"media of the wrong kind", "lines:\n  - number: \"1\"\n    devices: [{username: a, password: longer-secret, media: 7}]", "3 lines[0].devices[0].media: must be fields with values, not a number"},
		{"media unknown", "lines:\n  - number: \"1\"\n    devices: [{username: a, password: longer-secret, media: {key: dtls}}]", "3 lines[0].devices[0].media.key: unknown key"},
		{"tenant twice", "tenant: a\n---\ntenant: a", "3 tenant: the file has another document for a"},
		{"missing number", "lines:\n  - {name: x}", "2 lines[0].number: is required"},
		{"same number twice", "lines:\n  - {number: \"1\"}\n  - {number: \"1\"}", "3 lines[1].number: is already in lines[0]"},
		{"no such user", "lines:\n  - number: \"1\"\n    user: sara", "3 lines[0].user: no such user"},
		{"no such parent", "tenant: default\nparent: nobody", "2 parent: no such tenant"},
		{"no such line", "numbers:\n  - number: \"+982188776655\"\n    to: line:9", "3 numbers[0].to: names a line that does not exist"},
		{"drain", "next_hops:\n  - {name: a, prefix: \"1\", targets: [{uri: \"sip:a\", drain: maybe}]}", "2 next_hops[0].targets[0].drain: must be true or false, not a text"},
		{"state", "next_hops:\n  - {name: a, prefix: \"1\", targets: [{uri: \"sip:a\"}], state: []}", "2 next_hops[0].state: unknown key"},
		{"patience", "next_hops:\n  - name: a\n    prefix: \"1\"\n    targets: [{uri: \"sip:a\"}]\n    patience: 5 hours", "5 next_hops[0].patience: is not a length of time such as 2s"},
		{"own domain", "domains: [a.example]\nnext_hops:\n  - {name: a, domain: A.example, targets: [{uri: \"sip:a\"}]}", "1 domains: has the domain of next hop a\n3 next_hops[0].domain: is a domain of tenant default"},
		{"no destination", "numbers:\n  - number: \"+982188776655\"\n    to: nowhere", "3 numbers[0].to: is not written as kind:name"},
		{"device without password", "lines:\n  - number: \"1\"\n    devices:\n      - {username: a}", "4 lines[0].devices[0].password: is required"},
		{"two secrets", "lines:\n  - number: \"1\"\n    devices:\n      - {username: a, password: x, sealed: y}", "4 lines[0].devices[0].password: give one of password, sealed and ha1"},
		{"bad hash", "lines:\n  - number: \"1\"\n    devices:\n      - username: a\n        ha1: xyz", "5 lines[0].devices[0].ha1: is not 32 hexadecimal digits"},
		{"bad network", "sites:\n  - name: x\n    subnets:\n      - 10.0.0.0/8\n      - ten", "5 sites[0].subnets[1]: is not a network"},
		{"username twice", "lines:\n  - {number: \"1\", devices: [{username: a, password: longer-secret}]}\n  - number: \"2\"\n    devices:\n      - {username: a, password: longer-secret}", "5 lines[1].devices[0].username: belongs to a device of another line"},
		{
			"grammar and meaning together", "trunks: []\nlines:\n  - {number: \"1\", forward: {}}\n  - {number: [2]}\n  - {number: \"3\", user: nobody}\n  - 4",
			"1 trunks: section trunks is not supported\n3 lines[0].forward: is not supported by this version\n4 lines[1].number: must be a text\n5 lines[2].user: no such user\n6 lines[3]: must be fields",
		},
		{
			"a user that cannot be read is not missing", "users:\n  - {name: [sara]}\nlines:\n  - {number: \"1\", user: sara}\n  - {number: \"2\", product: car}",
			"2 users[0].name: must be a text\n5 lines[1].product: must be",
		},
		{"nothing is said after a broken section", "users: 7\nlines:\n  - {number: \"1\", user: sara}", "1 users: must be a list, not a number"},
		{
			"all of them", "tenant: default\nusers:\n  - {name: x, role: king}\nlines:\n  - {number: \"1\", product: car}\n  - {number: \"\"}\nnumbers:\n  - {number: \"12\", to: \"line:1\"}",
			"3 users[0].role: must be owner, admin, supervisor, agent, user, reader\n5 lines[0].product: must be extension, sip-phone\n6 lines[1].number: is required\n8 numbers[0].number: must be + and 7 to 15 digits",
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Apply(t.Context(), s, actor(), []byte(c.text), Options{})
			var faults Faults
			if !errors.As(err, &faults) {
				t.Fatalf("error %v, want Faults", err)
			}
			got, want := strings.Split(err.Error(), "\n"), strings.Split(c.want, "\n")
			if len(got) != len(want) {
				t.Fatalf("got\n%s\nwant\n%s", err, c.want)
			}
			for i := range want {
				if !strings.HasPrefix(got[i], want[i]) {
					t.Errorf("got  %s\nwant %s", got[i], want[i])
				}
			}
		})
	}
	if n := rows(t, s); n != 0 {
		t.Errorf("files with faults wrote %d audit rows", n)
	}
}

func TestNothingGoesWithoutPrune(t *testing.T) {
	s := open(t, t.TempDir())
	must(t, s, `
sites: [{name: a}, {name: b}]
lines:
  - {number: "101", name: x, devices: [{username: one, password: long-secret-1}, {username: two, password: long-secret-2}]}
  - {number: "102"}
numbers: [{number: "+982188776655", to: "line:102"}]
next_hops: [{name: hop, domain: x.example, targets: [{uri: "sip:a"}]}, {name: other, prefix: "1", targets: [{uri: "sip:b"}]}]
`, Options{})
	const less = `
sites: [{name: a}]
lines:
  - {number: "101", devices: [{username: two}]}
numbers: []
next_hops: [{name: hop, domain: x.example, targets: [{uri: "sip:a"}]}]
`
	r := must(t, s, less, Options{})
	if counts(r) != [4]int{0, 1, 0, 3} || r.Changes[0].String() != "change line 101 of default: devices, name" {
		t.Errorf("without prune: %v %v", counts(r), r.Changes)
	}
	if text := export(t, s); !strings.Contains(text, "one") || !strings.Contains(text, "name: b") {
		t.Errorf("something went:\n%s", text)
	}
	r = must(t, s, less, Options{Prune: true, Plan: true})
	if counts(r) != [4]int{0, 1, 4, 3} {
		t.Errorf("plan: %v %v", counts(r), r.Changes)
	}
	r = must(t, s, less, Options{Prune: true})
	if counts(r) != [4]int{0, 1, 4, 3} {
		t.Errorf("with prune: %v %v", counts(r), r.Changes)
	}
	text := export(t, s)
	for _, gone := range []string{"username: one", "name: b", "102", "+98", "name: other"} {
		if strings.Contains(text, gone) {
			t.Errorf("%s is still there:\n%s", gone, text)
		}
	}
	r = must(t, s, "lines:\n  - {number: \"101\"}", Options{Prune: true})
	if !strings.Contains(export(t, s), "username: two") || counts(r)[1] != 0 {
		t.Errorf("devices went though the file does not speak of them: %v", r.Changes)
	}
}

func TestPruneOfWhatIsInUseIsAFault(t *testing.T) {
	s := open(t, t.TempDir())
	must(t, s, "users: [{name: sara}]\nlines: [{number: \"1\", user: sara}]", Options{})
	_, err := Apply(t.Context(), s, actor(), []byte("users: []"), Options{Prune: true})
	var faults Faults
	if !errors.As(err, &faults) || len(faults) != 1 || faults[0].Code != directory.CodeInUse {
		t.Errorf("error %v", err)
	}
}

func TestWeakSecretsAreWarnings(t *testing.T) {
	s := open(t, t.TempDir())
	const file = "users:\n  - {name: a, password: abc}\nlines:\n  - number: \"1\"\n    devices:\n      - {username: \"1\", password: \"1234\"}\n"
	r := must(t, s, file, Options{})
	if len(r.Warnings) != 2 || r.Warnings[0].Line != 2 || r.Warnings[0].Field != "users[0].password" || r.Warnings[1].Line != 6 {
		t.Errorf("warnings %+v", r.Warnings)
	}
	if r := must(t, s, file, Options{}); counts(r) != [4]int{0, 0, 0, 3} {
		t.Errorf("again: %v %v", counts(r), r.Changes)
	}
}

func TestHeaderIsLeftAloneWhereItIsAbsent(t *testing.T) {
	s := open(t, t.TempDir())
	must(t, s, "tenant: acme\ndomains: [a.example]\nlanguage: fa", Options{})
	if r := must(t, s, "tenant: acme", Options{Prune: true}); counts(r) != [4]int{0, 0, 0, 1} {
		t.Errorf("absent: %v", r.Changes)
	}
	r := must(t, s, "tenant: acme\ndomains: []\nlanguage: \"\"", Options{})
	if len(r.Changes) != 1 || r.Changes[0].String() != "change tenant acme: domains, language" {
		t.Errorf("empty: %v", r.Changes)
	}
	if text := export(t, s); !strings.Contains(text, "realm: a.example") {
		t.Errorf("the realm went with the domain:\n%s", text)
	}
}

// A file of 100,000 lines is to be applied in less than a minute; BenchmarkApply measures that. A fiftieth of it here.
func TestLargeFile(t *testing.T) {
	s := open(t, t.TempDir())
	file := large(2_000)
	begin := time.Now()
	r := must(t, s, file, Options{})
	if r.Created != 2_001 {
		t.Errorf("created %d", r.Created)
	}
	t.Logf("2,000 lines with devices in %v", time.Since(begin))
	begin = time.Now()
	if r := must(t, s, file, Options{Prune: true}); r.Unchanged != 2_001 {
		t.Errorf("again: %v", counts(r))
	}
	t.Logf("again in %v", time.Since(begin))
}
