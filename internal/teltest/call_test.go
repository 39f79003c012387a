package teltest

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/call"
	"dialtone/internal/cause"
	"dialtone/internal/config"
	"dialtone/internal/network"
	"dialtone/internal/sip/transport"
	"dialtone/internal/softphone"
)

// inLab runs a test in a laboratory, beside those of other tests, and sees to it that nothing is left behind.
func inLab(t *testing.T, o Options, test func(t *testing.T, lab *Lab)) {
	t.Helper()
	t.Parallel()
	inLabAlone(t, o, test)
}

// inLabAlone is inLab for a test that measures the process.
func inLabAlone(t *testing.T, o Options, test func(t *testing.T, lab *Lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		lab := New(t, o)
		test(t, lab)
		lab.Settle()
	})
}

// within compares a duration of a record with what it should be.
func within(t *testing.T, what string, ms *int64, want time.Duration) {
	t.Helper()
	if ms == nil || time.Duration(*ms)*time.Millisecond < want || time.Duration(*ms)*time.Millisecond > want+250*time.Millisecond {
		t.Errorf("%s is %v ms, want %v", what, show(ms), want)
	}
}

func show[T any](p *T) any {
	if p == nil {
		return "unknown"
	}
	return *p
}

func TestTwoPhonesTalk(t *testing.T) {
	inLab(t, Options{Seed: 1}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		b.Answers(softphone.Decision{Ring: 3 * time.Second})
		near, far := a.Connect("102", b)
		lab.Hears(near, b.Hz)
		lab.Hears(far, a.Hz)
		lab.Pass(7800 * time.Millisecond)
		near.Hangup()
		if o := lab.Ended(near); o.Cause != cause.Normal(cause.Caller) || o.Status() != 200 || o.Media.Lost != 0 {
			t.Errorf("caller: %+v", o)
		}
		if o := lab.Ended(far); o.Cause.SIP != 200 || o.Cause.Party != cause.Caller || o.Media.MOSIn < 4.3 {
			t.Errorf("callee: %+v", o)
		}
		r := lab.Record()
		within(t, "ring_ms", r.RingMS, 3*time.Second)
		within(t, "talk_ms", r.TalkMS, 10*time.Second)
		within(t, "hold_ms", r.HoldMS, 0)
		within(t, "post_dial_ms", r.PostDialMS, 0)
		if *r.Cause != cause.Normal(cause.Caller) || *r.From != "101" || *r.To != "102" || *r.Direction != string(call.Internal) ||
			*r.FromName != "Line 101" || *r.Flags.OnNet != true || *r.Flags.Encrypted != false {
			t.Errorf("record %+v of %v to %v", r.Cause, *r.From, *r.To)
		}
		if len(r.Legs) != 2 || *r.Legs[0].Device != "101" || *r.Legs[1].Device != "102" {
			t.Fatalf("%d legs: %+v", len(r.Legs), r.Legs)
		}
		for i, leg := range r.Legs {
			if !strings.EqualFold(*leg.Codec, "pcma") || leg.MOSIn == nil || *leg.MOSIn < 4.3 || leg.MOSOut == nil || *leg.MOSOut < 4.3 || *leg.Loss != 0 {
				t.Errorf("leg %d: codec %v, MOS %v in and %v out, loss %v", i, show(leg.Codec), show(leg.MOSIn), show(leg.MOSOut), show(leg.Loss))
			}
		}
		want := []string{"registered", "calling 102", "ringing 102", "answered 102", "ended 102"}
		if got := a.Events(); !slices.Equal(got, want) {
			t.Errorf("events of the caller: %v", got)
		}
		want = []string{"registered", "incoming 101", "ringing 101", "answered 101", "ended 101"}
		if got := b.Events(); !slices.Equal(got, want) {
			t.Errorf("events of the callee: %v", got)
		}
	})
}

// What the exchange says when a call does not come about, and what its record says.
func TestCallsThatFail(t *testing.T) {
	for _, c := range []struct {
		name   string
		number string
		decide softphone.Decision // of the callee, 102
		hangup time.Duration      // when the caller gives up; 0: never
		want   cause.Cause
		ring   time.Duration
	}{
		{"busy", "102", softphone.Decision{Refuse: cause.Busy()}, 0, cause.Busy(), 0},
		{"busy after ringing", "102", softphone.Decision{Refuse: cause.Busy(), Ring: 2 * time.Second}, 0, cause.Busy(), 2 * time.Second},
		{"declined", "102", softphone.Decision{Refuse: cause.Declined(), Ring: time.Second}, 0, cause.Declined(), time.Second},
		{"no answer", "102", softphone.Decision{Ring: -1}, 0, cause.NoAnswer(), 0},
		{"cancelled", "102", softphone.Decision{Ring: -1}, 4 * time.Second, cause.Cancelled(), 4 * time.Second},
		{"unreachable", "103", softphone.Decision{}, 0, cause.Unreachable(), 0},
		{"unknown number", "999", softphone.Decision{}, 0, cause.UnknownNumber(), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			inLab(t, Options{Seed: 2}, func(t *testing.T, lab *Lab) {
				a, b := lab.Phone("101"), lab.Phone("102")
				b.Answers(c.decide)
				near := a.Dial(c.number)
				if c.hangup > 0 {
					lab.Pass(c.hangup)
					near.Hangup()
				}
				o := lab.Ended(near)
				if o.Status() != c.want.SIP || c.want.SIP != 487 && o.Cause.Q() != c.want.Q() {
					t.Errorf("the caller is told %v, want %v", o.Cause, c.want)
				}
				r := lab.Record()
				if r.Cause.SIP != c.want.SIP || r.Cause.Q() != c.want.Q() || r.Cause.Words != c.want.Words || r.Cause.Party != c.want.Party {
					t.Errorf("record says %v, want %v", *r.Cause, c.want)
				}
				if r.Answer != nil || r.TalkMS == nil || *r.TalkMS != 0 {
					t.Errorf("answered at %v, talked %v ms", r.Answer, show(r.TalkMS))
				}
				if c.ring > 0 {
					within(t, "ring_ms", r.RingMS, c.ring)
				}
			})
		})
	}
}

func TestCalleeHangsUp(t *testing.T) {
	inLab(t, Options{Seed: 3}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		b.Answers(softphone.Decision{Talk: softphone.Talk{Duration: 4 * time.Second}})
		near, _ := a.Connect("102", b)
		if o := lab.Ended(near); o.Cause.SIP != 200 || o.Cause.Party != cause.Callee {
			t.Errorf("caller: %v", o.Cause)
		}
		r := lab.Record()
		within(t, "talk_ms", r.TalkMS, 4*time.Second)
		if *r.Cause != cause.Normal(cause.Callee) {
			t.Errorf("record says %v", *r.Cause)
		}
	})
}

func TestEcho(t *testing.T) {
	inLab(t, Options{Seed: 4}, func(t *testing.T, lab *Lab) {
		a := lab.Phone("101")
		near := a.Dial("*43")
		lab.Answered(near)
		lab.Hears(near, a.Hz)
		near.Hangup()
		lab.Ended(near)
		if r := lab.Record(); *r.Cause != cause.Normal(cause.Caller) || *r.To != "*43" || len(r.Legs) != 1 {
			t.Errorf("record %v to %v with %d legs", *r.Cause, *r.To, len(r.Legs))
		}
	})
}

// A line of the product sip-phone has one call: a second one to it is refused with 486 and Q.850 17, a second one from
// it with 403 and Q.850 34.
func TestSIPPhoneHasOneCall(t *testing.T) {
	inLab(t, Options{Seed: 5}, func(t *testing.T, lab *Lab) {
		a, b, one := lab.Phone("101"), lab.Phone("102"), lab.Phone("130")
		near, _ := a.Connect("130", one)
		if o := lab.Ended(b.Dial("130")); o.Status() != 486 || o.Cause.Q850 != 17 {
			t.Errorf("second call to the line: %v", o.Cause)
		}
		if o := lab.Ended(one.Dial("102")); o.Status() != 403 || o.Cause.Q850 != 34 {
			t.Errorf("second call from the line: %v", o.Cause)
		}
		near.Hangup()
		lab.Ended(near)
		lab.Pass(100 * time.Millisecond)
		again := one.Dial("102")
		lab.Answered(again)
		again.Hangup()
		lab.Ended(again)
		if n := len(lab.Records()); n != 4 {
			t.Errorf("%d records of 4 calls", n)
		}
	})
}

// All devices of a line ring, the first that answers has the call, and the others hear that it was answered elsewhere.
func TestDevicesRingTogether(t *testing.T) {
	inLab(t, Options{Seed: 6}, func(t *testing.T, lab *Lab) {
		a := lab.Phone("101")
		devices := []*Phone{lab.Phone("120-a"), lab.Phone("120-b"), lab.Phone("120-c")}
		for i, d := range devices {
			d.Answers(softphone.Decision{Ring: []time.Duration{-1, 2 * time.Second, 4 * time.Second}[i]})
		}
		lab.Capture()
		near := a.Dial("120")
		lab.Answered(near)
		lab.Hears(near, devices[1].Hz)
		for i, d := range devices {
			c := d.Called()
			select {
			case <-c.Ringing():
			default:
				t.Errorf("%s did not ring", d.User)
			}
			cancels := lab.Messages(d.Host, "CANCEL ")
			if i == 1 {
				if len(cancels) > 0 {
					t.Errorf("%s has answered and is cancelled", d.User)
				}
				continue
			}
			if o := lab.Ended(c); !o.Answer.IsZero() {
				t.Errorf("%s has the call, too", d.User)
			}
			// RFC 3326 §3.1: the phone then shows no missed call.
			if len(cancels) == 0 || !strings.Contains(cancels[0].Text, "Reason: SIP;cause=200") {
				t.Errorf("%s is not told that the call was answered elsewhere: %v", d.User, cancels)
			}
		}
		near.Hangup()
		lab.Ended(near)
		if r := lab.Record(); *r.Cause != cause.Normal(cause.Caller) || len(r.Legs) != 4 {
			t.Errorf("record %v with %d legs", *r.Cause, len(r.Legs))
		}
	})
}

func TestHoldAndResume(t *testing.T) {
	silent := func(c *config.Config) { c.Music.Hold = false }
	inLab(t, Options{Seed: 7, Configure: silent}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		near, far := a.Connect("102", b)
		for range 2 {
			lab.Hears(near, b.Hz)
			lab.must(far.Hold(t.Context()))
			lab.Hears(near, 0)
			lab.Hears(far, 0)
			lab.Pass(50 * time.Second) // longer than the media timeout: silence on hold ends no call
			lab.must(far.Resume(t.Context()))
			lab.Hears(near, b.Hz)
			lab.Hears(far, a.Hz)
		}
		near.Hangup()
		lab.Ended(near)
		lab.Ended(far)
		r := lab.Record()
		within(t, "hold_ms", r.HoldMS, 2*(50*time.Second+2200*time.Millisecond))
		want := []string{"registered", "calling 102", "ringing 102", "answered 102", "held 102", "resumed 102", "held 102", "resumed 102", "ended 102"}
		if got := a.Events(); !slices.Equal(got, want) {
			t.Errorf("events of the caller: %v", got)
		}
	})
}

// Both parties ask for a change at once: RFC 3261 §14.1 lets each wait and try again. A person whose phone gives up
// presses again.
func TestHoldFromBothSides(t *testing.T) {
	inLab(t, Options{Seed: 8, Conditions: network.Conditions{Delay: 20 * time.Millisecond}}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		near, far := a.Connect("102", b)
		lab.Pass(time.Second)
		results := make(chan error, 2)
		for i, c := range []*softphone.Call{near, far} {
			go func() {
				var pending *cause.Failure
				err := c.Hold(t.Context())
				for range 5 {
					if !errors.As(err, &pending) || pending.Cause.SIP != 491 {
						break
					}
					lab.Pass(time.Duration(2+i) * time.Second)
					err = c.Hold(t.Context())
				}
				results <- err
			}()
		}
		for range 2 {
			if err := <-results; err != nil {
				t.Errorf("hold: %v", err)
			}
		}
		for _, c := range []*softphone.Call{near, far} {
			lab.Pass(time.Second) // what came before is acknowledged on both sides
			lab.must(c.Resume(t.Context()))
		}
		lab.Hears(near, b.Hz)
		lab.Hears(far, a.Hz)
		near.Hangup()
		lab.Ended(near)
	})
}

func TestIPv4CallsIPv6(t *testing.T) {
	inLab(t, Options{Seed: 9}, func(t *testing.T, lab *Lab) {
		four, six := lab.Phone("101"), lab.Add(Device{User: "102", IPv6: true})
		for _, c := range []struct {
			from, to *Phone
		}{{four, six}, {six, four}} {
			near, far := c.from.Connect(c.to.User, c.to)
			lab.Hears(near, c.to.Hz)
			lab.Hears(far, c.from.Hz)
			near.Hangup()
			lab.Ended(near)
			lab.Ended(far)
		}
	})
}

func TestKeysPassThrough(t *testing.T) {
	inLab(t, Options{Seed: 10}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		near, far := a.Connect("102", b)
		lab.must(near.Press("1234567890*#ABCD"))
		lab.must(far.Press("99"))
		lab.Pass(5 * time.Second)
		if near.Digits() != "99" || far.Digits() != "1234567890*#ABCD" {
			t.Errorf("keys: %q to the caller, %q to the callee", near.Digits(), far.Digits())
		}
		near.Hangup()
		lab.Ended(near)
	})
}

// A caller that leaves the offer to the called party (RFC 3264 §4, RFC 6337 §2.1).
func TestDelayedOffer(t *testing.T) {
	inLab(t, Options{Seed: 11}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		near := a.DialWith("102", softphone.Talk{NoOffer: true})
		far := b.Called()
		lab.Answered(near)
		lab.Answered(far)
		lab.Hears(near, b.Hz)
		lab.Hears(far, a.Hz)
		near.Hangup()
		lab.Ended(near)
		if r := lab.Record(); *r.Cause != cause.Normal(cause.Caller) || !strings.EqualFold(*r.Legs[0].Codec, "pcma") {
			t.Errorf("record %v", *r.Cause)
		}
		echo := a.DialWith("*43", softphone.Talk{NoOffer: true})
		lab.Answered(echo)
		lab.Hears(echo, a.Hz)
		echo.Hangup()
		lab.Ended(echo)
	})
}

// Two hours on hold: sessions are refreshed (RFC 4028), and a party that is heard of by RTCP alone is not missed.
func TestLongHold(t *testing.T) {
	inLab(t, Options{Seed: 18}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		near, far := a.Connect("102", b)
		lab.must(near.Hold(t.Context()))
		lab.Capture()
		lab.Pass(2 * time.Hour)
		refreshes := len(lab.Messages(a.Host, "UPDATE ")) + len(lab.Messages(a.Host, "INVITE "))
		if refreshes < 4 {
			t.Errorf("the caller's session was refreshed %d times", refreshes)
		}
		lab.must(near.Resume(t.Context()))
		lab.Hears(near, b.Hz)
		lab.Hears(far, a.Hz)
		near.Hangup()
		lab.Ended(near)
	})
}

// A phone that loses its power is missed: the other party is not left in silence for ever, and nobody pays for it.
func TestPhoneThatDies(t *testing.T) {
	inLab(t, Options{Seed: 19}, func(t *testing.T, lab *Lab) {
		a, b := lab.Phone("101"), lab.Phone("102")
		near, _ := a.Connect("102", b)
		lab.Pass(10100 * time.Millisecond)
		b.Host.Crash()
		start := time.Now()
		if o := lab.Ended(near); time.Since(start) > time.Minute || o.Cause.SIP != 200 {
			t.Errorf("ended after %v: %v", time.Since(start), o.Cause)
		}
		r := lab.Record()
		within(t, "talk_ms", r.TalkMS, 10*time.Second)
		if *r.Cause != cause.MediaTimeout() {
			t.Errorf("record says %v", *r.Cause)
		}
	})
}

// A thousand requests inside a dialog, sent without waiting for each other, arrive in their order.
func TestRequestsInsideADialogKeepTheirOrder(t *testing.T) {
	const n = 1000
	for _, kind := range []transport.Kind{transport.UDP, transport.TCP} {
		t.Run(kind.String(), func(t *testing.T) {
			inLab(t, Options{Seed: 16}, func(t *testing.T, lab *Lab) {
				a, b := lab.Add(Device{User: "101", Transport: kind}), lab.Add(Device{User: "102", Transport: kind})
				near, far := a.Connect("102", b)
				var sent []string
				for i := range n {
					sent = append(sent, fmt.Sprintf("Signal=%04d", i))
					lab.must(near.Info("application/x-order", []byte(sent[i])))
					if i%100 == 99 {
						lab.Pass(10 * time.Millisecond)
					}
				}
				lab.Pass(5 * time.Second)
				if got := b.Bodies(); !slices.Equal(got, sent) {
					t.Errorf("%d of %d requests arrived, or not in their order: %.60q", len(got), n, got)
				}
				far.Hangup()
				lab.Ended(near)
			})
		})
	}
}
