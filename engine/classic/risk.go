package classic

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/risk"
	"github.com/bukahou/atlhyper/engine/topology"
)

// The constants of the risk.
const (
	own          = 0.6 // α: the part of an entity's own risk
	timeFloor    = 0.7
	timeConstant = 500 * time.Second
)

// Scorer computes risks. It keeps nothing between calls and is safe for concurrent use.
type Scorer struct{}

// breadth is the factor of how many facts an entity has.
func breadth(n int) float64 {
	switch {
	case n <= 1:
		return 0.70
	case n == 2:
		return 0.85
	}
	return 1
}

// layer orders the vertices of the document: Node, Pod, Service, Ingress. A workload has none: it is looked through.
func layer(kind string) int {
	switch kind {
	case entity.Node:
		return 0
	case entity.Pod:
		return 1
	case entity.Ingress, "IngressRoute", "HTTPRoute", "GRPCRoute":
		return 3
	}
	return 2
}

// Score computes the risk of every entity of a cluster.
//
//	R_stat  = Σ w·score                    over all metrics
//	R_det   = max(score)·breadth(n)        over the facts
//	R_local = min(1, max(R_stat, R_det))
//	W       = 0.7 + 0.3·(1−exp(−Δt/500 s))
//	R_final = max(W·R_local, 0.6·W·R_local + 0.4·avg(R_final of what is depended on)), layer by layer
func (Scorer) Score(in risk.Input) *risk.Assessment {
	a := &risk.Assessment{Cluster: in.Cluster, At: in.Now, Scores: map[entity.Ref]*risk.Score{}}
	at := func(r entity.Ref) *risk.Score {
		if a.Scores[r] == nil {
			a.Scores[r] = &risk.Score{Entity: r}
		}
		return a.Scores[r]
	}
	anomalies, facts := slices.Clone(in.Anomalies), slices.Clone(in.Facts)
	slices.SortStableFunc(anomalies, func(x, y baseline.Anomaly) int {
		return cmp.Or(entity.Compare(x.Entity, y.Entity), cmp.Compare(x.Metric, y.Metric), cmp.Compare(x.Q, y.Q))
	})
	slices.SortStableFunc(facts, func(x, y detect.Fact) int {
		return cmp.Or(entity.Compare(x.Entity, y.Entity), cmp.Compare(x.Kind, y.Kind), cmp.Compare(y.Score, x.Score), cmp.Compare(x.Text, y.Text))
	})
	for _, x := range anomalies {
		s := at(x.Entity)
		s.Statistical += x.Weight * x.Q
		s.Terms = append(s.Terms, risk.Term{Kind: risk.TermMetric, Name: x.Metric, Score: x.Q, Weight: x.Weight, At: x.Onset,
			Text: fmt.Sprintf("sigmoid(|%.4g − %.4g|/%.4g − 3)", x.Value, x.Mean, x.Spread)})
	}
	count := map[entity.Ref]int{}
	for _, f := range facts {
		if f.Entity.Kind == entity.Cluster {
			continue
		}
		s := at(f.Entity)
		count[f.Entity]++
		s.Certain = max(s.Certain, f.Score)
		s.Terms = append(s.Terms, risk.Term{Kind: risk.TermFact, Name: f.Kind, Score: f.Score, Weight: 1, Text: f.Text, From: f.Source, At: f.Since})
	}
	refs := make([]entity.Ref, 0, len(a.Scores))
	for r, s := range a.Scores {
		if n := count[r]; n > 0 {
			s.Certain *= breadth(n)
		}
		s.Local = min(1, max(s.Statistical, s.Certain))
		if in.First != nil {
			if since := in.First(r); !since.IsZero() {
				s.Elapsed = max(0, in.Now.Sub(since))
			}
		}
		s.Time = timeFloor + (1-timeFloor)*(1-math.Exp(-s.Elapsed.Seconds()/timeConstant.Seconds()))
		s.Final = s.Time * s.Local
		refs = append(refs, r)
	}
	spread(in.Graph, at, a.Scores)
	for r, s := range a.Scores {
		s.Passed = s.Final
		s.Written = written(s, count[r])
		if s.Final == 0 {
			delete(a.Scores, r)
		}
	}
	return a
}

// spread takes risk up the layers. Calls lie within one layer: what an entity gets from them depends on which of the two is
// computed first, here the lesser name.
func spread(g *topology.Graph, at func(entity.Ref) *risk.Score, scores map[entity.Ref]*risk.Score) {
	if g == nil {
		return
	}
	order := slices.Clone(g.Vertices())
	slices.SortStableFunc(order, func(a, b entity.Ref) int { return layer(a.Kind) - layer(b.Kind) })
	for _, v := range order {
		if v.Workload() {
			continue
		}
		sum, n := 0.0, 0
		for _, w := range through(g, v) {
			n++
			if s := scores[w]; s != nil {
				sum += s.Final
			}
		}
		if n == 0 || sum == 0 {
			continue
		}
		s := at(v)
		average := sum / float64(n)
		if mixed := own*s.Final + (1-own)*average; mixed > s.Final {
			s.Terms = append(s.Terms, risk.Term{Kind: risk.TermPropagated, Name: "avg", Score: average, Weight: 1 - own, Text: fmt.Sprintf("the average of %d that it depends on", n)})
			s.Final = min(1, mixed)
		}
	}
}

// through lists what a vertex depends on, with the pods of a workload in its place.
func through(g *topology.Graph, v entity.Ref) []entity.Ref {
	var out []entity.Ref
	for _, e := range g.Out(v) {
		if !e.To.Workload() {
			out = append(out, e.To)
			continue
		}
		for _, p := range g.Out(e.To) {
			if p.Type == topology.Selects {
				out = append(out, p.To)
			}
		}
	}
	return out
}

func written(s *risk.Score, facts int) string {
	var b strings.Builder
	var sum []string
	worst, average := 0.0, -1.0
	for _, t := range s.Terms {
		switch t.Kind {
		case risk.TermMetric:
			sum = append(sum, fmt.Sprintf("%.2f·%.3f (%s)", t.Weight, t.Score, t.Name))
		case risk.TermFact:
			worst = max(worst, t.Score)
		case risk.TermPropagated:
			average = t.Score
		}
	}
	if len(sum) > 0 {
		fmt.Fprintf(&b, "R_stat = %s = %.3f\n", strings.Join(sum, " + "), s.Statistical)
	}
	if facts > 0 {
		fmt.Fprintf(&b, "R_det = %.2f·%.2f = %.3f\n", worst, breadth(facts), s.Certain)
	}
	fmt.Fprintf(&b, "R_local = min(1, max(%.3f, %.3f)) = %.3f\n", s.Statistical, s.Certain, s.Local)
	fmt.Fprintf(&b, "W = %.1f + %.1f·(1−exp(−%.0f s/%.0f s)) = %.3f\n", timeFloor, 1-timeFloor, math.Floor(s.Elapsed.Seconds()), timeConstant.Seconds(), s.Time)
	if average >= 0 {
		fmt.Fprintf(&b, "R_final = max(%.3f·%.3f, %.1f·%.3f·%.3f + %.1f·%.3f) = %.3f", s.Time, s.Local, own, s.Time, s.Local, 1-own, average, s.Final)
	} else {
		fmt.Fprintf(&b, "R_final = %.3f·%.3f = %.3f", s.Time, s.Local, s.Final)
	}
	return b.String()
}

// Blame names the member with the highest R_final: the document knows no other root cause.
func (s Scorer) Blame(in risk.Input, members []entity.Ref) risk.Verdict {
	scores := s.Score(in)
	ranked := slices.Clone(members)
	slices.SortFunc(ranked, func(a, b entity.Ref) int {
		return cmp.Or(cmp.Compare(scores.Of(b).Final, scores.Of(a).Final), entity.Compare(a, b))
	})
	v := risk.Verdict{Confidence: risk.Low}
	for _, r := range ranked {
		x := scores.Of(r)
		if x.Final == 0 {
			continue
		}
		why := fmt.Sprintf("%s has R_final %.3f", r.Short(), x.Final)
		v.Ranking = append(v.Ranking, risk.Ranked{Entity: r, Score: x.Final, Why: why})
		if v.Entity.IsZero() && len(x.Terms) > 0 {
			v.Entity, v.Kind, v.Why, v.Onset = r, x.Terms[0].Name, why, x.Terms[0].At
		}
	}
	return v
}
