package storage

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"time"
)

// Backup writes a whole copy of the database at from to the file to, while another process may be writing to it: the
// copy is the database at one moment. It refuses to replace a file. The copy is checked before it gets its name.
func Backup(ctx context.Context, from, to string) (err error) {
	if _, err := os.Stat(from); err != nil {
		return &Error{Op: "back up", Err: err, Remedy: "name the data directory with --data-dir or ATLHYPER_DATA_DIR"}
	}
	if _, err := os.Lstat(to); !errors.Is(err, fs.ErrNotExist) {
		return &Error{Op: "back up", Err: fmt.Errorf("%s exists", to), Remedy: "choose another name: a backup replaces nothing"}
	}
	dir, err := os.MkdirTemp(filepath.Dir(to), ".backup-") // only this user may read it before it is whole
	if err != nil {
		return &Error{Op: "back up", Err: err, Remedy: "make the folder of the backup writable"}
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	part := filepath.Join(dir, "atlhyper.db")
	if err := vacuumInto(ctx, from, part); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	if _, err := check(ctx, part); err != nil {
		return fmt.Errorf("back up: check the copy: %w", err)
	}
	if err := errors.Join(os.Chmod(part, 0o600), syncFile(part)); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	// A hard link fails when the name was taken meanwhile, where a rename would replace.
	if err := os.Link(part, to); err != nil {
		return fmt.Errorf("back up: %w", err)
	}
	return nil
}

func fileURL(path, query string) string {
	return (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath()}).String() + "?" + query
}

func vacuumInto(ctx context.Context, from, to string) (err error) {
	db, err := sql.Open("sqlite", fileURL(from, "mode=ro&_pragma=busy_timeout(10000)"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, `VACUUM INTO ?`, to)
	return err
}

// check says whether a file is a whole database that this version can use, and gives its schema's version.
func check(ctx context.Context, path string) (version int64, err error) {
	db, err := sql.Open("sqlite", fileURL(path, "mode=ro&_pragma=query_only(1)"))
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var said string
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&said); err != nil {
		return 0, err
	}
	if said != "ok" {
		return 0, fmt.Errorf("the file is damaged: %s", said)
	}
	if err := db.QueryRowContext(ctx, `SELECT max(version_id) FROM goose_db_version WHERE is_applied`).Scan(&version); err != nil {
		return 0, fmt.Errorf("the file is no database of atlhyper: %w", err)
	}
	p, err := provider(db, slog.New(slog.DiscardHandler))
	if err != nil {
		return 0, err
	}
	if sources := p.ListSources(); len(sources) > 0 && version > sources[len(sources)-1].Version {
		return version, fmt.Errorf("%w: its schema is %d", ErrNewer, version)
	}
	return version, nil
}

// Restore puts a backup in the place of the database at to, of which no process may be using the file. What stood there
// is kept beside it; kept is its name, "" when there was none.
func Restore(ctx context.Context, from, to string, now time.Time) (kept string, err error) {
	if _, err := check(ctx, from); err != nil {
		return "", &Error{Op: "restore the database", Err: err, Remedy: fmt.Sprintf("%s was left alone, and so was the database: name a file that atlhyper backup wrote", from)}
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return "", fmt.Errorf("restore the database: %w", err)
	}
	unlock, err := lock(to + ".lock")
	if err != nil {
		return "", fmt.Errorf("restore the database: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	part := to + ".restoring"
	if err := copyFile(from, part); err != nil {
		return "", fmt.Errorf("restore the database: %w", err)
	}
	if _, err := os.Stat(to); err == nil {
		// With its write-ahead log folded in, the one file is the whole of it.
		if err := fold(ctx, to); err != nil {
			return "", fmt.Errorf("restore the database: put the present database aside: %w", err)
		}
		kept = to + ".before-" + now.UTC().Format("20060102T150405Z")
		if err := os.Rename(to, kept); err != nil {
			return "", fmt.Errorf("restore the database: put the present database aside: %w", err)
		}
	}
	// A log of the old database must never be read into the new one.
	for _, s := range []string{"-wal", "-shm"} {
		if err := os.Remove(to + s); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return kept, fmt.Errorf("restore the database: %w", err)
		}
	}
	if err := os.Rename(part, to); err != nil {
		return kept, fmt.Errorf("restore the database: %w; the database before it is %s", err, kept)
	}
	return kept, nil
}

// fold writes a database's log into its file.
func fold(ctx context.Context, path string) (err error) {
	db, err := sql.Open("sqlite", fileURL(path, "_pragma=busy_timeout(10000)"))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	_, err = db.ExecContext(ctx, `PRAGMA wal_checkpoint(TRUNCATE)`)
	return err
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}

func syncFile(path string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
