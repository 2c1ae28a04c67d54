// Package audit keeps who did what, for ever readable and never rewritten: an append-only log in which each entry holds
// the hash of the one before, so that a changed or missing entry shows.
package audit

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/engine/people"
)

// Entry is one line of the log. Hash is SHA-256 over the canonical JSON of the entry without Hash, in hexadecimal;
// Prev is the Hash of the entry before, empty for the first.
type Entry struct {
	Seq     int64           `json:"seq"` // 1, 2, 3, … without gaps
	At      time.Time       `json:"at"`  // UTC, to the microsecond
	Actor   people.Person   `json:"actor"`
	Action  string          `json:"action"` // command.proposed, command.approved, command.run, role.granted, …
	Cluster string          `json:"cluster,omitempty"`
	Target  string          `json:"target,omitempty"`
	Detail  json.RawMessage `json:"detail,omitempty"`
	Prev    string          `json:"prev"`
	Hash    string          `json:"hash,omitempty"`
}

// sum computes what Hash must be.
func (e Entry) sum() (string, error) {
	e.Hash = ""
	b, err := json.Marshal(e)
	if err != nil {
		return "", err
	}
	h := sha256.Sum256(b)
	return hex.EncodeToString(h[:]), nil
}

// Mark is a place in the chain.
type Mark struct {
	Seq  int64
	Hash string
}

// Store keeps entries. Implementations are safe for concurrent use and give back every field as it was given.
type Store interface {
	// AppendAudit stores e, durable when it returns nil. It fails when e.Seq is not one above the newest.
	AppendAudit(ctx context.Context, e Entry) error
	// AuditEntries lists at most limit entries with a Seq greater than after, oldest first.
	AuditEntries(ctx context.Context, after int64, limit int) ([]Entry, error)
	// AuditMarks gives the last entry that retention removed, and the newest one ever appended.
	AuditMarks(ctx context.Context) (start, head Mark, err error)
}

// Config of a Log.
type Config struct {
	Store  Store
	Now    func() time.Time // default time.Now
	Logger *slog.Logger
}

// Log is the chain. It is safe for concurrent use and the only writer of its store.
type Log struct {
	cfg Config

	mu   sync.Mutex // guards head, and orders appends
	head Mark
}

// ErrBroken is wrapped by what Verify finds.
var ErrBroken = errors.New("audit log is not as it was written")

// New opens the log at its newest entry.
func New(ctx context.Context, cfg Config) (*Log, error) {
	if cfg.Store == nil {
		return nil, errors.New("audit: a store is needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	_, head, err := cfg.Store.AuditMarks(ctx)
	if err != nil {
		return nil, fmt.Errorf("open audit log: %w", err)
	}
	return &Log{cfg: cfg, head: head}, nil
}

// Append writes one entry; detail is marshalled to JSON. The entry is durable when it returns nil. Whoever asks for a
// change to a cluster must not make it when Append fails.
func (l *Log) Append(ctx context.Context, actor people.Person, action, cluster, target string, detail any) (Entry, error) {
	e := Entry{
		At: l.cfg.Now().UTC().Truncate(time.Microsecond), Actor: actor,
		Action: action, Cluster: cluster, Target: target,
	}
	if detail != nil {
		raw, err := json.Marshal(detail)
		if err != nil {
			return Entry{}, fmt.Errorf("audit %s: %w", action, err)
		}
		e.Detail = raw
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	e.Seq, e.Prev = l.head.Seq+1, l.head.Hash
	hash, err := e.sum()
	if err != nil {
		return Entry{}, fmt.Errorf("audit %s: %w", action, err)
	}
	e.Hash = hash
	if err := l.cfg.Store.AppendAudit(ctx, e); err != nil {
		return Entry{}, fmt.Errorf("audit %s: %w", action, err)
	}
	l.head = Mark{Seq: e.Seq, Hash: e.Hash}
	return e, nil
}

// Entries lists at most limit entries with a Seq greater than after, oldest first.
func (l *Log) Entries(ctx context.Context, after int64, limit int) ([]Entry, error) {
	return l.cfg.Store.AuditEntries(ctx, after, limit)
}

// Head gives the newest entry's place. Kept outside, it proves later that nothing was cut off.
func (l *Log) Head() Mark {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.head
}

// Verify reads the whole chain. Its error wraps ErrBroken and names the first entry that is changed or missing.
func (l *Log) Verify(ctx context.Context) error {
	start, head, err := l.cfg.Store.AuditMarks(ctx)
	if err != nil {
		return fmt.Errorf("verify audit log: %w", err)
	}
	at := start
	for at.Seq < head.Seq {
		entries, err := l.cfg.Store.AuditEntries(ctx, at.Seq, 500)
		if err != nil {
			return fmt.Errorf("verify audit log: %w", err)
		}
		if len(entries) == 0 {
			return fmt.Errorf("%w: entry %d is missing", ErrBroken, at.Seq+1)
		}
		for _, e := range entries {
			sum, err := e.sum()
			switch {
			case err != nil:
				return fmt.Errorf("%w: entry %d cannot be read: %v", ErrBroken, e.Seq, err)
			case e.Seq != at.Seq+1:
				return fmt.Errorf("%w: entry %d is missing", ErrBroken, at.Seq+1)
			case e.Prev != at.Hash:
				return fmt.Errorf("%w: entry %d does not follow entry %d", ErrBroken, e.Seq, at.Seq)
			case e.Hash != sum:
				return fmt.Errorf("%w: entry %d was changed", ErrBroken, e.Seq)
			}
			at = Mark{Seq: e.Seq, Hash: e.Hash}
		}
	}
	if at != head {
		return fmt.Errorf("%w: entry %d is not the newest one that was written", ErrBroken, at.Seq)
	}
	return nil
}
