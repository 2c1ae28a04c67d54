package tools

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/tools/phrase"
)

type topArgs struct {
	Kind      string `json:"kind,omitempty" jsonschema:"pods or nodes; pods when left out"`
	By        string `json:"by,omitempty" jsonschema:"cpu or memory; cpu when left out"`
	Namespace string `json:"namespace,omitempty" jsonschema:"only this namespace"`
	Cluster   string `json:"cluster,omitempty" jsonschema:"cluster id"`
}

func topTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "top", verb: "top", usage: "top [pods|nodes] [--by cpu|memory] [-n NAMESPACE] [--cluster C]", pos: []string{"kind"}}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a topArgs) (*Result, error) {
		kind, ok := entity.ParseKind(cmp.Or(a.Kind, "pods"))
		if !ok || (kind != entity.Pod && kind != entity.Node) {
			return nil, &Problem{Sentence: "Only pods and nodes can be ranked.", Remedy: "Usage: /atl " + s.usage}
		}
		use := map[string]func(*report.Usage) float64{"": (*report.Usage).GetCpuCores, "cpu": (*report.Usage).GetCpuCores, "memory": (*report.Usage).GetMemoryBytes}[strings.ToLower(a.By)]
		if use == nil {
			return nil, &Problem{Sentence: "They are ranked by cpu or by memory.", Remedy: "Usage: /atl " + s.usage}
		}
		c, err := clusterOf(e, caller, a.Cluster)
		if err != nil {
			return nil, err
		}
		o, err := query(ctx, e, c.ID(), &report.Query{Ask: &report.Query_Top{Top: &report.TopQuery{Kind: kind, Namespace: a.Namespace}}})
		if err != nil {
			return nil, err
		}
		us := o.GetUsages()
		slices.SortStableFunc(us, func(a, b *report.Usage) int { return cmp.Compare(use(b), use(a)) })
		p, where := phrase.For(caller.Lang), place([]*fleet.Cluster{c}, a.Namespace)
		res := &Result{Headline: p.Sprintf("%d %s in %s.", len(us), counted(kind, len(us)), where), Cluster: c.ID(), Observed: e.Now()}
		millis := func(u *report.Usage) string { return fmt.Sprintf("%dm", int(u.GetCpuCores()*1000)) }
		t := Table{Columns: []string{"NAMESPACE", "NAME", "CPU", "MEMORY"}, Total: len(us)}
		if kind == entity.Node {
			t.Columns = []string{"NAME", "CPU", "CPU%", "MEMORY", "MEMORY%"}
		}
		for _, u := range us {
			name := u.GetObject().GetName()
			if kind == entity.Pod {
				t.Rows = append(t.Rows, []string{u.GetObject().GetNamespace(), name, millis(u), Bytes(u.GetMemoryBytes())})
				continue
			}
			whole := c.Find(entity.Ref{Cluster: c.ID(), Kind: entity.Node, Name: name}).GetNode().GetAllocatable()
			t.Rows = append(t.Rows, []string{name, millis(u), share(u.GetCpuCores(), whole.GetCpuCores()), Bytes(u.GetMemoryBytes()), share(u.GetMemoryBytes(), whole.GetMemoryBytes())})
		}
		if len(us) > 0 {
			top := strings.ToLower(kind) + "/" + us[0].GetObject().GetName()
			if strings.EqualFold(a.By, "memory") {
				res.Headline = p.Sprintf("%s uses the most memory of %d %s in %s: %s.", top, len(us), counted(kind, len(us)), where, Bytes(us[0].GetMemoryBytes()))
			} else {
				res.Headline = p.Sprintf("%s uses the most CPU of %d %s in %s: %s.", top, len(us), counted(kind, len(us)), where, millis(us[0]))
			}
		}
		res.Tables = []Table{t}
		return res, nil
	}))
}

// share is a part of a whole as kubectl shows it, empty when the whole is not known.
func share(part, whole float64) string {
	if whole <= 0 {
		return ""
	}
	return fmt.Sprintf("%.0f%%", 100*part/whole)
}
