package slo_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/slo"
)

var (
	noon     = time.Date(2026, 3, 11, 12, 0, 0, 0, time.UTC)
	checkout = entity.Ref{Cluster: "prod", Kind: entity.Service, Namespace: "shop", Name: "checkout"}
)

// memory is a store for tests of what is not storage's.
type memory struct {
	objectives []slo.Objective
	rollups    map[string]slo.Rollup
}

func (m *memory) Objectives(context.Context) ([]slo.Objective, error) { return m.objectives, nil }

func (m *memory) PutObjective(_ context.Context, o slo.Objective) error {
	m.objectives = append(slices.DeleteFunc(m.objectives, func(x slo.Objective) bool { return x.Key() == o.Key() }), o)
	return nil
}

func (m *memory) DeleteObjective(_ context.Context, k slo.Key) (bool, error) {
	n := len(m.objectives)
	m.objectives = slices.DeleteFunc(m.objectives, func(x slo.Objective) bool { return x.Key() == k })
	return len(m.objectives) < n, nil
}

func (m *memory) PutRollups(_ context.Context, cluster string, rs []slo.Rollup) error {
	for _, r := range rs {
		m.rollups[fmt.Sprint(cluster, r.Entity, r.Layer, r.Route, r.Span, r.Start.Unix())] = r
	}
	return nil
}

func (m *memory) Rollups(_ context.Context, cluster string, span time.Duration, since time.Time) ([]slo.Rollup, error) {
	var out []slo.Rollup
	for _, r := range m.rollups {
		if r.Entity.Cluster == cluster && r.Span == span && !r.Start.Before(since) {
			out = append(out, r)
		}
	}
	return out, nil
}

func newTracker(t testing.TB, file ...slo.Objective) (*slo.Tracker, *memory) {
	t.Helper()
	m := &memory{rollups: map[string]slo.Rollup{}}
	tr, err := slo.New(t.Context(), slo.Config{Store: m, File: file})
	if err != nil {
		t.Fatal(err)
	}
	return tr, m
}

func available(target float64) slo.Objective {
	return slo.Objective{Entity: checkout, Layer: slo.Mesh, Kind: slo.Availability, Target: target, Window: slo.DefaultWindow}
}

func set(t testing.TB, tr *slo.Tracker, o slo.Objective) slo.Objective {
	t.Helper()
	o, err := tr.Set(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func count(total, errors float64) *report.RequestCount {
	return &report.RequestCount{Entity: &report.EntityRef{Kind: checkout.Kind, Namespace: checkout.Namespace, Name: checkout.Name}, Layer: slo.Mesh, Total: total, Errors: errors}
}

// feed counts every minute of a time alike.
func feed(tr *slo.Tracker, from, to time.Time, c *report.RequestCount) {
	for at := from; at.Before(to); at = at.Add(time.Minute) {
		tr.Count("prod", at, time.Minute, []*report.RequestCount{c})
	}
}

func near(t testing.TB, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6*max(1, math.Abs(want)) {
		t.Errorf("%s is %g, want %g", what, got, want)
	}
}

func TestABudgetIsSpentAsTheWorkedExampleSays(t *testing.T) {
	tr, _ := newTracker(t)
	o := set(t, tr, available(0.999))
	// 600 requests a minute for 30 days are 25,920,000, of which 25,920 may be bad; 1,240 are 4.78 % of that.
	for d := range 30 {
		day := noon.Truncate(24*time.Hour).AddDate(0, 0, d-29)
		c := count(600*1440, 0)
		if d == 29 {
			c.Errors = 1240
		}
		c.Start, c.Span = timestamppb.New(day), durationpb.New(24*time.Hour)
		tr.Backfill("prod", []*report.RequestCount{c})
	}
	s := tr.Status(noon, o)
	near(t, "total", s.Budget.Counts.Total, 25_920_000)
	near(t, "allowed", s.Budget.Allowed, 25_920)
	near(t, "spent", s.Budget.Spent, 1240.0/25_920)
	near(t, "left", s.Budget.Left(), 1-1240.0/25_920)
	near(t, "coverage", s.Budget.Counts.Coverage(), 1)
	if sli, ok := s.SLI(); !ok || math.Abs(sli-(1-1240.0/25_920_000)) > 1e-12 {
		t.Errorf("the share of good requests is %g", sli)
	}
}

func TestABadMinuteWeighsOnTheFirstDayWhatItWeighsOnTheLast(t *testing.T) {
	tr, _ := newTracker(t)
	o := set(t, tr, available(0.999))
	feed(tr, noon.Add(-2*time.Hour), noon, count(600, 0))
	feed(tr, noon, noon.Add(time.Minute), count(600, 600))
	s := tr.Status(noon.Add(time.Minute), o)
	// 600 of 25,920 bad requests that a whole window allows at this rate.
	near(t, "spent", s.Budget.Spent, 600.0/25_920)
	if known := s.Budget.Counts.Known; known != 121*time.Minute {
		t.Errorf("%s are known of the window", known)
	}
}

func TestBurnRatesAreFractionsOfTheBudget(t *testing.T) {
	tr, _ := newTracker(t)
	o := set(t, tr, available(0.999))
	feed(tr, noon.Add(-6*time.Hour), noon.Add(-5*time.Minute), count(1000, 1)) // exactly at the budget's pace
	feed(tr, noon.Add(-5*time.Minute), noon, count(1000, 22))
	s := tr.Status(noon, o)
	want := map[time.Duration]float64{
		5 * time.Minute:    22,
		30 * time.Minute:   (5*22.0 + 25) / 30,
		time.Hour:          (5*22.0 + 55) / 60,
		6 * time.Hour:      (5*22.0 + 355) / 360,
		3 * 24 * time.Hour: (5*22.0 + 355) / 360, // nothing more is known
	}
	for _, b := range s.Burns {
		near(t, "burn over "+b.Window.String(), b.Rate, want[b.Window])
	}
	if len(s.Burns) != len(want) {
		t.Errorf("%d windows", len(s.Burns))
	}
}

func TestTheWorkbooksTiersFireAtTheirRatesAndNotBelow(t *testing.T) {
	for name, c := range map[string]struct {
		share float64
		lasts time.Duration
		want  float64 // rate of the tier that burns, 0 for none
	}{
		"just below the slowest": {0.00099, 4 * 24 * time.Hour, 0},
		"the slowest":            {0.0011, 4 * 24 * time.Hour, 1},
		"the middle":             {0.0061, 7 * time.Hour, 6},
		"the fastest":            {0.0145, 70 * time.Minute, 14.4},
		"fast but short":         {0.0145, 20 * time.Minute, 0},
		"an outage":              {1, 6 * time.Minute, 14.4},
	} {
		t.Run(name, func(t *testing.T) {
			tr, _ := newTracker(t)
			o := set(t, tr, available(0.999))
			feed(tr, noon.Add(-4*24*time.Hour), noon.Add(-c.lasts), count(10_000, 0))
			feed(tr, noon.Add(-c.lasts), noon, count(10_000, 10_000*c.share))
			rate := 0.0
			if a := tr.Status(noon, o).Alert; a != nil {
				rate = a.Rate
			}
			near(t, "the alert's rate", rate, c.want)
			if burning := tr.Burning(noon, "prod")[checkout]; burning != (c.want > 1) {
				t.Errorf("its level may become normal: %v", !burning)
			}
		})
	}
}

func TestFiveBadRequestsAreTheLeastThatAlerts(t *testing.T) {
	for bad, want := range map[float64]bool{4: false, 5: true} {
		tr, _ := newTracker(t)
		set(t, tr, available(0.999))
		feed(tr, noon.Add(-time.Hour), noon.Add(-5*time.Minute), count(1, 0))
		for i := range 5 {
			e := 1.0
			if float64(i) >= bad {
				e = 0
			}
			tr.Count("prod", noon.Add(time.Duration(i-5)*time.Minute), time.Minute, []*report.RequestCount{count(1, e)})
		}
		if got := len(tr.Facts(noon, "prod")) == 1; got != want {
			t.Errorf("%g bad requests: a fact is %v", bad, got)
		}
	}
}

func TestABurnIsAFactUntilItsShortWindowIsBelow(t *testing.T) {
	tr, _ := newTracker(t)
	set(t, tr, available(0.99))
	feed(tr, noon.Add(-3*time.Hour), noon, count(800, 1))
	if f := tr.Facts(noon, "prod"); f != nil {
		t.Fatalf("a healthy service burns: %+v", f)
	}
	now, fired, ended := noon, time.Time{}, time.Time{}
	for range 60 { // thirty minutes of 31 % failures, and thirty after
		c := count(804, 248)
		if now.Sub(noon) >= 30*time.Minute {
			c = count(804, 1)
		}
		tr.Count("prod", now, time.Minute, []*report.RequestCount{c})
		now = now.Add(time.Minute)
		f := tr.Facts(now, "prod")
		switch {
		case len(f) == 1 && fired.IsZero():
			fired = now
			if f[0].Kind != slo.FastBurn || f[0].Score != 0.95 || f[0].Entity != checkout {
				t.Errorf("the fact is %+v", f[0])
			}
		case len(f) == 1 && f[0].Kind != slo.FastBurn:
			t.Errorf("at %s a slow burn is told beside the fast one: %s", now, f[0].Text)
		case len(f) == 0 && !fired.IsZero() && ended.IsZero():
			ended = now
		}
	}
	// 14.4 over an hour is 0.144 · 60 · 804 = 6,947 bad requests, 28 minutes of 248.
	if got := fired.Sub(noon); got != 28*time.Minute {
		t.Errorf("it fired after %s", got)
	}
	// Five minutes hold 0.144 · 5 · 804 = 579 bad requests while three of them are bad (744), and not with two (496).
	if got := ended.Sub(noon); got != 33*time.Minute {
		t.Errorf("it ended %s after the start", got)
	}
}

func TestTheFactSaysWhatItCosts(t *testing.T) {
	tr, _ := newTracker(t)
	set(t, tr, available(0.999))
	feed(tr, noon.Add(-24*time.Hour), noon.Add(-5*time.Minute), count(804, 0))
	feed(tr, noon.Add(-5*time.Minute), noon, count(804, 248))
	f := tr.Facts(noon, "prod")
	if len(f) != 1 {
		t.Fatalf("facts: %+v", f)
	}
	want := "budget burning 308× over 5 min: 31 % of requests fail (1,240 of 4,020; the objective allows 0.1 %)"
	if f[0].Text != want {
		t.Errorf("said\n%s, want\n%s", f[0].Text, want)
	}
	if since := f[0].Since; !since.Equal(noon.Add(-5 * time.Minute)) {
		t.Errorf("since %s", since)
	}
	if got, want := tr.Toll(noon, noon.Add(-10*time.Minute), []entity.Ref{checkout}), "budget burning 308×, 3.6 % of checkout's 30 d budget spent"; got != want {
		t.Errorf("the toll is %q, want %q", got, want)
	}
}

func TestASlowBurnIsToldWhenNoFastOneCameBefore(t *testing.T) {
	tr, _ := newTracker(t)
	set(t, tr, available(0.999))
	feed(tr, noon.Add(-3*24*time.Hour), noon.Add(-7*time.Hour), count(1000, 0))
	feed(tr, noon.Add(-7*time.Hour), noon, count(1000, 8))
	f := tr.Facts(noon, "prod")
	if len(f) != 1 || f[0].Kind != slo.SlowBurn || f[0].Score != 0.80 || !strings.HasPrefix(f[0].Text, "budget burning 8× over 30 min: 0.8 % of requests fail (240 of 30,000") {
		t.Fatalf("facts: %+v", f)
	}
	feed(tr, noon, noon.Add(6*time.Minute), count(1000, 0))
	if f := tr.Facts(noon.Add(6*time.Minute), "prod"); f != nil {
		t.Errorf("it is over and told on: %s", f[0].Text)
	}
}

func TestUnknownMinutesAreNeitherGoodNorBad(t *testing.T) {
	tr, _ := newTracker(t)
	o := set(t, tr, available(0.999))
	feed(tr, noon.Add(-time.Hour), noon.Add(-30*time.Minute), count(100, 0))
	// Half an hour nobody counted, then ten minutes of errors.
	feed(tr, noon.Add(-3*time.Minute), noon, count(100, 10))
	s := tr.Status(noon, o)
	b := s.Burns[2] // one hour
	near(t, "burn over the known 33 minutes", b.Rate, 30.0/3300/0.001)
	if b.Counts.Known != 33*time.Minute || math.Abs(b.Counts.Coverage()-0.55) > 1e-9 {
		t.Errorf("%s known of an hour", b.Counts.Known)
	}
	later := noon.Add(20 * time.Minute)
	if b := tr.Status(later, o).Burns[0]; b.Known() {
		t.Errorf("20 minutes after the last count five minutes are known: %+v", b)
	}
}

func TestABurnIsHeldWhileNothingIsCounted(t *testing.T) {
	tr, _ := newTracker(t)
	set(t, tr, available(0.999))
	feed(tr, noon.Add(-time.Hour), noon, count(100, 50))
	if len(tr.Facts(noon, "prod")) != 1 {
		t.Fatal("it does not burn")
	}
	if f := tr.Facts(noon.Add(20*time.Minute), "prod"); len(f) != 1 || !f[0].Seen.Equal(noon) {
		t.Errorf("blind for 20 minutes: %+v", f)
	}
	if f := tr.Facts(noon.Add(31*time.Minute), "prod"); f != nil {
		t.Errorf("blind for 31 minutes it is held: %+v", f)
	}
}

func latencies(buckets ...float64) *report.RequestCount {
	c := count(0, 0)
	c.Bounds, c.Buckets = []float64{0.1, 0.3, 1.2}, buckets
	for _, b := range buckets {
		c.Total += b
	}
	return c
}

func TestLatencyIsMeasuredAtTheNearestBucketBound(t *testing.T) {
	tr, _ := newTracker(t)
	o := available(0.99)
	o.Kind, o.Threshold = slo.Latency, 250*time.Millisecond
	o = set(t, tr, o)
	feed(tr, noon.Add(-2*time.Hour), noon, latencies(900, 50, 40, 10))
	s := tr.Status(noon, o)
	if s.MeasuredAt != 300*time.Millisecond {
		t.Errorf("measured at %s", s.MeasuredAt)
	}
	near(t, "burn", s.Burns[0].Rate, 0.05/0.01)
	if q, open, ok := s.Latency.Quantile(0.5); !ok || open || math.Abs(q-0.1*500/900) > 1e-9 {
		t.Errorf("the median is %g", q)
	}
	if q, open, ok := s.Latency.Quantile(0.95); !ok || open || math.Abs(q-0.3) > 1e-9 {
		t.Errorf("p95 is %g", q)
	}
	if q, open, _ := s.Latency.Quantile(0.999); !open || q != 1.2 {
		t.Errorf("p99.9 is %g, open %v", q, open)
	}
	if f := tr.Facts(noon, "prod"); f != nil {
		t.Errorf("at 5 it is a fact: %+v", f)
	}
	feed(tr, noon, noon.Add(time.Hour), latencies(500, 50, 300, 150))
	f := tr.Facts(noon.Add(time.Hour), "prod")
	if len(f) != 1 || !strings.Contains(f[0].Text, "45 % of requests take longer than 300 ms (2,250 of 5,000; the objective allows 1 %)") {
		t.Errorf("facts: %+v", f)
	}
}

func TestBucketsOfOtherBoundsAreNeverAdded(t *testing.T) {
	tr, _ := newTracker(t)
	o := available(0.99)
	o.Kind, o.Threshold = slo.Latency, 300*time.Millisecond
	o = set(t, tr, o)
	feed(tr, noon.Add(-4*time.Minute), noon.Add(-2*time.Minute), latencies(100, 0, 0, 0))
	other := count(100, 0)
	other.Bounds, other.Buckets = []float64{0.25, 0.5}, []float64{50, 25, 25}
	feed(tr, noon.Add(-2*time.Minute), noon, other)
	near(t, "burn: 100 of 400 are over the bound that is nearest, in each of its own", tr.Status(noon, o).Burns[0].Rate, 0.25/0.01)
}

func TestTheForecastsWorkedExamples(t *testing.T) {
	tr, _ := newTracker(t)
	o := set(t, tr, available(0.999))
	// March has 31 days. Ten whole days at pace 0.6 have spent 10·0.6/31 of its budget.
	first := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	for d := range 10 {
		c := count(1_000_000, 600)
		c.Start, c.Span = timestamppb.New(first.AddDate(0, 0, d)), durationpb.New(24*time.Hour)
		tr.Backfill("prod", []*report.RequestCount{c})
	}
	now := first.AddDate(0, 0, 10)
	for h := range 72 {
		c := count(1_000_000.0/24, 25)
		c.Start, c.Span = timestamppb.New(now.Add(time.Duration(h-72)*time.Hour)), durationpb.New(time.Hour)
		tr.Backfill("prod", []*report.RequestCount{c})
	}
	f := tr.Status(now, o).Forecast
	near(t, "pace", f.Pace, 0.6)
	near(t, "spent this month", f.Month, 10*0.6/31)
	near(t, "at its end", f.MonthEnd, 0.6)
	if !f.Exhausted.IsZero() {
		t.Errorf("at this pace the budget is never gone, and it says %s", f.Exhausted)
	}
	feed(tr, now, now.Add(12*time.Hour), count(1000, 100))
	if f := tr.Status(now.Add(12*time.Hour), o).Forecast; f.Pace <= 1 || f.Known && f.Exhausted.IsZero() && tr.Status(now.Add(12*time.Hour), o).Budget.Left() > 0 {
		t.Errorf("forecast %+v", f)
	}
}

func TestAMinuteThatComesTwiceCountsOnce(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		tr, _ := newTracker(t)
		o := set(t, tr, available(0.99))
		n := rapid.IntRange(1, 70).Draw(rt, "minutes")
		order := rapid.SliceOfN(rapid.IntRange(0, n-1), n, 4*n).Draw(rt, "order")
		total, bad := 0.0, 0.0
		seen := map[int]bool{}
		now := noon.Add(time.Duration(n) * time.Minute)
		for _, i := range order {
			c := count(float64(10+i), float64(i%7))
			tr.Count("prod", noon.Add(time.Duration(i)*time.Minute), time.Minute, []*report.RequestCount{c})
			if !seen[i] {
				seen[i] = true
				total += c.Total
				bad += c.Errors
			}
		}
		s := tr.Status(now, o)
		if s.Budget.Counts.Total != total || s.Budget.Counts.Bad != bad || s.Budget.Counts.Known != time.Duration(len(seen))*time.Minute {
			rt.Fatalf("the window holds %+v, want %g and %g in %d minutes", s.Budget.Counts, total, bad, len(seen))
		}
		for _, b := range s.Burns {
			if b.Rate < 0 || b.Rate > 100+1e-9 || math.IsNaN(b.Rate) {
				rt.Fatalf("burn %+v", b)
			}
		}
	})
}

func TestBackfillAddsNothingTwice(t *testing.T) {
	tr, _ := newTracker(t)
	o := set(t, tr, available(0.999))
	feed(tr, noon, noon.Add(30*time.Minute), count(100, 1)) // known already
	var past []*report.RequestCount
	for i := range 30 {
		c := count(100, 1)
		c.Start, c.Span = timestamppb.New(noon.Add(time.Duration(i)*time.Minute)), durationpb.New(time.Minute)
		past = append(past, c)
	}
	hour := count(6000, 60)
	hour.Start, hour.Span = timestamppb.New(noon.Add(-time.Hour)), durationpb.New(time.Hour)
	tr.Backfill("prod", append(past, hour, hour))
	tr.Backfill("prod", append(past, hour))
	c := tr.Status(noon.Add(30*time.Minute), o).Budget.Counts
	near(t, "total", c.Total, 9000)
	near(t, "bad", c.Bad, 90)
	if c.Known != 90*time.Minute {
		t.Errorf("%s known", c.Known)
	}
}

func TestClustersShareNothing(t *testing.T) {
	tr, _ := newTracker(t)
	o := set(t, tr, available(0.999))
	tr.Count("other", noon, time.Minute, []*report.RequestCount{count(100, 100)})
	if s := tr.Status(noon.Add(time.Minute), o); s.Measured {
		t.Errorf("another cluster's requests count: %+v", s)
	}
	if f := tr.Facts(noon.Add(time.Minute), "other"); f != nil {
		t.Errorf("another cluster has the objective: %+v", f)
	}
}

func TestWhatCannotBeIsNotCounted(t *testing.T) {
	tr, _ := newTracker(t)
	o := set(t, tr, available(0.999))
	for _, c := range []*report.RequestCount{count(math.NaN(), 0), count(-1, 0), count(1, 2), count(math.Inf(1), 0), {Layer: slo.Mesh, Total: 1}, {Entity: count(0, 0).Entity, Layer: "moon", Total: 1}, nil} {
		tr.Count("prod", noon, time.Minute, []*report.RequestCount{c})
		tr.Backfill("prod", []*report.RequestCount{c})
	}
	if s := tr.Status(noon.Add(time.Minute), o); s.Measured && s.Budget.Counts.Known > 0 {
		t.Errorf("counted: %+v", s.Budget)
	}
}

func TestARestartKnowsTheMinutesTheHoursAndTheDays(t *testing.T) {
	tr, m := newTracker(t)
	o := set(t, tr, available(0.999))
	tr.Facts(noon, "prod") // an objective's minutes are kept for six hours
	c := latencies(900, 50, 40, 10)
	c.Errors, c.Codes = 2, map[string]float64{"200": 998, "503": 2}
	feed(tr, noon.Add(-26*time.Hour), noon, c)
	want := tr.Status(noon, o)
	if err := tr.Save(t.Context(), "prod"); err != nil {
		t.Fatal(err)
	}
	raw := tr.Checkpoint("prod")
	again, err := slo.New(t.Context(), slo.Config{Store: m})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := again.Load(t.Context(), "prod", noon); err != nil {
			t.Fatal(err)
		}
	}
	if err := again.Restore("prod", raw); err != nil {
		t.Fatal(err)
	}
	got := again.Status(noon, o)
	if fmt.Sprint(got.Budget, got.Burns, got.Codes, got.Latency, got.At, got.Forecast) != fmt.Sprint(want.Budget, want.Burns, want.Codes, want.Latency, want.At, want.Forecast) {
		t.Errorf("before %+v\nafter  %+v", want, got)
	}
	if err := again.Restore("prod", raw[:len(raw)-9]); err == nil {
		t.Error("half a checkpoint is taken")
	}
}

func FuzzRestore(f *testing.F) {
	tr, _ := newTracker(f)
	feed(tr, noon.Add(-10*time.Minute), noon, latencies(900, 50, 40, 10))
	raw := tr.Checkpoint("prod")
	f.Add(raw[:len(raw)-4])
	f.Fuzz(func(t *testing.T, body []byte) {
		tr, _ := newTracker(t)
		if tr.Restore("prod", seal(body)) == nil {
			tr.Signals(checkout, noon.Add(-time.Hour), time.Hour)
			if err := tr.Restore("prod", tr.Checkpoint("prod")); err != nil {
				t.Errorf("what was read cannot be written and read: %v", err)
			}
		}
	})
}

func TestAProposalIsWhatWasKeptWithRoomToSpare(t *testing.T) {
	tr, _ := newTracker(t)
	c := latencies(9000, 970, 20, 10)
	c.Errors = 4
	feed(tr, noon.Add(-100*time.Minute), noon, c)
	ps, known := tr.Propose(noon, checkout)
	if known.Known != 100*time.Minute || len(ps) != 2 {
		t.Fatalf("%d proposals from %s", len(ps), known.Known)
	}
	if o := ps[0].Objective; o.Kind != slo.Availability || o.Target != 0.999 || math.Abs(ps[0].Spent-0.4) > 1e-9 {
		t.Errorf("availability: %+v", ps[0])
	}
	if o := ps[1].Objective; o.Kind != slo.Latency || o.Threshold != 300*time.Millisecond || o.Target != 0.99 || math.Abs(ps[1].Spent-0.3) > 1e-9 {
		t.Errorf("latency: %+v", ps[1])
	}
	few, _ := newTracker(t)
	feed(few, noon.Add(-10*time.Minute), noon, c)
	if ps, known := few.Propose(noon, checkout); ps != nil || known.Known != 10*time.Minute {
		t.Errorf("from ten minutes: %+v", ps)
	}
}

// BenchmarkFacts is one tick of 500 services with two objectives each, six hours of minutes known.
func BenchmarkFacts(b *testing.B) {
	var file []slo.Objective
	for i := range 500 {
		o := available(0.999)
		o.Entity.Name = fmt.Sprint("s", i)
		l := o
		l.Kind, l.Threshold = slo.Latency, 300*time.Millisecond
		file = append(file, o, l)
	}
	tr, _ := newTracker(b, file...)
	for m := range 360 {
		var counts []*report.RequestCount
		for i := range 500 {
			c := latencies(900, 50, 40, 10)
			c.Entity.Name = fmt.Sprint("s", i)
			counts = append(counts, c)
		}
		tr.Count("prod", noon.Add(time.Duration(m-360)*time.Minute), time.Minute, counts)
		if m == 0 {
			tr.Facts(noon, "prod")
		}
	}
	b.ReportAllocs()
	for b.Loop() {
		tr.Facts(noon, "prod")
	}
}
