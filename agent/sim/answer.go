package sim

import (
	"cmp"
	"context"
	"regexp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/sim/apiserver"
	"github.com/bukahou/atlhyper/agent/telemetry"
	"github.com/bukahou/atlhyper/agent/telemetry/pattern"
)

var (
	_ telemetry.Answerer = (*Shop)(nil)
	_ telemetry.Counter  = (*Shop)(nil)
)

// Answer implements telemetry.Answerer: sampled traces, the logs of every container, and the course of what Sample
// measures. Traces and courses of a time before the shop was looked at are those of a healthy shop.
func (s *Shop) Answer(ctx context.Context, q *report.Query) (*report.Outcome, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	o := &report.Outcome{Status: report.Outcome_STATUS_SUCCEEDED}
	switch ask := q.GetAsk().(type) {
	case *report.Query_TraceSearch:
		o.Traces = s.tracer().search(ask.TraceSearch)
	case *report.Query_Trace:
		t := s.tracer()
		if at, ok := t.at(ask.Trace.GetTraceId()); ok && !at.After(s.Now()) {
			o.Traces = []*report.Trace{t.trace(at)}
		}
	case *report.Query_Operations:
		s.tracer().operations(ask.Operations, o)
	case *report.Query_LogSearch:
		s.searchLogs(ask.LogSearch, o)
	case *report.Query_LogPatterns:
		s.logPatterns(ask.LogPatterns, o)
	case *report.Query_Series:
		o.Series = s.series(ask.Series)
	case *report.Query_Requests:
		r := ask.Requests
		counts, err := s.Requests(ctx, r.GetFrom().AsTime(), r.GetTo().AsTime(), r.GetStep().AsDuration())
		if err != nil {
			return nil, err
		}
		o.Requests = counts
	default:
		return nil, telemetry.ErrNotKept
	}
	return o, nil
}

func (s *Shop) tracer() *tracer {
	t := &tracer{seed: s.seed, plan: s.plan, calm: s.calm}
	s.server.Do(time.Time{}, func(*apiserver.Tx) { t.past = s.past })
	return t
}

// severities are OpenTelemetry's numbers of the levels that the shop's services write.
var severities = map[string]int32{"INFO": 9, "LOG": 9, "WARN": 13, "WARNING": 13, "ERROR": 17}

var levelWord = regexp.MustCompile(`(?i)"level":"(\w+)"|\b(INFO|LOG|WARN|WARNING|ERROR)\b`)

// severity reads a line's level: what says none and is no redis line is part of a stack, and so of an error.
func severity(line string) (string, int32) {
	m := levelWord.FindStringSubmatch(line)
	switch {
	case m != nil:
		word := strings.ToUpper(cmp.Or(m[1], m[2]))
		return word, severities[word]
	case strings.HasPrefix(line, "1:M ") && strings.Contains(line, " # "):
		return "WARN", severities["WARN"]
	case strings.HasPrefix(line, "1:M "), strings.HasPrefix(line, "ts="):
		return "INFO", severities["INFO"]
	}
	return "ERROR", severities["ERROR"]
}

// everyLine calls do with the lines of all containers that fit, container by container. A line has the time of its second.
func (s *Shop) everyLine(namespace, workload, name string, least int32, from, to time.Time, do func(l *report.LogLine)) {
	s.server.Do(time.Time{}, func(tx *apiserver.Tx) {
		for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
			owner := pod.Labels["app.kubernetes.io/name"]
			if namespace != "" && pod.Namespace != namespace || workload != "" && owner != workload || name != "" && pod.Name != name || len(pod.Spec.Containers) == 0 {
				continue
			}
			since := metav1.NewTime(from)
			text, err := s.log(tx, pod.Namespace, pod.Name, &corev1.PodLogOptions{SinceTime: &since, Timestamps: true})
			if err != nil {
				continue // it never ran, or its node is silent: the store has nothing of it either
			}
			for line := range strings.SplitSeq(strings.TrimSuffix(text, "\n"), "\n") {
				stamp, body, _ := strings.Cut(line, " ")
				at, err := time.Parse(time.RFC3339Nano, stamp)
				if err != nil || at.Before(from) || !at.Before(to) || body == "" {
					continue
				}
				word, number := severity(body)
				if number >= least {
					do(&report.LogLine{Time: timestamppb.New(at), Severity: word, Body: body, Workload: owner, Pod: pod.Name})
				}
			}
		}
	})
}

func (s *Shop) searchLogs(q *report.LogSearchQuery, o *report.Outcome) {
	if q.GetTraceId() != "" {
		return // the shop's services write no trace ids
	}
	text := strings.ToLower(q.GetText())
	s.everyLine(q.GetNamespace(), q.GetWorkload(), q.GetPod(), q.GetMinSeverity(), q.GetFrom().AsTime(), q.GetTo().AsTime(), func(l *report.LogLine) {
		if strings.Contains(strings.ToLower(l.GetBody()), text) {
			o.Lines = append(o.Lines, l)
		}
	})
	slices.SortStableFunc(o.Lines, func(a, b *report.LogLine) int { return b.GetTime().AsTime().Compare(a.GetTime().AsTime()) })
	if most := int(cmp.Or(max(0, q.GetLimit()), 50)); len(o.Lines) > most {
		o.Lines, o.Truncated = o.Lines[:most], true
	}
}

// prefix is what a framework writes before the message; its parts would be the pattern's first words.
var prefix = regexp.MustCompile(`^\{"time":"[^"]*","level":"\w+","msg":"|"\}$|^\S+Z\s+\w+ 1 --- \[\S+\] \S+ : |^\S+ \S+ \w+ \[\w+\] |^1:M \d+ \w+ \d+ \S+ [*#] |^\S+ \S+ UTC \[\d+\] \w+:  `)

func (s *Shop) logPatterns(q *report.LogPatternsQuery, o *report.Outcome) {
	var merged pattern.Merger
	s.everyLine(q.GetNamespace(), q.GetWorkload(), "", q.GetMinSeverity(), q.GetFrom().AsTime(), q.GetTo().AsTime(), func(l *report.LogLine) {
		merged.Add(&report.LogPattern{
			Template: pattern.Template(prefix.ReplaceAllString(l.GetBody(), "")), Count: 1, First: l.GetTime(), Last: l.GetTime(), Severity: l.GetSeverity(), Example: l.GetBody(),
		})
	})
	for _, p := range merged.All() {
		if since := q.GetNewSince(); since != nil && !p.GetFirst().AsTime().After(since.AsTime()) {
			continue
		}
		o.Patterns = append(o.Patterns, p)
	}
	if most := int(cmp.Or(max(0, q.GetLimit()), 20)); len(o.Patterns) > most {
		o.Patterns, o.Truncated = o.Patterns[:most], true
	}
}

// units of the metrics that a service has; those of a node are ratios.
var units = map[string]string{"request_rate": "1/s", "avg_latency": "s", "p95_latency": "s"}

// series draws the course of one entity's metrics.
func (s *Shop) series(q *report.SeriesQuery) []*report.Series {
	step := max(q.GetStep().AsDuration(), tick)
	by := map[string]*report.Series{}
	var order []string
	var view view
	var past []moment
	s.server.Do(time.Time{}, func(tx *apiserver.Tx) { view, past = s.look(tx), s.past })
	from, to := q.GetFrom().AsTime(), q.GetTo().AsTime()
	for at := from.Truncate(step); at.Before(to); at = at.Add(step) {
		if at.Before(from) {
			continue
		}
		sh := &sheet{frame: &report.TelemetryFrame{}, noise: newNoise(s.seed, at.Unix())}
		if q.GetEntity().GetKind() == "Node" {
			s.measureNodes(sh, view, s.plan.solve(view, at)) // a node's past is not remembered: its present load, with that time's noise
		} else {
			t := &tracer{past: past, calm: s.calm}
			s.measureServices(sh, flow{entry: s.plan.entryRate(at), services: *t.flowAt(at)})
		}
		for _, x := range sh.frame.GetSamples() {
			e := x.GetEntity()
			if e.GetKind() != q.GetEntity().GetKind() || e.GetName() != q.GetEntity().GetName() || e.GetNamespace() != q.GetEntity().GetNamespace() ||
				len(q.GetMetrics()) > 0 && !slices.Contains(q.GetMetrics(), x.GetMetric()) {
				continue
			}
			if by[x.GetMetric()] == nil {
				by[x.GetMetric()] = &report.Series{Entity: e, Metric: x.GetMetric(), Unit: cmp.Or(units[x.GetMetric()], "ratio")}
				order = append(order, x.GetMetric())
			}
			by[x.GetMetric()].Points = append(by[x.GetMetric()].Points, &report.Point{Time: timestamppb.New(at), Value: x.GetValue()})
		}
	}
	out := make([]*report.Series, 0, len(order))
	for _, m := range order {
		out = append(out, by[m])
	}
	return out
}
