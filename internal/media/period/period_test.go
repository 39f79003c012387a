package period

import (
	"math/rand/v2"
	"testing"
)

func TestReadersInStepShareEachPeriod(t *testing.T) {
	var newest uint64
	readers := make([]Cursor, 3)
	for i := range readers {
		readers[i] = From(1)
	}
	for n := uint64(1); n < 200; n++ {
		for _, i := range rand.Perm(3) {
			got := readers[i].Pull(newest)
			if got != n {
				t.Fatalf("reader %d got period %d in round %d", i, got, n)
			}
			newest = max(newest, got)
		}
	}
}

// A reader that is late gets in its burst exactly what it missed, and drives nobody ahead.
func TestBurstReadsWhatWasMissed(t *testing.T) {
	var newest uint64
	a, b := From(1), From(1)
	pull := func(c *Cursor) uint64 {
		got := c.Pull(newest)
		newest = max(newest, got)
		return got
	}
	pull(&a)
	pull(&b)
	for range 3 {
		pull(&a)
	}
	for want := uint64(2); want <= 4; want++ {
		if got := pull(&b); got != want {
			t.Errorf("got %d, want %d", got, want)
		}
	}
	if newest != 4 {
		t.Errorf("the burst made periods up to %d", newest)
	}
}

func TestLostTicksDoNotStayAsDelay(t *testing.T) {
	var newest uint64
	a, b := From(1), From(1)
	for range 103 {
		newest = max(newest, a.Pull(newest))
	}
	// b has missed a hundred, and from now on has every tick.
	for range 2 * window {
		newest = max(newest, a.Pull(newest))
		b.Pull(newest)
	}
	if got := b.Pull(newest + 1); got != newest+1 {
		t.Errorf("after two seconds the late reader is at %d of %d", got, newest+1)
	}
}

func TestNewReaderBeginsAtTheNewest(t *testing.T) {
	var c Cursor
	if got := c.Pull(0); got != 1 {
		t.Errorf("first of all: %d", got)
	}
	c = Cursor{}
	if got := c.Pull(7); got != 7 {
		t.Errorf("got %d of 7", got)
	}
}

// Whatever the readers do, they get what exists or what comes next, and never go back.
func TestBounds(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		var newest uint64
		readers := make([]Cursor, 1+random.IntN(5))
		last := make([]uint64, len(readers))
		for range 500 {
			i := random.IntN(len(readers))
			for range 1 + random.IntN(6)*random.IntN(2) {
				got := readers[i].Pull(newest)
				if got > newest+1 || got+History <= newest || got <= last[i] {
					t.Fatalf("got %d after %d, newest %d", got, last[i], newest)
				}
				last[i], newest = got, max(newest, got)
			}
		}
	}
}
