// Package engine is the core: it takes what agents report, decides what is wrong and whose fault it is, keeps the
// incidents, and runs approved commands. It is a function of the time that it is given: nothing in it reads a clock but
// through Config.Now.
package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/audit"
	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/gateway"
	"github.com/bukahou/atlhyper/engine/history"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/risk"
	"github.com/bukahou/atlhyper/engine/rota"
	"github.com/bukahou/atlhyper/engine/silence"
	"github.com/bukahou/atlhyper/engine/slo"
	"github.com/bukahou/atlhyper/engine/topology"
)

// Store is what the engine keeps on disk. Package storage implements it.
type Store interface {
	incident.Store
	command.Store
	audit.Store
	people.Store
	silence.Store
	slo.Store
	gateway.Tokens
	// AppendEvents appends to the log by itself, for events that tell of no stored record.
	AppendEvents(ctx context.Context, events ...event.Event) error
	// PutCheckpoint replaces one blob of a cluster; Checkpoint reads it, nil when there is none.
	PutCheckpoint(ctx context.Context, cluster, kind string, blob []byte, at time.Time) error
	Checkpoint(ctx context.Context, cluster, kind string) ([]byte, error)
	// Prune deletes what is older than its retention.
	Prune(ctx context.Context, now time.Time) error
}

// Config of an Engine.
type Config struct {
	Store       Store
	Now         func() time.Time // default time.Now
	Tick        time.Duration    // between periodic evaluations; default 10 s
	SilentAfter time.Duration    // an agent is told silent after this long without a report; default 45 s
	SkewLimit   time.Duration    // a clock difference beyond this is told; default 1 min
	Scale       float64          // the detectors' and the state machine's durations are multiplied by it; default 1
	Baseline    baseline.Config
	Objectives  []slo.Objective // of the file of objectives
	Formulas    Formulas        // default Default
	NoChanges   bool            // the what-changed rule is off
	Policy      command.Policy
	Admins      []string      // "slack:U123"
	PeopleFile  *people.File  // roles kept in a file; nil for none
	Rota        *rota.Rota    // who is on call; nil when nobody ever is
	VerifyFor   time.Duration // how long a command may take to show its effect; default 5 min
	Checkpoint  time.Duration // between checkpoints; default 1 min
	Logger      *slog.Logger
}

// Engine is safe for concurrent use.
type Engine struct {
	Fleet     *fleet.Fleet
	Incidents *incident.Keeper
	Desk      *command.Desk
	People    *people.Directory
	Audit     *audit.Log
	SLO       *slo.Tracker
	History   *history.Recorder
	Rota      *rota.Rota // nil when there is none

	silences *silence.Desk
	cfg      Config
	log      *slog.Logger
	gateway  *gateway.Gateway
	detector *detect.Detector
	learner  normality
	scorer   scorer
	wake     chan struct{} // capacity 1: something changed that a detector may know

	evaluating  sync.Mutex // one evaluation at a time
	nextSave    time.Time  // guarded by evaluating
	nextHistory time.Time  // guarded by evaluating
	nextPrune   time.Time  // guarded by evaluating

	background context.Context // ends at Close
	stop       context.CancelFunc
	seeding    sync.WaitGroup // reads of the past that are under way; Close waits for them

	mu    sync.RWMutex // guards views
	views map[string]*view
}

// view is what was concluded of one cluster at the last evaluation.
type view struct {
	warmed     bool // Warm has taught a history that no present has followed yet
	restored   bool // the checkpoints were looked for
	graph      *topology.Graph
	version    uint64 // of the resources behind graph
	traffic    time.Time
	extra      []topology.Edge        // only ever appended to, so that a graph may be built from a copy of the slice
	extras     map[topology.Edge]bool // what extra holds: a repeated report adds nothing
	built      int                    // how many of extra are in graph
	facts      []detect.Fact
	anomalies  []baseline.Anomaly
	assessment *risk.Assessment
	degraded   map[string]bool // what was told as degraded
	failing    time.Time       // since when kinds cannot be read; zero while all can; guarded by Engine.evaluating
	framed     time.Time
	sourced    map[string]bool          // telemetry sources that have been available; guarded by Engine.evaluating
	first      map[entity.Ref]time.Time // guarded by Engine.evaluating
	seed       seed
	declared   uint64        // version of the resources whose annotations were read; guarded by Engine.evaluating
	burning    []detect.Fact // guarded by Engine.evaluating
}

// New wires the engine and loads what an earlier process stored.
func New(ctx context.Context, cfg Config) (*Engine, error) {
	if cfg.Store == nil {
		return nil, errors.New("engine: a store is needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Tick = cmp.Or(cfg.Tick, 10*time.Second)
	cfg.Scale = cmp.Or(cfg.Scale, 1)
	cfg.SilentAfter = cmp.Or(cfg.SilentAfter, 45*time.Second)
	cfg.SkewLimit = cmp.Or(cfg.SkewLimit, time.Minute)
	cfg.Checkpoint = cmp.Or(cfg.Checkpoint, time.Minute)
	cfg.VerifyFor = cmp.Or(cfg.VerifyFor, 5*time.Minute)
	timing := incident.Timing{}.Scaled(cfg.Scale)
	if slow := 3 * cfg.Tick; slow > timing.Gap { // who reports every five minutes has not been away in between
		timing.Gap = slow
		cfg.Baseline.Stale = cmp.Or(cfg.Baseline.Stale, max(slow, 90*time.Second))
	}
	learner, scorer, err := judges(cfg.Formulas, cfg.Baseline)
	if err != nil {
		return nil, err
	}
	e := &Engine{
		cfg: cfg, log: cfg.Logger, Fleet: fleet.New(fleet.Config{}),
		detector: detect.New(detect.Config{Timing: detect.Timing{}.Scaled(cfg.Scale)}), learner: learner, scorer: scorer,
		History: history.New(history.Config{}), Rota: cfg.Rota,
		wake: make(chan struct{}, 1), views: map[string]*view{},
	}
	e.background, e.stop = context.WithCancel(context.WithoutCancel(ctx))
	if e.SLO, err = slo.New(ctx, slo.Config{Store: cfg.Store, File: cfg.Objectives, Logger: cfg.Logger}); err != nil {
		return nil, err
	}
	if e.gateway, err = gateway.New(gateway.Config{Tokens: cfg.Store, Sink: e, Heartbeat: cfg.SilentAfter / 4, Now: cfg.Now, Logger: cfg.Logger}); err != nil {
		return nil, err
	}
	if e.People, err = people.New(ctx, people.Config{Store: cfg.Store, Admins: cfg.Admins, File: cfg.PeopleFile}); err != nil {
		return nil, err
	}
	if e.silences, err = silence.New(ctx, cfg.Store); err != nil {
		return nil, err
	}
	if e.Audit, err = audit.New(ctx, audit.Config{Store: cfg.Store, Now: cfg.Now}); err != nil {
		return nil, err
	}
	e.Incidents = incident.New(incident.Config{
		Store: cfg.Store, Timing: timing, IgnoreChanges: cfg.NoChanges, Quiet: e.standing, Logger: cfg.Logger,
	})
	if err = e.Incidents.Load(ctx); err != nil {
		return nil, fmt.Errorf("load incidents: %w", err)
	}
	return e, e.openDesk()
}

// Incident gives one record; incident.ErrNotFound when there is none.
func (e *Engine) Incident(ctx context.Context, id string) (*incident.Incident, error) {
	return e.cfg.Store.Incident(ctx, id)
}

// ListIncidents lists records, newest first.
func (e *Engine) ListIncidents(ctx context.Context, f incident.Filter) ([]*incident.Incident, error) {
	return e.cfg.Store.Incidents(ctx, f)
}

// Past gives what an incident is compared with: the records of its cluster from so long before it as they are remembered.
func (e *Engine) Past(ctx context.Context, i *incident.Incident) ([]*incident.Incident, error) {
	return e.cfg.Store.Incidents(ctx, incident.Filter{Cluster: i.Cluster, Since: i.OpenedAt.Add(-incident.Remembered)})
}

// Gateway is the endpoint that agents dial.
func (e *Engine) Gateway() *gateway.Gateway { return e.gateway }

// Now is the engine's clock.
func (e *Engine) Now() time.Time { return e.cfg.Now() }

// Query reads something in a cluster on demand.
func (e *Engine) Query(ctx context.Context, cluster string, q *report.Query) (*report.Outcome, error) {
	return e.gateway.Query(ctx, cluster, q)
}

// Joined implements gateway.Sink.
func (e *Engine) Joined(cluster string, j *report.JoinRequest, skew time.Duration) {
	c := e.Fleet.Join(cluster)
	e.restore(cluster)
	c.SetStatus(func(s *fleet.Status) {
		s.Skew, s.Agent, s.Kubernetes, s.Verbs = skew, j.GetAgentVersion(), j.GetKubernetesVersion(), j.GetCapabilities()
		s.LastSeen = e.Now()
	})
}

// Ingest implements gateway.Sink: it applies a batch, learns its samples and wakes the loop when a detector could
// conclude something from it.
func (e *Engine) Ingest(_ context.Context, cluster string, b *report.ReportRequest) error {
	now := e.Now()
	c := e.Fleet.Join(cluster)
	d := c.Apply(now, b)
	for _, r := range d.Deletes {
		e.learner.Forget(c.Ref(r))
	}
	if len(d.Frames) > 0 {
		e.begin(cluster, now)
	}
	for _, f := range d.Frames {
		e.framed(cluster, f.GetTime().AsTime())
		e.learn(now, cluster, f.GetSamples())
		e.keep(onOurClock(c, f.GetTime().AsTime()), cluster, f.GetSamples())
	}
	e.minutes(c, b.GetMinutes())
	if len(b.GetEdges())+len(b.GetEntities()) > 0 {
		e.addEdges(cluster, generic(b))
	}
	if len(d.Upserts)+len(d.Deletes) > 0 || d.Synced {
		select {
		case e.wake <- struct{}{}:
		default:
		}
	}
	return nil
}

// generic gives the edges of a report that names entities and edges itself: a service selects the pods that name it.
func generic(b *report.ReportRequest) []*report.GenericEdge {
	edges := b.GetEdges()
	for _, x := range b.GetEntities() {
		if x.GetService().GetName() != "" {
			edges = append(edges[:len(edges):len(edges)], &report.GenericEdge{From: x.GetService(), To: x.GetEntity(), Type: string(topology.Selects)})
		}
	}
	return edges
}

// begin ends the time that Warm taught of, at the first telemetry of the present.
func (e *Engine) begin(cluster string, now time.Time) {
	v := e.view(cluster)
	e.mu.Lock()
	warmed := v.warmed
	v.warmed = false
	e.mu.Unlock()
	if h, ok := e.learner.(historian); ok && warmed {
		h.Begin(cluster, now)
	}
}

func (e *Engine) addEdges(cluster string, edges []*report.GenericEdge) {
	ref := func(r *report.EntityRef) entity.Ref {
		return entity.Ref{Cluster: cluster, Kind: r.GetKind(), Namespace: r.GetNamespace(), Name: r.GetName()}
	}
	v := e.view(cluster)
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, x := range edges {
		edge := topology.Edge{From: ref(x.GetFrom()), To: ref(x.GetTo()), Type: topology.EdgeType(x.GetType()), Weight: 1}
		if edge.From.Name != "" && edge.To.Name != "" && !v.extras[edge] {
			v.extras[edge] = true
			v.extra = append(v.extra, edge)
		}
	}
}

func (e *Engine) framed(cluster string, at time.Time) {
	v := e.view(cluster)
	e.mu.Lock()
	defer e.mu.Unlock()
	if at.After(v.framed) {
		v.framed = at
	}
}

// LastFrame gives the time of the newest telemetry of a cluster, by the agent's clock.
func (e *Engine) LastFrame(cluster string) time.Time {
	v := e.view(cluster)
	e.mu.RLock()
	defer e.mu.RUnlock()
	return v.framed
}

// Warm teaches the baselines a frame of the past, of a time without faults and without any judgement: a demo and a replay
// start warm.
func (e *Engine) Warm(cluster string, f *report.TelemetryFrame) {
	v := e.view(cluster)
	e.mu.Lock()
	v.warmed = true
	e.mu.Unlock()
	e.learn(f.GetTime().AsTime(), cluster, f.GetSamples())
	e.keep(f.GetTime().AsTime(), cluster, f.GetSamples())
}

func (e *Engine) learn(now time.Time, cluster string, samples []*report.Sample) {
	if l, ok := e.learner.(framer); ok {
		l.Learn(now, cluster, samples)
		return
	}
	for _, s := range samples {
		ref := entity.Ref{Cluster: cluster, Kind: s.GetEntity().GetKind(), Namespace: s.GetEntity().GetNamespace(), Name: s.GetEntity().GetName()}
		e.learner.Observe(now, ref, s.GetMetric(), s.GetValue(), s.GetCount())
	}
}

// keep puts samples into the history, at the time that they are of.
func (e *Engine) keep(at time.Time, cluster string, samples []*report.Sample) {
	for _, s := range samples {
		ref := entity.Ref{Cluster: cluster, Kind: s.GetEntity().GetKind(), Namespace: s.GetEntity().GetNamespace(), Name: s.GetEntity().GetName()}
		e.History.Observe(at, ref, s.GetMetric(), s.GetValue(), s.GetCount())
	}
}

// Close stops what runs in the background. A command under way goes on in its cluster.
func (e *Engine) Close() {
	e.stop()
	e.seeding.Wait()
	e.Desk.Close()
}

// Run evaluates at every tick and whenever a report may hold a fault, until ctx ends; then it saves a checkpoint.
func (e *Engine) Run(ctx context.Context) error {
	tick := time.NewTicker(e.cfg.Tick)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			save, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
			defer cancel()
			return e.Save(save)
		case <-tick.C:
		case <-e.wake:
		}
		look, span := tracer.Start(ctx, "evaluate")
		if err := e.Evaluate(look, e.Now()); err != nil && ctx.Err() == nil {
			span.SetStatus(codes.Error, "")
			e.log.Error("evaluation failed", "err", err)
		}
		span.End()
	}
}

// tracer makes a span of each evaluation, where traces are wanted.
var tracer = otel.Tracer("github.com/bukahou/atlhyper/engine")

// Woken gives the signal that Run waits for, to a driver that calls Evaluate itself.
func (e *Engine) Woken() <-chan struct{} { return e.wake }

// Evaluate draws every conclusion that can be drawn at now. It may be called at any moment: persistence is counted in
// time, never in calls.
func (e *Engine) Evaluate(ctx context.Context, now time.Time) error {
	e.evaluating.Lock()
	defer e.evaluating.Unlock()
	var errs []error
	for _, id := range e.Fleet.Clusters() {
		if c, ok := e.Fleet.Cluster(id); ok {
			errs = append(errs, e.evaluate(ctx, now, c))
		}
	}
	errs = append(errs, e.Desk.Tick(ctx, now), e.followFixes(ctx, now), e.keepQuiet(ctx, now))
	if now.After(e.nextSave) {
		errs = append(errs, e.save(ctx, now))
		e.nextSave = now.Add(e.cfg.Checkpoint)
	}
	if now.After(e.nextPrune) {
		for _, id := range e.Fleet.Clusters() {
			e.History.Expire(now, id)
			e.SLO.Forget(now, id)
		}
		errs = append(errs, e.silences.Prune(ctx, now), e.cfg.Store.Prune(ctx, now))
		e.nextPrune = now.Add(time.Hour)
	}
	return errors.Join(errs...)
}

func (e *Engine) evaluate(ctx context.Context, now time.Time, c *fleet.Cluster) error {
	id := c.ID()
	v := e.view(id)
	if err := e.watchAgent(ctx, now, c, v); err != nil {
		return err
	}
	traffic := c.Traffic()
	var seen time.Time
	if len(traffic) > 0 {
		seen = traffic[0].At
	}
	version := c.Version()
	e.mu.RLock()
	graph, extra := v.graph, v.extra
	fresh := graph != nil && v.version == version && v.traffic.Equal(seen) && v.built == len(extra)
	e.mu.RUnlock()
	if !fresh {
		graph = topology.Build(c, extra)
	}
	if v.declared != version {
		e.declare(c)
		v.declared = version
	}
	e.readPast(now, c, v)
	facts := e.detector.Evaluate(now, c)
	if c.Observed() { // else nothing is known, and the burns of the last look stand as the facts do
		v.burning = e.SLO.Facts(now, id)
	}
	facts = append(facts, v.burning...)
	faulted := e.SLO.Burning(now, id)
	for _, f := range facts {
		faulted[f.Entity] = true
	}
	anomalies := e.learner.Anomalies(id, now, func(r entity.Ref) bool { return faulted[r] })
	e.acquit(now, anomalies)
	first := v.since(anomalies)
	in := risk.Input{
		Now: now, Cluster: id, Graph: graph, Facts: facts, Anomalies: anomalies, First: first, Readings: c.Readings, Normal: e.learner.Normal,
	}
	assessment := e.scorer.Score(in)
	e.mu.Lock()
	v.graph, v.version, v.traffic, v.built = graph, version, seen, len(extra)
	v.facts, v.anomalies, v.assessment = facts, anomalies, assessment
	e.mu.Unlock()
	var rebased []baseline.Rebase
	if r, ok := e.learner.(rebaser); ok {
		rebased = r.Rebased(id)
	}
	_, err := e.Incidents.Evaluate(ctx, incident.Observation{
		Now: now, Cluster: id, View: c, Graph: graph, Facts: facts, Anomalies: anomalies, Assessment: assessment,
		Rebased: rebased, Scorer: e.scorer, First: first, Normal: e.learner.Normal, Observed: c.Observed(),
		Toll: func(since time.Time, refs []entity.Ref) string { return e.SLO.Toll(now, since, refs) },
	})
	return err
}

// since keeps for each entity since when it has not been normal without a break.
func (v *view) since(anomalies []baseline.Anomaly) func(entity.Ref) time.Time {
	first := map[entity.Ref]time.Time{}
	for _, a := range anomalies {
		if a.Q <= 0 {
			continue
		}
		at := a.Onset
		if before, ok := v.first[a.Entity]; ok && (at.IsZero() || before.Before(at)) {
			at = before
		}
		if now, ok := first[a.Entity]; !ok || at.Before(now) {
			first[a.Entity] = at
		}
	}
	v.first = first
	return func(r entity.Ref) time.Time { return first[r] }
}

func (e *Engine) view(cluster string) *view {
	e.mu.Lock()
	defer e.mu.Unlock()
	v := e.views[cluster]
	if v == nil {
		v = &view{degraded: map[string]bool{}, sourced: map[string]bool{}, extras: map[topology.Edge]bool{}, assessment: &risk.Assessment{Cluster: cluster}}
		e.views[cluster] = v
	}
	return v
}

// Facts gives what is certainly wrong in a cluster, as of the last evaluation.
func (e *Engine) Facts(cluster string) []detect.Fact {
	v := e.view(cluster)
	e.mu.RLock()
	defer e.mu.RUnlock()
	return v.facts
}

// Anomalies gives what is not normal in a cluster, as of the last evaluation.
func (e *Engine) Anomalies(cluster string) []baseline.Anomaly {
	v := e.view(cluster)
	e.mu.RLock()
	defer e.mu.RUnlock()
	return v.anomalies
}

// Assessment gives a cluster's risk scores, as of the last evaluation; never nil.
func (e *Engine) Assessment(cluster string) *risk.Assessment {
	v := e.view(cluster)
	e.mu.RLock()
	defer e.mu.RUnlock()
	return v.assessment
}

// Graph gives a cluster's dependency graph, as of the last evaluation; never nil.
func (e *Engine) Graph(cluster string) *topology.Graph {
	v := e.view(cluster)
	e.mu.RLock()
	g, extra := v.graph, v.extra
	e.mu.RUnlock()
	if g != nil {
		return g
	}
	c, ok := e.Fleet.Cluster(cluster)
	if !ok { // asking about a cluster must not make it one that reports
		return &topology.Graph{}
	}
	return topology.Build(c, extra)
}

// Normal gives what is normal for a metric, and whether that is known.
func (e *Engine) Normal(ref entity.Ref, metric string) (mean, spread float64, ok bool) {
	return e.learner.Normal(ref, metric)
}
