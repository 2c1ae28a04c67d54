package clickhouse

import (
	"cmp"
	"context"
	"errors"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2"
	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/telemetry"
)

// counted is one step of one entity, with what only a course of it shows.
type counted struct {
	*report.RequestCount
	took          float64 // seconds of all requests
	p50, p95, p99 float64 // seconds; NaN where latency is unknown
	p             place
}

// only narrows a count to one Service, by the names under which its data stand; the zero value is everything.
type only struct{ namespace, names string }

// maxCounted is how many steps of the past are counted at most: two weeks of minutes.
const maxCounted = 14 * 24 * 60

// chunk is how much is counted with one query: what keeps a long past within its bounds of rows and memory.
const chunk = 6 * time.Hour

// Requests implements telemetry.Counter: each step in layer "ingress" as the door counts it, and in layer "mesh" as the
// mesh counts it where calls arrive, or, for a Service without a mesh, as its own metrics or spans do. What came between
// two samples that are further apart than 150 s and a step came at an unknown time, and is not counted. A step is complete
// once the scrapes of its end are written: ask for it Lag later.
func (s *Source) Requests(ctx context.Context, from, to time.Time, step time.Duration) ([]*report.RequestCount, error) {
	counts, err := s.requests(ctx, from, to, step, only{names: "[]"})
	if err != nil {
		return nil, errors.New(reason(err))
	}
	return plain(counts), nil
}

func plain(counts []*counted) []*report.RequestCount {
	out := make([]*report.RequestCount, len(counts))
	for i, c := range counts {
		out[i] = c.RequestCount
	}
	return out
}

// past answers a query about requests with as much of the past as there is time for.
func (s *Source) past(ctx context.Context, q *report.RequestsQuery, o *report.Outcome) error {
	from, to := telemetry.Bounds(q.GetFrom(), q.GetTo(), time.Hour, maxPast)
	step := q.GetStep().AsDuration()
	if step <= 0 {
		step = time.Minute
	}
	counts, err := s.requests(ctx, from, to, max(step, to.Sub(from)/maxCounted), only{names: "[]"})
	if err != nil && len(counts) == 0 {
		return err
	}
	o.Requests = plain(counts)
	if err != nil {
		o.Truncated = true
		o.Message = "counted back to " + counts[0].GetStart().AsTime().UTC().Format(time.RFC3339) + " only: " + reason(err)
	}
	return nil
}

func (s *Source) requests(ctx context.Context, from, to time.Time, step time.Duration, of only) ([]*counted, error) {
	step = max(step, time.Second).Truncate(time.Second)
	from = from.Truncate(time.Second)
	steps := to.Sub(from) / step
	if steps < 1 {
		return nil, nil
	}
	x, err := s.look(ctx)
	if err != nil {
		return nil, err
	}
	if x, err = s.writers(ctx, x, from, to); err != nil {
		return nil, err
	}
	per := max(1, chunk/step)
	var out []*counted
	for end := steps; end > 0; { // the newest first, for the time may not suffice for all
		begin := max(0, end-per)
		c := counter{source: s, store: x, step: step, of: of, found: map[countKey]*counted{}}
		err := c.read(ctx, from.Add(begin*step), from.Add(end*step))
		if e, ok := errors.AsType[*clickhouse.Exception](err); ok && slices.Contains(tooMuch, e.Code) && per > 1 {
			per = max(1, per/2)
			continue
		}
		if err != nil {
			return out, err
		}
		out, end = append(c.all(), out...), begin
	}
	return out, nil
}

// tooMuch are the errors after which half of a time may still be read: memory, rows.
var tooMuch = []int32{241, 158, 307, 396}

type countKey struct {
	layer, kind, namespace, name, route string
	at                                  int64
}

// counter reads one chunk.
type counter struct {
	source *Source
	store  store
	step   time.Duration
	of     only
	found  map[countKey]*counted
	routed bool // Traefik labels its routers
}

func (c *counter) read(ctx context.Context, from, to time.Time) error {
	lag := c.source.cfg.Lag
	values := func(metrics []string) (bound, bool) {
		jobs, ok := c.store.of(metrics)
		return bound{
			"from": number(from.Add(-max(lag, time.Minute)).Unix()), "to": number(to.Unix()), "begin": number(from.Unix()), "step": number(int64(c.step / time.Second)),
			"lag": number(int64(lag / time.Second)), "jobs": jobs, "metrics": list(metrics...), "names": c.of.names, "namespace": c.of.namespace,
		}, ok
	}
	for _, q := range []struct {
		name    string
		metrics []string
		there   bool
		row     func(driver.Rows) error
	}{
		{"ingressrequests", ingressMetrics, false, c.ingress},
		{"meshrequests", meshCounts, false, c.mesh},
		{"meshlatencies", meshLatencies, false, c.meshLatency},
		{"httprequests", httpMetrics, false, c.http},
		{"spanrequests", nil, c.store.Traces != "", c.spans},
	} {
		values, ok := values(q.metrics)
		if !ok && !q.there {
			continue
		}
		if err := c.source.each(ctx, c.store.tables, q.name, 500_000, values, q.row); err != nil {
			return err
		}
	}
	return nil
}

// at finds or makes one count.
func (c *counter) at(layer string, ref *report.EntityRef, route string, at int64) *counted {
	key := countKey{layer, ref.GetKind(), ref.GetNamespace(), ref.GetName(), route, at}
	have := c.found[key]
	if have == nil {
		have = &counted{p: place{ref.GetNamespace(), ref.GetName()}, p50: math.NaN(), p95: math.NaN(), p99: math.NaN(), RequestCount: &report.RequestCount{
			Entity: ref, Layer: layer, Route: route, Start: timestamppb.New(time.Unix(at, 0)), Span: durationpb.New(c.step), Codes: map[string]float64{},
		}}
		c.found[key] = have
	}
	return have
}

// add joins another count of the same step. Buckets with other bounds cannot be added: then latency is unknown.
func (k *counted) add(o *counted) {
	k.Total += o.GetTotal()
	k.Errors += o.GetErrors()
	for code, n := range o.GetCodes() {
		if code != "" {
			k.Codes[code] += n
		}
	}
	k.latency(o)
}

func (k *counted) latency(o *counted) {
	switch {
	case len(o.GetBounds()) == 0:
	case len(k.GetBuckets()) == 0:
		k.Bounds, k.Buckets = o.Bounds, o.Buckets
		k.p50, k.p95, k.p99 = o.p50, o.p95, o.p99
		k.took += o.took
	case slices.Equal(k.GetBounds(), o.GetBounds()) && len(k.GetBuckets()) == len(o.GetBuckets()):
		for i, n := range o.GetBuckets() {
			k.Buckets[i] += n
		}
		k.took += o.took
		k.p50, k.p95, k.p99 = max(k.p50, o.p50), max(k.p95, o.p95), max(k.p99, o.p99)
	default:
		k.Bounds, k.Buckets = []float64{}, nil
		k.p50, k.p95, k.p99, k.took = math.NaN(), math.NaN(), math.NaN(), 0
	}
}

func serviceRef(p place) *report.EntityRef {
	return &report.EntityRef{Kind: "Service", Namespace: p.namespace, Name: p.name}
}

func (c *counter) ingress(r driver.Rows) error {
	var metric, label string
	var at int64
	got := &counted{RequestCount: &report.RequestCount{}}
	if err := r.Scan(&metric, &label, &at, &got.Total, &got.Errors, &got.Codes, &got.Bounds, &got.Buckets, &got.took, &got.p50, &got.p95, &got.p99); err != nil {
		return err
	}
	names := c.source.cfg.Names
	if strings.Contains(metric, "router") {
		if ref, ok := names.Route(label); ok {
			c.routed = true
			c.at("ingress", ref, "", at).add(got)
			c.at("ingress", ref, label, at).add(got)
		}
		return nil
	}
	if ns, name, ok := names.Backend(label); ok {
		c.at("ingress", serviceRef(place{ns, name}), "", at).add(got)
	}
	return nil
}

func (c *counter) mesh(r driver.Rows) error {
	var ns, name string
	var at int64
	got := &counted{RequestCount: &report.RequestCount{}}
	if err := r.Scan(&ns, &name, &at, &got.Total, &got.Errors, &got.Codes); err != nil {
		return err
	}
	c.served(byMesh, ns, name, at, got)
	return nil
}

func (c *counter) meshLatency(r driver.Rows) error {
	var ns, name string
	var at int64
	var total float64
	got := &counted{RequestCount: &report.RequestCount{}}
	if err := r.Scan(&ns, &name, &at, &total, &got.Bounds, &got.Buckets, &got.took, &got.p50, &got.p95, &got.p99); err != nil {
		return err
	}
	c.served(byMesh, ns, name, at, got)
	return nil
}

func (c *counter) http(r driver.Rows) error {
	var ns, name string
	var at int64
	got := &counted{RequestCount: &report.RequestCount{}}
	if err := r.Scan(&ns, &name, &at, &got.Total, &got.Errors, &got.Codes, &got.Bounds, &got.Buckets, &got.took, &got.p50, &got.p95, &got.p99); err != nil {
		return err
	}
	c.served(byHTTP, ns, name, at, got)
	return nil
}

func (c *counter) spans(r driver.Rows) error {
	var ns, name string
	var at int64
	got := &counted{RequestCount: &report.RequestCount{}}
	if err := r.Scan(&ns, &name, &at, &got.Total, &got.Errors, &got.Codes, &got.Bounds, &got.Buckets, &got.took, &got.p50, &got.p95, &got.p99); err != nil {
		return err
	}
	c.served(byTraces, ns, name, at, got)
	return nil
}

// served counts what one of the inner layers saw; all turns them into layer "mesh".
func (c *counter) served(by, ns, name string, at int64, got *counted) {
	if ns, svc, ok := c.source.cfg.Names.Service(ns, name); ok {
		c.at(by, serviceRef(place{ns, svc}), "", at).add(got)
	}
}

// all gives the counts by time and name. Of the inner layers one counts for a Service in the whole chunk: the mesh, else
// its own metrics, else its spans. What routes, where Traefik does not label its routers, is counted by the Services that
// it alone routes to.
func (c *counter) all() []*counted {
	best := map[place]string{}
	for _, layer := range layers {
		for k := range c.found {
			if p := (place{k.namespace, k.name}); k.layer == layer && best[p] == "" {
				best[p] = layer
			}
		}
	}
	if !c.routed {
		for k, got := range c.found {
			if k.layer != "ingress" || k.kind != "Service" {
				continue
			}
			if by := c.source.cfg.Names.Routes(k.namespace, k.name); len(by) == 1 {
				into := c.at("ingress", by[0], "", k.at)
				into.add(&counted{RequestCount: &report.RequestCount{Total: got.Total, Errors: got.Errors, Codes: got.Codes, Bounds: got.Bounds, Buckets: slices.Clone(got.Buckets)}, took: got.took, p50: got.p50, p95: got.p95, p99: got.p99})
			}
		}
	}
	var out []*counted
	for k, got := range c.found {
		if k.layer != "ingress" {
			if best[got.p] != k.layer {
				continue
			}
			got.Layer = "mesh"
		}
		if len(got.GetBuckets()) == 0 {
			got.Bounds = nil
		}
		out = append(out, got)
	}
	slices.SortFunc(out, func(a, b *counted) int {
		return cmp.Or(a.GetStart().AsTime().Compare(b.GetStart().AsTime()), cmp.Compare(a.GetLayer(), b.GetLayer()), cmp.Compare(a.GetEntity().GetKind(), b.GetEntity().GetKind()),
			cmp.Compare(a.p.namespace, b.p.namespace), cmp.Compare(a.p.name, b.p.name), cmp.Compare(a.GetRoute(), b.GetRoute()))
	})
	return out
}
