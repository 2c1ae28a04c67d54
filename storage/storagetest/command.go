package storagetest

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/engine/audit"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/silence"
)

// Proposal makes a proposed one.
func Proposal(id, digest string, created time.Time) *command.Proposal {
	return &command.Proposal{
		ID: id, Command: command.Command{Verb: command.Scale, Target: payments, Replicas: 6}, Digest: digest, UID: "u-1",
		Title: "scale deployment/payments to 6", Class: command.W1, Incident: "INC-1", By: people.Person{ID: "slack:MIA", Name: "Mia"},
		State: command.Proposed, Created: created, Expires: created.Add(10 * time.Minute),
		Preview: command.Preview{Touches: []string{"3 pods start"}, Accepted: true},
		Undo:    &command.Command{Verb: command.Scale, Target: payments, Replicas: 3},
	}
}

func changed(p *command.Proposal) event.Event {
	return event.Event{At: now, Type: event.ProposalChanged, Cluster: "prod-eu", Proposal: p.ID, Note: string(p.State)}
}

func proposals(t *testing.T, s Store) {
	ctx := t.Context()
	p := Proposal("p1", "d1", now)
	must(t, s.CreateProposal(ctx, p, event.Event{At: now, Type: event.ProposalMade, Proposal: "p1"}))
	same(t, "read back", get(s.Proposal(ctx, "p1"))(t), p)
	if _, err := s.Proposal(ctx, "p2"); !errors.Is(err, command.ErrNotFound) {
		t.Errorf("an unknown id gave %v", err)
	}
	p.State, p.Approvals = command.Approved, []command.Approval{{By: people.Person{ID: "slack:KEN"}, At: now}}
	must(t, s.SwapProposal(ctx, command.Proposed, p, changed(p)))
	same(t, "after approval", get(s.Proposal(ctx, "p1"))(t), p)
	late := *p
	late.State, late.Decided = command.Rejected, "Mia"
	if err := s.SwapProposal(ctx, command.Proposed, &late, changed(&late)); !errors.Is(err, command.ErrMoved) {
		t.Errorf("a late transition gave %v", err)
	}
	same(t, "after a late transition", get(s.Proposal(ctx, "p1"))(t), p)
	if l := get(s.EventsAfter(ctx, 0, 10))(t); len(l) != 2 || l[1].Note != string(command.Approved) {
		t.Errorf("events: %v", l)
	}
	if err := s.SwapProposal(ctx, command.Proposed, Proposal("p9", "d9", now)); !errors.Is(err, command.ErrMoved) {
		t.Errorf("a transition of an unknown proposal gave %v", err)
	}
	p.State, p.EndedAt = command.Failed, now
	must(t, s.SwapProposal(ctx, command.Approved, p))
	other := Proposal("p2", "d2", now.Add(time.Second))
	other.Command.Target.Cluster, other.Incident = "prod-us", ""
	must(t, s.CreateProposal(ctx, other))
	for name, f := range map[string]struct {
		filter command.Filter
		want   []string
	}{
		"all":      {command.Filter{}, []string{"p2", "p1"}},
		"open":     {command.Filter{Open: true}, []string{"p2"}},
		"cluster":  {command.Filter{Cluster: "prod-eu"}, []string{"p1"}},
		"incident": {command.Filter{Incident: "INC-1"}, []string{"p1"}},
		"limit":    {command.Filter{Limit: 1}, []string{"p2"}},
	} {
		var ids []string
		for _, p := range get(s.Proposals(ctx, f.filter))(t) {
			ids = append(ids, p.ID)
		}
		same(t, name, ids, f.want)
	}
}

func duplicates(t *testing.T, s Store) {
	ctx := t.Context()
	p := Proposal("p1", "d", now)
	must(t, s.CreateProposal(ctx, p))
	if err := s.CreateProposal(ctx, Proposal("p2", "d", now), changed(p)); !errors.Is(err, command.ErrDuplicate) {
		t.Errorf("a second open one gave %v", err)
	}
	if l := get(s.EventsAfter(ctx, 0, 10))(t); len(l) != 0 {
		t.Errorf("its event stayed: %v", l)
	}
	same(t, "the open one", get(s.OpenProposal(ctx, "d"))(t).ID, "p1")
	p.State = command.Expired
	must(t, s.SwapProposal(ctx, command.Proposed, p))
	if _, err := s.OpenProposal(ctx, "d"); !errors.Is(err, command.ErrNotFound) {
		t.Errorf("a final one counts as open: %v", err)
	}
	must(t, s.CreateProposal(ctx, Proposal("p2", "d", now)))
}

func race(t *testing.T, s Store) {
	ctx := t.Context()
	must(t, s.CreateProposal(ctx, Proposal("p1", "d", now)))
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			p := Proposal("p1", "d", now)
			p.State = command.Approved
			switch err := s.SwapProposal(ctx, command.Proposed, p, changed(p)); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, command.ErrMoved):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := won.Load(); n != 1 {
		t.Errorf("%d won", n)
	}
	if l := get(s.EventsAfter(ctx, 0, 100))(t); len(l) != 1 {
		t.Errorf("%d events tell of it", len(l))
	}
}

func prune(t *testing.T, s Store) {
	ctx := t.Context()
	open, closed, merged := Incident("INC-1", now), Incident("INC-2", now), Incident("INC-3", now)
	closed.ClosedAt, merged.MergedInto = now, "INC-1"
	must(t, s.SaveIncidents(ctx, []*incident.Incident{open, closed, merged}, []event.Event{{At: now, Type: event.IncidentOpened}}))
	pending, over := Proposal("p1", "d1", now), Proposal("p2", "d2", now)
	over.State, over.EndedAt = command.Failed, now
	must(t, s.CreateProposal(ctx, pending))
	must(t, s.CreateProposal(ctx, over))
	must(t, s.PutSilence(ctx, silence.Silence{ID: "sil-1", Till: now}))
	must(t, s.PutCheckpoint(ctx, "prod-eu", "baseline", []byte("x"), now))
	clock := now
	log := get(audit.New(ctx, audit.Config{Store: s, Now: func() time.Time { return clock }}))(t)
	for range 3 {
		get(log.Append(ctx, people.Person{}, "x", "", "", nil))(t)
		clock = clock.Add(time.Hour)
	}

	must(t, s.Prune(ctx, now))
	must(t, log.Verify(ctx))
	if n := len(get(s.Incidents(ctx, incident.Filter{}))(t)); n != 3 {
		t.Errorf("%d incidents left too early", n)
	}

	// The audit log's first entry is older than 400 days then, and everything else than its own retention.
	must(t, s.Prune(ctx, now.AddDate(0, 0, 400).Add(time.Minute)))
	if l := get(s.Incidents(ctx, incident.Filter{}))(t); len(l) != 1 || l[0].ID != "INC-1" {
		t.Errorf("incidents: %v", l)
	}
	if l := get(s.Proposals(ctx, command.Filter{}))(t); len(l) != 1 || l[0].ID != "p1" {
		t.Errorf("proposals: %v", l)
	}
	if l := get(s.EventsAfter(ctx, 0, 10))(t); len(l) != 0 {
		t.Errorf("events: %v", l)
	}
	if l := get(s.Silences(ctx))(t); len(l) != 0 {
		t.Errorf("silences: %v", l)
	}
	if blob := get(s.Checkpoint(ctx, "prod-eu", "baseline"))(t); blob != nil {
		t.Error("the checkpoint is still there")
	}
	must(t, log.Verify(ctx))
	if l := get(log.Entries(ctx, 0, 10))(t); len(l) != 2 || l[0].Seq != 2 {
		t.Errorf("audit entries: %v", l)
	}

	// Events are never numbered again, and the chain goes on, when all of them are gone.
	must(t, s.Prune(ctx, now.AddDate(10, 0, 0)))
	must(t, s.AppendEvents(ctx, event.Event{At: now}))
	if l := get(s.EventsAfter(ctx, 1, 10))(t); len(l) != 1 {
		t.Errorf("a reader at 1 sees %v", l)
	}
	get(log.Append(ctx, people.Person{}, "x", "", "", nil))(t)
	must(t, log.Verify(ctx))
	must(t, get(audit.New(ctx, audit.Config{Store: s}))(t).Verify(ctx))
}
