package ingress

import (
	"hash/maphash"
	"testing"
	"time"
)

// TestFamiliar: a yes is valid for minutes, a no for a minute at most, across the wrap of the time too.
func TestFamiliar(t *testing.T) {
	g := newGate(t)
	k := familiar{seed: maphash.MakeSeed()}
	key := k.key(g.offer(phone, "REGISTER", "sip:pbx.example", "101@pbx.example", "101@pbx.example", "f"))
	if _, known := k.has(key, began); known {
		t.Error("known before it was added")
	}
	for _, from := range []time.Time{began.Truncate(shedEpoch * time.Second), time.Unix(127*shedEpoch, 0), time.Unix(255*shedEpoch, 0)} {
		for _, yes := range []bool{true, false} {
			epochs := 2
			if yes {
				epochs = familiarFor
			}
			k.add(key, yes, from)
			for e := range 20 {
				got, known := k.has(key, from.Add(time.Duration(e)*shedEpoch*time.Second))
				if known != (e < epochs) || known && got != yes {
					t.Errorf("%v after %d epochs: %v, known %v", yes, e, got, known)
				}
			}
		}
	}
	if _, known := k.has(key^1<<20, began); known {
		t.Error("another key is known")
	}
}
