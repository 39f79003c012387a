// Package cause holds one value for "why a call or a leg ended": SIP status, Q.850 cause, whose doing it was, and
// words for people. Pure values; the mapping between SIP and Q.850 is RFC 3398 §7.2.6.1 and §8.2.6.1, the Reason
// header is RFC 3326. It does not decide anything.
package cause

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
