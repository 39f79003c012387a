package ingress_test

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/auth"
	"dialtone/internal/digest"
	"dialtone/internal/directory"
	"dialtone/internal/guard"
	"dialtone/internal/ingress"
	"dialtone/internal/ingress/laddertest"
	"dialtone/internal/location"
	"dialtone/internal/metrics"
	"dialtone/internal/network"
	"dialtone/internal/nexthop"
	"dialtone/internal/proxy"
	"dialtone/internal/registrar"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
)

// The world of the ladders below testdata/relay: servers that forward, each with the whole pipeline, and phones.

const (
	atlanta, biloxi, chicago = "atlanta.example.com", "biloxi.example.com", "chicago.example.com"
	first, second, third     = "192.0.2.1", "192.0.2.2", "192.0.2.3"
)

// people are the parties: where they are, and of which domain.
var people = map[string]struct{ place, domain string }{
	"alice": {"alice@192.0.2.101:5060", atlanta},
	"carol": {"carol@192.0.2.103:5060", chicago},
	"bob":   {"bob@192.0.2.201:5060", biloxi}, "desk": {"bob@192.0.2.201:5070", biloxi}, "bob2": {"bob@192.0.2.202:5060", biloxi},
	"bob3": {"bob@192.0.2.203:5060", biloxi}, "bob4": {"bob@192.0.2.204:5060", biloxi},
	"gateway": {"gateway@192.0.2.205:5060", biloxi}, "music": {"music@192.0.2.206:5060", biloxi},
	"park": {"park@192.0.2.207:5060", biloxi}, "bill": {"bill@192.0.2.208:5060", biloxi},
	"pc":      {"pc@192.0.2.209:5060", biloxi},
	"tess":    {"tcp:tess@192.0.2.210:5060", biloxi},
	"tess2":   {"tcp:tess@192.0.2.210:5060", biloxi},              // the same phone, by another connection
	"mallory": {"mallory@203.0.113.66:5060", "elsewhere.example"}, // nobody knows him
}

// relayNode says how one server is set up.
type relayNode struct {
	addr       string
	role       string
	domains    []string
	users      []string          // lines; their devices are known by address
	passwords  bool              // ... or register with a password
	secret     []string          // these always with a password
	hops       map[string]string // domain to next hop
	timerC     time.Duration
	algorithms []digest.Algorithm
	policy     registrar.Policy
	tb         testing.TB // of the first: who is told of faults in the ladder; nil: the test
}

// relays is a network of servers that forward.
type relays struct {
	*laddertest.Player
	t       *testing.T
	network *network.Memory
	nodes   []*relayServer
	seen    *seen
}

type relayServer struct {
	relayNode
	addr         netip.Addr
	directory    *directory.Directory
	locations    *location.Table
	transactions *transaction.Layer
	transport    *transport.Layer
	resolver     *transport.Resolver
	proxy        *proxy.Proxy
	ingress      *ingress.Ingress
}

// inRelays plays act among the servers and checks that nothing of it remains. via says which server a domain speaks to.
func inRelays(t *testing.T, nodes []relayNode, via map[string]string, act func(r *relays)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		r := &relays{t: t, seen: &seen{}, network: network.NewMemory(network.MemoryConfig{Seed: 1, Default: network.Conditions{Delay: time.Millisecond}})}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		defer func() {
			r.Close()
			cancel()
			running.Wait()
			for _, n := range r.nodes {
				n.transport.Close()
				n.proxy.Close()
				n.resolver.Close()
			}
			_ = r.network.Close()
		}()
		for _, n := range nodes {
			s := r.serve(n)
			running.Go(func() { _ = s.transport.Run(ctx) })
			running.Go(func() { _ = s.transactions.Run(ctx) })
		}
		parties := map[string]string{}
		for name, p := range people {
			server := cmp.Or(via[name], via[p.domain], nodes[0].addr)
			parties[name] = p.place + " via " + server + ":5060 of " + p.domain
		}
		tb := nodes[0].tb
		if tb == nil {
			tb = t
		}
		r.Player = laddertest.New(tb, laddertest.World{Network: r.network, Exchange: netip.AddrPortFrom(r.nodes[0].addr, 5060),
			Parties: parties, Forwards: true})
		act(r)
		if nodes[0].tb == nil {
			r.isClean()
		}
	})
}

// isClean: five minutes later nothing is left.
func (r *relays) isClean() {
	r.t.Helper()
	if r.t.Failed() {
		r.t.Logf("log:\n%s", r.seen.log.String())
		return
	}
	r.Finish()
	<-time.After(5 * time.Minute)
	synctest.Wait()
	r.Finish()
	for _, n := range r.nodes {
		if left := n.transactions.Len(); left != 0 {
			r.t.Errorf("%v: %d transactions are left", n.addr, left)
		}
	}
	if text := r.seen.log.String(); strings.Contains(text, "panic") {
		r.t.Errorf("panic:\n%s", text)
	}
}

func (r *relays) serve(n relayNode) *relayServer {
	r.t.Helper()
	check := func(err error) {
		r.t.Helper()
		if err != nil {
			r.t.Fatal(err)
		}
	}
	s := &relayServer{relayNode: n, addr: netip.MustParseAddr(n.addr)}
	if n.algorithms == nil {
		n.algorithms = []digest.Algorithm{digest.MD5}
	}
	local := func(a netip.Addr) bool { return a == s.addr }
	log := slog.New(slog.NewTextHandler(r.seen, nil))
	s.directory = r.relayDirectory(n)
	s.locations = location.New(location.Config{}, time.Now())
	s.transactions = transaction.New(transaction.Config{})
	s.resolver = transport.NewResolver(transport.ResolverConfig{})
	g, err := guard.New(guard.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, time.Now())
	check(err)
	s.ingress = ingress.New(ingress.Config{
		Guard: g, Auth: auth.New(auth.Config{Flows: s.locations, Local: local}), Registrar: registrar.New(s.locations, n.policy),
		Locations: s.locations, Directory: s.directory, Transactions: s.transactions, Metrics: metrics.New(metrics.Config{}),
		UserAgent: "Dialtone", Listeners: map[string]ingress.Listener{
			"proxy":     {Algorithms: n.algorithms, Forwarding: ingress.Stateful},
			"stateless": {Algorithms: n.algorithms, Forwarding: ingress.Stateless},
			"redirect":  {Algorithms: n.algorithms, Forwarding: ingress.Redirect},
		},
	})
	s.transactions.SetUser(s.ingress)
	var listeners []transport.Listener
	for _, k := range []transport.Kind{transport.UDP, transport.TCP} {
		listeners = append(listeners, transport.Listener{Kind: k, Addr: netip.AddrPortFrom(s.addr, 5060), Role: n.role})
	}
	s.transport, err = transport.New(transport.Config{Network: r.network.Host(s.addr), Handler: s.ingress, Admit: s.ingress.Admit,
		Workers: 1, Log: log, Listeners: listeners})
	check(err)
	own := func(host []byte, port uint16) bool { return string(host) == n.addr && (port == 0 || port == 5060) }
	hops := nexthop.New(nexthop.Config{Own: own})
	hops.Update(s.directory.Snapshot())
	s.proxy = proxy.New(proxy.Config{
		Transactions: s.transactions, Network: s.transport, Resolver: s.resolver, Directory: s.directory, Locations: s.locations,
		Door: s.ingress, NextHops: hops, Key: proxy.Key{1: s.addr.As4()[3]}, TimerC: n.timerC, UserAgent: "Dialtone", Local: local,
		Own: own,
	})
	s.ingress.Proxy = s.proxy
	r.nodes = append(r.nodes, s)
	return s
}

func (r *relays) relayDirectory(n relayNode) *directory.Directory {
	var changes []directory.Change
	id := directory.NewID()
	add := func(obj directory.Object) {
		h := obj.Head()
		if h.ID = directory.NewID(); obj.ObjectKind() == directory.KindTenant {
			h.ID = id
		}
		h.Tenant = id
		obj.SetDefaults()
		if err := obj.Validate(); err != nil {
			r.t.Fatal(err)
		}
		changes = append(changes, directory.Change{After: obj})
	}
	realm := n.domains[0]
	add(&directory.Tenant{Name: "default", Domains: n.domains})
	for _, user := range n.users {
		place := strings.TrimPrefix(people[user].place, "tcp:")
		d := directory.Device{Username: user, Auth: directory.AuthPassword}
		if n.passwords || slices.Contains(n.secret, user) || strings.HasPrefix(people[user].place, "tcp:") {
			var c directory.Credential
			c.MD5, c.SHA256 = directory.HA1(user, realm, directory.Secret("secret-"+user))
			d.Credentials = []directory.Credential{c}
		} else {
			_, address, _ := strings.Cut(place, "@")
			d.Auth, d.Address = directory.AuthStatic, "sip:"+place
			d.From = []netip.Prefix{netip.PrefixFrom(netip.MustParseAddrPort(address).Addr(), 32)}
		}
		add(&directory.Line{Number: user, Devices: []directory.Device{d}})
	}
	for _, domain := range slices.Sorted(maps.Keys(n.hops)) {
		add(&directory.NextHop{Name: domain, Domain: domain, Health: directory.HealthNone, Targets: []directory.HopTarget{{URI: n.hops[domain]}}})
	}
	d := directory.New()
	d.Apply(changes)
	return d
}

// usersOf are the lines of these domains.
func usersOf(domains ...string) (users []string) {
	for _, name := range slices.Sorted(maps.Keys(people)) {
		if p := people[name]; slices.Contains(domains, p.domain) && strings.Contains(":"+p.place, ":"+name+"@") {
			users = append(users, name)
		}
	}
	return users
}

// oneServer has everybody; twoServers are chained, as RFC 3665 §3.2 draws it.
func oneServer(n relayNode) ([]relayNode, map[string]string) {
	n.addr, n.domains, n.users = first, []string{atlanta, biloxi, chicago}, usersOf(atlanta, biloxi, chicago)
	return []relayNode{n}, nil
}

func twoServers(n relayNode) ([]relayNode, map[string]string) {
	a, b := n, n
	a.addr, a.domains, a.users = first, []string{atlanta, chicago}, usersOf(atlanta, chicago)
	a.hops = map[string]string{biloxi: "sip:" + second}
	b.addr, b.domains, b.users = second, []string{biloxi}, usersOf(biloxi)
	b.hops = map[string]string{atlanta: "sip:" + first, chicago: "sip:" + first}
	return []relayNode{a, b}, map[string]string{biloxi: second}
}
