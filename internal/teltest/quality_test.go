package teltest

import (
	"testing"
	"time"

	"dialtone/internal/event"
	"dialtone/internal/network"
	"dialtone/internal/server"
)

// sounded waits for the next event of how calls sound.
func sounded(t *testing.T, s *event.Subscription, within time.Duration) (e server.CallSounded, after time.Duration) {
	t.Helper()
	begun := time.Now()
	deadline := time.After(within)
	for {
		select {
		case got := <-s.Events():
			if x, is := got.Data.(server.CallSounded); is {
				return x, time.Since(begun)
			}
		case <-deadline:
			t.Fatalf("no event within %v", within)
		}
	}
}

// A party whose packets get lost on the way to the exchange is heard badly, and that alone is told: what the other party
// loses was lost before it came here.
func TestAlarmWhileTheNetworkIsBad(t *testing.T) {
	inLab(t, Options{Seed: 3}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		near, _ := a.Connect("102", b)
		s := lab.Server.Events().Subscribe(event.Scope{AllTenants: true})
		defer s.Close()
		lab.Pass(30 * time.Second)
		id := lab.Server.Calls().Records()[0].ID

		lab.Net.Link(a.Host, lab.Host, network.Conditions{Loss: 0.25})
		e, after := sounded(t, s, time.Minute)
		if after < 10*time.Second || after > 14*time.Second {
			t.Errorf("raised after %v", after)
		}
		if !e.Raised || e.Call != id || e.Leg != "a" || e.Direction != "in" || e.MOS >= 3.6 || e.MOS < 1 || e.Loss < 0.1 || e.Loss > 0.4 {
			t.Errorf("raised %+v", e)
		}
		lab.Pass(20 * time.Second)

		lab.Net.Link(a.Host, lab.Host, network.Conditions{})
		e, after = sounded(t, s, time.Minute)
		if after < 10*time.Second || after > 14*time.Second {
			t.Errorf("cleared after %v", after)
		}
		if e.Raised || e.Leg != "a" || e.Direction != "in" || e.MOS < 3.8 || e.Loss != 0 {
			t.Errorf("cleared %+v", e)
		}
		near.Hangup()
		lab.Ended(near)
		for {
			select {
			case got := <-s.Events():
				if x, is := got.Data.(server.CallSounded); is {
					t.Errorf("also %+v", x)
				}
				continue
			default:
			}
			break
		}
		if r := lab.Record(); r.Legs[0].Bursts == nil || *r.Legs[0].Bursts == 0 || *r.Legs[0].MOSIn > 4.2 || *r.Legs[0].Loss < 0.05 {
			t.Errorf("record %+v", r.Legs[0])
		}
	})
}

// What a party loses on the way from the exchange is told by its reports.
func TestAlarmFromReports(t *testing.T) {
	inLab(t, Options{Seed: 4}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		near, _ := a.Connect("102", b)
		s := lab.Server.Events().Subscribe(event.Scope{AllTenants: true})
		defer s.Close()
		lab.Pass(10 * time.Second)
		lab.Net.Link(lab.Host, b.Host, network.Conditions{Loss: 0.25})
		e, after := sounded(t, s, time.Minute)
		// Reports come every two to six seconds; the first bad one begins the ten seconds.
		if after < 10*time.Second || after > 24*time.Second {
			t.Errorf("raised after %v", after)
		}
		if !e.Raised || e.Leg != "b1" || e.Direction != "out" || e.MOS >= 3.6 {
			t.Errorf("raised %+v", e)
		}
		near.Hangup()
		lab.Ended(near)
	})
}
