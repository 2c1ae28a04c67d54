package bench

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/risk"
	"github.com/bukahou/atlhyper/engine/topology"
)

// Config of a measurement.
type Config struct {
	Open   func(ctx context.Context, now func() time.Time) (store engine.Store, closeStore func() error, err error)
	Seed   uint64
	Rounds int // of each figure, of which the best counts: what else the machine does only ever adds; default 20, and fewer of a larger size
}

// Figures are what one size costs.
type Figures struct {
	Size            int     // of One
	Samples         int     // a tick
	Vertices, Edges int     //
	Sample          float64 // ns: a decoded sample into its series
	Ingested        float64 // ns: one sample of a report into fleet and series
	VertexEdge      float64 // ns: every score, per vertex and edge
	Build           float64 // ms: the graph
	Update          float64 // ms: the graph and its conclusions after one pod changed
	Tick            float64 // ms: one evaluation in steady state
	Allocs          float64 // of such a tick
	BytesEach       float64 // bytes of heap per vertex
	Checkpoint      float64 // ms
	Restore         float64 // ms
	CheckpointBytes int
	Bandwidth       float64 // GB/s, streamed
}

// Run measures one size.
func Run(ctx context.Context, cfg Config, size int) (f Figures, err error) {
	if cfg.Rounds == 0 {
		cfg.Rounds = max(3, 20/size)
	}
	f.Size = size
	f.Bandwidth = bandwidth()
	now := epoch
	store, closeStore, err := cfg.Open(ctx, func() time.Time { return now })
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, closeStore()) }()
	var before, after runtime.MemStats
	w := newWorld(One.Times(size), cfg.Seed)
	runtime.GC()
	runtime.ReadMemStats(&before)
	e, err := engine.New(ctx, engine.Config{Store: store, Now: func() time.Time { return now }, Checkpoint: 1000 * time.Hour})
	if err != nil {
		return f, err
	}
	defer e.Close()
	e.Joined(cluster, &report.JoinRequest{Cluster: cluster}, 0)
	if err := e.Ingest(ctx, cluster, &report.ReportRequest{ResyncBegin: true, ResyncEnd: true, Upserts: w.resources, Edges: w.calls}); err != nil {
		return f, err
	}
	f.Samples = len(w.frame.GetSamples())
	tick := func(evaluate bool) error {
		now = now.Add(10 * time.Second)
		if err := e.Ingest(ctx, cluster, &report.ReportRequest{Frames: []*report.TelemetryFrame{w.samples(now)}}); err != nil {
			return err
		}
		if !evaluate {
			return nil
		}
		return e.Evaluate(ctx, now)
	}
	for i := range 80 { // past the warm-up, and past the time in which the blame for the crash loops is revised
		if err := tick(i%20 == 0 || i > 76); err != nil {
			return f, err
		}
	}
	g := e.Graph(cluster)
	f.Vertices, f.Edges = g.N(), len(g.Edges())
	runtime.GC()
	runtime.ReadMemStats(&after)
	f.BytesEach = float64(after.HeapAlloc-before.HeapAlloc) / float64(f.Vertices)

	view, _ := e.Fleet.Cluster(cluster)
	best := func(figure *float64, unit time.Duration, per int, prepare func(), run func() error) {
		for i := range cfg.Rounds {
			if prepare != nil {
				prepare()
			}
			began := time.Now()
			if runErr := run(); runErr != nil {
				err = errors.Join(err, runErr)
				return
			}
			if x := float64(time.Since(began)) / float64(unit) / float64(per); i == 0 || x < *figure {
				*figure = x
			}
		}
	}
	var b *report.ReportRequest
	best(&f.Ingested, 1, f.Samples, func() {
		now = now.Add(10 * time.Second)
		b = &report.ReportRequest{Frames: []*report.TelemetryFrame{w.samples(now)}}
	}, func() error { return e.Ingest(ctx, cluster, b) })
	f.Sample = learn(w, cfg.Rounds)
	scorer := risk.New(risk.Config{})
	in := risk.Input{Now: now, Cluster: cluster, Graph: g, Facts: e.Facts(cluster), Anomalies: e.Anomalies(cluster)}
	best(&f.VertexEdge, 1, f.Vertices+f.Edges, nil, func() error { scorer.Score(in); return nil })
	best(&f.Build, time.Millisecond, 1, nil, func() error { topology.Build(view, edgesOf(w)); return nil })
	best(&f.Tick, time.Millisecond, 1, func() {
		now = now.Add(10 * time.Second)
		err = errors.Join(err, e.Ingest(ctx, cluster, &report.ReportRequest{Frames: []*report.TelemetryFrame{w.samples(now)}}))
	}, func() error { return e.Evaluate(ctx, now) })
	f.Allocs = allocs(func() { err = errors.Join(err, e.Evaluate(ctx, now)) })
	best(&f.Update, time.Millisecond, 1, func() {
		now = now.Add(10 * time.Second)
		err = errors.Join(err, e.Ingest(ctx, cluster, &report.ReportRequest{Upserts: w.pods[:1]}))
	}, func() error { return e.Evaluate(ctx, now) })
	f.checkpoint(w)
	return f, err
}

func edgesOf(w *world) []topology.Edge {
	ref := func(r *report.EntityRef) entity.Ref {
		return entity.Ref{Cluster: cluster, Kind: r.GetKind(), Namespace: r.GetNamespace(), Name: r.GetName()}
	}
	var out []topology.Edge
	for _, x := range w.calls {
		out = append(out, topology.Edge{From: ref(x.GetFrom()), To: ref(x.GetTo()), Type: topology.Calls, Weight: 1})
	}
	return out
}

// learn measures the way of a decoded sample to its series.
func learn(w *world, rounds int) (best float64) {
	l := baseline.New(baseline.Config{})
	at := epoch
	for i := range 80 + rounds {
		at = at.Add(10 * time.Second)
		samples := w.samples(at).GetSamples()
		began := time.Now()
		l.Learn(at, cluster, samples)
		if x := float64(time.Since(began)) / float64(len(samples)); i == 80 || i > 80 && x < best {
			best = x
		}
	}
	return best
}

func (f *Figures) checkpoint(w *world) {
	l := baseline.New(baseline.Config{})
	at := epoch
	for range 2 {
		at = at.Add(10 * time.Second)
		l.Learn(at, cluster, w.samples(at).GetSamples())
	}
	began := time.Now()
	blob, err := l.Checkpoint(cluster)
	f.Checkpoint, f.CheckpointBytes = float64(time.Since(began))/float64(time.Millisecond), len(blob)
	began = time.Now()
	if err == nil {
		err = l.Restore(cluster, blob)
	}
	if f.Restore = float64(time.Since(began)) / float64(time.Millisecond); err != nil {
		panic(fmt.Sprintf("bench: a checkpoint of its own is not read: %v", err))
	}
}

func allocs(run func()) float64 {
	const rounds = 5
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range rounds {
		run()
	}
	runtime.ReadMemStats(&after)
	return float64(after.Mallocs-before.Mallocs) / rounds
}

// bandwidth streams through far more memory than any cache holds.
func bandwidth() float64 {
	data := make([]uint64, 32<<20) // 256 MB
	for i := range data {
		data[i] = uint64(i)
	}
	best := 0.0
	sum := uint64(0)
	for range 5 {
		began := time.Now()
		var a, b, c, d uint64
		for i := 0; i < len(data); i += 4 {
			a, b, c, d = a+data[i], b+data[i+1], c+data[i+2], d+data[i+3]
		}
		sum += a + b + c + d
		best = max(best, float64(8*len(data))/time.Since(began).Seconds()/1e9)
	}
	runtime.KeepAlive(sum)
	return best
}

// ByName gives the figures by their names in JSON.
func (f *Figures) ByName() map[string]float64 {
	return map[string]float64{
		"samples_per_tick": float64(f.Samples), "vertices": float64(f.Vertices), "edges": float64(f.Edges),
		"ns_per_sample": f.Sample, "ns_per_sample_ingested": f.Ingested, "ns_per_vertex_edge": f.VertexEdge,
		"topology_build_ms": f.Build, "topology_update_ms": f.Update, "tick_ms": f.Tick, "allocs_per_tick": f.Allocs, "bytes_per_entity": f.BytesEach,
		"checkpoint_ms": f.Checkpoint, "restore_ms": f.Restore, "checkpoint_bytes": float64(f.CheckpointBytes), "memory_bandwidth_gb_s": f.Bandwidth,
	}
}
