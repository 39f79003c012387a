package rtp

import "time"

const (
	// eventInterval is the spacing of updates. RFC 4733 §2.5.1.2: "a value of 50 ms RECOMMENDED".
	eventInterval = 50 * time.Millisecond
	// finalPackets is how often the end is said. RFC 4733 §2.5.1.4: "a total of three times".
	finalPackets = 3
)

// EventEncoder makes the packets of one press, one after the other. The zero value has nothing to send.
type EventEncoder struct {
	code      uint8
	volume    uint8
	clockRate uint32
	timestamp uint32        // of the current segment
	begin     uint32        // where the current segment begins within the event, in timestamp units
	total     uint32        // length of the event in timestamp units
	elapsed   time.Duration // when the next packet is due
	first     bool          // the next packet is the first
	repeat    int           // how often the last packet has to be said again
	last      EventPacket
}

// EventPacket is one packet of a press.
type EventPacket struct {
	Event     Event
	Marker    bool          // of the RTP header
	Timestamp uint32        // of the RTP header
	At        time.Duration // when to send it, since the beginning of the press
}

// NewEventEncoder begins a press of the given length (at least one update interval) at the given RTP timestamp. volume
// is in -dBm0, 10 being usual.
func NewEventEncoder(code, volume uint8, length time.Duration, timestamp, clockRate uint32) EventEncoder {
	length = max(length, eventInterval)
	return EventEncoder{
		code:      code,
		volume:    volume,
		clockRate: clockRate,
		timestamp: timestamp,
		total:     units(length, clockRate),
		elapsed:   eventInterval,
		first:     true,
	}
}

// Samples is the length of the press in timestamp units: how far the timestamp of the stream moves on.
func (e *EventEncoder) Samples() uint32 { return e.total }

// Next is the next packet; ok is false when the press is over.
//
// RFC 4733 §2.5.1: M on the first packet alone, one timestamp for all, growing duration, three times E at the end, and
// a new segment without M whenever 0xFFFF units are full.
func (e *EventEncoder) Next() (p EventPacket, ok bool) {
	if e.repeat > 0 {
		e.repeat--
		if e.last.Event.End {
			e.last.At += eventInterval
		}
		e.last.Marker = false
		return e.last, true
	}
	if e.last.Event.End || e.total == 0 {
		return EventPacket{}, false
	}
	if e.last.Event.Duration == maxSegment {
		e.timestamp += maxSegment
		e.begin += maxSegment
	}
	// The update is due at its interval, at the end of the segment or at the end of the event, whichever is first.
	length := min(units(e.elapsed, e.clockRate), e.total, e.begin+maxSegment)
	p = EventPacket{
		Event:     Event{Code: e.code, Volume: e.volume, End: length == e.total, Duration: uint16(length - e.begin)},
		Marker:    e.first,
		Timestamp: e.timestamp,
		At:        time.Duration(uint64(length) * uint64(time.Second) / uint64(e.clockRate)),
	}
	e.first = false
	if length == units(e.elapsed, e.clockRate) {
		e.elapsed += eventInterval
	}
	if p.Event.End || p.Event.Duration == maxSegment {
		e.repeat = finalPackets - 1
	}
	e.last = p
	return p, true
}
