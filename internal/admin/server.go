package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"dialtone/internal/config"
)

// SocketName is the name of the Unix socket in the data directory.
const SocketName = "dialtone.sock"

// Bounds of what a client may take up.
const (
	headerTime  = 10 * time.Second
	requestTime = 60 * time.Second // to read a request and to write its answer, where a route does not say otherwise
	idleTime    = 2 * time.Minute
	headerLimit = 32 << 10
	stopTime    = 5 * time.Second
)

// ServerConfig is where the API listens.
type ServerConfig struct {
	Config
	Data string // the directory of the socket; it must exist
	HTTP []config.HTTPListener
	TLS  *tls.Config // for https listeners; nil when there are none
}

// Server listens and serves. Make one with NewServer, then Listen, then Run.
type Server struct {
	config ServerConfig
	api    *api
	places []place
}

// place is one open listener.
type place struct {
	listener net.Listener
	server   *http.Server
	http     config.HTTPListener // zero for the socket
}

// NewServer prepares a server.
func NewServer(c ServerConfig) (*Server, error) {
	a, err := newAPI(c.Config)
	if err != nil {
		return nil, err
	}
	return &Server{config: c, api: a}, nil
}

// OpenAPI is the OpenAPI document as JSON.
func (s *Server) OpenAPI() ([]byte, error) { return s.api.huma.OpenAPI().MarshalJSON() }

// Listen opens the socket and all listeners, or none.
func (s *Server) Listen() (err error) {
	defer func() {
		if err != nil {
			for _, p := range s.places {
				_ = p.listener.Close() // nothing was accepted yet
			}
			s.places = nil
		}
	}()
	path := filepath.Join(s.config.Data, SocketName)
	socket, err := listenSocket(path)
	if err != nil {
		return err
	}
	s.places = append(s.places, place{listener: socket, server: s.serve(s.local())})
	for _, l := range s.config.HTTP {
		var listener net.Listener
		if listener, err = net.Listen("tcp", l.Addr.String()); err != nil {
			return fmt.Errorf("listen at %s: %w", l, err)
		}
		listener = newCapped(listener)
		if l.TLS {
			if s.config.TLS == nil {
				_ = listener.Close()
				return fmt.Errorf("listen at %s: no certificate", l)
			}
			listener = tls.NewListener(listener, s.config.TLS)
		}
		s.places = append(s.places, place{listener, s.serve(s.remote(l)), l})
	}
	return nil
}

// listenSocket opens the Unix socket for its owner alone. One that a dead server left behind is replaced.
func listenSocket(path string) (net.Listener, error) {
	if conn, err := net.DialTimeout("unix", path, time.Second); err == nil {
		_ = conn.Close()
		return nil, fmt.Errorf("listen at %s: another server is running there", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	listener, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		_ = listener.Close()
		return nil, fmt.Errorf("listen at %s: %w", path, err)
	}
	return newCapped(listener), nil
}

// Listeners tells where the HTTP listeners are, with the ports that the system gave.
func (s *Server) Listeners() []config.HTTPListener {
	var out []config.HTTPListener
	for _, p := range s.places {
		if addr, ok := p.listener.Addr().(*net.TCPAddr); ok {
			l := p.http
			l.Addr = netip.AddrPortFrom(l.Addr.Addr(), addr.AddrPort().Port())
			out = append(out, l)
		}
	}
	return out
}

// Run serves until ctx ends, then lets running requests finish for a few seconds. The socket file is gone afterwards.
// It returns the error of the first listener that failed by itself.
func (s *Server) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var all sync.WaitGroup
	for _, p := range s.places {
		all.Go(func() {
			if err := p.server.Serve(p.listener); !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("serve the API at %s: %w", p.listener.Addr(), err))
			}
		})
	}
	<-ctx.Done()
	close(s.api.closed) // event streams end
	stop, stopped := context.WithTimeout(context.WithoutCancel(ctx), stopTime)
	defer stopped()
	for _, p := range s.places {
		all.Go(func() {
			if err := p.server.Shutdown(stop); err != nil {
				_ = p.server.Close() // requests that would not end are cut
			}
		})
	}
	all.Wait()
	s.api.streams.Wait()
	if cause := context.Cause(ctx); !errors.Is(cause, context.Canceled) && !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return nil
}

// Close closes listeners that were opened and never run.
func (s *Server) Close() error {
	var errs []error
	for _, p := range s.places {
		if err := p.listener.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

func (s *Server) serve(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           s.guarded(h),
		ReadHeaderTimeout: headerTime,
		ReadTimeout:       requestTime,
		IdleTimeout:       idleTime,
		MaxHeaderBytes:    headerLimit,
		ErrorLog:          slog.NewLogLogger(s.config.Log.Handler(), slog.LevelDebug),
	}
}

// guarded gives each request its write deadline, and turns a panic into one failed request.
func (s *Server) guarded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limit := requestTime
		if r.URL.Path == Prefix+"/export" || r.URL.Path == Prefix+"/apply" || strings.HasSuffix(r.URL.Path, "/audio") {
			limit = fileTime
		}
		// A recorder in a test knows no deadlines; a connection does.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(limit))
		defer func() {
			p := recover()
			if p == nil {
				return
			}
			if p == http.ErrAbortHandler { // the documented comparison
				panic(p)
			}
			s.config.Log.Error("request panicked", "method", r.Method, "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
			writeProblem(w, internalFault())
		}()
		w.Header().Set("X-Content-Type-Options", "nosniff")
		next.ServeHTTP(w, r)
	})
}

// local serves the socket: whoever can open it is the owner.
func (s *Server) local() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/metrics" {
			s.metrics(w, r)
			return
		}
		s.api.mux.ServeHTTP(w, r.WithContext(withIdentity(r.Context(), localOwner())))
	})
}

// remote serves an HTTP listener: every request says who it is from.
func (s *Server) remote(l config.HTTPListener) http.Handler {
	// Browsers remember credentials and send them along wherever a page points them.
	origin := http.NewCrossOriginProtection()
	api := origin.Handler(s.api.mux)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var source netip.Addr
		if from, err := netip.ParseAddrPort(r.RemoteAddr); err == nil {
			source = from.Addr().Unmap()
		}
		if l.LAN && !source.IsLoopback() && !source.IsPrivate() && !source.IsLinkLocalUnicast() {
			writeProblem(w, problem(http.StatusForbidden, CodeForbidden, "this place is for the local network"))
			return
		}
		if r.URL.Path == "/metrics" && l.Serves(config.Metrics) && source.IsLoopback() {
			s.metrics(w, r)
			return
		}
		id, err := s.api.door.identify(r, source)
		if err != nil {
			var p *Problem
			if !errors.As(err, &p) {
				p = internalFault()
			}
			writeProblem(w, p)
			return
		}
		switch {
		case r.URL.Path == "/metrics" && l.Serves(config.Metrics):
			if !id.may(s.config.Directory.Snapshot(), runSystem, [16]byte{}) {
				writeProblem(w, forbidden())
				return
			}
			s.metrics(w, r)
		case l.Serves(config.API):
			api.ServeHTTP(w, r.WithContext(withIdentity(r.Context(), id)))
		default:
			writeProblem(w, nothingAt(r))
		}
	})
}

func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	if s.config.Metrics == nil {
		writeProblem(w, nothingAt(r))
		return
	}
	s.config.Metrics.ServeHTTP(w, r)
}
