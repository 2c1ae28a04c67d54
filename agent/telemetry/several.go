package telemetry

import (
	"context"
	"errors"
	"io"
	"sync"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

// keptFor is how long a metric that a better source gave is left to it after it fell silent. Two sources measure the
// same slightly differently, and a step from one to the other would look like an anomaly.
const keptFor = time.Hour

// Several is many sources as one, the best first: each metric of each entity, and each edge, comes from the first that
// gives it. The metrics API thus fills in what a store does not have. It is a Source, an Answerer and a Counter.
type Several struct {
	sources []Source
	given   map[metricKey]origin // used by Sample alone
	swept   time.Time
}

type metricKey struct{ kind, namespace, name, metric string }

// origin is the best source that gave a metric lately.
type origin struct {
	rank int
	at   time.Time
}

var (
	_ Source   = (*Several)(nil)
	_ Answerer = (*Several)(nil)
	_ Counter  = (*Several)(nil)
)

// NewSeveral makes one of sources, the best first.
func NewSeveral(sources ...Source) *Several {
	return &Several{sources: sources, given: map[metricKey]origin{}}
}

// Sample asks every source at once. One that fails takes nothing from the others; its error is returned only when all fail.
func (s *Several) Sample(ctx context.Context, now time.Time) (*report.TelemetryFrame, error) {
	frames, errs := make([]*report.TelemetryFrame, len(s.sources)), make([]error, len(s.sources))
	var running sync.WaitGroup
	for i, source := range s.sources {
		running.Go(func() { frames[i], errs[i] = source.Sample(ctx, now) })
	}
	running.Wait()
	out := &report.TelemetryFrame{Time: timestamppb.New(now)}
	type pair struct{ from, to metricKey }
	edges := map[pair]bool{}
	got := 0
	for rank, f := range frames {
		if errs[rank] != nil || f == nil {
			continue
		}
		if got++; out.Window == nil {
			out.Window = f.GetWindow()
		}
		out.Sources = append(out.Sources, f.GetSources()...)
		for _, x := range f.GetSamples() {
			key := keyOf(x.GetEntity())
			key.metric = x.GetMetric()
			if have, ok := s.given[key]; ok && have.rank < rank && now.Sub(have.at) < keptFor {
				continue
			}
			s.given[key] = origin{rank, now}
			out.Samples = append(out.Samples, x)
		}
		fresh := map[pair]bool{}
		for _, x := range f.GetTraffic() {
			if p := (pair{keyOf(x.GetFrom()), keyOf(x.GetTo())}); !edges[p] {
				fresh[p] = true
				out.Traffic = append(out.Traffic, x)
			}
		}
		for p := range fresh { // a source may give one edge twice, as two protocols
			edges[p] = true
		}
	}
	s.sweep(now)
	if got == 0 {
		return nil, errors.Join(errs...)
	}
	return out, nil
}

func keyOf(e *report.EntityRef) metricKey {
	return metricKey{kind: e.GetKind(), namespace: e.GetNamespace(), name: e.GetName()}
}

// sweep forgets what nobody gives any more.
func (s *Several) sweep(now time.Time) {
	if now.Sub(s.swept) < keptFor {
		return
	}
	s.swept = now
	for key, o := range s.given {
		if now.Sub(o.at) > keptFor {
			delete(s.given, key)
		}
	}
}

// Answer asks each source that can be asked until one keeps what is asked for. Why one failed is said when no other can
// answer; ErrNotKept when none keeps it.
func (s *Several) Answer(ctx context.Context, q *report.Query) (*report.Outcome, error) {
	why := ErrNotKept
	for _, source := range s.sources {
		a, ok := source.(Answerer)
		if !ok {
			continue
		}
		o, err := a.Answer(ctx, q)
		if err == nil {
			return o, nil
		}
		if !errors.Is(err, ErrNotKept) && errors.Is(why, ErrNotKept) {
			why = err
		}
	}
	return nil, why
}

// Requests gives the counts of the first source that has any.
func (s *Several) Requests(ctx context.Context, from, to time.Time, step time.Duration) ([]*report.RequestCount, error) {
	var why error
	for _, source := range s.sources {
		c, ok := source.(Counter)
		if !ok {
			continue
		}
		counts, err := c.Requests(ctx, from, to, step)
		if err != nil && !errors.Is(err, ErrNotKept) && why == nil {
			why = err
		}
		if err == nil && len(counts) > 0 {
			return counts, nil
		}
	}
	return nil, why
}

// Close closes the sources that can be.
func (s *Several) Close() error {
	var errs []error
	for _, source := range s.sources {
		if c, ok := source.(io.Closer); ok {
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}
