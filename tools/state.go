package tools

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/risk"
	"github.com/bukahou/atlhyper/tools/phrase"
)

func overviewTool(e *engine.Engine) (Tool, error) {
	return define(shape{name: "overview", verb: "status", usage: "status [--cluster C]"},
		func(ctx context.Context, caller Caller, a struct {
			Cluster string `json:"cluster,omitempty" jsonschema:"only this cluster"`
		}) (*Result, error) {
			clusters, err := clustersOf(e, caller, a.Cluster)
			if err != nil {
				return nil, err
			}
			p, now := phrase.For(caller.Lang), e.Now()
			open := openIncidents(e, clusters)
			res := &Result{Observed: now}
			table := Table{Columns: []string{"CLUSTER", "HEALTH", "NODES", "PODS", "CPU", "MEMORY", "INCIDENTS"}}
			for _, c := range clusters {
				res.Missing = append(res.Missing, missing(c, now)...)
				nodes, pods := c.List(entity.Node, ""), c.List(entity.Pod, "")
				readyNodes, readyPods := 0, 0
				for _, n := range nodes {
					if n.GetNode().GetReady() {
						readyNodes++
					}
				}
				for _, pod := range pods {
					if well(c, pod) {
						readyPods++
					}
				}
				var cpu, memory []float64
				for _, n := range nodes {
					readings := c.Readings(c.Ref(n))
					if r, ok := readings["cpu_usage"]; ok {
						cpu = append(cpu, r.Value)
					}
					if r, ok := readings["memory_usage"]; ok {
						memory = append(memory, r.Value)
					}
				}
				mine := 0
				for _, i := range open {
					if i.Cluster == c.ID() {
						mine++
					}
				}
				health := p.Sprintf("healthy")
				switch st := c.Status(); {
				case st.Silent:
					health = p.Sprintf("unknown: agent silent for %s", Age(now.Sub(st.LastSeen)))
				case mine > 0:
					health = p.Sprintf("%d open", mine)
				}
				table.Rows = append(table.Rows, []string{
					c.ID(), health, fmt.Sprintf("%d/%d", readyNodes, len(nodes)), fmt.Sprintf("%d/%d", readyPods, len(pods)),
					meanPercent(cpu), meanPercent(memory), fmt.Sprint(mine),
				})
			}
			alerts, silent := []alert{}, 0
			for _, c := range clusters {
				alerts = append(alerts, alertsOf(e, c.ID())...)
				if c.Status().Silent {
					silent++
				}
			}
			alerts = slices.DeleteFunc(alerts, func(a alert) bool { return a.Score < worthTelling })
			switch where := place(clusters, ""); {
			case len(open) == 1:
				res.Headline = p.Sprintf("One thing is wrong in %s: %s", placeOf(open[0]), Sentence(open[0]))
			case len(open) > 1:
				res.Headline = p.Sprintf("%d things are wrong. The worst is in %s: %s", len(open), placeOf(open[0]), Sentence(open[0]))
			case silent == len(clusters):
				res.Headline = p.Sprintf("The state of %s is unknown: no agent speaks.", where)
			case len(alerts) > 0:
				res.Headline = p.Sprintf("No incident is open in %s, and there are %d alerts.", where, len(alerts))
			default:
				res.Headline = p.Sprintf("Nothing is wrong that I can see in %s.", where)
			}
			if len(open) > 0 {
				res.Incident = open[0].ID
			}
			if len(open) > 0 {
				t := incidentTable(p, open, now)
				t.Heading = p.Sprintf("Open incidents")
				res.Tables = append(res.Tables, t)
				res.Next = append(res.Next, incidentNext(p, open[0])...)
			}
			res.Tables = append(res.Tables, table)
			if len(alerts) > 0 {
				slices.SortStableFunc(alerts, func(a, b alert) int { return b.Since.Compare(a.Since) })
				l := Text{Heading: p.Sprintf("Latest alerts")}
				for _, a := range alerts[:min(5, len(alerts))] {
					l.Body += fmt.Sprintf("%s %s: %s\n", Age(now.Sub(a.Since)), a.Entity.Short(), a.Why)
				}
				res.Lists = append(res.Lists, l)
			}
			if len(clusters) == 1 {
				res.Cluster = clusters[0].ID()
			} else if len(open) == 1 {
				res.Cluster = open[0].Cluster
			}
			res.Data = map[string]any{"incidents": open}
			return res, nil
		})
}

// openIncidents gives what is open in clusters, the worst first.
func openIncidents(e *engine.Engine, clusters []*fleet.Cluster) []*incident.Incident {
	is := slices.DeleteFunc(e.Incidents.Open(""), func(i *incident.Incident) bool {
		return !active(i.Stage) || !slices.ContainsFunc(clusters, func(c *fleet.Cluster) bool { return c.ID() == i.Cluster })
	})
	slices.SortStableFunc(is, worstFirst)
	return is
}

// worstFirst orders incidents.
func worstFirst(a, b *incident.Incident) int {
	return cmp.Or(cmp.Compare(urgency[b.Stage], urgency[a.Stage]), cmp.Compare(b.PeakRisk, a.PeakRisk), b.OpenedAt.Compare(a.OpenedAt))
}

// urgency orders open incidents: what hurts now comes before what may, and before what is mending.
var urgency = map[incident.Stage]int{incident.StageIncident: 4, incident.StageWarning: 3, incident.StageAlert: 2, incident.StageRecovering: 1}

// placeOf is where an incident is: "prod / shop".
func placeOf(i *incident.Incident) string {
	return strings.TrimSuffix(i.Cluster+" / "+i.Namespace, " / ")
}

// Sentence is an incident in one line: title, place, stage and cause.
func Sentence(i *incident.Incident) string {
	s := i.Title
	if i.Cause.Summary != "" {
		s += ". " + i.Cause.Summary
	}
	return strings.TrimSuffix(s, ".") + fmt.Sprintf(" (%s, %s).", i.ID, i.Stage)
}

func active(s incident.Stage) bool {
	return s == incident.StageAlert || s == incident.StageWarning || s == incident.StageIncident || s == incident.StageRecovering
}

func meanPercent(xs []float64) string {
	if len(xs) == 0 {
		return "unknown"
	}
	sum := 0.0
	for _, x := range xs {
		sum += x
	}
	return fmt.Sprintf("%.0f %%", 100*sum/float64(len(xs)))
}

// alert is one thing that is not well: a fact, or a figure that is not normal.
type alert struct {
	Entity entity.Ref `json:"entity"`
	Kind   string     `json:"kind"`
	Score  float64    `json:"score"`
	Since  time.Time  `json:"since"`
	Why    string     `json:"why"`
}

// worthTelling is the score from which an alert is told to somebody who did not ask for all of them.
const worthTelling = 0.5

func alertsOf(e *engine.Engine, cluster string) []alert {
	var out []alert
	for _, f := range e.Facts(cluster) {
		out = append(out, alert{f.Entity, f.Kind, f.Score, f.Since, f.Text})
	}
	for _, n := range e.Anomalies(cluster) {
		if n.Q > 0 {
			out = append(out, alert{n.Entity, n.Metric, n.Q, n.Onset, fmt.Sprintf("%s %s, normal %s ± %s (z %.1f)", n.Metric, n.Class.Figure(n.Value), n.Class.Figure(n.Mean), n.Class.Figure(n.Spread), n.Z)})
		}
	}
	return out
}

type alertsArgs struct {
	Target    string  `json:"target,omitempty" jsonschema:"only alerts of this object and what it owns"`
	Namespace string  `json:"namespace,omitempty" jsonschema:"only this namespace"`
	Cluster   string  `json:"cluster,omitempty" jsonschema:"only this cluster"`
	Kind      string  `json:"kind,omitempty" jsonschema:"only facts or metrics of this kind, such as CrashLoopBackOff or avg_latency"`
	Min       float64 `json:"min,omitempty" jsonschema:"least score, 0 to 1"`
}

func alertsTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "alerts", verb: "alerts", usage: "alerts [TARGET] [-n NAMESPACE] [--kind K] [--cluster C]", pos: []string{"target"}}
	return define(s, asking(s.name, func(_ context.Context, caller Caller, a alertsArgs) (*Result, error) {
		p, now := phrase.For(caller.Lang), e.Now()
		clusters, err := clustersOf(e, caller, a.Cluster)
		if err != nil {
			return nil, err
		}
		var about map[entity.Ref]bool
		what := ""
		if a.Target != "" {
			c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster)
			if err != nil {
				return nil, err
			}
			clusters, a.Namespace, about, what = []*fleet.Cluster{c}, "", family(e, c, r), " "+c.Ref(r).Short()
		}
		var found []alert
		res := &Result{Observed: now}
		for _, c := range clusters {
			res.Missing = append(res.Missing, missing(c, now)...)
			found = append(found, alertsOf(e, c.ID())...)
		}
		found = slices.DeleteFunc(found, func(x alert) bool {
			return x.Score < a.Min || (a.Namespace != "" && x.Entity.Namespace != a.Namespace) || (a.Kind != "" && !strings.EqualFold(a.Kind, x.Kind)) || (about != nil && !about[x.Entity])
		})
		slices.SortStableFunc(found, func(a, b alert) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), entity.Compare(a.Entity, b.Entity), cmp.Compare(a.Kind, b.Kind))
		})
		t := Table{Columns: []string{"SCORE", "OBJECT", "WHAT", "SINCE", "WHY"}}
		for _, x := range found {
			t.Rows = append(t.Rows, []string{fmt.Sprintf("%.2f", x.Score), strings.TrimPrefix(x.Entity.Namespace+" ", " ") + x.Entity.Short(), x.Kind, Age(now.Sub(x.Since)), x.Why})
		}
		res.Headline = p.Sprintf("%d alerts in %s.", len(found), place(clusters, a.Namespace)+what)
		res.Tables, res.Data = []Table{t}, found
		if len(clusters) == 1 {
			res.Cluster = clusters[0].ID()
		}
		return res, nil
	}))
}

type topologyArgs struct {
	object
	Direction string `json:"direction,omitempty" jsonschema:"upstream (who depends on it), downstream (what it depends on) or both"`
	Depth     int    `json:"depth,omitempty" jsonschema:"how many steps; 3 when left out"`
}

func topologyTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "topology", verb: "topology", usage: "topology TARGET [--direction upstream|downstream|both] [--depth 3] [--cluster C]", pos: []string{"target", "direction"}}
	return define(s, asking(s.name, func(_ context.Context, caller Caller, a topologyArgs) (*Result, error) {
		switch a.Direction {
		case "", "both", "upstream", "downstream":
		default:
			return nil, &Problem{Sentence: fmt.Sprintf("%q is no direction.", a.Direction), Remedy: "upstream (who depends on it), downstream (what it depends on) or both."}
		}
		c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster)
		if err != nil {
			return nil, err
		}
		p, g, ref := phrase.For(caller.Lang), e.Graph(c.ID()), c.Ref(r)
		depth := cmp.Or(max(0, min(a.Depth, 10)), 3)
		res := &Result{Cluster: c.ID(), Observed: e.Now(), Missing: missing(c, e.Now())}
		// A Deployment is called through its Services: callers of the name that a person typed are the Services' callers.
		var up, down []entity.Ref
		if a.Direction != "downstream" {
			up = g.Upstream(ref, depth)
		}
		if a.Direction != "upstream" {
			down = g.Downstream(ref, depth)
			for _, svc := range g.ServicesOf(ref) {
				for _, d := range g.Downstream(svc, depth) {
					if d != ref && !slices.Contains(down, d) {
						down = append(down, d)
					}
				}
			}
		}
		assessment := e.Assessment(c.ID())
		show := func(heading string, refs []entity.Ref) {
			l := Text{Heading: heading}
			for _, x := range refs {
				l.Body += strings.TrimPrefix(x.Namespace+" ", " ") + x.Short()
				if sc := assessment.Of(x); sc.Final >= 0.2 {
					l.Body += fmt.Sprintf(" · risk %.2f", sc.Final)
				}
				l.Body += "\n"
			}
			if len(refs) > 0 {
				res.Lists = append(res.Lists, l)
			}
		}
		show(p.Sprintf("Upstream: what depends on it"), up)
		show(p.Sprintf("Downstream: what it depends on"), down)
		res.Headline = p.Sprintf("%s: %d things depend on it, it depends on %d.", title(c, r), len(up), len(down))
		res.Data = map[string]any{"upstream": up, "downstream": down}
		return res, nil
	}))
}

func riskTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "risk", verb: "risk", usage: "risk [TARGET] [-n NAMESPACE] [--cluster C]", pos: []string{"target"}}
	type args struct {
		Target    string `json:"target,omitempty" jsonschema:"the entity whose score is explained; the riskiest are listed when left out"`
		Namespace string `json:"namespace,omitempty" jsonschema:"only this namespace"`
		Cluster   string `json:"cluster,omitempty" jsonschema:"cluster id"`
	}
	return define(s, asking(s.name, func(_ context.Context, caller Caller, a args) (*Result, error) {
		p, now := phrase.For(caller.Lang), e.Now()
		if a.Target == "" {
			return riskiest(e, caller, a.Cluster, a.Namespace)
		}
		c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster)
		if err != nil {
			return nil, err
		}
		res := &Result{Cluster: c.ID(), Observed: now, Missing: missing(c, now)}
		// A workload that fails its requests shows it at its Service: that counts for both names.
		score := e.Assessment(c.ID()).Of(c.Ref(r))
		for _, svc := range e.Graph(c.ID()).ServicesOf(c.Ref(r)) {
			if other := e.Assessment(c.ID()).Of(svc); other.Final > score.Final {
				score = other
			}
		}
		if score.Final == 0 {
			res.Headline = p.Sprintf("%s: risk 0, healthy.", title(c, r))
			return res, nil
		}
		res.Headline = p.Sprintf("%s: risk %.2f.", title(c, r), score.Final)
		if score.Entity != c.Ref(r) {
			res.Facts = []Fact{{Label: p.Sprintf("measured at"), Value: score.Entity.Short()}}
		}
		res.Texts = []Text{{Heading: p.Sprintf("Formula with its numbers"), Body: score.Formula()}}
		t := Table{Heading: p.Sprintf("Terms"), Columns: []string{"WHAT", "SCORE", "WHY"}}
		for _, term := range score.Terms {
			t.Rows = append(t.Rows, []string{term.Name, fmt.Sprintf("%.2f", term.Score), term.Text})
		}
		res.Tables, res.Data = []Table{t}, score
		return res, nil
	}))
}

func riskiest(e *engine.Engine, caller Caller, cluster, namespace string) (*Result, error) {
	clusters, err := clustersOf(e, caller, cluster)
	if err != nil {
		return nil, err
	}
	p, now := phrase.For(caller.Lang), e.Now()
	var all []*risk.Score
	res := &Result{Observed: now}
	for _, c := range clusters {
		res.Missing = append(res.Missing, missing(c, now)...)
		assessment := e.Assessment(c.ID())
		for ref := range assessment.Scores {
			if namespace == "" || ref.Namespace == namespace {
				s := assessment.Of(ref)
				all = append(all, &s)
			}
		}
	}
	slices.SortFunc(all, func(a, b *risk.Score) int {
		return cmp.Or(cmp.Compare(b.Final, a.Final), entity.Compare(a.Entity, b.Entity))
	})
	t := Table{Columns: []string{"RISK", "LOCAL", "OBJECT", "THROUGH"}, Total: len(all)}
	for _, s := range all[:min(20, len(all))] {
		through := ""
		if !s.Via.IsZero() {
			through = s.Via.Short()
		}
		t.Rows = append(t.Rows, []string{fmt.Sprintf("%.2f", s.Final), fmt.Sprintf("%.2f", s.Local), strings.TrimPrefix(s.Entity.Namespace+" ", " ") + s.Entity.Short(), through})
	}
	res.Headline = p.Sprintf("%d entities have a risk above 0 in %s.", len(all), place(clusters, namespace))
	res.Tables = []Table{t}
	if len(clusters) == 1 {
		res.Cluster = clusters[0].ID()
	}
	return res, nil
}
