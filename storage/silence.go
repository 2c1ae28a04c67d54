package storage

import (
	"context"
	"database/sql"
	"encoding/json"

	"github.com/bukahou/atlhyper/engine/silence"
)

// Silences implements silence.Store.
func (d *DB) Silences(ctx context.Context) ([]silence.Silence, error) {
	var out []silence.Silence
	err := d.query(ctx, "read silences", func(rows *sql.Rows) error {
		s, err := scanBody[silence.Silence](rows)
		if err == nil {
			out = append(out, *s)
		}
		return err
	}, `SELECT body FROM silences ORDER BY till, id`)
	return out, err
}

// PutSilence implements silence.Store.
func (d *DB) PutSilence(ctx context.Context, s silence.Silence) error {
	body, err := json.Marshal(s)
	if err != nil {
		return err
	}
	return d.update(ctx, "store silence", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO silences (id, till, body) VALUES (?, ?, ?)`, s.ID, micros(s.Till), body)
		return err
	})
}

// DeleteSilence implements silence.Store.
func (d *DB) DeleteSilence(ctx context.Context, id string) error {
	_, err := d.exec(ctx, "delete silence", `DELETE FROM silences WHERE id = ?`, id)
	return err
}
