package media

import (
	"slices"
	"sync"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/quality"
	"dialtone/internal/rtp"
)

// setting is what an encoder was told.
type setting struct {
	loss    float64
	bitrate int
}

// tuner is an encoder that notes what it is told.
type tuner struct {
	mu   sync.Mutex
	told []setting
}

func (*tuner) Encode(dst []byte, _ codec.Frame) []byte { return append(dst, make([]byte, 160)...) }

func (e *tuner) Tune(lossPct float64, bitrate int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.told = append(e.told, setting{lossPct, bitrate})
}

// heard is what it was told, and forgets it.
func (e *tuner) heard() []setting {
	e.mu.Lock()
	defer e.mu.Unlock()
	told := e.told
	e.told = nil
	return told
}

// The encoder of what we say follows what the party reports: at once when it loses packets, slowly back.
func TestEncoderFollowsReports(t *testing.T) {
	inLab(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		x := l.end(a)
		if _, err := x.s.Play(&ramp{n: 1 << 20}); err != nil {
			t.Fatal(err)
		}
		wait(time.Second)
		encoder := &tuner{}
		talk := x.s.Audio().talk()
		talk.mu.Lock()
		talk.tuning.encoder = encoder
		ssrc := talk.sender.SSRC
		talk.mu.Unlock()
		lost := int32(0)
		report := func(percent float64) {
			t.Helper()
			lost += int32(250 * percent / 100)
			r := rtp.Report{SSRC: 0xa, Blocks: []rtp.ReportBlock{{SSRC: ssrc, FractionLost: uint8(percent * 256 / 100), CumulativeLost: lost}}}
			if err := a.rtcp.WriteTo(rtp.AppendCNAME(r.Append(nil), 0xa, "alice"), above(x.to)); err != nil {
				t.Fatal(err)
			}
			wait(5 * time.Second)
		}
		report(0)
		if got := encoder.heard(); !slices.Equal(got, []setting{{0, quality.BitrateFull}}) {
			t.Errorf("without loss: %v", got)
		}
		report(20)
		if got := encoder.heard(); len(got) != 1 || got[0].loss < 15 || got[0].bitrate != quality.BitrateLow {
			t.Errorf("with loss: %v", got)
		}
		report(0)
		report(0)
		for _, s := range encoder.heard() {
			if s.bitrate != quality.BitrateLow {
				t.Errorf("too early back: %v", s)
			}
		}
		for range 60 {
			report(0)
		}
		if got := encoder.heard(); len(got) == 0 || got[len(got)-1] != (setting{0, quality.BitrateFull}) {
			t.Errorf("long after the loss: %v", got)
		}
	})
}
