package baseline

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/engine/entity"
)

const tick = 10 * time.Second

var (
	start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	cart  = entity.Ref{Cluster: "prod", Kind: entity.Service, Namespace: "shop", Name: "cart"}
	node  = entity.Ref{Cluster: "prod", Kind: entity.Node, Name: "n1"}
)

// feed observes one metric tick by tick, and after each tells what is not normal.
func feed(l *Learner, from time.Time, ref entity.Ref, metric string, n int, value func(i int) float64, after func(now time.Time, a *Anomaly)) time.Time {
	now := from
	for i := range n {
		now = now.Add(tick)
		l.Observe(now, ref, metric, value(i), 0)
		if after == nil {
			continue
		}
		var found *Anomaly
		for _, a := range l.Anomalies(ref.Cluster, now, nil) {
			if a.Entity == ref && a.Metric == metric {
				found = &a
			}
		}
		after(now, found)
	}
	return now
}

func noise(r *rand.Rand, mean, sigma float64) func(int) float64 {
	return func(int) float64 { return max(0, mean+sigma*r.NormFloat64()) }
}

func TestZIsTakenFromTheBaselineBefore(t *testing.T) {
	l := New(Config{})
	now := feed(l, start, cart, "avg_latency", 61, func(int) float64 { return 0.100 }, nil)
	l.Observe(now.Add(tick), cart, "avg_latency", 0.150, 0)
	got := l.Anomalies("prod", now.Add(tick), nil)
	// The spread's floor is 5 % of 100 ms, so z = 50/5 = 10 and q = 0.9·tanh(7/2) = 0.8984.
	if len(got) != 1 || math.Abs(got[0].Z-10) > 1e-9 || math.Abs(got[0].Q-0.9*math.Tanh(3.5)) > 1e-9 || got[0].Onset != now.Add(tick) {
		t.Fatalf("got %+v", got)
	}
	if mean, spread, ok := l.Normal(cart, "avg_latency"); !ok || mean != 0.1 || math.Abs(spread-0.005) > 1e-12 {
		t.Errorf("the outlier moved its own yardstick: μ %g, spread %g, %v", mean, spread, ok)
	}
}

func TestTheUpdateIsTheExponentialOne(t *testing.T) {
	l := New(Config{})
	now := feed(l, start, node, "cpu_usage", 61, func(int) float64 { return 0.40 }, nil)
	l.Observe(now.Add(tick), node, "cpu_usage", 0.43, 0)
	// d = 0.03 is 1.5 of the floor of two points: α = 1 − exp(−10/300) = 0.032784.
	mean, _, _ := l.Normal(node, "cpu_usage")
	if want := 0.40 + (1-math.Exp(-10.0/300))*0.03; math.Abs(mean-want) > 1e-12 {
		t.Errorf("μ = %.8f, want %.8f", mean, want)
	}
}

func TestALevelShiftStaysFlagged(t *testing.T) {
	for metric, level := range map[string]struct{ mean, sigma, sign float64 }{
		"error_rate": {0.02, 0.006, 1}, "avg_latency": {0.2, 0.012, 1}, "cpu_usage": {0.7, 0.03, 1} /* a step that ends where it is felt */, "request_rate": {50, 2.6, -1},
	} {
		for _, size := range []float64{6, 8, 20} {
			t.Run(fmt.Sprintf("%s by %g deviations", metric, size), func(t *testing.T) {
				r := rand.New(rand.NewPCG(uint64(size), 7))
				l := New(Config{})
				mean, sign := level.mean, level.sign
				now := feed(l, start, node, metric, 360, noise(r, mean, level.sigma), nil)
				m, spread, _ := l.Normal(node, metric)
				flagged := 0
				to := m + sign*size*spread
				if to < 0 {
					to = 0
				}
				feed(l, now, node, metric, 330, noise(r, to, level.sigma), func(_ time.Time, a *Anomaly) {
					if a != nil && a.Q > 0 {
						flagged++
					}
				})
				if flagged < 320 {
					t.Errorf("flagged in %d of 330 ticks", flagged)
				}
			})
		}
	}
}

func TestAMemoryRampIsFlaggedOnTheWay(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	l := New(Config{})
	now := feed(l, start, node, "memory_usage", 360, noise(r, 0.30, 0.01), nil)
	var first float64
	flagged := 0
	feed(l, now, node, "memory_usage", 360, func(i int) float64 { return 0.30 + 0.69*float64(i)/360 + 0.01*r.NormFloat64() }, func(_ time.Time, a *Anomaly) {
		if a != nil {
			flagged++
			if first == 0 {
				first = a.Value
			}
		}
	})
	t.Logf("first flagged at %.0f %%, in %d of 360 ticks", 100*first, flagged)
	if first == 0 || first > 0.65 || flagged < 180 {
		t.Errorf("first flagged at %.2f, in %d of 360 ticks", first, flagged)
	}
}

func TestAShiftWithinTheNoiseIsAbsorbed(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	l := New(Config{})
	now := feed(l, start, node, "cpu_usage", 360, noise(r, 0.30, 0.03), nil)
	feed(l, now, node, "cpu_usage", 720, noise(r, 0.345, 0.03), nil)
	if mean, _, _ := l.Normal(node, "cpu_usage"); math.Abs(mean-0.345) > 0.015 {
		t.Errorf("after two hours at 34.5 %% the mean is %.3f", mean)
	}
}

func TestALevelBecomesNormalAfterAnHourWithoutAFault(t *testing.T) {
	l := New(Config{})
	now := feed(l, start, cart, "avg_latency", 61, func(int) float64 { return 0.1 }, nil)
	var ended time.Time
	shifted := now.Add(tick)
	feed(l, now, cart, "avg_latency", 400, func(i int) float64 { return 0.3 + 0.001*float64(i%5) }, func(at time.Time, a *Anomaly) {
		if a == nil && ended.IsZero() {
			ended = at
		}
	})
	if d := ended.Sub(shifted); d < time.Hour || d > time.Hour+time.Minute {
		t.Errorf("it ended after %s", d)
	}
	got := l.Rebased("prod")
	if len(got) != 1 || got[0].From != 0.1 || math.Abs(got[0].To-0.302) > 1e-9 || got[0].Since != shifted {
		t.Fatalf("got %+v", got)
	}
	if again := l.Rebased("prod"); again != nil {
		t.Errorf("told twice: %+v", again)
	}
	if want := "avg_latency has stayed at 0.302 for 1h0m0s without a fault: that is the new normal (it was 0.1)"; got[0].Text != want {
		t.Errorf("%q", got[0].Text)
	}
}

func TestAFaultKeepsALevelFromBecomingNormal(t *testing.T) {
	l := New(Config{})
	now := feed(l, start, cart, "avg_latency", 61, func(int) float64 { return 0.1 }, nil)
	for i := range 1200 {
		now = now.Add(tick)
		l.Observe(now, cart, "avg_latency", 0.3, 0)
		faulted := i < 720 // two hours of a fact, then 80 min without
		flagged := len(l.Anomalies("prod", now, func(entity.Ref) bool { return faulted })) == 1
		if want := i < 720+359; flagged != want && (i < 720+355 || i > 720+365) {
			t.Fatalf("flagged %v at tick %d", flagged, i)
		}
	}
}

func TestAQuietSeriesIsUnknown(t *testing.T) {
	l := New(Config{})
	now := feed(l, start, cart, "avg_latency", 61, func(int) float64 { return 0.1 }, nil)
	now = now.Add(tick)
	l.Observe(now, cart, "avg_latency", 0.9, 0)
	if n := len(l.Anomalies("prod", now.Add(90*time.Second), nil)); n != 1 {
		t.Errorf("after 90 s %d anomalies", n)
	}
	if n := len(l.Anomalies("prod", now.Add(91*time.Second), nil)); n != 0 {
		t.Errorf("after 91 s %d anomalies", n)
	}
}

func TestAGapCountsAsNeitherHealthyNorAnomalous(t *testing.T) {
	l := New(Config{})
	now := feed(l, start, cart, "avg_latency", 61, func(int) float64 { return 0.1 }, nil)
	now = feed(l, now, cart, "avg_latency", 100, func(int) float64 { return 0.3 }, nil)
	now = now.Add(50 * time.Minute) // together more than an hour, observed under 17 min
	feed(l, now, cart, "avg_latency", 6, func(int) float64 { return 0.3 }, func(_ time.Time, a *Anomaly) {
		if a == nil {
			t.Error("the gap made the level normal")
		}
	})
}

func TestALongGapStartsOver(t *testing.T) {
	l := New(Config{})
	now := feed(l, start, cart, "avg_latency", 61, func(int) float64 { return 0.1 }, nil)
	now = now.Add(2 * time.Hour)
	feed(l, now, cart, "avg_latency", 30, func(int) float64 { return 0.3 }, func(_ time.Time, a *Anomaly) {
		if a != nil {
			t.Errorf("judged by what was normal two hours before: %+v", a)
		}
	})
	if _, _, ok := l.Normal(cart, "avg_latency"); ok {
		t.Error("not warming up")
	}
}

func TestOneWildValueWhileWarmingUpChangesNothing(t *testing.T) {
	l := New(Config{})
	feed(l, start, cart, "avg_latency", 61, func(i int) float64 {
		if i == 20 {
			return 1e9
		}
		return 0.1
	}, nil)
	if mean, spread, ok := l.Normal(cart, "avg_latency"); !ok || mean != 0.1 || spread > 0.0051 {
		t.Errorf("μ %g, spread %g, %v", mean, spread, ok)
	}
}

func TestAbsoluteLimitsNeedNoBaseline(t *testing.T) {
	for name, tc := range map[string]struct {
		metric string
		value  float64
		q      float64
	}{
		"a disk just below 90 %":  {"disk_usage", 0.899, 0},
		"a disk at 90 %":          {"disk_usage", 0.90, 0.8 * math.Tanh(0.5)},
		"a disk at 95 %":          {"disk_usage", 0.95, 0.8 * math.Tanh(1.25)},
		"memory at 95 % of limit": {"memory_usage", 0.95, 0.8 * math.Tanh(0.5)},
		"memory at its limit":     {"memory_usage", 1, 0.8 * math.Tanh(2)},
	} {
		t.Run(name, func(t *testing.T) {
			l := New(Config{})
			l.Observe(start, node, tc.metric, tc.value, 0)
			l.Observe(start.Add(tick), node, tc.metric, tc.value, 0)
			var q float64
			for _, a := range l.Anomalies("prod", start.Add(tick), nil) {
				q = a.Q
				if a.Onset != start {
					t.Errorf("onset %s", a.Onset)
				}
			}
			if math.Abs(q-tc.q) > 1e-9 {
				t.Errorf("q = %g, want %g", q, tc.q)
			}
		})
	}
}

func TestSides(t *testing.T) {
	for name, tc := range map[string]struct {
		metric   string
		from, to float64
		listed   bool
		q        bool
	}{
		"a latency that rises hurts":              {"avg_latency", 0.1, 0.3, true, true},
		"a latency that falls does not":           {"avg_latency", 0.3, 0.1, false, false},
		"a rate that falls hurts":                 {"request_rate", 100, 40, true, true},
		"a rate that rises is context":            {"request_rate", 40, 100, true, false},
		"a pod that stops running hurts":          {"is_running", 1, 0, true, true},
		"a pod that never ran does not":           {"is_running", 0, 0, false, false},
		"one restart alone is below Warning":      {"restart_count", 7, 8, true, true},
		"an unknown count is context":             {"widgets_count", 10, 40, true, false},
		"a container that is not ready hurts":     {"not_ready_containers", 0, 1, true, true},
		"an unknown metric in seconds hurts":      {"queue_seconds", 0.1, 0.4, true, true},
		"an unknown ratio of errors hurts":        {"dns_error_ratio", 0, 0.4, true, true},
		"an error ratio that falls does not":      {"error_rate", 0.5, 0, false, false},
		"a level within three deviations is well": {"cpu_usage", 0.30, 0.36, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := New(Config{})
			now := feed(l, start, cart, tc.metric, 70, func(int) float64 { return tc.from }, nil)
			feed(l, now, cart, tc.metric, 1, func(int) float64 { return tc.to }, func(_ time.Time, a *Anomaly) {
				if (a != nil) != tc.listed || a != nil && (a.Q > 0) != tc.q {
					t.Errorf("got %+v", a)
				}
			})
		})
	}
}

func TestRestartsCountAsTheIncreaseOfTenMinutes(t *testing.T) {
	for name, tc := range map[string]struct {
		total    func(i int) float64
		ticks    int
		low, top float64
	}{
		"one restart":                     {func(int) float64 { return 8 }, 3, 0.14, 0.16},
		"three restarts":                  {func(int) float64 { return 10 }, 3, 0.88, 0.9},
		"three restarts, ten minutes ago": {func(int) float64 { return 10 }, 61, 0, 0},
		"a total that was reset":          {func(int) float64 { return 0 }, 3, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			pod := entity.Ref{Cluster: "prod", Kind: entity.Pod, Namespace: "shop", Name: "cart-1"}
			l := New(Config{})
			now := feed(l, start, pod, "restart_count", 70, func(int) float64 { return 7 }, nil)
			var q float64
			feed(l, now, pod, "restart_count", tc.ticks, tc.total, func(_ time.Time, a *Anomaly) {
				q = 0
				if a != nil {
					q = a.Q
				}
			})
			if q < tc.low || q > tc.top {
				t.Errorf("q = %g", q)
			}
		})
	}
}

func TestFewRequestsProveLittle(t *testing.T) {
	for name, tc := range map[string]struct {
		metric         string
		mean, value, n float64
		flagged        bool
	}{
		"one failure of one request":        {"error_rate", 0, 1, 1, false},
		"one failure of five":               {"error_rate", 0, 0.2, 5, false},
		"five failures of five":             {"error_rate", 0, 1, 5, true},
		"thirty of a hundred":               {"error_rate", 0.002, 0.3, 100, true},
		"one slow request alone":            {"avg_latency", 0.1, 0.2, 1, false},
		"a hundred requests twice as slow":  {"avg_latency", 0.1, 0.2, 100, true},
		"four requests where nine were due": {"request_rate", 9.0 / 10, 4.0 / 10, 4, false},
		"forty requests where 90 were due":  {"request_rate", 9, 4, 40, true},
	} {
		t.Run(name, func(t *testing.T) {
			l := New(Config{})
			now := feed(l, start, cart, tc.metric, 70, func(int) float64 { return tc.mean }, nil)
			l.Observe(now.Add(tick), cart, tc.metric, tc.value, tc.n)
			if got := len(l.Anomalies("prod", now.Add(tick), nil)) == 1; got != tc.flagged {
				t.Errorf("flagged %v", got)
			}
		})
	}
}

func TestOnsetIsFoundBack(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 50 {
		l := New(Config{})
		now := feed(l, start, node, "cpu_usage", 360, noise(r, 0.3, 0.02), nil)
		fault := now.Add(tick)
		var onset time.Time
		feed(l, now, node, "cpu_usage", 30, noise(r, 0.38, 0.02), func(_ time.Time, a *Anomaly) {
			if a != nil && onset.IsZero() {
				onset = a.Onset
			}
		})
		if d := onset.Sub(fault); d < -2*time.Minute || d > time.Minute {
			t.Errorf("onset is off by %s", d)
		}
	}
}

func TestWhatCannotBeIsDropped(t *testing.T) {
	l := New(Config{})
	now := feed(l, start, cart, "avg_latency", 61, func(int) float64 { return 0.1 }, nil)
	before, _ := l.Checkpoint("prod")
	for _, x := range []float64{math.NaN(), math.Inf(1), math.Inf(-1), -1, 1e18, math.MaxFloat64} {
		l.Observe(now.Add(tick), cart, "avg_latency", x, 10)
	}
	l.Observe(now, cart, "avg_latency", 5, 10)                       // a duplicate
	l.Observe(now.Add(-time.Minute), cart, "avg_latency", 5, 10)     // late
	l.Observe(now.Add(tick), entity.Ref{Cluster: "prod"}, "x", 5, 1) // nobody
	if after, _ := l.Checkpoint("prod"); !bytes.Equal(before, after) {
		t.Error("the state moved")
	}
	l.Observe(now.Add(tick), cart, "avg_latency", 0.1, math.NaN())
	if a := l.Anomalies("prod", now.Add(tick), nil); len(a) != 0 {
		t.Errorf("a count of NaN: %+v", a)
	}
}

func TestClustersDoNotMix(t *testing.T) {
	together, alone := New(Config{}), []*Learner{New(Config{}), New(Config{}), New(Config{})}
	r := rand.New(rand.NewPCG(8, 9))
	for i := range 500 {
		now := start.Add(time.Duration(i) * tick)
		for k, l := range alone {
			ref := cart
			ref.Cluster = fmt.Sprint("c", k)
			x := (0.1 + 0.01*r.NormFloat64()) * float64(1+k)
			if i > 400 && k == 1 {
				x *= 3
			}
			together.Observe(now, ref, "avg_latency", max(0, x), 50)
			l.Observe(now, ref, "avg_latency", max(0, x), 50)
		}
	}
	now := start.Add(499 * tick)
	for k, l := range alone {
		id := fmt.Sprint("c", k)
		want, _ := l.Checkpoint(id)
		got, _ := together.Checkpoint(id)
		if !bytes.Equal(want, got) {
			t.Errorf("%s learned something else in company", id)
		}
		if diff := cmp.Diff(l.Anomalies(id, now, nil), together.Anomalies(id, now, nil)); diff != "" {
			t.Error(diff)
		}
		if n := len(together.Anomalies(id, now, nil)); (n == 1) != (k == 1) {
			t.Errorf("%s has %d anomalies", id, n)
		}
	}
}

// TestAHealthyEntityIsQuiet follows ten metrics for 165 h with Gaussian noise: the median over a minute of their joint
// score, which is what the state machine reads, never stays above 0.2 for two minutes.
func TestAHealthyEntityIsQuiet(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 11))
	l := New(Config{})
	levels := map[string][2]float64{
		"error_rate": {0.01, 0.004}, "avg_latency": {0.12, 0.01}, "p95_latency": {0.4, 0.05}, "request_rate": {80, 6}, "cpu_usage": {0.4, 0.04},
		"memory_usage": {0.5, 0.02}, "disk_usage": {0.4, 0.002}, "psi_cpu": {0.1, 0.03}, "psi_memory": {0.02, 0.01}, "psi_io": {0.05, 0.03},
	}
	names := make([]string, 0, len(levels))
	for name := range levels {
		names = append(names, name)
	}
	hours := 165
	if testing.Short() {
		hours = 10
	}
	var window [6]float64
	above, worst, zero := 0, 0, 0
	for i := range hours * 360 {
		now := start.Add(time.Duration(i) * tick)
		for _, name := range names {
			lv := levels[name]
			l.Observe(now, node, name, max(0, lv[0]+lv[1]*r.NormFloat64()), 0)
		}
		healthy := 1.0
		for _, a := range l.Anomalies("prod", now, nil) {
			healthy *= 1 - a.Q
		}
		if healthy == 1 {
			zero++
		}
		window[i%6] = 1 - healthy
		sorted := window
		if m := median(sorted[:]); m > 0.2 {
			above++
			worst = max(worst, above)
		} else {
			above = 0
		}
	}
	t.Logf("exactly 0 in %.2f %% of ticks, longest median above 0.2: %d ticks", 100*float64(zero)/float64(hours*360), worst)
	if worst >= 12 {
		t.Errorf("a false Warning: above 0.2 for %d ticks", worst)
	}
}

func TestForgetAndMetrics(t *testing.T) {
	l := New(Config{})
	feed(l, start, cart, "avg_latency", 61, func(int) float64 { return 0.1 }, nil)
	feed(l, start, cart, "request_rate", 61, func(int) float64 { return 9 }, nil)
	feed(l, start, node, "cpu_usage", 61, func(int) float64 { return 0.1 }, nil)
	if diff := cmp.Diff([]string{"avg_latency", "request_rate"}, l.Metrics(cart)); diff != "" {
		t.Error(diff)
	}
	l.Forget(cart)
	if _, _, ok := l.Normal(cart, "avg_latency"); ok || l.Metrics(cart) != nil {
		t.Error("cart is still known")
	}
	if _, _, ok := l.Normal(node, "cpu_usage"); !ok {
		t.Error("the node went with it")
	}
	feed(l, start, cart, "avg_latency", 61, func(int) float64 { return 0.7 }, nil) // in the slots that became free
	if mean, _, ok := l.Normal(cart, "avg_latency"); !ok || mean != 0.7 {
		t.Errorf("learned %g, %v", mean, ok)
	}
	l.Anomalies("prod", start.Add(48*time.Hour), nil)
	if l.Metrics(node) != nil {
		t.Error("what is silent for two days is kept")
	}
}

func TestZIsFiniteAndQWithinItsWeight(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := New(Config{WarmUp: time.Minute, WarmUpSamples: 5})
		metric := rapid.SampledFrom([]string{"error_rate", "avg_latency", "p95_latency", "request_rate", "memory_usage", "restart_count", "is_running", "odd"}).Draw(t, "metric")
		now := start
		for range rapid.IntRange(1, 120).Draw(t, "n") {
			now = now.Add(time.Duration(rapid.IntRange(-20, 200).Draw(t, "step")) * time.Second)
			l.Observe(now, cart, metric, rapid.Float64().Draw(t, "x"), rapid.Float64().Draw(t, "count"))
			for _, a := range l.Anomalies("prod", now, nil) {
				if math.IsNaN(a.Z) || math.IsInf(a.Z, 0) || !(a.Q >= 0 && a.Q <= a.Weight) || math.Abs(a.Z) <= 3 || !(a.Spread >= 0) || a.Onset.After(now) && a.At.Before(a.Onset) {
					t.Fatalf("%+v", a)
				}
			}
		}
	})
}

func TestQGrowsWithTheDeviation(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w, z := rapid.Float64Range(0, 1).Draw(t, "w"), rapid.Float64Range(0, 1e6).Draw(t, "z")
		if a, b := Q(w, z), Q(w, z*1.5); a > b || b > w || z <= 3 && a != 0 {
			t.Fatalf("q(%g) = %g, q(%g) = %g", z, a, z*1.5, b)
		}
	})
}

func TestNoAllocationInSteadyState(t *testing.T) {
	l := New(Config{})
	r := rand.New(rand.NewPCG(1, 1))
	now := feed(l, start, cart, "avg_latency", 100, noise(r, 0.1, 0.001), nil)
	if n := testing.AllocsPerRun(1000, func() {
		now = now.Add(tick)
		l.Observe(now, cart, "avg_latency", 0.1+0.001*r.NormFloat64(), 100)
	}); n != 0 {
		t.Errorf("%g allocations a sample", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	l, refs := New(Config{}), make([]entity.Ref, 5000)
	names := []string{"error_rate", "avg_latency", "p95_latency", "request_rate"}
	for i := range refs {
		refs[i] = entity.Ref{Cluster: "prod", Kind: entity.Service, Namespace: "shop", Name: fmt.Sprint("service-", i)}
	}
	now := start
	round := func() {
		now = now.Add(tick)
		for _, ref := range refs {
			for _, name := range names {
				l.Observe(now, ref, name, 0.1, 100)
			}
		}
	}
	for range 70 {
		round()
	}
	b.ReportAllocs()
	for b.Loop() {
		round()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(refs)*len(names)), "ns/sample")
}

// BenchmarkUpdate is the update alone, over the flat arrays.
func BenchmarkUpdate(b *testing.B) {
	c := newCluster(&New(Config{}).cfg)
	for i := range 5000 {
		ref := entity.Ref{Cluster: "prod", Kind: entity.Service, Namespace: "shop", Name: fmt.Sprint("service-", i)}
		for _, name := range []string{"error_rate", "avg_latency", "p95_latency", "request_rate"} {
			c.intern(ref, name)
		}
	}
	now := start.UnixNano()
	round := func() {
		now += int64(tick)
		for i := range c.series {
			c.observe(int32(i), now, 0.1, 0)
		}
	}
	for range 70 {
		round()
	}
	b.ReportAllocs()
	for b.Loop() {
		round()
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*len(c.series)), "ns/sample")
}

func BenchmarkAnomalies(b *testing.B) {
	l := New(Config{})
	for i := range 20000 {
		ref := entity.Ref{Cluster: "prod", Kind: entity.Pod, Namespace: "shop", Name: fmt.Sprint("pod-", i)}
		feed(l, start, ref, "cpu_usage", 61, func(int) float64 { return 0.1 }, nil)
	}
	for b.Loop() {
		l.Anomalies("prod", start.Add(61*tick), nil)
	}
}
