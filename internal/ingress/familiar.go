package ingress

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/sip"
)

// familiar remembers for a while whether registrations are refreshed from where they were made: to look that up costs as
// much as to refuse a request. It is a table of fixed size in which the newest wins, made at the first overload.
type familiar struct {
	seed maphash.Seed
	once sync.Once
	// slots are hashes of To and source, but for the lowest byte: the time in shedEpochs, and a bit for the answer.
	slots []atomic.Uint64
}

const (
	familiarSlots = 1 << 16
	familiarFor   = 8 // shedEpochs that a yes is valid; a no is so for the present one and the next
)

// key is what a registration is remembered by.
func (k *familiar) key(m *sip.Message) uint64 {
	k.once.Do(func() { k.slots = make([]atomic.Uint64, familiarSlots) })
	to, _ := m.Header(sip.HTo)
	return maphash.Bytes(k.seed, to)*0x9e3779b97f4a7c15 ^ maphash.Comparable(k.seed, m.Received)
}

// has is the answer for a key, if it was found of late.
func (k *familiar) has(key uint64, now time.Time) (yes, known bool) {
	v := k.slots[key>>8%familiarSlots].Load()
	if (v^key)>>8 != 0 {
		return false, false
	}
	age := (uint8(now.Unix()/shedEpoch) - uint8(v)>>1) & 0x7f
	if yes = v&1 != 0; yes {
		return true, age < familiarFor
	}
	return false, age < 2
}

func (k *familiar) add(key uint64, yes bool, now time.Time) {
	v := key&^0xff | uint64(uint8(now.Unix()/shedEpoch)<<1)
	if yes {
		v |= 1
	}
	k.slots[key>>8%familiarSlots].Store(v)
}
