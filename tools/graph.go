package tools

import (
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/figure"
	"github.com/bukahou/atlhyper/tools/phrase"
)

type graphArgs struct {
	object
	Metric string `json:"metric,omitempty" jsonschema:"part of the metric's name, such as cpu or latency; every one when left out"`
	Since  string `json:"since,omitempty" jsonschema:"how far back, such as 1h or 6h; 1h when left out"`
}

// sparkCells is how many steps a graph has: what fits a phone beside a name and two figures.
const sparkCells = 20

func graphTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "graph", verb: "graph", usage: "graph TARGET [METRIC] [--since 1h] [-n NAMESPACE] [--cluster C]", pos: []string{"target", "metric"}}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a graphArgs) (*Result, error) {
		span, err := duration(a.Since, time.Hour)
		if err != nil {
			return nil, err
		}
		c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster, append(slices.Clone(serving), entity.Node)...)
		if err != nil {
			return nil, err
		}
		now := e.Now()
		ref := &report.EntityRef{Kind: r.GetKind(), Namespace: r.GetNamespace(), Name: r.GetName()}
		if r.GetKind() != entity.Node && r.GetKind() != entity.Ingress {
			ref.Kind = entity.Service // requests are measured there
		}
		q := &report.SeriesQuery{Entity: ref, Step: durationpb.New(max(span/sparkCells, time.Minute))}
		q.From, q.To = window(now, span)
		o, err := query(ctx, e, c.ID(), &report.Query{Ask: &report.Query_Series{Series: q}})
		if err != nil {
			return nil, err
		}
		t := Table{Columns: []string{"METRIC", "NOW", "LEAST", "MOST", "COURSE"}}
		for _, x := range o.GetSeries() {
			name := seriesName(x)
			if len(x.GetPoints()) == 0 || !strings.Contains(strings.ToLower(name), strings.ToLower(a.Metric)) {
				continue
			}
			least, most := extremes(x.GetPoints())
			last := x.GetPoints()[len(x.GetPoints())-1]
			current := unitFigure(x.GetUnit(), last.GetValue())
			if age := now.Sub(last.GetTime().AsTime()); age > 3*q.GetStep().AsDuration() {
				current = "unknown, last " + current + " " + Age(age) + " ago"
			}
			t.Rows = append(t.Rows, []string{name, current, unitFigure(x.GetUnit(), least), unitFigure(x.GetUnit(), most), sparkline(x.GetPoints(), now.Add(-span), span, least, most)})
		}
		p := phrase.For(caller.Lang)
		res := &Result{Cluster: c.ID(), Observed: now, Headline: p.Sprintf("%s: %d series of the last %s.", title(c, r), len(t.Rows), Age(span))}
		if len(t.Rows) == 0 {
			res.Headline = p.Sprintf("%s: its metrics are unknown, because no source gives any.", title(c, r))
			return res, nil
		}
		res.Tables = []Table{t}
		return res, nil
	}))
}

// seriesName gives "cpu_usage" or "cpu_seconds mode=iowait".
func seriesName(x *report.Series) string {
	name := x.GetMetric()
	for _, k := range slices.Sorted(maps.Keys(x.GetLabels())) {
		name += " " + k + "=" + x.GetLabels()[k]
	}
	return name
}

func extremes(points []*report.Point) (least, most float64) {
	least, most = math.Inf(1), math.Inf(-1)
	for _, p := range points {
		least, most = min(least, p.GetValue()), max(most, p.GetValue())
	}
	return least, most
}

// sparkline draws the mean of each step as a block between the least and the most; a step without a point is a dot,
// because unknown is not zero.
func sparkline(points []*report.Point, from time.Time, span time.Duration, least, most float64) string {
	const blocks = "▁▂▃▄▅▆▇█"
	var sums [sparkCells]float64
	var counts [sparkCells]int
	for _, p := range points {
		i := int(float64(p.GetTime().AsTime().Sub(from)) / float64(span) * sparkCells)
		if i == sparkCells {
			i--
		}
		if i >= 0 && i < sparkCells {
			sums[i] += p.GetValue()
			counts[i]++
		}
	}
	levels := []rune(blocks)
	var out strings.Builder
	for i, n := range counts {
		if n == 0 {
			out.WriteRune('·')
			continue
		}
		level := 0
		if most > least {
			level = int((sums[i]/float64(n)-least)/(most-least)*float64(len(levels)-1) + 0.5)
		}
		out.WriteRune(levels[max(0, min(len(levels)-1, level))])
	}
	return out.String()
}

// unitFigure writes a figure in its unit, as the telemetry store names it (UCUM).
func unitFigure(unit string, x float64) string {
	switch unit {
	case "ratio":
		return ratio(x)
	case "s":
		return secs(x)
	case "By":
		return bytesFigure(x)
	case "By/s":
		return bytesFigure(x) + "/s"
	case "Cel":
		return figure.Of(x) + " °C"
	case "1/s":
		return figure.Of(x) + "/s"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s", figure.Of(x), unit))
}

func bytesFigure(x float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
		if math.Abs(x) >= u.size {
			return fmt.Sprintf("%s %s", figure.Of(x/u.size), u.name)
		}
	}
	return fmt.Sprintf("%.0f B", x)
}
