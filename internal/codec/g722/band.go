package g722

// Scale factors after a reset.
const (
	lowerScale = 32
	upperScale = 8
)

// band is the state of the adaptive predictor and quantiser of one band (the variables of G.722 §6.2 in brackets).
type band struct {
	estimate int32 // prediction of the next sample (SL, SH)
	zeros    int32 // the part of it that comes from the six zeros (SZL, SZH)
	scale    int32 // of the quantiser (DETL, DETH)
	log      int32 // its logarithm (NBL, NBH)

	a1, a2 int32    // coefficients of the poles (AL1, AL2)
	r1     int32    // the last reconstructed sample, doubled (RLT)
	p1, p2 int32    // the last partly reconstructed ones, of which only the sign counts (PLT)
	b      [6]int32 // coefficients of the zeros (BL)
	d      [6]int32 // the last quantised differences, doubled (DLT)
}

func (b *band) reset(scale int32) { *b = band{scale: scale} }

// encodeLower gives the six bits of a sample of the lower band.
func (b *band) encodeLower(x int32) byte {
	code := quantise(saturate(x-b.estimate), b.scale) // SUBTRA, QUANTL
	b.follow(code >> 2)
	return code
}

// decodeLower gives the sample for six bits of the lower band.
func (b *band) decodeLower(code byte) int32 {
	y := limit(b.estimate + b.scale*int32(inverse6[code&0x3f])>>15) // INVQBL, RECONS, LIMIT
	b.follow(code >> 2)
	return y
}

// follow adapts the lower band to the four upper bits of a code: both ends do it alike.
func (b *band) follow(code byte) {
	d := b.scale * int32(inverse4[code&0xf]) >> 15 // INVQAL
	b.log = min(max(b.log*127>>7+int32(step4[code&0xf]), 0), 18432)
	b.scale = exponential(b.log, 8)
	b.adapt(d)
}

// encodeUpper gives the two bits of a sample of the upper band.
func (b *band) encodeUpper(x int32) byte {
	e := saturate(x - b.estimate) // SUBTRA
	sign := e >> 31
	code := byte(3 + 2*sign) // QUANTH: 3 and 2 for positive differences, 1 and 0 for negative ones
	if e^sign >= 564*b.scale>>12 {
		code--
	}
	b.followUpper(code)
	return code
}

// decodeUpper gives the sample for two bits of the upper band.
func (b *band) decodeUpper(code byte) int32 {
	estimate := b.estimate
	return limit(estimate + b.followUpper(code)) // RECONS, LIMIT
}

// followUpper adapts the upper band to a code and gives the quantised difference.
func (b *band) followUpper(code byte) int32 {
	d := b.scale * int32(inverse2[code&3]) >> 15 // INVQAH
	b.log = min(max(b.log*127>>7+int32(step2[code&3]), 0), 22528)
	b.scale = exponential(b.log, 10)
	b.adapt(d)
	return d
}

// exponential is the scale factor of a logarithm (SCALEL, SCALEH).
func exponential(log, shift int32) int32 {
	mantissa := int32(mantissas[log>>6&31])
	if shift -= log >> 11; shift < 0 {
		return mantissa << (2 - shift)
	}
	return mantissa >> shift << 2
}

// quantise finds the interval of a difference among the 30 of the quantiser on each side (QUANTL).
func quantise(e, scale int32) byte {
	sign := e >> 31
	// magnitude < level*scale>>12 is the same as (magnitude+1)<<12 <= level*scale.
	magnitude := (e ^ sign + 1) << 12
	i := 0
	for step := 16; step > 0; step >>= 1 {
		if int32(decision[(i+step)&31])*scale < magnitude {
			i += step
		}
	}
	return codes[sign&1][i&31]
}

// adapt takes a quantised difference into the predictor and predicts the next sample (block 4 of G.722).
func (b *band) adapt(d int32) {
	r := saturate(b.estimate + d) // RECONS
	p := saturate(b.zeros + d)    // PARREC

	// UPPOL2. same is 0 when the signs agree, else -1.
	w := saturate(b.a1 << 2)
	same1, same2 := (p^b.p1)>>31, (p^b.p2)>>31
	w = min((w^^same1)-^same1, 32767)
	a2 := (128 ^ same2) - same2 + w>>7 + b.a2*127>>7
	a2 = min(max(a2, -12288), 12288)
	// UPPOL1. Neither this nor UPZERO can leave 16 bits.
	a1 := (192 ^ same1) - same1 + b.a1*255>>8
	most := 15360 - a2
	a1 = min(max(a1, -most), most)

	// UPZERO, DELAYA and FILTEZ in one pass.
	var gain int32
	if d != 0 {
		gain = 128
	}
	doubled := saturate(d << 1)
	z, x := &b.b, &b.d
	s0, s1, s2 := (x[0]^d)>>31, (x[1]^d)>>31, (x[2]^d)>>31
	s3, s4, s5 := (x[3]^d)>>31, (x[4]^d)>>31, (x[5]^d)>>31
	z0, z1, z2 := z[0]*255>>8+(gain^s0)-s0, z[1]*255>>8+(gain^s1)-s1, z[2]*255>>8+(gain^s2)-s2
	z3, z4, z5 := z[3]*255>>8+(gain^s3)-s3, z[4]*255>>8+(gain^s4)-s4, z[5]*255>>8+(gain^s5)-s5
	x0, x1, x2, x3, x4 := x[0], x[1], x[2], x[3], x[4]
	*z = [6]int32{z0, z1, z2, z3, z4, z5}
	*x = [6]int32{doubled, x0, x1, x2, x3, x4}
	zeros := saturate(z0*doubled>>15 + z1*x0>>15 + z2*x1>>15 + z3*x2>>15 + z4*x3>>15 + z5*x4>>15)

	// FILTEP, PREDIC
	r1 := saturate(r << 1)
	poles := saturate(a1*r1>>15 + a2*b.r1>>15)
	b.r1 = r1
	b.p1, b.p2 = p, b.p1
	b.a1, b.a2 = a1, a2
	b.zeros, b.estimate = zeros, saturate(poles+zeros)
}
