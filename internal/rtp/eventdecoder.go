package rtp

import "time"

const (
	// eventTimeout ends an event whose last packets were all lost: several update intervals of 50 ms.
	eventTimeout = 400 * time.Millisecond
	// eventMemory is how far behind the last event a timestamp still belongs to the past, not to a new beginning.
	eventMemory = 5 * time.Second
)

// EventDecoder turns the packets of telephone events into presses: each exactly once, when it ends, with its whole
// duration, whatever is lost, doubled or reordered as long as one packet of the press arrives. Presses of one stream
// come out in order.
type EventDecoder struct {
	ClockRate uint32 // Hz

	ssrc    uint32
	active  bool
	current segment
	before  uint32        // length of the finished segments of the current event
	heard   time.Duration // arrival of its last packet

	over bool    // done is set
	done segment // last segment of the last event that was yielded
}

// segment is one reported stretch of an event, told apart by its timestamp.
type segment struct {
	timestamp uint32
	code      uint8
	duration  uint32
}

// follows tells whether s is the continuation of t, RFC 4733 §2.5.2.3: same event, no gap behind a full segment.
func (s segment) follows(t segment) bool {
	return s.code == t.code && s.timestamp == t.timestamp+maxSegment
}

// Decode takes a packet whose payload type is telephone-event; arrival is the time since any fixed moment. Presses that
// have ended are given to yield before it returns.
func (d *EventDecoder) Decode(p *Packet, arrival time.Duration, yield func(Press)) {
	if p.SSRC != d.ssrc {
		d.finish(yield)
		d.ssrc, d.over = p.SSRC, false
	}
	timestamp, rest := p.Timestamp, p.Payload
	for {
		e, next, ok := ParseEvent(rest)
		if !ok {
			return
		}
		d.take(segment{timestamp, e.Code, uint32(e.Duration)}, e.End, arrival, yield)
		// RFC 4733 §2.5.2.4: a following event begins where the one before it ends.
		timestamp, rest = timestamp+uint32(e.Duration), next
	}
}

// take handles the report of one segment.
func (d *EventDecoder) take(s segment, end bool, arrival time.Duration, yield func(Press)) {
	if d.over && d.past(s, d.done) {
		return
	}
	if d.over && !d.active && s.follows(d.done) && d.done.duration == maxSegment {
		// The event was given up for lost in its middle; what is left of it is no new press.
		d.done = s
		return
	}
	if d.active {
		switch {
		case s.timestamp == d.current.timestamp && s.code == d.current.code:
			s.duration = max(s.duration, d.current.duration)
		case s.follows(d.current):
			d.before += maxSegment
		case d.past(s, d.current):
			return
		default: // the end of the current event was lost
			d.finish(yield)
		}
	}
	if !d.active {
		d.before = 0
	}
	d.active, d.current, d.heard = true, s, arrival
	if end {
		d.finish(yield)
	}
}

// past tells whether s reports the event t again, or one before it. A timestamp that is far behind is a sender that
// began anew.
func (d *EventDecoder) past(s, t segment) bool {
	if s.timestamp == t.timestamp {
		return s.code == t.code
	}
	behind := TimestampDiff(t.timestamp, s.timestamp)
	return behind > 0 && behind <= int(d.ClockRate)*int(eventMemory/time.Second)+int(t.duration)+int(d.before)
}

// Expire yields the current event when nothing was heard of it for a while: all its last packets were lost. Call it
// now and then while Active.
//
// RFC 4733 §2.5.2.2: the tone ends when "a given time period elapses".
func (d *EventDecoder) Expire(now time.Duration, yield func(Press)) {
	if d.active && now-d.heard >= eventTimeout {
		d.finish(yield)
	}
}

// Active tells whether an event has begun and not ended.
func (d *EventDecoder) Active() bool { return d.active }

// finish yields the current event, if there is one.
func (d *EventDecoder) finish(yield func(Press)) {
	if !d.active {
		return
	}
	d.active, d.over, d.done = false, true, d.current
	length := uint64(d.before) + uint64(d.current.duration)
	var duration time.Duration
	if d.ClockRate > 0 {
		duration = time.Duration(length * uint64(time.Second) / uint64(d.ClockRate))
	}
	yield(Press{Code: d.current.code, Key: Key(d.current.code), Duration: duration})
}
