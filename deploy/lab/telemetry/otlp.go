package telemetry

import (
	"maps"
	"slices"
	"strconv"
	"time"
)

// The JSON form of OTLP, as far as the records need it. Numbers of 64 bits are strings there.

type object = map[string]any

func attributes(set map[string]string) []object {
	out := []object{}
	for _, k := range slices.Sorted(maps.Keys(set)) {
		out = append(out, object{"key": k, "value": object{"stringValue": set[k]}})
	}
	return out
}

func nanos(t time.Time) string {
	if t.IsZero() {
		return "0"
	}
	return strconv.FormatInt(t.UnixNano(), 10)
}

// grouped puts what has the same resource together, in the order in which resources first appear.
func grouped[T any](list []T, resource func(T) map[string]string, outer, inner, name string, one func(T) object) []object {
	var order []string
	resources, items := map[string]map[string]string{}, map[string][]object{}
	for _, x := range list {
		r := resource(x)
		var key string
		for _, k := range slices.Sorted(maps.Keys(r)) {
			key += k + "\x00" + r[k] + "\x00"
		}
		if resources[key] == nil {
			order = append(order, key)
			resources[key] = r
		}
		items[key] = append(items[key], one(x))
	}
	out := []object{}
	for _, key := range order {
		out = append(out, object{"resource": object{"attributes": attributes(resources[key])}, outer: []object{{inner: object{"name": "lab"}, name: items[key]}}})
	}
	return out
}

func otlpMetrics(points []Point) object {
	return object{"resourceMetrics": grouped(points, func(p Point) map[string]string { return p.Resource }, "scopeMetrics", "scope", "metrics", func(p Point) object {
		point := object{"attributes": attributes(p.Attributes), "timeUnixNano": nanos(p.Time), "startTimeUnixNano": nanos(p.Start)}
		if p.Stale {
			point["flags"] = 1
		}
		temporality := 2
		if p.Delta {
			temporality = 1
		}
		switch p.Kind {
		case Gauge:
			point["asDouble"] = p.Value
			return object{"name": p.Name, "gauge": object{"dataPoints": []object{point}}}
		case Sum:
			point["asDouble"] = p.Value
			return object{"name": p.Name, "sum": object{"dataPoints": []object{point}, "aggregationTemporality": temporality, "isMonotonic": true}}
		}
		buckets := make([]string, len(p.Buckets))
		for i, n := range p.Buckets {
			buckets[i] = strconv.FormatUint(n, 10)
		}
		point["count"], point["sum"], point["explicitBounds"], point["bucketCounts"] = strconv.FormatUint(p.Count, 10), p.Total, p.Bounds, buckets
		return object{"name": p.Name, "histogram": object{"dataPoints": []object{point}, "aggregationTemporality": temporality}}
	})}
}

func otlpTraces(spans []Span) object {
	kinds := map[string]int{"Internal": 1, "Server": 2, "Client": 3, "Producer": 4, "Consumer": 5}
	return object{"resourceSpans": grouped(spans, func(s Span) map[string]string { return s.Resource }, "scopeSpans", "scope", "spans", func(s Span) object {
		o := object{
			"traceId": s.TraceID, "spanId": s.ID, "parentSpanId": s.Parent, "name": s.Name, "kind": kinds[s.Kind], "attributes": attributes(s.Attributes),
			"startTimeUnixNano": nanos(s.Start), "endTimeUnixNano": nanos(s.Start.Add(s.Duration)), "status": object{},
		}
		if s.Failed {
			o["status"] = object{"code": 2, "message": s.Message}
		}
		return o
	})}
}

func otlpLogs(lines []Line) object {
	return object{"resourceLogs": grouped(lines, func(l Line) map[string]string { return l.Resource }, "scopeLogs", "scope", "logRecords", func(l Line) object {
		return object{"timeUnixNano": nanos(l.Time), "severityNumber": l.Severity, "severityText": l.Text, "body": object{"stringValue": l.Body}, "traceId": l.TraceID}
	})}
}
