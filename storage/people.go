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

// Langs implements people.Store.
func (d *DB) Langs(ctx context.Context) (map[string]string, error) {
	out := map[string]string{}
	err := d.query(ctx, "read languages", func(rows *sql.Rows) error {
		var subject, lang string
		err := rows.Scan(&subject, &lang)
		out[subject] = lang
		return err
	}, `SELECT subject, lang FROM languages`)
	return out, err
}

// PutLang implements people.Store.
func (d *DB) PutLang(ctx context.Context, subject, lang string) error {
	if lang == "" {
		_, err := d.exec(ctx, "forget language", `DELETE FROM languages WHERE subject = ?`, subject)
		return err
	}
	_, err := d.exec(ctx, "store language", `INSERT OR REPLACE INTO languages (subject, lang) VALUES (?, ?)`, subject, lang)
	return err
}
