package server

import (
	"context"

	"dialtone/internal/admin/apply"
	"dialtone/internal/call"
	"dialtone/internal/config"
	"dialtone/internal/directory"
	"dialtone/internal/event"
	"dialtone/internal/media"
	"dialtone/internal/store"
)

// Apply puts a configuration file into a server of this process, as `dialtone apply` does from outside.
func (s *Server) Apply(ctx context.Context, text []byte) (*apply.Report, error) {
	return apply.Apply(ctx, s.store, store.Actor{Name: "start"}, text, apply.Options{})
}

// Records reads call records.
func (s *Server) Records(ctx context.Context, q store.RecordQuery) ([]store.RecordRow, error) {
	return s.store.Records(ctx, q)
}

// Events is where everything that happens is published.
func (s *Server) Events() *event.Bus { return s.bus }

// Calls are the live calls.
func (s *Server) Calls() *call.Registry { return s.exchange.Calls() }

// Load counts what a server holds at a moment.
type Load struct {
	Calls         int // live
	Legs          int
	Transactions  int // lingering ones included
	Registrations int
	Media         media.Counters
	Panics        uint64 // calls that a fault of ours has ended, and messages
}

// Load counts what the server holds now. When everybody has hung up and the transactions have lingered, there is
// nothing but registrations.
func (s *Server) Load() Load {
	return Load{Calls: s.exchange.Calls().Len(), Legs: s.endpoint.Len(), Transactions: s.transactions.Len(),
		Registrations: s.locations.Count(), Media: s.media.Counters(),
		Panics: s.exchange.Calls().Counters().Panics + s.transport.Stats.Panics.Load()}
}

// httpListeners are those of the API; none without an API.
func (s *Server) httpListeners() []config.HTTPListener {
	if s.admin == nil {
		return nil
	}
	return s.admin.Listeners()
}

// Directory is what is configured, at this moment.
func (s *Server) Directory() *directory.Snapshot { return s.directory.Snapshot() }
