package storage

import (
	"context"
	"database/sql"
)

// SpendTokens implements assistant.Ledger.
func (d *DB) SpendTokens(ctx context.Context, day string, n int, keys ...string) error {
	return d.update(ctx, "count tokens", func(tx *sql.Tx) error {
		for _, key := range keys {
			if _, err := tx.ExecContext(ctx, `INSERT INTO model_tokens VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET tokens = tokens + excluded.tokens`, day, key, n); err != nil {
				return err
			}
		}
		return nil
	})
}

// SpentTokens implements assistant.Ledger.
func (d *DB) SpentTokens(ctx context.Context, day string, keys ...string) ([]int, error) {
	out := make([]int, len(keys))
	for i, key := range keys {
		err := d.query(ctx, "read tokens", func(rows *sql.Rows) error { return rows.Scan(&out[i]) }, `SELECT tokens FROM model_tokens WHERE day = ? AND key = ?`, day, key)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}
