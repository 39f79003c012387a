package g722

// The coefficients of the quadrature mirror filters (G.722 Table 11), times 2^13, of which the other half is the mirror
// image.
const (
	h0, h1, h2, h3, h4, h5   = 3, -11, 12, 32, -210, 951
	h6, h7, h8, h9, h10, h11 = 3876, -805, 362, -156, 53, -11
)

// phases are the two halves of the filter: the even samples of a window, and the odd ones.
func phases(x *[taps]int16) (even, odd int32) {
	even = int32(x[0])*h0 + int32(x[2])*h1 + int32(x[4])*h2 + int32(x[6])*h3 + int32(x[8])*h4 + int32(x[10])*h5 +
		int32(x[12])*h6 + int32(x[14])*h7 + int32(x[16])*h8 + int32(x[18])*h9 + int32(x[20])*h10 + int32(x[22])*h11
	odd = int32(x[1])*h11 + int32(x[3])*h10 + int32(x[5])*h9 + int32(x[7])*h8 + int32(x[9])*h7 + int32(x[11])*h6 +
		int32(x[13])*h5 + int32(x[15])*h4 + int32(x[17])*h3 + int32(x[19])*h2 + int32(x[21])*h1 + int32(x[23])*h0
	return even, odd
}

// analyse gives one sample of each band for the two newest of the window (TRANSMIT QMF).
func analyse(x *[taps]int16) (low, high int32) {
	even, odd := phases(x)
	return limit((odd + even) >> 14), limit((odd - even) >> 14)
}

// synthesise gives two samples for the newest sum and difference of the bands (RECEIVE QMF).
func synthesise(x *[taps]int16) (first, second int16) {
	even, odd := phases(x)
	return int16(saturate(odd >> 11)), int16(saturate(even >> 11))
}

// limit keeps a value in 15 bits (LIMIT).
func limit(v int32) int32 { return min(max(v, -16384), 16383) }

// saturate keeps a value in 16 bits.
func saturate(v int32) int32 { return min(max(v, -32768), 32767) }
