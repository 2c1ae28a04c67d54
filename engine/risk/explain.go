package risk

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/topology"
)

// maxTerms is how many dependencies of one type a score names; the rest is one term.
const maxTerms = 8

// inherit adds the terms of what v depends on, and Via.
func (s *Score) inherit(g *topology.Graph, v int, passed []float64) {
	rows := g.OutRows()
	var replicas, others []Term
	for i := rows.Start[v]; i < rows.Start[v+1]; i++ {
		w := rows.Other[i]
		if w == int32(v) || rows.Weight[i]*passed[w] == 0 {
			continue
		}
		from := g.Vertices()[w]
		t := Term{
			Kind: TermPropagated, Name: string(g.Edges()[rows.Edge[i]].Type), Score: passed[w], Weight: rows.Weight[i], From: from,
			Text: fmt.Sprintf("%s passes on %.3f × share %.3f", from.Short(), passed[w], rows.Weight[i]),
		}
		if rows.Replica[i] {
			replicas = append(replicas, t)
		} else {
			others = append(others, t)
		}
	}
	strongest := func(a, b Term) int {
		return cmp.Or(cmp.Compare(b.Score*b.Weight, a.Score*a.Weight), entity.Compare(a.From, b.From))
	}
	slices.SortFunc(replicas, strongest)
	slices.SortFunc(others, strongest)
	sum := 0.0
	for _, t := range replicas {
		sum += t.Score * t.Weight
	}
	if len(replicas) > maxTerms {
		rest := 0.0
		for _, t := range replicas[maxTerms:] {
			rest += t.Score * t.Weight
		}
		more := len(replicas) - maxTerms
		replicas = append(replicas[:maxTerms], Term{
			Kind: TermPropagated, Name: string(topology.Selects), Score: rest, Weight: 1,
			Text: fmt.Sprintf("%d more replicas pass on %.3f together", more, rest),
		})
	}
	if s.Final > s.Local {
		switch {
		case len(others) > 0 && (len(replicas) == 0 || others[0].Score*others[0].Weight > min(1, sum)):
			s.Via = others[0].From
		case len(replicas) > 0:
			s.Via = replicas[0].From
		}
	}
	s.Terms = append(append(s.Terms, replicas...), others[:min(len(others), maxTerms)]...)
}

// Formula writes the score as the formulas of Scorer.Score with the numbers put in, one a line, so that it can be
// recomputed by hand.
func (s *Score) Formula() string {
	if s.Written != "" {
		return s.Written
	}
	cfg := s.cfg
	cfg.defaults()
	var b strings.Builder
	var metrics, facts, replicas, others []string
	for _, t := range s.Terms {
		switch {
		case t.Kind == TermMetric:
			metrics = append(metrics, fmt.Sprintf("(1−%.3f)", t.Score))
			fmt.Fprintf(&b, "q(%s) = %.2g·tanh((|z|−3)/2) = %.3f; %s\n", t.Name, t.Weight, t.Score, t.Text)
		case t.Kind == TermFact:
			facts = append(facts, fmt.Sprintf("(1−%.2f %s)", t.Score, t.Name))
		case t.From.IsZero():
			replicas = append(replicas, fmt.Sprintf("%.3f (%s)", t.Score, t.Text))
		case t.Name == string(topology.Selects):
			replicas = append(replicas, fmt.Sprintf("%.3f·%.3f (%s)", t.Weight, t.Score, t.From.Short()))
		default:
			others = append(others, fmt.Sprintf("%.3f·%.3f (%s %s)", t.Weight, t.Score, t.Name, t.From.Short()))
		}
	}
	if len(metrics) > 0 {
		fmt.Fprintf(&b, "R_stat = 1 − %s = %.3f\n", strings.Join(metrics, "·"), s.Statistical)
		fmt.Fprintf(&b, "W = %.2g + %.2g·(1−exp(−%.0f s/%.0f s)) = %.3f\n", cfg.TimeFloor, 1-cfg.TimeFloor, math.Floor(s.Elapsed.Seconds()), cfg.TimeConstant.Seconds(), s.Time)
	}
	if len(facts) > 0 {
		fmt.Fprintf(&b, "R_cert = 1 − %s = %.3f\n", strings.Join(facts, "·"), s.Certain)
	}
	if len(metrics)+len(facts) > 0 {
		fmt.Fprintf(&b, "R_local = 1 − (1−%.3f·%.3f)·(1−%.3f) = %.3f\n", s.Time, s.Statistical, s.Certain, s.Local)
	}
	if len(replicas) > 0 {
		others = append([]string{strings.Join(replicas, " + ")}, others...)
	}
	if len(others) == 0 {
		fmt.Fprintf(&b, "R_final = R_local = %.3f", s.Final)
	} else {
		fmt.Fprintf(&b, "R_final = max(%.3f, %.2g·max(%s)) = %.3f", s.Local, cfg.Gamma, strings.Join(others, ", "), s.Final)
	}
	return b.String()
}
