package transport

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
)

const (
	dnsTimeout = 2 * time.Second // for one server
	dnsPayload = 1232            // EDNS0 buffer that passes everywhere without fragments
	maxAliases = 8               // CNAMEs in a row
	hostsTTL   = 10 * time.Second
	unknownTTL = 30 * time.Second // absence, when the server does not say for how long
)

// SystemDNSConfig says whom to ask.
type SystemDNSConfig struct {
	Servers []string // "192.0.2.53:53"; empty takes those of resolv.conf, read anew for each question
	Hosts   string   // path of the hosts file; "" is /etc/hosts
	Resolv  string   // path of resolv.conf; "" is /etc/resolv.conf
}

// SystemDNS asks the machine's name servers, and its hosts file first. Answers are bounded whatever a server says.
type SystemDNS struct{ c SystemDNSConfig }

// NewSystemDNS makes a DNS.
func NewSystemDNS(c SystemDNSConfig) *SystemDNS {
	if c.Hosts == "" {
		c.Hosts = "/etc/hosts"
	}
	if c.Resolv == "" {
		c.Resolv = "/etc/resolv.conf"
	}
	return &SystemDNS{c}
}

// Lookup implements DNS.
func (s *SystemDNS) Lookup(ctx context.Context, name string, t RecordType) (Answer, error) {
	if t == Addresses {
		if a := s.hosts(name); len(a) > 0 {
			return Answer{Addrs: a, TTL: hostsTTL}, nil
		}
	}
	servers, names, err := s.resolvConf(name)
	if err != nil {
		return Answer{}, err
	}
	if t != Addresses {
		names = []string{dns.Fqdn(name)}
	}
	var a Answer
	for _, n := range names {
		if a, err = s.lookup(ctx, servers, n, t); err != nil || !a.empty() {
			return a, err
		}
	}
	return a, nil
}

func (s *SystemDNS) lookup(ctx context.Context, servers []string, name string, t RecordType) (Answer, error) {
	switch t {
	case ServiceRecords:
		return s.ask(ctx, servers, name, dns.TypeSRV)
	case NamingAuthority:
		return s.ask(ctx, servers, name, dns.TypeNAPTR)
	}
	type result struct {
		a   Answer
		err error
	}
	six := make(chan result, 1)
	go func() {
		a, err := s.ask(ctx, servers, name, dns.TypeAAAA)
		six <- result{a, err}
	}()
	four, err := s.ask(ctx, servers, name, dns.TypeA)
	r := <-six
	switch {
	case err != nil && (r.err != nil || r.a.empty()):
		return Answer{}, err
	case r.err != nil && four.empty():
		return Answer{}, r.err
	case four.empty():
		return r.a, nil
	case !r.a.empty():
		four.Addrs = append(four.Addrs, r.a.Addrs...)
		four.TTL = min(four.TTL, r.a.TTL)
	}
	return four, nil
}

// ask puts one question to the servers in turn and follows aliases.
func (s *SystemDNS) ask(ctx context.Context, servers []string, name string, t uint16) (Answer, error) {
	for range maxAliases {
		m, err := s.exchange(ctx, servers, name, t)
		if err != nil {
			return Answer{}, fmt.Errorf("look up %s %s: %w", dns.TypeToString[t], name, err)
		}
		a, alias := read(m, name, t)
		if alias == "" {
			return a, nil
		}
		name = alias // the server left the rest of the chain to us
	}
	return Answer{}, fmt.Errorf("look up %s %s: too many aliases", dns.TypeToString[t], name)
}

func (s *SystemDNS) exchange(ctx context.Context, servers []string, name string, t uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, t)
	q.SetEdns0(dnsPayload, false)
	last := errors.New("no name server")
	for _, server := range servers {
		m, err := s.exchangeWith(ctx, server, q)
		switch {
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case err != nil:
			last = err
		case m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError:
			return m, nil
		default:
			last = fmt.Errorf("%s says %s", server, dns.RcodeToString[m.Rcode])
		}
	}
	return nil, last
}

func (s *SystemDNS) exchangeWith(ctx context.Context, server string, q *dns.Msg) (*dns.Msg, error) {
	c := &dns.Client{Timeout: dnsTimeout, UDPSize: dnsPayload}
	m, _, err := c.ExchangeContext(ctx, q, server)
	if err == nil && m.Truncated {
		c.Net = "tcp"
		m, _, err = c.ExchangeContext(ctx, q, server)
	}
	return m, err
}

// read takes the records of one type out of an answer, by way of its aliases; alias is where the chain leads out of the
// answer. Records of other names are not believed.
func read(m *dns.Msg, name string, t uint16) (a Answer, alias string) {
	owner := name
	for range maxAliases {
		next := ""
		for _, rr := range m.Answer {
			if !strings.EqualFold(rr.Header().Name, owner) {
				continue
			}
			if c, ok := rr.(*dns.CNAME); ok && t != dns.TypeCNAME {
				next = c.Target
			}
			if rr.Header().Rrtype == t {
				a.add(rr)
			}
		}
		if !a.empty() {
			return a, ""
		}
		if next == "" {
			break
		}
		owner = next
	}
	if !strings.EqualFold(owner, name) {
		return Answer{}, owner
	}
	a.TTL = unknownTTL
	for _, rr := range m.Ns { // RFC 2308 §5: how long absence holds
		if soa, ok := rr.(*dns.SOA); ok {
			a.TTL = time.Duration(min(soa.Minttl, soa.Hdr.Ttl)) * time.Second
		}
	}
	return a, ""
}

// maxRecords is how many records of one answer are read.
const maxRecords = 64

func (a *Answer) add(rr dns.RR) {
	if len(a.Addrs)+len(a.SRV)+len(a.NAPTR) >= maxRecords {
		return
	}
	ttl := time.Duration(rr.Header().Ttl) * time.Second
	if a.empty() || ttl < a.TTL {
		a.TTL = ttl
	}
	switch r := rr.(type) {
	case *dns.A:
		if ip, ok := netip.AddrFromSlice(r.A.To4()); ok {
			a.Addrs = append(a.Addrs, ip)
		}
	case *dns.AAAA:
		if ip, ok := netip.AddrFromSlice(r.AAAA); ok {
			a.Addrs = append(a.Addrs, ip)
		}
	case *dns.SRV:
		a.SRV = append(a.SRV, SRV{r.Priority, r.Weight, r.Port, canonical(r.Target)})
	case *dns.NAPTR:
		a.NAPTR = append(a.NAPTR, NAPTR{r.Order, r.Preference, r.Flags, r.Service, r.Regexp, canonical(r.Replacement)})
	}
}

// resolvConf gives the servers and, for an address, the names to try: a short name may be meant within a search domain.
func (s *SystemDNS) resolvConf(name string) (servers, names []string, err error) {
	if len(s.c.Servers) > 0 {
		return s.c.Servers, []string{dns.Fqdn(name)}, nil
	}
	c, err := dns.ClientConfigFromFile(s.c.Resolv)
	if err != nil {
		return nil, nil, err
	}
	for _, server := range c.Servers {
		servers = append(servers, net.JoinHostPort(server, c.Port))
	}
	return servers, c.NameList(name), nil
}

// hosts looks a name up in the hosts file: a LAN without a name server has nothing else.
func (s *SystemDNS) hosts(name string) (out []netip.Addr) {
	f, err := os.Open(s.c.Hosts)
	if err != nil {
		return nil
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line, _, _ := strings.Cut(lines.Text(), "#")
		fields := strings.Fields(line)
		if len(fields) < 2 || !slices.ContainsFunc(fields[1:], func(n string) bool { return canonical(n) == name }) {
			continue
		}
		if ip, err := netip.ParseAddr(fields[0]); err == nil {
			out = append(out, ip)
		}
	}
	return out
}
