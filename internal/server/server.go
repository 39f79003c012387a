// Package server is the assembly: the only place that knows everything. It builds the parts in the order of their
// floors, connects them by hand, starts them, and stops them in order: no new calls, running calls ended, records
// written, bindings saved, sockets closed.
//
// It owns no behaviour of the exchange; what it adds are the adapters between parts that do not know each other, the
// first start of an installation, and certificates.
//
// Goroutines: Run starts those of all parts and returns when all of them are gone.
package server

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"dialtone/internal/admin"
	"dialtone/internal/auth"
	"dialtone/internal/call"
	"dialtone/internal/cdr"
	"dialtone/internal/conference"
	"dialtone/internal/config"
	"dialtone/internal/digest"
	"dialtone/internal/directory"
	"dialtone/internal/event"
	"dialtone/internal/exchange"
	"dialtone/internal/guard"
	"dialtone/internal/ingress"
	"dialtone/internal/location"
	"dialtone/internal/media"
	"dialtone/internal/media/recorder"
	"dialtone/internal/media/turn"
	"dialtone/internal/metrics"
	"dialtone/internal/network"
	"dialtone/internal/nexthop"
	"dialtone/internal/proxy"
	"dialtone/internal/recording"
	"dialtone/internal/registrar"
	"dialtone/internal/sip"
	"dialtone/internal/sip/dialog"
	"dialtone/internal/sip/transaction"
	"dialtone/internal/sip/transport"
	"dialtone/internal/sipleg"
	"dialtone/internal/store/bindinglog"
	"dialtone/internal/store/relational"
	"dialtone/internal/store/seal"
	"dialtone/internal/store/sqlite"
	"dialtone/internal/trace"
)

// Version is the version of the program; the linker may set it.
var Version = "0.1.0"

// Options are what a server needs beyond its static file.
type Options struct {
	Config config.Config
	// Network is where sockets come from; nil is the machine's own.
	Network network.Network
	// DNS is asked for names; nil is what the machine is configured with.
	DNS    transport.DNS
	Getenv func(string) string // nil: os.Getenv
	Log    *slog.Logger        // nil is silent
	// TraceBytes is the size of the ladder on disk; 0 is 64 MiB.
	TraceBytes int64
	// TuneGC lets Run adapt the garbage collector of the process, as TuneGC does.
	TuneGC bool
	// NoAPI leaves the API out: in virtual time nothing may wait for a socket of the system.
	NoAPI bool
	// OpenRecording opens the file of a recording; nil: a new file of the disk.
	OpenRecording func(path string) (recorder.File, error)
}

// Server is one assembled exchange.
type Server struct {
	// AdminPassword is that of the first administrator when it was made up in this start; else empty.
	AdminPassword string

	options      Options
	log          *slog.Logger
	started      time.Time
	store        *relational.Store
	bindings     *bindinglog.Log
	keys         *seal.Keyring
	directory    *directory.Directory
	bus          *event.Bus
	ring         *trace.Ring
	takesCalls   map[string]bool // by transport.Flow.Role: the listeners of the exchange
	writer       *cdr.Writer
	recorder     *cdr.Recorder
	recordings   *recording.Archive
	rooms        *conference.Rooms
	music        *music
	media        *media.Engine
	turn         *turn.Server // nil where it has no listener
	guard        *guard.Guard
	overload     *guard.Overload
	locations    *location.Table
	transactions *transaction.Layer
	transport    *transport.Layer
	resolver     *transport.Resolver
	endpoint     *sipleg.Endpoint
	exchange     *exchange.Exchange
	proxy        *proxy.Proxy  // nil where no listener forwards
	forwarders   []forwarder   // listeners that forward
	hops         *nexthop.Hops // nil where there are none
	metrics      *metrics.Metrics
	admin        *admin.Server
	tls          *tls.Config // made when the first listener needs it
	rush         rush
	banEvents    ration
	patience     context.Context //nolint:containedctx // ends with Hurry
	endPatience  context.CancelFunc
	background   sync.WaitGroup // look-ups and connections that a path waits for
	closers      []func() error // in the order in which they were opened
}

// New builds a server and binds its sockets; nothing is served before Run. After an error nothing is left open.
func New(ctx context.Context, o Options) (_ *Server, err error) {
	s := &Server{options: o, log: o.Log, started: time.Now()}
	s.patience, s.endPatience = context.WithCancel(context.Background())
	if s.options.Getenv == nil {
		s.options.Getenv = os.Getenv
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.options.Network == nil {
		s.options.Network = network.NewOS(network.OSConfig{})
	}
	if faults := o.Config.Unsupported(); len(faults) > 0 {
		return nil, faults
	}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	for _, build := range []func(context.Context) error{s.openStore, s.openTraffic, s.buildCalls, s.buildSIP, s.buildTURN, s.buildAdmin} {
		if err := build(ctx); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// openStore opens the data directory: keys, database, the directory in memory.
func (s *Server) openStore(ctx context.Context) error {
	dir := s.options.Config.Data
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("data directory: %w", err)
	}
	keys, err := seal.LoadOrCreate(filepath.Join(dir, "secret.key"))
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	s.keys = keys
	s.directory = directory.New()
	s.bus = event.NewBus(event.Config{})
	s.onClose(func() error { s.bus.Close(); return nil })
	if s.bindings, err = bindinglog.Open(bindinglog.Config{Dir: filepath.Join(dir, "bindings"), Log: s.log}); err != nil {
		return err
	}
	s.onClose(s.bindings.Close)
	s.store, err = sqlite.Open(ctx, sqlite.Config{Dir: dir, Keys: keys, Log: s.log, Bindings: s.bindings, Committed: func(changes []directory.Change) {
		s.directory.Apply(changes)
		s.forgetDevices(changes)
		if s.hops != nil && nexthop.Concerns(changes) {
			s.hops.Update(s.directory.Snapshot())
		}
		if len(changes) >= rushChanges {
			s.rush.changes.Store(true)
		}
		admin.Announce(s.bus, changes)
	}})
	if err != nil {
		return err
	}
	s.onClose(s.store.Close)
	if err := s.directory.Load(ctx, s.store); err != nil {
		return err
	}
	s.AdminPassword, err = furnish(ctx, s.store, s.options.Config.SIP.Domains, s.options.Getenv)
	return err
}

// forgetDevices ends the registrations of devices that were removed: their bindings must not outlive them.
func (s *Server) forgetDevices(changes []directory.Change) {
	if s.locations == nil {
		return
	}
	for _, c := range changes {
		line, ok := c.Object().(*directory.Line)
		if !ok {
			continue
		}
		aor := location.AOR{Tenant: line.Tenant, Line: line.ID}
		now := s.directory.Snapshot().LineByID(line.ID)
		for _, b := range s.locations.Lookup(nil, aor, time.Now()) {
			if now == nil || !slices.ContainsFunc(now.Devices, func(d directory.Device) bool { return d.Username == b.Device }) {
				s.locations.Remove(aor, b.Device)
			}
		}
	}
}

// openTraffic opens what outlives calls: ladder, records, bindings.
func (s *Server) openTraffic(ctx context.Context) (err error) {
	dir := s.options.Config.Data
	if s.ring, err = trace.Open(trace.Config{Dir: filepath.Join(dir, "trace"), Bytes: s.options.TraceBytes, Log: s.log}); err != nil {
		return err
	}
	s.onClose(s.ring.Close)
	now := time.Now() // one reading: two differ by what lies between wall clock and monotonic clock
	s.locations = location.New(location.Config{Saver: s.bindings, Publisher: s.bus, Logger: s.log}, now)
	if err := s.locations.Load(ctx, s.bindings, now); err != nil {
		return err
	}
	if s.writer, err = cdr.Open(cdr.Config{Dir: dir, Saver: s.store, Log: s.log}); err != nil {
		return err
	}
	s.onClose(s.writer.Close)
	return nil
}

// buildCalls builds what carries calls: media, SIP legs, the exchange.
func (s *Server) buildCalls(context.Context) (err error) {
	c := s.options.Config
	s.media, err = media.New(media.Config{Network: s.options.Network, Ports: media.PortRange{Min: c.RTP.Ports.First, Max: c.RTP.Ports.Last},
		Shared: c.RTP.Shared, Advertise: s.advertiseMedia})
	if err != nil {
		return fmt.Errorf("media: %w", err)
	}
	s.onClose(s.media.Close)
	s.metrics = metrics.New(metrics.Config{
		CallsActive:   func() int { return s.exchange.Calls().Len() },
		Registrations: s.locations.Count,
		RTP: func() (in, out, lost uint64) {
			n := s.media.Counters()
			return n.PacketsIn, n.PacketsOut, n.Lost
		},
		NextHops: s.nextHops,
		Reasons: []string{guard.ReasonRate.String(), guard.ReasonBan.String(), guard.ReasonScanner.String(), guard.ReasonOverload.String(),
			guard.ReasonSmall.String()},
		Blocked: s.blocked, Limits: s.limits(), Readings: slices.Concat(s.readings(), s.recordingReadings(), s.roomReadings()),
		Panics: func() map[string]uint64 {
			return map[string]uint64{"call": s.exchange.Calls().Counters().Panics, "transport": s.transport.Stats.Panics.Load()}
		},
	})
	s.transactions = transaction.New(transaction.Config{Answered: s.metrics.Transaction})
	s.endpoint = sipleg.New(sipleg.Config{
		Transactions: s.transactions, Router: router{s}, Media: s.media, Log: s.log, UserAgent: userAgent,
		Timer: dialog.TimerPolicy{Expires: c.SIP.SessionExpires.Duration},
	})
	s.recorder = &cdr.Recorder{Writer: s.writer, Log: s.log, KeepState: c.SIP.Resume, Seal: s.sealState, TenantName: func(id directory.ID) string {
		if t := s.directory.Snapshot().Tenant(id); t != nil {
			return t.Name
		}
		return ""
	}}
	if s.recordings, err = s.buildRecordings(); err != nil {
		return err
	}
	if s.music, err = newMusic(c.Music.Dir); err != nil {
		return fmt.Errorf("music: %w", err)
	}
	s.rooms = conference.New(s.bus)
	s.exchange = exchange.New(exchange.Config{
		Rooms: s.rooms, Music: s.music, HoldMusic: c.Music.Hold,
		Directory: s.directory, Locator: locator{s.locations, s.directory}, Dialer: s.endpoint,
		Observer:     call.Observers{trace.Joiner{Ring: s.ring}, s.recorder, s.metrics, announcer{s.bus}, sound{s.log}, s.recordings},
		MediaTimeout: c.SIP.MediaTimeout.Duration, Log: s.log,
	})
	return nil
}

const userAgent = "Dialtone"

// buildSIP binds the listeners and connects the request pipeline.
func (s *Server) buildSIP(context.Context) (err error) {
	c := s.options.Config
	now := time.Now()
	s.guard, err = guard.New(guard.Config{RequestsPerSecond: c.Guard.RequestsPerSecond, Burst: c.Guard.Burst,
		FailuresPerMinute: c.Guard.RegistrationsFailed, FirstBan: c.Guard.FirstBan.Duration, LongestBan: c.Guard.LongestBan.Duration,
		Probes: c.Guard.Probes, Sources: c.Guard.Sources, Trusted: c.Guard.Trusted, Began: s.banned}, now)
	if err != nil {
		return err
	}
	if s.overload, err = s.buildOverload(now); err != nil {
		return err
	}
	key, err := secretFile(c.Data, "nonce.key", len(digest.Key{}))
	if err != nil {
		return fmt.Errorf("nonce key: %w", err)
	}
	authenticator := auth.New(auth.Config{Flows: s.locations, Local: s.isLocal, Key: digest.Key(key)})
	pipeline := ingress.New(ingress.Config{
		Guard: s.guard, Auth: authenticator, Locations: s.locations, Directory: s.directory, Endpoint: s.endpoint, Exchange: s.exchange,
		Registrar:    registrar.New(s.locations, registrar.Policy{Min: c.SIP.Registration.Min.Duration, Max: c.SIP.Registration.Max.Duration}),
		Transactions: s.transactions, Metrics: s.metrics, Overload: s.overload, Listeners: map[string]ingress.Listener{}, UserAgent: userAgent,
	})
	s.transactions.SetUser(pipeline)
	listeners, err := s.listeners(pipeline.Listeners)
	if err != nil {
		return err
	}
	s.resolver = transport.NewResolver(transport.ResolverConfig{DNS: s.options.DNS})
	s.onClose(func() error { s.resolver.Close(); return nil })
	if s.proxy, err = s.buildProxy(pipeline); err != nil {
		return err
	}
	pipeline.Proxy = s.proxy
	s.transport, err = transport.New(transport.Config{
		Network: s.options.Network, Listeners: listeners, Handler: pipeline, Admit: pipeline.Admit, Tap: s.tap,
		Advertise: s.advertise, Limits: streamLimits(c.Guard), Log: s.log,
	})
	if err != nil {
		return err
	}
	s.noteForwarders()
	if s.hops != nil {
		s.hops.Update(s.directory.Snapshot())
	}
	s.onClose(func() error { s.transport.Close(); s.background.Wait(); return nil })
	return nil
}

// listeners turns the configured listeners into those of the transport, and notes what each of them offers.
func (s *Server) listeners(offers map[string]ingress.Listener) ([]transport.Listener, error) {
	c := s.options.Config
	out := make([]transport.Listener, 0, len(c.SIP.Listen))
	s.takesCalls = map[string]bool{}
	for _, l := range c.SIP.Listen {
		t := transport.Listener{Kind: transport.ParseKind(l.Transport), Addr: l.Addr, Role: l.String()}
		if t.Kind.Secure() {
			var err error
			if t.TLS, err = s.tlsConfig(); err != nil {
				return nil, err
			}
		}
		algorithms := l.Digest
		if len(algorithms) == 0 {
			algorithms = c.SIP.Digest
		}
		offer := ingress.Listener{RegistrarOnly: l.Role == config.Registrar, Forwarding: forwarding(l.Role)}
		for _, a := range algorithms {
			offer.Algorithms = append(offer.Algorithms, digest.ParseAlgorithm(a))
		}
		offers[t.Role] = offer
		s.takesCalls[t.Role] = l.Role == config.Exchange
		out = append(out, t)
	}
	return out, nil
}

// tlsConfig is that of all listeners: one certificate is watched, whoever serves it.
func (s *Server) tlsConfig() (*tls.Config, error) {
	if s.tls != nil {
		return s.tls, nil
	}
	c := s.options.Config
	names := append([]string{"localhost"}, c.SIP.Domains...)
	if c.Node != "" {
		names = append(names, c.Node)
	}
	addrs := append(hostAddrs(), netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback())
	certs, err := newCertificates(c.TLS, c.Data, names, addrs)
	if err != nil {
		return nil, err
	}
	s.tls, err = certs.server(c.TLS.ClientCA)
	return s.tls, err
}

// tap gives the ladder a copy of each message, of those that belong to no call of ours as many as it has room for, and
// counts what goes out.
func (s *Server) tap(f *transport.Flow, d transport.Direction, b []byte) {
	var m sip.Glance
	direction := trace.In
	if d == transport.Out {
		direction = trace.Out
		m = sip.Peek(b)
		s.metrics.SIPMessageBytes(m.Method, m.Status, metrics.Out)
	} else {
		m = sip.Glance{Method: sip.PeekMethod(b)}
	}
	if !(ofCalls(m.Method) && s.takesCalls[f.Role()]) && !s.ring.Spare() {
		return
	}
	if d == transport.In {
		m = sip.Peek(b)
	}
	s.ring.Tap(direction, f.Kind().Name(), f.Local(), f.Remote(), m.CallID, time.Now(), b)
}

// ofCalls reports whether messages of a method may belong to a call. nil is that of a response, which may.
func ofCalls(method []byte) bool {
	switch string(method) {
	case "REGISTER", "OPTIONS", "SUBSCRIBE", "PUBLISH", "MESSAGE":
		return false
	}
	return true
}

// buildAdmin opens the API.
func (s *Server) buildAdmin(context.Context) error {
	if s.options.NoAPI {
		return nil
	}
	c := s.options.Config
	key, err := secretFile(c.Data, "token.key", 32)
	if err != nil {
		return fmt.Errorf("token key: %w", err)
	}
	var secure *tls.Config
	if slices.ContainsFunc(c.HTTP.Listen, func(l config.HTTPListener) bool { return l.TLS }) {
		if secure, err = s.tlsConfig(); err != nil {
			return err
		}
	}
	s.admin, err = admin.NewServer(admin.ServerConfig{
		Config: admin.Config{
			Version: Version, Store: s.store, Directory: s.directory, Live: live{s}, Ladders: s.ring, Events: s.bus, Guard: bans{s}, TURN: turns{s}, Recordings: s.recordings, Conferences: s.rooms,
			Metrics: s.metrics.Handler(), TokenKey: key, Log: s.log, Now: time.Now,
		},
		Data: c.Data, HTTP: c.HTTP.Listen, TLS: secure,
	})
	if err != nil {
		return err
	}
	if err := s.admin.Listen(); err != nil {
		return err
	}
	s.onClose(s.admin.Close)
	return nil
}

func (s *Server) onClose(f func() error) { s.closers = append(s.closers, f) }

// close closes what was opened, the last first.
func (s *Server) close() error {
	var errs []error
	for _, f := range slices.Backward(s.closers) {
		errs = append(errs, f())
	}
	s.closers = nil
	return errors.Join(errs...)
}
