package guard

import (
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"
)

var epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

func newGuard(t testing.TB, c Config) *Guard {
	t.Helper()
	g, err := New(c, epoch)
	if err != nil {
		t.Fatal(err)
	}
	return g
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

// admitted sends n messages at once and returns how many get in.
func admitted(g *Guard, src netip.AddrPort, n int, now time.Time) (in int) {
	for range n {
		if g.Admit(src, now) == Admitted {
			in++
		}
	}
	return in
}

func TestBudget(t *testing.T) {
	g := newGuard(t, Config{})
	a, b := addrPort("192.0.2.1:5060"), addrPort("192.0.2.2:5060")
	steps := []struct {
		name  string
		at    time.Duration
		src   netip.AddrPort
		sent  int
		admit int
	}{
		{"a burst of twice the rate", 0, a, 150, 100},
		{"another port of the same address", 0, addrPort("192.0.2.1:7777"), 10, 0},
		{"the IPv6-mapped form of the same address", 0, addrPort("[::ffff:192.0.2.1]:5060"), 10, 0},
		{"another address", 0, b, 10, 10},
		{"20 ms bring one back", 20 * time.Millisecond, a, 5, 1},
		{"a second brings fifty", 1020 * time.Millisecond, a, 80, 50},
		{"ten seconds bring no more than the burst", 11 * time.Second, a, 150, 100},
	}
	for _, s := range steps {
		if got := admitted(g, s.src, s.sent, epoch.Add(s.at)); got != s.admit {
			t.Errorf("%s: %d of %d admitted, want %d", s.name, got, s.sent, s.admit)
		}
	}
	if n := g.Counts()[ReasonRate]; n != 150-100+10+10+4+30+50 {
		t.Errorf("counted %d", n)
	}
}

func TestIPv6SourceIsItsNetwork(t *testing.T) {
	g := newGuard(t, Config{})
	if got := admitted(g, addrPort("[2001:db8:1:2::1]:5060"), 100, epoch); got != 100 {
		t.Fatalf("%d", got)
	}
	if got := admitted(g, addrPort("[2001:db8:1:2:ffff::9]:1"), 10, epoch); got != 0 {
		t.Errorf("same /64: %d admitted", got)
	}
	if got := admitted(g, addrPort("[2001:db8:1:3::1]:5060"), 10, epoch); got != 10 {
		t.Errorf("other /64: %d admitted", got)
	}
}

func TestTrusted(t *testing.T) {
	g := newGuard(t, Config{Trusted: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::ffff:10.0.0.0/104"), netip.MustParsePrefix("2001:db8::5/32"),
	}})
	for _, src := range []string{"127.0.0.1:5060", "[::ffff:127.0.0.2]:5060", "10.9.9.9:1", "[2001:db8:ffff::1]:1"} {
		for range 20 {
			g.AuthFailed(addrPort(src), epoch)
		}
		if got := admitted(g, addrPort(src), 10_000, epoch); got != 10_000 {
			t.Errorf("%s: %d admitted", src, got)
		}
		if g.Scanned(addrPort(src), []byte("sipvicious"), epoch) {
			t.Errorf("%s: taken for a scanner", src)
		}
	}
	for _, src := range []string{"128.0.0.1:1", "[2001:db9::1]:1"} {
		if got := admitted(g, addrPort(src), 200, epoch); got != 100 {
			t.Errorf("%s: %d admitted", src, got)
		}
	}
}

// TestBanGrows walks through the life of a password guesser: five failures a minute are borne, the ban that follows
// doubles each time up to an hour, and an hour of quiet after it starts the count again.
func TestBanGrows(t *testing.T) {
	g := newGuard(t, Config{})
	src := addrPort("192.0.2.1:5060")
	now := epoch
	for i, want := range []time.Duration{1, 2, 4, 8, 16, 32, 60, 60} {
		want *= time.Minute
		for n := range 5 {
			if g.AuthFailed(src, now) {
				t.Fatalf("round %d: banned by failure %d", i, n+1)
			}
		}
		if g.Admit(src, now) != Admitted {
			t.Fatalf("round %d: shut out before the sixth failure", i)
		}
		if !g.AuthFailed(src, now) {
			t.Fatalf("round %d: not banned by the sixth failure", i)
		}
		if v := g.Admit(src, now.Add(want-time.Millisecond)); v != Banned {
			t.Fatalf("round %d: %v before the end of the ban", i, v)
		}
		bans := g.Banned(now)
		if len(bans) != 1 || bans[0].Source.String() != "192.0.2.1/32" || !bans[0].Until.Equal(now.Add(want)) ||
			bans[0].Reason != ReasonPassword || bans[0].Count != i+1 {
			t.Fatalf("round %d: %+v", i, bans)
		}
		now = now.Add(want)
		if v := g.Admit(src, now); v != Admitted {
			t.Fatalf("round %d: %v after the end of the ban", i, v)
		}
		if len(g.Banned(now)) != 0 {
			t.Fatalf("round %d: still listed", i)
		}
	}
	now = now.Add(time.Hour + time.Second)
	for range 6 {
		g.AuthFailed(src, now)
	}
	if bans := g.Banned(now); len(bans) != 1 || bans[0].Count != 1 || !bans[0].Until.Equal(now.Add(time.Minute)) {
		t.Errorf("after an hour of quiet: %+v", bans)
	}
	if n := g.Counts()[ReasonPassword]; n != 9 {
		t.Errorf("counted %d bans", n)
	}
}

func TestFailuresAreForgiven(t *testing.T) {
	g := newGuard(t, Config{})
	src := addrPort("192.0.2.1:5060")
	for i := range 100 { // a phone with an old password that tries every 12 s
		if g.AuthFailed(src, epoch.Add(time.Duration(i)*12*time.Second)) {
			t.Fatalf("banned by try %d", i+1)
		}
	}
}

// TestNeighbours: twenty phones behind one address, of which one has a wrong password, and later a guesser.
func TestNeighbours(t *testing.T) {
	g := newGuard(t, Config{})
	port := func(i int) netip.AddrPort {
		return netip.AddrPortFrom(netip.MustParseAddr("192.0.2.1"), uint16(20000+i))
	}
	now := epoch
	for i := range 20 {
		g.AuthPassed(port(i), now)
	}
	bad, guesser := port(99), port(100)
	for i := range 600 {
		now = now.Add(3 * time.Second)
		if g.AuthFailed(bad, now) {
			t.Fatalf("the NAT was banned for one phone with a wrong password (try %d)", i+1)
		}
	}
	for i := range 20 {
		g.AuthPassed(port(i), now)
	}
	tries := 0
	for !g.AuthFailed(guesser, now) {
		if tries++; tries > 200 {
			t.Fatal("the guesser is never banned")
		}
	}
	if v := g.Admit(guesser, now); v != Banned {
		t.Errorf("guesser: %v", v)
	}
	for i := range 20 {
		if v := g.Admit(port(i), now); v != Admitted {
			t.Errorf("phone %d: %v while its neighbour is banned", i, v)
		}
	}
	if n := admitted(g, port(50), 100, now); n > 6 {
		t.Errorf("%d messages of a stranger got in", n)
	}
}

// TestGuesserWithAnAccount: one success does not cover any number of failures on the same flow.
func TestGuesserWithAnAccount(t *testing.T) {
	g := newGuard(t, Config{})
	src := addrPort("192.0.2.1:5060")
	g.AuthPassed(src, epoch)
	tries := 0
	for !g.AuthFailed(src, epoch) {
		if tries++; tries > 10 {
			t.Fatal("never banned")
		}
	}
	if v := g.Admit(src, epoch); v != Banned {
		t.Errorf("%v: its own success still opens the door", v)
	}
}

func TestFlood(t *testing.T) {
	g := newGuard(t, Config{})
	flooder := addrPort("192.0.2.1:5060")
	var banned time.Duration
	for ms := range 10_000 {
		at := time.Duration(ms) * time.Millisecond
		if g.Admit(flooder, epoch.Add(at)) == Banned {
			banned = at
			break
		}
	}
	if banned == 0 || banned > 10*time.Second {
		t.Errorf("1000 messages a second: banned after %v", banned)
	}
	if bans := g.Banned(epoch.Add(banned)); len(bans) != 1 || bans[0].Reason != ReasonFlood {
		t.Errorf("%+v", bans)
	}
	// A NAT with a phone that works is limited, never banned, and its phone gets through.
	phone, neighbour := addrPort("198.51.100.1:1000"), addrPort("198.51.100.1:2000")
	g.AuthPassed(phone, epoch)
	for ms := range 30_000 {
		at := epoch.Add(time.Duration(ms) * time.Millisecond)
		if g.Admit(neighbour, at) == Banned {
			t.Fatal("the NAT was banned")
		}
		if ms%100 == 0 && g.Admit(phone, at) != Admitted {
			t.Fatalf("the phone was shut out after %d ms", ms)
		}
	}
	if n := g.Counts(); n[ReasonFlood] != 1 {
		t.Errorf("%v", n)
	}
}

func TestProbe(t *testing.T) {
	g := newGuard(t, Config{})
	// Somebody who tries names at ten a second, and never a password.
	prober, tries := addrPort("192.0.2.1:5060"), 0
	for now := epoch; !g.Challenged(prober, now); now = now.Add(100 * time.Millisecond) {
		if tries++; tries > 400 {
			t.Fatal("never banned")
		}
	}
	if g.Admit(prober, epoch.Add(time.Minute)) != Banned || tries < 300 {
		t.Errorf("not banned after %d tries", tries)
	}
	if n := g.Counts()[ReasonProbe]; n != 1 {
		t.Errorf("counted %d", n)
	}
	// Somebody who asks once a second for hours, such as a monitor.
	slow := addrPort("192.0.2.2:5060")
	for i := range 10_000 {
		if g.Challenged(slow, epoch.Add(time.Duration(i)*time.Second)) {
			t.Fatalf("banned by challenge %d, one a second", i)
		}
	}
	// An office after a power cut: all ask at once, then all answer, again and again.
	office := addrPort("192.0.2.3:5060")
	for round := range 10 {
		for range 250 {
			if g.Challenged(office, epoch) {
				t.Fatal("the office was banned")
			}
		}
		g.AuthPassed(office, epoch.Add(time.Duration(round)*3*time.Hour))
	}
}

func TestShareAges(t *testing.T) {
	g := newGuard(t, Config{})
	src := addrPort("192.0.2.1:5060")
	g.AuthPassed(src, epoch)
	later := epoch.Add(2*time.Hour + time.Second)
	for range 5 {
		if g.AuthFailed(src, later) {
			t.Fatal("banned early")
		}
	}
	if !g.AuthFailed(src, later) {
		t.Error("the success of two hours ago still counts")
	}
}

func TestScanned(t *testing.T) {
	for _, ua := range []string{
		"friendly-scanner", "Friendly-Scanner/1.0", "sipvicious", "sundayddr", "sip-scan", "sipcli/v1.8", "VaxSIPUserAgent/3.1",
		"pplsip", "xx sipvicious xx", "SIPVicious",
	} {
		if !IsScanner([]byte(ua)) {
			t.Errorf("%q is not seen as a scanner", ua)
		}
	}
	for _, ua := range []string{
		"", "s", "Yealink SIP-T46G 28.72.0.1", "baresip v1.0.0 (x86_64/linux)", "Linphone/5.1", "Grandstream GXP2170 1.0.11.6",
		"snom320/8.7", "SIPp", "sipsak 0.9.7", "friendly-scanne", "Cisco/SPA303-7.4.8a", "JsSIP 3.13.8",
	} {
		if IsScanner([]byte(ua)) {
			t.Errorf("%q is seen as a scanner", ua)
		}
	}
	g := newGuard(t, Config{})
	src := addrPort("192.0.2.1:5060")
	for range 6 {
		if !g.Scanned(src, []byte("friendly-scanner"), epoch) {
			t.Fatal("not seen")
		}
	}
	if g.Admit(src, epoch) != Banned {
		t.Error("six requests of a scanner bring no ban")
	}
	if n := g.Counts()[ReasonScanner]; n != 6 {
		t.Errorf("counted %d", n)
	}
	if g.Scanned(addrPort("192.0.2.9:1"), []byte("Yealink"), epoch) {
		t.Error("a phone is taken for a scanner")
	}
}

func TestByHand(t *testing.T) {
	g := newGuard(t, Config{})
	src := addrPort("[2001:db8::1]:5060")
	g.Ban(src.Addr(), time.Minute, epoch)
	if g.Admit(src, epoch) != Banned {
		t.Error("not banned")
	}
	if bans := g.Banned(epoch); len(bans) != 1 || bans[0].Source.String() != "2001:db8::/64" || bans[0].Reason != ReasonOperator {
		t.Errorf("%+v", bans)
	}
	if !g.Unban(src.Addr(), epoch) || g.Admit(src, epoch) != Admitted {
		t.Error("still banned")
	}
	if g.Unban(src.Addr(), epoch) {
		t.Error("unbanned twice")
	}
	if sourcePrefix(sourceKey(netip.IPv6Loopback())).String() != "::/64" {
		t.Error("::1 has another network")
	}
}

// TestManySources: memory does not grow, and no number of quiet sources pushes a banned one out.
func TestManySources(t *testing.T) {
	g := newGuard(t, Config{Sources: 4096})
	size := len(g.sources.shards) * len(g.sources.shards[0].buckets) * tableWays
	if size < 4096 || size > 2*4096 {
		t.Fatalf("%d places", size)
	}
	now := epoch
	var scanners []netip.AddrPort
	for i := range 400 {
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)}), 5060)
		for range 6 {
			g.AuthFailed(src, now)
		}
		scanners = append(scanners, src)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range 50_000 {
		now = now.Add(100 * time.Microsecond)
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(rng.IntN(256)), byte(i >> 8), byte(i)}), 5060)
		if v := g.Admit(src, now); v != Admitted {
			t.Fatalf("source %d: %v", i, v)
		}
	}
	for i, src := range scanners {
		if g.Admit(src, now) != Banned {
			t.Errorf("scanner %d got out", i)
		}
	}
	if n := len(g.Banned(now)); n != len(scanners) {
		t.Errorf("%d bans listed", n)
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []Config{{RequestsPerSecond: -1}, {FailuresPerMinute: -1}, {FirstBan: -1}, {Sources: -1}, {Trusted: []netip.Prefix{{}}}} {
		if _, err := New(c, epoch); err == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}

// TestReasons: the labels of the metric dialtone_guard_blocked_total are public.
func TestReasons(t *testing.T) {
	want := []string{"rate", "ban", "scanner", "password", "flood", "probe", "operator", "overload", "small"}
	if len(want) != int(reasonCount) {
		t.Fatalf("%d reasons", reasonCount)
	}
	for i, w := range want {
		if got := Reason(i).String(); got != w {
			t.Errorf("reason %d is %q, want %q", i, got, w)
		}
	}
}

func TestConcurrent(t *testing.T) {
	g := newGuard(t, Config{Sources: 64})
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 2000 {
				src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(w), byte(i)}), uint16(i))
				now := epoch.Add(time.Duration(i) * time.Millisecond)
				g.Admit(src, now)
				g.AuthFailed(src, now)
				g.AuthPassed(src, now)
				if i%500 == 0 {
					g.Banned(now)
					g.Counts()
				}
			}
		})
	}
	wg.Wait()
}

func TestAdmitAllocatesNothing(t *testing.T) {
	g := newGuard(t, Config{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	i := 0
	if n := testing.AllocsPerRun(1000, func() {
		i++
		g.Admit(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 5060), epoch)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkAdmit(b *testing.B) {
	g := newGuard(b, Config{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	var i uint32
	now := epoch
	b.ReportAllocs()
	for b.Loop() {
		i++
		now = now.Add(time.Microsecond)
		g.Admit(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 5060), now)
	}
}

func BenchmarkAdmitBanned(b *testing.B) {
	g := newGuard(b, Config{})
	src := addrPort("192.0.2.1:5060")
	g.Ban(src.Addr(), time.Hour, epoch)
	b.ReportAllocs()
	for b.Loop() {
		g.Admit(src, epoch)
	}
}

func BenchmarkIsScanner(b *testing.B) {
	ua := []byte("Yealink SIP-T46G 28.72.0.1")
	b.ReportAllocs()
	for b.Loop() {
		IsScanner(ua)
	}
}

func BenchmarkAdmitParallel(b *testing.B) {
	g := newGuard(b, Config{})
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		i := rand.Uint32()
		for pb.Next() {
			i++
			g.Admit(netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 5060), epoch)
		}
	})
}
