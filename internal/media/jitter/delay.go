package jitter

import "time"

const (
	settled     = 50 // packets that show where in a frame they begin
	bucketTime  = time.Second
	bucketCount = 10 // seconds that the delay looks back before it falls
	recent      = 2  // seconds that it looks back before it rises
	// slip keeps the delay from falling and rising in turn.
	slip = 2 * time.Millisecond
)

// bucket is what was measured in a second: how much later than their timestamps packets came.
type bucket struct {
	packets int
	least   time.Duration // transit
	most    time.Duration // transit
	worst   time.Duration // transit and the time for which the packet was not yet needed at the beginning of a frame
}

func (b *bucket) add(transit, phase time.Duration) {
	if b.packets == 0 {
		*b = bucket{least: transit, most: transit, worst: transit + phase}
	}
	b.packets++
	b.least = min(b.least, transit)
	b.most = max(b.most, transit)
	b.worst = max(b.worst, transit+phase)
}

// delay measures arrival and decides how long packets should wait. All is in media time against the time of the clock,
// so only differences mean something. Seconds without packets are not counted: what is known outlasts a pause.
type delay struct {
	limit   time.Duration // Config.Most
	buckets [bucketCount]bucket
	at      int // of the bucket that is filled
	since   time.Duration

	known  bool
	base   time.Duration // transit of the fastest packet
	spread time.Duration // of the slowest that counts behind it
	worst  time.Duration // of all buckets
	late   time.Duration // worst of the recent ones
	mean   time.Duration // transit

	phase  time.Duration // least time into a frame at which a packet began since the place was moved
	phased int           // packets that were seen since

	offset  time.Duration // of the clock against the place that is played: a packet is played as long after its transit
	moved   bool          // the place was moved, offset is to be found anew
	highest time.Duration // delay ever added
}

// arrived notes a packet: its transit, and how far into a frame its samples begin.
func (d *delay) arrived(transit, phase, now time.Duration) {
	if d.phased == 0 || phase < d.phase {
		d.phase = phase
	}
	d.phased++
	if !d.known {
		d.known, d.since, d.mean = true, now, transit
		d.base, d.worst, d.late = transit, transit+phase, transit+phase
	}
	if now-d.since >= bucketTime {
		d.since = now
		d.at = (d.at + 1) % bucketCount
		d.buckets[d.at] = bucket{}
		d.buckets[d.at].add(transit, phase)
		d.sum()
	} else {
		d.buckets[d.at].add(transit, phase)
		if transit < d.base {
			d.sum()
		}
		d.spread = max(d.spread, transit-d.base)
		d.worst = max(d.worst, transit+phase)
		d.late = max(d.late, transit+phase)
	}
	d.mean += (transit - d.mean) / 16
}

// sum adds up what the buckets hold.
func (d *delay) sum() {
	d.base = d.buckets[d.at].least
	for i := range d.buckets {
		if d.buckets[i].packets > 0 {
			d.base = min(d.base, d.buckets[i].least)
		}
	}
	d.spread = 0
	d.worst, d.late = d.base, d.base
	for i := range bucketCount {
		b := &d.buckets[(d.at+bucketCount-i)%bucketCount]
		// A second with a packet that no delay could have saved says nothing about the rest.
		if b.packets == 0 || b.most-d.base > d.limit {
			continue
		}
		d.spread = max(d.spread, b.most-d.base)
		d.worst = max(d.worst, b.worst)
		if i < recent {
			d.late = max(d.late, b.worst)
		}
	}
}

// pulled notes the offset at a frame. Pulls that come late do not count at once: the next may come in time.
func (d *delay) pulled(offset time.Duration) {
	if d.moved || offset < d.offset {
		if d.moved {
			d.moved, d.phased = false, 0
		}
		d.offset = offset
	} else {
		d.offset += (offset - d.offset) / 64
	}
	d.highest = max(d.highest, d.offset-d.base)
}

// spare is the time between arrival and need of the packet that had the least of it.
func (d *delay) spare() time.Duration { return d.offset - d.worst }

// target is the delay that playing begins with, where packets may begin as far as extra into a frame.
func (d *delay) target(least, extra time.Duration) time.Duration {
	return min(least+d.spread+extra, d.limit)
}

// change is by how much the delay should grow, or (negative) fall: in whole frames, since with less no packet would be
// needed later than it is now, or by what packets begin behind the beginning of a frame, since that helps nobody. Some
// of the packets may begin as far as extra into a frame.
func (d *delay) change(least, extra, frame time.Duration) time.Duration {
	if d.offset-d.late < least/4 && d.offset+frame-d.base <= d.limit {
		return frame
	}
	excess := min(d.spare(), d.offset-d.base-d.spread-extra) - least - slip
	if excess > frame && d.buckets[(d.at+bucketCount-1)%bucketCount].packets > 0 {
		return -(excess / frame * frame)
	}
	if d.phased >= settled && d.phase > slip {
		return -d.phase
	}
	return 0
}

// roundUp is how far into a frame packets of a length may begin: zero when frames hold whole packets or packets whole
// frames, and both began together.
func roundUp(length, frame time.Duration) time.Duration {
	if length <= 0 {
		return 0
	}
	a, b := frame.Microseconds(), length.Microseconds()
	for b > 0 {
		a, b = b, a%b
	}
	return frame - time.Duration(a)*time.Microsecond
}
