package ingress_test

import (
	"fmt"
	"testing"
)

// TestOrder: 1,000 requests back to back inside one dialog arrive at the other party all and in order, whatever comes
// between them.
func TestOrder(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		o.Do("alice calls bob")
		const batch, batches = 50, 20
		for n := range batches {
			script := ""
			for i := range batch {
				script += fmt.Sprintf("alice -> INFO (dtmf %d)\nalice -> UPDATE\n", n*batch+i)
			}
			for i := range batch {
				script += fmt.Sprintf("bob <- INFO (dtmf %d)\nbob -> 200\n", n*batch+i)
			}
			for range batch {
				script += "alice <- 200 INFO\nalice <- 200 UPDATE\n"
			}
			o.Do(script)
			if t.Failed() {
				return
			}
		}
		o.Do("alice leaves bob\nrecord 200/16 normal (caller)")
	})
}
