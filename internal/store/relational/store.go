// Package relational is the store over database/sql: the schema and the statements that every SQL engine runs, in the
// subset that SQLite and PostgreSQL share (BIGINT Unix milliseconds, TEXT, BYTEA, ON CONFLICT, $1).
//
// It owns what an update of the directory is (versions, final checks, the audit row in the same transaction) and how
// objects and traffic are laid out in rows. It does not own opening a database, its durability or its locks: an engine
// package such as store/sqlite does that and hands over the connections. Text columns must sort by bytes (in
// PostgreSQL: a database with the C collation).
//
// Goroutines: none. Updates of the directory take turns; each change is reported to Config.Committed in the order of
// the commits, before Update returns.
package relational

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"dialtone/internal/directory"
	"dialtone/internal/store"
	"dialtone/internal/store/seal"
)

//go:embed migrations
var migrations embed.FS

// DirectoryMigrations is the schema of the directory, for goose.
func DirectoryMigrations() (fs.FS, error) { return fs.Sub(migrations, "migrations/directory") }

// TrafficMigrations is the schema of journal and records, for goose.
func TrafficMigrations() (fs.FS, error) { return fs.Sub(migrations, "migrations/traffic") }

// Pool is the connections to a database. Write may be the same as Read where the engine knows no difference;
// transactions that it begins must see no lock error later.
type Pool struct {
	Write, Read *sql.DB
}

// Config is what a store needs.
type Config struct {
	// Directory and Traffic may be one database; the schemas do not overlap.
	Directory, Traffic Pool
	Keys               *seal.Keyring
	// Now is the time of audit rows and of new passwords.
	Now func() time.Time
	// Committed hears of changes in the order they were committed; it must be quick and not call the store. May be nil.
	Committed func([]directory.Change)
	// Log hears of rows that cannot be read.
	Log *slog.Logger
}

// Store implements store.Store.
type Store struct {
	cfg  Config
	turn chan struct{} // holds one token: who has it updates the directory

	tenants definition[directory.Tenant, *directory.Tenant]
	sites   definition[directory.Site, *directory.Site]
	users   definition[directory.User, *directory.User]
	lines   definition[directory.Line, *directory.Line]
	numbers definition[directory.Number, *directory.Number]
	hops    definition[directory.NextHop, *directory.NextHop]
	rooms   definition[directory.Room, *directory.Room]
}

var _ store.Store = (*Store)(nil)

// New returns a store over databases whose schema is up to date.
func New(cfg Config) (*Store, error) {
	if cfg.Keys == nil || cfg.Now == nil || cfg.Log == nil || cfg.Directory.Write == nil || cfg.Directory.Read == nil ||
		cfg.Traffic.Write == nil || cfg.Traffic.Read == nil {
		return nil, errors.New("relational: connections, keys, clock and log are required")
	}
	if cfg.Committed == nil {
		cfg.Committed = func([]directory.Change) {}
	}
	s := &Store{cfg: cfg, turn: make(chan struct{}, 1)}
	s.turn <- struct{}{}
	s.tenants, s.sites, s.users = defineTenants(), defineSites(), defineUsers()
	s.lines, s.numbers, s.hops = defineLines(), defineNumbers(), defineNextHops()
	s.rooms = defineRooms(cfg.Keys)
	return s, nil
}

// Close waits for the update that is running and closes all connections; whatever is asked for later is an error.
func (s *Store) Close() error {
	<-s.turn
	defer func() { s.turn <- struct{}{} }()
	var errs []error
	seen := map[*sql.DB]bool{}
	for _, db := range []*sql.DB{s.cfg.Directory.Read, s.cfg.Traffic.Read, s.cfg.Directory.Write, s.cfg.Traffic.Write} {
		if !seen[db] {
			seen[db] = true
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// errPlanned ends the transaction of a plan.
var errPlanned = errors.New("planned only")

// Update implements store.Objects.
func (s *Store) Update(ctx context.Context, actor store.Actor, fn func(store.Tx) error) ([]directory.Change, error) {
	return s.change(ctx, actor, fn, true)
}

// Plan implements store.Objects.
func (s *Store) Plan(ctx context.Context, actor store.Actor, fn func(store.Tx) error) ([]directory.Change, error) {
	return s.change(ctx, actor, fn, false)
}

func (s *Store) change(ctx context.Context, actor store.Actor, fn func(store.Tx) error, keep bool) ([]directory.Change, error) {
	select {
	case <-s.turn:
		defer func() { s.turn <- struct{}{} }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	var t *tx
	err := transact(ctx, s.cfg.Directory.Write, nil, func(sqlTx *sql.Tx) error {
		t = s.newTx(sqlTx)
		t.actor, t.now = actor, s.cfg.Now().UnixMilli()
		if err := fn(t); err != nil {
			return err
		}
		if err := t.finish(ctx); err != nil {
			return err
		}
		if !keep {
			return errPlanned
		}
		return nil
	})
	switch {
	case err != nil && !errors.Is(err, errPlanned):
		return nil, err
	case keep && len(t.changes) > 0:
		s.cfg.Committed(t.changes)
	}
	return t.changes, nil
}

// View implements store.Objects.
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	return transact(ctx, s.cfg.Directory.Read, &sql.TxOptions{ReadOnly: true}, func(sqlTx *sql.Tx) error {
		t := s.newTx(sqlTx)
		t.readOnly = true
		return fn(t)
	})
}

// transact runs fn in a transaction and keeps what it did when it returns nil.
func transact(ctx context.Context, db *sql.DB, opts *sql.TxOptions, fn func(*sql.Tx) error) (err error) {
	sqlTx, err := db.BeginTx(ctx, opts)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	done := false
	defer func() {
		if done { // not when fn failed or panicked
			return
		}
		if undone := sqlTx.Rollback(); undone != nil && !errors.Is(undone, sql.ErrTxDone) {
			err = errors.Join(err, undone)
		}
	}()
	if err := fn(sqlTx); err != nil {
		return err
	}
	if err := sqlTx.Commit(); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	done = true
	return nil
}
