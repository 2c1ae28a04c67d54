package tools

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/figure"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// telemetryTools ask what the cluster's telemetry store keeps: traces, logs and series. The agent reads it on demand.
var telemetryTools = []func(*engine.Engine) (Tool, error){tracesTool, traceTool, operationsTool, searchLogsTool, logPatternsTool, graphTool}

// serving are the kinds that requests are answered by; telemetry knows them by their names.
var serving = []string{entity.Service, entity.Deployment, entity.StatefulSet, entity.DaemonSet, entity.Ingress}

// window gives the last span before now as a query's bounds.
func window(now time.Time, span time.Duration) (from, to *timestamppb.Timestamp) {
	return timestamppb.New(now.Add(-span)), timestamppb.New(now)
}

// subject resolves what a telemetry question is about. Without a target it is the whole cluster.
func subject(e *engine.Engine, caller Caller, target, namespace, cluster string, kinds ...string) (c *fleet.Cluster, name, ns string, err error) {
	if target == "" {
		c, err = clusterOf(e, caller, cluster)
		return c, "", namespace, err
	}
	c, r, err := resolve(e, caller, target, namespace, cluster, kinds...)
	if err != nil {
		return nil, "", "", err
	}
	return c, r.GetName(), r.GetNamespace(), nil
}

// where names the subject in an answer.
func where(c *fleet.Cluster, name, namespace string) string {
	if name == "" {
		return place([]*fleet.Cluster{c}, namespace)
	}
	return name + " · " + place([]*fleet.Cluster{c}, namespace)
}

type tracesArgs struct {
	Target     string `json:"target,omitempty" jsonschema:"service or workload that the traces touch; every service when left out"`
	Namespace  string `json:"namespace,omitempty" jsonschema:"namespace, when the name alone is not enough"`
	Cluster    string `json:"cluster,omitempty" jsonschema:"cluster id"`
	Operation  string `json:"operation,omitempty" jsonschema:"only traces with this operation (span name)"`
	Since      string `json:"since,omitempty" jsonschema:"how far back, such as 15m or 1h; 15m when left out"`
	LongerThan string `json:"longer_than,omitempty" jsonschema:"only traces that took longer, such as 500ms"`
	Failed     bool   `json:"failed,omitempty" jsonschema:"only traces with an error"`
	Newest     bool   `json:"newest,omitempty" jsonschema:"newest first instead of slowest first"`
	Limit      int64  `json:"limit,omitempty" jsonschema:"how many; 10 when left out"`
}

func tracesTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "traces", verb: "traces", usage: "traces [SERVICE] [--since 15m] [--failed] [--newest] [--longer_than 500ms] [--operation O] [-n NAMESPACE] [--cluster C]", pos: []string{"target"}}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a tracesArgs) (*Result, error) {
		span, err := duration(a.Since, 15*time.Minute)
		if err != nil {
			return nil, err
		}
		longer, err := duration(a.LongerThan, 0)
		if err != nil {
			return nil, err
		}
		c, name, ns, err := subject(e, caller, a.Target, a.Namespace, a.Cluster, serving...)
		if err != nil {
			return nil, err
		}
		now := e.Now()
		q := &report.TraceSearchQuery{Service: name, Namespace: ns, Operation: a.Operation, Failed: a.Failed, Newest: a.Newest, Limit: min(cmp.Or(max(0, a.Limit), 10), 100)}
		q.From, q.To = window(now, span)
		if longer > 0 {
			q.LongerThan = durationpb.New(longer)
		}
		o, err := query(ctx, e, c.ID(), &report.Query{Ask: &report.Query_TraceSearch{TraceSearch: q}})
		if err != nil {
			return nil, err
		}
		p := phrase.For(caller.Lang)
		res := &Result{Cluster: c.ID(), Observed: now}
		t := Table{Columns: []string{"DURATION", "START", "ROOT", "ERRORS", "SPANS", "TRACE"}}
		for _, tr := range o.GetTraces() {
			t.Rows = append(t.Rows, []string{
				millis(tr.GetDuration().AsDuration()), since(tr.GetStart(), now), tr.GetRootService() + " " + tr.GetRootOperation(),
				fmt.Sprint(tr.GetErrorCount()), fmt.Sprint(tr.GetSpanCount()), tr.GetId(),
			})
		}
		switch n := len(t.Rows); {
		case n == 0:
			res.Headline = p.Sprintf("%s: no trace of the last %s fits.", where(c, name, ns), Age(span))
		case a.Newest:
			res.Headline = p.Sprintf("%s: the %d newest traces of the last %s.", where(c, name, ns), n, Age(span))
		case a.Failed:
			res.Headline = p.Sprintf("%s: the %d slowest failed traces of the last %s; the slowest took %s.", where(c, name, ns), n, Age(span), t.Rows[0][0])
		default:
			res.Headline = p.Sprintf("%s: the %d slowest traces of the last %s; the slowest took %s.", where(c, name, ns), n, Age(span), t.Rows[0][0])
		}
		if len(t.Rows) > 0 {
			args, err := json.Marshal(traceArgs{ID: o.GetTraces()[0].GetId(), Cluster: c.ID()})
			if err != nil {
				return nil, err
			}
			res.Tables = []Table{t}
			res.Next = []Option{{Label: p.Sprintf("Show the first"), Tool: "trace", Args: args}}
		}
		return res, nil
	}))
}

type traceArgs struct {
	ID      string `json:"id" jsonschema:"trace id, 32 hexadecimal digits"`
	Cluster string `json:"cluster,omitempty" jsonschema:"cluster id"`
}

var traceID = regexp.MustCompile(`^[0-9a-f]{16,32}$`)

func traceTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "trace", verb: "trace", usage: "trace ID [--cluster C]", pos: []string{"id"}}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a traceArgs) (*Result, error) {
		id := strings.ToLower(strings.TrimSpace(a.ID))
		if !traceID.MatchString(id) {
			return nil, &Problem{Sentence: fmt.Sprintf("%q is no trace id.", a.ID), Remedy: "It has 32 hexadecimal digits; /atl traces lists some."}
		}
		c, err := clusterOf(e, caller, a.Cluster)
		if err != nil {
			return nil, err
		}
		o, err := query(ctx, e, c.ID(), &report.Query{Ask: &report.Query_Trace{Trace: &report.TraceQuery{TraceId: id}}})
		if err != nil {
			return nil, err
		}
		if len(o.GetTraces()) == 0 {
			return nil, &Problem{Sentence: fmt.Sprintf("No trace %s is kept in %s.", id, c.ID()), Remedy: "It may have been dropped by sampling or by retention."}
		}
		tr := o.GetTraces()[0]
		return &Result{
			Headline: phrase.For(caller.Lang).Sprintf("%s %s took %s in %d spans, %d with errors · %s.", tr.GetRootService(), tr.GetRootOperation(), millis(tr.GetDuration().AsDuration()), tr.GetSpanCount(), tr.GetErrorCount(), c.ID()),
			Cluster:  c.ID(), Observed: tr.GetStart().AsTime(),
			Texts: []Text{{Body: waterfall(tr), Truncated: int64(len(tr.GetSpans())) < tr.GetSpanCount()}},
		}, nil
	}))
}

// waterfall draws a trace: one span a line, indented beneath its parent, with its share of the whole as a bar. 16 cells
// and the duration fit a phone; the names follow, so that what is cut off is their end.
func waterfall(tr *report.Trace) string {
	const cells = 16
	children := map[string][]*report.Span{}
	known := map[string]bool{}
	for _, s := range tr.GetSpans() {
		known[s.GetId()] = true
	}
	for _, s := range tr.GetSpans() {
		parent := s.GetParentId()
		if !known[parent] || parent == s.GetId() {
			parent = "" // its parent was not kept
		}
		children[parent] = append(children[parent], s)
	}
	begin, total := tr.GetStart().AsTime(), max(tr.GetDuration().AsDuration(), 1)
	var out strings.Builder
	drawn := map[string]bool{}
	var draw func(parent string, depth int)
	draw = func(parent string, depth int) {
		list := children[parent]
		slices.SortStableFunc(list, func(a, b *report.Span) int { return a.GetStart().AsTime().Compare(b.GetStart().AsTime()) })
		for _, s := range list {
			if drawn[s.GetId()] {
				continue // a cycle, which only a broken client makes
			}
			drawn[s.GetId()] = true
			from := int(float64(s.GetStart().AsTime().Sub(begin)) / float64(total) * cells)
			from = max(0, min(cells-1, from))
			width := max(1, min(cells-from, int(float64(s.GetDuration().AsDuration())/float64(total)*cells+0.5)))
			mark := " "
			if s.GetError() {
				mark = "✗"
			}
			fmt.Fprintf(&out, "%s%s%s %s%8s %s%s %s\n", strings.Repeat("·", from), strings.Repeat("█", width), strings.Repeat("·", cells-from-width),
				mark, millis(s.GetDuration().AsDuration()), strings.Repeat("  ", min(depth, 8)), s.GetService(), s.GetOperation())
			if s.GetMessage() != "" {
				fmt.Fprintf(&out, "%s %s\n", strings.Repeat(" ", cells+10), s.GetMessage())
			}
			draw(s.GetId(), depth+1)
		}
	}
	draw("", 0)
	return out.String()
}

// millis writes a duration of requests with three digits.
func millis(d time.Duration) string {
	switch {
	case d >= time.Minute:
		return d.Round(time.Second).String()
	case d >= time.Second:
		return figure.Of(d.Seconds()) + " s"
	case d >= time.Millisecond:
		return figure.Of(float64(d)/float64(time.Millisecond)) + " ms"
	}
	return figure.Of(float64(d)/float64(time.Microsecond)) + " µs"
}

// secs is millis of a figure in seconds.
func secs(s float64) string { return millis(time.Duration(s * float64(time.Second))) }

type operationsArgs struct {
	object
	Since string `json:"since,omitempty" jsonschema:"how far back, such as 15m or 1h; 15m when left out"`
}

func operationsTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "operations", verb: "operations", usage: "operations SERVICE [--since 15m] [-n NAMESPACE] [--cluster C]", pos: []string{"target"}}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a operationsArgs) (*Result, error) {
		span, err := duration(a.Since, 15*time.Minute)
		if err != nil {
			return nil, err
		}
		c, name, ns, err := subject(e, caller, a.Target, a.Namespace, a.Cluster, serving...)
		if err != nil {
			return nil, err
		}
		now := e.Now()
		q := &report.OperationsQuery{Service: name, Namespace: ns}
		q.From, q.To = window(now, span)
		o, err := query(ctx, e, c.ID(), &report.Query{Ask: &report.Query_Operations{Operations: q}})
		if err != nil {
			return nil, err
		}
		p := phrase.For(caller.Lang)
		ops := Table{Columns: []string{"OPERATION", "RATE", "ERRORS", "P50", "P95", "P99", "REQUESTS"}}
		for _, x := range o.GetOperations() {
			ops.Rows = append(ops.Rows, []string{
				x.GetName(), figure.Of(x.GetRequestsPerSecond()) + "/s", ratio(x.GetErrorRatio()),
				secs(x.GetP50Seconds()), secs(x.GetP95Seconds()), secs(x.GetP99Seconds()), fmt.Sprintf("%.0f", x.GetCount()),
			})
		}
		calls := Table{Heading: p.Sprintf("Calls"), Columns: []string{"FROM", "TO", "RATE", "ERRORS", "MEAN", "P95"}}
		for _, x := range o.GetTraffic() {
			calls.Rows = append(calls.Rows, []string{
				x.GetFrom().GetName(), x.GetTo().GetName(), figure.Of(x.GetRequestsPerSecond()) + "/s", ratio(x.GetErrorRatio()), secs(x.GetLatencyAvgSeconds()), secs(x.GetLatencyP95Seconds()),
			})
		}
		res := &Result{Cluster: c.ID(), Observed: now}
		res.Headline = p.Sprintf("%s: %d operations in the traces of the last %s.", where(c, name, ns), len(ops.Rows), Age(span))
		if len(ops.Rows) == 0 {
			res.Headline = p.Sprintf("%s: no operation stands in the traces of the last %s.", where(c, name, ns), Age(span))
			return res, nil
		}
		res.Tables = []Table{ops}
		if len(calls.Rows) > 0 {
			res.Tables = append(res.Tables, calls)
		}
		return res, nil
	}))
}

// ratio writes a share in percent.
func ratio(x float64) string { return figure.Of(x*100) + " %" }
