// Package sqlite opens the store that needs no server: two SQLite databases in the data directory, one for the
// directory with its audit trail, one for traffic (journal, records). Two, because SQLite has one writer at a
// time for each: a file of 100,000 lines that takes seconds to apply must not hold up a call record.
//
// It owns the files (mode 0600), how connections are set up and that the schema is up to date; statements are those of
// store/relational. A database of a newer version is refused.
//
// Goroutines: those of database/sql, ended by Close. Each database has one connection that writes, so that no
// transaction waits for a lock that a sibling holds, and a few that read at the same time (write-ahead log).
//
// Durability: a commit survives the death of the process at once; of the machine after the next checkpoint
// (synchronous=NORMAL). The files are never inconsistent.
package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/pressly/goose/v3"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"dialtone/internal/directory"
	"dialtone/internal/location"
	"dialtone/internal/store/relational"
	"dialtone/internal/store/seal"
)

// The files of a store in its directory; SQLite adds -wal and -shm files beside them.
const (
	DirectoryFile = "directory.db"
	TrafficFile   = "traffic.db"
)

// Config is what a store needs.
type Config struct {
	Dir  string        // made (mode 0700) when it is missing
	Keys *seal.Keyring // the key file is better kept elsewhere in backups
	// Committed hears of changes in the order they were committed, before Update returns: Directory.Apply. May be nil.
	Committed func([]directory.Change)
	// Bindings takes over the bindings that an older version kept in the database of traffic. nil: they are forgotten.
	Bindings location.Saver
	Now      func() time.Time // nil: time.Now
	Log      *slog.Logger     // nil: nothing is logged
}

// readers is the number of connections that read at the same time.
const readers = 4

// Open opens the store, makes what is missing and brings the schema up to date.
func Open(ctx context.Context, cfg Config) (*relational.Store, error) {
	if cfg.Keys == nil {
		return nil, errors.New("open store: keys are required")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	objects, err := openDatabase(ctx, filepath.Join(cfg.Dir, DirectoryFile), relational.DirectoryMigrations, nil)
	if err != nil {
		return nil, err
	}
	traffic, err := openDatabase(ctx, filepath.Join(cfg.Dir, TrafficFile), relational.TrafficMigrations, cfg.adopt)
	if err != nil {
		return nil, errors.Join(err, closePool(objects))
	}
	s, err := relational.New(relational.Config{
		Directory: objects, Traffic: traffic, Keys: cfg.Keys, Now: cfg.Now, Committed: cfg.Committed, Log: cfg.Log,
	})
	if err != nil {
		return nil, errors.Join(err, closePool(objects), closePool(traffic))
	}
	return s, nil
}

func closePool(p relational.Pool) error { return errors.Join(p.Read.Close(), p.Write.Close()) }

// adopt saves what the schema to come has no place for.
func (cfg *Config) adopt(ctx context.Context, db *sql.DB, version int64) error {
	if version != relational.TrafficWithBindings || cfg.Bindings == nil {
		return nil
	}
	if err := relational.AdoptBindings(ctx, db, cfg.Bindings); err != nil {
		return fmt.Errorf("take over bindings: %w", err)
	}
	return nil
}

// adopter sees a database of an older version before its schema is brought up to date.
type adopter func(ctx context.Context, db *sql.DB, version int64) error

// openDatabase opens one file with a writing and several reading connections.
func openDatabase(ctx context.Context, path string, schema func() (fs.FS, error), adopt adopter) (relational.Pool, error) {
	// SQLite would make the file readable for all; its other files take over the mode of this one.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return relational.Pool{}, fmt.Errorf("open database: %w", err)
	}
	if err := f.Close(); err != nil {
		return relational.Pool{}, fmt.Errorf("open database: %w", err)
	}
	write, err := sql.Open("sqlite", address(path, "_txlock=immediate&_pragma=cache_size(-32000)"))
	if err != nil {
		return relational.Pool{}, fmt.Errorf("open database %s: %w", path, err)
	}
	write.SetMaxOpenConns(1)
	if err := migrate(ctx, write, schema, adopt); err != nil {
		return relational.Pool{}, errors.Join(fmt.Errorf("open database %s: %w", path, err), write.Close())
	}
	read, err := sql.Open("sqlite", address(path, "_pragma=query_only(1)"))
	if err != nil {
		return relational.Pool{}, errors.Join(fmt.Errorf("open database %s: %w", path, err), write.Close())
	}
	read.SetMaxOpenConns(readers)
	read.SetMaxIdleConns(readers)
	return relational.Pool{Write: write, Read: read}, nil
}

// address is the data source name. The wait for a lock matters only for other processes, such as a backup.
func address(path, more string) string {
	return "file:" + (&url.URL{Path: path}).EscapedPath() +
		"?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=foreign_keys(1)" +
		"&_pragma=journal_size_limit(67108864)&_pragma=temp_store(MEMORY)&" + more
}

// migrate brings the schema up to date, forwards only.
func migrate(ctx context.Context, db *sql.DB, schema func() (fs.FS, error), adopt adopter) error {
	files, err := schema()
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files)
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	current, newest, err := provider.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if current > newest {
		return fmt.Errorf("its schema has version %d, this program knows %d: a newer version wrote it", current, newest)
	}
	if adopt != nil {
		if err := adopt(ctx, db, current); err != nil {
			return err
		}
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("update schema: %w", err)
	}
	return nil
}
