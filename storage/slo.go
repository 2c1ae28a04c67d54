package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"github.com/bukahou/atlhyper/engine/slo"
)

// Objectives implements slo.Store.
func (d *DB) Objectives(ctx context.Context) ([]slo.Objective, error) {
	var out []slo.Objective
	err := d.query(ctx, "read objectives", func(rows *sql.Rows) error {
		o, err := scanBody[slo.Objective](rows)
		if err == nil {
			out = append(out, *o)
		}
		return err
	}, `SELECT body FROM objectives ORDER BY cluster, kind, namespace, name, layer, route, promise`)
	return out, err
}

// PutObjective implements slo.Store.
func (d *DB) PutObjective(ctx context.Context, o slo.Objective) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	_, err = d.exec(ctx, "store objective", `INSERT OR REPLACE INTO objectives (cluster, kind, namespace, name, layer, route, promise, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?)`,
		o.Entity.Cluster, o.Entity.Kind, o.Entity.Namespace, o.Entity.Name, o.Layer, o.Route, string(o.Kind), body)
	return err
}

// DeleteObjective implements slo.Store.
func (d *DB) DeleteObjective(ctx context.Context, k slo.Key) (bool, error) {
	n, err := d.exec(ctx, "delete objective", `DELETE FROM objectives WHERE cluster = ? AND kind = ? AND namespace = ? AND name = ? AND layer = ? AND route = ? AND promise = ?`,
		k.Entity.Cluster, k.Entity.Kind, k.Entity.Namespace, k.Entity.Name, k.Layer, k.Route, string(k.Kind))
	return n > 0, err
}

// PutRollups implements slo.Store.
func (d *DB) PutRollups(ctx context.Context, cluster string, rs []slo.Rollup) error {
	return d.update(ctx, "store rollups", func(tx *sql.Tx) error {
		put, err := tx.PrepareContext(ctx, `INSERT OR REPLACE INTO rollups (cluster, span, start, kind, namespace, name, layer, route, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`)
		if err != nil {
			return err
		}
		defer put.Close()
		for _, r := range rs {
			body, err := json.Marshal(r)
			if err != nil {
				return err
			}
			if _, err := put.ExecContext(ctx, cluster, int64(r.Span/time.Second), micros(r.Start), r.Entity.Kind, r.Entity.Namespace, r.Entity.Name, r.Layer, r.Route, body); err != nil {
				return err
			}
		}
		return nil
	})
}

// Rollups implements slo.Store.
func (d *DB) Rollups(ctx context.Context, cluster string, span time.Duration, since time.Time) ([]slo.Rollup, error) {
	var out []slo.Rollup
	err := d.query(ctx, "read rollups", func(rows *sql.Rows) error {
		r := slo.Rollup{Span: span}
		var start int64
		var body []byte
		if err := rows.Scan(&start, &r.Entity.Kind, &r.Entity.Namespace, &r.Entity.Name, &r.Layer, &r.Route, &body); err != nil {
			return err
		}
		if err := json.Unmarshal(body, &r); err != nil {
			return err
		}
		r.Start, r.Entity.Cluster = timeOf(start), cluster
		out = append(out, r)
		return nil
	}, `SELECT start, kind, namespace, name, layer, route, body FROM rollups WHERE cluster = ? AND span = ? AND start >= ? ORDER BY start, kind, namespace, name, layer, route`,
		cluster, int64(span/time.Second), micros(since))
	return out, err
}

// pruneRollups forgets counts by the hour after a week, as windows of more than four days count by the day, and counts
// by the day after their retention.
func (d *DB) pruneRollups(ctx context.Context, now time.Time) error {
	const week = 7 * 24 * time.Hour
	_, err := d.exec(ctx, "prune rollups", `DELETE FROM rollups WHERE span < 86400 AND start < ? OR start < ?`, micros(now.Add(-week)), micros(now.Add(-d.cfg.Retention.Rollups)))
	return err
}
