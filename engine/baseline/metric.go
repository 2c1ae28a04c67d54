package baseline

import (
	"math"
	"strings"

	"github.com/bukahou/atlhyper/engine/entity"
)

// Spec is how one metric is judged.
type Spec struct {
	Class    Class
	Weight   float64 // w_c of a deviation on the side that hurts
	Floor    float64 // least spread, in the metric's unit
	Relative float64 // least spread, as a share of |μ|
	Sampling float64 // for a Latency or Rate with n requests behind it: least spread Sampling·μ/√n
	Quantile float64 // of a Latency that is a percentile, 0 to 1; 0 for a mean
	Limit    float64 // at or above it the value is anomalous whatever was normal; 0 for none
	Ease     float64 // below it a deviation is listed and moves no score, above Full it has its whole weight; 0 for none
	Full     float64
}

// specs is the table. Weights follow the classes: error ratio 1.0, latency and restarts 0.9, saturation 0.8, a drop of
// the rate 0.7. Floors are in the unit of the metric and are what keeps a calm series from being judged by its last digit:
//
//   - CPU two points, and five on a pod, where one more busy thread already moves it by that;
//   - memory five points: caches and heaps breathe by that much. A ramp of 30 → 99 % in an hour is still found at
//     about half of the way, because the baseline learns slower once the CUSUM has risen;
//   - segments that are sent again half a point: a healthy network stays below that, and at 1 % throughput is felt to fall;
//   - restarts and containers count in whole numbers: 0.3 leaves a single restart below Warning (q = 0.15) and lifts
//     two to 0.88; 0.2 makes one container that is not ready 0.69.
//
// Cores and bytes without a known limit say nothing of saturation: their weight of 0.5 makes a Warning and, with W < 1, never
// an Incident.
//
// A busier machine is not a fault: CPU, memory and disk count from 60 % of what there is, and fully from 85 %. Without
// that, the pods of a lost node keep its healthy neighbours at 63 % of CPU in alarm for an hour (measured on the
// simulated shop: risk 0.79 from z = 11, where nothing waits for anything).
//
// The sampling error of a mean latency is taken as half of the mean for one request; that of a percentile q as
// √(q/(1−q))/ln(1/(1−q)) times, its standard error when latencies are exponential: 1.5 for a p95, 2.2 for a p99; that of a rate is
// Poisson's.
var specs = map[string]Spec{
	"error_rate":           {Class: Ratio, Weight: 1, Floor: 0.005, Relative: 0.05},
	"error_ratio":          {Class: Ratio, Weight: 1, Floor: 0.005, Relative: 0.05},
	"avg_latency":          {Class: Latency, Weight: 0.9, Floor: 0.001, Relative: 0.05, Sampling: 0.5},
	"p95_latency":          {Class: Latency, Weight: 0.9, Floor: 0.001, Relative: 0.05, Sampling: 1.5, Quantile: 0.95},
	"request_rate":         {Class: Rate, Weight: 0.7, Floor: 0.5, Relative: 0.05, Sampling: 1},
	"cpu_usage":            {Class: Saturation, Weight: 0.8, Floor: 0.02, Relative: 0.05, Ease: 0.60, Full: 0.85},
	"cpu_throttled":        {Class: Saturation, Weight: 0.8, Floor: 0.05, Relative: 0.05},
	"memory_usage":         {Class: Saturation, Weight: 0.8, Floor: 0.05, Relative: 0.05, Limit: 0.95, Ease: 0.60, Full: 0.85},
	"disk_usage":           {Class: Saturation, Weight: 0.8, Floor: 0.02, Relative: 0.02, Limit: 0.90, Ease: 0.60, Full: 0.85},
	"psi_cpu":              {Class: Saturation, Weight: 0.8, Floor: 0.05, Relative: 0.05},
	"psi_memory":           {Class: Saturation, Weight: 0.8, Floor: 0.05, Relative: 0.05},
	"psi_io":               {Class: Saturation, Weight: 0.8, Floor: 0.05, Relative: 0.05},
	"tcp_retransmit_ratio": {Class: Saturation, Weight: 0.8, Floor: 0.005, Relative: 0.05},
	"cpu_cores":            {Class: Usage, Weight: 0.5, Floor: 0.02, Relative: 0.05},
	"memory_bytes":         {Class: Usage, Weight: 0.5, Floor: 1 << 20, Relative: 0.05},
	"restart_count":        {Class: Counter, Weight: 0.9, Floor: 0.3},
	"not_ready_containers": {Class: Gauge, Weight: 0.9, Floor: 0.2},
	"is_running":           {Class: Bool, Weight: 0.9, Floor: 0.1},
}

// percentiles are the standard errors of percentiles of one exponential latency, in percentiles.
var percentiles = map[string]struct{ quantile, error float64 }{"p50": {0.5, 1.5}, "p75": {0.75, 1.25}, "p90": {0.9, 1.3}, "p95": {0.95, 1.5}, "p99": {0.99, 2.2}}

// fewest is how many requests a percentile wants beyond it: with fewer it is one of the slowest few, and jumps.
const fewest = 5

// SpecOf gives how a metric of a kind of entity is judged. A name that is not in the table is judged by its ending:
// …latency…, …_seconds and …_s as Latency; …_ratio and …_usage as Ratio when it counts errors and as Saturation otherwise; anything else as
// a Rate of weight 0, which is shown as context and moves no score, since nobody said which side hurts.
func SpecOf(kind, metric string) Spec {
	s, ok := specs[metric]
	switch {
	case ok && metric == "cpu_usage" && kind == entity.Pod:
		s.Floor = 0.05
	case ok:
	case strings.Contains(metric, "latency"), strings.HasSuffix(metric, "_seconds"), strings.HasSuffix(metric, "_s"):
		s = specs["avg_latency"]
		for part, sampling := range percentiles {
			if strings.Contains(metric, part) {
				s.Sampling, s.Quantile = sampling.error, sampling.quantile
			}
		}
	case strings.HasSuffix(metric, "_ratio"), strings.HasSuffix(metric, "_usage"):
		s = Spec{Class: Saturation, Weight: 0.8, Floor: 0.05, Relative: 0.05}
		if strings.Contains(metric, "error") {
			s = specs["error_ratio"]
		}
	default:
		s = Spec{Class: Rate, Floor: 0.5, Relative: 0.05, Sampling: 1}
	}
	return s
}

// Mean gives the factor by which a rise of a latency metric tells the rise of the mean: exactly 1 for the mean itself. A
// percentile q of exponential latencies is ln(1/(1−q)) means. Where the mean is measured and did not rise, what rose is
// the tail alone, which 1−q of the requests have.
func Mean(metric string, meanKnown bool) float64 {
	for name, p := range percentiles {
		switch {
		case !strings.Contains(metric, name):
		case meanKnown:
			return 1 - p.quantile
		default:
			return 1 / math.Log(1/(1-p.quantile))
		}
	}
	return 1
}

// spread gives max(s, floor) for a baseline of mean μ and deviation s, judged on n requests.
//
// An error ratio of n requests has the standard error √(p(1−p)/n), with p shrunk towards one half by one request of
// each kind (Laplace): one failure of one request must not be two hundred deviations.
func (s *Spec) spread(mean, deviation, n float64) float64 {
	floor := max(s.Floor, s.Relative*math.Abs(mean))
	if n > 0 {
		switch s.Class {
		case Ratio:
			p := (min(1, max(0, mean))*n + 1) / (n + 2)
			floor = max(floor, math.Sqrt(p*(1-p)/n))
		case Latency, Rate:
			floor = max(floor, s.Sampling*math.Abs(mean)/math.Sqrt(n)*max(1, math.Sqrt(fewest/(n*(1-s.Quantile)))))
		}
	}
	return max(deviation, floor)
}

// hurting gives the deviation on the side that hurts, and the weight of a deviation of that sign. The wrong side is
// negative; for a Rate the rise is context: its deviation counts, its weight is 0.
func (s *Spec) hurting(z float64) (deviation, weight float64) {
	switch s.Class {
	case Rate:
		if z < 0 {
			return -z, s.Weight
		}
		return z, 0
	case Bool:
		return -z, s.Weight
	}
	return z, s.Weight
}

// felt gives how much of its weight a deviation at a value has, 0 to 1.
func (s *Spec) felt(x float64) float64 {
	if s.Full <= s.Ease {
		return 1
	}
	return min(1, max(0, (x-s.Ease)/(s.Full-s.Ease)))
}

// beyond gives the deviation of a value at or over the absolute limit, 0 below it: 4 at the limit, which alone makes a
// Warning, and 7 at 1, which makes an incident.
func (s *Spec) beyond(x float64) float64 {
	if s.Limit == 0 || x < s.Limit {
		return 0
	}
	return 4 + 3*min(1, (x-s.Limit)/(1-s.Limit))
}

// Q is the score of a deviation: w·tanh(max(0, |z|−3)/2), exactly 0 for anything within three.
func Q(weight, z float64) float64 { return weight * math.Tanh(max(0, math.Abs(z)-3)/2) }
