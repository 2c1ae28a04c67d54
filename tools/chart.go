package tools

import (
	"cmp"
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/message"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/history"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/slo"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Chart is the course of one figure over a time: what a surface draws, or tells in words. Nothing in it is of any
// surface.
type Chart struct {
	Title  string          `json:"title"` // "errors of checkout", in the asker's language
	Unit   string          `json:"unit"`  // as in report.Series: "ratio", "s", "1/s", "By", "Cel", or ""
	Points []history.Point `json:"points"`
	Step   time.Duration   `json:"step"` // between points; where more lies between, nothing was measured
	From   time.Time       `json:"from"`
	To     time.Time       `json:"to"`
	Low    float64         `json:"low,omitempty"` // the normal band; both 0 when it is not known
	High   float64         `json:"high,omitempty"`
	Limit  float64         `json:"limit,omitempty"` // what the objective allows; 0 for none
	Begun  time.Time       `json:"begun,omitzero"`  // of the incident
	Ended  time.Time       `json:"ended,omitzero"`
	Alt    string          `json:"alt"`   // the same figures as text
	Spark  string          `json:"spark"` // the course in one line of blocks
}

type chartArgs struct {
	object
	Metric string `json:"metric,omitempty" jsonschema:"errors, latency, rate, cpu, memory, or a metric's own name; what is abnormal, else latency or cpu, when left out"`
	Since  string `json:"since,omitempty" jsonschema:"how far back, such as 1h, 6h or 168h; 1h when left out"`
}

// metricWords are the words that people have for metrics.
var metricWords = map[string]string{
	"errors": "error_rate", "error": "error_rate", "latency": "avg_latency", "p95": "p95_latency", "rate": "request_rate", "traffic": "request_rate", "rps": "request_rate",
	"cpu": "cpu_usage", "memory": "memory_usage", "mem": "memory_usage", "disk": "disk_usage", "restarts": "restart_count", "throttling": "cpu_throttled", "pressure": "psi_cpu",
}

func chartTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "chart", verb: "chart", usage: "chart TARGET [METRIC] [--since 1h] [-n NAMESPACE] [--cluster C]", pos: []string{"target", "metric"}}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a chartArgs) (*Result, error) {
		span, err := duration(a.Since, time.Hour)
		if err != nil {
			return nil, err
		}
		c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster)
		if err != nil {
			return nil, err
		}
		p, now := phrase.For(caller.Lang), e.Now()
		ref, metric, known := measuredOf(e, c, r, cmp.Or(metricWords[strings.ToLower(a.Metric)], a.Metric))
		res := &Result{Cluster: c.ID(), Observed: now, Missing: missing(c, now)}
		if metric == "" {
			if len(known) == 0 {
				res.Headline = p.Sprintf("%s: its metrics are unknown, because no source gives any.", title(c, r))
				return res, nil
			}
			return nil, &Problem{Sentence: p.Sprintf("%s has no metric %q.", title(c, r), a.Metric), Remedy: p.Sprintf("It has %s.", strings.Join(known, ", "))}
		}
		ch := course(ctx, e, p, ref, metric, now, span)
		if len(ch.Points) == 0 {
			res.Headline = p.Sprintf("%s: nothing of its %s was measured in the last %s.", title(c, r), metricName(p, metric), Age(span))
			return res, nil
		}
		res.Headline = p.Sprintf("%s of %s, last %s.", metricName(p, metric), ref.Short()+" · "+place([]*fleet.Cluster{c}, ref.Namespace), Age(span))
		least, most := bounds(ch.Points)
		last, label := ch.Points[len(ch.Points)-1], p.Sprintf("now")
		if !ch.current(now) {
			label = p.Sprintf("last measured")
		}
		res.Facts = []Fact{
			{Label: label, Value: unitFigure(ch.Unit, last.Value), Normal: band(ch), At: last.At},
			{Label: p.Sprintf("least"), Value: unitFigure(ch.Unit, least)}, {Label: p.Sprintf("most"), Value: unitFigure(ch.Unit, most)},
		}
		if v, ok := e.History.Ago(ref, metric, now, time.Hour); ok {
			res.Facts = append(res.Facts, Fact{Label: p.Sprintf("an hour ago"), Value: unitFigure(ch.Unit, v)})
		}
		res.Charts = []Chart{ch}
		return res, nil
	}))
}

// measuredOf finds where a metric of a thing is measured: at itself, at the Service before a workload, at a Service's
// workload. Without a metric it is what is abnormal, else what tells most of the kind. known are those that there are.
func measuredOf(e *engine.Engine, c *fleet.Cluster, r *report.Resource, metric string) (ref entity.Ref, found string, known []string) {
	refs := []entity.Ref{c.Ref(r)}
	if refs[0].Kind != entity.Node {
		g := e.Graph(c.ID())
		refs = append(refs, g.ServicesOf(refs[0])...)
		if w := g.WorkloadOf(refs[0]); !w.IsZero() && w != refs[0] {
			refs = append(refs, w)
		}
		for _, pod := range c.Pods(refs[0]) {
			refs = append(refs, c.Ref(pod))
		}
	}
	wanted := []string{metric}
	if metric == "" {
		worst := 0.0
		for _, x := range e.Anomalies(c.ID()) {
			if x.Q > worst && slices.Contains(refs, x.Entity) {
				worst, wanted = x.Q, []string{x.Metric}
			}
		}
		wanted = append(wanted, "avg_latency", "error_rate", "cpu_usage", "memory_usage", "request_rate")
	}
	for _, w := range wanted {
		for _, x := range refs {
			if w != "" && slices.Contains(e.History.Metrics(x), w) {
				return x, w, nil
			}
		}
	}
	for _, x := range refs {
		for _, m := range e.History.Metrics(x) {
			if !slices.Contains(known, m) {
				known = append(known, m)
			}
		}
	}
	return entity.Ref{}, "", known
}

// course collects the points of a metric: minutes of the last hour from the engine's own memory; longer ones from the
// telemetry store where the cluster has one, else the medians of the hours.
func course(ctx context.Context, e *engine.Engine, p *message.Printer, ref entity.Ref, metric string, now time.Time, span time.Duration) Chart {
	ch := Chart{Title: p.Sprintf("%s of %s", metricName(p, metric), ref.Name), Unit: unitOf(ref, metric), From: now.Add(-span), To: now, Step: time.Minute}
	switch {
	case span <= time.Hour:
		ch.Points = e.History.Minutes(ref, metric, ch.From.Add(-time.Minute), now)
	default:
		ch.Step = max(span/120, time.Minute)
		ch.Points = asked(ctx, e, ref, metric, ch)
		if len(ch.Points) == 0 {
			ch.Step = time.Hour
			ch.Points = e.History.Hours(ref, metric, ch.From.Add(-time.Hour), now)
			if last := e.History.Minutes(ref, metric, now.Add(-3*time.Minute), now); len(last) > 0 {
				ch.Points = append(ch.Points, last[len(last)-1])
			}
		}
	}
	if last, ok := newest(e, ref, metric, now); ok && len(ch.Points) > 0 && last.At.After(ch.Points[len(ch.Points)-1].At) {
		ch.Points = append(ch.Points, last)
	}
	if mean, spread, ok := e.Normal(ref, metric); ok {
		ch.Low, ch.High = max(0, mean-3*spread), mean+3*spread
	}
	ch.tell(p, e.Now())
	return ch
}

// newest gives the last sample of a metric. A course ends with it: the mean of the running minute hides what has just begun.
func newest(e *engine.Engine, ref entity.Ref, metric string, now time.Time) (history.Point, bool) {
	const fresh = 90 * time.Second
	known := e.Course(ref, metric)
	if len(known) == 0 || baseline.SpecOf(ref.Kind, metric).Class == baseline.Counter { // of counters the increase is kept there
		return history.Point{}, false
	}
	last := known[len(known)-1]
	age := now.Sub(last.At)
	return history.Point{At: last.At, Value: last.Value}, age >= 0 && age < fresh
}

// asked reads a course from the cluster's telemetry store; none when it has no such store.
func asked(ctx context.Context, e *engine.Engine, ref entity.Ref, metric string, ch Chart) []history.Point {
	o, err := query(ctx, e, ref.Cluster, &report.Query{Ask: &report.Query_Series{Series: &report.SeriesQuery{
		Entity: &report.EntityRef{Kind: ref.Kind, Namespace: ref.Namespace, Name: ref.Name}, Metrics: []string{metric},
		From: timestamppb.New(ch.From), To: timestamppb.New(ch.To), Step: durationpb.New(ch.Step),
	}}})
	if err != nil {
		return nil // the engine's own memory answers instead
	}
	for _, s := range o.GetSeries() {
		if s.GetMetric() != metric {
			continue
		}
		var out []history.Point
		for _, x := range s.GetPoints() {
			out = append(out, history.Point{At: x.GetTime().AsTime(), Value: x.GetValue()})
		}
		return out
	}
	return nil
}

// unitOf is the unit of a metric of the table in package baseline.
func unitOf(ref entity.Ref, metric string) string {
	switch baseline.SpecOf(ref.Kind, metric).Class {
	case baseline.Ratio, baseline.Saturation:
		return "ratio"
	case baseline.Latency:
		return "s"
	case baseline.Rate:
		return "1/s"
	}
	return ""
}

// metricName is what a person calls a metric.
func metricName(p *message.Printer, metric string) string {
	switch metric {
	case "error_rate", "error_ratio":
		return p.Sprintf("errors")
	case "avg_latency":
		return p.Sprintf("latency")
	case "p95_latency":
		return p.Sprintf("p95 latency")
	case "request_rate":
		return p.Sprintf("requests")
	case "cpu_usage":
		return p.Sprintf("CPU")
	case "memory_usage":
		return p.Sprintf("memory")
	case "disk_usage":
		return p.Sprintf("disk usage")
	case "restart_count":
		return p.Sprintf("restarts")
	case "cpu_throttled":
		return p.Sprintf("CPU throttling")
	case "psi_cpu":
		return p.Sprintf("CPU pressure")
	case "psi_memory":
		return p.Sprintf("memory pressure")
	case "psi_io":
		return p.Sprintf("I/O pressure")
	case "tcp_retransmit_ratio":
		return p.Sprintf("TCP retransmits")
	}
	return strings.ReplaceAll(metric, "_", " ")
}

func bounds(points []history.Point) (least, most float64) {
	least, most = math.Inf(1), math.Inf(-1)
	for _, x := range points {
		least, most = min(least, x.Value), max(most, x.Value)
	}
	return least, most
}

func band(ch Chart) string {
	if ch.High <= 0 {
		return ""
	}
	return unitFigure(ch.Unit, ch.Low) + "–" + unitFigure(ch.Unit, ch.High)
}

// tell writes the figures of a chart as text, for whoever does not see it.
func (ch *Chart) tell(p *message.Printer, now time.Time) {
	if len(ch.Points) == 0 {
		return
	}
	least, most := bounds(ch.Points)
	last := ch.Points[len(ch.Points)-1]
	end := p.Sprintf("now %s", unitFigure(ch.Unit, last.Value))
	if !ch.current(now) {
		end = p.Sprintf("%s at %s", unitFigure(ch.Unit, last.Value), last.At.UTC().Format("15:04 MST"))
	}
	parts := []string{
		ch.Title + p.Sprintf(", %s", p.Sprintf("last %s", Age(ch.To.Sub(ch.From)))),
		end, p.Sprintf("least %s, most %s", unitFigure(ch.Unit, least), unitFigure(ch.Unit, most)),
	}
	if b := band(*ch); b != "" {
		parts = append(parts, p.Sprintf("normal %s", b))
	}
	if ch.Limit > 0 {
		parts = append(parts, p.Sprintf("the objective allows %s", unitFigure(ch.Unit, ch.Limit)))
	}
	if !ch.Begun.IsZero() {
		parts = append(parts, p.Sprintf("the incident began at %s", ch.Begun.UTC().Format("15:04 MST")))
	}
	ch.Alt = strings.Join(parts, " · ")
	points := make([]*report.Point, 0, len(ch.Points))
	for _, x := range ch.Points {
		points = append(points, &report.Point{Time: timestamppb.New(x.At), Value: x.Value})
	}
	ch.Spark = sparkline(points, ch.From, ch.To.Sub(ch.From), least, most)
}

// current says whether the course reaches to now, so that its last figure is one of now.
func (ch *Chart) current(now time.Time) bool {
	return now.Sub(ch.Points[len(ch.Points)-1].At) <= max(2*ch.Step, 2*time.Minute)
}

// objectiveChart is the share of bad requests of an objective in the last hour, against what it allows.
func objectiveChart(e *engine.Engine, p *message.Printer, st slo.Status, now time.Time) *Chart {
	o := st.Objective
	at, share := e.SLO.Course(o, now.Add(-time.Hour), now)
	if len(at) < 3 {
		return nil
	}
	ch := Chart{Title: p.Sprintf("failed requests of %s", o.Entity.Name), Unit: "ratio", From: now.Add(-time.Hour), To: now, Step: time.Minute, Limit: 1 - o.Target}
	if o.Kind == slo.Latency {
		ch.Title = p.Sprintf("requests of %s slower than %s", o.Entity.Name, secs(st.MeasuredAt.Seconds()))
	}
	for i := range at {
		ch.Points = append(ch.Points, history.Point{At: at[i], Value: share[i]})
	}
	ch.tell(p, e.Now())
	return &ch
}

// IncidentChart is the figure that shows an incident best: the burning objective, else the errors or latency that users
// feel, else what is saturated. nil when nothing of it is a figure.
func IncidentChart(e *engine.Engine, i *incident.Incident, lang string) *Chart {
	p, now := phrase.For(lang), e.Now()
	to := now
	if !i.ResolvedAt.IsZero() && now.Sub(i.ResolvedAt) > 10*time.Minute {
		to = i.ResolvedAt.Add(10 * time.Minute)
	}
	refs := []entity.Ref{i.Cause.Entity}
	for _, a := range i.Entities {
		refs = append(refs, a.Entity)
	}
	var ch *Chart
	for _, f := range e.Facts(i.Cluster) {
		if ch != nil || f.Kind != slo.FastBurn && f.Kind != slo.SlowBurn || !slices.Contains(refs, f.Entity) {
			continue
		}
		for _, o := range e.SLO.Objectives(i.Cluster) {
			if st := e.SLO.Status(now, o); ch == nil && o.Entity == f.Entity && st.Alert != nil {
				ch = objectiveChart(e, p, st, to)
			}
		}
	}
	if ch == nil {
		ref, metric := felt(e.Anomalies(i.Cluster), refs)
		if metric == "" {
			return nil
		}
		c := course(context.Background(), e, p, ref, metric, to, time.Hour)
		ch = &c
	}
	if len(ch.Points) < 3 {
		return nil
	}
	ch.Begun = i.OpenedAt
	if !i.Cause.Onset.IsZero() && i.Cause.Onset.Before(ch.Begun) {
		ch.Begun = i.Cause.Onset
	}
	ch.Ended = i.ResolvedAt
	ch.tell(p, e.Now())
	return ch
}

// felt picks the anomaly that users feel most: errors before latency before what is saturated; at a Service or an
// Ingress before elsewhere.
func felt(anomalies []baseline.Anomaly, refs []entity.Ref) (entity.Ref, string) {
	var best *baseline.Anomaly
	rank := func(a *baseline.Anomaly) float64 {
		r := a.Q
		switch a.Class {
		case baseline.Ratio:
			r += 20
		case baseline.Latency:
			r += 10
		case baseline.Saturation:
			r += 5
		}
		if a.Entity.Kind == entity.Service || a.Entity.Kind == entity.Ingress {
			r += 2
		}
		return r
	}
	for i := range anomalies {
		a := &anomalies[i]
		if a.Q > 0 && slices.Contains(refs, a.Entity) && (best == nil || rank(a) > rank(best)) {
			best = a
		}
	}
	if best == nil {
		return entity.Ref{}, ""
	}
	return best.Entity, best.Metric
}
