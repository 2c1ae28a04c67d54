package bench

import (
	"context"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/risk"
	"github.com/bukahou/atlhyper/storage"
)

func open(ctx context.Context, now func() time.Time) (engine.Store, func() error, error) {
	db, err := storage.Open(ctx, ":memory:", storage.Config{Now: now})
	if err != nil {
		return nil, nil, err
	}
	return db, db.Close, nil
}

// steady gives an engine in its steady state, and what makes the next tick's report.
func steady(b *testing.B) (e *engine.Engine, next func() *report.ReportRequest, now func() time.Time) {
	b.Helper()
	at := epoch
	now = func() time.Time { return at }
	store, closeStore, err := open(b.Context(), now)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = closeStore() })
	if e, err = engine.New(b.Context(), engine.Config{Store: store, Now: now, Checkpoint: 1000 * time.Hour}); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(e.Close)
	w := newWorld(One, 1)
	e.Joined(cluster, &report.JoinRequest{Cluster: cluster}, 0)
	if err := e.Ingest(b.Context(), cluster, &report.ReportRequest{ResyncBegin: true, ResyncEnd: true, Upserts: w.resources, Edges: w.calls}); err != nil {
		b.Fatal(err)
	}
	next = func() *report.ReportRequest {
		at = at.Add(10 * time.Second)
		return &report.ReportRequest{Frames: []*report.TelemetryFrame{w.samples(at)}}
	}
	for range 80 {
		if err := e.Ingest(b.Context(), cluster, next()); err != nil {
			b.Fatal(err)
		}
		if err := e.Evaluate(b.Context(), at); err != nil {
			b.Fatal(err)
		}
	}
	return e, next, now
}

func BenchmarkTick(b *testing.B) {
	e, next, now := steady(b)
	b.ReportAllocs()
	for b.Loop() {
		b.StopTimer()
		if err := e.Ingest(b.Context(), cluster, next()); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
		if err := e.Evaluate(b.Context(), now()); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkIngest(b *testing.B) {
	e, next, _ := steady(b)
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		b.StopTimer()
		r := next()
		n += len(r.GetFrames()[0].GetSamples())
		b.StartTimer()
		if err := e.Ingest(b.Context(), cluster, r); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/sample")
}

func BenchmarkLearn(b *testing.B) {
	w := newWorld(One, 1)
	l := baseline.New(baseline.Config{})
	at := epoch
	for range 80 {
		at = at.Add(10 * time.Second)
		l.Learn(at, cluster, w.samples(at).GetSamples())
	}
	samples := w.frame.GetSamples()
	b.ReportAllocs()
	for b.Loop() {
		at = at.Add(10 * time.Second)
		l.Learn(at, cluster, samples)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(samples)), "ns/sample")
}

func BenchmarkScore(b *testing.B) {
	e, _, now := steady(b)
	g := e.Graph(cluster)
	s := risk.New(risk.Config{})
	in := risk.Input{Now: now(), Cluster: cluster, Graph: g, Facts: e.Facts(cluster), Anomalies: e.Anomalies(cluster)}
	b.ReportAllocs()
	for b.Loop() {
		s.Score(in)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*(g.N()+len(g.Edges()))), "ns/vertex+edge")
}
