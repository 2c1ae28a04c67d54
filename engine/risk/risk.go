// Package risk is the third stage: how badly is each entity off, by itself and through what it depends on, and, computed
// apart from that, which one is to blame. Every score keeps its terms, so that a person can recompute it.
package risk

import (
	"time"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/topology"
)

// Input is one cluster at one moment. It is only read.
type Input struct {
	Now       time.Time
	Cluster   string
	Graph     *topology.Graph
	Facts     []detect.Fact
	Anomalies []baseline.Anomaly
	// First says since when an entity has not been normal without a break, for the time factor W; nil or a zero time
	// means since now.
	First func(entity.Ref) time.Time
	// Readings gives an entity's newest values and Normal what its baseline says. Blame takes request rates from them and
	// what it says about those it rules out. Either may be nil.
	Readings func(entity.Ref) map[string]fleet.Reading
	Normal   func(ref entity.Ref, metric string) (mean, spread float64, ok bool)
	// Alert is what somebody complains of, when somebody does; nil leaves it to the entries of the component to say.
	Alert *Alert
}

// Alert is a complaint from outside: a metric of an entity is off since a time. Rank answers it. A zero Entity or an empty
// Metric leaves open what is off.
type Alert struct {
	Entity entity.Ref `json:"entity,omitzero"`
	Metric string     `json:"metric,omitempty"`
	Since  time.Time  `json:"since"`
}

// TermKind says what a term of a score comes from.
type TermKind string

// The kinds of terms.
const (
	TermFact       TermKind = "fact"
	TermMetric     TermKind = "metric"
	TermPropagated TermKind = "propagated"
)

// Term is one part of a score. For a fact Name is its kind and Score its score; for a metric Name is the metric, Score
// is q and Weight w_c; for a propagated risk From is what is depended on, Name the type of the edge, Score what From passes on and
// Weight the share.
type Term struct {
	Kind   TermKind   `json:"kind"`
	Name   string     `json:"name"`
	Score  float64    `json:"score"`
	Weight float64    `json:"weight"`
	Text   string     `json:"text"`
	From   entity.Ref `json:"from,omitzero"`
	At     time.Time  `json:"at,omitzero"`
}

// Score is one entity's risk, all figures 0 to 1. Scorer.Score has the formulas.
type Score struct {
	Entity      entity.Ref    `json:"entity"`
	Local       float64       `json:"local"`       // R_local
	Statistical float64       `json:"statistical"` // R_stat
	Certain     float64       `json:"certain"`     // R_cert
	Time        float64       `json:"time"`        // W; 0 when there is nothing statistical
	Elapsed     time.Duration `json:"elapsed"`     // Δt of W
	Final       float64       `json:"final"`       // R_final
	Passed      float64       `json:"passed"`      // what those who depend on it inherit, before their share and γ
	Terms       []Term        `json:"terms"`
	Via         entity.Ref    `json:"via,omitzero"` // the dependency that Final came from; zero when it is Local

	// Written is the formula with the numbers put in, where other formulas than Scorer's made the score; see Formula.
	Written string `json:"-"`

	cfg Config
	own *local
}

// Assessment is a cluster's risk at one moment.
type Assessment struct {
	Cluster string                `json:"cluster"`
	At      time.Time             `json:"at"`
	Scores  map[entity.Ref]*Score `json:"-"` // only entities with Final > 0, without Terms and Via: see Of

	graph  *topology.Graph
	passed []float64 // by vertex: what callers inherit
}

// Brief is Of without Terms and Via: the figures alone, at no cost.
func (a *Assessment) Brief(r entity.Ref) Score {
	if s := a.Scores[r]; s != nil {
		return *s
	}
	return Score{Entity: r}
}

// Of gives an entity's score; a healthy one's is all zero. Terms and Via are written here and not for everybody at every
// evaluation: one outage puts hundreds of entities at risk, and a person asks about a few.
func (a *Assessment) Of(r entity.Ref) Score {
	s := a.Scores[r]
	if s == nil {
		return Score{Entity: r}
	}
	out := *s
	if a.passed == nil {
		return out // other formulas write everything at once
	}
	out.Terms = s.own.terms()
	if v, ok := a.graph.Index(r); ok {
		out.inherit(a.graph, v, a.passed)
	}
	return out
}
