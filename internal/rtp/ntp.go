package rtp

import "time"

// ntpEpoch is 1900-01-01 in seconds before 1970-01-01.
const ntpEpoch = 2208988800

// NTP is a moment as a 64-bit NTP timestamp: seconds since 1900 and their fraction, RFC 3550 §4.
func NTP(t time.Time) uint64 {
	seconds := uint64(t.Unix() + ntpEpoch)
	return seconds<<32 | uint64(t.Nanosecond())<<32/1e9
}

// Time is the moment of an NTP timestamp, in UTC. Numbers with a clear first bit are taken for those after the wrap of
// 2036 (RFC 4330 §3).
func Time(ntp uint64) time.Time {
	seconds := int64(ntp >> 32)
	if ntp>>63 == 0 {
		seconds += 1 << 32
	}
	nanoseconds := (ntp&0xffffffff*1e9 + 1<<31) >> 32
	return time.Unix(seconds-ntpEpoch, int64(nanoseconds)).UTC()
}

// Middle is the middle 32 bits of an NTP timestamp, in 1/65536 s: the form of LSR.
func Middle(ntp uint64) uint32 { return uint32(ntp >> 16) }

// Delay is a duration in 1/65536 s: the form of DLSR. It is cut to what fits, about 18 hours.
func Delay(d time.Duration) uint32 {
	if d <= 0 {
		return 0
	}
	seconds, rest := d/time.Second, d%time.Second
	if seconds > 0xffff {
		return 0xffffffff
	}
	return uint32(seconds)<<16 | uint32(rest<<16/time.Second)
}

// Span is the duration that a DLSR stands for: the way back from Delay.
func Span(dlsr uint32) time.Duration { return time.Duration(dlsr) * time.Second >> 16 }
