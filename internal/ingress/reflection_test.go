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

// TestNoAmplification: an answer to a source that nobody vouches for is at most half as long again as its request, however
// terse that is, and requests of the length that phones send are answered.
func TestNoAmplification(t *testing.T) {
	inOffice(t, settings{}, func(o *office) {
		victim := netip.MustParseAddrPort("203.0.113.66:5060")
		conn, err := o.network.Host(victim.Addr()).ListenPacket(victim, false)
		if err != nil {
			t.Fatal(err)
		}
		var mu sync.Mutex
		var heard []string
		o.network.Tap(func(f network.Frame) {
			if f.To == victim {
				mu.Lock()
				heard = append(heard, string(f.Data))
				mu.Unlock()
			}
		})
		defer o.network.Tap(nil)
		usual := func(n int, method, uri, more string) string {
			return fmt.Sprintf("%[1]s %[2]s SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.7:5060;branch=z9hG4bKa%[3]d;rport\r\nMax-Forwards: 70\r\n"+
				"From: <sip:101@pbx.example>;tag=%[3]d\r\nTo: <sip:102@pbx.example>\r\nCall-ID: a%[3]d\r\nCSeq: 1 %[1]s\r\n"+
				"Contact: <sip:101@192.168.1.7:5060>\r\nUser-Agent: A phone\r\n%[4]sContent-Length: 0\r\n\r\n", method, uri, n, more)
		}
		terse := func(n int, method, uri, more string) string {
			return fmt.Sprintf("%[1]s %[2]s SIP/2.0\r\nv:SIP/2.0/UDP h;branch=z9hG4bKb%[3]d\r\nf:sip:101@pbx.example;tag=1\r\nt:sip:a\r\ni:b%[3]d\r\n"+
				"CSeq:1 %[1]s\r\n%[4]s\r\n", method, uri, n, more)
		}
		for n, c := range []struct {
			write             func(n int, method, uri, more string) string
			method, uri, more string
			status            string // of the answer; "": there is none
		}{
			{usual, "REGISTER", "sip:pbx.example", "", "401"},
			{usual, "INVITE", "sip:102@pbx.example", "", "401"},
			{usual, "INVITE", "sip:1@elsewhere.example", "", "403"},
			{usual, "OPTIONS", "sip:pbx.example", "", "200"},
			{usual, "SUBSCRIBE", "sip:102@pbx.example", "", "405"},
			{usual, "INVITE", "sip:102@pbx.example", "Accept: text/plain\r\n", "406"},
			{usual, "TELEPORT", "sip:102@pbx.example", "", "501"},
			{usual, "BYE", "sip:102@pbx.example", "", "481"},
			{usual, "INVITE", "sip:102@pbx.example", "Require: teleport\r\n", "420"},
			{usual, "OPTIONS", "sip:pbx.example", "Max-Forwards: 70\r\n", "400"},
			{terse, "REGISTER", "sip:pbx.example", "", ""},
			{terse, "INVITE", "sip:102@pbx.example", "", ""},
			{terse, "INVITE", "sip:1@elsewhere.example", "", "*"},
			{terse, "OPTIONS", "sip:a", "", "*"},
			{terse, "SUBSCRIBE", "sip:a", "", ""},
			{terse, "X", "sip:a", "", "*"},
			{terse, "BYE", "sip:a", "", "*"},
			{terse, "INVITE", "sip:a", "Require:x\r\n", "*"},
			{terse, "OPTIONS", "sip:a", "l:x\r\n", "*"},
		} {
			request := c.write(n, c.method, c.uri, c.more)
			if err := conn.WriteTo([]byte(request), exchangeAddr); err != nil {
				t.Fatal(err)
			}
			<-time.After(40 * time.Second)
			synctest.Wait()
			mu.Lock()
			answer := strings.Join(heard, "")
			t.Logf("%-9s of %3d bytes: %.11s of %3d, %.2f times", c.method, len(request), answer, len(answer), float64(len(answer))/float64(len(request)))
			if len(heard) > 1 || 2*len(answer) > 3*len(request) {
				t.Errorf("%s of %d bytes brings %d answers of %d:\n%s", c.method, len(request), len(heard), len(answer), answer)
			}
			if c.status != "*" && (c.status != "") != (len(heard) == 1) || len(c.status) == 3 && !strings.HasPrefix(answer, "SIP/2.0 "+c.status) {
				t.Errorf("%s of %d bytes is answered with %q, want %q", c.method, len(request), answer, c.status)
			}
			if strings.Contains(answer, "Server:") || c.status == "405" && !strings.Contains(answer, "Allow:") || c.status == "401" && !strings.Contains(answer, "Authenticate:") {
				t.Errorf("the answer is\n%s", answer)
			}
			heard = nil
			mu.Unlock()
		}
	})
}

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
