package nexthop

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"dialtone/internal/directory"
	"dialtone/internal/event"
)

// TestMain fails when a goroutine outlives its test.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func targets(uris ...string) (out []directory.HopTarget) {
	for _, u := range uris {
		out = append(out, directory.HopTarget{URI: u})
	}
	return out
}

// snapshot is a directory with the default tenant that has these sets.
func snapshot(t testing.TB, sets ...*directory.NextHop) *directory.Snapshot {
	t.Helper()
	d := directory.New()
	tenant := &directory.Tenant{Name: directory.DefaultTenant, Domains: []string{"own.example"}}
	tenant.ID = directory.ID{1}
	tenant.SetDefaults()
	changes := []directory.Change{{After: tenant}}
	for i, n := range sets {
		if n.ID.IsZero() {
			n.ID = directory.ID{2, byte(i)}
		}
		if n.Tenant.IsZero() {
			n.Tenant = tenant.ID
		}
		n.SetDefaults()
		if err := n.Validate(); err != nil {
			t.Fatal(err)
		}
		changes = append(changes, directory.Change{After: n})
	}
	return d.Apply(changes)
}

func TestWhichSet(t *testing.T) {
	one := targets("sip:10.0.0.1")
	h := New(Config{})
	if h.ForDomain([]byte("a.example"), nil) != nil || h.ForTenant(directory.ID{1}, nil) != nil {
		t.Error("an empty table has a set")
	}
	sets := []*directory.NextHop{
		{Name: "all", Domain: "a.example", Targets: one}, {Name: "iran", Domain: "a.example", Prefix: "+98", Targets: one},
		{Name: "tehran", Domain: "a.example", Prefix: "+9821", Targets: one}, {Name: "short", Domain: "b.example", Prefix: "1", Targets: one},
		{Name: "world", Prefix: "+", Targets: one}, {Name: "mobile", Prefix: "+989", Targets: one},
	}
	h.Update(snapshot(t, sets...))
	name := func(s *Set) string {
		if s == nil {
			return ""
		}
		for _, n := range sets {
			if n.ID == s.ID {
				return n.Name
			}
		}
		return "?"
	}
	for _, c := range []struct{ domain, user, want string }{
		{"a.example", "", "all"}, {"a.example", "101", "all"}, {"A.Example.", "101", "all"}, {"a.example", "+98", "iran"},
		{"a.example", "+989121234567", "iran"}, {"a.example", "+98218877", "tehran"}, {"a.example", "+9", "all"},
		{"b.example", "101", "short"}, {"b.example", "201", ""}, {"b.example", "", ""}, {"c.example", "101", ""}, {"", "", ""},
		{"own.example", "+98912", ""}, // the tenant's own domain has no set of its own
	} {
		if got := name(h.ForDomain([]byte(c.domain), []byte(c.user))); got != c.want {
			t.Errorf("%s@%s goes to %q, want %q", c.user, c.domain, got, c.want)
		}
	}
	for user, want := range map[string]string{"+98912": "mobile", "+9821": "world", "101": "", "": ""} {
		if got := name(h.ForTenant(directory.ID{1}, []byte(user))); got != want {
			t.Errorf("%q of our own goes to %q, want %q", user, got, want)
		}
	}
	if h.ForTenant(directory.ID{9}, []byte("+98912")) != nil {
		t.Error("another tenant uses the set")
	}
}

// words are how the targets of the only set are.
func words(h *Hops) string {
	var out []string
	for _, s := range h.All() {
		out = append(out, s.Word)
	}
	return strings.Join(out, " ")
}

func TestDrainAndLoop(t *testing.T) {
	list := targets("sip:10.0.0.1", "sip:10.0.0.2", "sip:10.0.0.3:5060")
	list[1].Drain = true
	h := New(Config{Own: func(host []byte, port uint16) bool { return string(host) == "10.0.0.3" && port == 5060 }})
	h.Update(snapshot(t, &directory.NextHop{Name: "a", Domain: "a.example", Targets: list}))
	if got := words(h); got != "up draining loop" {
		t.Errorf("states %q", got)
	}
	s := h.ForDomain([]byte("a.example"), nil)
	for n := range 50 {
		if got := s.Order(nil, callKey(n), false, time.Now()); len(got) != 1 || got[0].URI != "sip:10.0.0.1" {
			t.Fatalf("something new goes to %v", got)
		}
	}
	begun := map[string]bool{}
	for n := range 50 {
		for _, target := range s.Order(nil, callKey(n), true, time.Now()) {
			begun[target.URI] = true
		}
	}
	if !begun["sip:10.0.0.2"] || begun["sip:10.0.0.3:5060"] {
		t.Errorf("what has begun goes to %v", begun)
	}
}

func TestMemoryOfFailures(t *testing.T) {
	h := New(Config{})
	h.Update(snapshot(t, &directory.NextHop{Name: "a", Domain: "a.example", Health: directory.HealthNone, Targets: targets("sip:10.0.0.1", "sip:10.0.0.2")}))
	s := h.ForDomain([]byte("a.example"), nil)
	now := time.Now()
	first := func(at time.Duration) string { return s.Order(nil, 1, false, now.Add(at))[0].URI }
	favourite := s.Order(nil, 1, false, now)[0]
	for _, c := range []struct {
		name  string
		what  func()
		until time.Duration // the favourite is last
	}{
		{"silence", func() { favourite.Failed(now) }, 30 * time.Second},
		{"silence, then an answer", func() { favourite.Failed(now); favourite.Answered() }, 0},
		{"503", func() { favourite.Busy(now, 0) }, 30 * time.Second},
		{"503 for a minute", func() { favourite.Busy(now, time.Minute) }, time.Minute},
		{"503 for a minute, then an answer to another call", func() { favourite.Busy(now, time.Minute); favourite.Answered() }, time.Minute},
		{"503 for a day", func() { favourite.Busy(now, 24*time.Hour) }, 5 * time.Minute},
	} {
		c.what()
		if c.until > 0 && first(c.until-time.Millisecond) == favourite.URI {
			t.Errorf("%s: tried first within %v", c.name, c.until)
		}
		if first(c.until) != favourite.URI {
			t.Errorf("%s: tried last after %v", c.name, c.until)
		}
		favourite.life.silent.Store(0)
		favourite.life.busy.Store(0)
	}
}

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		down   bool
		missed int
		alive  bool
		want   bool
		left   int
	}{
		{false, 0, true, false, 0}, {false, 2, true, false, 0}, {true, 7, true, false, 0},
		{false, 0, false, false, 1}, {false, 1, false, false, 2}, {false, 2, false, true, 3},
		{true, 3, false, true, 4},
		{false, 5, false, false, 1}, // a request was answered after it had been down
	} {
		if down, missed := judge(c.down, c.missed, c.alive); down != c.want || missed != c.left {
			t.Errorf("judge(%v, %d, %v) is %v, %d", c.down, c.missed, c.alive, down, missed)
		}
	}
	for _, c := range []struct {
		missed int
		down   bool
		draw   float64
		want   time.Duration
	}{
		{0, false, 0.5, 30 * time.Second}, {0, false, 0, 27 * time.Second}, {0, false, 1, 33 * time.Second},
		{1, false, 0.5, 10 * time.Second}, {5, true, 0.5, 10 * time.Second}, {5, true, 0, 9 * time.Second},
	} {
		if got := pause(c.missed, c.down, c.draw); got.Round(time.Millisecond) != c.want {
			t.Errorf("pause(%d, %v, %v) is %v", c.missed, c.down, c.draw, got)
		}
	}
}

// ward is a Checker that is told who lives, and that takes down who is asked when.
type ward struct {
	mu    sync.Mutex
	dead  map[string]bool
	asked map[string][]time.Duration
	start time.Time
}

func (w *ward) Check(_ context.Context, uri string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked[uri] = append(w.asked[uri], time.Since(w.start).Round(time.Second))
	return !w.dead[uri]
}

func (w *ward) kill(uri string, dead bool) {
	w.mu.Lock()
	w.dead[uri] = dead
	w.mu.Unlock()
}

func (w *ward) times(uri string) string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.asked[uri])
}

func (w *ward) count(uri string) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.asked[uri])
}

// news takes down events.
type news struct {
	mu  sync.Mutex
	all []string
}

func (n *news) Publish(_, _ string, data event.Data) event.Event {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.all = append(n.all, fmt.Sprint(data.EventType(), data))
	return event.Event{}
}

func (n *news) list() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.all)
}

// inWard runs health checks with pauses in the middle of what they may be; the first comes after 2.5 s.
func inWard(t *testing.T, act func(h *Hops, w *ward, n *news)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w, n := &ward{dead: map[string]bool{}, asked: map[string][]time.Duration{}, start: time.Now()}, &news{}
		h := New(Config{Checker: w, Publisher: n, Draw: func() float64 { return 0.5 }})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		defer func() {
			stop()
			if err := <-done; err != nil {
				t.Error(err)
			}
		}()
		act(h, w, n)
	})
}

func TestHealth(t *testing.T) {
	const a, b = "sip:10.0.0.1", "sip:10.0.0.2"
	inWard(t, func(h *Hops, w *ward, n *news) {
		h.Update(snapshot(t, &directory.NextHop{Name: "inside", Domain: "a.example", Targets: targets(a, b)}))
		<-time.After(40 * time.Second) // asked at 3 and 33
		w.kill(b, true)
		<-time.After(42 * time.Second) // missed at 63 and 73
		if got := words(h); got != "up up" {
			t.Errorf("after two misses: %s", got)
		}
		<-time.After(10 * time.Second) // and 83
		if got := words(h); got != "up down" || len(n.list()) != 1 || n.list()[0] != "next_hop.down{false inside sip:10.0.0.2}" {
			t.Errorf("after three misses: %s %q", got, n.list())
		}
		s := h.ForDomain([]byte("a.example"), nil)
		for k := range 50 {
			if got := s.Order(nil, callKey(k), false, time.Now()); len(got) != 2 || got[0].URI != a {
				t.Fatalf("a call goes to %s first", got[0].URI)
			}
		}
		if since := h.States(s.ID)[1].Since; since.IsZero() || time.Since(since) > 10*time.Second {
			t.Errorf("down since %v", since)
		}
		w.kill(b, false)
		<-time.After(10 * time.Second) // asked at 93
		if got := words(h); got != "up up" || len(n.list()) != 2 || n.list()[1] != "next_hop.up{true inside sip:10.0.0.2}" {
			t.Errorf("after an answer: %s %q", got, n.list())
		}
		<-time.After(35 * time.Second)
		if got := w.times(a); got != "[3s 33s 1m3s 1m33s 2m3s]" {
			t.Errorf("the one that lives was asked at %s", got)
		}
		if got := w.times(b); got != "[3s 33s 1m3s 1m13s 1m23s 1m33s 2m3s]" {
			t.Errorf("the other one was asked at %s", got)
		}
	})
}

// A request that meets silence has its target asked at once, and one that is answered says that the target is up.
func TestRequestsAndHealth(t *testing.T) {
	const a = "sip:10.0.0.1"
	inWard(t, func(h *Hops, w *ward, n *news) {
		h.Update(snapshot(t, &directory.NextHop{Name: "inside", Domain: "a.example", Targets: targets(a)}))
		<-time.After(10 * time.Second)
		target := h.ForDomain([]byte("a.example"), nil).Order(nil, 1, false, time.Now())[0]
		target.Failed(time.Now())
		target.Failed(time.Now()) // only the first failure calls for a check
		synctest.Wait()
		if got := w.times(a); got != "[3s 10s]" || words(h) != "up" {
			t.Errorf("asked at %s, is %s", got, words(h)) // the answer ends the memory
		}
		w.kill(a, true)
		<-time.After(time.Minute)
		if got := words(h); got != "down" {
			t.Fatalf("is %s", got)
		}
		target.Answered()
		if got := words(h); got != "up" || len(n.list()) != 2 {
			t.Errorf("after an answer: %s %q", got, n.list())
		}
		before := w.count(a)
		<-time.After(11 * time.Second)
		if got := words(h); got != "up" || w.count(a) == before {
			t.Errorf("one miss after an answer: %s, asked at %s", got, w.times(a))
		}
	})
}

// What is configured anew holds at once, and what stays keeps what is known of it.
func TestUpdate(t *testing.T) {
	const a, b, c = "sip:10.0.0.1", "sip:10.0.0.2", "sip:10.0.0.3"
	inWard(t, func(h *Hops, w *ward, n *news) {
		set := func(uris ...string) *directory.NextHop {
			return &directory.NextHop{Name: "inside", Domain: "a.example", Targets: targets(uris...)}
		}
		h.Update(snapshot(t, set(a, b)))
		w.kill(b, true)
		<-time.After(35 * time.Second)
		if got := words(h); got != "up down" {
			t.Fatalf("before: %s", got)
		}
		h.Update(snapshot(t, set(b, c)))
		if got := words(h); got != "down up" {
			t.Errorf("at once: %s", got)
		}
		asked := w.count(a)
		<-time.After(40 * time.Second)
		if w.count(a) != asked || w.count(c) == 0 {
			t.Errorf("the one that is gone was asked at %s, the new one at %s", w.times(a), w.times(c))
		}
		renamed := set(b, c)
		renamed.Name = "outside"
		h.Update(snapshot(t, renamed))
		if got := h.All(); got[0].Set != "outside" || got[0].Word != "down" {
			t.Errorf("renamed: %+v", got)
		}
		quiet := set(b, c)
		quiet.Health = directory.HealthNone
		h.Update(snapshot(t, quiet))
		synctest.Wait()
		asked = w.count(b)
		<-time.After(time.Minute)
		if got := words(h); got != "up up" || w.count(b) != asked {
			t.Errorf("without checks: %s, asked at %s", got, w.times(b))
		}
		h.Update(snapshot(t))
		if h.All() != nil || h.ForDomain([]byte("a.example"), nil) != nil || h.States(quiet.ID) != nil {
			t.Error("the set is still there")
		}
	})
}

// Checks of many targets are spread over the time between them.
func TestChecksAreSpread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &ward{dead: map[string]bool{}, asked: map[string][]time.Duration{}, start: time.Now()}
		h := New(Config{Checker: w})
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- h.Run(ctx) }()
		var uris []string
		for i := range 60 {
			uris = append(uris, fmt.Sprintf("sip:10.0.0.%d", i+1))
		}
		h.Update(snapshot(t, &directory.NextHop{Name: "a", Domain: "a.example", Targets: targets(uris...)}))
		<-time.After(5 * time.Minute)
		stop()
		<-done
		var last []time.Duration
		for _, at := range w.asked {
			if len(at) < 8 || len(at) > 11 {
				t.Errorf("%d checks in five minutes", len(at))
			}
			last = append(last, at[len(at)-1])
		}
		slices.Sort(last)
		if width := last[len(last)-1] - last[0]; width < 15*time.Second {
			t.Errorf("after five minutes all checks are within %v", width)
		}
	})
}

func TestLabelsOfOtherTenants(t *testing.T) {
	d := directory.New()
	tenant := &directory.Tenant{Name: "acme"}
	tenant.ID = directory.ID{5}
	tenant.SetDefaults()
	n := &directory.NextHop{Name: "inside", Domain: "a.example", Targets: targets("sip:10.0.0.1")}
	n.ID, n.Tenant = directory.ID{6}, tenant.ID
	n.SetDefaults()
	changes := []directory.Change{{After: tenant}, {After: n}}
	h := New(Config{})
	h.Update(d.Apply(changes))
	if got := h.All()[0].Set; got != "acme/inside" {
		t.Errorf("label %q", got)
	}
	if !Concerns(changes) || !Concerns(changes[1:]) || Concerns([]directory.Change{{Before: &directory.Line{}}}) {
		t.Error("the wrong changes concern the sets")
	}
}
