package storage

import (
	"context"
	"crypto/sha256"
	"database/sql"
	"errors"
	"fmt"

	"github.com/bukahou/atlhyper/engine/people"
)

// ErrNoPerson is returned for a name that has no token.
var ErrNoPerson = errors.New("nobody of that name has a token")

// AddPerson makes the token with which a person's own client connects, replacing an earlier one of that name. The token
// is shown this once.
func (d *DB) AddPerson(ctx context.Context, name string, role people.Role) (token string, err error) {
	if !clusterName.MatchString(name) {
		return "", fmt.Errorf("name %q: use lower-case letters, digits and hyphens, at most 63, such as mia", name)
	}
	token, hash := newToken()
	if _, err := d.exec(ctx, "add person", `INSERT OR REPLACE INTO tokens (name, role, token, created) VALUES (?, ?, ?, ?)`,
		name, role.String(), hash, micros(d.cfg.Now())); err != nil {
		return "", err
	}
	return token, nil
}

// RemovePerson ends a token.
func (d *DB) RemovePerson(ctx context.Context, name string) error {
	n, err := d.exec(ctx, "remove person", `DELETE FROM tokens WHERE name = ?`, name)
	if err == nil && n == 0 {
		return fmt.Errorf("%s: %w", name, ErrNoPerson)
	}
	return err
}

// VerifyPerson gives whose token it is, with the role that the token carries; ok is false for one that nobody has. The
// token has 256 random bits and is looked up by its hash, so that the time of the look-up tells nothing of it.
func (d *DB) VerifyPerson(ctx context.Context, token string) (p people.Person, ok bool, err error) {
	sum := sha256.Sum256([]byte(token))
	role := ""
	err = d.query(ctx, "verify token", func(rows *sql.Rows) error {
		ok = true
		return rows.Scan(&p.Name, &role)
	}, `SELECT name, role FROM tokens WHERE token = ?`, sum[:])
	if err != nil || !ok {
		return people.Person{}, false, err
	}
	p.ID = "client:" + p.Name
	if p.Given, err = people.ParseRole(role); err != nil {
		return people.Person{}, false, fmt.Errorf("verify token of %s: %w", p.Name, err)
	}
	return p, true, nil
}
