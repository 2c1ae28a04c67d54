package telemetry

import (
	"context"
	"embed"
	"fmt"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

//go:embed schema/*.sql
var schemas embed.FS

// Create makes the exporter's tables as one of its generations did: "a", "b" or "c".
func (c *ClickHouse) Create(ctx context.Context, generation string) error {
	text, err := schemas.ReadFile("schema/" + generation + ".sql")
	if err != nil {
		return err
	}
	for s := range strings.SplitSeq(string(text), ";\n") {
		if strings.TrimSpace(s) == "" {
			continue
		}
		if err := c.Exec(ctx, s); err != nil {
			return fmt.Errorf("create schema %s: %w", generation, err)
		}
	}
	return nil
}

// Open connects with the driver that the product uses.
func (c *ClickHouse) Open() (driver.Conn, error) {
	options, err := clickhouse.ParseDSN(c.dsn)
	if err != nil {
		return nil, err
	}
	return clickhouse.Open(options)
}

// Write inserts records as the exporter would, without a collector between: what a test of queries needs.
func Write(ctx context.Context, db driver.Conn, r Records) error {
	for kind, into := range map[Kind]string{
		Gauge: "otel_metrics_gauge (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Flags, Value)",
		Sum:   "otel_metrics_sum (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Flags, Value, AggregationTemporality, IsMonotonic)",
		Histogram: "otel_metrics_histogram (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Flags, Count, Sum, BucketCounts, ExplicitBounds, " +
			"AggregationTemporality)",
		Exponential: "otel_metrics_exponential_histogram (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Flags, Count, Sum, Scale, ZeroCount, PositiveOffset, " +
			"PositiveBucketCounts, AggregationTemporality)",
		Summary: "otel_metrics_summary (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Flags, Count, Sum)",
	} {
		err := insert(ctx, db, into, r.Points, func(b driver.Batch, p Point) error {
			if p.Kind != kind {
				return nil
			}
			var flags uint32
			temporality := int32(2)
			if p.Delta {
				temporality = 1
			}
			if p.Stale {
				flags = 1
			}
			row := []any{p.Resource, p.Resource["service.name"], p.Name, p.Attributes, unixZero(p.Start), p.Time, flags}
			switch kind {
			case Gauge:
				row = append(row, p.Value)
			case Sum:
				row = append(row, p.Value, temporality, true)
			case Histogram:
				row = append(row, p.Count, p.Total, p.Buckets, p.Bounds, temporality)
			case Exponential:
				row = append(row, p.Count, p.Total, p.Scale, p.Zero, p.Offset, p.Buckets, temporality)
			case Summary:
				row = append(row, p.Count, p.Total)
			}
			return b.Append(row...)
		})
		if err != nil {
			return err
		}
	}
	err := insert(ctx, db, "otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, SpanAttributes, Duration, StatusCode, StatusMessage)",
		r.Spans, func(b driver.Batch, s Span) error {
			status := "Unset"
			if s.Failed {
				status = "Error"
			}
			return b.Append(s.Start, s.TraceID, s.ID, s.Parent, s.Name, s.Kind, s.Resource["service.name"], s.Resource, s.Attributes, uint64(s.Duration), status, s.Message)
		})
	if err != nil {
		return err
	}
	return insert(ctx, db, "otel_logs (Timestamp, TraceId, SeverityText, SeverityNumber, ServiceName, Body, ResourceAttributes)", r.Lines, func(b driver.Batch, l Line) error {
		return b.Append(l.Time, l.TraceID, l.Text, uint8(l.Severity), l.Resource["service.name"], l.Body, l.Resource)
	})
}

// unixZero is how the exporter writes a time that nobody gave.
func unixZero(t time.Time) time.Time {
	if t.IsZero() {
		return time.Unix(0, 0)
	}
	return t
}

func insert[T any](ctx context.Context, db driver.Conn, into string, list []T, add func(driver.Batch, T) error) error {
	if len(list) == 0 {
		return nil
	}
	batch, err := db.PrepareBatch(ctx, "INSERT INTO "+into)
	if err != nil {
		return err
	}
	defer batch.Close()
	for _, x := range list {
		if err := add(batch, x); err != nil {
			return err
		}
	}
	if batch.Rows() == 0 {
		return batch.Abort()
	}
	return batch.Send()
}
