package rtp

// SequenceDiff is how far a is ahead of b, from -32768 to 32767, across the wrap of the 16-bit number.
func SequenceDiff(a, b uint16) int { return int(int16(a - b)) }

// TimestampDiff is how far a is ahead of b across the wrap of the 32-bit number.
func TimestampDiff(a, b uint32) int { return int(int32(a - b)) }
