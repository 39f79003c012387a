package metrics

import "sync/atomic"

// methodNames are the methods with a row of their own: RFC 3261 and its extensions. What else arrives is one of
// strangers and counted as "other".
func methodNames() [methods]string {
	return [methods]string{"other", "INVITE", "ACK", "BYE", "CANCEL", "REGISTER", "OPTIONS", "PRACK", "UPDATE", "INFO",
		"SUBSCRIBE", "NOTIFY", "PUBLISH", "MESSAGE", "REFER"}
}

const (
	methods = 15
	codes   = 601 // 0 for requests, then 100 to 699; what is out of range is counted as 699
)

// messages is a table of counters by method, code and direction. A counter is made at the first message of its kind: a
// server meets some fifty of the 18,000.
type messages struct {
	table [directions][methods][codes]atomic.Pointer[Counter]
}

// methodIndex is the row of a method. Methods are case-sensitive (RFC 3261 §7.1).
func methodIndex(method string) int {
	switch method {
	case "INVITE":
		return 1
	case "ACK":
		return 2
	case "BYE":
		return 3
	case "CANCEL":
		return 4
	case "REGISTER":
		return 5
	case "OPTIONS":
		return 6
	case "PRACK":
		return 7
	case "UPDATE":
		return 8
	case "INFO":
		return 9
	case "SUBSCRIBE":
		return 10
	case "NOTIFY":
		return 11
	case "PUBLISH":
		return 12
	case "MESSAGE":
		return 13
	case "REFER":
		return 14
	}
	return 0
}

// codeIndex is the column of a status code, and codeOf its inverse.
func codeIndex(code int) int {
	switch {
	case code == 0:
		return 0
	case code < 100 || code > 699:
		return codes - 1
	}
	return code - 99
}

func codeOf(index int) int {
	if index == 0 {
		return 0
	}
	return index + 99
}

// counter does not allocate: the conversion in the switch's operand stays on the stack.
func (t *messages) counter(method []byte, code int, d Direction) *Counter {
	if len(method) > len("SUBSCRIBE") {
		method = nil
	}
	return t.at(methodIndex(string(method)), codeIndex(code), d)
}

func (t *messages) at(method, code int, d Direction) *Counter {
	p := &t.table[d&1][method][code]
	if c := p.Load(); c != nil {
		return c
	}
	p.CompareAndSwap(nil, new(Counter)) // another goroutine's is as good
	return p.Load()
}

// each reports every kind of message that has been seen.
func (t *messages) each(report func(method string, code int, d Direction, n uint64)) {
	names := methodNames()
	for d := range directions {
		for m := range names {
			for c := range codes {
				if p := t.table[d][m][c].Load(); p != nil {
					report(names[m], codeOf(c), d, p.Value())
				}
			}
		}
	}
}
