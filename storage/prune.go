package storage

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// Prune forgets what is older than its retention. What one table refuses does not keep the others from it. It
// implements bot.Store, and covers all else that is stored.
func (d *DB) Prune(ctx context.Context, now time.Time) error {
	r := d.cfg.Retention
	ago := func(age time.Duration) time.Time { return now.Add(-age) }
	_, tokens := d.exec(ctx, "prune tokens", `DELETE FROM model_tokens WHERE day < ?`, ago(tokensFor).UTC().Format(time.DateOnly))
	_, incidents := d.PruneIncidents(ctx, ago(r.Incidents))
	_, proposals := d.PruneProposals(ctx, ago(r.Proposals))
	errs := []error{tokens, incidents, proposals, d.pruneAudit(ctx, ago(r.Audit)), d.pruneRollups(ctx, now)}
	for _, s := range []struct {
		op, text string
		age      time.Duration
	}{
		{"prune events", `DELETE FROM events WHERE at < ?`, r.Events},
		{"prune silences", `DELETE FROM silences WHERE till < ?`, r.Silences},
		{"prune checkpoints", `DELETE FROM checkpoints WHERE at < ?`, r.Checkpoints},
		{"prune refs", `DELETE FROM refs WHERE at < ?`, r.Refs},
		{"prune notices", `DELETE FROM notices WHERE at < ?`, r.Incidents},
		{"prune sent", `DELETE FROM sent WHERE at < ?`, r.Refs},
		{"prune choices", `DELETE FROM choices WHERE at < ?`, r.Choices},
		{"prune seen", `DELETE FROM seen WHERE at < ?`, seenFor},
		{"prune memories", `DELETE FROM memories WHERE at < ?`, memoryFor},
		{"prune links", `DELETE FROM links WHERE expires < ?`, visitsFor},
		{"prune sessions", `DELETE FROM sessions WHERE expires < ?`, visitsFor},
	} {
		n, err := d.exec(ctx, s.op, s.text, micros(ago(s.age)))
		errs = append(errs, err)
		if n > 0 {
			d.log.Debug("pruned", "what", s.op, "rows", n)
		}
	}
	return errors.Join(append(errs, d.pruneOutbox(ctx, ago(r.Outbox)))...)
}

// pruneOutbox drops what could not be delivered for too long, keeping a line of why.
func (d *DB) pruneOutbox(ctx context.Context, before time.Time) error {
	return d.update(ctx, "prune outbox", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO sent (key, at, failure)
			SELECT key, ?, 'given up: ' || failure FROM outbox WHERE queued < ?`, micros(d.cfg.Now()), micros(before)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE queued < ?`, micros(before))
		return err
	})
}
