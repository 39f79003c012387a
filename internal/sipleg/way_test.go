package sipleg

import (
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"dialtone/internal/sip"
)

// line is a flow that does nothing.
type line struct {
	via, remote string
	reliable    bool
}

func (l *line) Send([]byte) error      { return nil }
func (l *line) Reliable() bool         { return l.reliable }
func (l *line) Via() string            { return l.via }
func (l *line) Remote() netip.AddrPort { return netip.MustParseAddrPort(l.remote) }
func (l *line) String() string {
	protocol, _, _ := strings.Cut(strings.TrimPrefix(l.via, "SIP/2.0/"), " ")
	return strings.ToLower(protocol) + " " + l.remote
}

// TestWay: what is sent while the way is looked for waits, keeps its order, and goes over what was found.
func TestWay(t *testing.T) {
	var w way
	var got []string
	send := func(name string) {
		w.do(func(f Flow) { got = append(got, name+" "+f.Remote().String()) })
	}
	old, better := &line{remote: "192.0.2.1:1"}, &line{remote: "192.0.2.2:2"}
	w.set(old)
	send("a")
	w.look()
	send("b")
	w.look() // a second search before the first has ended
	w.found(better)
	send("c")
	if len(got) != 1 {
		t.Fatalf("sent while looking: %q", got)
	}
	w.found(nil) // the second finds nothing: what there is stays
	send("d")
	want := []string{"a 192.0.2.1:1", "b 192.0.2.2:2", "c 192.0.2.2:2", "d 192.0.2.2:2"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	if w.now() != Flow(better) || w.waiting != nil {
		t.Errorf("flow %v, waiting %d", w.now(), len(w.waiting))
	}
}

// TestWayFromManyGoroutines: nothing is lost and nothing overlaps.
func TestWayFromManyGoroutines(t *testing.T) {
	var w way
	w.set(&line{})
	w.look()
	var all sync.WaitGroup
	sent, busy := 0, false
	for range 50 {
		all.Go(func() {
			w.do(func(Flow) { // never two at a time: the race detector would see it
				if busy {
					t.Error("two at a time")
				}
				busy = true
				sent++
				busy = false
			})
		})
	}
	all.Go(func() { w.found(nil) })
	all.Wait()
	w.do(func(Flow) {
		if sent != 50 {
			t.Errorf("%d sent", sent)
		}
	})
}

func TestContact(t *testing.T) {
	for _, tt := range []struct {
		via, user string
		secure    bool
		want      string
	}{
		{"SIP/2.0/UDP 192.0.2.1:5060", "101", false, "<sip:101@192.0.2.1:5060>"},
		{"SIP/2.0/UDP [2001:db8::1]:5060", "", false, "<sip:[2001:db8::1]:5060>"},
		{"SIP/2.0/TCP 192.0.2.1:5060", "a b", false, "<sip:a%20b@192.0.2.1:5060;transport=tcp>"},
		{"SIP/2.0/TLS pbx.example:5061", "101", false, "<sip:101@pbx.example:5061;transport=tls>"},
		{"SIP/2.0/TLS pbx.example:5061", "101", true, "<sips:101@pbx.example:5061;transport=tcp>"},
		{"SIP/2.0/WS 192.0.2.1:80", "101", false, "<sip:101@192.0.2.1:80;transport=ws>"},
		{"SIP/2.0/WSS 192.0.2.1:443", "101", true, "<sips:101@192.0.2.1:443;transport=wss>"},
	} {
		got := contact(&line{via: tt.via}, tt.user, tt.secure)
		if got != tt.want {
			t.Errorf("%s: %s, want %s", tt.via, got, tt.want)
		}
		if _, err := sip.ParseAddress([]byte(got)); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
}

// TestContacts: RFC 3261 §8.1.3.4: the targets of a 3xx by falling q, equal ones in their order.
func TestContacts(t *testing.T) {
	for header, want := range map[string]string{
		"<sip:a@x>": "sip:a@x",
		"<sip:a@x>;q=0.5, <sip:b@x>, <sip:c@x>;q=0.7":        "sip:b@x sip:c@x sip:a@x",
		"<sip:a@x>;q=0.5, <sip:b@x>;q=0.5, <sip:c@x>;q=0.50": "sip:a@x sip:b@x sip:c@x",
		"<sip:a@x>;q=1.0, <sip:b@x>, <sip:c@x>;q=1":          "sip:a@x sip:b@x sip:c@x",
		"<sip:a@x>;q=0.05, <sip:b@x>;q=0.1, <sip:c@x>;q=0":   "sip:b@x sip:a@x sip:c@x",
		"<sip:a@x>;q=much, <sip:b@x>;q=0.9":                  "sip:b@x sip:a@x",
		"*":                                                  "",
		"<tel:+98211234>":                                    "tel:+98211234",
		"<sip:1@x>" + strings.Repeat(", <sip:2@x>", 20):      "sip:1@x" + strings.Repeat(" sip:2@x", 9),
	} {
		m, err := sip.NewRequest(sip.INVITE, "sip:x").Via("SIP/2.0/UDP h;branch=z9hG4bK1").Add(sip.HFrom, "<sip:a@x>;tag=a").
			Add(sip.HTo, "<sip:b@x>").Add(sip.HCallID, "c").CSeq(1).Add(sip.HContact, header).Message()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(contacts(m), " "); got != want {
			t.Errorf("%s: %s, want %s", header, got, want)
		}
	}
}

func TestIsInside(t *testing.T) {
	for addr, want := range map[string]bool{
		"10.1.2.3": true, "172.31.0.1": true, "172.32.0.1": false, "192.168.1.1": true, "100.64.0.1": true, "100.127.255.255": true,
		"100.128.0.1": false, "127.0.0.1": true, "169.254.1.1": true, "0.0.0.0": true, "192.0.2.1": false, "fd00::1": true,
		"fe80::1": true, "::1": true, "2001:db8::1": false,
	} {
		if isInside(netip.MustParseAddr(addr)) != want {
			t.Errorf("%s: %v", addr, !want)
		}
	}
}

func TestNameAddr(t *testing.T) {
	for _, tt := range []struct{ name, number, domain, want string }{
		{"", "101", "pbx.example", "<sip:101@pbx.example>"},
		{`O"Hara`, "101", "pbx.example", `"O\"Hara" <sip:101@pbx.example>`},
		{"سارا", "+98211234", "pbx.example", `"سارا" <sip:+98211234@pbx.example>`},
		{"", "", "pbx.example", "<sip:anonymous@pbx.example>"},
		{"", "#1@evil\r\nX: y", "pbx.example", "<sip:%231%40evil%0D%0AX%3A%20y@pbx.example>"},
	} {
		got := nameAddr(tt.name, tt.number, tt.domain)
		if got != tt.want {
			t.Errorf("%s, want %s", got, tt.want)
		}
		if _, err := sip.ParseAddress([]byte(got)); err != nil {
			t.Errorf("%s: %v", got, err)
		}
	}
}

func TestUnsupported(t *testing.T) {
	for header, want := range map[string]string{"": "", "100rel": "", "timer, 100REL": "", "replaces": "replaces", "a, timer, b": "a b"} {
		b := sip.NewRequest(sip.INVITE, "sip:x").Via("SIP/2.0/UDP h;branch=z9hG4bK1").Add(sip.HFrom, "<sip:a@x>;tag=a").
			Add(sip.HTo, "<sip:b@x>").Add(sip.HCallID, "c").CSeq(1)
		if header != "" {
			b.Add(sip.HRequire, header)
		}
		m, err := b.Message()
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(Unsupported(m), " "); got != want {
			t.Errorf("%q: %q, want %q", header, got, want)
		}
		// What goes into Supported must be understood when it is required.
		for _, tag := range strings.Split(supported, ", ") {
			m, err := sip.NewRequest(sip.INVITE, "sip:x").Via("SIP/2.0/UDP h;branch=z9hG4bK1").Add(sip.HFrom, "<sip:a@x>;tag=a").
				Add(sip.HTo, "<sip:b@x>").Add(sip.HCallID, "c").CSeq(1).Add(sip.HRequire, tag).Message()
			if err != nil || Unsupported(m) != nil {
				t.Errorf("%s is in Supported and refused in Require (%v)", tag, err)
			}
		}
	}
}
