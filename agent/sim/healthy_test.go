package sim

import (
	"math"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/agent/report"
)

// level is a running mean and spread over about five minutes, as a watcher would keep them.
type level struct{ mean, variance float64 }

const alpha = 0.033

func (l *level) learn(x float64) {
	if l.mean == 0 && l.variance == 0 {
		l.mean = x
		return
	}
	d := x - l.mean
	l.mean += alpha * d
	l.variance = (1 - alpha) * (l.variance + alpha*d*d)
}

// floor is the smallest spread that anybody would take seriously for a metric.
func floor(metric string, mean, count float64) float64 {
	switch metric {
	case "error_rate":
		return max(0.005, math.Sqrt(max(mean, 0.001)/max(count, 1)))
	case "avg_latency", "p95_latency":
		return max(0.001, 0.03*mean, 0.5*mean/math.Sqrt(max(count, 1)))
	case "request_rate":
		return 0.05 * mean
	}
	return 0.02
}

func TestAHealthyHourLooksHealthy(t *testing.T) {
	for seed := range uint64(2) {
		s := open(t, seed)
		levels := map[string]*level{}
		last := map[string]int{} // for how many frames in a row a series has been beyond 3
		samples, beyond := 0, 0
		look := func(f *report.TelemetryFrame, judge bool) {
			for _, x := range f.Samples {
				if math.IsNaN(x.Value) || math.IsInf(x.Value, 0) || x.Value < 0 {
					t.Fatalf("%s %s is %v", x.Entity, x.Metric, x.Value)
				}
				id := x.Entity.Kind + x.Entity.Namespace + x.Entity.Name + x.Metric
				l := levels[id]
				if l == nil {
					l = &level{}
					levels[id] = l
				}
				z := (x.Value - l.mean) / max(math.Sqrt(l.variance), floor(x.Metric, l.mean, x.Count))
				if x.Metric == "request_rate" {
					z = -z
				}
				if judge {
					samples++
					if z > 3 {
						beyond++
						last[id]++
						if last[id] >= 4 {
							t.Errorf("seed %d: %s of %s %s is beyond 3 for %d frames: %.4f against %.4f", seed, x.Metric, x.Entity.Kind, x.Entity.Name, last[id], x.Value, l.mean)
						}
					} else {
						last[id] = 0
					}
				}
				if math.Abs(z) < 3 || !judge {
					l.learn(x.Value)
				}
			}
		}
		for f := range s.History(opening.Add(-time.Hour), opening, tick) {
			look(f, false)
		}
		known := len(levels)
		for at := opening; at.Before(opening.Add(time.Hour)); at = at.Add(tick) {
			s.Step(at)
			look(sample(t, s, at), true)
		}
		if len(levels) != known {
			t.Errorf("seed %d: %d series in the history, %d afterwards", seed, known, len(levels))
		}
		if rate := float64(beyond) / float64(samples); rate > 0.002 {
			t.Errorf("seed %d: %d of %d samples (%.2f%%) are beyond 3", seed, beyond, samples, 100*rate)
		}
		events, err := s.Client().CoreV1().Events("").List(t.Context(), metav1.ListOptions{FieldSelector: "type=" + corev1.EventTypeWarning})
		if err != nil {
			t.Fatal(err)
		}
		if len(events.Items) > 0 {
			t.Errorf("seed %d: a healthy hour has %d warnings, the first: %s", seed, len(events.Items), events.Items[0].Message)
		}
	}
}

func TestHistoryIsWhatWouldHaveBeenSampled(t *testing.T) {
	s := open(t, 6)
	want := sample(t, s, opening)
	for got := range s.History(opening, opening.Add(tick), tick) {
		if len(got.Samples) != len(want.Samples) || len(got.Traffic) != len(want.Traffic) {
			t.Fatalf("history has %d samples, the present %d", len(got.Samples), len(want.Samples))
		}
		for i := range got.Samples {
			if got.Samples[i].Value != want.Samples[i].Value {
				t.Fatalf("sample %d: %v in history, %v at present", i, got.Samples[i], want.Samples[i])
			}
		}
	}
}

func TestCallersAddUpTheirCallees(t *testing.T) {
	s := open(t, 9)
	p := s.plan
	f := p.solve(s.opening, opening)
	for i, sv := range p.services {
		if sv.role == batch {
			continue
		}
		below := 0.0
		for _, c := range sv.calls {
			below += f.services[c.to].latency * c.perRequest
		}
		own := f.services[i].latency - below
		if own < 0.8*sv.latency.Seconds() || own > 1.5*sv.latency.Seconds() {
			t.Errorf("%s: %.4f s of its %.4f s are its own, planned %.4f", sv.name, own, f.services[i].latency, sv.latency.Seconds())
		}
		if f.services[i].errors > 0.02 {
			t.Errorf("%s: %.4f of its requests fail in a healthy shop", sv.name, f.services[i].errors)
		}
	}
	for n, node := range f.nodes {
		if node.cpu > 0.85 || node.pressure > 0 {
			t.Errorf("node %d is at %.2f in a healthy shop", n, node.cpu)
		}
	}
}
