package eval

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/risk"
)

// Config of a replay.
type Config struct {
	// Open gives an empty store that forgets everything at close. It is called once for each case.
	Open func(ctx context.Context, now func() time.Time) (store engine.Store, closeStore func() error, err error)
	// Formulas are engine.Default or engine.Classic.
	Formulas engine.Formulas
}

// Result is what the engine answered to a case.
type Result struct {
	Case        string    `json:"case"`
	Ranked      []string  `json:"ranked"`
	OpenedAt    time.Time `json:"opened_at,omitzero"` // of the first incident in the window; zero when none opened
	Explanation string    `json:"explanation"`
	Incidents   []Opened  `json:"incidents,omitempty"`
}

// Opened is one incident that was told.
type Opened struct {
	At    time.Time `json:"at"`
	Cause string    `json:"cause"`
	Stage string    `json:"stage"`
}

const cluster = "replay"

// player is an engine under a clock that only the replay turns.
type player struct {
	e    *engine.Engine
	now  time.Time
	peak map[entity.Ref]float64 // of R_final, for formulas that only score
	stop func() error
}

func play(ctx context.Context, cfg Config, tick time.Duration, from time.Time) (*player, error) {
	p := &player{now: from, peak: map[entity.Ref]float64{}}
	store, closeStore, err := cfg.Open(ctx, func() time.Time { return p.now })
	if err != nil {
		return nil, fmt.Errorf("open a store: %w", err)
	}
	p.e, err = engine.New(ctx, engine.Config{Store: store, Now: func() time.Time { return p.now }, Tick: tick, Checkpoint: 24 * 365 * time.Hour, Formulas: cfg.Formulas})
	if err != nil {
		return nil, fmt.Errorf("start an engine: %w", cmp.Or(closeStore(), err))
	}
	p.stop = func() error { p.e.Close(); return closeStore() }
	return p, nil
}

// join reports the entities and edges of a case as an agent's first resync.
func (p *player) join(ctx context.Context, c *Case, upserts []*report.Resource) error {
	p.e.Joined(cluster, &report.JoinRequest{Cluster: cluster, AgentVersion: "replay"}, 0)
	entities, edges := c.graph()
	return p.e.Ingest(ctx, cluster, &report.ReportRequest{ResyncBegin: true, ResyncEnd: true, Entities: entities, Edges: edges, Upserts: upserts})
}

// step ingests one report and evaluates.
func (p *player) step(ctx context.Context, at time.Time, b *report.ReportRequest) error {
	p.now = at
	if err := p.e.Ingest(ctx, cluster, b); err != nil {
		return err
	}
	if err := p.e.Evaluate(ctx, at); err != nil {
		return err
	}
	for ref, s := range p.e.Assessment(cluster).Scores {
		p.peak[ref] = max(p.peak[ref], s.Final)
	}
	return nil
}

// opened lists what was told, oldest first; merged records are part of others.
func (p *player) opened(ctx context.Context) ([]Opened, error) {
	all, err := p.e.ListIncidents(ctx, incident.Filter{Limit: 10_000})
	if err != nil {
		return nil, err
	}
	var out []Opened
	for _, i := range all {
		if i.MergedInto == "" {
			out = append(out, Opened{At: i.OpenedAt, Cause: idOf(i.Cause.Entity), Stage: string(i.Stage)})
		}
	}
	slices.SortFunc(out, func(a, b Opened) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.Cause, b.Cause)) })
	return out, nil
}

// since is from which row on there may be trouble. A row is of the tick that begins at its time, so the one in which the
// fault began is already part of it; an alert takes a tick to ring.
func (c *Case) since() time.Time {
	if c.Alert != nil {
		return c.Alert.Time.Add(-c.Tick)
	}
	return c.FaultStart.Add(time.Second - c.Tick)
}

// Replay plays a case and takes the ranking at the end of its window, whether or not anything opened.
func Replay(ctx context.Context, cfg Config, c *Case) (out Result, err error) {
	if c.Window == nil || len(c.Window.Rows) == 0 {
		return Result{}, fmt.Errorf("case %s: the window is empty", c.Name)
	}
	first := time.Unix(c.Window.Rows[0].At, 0).UTC()
	p, err := play(ctx, cfg, c.Tick, first)
	if err != nil {
		return Result{}, err
	}
	defer func() { err = cmp.Or(err, p.stop()) }()
	pending := c.Resources
	take := func(till time.Time) (upserts []*report.Resource) {
		for ; len(pending) > 0 && !pending[0].At.After(till); pending = pending[1:] {
			upserts = append(upserts, pending[0].Upserts...)
		}
		return upserts
	}
	if err := p.join(ctx, c, take(first.Add(-c.Tick))); err != nil {
		return Result{}, err
	}
	if c.History != nil {
		if err := c.frames(c.History.Rows, c.Shift, func(_ time.Time, f *report.TelemetryFrame) error {
			p.e.Warm(cluster, f)
			return nil
		}); err != nil {
			return Result{}, err
		}
	}
	if err := c.frames(c.Window.Rows, 0, func(at time.Time, f *report.TelemetryFrame) error {
		if at.Before(c.since()) {
			clear(p.peak)
		}
		return p.step(ctx, at, &report.ReportRequest{Frames: []*report.TelemetryFrame{f}, Upserts: take(at)})
	}); err != nil {
		return Result{}, err
	}
	if out.Incidents, err = p.opened(ctx); err != nil {
		return Result{}, err
	}
	out.Case = c.Name
	if len(out.Incidents) > 0 {
		out.OpenedAt = out.Incidents[0].At
	}
	if cfg.Formulas == engine.Classic {
		out.Ranked, out.Explanation = p.byRisk()
		return out, nil
	}
	v := p.e.Rank(cluster, c.complaint())
	for _, r := range v.Ranking {
		out.Ranked = append(out.Ranked, idOf(r.Entity))
	}
	out.Explanation = v.Why
	return out, nil
}

func (c *Case) complaint() risk.Alert {
	a := risk.Alert{Since: c.since()}
	if c.Alert == nil {
		return a
	}
	a.Metric = metrics[c.Alert.Metric]
	if ref, ok := c.refOf(c.Alert.Entity); ok {
		a.Entity = entity.Ref{Cluster: cluster, Kind: ref.GetKind(), Namespace: ref.GetNamespace(), Name: ref.GetName()}
	}
	return a
}

// byRisk ranks by the highest R_final since the fault began: the classic formulas name no root cause but the riskiest.
func (p *player) byRisk() (ranked []string, why string) {
	refs := make([]entity.Ref, 0, len(p.peak))
	for r := range p.peak {
		refs = append(refs, r)
	}
	slices.SortFunc(refs, func(a, b entity.Ref) int { return cmp.Or(cmp.Compare(p.peak[b], p.peak[a]), entity.Compare(a, b)) })
	for _, r := range refs {
		ranked = append(ranked, idOf(r))
	}
	if len(refs) > 0 {
		why = fmt.Sprintf("%s has the highest R_final of the time, %.3f", refs[0].Short(), p.peak[refs[0]])
	}
	return ranked, why
}

// Quiet plays a history without faults from its beginning, and counts what opened.
func Quiet(ctx context.Context, cfg Config, c *Case) (opened []Opened, err error) {
	if c.History == nil || len(c.History.Rows) == 0 {
		return nil, nil
	}
	p, err := play(ctx, cfg, c.Tick, time.Unix(c.History.Rows[0].At, 0).UTC().Add(c.Shift))
	if err != nil {
		return nil, err
	}
	defer func() { err = cmp.Or(err, p.stop()) }()
	if err := p.join(ctx, c, nil); err != nil {
		return nil, err
	}
	if err := c.frames(c.History.Rows, c.Shift, func(at time.Time, f *report.TelemetryFrame) error {
		return p.step(ctx, at, &report.ReportRequest{Frames: []*report.TelemetryFrame{f}})
	}); err != nil {
		return nil, err
	}
	return p.opened(ctx)
}
