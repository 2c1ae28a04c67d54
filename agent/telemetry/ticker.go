package telemetry

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

// Ticker reads a store tick by tick. After a failure the store is left alone for a pause that grows from 10 s to a minute,
// so that one that is down costs nothing.
type Ticker struct {
	Source string             // how frames call the store
	Window time.Duration      // what a frame is about
	Within time.Duration      // what reading one may take
	Reason func(error) string // what went wrong, for a person
	Log    *slog.Logger

	mu     sync.Mutex // guards what follows
	retry  time.Time
	failed int
	why    string
}

// Sample makes a frame, which read fills. A store that cannot be read is said in the frame and is no error; the error is
// the context's.
func (t *Ticker) Sample(ctx context.Context, now time.Time, read func(context.Context, *report.TelemetryFrame, *report.SourceStatus) error) (*report.TelemetryFrame, error) {
	status := &report.SourceStatus{Source: t.Source}
	f := &report.TelemetryFrame{Time: timestamppb.New(now), Window: durationpb.New(t.Window), Sources: []*report.SourceStatus{status}}
	t.mu.Lock()
	waiting, why := now.Before(t.retry), t.why
	t.mu.Unlock()
	if waiting {
		status.Message = why
		return f, nil
	}
	within, cancel := context.WithTimeout(ctx, t.Within)
	defer cancel()
	err := read(within, f, status)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if err == nil {
		t.failed, t.retry, t.why = 0, time.Time{}, ""
		return f, nil
	}
	t.failed++
	t.retry = now.Add(min(time.Minute, 5*time.Second<<min(t.failed, 5)))
	t.why = t.Reason(err)
	f.Samples, f.Traffic = nil, nil
	status.Available, status.Signals, status.Message = false, nil, t.why
	t.Log.DebugContext(ctx, "telemetry not read", "source", t.Source, "err", err)
	return f, nil
}

// Failures is how often reading has failed since it last did not.
func (t *Ticker) Failures() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.failed
}
