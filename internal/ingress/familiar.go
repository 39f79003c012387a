package ingress

import (
	"hash/maphash"
	"sync"
	"sync/atomic"
	"time"

	"dialtone/internal/sip"
)

// familiar remembers for some minutes which registrations were found to be refreshed from where they were made: to look
// that up costs as much as to refuse a request. It is a table of fixed size in which the newest wins, made at the first
// overload.
type familiar struct {
	seed maphash.Seed
	once sync.Once
	// slots are hashes of To and source, but for the lowest byte, which is the time in shedEpochs.
	slots []atomic.Uint64
}

const (
	familiarSlots = 1 << 16
	familiarFor   = 8 // shedEpochs
)

// key is what a registration is remembered by.
func (k *familiar) key(m *sip.Message) uint64 {
	k.once.Do(func() { k.slots = make([]atomic.Uint64, familiarSlots) })
	to, _ := m.Header(sip.HTo)
	return maphash.Bytes(k.seed, to)*0x9e3779b97f4a7c15 ^ maphash.Comparable(k.seed, m.Received)
}

// has reports whether a key was added of late.
func (k *familiar) has(key uint64, now time.Time) bool {
	v := k.slots[key>>8%familiarSlots].Load()
	return (v^key)>>8 == 0 && uint8(now.Unix()/shedEpoch)-uint8(v) < familiarFor
}

func (k *familiar) add(key uint64, now time.Time) {
	k.slots[key>>8%familiarSlots].Store(key&^0xff | uint64(uint8(now.Unix()/shedEpoch)))
}
