package baseline

import (
	"bytes"
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// TestAFrameIsLearnedAsItsSamplesAre compares Learn, which guesses what comes next, with Observe, which looks it up, in whatever
// order and with whatever gaps and nonsense the samples come.
func TestAFrameIsLearnedAsItsSamplesAre(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := New(Config{}), New(Config{})
		now := start
		for range rapid.IntRange(1, 80).Draw(t, "frames") {
			now = now.Add(tick)
			var frame []*report.Sample
			for range rapid.IntRange(0, 8).Draw(t, "samples") {
				frame = append(frame, &report.Sample{
					Entity: &report.EntityRef{Kind: entity.Service, Namespace: "shop", Name: fmt.Sprint("s", rapid.IntRange(0, 3).Draw(t, "entity"))},
					Metric: rapid.SampledFrom([]string{"avg_latency", "error_rate", "restart_count", ""}).Draw(t, "metric"),
					Value:  rapid.SampledFrom([]float64{0, 0.1, 0.11, 5, -1, 1e18, math.NaN(), math.Inf(1)}).Draw(t, "value"),
				})
			}
			a.Learn(now, "prod", frame)
			for _, s := range frame {
				b.Observe(now, entity.Ref{Cluster: "prod", Kind: s.GetEntity().GetKind(), Namespace: s.GetEntity().GetNamespace(), Name: s.GetEntity().GetName()}, s.GetMetric(), s.GetValue(), 0)
			}
			if rapid.IntRange(0, 20).Draw(t, "forget") == 0 {
				gone := entity.Ref{Cluster: "prod", Kind: entity.Service, Namespace: "shop", Name: "s1"}
				a.Forget(gone)
				b.Forget(gone)
			}
		}
		x, errA := a.Checkpoint("prod")
		y, errB := b.Checkpoint("prod")
		if errA != nil || errB != nil || !bytes.Equal(x, y) {
			t.Fatal("the two have learned differently")
		}
		for _, an := range a.Over("prod", start, now) {
			if math.IsNaN(an.Z) || math.IsInf(an.Z, 0) || an.Q > an.Weight || an.Excess < 0 {
				t.Fatalf("%+v", an)
			}
		}
	})
}

func TestWhatCameAndWentIsStillBlamed(t *testing.T) {
	l := New(Config{})
	now := feed(l, start, cart, "avg_latency", 90, func(i int) float64 { return 0.1 + 0.002*float64(i%3) }, nil)
	fault := now
	now = feed(l, now, cart, "avg_latency", 6, func(int) float64 { return 0.4 }, nil)
	now = feed(l, now, cart, "avg_latency", 12, func(int) float64 { return 0.1 }, nil)
	if a := l.Anomalies("prod", now, nil); len(a) > 0 {
		t.Fatalf("it is over, and %+v", a)
	}
	got := l.Over("prod", fault, now)
	if len(got) != 1 || got[0].Z < 10 || math.Abs(got[0].Value-0.4) > 1e-6 || got[0].Excess <= 0 || got[0].Onset != fault.Add(tick) {
		t.Errorf("over the course: %+v", got)
	}
}

func TestAHistoryThatEndsIsTrustedAndItsLevelIsNot(t *testing.T) {
	l := New(Config{})
	now := feed(l, start, cart, "avg_latency", 8, func(i int) float64 { return 0.2 + 0.004*float64(i%3) }, nil)
	if _, _, ok := l.Normal(cart, "avg_latency"); ok {
		t.Fatal("eight samples are a baseline")
	}
	l.Begin("prod", now.Add(tick))
	if _, _, ok := l.Normal(cart, "avg_latency"); !ok {
		t.Fatal("eight samples of a fault-free history are none")
	}
	fault := feed(l, now, cart, "avg_latency", 3, func(int) float64 { return 0.1 }, nil) // it has drifted since
	now = feed(l, fault, cart, "avg_latency", 3, func(int) float64 { return 0.19 }, nil)
	got := l.Over("prod", fault.Add(time.Second), now)
	if len(got) != 1 || math.Abs(got[0].Mean-0.1) > 1e-6 {
		t.Errorf("what is usual on another day hides a doubling: %+v", got)
	}
}

func TestTheTailOfANoisySeriesIsLearned(t *testing.T) {
	l := New(Config{})
	worst := func(hours int, now time.Time) (time.Time, float64) {
		z := 0.0
		now = feed(l, now, cart, "avg_latency", hours*360, func(i int) float64 {
			x := 0.1 + 0.001*float64(i%5)
			if i%240 >= 230 { // every forty minutes it jumps for a minute and a half, and nothing is wrong
				x *= 1.6
			}
			return x
		}, func(_ time.Time, a *Anomaly) {
			if a != nil {
				z = max(z, a.Z)
			}
		})
		return now, z
	}
	now, first := worst(2, start)
	now, _ = worst(6, now)
	_, later := worst(2, now)
	if first < 6 || later > first/2 {
		t.Errorf("the jumps are %.1f deviations at first and %.1f after a night of them", first, later)
	}
}
