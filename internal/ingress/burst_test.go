package ingress_test

import (
	"bytes"
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/sip"
)

// TestOrder: 1,000 INFO, each followed by an UPDATE, back to back at one instant: all arrive at the other party, in order.
func TestOrder(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		o.Do("alice calls bob")
		const burst, bursts = 1000, 1
		for n := range bursts {
			var script strings.Builder
			for i := range burst {
				fmt.Fprintf(&script, "alice -> INFO (text %d)\nalice -> UPDATE\n", n*burst+i)
			}
			for i := range burst {
				fmt.Fprintf(&script, "bob <- INFO (text %d)\nbob -> 200\n", n*burst+i)
			}
			script.WriteString(strings.Repeat("alice <- 200 INFO\nalice <- 200 UPDATE\n", burst))
			if o.Do(script.String()); t.Failed() {
				return
			}
		}
		o.Do("alice leaves bob\nrecord 200/16 normal (caller)")
	})
}

// TestFlood: 6,000 requests at one instant: every one is answered, what is accepted arrives in order, the rest is refused,
// and the call goes on.
func TestFlood(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		o.Do("alice calls bob")
		var mu sync.Mutex
		answers := map[int]int{}
		var heard []string
		alice, bob := netip.MustParseAddrPort("192.0.2.11:5060"), netip.MustParseAddrPort("192.0.2.12:5060")
		o.network.Tap(func(f network.Frame) {
			mu.Lock()
			defer mu.Unlock()
			switch g := sip.Peek(f.Data); {
			case f.To == alice && g.Status > 0:
				answers[g.Status]++
			case f.To == bob && string(g.Method) == "INFO":
				_, body, _ := bytes.Cut(f.Data, []byte("\r\n\r\n"))
				heard = append(heard, string(body))
			}
		})
		const flood = 6000
		var script strings.Builder
		for i := range flood {
			fmt.Fprintf(&script, "alice -> INFO (text %04d)\n", i)
		}
		o.Do(script.String())
		<-time.After(100 * time.Millisecond) // before the first is repeated: nobody answers for bob
		synctest.Wait()
		o.network.Tap(nil)
		mu.Lock()
		t.Logf("answers %v, %d passed on, %d refused", answers, len(heard), o.endpoint.Refused.Load())
		if answers[200]+answers[500] != flood || answers[200] != len(heard) || answers[200] < 100 || uint64(answers[500]) != o.endpoint.Refused.Load() {
			t.Errorf("answers %v, %d passed on, %d refused", answers, len(heard), o.endpoint.Refused.Load())
		}
		for i := 1; i < len(heard); i++ {
			if heard[i] <= heard[i-1] {
				t.Fatalf("%s came after %s", heard[i], heard[i-1])
			}
		}
		mu.Unlock()
		<-time.After(40 * time.Second)
		o.Do("forget alice\nforget bob\nalice leaves bob\nrecord 200/16 normal (caller)")
	})
}
