package ingress_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/network"
)

// TestOverload: while the server has more than it can do, new work is refused; a call that goes on goes on, and ends as it
// should; who calls for help gets through; and afterwards everything is as it was.
func TestOverload(t *testing.T) {
	var delay atomic.Int64
	inOffice(t, settings{delay: &delay}, func(o *office) {
		client := netip.MustParseAddrPort("203.0.113.9:5060")
		conn, err := o.network.Host(client.Addr()).ListenPacket(client, false)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var heard string
		o.network.Tap(func(f network.Frame) {
			if f.To == client {
				mu.Lock()
				heard, _, _ = strings.Cut(string(f.Data), "\r\n")
				mu.Unlock()
			}
		})
		defer o.network.Tap(nil)
		n := 0
		ask := func(method, uri string) string {
			t.Helper()
			mu.Lock()
			heard = ""
			mu.Unlock()
			n++
			request := fmt.Sprintf("%[1]s %[2]s SIP/2.0\r\nVia: SIP/2.0/UDP 203.0.113.9:5060;branch=z9hG4bKo%[3]d;rport\r\nMax-Forwards: 70\r\n"+
				"From: <sip:109@pbx.example>;tag=%[3]d\r\nTo: <%[2]s>\r\nCall-ID: overload-%[3]d\r\nCSeq: 1 %[1]s\r\n"+
				"Contact: <sip:109@203.0.113.9:5060>\r\nContent-Length: 0\r\n\r\n", method, uri, n)
			if err := conn.WriteTo([]byte(request), exchangeAddr); err != nil {
				t.Fatal(err)
			}
			<-time.After(25 * time.Millisecond)
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return heard
		}
		const number, unauthorized, refused = "sip:102@pbx.example", "SIP/2.0 401 Unauthorized", "SIP/2.0 503 Service Unavailable"
		o.Do("alice calls bob")
		if got := ask("INVITE", number); got != unauthorized {
			t.Errorf("at rest: %q", got)
		}
		delay.Store(int64(time.Second))
		for range 100 {
			ask("OPTIONS", "sip:pbx.example")
			ask("INVITE", number)
		}
		for _, c := range []struct{ method, uri, want string }{
			{"INVITE", number, refused}, {"OPTIONS", "sip:pbx.example", refused}, {"REGISTER", "sip:pbx.example", refused},
			{"SUBSCRIBE", number, refused}, {"INVITE", "sip:112@pbx.example", unauthorized},
		} {
			if got := ask(c.method, c.uri); got != c.want {
				t.Errorf("%s %s under overload: %q, want %q", c.method, c.uri, got, c.want)
			}
		}
		o.Do("alice leaves bob\nrecord 200/16 normal (caller)")
		delay.Store(0)
		for range 100 {
			ask("OPTIONS", "sip:pbx.example")
		}
		if got := ask("INVITE", number); got != unauthorized {
			t.Errorf("after the overload: %q", got)
		}
		o.Do("alice calls bob\nalice leaves bob\nrecord 200/16 normal (caller)")
	})
}
