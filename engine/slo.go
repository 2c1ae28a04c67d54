package engine

import (
	"context"
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/slo"
)

// onOurClock reads a time of the agent's clock on ours. A difference that a network's delay could make is left alone.
func onOurClock(c *fleet.Cluster, at time.Time) time.Time {
	if skew := c.Status().Skew; skew.Abs() >= 5*time.Second {
		return at.Add(skew)
	}
	return at
}

// minutes takes whole minutes into history and counts. Minutes stay whole: a clock that is off by less than half of one
// moves nothing.
func (e *Engine) minutes(c *fleet.Cluster, minutes []*report.TelemetryMinute) {
	skew := c.Status().Skew.Round(time.Minute)
	for _, m := range minutes {
		start := m.GetStart().AsTime().Add(skew).Truncate(time.Minute)
		for _, s := range m.GetSamples() {
			ref := entity.Ref{Cluster: c.ID(), Kind: s.GetEntity().GetKind(), Namespace: s.GetEntity().GetNamespace(), Name: s.GetEntity().GetName()}
			e.History.Minute(start, ref, s.GetMetric(), s.GetValue())
		}
		for _, n := range m.GetRequests() {
			n.Start, n.Span = nil, nil // the minute's own, by our clock
		}
		e.SLO.Count(c.ID(), start, time.Minute, m.GetRequests())
	}
}

// Backfill takes counts of requests of the past, as a demo and a replay have them at hand.
func (e *Engine) Backfill(cluster string, counts []*report.RequestCount) {
	e.SLO.Backfill(cluster, counts)
}

// declare reads the objectives that annotations ask for.
func (e *Engine) declare(c *fleet.Cluster) {
	var all []slo.Objective
	var refused []string
	for _, kind := range []string{entity.Service, entity.Ingress} {
		for _, r := range c.List(kind, "") {
			os, no := slo.FromAnnotations(c.Ref(r), r.GetAnnotations())
			all, refused = append(all, os...), append(refused, no...)
		}
	}
	e.SLO.Declare(c.ID(), all, refused)
}

// acquit lets off what is usual at this hour: a deviation from the last minutes that brings a metric to where it was at
// the same hour of the last days is a rhythm and no fault. Absolute limits hold whatever was usual.
func (e *Engine) acquit(now time.Time, anomalies []baseline.Anomaly) {
	for i := range anomalies {
		a := &anomalies[i]
		if a.Q <= 0 || a.Limit > 0 {
			continue
		}
		if usual, ok := e.History.Usual(a.Entity, a.Metric, now); ok && math.Abs(a.Value-usual) <= 3*a.Spread {
			a.Q = 0
		}
	}
}

// seed is how far the reading of a cluster's past has come; guarded by Engine.mu.
type seed struct {
	done    bool
	running bool
	next    time.Time
}

// seedAgain is when a past that could not be read is asked for again.
const seedAgain = 10 * time.Minute

// readPast asks a cluster's telemetry store for two weeks of counted requests, once, beside the evaluation: the
// minutes of the last hour, the hours of the last four days, the days before. What is known already is not overwritten.
func (e *Engine) readPast(now time.Time, c *fleet.Cluster, v *view) {
	counts := false
	for _, s := range c.Sources() {
		for _, signal := range s.GetSignals() {
			counts = counts || s.GetAvailable() && (strings.Contains(signal, "ingress") || strings.Contains(signal, "mesh") || strings.Contains(signal, "service") || strings.Contains(signal, "requests"))
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if !counts || v.seed.done || v.seed.running || now.Before(v.seed.next) {
		return
	}
	v.seed.running = true
	e.seeding.Go(func() {
		err := e.askPast(e.background, now, c.ID())
		e.mu.Lock()
		defer e.mu.Unlock()
		v.seed.running, v.seed.done, v.seed.next = false, err == nil, now.Add(seedAgain)
		if err != nil && e.background.Err() == nil {
			e.log.Debug("counted requests of the past not read", "cluster", c.ID(), "err", err)
		}
	})
}

func (e *Engine) askPast(ctx context.Context, now time.Time, cluster string) error {
	const day = 24 * time.Hour
	today := now.Truncate(day)
	ask := func(from, to time.Time, step time.Duration) error {
		ctx, cancel := context.WithTimeout(ctx, 40*time.Second)
		defer cancel()
		o, err := e.Query(ctx, cluster, &report.Query{
			Timeout: durationpb.New(30 * time.Second), MaxBytes: 8 << 20,
			Ask: &report.Query_Requests{Requests: &report.RequestsQuery{From: timestamppb.New(from), To: timestamppb.New(to), Step: durationpb.New(step)}},
		})
		switch {
		case err != nil:
			return err
		case o.GetStatus() != report.Outcome_STATUS_SUCCEEDED:
			return errPast(o.GetMessage())
		}
		e.SLO.Backfill(cluster, o.GetRequests())
		return nil
	}
	hour, minute := now.Truncate(time.Hour), now.Truncate(time.Minute)
	if err := ask(minTime(hour, minute.Add(-70*time.Minute)), minute, time.Minute); err != nil { // what an hour ago was is asked for too
		return err
	}
	for at := today.Add(-3 * day); at.Before(hour); at = at.Add(day) {
		if err := ask(at, minTime(at.Add(day), hour), time.Hour); err != nil {
			return err
		}
	}
	return ask(today.Add(-14*day), today.Add(-3*day), day)
}

// errPast is why a store does not give its past.
type errPast string

func (e errPast) Error() string { return string(e) }

func minTime(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}
