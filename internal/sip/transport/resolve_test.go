package transport

import (
	"context"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/sip"
)

// zone is a DNS that answers from a table, as slowly as it is told, and counts.
type zone struct {
	mu    sync.Mutex
	addrs map[string]string // name -> addresses
	srv   map[string][]SRV
	naptr map[string][]NAPTR
	delay time.Duration
	fail  error
	asked []string
	ttl   time.Duration
}

func (z *zone) Lookup(ctx context.Context, name string, t RecordType) (Answer, error) {
	z.mu.Lock()
	z.asked = append(z.asked, fmt.Sprint(t, " ", name))
	delay, fail, a := z.delay, z.fail, Answer{TTL: z.ttl}
	switch t {
	case Addresses:
		for _, s := range strings.Fields(z.addrs[name]) {
			a.Addrs = append(a.Addrs, netip.MustParseAddr(s))
		}
	case ServiceRecords:
		a.SRV = z.srv[name]
	case NamingAuthority:
		a.NAPTR = z.naptr[name]
	}
	z.mu.Unlock()
	if delay > 0 {
		select {
		case <-time.After(delay):
		case <-ctx.Done():
			return Answer{}, ctx.Err()
		}
	}
	return a, fail
}

func (z *zone) set(f func()) {
	z.mu.Lock()
	defer z.mu.Unlock()
	f()
}

func (z *zone) count() int {
	z.mu.Lock()
	defer z.mu.Unlock()
	return len(z.asked)
}

func uri(t *testing.T, s string) *sip.URI {
	t.Helper()
	u, err := sip.ParseURI([]byte(s))
	if err != nil {
		t.Fatalf("%s: %v", s, err)
	}
	return &u
}

func words(ts []Target) string {
	var out []string
	for _, t := range ts {
		s := t.String()
		if t.Name != "" {
			s += " as " + t.Name
		}
		out = append(out, s)
	}
	return strings.Join(out, ", ")
}

// first always draws 0: the first record with the least weight wins.
func first(int) int { return 0 }

func TestResolve(t *testing.T) {
	z := &zone{
		ttl: time.Minute,
		addrs: map[string]string{
			"a.example":       "192.0.2.10",
			"two.example":     "2001:db8::2 192.0.2.20 192.0.2.20",
			"s1.srv.example":  "192.0.2.1",
			"s2.srv.example":  "192.0.2.2 2001:db8::2",
			"plain.example":   "192.0.2.30",
			"lonely.example":  "192.0.2.40",
			"absent.example":  "192.0.2.50",
			"secure.example":  "192.0.2.60",
			"browser.example": "192.0.2.70",
		},
		srv: map[string][]SRV{
			"_sip._udp.srv.example":     {{20, 0, 5070, "s2.srv.example"}, {10, 0, 5080, "s1.srv.example"}},
			"_sip._tcp.srv.example":     {{10, 0, 5090, "s1.srv.example"}},
			"_sips._tcp.srv.example":    {{10, 0, 5061, "s1.srv.example"}},
			"_sip._udp.absent.example":  {{0, 0, 0, "."}},
			"_sip._tcp.lonely.example":  {{0, 0, 5060, "lonely.example"}, {1, 0, 5060, "nowhere.example"}},
			"_sip._udp.numeric.example": {{0, 0, 5060, "192.0.2.99"}},
			"_sips._tcp.naptr.example":  {{0, 0, 5061, "secure.example"}},
			"_sip._tcp.naptr.example":   {{0, 0, 5060, "a.example"}},
		},
		naptr: map[string][]NAPTR{
			"naptr.example": {
				{50, 50, "s", "SIP+D2T", "", "_sip._tcp.naptr.example"},
				{10, 90, "S", "sips+d2t", "", "_sips._tcp.naptr.example"},
				{10, 10, "s", "SIP+D2S", "", "_sip._sctp.naptr.example"},
				{5, 10, "u", "E2U+sip", "!^.*$!sip:x@y!", "."},
			},
		},
	}
	for _, c := range []struct{ uri, want string }{
		// Addresses need nobody to be asked; RFC 3263 §4.1 says which transport.
		{"sip:192.0.2.7", "udp 192.0.2.7:5060"},
		{"sip:u@192.0.2.7:5070", "udp 192.0.2.7:5070"},
		{"sips:192.0.2.7", "tls 192.0.2.7:5061"},
		{"sip:[2001:db8::7]:5070;transport=tcp", "tcp [2001:db8::7]:5070"},
		{"sip:192.0.2.7;transport=tls", "tls 192.0.2.7:5061"},
		{"sip:192.0.2.7;transport=TCP", "tcp 192.0.2.7:5060"},
		{"sips:192.0.2.7;transport=tcp", "tls 192.0.2.7:5061"},
		{"sips:192.0.2.7;transport=udp", "error leads nowhere"},
		{"sip:192.0.2.7;transport=sctp", "error leads nowhere"},
		{"sip:192.0.2.7;transport=ws", "error leads nowhere"}, // not in Kinds
		{"tel:+123", "error leads nowhere"},
		// maddr takes the host's place (RFC 3261 §19.1.1), but not in the certificate.
		{"sip:a.example;maddr=192.0.2.8", "udp 192.0.2.8:5060"},
		{"sips:a.example;maddr=192.0.2.8", "tls 192.0.2.8:5061 as a.example"},
		{"sip:192.0.2.7;maddr=a.example", "udp 192.0.2.10:5060"},
		// A port leaves only the addresses.
		{"sip:srv.example:5060", "error no address"},
		{"sip:a.example:5099;transport=tcp", "tcp 192.0.2.10:5099"},
		{"sip:A.Example.:5099", "udp 192.0.2.10:5099"},
		{"sip:two.example:5060", "udp 192.0.2.20:5060, udp [2001:db8::2]:5060"},
		// SRV by priority, all transports in turn when there is no NAPTR.
		{"sip:srv.example", "udp 192.0.2.1:5080, udp 192.0.2.2:5070, udp [2001:db8::2]:5070, tcp 192.0.2.1:5090, " +
			"tls 192.0.2.1:5061 as srv.example"},
		{"sip:srv.example;transport=tcp", "tcp 192.0.2.1:5090"},
		{"sips:srv.example", "tls 192.0.2.1:5061 as srv.example"},
		{"sip:numeric.example;transport=udp", "udp 192.0.2.99:5060"},
		{"sip:lonely.example", "tcp 192.0.2.40:5060"},
		// NAPTR decides, without what we do not speak.
		{"sip:naptr.example", "tls 192.0.2.60:5061 as naptr.example, tcp 192.0.2.10:5060"},
		{"sips:naptr.example", "tls 192.0.2.60:5061 as naptr.example"},
		{"sip:naptr.example;transport=tcp", "tcp 192.0.2.10:5060"},
		// No SRV: the name itself; a "." says that there is nothing.
		{"sip:plain.example", "udp 192.0.2.30:5060"},
		{"sips:plain.example", "tls 192.0.2.30:5061 as plain.example"},
		{"sip:absent.example;transport=udp", "error no address"},
		{"sip:nowhere.example", "error no address"},
	} {
		t.Run(c.uri, func(t *testing.T) {
			r := NewResolver(ResolverConfig{DNS: z, Draw: first})
			defer r.Close()
			ts, err := r.Resolve(t.Context(), uri(t, c.uri))
			got := words(ts)
			if err != nil {
				got = "error " + err.Error()
			}
			if want, isErr := strings.CutPrefix(c.want, "error"); got != c.want && !(isErr && strings.Contains(got, want)) {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestOrderSRV draws 10,000 times and holds the result against the weights with chi-square.
func TestOrderSRV(t *testing.T) {
	in := []SRV{{1, 60, 1, "a"}, {1, 30, 1, "b"}, {1, 10, 1, "c"}, {0, 0, 1, "first"}, {2, 0, 1, "x"}, {2, 0, 1, "y"}}
	r := rand.New(rand.NewPCG(1, 2))
	const n = 10_000
	second := map[string]int{}
	for range n {
		out := orderSRV(in, func(n int) int { return r.IntN(n + 1) })
		if len(out) != len(in) || out[0].Target != "first" || out[4].Priority != 2 || out[5].Priority != 2 {
			t.Fatalf("order %v", out)
		}
		second[out[1].Target]++
	}
	chi := 0.0
	for target, share := range map[string]float64{"a": 0.6, "b": 0.3, "c": 0.1} {
		chi += math.Pow(float64(second[target])-n*share, 2) / (n * share)
	}
	// RFC 2782 draws from 0 to the sum, both included, which favours the first by one part in 100: allow for it.
	if chi > 40 {
		t.Errorf("chi-square %.1f of %v", chi, second)
	}
	if got := orderSRV([]SRV{{0, 0, 0, "no port"}, {0, 0, 5060, ""}, {0, 0, 5060, "."}}, first); len(got) != 0 {
		t.Errorf("records without a service: %v", got)
	}
}

func TestHostileAnswersAreBounded(t *testing.T) {
	z := &zone{ttl: 0, srv: map[string][]SRV{}, addrs: map[string]string{}, naptr: map[string][]NAPTR{}}
	for i := range 5000 {
		name := fmt.Sprintf("h%d.example", i)
		z.srv["_sip._udp.big.example"] = append(z.srv["_sip._udp.big.example"], SRV{uint16(i), 1, 5060, name})
		z.addrs[name] = fmt.Sprintf("10.%d.%d.1 10.%d.%d.2", i/250, i%250, i/250, i%250)
		z.addrs["many.example"] += fmt.Sprintf(" 10.%d.%d.3", i/250, i%250)
		z.naptr["ptr.example"] = append(z.naptr["ptr.example"], NAPTR{1, 1, "s", "SIP+D2U", "", fmt.Sprintf("_x%d.example", i)})
	}
	r := NewResolver(ResolverConfig{DNS: z})
	defer r.Close()
	for u, most := range map[string]int{"sip:big.example;transport=udp": maxTargets, "sip:many.example:5060": maxAddrs} {
		z.set(func() { z.asked = nil })
		ts, err := r.Resolve(t.Context(), uri(t, u))
		if err != nil || len(ts) != most || z.count() > maxServices+2 {
			t.Errorf("%s: %d targets, %d questions, %v", u, len(ts), z.count(), err)
		}
	}
	z.set(func() { z.asked = nil })
	if _, err := r.Resolve(t.Context(), uri(t, "sip:ptr.example")); err == nil || z.count() > 10 {
		t.Errorf("endless NAPTR: %d questions, %v", z.count(), err)
	}
}

func TestResolverRemembers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{ttl: time.Minute, addrs: map[string]string{"a.example": "192.0.2.10"}}
		r := NewResolver(ResolverConfig{DNS: z})
		defer r.Close()
		u := uri(t, "sip:a.example:5060")
		resolve := func(want string) time.Duration {
			t.Helper()
			start := time.Now()
			ts, err := r.Resolve(t.Context(), u)
			got := words(ts)
			if err != nil {
				got = err.Error()
			}
			if got != want {
				t.Errorf("got %s, want %s", got, want)
			}
			return time.Since(start)
		}
		if _, ok := r.Known(u); ok {
			t.Error("known before anybody asked")
		}
		if _, ok := r.Known(uri(t, "sip:192.0.2.7")); !ok {
			t.Error("an address is not known")
		}
		resolve("udp 192.0.2.10:5060")
		resolve("udp 192.0.2.10:5060")
		if z.count() != 1 {
			t.Errorf("asked %d times", z.count())
		}
		if ts, ok := r.Known(u); !ok || words(ts) != "udp 192.0.2.10:5060" {
			t.Errorf("known as %v", ts)
		}
		// Old and the DNS is slow: the old answer after a moment, and the new one when it has come.
		<-time.After(2 * time.Minute)
		z.set(func() { z.delay = 3 * time.Second; z.addrs["a.example"] = "192.0.2.11" })
		if d := resolve("udp 192.0.2.10:5060"); d != staleWait {
			t.Errorf("waited %v", d)
		}
		<-time.After(3 * time.Second)
		resolve("udp 192.0.2.11:5060")
		// Old and the DNS is gone: the old answer at once, and few questions.
		<-time.After(time.Hour)
		z.set(func() { z.delay = 0; z.fail = errors.New("gone"); z.asked = nil })
		for range 100 {
			resolve("udp 192.0.2.11:5060")
			<-time.After(time.Second)
		}
		if n := z.count(); n > 5 {
			t.Errorf("asked %d times while the DNS was gone", n)
		}
		// Never known and gone: the error is remembered for a moment.
		u = uri(t, "sip:b.example:5060")
		z.set(func() { z.asked = nil })
		resolve("gone")
		resolve("gone")
		if z.count() != 1 {
			t.Errorf("asked %d times", z.count())
		}
		z.set(func() { z.fail = nil; z.addrs["b.example"] = "192.0.2.12" })
		<-time.After(failureTTL + time.Second)
		resolve("udp 192.0.2.12:5060")
	})
}

func TestOneQuestionForManyCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{ttl: time.Minute, delay: time.Second, addrs: map[string]string{"a.example": "192.0.2.10"}}
		r := NewResolver(ResolverConfig{DNS: z})
		defer r.Close()
		impatient, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		var wg sync.WaitGroup
		wg.Go(func() { // whoever asked first may leave
			if _, err := r.Resolve(impatient, uri(t, "sip:a.example:5060")); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("impatient: %v", err)
			}
		})
		for range 20 {
			wg.Go(func() {
				if _, err := r.Resolve(t.Context(), uri(t, "sip:a.example:5060")); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if z.count() != 1 {
			t.Errorf("asked %d times", z.count())
		}
	})
}

func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{ttl: time.Minute}
		r := NewResolver(ResolverConfig{DNS: z})
		defer r.Close()
		for i := range cacheCap + 500 {
			r.Resolve(t.Context(), uri(t, fmt.Sprintf("sip:h%d.example:5060", i)))
		}
		r.cache.mu.Lock()
		defer r.cache.mu.Unlock()
		if n := len(r.cache.entries); n > cacheCap {
			t.Errorf("%d entries", n)
		}
	})
}

func TestDeadTargetsComeLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		z := &zone{ttl: time.Hour, addrs: map[string]string{"a.example": "192.0.2.1 192.0.2.2 192.0.2.3"}}
		r := NewResolver(ResolverConfig{DNS: z})
		defer r.Close()
		order := func() (out []byte) {
			ts, err := r.Resolve(t.Context(), uri(t, "sip:a.example:5060"))
			if err != nil {
				t.Fatal(err)
			}
			for _, x := range ts {
				b := x.Addr.Addr().As4()
				out = append(out, '0'+b[3])
			}
			return out
		}
		ts, _ := r.Resolve(t.Context(), uri(t, "sip:a.example:5060"))
		r.Failed(ts[0])
		if got := order(); string(got) != "231" {
			t.Errorf("after a failure %s", got)
		}
		r.Failed(ts[1])
		if got := order(); string(got) != "312" {
			t.Errorf("after two %s", got)
		}
		r.Answered(ts[0])
		if got := order(); string(got) != "132" {
			t.Errorf("after one answered %s", got)
		}
		<-time.After(deadTime)
		if got := order(); string(got) != "123" {
			t.Errorf("later %s", got)
		}
		if !slices.IsSortedFunc(ts, func(a, b Target) int { return a.Addr.Addr().Compare(b.Addr.Addr()) }) {
			t.Error("an earlier answer was changed")
		}
	})
}

// TestDirect: an address leads where Resolve says, and costs nothing; everything else is Resolve's.
func TestDirect(t *testing.T) {
	r := NewResolver(ResolverConfig{})
	defer r.Close()
	direct := []string{
		"sip:192.0.2.1", "sip:a@192.0.2.1:5070", "sips:192.0.2.1", "sip:192.0.2.1;transport=tcp", "sip:192.0.2.1;transport=TLS",
		"sips:192.0.2.1;transport=tcp", "sip:[2001:db8::1]:5070", "sip:192.0.2.1;transport=udp;lr", "sip:[::ffff:192.0.2.1]",
	}
	for _, text := range direct {
		u, err := sip.ParseURI([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		got, ok := Direct(&u)
		want, known := r.Known(&u)
		if !ok || !known || len(want) != 1 || got != want[0] {
			t.Errorf("%s: %v %v, Resolve says %v", text, got, ok, want)
		}
		if n := testing.AllocsPerRun(100, func() { Direct(&u) }); n != 0 {
			t.Errorf("%s: %v allocations", text, n)
		}
	}
	for _, text := range []string{"sip:pbx.example", "sip:192.0.2.1;maddr=192.0.2.2", "tel:+98", "sip:192.0.2.1;transport=ws", "sips:192.0.2.1;transport=udp", "sip:192.0.2.1;transport=x"} {
		u, err := sip.ParseURI([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := Direct(&u); ok {
			t.Errorf("%s: %v", text, got)
		}
	}
}
