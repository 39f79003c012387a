package rtp

import "time"

// Reference is the reference time of a participant that may send nothing, as it came: what a DLRR answers so that the
// other can compute its round trip time, RFC 3611 §4.4 and §4.5.
type Reference struct {
	SSRC    uint32
	Middle  uint32        // middle of its NTP timestamp
	Arrival time.Duration // since any fixed moment
}

// Reference is that of an extended report that came at arrival, the time since any fixed moment; ok is false when the report has
// none.
func (x *ExtendedReport) Reference(arrival time.Duration) (r Reference, ok bool) {
	return Reference{SSRC: x.SSRC, Middle: Middle(x.ReferenceTime), Arrival: arrival}, x.ReferenceTime != 0
}

// Answer is the sub-block for it in a report that leaves now.
func (r Reference) Answer(now time.Duration) LastReference {
	return LastReference{SSRC: r.SSRC, LRR: r.Middle, DLRR: Delay(now - r.Arrival)}
}

// Answer finds the sub-block that answers the reference time of a participant.
func (x *ExtendedReport) Answer(ssrc uint32) (r LastReference, ok bool) {
	for _, r := range x.References {
		if r.SSRC == ssrc {
			return r, true
		}
	}
	return LastReference{}, false
}

// RoundTrip is the round trip time that the answer shows when it comes at now, an NTP timestamp of the clock that the
// reference time was read from. ok is false when the answer is to no reference time, or clocks have jumped.
//
// RFC 3611 §4.5: as RFC 3550 §6.4.1 has it for sender reports, A - LRR - DLRR.
func (r LastReference) RoundTrip(now uint64) (d time.Duration, ok bool) {
	// RFC 3611 §4.5: both are zero when there was no reference time.
	if r.LRR == 0 {
		return 0, false
	}
	// The times have a resolution of 15 us, so nothing may turn out as a little less than nothing.
	const resolution = 2
	trip := int32(Middle(now) - r.LRR - r.DLRR)
	if trip < -resolution {
		return 0, false
	}
	return Span(uint32(max(trip, 0))), true
}
