package ingress_test

import (
	"bytes"
	"context"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"dialtone/internal/auth"
	"dialtone/internal/call"
	"dialtone/internal/digest"
	"dialtone/internal/directory"
	"dialtone/internal/exchange"
	"dialtone/internal/guard"
	"dialtone/internal/ingress"
	"dialtone/internal/ingress/laddertest"
	"dialtone/internal/location"
	"dialtone/internal/media"
	"dialtone/internal/metrics"
	"dialtone/internal/network"
	"dialtone/internal/registrar"
	"dialtone/internal/sip"
	"dialtone/internal/sip/dialog"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
	"dialtone/internal/sipleg"
)

var (
	exchangeAddr = netip.MustParseAddrPort("192.0.2.1:5060")
	tenant       = directory.ID{1}
)

// lines of the tenant: number, device, and where it is known by address; the others register with a password.
var fixed = map[string]string{
	"101": "192.0.2.11:5060", "102": "192.0.2.12:5060", "103": "192.0.2.13:5060", "104": "", "105": "",
	"106": "192.0.2.16:5060", // a device behind a proxy
	"107": "192.0.2.77:5060", // nobody is there
	"108": "192.0.2.1:5060",  // the exchange itself
}

// parties of the ladders.
var parties = map[string]string{
	"alice": "101@192.0.2.11:5060", "bob": "102@192.0.2.12:5060", "carol": "103@192.0.2.13:5060",
	"dave": "104@192.0.2.14:5060", "eve": "105@192.0.2.15:5060", "proxy": "106@192.0.2.16:5060",
	"tess": "tcp:105@192.0.2.15:5060",
}

// seen collects the records of calls and the words of the log.
type seen struct {
	mu      sync.Mutex
	ended   []string
	records []*call.Record
	log     bytes.Buffer
}

func (s *seen) Observe(n call.Notice) {
	if e, ok := n.(call.CallEnded); ok {
		s.mu.Lock()
		s.ended = append(s.ended, e.Record.Cause.String())
		s.records = append(s.records, e.Record)
		s.mu.Unlock()
	}
}

func (s *seen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.log.Write(b)
}

func (s *seen) causes() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.ended...)
}

// office is an exchange in a network in memory, with everything from the sockets to the records, but no database.
type office struct {
	*laddertest.Player
	t            *testing.T
	network      *network.Memory
	seen         *seen
	transactions *transaction.Layer
	transport    *transport.Layer
	endpoint     *sipleg.Endpoint
	exchange     *exchange.Exchange
	media        *media.Engine
	locations    *location.Table
	resolver     *transport.Resolver
	background   sync.WaitGroup
	extra        map[string][]call.Target // by number: where else a line is rung
}

// settings of an office.
type settings struct {
	timer dialog.TimerPolicy
	ring  time.Duration // 0: 25 s
	ports uint16        // last port for media; 0: enough
	delay *atomic.Int64 // nanoseconds for which work waits; nil: nobody asks
	tb    testing.TB    // who is told of faults in the ladder; nil: the test
}

// inOffice plays act and checks that nothing of it remains.
func inOffice(t *testing.T, s settings, act func(o *office)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		o := &office{t: t, seen: &seen{}, network: network.NewMemory(network.MemoryConfig{Seed: 1, Default: network.Conditions{Delay: time.Millisecond}})}
		ctx, cancel := context.WithCancel(context.Background())
		var running sync.WaitGroup
		defer func() {
			o.hangUp()
			o.Close()
			cancel()
			running.Wait()
			o.transport.Close()
			o.background.Wait()
			o.resolver.Close()
			_ = o.media.Close()
			_ = o.network.Close()
		}()
		o.build(s)
		running.Go(func() { _ = o.transport.Run(ctx) })
		running.Go(func() { _ = o.transactions.Run(ctx) })
		act(o)
		o.isClean()
	})
}

// hangUp ends every call.
func (o *office) hangUp() {
	over, end := context.WithCancel(context.Background())
	end()
	o.exchange.Drain(over)
}

// isClean: a minute later nothing of the calls is left.
func (o *office) isClean() {
	o.t.Helper()
	if o.t.Failed() { // what is left is only a consequence
		o.t.Logf("log:\n%s", o.seen.log.String())
		return
	}
	o.Finish()
	<-time.After(time.Minute)
	synctest.Wait()
	o.Finish()
	if n := o.endpoint.Len(); n != 0 {
		o.t.Errorf("%d legs are left", n)
	}
	if n := o.transactions.Len(); n != 0 {
		o.t.Errorf("%d transactions are left", n)
	}
	if n := o.media.Counters().PortsUsed; n != 0 {
		o.t.Errorf("%d media ports are left", n)
	}
	if n := o.exchange.Calls().Len(); n != 0 {
		o.t.Errorf("%d calls are left", n)
	}
	if n := o.exchange.Lines().Total(); n != 0 {
		o.t.Errorf("%d lines are counted", n)
	}
	text := o.seen.log.String()
	for _, secret := range []string{"secret-", "nonce=", "response="} {
		if strings.Contains(text, secret) {
			o.t.Errorf("the log tells secrets:\n%s", text)
		}
	}
	if strings.Contains(text, "panic") {
		o.t.Errorf("panic:\n%s", text)
	}
	if o.t.Failed() {
		o.t.Logf("log:\n%s", text)
	}
}

func (o *office) build(s settings) {
	o.t.Helper()
	check := func(err error) {
		o.t.Helper()
		if err != nil {
			o.t.Fatal(err)
		}
	}
	log := slog.New(slog.NewTextHandler(o.seen, nil))
	host := o.network.Host(exchangeAddr.Addr())
	d := o.directory()
	var err error
	o.locations = location.New(location.Config{}, time.Now())
	if s.ports == 0 {
		s.ports = 10999
	}
	o.media, err = media.New(media.Config{Network: host, Ports: media.PortRange{Min: 10000, Max: s.ports}})
	check(err)
	o.transactions = transaction.New(transaction.Config{})
	o.resolver = transport.NewResolver(transport.ResolverConfig{})
	if s.timer == (dialog.TimerPolicy{}) {
		s.timer = dialog.TimerPolicy{Expires: 30 * time.Minute}
	}
	if s.ring == 0 {
		s.ring = 25 * time.Second
	}
	o.endpoint = sipleg.New(sipleg.Config{Transactions: o.transactions, Router: router{o}, Media: o.media, Log: log, UserAgent: "Dialtone", Timer: s.timer})
	o.exchange = exchange.New(exchange.Config{Directory: d, Locator: locator{o}, Dialer: o.endpoint, Observer: o.seen,
		RingTime: s.ring, Log: log})
	g, err := guard.New(guard.Config{Trusted: []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")}}, time.Now())
	check(err)
	var overload *guard.Overload
	if s.delay != nil {
		overload, err = guard.NewOverload(guard.OverloadConfig{Delay: func() time.Duration { return time.Duration(s.delay.Load()) }}, time.Now())
		check(err)
	}
	pipeline := ingress.New(ingress.Config{
		Overload: overload,
		Guard:    g, Auth: auth.New(auth.Config{Flows: o.locations, Local: func(a netip.Addr) bool { return a == exchangeAddr.Addr() }}),
		Registrar: registrar.New(o.locations, registrar.Policy{Min: time.Minute, Max: time.Hour}),
		Locations: o.locations, Directory: d, Endpoint: o.endpoint, Exchange: o.exchange, Transactions: o.transactions,
		Metrics: metrics.New(metrics.Config{}), UserAgent: "Dialtone",
		Listeners: map[string]ingress.Listener{"exchange": {Algorithms: []digest.Algorithm{digest.MD5}}},
	})
	o.transactions.SetUser(pipeline)
	any := netip.AddrPortFrom(netip.IPv4Unspecified(), 5060)
	o.transport, err = transport.New(transport.Config{Network: host, Handler: pipeline, Admit: pipeline.Admit, Workers: 1, Log: log,
		Listeners: []transport.Listener{{Kind: transport.UDP, Addr: any, Role: "exchange"}, {Kind: transport.TCP, Addr: any, Role: "exchange"}}})
	check(err)
	var tb testing.TB = o.t
	if s.tb != nil {
		tb = s.tb
	}
	o.Player = laddertest.New(tb, laddertest.World{Network: o.network, Exchange: exchangeAddr, Parties: parties, Records: o.seen.causes})
}

func (o *office) directory() *directory.Directory {
	var changes []directory.Change
	add := func(obj directory.Object) {
		h := obj.Head()
		if h.ID = directory.NewID(); obj.ObjectKind() == directory.KindTenant {
			h.ID = tenant
		}
		h.Tenant = tenant
		obj.SetDefaults()
		if err := obj.Validate(); err != nil {
			o.t.Fatal(err)
		}
		changes = append(changes, directory.Change{After: obj})
	}
	realm := "pbx.example"
	add(&directory.Tenant{Name: "default", Domains: []string{realm}})
	for number, addr := range fixed {
		device := directory.Device{Username: number, Auth: directory.AuthPassword}
		if addr != "" {
			host := netip.MustParseAddrPort(addr).Addr()
			device.Auth, device.Address = directory.AuthStatic, "sip:"+number+"@"+addr
			device.From = []netip.Prefix{netip.PrefixFrom(host, 32)}
			switch number { // what comes back from a loop is still 101 that calls 108
			case "101":
				device.From = append(device.From, netip.PrefixFrom(exchangeAddr.Addr(), 32))
			case "108":
				device.From[0] = netip.MustParsePrefix("192.0.2.250/32")
			}
		} else {
			var c directory.Credential
			c.MD5, c.SHA256 = directory.HA1(number, realm, directory.Secret("secret-"+number))
			device.Credentials = []directory.Credential{c}
		}
		add(&directory.Line{Number: number, Devices: []directory.Device{device}})
	}
	d := directory.New()
	d.Apply(changes)
	return d
}

// locator is what a server uses, for one flow a device.
type locator struct{ o *office }

func (l locator) Targets(tenant directory.ID, line *directory.Line) []call.Target {
	var ts []call.Target
	for _, b := range l.o.locations.Lookup(nil, location.AOR{Tenant: tenant, Line: line.ID}, time.Now()) {
		ts = append(ts, call.Target{Line: line.Number, Device: b.Device, URI: b.Contact, Source: sipleg.Caller{Domain: "pbx.example", Source: b.Flow}})
	}
	return append(ts, l.o.extra[line.Number]...)
}

// places are the ways to a target, in order; the last is never found until it is released.
type places struct {
	targets []transport.Target
	release chan struct{} // nil: at once
}

// router leads to the flow of a registration, then to the address in the URI.
type router struct{ o *office }

func (r router) Path(uri string, source any) sipleg.Path {
	p := &path{o: r.o, uri: uri}
	switch s := source.(type) {
	case location.Flow:
		p.flow = &s
	case places:
		p.places = &s
	}
	return p
}

func (s *places) next(o *office, done func(sipleg.Flow, error)) {
	if len(s.targets) == 0 {
		done(nil, sipleg.ErrNoFlow)
		return
	}
	t := s.targets[0]
	s.targets = s.targets[1:]
	o.background.Go(func() {
		if s.release != nil {
			<-s.release
		}
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		f, err := o.transport.Open(ctx, t, 0)
		if err != nil {
			s.next(o, done)
			return
		}
		done(f, nil)
	})
}

type path struct {
	o      *office
	uri    string
	flow   *location.Flow
	places *places
	done   bool
}

func (p *path) Next(_ int, done func(sipleg.Flow, error)) {
	if p.places != nil {
		p.places.next(p.o, done)
		return
	}
	if p.flow != nil {
		flow := *p.flow
		p.flow = nil
		if !flow.Stream() {
			p.done = true
			f, err := p.o.transport.Connect(transport.Target{Kind: transport.UDP, Addr: flow.Remote})
			done(f, err)
			return
		}
		if f := p.o.transport.Stream(flow.ID); f != nil {
			done(f, nil)
			return
		}
	}
	u, err := sip.ParseURI([]byte(p.uri))
	if p.done || err != nil {
		done(nil, sipleg.ErrNoFlow)
		return
	}
	p.done = true
	p.o.background.Go(func() { // as with a look-up: the answer comes from another goroutine
		targets, err := p.o.resolver.Resolve(context.Background(), &u)
		if err != nil || len(targets) == 0 {
			done(nil, sipleg.ErrNoFlow)
			return
		}
		f, err := p.o.transport.Connect(targets[0])
		if err != nil {
			done(nil, sipleg.ErrNoFlow)
			return
		}
		done(f, nil)
	})
}
