package conventions

import (
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "dialtone/"

// floors is the picture in ARCHITECTURE.md: a package imports from floors below its own. A directory that is not named
// here stands on the floor of the one above it.
func floors() map[string]int {
	return map[string]int{
		"internal/sip": 0, "internal/sdp": 0, "internal/rtp": 0, "internal/codec": 0, "internal/digest": 0,
		"internal/h323": 0, "internal/t38": 0, "internal/number": 0, "internal/cause": 0, "internal/quality": 0,

		"internal/network": 1, "internal/event": 1, "internal/sip/transport": 1, "internal/sip/transaction": 1,
		"internal/sip/dialog": 1, "internal/media": 1,

		"internal/directory": 2, "internal/location": 2, "internal/registrar": 2, "internal/proxy": 2, "internal/auth": 2,
		"internal/guard": 2, "internal/call": 2, "internal/sipleg": 2, "internal/h323leg": 2, "internal/trunk": 2,
		"internal/dialplan": 2, "internal/admission": 2, "internal/presence": 2, "internal/message": 2, "internal/transfer": 2,
		"internal/nexthop": 2,

		"internal/ringgroup": 3, "internal/ivr": 3, "internal/queue": 3, "internal/voicemail": 3, "internal/conference": 3,
		"internal/parking": 3, "internal/pickup": 3, "internal/paging": 3, "internal/announce": 3, "internal/faxbox": 3,
		"internal/remote": 3,

		"internal/exchange": 4, "internal/store": 4, "internal/cluster": 4, "internal/rating": 4, "internal/cdr": 4,
		"internal/report": 4, "internal/trace": 4, "internal/doctor": 4, "internal/config": 4, "internal/metrics": 4,
		"internal/softphone": 4, "internal/recording": 4,

		"internal/ingress": 5, "internal/admin": 5, "internal/provision": 5, "internal/automation": 5, "web": 5,

		"internal/server": 6, "internal/demo": 6, "internal/teltest": 7, "cmd": 7, "examples": 7, "interop": 7, "bench": 7,
		"internal/conventions": 7, "tools": 7,
	}
}

// edges are the imports allowed on one floor: "from" to each of "to". A name covers what is below it, too; what stands
// below one and the same name may import each other.
func edges() map[string][]string {
	edges := map[string][]string{
		"internal/sip":             {"internal/number"},
		"internal/sip/transport":   {"internal/network"},
		"internal/sip/transaction": {"internal/sip/transport"},
		"internal/sip/dialog":      {"internal/sip/transaction"},
		"internal/media":           {"internal/network"},
		"internal/registrar":       {"internal/location"},
		"internal/proxy":           {"internal/location", "internal/nexthop"},
		"internal/message":         {"internal/location"},
		"internal/presence":        {"internal/location", "internal/call"},
		"internal/sipleg":          {"internal/call"},
		"internal/h323leg":         {"internal/call"},
		"internal/transfer":        {"internal/call", "internal/sipleg"},
		"internal/exchange":        {"internal/rating", "internal/cdr", "internal/trace"},
		"internal/doctor":          {"internal/trace"},
		"internal/report":          {"internal/cdr", "internal/store"},
		"internal/cdr":             {"internal/store"},
		"internal/rating":          {"internal/store"},
		"internal/recording":       {"internal/store"},
		"internal/demo":            {"internal/server"},
	}
	for dir, floor := range floors() {
		switch {
		case floor == 2 && dir != "internal/directory":
			edges[dir] = append(edges[dir], "internal/directory")
		case floor == 3 && dir != "internal/announce":
			edges[dir] = append(edges[dir], "internal/announce")
		}
	}
	return edges
}

// pins say which packages a third-party module, or a package of the standard library, belongs to. Modules that are not
// named may be imported anywhere.
func pins() map[string][]string {
	return map[string][]string{
		"github.com/pion":             {"internal/media", "internal/codec/opus"},
		"github.com/jackc":            {"internal/store"},
		"modernc.org":                 {"internal/store"},
		"github.com/pressly":          {"internal/store"},
		"database/sql":                {"internal/store", "internal/directory"}, // values that scan themselves
		"github.com/nats-io":          {"internal/cluster"},
		"github.com/prometheus":       {"internal/metrics"},
		"github.com/danielgtaylor":    {"internal/admin"},
		"github.com/miekg/dns":        {"internal/sip/transport", "internal/network"},
		"github.com/alecthomas":       {"cmd", "internal/softphone"},
		"github.com/pelletier":        {"internal/config"},
		"go.yaml.in":                  {"internal/admin", "internal/store"},
		"github.com/coder/websocket":  {"internal/admin", "internal/remote", "internal/sip/transport"},
		"golang.org/x/sys":            {"internal/network"},
		"github.com/mattn/go-sqlite3": {},
		"net/http": {"internal/admin", "internal/provision", "internal/metrics", "internal/sip/transport",
			"internal/automation", "internal/remote", "internal/server", "cmd", "web", "tools", "interop", "examples"},
	}
}

// covers tells whether dir is name or stands below it.
func covers(name, dir string) bool { return dir == name || strings.HasPrefix(dir, name+"/") }

// home is the name in the table that covers a directory most closely.
func home(table map[string]int, dir string) (name string, found bool) {
	for name = dir; ; name = name[:strings.LastIndexByte(name, '/')] {
		if _, found = table[name]; found {
			return name, true
		}
		if !strings.Contains(name, "/") {
			return "", false
		}
	}
}

// allowed tells whether package from may import package to.
func allowed(table map[string]int, same map[string][]string, from, to string) bool {
	a, foundA := home(table, from)
	b, foundB := home(table, to)
	switch {
	case !foundA || !foundB:
		return false
	case a == b, table[b] < table[a]:
		return true
	case table[b] > table[a]:
		return false
	}
	return slices.ContainsFunc(same[a], func(name string) bool { return covers(name, to) })
}

func TestFloors(t *testing.T) {
	table, same := floors(), edges()
	for dir, files := range tree(t) {
		if _, found := home(table, dir); !found {
			t.Errorf("%s stands on no floor: give it one here and in ARCHITECTURE.md", dir)
			continue
		}
		for _, f := range files {
			if f.test() {
				continue
			}
			for _, spec := range f.ast.Imports {
				name, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				if to, ours := strings.CutPrefix(name, module); ours && !allowed(table, same, dir, to) {
					t.Errorf("%s imports %s, which is not on a floor below (nor a named exception)", f.name, to)
				}
			}
		}
	}
}

func TestPins(t *testing.T) {
	for dir, files := range tree(t) {
		for _, f := range files {
			if f.test() {
				continue
			}
			for _, spec := range f.ast.Imports {
				name, err := strconv.Unquote(spec.Path.Value)
				if err != nil {
					t.Fatal(err)
				}
				for pinned, homes := range pins() {
					if covers(pinned, name) && !slices.ContainsFunc(homes, func(h string) bool { return covers(h, dir) }) {
						t.Errorf("%s imports %s, which belongs to %s", f.name, name, strings.Join(homes, ", "))
					}
				}
			}
		}
	}
}

// The rules themselves: what they allow and what they forbid.
func TestAllowed(t *testing.T) {
	table, same := floors(), edges()
	for _, c := range []struct {
		from, to string
		want     bool
	}{
		{"internal/call", "internal/cause", true},
		{"internal/cause", "internal/call", false},
		{"internal/sip", "internal/number", true},
		{"internal/number", "internal/sip", false},
		{"internal/sip", "internal/sip/transport", false},
		{"internal/sip/transport", "internal/sip", true},
		{"internal/sip/transaction", "internal/sip/transport", true},
		{"internal/sip/transport", "internal/sip/transaction", false},
		{"internal/media/jitter", "internal/media", true},
		{"internal/media/jitter", "internal/network", true},
		{"internal/event", "internal/network", false},
		{"internal/call", "internal/directory", true},
		{"internal/directory", "internal/call", false},
		{"internal/call", "internal/sipleg", false},
		{"internal/sipleg", "internal/call", true},
		{"internal/queue", "internal/announce", true},
		{"internal/cdr", "internal/store", true},
		{"internal/cdr", "internal/store/sqlite", true},
		{"internal/store", "internal/cdr", false},
		{"internal/metrics", "internal/trace", false},
		{"internal/ingress", "internal/admin", false},
		{"cmd/dialtone", "internal/server", true},
		{"internal/server", "cmd/dialtone", false},
		{"internal/nowhere", "internal/sip", false},
	} {
		if got := allowed(table, same, c.from, c.to); got != c.want {
			t.Errorf("%s imports %s: allowed %v, want %v", c.from, c.to, got, c.want)
		}
	}
}
