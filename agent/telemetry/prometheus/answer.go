package prometheus

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/telemetry"
)

const (
	maxRange = 7 * 24 * time.Hour
	maxSteps = 1500 // of a course
)

// Answer implements telemetry.Answerer for series and requests; nothing else is kept here.
func (s *Source) Answer(ctx context.Context, q *report.Query) (*report.Outcome, error) {
	o := &report.Outcome{Status: report.Outcome_STATUS_SUCCEEDED}
	var err error
	switch ask := q.GetAsk().(type) {
	case *report.Query_Series:
		o.Series, err = s.series(ctx, ask.Series)
	case *report.Query_Requests:
		from, to := bounds(ask.Requests.GetFrom(), ask.Requests.GetTo())
		o.Requests, err = s.Requests(ctx, from, to, ask.Requests.GetStep().AsDuration())
	default:
		return nil, telemetry.ErrNotKept
	}
	switch {
	case err == nil:
		return o, nil
	case errors.Is(err, telemetry.ErrNotKept):
		return nil, err
	}
	s.cfg.Logger.DebugContext(ctx, "prometheus query failed", "err", err)
	return nil, errors.New(reason(err))
}

// bounds reads a query's times. Without them it is about the last hour; none goes further back than a week.
func bounds(from, to *timestamppb.Timestamp) (time.Time, time.Time) {
	end := time.Now()
	if to != nil && to.IsValid() {
		end = to.AsTime()
	}
	begin := end.Add(-time.Hour)
	if from != nil && from.IsValid() {
		begin = from.AsTime()
	}
	if end.Sub(begin) > maxRange {
		begin = end.Add(-maxRange)
	}
	return begin, end
}

// course collects points by metric and label.
type course struct {
	entity *report.EntityRef
	series map[string]*report.Series
}

func (c *course) add(metric, unit, label, value string, at time.Time, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	key := metric + "\x00" + value
	s := c.series[key]
	if s == nil {
		s = &report.Series{Entity: c.entity, Metric: metric, Unit: unit}
		if label != "" {
			s.Labels = map[string]string{label: value}
		}
		c.series[key] = s
	}
	s.Points = append(s.Points, &report.Point{Time: timestamppb.New(at), Value: v})
}

// all gives the series that were asked for, by name, each in the order of time.
func (c *course) all(metrics []string) []*report.Series {
	var out []*report.Series
	for _, key := range slices.Sorted(maps.Keys(c.series)) {
		s := c.series[key]
		if len(metrics) > 0 && !slices.Contains(metrics, s.GetMetric()) {
			continue
		}
		slices.SortFunc(s.Points, func(a, b *report.Point) int { return a.GetTime().AsTime().Compare(b.GetTime().AsTime()) })
		out = append(out, s)
	}
	return out
}

func (s *Source) series(ctx context.Context, q *report.SeriesQuery) ([]*report.Series, error) {
	from, to := bounds(q.GetFrom(), q.GetTo())
	step := max(cmp.Or(q.GetStep().AsDuration(), time.Minute), to.Sub(from)/maxSteps, time.Second).Truncate(time.Second)
	c := &course{entity: q.GetEntity(), series: map[string]*report.Series{}}
	var err error
	if q.GetEntity().GetKind() == "Node" {
		err = s.nodeSeries(ctx, c, from, to, step)
	} else {
		err = s.requestSeries(ctx, c, from, to, step)
	}
	if err != nil {
		return nil, err
	}
	return c.all(q.GetMetrics()), nil
}

// nodeSeries asks for the node by its target's address and, where that finds nothing, by the label of a relabelling.
func (s *Source) nodeSeries(ctx context.Context, c *course, from, to time.Time, step time.Duration) error {
	names := s.cfg.Names.Addresses(c.entity.GetName())
	if len(names) == 0 {
		return telemetry.ErrNotKept
	}
	quoted := make([]string, len(names))
	for i, n := range names {
		quoted[i] = regexp.QuoteMeta(n)
	}
	any := strings.Join(quoted, "|")
	units, labels := map[string]string{}, map[string]string{}
	parts := slices.Clone(nodeTick)
	for _, x := range nodeCourse {
		units[x.metric], labels[x.metric] = x.unit, x.label
		parts = slices.DeleteFunc(parts, func(p part) bool { return p.what == x.metric })
	}
	parts = slices.DeleteFunc(parts, func(p part) bool { return p.what == "network_packets" })
	for _, x := range nodeCourse {
		parts = append(parts, part{x.metric, x.expr})
	}
	for _, matcher := range []string{"instance=~" + strconv.Quote("("+any+`)(:\d+)?`), "node=~" + strconv.Quote(any)} {
		rows, err := s.course(ctx, join(max(step, s.cfg.Window), matcher, parts...), from, to, step)
		if err != nil {
			return err
		}
		for _, r := range rows {
			metric := r.get(what)
			label := labels[metric]
			c.add(metric, cmp.Or(units[metric], "ratio"), label, r.get(model.LabelName(label)), r.at, r.value)
		}
		if len(rows) > 0 {
			break
		}
	}
	return nil
}

// requestSeries gives the golden signals of a Service, or of what routes, step by step. A step without a count has no point.
func (s *Source) requestSeries(ctx context.Context, c *course, from, to time.Time, step time.Duration) error {
	e := c.entity
	namespace := ""
	if e.GetKind() == "Service" {
		namespace = e.GetNamespace()
	}
	counts, err := s.requests(ctx, from, to, step, namespace)
	if err != nil {
		return err
	}
	layer := "ingress"
	counts = slices.DeleteFunc(counts, func(k *counted) bool {
		x := k.GetEntity()
		other := x.GetKind() != e.GetKind() || x.GetNamespace() != e.GetNamespace() || x.GetName() != e.GetName() || k.GetRoute() != ""
		if !other && k.GetLayer() == "mesh" {
			layer = "mesh"
		}
		return other
	})
	for _, k := range counts {
		if k.GetLayer() != layer {
			continue
		}
		at := k.GetStart().AsTime()
		c.add("request_rate", "1/s", "", "", at, k.GetTotal()/step.Seconds())
		if k.GetTotal() > 0 {
			c.add("error_rate", "ratio", "", "", at, k.GetErrors()/k.GetTotal())
			if k.took > 0 {
				c.add("avg_latency", "s", "", "", at, k.took/k.GetTotal())
			}
		}
		c.add("p50_latency", "s", "", "", at, k.quantile(0.5))
		c.add("p95_latency", "s", "", "", at, k.quantile(0.95))
		c.add("p99_latency", "s", "", "", at, k.quantile(0.99))
	}
	return nil
}
