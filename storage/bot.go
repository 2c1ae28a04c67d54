package storage

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/bot"
)

// Cursor implements bot.Store.
func (d *DB) Cursor(ctx context.Context, reader string) (int64, error) {
	var seq int64
	err := d.query(ctx, "read cursor", func(rows *sql.Rows) error { return rows.Scan(&seq) },
		`SELECT seq FROM cursors WHERE reader = ?`, reader)
	return seq, err
}

// Enqueue implements bot.Store. A key that waits keeps its place in the queue, and its back-off when it has failed. A
// key that has left the outbox comes back only as an edit.
func (d *DB) Enqueue(ctx context.Context, reader string, cursor int64, out ...bot.Outgoing) error {
	return d.update(ctx, "enqueue", func(tx *sql.Tx) error {
		if err := d.enqueue(ctx, tx, out); err != nil || reader == "" {
			return err
		}
		return moveCursor(ctx, tx, reader, cursor)
	})
}

func moveCursor(ctx context.Context, tx *sql.Tx, reader string, cursor int64) error {
	_, err := tx.ExecContext(ctx, `INSERT INTO cursors VALUES (?, ?) ON CONFLICT DO UPDATE SET seq = excluded.seq`, reader, cursor)
	return err
}

func (d *DB) enqueue(ctx context.Context, tx *sql.Tx, out []bot.Outgoing) error {
	for _, o := range out {
		if o.Key == "" || o.Place.Surface == "" {
			return fmt.Errorf("message %q to surface %q: key and surface are needed", o.Key, o.Place.Surface)
		}
		if !o.Edit {
			var sent bool
			if err := tx.QueryRowContext(ctx, `SELECT EXISTS (SELECT 1 FROM sent WHERE key = ?1 AND NOT EXISTS (SELECT 1 FROM outbox WHERE key = ?1))`, o.Key).Scan(&sent); err != nil {
				return err
			}
			if sent {
				continue
			}
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO outbox (key, queued, surface, channel, thread, under, topic, edit, title, body, not_until, attempts, failure)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, '')
			ON CONFLICT (key) DO UPDATE SET surface = excluded.surface, channel = excluded.channel, thread = excluded.thread,
				under = excluded.under, topic = CASE excluded.topic WHEN '' THEN topic ELSE excluded.topic END, edit = edit OR excluded.edit, title = excluded.title, body = excluded.body,
				not_until = CASE WHEN attempts > 0 THEN max(not_until, excluded.not_until) ELSE excluded.not_until END`,
			o.Key, micros(d.cfg.Now()), o.Place.Surface, o.Place.Channel, o.Place.Thread, o.Under, o.Topic, o.Edit, o.Thread, []byte(o.Body), micros(o.NotUntil)); err != nil {
			return err
		}
	}
	return nil
}

// Outbox implements bot.Store: the head of each channel's queue, if it is due. A channel whose head failed and waits has
// none, so that what stands behind it cannot overtake it. An edit that only waits for its turn holds nothing up.
func (d *DB) Outbox(ctx context.Context, surface string, now time.Time, limit int) ([]bot.Outgoing, error) {
	var out []bot.Outgoing
	err := d.query(ctx, "read outbox", func(rows *sql.Rows) error {
		var o bot.Outgoing
		var notUntil int64
		if err := rows.Scan(&o.Key, &o.Place.Surface, &o.Place.Channel, &o.Place.Thread, &o.Under, &o.Topic, &o.Edit, &o.Thread,
			(*[]byte)(&o.Body), &notUntil, &o.Attempts, &o.Failure); err != nil {
			return err
		}
		o.NotUntil = timeOf(notUntil)
		out = append(out, o)
		return nil
	}, `SELECT key, surface, channel, thread, under, topic, edit, title, body, not_until, attempts, failure FROM outbox
		WHERE place IN (SELECT min(place) FROM outbox WHERE surface = ?1 AND NOT (edit AND failure = '' AND not_until > ?2) GROUP BY channel)
			AND not_until <= ?2 ORDER BY place LIMIT ?3`,
		surface, micros(now), limitOf(limit))
	return out, err
}

// Delivered implements bot.Store. A newer body without a topic is remembered under its key, so that it can be an edit.
func (d *DB) Delivered(ctx context.Context, o bot.Outgoing, ref bot.Ref) error {
	return d.update(ctx, "record delivery", func(tx *sql.Tx) error {
		var body []byte
		topic, at := o.Topic, micros(d.cfg.Now())
		err := tx.QueryRowContext(ctx, `SELECT body, topic FROM outbox WHERE key = ?`, o.Key).Scan(&body, &topic)
		switch {
		case errors.Is(err, sql.ErrNoRows): // recorded before
		case err != nil:
			return err
		case bytes.Equal(body, o.Body):
			if _, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE key = ?`, o.Key); err != nil {
				return err
			}
		default:
			if topic == "" {
				topic = o.Key
			}
			if _, err := tx.ExecContext(ctx, `UPDATE outbox SET edit = 1, topic = ?, not_until = 0, attempts = 0, failure = '' WHERE key = ?`, topic, o.Key); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO sent (key, at, failure) VALUES (?, ?, '')`, o.Key, at); err != nil {
			return err
		}
		if topic == "" || ref.Message == "" {
			return nil
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO refs (topic, surface, channel, message, ref_channel, thread, at) VALUES (?, ?, ?, ?, ?, ?, ?)
			ON CONFLICT (topic, surface, channel) DO UPDATE SET message = excluded.message, ref_channel = excluded.ref_channel,
				thread = CASE WHEN excluded.thread = '' AND message = excluded.message THEN thread ELSE excluded.thread END, at = excluded.at`,
			topic, o.Place.Surface, o.Place.Channel, ref.Message, cmp.Or(ref.Channel, o.Place.Channel), ref.Thread, at)
		return err
	})
}

// Postponed implements bot.Store.
func (d *DB) Postponed(ctx context.Context, key string, notUntil time.Time, failure string) error {
	_, err := d.exec(ctx, "postpone message", `UPDATE outbox SET not_until = ?, attempts = attempts + 1, failure = ? WHERE key = ?`, micros(notUntil), failure, key)
	return err
}

// Dropped implements bot.Store.
func (d *DB) Dropped(ctx context.Context, key string, failure string) error {
	d.log.Warn("message dropped", "key", key, "failure", failure)
	return d.update(ctx, "drop message", func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, `DELETE FROM outbox WHERE key = ?`, key); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, `INSERT OR REPLACE INTO sent (key, at, failure) VALUES (?, ?, ?)`, key, micros(d.cfg.Now()), failure)
		return err
	})
}

// RefOf implements bot.Store. The place's thread does not matter: a topic has one message in a channel.
func (d *DB) RefOf(ctx context.Context, topic string, p bot.Place) (ref bot.Ref, ok bool, err error) {
	err = d.query(ctx, "read ref", func(rows *sql.Rows) error {
		ok = true
		ref.Surface = p.Surface
		return rows.Scan(&ref.Channel, &ref.Message, &ref.Thread)
	}, `SELECT ref_channel, message, thread FROM refs WHERE topic = ? AND surface = ? AND channel = ?`, topic, p.Surface, p.Channel)
	return ref, ok, err
}

// TopicOf implements bot.Store. Several messages may be remembered in one thread; the first made the thread.
func (d *DB) TopicOf(ctx context.Context, p bot.Place) (string, error) {
	topic := ""
	if p.Thread == "" {
		return "", nil
	}
	err := d.query(ctx, "read topic", func(rows *sql.Rows) error { return rows.Scan(&topic) },
		`SELECT topic FROM refs WHERE surface = ?1 AND thread = ?2 AND ?3 IN (channel, ref_channel) ORDER BY id LIMIT 1`,
		p.Surface, p.Thread, p.Channel)
	return topic, err
}

// FirstSeen implements bot.Store.
func (d *DB) FirstSeen(ctx context.Context, id string, now time.Time) (bool, error) {
	n, err := d.exec(ctx, "record inbound", `INSERT INTO seen VALUES (?, ?) ON CONFLICT DO UPDATE SET at = excluded.at WHERE at < ?`,
		id, micros(now), micros(now.Add(-seenFor)))
	return n > 0, err
}

// Memory implements bot.Store; nil when there is none.
func (d *DB) Memory(ctx context.Context, p bot.Place) (json.RawMessage, error) {
	var body []byte
	err := d.query(ctx, "read memory", func(rows *sql.Rows) error { return rows.Scan(&body) },
		`SELECT body FROM memories WHERE surface = ? AND channel = ? AND thread = ?`, p.Surface, p.Channel, p.Thread)
	return body, err
}

// Remember implements bot.Store.
func (d *DB) Remember(ctx context.Context, p bot.Place, memory json.RawMessage, now time.Time) error {
	_, err := d.exec(ctx, "store memory", `INSERT OR REPLACE INTO memories (surface, channel, thread, at, body) VALUES (?, ?, ?, ?, ?)`,
		p.Surface, p.Channel, p.Thread, micros(now), append([]byte{}, memory...))
	return err
}

// PutChoice implements bot.Store.
func (d *DB) PutChoice(ctx context.Context, choice json.RawMessage, now time.Time) (string, error) {
	id := rand.Text()
	_, err := d.exec(ctx, "store choice", `INSERT INTO choices (id, at, body) VALUES (?, ?, ?)`, id, micros(now), append([]byte{}, choice...))
	return id, err
}

// ErrNoChoice is returned for an id that is not known or was forgotten.
var ErrNoChoice = errors.New("no such choice")

// Choice implements bot.Store.
func (d *DB) Choice(ctx context.Context, id string) (json.RawMessage, error) {
	var body []byte
	err := d.query(ctx, "read choice", func(rows *sql.Rows) error { return rows.Scan(&body) },
		`SELECT body FROM choices WHERE id = ?`, id)
	if err == nil && body == nil {
		return nil, ErrNoChoice
	}
	return body, err
}
