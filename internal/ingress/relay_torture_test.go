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

	"dialtone/internal/directory"
	"dialtone/internal/network"
	"dialtone/internal/sip"
)

// relayVerdicts are the statuses that a proxy gives to messages of RFC 4475 and RFC 5118 by itself; 0 stands for silence.
// What is not named is sent on, with its body and what the proxy does not know untouched.
var relayVerdicts = map[string][]int{
	// RFC 4475 §3.1.2: what cannot be read. A response, and what has no Via to answer to, is dropped.
	"badinv01": {400, 0}, "clerr": {400}, "ncl": {400}, "scalar02": {400}, "scalarlg": {0}, "quotbal": {400}, "ltgtruri": {400},
	"lwsruri": {400}, "lwsstart": {400}, "trws": {400}, "escruri": {400}, "badvers": {505, 0}, "baddn": {400}, "mismatch01": {400}, "mismatch02": {400},
	"bigcode": {0}, "mcl01": {400}, "badaspec": {400},
	"unreason": {0}, "noreason": {0}, "bcast": {0},
	"insuf":       {400, 0}, // §3.3.1
	"unkscm":      {416},    // §3.3.2: a scheme that nobody knows in the Request-URI
	"novelsc":     {416},    // §3.3.3
	"unksm2":      {1},      // §3.3.4: an unknown scheme in To and From is no concern of a proxy
	"bext01":      {420},    // §3.3.5: Proxy-Require
	"multi01":     {400, 0}, // §3.3.8
	"zeromf":      {483},    // §3.3.11
	"ipv6-bad":    {400},    // RFC 5118 §4.1
	"ipv6-in-sdp": {400},    // its Content-Length is longer than its datagram (RFC 3261 §18.3)
	// RFC 5118 §4: they are read, and are for an address of somebody else's.
	"ipv6-bug-abnf-3-colons": {403}, "ipv6-correct-abnf-2-colons": {403}, "ipv6-good": {403}, "mult-ip-in-sdp": {403}, "port-ambiguous": {403},
	"port-unambiguous": {403}, "via-received-param-no-delim": {403}, "via-received-param-with-delim": {403},
	"mpart01": {407, 403}, "wsinv": {407, 403}, // a Route to somebody else: for known senders only
}

// tortured is a proxy that has a next hop for every domain, and a host that hears all that comes.
func tortured(t *testing.T, role string, act func(r *relays, send func(b []byte) (statuses []int, onward []*sip.Message))) {
	n := relayNode{addr: first, role: role, domains: []string{"our.example"}, hops: map[string]string{}}
	for _, name := range tortureFiles(t) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		words := strings.Fields(string(b))
		if u, err := sip.ParseURI([]byte(words[min(1, len(words)-1)])); err == nil && u.IsSIP() {
			host := strings.ToLower(string(u.Host))
			hop := directory.NextHop{Name: host, Domain: host, Targets: []directory.HopTarget{{URI: "sip:192.0.2.250"}}}
			if hop.SetDefaults(); hop.Validate() == nil { // there is no next hop for an address
				n.hops[host] = "sip:192.0.2.250"
			}
		}
	}
	inRelays(t, []relayNode{n}, nil, func(r *relays) {
		sink := r.network.Host(netip.MustParseAddr("192.0.2.250"))
		var got []*sip.Message
		pc, err := sink.ListenPacket(netip.MustParseAddrPort("192.0.2.250:5060"), false)
		if err != nil {
			t.Fatal(err)
		}
		go hear(pc, func(b []byte) {
			m := &sip.Message{}
			if err := m.Parse(slices.Clone(b)); err != nil {
				t.Errorf("what was sent on cannot be read: %v\n%s", err, b)
				return
			}
			if m.Method() != sip.ACK && m.Method() != sip.CANCEL {
				_ = pc.WriteTo(sip.NewResponse(m, 600, "", "sink").Append(nil), netip.AddrPortFrom(r.nodes[0].addr, 5060))
			}
			got = append(got, m)
		})
		addr := netip.MustParseAddrPort("203.0.113.77:5060")
		heard := listen(t, r.network.Host(addr.Addr()), addr, 5050, 5061, 5070, 5069, 9, 35)
		act(r, func(b []byte) ([]int, []*sip.Message) {
			got = nil
			statuses := heard.answers(b)
			synctest.Wait()
			return statuses, got
		})
		_ = pc.Close()
	})
}

func hear(pc network.PacketConn, f func(b []byte)) {
	ps := []network.Packet{{Data: make([]byte, 65536)}}
	for {
		ps[0].Data = ps[0].Data[:65536]
		n, err := pc.ReadBatch(ps)
		if err != nil {
			return
		}
		for _, p := range ps[:n] {
			f(p.Data)
		}
	}
}

// TestRelayTorture sends every torture message through a proxy: each is refused with the code of the RFC, or sent on as it
// came but for what a proxy changes (RFC 3261 §16.6).
func TestRelayTorture(t *testing.T) {
	for _, role := range []string{"proxy", "stateless"} {
		t.Run(role, func(t *testing.T) {
			tortured(t, role, func(r *relays, send func(b []byte) ([]int, []*sip.Message)) {
				forwarded := 0
				for _, name := range tortureFiles(t) {
					short := strings.TrimSuffix(filepath.Base(name), ".dat")
					b, err := os.ReadFile(name)
					if err != nil {
						t.Fatal(err)
					}
					if strings.Contains(name, "rfc5118") {
						if !bytes.Contains(b, []byte("\r\n")) {
							b = bytes.ReplaceAll(b, []byte("\n"), []byte("\r\n"))
						}
						if !bytes.Contains(b, []byte("\r\n\r\n")) {
							b = append(b, "\r\n"...)
						}
					}
					statuses, onward := send(b)
					allowed := relayVerdicts[short]
					switch {
					case len(onward) > 0 && (allowed == nil || slices.Contains(allowed, 1)):
						forwarded++
						sentOn(t, short, b, onward[0])
						if !slices.Equal(statuses, []int{600}) && isHeard(b) {
							t.Errorf("%s: sent on, and answered %v", short, statuses)
						}
					case len(onward) > 0:
						t.Errorf("%s: sent on, allowed %v", short, allowed)
					case allowed == nil:
						t.Errorf("%s: answered %v, and not sent on", short, statuses)
					case len(statuses) == 0 && slices.Contains(allowed, 0):
					case len(statuses) != 1 || !slices.Contains(allowed, statuses[0]):
						t.Errorf("%s: answered %v, allowed %v", short, statuses, allowed)
					}
				}
				if forwarded < 20 {
					t.Errorf("only %d messages were sent on", forwarded)
				}
				t.Logf("%d messages were sent on", forwarded)
			})
		})
	}
}

// isHeard reports whether the response to a message comes to a socket that is listened to. What says TCP or TLS in its Via
// and has come in a datagram is answered where it says, or not at all.
func isHeard(b []byte) bool {
	m := &sip.Message{}
	if m.Parse(slices.Clone(b)) != nil || m.Method() == sip.ACK {
		return false
	}
	via, err := m.Via()
	return err == nil && sip.EqualFold(via.Transport, "udp") && (via.Port == 0 || via.Port == 5060 || via.Port == 5050)
}

// sentOn compares a message with what was made of it.
func sentOn(t *testing.T, name string, b []byte, got *sip.Message) {
	t.Helper()
	sent := &sip.Message{}
	if err := sent.Parse(slices.Clone(b)); err != nil {
		t.Errorf("%s cannot be read here: %v", name, err)
		return
	}
	if !bytes.Equal(sent.Body(), got.Body()) {
		t.Errorf("%s: the body was %q and is %q", name, sent.Body(), got.Body())
	}
	if a, b := endToEnd(sent), endToEnd(got); !slices.Equal(a, b) {
		t.Errorf("%s: the headers were\n%q\nand are\n%q", name, a, b)
	}
	if a, b := sent.RequestURI(), got.RequestURI(); string(a) != string(b) {
		t.Errorf("%s: the Request-URI was %s and is %s", name, a, b)
	}
	before, had := sent.MaxForwards()
	if after, _ := got.MaxForwards(); had && after != before-1 || !had && after != 70 {
		t.Errorf("%s: Max-Forwards was %d and is %d", name, before, after)
	}
}

// endToEnd are the header lines that a proxy may not change.
func endToEnd(m *sip.Message) (out []string) {
	for i := range m.Len() {
		name, value, id := m.At(i)
		switch id {
		case sip.HVia, sip.HRoute, sip.HRecordRoute, sip.HMaxForwards, sip.HMaxBreadth, sip.HContentLength, sip.HPath:
			continue
		}
		out = append(out, string(name)+": "+string(value))
	}
	return out
}

// A redirect server answers every one of them, or is silent; it never sends anything on.
func TestRedirectTorture(t *testing.T) {
	tortured(t, "redirect", func(r *relays, send func(b []byte) ([]int, []*sip.Message)) {
		moved := 0
		for _, name := range tortureFiles(t) {
			b, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			statuses, onward := send(b)
			if len(onward) > 0 || len(statuses) > 1 {
				t.Errorf("%s: answered %v, and %d sent on", name, statuses, len(onward))
			}
			for _, s := range statuses {
				if !slices.Contains([]int{200, 302, 400, 404, 416, 420, 480, 483, 505}, s) {
					t.Errorf("%s: answered %d", name, s)
				}
				if s == 302 {
					moved++
				}
			}
		}
		if moved < 20 {
			t.Errorf("only %d messages were redirected", moved)
		}
		<-time.After(time.Second)
	})
}
