package engine

import (
	"maps"
	"slices"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/risk"
)

// Rank answers a complaint about a cluster, whether or not an incident is open: who is to blame for what has been off since
// alert.Since. It hears the whole course since then and not only this moment, so that what hurt and is over counts too. Formulas
// that keep no course answer by this moment alone.
func (e *Engine) Rank(cluster string, alert risk.Alert) risk.Verdict {
	now := e.Now()
	in := risk.Input{
		Now: now, Cluster: cluster, Graph: e.Graph(cluster), Facts: e.Facts(cluster), Anomalies: e.Anomalies(cluster), Normal: e.learner.Normal, Alert: &alert,
	}
	if c, ok := e.Fleet.Cluster(cluster); ok {
		in.Readings = c.Readings
	}
	if h, ok := e.learner.(historian); ok {
		in.Anomalies = h.Over(cluster, alert.Since, now)
	}
	if r, ok := e.scorer.(ranker); ok {
		return r.Rank(in)
	}
	members := map[entity.Ref]bool{}
	for _, a := range in.Anomalies {
		members[a.Entity] = true
	}
	for _, f := range in.Facts {
		members[f.Entity] = true
	}
	return e.scorer.Blame(in, slices.SortedFunc(maps.Keys(members), entity.Compare))
}

// Course gives the newest values of a metric, oldest first; nil when they are not kept.
func (e *Engine) Course(ref entity.Ref, metric string) []baseline.Point {
	if h, ok := e.learner.(historian); ok {
		return h.Course(ref, metric)
	}
	return nil
}
