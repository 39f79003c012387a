package teltest

import (
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/softphone"
)

func TestTwoPhonesTalk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lab := New(t, Options{Seed: 1})
		a, b := lab.Phone("101"), lab.Phone("102")
		b.Answers(softphone.Decision{Ring: 3 * time.Second})
		near, far := a.Connect("102", b)
		lab.Hears(near, b.Hz)
		lab.Hears(far, a.Hz)
		lab.Pass(5 * time.Second)
		near.Hangup()
		lab.Ended(near)
		lab.Ended(far)
		r := lab.Record()
		t.Logf("%+v", r)
		lab.Settle()
	})
}
