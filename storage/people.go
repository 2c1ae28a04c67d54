package storage

import (
	"context"
	"database/sql"

	"github.com/bukahou/atlhyper/engine/people"
)

// Grants implements people.Store.
func (d *DB) Grants(ctx context.Context) ([]people.Grant, error) {
	var out []people.Grant
	err := d.query(ctx, "read grants", func(rows *sql.Rows) error {
		var g people.Grant
		var role string
		var at int64
		err := rows.Scan(&g.Subject, &g.Cluster, &g.Namespace, &role, &g.Human, &g.By, &at)
		if err != nil {
			return err
		}
		g.At = timeOf(at)
		g.Role, err = people.ParseRole(role)
		out = append(out, g)
		return err
	}, `SELECT subject, cluster, namespace, role, human, granter, at FROM grants ORDER BY subject, cluster, namespace`)
	return out, err
}

// PutGrant implements people.Store.
func (d *DB) PutGrant(ctx context.Context, g people.Grant) error {
	return d.update(ctx, "store grant", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO grants (subject, cluster, namespace, role, human, granter, at) VALUES (?, ?, ?, ?, ?, ?, ?)`,
			g.Subject, g.Cluster, g.Namespace, g.Role.String(), g.Human, g.By, micros(g.At))
		return err
	})
}

// DeleteGrant implements people.Store.
func (d *DB) DeleteGrant(ctx context.Context, subject, cluster, namespace string) (bool, error) {
	n, err := d.exec(ctx, "delete grant", `DELETE FROM grants WHERE subject = ? AND cluster = ? AND namespace = ?`, subject, cluster, namespace)
	return n > 0, err
}
