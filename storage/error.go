package storage

import (
	"errors"
	"fmt"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// Error is a failure of the store that a person can mend. Remedy says how.
type Error struct {
	Op     string
	Err    error
	Remedy string
}

func (e *Error) Error() string {
	s := e.Err.Error()
	if e.Op != "" {
		s = e.Op + ": " + s
	}
	return s + " (" + e.Remedy + ")"
}

func (e *Error) Unwrap() error { return e.Err }

// ErrLocked is returned by Open for a file that another process has open.
var ErrLocked = errors.New("the database is in use by another process")

// ErrNewer is returned by Open for a file that a later version wrote.
var ErrNewer = errors.New("the database was written by a newer version of atlhyper")

// explain adds the operation and, where a person must act, what to do.
func (d *DB) explain(op string, err error) error {
	if err == nil {
		return nil
	}
	if own := (*Error)(nil); errors.As(err, &own) {
		return &Error{Op: op, Err: own.Err, Remedy: own.Remedy}
	}
	remedy := ""
	if s := (*sqlite.Error)(nil); errors.As(err, &s) {
		switch s.Code() & 0xff { // the primary code
		case sqlite3.SQLITE_FULL:
			remedy = fmt.Sprintf("the disk of %s is full: free some space; nothing stored before is lost", d.path)
		case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB:
			remedy = fmt.Sprintf("%s is damaged or no database: move it away and restore a backup, or start without it and lose the history", d.path)
		case sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM:
			remedy = fmt.Sprintf("make %s and its directory writable for this user", d.path)
		case sqlite3.SQLITE_IOERR:
			remedy = fmt.Sprintf("the disk of %s failed or is full: look at the system's log", d.path)
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
			remedy = fmt.Sprintf("another program holds %s open: close it", d.path)
		}
	}
	if remedy == "" {
		return fmt.Errorf("%s: %w", op, err)
	}
	return &Error{Op: op, Err: err, Remedy: remedy}
}
