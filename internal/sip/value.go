package sip

import "bytes"

// Small values that stand in several headers: q, delta-seconds, numbers in hexadecimal.

// QValue reads a qvalue in thousandths.
//
// RFC 3261 §25.1: ( "0" [ "." 0*3DIGIT ] ) / ( "1" [ "." 0*3("0") ] ). Interop: more digits and a missing "0" are
// accepted.
func QValue(v []byte) (uint16, bool) {
	whole, fraction, _ := bytes.Cut(v, []byte{'.'})
	if len(v) == 0 || len(v) > 12 || len(whole) > 1 || len(whole)+len(fraction) == 0 {
		return 0, false
	}
	q := 0
	if len(whole) == 1 {
		if whole[0] != '0' && whole[0] != '1' {
			return 0, false
		}
		q = 1000 * int(whole[0]-'0')
	}
	scale := 100
	for _, c := range fraction {
		if c < '0' || c > '9' {
			return 0, false
		}
		q += scale * int(c-'0')
		scale /= 10
	}
	return uint16(q), q <= 1000
}

// AppendQ appends the parameter of a q in thousandths, ";q=0.5" in full; of 1, which is what is meant without one, nothing.
func AppendQ(dst []byte, q uint16) []byte {
	if q >= 1000 {
		return dst
	}
	return append(append(dst, ";q=0."...), byte('0'+q/100), byte('0'+q/10%10), byte('0'+q%10))
}

// DeltaSeconds reads delta-seconds; what is too large for 32 bits is the largest value (RFC 3261 §25.1 bounds them so,
// RFC 4475 §3.1.2.5 sends more).
func DeltaSeconds(v []byte) (uint32, bool) {
	if len(v) == 0 || !all(v, classDigit) {
		return 0, false
	}
	var n uint64
	for _, c := range v {
		if n = n*10 + uint64(c-'0'); n > 1<<32-1 {
			return 1<<32 - 1, true
		}
	}
	return uint32(n), true
}

// AppendHex appends a number as sixteen hexadecimal digits: what tags, branches and seals are made of.
func AppendHex(dst []byte, v uint64) []byte {
	const hex = "0123456789abcdef"
	for shift := 60; shift >= 0; shift -= 4 {
		dst = append(dst, hex[v>>shift&15])
	}
	return dst
}
