package tools

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/figure"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/slo"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// objectiveTools tell what was promised to users and how it is kept. Setting an objective changes AtlHyper's own
// configuration and no cluster: it takes effect at once, needs an operator and is audited.
var objectiveTools = []func(*engine.Engine) (Tool, error){sloTool, sloSetTool, sloRemoveTool, sloProposeTool, signalsTool, chartTool}

// answering resolves what requests are counted of: a Service or an Ingress by its name; of a workload the Service before it.
func answering(e *engine.Engine, caller Caller, target, namespace, cluster string) (*fleet.Cluster, *report.Resource, error) {
	t, err := parseTarget(e, caller, target)
	if err != nil {
		return nil, nil, err
	}
	if t.kind == "" || t.kind == entity.Service || t.kind == entity.Ingress {
		return resolve(e, caller, target, namespace, cluster, entity.Service, entity.Ingress)
	}
	c, r, err := resolve(e, caller, target, namespace, cluster)
	if err != nil {
		return nil, nil, err
	}
	for _, svc := range append(e.Graph(c.ID()).ServicesOf(c.Ref(r)), entity.Ref{Kind: entity.Service, Namespace: r.GetNamespace(), Name: r.GetName()}) {
		if found := c.Find(svc); found != nil && found.GetKind() == entity.Service {
			return c, found, nil
		}
	}
	p := phrase.For(caller.Lang)
	return nil, nil, &Problem{Sentence: p.Sprintf("No requests are counted of %s: no Service stands before it.", c.Ref(r).Short()), Remedy: p.Sprintf("Name a Service or an Ingress.")}
}

type sloArgs struct {
	Target    string `json:"target,omitempty" jsonschema:"service or ingress whose objectives are shown in detail; all are listed when left out"`
	Namespace string `json:"namespace,omitempty" jsonschema:"namespace, when the name alone is not enough; or only this namespace in the list"`
	Cluster   string `json:"cluster,omitempty" jsonschema:"cluster id"`
}

func sloTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "slo", verb: "slo", usage: "slo [SERVICE] [-n NAMESPACE] [--cluster C]", pos: []string{"target"}}
	return define(s, asking(s.name, func(_ context.Context, caller Caller, a sloArgs) (*Result, error) {
		if a.Target == "" {
			return listObjectives(e, caller, a)
		}
		c, r, err := answering(e, caller, a.Target, a.Namespace, a.Cluster)
		if err != nil {
			return nil, err
		}
		return describeObjectives(e, caller, c, r)
	}))
}

func listObjectives(e *engine.Engine, caller Caller, a sloArgs) (*Result, error) {
	clusters, err := clustersOf(e, caller, a.Cluster)
	if err != nil {
		return nil, err
	}
	p, now := phrase.For(caller.Lang), e.Now()
	res := &Result{Observed: now}
	t := Table{Columns: []string{"OF", "OBJECTIVE", "NOW", "BUDGET LEFT", "BURN 5 MIN", "BURN 1 H", "SET BY"}}
	burning := 0
	var all []slo.Status
	for _, c := range clusters {
		res.Missing = append(append(res.Missing, missing(c, now)...), e.SLO.Refused(c.ID())...)
		for _, st := range e.SLO.List(now, c.ID()) {
			if a.Namespace != "" && st.Objective.Entity.Namespace != a.Namespace {
				continue
			}
			all = append(all, st)
			of := st.Objective.Entity.Short()
			if len(clusters) > 1 {
				of = c.ID() + " " + of
			}
			if st.Objective.Route != "" {
				of += " " + st.Objective.Route
			}
			if st.Alert != nil {
				burning++
			}
			t.Rows = append(t.Rows, []string{of, promise(st.Objective), sli(p, st), left(p, st), burnOver(p, st, 5*time.Minute), burnOver(p, st, time.Hour), string(st.Objective.Source)})
			if st.Measured && st.At.Before(res.Observed) {
				res.Observed = st.At
			}
		}
	}
	where := place(clusters, a.Namespace)
	switch {
	case len(all) == 0:
		res.Headline = p.Sprintf("No objective is set in %s.", where)
		for _, c := range clusters {
			for _, kind := range []string{entity.Ingress, entity.Service} {
				for _, r := range c.List(kind, a.Namespace) {
					if len(res.Next) < 3 && len(e.SLO.Signals(c.Ref(r), now.Add(-10*time.Minute), 10*time.Minute)) > 0 {
						o, err := option(p.Sprintf("Propose one for %s", r.GetName()), "slo_propose", object{Target: c.Ref(r).Short(), Namespace: r.GetNamespace(), Cluster: c.ID()})
						if err != nil {
							return nil, err
						}
						res.Next = append(res.Next, o)
					}
				}
			}
		}
	case burning > 0:
		res.Headline = p.Sprintf("%d objectives in %s, and %d of their budgets burn too fast.", len(all), where, burning)
	default:
		res.Headline = p.Sprintf("%d objectives in %s, none burns too fast.", len(all), where)
	}
	if len(t.Rows) > 0 {
		res.Tables = []Table{t}
	}
	if len(clusters) == 1 {
		res.Cluster = clusters[0].ID()
	}
	res.Data = all
	return res, nil
}

func option(label, tool string, args any) (Option, error) {
	raw, err := json.Marshal(args)
	return Option{Label: label, Tool: tool, Args: raw}, err
}

// promise is an objective without what it is about: "availability 99.9 % over 30 d".
func promise(o slo.Objective) string {
	return strings.TrimPrefix(strings.TrimPrefix(o.Name(), o.Entity.Name+" "), o.Route+" ")
}

func sli(p *message.Printer, st slo.Status) string {
	x, ok := st.SLI()
	if !ok {
		return p.Sprintf("unknown, because nothing counts its requests")
	}
	return slo.Percent(x)
}

// left is what remains of the budget. Where part of the window is not known it is at most that.
func left(p *message.Printer, st slo.Status) string {
	if _, ok := st.SLI(); !ok {
		return p.Sprintf("unknown")
	}
	s := fmt.Sprintf("%.0f %%", 100*st.Budget.Left())
	if st.Budget.Counts.Coverage() < 0.99 {
		return p.Sprintf("at most %s", s)
	}
	return s
}

func burnOver(p *message.Printer, st slo.Status, d time.Duration) string {
	for _, b := range st.Burns {
		if b.Window == d && b.Known() {
			return slo.Times(b.Rate)
		}
	}
	return p.Sprintf("unknown")
}

func describeObjectives(e *engine.Engine, caller Caller, c *fleet.Cluster, r *report.Resource) (*Result, error) {
	p, now, ref := phrase.For(caller.Lang), e.Now(), c.Ref(r)
	res := &Result{Cluster: c.ID(), Observed: now, Missing: missing(c, now)}
	var all []slo.Status
	for _, o := range e.SLO.Objectives(c.ID()) {
		if o.Entity == ref {
			all = append(all, e.SLO.Status(now, o))
		}
	}
	if len(all) == 0 {
		res.Headline = p.Sprintf("%s has no objective.", title(c, r))
		o, err := option(p.Sprintf("Propose one for %s", r.GetName()), "slo_propose", object{Target: ref.Short(), Namespace: r.GetNamespace(), Cluster: c.ID()})
		res.Next = []Option{o}
		return res, err
	}
	slices.SortStableFunc(all, func(a, b slo.Status) int { return cmp.Compare(b.Budget.Spent, a.Budget.Spent) })
	worst := all[0]
	switch _, ok := worst.SLI(); {
	case !ok:
		res.Headline = p.Sprintf("%s: how its objective is kept is unknown, because nothing counts its requests.", title(c, r))
	case worst.Alert != nil:
		res.Headline = p.Sprintf("%s: %s good, and the budget burns at %s.", title(c, r), sli(p, worst), burnOver(p, worst, worst.Alert.Short))
	default:
		res.Headline = p.Sprintf("%s: %s good, %s of the budget is left.", title(c, r), sli(p, worst), left(p, worst))
	}
	burns := Table{Heading: p.Sprintf("Burn rates"), Columns: []string{"OBJECTIVE", "WINDOW", "BURN", "BAD", "REQUESTS", "KNOWN"}}
	for _, st := range all {
		if st.Measured && st.At.Before(res.Observed) {
			res.Observed = st.At
		}
		o, b := st.Objective, st.Budget
		value := p.Sprintf("unknown, because nothing counts its requests")
		if b.Counts.Known > 0 {
			value = p.Sprintf("%s good, budget %s left: %s of %s bad requests spent", sli(p, st), left(p, st), slo.Number(b.Counts.Bad), slo.Number(b.Allowed))
			if b.Counts.Coverage() < 0.99 {
				value += ", " + p.Sprintf("%s of %s known", slo.Span(b.Counts.Known), slo.Span(o.Window))
			}
		}
		res.Facts = append(res.Facts, Fact{Label: promise(o), Value: value, At: st.At})
		if o.Kind == slo.Latency && st.MeasuredAt > 0 && st.MeasuredAt != o.Threshold {
			res.Facts = append(res.Facts, Fact{Label: p.Sprintf("measured at"), Value: p.Sprintf("%s, the nearest bound of the latency buckets", secs(st.MeasuredAt.Seconds()))})
		}
		if f := st.Forecast; f.Known {
			value := p.Sprintf("at the pace of the last 3 d (%s) %s of the month's budget is spent by its end; now it is %s", slo.Times(f.Pace), slo.Percent(f.MonthEnd), slo.Percent(f.Month))
			if !f.Exhausted.IsZero() {
				value += "; " + p.Sprintf("the window's budget is gone in %s", slo.Span(f.Exhausted.Sub(now)))
			}
			res.Facts = append(res.Facts, Fact{Label: p.Sprintf("forecast"), Value: value})
		}
		for _, x := range st.Burns {
			row := []string{string(o.Kind), slo.Span(x.Window), p.Sprintf("unknown"), "", "", fmt.Sprintf("%.0f %%", 100*x.Counts.Coverage())}
			if x.Known() {
				row[2], row[3], row[4] = slo.Times(x.Rate), slo.Number(x.Counts.Bad), slo.Number(x.Counts.Total)
			}
			burns.Rows = append(burns.Rows, row)
		}
		if ch := objectiveChart(e, p, st, now); ch != nil && len(res.Charts) == 0 {
			res.Charts = []Chart{*ch}
		}
	}
	res.Tables = []Table{burns}
	if d := worst.Latency; d.Total() > 0 {
		t := Table{Heading: p.Sprintf("Latency, last 24 h"), Columns: []string{"UP TO", "REQUESTS", "SHARE"}}
		for i, n := range d.Buckets {
			if n == 0 {
				continue
			}
			upTo := "+Inf"
			if i < len(d.Bounds) {
				upTo = secs(d.Bounds[i])
			}
			t.Rows = append(t.Rows, []string{upTo, slo.Number(n), ratio(n / d.Total())})
		}
		for _, q := range []float64{0.5, 0.95, 0.99} {
			res.Facts = append(res.Facts, Fact{Label: fmt.Sprintf("p%.0f", 100*q), Value: quantile(d, q)})
		}
		res.Tables = append(res.Tables, t)
	}
	if len(worst.Codes) > 0 {
		t := Table{Heading: p.Sprintf("Status codes, last 24 h"), Columns: []string{"CODE", "REQUESTS", "SHARE"}}
		total := 0.0
		for _, n := range worst.Codes {
			total += n
		}
		for _, code := range slices.Sorted(maps.Keys(worst.Codes)) {
			t.Rows = append(t.Rows, []string{code, slo.Number(worst.Codes[code]), ratio(worst.Codes[code] / total)})
		}
		res.Tables = append(res.Tables, t)
	}
	res.Data = all
	return res, nil
}

// quantile writes a percentile; one in the last bucket is more than that bucket's bound.
func quantile(d slo.Distribution, q float64) string {
	x, open, ok := d.Quantile(q)
	switch {
	case !ok:
		return "unknown"
	case open:
		return "> " + secs(x)
	}
	return secs(x)
}

type sloSetArgs struct {
	Target    string `json:"target" jsonschema:"service or ingress: NAME, KIND/NAME or NAMESPACE/NAME"`
	Kind      string `json:"kind" jsonschema:"availability or latency"`
	Goal      string `json:"goal" jsonschema:"percent of requests that shall be good, such as 99.9"`
	Window    string `json:"window,omitempty" jsonschema:"over which time, such as 30d or 7d; 30d when left out"`
	Threshold string `json:"threshold,omitempty" jsonschema:"of latency: within which time a request is good, such as 300ms"`
	Route     string `json:"route,omitempty" jsonschema:"only this route of an ingress"`
	Layer     string `json:"layer,omitempty" jsonschema:"mesh or ingress: who counts; found out when left out"`
	Namespace string `json:"namespace,omitempty" jsonschema:"namespace, when the name alone is not enough"`
	Cluster   string `json:"cluster,omitempty" jsonschema:"cluster id"`
}

func sloSetTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "slo_set", verb: "slo set", usage: "slo set SERVICE availability|latency PERCENT [30d] [--threshold 300ms] [--route R] [-n NAMESPACE] [--cluster C]", pos: []string{"target", "kind", "goal", "window"}, role: people.Operator}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a sloSetArgs) (*Result, error) {
		c, r, err := answering(e, caller, a.Target, a.Namespace, a.Cluster)
		if err != nil {
			return nil, err
		}
		o := slo.Objective{Entity: c.Ref(r), Kind: slo.Kind(strings.ToLower(a.Kind)), Route: a.Route, Layer: strings.ToLower(a.Layer)}
		no := func(err error) error {
			return &Problem{Sentence: capital(err.Error()) + ".", Remedy: "Such as /atl slo set checkout availability 99.9 30d, or /atl slo set checkout latency 99 30d --threshold 300ms."}
		}
		if o.Target, err = slo.ParseTarget(a.Goal); err != nil {
			return nil, no(err)
		}
		if o.Window, err = slo.ParseWindow(a.Window); err != nil {
			return nil, no(err)
		}
		if o.Threshold, err = duration(a.Threshold, 0); err != nil {
			return nil, err
		}
		if err := o.Check(); err != nil {
			return nil, no(err)
		}
		set, err := e.SetObjective(ctx, o, caller.Person)
		if err != nil {
			return nil, err
		}
		p, now := phrase.For(caller.Lang), e.Now()
		st := e.SLO.Status(now, set)
		res := &Result{Cluster: c.ID(), Observed: now, Headline: p.Sprintf("Set: %s · %s.", set.Name(), place([]*fleet.Cluster{c}, r.GetNamespace())), Data: st}
		if st.Budget.Counts.Known > 0 {
			res.Facts = []Fact{{Label: p.Sprintf("now"), Value: p.Sprintf("%s good, %s of the budget is left", sli(p, st), left(p, st))}}
		} else {
			res.Missing = []string{p.Sprintf("nothing counts the requests of %s yet: until then it is unknown how it is kept", r.GetName())}
		}
		if 14.4*(1-set.Target) > 1 {
			res.Missing = append(res.Missing, p.Sprintf("with a budget of %s not even an outage burns at 14.4: only the slower alerts can come", slo.Percent(1-set.Target)))
		}
		return res, nil
	}))
}

// capital makes a sentence of an error's text.
func capital(s string) string {
	if s == "" {
		return s
	}
	return strings.ToUpper(s[:1]) + s[1:]
}

type sloRemoveArgs struct {
	Target    string `json:"target" jsonschema:"service or ingress"`
	Kind      string `json:"kind" jsonschema:"availability or latency"`
	Route     string `json:"route,omitempty" jsonschema:"only that of this route"`
	Layer     string `json:"layer,omitempty" jsonschema:"mesh or ingress, when it has both"`
	Namespace string `json:"namespace,omitempty" jsonschema:"namespace, when the name alone is not enough"`
	Cluster   string `json:"cluster,omitempty" jsonschema:"cluster id"`
}

func sloRemoveTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "slo_remove", verb: "slo remove", usage: "slo remove SERVICE availability|latency [-n NAMESPACE] [--cluster C]", pos: []string{"target", "kind"}, role: people.Operator}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a sloRemoveArgs) (*Result, error) {
		c, r, err := answering(e, caller, a.Target, a.Namespace, a.Cluster)
		if err != nil {
			return nil, err
		}
		p := phrase.For(caller.Lang)
		for _, o := range e.SLO.Objectives(c.ID()) {
			if o.Entity != c.Ref(r) || string(o.Kind) != strings.ToLower(a.Kind) || o.Route != a.Route || a.Layer != "" && o.Layer != strings.ToLower(a.Layer) {
				continue
			}
			if err := e.RemoveObjective(ctx, o.Key(), caller.Person); err != nil {
				return nil, err
			}
			return &Result{Cluster: c.ID(), Observed: e.Now(), Headline: p.Sprintf("Removed: %s · %s.", o.Name(), place([]*fleet.Cluster{c}, r.GetNamespace()))}, nil
		}
		return nil, &Problem{Sentence: p.Sprintf("%s has no such objective.", title(c, r)), Remedy: p.Sprintf("/atl slo lists them.")}
	}))
}

func sloProposeTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "slo_propose", verb: "slo propose", usage: "slo propose SERVICE [-n NAMESPACE] [--cluster C]", pos: []string{"target"}}
	return define(s, asking(s.name, func(_ context.Context, caller Caller, a object) (*Result, error) {
		c, r, err := answering(e, caller, a.Target, a.Namespace, a.Cluster)
		if err != nil {
			return nil, err
		}
		p, now := phrase.For(caller.Lang), e.Now()
		found, known := e.SLO.Propose(now, c.Ref(r))
		res := &Result{Cluster: c.ID(), Observed: now, Missing: missing(c, now), Data: found}
		if len(found) == 0 {
			res.Headline = p.Sprintf("%s: too little is known for a proposal: %s requests in %s.", title(c, r), slo.Number(known.Total), slo.Span(known.Known))
			return res, nil
		}
		t := Table{Columns: []string{"OBJECTIVE", "SEEN BY", "WOULD HAVE SPENT", "FROM"}}
		for _, x := range found {
			o := x.Objective
			t.Rows = append(t.Rows, []string{promise(o), o.Layer, p.Sprintf("%s of the budget", slo.Percent(x.Spent)), p.Sprintf("%s requests in %s", slo.Number(x.Counts.Total), slo.Span(x.Counts.Known))})
			args := sloSetArgs{Target: o.Entity.Short(), Kind: string(o.Kind), Goal: strings.TrimSuffix(slo.Percent(o.Target), " %"), Window: "30d", Layer: o.Layer, Namespace: o.Entity.Namespace, Cluster: c.ID()}
			if o.Kind == slo.Latency {
				args.Threshold = o.Threshold.String()
			}
			next, err := option(p.Sprintf("Set %s", promise(o)), "slo_set", args)
			if err != nil {
				return nil, err
			}
			if e.People.RoleOf(caller.Person, c.ID(), r.GetNamespace()) >= people.Operator {
				res.Next = append(res.Next, next)
			}
		}
		res.Headline, res.Tables = p.Sprintf("%s: what it kept so far, with half of the budget to spare. Nothing is set.", title(c, r)), []Table{t}
		return res, nil
	}))
}

type signalsArgs struct {
	object
	Ago string `json:"ago,omitempty" jsonschema:"what to compare with, such as 30m or 1h ago; 1h when left out"`
}

// signalsSpan is over which time golden signals are taken.
const signalsSpan = 5 * time.Minute

func signalsTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "signals", verb: "signals", usage: "signals SERVICE [--ago 1h] [-n NAMESPACE] [--cluster C]", pos: []string{"target"}}
	return define(s, asking(s.name, func(_ context.Context, caller Caller, a signalsArgs) (*Result, error) {
		ago, err := duration(a.Ago, time.Hour)
		if err != nil {
			return nil, err
		}
		c, r, err := answering(e, caller, a.Target, a.Namespace, a.Cluster)
		if err != nil {
			return nil, err
		}
		p, now, ref := phrase.For(caller.Lang), e.Now(), c.Ref(r)
		end := e.SLO.Newest(ref)
		if end.IsZero() || now.Sub(end) > 2*signalsSpan {
			return nil, &Problem{Sentence: p.Sprintf("Nothing counts the requests of %s now.", r.GetName()), Remedy: p.Sprintf("/atl metrics %s shows what is measured of it.", r.GetName())}
		}
		t := Table{Columns: []string{"SEEN BY", "SIGNAL", "NOW", strings.ToUpper(Age(ago)) + " AGO"}}
		before := e.SLO.Signals(ref, end.Add(-signalsSpan-ago), signalsSpan)
		for i, x := range e.SLO.Signals(ref, end.Add(-signalsSpan), signalsSpan) {
			by := strings.TrimSpace(x.Layer + " " + x.Route)
			was := slo.Signals{}
			if i < len(before) {
				was = before[i]
			}
			row := func(name string, f func(slo.Signals) string) {
				cell := func(s slo.Signals) string {
					if s.Counts.Known == 0 {
						return p.Sprintf("unknown")
					}
					return f(s)
				}
				t.Rows = append(t.Rows, []string{by, name, cell(x), cell(was)})
			}
			row("rate", func(s slo.Signals) string { return figure.Of(s.Rate()) + "/s" })
			row("errors", func(s slo.Signals) string { return ratio(s.Counts.Share()) })
			for _, q := range []float64{0.5, 0.95, 0.99} {
				row(fmt.Sprintf("p%.0f", 100*q), func(s slo.Signals) string { return quantile(s.Latency, q) })
			}
		}
		return &Result{
			Cluster: c.ID(), Observed: end, Missing: missing(c, now), Tables: []Table{t},
			Headline: p.Sprintf("%s: its golden signals over 5 min, beside those of %s ago.", title(c, r), Age(ago)),
		}, nil
	}))
}
