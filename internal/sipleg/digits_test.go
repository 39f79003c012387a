package sipleg

import "testing"

func TestKeysInInfo(t *testing.T) {
	for _, c := range []struct {
		kind, body string
		digit      byte
		ms         int
	}{
		{"application/dtmf-relay", "Signal=5\r\nDuration=160\r\n", '5', 160},
		{"application/dtmf-relay", "Signal= #\nDuration= 250", '#', 250},
		{"Application/DTMF-Relay; x=y", "signal=*\r\n", '*', usualPress},
		{"application/dtmf-relay", "Duration=9999999\r\nSignal=a\r\n", 'A', mostPress},
		{"application/dtmf-relay", "Signal=3\r\nDuration=1\r\n", '3', leastPress},
		{"application/dtmf-relay", "Signal=10\r\n", '*', usualPress},
		{"application/dtmf-relay", "Signal=11\r\n", '#', usualPress},
		{"application/dtmf", "7", '7', usualPress},
		{"application/dtmf", " D\r\n", 'D', usualPress},
		{"application/dtmf-relay", "Signal=16\r\n", 0, 0},
		{"application/dtmf-relay", "Signal=\r\nDuration=5", 0, 0},
		{"application/dtmf-relay", "", 0, 0},
		{"application/dtmf", "hello", 0, 0},
		{"text/plain", "5", 0, 0},
		{"application/dtmf-relay", "Signal=5=5", 0, 0},
	} {
		digit, ms, ok := parseKey([]byte(c.kind), []byte(c.body))
		if ok != (c.digit != 0) || ok && (digit != c.digit || ms != c.ms) {
			t.Errorf("%s %q: %q %d %v, want %q %d", c.kind, c.body, digit, ms, ok, c.digit, c.ms)
		}
	}
}

func FuzzKeysInInfo(f *testing.F) {
	f.Add("application/dtmf-relay", "Signal=5\r\nDuration=160\r\n")
	f.Add("application/dtmf", "*")
	f.Fuzz(func(t *testing.T, kind, body string) {
		digit, ms, ok := parseKey([]byte(kind), []byte(body))
		if ok && (digit == 0 || ms < leastPress || ms > mostPress) {
			t.Errorf("%q %q: %q for %d ms", kind, body, digit, ms)
		}
	})
}
