package sim_test

import (
	"math"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/sim"
)

func TestRequestsAreCountedAsTheFramesMeasureThem(t *testing.T) {
	start := time.Date(2026, 3, 3, 2, 45, 0, 0, time.UTC)
	s, err := sim.New(sim.Config{Seed: 3, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	measured := map[string][2]float64{} // requests and failures, by the frames
	for at := start; at.Before(start.Add(10 * time.Minute)); {
		at = at.Add(10 * time.Second)
		s.Step(at)
		f, err := s.Sample(t.Context(), at)
		if err != nil {
			t.Fatal(err)
		}
		for _, x := range f.GetSamples() {
			if x.GetMetric() == "error_rate" {
				m := measured[x.GetEntity().GetKind()+"/"+x.GetEntity().GetName()]
				measured[x.GetEntity().GetKind()+"/"+x.GetEntity().GetName()] = [2]float64{m[0] + x.GetCount(), m[1] + x.GetCount()*x.GetValue()}
			}
		}
	}
	counts, err := s.Requests(t.Context(), start, start.Add(20*time.Minute), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	counted := map[string][2]float64{}
	for _, c := range counts {
		k := c.GetEntity().GetKind() + "/" + c.GetEntity().GetName()
		m := counted[k]
		counted[k] = [2]float64{m[0] + c.GetTotal(), m[1] + c.GetErrors()}
		var all, codes float64
		for _, n := range c.GetBuckets() {
			all += n
		}
		for _, n := range c.GetCodes() {
			codes += n
		}
		if all != c.GetTotal() || codes != c.GetTotal() || len(c.GetBuckets()) != len(c.GetBounds())+1 {
			t.Fatalf("%s: %g requests, %g in buckets, %g by code", k, c.GetTotal(), all, codes)
		}
		if at := c.GetStart().AsTime(); at.Second() != 0 || at.Before(start) || !at.Before(start.Add(10*time.Minute)) {
			t.Fatalf("a minute begins at %s", at)
		}
	}
	if len(counted) != len(measured) || len(counts) != 10*len(measured) {
		t.Fatalf("%d entities in %d counts, the frames have %d", len(counted), len(counts), len(measured))
	}
	for k, m := range measured {
		if c := counted[k]; math.Abs(c[0]-m[0]) > 6*math.Sqrt(2*m[0]) || math.Abs(c[1]-m[1]) > 6*math.Sqrt(2*m[1])+6 {
			t.Errorf("%s: counted %v, measured %v", k, c, m)
		}
	}
	again, err := s.Requests(t.Context(), start, start.Add(20*time.Minute), time.Minute)
	if err != nil || !proto.Equal(&report.TelemetryMinute{Requests: counts}, &report.TelemetryMinute{Requests: again}) {
		t.Errorf("asked twice it counts otherwise (%v)", err)
	}
}

func TestThePastIsThatOfAHealthyShop(t *testing.T) {
	start := time.Date(2026, 3, 3, 2, 45, 0, 0, time.UTC)
	s, err := sim.New(sim.Config{Seed: 3, Start: start})
	if err != nil {
		t.Fatal(err)
	}
	counts, err := s.Requests(t.Context(), start.AddDate(0, 0, -14), start, 24*time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	days := map[time.Time]bool{}
	for _, c := range counts {
		days[c.GetStart().AsTime()] = true
		if c.GetEntity().GetKind() == "Ingress" && (c.GetTotal() < 5e6 || c.GetErrors()/c.GetTotal() > 0.005) {
			t.Errorf("a healthy day has %g requests and %g errors", c.GetTotal(), c.GetErrors())
		}
	}
	if len(days) != 13 {
		t.Errorf("%d whole days lie in two weeks that begin at 02:45", len(days))
	}
}
