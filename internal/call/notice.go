package call

import "dialtone/internal/media"

// Observer is told what happens to calls: the call records, presence and the live view are observers. Observe runs on
// the call's goroutine, in the order of what happened to this call; it must not block and must not call back into the
// call.
type Observer interface {
	Observe(n Notice)
}

// Notice is one thing that happened to a call. The Record is what was known at that moment and stays as it is.
type Notice interface{ notice() }

type (
	// CallStarted: an inbound leg was accepted.
	CallStarted struct{ Record *Record }
	// CallRang: the called side is alerted for the first time, or early media began.
	CallRang struct{ Record *Record }
	// CallAnswered: the caller is connected.
	CallAnswered struct{ Record *Record }
	// CallNegotiated: a connected call settled on media, at first or again. State writes down everything that is
	// needed to take the call up in another process; it may be called within Observe only.
	CallNegotiated struct {
		Record *Record
		State  func() ([]byte, error)
	}
	// CallHeld: a party put the other one on hold, and nobody was on hold before.
	CallHeld struct{ Record *Record }
	// CallResumed: nobody is on hold any more.
	CallResumed struct{ Record *Record }
	// DigitPressed: a party pressed a key during the call. Digits may be secrets (a PIN): they are not for logs.
	DigitPressed struct {
		Record     *Record
		Leg        string // ID of the leg
		Digit      byte
		DurationMS int
	}
	// CallSounded: a leg has sounded bad for long, or sounds well again.
	CallSounded struct {
		Record *Record
		Leg    string // ID of the leg
		media.QualityNotice
	}
	// CallEnded: the call is over and its Record complete.
	CallEnded struct{ Record *Record }
)

func (CallStarted) notice()    {}
func (CallRang) notice()       {}
func (CallAnswered) notice()   {}
func (CallNegotiated) notice() {}
func (CallHeld) notice()       {}
func (CallResumed) notice()    {}
func (DigitPressed) notice()   {}
func (CallSounded) notice()    {}
func (CallEnded) notice()      {}

// Observers tells several observers, in their order.
type Observers []Observer

// Observe implements Observer.
func (os Observers) Observe(n Notice) {
	for _, o := range os {
		o.Observe(n)
	}
}
