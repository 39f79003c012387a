// Package cause holds one value for "why a call or a leg ended": SIP status, Q.850 cause, whose doing it was, and
// words for people. Pure values; the mapping between SIP and Q.850 is RFC 3398 §7.2.4.1 and §8.2.6.1, the Reason
// header is RFC 3326 and, in responses, RFC 6432. It does not decide anything: it names, converts and compares.
// It has no goroutines and no state.
package cause

import (
	"errors"
	"strconv"
)

// Party tells whose doing an end was.
type Party string

// The parties of a cause.
const (
	Caller Party = "caller"
	Callee Party = "callee"
	System Party = "system"
)

// Cause says why something ended. The zero value means "not ended".
type Cause struct {
	SIP   int    `json:"sip"`   // SIP status, 200 for a normal end
	Q850  int    `json:"q850"`  // Q.850 cause, 16 for normal clearing; 0 = derive from SIP
	Party Party  `json:"party"` // who ended it
	Words string `json:"words"` // stable lower-case words, e.g. "busy", "no answer", "media timeout"
}

// IsZero reports whether nothing has ended yet.
func (c Cause) IsZero() bool { return c.SIP == 0 }

// IsRefusal reports whether the SIP status is a final refusal (300 or more) that can stand in a response.
func (c Cause) IsRefusal() bool { return c.SIP >= 300 }

// IsGlobal reports whether the refusal speaks for the called person and not for one device: no other target should
// be tried or left ringing.
func (c Cause) IsGlobal() bool { return c.SIP >= 600 } // RFC 3261 §21.6

// By returns c as the doing of p.
func (c Cause) By(p Party) Cause {
	c.Party = p
	return c
}

// Q returns the Q.850 cause, derived from the SIP status where none was given. 0 when there is none.
func (c Cause) Q() int {
	if c.Q850 != 0 {
		return c.Q850
	}
	return ToQ850(c.SIP)
}

// String is for logs: "486/17 busy (callee)".
func (c Cause) String() string {
	if c.IsZero() {
		return "not ended"
	}
	s := strconv.Itoa(c.SIP) + "/" + strconv.Itoa(c.Q()) + " " + c.Words
	if c.Party != "" {
		s += " (" + string(c.Party) + ")"
	}
	return s
}

// Failure is an error that knows the cause to show for it.
type Failure struct {
	Cause Cause
	Err   error // may be nil
}

// Error returns the words and, where there is one, the underlying error.
func (f *Failure) Error() string {
	if f.Err == nil {
		return f.Cause.Words
	}
	return f.Cause.Words + ": " + f.Err.Error()
}

// Unwrap returns the underlying error.
func (f *Failure) Unwrap() error { return f.Err }

// Of returns the cause that err carries (a *Failure anywhere in its chain), else Failed. The zero Cause for nil.
func Of(err error) Cause {
	if err == nil {
		return Cause{}
	}
	if f, ok := errors.AsType[*Failure](err); ok {
		return f.Cause
	}
	return Failed()
}
