// Package opus is the voice codec Opus in RTP: mono at 8000, 16000 or 48000 Hz, with in-band correction of losses and
// pauses that are not sent.
//
// Built with cgo and the tag "opus" it is a thin binding to libopus, linked statically, which encodes and decodes. Any
// other build decodes with Pion's decoder and cannot encode; there Spec has no NewEncoder. The states of libopus live
// in memory of Go (libopus keeps no pointers of its own to them), so that nothing needs to be closed or freed.
//
// The package owns the format parameters (RFC 7587), the table of contents of a payload (RFC 6716 §3.1) and the binding.
// It owns no packets and no clock. An Encoder or a Decoder belongs to one goroutine at a time; payloads may be hostile.
package opus

import (
	"dialtone/internal/codec"
)

// Name is the RTP encoding name.
const Name = "opus"

// ClockRate is that of the RTP timestamps in Hz.
//
// RFC 7587 §4.1: it is 48000 whatever the sampling rate.
const ClockRate = 48000

// Complexity is how much work the encoder of libopus does for a frame, 0 to 10. Below 4 speech loses half a decibel, above
// 5 it gains next to nothing for twice the time; see BenchmarkComplexity.
const Complexity = 5

// PayloadType is proposed in offers.
const PayloadType = 111

// mostPayload is how many bytes a payload may have: what fits a datagram.
const mostPayload = 1200

// longest is the longest packet in milliseconds.
const longest = 120

// Rates are the sampling rates of the PCM in Hz.
func Rates() []int { return []int{8000, 16000, 48000} }

// Spec describes the codec of this build.
func Spec() codec.Spec {
	return codec.Spec{
		// RFC 7587 §7: the channels in a=rtpmap are 2 always, what is sent may be mono.
		Name: Name, ClockRate: ClockRate, Channels: 2, Rates: Rates(), PayloadType: PayloadType, FMTP: offered,
		NewEncoder: encoderOf(), NewDecoder: newDecoder,
	}
}
