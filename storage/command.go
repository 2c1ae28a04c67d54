package storage

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/event"
)

// CreateProposal implements command.Store.
func (d *DB) CreateProposal(ctx context.Context, p *command.Proposal, events ...event.Event) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	duplicate := false
	err = d.update(ctx, "store proposal", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO proposals (id, digest, state, open, cluster, incident, created, changed, body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			p.ID, p.Digest, p.State, !p.State.Final(), p.Command.Target.Cluster, p.Incident, micros(p.Created), micros(lastChange(p)), body)
		if s := (*sqlite.Error)(nil); errors.As(err, &s) && s.Code() == sqlite3.SQLITE_CONSTRAINT_UNIQUE {
			duplicate = true
		}
		if err != nil {
			return err
		}
		return appendEvents(ctx, tx, events)
	})
	if duplicate {
		return command.ErrDuplicate
	}
	return err
}

// SwapProposal implements command.Store.
func (d *DB) SwapProposal(ctx context.Context, from command.State, p *command.Proposal, events ...event.Event) error {
	body, err := json.Marshal(p)
	if err != nil {
		return err
	}
	return d.update(ctx, "change proposal "+p.ID, func(tx *sql.Tx) error {
		res, err := tx.ExecContext(ctx, `UPDATE proposals SET state = ?, open = ?, changed = ?, body = ? WHERE id = ? AND state = ?`,
			p.State, !p.State.Final(), micros(lastChange(p)), body, p.ID, from)
		if err != nil {
			return err
		}
		if n, err := res.RowsAffected(); err != nil {
			return err
		} else if n == 0 {
			return command.ErrMoved
		}
		return appendEvents(ctx, tx, events)
	})
}

// lastChange is the newest time in a proposal.
func lastChange(p *command.Proposal) time.Time {
	times := []time.Time{p.Created, p.RanAt, p.EndedAt}
	for _, a := range p.Approvals {
		times = append(times, a.At)
	}
	return slices.MaxFunc(times, time.Time.Compare)
}

// Proposal implements command.Store.
func (d *DB) Proposal(ctx context.Context, id string) (*command.Proposal, error) {
	return d.oneProposal(ctx, `SELECT body FROM proposals WHERE id = ?`, id)
}

// OpenProposal implements command.Store.
func (d *DB) OpenProposal(ctx context.Context, digest string) (*command.Proposal, error) {
	return d.oneProposal(ctx, `SELECT body FROM proposals WHERE digest = ? AND open`, digest)
}

func (d *DB) oneProposal(ctx context.Context, text, arg string) (*command.Proposal, error) {
	var found *command.Proposal
	err := d.query(ctx, "read proposal", func(rows *sql.Rows) (err error) {
		found, err = scanBody[command.Proposal](rows)
		return err
	}, text, arg)
	if err == nil && found == nil {
		return nil, command.ErrNotFound
	}
	return found, err
}

// Proposals implements command.Store.
func (d *DB) Proposals(ctx context.Context, f command.Filter) ([]*command.Proposal, error) {
	var out []*command.Proposal
	where := "" // spelled out, so that the engine's question at every tick, by incident, uses its index
	if f.Incident != "" {
		where = " AND incident = ?2"
	}
	err := d.query(ctx, "list proposals", func(rows *sql.Rows) error {
		p, err := scanBody[command.Proposal](rows)
		out = append(out, p)
		return err
	}, `SELECT body FROM proposals WHERE (?1 = '' OR cluster = ?1)`+where+openOnly(f.Open)+`
		ORDER BY created DESC, rowid DESC LIMIT ?3`, f.Cluster, f.Incident, limitOf(f.Limit))
	return out, err
}

// PruneProposals implements command.Store.
func (d *DB) PruneProposals(ctx context.Context, before time.Time) (int, error) {
	return d.exec(ctx, "prune proposals", `DELETE FROM proposals WHERE NOT open AND changed < ?`, micros(before))
}
