package opus

import (
	"strconv"
	"strings"
)

// Bounds of the bit rate (RFC 6716 §2.1.1).
const (
	lowestBitrate  = 6000
	highestBitrate = 510000
)

// Parameters are what the receiver says of itself in a=fmtp (RFC 7587 §6.1). What it sends is not among them.
type Parameters struct {
	MaxPlaybackRate   int  // the highest sampling rate that it makes audible, in Hz
	MaxAverageBitrate int  // bits a second; 0: no limit
	CBR               bool // it wants a constant bit rate
	InbandFEC         bool // it makes use of forward error correction
	DTX               bool // it likes pauses not to be sent
	Stereo            bool // it prefers stereo; we send mono all the same, which it must take
}

// ParseFMTP reads format parameters. What is unknown or makes no sense counts as not said.
func ParseFMTP(fmtp string) Parameters {
	// RFC 7587 §6.1: the defaults of what is not said.
	p := Parameters{MaxPlaybackRate: 48000}
	for part := range strings.SplitSeq(fmtp, ";") {
		name, value, _ := strings.Cut(part, "=")
		n, err := strconv.Atoi(strings.TrimSpace(value))
		if err != nil || n < 0 {
			continue
		}
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "maxplaybackrate":
			p.MaxPlaybackRate = min(max(n, 8000), 48000)
		case "maxaveragebitrate":
			// RFC 7587 §6.1: values outside the range SHOULD be ignored.
			if n >= lowestBitrate && n <= highestBitrate {
				p.MaxAverageBitrate = n
			}
		case "cbr":
			p.CBR = n == 1
		case "useinbandfec":
			p.InbandFEC = n == 1
		case "usedtx":
			p.DTX = n == 1
		case "stereo":
			p.Stereo = n == 1
		}
	}
	return p
}

// bitrate is what speech is sent with at a sampling rate, in bits a second, unless Tune says otherwise.
//
// RFC 7587 §3.1.1: 8-12 kbit/s for narrowband, 16-20 for wideband, 28-40 for fullband speech are the sweet spots; a
// little more leaves room for error correction.
func (p Parameters) bitrate(rate int) int {
	n := 32000
	switch min(rate, p.MaxPlaybackRate) {
	case 8000:
		n = 16000
	case 12000, 16000:
		n = 24000
	}
	return p.within(n)
}

// within keeps a bit rate in what the receiver and the codec allow.
func (p Parameters) within(bitrate int) int {
	most := highestBitrate
	if p.MaxAverageBitrate > 0 {
		most = p.MaxAverageBitrate
	}
	return min(max(bitrate, lowestBitrate), most)
}
