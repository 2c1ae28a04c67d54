package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/incident"
)

// NextIncident implements incident.Store.
func (d *DB) NextIncident(ctx context.Context) (string, error) {
	var n int64
	err := d.update(ctx, "allocate incident", func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, `INSERT INTO counters VALUES ('incident', 1) ON CONFLICT DO UPDATE SET value = value + 1 RETURNING value`).Scan(&n)
	})
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("INC-%d", n), nil
}

// SaveIncidents implements incident.Store.
func (d *DB) SaveIncidents(ctx context.Context, records []*incident.Incident, events []event.Event) error {
	return d.update(ctx, "save incidents", func(tx *sql.Tx) error {
		for _, r := range records {
			if err := saveIncident(ctx, tx, r); err != nil {
				return fmt.Errorf("%s: %w", r.ID, err)
			}
		}
		return appendEvents(ctx, tx, events)
	})
}

func saveIncident(ctx context.Context, tx *sql.Tx, r *incident.Incident) error {
	if r.ID == "" {
		return errors.New("a record without an id")
	}
	body, err := json.Marshal(r)
	if err != nil {
		return err
	}
	ended := r.ClosedAt
	if ended.IsZero() && !r.Open() { // merged into another
		ended = r.UpdatedAt
	}
	_, err = tx.ExecContext(ctx, `INSERT INTO incidents (id, cluster, open, opened_at, ended_at, body) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT (id) DO UPDATE SET cluster = excluded.cluster, open = excluded.open, opened_at = excluded.opened_at,
			ended_at = excluded.ended_at, body = excluded.body`,
		r.ID, r.Cluster, r.Open(), micros(r.OpenedAt), micros(ended), body)
	return err
}

// Incident implements incident.Store.
func (d *DB) Incident(ctx context.Context, id string) (*incident.Incident, error) {
	var found *incident.Incident
	err := d.query(ctx, "read incident "+id, func(rows *sql.Rows) (err error) {
		found, err = scanBody[incident.Incident](rows)
		return err
	}, `SELECT body FROM incidents WHERE id = ?`, id)
	if err == nil && found == nil {
		return nil, incident.ErrNotFound
	}
	return found, err
}

// Incidents implements incident.Store. Since selects those that were opened then or later.
func (d *DB) Incidents(ctx context.Context, f incident.Filter) ([]*incident.Incident, error) {
	var out []*incident.Incident
	err := d.query(ctx, "list incidents", func(rows *sql.Rows) error {
		r, err := scanBody[incident.Incident](rows)
		out = append(out, r)
		return err
	}, `SELECT body FROM incidents WHERE (?1 = '' OR cluster = ?1) AND opened_at >= ?2`+openOnly(f.Open)+`
		ORDER BY opened_at DESC, CAST(substr(id, 5) AS INTEGER) DESC LIMIT ?3`,
		f.Cluster, micros(f.Since), limitOf(f.Limit))
	return out, err
}

// PruneIncidents implements incident.Store. A merged record counts as closed at its last change.
func (d *DB) PruneIncidents(ctx context.Context, before time.Time) (int, error) {
	return d.exec(ctx, "prune incidents", `DELETE FROM incidents WHERE NOT open AND ended_at < ?`, micros(before))
}

// exec runs one statement and reports how many rows it took.
func (d *DB) exec(ctx context.Context, op, text string, args ...any) (int, error) {
	var n int64
	err := d.update(ctx, op, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, text, args...)
		if err != nil {
			return err
		}
		n, err = res.RowsAffected()
		return err
	})
	return int(n), err
}

// openOnly is the condition that lets a query use the index of what is open: the engine asks for it at every tick.
func openOnly(only bool) string {
	if only {
		return " AND open"
	}
	return ""
}

// limitOf turns "no limit" into SQLite's.
func limitOf(n int) int {
	if n <= 0 {
		return -1
	}
	return n
}

// scanBody reads the one column of a row as JSON.
func scanBody[T any](rows *sql.Rows) (*T, error) {
	var body []byte
	if err := rows.Scan(&body); err != nil {
		return nil, err
	}
	v := new(T)
	if err := json.Unmarshal(body, v); err != nil {
		return nil, fmt.Errorf("stored record cannot be read: %w", err)
	}
	return v, nil
}
