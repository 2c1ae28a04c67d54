package storage

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"database/sql"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Cluster is a cluster that an agent may report for.
type Cluster struct {
	Name    string
	Created time.Time
	Rotated time.Time // when its token was made
}

// ErrNoCluster is returned for a name that no cluster has, ErrClusterExists for one that is taken.
var (
	ErrNoCluster     = errors.New("no such cluster")
	ErrClusterExists = errors.New("the cluster exists")
)

var clusterName = regexp.MustCompile(`^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$`)

// AddCluster makes a cluster known and gives its agent's token. The token is not stored, only its hash: it is shown
// this once.
func (d *DB) AddCluster(ctx context.Context, name string) (token string, err error) {
	if !clusterName.MatchString(name) {
		return "", fmt.Errorf("cluster name %q: use lower-case letters, digits and hyphens, at most 63, such as prod-eu", name)
	}
	token, hash := newToken()
	now := micros(d.cfg.Now())
	n, err := d.exec(ctx, "add cluster", `INSERT INTO clusters (name, token, created, rotated) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`, name, hash, now, now)
	if err == nil && n == 0 {
		return "", fmt.Errorf("add cluster %s: %w; rotate its token instead", name, ErrClusterExists)
	}
	if err != nil {
		return "", err
	}
	return token, nil
}

// RotateCluster replaces a cluster's token; the old one is refused from now on.
func (d *DB) RotateCluster(ctx context.Context, name string) (token string, err error) {
	token, hash := newToken()
	n, err := d.exec(ctx, "rotate cluster", `UPDATE clusters SET token = ?, rotated = ? WHERE name = ?`, hash, micros(d.cfg.Now()), name)
	if err == nil && n == 0 {
		return "", fmt.Errorf("rotate cluster %s: %w; add it first", name, ErrNoCluster)
	}
	if err != nil {
		return "", err
	}
	return token, nil
}

// RemoveCluster refuses a cluster's agent from now on and forgets its checkpoints and counts. Its incidents stay.
func (d *DB) RemoveCluster(ctx context.Context, name string) error {
	return d.update(ctx, "remove cluster", func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `DELETE FROM clusters WHERE name = ?`, name)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return fmt.Errorf("%s: %w", name, ErrNoCluster)
		}
		if _, err = tx.ExecContext(ctx, `DELETE FROM checkpoints WHERE cluster = ?`, name); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `DELETE FROM rollups WHERE cluster = ?`, name)
		return err
	})
}

// VerifyCluster says whether the token is the cluster's. It takes the same time for a wrong token as for an unknown
// cluster.
func (d *DB) VerifyCluster(ctx context.Context, name, token string) (bool, error) {
	want := make([]byte, sha256.Size)
	known := 0
	if err := d.query(ctx, "verify cluster token", func(rows *sql.Rows) error {
		known = 1
		return rows.Scan(&want)
	}, `SELECT token FROM clusters WHERE name = ?`, name); err != nil {
		return false, err
	}
	got := sha256.Sum256([]byte(token))
	return subtle.ConstantTimeCompare(got[:], want)&known == 1, nil
}

// Clusters lists the clusters by name.
func (d *DB) Clusters(ctx context.Context) ([]Cluster, error) {
	var out []Cluster
	err := d.query(ctx, "list clusters", func(rows *sql.Rows) error {
		var c Cluster
		var created, rotated int64
		if err := rows.Scan(&c.Name, &created, &rotated); err != nil {
			return err
		}
		c.Created, c.Rotated = timeOf(created), timeOf(rotated)
		out = append(out, c)
		return nil
	}, `SELECT name, created, rotated FROM clusters ORDER BY name`)
	return out, err
}

// newToken gives 256 random bits and what is stored of them. A hash without salt is enough: there is no guessing them.
func newToken() (token string, hash []byte) {
	b := make([]byte, 32)
	rand.Read(b)
	token = "atl_" + base64.RawURLEncoding.EncodeToString(b)
	sum := sha256.Sum256([]byte(token))
	return token, sum[:]
}

// PutCheckpoint stores one kind of derived state of a cluster, replacing the earlier one.
func (d *DB) PutCheckpoint(ctx context.Context, cluster, kind string, blob []byte, at time.Time) error {
	return d.update(ctx, "put checkpoint", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO checkpoints (cluster, kind, at, body) VALUES (?, ?, ?, ?)`, cluster, kind, micros(at), append([]byte{}, blob...))
		return err
	})
}

// Checkpoint gives the newest one of a kind, nil when there is none.
func (d *DB) Checkpoint(ctx context.Context, cluster, kind string) (blob []byte, err error) {
	err = d.query(ctx, "read checkpoint", func(rows *sql.Rows) error { return rows.Scan(&blob) },
		`SELECT body FROM checkpoints WHERE cluster = ? AND kind = ?`, cluster, kind)
	return blob, err
}
