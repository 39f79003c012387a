// Package quality computes how a call sounds from what is known about its packets: the E-model of ITU-T G.107 and its
// wideband form G.107.1 turn codec, loss and delay into a rating factor R, and R into a mean opinion score. It also says
// what to do about it: alarms for a call and for a trunk, and the settings of an encoder that follows the network.
//
// It owns the formulas, the codec table of G.113 and these state machines. It measures nothing: loss, bursts and delay
// come from package rtp, and time comes in as an argument. Recorded sound is judged by its sub-package listen. Pure values
// and functions, no goroutines; an Alarm, a TrunkAlarm or an Adapt belongs to one goroutine at a time.
package quality

import "math"

// MOS is the estimated mean opinion score, 1 to 4.5: R of the conversation, put on the scale of opinions. Without delay
// it is that of listening (MOS-LQ), with delay that of conversing (MOS-CQ).
//
// Calls of all codecs stand on the one scale of narrow-band telephony, so that an alarm means the same for each. G.107.1
// only lengthens the scale of R: 93.2 is clean G.711 on both. So a wideband R is put on it as it is, and what is better
// than the best of the narrow-band scale is as good as that, 4.5. WidebandScore has the scale of G.107.1 instead.
func MOS(c Codec, lossPercent, delayMS, burstR float64) float64 {
	return Score(R(c, lossPercent, delayMS, burstR))
}

// Score is the mean opinion score of a rating factor, G.107 Annex B.
func Score(r float64) float64 {
	switch {
	case r <= 0:
		return 1
	case r >= 100:
		return 4.5
	}
	// Below R = 6.5 the polynomial falls under 1; no opinion does.
	return max(1, 1+0.035*r+7e-6*r*(r-60)*(100-r))
}

// The default values of G.107 Table 2, in dB where not said otherwise.
const (
	slr  = 8.0   // send loudness rating
	rlr  = 2.0   // receive loudness rating
	stmr = 15.0  // sidetone masking rating
	lstr = 18.0  // listener sidetone rating
	ds   = 3.0   // D-value of the telephone, send side
	telr = 65.0  // talker echo loudness rating
	wepl = 110.0 // weighted echo path loss
	qdu  = 1.0   // quantisation distortion units
	nc   = -70.0 // circuit noise, dBm0p
	nfor = -64.0 // noise floor at the receive side, dBmp
	ps   = 35.0  // room noise at the send side, dB(A)
	pr   = 35.0  // room noise at the receive side, dB(A)
	olr  = slr + rlr
)

// R is the rating factor of G.107 with the default values of its Table 2, an advantage factor of 0 and equal delays in
// both directions; that of G.107.1, up to MaxWideband, for a wideband codec. lossPercent is the share of packets that were
// not played, 0 to 100; delayMS the one-way delay from mouth to ear; burstR the burst ratio, 1 for random loss. Values out
// of range are cut.
func R(c Codec, lossPercent, delayMS, burstR float64) float64 {
	loss := within(lossPercent, 0, 100)
	delay := within(delayMS, 0, maxDelay)
	if !(burstR >= 1) {
		burstR = 1
	}
	r := connection(delay)
	if c.Wideband {
		r = MaxWideband - (connection(0) - r)
	}
	if loss > 0 {
		return r - c.Ie - (95-c.Ie)*loss/(loss/burstR+c.Bpl)
	}
	return r - c.Ie
}

// maxDelay is longer than any conversation bears, in ms.
const maxDelay = 60_000

// within cuts a figure to a range; what is not a number is taken for the lower end.
func within(x, low, high float64) float64 {
	if !(x >= low) {
		return low
	}
	return min(x, high)
}

// connection is R of a narrow-band connection whose codec costs nothing: Ro - Is - Id.
func connection(delay float64) float64 {
	no := noise()
	ro := 15 - 1.5*(slr+no)
	is := loudness(no) + sidetone(delay) + quantisation(ro)
	id := talkerEcho(no, delay) + listenerEcho(ro, 2*delay) + absoluteDelay(delay)
	return ro - is - id
}

// noise is No, the sum of all noise at the 0 dBr point (G.107 equations 3 to 7).
func noise() float64 {
	pre := pr + 10*math.Log10(1+math.Pow(10, (10-lstr)/10))
	nos := ps - slr - ds - 100 + 0.004*square(ps-olr-ds-14)
	nor := rlr - 121 + pre + 0.008*square(pre-35)
	nfo := nfor + rlr
	return 10 * math.Log10(power(nc)+power(nos)+power(nor)+power(nfo))
}

// loudness is Iolr: too low a loudness (equations 9 and 10).
func loudness(no float64) float64 {
	x := (olr + 0.2*(64+no-rlr)) / 8
	return 20 * (math.Pow(1+math.Pow(x, 8), 1.0/8) - x)
}

// sidetone is Ist (equations 11 and 12).
func sidetone(delay float64) float64 {
	s := -10 * math.Log10(power(-stmr)+math.Exp(-delay/4)*power(-telr))
	return 12*math.Pow(1+math.Pow((s-13)/6, 8), 1.0/8) -
		28*math.Pow(1+math.Pow((s+1)/19.4, 35), 1.0/35) -
		13*math.Pow(1+math.Pow((s-3)/33, 13), 1.0/13) + 29
}

// quantisation is Iq (equations 13 to 17).
func quantisation(ro float64) float64 {
	q := 37 - 15*math.Log10(qdu)
	g := 1.07 + 0.258*q + 0.0602*q*q
	y := (ro-100)/15 + 46/8.4 - g/9
	z := 46.0/30 - g/40
	return 15 * math.Log10(1+math.Pow(10, y)+math.Pow(10, z))
}

// talkerEcho is Idte (equations 19 to 22); with a sidetone from 9 to 20 dB it needs no correction.
func talkerEcho(no, t float64) float64 {
	roe := -1.5 * (no - rlr)
	terv := telr - 40*math.Log10((1+t/10)/(1+t/150)) + 6*math.Exp(-0.3*t*t)
	re := 80 + 2.5*(terv-14)
	return ((roe-re)/2 + math.Sqrt(square(roe-re)/4+100) - 1) * (1 - math.Exp(-t))
}

// listenerEcho is Idle (equations 25 and 26); tr is the delay round the four-wire loop.
func listenerEcho(ro, tr float64) float64 {
	rle := 10.5 * (wepl + 7) * math.Pow(tr+1, -0.25)
	return (ro-rle)/2 + math.Sqrt(square(ro-rle)/4+169)
}

// absoluteDelay is Idd (equations 27 and 28).
func absoluteDelay(ta float64) float64 {
	if ta <= 100 {
		return 0
	}
	x := math.Log2(ta / 100)
	return 25 * (math.Pow(1+math.Pow(x, 6), 1.0/6) - 3*math.Pow(1+math.Pow(x/3, 6), 1.0/6) + 2)
}

func power(db float64) float64 { return math.Pow(10, db/10) }

func square(x float64) float64 { return x * x }
