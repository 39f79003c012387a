package ingress_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/network"
)

// TestReflection: RFC 3261 §26.3.2.4: whoever writes the address of another on a request has one packet sent there, not a
// row of repetitions, whatever the request is refused for.
func TestReflection(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		victim := netip.MustParseAddrPort("203.0.113.66:5060")
		host := o.network.Host(victim.Addr())
		conn, err := host.ListenPacket(victim, false)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var heard []string
		o.network.Tap(func(f network.Frame) {
			if f.To == victim {
				line, _, _ := strings.Cut(string(f.Data), "\r\n")
				mu.Lock()
				heard = append(heard, line)
				mu.Unlock()
			}
		})
		defer o.network.Tap(nil)
		for n, c := range []struct{ method, uri, header, status string }{
			{"INVITE", "sip:102@pbx.example", "", "401"},
			{"INVITE", "sip:00982100000@elsewhere.example", "", "403"},
			{"INVITE", "sip:102@pbx.example", "Require: teleport\r\n", "420"},
			{"INVITE", "sip:102@pbx.example", "Accept: text/plain\r\n", "406"},
			{"REGISTER", "sip:pbx.example", "", "401"},
			{"OPTIONS", "sip:pbx.example", "", "200"},
			{"SUBSCRIBE", "sip:102@pbx.example", "", "405"},
			{"TELEPORT", "sip:102@pbx.example", "", "501"},
		} {
			request := fmt.Sprintf("%[1]s %[2]s SIP/2.0\r\nVia: SIP/2.0/UDP %[3]s;branch=z9hG4bK%[4]d\r\nMax-Forwards: 70\r\n"+
				"From: <sip:101@pbx.example>;tag=%[4]d\r\nTo: <sip:102@pbx.example>\r\nCall-ID: %[4]d\r\nCSeq: 1 %[1]s\r\n"+
				"Contact: <sip:101@%[3]s>\r\n%[5]sContent-Length: 0\r\n\r\n", c.method, c.uri, victim, n, c.header)
			if err := conn.WriteTo([]byte(request), exchangeAddr); err != nil {
				t.Fatal(err)
			}
			<-time.After(40 * time.Second)
			synctest.Wait()
			mu.Lock()
			if len(heard) != 1 || !strings.HasPrefix(heard[0], "SIP/2.0 "+c.status) {
				t.Errorf("%s %s %s: %q, want one %s", c.method, c.uri, c.header, heard, c.status)
			}
			heard = nil
			mu.Unlock()
		}
	})
}
