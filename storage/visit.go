package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/bot/web/visit"
	"github.com/bukahou/atlhyper/engine/people"
)

// PutLink implements visit.Store.
func (d *DB) PutLink(ctx context.Context, hash []byte, l visit.Link) error {
	who, role, err := writePerson(l.Person)
	if err != nil {
		return err
	}
	_, err = d.exec(ctx, "put link", `INSERT INTO links (token, person, role, path, expires) VALUES (?, ?, ?, ?, ?)`, hash, who, role, l.Path, micros(l.Expires))
	return err
}

// TakeLink implements visit.Store: whoever deletes the row has the link. What is no link at all never waits for the
// writer: anybody may send such.
func (d *DB) TakeLink(ctx context.Context, hash []byte, now time.Time) (l visit.Link, ok bool, err error) {
	there := false
	err = d.query(ctx, "look for link", func(rows *sql.Rows) error { return rows.Scan(&there) }, `SELECT EXISTS (SELECT 1 FROM links WHERE token = ?)`, hash)
	if err != nil || !there {
		return visit.Link{}, false, err
	}
	err = d.update(ctx, "take link", func(tx *sql.Tx) error {
		var who, role string
		var expires int64
		err := tx.QueryRowContext(ctx, `DELETE FROM links WHERE token = ? RETURNING person, role, path, expires`, hash).Scan(&who, &role, &l.Path, &expires)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return err
		}
		l.Expires = timeOf(expires)
		ok = now.Before(l.Expires)
		l.Person, err = readPerson(who, role)
		return err
	})
	if err != nil || !ok {
		return visit.Link{}, false, err
	}
	return l, true, nil
}

// PutSession implements visit.Store.
func (d *DB) PutSession(ctx context.Context, hash []byte, s visit.Session) error {
	who, role, err := writePerson(s.Person)
	if err != nil {
		return err
	}
	_, err = d.exec(ctx, "put session", `INSERT INTO sessions (token, person, role, begun, expires) VALUES (?, ?, ?, ?, ?)`,
		hash, who, role, micros(s.Begun), micros(s.Expires))
	return err
}

// Session implements visit.Store.
func (d *DB) Session(ctx context.Context, hash []byte, now time.Time) (s visit.Session, ok bool, err error) {
	err = d.query(ctx, "read session", func(rows *sql.Rows) error {
		var who, role string
		var begun, expires int64
		if err := rows.Scan(&who, &role, &begun, &expires); err != nil {
			return err
		}
		ok = true
		s.Begun, s.Expires = timeOf(begun), timeOf(expires)
		s.Person, err = readPerson(who, role)
		return err
	}, `SELECT person, role, begun, expires FROM sessions WHERE token = ? AND expires > ?`, hash, micros(now))
	if err != nil || !ok {
		return visit.Session{}, false, err
	}
	return s, true, nil
}

// EndSession implements visit.Store.
func (d *DB) EndSession(ctx context.Context, hash []byte) error {
	_, err := d.exec(ctx, "end session", `DELETE FROM sessions WHERE token = ?`, hash)
	return err
}

// writePerson keeps the role that a person's own token gave apart: a person's JSON goes to many places, and never
// carries it.
func writePerson(p people.Person) (who, role string, err error) {
	raw, err := json.Marshal(p)
	return string(raw), p.Given.String(), err
}

func readPerson(who, role string) (p people.Person, err error) {
	if err := json.Unmarshal([]byte(who), &p); err != nil {
		return people.Person{}, fmt.Errorf("stored person: %w", err)
	}
	p.Given, err = people.ParseRole(role)
	return p, err
}
