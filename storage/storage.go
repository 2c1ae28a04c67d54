// Package storage keeps everything in one SQLite file. What a method stored is on the disk when it returns nil: a
// process that is killed at any moment finds on its next start exactly what it was told is stored.
//
// The file has one writer and belongs to one process. Reads run beside the writer on connections of their own.
// A DB implements the stores that the engine's packages and the bot declare.
package storage

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	_ "modernc.org/sqlite" // the "sqlite" driver
)

// Retention says how long things are kept after they ended or were last used. Zero fields take the default.
type Retention struct {
	Incidents   time.Duration // after they closed; default 365 days
	Events      time.Duration // default 90 days
	Proposals   time.Duration // after they ended; default 365 days
	Audit       time.Duration // default 400 days
	Silences    time.Duration // after they ended; default 30 days
	Checkpoints time.Duration // of clusters that no longer write any; default 30 days
	Outbox      time.Duration // what could not be delivered for so long is dropped; default 7 days
	Refs        time.Duration // delivered messages that can still be edited and are never posted again; default 400 days
	Choices     time.Duration // what a button stands for; default 30 days
	Rollups     time.Duration // requests counted by the day, at least the longest window of an objective; default 45 days
}

func (r *Retention) defaults() error {
	const day = 24 * time.Hour
	for _, f := range []struct {
		name  string
		value *time.Duration
		days  time.Duration
	}{
		{"incidents", &r.Incidents, 365}, {"events", &r.Events, 90}, {"proposals", &r.Proposals, 365}, {"audit", &r.Audit, 400},
		{"silences", &r.Silences, 30}, {"checkpoints", &r.Checkpoints, 30}, {"outbox", &r.Outbox, 7}, {"refs", &r.Refs, 400}, {"choices", &r.Choices, 30},
		{"rollups", &r.Rollups, 45},
	} {
		if *f.value < 0 {
			return fmt.Errorf("retention of %s: %v is negative", f.name, *f.value)
		}
		*f.value = cmp.Or(*f.value, f.days*day)
	}
	return nil
}

// The bot's own limits, as its Store interface promises them.
const (
	seenFor   = 24 * time.Hour
	memoryFor = 7 * 24 * time.Hour
	tokensFor = 48 * time.Hour // of the model: budgets are of a day
	// visitsFor is how long links and sessions of the page are kept after they are over. It is not zero: the caller's
	// clock may be a simulated one.
	visitsFor = 24 * time.Hour
)

// Config of a DB.
type Config struct {
	Retention Retention
	Readers   int // connections for reading; default 4
	// Shared leaves the file's lock to the process that runs on it: a short command beside a running engine.
	Shared bool
	Now    func() time.Time // default time.Now; dates what its caller does not date
	Logger *slog.Logger
}

// DB is the store. It is safe for concurrent use.
type DB struct {
	cfg    Config
	log    *slog.Logger
	path   string
	write  *sql.DB // one connection; every transaction on it begins as a writer
	read   *sql.DB // the same as write for a database in memory
	unlock func() error
	closed atomic.Bool
}

// Open opens the database at path, makes it when there is none, and brings its schema up to date. ":memory:" keeps it
// in memory. Its errors say what a person must do.
func Open(ctx context.Context, path string, cfg Config) (*DB, error) {
	if err := cfg.Retention.defaults(); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	cfg.Readers = max(cmp.Or(cfg.Readers, 4), 1)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	d := &DB{cfg: cfg, log: cfg.Logger, path: path, unlock: func() error { return nil }}
	if err := d.open(ctx); err != nil {
		return nil, errors.Join(d.explain("open store", err), d.Close())
	}
	return d, nil
}

func (d *DB) open(ctx context.Context) error {
	if d.path == ":memory:" {
		db, err := sql.Open("sqlite", "file::memory:?_txlock=immediate&_pragma=foreign_keys(1)")
		if err != nil {
			return err
		}
		db.SetMaxOpenConns(1) // each connection would be a database of its own
		d.write, d.read = db, db
		return migrate(ctx, db, d.log)
	}
	if err := os.MkdirAll(filepath.Dir(d.path), 0o700); err != nil {
		return &Error{Err: err, Remedy: "make the data directory, or name another with ATLHYPER_DATA_DIR"}
	}
	if !d.cfg.Shared {
		unlock, err := lock(d.path + ".lock")
		if err != nil {
			return err
		}
		d.unlock = unlock
	}
	// SQLite makes its files with the mode of the database file, so that one decides for all.
	f, err := os.OpenFile(d.path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return &Error{Err: err, Remedy: "make the file readable and writable for this user"}
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return err
	}
	// FULL: in WAL mode NORMAL may lose the newest transactions when the power fails.
	const common = "_txlock=immediate&_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)"
	name := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: d.path}).EscapedPath()}).String()
	if d.write, err = sql.Open("sqlite", name+"?"+common); err != nil {
		return err
	}
	d.write.SetMaxOpenConns(1)
	if err := migrate(ctx, d.write, d.log); err != nil {
		return err
	}
	if d.read, err = sql.Open("sqlite", name+"?"+common+"&_pragma=query_only(1)"); err != nil {
		return err
	}
	d.read.SetMaxOpenConns(d.cfg.Readers)
	return nil
}

// Close ends all use and gives the file free. It may be called twice.
func (d *DB) Close() error {
	if d.closed.Swap(true) {
		return nil
	}
	var errs []error
	if d.read != nil && d.read != d.write {
		errs = append(errs, d.read.Close())
	}
	if d.write != nil {
		errs = append(errs, d.write.Close())
	}
	errs = append(errs, d.unlock())
	return errors.Join(errs...)
}

// update runs f in one write transaction. An error of f undoes all of it.
func (d *DB) update(ctx context.Context, op string, f func(tx *sql.Tx) error) error {
	tx, err := d.write.BeginTx(ctx, nil)
	if err != nil {
		return d.explain(op, err)
	}
	if err := f(tx); err != nil {
		return d.explain(op, errors.Join(err, ignoreDone(tx.Rollback())))
	}
	if err := tx.Commit(); err != nil {
		return d.explain(op, errors.Join(err, ignoreDone(tx.Rollback())))
	}
	return nil
}

// ignoreDone drops the news that a transaction is over already: a cancelled context rolls back by itself.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// query calls scan for each row.
func (d *DB) query(ctx context.Context, op string, scan func(rows *sql.Rows) error, text string, args ...any) error {
	rows, err := d.read.QueryContext(ctx, text, args...)
	if err != nil {
		return d.explain(op, err)
	}
	defer func() { _ = rows.Close() }() // its error is that of rows.Err
	for rows.Next() {
		if err := scan(rows); err != nil {
			return d.explain(op, err)
		}
	}
	return d.explain(op, rows.Err())
}

// micros is how times are stored. The zero time is 0.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

func timeOf(micros int64) time.Time {
	if micros == 0 {
		return time.Time{}
	}
	return time.UnixMicro(micros).UTC()
}
