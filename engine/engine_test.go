package engine_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/storage"
)

func TestASilentAgentIsToldWithinAMinuteAndClosesNothing(t *testing.T) {
	w := newWorld(t)
	app := w.app("cart", "cart:v1")
	w.join("prod", 0, app...)
	w.pass(time.Minute)
	w.ingest("prod", &report.ReportRequest{Upserts: w.crashed(app, 0)})
	w.pass(2 * time.Minute)
	if is := w.incidents(); len(is) != 1 || is[0].Stage != incident.StageIncident {
		t.Fatalf("incidents are %v", is)
	}
	w.fed["prod"] = nil
	w.pass(40 * time.Second)
	if got := w.events("prod"); got != nil {
		t.Errorf("after 40 s it is told already: %q", got)
	}
	w.pass(20 * time.Second)
	if got := w.events("prod"); len(got) != 1 || !strings.HasPrefix(got[0], "silent: The agent of prod is silent since 02:48:00 UTC") {
		t.Errorf("told %q", got)
	}
	w.pass(time.Hour)
	if is := w.incidents(); len(w.events("prod")) != 1 || len(is) != 1 || is[0].Stage != incident.StageIncident {
		t.Errorf("an hour of silence told %q and left %v", w.events("prod"), is[0].Stage)
	}
	w.ingest("prod", &report.ReportRequest{})
	w.evaluate()
	if got := w.events("prod"); len(got) != 2 || got[1] != "back: The agent of prod speaks again." {
		t.Errorf("told %q", got)
	}
}

func TestAnAgentThatDiedWhileTheEngineWasAwayIsMissed(t *testing.T) {
	w := newWorld(t)
	w.join("prod", 0)
	w.evaluate()
	if err := w.e.Save(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.e.Close()
	w.start()
	w.fed = map[string]func(time.Time) *report.ReportRequest{} // nobody comes back
	if err := w.e.Expect(t.Context(), "prod", "never-joined"); err != nil {
		t.Fatal(err)
	}
	w.pass(time.Minute)
	if got := w.events("prod"); len(got) != 1 || !strings.HasPrefix(got[0], "silent: The agent of prod is silent since") {
		t.Errorf("told %q", got)
	}
	if got := w.events("never-joined"); got != nil {
		t.Errorf("a cluster that never reported is missed: %q", got)
	}
}

func TestAKindThatMayNotBeListedIsToldOnceAndWhenItMay(t *testing.T) {
	w := newWorld(t)
	w.join("prod", 0)
	state := func(s report.KindStatus_State, message string) {
		w.ingest("prod", &report.ReportRequest{Kinds: []*report.KindStatus{{Kind: "Secret", State: s, Message: message}, {Kind: "Pod", State: report.KindStatus_STATE_SYNCED}, {Kind: "HTTPRoute", State: report.KindStatus_STATE_NOT_INSTALLED}}})
		w.pass(time.Minute)
	}
	state(report.KindStatus_STATE_FORBIDDEN, "no")
	state(report.KindStatus_STATE_FORBIDDEN, "no")
	state(report.KindStatus_STATE_SYNCED, "")
	state(report.KindStatus_STATE_FAILING, "the API server answers 500")
	want := []string{
		"degraded: The agent of prod may not list Secret: that is not watched. Everything else is.",
		"recovered: The agent of prod reads Secret again.",
		"degraded: The agent of prod cannot read Secret: the API server answers 500.",
	}
	if got := w.events("prod"); !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
}

func TestAnAPIServerThatIsAwayIsOneMessageAndOneAtItsEnd(t *testing.T) {
	w := newWorld(t)
	w.join("prod", 0)
	kinds := func(failing int) {
		var all []*report.KindStatus
		for i, kind := range []string{"Pod", "Node", "Deployment", "Service", "Ingress", "Secret", "Job"} {
			k := &report.KindStatus{Kind: kind, State: report.KindStatus_STATE_SYNCED}
			if i < failing {
				k.State, k.Message = report.KindStatus_STATE_FAILING, "the API server cannot be reached: connection refused"
			}
			all = append(all, k)
		}
		w.ingest("prod", &report.ReportRequest{Kinds: all})
	}
	kinds(2)
	w.evaluate()
	kinds(0)
	w.pass(time.Minute)
	if got := w.events("prod"); got != nil {
		t.Errorf("a hiccup is told: %q", got)
	}
	kinds(3)
	w.evaluate()
	kinds(7)
	w.pass(time.Minute)
	kinds(1)
	w.pass(time.Minute)
	kinds(0)
	w.pass(time.Minute)
	want := []string{
		"degraded: The agent of prod cannot read Deployment, Ingress, Job, Node and 3 more kinds: the API server cannot be reached: connection refused.",
		"recovered: The reading of the API server of prod is well again.",
	}
	if got := w.events("prod"); !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
}

func TestLostTelemetryIsToldAndAbsentTelemetryIsNot(t *testing.T) {
	w := newWorld(t)
	w.join("prod", 0)
	sources := func(s ...*report.SourceStatus) {
		w.ingest("prod", &report.ReportRequest{Frames: []*report.TelemetryFrame{{Sources: s}}})
		w.pass(30 * time.Second)
	}
	metrics, traces := &report.SourceStatus{Source: "metrics-api"}, &report.SourceStatus{Source: "clickhouse", Available: true}
	metrics.Message = "no metrics API"
	sources(metrics, traces)
	if got := w.events("prod"); got != nil {
		t.Errorf("told %q", got)
	}
	sources(metrics, &report.SourceStatus{Source: "clickhouse", Message: "connection refused"})
	sources(metrics, traces)
	want := []string{
		"degraded: The telemetry source clickhouse of prod gives nothing any more: connection refused.",
		"recovered: The telemetry source clickhouse of prod is well again.",
	}
	if got := w.events("prod"); !slices.Equal(got, want) {
		t.Errorf("told %q", got)
	}
}

func TestAClockThatIsOffIsToldAndDoesNoHarm(t *testing.T) {
	for _, ahead := range []time.Duration{5 * time.Minute, -5 * time.Minute} {
		t.Run(ahead.String(), func(t *testing.T) {
			w := newWorld(t)
			app := w.app("cart", "cart:v1")
			w.join("prod", -ahead, app...) // skew is the engine's clock minus the agent's
			w.pass(10 * time.Minute)
			if got := w.events("prod"); len(got) != 1 || got[0] != "degraded: The clock of prod is off by 5m0s; the engine's clock counts." {
				t.Errorf("told %q", got)
			}
			if is := w.incidents(); len(is) != 0 {
				t.Fatalf("the clock opened %v", is[0].Title)
			}
			begun := w.now
			w.ingest("prod", &report.ReportRequest{Upserts: w.crashed(app, ahead)})
			w.pass(2 * time.Minute)
			is := w.incidents()
			if len(is) != 1 || is[0].OpenedAt.Before(begun) || is[0].OpenedAt.After(begun.Add(time.Minute)) {
				t.Fatalf("a crash at %s opened %+v", begun, is)
			}
			if onset := is[0].Cause.Onset; onset.After(w.now) || onset.Before(begun.Add(-time.Minute)) {
				t.Errorf("it is said to have begun at %s, and began at %s", onset, begun)
			}
		})
	}
}

func TestAFactOpensAnIncidentWithoutWaitingForATick(t *testing.T) {
	w := newWorld(t)
	app := w.app("cart", "cart:v1")
	w.join("prod", 0, app...)
	w.evaluate()
	drain(w.e)
	w.ingest("prod", w.frame(sample(entity.Service, "cart", "error_rate", 0.01, 100)))
	select {
	case <-w.e.Woken():
		t.Error("a frame alone wakes nobody: anomalies are found by the tick")
	default:
	}
	w.now = w.now.Add(3 * time.Second)
	w.ingest("prod", &report.ReportRequest{Upserts: w.crashed(app, 0)})
	select {
	case <-w.e.Woken():
	default:
		t.Fatal("a crash did not wake the loop")
	}
	w.evaluate()
	if opened := w.told(event.IncidentOpened); len(opened) != 1 || opened[0].Cluster != "prod" || !opened[0].At.Equal(w.now) {
		t.Errorf("told %v", opened)
	}
	facts := w.e.Facts("prod")
	if len(facts) == 0 || !strings.HasPrefix(w.incidents()[0].Title, "cart ") {
		t.Errorf("facts are %v, the title is %q", facts, w.incidents()[0].Title)
	}
}

func drain(e *engine.Engine) {
	select {
	case <-e.Woken():
	default:
	}
}

// TestTheLoopRunsByItself uses the loop as a process does: evaluations come from reports and ticks, and the end saves.
func TestTheLoopRunsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		db, err := storage.Open(t.Context(), ":memory:", storage.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		e, err := engine.New(t.Context(), engine.Config{Store: db})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		ctx, cancel := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- e.Run(ctx) }()
		e.Joined("prod", &report.JoinRequest{}, 0)
		if err := e.Ingest(ctx, "prod", &report.ReportRequest{ResyncBegin: true, ResyncEnd: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(56 * time.Second)
		c, _ := e.Fleet.Cluster("prod")
		if !c.Status().Silent {
			t.Error("the tick did not notice the silence")
		}
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if blob, err := db.Checkpoint(context.WithoutCancel(ctx), "prod", "changes"); err != nil || blob == nil {
			t.Errorf("the end saved %q, %v", blob, err)
		}
	})
}

func TestARestartKeepsWhatIsNormalAndWhatChanged(t *testing.T) {
	w := newWorld(t)
	app := w.app("cart", "cart:v1")
	w.join("prod", 0, app...)
	n := 0
	w.fed["prod"] = func(time.Time) *report.ReportRequest {
		n++
		return w.frame(sample(entity.Service, "cart", "avg_latency", 0.1+0.01*float64(n%3), 100))
	}
	w.pass(20 * time.Minute)
	roll := func(to, revision string) {
		d := proto.CloneOf(app[1])
		d.GetWorkload().Images, d.GetWorkload().TemplateHash, d.GetWorkload().Revision = map[string]string{"app": to}, "t-"+to, revision
		app[1] = d
		w.ingest("prod", &report.ReportRequest{Upserts: []*report.Resource{d}})
		w.pass(time.Minute)
	}
	roll("cart:v2", "18")
	roll("cart:v3", "19")
	ref := entity.Ref{Cluster: "prod", Kind: entity.Service, Namespace: "shop", Name: "cart"}
	mean, spread, ok := w.e.Normal(ref, "avg_latency")
	c, _ := w.e.Fleet.Cluster("prod")
	changes := c.Changes(time.Time{})
	if !ok || len(changes) != 2 || changes[0].String() != "image cart:v2 → cart:v3 (revision 19)" {
		t.Fatalf("before the restart normal is %v (%v), changes are %v", mean, ok, changes)
	}
	w.restart()
	if len(w.e.Fleet.Clusters()) != 0 {
		t.Errorf("the new process knows %q before anybody joined", w.e.Fleet.Clusters())
	}
	// Somebody asks before the agent is back: that must not keep the checkpoint from being read.
	w.e.LastFrame("prod")
	w.e.Facts("prod")
	w.e.Assessment("prod")
	if g := w.e.Graph("prod"); g.N() != 0 || len(w.e.Fleet.Clusters()) != 0 {
		t.Error("a question made a cluster known")
	}
	w.join("prod", 0, app...)
	if m, s, ok := w.e.Normal(ref, "avg_latency"); !ok || m != mean || s != spread {
		t.Errorf("normal was %v ± %v and is %v ± %v (%v)", mean, spread, m, s, ok)
	}
	c, _ = w.e.Fleet.Cluster("prod")
	if got := c.Changes(time.Time{}); !slices.Equal(got, changes) {
		t.Errorf("changes were %v and are %v", changes, got)
	}
	w.restart()
	w.join("prod", 0, app...)
	c, _ = w.e.Fleet.Cluster("prod")
	if got := c.Changes(time.Time{}); !slices.Equal(got, changes) {
		t.Errorf("after two restarts changes are %v", got)
	}
}

func TestACheckpointThatCannotBeReadIsNoReasonNotToStart(t *testing.T) {
	w := newWorld(t)
	for _, kind := range []string{"baseline", "detect", "changes", "topology"} {
		if err := w.db.PutCheckpoint(t.Context(), "prod", kind, []byte("{broken"), w.now); err != nil {
			t.Fatal(err)
		}
	}
	app := w.app("cart", "cart:v1")
	w.join("prod", 0, app...)
	w.ingest("prod", &report.ReportRequest{Upserts: w.crashed(app, 0)})
	w.pass(time.Minute)
	if len(w.incidents()) != 1 {
		t.Error("a broken checkpoint made the engine blind")
	}
}

func TestAnIncidentGoesOnAfterARestart(t *testing.T) {
	w := newWorld(t)
	app := w.app("cart", "cart:v1")
	w.join("prod", 0, app...)
	w.ingest("prod", &report.ReportRequest{Upserts: w.crashed(app, 0)})
	w.pass(3 * time.Minute)
	before := w.incidents()
	w.restart()
	now := append(slices.Clone(app), w.crashed(app, 0)...) // the later form of a pod counts
	w.join("prod", 0, now...)
	w.pass(5 * time.Minute)
	if after := w.incidents(); len(before) != 1 || len(after) != 1 || after[0].ID != before[0].ID || after[0].Stage != incident.StageIncident {
		t.Errorf("there was %v, there is %v", before, after)
	}
	if opened := w.told(event.IncidentOpened); len(opened) != 1 {
		t.Errorf("it was opened %d times", len(opened))
	}
}

func TestAnIncidentThatComesAgainRemembersTheEarlierOne(t *testing.T) {
	w := newWorld(t)
	app := w.app("cart", "cart:v1")
	w.join("prod", 0, append(app, w.app("search", "search:v1")...)...)
	for range 2 {
		w.ingest("prod", &report.ReportRequest{Upserts: w.crashed(app, 0)})
		w.pass(7 * time.Minute)
		w.ingest("prod", &report.ReportRequest{Upserts: app})
		w.pass(3 * time.Hour) // long after it could be the same one again
	}
	all := w.incidents()
	if len(all) != 2 {
		t.Fatalf("%d incidents, want two", len(all))
	}
	slices.SortFunc(all, func(a, b *incident.Incident) int { return a.OpenedAt.Compare(b.OpenedAt) })
	for _, c := range []struct {
		of   *incident.Incident
		want []string
	}{{all[1], []string{all[0].ID}}, {all[0], nil}} {
		past, err := w.e.Past(t.Context(), c.of)
		if err != nil {
			t.Fatal(err)
		}
		got := incident.Similar(c.of, past, 5)
		var ids []string
		for _, m := range got {
			ids = append(ids, m.Incident.ID)
			if m.Cause != 1 || m.Score < 0.8 {
				t.Errorf("%s is like %s by %+v", c.of.ID, m.Incident.ID, m)
			}
		}
		if !slices.Equal(ids, c.want) {
			t.Errorf("like %s are %v, want %v", c.of.ID, ids, c.want)
		}
	}
}

// TestTwoClustersTogetherAreWhatEachIsAlone runs the same two stories in one engine and in two: nothing of one cluster
// may reach the other, though their objects have the same names.
func TestTwoClustersTogetherAreWhatEachIsAlone(t *testing.T) {
	story := func(w *world, clusters ...string) map[string]string {
		apps := map[string][]*report.Resource{}
		for _, c := range clusters {
			apps[c] = w.app("cart", "cart:v1")
			w.join(c, 0, apps[c]...)
			n := 0
			w.fed[c] = func(time.Time) *report.ReportRequest {
				n++
				latency := 0.1 + 0.005*float64(n%4)
				if c == "west" && n > 120 {
					latency *= 10
				}
				return w.frame(sample(entity.Service, "cart", "avg_latency", latency, 100), sample(entity.Service, "cart", "request_rate", 50, 0))
			}
		}
		w.pass(15 * time.Minute)
		for _, c := range clusters {
			if c == "east" {
				w.ingest(c, &report.ReportRequest{Upserts: w.crashed(apps[c], 0)})
			}
		}
		w.pass(15 * time.Minute)
		out := map[string]string{}
		for _, c := range clusters {
			var b strings.Builder
			for _, f := range w.e.Facts(c) {
				fmt.Fprintf(&b, "fact %s %s %s %.3f\n", f.Entity, f.Kind, f.Text, f.Score)
			}
			for _, a := range w.e.Anomalies(c) {
				fmt.Fprintf(&b, "anomaly %s %s %v\n", a.Entity, a.Metric, a.Z)
			}
			scores := w.e.Assessment(c).Scores
			for _, r := range slices.SortedFunc(maps.Keys(scores), entity.Compare) {
				fmt.Fprintf(&b, "score %s %.6f %.6f\n", r, scores[r].Local, scores[r].Final)
			}
			for _, i := range w.incidents() {
				if i.Cluster == c {
					fmt.Fprintf(&b, "incident %s %s %s %s %s %.4f\n", i.Title, i.Stage, i.Cause.Entity, i.Cause.Summary, i.OpenedAt, i.PeakRisk)
				}
			}
			out[c] = b.String()
		}
		return out
	}
	together := story(newWorld(t), "east", "west")
	for _, c := range []string{"east", "west"} {
		alone := story(newWorld(t), c)
		if together[c] != alone[c] {
			t.Errorf("%s together with another:\n%s\nalone:\n%s", c, together[c], alone[c])
		}
		if !strings.Contains(alone[c], "incident ") {
			t.Errorf("%s has no incident: the story shows nothing:\n%s", c, alone[c])
		}
	}
}

func TestReportedEdgesAreInTheGraphOnceAndAtOnce(t *testing.T) {
	w := newWorld(t)
	w.join("case", 0)
	w.evaluate()
	ref := func(name string) *report.EntityRef { return &report.EntityRef{Kind: entity.Service, Name: name} }
	edges := &report.ReportRequest{Edges: []*report.GenericEdge{{From: ref("front"), To: ref("back"), Type: "calls"}, nil, {From: ref("lonely")}}}
	for range 3 {
		w.ingest("case", edges)
		w.evaluate()
	}
	front := entity.Ref{Cluster: "case", Kind: entity.Service, Name: "front"}
	g := w.e.Graph("case")
	if out := g.Out(front); len(out) != 1 || out[0].To.Name != "back" || g.N() != 2 {
		t.Errorf("the graph has %d vertices, and front depends on %v", g.N(), out)
	}
}

// failing is a store whose log of events cannot be written for a while.
type failing struct {
	*storage.DB
	broken bool
}

func (f *failing) AppendEvents(ctx context.Context, es ...event.Event) error {
	if f.broken {
		return errors.New("disk full")
	}
	return f.DB.AppendEvents(ctx, es...)
}

func TestWhatCouldNotBeToldIsToldLater(t *testing.T) {
	w := newWorld(t)
	store := &failing{DB: w.db}
	e, err := engine.New(t.Context(), engine.Config{Store: store, Now: func() time.Time { return w.now }})
	if err != nil {
		t.Fatal(err)
	}
	w.e.Close()
	w.e = e
	w.join("prod", 0)
	w.evaluate()
	store.broken = true
	w.ingest("prod", &report.ReportRequest{Kinds: []*report.KindStatus{{Kind: "Secret", State: report.KindStatus_STATE_FORBIDDEN}}})
	w.now = w.now.Add(time.Minute)
	for range 2 {
		if err := e.Evaluate(t.Context(), w.now); err == nil {
			t.Fatal("the evaluation did not say that nothing was told")
		}
	}
	store.broken = false
	w.evaluate()
	w.evaluate()
	if got := w.events("prod"); len(got) != 2 || !strings.HasPrefix(got[0], "silent") || !strings.HasPrefix(got[1], "degraded") {
		t.Errorf("told %q", got)
	}
}

func TestReportsQuestionsAndEvaluationsDoNotMeet(t *testing.T) {
	w := newWorld(t)
	app := w.app("cart", "cart:v1")
	w.join("prod", 0, app...)
	stop := make(chan struct{})
	var wg sync.WaitGroup
	loop := func(f func(i int)) {
		wg.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					f(i)
				}
			}
		})
	}
	loop(func(i int) {
		b := w.frame(sample(entity.Service, "cart", "avg_latency", 0.1, 10))
		b.Edges = []*report.GenericEdge{{From: &report.EntityRef{Kind: "Service", Name: "a"}, To: &report.EntityRef{Kind: "Service", Name: fmt.Sprint(i % 50)}, Type: "calls"}}
		b.Upserts = []*report.Resource{app[i%len(app)]}
		if err := w.e.Ingest(t.Context(), "prod", b); err != nil {
			t.Error(err)
		}
	})
	loop(func(int) {
		w.e.Graph("prod").N()
		w.e.Facts("prod")
		w.e.Anomalies("prod")
		w.e.Assessment("prod")
		w.e.LastFrame("prod")
	})
	for range 30 {
		w.evaluate()
	}
	close(stop)
	wg.Wait()
}

func FuzzIngest(f *testing.F) {
	w := newWorld(f)
	app := w.app("cart", "cart:v1")
	for _, b := range []*report.ReportRequest{
		{ResyncBegin: true, ResyncEnd: true, Upserts: append(app, w.crashed(app, 0)...)},
		w.frame(sample(entity.Service, "cart", "avg_latency", math.NaN(), math.Inf(1))),
		{Upserts: []*report.Resource{{Kind: "Pod", Name: "p", Uid: "p", Namespace: "shop", Owners: []*report.Owner{{Kind: "Pod", Name: "p", Uid: "p", Controller: true}}}}},
		{Upserts: []*report.Resource{{Kind: "Event", Name: "e", Detail: &report.Resource_Event{Event: &report.Event{Type: "Warning", Reason: "BackOff", Last: timestamppb.New(w.now)}}}}},
		{Kinds: []*report.KindStatus{{Kind: "Pod", State: report.KindStatus_STATE_FORBIDDEN}}, Deletes: []*report.ResourceKey{{Kind: "Pod"}}},
	} {
		raw, err := proto.Marshal(b)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	n := 0
	f.Fuzz(func(t *testing.T, raw []byte) {
		var b report.ReportRequest
		if proto.Unmarshal(raw, &b) != nil {
			return
		}
		n++ // a cluster of its own in one engine: a store for each would take most of the time
		cluster := fmt.Sprint("prod-", n)
		w.t = t
		w.join(cluster, time.Duration(len(raw))*time.Second)
		for range 3 {
			w.ingest(cluster, &b)
			w.now = w.now.Add(time.Minute)
			if err := w.e.Evaluate(t.Context(), w.now); err != nil {
				t.Fatal(err)
			}
		}
		w.e.Fleet.Remove(cluster)
	})
}
