package risk

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/topology"
)

// Config holds the constants of the formulas. Zero fields take the defaults.
type Config struct {
	Gamma        float64       // γ, what is left of a risk one dependency further; default 0.9
	TimeFloor    float64       // W of a deviation that began just now; default 0.7
	TimeConstant time.Duration // with which W rises to 1; default 500 s
}

func (c *Config) defaults() {
	c.Gamma = cmp.Or(c.Gamma, 0.9)
	c.TimeFloor = cmp.Or(c.TimeFloor, 0.7)
	c.TimeConstant = cmp.Or(c.TimeConstant, 500*time.Second)
}

// Scorer computes risks and blame. It keeps nothing between calls but memory, and is safe for concurrent use.
type Scorer struct {
	cfg     Config
	scratch sync.Pool // of *scratch
}

// New makes a scorer.
func New(cfg Config) *Scorer {
	cfg.defaults()
	return &Scorer{cfg: cfg}
}

// local is what one entity has of its own.
type local struct {
	ref       entity.Ref
	facts     []detect.Fact // the strongest of each kind
	anomalies []baseline.Anomaly
	replicas  bool // some of the facts were shown by pods of this workload
}

// Score computes the risk of every entity of a cluster, always the same bits for the same input in any order.
//
//	R_stat  = 1 − Π(1−q)            over the metrics that are not normal
//	W       = 0.7 + 0.3·(1−exp(−Δt/500 s))   Δt: since when the entity has not been normal
//	R_cert  = 1 − Π(1−score)        over the facts, one of each kind
//	R_local = 1 − (1−W·R_stat)·(1−R_cert)
//	R_final = max(R_local, γ·max(Σ w·R over replicas, max w·R over everything else depended on))
//
// Replicas are summed because capacity is: one dead pod of ten costs a tenth, all ten cost it all. A fact that a workload
// has from some of its pods therefore reaches its services only by the share of those pods. An entity without
// deviations, facts or failing dependencies scores exactly 0. Facts on the cluster as a whole move no score.
func (s *Scorer) Score(in Input) *Assessment {
	a := &Assessment{Cluster: in.Cluster, At: in.Now, Scores: map[entity.Ref]*Score{}}
	g := in.Graph
	if g == nil {
		g = topology.New(nil, nil)
	}
	locals := gather(in)
	if len(locals) == 0 {
		return a
	}
	n := g.N()
	scratch := s.borrow(n)
	defer s.scratch.Put(scratch)
	own, flow, final := scratch.own, scratch.flow, scratch.final
	passed := make([]float64, n)             // what callers inherit; it stays with the assessment
	locally := make([]Score, 0, len(locals)) // never grows: pointers into it are given away
	for _, l := range locals {
		locally = append(locally, Score{})
		sc := &locally[len(locally)-1]
		if s.score(in, l, sc); sc.Local == 0 {
			locally = locally[:len(locally)-1]
			continue
		}
		sc.Final, sc.Passed = sc.Local, sc.Local
		if v, ok := g.Index(l.ref); ok {
			own[v], flow[v] = sc.Local, sc.Local
			if l.replicas {
				flow[v] = 1 - (1-sc.Time*sc.Statistical)*s.remaining(g, l, locals)
			}
		}
	}
	s.spread(g, own, flow, final, passed)
	a.graph, a.passed = g, passed
	atRisk := 0
	for _, x := range final {
		if x > 0 {
			atRisk++
		}
	}
	a.Scores = make(map[entity.Ref]*Score, atRisk+len(locally))
	for i := range locally {
		a.Scores[locally[i].Entity] = &locally[i]
	}
	scores := make([]Score, 0, atRisk) // never grows: pointers into it are given away
	for v, ref := range g.Vertices() {
		if final[v] == 0 {
			continue
		}
		var sc *Score
		if own[v] > 0 {
			sc = a.Scores[ref]
		} else {
			scores = append(scores, Score{Entity: ref, cfg: s.cfg})
			sc = &scores[len(scores)-1]
			a.Scores[ref] = sc
		}
		sc.Final, sc.Passed = final[v], passed[v]
	}
	return a
}

// scratch is what one call needs and the next can use again, by vertex.
type scratch struct{ own, flow, final []float64 }

func (s *Scorer) borrow(n int) *scratch {
	x, _ := s.scratch.Get().(*scratch)
	if x == nil {
		x = &scratch{}
	}
	for _, v := range []*[]float64{&x.own, &x.flow, &x.final} {
		*v = slices.Grow((*v)[:0], n)[:n]
		clear(*v)
	}
	return x
}

// gather groups facts and deviations by entity, in the order of the entities.
func gather(in Input) []*local {
	facts := make([]*detect.Fact, 0, len(in.Facts))
	for i := range in.Facts {
		if f := &in.Facts[i]; f.Entity.Kind != entity.Cluster && f.Score > 0 {
			facts = append(facts, f)
		}
	}
	slices.SortFunc(facts, compareFacts)
	anomalies := make([]*baseline.Anomaly, 0, len(in.Anomalies))
	for i := range in.Anomalies {
		if x := &in.Anomalies[i]; x.Q > 0 {
			anomalies = append(anomalies, x)
		}
	}
	slices.SortFunc(anomalies, compareAnomalies)
	// Each local's facts and deviations are a part of these, which therefore must not grow.
	kept, odd := make([]detect.Fact, 0, len(facts)), make([]baseline.Anomaly, 0, len(anomalies))
	locals := make([]local, 0, len(facts)+len(anomalies))
	for len(facts)+len(anomalies) > 0 {
		var ref entity.Ref
		switch {
		case len(anomalies) == 0 || len(facts) > 0 && entity.Compare(facts[0].Entity, anomalies[0].Entity) <= 0:
			ref = facts[0].Entity
		default:
			ref = anomalies[0].Entity
		}
		l := local{ref: ref}
		from := len(kept)
		for ; len(facts) > 0 && facts[0].Entity == ref; facts = facts[1:] {
			f := facts[0]
			l.replicas = l.replicas || f.Source.Kind == entity.Pod && ref.Workload()
			if k := len(kept); k > from && kept[k-1].Kind == f.Kind {
				continue // sorted: the strongest of its kind is there
			}
			kept = append(kept, *f)
			kept[len(kept)-1].Score = min(1, f.Score)
		}
		l.facts = kept[from:len(kept):len(kept)]
		from = len(odd)
		for ; len(anomalies) > 0 && anomalies[0].Entity == ref; anomalies = anomalies[1:] {
			x := anomalies[0]
			if k := len(odd); k > from && odd[k-1].Metric == x.Metric {
				continue
			}
			odd = append(odd, *x)
			odd[len(odd)-1].Q = min(1, x.Q)
		}
		l.anomalies = odd[from:len(odd):len(odd)]
		locals = append(locals, l)
	}
	out := make([]*local, len(locals))
	for i := range locals {
		out[i] = &locals[i]
	}
	return out
}

func compareFacts(x, y *detect.Fact) int {
	if c := entity.Compare(x.Entity, y.Entity); c != 0 {
		return c
	}
	if c := strings.Compare(x.Kind, y.Kind); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(y.Score, x.Score), x.Since.Compare(y.Since), entity.Compare(x.Source, y.Source), strings.Compare(x.Text, y.Text))
}

func compareAnomalies(x, y *baseline.Anomaly) int {
	if c := entity.Compare(x.Entity, y.Entity); c != 0 {
		return c
	}
	if c := strings.Compare(x.Metric, y.Metric); c != 0 {
		return c
	}
	return cmp.Or(cmp.Compare(y.Q, x.Q), cmp.Compare(y.Z, x.Z), x.Onset.Compare(y.Onset), cmp.Compare(y.Value, x.Value), cmp.Compare(x.Mean, y.Mean))
}

// score fills sc with what an entity has of its own.
func (s *Scorer) score(in Input, l *local, sc *Score) {
	*sc = Score{Entity: l.ref, cfg: s.cfg, own: l}
	healthy := 1.0
	for i := range l.anomalies {
		healthy *= 1 - l.anomalies[i].Q
	}
	sc.Statistical = 1 - healthy
	if len(l.anomalies) > 0 {
		if in.First != nil {
			if since := in.First(l.ref); !since.IsZero() {
				sc.Elapsed = max(0, in.Now.Sub(since))
			}
		}
		sc.Time = s.cfg.TimeFloor + (1-s.cfg.TimeFloor)*(1-math.Exp(-sc.Elapsed.Seconds()/s.cfg.TimeConstant.Seconds()))
	}
	healthy = 1
	for i := range l.facts {
		healthy *= 1 - l.facts[i].Score
	}
	sc.Certain = 1 - healthy
	sc.Local = 1 - (1-sc.Time*sc.Statistical)*(1-sc.Certain)
}

// terms writes out what an entity has of its own.
func (l *local) terms() []Term {
	if l == nil {
		return nil
	}
	out := make([]Term, 0, len(l.anomalies)+len(l.facts))
	for _, x := range l.anomalies {
		out = append(out, Term{Kind: TermMetric, Name: x.Metric, Score: x.Q, Weight: x.Weight, Text: metricText(x), At: x.Onset})
	}
	for _, f := range l.facts {
		out = append(out, Term{Kind: TermFact, Name: f.Kind, Score: f.Score, Weight: 1, Text: f.Text, From: f.Source, At: f.Since})
	}
	return out
}

func metricText(x baseline.Anomaly) string {
	if x.Limit > 0 && (x.Spread == 0 || math.Abs((x.Value-x.Mean)/x.Spread-x.Z) > 1e-9) {
		return fmt.Sprintf("%.4g is at or over the limit of %g: z = %.2f", x.Value, x.Limit, x.Z)
	}
	return fmt.Sprintf("z = (%.4g − %.4g)/%.4g = %.2f", x.Value, x.Mean, x.Spread, x.Z)
}

// remaining is Π(1−score·share) over a workload's facts, with the share of its pods that show a fact for those that came
// from pods, and 1 for those about the workload itself.
func (s *Scorer) remaining(g *topology.Graph, l *local, locals []*local) float64 {
	share, found := 0.0, false
	for _, e := range g.Out(l.ref) {
		if e.To.Kind != entity.Pod {
			continue
		}
		i, ok := slices.BinarySearchFunc(locals, e.To, func(x *local, r entity.Ref) int { return entity.Compare(x.ref, r) })
		if ok && len(locals[i].facts) > 0 || slices.ContainsFunc(l.facts, func(f detect.Fact) bool { return f.Source == e.To }) {
			share, found = share+e.Weight, true
		}
	}
	if !found {
		share = 1 // the pods are gone from the graph: nobody can say how many still serve
	}
	share = min(1, share)
	left := 1.0
	for _, f := range l.facts {
		if f.Source.Kind == entity.Pod {
			left *= 1 - f.Score*share
		} else {
			left *= 1 - f.Score
		}
	}
	return left
}

// spread lets risk flow from what fails to what depends on it, dependencies first. Within a cycle it repeats until
// nothing moves: γ < 1 makes that the only solution, whatever the order.
func (s *Scorer) spread(g *topology.Graph, own, flow, final, passed []float64) {
	rows := g.OutRows()
	order, starts := g.Order()
	for k := range len(starts) - 1 {
		component := order[starts[k]:starts[k+1]]
		if len(component) == 1 {
			v := component[0]
			through := s.cfg.Gamma * inherited(rows, v, passed)
			final[v], passed[v] = max(own[v], through), max(flow[v], through)
			continue
		}
		next := make([]float64, len(component))
		for range maxRounds {
			moved := 0.0
			for i, v := range component {
				next[i] = max(flow[v], s.cfg.Gamma*inherited(rows, v, passed))
			}
			for i, v := range component {
				moved = max(moved, math.Abs(next[i]-passed[v]))
				passed[v] = next[i]
			}
			if moved < 1e-12 {
				break
			}
		}
		for _, v := range component {
			final[v] = max(own[v], s.cfg.Gamma*inherited(rows, v, passed))
		}
	}
}

// maxRounds bounds the walk around a cycle: 0.9^300 is below 1e-13.
const maxRounds = 300

// inherited is the risk that v has from what it depends on, before γ.
func inherited(rows topology.Rows, v int32, passed []float64) float64 {
	var replicas, worst float64
	for i := rows.Start[v]; i < rows.Start[v+1]; i++ {
		w := rows.Other[i]
		if w == v {
			continue
		}
		if x := rows.Weight[i] * passed[w]; rows.Replica[i] {
			replicas += x
		} else if x > worst {
			worst = x
		}
	}
	return max(min(1, replicas), worst)
}
