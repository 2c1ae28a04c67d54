package telemetry

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
)

// fixed is a source that gives what it is told.
type fixed struct {
	samples map[string]float64 // "node metric"
	edges   [][2]string
	err     error
	answer  *report.Outcome
	counts  []*report.RequestCount
	why     error
}

func (f *fixed) Sample(_ context.Context, _ time.Time) (*report.TelemetryFrame, error) {
	if f.err != nil {
		return nil, f.err
	}
	out := &report.TelemetryFrame{Sources: []*report.SourceStatus{{Source: "fixed", Available: true}}}
	for key, v := range f.samples {
		var node, metric string
		_, _ = fmt.Sscan(key, &node, &metric)
		out.Samples = append(out.Samples, &report.Sample{Entity: &report.EntityRef{Kind: "Node", Name: node}, Metric: metric, Value: v})
	}
	for _, e := range f.edges {
		out.Traffic = append(out.Traffic, &report.Traffic{From: &report.EntityRef{Name: e[0]}, To: &report.EntityRef{Name: e[1]}})
	}
	return out, nil
}

func (f *fixed) Answer(context.Context, *report.Query) (*report.Outcome, error) {
	return f.answer, f.why
}

func (f *fixed) Requests(context.Context, time.Time, time.Time, time.Duration) ([]*report.RequestCount, error) {
	return f.counts, f.why
}

func values(t *testing.T, s *Several, now time.Time) map[string]float64 {
	t.Helper()
	f, err := s.Sample(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, x := range f.GetSamples() {
		out[x.GetEntity().GetName()+" "+x.GetMetric()] = x.GetValue()
	}
	return out
}

func TestEachMetricComesFromTheBestSourceThatGivesIt(t *testing.T) {
	best, other := &fixed{samples: map[string]float64{"a cpu": 1}, edges: [][2]string{{"x", "y"}}}, &fixed{samples: map[string]float64{"a cpu": 2, "b cpu": 3}, edges: [][2]string{{"x", "y"}, {"y", "z"}}}
	s := NewSeveral(best, other)
	now := time.Unix(0, 0)
	if got := values(t, s, now); got["a cpu"] != 1 || got["b cpu"] != 3 || len(got) != 2 {
		t.Errorf("samples: %v", got)
	}
	f, err := s.Sample(t.Context(), now)
	if err != nil || len(f.GetTraffic()) != 2 || len(f.GetSources()) != 2 {
		t.Errorf("%d edges of %d sources, %v", len(f.GetTraffic()), len(f.GetSources()), err)
	}
}

func TestASilentSourceIsNotReplacedByOneThatMeasuresDifferently(t *testing.T) {
	best, other := &fixed{samples: map[string]float64{"a cpu": 1}}, &fixed{samples: map[string]float64{"a cpu": 2}}
	s := NewSeveral(best, other)
	now := time.Unix(0, 0)
	values(t, s, now)
	best.samples = nil
	if got := values(t, s, now.Add(20*time.Minute)); len(got) != 0 {
		t.Errorf("after 20 min without the best source: %v, want the metric to be missing", got)
	}
	if got := values(t, s, now.Add(time.Hour)); got["a cpu"] != 2 {
		t.Errorf("after an hour: %v, want the other source's", got)
	}
	best.samples = map[string]float64{"a cpu": 1}
	if got := values(t, s, now.Add(61*time.Minute)); got["a cpu"] != 1 || len(got) != 1 {
		t.Errorf("when it is back: %v", got)
	}
}

func TestOneSourceThatFailsTakesNothingFromTheOthers(t *testing.T) {
	s := NewSeveral(&fixed{err: errors.New("gone")}, &fixed{samples: map[string]float64{"a cpu": 2}})
	if got := values(t, s, time.Unix(0, 0)); got["a cpu"] != 2 {
		t.Errorf("samples: %v", got)
	}
	if _, err := NewSeveral(&fixed{err: errors.New("gone")}).Sample(t.Context(), time.Unix(0, 0)); err == nil {
		t.Error("no source answered, and no error")
	}
}

func TestAQuestionGoesOnUntilASourceKeepsWhatItAsksFor(t *testing.T) {
	down := errors.New("it is down")
	want := &report.Outcome{Message: "here"}
	for name, x := range map[string]struct {
		sources []Source
		err     error
	}{
		"the second keeps it":          {[]Source{&fixed{why: ErrNotKept}, &fixed{answer: want}}, nil},
		"the first is down":            {[]Source{&fixed{why: down}, &fixed{answer: want}}, nil},
		"down, and nobody else has it": {[]Source{&fixed{why: down}, &fixed{why: ErrNotKept}}, down},
		"nobody keeps it":              {[]Source{&fixed{why: ErrNotKept}}, ErrNotKept},
	} {
		t.Run(name, func(t *testing.T) {
			o, err := NewSeveral(x.sources...).Answer(t.Context(), &report.Query{})
			if !errors.Is(err, x.err) || x.err == nil && o != want {
				t.Errorf("%v, %v", o, err)
			}
		})
	}
	counts := []*report.RequestCount{{Total: 1}}
	got, err := NewSeveral(&fixed{}, &fixed{counts: counts}).Requests(t.Context(), time.Time{}, time.Time{}, time.Minute)
	if err != nil || !slices.Equal(got, counts) {
		t.Errorf("counts: %v, %v", got, err)
	}
}
