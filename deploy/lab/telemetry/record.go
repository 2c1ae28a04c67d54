package telemetry

import "time"

// Kind of a metric, as OpenTelemetry tells them apart.
type Kind int

// A gauge stands alone; the others count since their start.
const (
	Gauge Kind = iota
	Sum
	Histogram
	Exponential // a histogram of bounds that are powers of one base
	Summary     // a count and a total; its quantiles were made by who sent it
)

// Point is one value of one series.
type Point struct {
	Kind        Kind
	Name        string
	Resource    map[string]string // with service.name
	Attributes  map[string]string
	Start, Time time.Time
	Value       float64
	Count       uint64 // of a histogram, as are the following
	Total       float64
	Bounds      []float64
	Buckets     []uint64 // one more than Bounds, each for itself; of an exponential one those above zero
	Scale       int32    // of an exponential one: the base is 2^(2^−Scale)
	Offset      int32    // and its first bucket ends at base^(Offset+1)
	Zero        uint64   // and so many were zero
	Delta       bool     // of a histogram: since the last time, not since the start
	Stale       bool     // the series is gone: NoRecordedValue
}

// Span is one piece of a trace.
type Span struct {
	TraceID, ID, Parent string
	Resource            map[string]string
	Name, Kind          string // Server, Client, Internal, Producer, Consumer
	Attributes          map[string]string
	Start               time.Time
	Duration            time.Duration
	Failed              bool
	Message             string
}

// Line is one log record.
type Line struct {
	Time     time.Time
	Severity int // OpenTelemetry's number: 9 info, 13 warn, 17 error
	Text     string
	Body     string
	TraceID  string
	Resource map[string]string
}

// Records are what is written together.
type Records struct {
	Points []Point
	Spans  []Span
	Lines  []Line
}
