package prometheus

import (
	"cmp"
	"context"
	"errors"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

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
		from, to := telemetry.Bounds(ask.Requests.GetFrom(), ask.Requests.GetTo(), time.Hour, maxRange)
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

func (s *Source) series(ctx context.Context, q *report.SeriesQuery) ([]*report.Series, error) {
	from, to := telemetry.Bounds(q.GetFrom(), q.GetTo(), time.Hour, maxRange)
	step := max(cmp.Or(q.GetStep().AsDuration(), time.Minute), to.Sub(from)/maxSteps, time.Second).Truncate(time.Second)
	c := &telemetry.Course{Entity: q.GetEntity()}
	var err error
	if q.GetEntity().GetKind() == "Node" {
		err = s.nodeSeries(ctx, c, from, to, step)
	} else {
		err = s.requestSeries(ctx, c, from, to, step)
	}
	if err != nil {
		return nil, err
	}
	return c.All(q.GetMetrics()), nil
}

// nodeSeries asks for the node by its target's address and, where that finds nothing, by the label of a relabelling.
func (s *Source) nodeSeries(ctx context.Context, c *telemetry.Course, from, to time.Time, step time.Duration) error {
	names := s.cfg.Names.Addresses(c.Entity.GetName())
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
			c.Add(metric, cmp.Or(units[metric], "ratio"), label, r.get(model.LabelName(label)), r.at, r.value)
		}
		if len(rows) > 0 {
			break
		}
	}
	return nil
}

// requestSeries gives the golden signals of a Service, or of what routes, step by step. A step without a count has no point.
func (s *Source) requestSeries(ctx context.Context, c *telemetry.Course, from, to time.Time, step time.Duration) error {
	e := c.Entity
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
		c.Add("request_rate", "1/s", "", "", at, k.GetTotal()/step.Seconds())
		if k.GetTotal() > 0 {
			c.Add("error_rate", "ratio", "", "", at, k.GetErrors()/k.GetTotal())
			if k.took > 0 {
				c.Add("avg_latency", "s", "", "", at, k.took/k.GetTotal())
			}
		}
		c.Add("p50_latency", "s", "", "", at, k.quantile(0.5))
		c.Add("p95_latency", "s", "", "", at, k.quantile(0.95))
		c.Add("p99_latency", "s", "", "", at, k.quantile(0.99))
	}
	return nil
}
