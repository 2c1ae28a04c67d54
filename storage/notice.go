package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/notify"
)

// Notice implements notify.Store.
func (d *DB) Notice(ctx context.Context, incident string) (notify.Notice, error) {
	n := notify.Notice{Incident: incident}
	err := d.query(ctx, "read notice", func(rows *sql.Rows) error {
		found, err := scanBody[notify.Notice](rows)
		if err == nil {
			n = *found
		}
		return err
	}, `SELECT body FROM notices WHERE incident = ?`, incident)
	return n, err
}

// PutNotice implements notify.Store.
func (d *DB) PutNotice(ctx context.Context, reader string, cursor int64, n notify.Notice, out ...bot.Outgoing) error {
	body, err := json.Marshal(n)
	if err != nil {
		return err
	}
	return d.update(ctx, "store notice", func(tx *sql.Tx) error {
		if n.Incident != "" {
			if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO notices (incident, at, body) VALUES (?, ?, ?)`, n.Incident, micros(d.cfg.Now()), body); err != nil {
				return err
			}
		}
		if err := d.enqueue(ctx, tx, out); err != nil {
			return err
		}
		return moveCursor(ctx, tx, reader, cursor)
	})
}

// LastRun implements notify.Store.
func (d *DB) LastRun(ctx context.Context, schedule string) (time.Time, error) {
	var at int64
	err := d.query(ctx, "read run", func(rows *sql.Rows) error { return rows.Scan(&at) }, `SELECT at FROM runs WHERE schedule = ?`, schedule)
	return timeOf(at), err
}

// PutRun implements notify.Store.
func (d *DB) PutRun(ctx context.Context, schedule string, at time.Time, out ...bot.Outgoing) error {
	return d.update(ctx, "store run", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO runs (schedule, at) VALUES (?, ?)`, schedule, micros(at)); err != nil {
			return err
		}
		return d.enqueue(ctx, tx, out)
	})
}
