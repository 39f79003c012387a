package ingress_test

import (
	"bytes"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/network"
	"dialtone/internal/sip"
)

// tortureVerdicts are the statuses that a message of RFC 4475 or RFC 5118 may get from an exchange that knows none of the
// parties in it; 0 stands for silence. A message that is not named may get any of ordinary.
var tortureVerdicts = map[string][]int{
	// RFC 4475 §3.1.2: what cannot be read
	"badinv01": {400, 0}, "clerr": {400}, "ncl": {400}, "scalar02": {400}, "scalarlg": {0}, "quotbal": {400}, "ltgtruri": {400},
	"lwsruri": {400}, "lwsstart": {400}, "trws": {400}, "escruri": {400}, "baddate": {400}, "regbadct": {400}, "badaspec": {400},
	"baddn": {400}, "badvers": {505, 0}, "mismatch01": {400}, "mismatch02": {400, 501}, "bigcode": {0},
	// responses belong to nothing: §3.1.1.12, §3.1.1.13, §3.3.10
	"unreason": {0}, "noreason": {0}, "bcast": {0},
	"intmeth": {501},                                         // §3.1.1.2: a method of strange but legal characters
	"insuf":   {400, 0}, "multi01": {400, 0}, "mcl01": {400}, // §3.3.1, §3.3.8, §3.3.9
	"unkscm": {416}, "novelsc": {416}, "bext01": {420, 200}, // §3.3.2, §3.3.3, §3.3.5
	"unksm2": {400, 401, 403, 404, 416}, "invut": {415, 401}, // §3.3.4, §3.3.6
	"sdp01": {406, 488, 401}, "zeromf": {483, 200}, // §3.3.15, §3.3.11
	"ipv6-bad": {400}, "ipv6-bug-abnf-3-colons": {400, 401, 403, 404, 481, 200}, // RFC 5118 §4.2, §4.10
}

// ordinary is what a stranger's sound request may get: a challenge, a refusal, or 200 for OPTIONS.
var ordinary = []int{200, 400, 401, 403, 404, 405, 406, 407, 415, 416, 420, 423, 480, 481, 483, 484, 488, 501}

func tortureFiles(t *testing.T) []string {
	files, err := filepath.Glob("../sip/testdata/rfc4475/*.dat")
	if err != nil {
		t.Fatal(err)
	}
	more, err := filepath.Glob("../sip/testdata/rfc5118/*")
	if err != nil {
		t.Fatal(err)
	}
	if files = append(files, more...); len(files) < 55 {
		t.Fatalf("only %d messages", len(files))
	}
	return files
}

// TestTorture sends every torture message to the exchange: from a stranger, and from an address that stands for a line. A
// real call succeeds afterwards.
func TestTorture(t *testing.T) {
	for _, from := range []string{"203.0.113.66:5060", "192.0.2.250:5060"} {
		t.Run(from, func(t *testing.T) {
			inOffice(t, settings{}, func(o *office) {
				addr := netip.MustParseAddrPort(from)
				host := o.network.Host(addr.Addr())
				// Responses go to the port in the Via: 5060 unless it says otherwise.
				heard := listen(t, host, addr, 5050, 5061, 5070, 5069, 9, 35)
				for _, name := range tortureFiles(t) {
					short := strings.TrimSuffix(filepath.Base(name), ".dat")
					b, err := os.ReadFile(name)
					if err != nil {
						t.Fatal(err)
					}
					if strings.Contains(name, "rfc5118") {
						b = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
						if !bytes.Contains(b, []byte("\r\n\r\n")) {
							b = append(b, "\r\n"...)
						}
					}
					statuses := heard.answers(b)
					allowed := tortureVerdicts[short]
					if allowed == nil {
						allowed = append([]int{0}, ordinary...)
					}
					for _, s := range statuses {
						if !slices.Contains(allowed, s) {
							t.Errorf("%s: answered %v, allowed %v", short, statuses, allowed)
						}
					}
					if len(statuses) == 0 && !slices.Contains(allowed, 0) {
						t.Errorf("%s: no answer, allowed %v", short, allowed)
					}
				}
				for _, c := range o.seen.causes() { // the second source is known by its address, but nobody whom it calls
					if !strings.HasPrefix(c, "4") {
						t.Errorf("a call of the torture ended with %s", c)
					}
					o.Do("record " + c)
				}
				o.Do("alice calls bob\nalice leaves bob\nrecord 200/16 normal (caller)")
			})
		})
	}
}

// ears are sockets of one host that collect the statuses of responses.
type ears struct {
	main     network.PacketConn
	statuses chan int
}

func listen(t *testing.T, h *network.Host, main netip.AddrPort, more ...uint16) *ears {
	e := &ears{statuses: make(chan int, 100)}
	for _, port := range append([]uint16{main.Port()}, more...) {
		c, err := h.ListenPacket(netip.AddrPortFrom(main.Addr(), port), false)
		if err != nil {
			t.Fatal(err)
		}
		if e.main == nil {
			e.main = c
		}
		go func() { // ends when the network is closed
			ps := []network.Packet{{Data: make([]byte, 65536)}}
			for {
				ps[0].Data = ps[0].Data[:cap(ps[0].Data)]
				n, err := c.ReadBatch(ps)
				if err != nil {
					return
				}
				for _, p := range ps[:n] {
					if status := sip.Peek(p.Data).Status; status > 100 {
						e.statuses <- status
					}
				}
			}
		}()
	}
	return e
}

// answers sends a message and returns the different statuses of its answers.
func (e *ears) answers(b []byte) []int {
	_ = e.main.WriteTo(b, exchangeAddr)
	<-time.After(40 * time.Second) // until the transaction is gone: the messages share Call-IDs
	synctest.Wait()
	var all []int
	for {
		select {
		case s := <-e.statuses:
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
			continue
		default:
		}
		return all
	}
}
