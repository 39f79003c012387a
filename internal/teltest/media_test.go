package teltest

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"dialtone/internal/media/tone"
	"dialtone/internal/network"
	"dialtone/internal/softphone"
)

// policies is a configuration with line 101 for the caller and line 102 for a callee whose device is configured so.
func policies(callee string) string {
	return "tenant: default\nlines:\n" +
		"  - {number: \"101\", product: extension, devices: [{username: \"101\", password: pw-101}]}\n" +
		"  - {number: \"102\", product: extension, devices: [{username: \"102\", password: pw-102" + callee + "}]}\n"
}

// ways are the ways of encrypting, and how a device that wants one is configured and recorded.
func ways() map[softphone.SRTP][2]string {
	return map[softphone.SRTP][2]string{
		softphone.SRTPOff:  {", srtp: off", "none"},
		softphone.SRTPSDES: {", srtp: required", "sdes"},
		softphone.SRTPDTLS: {", srtp: required, media: {keys: dtls}", "dtls-srtp"},
	}
}

// Phones that encrypt in different ways, or not at all, hear each other through the exchange, and the record says what each
// leg had.
func TestPhonesEncryptInTheirOwnWays(t *testing.T) {
	for near, nearWay := range ways() {
		for far, farWay := range ways() {
			t.Run(string(near)+" calls "+string(far), func(t *testing.T) {
				inLab(t, Options{File: policies(farWay[0])}, func(t *testing.T, lab *Lab) {
					a, b := lab.Add(Device{User: "101", SRTP: near}), lab.Add(Device{User: "102", SRTP: far})
					x, y := a.Connect("102", b)
					lab.Pass(time.Second) // handshakes
					lab.Hears(x, b.Hz)
					lab.Hears(y, a.Hz)
					x.Hangup()
					for _, end := range []struct {
						c    *softphone.Call
						want string
					}{{x, nearWay[1]}, {y, farWay[1]}} {
						m := lab.Ended(end.c).Media
						if crypto := strings.ReplaceAll(end.want, "none", ""); m.Crypto != crypto || (m.Suite != "") != (crypto != "") {
							t.Errorf("phone has %q %q, want %q", m.Crypto, m.Suite, crypto)
						}
					}
					r := lab.Record()
					if *r.Legs[0].Crypto != nearWay[1] || *r.Legs[1].Crypto != farWay[1] || (r.Legs[0].Suite == nil) != (near == softphone.SRTPOff) {
						t.Errorf("record %v", show(r.Legs[0].Crypto))
					}
					if want := near != softphone.SRTPOff && far != softphone.SRTPOff; *r.Flags.Encrypted != want {
						t.Errorf("encrypted %v, want %v", *r.Flags.Encrypted, want)
					}
				})
			})
		}
	}
}

// Who would have it otherwise than it is offered is refused.
func TestWrongEncryptionIsRefused(t *testing.T) {
	for name, tt := range map[string]struct {
		near, far softphone.SRTP
		callee    string
	}{
		"the callee must encrypt and is offered plain RTP": {"", softphone.SRTPSDES, ", srtp: off"},
		"the callee must not encrypt and is offered SRTP":  {"", softphone.SRTPOff, ", srtp: required"},
	} {
		t.Run(name, func(t *testing.T) {
			inLab(t, Options{File: policies(tt.callee)}, func(t *testing.T, lab *Lab) {
				a := lab.Add(Device{User: "101", SRTP: tt.near})
				lab.Add(Device{User: "102", SRTP: tt.far})
				if o := lab.Ended(a.Dial("102")); o.Status() != 488 {
					t.Errorf("ended with %d %s", o.Status(), o.Cause.Words)
				}
			})
		})
	}
	t.Run("the exchange must not encrypt", func(t *testing.T) {
		file := strings.Replace(policies(""), "password: pw-101", "password: pw-101, srtp: off", 1)
		inLab(t, Options{File: file}, func(t *testing.T, lab *Lab) {
			a := lab.Add(Device{User: "101", SRTP: softphone.SRTPDTLS})
			lab.Phone("102")
			if o := lab.Ended(a.Dial("102")); o.Status() != 488 {
				t.Errorf("ended with %d %s", o.Status(), o.Cause.Words)
			}
		})
	})
}

// reel is a recording in memory.
type reel struct {
	mu   sync.Mutex
	rate int
	pcm  []int16
}

func (r *reel) Begin(rate int) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.rate = rate
	return nil
}

func (r *reel) Write(pcm []int16) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.pcm = append(r.pcm, pcm...)
	return nil
}

func (*reel) Flush() error { return nil }

// phonesConvert lets two phones with a codec each talk. What each says is at 16 kHz, so that a wideband leg can be told from a
// narrow one; what each has recorded is at the rate of its codec.
func phonesConvert(t *testing.T, near, far string, converted bool) {
	inLab(t, Options{}, func(t *testing.T, lab *Lab) {
		a, b := lab.Add(Device{User: "101", Codecs: []string{near}}), lab.Add(Device{User: "102", Codecs: []string{far}})
		rates := map[string]int{"opus": 16000, "g722": 16000, "l16": 16000, "pcma": 8000, "pcmu": 8000}
		say := func(hz float64) ([]int16, *reel) {
			pcm := make([]int16, 0, 6*16000)
			low := make([]int16, 6*8000)
			tone.NewGenerator(tone.Sine(hz/2, -13)).Read(low)
			// Of a tone of half the frequency at 8 kHz, read at 16.
			return append(pcm, low...), &reel{}
		}
		nearSays, nearHears := say(700)
		farSays, farHears := say(1100)
		b.Answers(softphone.Decision{Talk: softphone.Talk{PCM: farSays, Rate: 16000, Record: farHears}})
		x := a.DialWith("102", softphone.Talk{PCM: nearSays, Rate: 16000, Record: nearHears})
		y := b.Called()
		lab.Answered(x)
		select {
		case <-y.Done(): // a telephone that does not speak the caller's codec refuses it, and is offered others
			y = b.Called()
		default:
		}
		lab.Answered(y)
		lab.Hears(x, 1100)
		lab.Hears(y, 700)
		lab.Pass(time.Second)
		x.Hangup()
		for _, end := range []struct {
			c     *softphone.Call
			codec string
			reel  *reel
		}{{x, near, nearHears}, {y, far, farHears}} {
			o := lab.Ended(end.c)
			if !strings.EqualFold(o.Media.Codec, end.codec) || o.Media.MOSIn < 4 || o.Err != nil {
				t.Errorf("%s: %+v, %v", end.codec, o.Media, o.Err)
			}
			end.reel.mu.Lock()
			if seconds := float64(len(end.reel.pcm)) / float64(rates[end.codec]); end.reel.rate != rates[end.codec] || seconds < 2 || seconds > 4 {
				t.Errorf("%s: recorded %.1f s at %d Hz", end.codec, seconds, end.reel.rate)
			}
			end.reel.mu.Unlock()
		}
		r := lab.Record()
		for i, want := range []string{near + " -> " + far, far + " -> " + near} {
			leg := r.Legs[i]
			if !converted {
				if leg.Transcoded != nil {
					t.Errorf("leg %d was converted: %s", i, *leg.Transcoded)
				}
				continue
			}
			if fmt.Sprint(show(leg.Transcoded), ", ", show(leg.Reason)) != want+", no codec in common" {
				t.Errorf("leg %d: %v, %v, want %s", i, show(leg.Transcoded), show(leg.Reason), want)
			}
		}
	})
}

func TestPhonesWithDifferentCodecs(t *testing.T) {
	for _, tt := range []struct {
		near, far string
		converted bool
	}{{"g722", "pcmu", true}, {"pcma", "g722", true}, {"l16", "pcma", true}, {"g722", "g722", false}, {"pcma", "pcmu", true}} {
		t.Run(tt.near+" "+tt.far, func(t *testing.T) { phonesConvert(t, tt.near, tt.far, tt.converted) })
	}
}

// A party that is gone is missed on legs of every kind: encrypted, and converted.
func TestPartyOfAConvertedCallIsMissed(t *testing.T) {
	for _, srtp := range []softphone.SRTP{softphone.SRTPOff, softphone.SRTPSDES, softphone.SRTPDTLS} {
		t.Run(string(srtp), func(t *testing.T) {
			inLab(t, Options{Seed: 5, File: policies("")}, func(t *testing.T, lab *Lab) {
				a, b := lab.Add(Device{User: "101", SRTP: srtp, Codecs: []string{"g722"}}), lab.Phone("102")
				x, y := a.Connect("102", b)
				select {
				case <-y.Done():
					y = b.Called()
					lab.Answered(y)
				default:
				}
				lab.Pass(20 * time.Second)
				cut := time.Now()
				lab.Net.Between(a.Host, lab.Host, network.Conditions{Down: true})
				if o := lab.Ended(y); o.Cause.Q850 != 102 || time.Since(cut) < 25*time.Second || time.Since(cut) > 45*time.Second {
					t.Errorf("%v after %v", o.Cause, time.Since(cut))
				}
				lab.Net.Between(a.Host, lab.Host, network.Conditions{})
				x.Hangup()
				lab.Ended(x)
				if r := lab.Record(); r.Cause.Words != "media timeout" || r.Legs[0].Transcoded == nil {
					t.Errorf("record %+v of %v", r.Cause, show(r.Legs[0].Transcoded))
				}
			})
		})
	}
}
