package transport

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"
)

// bothTransports binds one port for datagrams and for streams. The port that the system gives for the one may be taken
// for the other: then another one will do.
func bothTransports(t *testing.T) (net.PacketConn, net.Listener) {
	t.Helper()
	for {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		ln, err := net.Listen("tcp", pc.LocalAddr().String())
		if err == nil {
			return pc, ln
		}
		pc.Close()
		if !errors.Is(err, syscall.EADDRINUSE) {
			t.Fatal(err)
		}
	}
}

// nameServer serves a zone of master-file lines on loopback, over UDP and TCP.
func nameServer(t *testing.T, lines string, special func(*dns.Msg) *dns.Msg) string {
	t.Helper()
	var records []dns.RR
	for line := range strings.Lines(lines) {
		rr, err := dns.NewRR(line)
		if err != nil {
			t.Fatal(err)
		}
		if rr != nil {
			records = append(records, rr)
		}
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		if special != nil {
			if m := special(q); m != nil {
				w.WriteMsg(m)
				return
			}
		}
		m := new(dns.Msg)
		m.SetReply(q)
		for _, rr := range records {
			question := q.Question[0]
			if rr.Header().Name == question.Name && (rr.Header().Rrtype == question.Qtype || rr.Header().Rrtype == dns.TypeCNAME) {
				m.Answer = append(m.Answer, rr)
			}
		}
		if len(m.Answer) == 0 {
			m.Rcode = dns.RcodeNameError
		}
		if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			m.Truncate(dnsPayload)
		}
		w.WriteMsg(m)
	})
	pc, ln := bothTransports(t)
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: handler}, {Listener: ln, Handler: handler}} {
		started := make(chan struct{})
		s.NotifyStartedFunc = func() { close(started) }
		go s.ActivateAndServe()
		<-started
		t.Cleanup(func() { s.Shutdown() })
	}
	return pc.LocalAddr().String()
}

func TestSystemDNS(t *testing.T) {
	var many strings.Builder
	for i := range 200 {
		fmt.Fprintf(&many, "big.example. 60 IN SRV %d 0 5060 host-with-a-long-name-%d.example.\n", i, i)
	}
	server := nameServer(t, `
a.example. 60 IN A 192.0.2.1
a.example. 30 IN AAAA 2001:db8::1
six.example. 60 IN AAAA 2001:db8::6
alias.example. 60 IN CNAME a.example.
loop1.example. 60 IN CNAME loop2.example.
loop2.example. 60 IN CNAME loop1.example.
_sip._udp.a.example. 120 IN SRV 10 20 5070 A.Example.
a.example. 60 IN NAPTR 10 20 "s" "SIP+D2U" "" _sip._udp.a.example.
`+many.String(), func(q *dns.Msg) *dns.Msg {
		switch q.Question[0].Name {
		case "broken.example.":
			m := new(dns.Msg)
			return m.SetRcode(q, dns.RcodeServerFailure)
		case "liar.example.": // answers for another name
			m := new(dns.Msg)
			m.SetReply(q)
			rr, _ := dns.NewRR("bank.example. 60 IN A 192.0.2.66")
			m.Answer = append(m.Answer, rr)
			return m
		}
		return nil
	})
	hosts := filepath.Join(t.TempDir(), "hosts")
	if err := os.WriteFile(hosts, []byte("# comment\n192.0.2.77 pbx PBX.lan # ours\n\nbad line\n2001:db8::77 pbx\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := NewSystemDNS(SystemDNSConfig{Servers: []string{"127.0.0.1:1", server}, Hosts: hosts})
	addrs := func(list ...string) (out []netip.Addr) {
		for _, a := range list {
			out = append(out, netip.MustParseAddr(a))
		}
		return out
	}
	for name, want := range map[string][]netip.Addr{
		"a.example":     addrs("192.0.2.1", "2001:db8::1"),
		"six.example":   addrs("2001:db8::6"),
		"alias.example": addrs("192.0.2.1", "2001:db8::1"),
		"pbx":           addrs("192.0.2.77", "2001:db8::77"),
		"pbx.lan":       addrs("192.0.2.77"),
		"none.example":  nil,
		"liar.example":  nil,
	} {
		a, err := s.Lookup(t.Context(), name, Addresses)
		if err != nil || !slices.Equal(a.Addrs, want) {
			t.Errorf("%s: %v, %v", name, a.Addrs, err)
		}
	}
	for _, name := range []string{"broken.example", "loop1.example"} {
		if a, err := s.Lookup(t.Context(), name, Addresses); err == nil {
			t.Errorf("%s: %v", name, a)
		}
	}
	if a, _ := s.Lookup(t.Context(), "a.example", Addresses); a.TTL != 30*time.Second {
		t.Errorf("TTL %v", a.TTL)
	}
	a, err := s.Lookup(t.Context(), "_sip._udp.a.example", ServiceRecords)
	if want := []SRV{{10, 20, 5070, "a.example"}}; err != nil || !slices.Equal(a.SRV, want) {
		t.Errorf("SRV %v, %v", a.SRV, err)
	}
	a, err = s.Lookup(t.Context(), "a.example", NamingAuthority)
	if want := []NAPTR{{10, 20, "s", "SIP+D2U", "", "_sip._udp.a.example"}}; err != nil || !slices.Equal(a.NAPTR, want) {
		t.Errorf("NAPTR %v, %v", a.NAPTR, err)
	}
	// Too long for a datagram: asked again over TCP, and cut at our own bound.
	if a, err = s.Lookup(t.Context(), "big.example", ServiceRecords); err != nil || len(a.SRV) != maxRecords {
		t.Errorf("%d records of a long answer, %v", len(a.SRV), err)
	}
}

func TestSystemDNSReadsResolvConf(t *testing.T) {
	dir := t.TempDir()
	resolv := filepath.Join(dir, "resolv.conf")
	s := NewSystemDNS(SystemDNSConfig{Hosts: filepath.Join(dir, "none"), Resolv: resolv})
	if a, err := s.Lookup(t.Context(), "pbx", Addresses); err == nil {
		t.Errorf("without a file: %v", a)
	}
	if err := os.WriteFile(resolv, []byte("nameserver 192.0.2.53\nsearch lan.example\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	servers, names, err := s.resolvConf("pbx")
	if err != nil || !slices.Equal(servers, []string{"192.0.2.53:53"}) || !slices.Equal(names, []string{"pbx.lan.example.", "pbx."}) {
		t.Errorf("%v %v %v", servers, names, err)
	}
}
