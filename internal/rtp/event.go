package rtp

import (
	"encoding/binary"
	"time"
)

// Event is the payload of a telephone-event packet, RFC 4733 §2.3.
//
//	 0                   1                   2                   3
//	 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1 2 3 4 5 6 7 8 9 0 1
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
//	|     event     |E|R| volume    |          duration             |
//	+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+-+
type Event struct {
	Code     uint8 // 0-15 keys, 16 flash
	End      bool
	Volume   uint8  // 0-63: power level in -dBm0
	Duration uint16 // since the timestamp of the packet, in its units
}

// EventSize is the length of one event in a payload.
const EventSize = 4

// maxSegment is the longest duration that one event packet can express, in timestamp units.
const maxSegment = 0xffff

// ParseEvent reads the first event of a payload; ok is false when there is none left.
func ParseEvent(payload []byte) (e Event, rest []byte, ok bool) {
	if len(payload) < EventSize {
		return Event{}, nil, false
	}
	return Event{
		Code:     payload[0],
		End:      payload[1]&0x80 != 0,
		Volume:   payload[1] & 0x3f,
		Duration: binary.BigEndian.Uint16(payload[2:]),
	}, payload[EventSize:], true
}

// Append prints the event to dst.
func (e Event) Append(dst []byte) []byte {
	second := e.Volume & 0x3f
	if e.End {
		second |= 0x80
	}
	return binary.BigEndian.AppendUint16(append(dst, e.Code, second), e.Duration)
}

const keys = "0123456789*#ABCD!"

// Key is the key of an event code, RFC 4733 §3.2: '0'-'9', '*', '#', 'A'-'D', and '!' for the hook flash; 0 for events
// that are no keys.
func Key(code uint8) byte {
	if int(code) < len(keys) {
		return keys[code]
	}
	return 0
}

// KeyCode is the event code of a key; small letters are taken too.
func KeyCode(key byte) (code uint8, ok bool) {
	if 'a' <= key && key <= 'd' {
		key -= 'a' - 'A'
	}
	for i := range len(keys) {
		if keys[i] == key {
			return uint8(i), true
		}
	}
	return 0, false
}

// Press is one event from beginning to end.
type Press struct {
	Code     uint8
	Key      byte // 0 when the event is no key
	Duration time.Duration
}
