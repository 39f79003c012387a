// Package turn is the STUN and TURN server of the exchange: a browser or phone behind a strict firewall reaches our media
// through it, over UDP, TCP or TLS.
//
// It owns the listeners, the short-lived credentials, the relay sockets with their range of ports, what may be relayed
// where, and every bound on it. The messages themselves and the state of allocations are Pion's. It does not own the
// secret (its caller keeps it), the addresses of this host, or which ports are those of our media: it asks.
//
// A relay in the wrong place is an open door into the network behind it. Nothing is relayed to an address that is not
// globally reachable, nor to this host, but to the ports of our own media; see Policy. TCP relaying (RFC 6062) is refused.
//
// Goroutines: Run starts those of the listeners, one for each stream and one for each allocation, and ends them. All
// other methods are safe for use by several goroutines. Ordering: datagrams of one client keep their order in each
// direction.
//
// RFCs: 8489 (STUN), 8656 (TURN), 7065 (turn URIs); draft-uberti-behave-turn-rest-00 (credentials).
package turn

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	pion "github.com/pion/turn/v5"

	"dialtone/internal/media"
	"dialtone/internal/network"
)

// Transport is how clients reach a listener.
type Transport uint8

// The transports.
const (
	UDP Transport = iota
	TCP
	TLS
)

// String is the word of the static file.
func (t Transport) String() string { return [...]string{"udp", "tcp", "tls"}[t] }

// Listener is a place where clients are expected.
type Listener struct {
	Transport Transport
	Addr      netip.AddrPort // port 0 takes any free port
	TLS       *tls.Config    // of TLS listeners
}

// Limits bound what clients can use up. A value of 0 takes the default.
type Limits struct {
	Allocations      int // in all; 1000
	PerUser          int // allocations of one label; 8
	Permissions      int // peers, and channels, of one client; 64
	Bandwidth        int // bytes a second of one allocation in each direction; 1,000,000
	Requests         int // STUN messages a second of one source; 50
	Burst            int // the same, at once; 200
	Streams          int // connections in all; 1024
	StreamsPerSource int // connections of one source; 64
	ports            int // of the range
}

// DefaultLimits are those that hold where nothing is said.
func DefaultLimits() Limits {
	return Limits{Allocations: 1000, PerUser: 8, Permissions: 64, Bandwidth: 1e6, Requests: 50, Burst: 200, Streams: 1024, StreamsPerSource: 64}
}

func (l Limits) withDefaults(ports media.PortRange) Limits {
	d := DefaultLimits()
	l.Allocations, l.PerUser = cmp.Or(l.Allocations, d.Allocations), cmp.Or(l.PerUser, d.PerUser)
	l.Permissions, l.Bandwidth = cmp.Or(l.Permissions, d.Permissions), cmp.Or(l.Bandwidth, d.Bandwidth)
	l.Requests, l.Burst = cmp.Or(l.Requests, d.Requests), cmp.Or(l.Burst, d.Burst)
	l.Streams, l.StreamsPerSource = cmp.Or(l.Streams, d.Streams), cmp.Or(l.StreamsPerSource, d.StreamsPerSource)
	l.ports = int(ports.Max) - int(ports.Min) + 1
	l.Allocations = min(l.Allocations, l.ports)
	return l
}

// Config is what a server needs.
type Config struct {
	Network   network.Network
	Listeners []Listener
	Realm     string
	Secret    []byte        // signs credentials; at least 16 bytes
	Lifetime  time.Duration // of credentials; 0 is an hour
	Ports     media.PortRange
	Policy    Policy
	// Advertise is the address that a relay is told to a client with; an invalid one, or nil, is the local address from
	// which the client is reached.
	Advertise func(client netip.Addr) netip.Addr
	Limits    Limits
	Log       *slog.Logger // nil is silent
}

// Server is one STUN and TURN server.
type Server struct {
	config  Config
	limits  Limits
	keys    keyring
	relays  *relays
	sources *sources
	clients *clients
	packets []*packetListener
	streams []*streamListener
	refused [reasons]atomic.Uint64
	in, out atomic.Uint64 // bytes that were relayed: from peers, and to peers
}

// New binds the listeners; nothing is served before Run. After an error nothing is left open.
func New(c Config) (_ *Server, err error) {
	switch {
	case c.Network == nil || len(c.Listeners) == 0:
		return nil, errors.New("turn: a network and listeners are required")
	case len(c.Secret) < 16:
		return nil, fmt.Errorf("turn: a secret of %d bytes is too short", len(c.Secret))
	case c.Realm == "" || len(c.Realm) > 127: // RFC 8489 §14.9: fewer than 128 characters
		return nil, fmt.Errorf("turn: the realm has %d bytes, not 1 to 127", len(c.Realm))
	case c.Ports.Min == 0 || c.Ports.Min > c.Ports.Max:
		return nil, fmt.Errorf("turn: the ports %d-%d are no range", c.Ports.Min, c.Ports.Max)
	}
	if c.Lifetime <= 0 {
		c.Lifetime = time.Hour
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	s := &Server{config: c, limits: c.Limits.withDefaults(c.Ports), keys: keyring{c.Secret, c.Realm}, clients: newClients()}
	s.sources = newSources(s.limits.Requests, s.limits.Burst)
	s.relays = newRelays(s)
	defer func() {
		if err != nil {
			s.Close()
		}
	}()
	for _, l := range c.Listeners {
		if err := s.listen(l); err != nil {
			return nil, fmt.Errorf("turn: %s://%v: %w", l.Transport, l.Addr, err)
		}
	}
	return s, nil
}

// listen binds one listener.
func (s *Server) listen(l Listener) error {
	if l.Transport == UDP {
		c, err := s.config.Network.ListenPacket(l.Addr, false)
		if err != nil {
			return err
		}
		s.packets = append(s.packets, newPacketListener(s, c))
		return nil
	}
	if l.Transport == TLS && l.TLS == nil {
		return errors.New("no certificate")
	}
	in, err := s.config.Network.Listen(l.Addr)
	if err != nil {
		return err
	}
	s.streams = append(s.streams, newStreamListener(s, in, l))
	return nil
}

// Run serves until ctx ends; then every allocation is over.
func (s *Server) Run(ctx context.Context) error {
	c := pion.ServerConfig{
		LoggerFactory: quiet{}, Realm: s.config.Realm, AuthHandler: s.authenticate, QuotaHandler: s.relays.mayAllocate,
		EventHandler: s.clients.events(s.known),
	}
	for _, p := range s.packets {
		c.PacketConnConfigs = append(c.PacketConnConfigs, pion.PacketConnConfig{
			PacketConn: p, RelayAddressGenerator: s.relays, PermissionHandler: s.permit})
	}
	for _, l := range s.streams {
		c.ListenerConfigs = append(c.ListenerConfigs, pion.ListenerConfig{
			Listener: l, RelayAddressGenerator: s.relays, PermissionHandler: s.permit})
	}
	server, err := pion.NewServer(c)
	if err != nil {
		return fmt.Errorf("turn: %w", err)
	}
	<-ctx.Done()
	s.relays.stop()
	err = server.Close()
	s.Close()
	return err
}

// Close ends what New has opened. Run does so by itself.
func (s *Server) Close() {
	s.relays.stop()
	for _, p := range s.packets {
		_ = p.Close() // a second time, after Run
	}
	for _, l := range s.streams {
		_ = l.Close()
	}
	s.relays.closeAll()
}

// Addrs are the bound addresses of all listeners, in the order of the configuration.
func (s *Server) Addrs() []Listener {
	out := make([]Listener, 0, len(s.config.Listeners))
	packets, streams := s.packets, s.streams
	for _, l := range s.config.Listeners {
		if l.Transport == UDP {
			l.Addr, packets = packets[0].conn.LocalAddr(), packets[1:]
		} else {
			l.Addr, streams = addrPort(streams[0].Addr()), streams[1:]
		}
		out = append(out, l)
	}
	return out
}

// URLs are the addresses of the server in the form of RFC 7065 for clients that reach this host under a name or address.
// A listener that is bound to one address has that.
func (s *Server) URLs(host string) []string {
	var urls []string
	for _, l := range s.Addrs() {
		at := host
		if at == "" || !l.Addr.Addr().IsUnspecified() {
			at = l.Addr.Addr().String()
		}
		place := net.JoinHostPort(at, fmt.Sprint(l.Addr.Port()))
		switch l.Transport {
		case UDP:
			urls = append(urls, "stun:"+place, "turn:"+place+"?transport=udp")
		case TCP:
			urls = append(urls, "turn:"+place+"?transport=tcp")
		case TLS:
			urls = append(urls, "turns:"+place+"?transport=tcp")
		}
	}
	return urls
}

// Stats counts what the server has done.
type Stats struct {
	Allocations     int    // alive
	BytesIn         uint64 // payload from peers to clients
	BytesOut        uint64 // payload from clients to peers
	Refused         map[string]uint64
	Streams, Peers  int // alive; peers are clients with permissions
	DroppedByBudget uint64
}

// Stats counts now.
func (s *Server) Stats() Stats {
	st := Stats{Allocations: s.relays.len(), BytesIn: s.in.Load(), BytesOut: s.out.Load(), Refused: map[string]uint64{}, Peers: s.clients.len()}
	for r := range reasons {
		st.Refused[r.String()] = s.refused[r].Load()
	}
	for _, l := range s.streams {
		st.Streams += l.len()
	}
	st.DroppedByBudget = st.Refused[reasonBandwidth.String()]
	return st
}

// reason is why something was refused.
type reason uint8

const (
	reasonCredential  reason = iota // unknown, forged or expired
	reasonPeer                      // an address that nothing is relayed to
	reasonQuota                     // too many allocations of a user
	reasonCapacity                  // too many in all, no port, or a kind that there is not
	reasonRate                      // too many messages of a source
	reasonBandwidth                 // datagrams beyond the rate of an allocation
	reasonPermissions               // too many peers or channels of a client
	reasonStreams                   // too many connections
	reasonFrame                     // what is no STUN and no channel data
	reasons
)

// String is the label of the metric.
func (r reason) String() string {
	return [...]string{"credential", "peer", "quota", "capacity", "rate", "bandwidth", "permissions", "connections", "frame"}[r]
}

func (s *Server) refuse(r reason) { s.refused[r].Add(1) }

// known lets the stream of a client that has proved itself live on.
func (s *Server) known(client netip.AddrPort) {
	for _, l := range s.streams {
		l.known(client)
	}
}

// permit answers Pion whether a client may have a permission for a peer.
func (s *Server) permit(client net.Addr, peer net.IP) bool {
	addr, ok := netip.AddrFromSlice(peer)
	if !ok || !s.config.Policy.allowsHost(addr) {
		s.refuse(reasonPeer)
		return false
	}
	if s.clients.busiest(addrPort(client)) >= s.limits.Permissions {
		s.refuse(reasonPermissions)
		return false
	}
	return true
}

// addrPort is the address of a net.Addr, never IPv4-mapped.
func addrPort(a net.Addr) netip.AddrPort {
	var ap netip.AddrPort
	switch a := a.(type) {
	case *net.UDPAddr:
		ap = a.AddrPort()
	case *net.TCPAddr:
		ap = a.AddrPort()
	}
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}

// sourceKey is what budgets belong to: an IPv4 address, or the /64 of an IPv6 one.
func sourceKey(a netip.Addr) netip.Addr {
	a = a.Unmap().WithZone("")
	if a.Is6() {
		p, _ := a.Prefix(64) // never fails: 64 bits are there
		return p.Addr()
	}
	return a
}

// guarded is a value under a lock.
type guarded[T any] struct {
	mu sync.Mutex
	v  T
}
