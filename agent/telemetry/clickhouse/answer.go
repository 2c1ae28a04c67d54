package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/telemetry"
	"github.com/bukahou/atlhyper/agent/telemetry/pattern"
)

// What an answer may hold at most, and how far back a search without an end goes.
const (
	maxTraces   = 100
	maxSpans    = 2000
	maxLines    = 500
	maxPatterns = 200
	maxRange    = 7 * 24 * time.Hour
	maxPast     = 31 * 24 * time.Hour // of counts of requests, which are read in pieces
	recentRange = 15 * time.Minute
)

// Answer implements telemetry.Answerer.
func (s *Source) Answer(ctx context.Context, q *report.Query) (*report.Outcome, error) {
	o, err := s.answer(ctx, q)
	switch {
	case err == nil:
		o.Status = report.Outcome_STATUS_SUCCEEDED
		return o, nil
	case errors.Is(err, telemetry.ErrNotKept):
		return nil, err
	}
	s.cfg.Logger.DebugContext(ctx, "clickhouse query failed", "err", err)
	if p, ok := errors.AsType[*problem](err); ok {
		return nil, p
	}
	return nil, errors.New(reason(err))
}

// problem is an error that is a sentence for a person already.
type problem struct{ sentence string }

func (p *problem) Error() string { return p.sentence }

func (s *Source) answer(ctx context.Context, q *report.Query) (*report.Outcome, error) {
	x, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	need := func(table string) error {
		if table == "" {
			return telemetry.ErrNotKept
		}
		return nil
	}
	o := &report.Outcome{}
	switch ask := q.GetAsk().(type) {
	case *report.Query_TraceSearch:
		if err = need(x.Traces); err == nil {
			err = s.searchTraces(ctx, x, ask.TraceSearch, o)
		}
	case *report.Query_Trace:
		if err = need(x.Traces); err == nil {
			err = s.trace(ctx, x, ask.Trace.GetTraceId(), o)
		}
	case *report.Query_Operations:
		if err = need(x.Traces); err == nil {
			err = s.operations(ctx, x, ask.Operations, o)
		}
	case *report.Query_LogSearch:
		if err = need(x.Logs); err == nil {
			err = s.searchLogs(ctx, x, ask.LogSearch, o)
		}
	case *report.Query_LogPatterns:
		if err = need(x.Logs); err == nil {
			err = s.logPatterns(ctx, x, ask.LogPatterns, o)
		}
	case *report.Query_Series:
		err = s.series(ctx, x, ask.Series, o)
	case *report.Query_Requests:
		err = s.past(ctx, ask.Requests, o)
	default:
		err = telemetry.ErrNotKept
	}
	return o, err
}

// between binds the times of spans and lines.
func between(from, to time.Time) bound {
	return bound{"from": number(from.UnixMilli()), "to": number(to.UnixMilli())}
}

// called are the names under which a Service's own data stand: its own, and those of the workloads behind it.
func (s *Source) called(namespace, name string) string {
	if name == "" {
		return "[]"
	}
	names := append([]string{name}, s.cfg.Names.Workloads(namespace, name)...)
	if _, svc, ok := s.cfg.Names.Service(namespace, name); ok && svc != name { // a workload was named
		names = append(names, svc)
	}
	return list(names...)
}

func limit(n int64, most int) int {
	if n <= 0 || n > int64(most) {
		return most
	}
	return int(n)
}

func (s *Source) searchTraces(ctx context.Context, x store, q *report.TraceSearchQuery, o *report.Outcome) error {
	from, to := telemetry.Bounds(q.GetFrom(), q.GetTo(), recentRange, maxRange)
	values := between(from, to)
	values["names"], values["namespace"], values["operation"] = s.called(q.GetNamespace(), q.GetService()), q.GetNamespace(), q.GetOperation()
	values["micros"], values["failed"], values["newest"] = number(q.GetLongerThan().AsDuration().Microseconds()), flag(q.GetFailed()), flag(q.GetNewest())
	return s.each(ctx, x.tables, "tracesearch", limit(q.GetLimit(), maxTraces), values, func(r driver.Rows) error {
		var t report.Trace
		var start time.Time
		var micros int64
		if err := r.Scan(&t.Id, &start, &micros, &t.SpanCount, &t.ErrorCount, &t.RootService, &t.RootOperation, &t.Services); err != nil {
			return err
		}
		t.Start, t.Duration = timestamppb.New(start), durationpb.New(time.Duration(micros)*time.Microsecond)
		o.Traces = append(o.Traces, &t)
		return nil
	})
}

func flag(b bool) string {
	if b {
		return "1"
	}
	return "0"
}

func (s *Source) trace(ctx context.Context, x store, id string, o *report.Outcome) error {
	t := &report.Trace{Id: id}
	var end time.Time
	err := s.each(ctx, x.tables, "trace", maxSpans+1, bound{"trace": id}, func(r driver.Rows) error {
		var span report.Span
		var start time.Time
		var nanos uint64
		var failed uint8
		if err := r.Scan(&span.Id, &span.ParentId, &span.Service, &span.Operation, &span.Kind, &start, &nanos, &failed, &span.Message); err != nil {
			return err
		}
		took := time.Duration(nanos)
		span.Start, span.Duration, span.Error = timestamppb.New(start), durationpb.New(took), failed != 0
		if start.Add(took).After(end) {
			end = start.Add(took)
		}
		if span.Error {
			t.ErrorCount++
		}
		if !slices.Contains(t.Services, span.GetService()) {
			t.Services = append(t.Services, span.GetService())
		}
		t.Spans = append(t.Spans, &span)
		return nil
	})
	if err != nil || len(t.Spans) == 0 {
		return err
	}
	root := t.Spans[0]
	for _, span := range t.Spans {
		if span.GetParentId() == "" {
			root = span
			break
		}
	}
	if len(t.Spans) > maxSpans {
		t.Spans, o.Truncated = t.Spans[:maxSpans], true
	}
	t.SpanCount = int64(len(t.Spans))
	t.RootService, t.RootOperation = root.GetService(), root.GetOperation()
	t.Start, t.Duration = t.Spans[0].GetStart(), durationpb.New(end.Sub(t.Spans[0].GetStart().AsTime()))
	slices.Sort(t.Services)
	o.Traces = []*report.Trace{t}
	return nil
}

func (s *Source) operations(ctx context.Context, x store, q *report.OperationsQuery, o *report.Outcome) error {
	from, to := telemetry.Bounds(q.GetFrom(), q.GetTo(), recentRange, maxRange)
	seconds := max(1, to.Sub(from).Seconds())
	values := between(from, to)
	values["names"], values["namespace"] = s.called(q.GetNamespace(), q.GetService()), q.GetNamespace()
	err := s.each(ctx, x.tables, "operations", maxTraces, values, func(r driver.Rows) error {
		var op report.Operation
		if err := r.Scan(&op.Service, &op.Name, &op.Count, &op.ErrorRatio, &op.P50Seconds, &op.P95Seconds, &op.P99Seconds); err != nil {
			return err
		}
		op.RequestsPerSecond = op.Count / seconds
		o.Operations = append(o.Operations, &op)
		return nil
	})
	if err != nil {
		return err
	}
	return s.each(ctx, x.tables, "calls", maxTraces, values, func(r driver.Rows) error {
		var ns, name, toNS, to string
		var total, failed, mean, p95 float64
		if err := r.Scan(&ns, &name, &toNS, &to, &total, &failed, &mean, &p95); err != nil {
			return err
		}
		known := func(ns, name string) place {
			if a, b, ok := s.cfg.Names.Service(ns, name); ok {
				return place{a, b}
			}
			return place{ns, name} // as the trace names it
		}
		if toNS == "" {
			toNS = ns
		}
		c := &call{requests: requests{rate: total / seconds, failed: failed / seconds, mean: mean, p95: p95}}
		o.Traffic = append(o.Traffic, traffic(pair{known(ns, name), known(toNS, to)}, c, "traces"))
		return nil
	})
}

// logValues binds what log queries have in common.
func (s *Source) logValues(namespace, workload, pod, trace string, severity int32, from, to time.Time) bound {
	values := between(from, to)
	values["namespace"], values["names"], values["pod"], values["trace"] = namespace, s.called(namespace, workload), pod, trace
	values["severity"] = number(max(0, min(255, severity)))
	return values
}

func (s *Source) searchLogs(ctx context.Context, x store, q *report.LogSearchQuery, o *report.Outcome) error {
	from, to := telemetry.Bounds(q.GetFrom(), q.GetTo(), recentRange, maxRange)
	values := s.logValues(q.GetNamespace(), q.GetWorkload(), q.GetPod(), q.GetTraceId(), q.GetMinSeverity(), from, to)
	values["text"] = q.GetText()
	most := limit(q.GetLimit(), maxLines)
	err := s.each(ctx, x.tables, "logs", most+1, values, func(r driver.Rows) error {
		var l report.LogLine
		var at time.Time
		if err := r.Scan(&at, &l.Severity, &l.Body, &l.Workload, &l.Pod, &l.TraceId); err != nil {
			return err
		}
		l.Time = timestamppb.New(at)
		o.Lines = append(o.Lines, &l)
		return nil
	})
	if len(o.Lines) > most {
		o.Lines, o.Truncated = o.Lines[:most], true
	}
	return err
}

// fetchedTemplates is how many templates are merged at most; what a program says fits easily, what it prints verbatim does not.
const fetchedTemplates = 5000

func (s *Source) logPatterns(ctx context.Context, x store, q *report.LogPatternsQuery, o *report.Outcome) error {
	from, to := telemetry.Bounds(q.GetFrom(), q.GetTo(), time.Hour, maxRange)
	var merged pattern.Merger
	fetched := 0
	values := s.logValues(q.GetNamespace(), q.GetWorkload(), "", "", q.GetMinSeverity(), from, to)
	err := s.each(ctx, x.tables, "patterns", fetchedTemplates, values, func(r driver.Rows) error {
		var p report.LogPattern
		var first, last time.Time
		if err := r.Scan(&p.Template, &p.Count, &first, &last, &p.Severity, &p.Example); err != nil {
			return err
		}
		p.First, p.Last = timestamppb.New(first), timestamppb.New(last)
		fetched++
		merged.Add(&p)
		return nil
	})
	if err != nil {
		return err
	}
	most := limit(q.GetLimit(), maxPatterns)
	for _, p := range merged.All() {
		if since := q.GetNewSince(); since != nil && !p.GetFirst().AsTime().After(since.AsTime()) {
			continue
		}
		if len(o.Patterns) == most {
			o.Truncated = true
			break
		}
		o.Patterns = append(o.Patterns, p)
	}
	if fetched == fetchedTemplates {
		o.Truncated = true
		o.Message = fmt.Sprintf("there are more than %d kinds of lines; the rarest are left out", fetchedTemplates)
	}
	return nil
}
