package tone

import (
	"math"
	"strings"
	"time"
)

// Keys are the sixteen keys, in the order of the rows of a telephone (ITU-T Q.23).
const Keys = "123A456B789C*0#D"

// rows and columns are the frequencies of Q.23, in Hz.
func rows() [4]float64    { return [...]float64{697, 770, 852, 941} }
func columns() [4]float64 { return [...]float64{1209, 1336, 1477, 1633} }

// Key is a key that is pressed for a while, again and again. Q.24 wants 40 ms each at least; what is no key is silence.
func Key(key byte, on, off time.Duration) Cadence {
	i := strings.IndexByte(Keys, key)
	if i < 0 {
		return Cadence{{Tone{}, 0}}
	}
	// Each of the two 3 dB above what is common for single tones: -10 dBm0 together.
	return onOff(pair(rows()[i/4], columns()[i%4]), on, off)
}

// Dial is a row of keys once, and silence.
func Dial(keys string, on, off time.Duration) Cadence {
	var c Cadence
	for i := range len(keys) {
		c = append(c, Key(keys[i], on, off)...)
	}
	return append(c, Burst{})
}

// Press is a key that was heard.
type Press struct {
	Key    byte
	Length time.Duration // so far, to within 10 ms
	Ended  bool          // else it has just been recognized and still sounds
}

const (
	keyBlock = 102 // samples of one look, 12.75 ms: neighbours of Q.23 are one null apart
	keyHop   = keyBlock / 2

	keyLevel = -41.0                     // dBm0 of the weaker tone, after what noise and the edge of a block take
	keyShare = 0.8                       // of the power of a block that its two tones hold; speech has other harmonics
	keyLeast = keyShare / (1 + keyTwist) // the same of the weaker tone
	keyClear = 0.89                      // the same of blocks that lie wholly in the tone, of which a key needs three
	keyPeak  = 4.0                       // power over that of the next one of the group: 6 dB
	keyTwist = 7.1                       // power of one group over the other, either way: 8.5 dB
	keyJump  = 2.0                       // power, and twist, of a look over the one before, either way: speech is less steady

	// 40 ms hold five to six looks, 24 ms at most three; a packet that is lost hides four, a pause of 40 ms seven.
	keyHits   = 4
	keyClears = 3
	keyMisses = 6
)

// DTMF listens for keys in PCM at 8 kHz, as ITU-T Q.24 wants it: at least 40 ms of tone and of pause. The zero value is
// ready.
type DTMF struct {
	ready  bool
	k      [8][3]float64            // Goertzel's coefficients of rows and columns: 1 % below, exactly, 1 % above
	buffer [keyHop + keyBlock]int16 // the first hop was in the look before
	filled int                      // of buffer; the zero value begins as if there had been silence
	key    byte                     // that is heard, or may be; 0: none
	told   bool
	looks  int // since the first that had it
	hits   int
	clears int
	last   int     // look that had it last
	power  float64 // of that one, and the row's over the column's
	twist  float64
	other  byte // what was heard instead in the look before
}

// Write takes the next samples and reports keys: each when it is recognized and when it has ended.
func (d *DTMF) Write(pcm []int16, report func(Press)) {
	if !d.ready {
		d.ready = true
		for i := range 8 {
			hz := rows()[i%4]
			if i >= 4 {
				hz = columns()[i%4]
			}
			for j := range 3 {
				d.k[i][j] = 2 * math.Cos(2*math.Pi*hz*(1+0.01*float64(j-1))/Rate)
			}
		}
	}
	for len(pcm) > 0 {
		d.filled = max(d.filled, keyHop)
		n := copy(d.buffer[d.filled:], pcm)
		d.filled += n
		pcm = pcm[n:]
		if d.filled == len(d.buffer) {
			d.listen(report)
			copy(d.buffer[:keyHop], d.buffer[keyBlock:])
			d.filled = keyHop
		}
	}
}

// listen takes the two looks that the full buffer has. While there is no key the first is taken only if the second has one:
// each key lasts long enough for both.
func (d *DTMF) listen(report func(Press)) {
	first, second := (*[keyBlock]int16)(d.buffer[:]), (*[keyBlock]int16)(d.buffer[keyHop:])
	if d.key != 0 {
		d.judge(d.look(first), report)
		d.judge(d.look(second), report)
		return
	}
	if v := d.look(second); v.key != 0 {
		d.judge(d.look(first), report)
		d.judge(v, report)
	}
}

// Reset forgets a key that is under way.
func (d *DTMF) Reset() { *d = DTMF{} }

// view is what one look has found. key 0 is none.
type view struct {
	key          byte
	power, twist float64 // mean square of the block, and the row's over the column's
	clear        int     // 1: hardly anything but the two tones
}

// resembles tells whether two views may be of one key press.
func (v view) resembles(power, twist float64) bool {
	return v.power < keyJump*power && power < keyJump*v.power && v.twist < keyJump*twist && twist < keyJump*v.twist
}

// look judges a block.
func (d *DTMF) look(block *[keyBlock]int16) (v view) {
	for _, s := range block {
		v.power += float64(s) * float64(s)
	}
	v.power /= keyBlock
	if Level(v.power) < keyLevel {
		return v
	}
	row, rowPower := d.peak(block, 0, keyLeast*v.power)
	if row < 0 {
		return v
	}
	column, columnPower := d.peak(block, 4, keyLeast*v.power)
	switch {
	case column < 0:
		return v
	case rowPower+columnPower < keyShare*v.power, Level(min(rowPower, columnPower)) < keyLevel:
		return v
	case rowPower > keyTwist*columnPower || columnPower > keyTwist*rowPower:
		return v
	}
	v.key, v.twist = Keys[row*4+column], rowPower/columnPower
	if rowPower+columnPower >= keyClear*v.power {
		v.clear = 1
	}
	return v
}

// peak is the frequency of a group that stands out and has at least some power, counted from 0; -1: none does. Q.24: it may
// be 1.5 % off.
func (d *DTMF) peak(block *[keyBlock]int16, group int, least float64) (at int, power float64) {
	var next float64
	powers := goertzels(block, [4]float64{d.k[group][1], d.k[group+1][1], d.k[group+2][1], d.k[group+3][1]})
	for i, p := range powers {
		if p > power {
			at, power, next = i, p, power
		} else {
			next = max(next, p)
		}
	}
	if power < keyPeak*next || power == 0 || power < least/2 { // half of it is the most that 1.5 % hide
		return -1, 0
	}
	power = max(power, goertzel(block[:], d.k[group+at][0]), goertzel(block[:], d.k[group+at][2]))
	if power < least {
		return -1, 0
	}
	return at, power
}

// goertzels is goertzel for four frequencies side by side, which a processor does in little more time than one.
func goertzels(pcm *[keyBlock]int16, k [4]float64) (powers [4]float64) {
	var a1, a2, b1, b2, c1, c2, d1, d2 float64
	for _, s := range pcm {
		x := float64(s)
		a1, a2 = x+k[0]*a1-a2, a1
		b1, b2 = x+k[1]*b1-b2, b1
		c1, c2 = x+k[2]*c1-c2, c1
		d1, d2 = x+k[3]*d1-d2, d1
	}
	const scale = 2.0 / (keyBlock * keyBlock)
	return [4]float64{scale * (a1*a1 + a2*a2 - k[0]*a1*a2), scale * (b1*b1 + b2*b2 - k[1]*b1*b2),
		scale * (c1*c1 + c2*c2 - k[2]*c1*c2), scale * (d1*d1 + d2*d2 - k[3]*d1*d2)}
}

// judge takes what one look has found.
func (d *DTMF) judge(v view, report func(Press)) {
	if d.key == 0 {
		d.begin(v)
		return
	}
	d.looks++
	if v.key == d.key && v.resembles(d.power, d.twist) {
		d.hits++
		d.last, d.power, d.twist, d.other = d.looks, v.power, v.twist, 0
		d.clears += v.clear
		if !d.told && d.hits >= keyHits && d.clears >= keyClears {
			d.told = true
			report(Press{Key: d.key, Length: d.length()})
		}
		return
	}
	changed := v.key != 0 && v.key != d.key && v.key == d.other // twice the same: no pause between two keys
	d.other = v.key
	if d.told && !changed && d.looks-d.last < keyMisses {
		return
	}
	if d.told {
		report(Press{Key: d.key, Length: d.length(), Ended: true})
	}
	d.begin(v)
}

// begin starts with what may become a key.
func (d *DTMF) begin(v view) {
	d.key, d.told, d.looks, d.hits, d.clears, d.last, d.power, d.twist, d.other = v.key, false, 1, 1, v.clear, 1, v.power, v.twist, 0
}

// length is how long the key has sounded: a look counts with three quarters of a block at the least.
func (d *DTMF) length() time.Duration {
	return time.Duration(d.last*keyHop+keyHop*4/5) * time.Second / Rate
}
