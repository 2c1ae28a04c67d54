// Package classic has the formulas of the system that AtlHyper follows, as its document states them, for comparison: a
// moving average with a sigmoid for what is normal, weighted sums for risk, and averages over dependencies for its way up. They
// are kept as they were, with the faults that the trap tests of the engine name; nothing runs on them unless asked to.
package classic

import (
	"cmp"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
)

// The constants of channel A.
const (
	alpha     = 0.033 // of every sample, whatever time has passed
	cold      = 100   // samples before anything is judged
	coldZeros = 10    // of a series that has only been 0
	turn      = 3.0   // deviations at which the score is one half
	stale     = 90 * time.Second
)

// Average is channel A: EMA_t = α·x_t + (1−α)·EMA_{t−1}, score = sigmoid(|x−EMA|/σ − 3), both taken after the sample has moved them.
// It is safe for concurrent use.
type Average struct {
	stale time.Duration

	mu     sync.Mutex // guards all below
	series map[key]*series
}

type key struct {
	ref    entity.Ref
	metric string
}

type series struct {
	mean, variance, value, count float64
	deviation                    float64 // of the newest sample, in σ
	samples                      int
	zeros                        bool // only zeros so far
	last                         time.Time
	since                        time.Time // beyond the turn without a break
}

// New makes a detector that knows nothing. Beyond staleAfter without a sample a series is unknown; 0 takes 90 s.
func New(staleAfter time.Duration) *Average {
	return &Average{stale: cmp.Or(staleAfter, stale), series: map[key]*series{}}
}

// Observe learns one sample.
func (a *Average) Observe(now time.Time, ref entity.Ref, metric string, value, count float64) {
	if math.IsNaN(value) || math.IsInf(value, 0) || metric == "" || ref.Name == "" {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	k := key{ref, metric}
	s := a.series[k]
	if s == nil {
		s = &series{mean: value, zeros: true}
		a.series[k] = s
	}
	if !now.After(s.last) {
		return
	}
	ready := s.ready()
	s.last, s.value, s.count = now, value, count
	s.samples++
	before := s.mean
	s.mean = alpha*value + (1-alpha)*s.mean
	if s.zeros = s.zeros && value == 0; !ready {
		s.variance = alpha*(value-s.mean)*(value-s.mean) + (1-alpha)*s.variance
		return
	}
	s.variance = alpha*(value-before)*(value-before) + (1-alpha)*s.variance
	s.deviation = 0
	if sigma := math.Sqrt(s.variance); sigma > 1e-9 {
		s.deviation = math.Abs(value-s.mean) / sigma
	}
	switch {
	case s.deviation <= turn:
		s.since = time.Time{}
	case s.since.IsZero():
		s.since = now
	}
}

func (s *series) ready() bool { return s.samples >= cold || s.zeros && s.samples >= coldZeros }

// Score is the sigmoid of a deviation in σ.
func Score(deviation float64) float64 { return 1 / (1 + math.Exp(turn-deviation)) }

// Anomalies lists every series of a cluster that is past its cold start with its score, which is never 0.
func (a *Average) Anomalies(cluster string, now time.Time, _ func(entity.Ref) bool) []baseline.Anomaly {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []baseline.Anomaly
	for k, s := range a.series {
		if k.ref.Cluster != cluster || !s.ready() || now.Sub(s.last) > a.stale {
			continue
		}
		out = append(out, baseline.Anomaly{
			Entity: k.ref, Metric: k.metric, Class: baseline.SpecOf(k.ref.Kind, k.metric).Class, Value: s.value, Mean: s.mean, Spread: math.Sqrt(s.variance),
			Z: s.deviation, Q: Score(s.deviation), Weight: weight(k.ref.Kind, k.metric), Count: s.count, Onset: cmp.Or(s.since, s.last), At: s.last,
		})
	}
	slices.SortFunc(out, func(x, y baseline.Anomaly) int {
		return cmp.Or(entity.Compare(x.Entity, y.Entity), cmp.Compare(x.Metric, y.Metric))
	})
	return out
}

// Normal gives the average and the deviation.
func (a *Average) Normal(ref entity.Ref, metric string) (mean, spread float64, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := a.series[key{ref, metric}]
	if s == nil {
		return 0, 0, false
	}
	return s.mean, math.Sqrt(s.variance), s.ready()
}

// Forget drops what was learned of an entity.
func (a *Average) Forget(ref entity.Ref) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for k := range a.series {
		if k.ref == ref {
			delete(a.series, k)
		}
	}
}

// weight is w of a metric: those of the document, with its names for ours. What it does not name has 0.1.
func weight(kind, metric string) float64 {
	if w, ok := weights[kind][metric]; ok {
		return w
	}
	return 0.1
}

var weights = map[string]map[string]float64{
	entity.Service: {"error_rate": 0.10, "avg_latency": 0.05, "request_rate": 0.05, "p95_latency": 0.10, "p99_latency": 0.10},
	entity.Pod:     {"restart_count": 0.20, "is_running": 0.10, "not_ready_containers": 0.20},
	entity.Node:    {"cpu_usage": 0.20, "memory_usage": 0.20, "disk_usage": 0.15, "psi_cpu": 0.10, "psi_memory": 0.10, "psi_io": 0.05},
	entity.Ingress: {"error_rate": 0.50, "avg_latency": 0.50},
}
