package incident

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/engine/event"
)

// Acknowledge says that a person looks at it. by is the person's name.
func (k *Keeper) Acknowledge(ctx context.Context, id, by string, now time.Time) error {
	return k.act(ctx, id, now, "acknowledged by "+by, func(i *Incident) {
		i.Acknowledged = by
		i.note(now, Entry{Kind: "acknowledged", By: by, Text: "acknowledged by " + by})
	})
}

// Silence keeps a record quiet until a time; a zero time ends the silence. The reason may be empty. Whoever delivers
// messages honours it.
func (k *Keeper) Silence(ctx context.Context, id string, till time.Time, by, reason string, now time.Time) error {
	return k.act(ctx, id, now, silenced(till, by, reason), func(i *Incident) { i.silence(till, by, reason, now) })
}

func (i *Incident) silence(till time.Time, by, reason string, now time.Time) {
	i.SilencedTill = till
	i.note(now, Entry{Kind: "silenced", By: by, Text: silenced(till, by, reason)})
}

// silenced is a silence in words; without a person it ended by its time.
func silenced(till time.Time, by, reason string) string {
	switch {
	case !till.IsZero() && reason != "":
		return "silenced by " + by + " until " + till.UTC().Format("15:04 MST") + ": " + reason
	case !till.IsZero():
		return "silenced by " + by + " until " + till.UTC().Format("15:04 MST")
	case by == "":
		return "the silence is over"
	}
	return by + " ended the silence"
}

// Wake ends the silence of a record that outgrew it. told says the same in English; ended, what whoever tells it in another
// language needs.
func (k *Keeper) Wake(ctx context.Context, id, told string, ended event.SilenceEnded, now time.Time) error {
	data, err := json.Marshal(ended)
	if err != nil {
		return err
	}
	return k.save(ctx, id, event.Event{At: now, Type: event.SilenceEnd, Note: told, Data: data}, func(i *Incident) {
		i.SilencedTill = time.Time{}
		i.note(now, Entry{Kind: "silenced", Text: told})
	})
}

// Note adds a line to the timeline at the entry's time. An entry without a kind is a note.
func (k *Keeper) Note(ctx context.Context, id string, e Entry) error {
	if e.Kind == "" {
		e.Kind = "note"
	}
	return k.act(ctx, id, e.At, e.Text, func(i *Incident) { i.note(e.At, e) })
}

// FixStarted says that an approved proposal is running for this record.
func (k *Keeper) FixStarted(ctx context.Context, id, proposal, summary string, now time.Time) error {
	return k.act(ctx, id, now, "fix started: "+summary, func(i *Incident) {
		i.Fix, i.FixSummary = proposal, summary
		i.note(now, Entry{Kind: "proposal", Text: "fix started: " + summary})
	})
}

// FixVerified says how the fix went. A verified one shows the record as recovering at once; when the fault goes on
// after it, the record says so and goes back to what it was.
func (k *Keeper) FixVerified(ctx context.Context, id, proposal, summary string, verified bool, now time.Time) error {
	text := "fix verified: " + summary
	if !verified {
		text = "the fix did not help: " + summary
	}
	return k.act(ctx, id, now, text, func(i *Incident) {
		i.Fix, i.FixSummary = proposal, summary
		kind := "proposal"
		if verified {
			kind = "fixed"
			if i.Open() {
				i.Follow.Fixed = now
			}
		}
		i.note(now, Entry{Kind: kind, Text: text})
		if i.Open() {
			k.restage(i, now)
		}
	})
}

// act changes one record, open or not, and saves it with the event that tells of it. When that fails nothing is
// changed.
func (k *Keeper) act(ctx context.Context, id string, now time.Time, note string, change func(*Incident)) error {
	return k.save(ctx, id, event.Event{At: now, Type: event.IncidentChanged, Note: note}, change)
}

// save is act with an event of its own, whose cluster and incident are filled in.
func (k *Keeper) save(ctx context.Context, id string, told event.Event, change func(*Incident)) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	i, open := k.open[id]
	if !open {
		var known bool
		if i, known = k.closed[id]; !known {
			found, err := k.store.Incident(ctx, id)
			if err != nil {
				return fmt.Errorf("find incident %s: %w", id, err)
			}
			i = found
		}
	}
	if err := k.flush(ctx); err != nil { // what was concluded before stands before it in the log
		return err
	}
	after := i.clone()
	change(after)
	after.UpdatedAt = told.At
	told.Cluster, told.Incident = i.Cluster, id
	if err := k.store.SaveIncidents(ctx, []*Incident{after}, []event.Event{told}); err != nil {
		return fmt.Errorf("save incident %s: %w", id, err)
	}
	*i = *after
	return nil
}
