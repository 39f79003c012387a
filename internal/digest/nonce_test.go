package digest

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"sync"
	"testing"
	"time"
)

var (
	alice = netip.MustParseAddr("192.0.2.1")
	bob   = netip.MustParseAddr("2001:db8::1")
	epoch = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

func TestNonces(t *testing.T) {
	n := NewNonces(Key{1, 2, 3}, 300*time.Second)
	nonce := n.Append(nil, alice, epoch)
	if len(nonce) != NonceLen {
		t.Fatalf("length %d", len(nonce))
	}
	tests := []struct {
		name  string
		nonce []byte
		addr  netip.Addr
		after time.Duration
		want  Freshness
	}{
		{"at once", nonce, alice, 0, Fresh},
		{"IPv6-mapped form of the address", nonce, netip.AddrFrom16(alice.As16()), 0, Fresh},
		{"last second", nonce, alice, 299 * time.Second, Fresh},
		{"too old", nonce, alice, 300 * time.Second, Expired},
		{"clock set back", nonce, alice, -time.Second, Expired},
		{"another address", nonce, bob, 0, Foreign},
		{"neighbour", nonce, alice.Next(), 0, Foreign},
		{"empty", nil, alice, 0, Foreign},
		{"short", nonce[1:], alice, 0, Foreign},
		{"long", append(bytes.Clone(nonce), 'A'), alice, 0, Foreign},
		{"not base64", bytes.Repeat([]byte("*"), NonceLen), alice, 0, Foreign},
		{"zeros", bytes.Repeat([]byte("A"), NonceLen), alice, 0, Foreign},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if _, got := n.Check(tt.nonce, tt.addr, epoch.Add(tt.after)); got != tt.want {
				t.Errorf("got %d, want %d", got, tt.want)
			}
		})
	}
	for i := range nonce {
		changed := bytes.Clone(nonce)
		changed[i] ^= 1
		if _, got := n.Check(changed, alice, epoch); got != Foreign {
			t.Errorf("character %d changed: %d", i, got)
		}
	}
	if _, got := NewNonces(Key{1, 2, 4}, 300*time.Second).Check(nonce, alice, epoch); got != Foreign {
		t.Errorf("another key: %d", got)
	}
	other := NewNonces(Key{1, 2, 3}, 300*time.Second)
	v, got := other.Check(nonce, alice, epoch)
	if got != Fresh || other.Made(v) || !n.Made(v) {
		t.Errorf("the same key in another server: %d, made there %v, made here %v", got, other.Made(v), n.Made(v))
	}
	for range 3 {
		v, _ = n.Check(n.Append(nil, bob, epoch), bob, epoch)
		if !n.Made(v) || n.Made(Nonce{Serial: v.Serial + 1}) {
			t.Errorf("serial %d: %v, the next %v", v.Serial, n.Made(v), n.Made(Nonce{Serial: v.Serial + 1}))
		}
	}
}

func TestNoncesAreUnique(t *testing.T) {
	n := NewNonces(Key{}, time.Minute)
	seen := map[string]bool{}
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 1000 {
				s := string(n.Append(nil, alice, epoch))
				mu.Lock()
				if seen[s] {
					t.Errorf("%s came twice", s)
				}
				seen[s] = true
				mu.Unlock()
			}
		})
	}
	wg.Wait()
}

// TestReplayAgainstModel compares the window with a set that forgets nothing.
func TestReplayAgainstModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	r := NewReplay(16, 300)
	n := Nonce{Serial: 7, Issued: 1000}
	used := map[uint32]bool{}
	high := uint32(0)
	for i := range 20000 {
		count := uint32(max(0, int64(high)+int64(rng.IntN(700))-450))
		if rng.IntN(50) == 0 {
			count = high + uint32(rng.IntN(2000))
		}
		want := count != 0 && !used[count] && (count > high || high-count < Window)
		if got := r.Use(n, count, 1001); got != want {
			t.Fatalf("step %d: count %d with high %d: got %v", i, count, high, got)
		}
		used[count] = true
		high = max(high, count)
	}
}

func TestReplayEviction(t *testing.T) {
	r := NewReplay(1, 300)
	capacity := int(r.buckets) * replayShards * replayWays
	// Every nonce is used once, each issued later than the one before; far more than there is room for.
	var all []Nonce
	for i := range capacity * 4 {
		n := Nonce{Serial: uint64(i), Issued: 1000 + uint32(i/32)}
		r.Use(n, 1, n.Issued)
		all = append(all, n)
	}
	now := all[len(all)-1].Issued
	for _, n := range all {
		if r.Use(n, 1, now) {
			t.Fatalf("nonce %+v: its first count was taken twice", n)
		}
	}
	// A new nonce still finds its place.
	if !r.Use(Nonce{Serial: 1 << 40, Issued: now + 1}, 1, now+1) {
		t.Error("a new nonce is refused")
	}
	// After the lifetime nothing old stands in the way, and nothing counts as evicted.
	if !r.Use(Nonce{Serial: 1 << 41, Issued: now + 1000}, 1, now+1000) {
		t.Error("a nonce is refused after everything else has expired")
	}
}

func TestReplayHoldsWhatWasAskedFor(t *testing.T) {
	const many = 4096
	r := NewReplay(many, 300)
	refused := 0
	for i := range uint64(many) {
		if !r.Use(Nonce{Serial: i, Issued: 1000}, 1, 1000) {
			refused++
		}
	}
	for i := range uint64(many) {
		if !r.Use(Nonce{Serial: i, Issued: 1000}, 2, 1000) {
			refused++
		}
	}
	if refused > many/50 {
		t.Errorf("%d of %d refused", refused, many)
	}
}

func TestReplayIsAtomic(t *testing.T) {
	r := NewReplay(64, 300)
	var wg sync.WaitGroup
	var mu sync.Mutex
	taken := 0
	for range 8 {
		wg.Go(func() {
			for count := uint32(1); count <= 200; count++ {
				if r.Use(Nonce{Serial: 1, Issued: 1000}, count, 1000) {
					mu.Lock()
					taken++
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	if taken != 200 {
		t.Errorf("200 counts were taken %d times", taken)
	}
}

func BenchmarkNonceAppend(b *testing.B) {
	n := NewNonces(Key{1}, time.Minute)
	buf := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		buf = n.Append(buf[:0], alice, epoch)
	}
}

func BenchmarkNonceCheck(b *testing.B) {
	n := NewNonces(Key{1}, time.Minute)
	nonce := n.Append(nil, alice, epoch)
	b.ReportAllocs()
	for b.Loop() {
		if _, f := n.Check(nonce, alice, epoch); f != Fresh {
			b.Fatal(f)
		}
	}
}

func BenchmarkReplayUse(b *testing.B) {
	r := NewReplay(100_000, 300)
	b.ReportAllocs()
	var i uint64
	for b.Loop() {
		i++
		r.Use(Nonce{Serial: i % 100_000, Issued: 1000}, uint32(i/100_000+1), 1000)
	}
}

// TestReplayOfARush: more nonces in one second than the table holds, each used at once. None is refused, and none that had
// to go can be used again.
func TestReplayOfARush(t *testing.T) {
	const now, nonces = 1000, 200_000
	for _, first := range []uint64{1, 1<<64 - nonces/2} {
		r := NewReplay(1000, 300)
		for i := range uint64(nonces) {
			if !r.Use(Nonce{Serial: first + i, Issued: now}, 1, now) {
				t.Fatalf("nonce %d of a rush was refused", i)
			}
		}
		for i := range uint64(nonces) {
			if r.Use(Nonce{Serial: first + i, Issued: now}, 1, now) {
				t.Fatalf("nonce %d was used twice", i)
			}
		}
	}
}
