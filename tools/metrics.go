package tools

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/figure"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/tools/phrase"
)

func metricsTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "metrics", verb: "metrics", usage: "metrics TARGET [-n NAMESPACE] [--cluster C]", pos: []string{"target"}}
	return define(s, asking(s.name, func(_ context.Context, caller Caller, a object) (*Result, error) {
		c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster)
		if err != nil {
			return nil, err
		}
		p, now, ref := phrase.For(caller.Lang), e.Now(), c.Ref(r)
		// Requests are measured at the Services before a workload, CPU and memory at the pods behind it.
		refs := []entity.Ref{ref}
		for _, x := range slices.Backward(slices.SortedFunc(maps.Keys(family(e, c, r)), entity.Compare)) { // Service before Pod
			if x != ref {
				refs = append(refs, x)
			}
		}
		t := Table{Columns: []string{"OBJECT", "METRIC", "NOW", "1 H AGO", "NORMAL", "AGE"}}
		res := &Result{Cluster: c.ID(), Observed: now, Missing: missing(c, now)}
		for _, x := range refs {
			readings := c.Readings(x)
			for _, metric := range slices.Sorted(maps.Keys(readings)) {
				v := readings[metric]
				t.Rows = append(t.Rows, []string{x.Short(), metric, readingOf(x, metric, v), hourAgo(e, x, metric, now), normal(e, x, metric), Age(now.Sub(v.At))})
				if v.At.Before(res.Observed) {
					res.Observed = v.At
				}
			}
		}
		res.Headline = p.Sprintf("%s: %d metrics, each with what is normal for it.", title(c, r), len(t.Rows))
		if len(t.Rows) == 0 {
			res.Headline = p.Sprintf("%s: its metrics are unknown, because no source gives any.", title(c, r))
		}
		res.Tables = []Table{t}
		return res, nil
	}))
}

func readingOf(ref entity.Ref, metric string, v fleet.Reading) string {
	s := baseline.SpecOf(ref.Kind, metric).Class.Figure(v.Value)
	if v.Count > 0 {
		s += fmt.Sprintf(" (%s requests)", figure.Of(v.Count))
	}
	return s
}

func hourAgo(e *engine.Engine, ref entity.Ref, metric string, now time.Time) string {
	v, ok := e.History.Ago(ref, metric, now, time.Hour)
	if !ok {
		return "not known"
	}
	return baseline.SpecOf(ref.Kind, metric).Class.Figure(v)
}

func normal(e *engine.Engine, ref entity.Ref, metric string) string {
	mean, spread, ok := e.Normal(ref, metric)
	if !ok {
		return "not known yet"
	}
	class := baseline.SpecOf(ref.Kind, metric).Class
	return class.Figure(mean) + " ± " + class.Figure(spread)
}
