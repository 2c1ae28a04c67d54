package tools

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/tools/phrase"
)

func rolloutStatusTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "rollout_status", verb: "rollout", usage: "rollout TARGET [-n NAMESPACE] [--cluster C]", pos: []string{"target"}}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a object) (*Result, error) {
		c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster, workloads...)
		if err != nil {
			return nil, err
		}
		o, err := query(ctx, e, c.ID(), &report.Query{Ask: &report.Query_RolloutStatus{RolloutStatus: &report.RolloutStatusQuery{Object: keyOf(r)}}})
		if err != nil {
			return nil, err
		}
		p, w := phrase.For(caller.Lang), r.GetWorkload()
		res := &Result{Cluster: c.ID(), Observed: e.Now(), Missing: missing(c, e.Now()), Texts: []Text{{Heading: "kubectl rollout status", Body: o.GetMessage()}}}
		switch done := w.GetUpdated() >= w.GetDesired() && w.GetAvailable() >= w.GetDesired() && w.GetObservedGeneration() >= r.GetGeneration(); {
		case w.GetPaused():
			res.Headline = p.Sprintf("The rollouts of %s are paused: %d of %d pods are of the newest revision, %d are ready.", title(c, r), w.GetUpdated(), w.GetDesired(), w.GetReady())
		case done:
			res.Headline = p.Sprintf("%s is rolled out: %d of %d pods are ready.", title(c, r), w.GetReady(), w.GetDesired())
		default:
			res.Headline = p.Sprintf("%s is not rolled out: %d of %d pods are of the newest revision, %d are ready.", title(c, r), w.GetUpdated(), w.GetDesired(), w.GetReady())
			for _, f := range e.Facts(c.ID()) {
				if f.Entity == c.Ref(r) {
					res.Facts = append(res.Facts, Fact{Label: p.Sprintf("held up by"), Value: f.Text})
				}
			}
		}
		if w.GetRevision() != "" {
			res.Facts = append(res.Facts, Fact{Label: p.Sprintf("revision"), Value: w.GetRevision()})
		}
		res.Facts = append(res.Facts, Fact{Label: p.Sprintf("images"), Value: strings.Join(slices.Sorted(maps.Values(w.GetImages())), ", ")})
		return res, nil
	}))
}

func rolloutHistoryTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "rollout_history", verb: "history", usage: "history TARGET [-n NAMESPACE] [--cluster C]", pos: []string{"target"}}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a object) (*Result, error) {
		c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster, workloads...)
		if err != nil {
			return nil, err
		}
		o, err := query(ctx, e, c.ID(), &report.Query{Ask: &report.Query_RolloutHistory{RolloutHistory: &report.RolloutHistoryQuery{Object: keyOf(r)}}})
		if err != nil {
			return nil, err
		}
		now := e.Now()
		t := Table{Columns: []string{"REVISION", "IMAGES", "AGE", "CAUSE", "NOW"}}
		for _, v := range o.GetRevisions() {
			current := ""
			if v.GetCurrent() {
				current = "current"
			}
			t.Rows = append(t.Rows, []string{fmt.Sprint(v.GetNumber()), strings.Join(slices.Sorted(maps.Values(v.GetImages())), ", "), since(v.GetCreated(), now), v.GetChangeCause(), current})
		}
		return &Result{
			Headline: phrase.For(caller.Lang).Sprintf("%s has %d revisions.", title(c, r), len(t.Rows)),
			Cluster:  c.ID(), Observed: now, Tables: []Table{t},
		}, nil
	}))
}
