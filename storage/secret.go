package storage

import (
	"context"
	"database/sql"
)

// PutSecret keeps what was sealed under a name, and replaces what was.
func (d *DB) PutSecret(ctx context.Context, name string, sealed []byte) error {
	_, err := d.exec(ctx, "put secret", `INSERT OR REPLACE INTO secrets (name, sealed) VALUES (?, ?)`, name, sealed)
	return err
}

// Secret gives what was sealed under a name, nil when nothing was.
func (d *DB) Secret(ctx context.Context, name string) (sealed []byte, err error) {
	err = d.query(ctx, "read secret", func(rows *sql.Rows) error { return rows.Scan(&sealed) }, `SELECT sealed FROM secrets WHERE name = ?`, name)
	return sealed, err
}

// DeleteSecret forgets it.
func (d *DB) DeleteSecret(ctx context.Context, name string) error {
	_, err := d.exec(ctx, "delete secret", `DELETE FROM secrets WHERE name = ?`, name)
	return err
}
