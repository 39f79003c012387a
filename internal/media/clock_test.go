package media

import (
	"slices"
	"testing"
	"time"

	"dialtone/internal/codec"
	"dialtone/internal/rtp"
)

// Players are spread over the slots of a frame, each ticks every 20 ms, and the clock sleeps when the last has ended.
func TestPlayersAreSpread(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		const n = 40
		var phones []*phone
		var playing []*Playing
		host := l.net.Host(alice)
		for i := range n {
			p := l.phoneOn(host, uint16(4000+2*i))
			x := l.end(p)
			play, err := x.s.Play(&ramp{n: 100})
			if err != nil {
				t.Fatal(err)
			}
			phones, playing = append(phones, p), append(playing, play)
		}
		l.e.clock.mu.Lock()
		slots := l.e.clock.slots
		l.e.clock.mu.Unlock()
		for slot, list := range slots {
			if len(list) != n/int(slotCount) {
				t.Errorf("slot %d has %d players", slot, len(list))
			}
		}
		for _, p := range playing {
			<-p.Done()
		}
		wait(time.Second)
		for i, p := range phones {
			if got, _ := p.heard(); len(got) != 100 {
				t.Errorf("phone %d heard %d packets", i, len(got))
			}
		}
		l.e.clock.mu.Lock()
		defer l.e.clock.mu.Unlock()
		if l.e.clock.members != 0 || slices.ContainsFunc(l.e.clock.slots[:], func(s []paced) bool { return len(s) > 0 }) {
			t.Error("the clock still has players")
		}
	})
}

// A machine that stood still makes up for 60 ms and lets the rest go: the timestamps show the pause, the sequence
// numbers do not.
func TestClockCatchesUpWithoutABurst(t *testing.T) {
	inBothLabs(t, func(t *testing.T, l *lab) {
		a := l.phone(alice, 4000)
		x := l.end(a)
		n := 0
		source := SourceFunc(func(codec.Frame) error {
			n++
			if n == 10 {
				<-time.After(time.Second)
			}
			return nil
		})
		if _, err := x.s.Play(source); err != nil {
			t.Fatal(err)
		}
		wait(2 * time.Second)
		x.s.Close()
		got, _ := a.heard()
		if len(got) < 50 || len(got) > 56 {
			t.Errorf("%d packets in two seconds with a stop of one", len(got))
		}
		var last rtp.Packet
		leaps := 0
		for i, b := range got {
			var p rtp.Packet
			if err := p.Parse(b.Data); err != nil {
				t.Fatal(err)
			}
			if i > 0 {
				if p.Sequence != last.Sequence+1 {
					t.Errorf("packet %d: sequence %d after %d", i, p.Sequence, last.Sequence)
				}
				if step := p.Timestamp - last.Timestamp; step != 160 {
					leaps++
					if step < 7000 || step > 8000 {
						t.Errorf("packet %d: the timestamp moved by %d", i, step)
					}
				}
			}
			last = p
		}
		if leaps != 1 {
			t.Errorf("%d leaps of the timestamp", leaps)
		}
	})
}

func TestReportQueueOrder(t *testing.T) {
	c := newClock(time.Now())
	due := []int64{50, 10, 40, 20, 30, 60}
	rs := make([]reporter, len(due))
	for i := range rs {
		c.schedule(&rs[i], due[i])
	}
	c.cancel(&rs[2])
	c.cancel(&rs[2])
	c.schedule(&rs[5], 5)
	var got []int64
	for r := c.overdue(55); r != nil; r = c.overdue(55) {
		got = append(got, r.due)
	}
	if want := []int64{5, 10, 20, 30, 50}; !slices.Equal(got, want) {
		t.Errorf("reports came in the order %v, want %v", got, want)
	}
}
