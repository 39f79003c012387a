package teltest

import (
	"testing"
	"time"

	"dialtone/internal/config"
)

// level is how loud what was heard in the last second is, as the root of the mean square.
func level(pcm []int16) (sum float64) {
	if len(pcm) > 8000 {
		pcm = pcm[len(pcm)-8000:]
	}
	for _, s := range pcm {
		sum += float64(s) * float64(s)
	}
	return sum / float64(max(1, len(pcm)))
}

func TestMusic(t *testing.T) {
	inLab(t, Options{}, func(t *testing.T, lab *Lab) {
		a := lab.Phone("101")
		k := &kept{}
		x := a.DialWith("*9664", talkInto(k))
		lab.Answered(x)
		lab.Pass(5 * time.Second)
		x.Hangup()
		if o := lab.Ended(x); o.Media.Lost != 0 || o.Status() != 200 {
			t.Errorf("music: %+v", o)
		}
		if len(k.pcm) < 4*8000 || level(k.pcm) < 1000 || x.Hears(a.Hz) {
			t.Errorf("%d samples of music at level %v", len(k.pcm), level(k.pcm))
		}
		if r := lab.Record(); len(r.Path) != 1 || r.Path[0].Kind != "music" {
			t.Errorf("path %+v", r.Path)
		}
	})
}

// Who is held hears music, and the other party again afterwards; without music, what the holder sends: our phones nothing.
func TestHoldMusic(t *testing.T) {
	for name, on := range map[string]bool{"on": true, "off": false} {
		t.Run(name, func(t *testing.T) {
			inLab(t, Options{Configure: func(c *config.Config) { c.Music.Hold = on }}, func(t *testing.T, lab *Lab) {
				a, b := lab.Phone("101"), lab.Phone("102")
				near, far := a.Connect("102", b)
				lab.Hears(far, a.Hz)
				for range 2 {
					lab.must(near.Hold(t.Context()))
					lab.Pass(500 * time.Millisecond)
					far.Forget()
					lab.Pass(3 * time.Second)
					if heard := far.Tones(); far.Hears(a.Hz) || on != (len(heard) > 0) {
						t.Errorf("who is held hears %v, the holder says %v", heard, a.Hz)
					}
					lab.must(near.Resume(t.Context()))
					lab.Hears(far, a.Hz)
					lab.Hears(near, b.Hz)
				}
				// The callee holds the caller.
				lab.must(far.Hold(t.Context()))
				lab.Pass(500 * time.Millisecond)
				near.Forget()
				lab.Pass(3 * time.Second)
				if heard := near.Tones(); near.Hears(b.Hz) || on != (len(heard) > 0) {
					t.Errorf("the caller, held, hears %v, the holder says %v", heard, b.Hz)
				}
				far.Hangup()
				lab.Ended(far)
				if o := lab.Ended(near); o.Media.Lost != 0 {
					t.Errorf("%d packets lost: the numbers did not go on", o.Media.Lost)
				}
				if r := lab.Record(); *r.HoldMS < 9000 {
					t.Errorf("held for %d ms", *r.HoldMS)
				}
			})
		})
	}
}
