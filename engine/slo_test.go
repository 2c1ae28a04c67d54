package engine_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/slo"
)

// promised gives an app whose Service asks for an objective.
func (w *world) promised(name, availability string) []*report.Resource {
	app := w.app(name, name+":v1")
	for _, r := range app {
		if r.GetKind() == entity.Service {
			r.Annotations = map[string]string{"atlhyper.io/slo-availability": availability}
		}
	}
	return app
}

// minute gives the minute that just ended, in which a service answered requests of which some failed.
func (w *world) minute(name string, total, errors float64) *report.TelemetryMinute {
	return &report.TelemetryMinute{Start: timestamppb.New(w.now.Truncate(time.Minute).Add(-time.Minute)), Requests: []*report.RequestCount{{
		Entity: &report.EntityRef{Kind: entity.Service, Namespace: "shop", Name: name}, Layer: slo.Mesh, Total: total, Errors: errors,
		Start: timestamppb.New(w.now.Add(-time.Hour)), // of the agent's own clock: the minute's counts
		Span:  durationpb.New(time.Minute),
	}}}
}

// counts makes a cluster report one minute after another; failing gives the share that fails now.
func (w *world) counts(cluster, name string, total float64, failing func() float64) {
	w.fed[cluster] = func(now time.Time) *report.ReportRequest {
		b := &report.ReportRequest{}
		if now.Second() == 0 {
			b.Minutes = []*report.TelemetryMinute{w.minute(name, total, total*failing())}
		}
		return b
	}
}

func TestABurningBudgetOpensAnIncidentThatSaysWhatItCosts(t *testing.T) {
	w := newWorld(t)
	w.join("prod", 0, w.promised("checkout", "99.9")...)
	share := 0.0
	w.counts("prod", "checkout", 600, func() float64 { return share })
	w.pass(2 * time.Hour)
	if is := w.incidents(); len(is) != 0 {
		t.Fatalf("a healthy service opened %s", is[0].Title)
	}
	begun := w.now
	share = 0.3
	w.pass(4 * time.Minute)
	is := w.incidents()
	if len(is) != 1 || is[0].Stage != incident.StageIncident || is[0].Title != "checkout is burning its error budget" {
		t.Fatalf("after four minutes: %+v", is)
	}
	// 14.4 over an hour is 518 bad requests of 36,000: the third minute has brought 540.
	if took := is[0].OpenedAt.Sub(begun); took < 3*time.Minute || took > 3*time.Minute+20*time.Second {
		t.Errorf("it opened after %s", took)
	}
	if i := is[0]; !strings.Contains(i.Cause.Summary, "budget burning") || !strings.Contains(i.Cause.Summary, "of requests fail") || i.Severity != incident.SeverityCritical {
		t.Errorf("the cause is %+v", i.Cause)
	}
	if i := is[0]; !strings.HasPrefix(i.Budget, "budget burning ") || !strings.Contains(i.Budget, "checkout's 30 d budget spent") {
		t.Errorf("the budget says %q", i.Budget)
	}
	share = 0
	w.pass(40 * time.Minute)
	is = w.incidents()
	if len(is) != 1 || is[0].Stage != incident.StageResolved {
		t.Fatalf("healed, it is %+v", is[0].Stage)
	}
	if b := is[0].Budget; strings.Contains(b, "burning") || !strings.Contains(b, "% of checkout's 30 d budget spent") {
		t.Errorf("over, the budget says %q", b)
	}
	for _, i := range is {
		for _, e := range i.Timeline {
			if strings.Contains(e.Text, slo.SlowBurn) {
				t.Errorf("a slow burn is told of a fast one: %s", e.Text)
			}
		}
	}
}

func TestABurnAtTheEntryDoesNotTakeTheBlame(t *testing.T) {
	w := newWorld(t)
	payments := w.app("payments", "payments:v2")
	w.join("prod", 0, append(w.promised("checkout", "99.9"), payments...)...)
	w.ingest("prod", &report.ReportRequest{Edges: []*report.GenericEdge{{
		From: &report.EntityRef{Kind: entity.Service, Namespace: "shop", Name: "checkout"}, To: &report.EntityRef{Kind: entity.Service, Namespace: "shop", Name: "payments"}, Type: "calls",
	}}})
	share := 0.0
	w.counts("prod", "checkout", 600, func() float64 { return share })
	w.pass(time.Hour)
	share = 0.9
	w.ingest("prod", &report.ReportRequest{Upserts: w.crashed(payments, 0)})
	w.pass(8 * time.Minute)
	is := w.incidents()
	if len(is) != 1 || is[0].Cause.Entity.Name != "payments" || is[0].Cause.Kind != "CrashLoopBackOff" {
		t.Fatalf("incidents: %+v", is)
	}
	burns := false
	for _, a := range is[0].Entities {
		burns = burns || a.Entity.Name == "checkout" && a.Entity.Kind == entity.Service && a.Role == incident.RoleSymptom && strings.HasPrefix(a.Why, "budget burning")
	}
	if !burns || !strings.Contains(is[0].Budget, "budget burning") {
		t.Errorf("the burn is not a symptom: %+v, %q", is[0].Entities, is[0].Budget)
	}
}

func TestCountsAndHistorySurviveARestart(t *testing.T) {
	w := newWorld(t)
	app := w.promised("checkout", "99.9")
	w.join("prod", 0, app...)
	ref := entity.Ref{Cluster: "prod", Kind: entity.Service, Namespace: "shop", Name: "checkout"}
	w.fed["prod"] = func(now time.Time) *report.ReportRequest {
		b := w.frame(sample(entity.Service, "checkout", "avg_latency", 0.1, 100))
		if now.Second() == 0 {
			b.Minutes = []*report.TelemetryMinute{w.minute("checkout", 600, 1)}
		}
		return b
	}
	w.pass(90 * time.Minute)
	o := w.e.SLO.Objectives("prod")
	if len(o) != 1 || o[0].Source != slo.FromAnnotation || o[0].Target != 0.999 {
		t.Fatalf("objectives: %+v", o)
	}
	before := w.e.SLO.Status(w.now, o[0])
	if before.Budget.Counts.Total != 90*600 || before.Budget.Counts.Bad != 90 {
		t.Errorf("counted %+v", before.Budget.Counts)
	}
	w.restart()
	w.join("prod", 0, app...)
	w.evaluate()
	after := w.e.SLO.Status(w.now, w.e.SLO.Objectives("prod")[0])
	if after.Budget != before.Budget || after.Burns[2] != before.Burns[2] {
		t.Errorf("before %+v, after %+v", before.Budget, after.Budget)
	}
	if v, ok := w.e.History.Ago(ref, "avg_latency", w.now, time.Hour); !ok || v < 0.099 || v > 0.101 {
		t.Errorf("an hour ago latency was %g, %v", v, ok)
	}
}

func TestASkewedAgentsMinutesAreReadOnOurClock(t *testing.T) {
	w := newWorld(t)
	w.join("prod", 3*time.Minute+20*time.Second, w.promised("checkout", "99.9")...) // its clock is behind
	w.counts("prod", "checkout", 600, func() float64 { return 0.5 })
	feed := w.fed["prod"]
	w.fed["prod"] = func(now time.Time) *report.ReportRequest {
		b := feed(now)
		for _, m := range b.GetMinutes() {
			m.Start = timestamppb.New(m.GetStart().AsTime().Add(-3 * time.Minute))
		}
		return b
	}
	w.pass(20 * time.Minute)
	if b := w.e.SLO.Status(w.now, w.e.SLO.Objectives("prod")[0]).Burns[0]; b.Counts.Total != 3000 {
		t.Errorf("five minutes hold %+v", b.Counts)
	}
}

func TestWhatIsUsualAtThisHourIsNoFault(t *testing.T) {
	w := newWorld(t)
	w.join("prod", 0, w.app("report", "report:v1")...)
	usual := func(at time.Time) float64 {
		if at.Hour() == 3 { // the nightly job
			return 0.97
		}
		return 0.3
	}
	node := &report.EntityRef{Kind: entity.Node, Name: "worker-1"}
	for at := w.now.Add(-5 * 24 * time.Hour); at.Before(w.now); at = at.Add(time.Minute) {
		w.e.Warm("prod", &report.TelemetryFrame{Time: timestamppb.New(at), Samples: []*report.Sample{{Entity: node, Metric: "cpu_usage", Value: usual(at)}}})
	}
	w.fed["prod"] = func(now time.Time) *report.ReportRequest {
		return &report.ReportRequest{Frames: []*report.TelemetryFrame{{Time: timestamppb.New(now), Window: durationpb.New(10 * time.Second),
			Samples: []*report.Sample{{Entity: node, Metric: "cpu_usage", Value: usual(now)}}}}}
	}
	w.pass(45 * time.Minute) // it is 03:30
	if is := w.incidents(); len(is) != 0 {
		t.Errorf("the nightly job opened %s", is[0].Title)
	}
	found := false
	for _, a := range w.e.Anomalies("prod") {
		found = found || a.Metric == "cpu_usage" && a.Class == baseline.Saturation && a.Q == 0 && a.Z > 3
	}
	if !found {
		t.Error("the deviation is not even listed: the test shows nothing")
	}
}

func TestThePastIsReadOnceWhereAStoreKeepsIt(t *testing.T) {
	w := newWorld(t)
	w.join("prod", 0, w.promised("checkout", "99.9")...)
	w.evaluate() // no source that counts: nothing is asked, and nothing waits
	w.ingest("prod", &report.ReportRequest{Frames: []*report.TelemetryFrame{{Time: timestamppb.New(w.now), Sources: []*report.SourceStatus{{Source: "clickhouse", Available: true, Signals: []string{"mesh"}}}}}})
	w.pass(time.Minute) // no agent is connected: the question fails, and the engine goes on
	w.e.Backfill("prod", []*report.RequestCount{{
		Entity: &report.EntityRef{Kind: entity.Service, Namespace: "shop", Name: "checkout"}, Layer: slo.Mesh, Total: 1e6, Errors: 400,
		Start: timestamppb.New(w.now.Truncate(24 * time.Hour).Add(-24 * time.Hour)), Span: durationpb.New(24 * time.Hour),
	}})
	if s := w.e.SLO.Status(w.now, w.e.SLO.Objectives("prod")[0]); s.Budget.Counts.Total != 1e6 {
		t.Errorf("counted %+v", s.Budget.Counts)
	}
}

func TestSettingAnObjectiveIsAudited(t *testing.T) {
	w := newWorld(t)
	w.join("prod", 0, w.app("checkout", "checkout:v1")...)
	mia := people.Person{ID: "slack:mia", Name: "Mia"}
	o := slo.Objective{Entity: entity.Ref{Cluster: "prod", Kind: entity.Service, Namespace: "shop", Name: "checkout"}, Kind: slo.Availability, Target: 0.999}
	if _, err := w.e.SetObjective(context.WithoutCancel(t.Context()), o, mia); err == nil {
		t.Fatal("a viewer may set objectives")
	}
	mia.Local = true
	set, err := w.e.SetObjective(t.Context(), o, mia)
	if err != nil || set.By != "Mia" || !set.At.Equal(w.now) {
		t.Fatalf("%+v, %v", set, err)
	}
	if err := w.e.RemoveObjective(t.Context(), set.Key(), mia); err != nil {
		t.Fatal(err)
	}
	entries, err := w.db.AuditEntries(t.Context(), 0, 10)
	if err != nil || len(entries) != 2 || entries[0].Action != "objective.set" || entries[1].Action != "objective.removed" || entries[0].Actor.ID != "slack:mia" {
		t.Errorf("audited: %+v, %v", entries, err)
	}
}
