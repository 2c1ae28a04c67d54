package tools

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/tools/phrase"
)

type eventsArgs struct {
	Target    string `json:"target,omitempty" jsonschema:"only events of this object and, for a workload, of its pods"`
	Namespace string `json:"namespace,omitempty" jsonschema:"only this namespace"`
	Cluster   string `json:"cluster,omitempty" jsonschema:"cluster id"`
	Since     string `json:"since,omitempty" jsonschema:"how far back; 1h when left out"`
	All       bool   `json:"all,omitempty" jsonschema:"normal events too, not only warnings"`
}

func eventsTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "events", verb: "events", usage: "events [TARGET] [-n NAMESPACE] [--since 1h] [--all] [--cluster C]", pos: []string{"target"}}
	return define(s, asking(s.name, func(_ context.Context, caller Caller, a eventsArgs) (*Result, error) {
		span, err := duration(a.Since, time.Hour)
		if err != nil {
			return nil, err
		}
		p, now := phrase.For(caller.Lang), e.Now()
		var clusters []*fleet.Cluster
		var about map[entity.Ref]bool
		what := ""
		if a.Target != "" {
			c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster)
			if err != nil {
				return nil, err
			}
			clusters, a.Namespace, what = []*fleet.Cluster{c}, "", c.Ref(r).Short()
			about = family(e, c, r)
		} else if clusters, err = clustersOf(e, caller, a.Cluster); err != nil {
			return nil, err
		}
		t := Table{Columns: []string{"LAST", "TYPE", "REASON", "OBJECT", "COUNT", "MESSAGE"}}
		type row struct {
			at    time.Time
			cells []string
		}
		var rows []row
		res := &Result{Observed: now}
		for _, c := range clusters {
			res.Missing = append(res.Missing, missing(c, now)...)
			for _, r := range c.List("Event", a.Namespace) {
				ev := r.GetEvent()
				ref := entity.Ref{Cluster: c.ID(), Kind: ev.GetRegarding().GetKind(), Namespace: ev.GetRegarding().GetNamespace(), Name: ev.GetRegarding().GetName()}
				at := ev.GetLast().AsTime()
				if now.Sub(at) > span || (!a.All && ev.GetType() != "Warning") || (about != nil && !about[ref]) {
					continue
				}
				rows = append(rows, row{at, []string{Age(now.Sub(at)), ev.GetType(), ev.GetReason(), strings.ToLower(ref.Kind) + "/" + ref.Name, fmt.Sprint(ev.GetCount()), ev.GetMessage()}})
			}
		}
		slices.SortStableFunc(rows, func(a, b row) int { return b.at.Compare(a.at) })
		for _, r := range rows {
			t.Rows = append(t.Rows, r.cells)
		}
		kind := p.Sprintf("warning events")
		switch {
		case a.All && len(rows) == 1:
			kind = p.Sprintf("event")
		case a.All:
			kind = p.Sprintf("events")
		case len(rows) == 1:
			kind = p.Sprintf("warning event")
		}
		res.Headline = p.Sprintf("%d %s in the last %s in %s.", len(rows), kind, Age(span), strings.TrimSpace(place(clusters, a.Namespace)+" "+what))
		res.Tables = []Table{t}
		if len(clusters) == 1 {
			res.Cluster = clusters[0].ID()
		}
		return res, nil
	}))
}

// family is an object with all that it owns (a Deployment, its ReplicaSets and its pods), the Services before it, where
// its requests are measured, and the pods behind a Service.
func family(e *engine.Engine, c *fleet.Cluster, r *report.Resource) map[entity.Ref]bool {
	ref := c.Ref(r)
	out := map[entity.Ref]bool{ref: true}
	for _, s := range e.Graph(c.ID()).ServicesOf(ref) {
		out[s] = true
	}
	if ref.Kind != entity.Node { // the pods of a node have their own troubles
		for _, p := range c.Pods(ref) {
			out[c.Ref(p)] = true
		}
	}
	for _, child := range c.Family(r) {
		out[c.Ref(child)] = true
	}
	return out
}

type changesArgs struct {
	Target    string `json:"target,omitempty" jsonschema:"only changes of this object"`
	Namespace string `json:"namespace,omitempty" jsonschema:"only this namespace"`
	Cluster   string `json:"cluster,omitempty" jsonschema:"only this cluster"`
	Since     string `json:"since,omitempty" jsonschema:"how far back; 1h when left out"`
}

func changesTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "changes", verb: "changes", usage: "changes [TARGET] [-n NAMESPACE] [--since 1h] [--cluster C]", pos: []string{"target"}}
	return define(s, asking(s.name, func(_ context.Context, caller Caller, a changesArgs) (*Result, error) {
		span, err := duration(a.Since, time.Hour)
		if err != nil {
			return nil, err
		}
		p, now := phrase.For(caller.Lang), e.Now()
		var refs []entity.Ref
		var clusters []*fleet.Cluster
		what := ""
		if a.Target != "" {
			c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster)
			if err != nil {
				return nil, err
			}
			clusters, refs, a.Namespace = []*fleet.Cluster{c}, concerns(c, r), ""
			what = " " + c.Ref(r).Short()
		} else if clusters, err = clustersOf(e, caller, a.Cluster); err != nil {
			return nil, err
		}
		t := Table{Columns: []string{"AGO", "CLUSTER", "OBJECT", "CHANGE"}}
		var changes []fleet.Change
		for _, c := range clusters {
			for _, ch := range c.Changes(now.Add(-span), refs...) {
				if a.Namespace == "" || ch.Entity.Namespace == a.Namespace {
					changes = append(changes, ch)
				}
			}
		}
		slices.SortStableFunc(changes, func(a, b fleet.Change) int { return b.At.Compare(a.At) })
		for _, ch := range changes {
			t.Rows = append(t.Rows, []string{Age(now.Sub(ch.At)), ch.Entity.Cluster, strings.TrimPrefix(ch.Entity.Namespace+" ", " ") + ch.Entity.Short(), ch.String()})
		}
		res := &Result{
			Headline: p.Sprintf("%d changes in the last %s in %s.", len(changes), Age(span), place(clusters, a.Namespace)+what),
			Observed: now, Tables: []Table{t}, Data: changes,
		}
		if len(clusters) == 1 {
			res.Cluster, res.Tables[0] = clusters[0].ID(), drop(t, 1)
		}
		return res, nil
	}))
}

// concerns are the things whose changes can break an object: itself, and the configuration that its pods read.
func concerns(c *fleet.Cluster, r *report.Resource) []entity.Ref {
	out := []entity.Ref{c.Ref(r)}
	if w := c.Workload(r); w != out[0] {
		out = append(out, w)
	}
	for _, ref := range slices.Clone(out) {
		w := c.Find(ref).GetWorkload()
		for _, name := range w.GetConfigMaps() {
			out = append(out, entity.Ref{Cluster: c.ID(), Kind: "ConfigMap", Namespace: ref.Namespace, Name: name})
		}
		for _, name := range w.GetSecrets() {
			out = append(out, entity.Ref{Cluster: c.ID(), Kind: "Secret", Namespace: ref.Namespace, Name: name})
		}
	}
	return out
}
