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
	Path     []incident.Step    `json:"path,omitempty"` // where the risk comes from, the entity itself first
	RuledOut []string           `json:"ruled_out,omitempty"`
	Incident string             `json:"incident,omitempty"` // the open one that it is part of
}

// IncidentExplanation opens an incident: what it blames, with the score of that as it is now, and how its risk spread. What
// is over has no score any more; Spread is then of its worst moment.
type IncidentExplanation struct {
	Incident *incident.Incident `json:"incident"`
	Cause    Explanation        `json:"cause"`
	Spread   incident.Workings  `json:"spread"`
}

// ExplainIncident opens an incident at any stage.
func (e *Engine) ExplainIncident(i *incident.Incident) IncidentExplanation {
	x := IncidentExplanation{Incident: i, Cause: e.Explain(i.Cause.Entity), Spread: i.Worst}
	x.Cause.Incident, x.Cause.RuledOut = i.ID, i.Cause.RuledOut
	a := e.Assessment(i.Cluster)
	if steps := incident.Spread(a, i); i.Open() && len(steps) > 0 {
		x.Spread = incident.Workings{At: a.At, Cause: i.Cause.Entity, Risk: i.Risk, Steps: steps}
	}
	return x
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
	x.Path = incident.Path(a, ref)
	for _, i := range e.Incidents.Open(ref.Cluster) {
		if slices.ContainsFunc(i.Entities, func(m incident.Affected) bool { return m.Entity == ref }) {
			x.Incident, x.RuledOut = i.ID, i.Cause.RuledOut
			break
		}
	}
	return x
}
