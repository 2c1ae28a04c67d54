package telemetry

import (
	"maps"
	"math"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

// Course collects the points of one entity, by metric and label. One goroutine fills it.
type Course struct {
	Entity *report.EntityRef
	series map[string]*report.Series
}

// Add adds a point. What is no finite number is unknown, and left out.
func (c *Course) Add(metric, unit, label, value string, at time.Time, v float64) {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return
	}
	if c.series == nil {
		c.series = map[string]*report.Series{}
	}
	key := metric + "\x00" + value
	s := c.series[key]
	if s == nil {
		s = &report.Series{Entity: c.Entity, Metric: metric, Unit: unit}
		if label != "" {
			s.Labels = map[string]string{label: value}
		}
		c.series[key] = s
	}
	s.Points = append(s.Points, &report.Point{Time: timestamppb.New(at), Value: v})
}

// All gives the series of the metrics, of every one when none is named: by name, each in the order of time.
func (c *Course) All(metrics []string) []*report.Series {
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

// Bounds reads a query's times. Without them it is about the last span until now; nothing goes further back than most
// before its end.
func Bounds(from, to *timestamppb.Timestamp, span, most time.Duration) (time.Time, time.Time) {
	end := time.Now()
	if to != nil && to.IsValid() {
		end = to.AsTime()
	}
	begin := end.Add(-span)
	if from != nil && from.IsValid() {
		begin = from.AsTime()
	}
	if end.Sub(begin) > most {
		begin = end.Add(-most)
	}
	return begin, end
}
