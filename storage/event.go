package storage

import (
	"context"
	"database/sql"

	"github.com/bukahou/atlhyper/engine/event"
)

// AppendEvents writes events that tell of nothing else that is stored, such as an agent's silence.
func (d *DB) AppendEvents(ctx context.Context, events ...event.Event) error {
	return d.update(ctx, "append events", func(tx *sql.Tx) error { return appendEvents(ctx, tx, events) })
}

// EventsAfter reads at most limit events with a Seq greater than seq, in order.
func (d *DB) EventsAfter(ctx context.Context, seq int64, limit int) ([]event.Event, error) {
	var out []event.Event
	err := d.query(ctx, "read events", func(rows *sql.Rows) error {
		var e event.Event
		var at int64
		if err := rows.Scan(&e.Seq, &at, &e.Type, &e.Cluster, &e.Incident, &e.Proposal, &e.Note, (*[]byte)(&e.Data)); err != nil {
			return err
		}
		e.At = timeOf(at)
		out = append(out, e)
		return nil
	}, `SELECT seq, at, type, cluster, incident, proposal, note, data FROM events WHERE seq > ? ORDER BY seq LIMIT ?`, seq, limit)
	return out, err
}

// appendEvents numbers and writes events in the transaction of what they tell of.
func appendEvents(ctx context.Context, tx *sql.Tx, events []event.Event) error {
	for _, e := range events {
		if _, err := tx.ExecContext(ctx, `INSERT INTO events (at, type, cluster, incident, proposal, note, data) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			micros(e.At), e.Type, e.Cluster, e.Incident, e.Proposal, e.Note, []byte(e.Data)); err != nil {
			return err
		}
	}
	return nil
}
