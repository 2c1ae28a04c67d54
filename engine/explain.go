package engine

import (
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/risk"
)

// Explanation opens one score: every input with its time and source, every term, and the formula with the numbers put in. Who
// recomputes it by hand from what is in it comes to the same score.
type Explanation struct {
	Entity   entity.Ref         `json:"entity"`
	At       time.Time          `json:"at"` // of the evaluation
	Score    risk.Score         `json:"score"`
	Formula  string             `json:"formula"`
	Metrics  []baseline.Anomaly `json:"metrics,omitempty"` // the deviations behind the statistical part; z = (value − mean)/spread
	Facts    []detect.Fact      `json:"facts,omitempty"`
	Path     []Step             `json:"path,omitempty"` // where the risk comes from, the entity itself first
	RuledOut []string           `json:"ruled_out,omitempty"`
	Incident string             `json:"incident,omitempty"` // the open one that it is part of
}

// Step is one entity on the way of a risk.
type Step struct {
	Entity  entity.Ref `json:"entity"`
	Final   float64    `json:"final"`
	Formula string     `json:"formula"`
}

// Explain opens the score of an entity, as of the last evaluation.
func (e *Engine) Explain(ref entity.Ref) Explanation {
	a := e.Assessment(ref.Cluster)
	x := Explanation{Entity: ref, At: a.At, Score: a.Of(ref)}
	x.Formula = x.Score.Formula()
	for _, m := range e.Anomalies(ref.Cluster) {
		if m.Entity == ref && m.Q > 0 {
			x.Metrics = append(x.Metrics, m)
		}
	}
	for _, f := range e.Facts(ref.Cluster) {
		if f.Entity == ref {
			x.Facts = append(x.Facts, f)
		}
	}
	seen := map[entity.Ref]bool{}
	for at := ref; !at.IsZero() && !seen[at]; {
		seen[at] = true
		s := a.Of(at)
		if s.Final == 0 {
			break
		}
		x.Path = append(x.Path, Step{at, s.Final, s.Formula()})
		at = s.Via
	}
	for _, i := range e.Incidents.Open(ref.Cluster) {
		if slices.ContainsFunc(i.Entities, func(m incident.Affected) bool { return m.Entity == ref }) {
			x.Incident, x.RuledOut = i.ID, i.Cause.RuledOut
			break
		}
	}
	return x
}
