package opus

// The table of contents of a payload (RFC 6716 §3.1):
//
//	 0 1 2 3 4 5 6 7
//	+-+-+-+-+-+-+-+-+
//	| config  |s| c |      c: 0 one frame, 1 and 2 two frames, 3 as many as the next byte says
//	+-+-+-+-+-+-+-+-+

// Frames is how many frames a payload has; 0 when it makes no sense.
func Frames(payload []byte) int {
	if len(payload) == 0 {
		return 0 // RFC 6716 §3.4: [R1] packets are at least one byte
	}
	switch payload[0] & 3 {
	case 0:
		return 1
	case 3:
		if len(payload) < 2 {
			return 0
		}
		// RFC 6716 §3.2.5: the lower six bits; zero is not allowed (caught by the caller as no frames).
		return int(payload[1] & 0x3f)
	}
	return 2
}

// frameLength is how long a frame of a configuration lasts, in samples of 48 kHz (RFC 6716 §3.1, Table 2).
func frameLength(toc byte) int {
	config := toc >> 3
	switch {
	case config < 12: // SILK only: 10, 20, 40, 60 ms
		return [4]int{480, 960, 1920, 2880}[config&3]
	case config < 16: // hybrid: 10, 20 ms
		return 480 << (config & 1)
	}
	return 120 << (config & 3) // CELT only: 2.5, 5, 10, 20 ms
}

// Samples is how many samples at rate Hz a payload stands for: 8000, 12000, 16000, 24000 or 48000. It is 0 when the
// payload makes no sense. Only its first bytes are looked at.
func Samples(payload []byte, rate int) int {
	n := Frames(payload)
	if n == 0 {
		return 0
	}
	samples := n * frameLength(payload[0])
	// RFC 6716 §3.2.5: [R5] no packet is longer than 120 ms.
	if samples > longest*ClockRate/1000 {
		return 0
	}
	return samples * rate / ClockRate
}
