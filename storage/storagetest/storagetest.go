// Package storagetest is the conformance suite of stores: what engine and bot rely on, put to any implementation.
package storagetest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/bot/notify"
	"github.com/bukahou/atlhyper/bot/web/visit"
	"github.com/bukahou/atlhyper/engine/audit"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/silence"
	"github.com/bukahou/atlhyper/engine/slo"
)

// Store is all that a store must do.
type Store interface {
	incident.Store
	command.Store
	audit.Store
	people.Store
	silence.Store
	assistant.Ledger
	slo.Store
	bot.Store
	visit.Store
	notify.Store
	AppendEvents(ctx context.Context, events ...event.Event) error
	AddCluster(ctx context.Context, name string) (token string, err error)
	RotateCluster(ctx context.Context, name string) (token string, err error)
	RemoveCluster(ctx context.Context, name string) error
	VerifyCluster(ctx context.Context, name, token string) (bool, error)
	PutCheckpoint(ctx context.Context, cluster, kind string, blob []byte, at time.Time) error
	Checkpoint(ctx context.Context, cluster, kind string) ([]byte, error)
}

var now = time.Date(2026, 11, 5, 2, 51, 20, 123456000, time.UTC)

// Run puts the suite to stores with the default retention; open gives an empty one whose clock stands at Now.
func Run(t *testing.T, open func(t *testing.T) Store) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, s Store)
	}{
		{"incidents come back as they were saved, newest first", incidents},
		{"an incident and its event are saved together or not at all", incidentAndEvent},
		{"incident ids rise and are never given twice", incidentIDs},
		{"events are read by cursor", events},
		{"a proposal's transition is a compare-and-set", proposals},
		{"one open proposal a digest", duplicates},
		{"of many racing transitions one wins", race},
		{"the audit chain survives and cannot be forked", auditChain},
		{"grants are replaced by scope", grants},
		{"silences", silences},
		{"objectives are replaced by what they are about", objectives},
		{"rollups are replaced by stream, span and start", rollups},
		{"cluster tokens", clusters},
		{"checkpoints", checkpoints},
		{"prune forgets what is over and keeps what is open", prune},
		{"the outbox coalesces by key", outboxCoalesces},
		{"the outbox keeps the order within a channel", outboxOrder},
		{"a body that is newer than what was delivered stays as an edit", outboxNewer},
		{"nothing is posted twice", outboxOnce},
		{"the outbox and the cursor move together", outboxCursor},
		{"refs and topics", refs},
		{"inbound ids, memory and choices", conversation},
		{"tokens are counted by day and by whom", tokens},
		{"a person and a channel have one language each", languages},
		{"what was told of an incident is stored with what tells it", notices},
		{"a schedule's run is stored with its report", runs},
		{"a link to the page works once, a session until it ends", visits},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// Now is the time at which the suite plays.
func Now() time.Time { return now }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func get[T any](v T, err error) func(t *testing.T) T {
	return func(t *testing.T) T {
		t.Helper()
		must(t, err)
		return v
	}
}

func same(t *testing.T, what string, got, want any) {
	t.Helper()
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

var payments = entity.Ref{Cluster: "prod-eu", Kind: entity.Deployment, Namespace: "shop", Name: "payments"}

// Incident makes a record with every kind of field set.
func Incident(id string, opened time.Time) *incident.Incident {
	return &incident.Incident{
		ID: id, Cluster: "prod-eu", Stage: incident.StageAlert, State: incident.Warning, Severity: incident.SeverityHigh,
		Title: "checkout is failing", Namespace: "shop", Risk: 0.7, PeakRisk: 0.9, OpenedAt: opened, UpdatedAt: opened, StageAt: opened,
		Cause: incident.Cause{
			Entity: payments, Kind: "CrashLoopBackOff", Summary: "payments v2.4.0 <crashes> & 'restarts'", Confidence: "high",
			Evidence: []incident.Evidence{{Entity: payments, What: "error_rate", Value: 0.31, Normal: 0.002, Unit: "%", At: opened}},
			Ranking:  []incident.Ranked{{Entity: payments, Score: 1.5}}, Onset: opened,
		},
		Entities: []incident.Affected{{Entity: payments, RLocal: 0.9, RFinal: 0.9, Role: incident.RoleRootCause}},
		Timeline: []incident.Entry{{At: opened, Kind: "opened", Text: "決済が落ちた"}},
	}
}

func incidents(t *testing.T, s Store) {
	ctx := t.Context()
	_, err := s.Incident(ctx, "INC-9")
	if !errors.Is(err, incident.ErrNotFound) {
		t.Errorf("an unknown id gave %v", err)
	}
	a, b, c := Incident("INC-1", now), Incident("INC-2", now.Add(time.Minute)), Incident("INC-10", now.Add(time.Minute))
	b.Cluster = "prod-us"
	must(t, s.SaveIncidents(ctx, []*incident.Incident{a, b, c}, nil))
	same(t, "read back", get(s.Incident(ctx, "INC-1"))(t), a)
	a.ClosedAt, a.Timeline = now.Add(time.Hour), append(a.Timeline, incident.Entry{At: now, Kind: "resolved", Text: "healthy"})
	must(t, s.SaveIncidents(ctx, []*incident.Incident{a}, nil))
	same(t, "after an update", get(s.Incident(ctx, "INC-1"))(t), a)
	for name, f := range map[string]struct {
		filter incident.Filter
		want   []string
	}{
		"all":     {incident.Filter{}, []string{"INC-10", "INC-2", "INC-1"}},
		"open":    {incident.Filter{Open: true}, []string{"INC-10", "INC-2"}},
		"cluster": {incident.Filter{Cluster: "prod-us"}, []string{"INC-2"}},
		"since":   {incident.Filter{Since: now.Add(time.Minute)}, []string{"INC-10", "INC-2"}},
		"limit":   {incident.Filter{Limit: 1}, []string{"INC-10"}},
	} {
		var ids []string
		for _, i := range get(s.Incidents(ctx, f.filter))(t) {
			ids = append(ids, i.ID)
		}
		same(t, name, ids, f.want)
	}
}

func incidentAndEvent(t *testing.T, s Store) {
	ctx := t.Context()
	e := event.Event{At: now, Type: event.IncidentOpened, Cluster: "prod-eu", Incident: "INC-1", Note: "opened", Data: []byte(`{"a":1}`)}
	nameless := Incident("", now)
	if err := s.SaveIncidents(ctx, []*incident.Incident{Incident("INC-1", now), nameless}, []event.Event{e}); err == nil {
		t.Error("a record without an id was saved")
	}
	if l := get(s.Incidents(ctx, incident.Filter{}))(t); len(l) != 0 {
		t.Errorf("half of a failed save stayed: %v", l)
	}
	if l := get(s.EventsAfter(ctx, 0, 10))(t); len(l) != 0 {
		t.Errorf("the event of a failed save stayed: %v", l)
	}
	must(t, s.SaveIncidents(ctx, []*incident.Incident{Incident("INC-1", now)}, []event.Event{e, e}))
	l := get(s.EventsAfter(ctx, 0, 10))(t)
	if len(l) != 2 || l[0].Seq <= 0 || l[1].Seq <= l[0].Seq {
		t.Fatalf("events: %v", l)
	}
	e.Seq = l[0].Seq
	same(t, "the event", l[0], e)
}

func incidentIDs(t *testing.T, s Store) {
	ctx := t.Context()
	same(t, "first", get(s.NextIncident(ctx))(t), "INC-1")
	same(t, "second", get(s.NextIncident(ctx))(t), "INC-2")
	closed := Incident("INC-2", now)
	closed.ClosedAt = now
	must(t, s.SaveIncidents(ctx, []*incident.Incident{closed}, nil))
	same(t, "pruned", get(s.PruneIncidents(ctx, now.Add(time.Hour)))(t), 1)
	same(t, "after a prune", get(s.NextIncident(ctx))(t), "INC-3")
}

func events(t *testing.T, s Store) {
	ctx := t.Context()
	for range 5 {
		must(t, s.AppendEvents(ctx, event.Event{At: now, Type: event.ClusterSilent, Cluster: "prod-eu"}))
	}
	first := get(s.EventsAfter(ctx, 0, 2))(t)
	rest := get(s.EventsAfter(ctx, first[1].Seq, 100))(t)
	if len(first) != 2 || len(rest) != 3 || rest[0].Seq <= first[1].Seq {
		t.Errorf("read %v then %v", first, rest)
	}
	if l := get(s.EventsAfter(ctx, rest[2].Seq, 100))(t); len(l) != 0 {
		t.Errorf("after the end: %v", l)
	}
}

func auditChain(t *testing.T, s Store) {
	ctx := t.Context()
	open := func() *audit.Log {
		return get(audit.New(ctx, audit.Config{Store: s, Now: func() time.Time { return now }}))(t)
	}
	l := open()
	for i := range 3 {
		get(l.Append(ctx, people.Person{ID: "slack:MIA", Name: "Mia <&>", Groups: []string{"slack:S1"}}, "command.run", "prod-eu", payments.Short(), map[string]any{"i": i, "text": "<画像>"}))(t)
	}
	get(l.Append(ctx, people.Person{ID: "slack:KEN"}, "noted", "", "", nil))(t)
	again := open()
	must(t, again.Verify(ctx))
	same(t, "head", again.Head(), l.Head())
	entries := get(again.Entries(ctx, 1, 2))(t)
	if len(entries) != 2 || entries[0].Seq != 2 {
		t.Errorf("page: %v", entries)
	}
	get(again.Append(ctx, people.Person{}, "x", "", "", nil))(t)
	if _, err := l.Append(ctx, people.Person{}, "x", "", "", nil); err == nil {
		t.Error("a second writer forked the chain")
	}
	must(t, open().Verify(ctx))
}

func grants(t *testing.T, s Store) {
	ctx := t.Context()
	g := people.Grant{Subject: "slack:MIA", Role: people.Operator, Cluster: "prod-eu", Namespace: "shop", Human: "mia", By: "slack:KEN", At: now}
	wide := people.Grant{Subject: "slack:MIA", Role: people.Viewer, By: "slack:KEN", At: now}
	must(t, s.PutGrant(ctx, g))
	must(t, s.PutGrant(ctx, wide))
	g.Role = people.Admin
	must(t, s.PutGrant(ctx, g))
	same(t, "grants", get(s.Grants(ctx))(t), []people.Grant{wide, g})
	same(t, "deleted", get(s.DeleteGrant(ctx, "slack:MIA", "prod-eu", "shop"))(t), true)
	same(t, "deleted again", get(s.DeleteGrant(ctx, "slack:MIA", "prod-eu", "shop"))(t), false)
	same(t, "grants", get(s.Grants(ctx))(t), []people.Grant{wide})
}

func silences(t *testing.T, s Store) {
	ctx := t.Context()
	x := silence.Silence{
		ID: "sil-1", Matcher: silence.Matcher{Cluster: "prod-eu", Entity: payments}, Stage: incident.StageWarning,
		Till: now.Add(time.Hour), By: people.Person{ID: "slack:MIA"}, Reason: "maintenance", Created: now,
	}
	must(t, s.PutSilence(ctx, x))
	x.Broken = []string{"INC-1"}
	must(t, s.PutSilence(ctx, x))
	same(t, "silences", get(s.Silences(ctx))(t), []silence.Silence{x})
	must(t, s.DeleteSilence(ctx, "sil-1"))
	must(t, s.DeleteSilence(ctx, "sil-1"))
	if l := get(s.Silences(ctx))(t); len(l) != 0 {
		t.Errorf("left: %v", l)
	}
}

func clusters(t *testing.T, s Store) {
	ctx := t.Context()
	token := get(s.AddCluster(ctx, "prod-eu"))(t)
	other := get(s.AddCluster(ctx, "prod-us"))(t)
	verify := func(what, name, token string, want bool) {
		t.Helper()
		if got := get(s.VerifyCluster(ctx, name, token))(t); got != want {
			t.Errorf("%s: %v", what, got)
		}
	}
	if _, err := s.AddCluster(ctx, "prod-eu"); err == nil {
		t.Error("a cluster was added twice")
	}
	for _, name := range []string{"", "Prod", "a/b", "-a", "prod eu", "../x"} {
		if _, err := s.AddCluster(ctx, name); err == nil {
			t.Errorf("%q was taken as a name", name)
		}
	}
	verify("its token", "prod-eu", token, true)
	verify("no token", "prod-eu", "", false)
	verify("another cluster's token", "prod-eu", other, false)
	verify("an unknown cluster", "staging", token, false)
	verify("an unknown cluster without a token", "staging", "", false)
	rotated := get(s.RotateCluster(ctx, "prod-eu"))(t)
	verify("the old token", "prod-eu", token, false)
	verify("the new token", "prod-eu", rotated, true)
	must(t, s.RemoveCluster(ctx, "prod-eu"))
	verify("after removal", "prod-eu", rotated, false)
	if s.RemoveCluster(ctx, "prod-eu") == nil {
		t.Error("removed twice")
	}
	if _, err := s.RotateCluster(ctx, "prod-eu"); err == nil {
		t.Error("rotated after removal")
	}
}

func checkpoints(t *testing.T, s Store) {
	ctx := t.Context()
	same(t, "never put", get(s.Checkpoint(ctx, "prod-eu", "baseline"))(t), []byte(nil))
	must(t, s.PutCheckpoint(ctx, "prod-eu", "baseline", []byte("old"), now))
	must(t, s.PutCheckpoint(ctx, "prod-eu", "baseline", []byte{0, 1, 255}, now.Add(time.Second)))
	must(t, s.PutCheckpoint(ctx, "prod-us", "baseline", nil, now))
	same(t, "newest", get(s.Checkpoint(ctx, "prod-eu", "baseline"))(t), []byte{0, 1, 255})
	if blob := get(s.Checkpoint(ctx, "prod-us", "baseline"))(t); len(blob) != 0 {
		t.Errorf("another cluster's: %v", blob)
	}
}
