package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/engine/audit"
)

// AppendAudit implements audit.Store.
func (d *DB) AppendAudit(ctx context.Context, e audit.Entry) error {
	actor, err := json.Marshal(e.Actor)
	if err != nil {
		return err
	}
	return d.update(ctx, "append to the audit log", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE audit_marks SET seq = ?1, hash = ?2 WHERE name = 'head' AND seq = ?1 - 1`, e.Seq, e.Hash)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return fmt.Errorf("entry %d does not follow the newest one", e.Seq)
		}
		var detail any
		if e.Detail != nil {
			detail = string(e.Detail) // as text: the hash covers it byte for byte
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO audit (seq, at, actor, action, cluster, target, detail, prev, hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			e.Seq, micros(e.At), string(actor), e.Action, e.Cluster, e.Target, detail, e.Prev, e.Hash)
		return err
	})
}

// AuditEntries implements audit.Store.
func (d *DB) AuditEntries(ctx context.Context, after int64, limit int) ([]audit.Entry, error) {
	var out []audit.Entry
	err := d.query(ctx, "read the audit log", func(rows *sql.Rows) error {
		var e audit.Entry
		var at int64
		var actor string
		var detail sql.NullString
		if err := rows.Scan(&e.Seq, &at, &actor, &e.Action, &e.Cluster, &e.Target, &detail, &e.Prev, &e.Hash); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(actor), &e.Actor); err != nil {
			return fmt.Errorf("entry %d: %w", e.Seq, err)
		}
		e.At = timeOf(at)
		if detail.Valid {
			e.Detail = json.RawMessage(detail.String)
		}
		out = append(out, e)
		return nil
	}, `SELECT seq, at, actor, action, cluster, target, detail, prev, hash FROM audit WHERE seq > ? ORDER BY seq LIMIT ?`, after, limitOf(limit))
	return out, err
}

// AuditMarks implements audit.Store.
func (d *DB) AuditMarks(ctx context.Context) (start, head audit.Mark, err error) {
	err = d.query(ctx, "read the audit log", func(rows *sql.Rows) error {
		return rows.Scan(&start.Seq, &start.Hash, &head.Seq, &head.Hash)
	}, `SELECT s.seq, s.hash, h.seq, h.hash FROM audit_marks s, audit_marks h WHERE s.name = 'start' AND h.name = 'head'`)
	return start, head, err
}

// pruneAudit removes a beginning of the log and remembers where the rest begins. The newest entry always stays.
func (d *DB) pruneAudit(ctx context.Context, before time.Time) error {
	return d.update(ctx, "prune the audit log", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `UPDATE audit_marks SET (seq, hash) = (SELECT seq, hash FROM audit WHERE seq = b.last)
			FROM (SELECT min(
				coalesce((SELECT min(seq) FROM audit WHERE at >= ?), 9e18),
				(SELECT seq FROM audit_marks WHERE name = 'head')) - 1 AS last) b
			WHERE name = 'start' AND b.last > seq`, micros(before)); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM audit WHERE seq <= (SELECT seq FROM audit_marks WHERE name = 'start')`)
		return err
	})
}
