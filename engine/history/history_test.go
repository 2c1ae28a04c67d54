package history_test

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/history"
)

var (
	noon     = time.Date(2026, 3, 11, 12, 0, 0, 0, time.UTC)
	checkout = entity.Ref{Cluster: "prod", Kind: entity.Service, Namespace: "shop", Name: "checkout"}
	pod      = entity.Ref{Cluster: "prod", Kind: entity.Pod, Namespace: "shop", Name: "checkout-1"}
)

func TestAMinuteIsTheMeanOfItsSamplesByTheirRequests(t *testing.T) {
	r := history.New(history.Config{})
	r.Observe(noon, checkout, "error_rate", 0.1, 300)
	r.Observe(noon.Add(10*time.Second), checkout, "error_rate", 0.5, 100)
	r.Observe(noon.Add(70*time.Second), checkout, "error_rate", 1, 0)
	r.Observe(noon.Add(80*time.Second), checkout, "error_rate", 0, 0)
	want := []history.Point{{At: noon, Value: 0.2}, {At: noon.Add(time.Minute), Value: 0.5}}
	got := r.Minutes(checkout, "error_rate", noon, noon.Add(time.Hour))
	if diff := cmp.Diff(want, round(got)); diff != "" {
		t.Error(diff)
	}
	r.Minute(noon, checkout, "error_rate", 0.25)                  // the whole minute knows better
	r.Minute(noon.Add(time.Minute), checkout, "error_rate", 0.75) // also of the newest one
	r.Observe(noon.Add(90*time.Second), checkout, "error_rate", 0, 0)
	want[0].Value, want[1].Value = 0.25, 0.75
	if diff := cmp.Diff(want, round(r.Minutes(checkout, "error_rate", noon, noon.Add(time.Hour)))); diff != "" {
		t.Error(diff)
	}
}

func round(ps []history.Point) []history.Point {
	for i := range ps {
		ps[i].Value = math.Round(ps[i].Value*1e6) / 1e6
	}
	return ps
}

func TestWhatWasNotMeasuredIsNotThere(t *testing.T) {
	r := history.New(history.Config{})
	r.Observe(noon, checkout, "avg_latency", 1, 0)
	r.Observe(noon.Add(5*time.Minute), checkout, "avg_latency", 2, 0)
	r.Observe(noon, checkout, "avg_latency", math.NaN(), 0)
	if got := r.Minutes(checkout, "avg_latency", noon, noon.Add(time.Hour)); len(got) != 2 {
		t.Errorf("there are %v", got)
	}
	if _, ok := r.Ago(checkout, "avg_latency", noon.Add(40*time.Minute), 20*time.Minute); ok {
		t.Error("twenty minutes ago nothing was measured")
	}
	if got := r.Minutes(checkout, "error_rate", noon, noon.Add(time.Hour)); got != nil {
		t.Errorf("a metric that nobody gave: %v", got)
	}
}

// fill gives a metric the value of f in every minute of a time.
func fill(r *history.Recorder, ref entity.Ref, from, to time.Time, f func(time.Time) float64) {
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		r.Observe(at, ref, "cpu_usage", f(at), 0)
	}
}

func TestAnHourAgoAndAWeekOfHours(t *testing.T) {
	r := history.New(history.Config{})
	hourly := func(at time.Time) float64 { return float64(at.Unix()/3600%1000) + float64(at.Minute())/100 }
	fill(r, checkout, noon.Add(-10*24*time.Hour), noon, hourly)
	got := r.Hours(checkout, "cpu_usage", noon.Add(-30*24*time.Hour), noon)
	if len(got) != 7*24 {
		t.Errorf("%d hours are remembered", len(got))
	}
	for _, p := range got {
		if want := float64(p.At.Unix()/3600%1000) + 0.295; math.Abs(p.Value-want) > 1e-3 {
			t.Fatalf("the median of %s is %g, want %g", p.At, p.Value, want)
		}
	}
	if v, ok := r.Ago(checkout, "cpu_usage", noon, time.Hour); !ok || math.Abs(v-hourly(noon.Add(-58*time.Minute))) > 0.03 {
		t.Errorf("an hour ago it was %g", v)
	}
	if v, ok := r.Ago(checkout, "cpu_usage", noon, 26*time.Hour); !ok || math.Abs(v-math.Floor(hourly(noon.Add(-26*time.Hour)))-0.295) > 1e-3 {
		t.Errorf("26 hours ago it was %g", v)
	}
	fill(r, pod, noon.Add(-3*time.Hour), noon, hourly)
	if got := r.Hours(pod, "cpu_usage", noon.Add(-3*time.Hour), noon); got != nil {
		t.Errorf("a pod has a week: %v", got)
	}
}

func TestALevelIsUsualAfterThreeDays(t *testing.T) {
	r := history.New(history.Config{})
	nightly := func(at time.Time) float64 {
		if at.Hour() == 12 {
			return 0.9
		}
		return 0.2
	}
	for days := 1; days <= 4; days++ {
		fill(r, checkout, noon.AddDate(0, 0, days-1), noon.AddDate(0, 0, days), nightly)
		v, ok := r.Usual(checkout, "cpu_usage", noon.AddDate(0, 0, days))
		if ok != (days >= 3) || ok && math.Abs(v-0.9) > 1e-6 {
			t.Errorf("after %d days it is %g, %v", days, v, ok)
		}
	}
}

func TestMemoryIsBounded(t *testing.T) {
	r := history.New(history.Config{MaxSeries: 10})
	for i := range 30 {
		ref := pod
		ref.Name = fmt.Sprint("p", i)
		r.Observe(noon, ref, "cpu_usage", 1, 0)
	}
	if n := known(r, 30); n != 10 {
		t.Errorf("%d series are kept", n)
	}
	r.Expire(noon.Add(3*time.Hour), "prod")
	if n := known(r, 30); n != 0 {
		t.Errorf("%d series of dead pods are kept", n)
	}
	r.Observe(noon.Add(3*time.Hour), checkout, "cpu_usage", 1, 0)
	if n := len(r.Minutes(checkout, "cpu_usage", noon, noon.Add(4*time.Hour))); n != 1 {
		t.Errorf("in a place that was free again %d minutes are known", n)
	}
}

func known(r *history.Recorder, n int) (out int) {
	for i := range n {
		ref := pod
		ref.Name = fmt.Sprint("p", i)
		out += len(r.Metrics(ref))
	}
	return out
}

// TestTheRingIsASlice compares the recorder with a plain list of minutes.
func TestTheRingIsASlice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r := history.New(history.Config{})
		want := map[int64]float64{}
		newest := int64(-1)
		for range rapid.IntRange(1, 200).Draw(t, "samples") {
			m := max(0, newest+rapid.Int64Range(-70, 20).Draw(t, "step"))
			v := float64(rapid.IntRange(0, 1000).Draw(t, "value"))
			r.Minute(noon.Add(time.Duration(m)*time.Minute), checkout, "x", v)
			if _, twice := want[m]; m == newest && twice {
				continue // the newest minute that was given as a whole stays
			}
			if m > newest-60 {
				want[m] = v
			}
			newest = max(newest, m)
		}
		got := map[int64]float64{}
		for _, p := range r.Minutes(checkout, "x", noon, noon.Add(1000*time.Hour)) {
			got[int64(p.At.Sub(noon)/time.Minute)] = p.Value
		}
		for m := range want {
			if m <= newest-60 {
				delete(want, m)
			}
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Fatal(diff)
		}
		again := history.New(history.Config{})
		if err := again.Restore("prod", r.Checkpoint("prod")); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(r.Minutes(checkout, "x", noon, noon.Add(1000*time.Hour)), again.Minutes(checkout, "x", noon, noon.Add(1000*time.Hour))); diff != "" {
			t.Fatal(diff)
		}
	})
}

func TestARestartRemembersTheWeek(t *testing.T) {
	r := history.New(history.Config{})
	fill(r, checkout, noon.Add(-50*time.Hour), noon, func(at time.Time) float64 { return float64(at.Hour()) })
	again := history.New(history.Config{})
	raw := r.Checkpoint("prod")
	if err := again.Restore("prod", raw); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(r.Hours(checkout, "cpu_usage", noon.Add(-99*time.Hour), noon), again.Hours(checkout, "cpu_usage", noon.Add(-99*time.Hour), noon)); diff != "" {
		t.Error(diff)
	}
	fill(again, checkout, noon, noon.Add(61*time.Minute), func(time.Time) float64 { return 5 })
	if v, ok := again.Ago(checkout, "cpu_usage", noon.Add(3*time.Hour), 3*time.Hour); !ok || v != 5 {
		t.Errorf("what came after the restart is %g, %v", v, ok)
	}
	if err := again.Restore("prod", raw[:len(raw)/2]); err == nil {
		t.Error("half a checkpoint is taken")
	}
}

func FuzzRestore(f *testing.F) {
	r := history.New(history.Config{})
	fill(r, checkout, noon.Add(-3*time.Hour), noon, func(at time.Time) float64 { return float64(at.Minute()) })
	raw := r.Checkpoint("prod")
	f.Add(raw[:len(raw)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		r := history.New(history.Config{})
		sealed := binary.LittleEndian.AppendUint32(append([]byte{}, body...), crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
		if r.Restore("prod", sealed) != nil {
			return
		}
		r.Observe(noon, checkout, "cpu_usage", 1, 0)
		r.Expire(noon, "prod")
		if err := r.Restore("prod", r.Checkpoint("prod")); err != nil {
			t.Errorf("what was read cannot be written and read: %v", err)
		}
	})
}

// BenchmarkObserve is one sample; 200 nodes, 5,000 pods and 500 services are 35,000 of them a tick.
func BenchmarkObserve(b *testing.B) {
	r := history.New(history.Config{})
	var refs []entity.Ref
	for i := range 5000 {
		ref := pod
		ref.Name = fmt.Sprint("p", i)
		refs = append(refs, ref)
	}
	b.ReportAllocs()
	metrics := []string{"cpu_usage", "memory_usage", "cpu_throttled", "restart_count", "is_running", "not_ready_containers"}
	for n := 0; b.Loop(); n++ {
		r.Observe(noon.Add(time.Duration(n/30000)*10*time.Second), refs[n/6%5000], metrics[n%6], 0.5, 0)
	}
}
