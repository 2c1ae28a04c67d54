package prometheus

import (
	"cmp"
	"context"
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

// chunk is how many steps one query counts: what keeps a long past within a server's bounds.
const chunk = 360

// counted is one step of one entity.
type counted struct {
	*report.RequestCount
	took float64                        // seconds of all requests
	le   map[string]map[float64]float64 // metric → upper bound in seconds → requests up to it
}

type countKey struct {
	layer, kind, namespace, name, route string
	at                                  int64
}

// Requests implements telemetry.Counter: layer "ingress" as the door counts, layer "mesh" as the mesh counts where calls
// arrive, or, for a Service without a mesh, as its own metrics do. A step shorter than the window of rates is counted by
// the window's rate, since one scrape makes no rate: a burst of seconds is then spread over it.
func (s *Source) Requests(ctx context.Context, from, to time.Time, step time.Duration) ([]*report.RequestCount, error) {
	counts, err := s.requests(ctx, from, to, step, "")
	if err != nil {
		return nil, err
	}
	out := make([]*report.RequestCount, len(counts))
	for i, c := range counts {
		out[i] = c.RequestCount
	}
	return out, nil
}

// requests counts; a namespace narrows what the mesh is asked for.
func (s *Source) requests(ctx context.Context, from, to time.Time, step time.Duration, namespace string) ([]*counted, error) {
	step = max(step, time.Second).Truncate(time.Second)
	from = from.Truncate(time.Second)
	steps := int(to.Sub(from) / step)
	var out []*counted
	for i := 0; i < steps; i += chunk {
		c := &counter{source: s, step: step, found: map[countKey]*counted{}}
		if err := c.read(ctx, from.Add(time.Duration(i)*step), from.Add(time.Duration(min(steps, i+chunk))*step), namespace); err != nil {
			return nil, err
		}
		out = append(out, c.all()...)
	}
	return out, nil
}

// counter reads one chunk.
type counter struct {
	source *Source
	step   time.Duration
	found  map[countKey]*counted
	routed bool // Traefik labels its routers
}

func (c *counter) read(ctx context.Context, from, to time.Time, namespace string) error {
	window := max(c.step, c.source.cfg.Window)
	each := func(matchers string, f family, parts []part, use func(row) []*counted) error {
		rows, err := c.source.course(ctx, join(window, matchers, parts...), from.Add(c.step), to, c.step)
		if err != nil {
			return err
		}
		for _, r := range rows {
			for _, into := range use(r) {
				into.add(f, r, r.value*c.step.Seconds())
			}
		}
		return nil
	}
	names := c.source.cfg.Names
	err := each("", traefikServices, traefikServices.counted(), func(r row) []*counted {
		if ns, name, ok := names.Backend(r.get("exported_service", "service")); ok {
			return []*counted{c.at("ingress", place{ns, name}.ref(), "", r.at)}
		}
		return nil
	})
	if err != nil {
		return err
	}
	err = each("", traefikRouters, traefikRouters.counted(), func(r row) []*counted {
		label := r.get("router")
		ref, ok := names.Route(label)
		if !ok {
			return nil
		}
		c.routed = true
		return []*counted{c.at("ingress", ref, "", r.at), c.at("ingress", ref, label, r.at)}
	})
	if err != nil {
		return err
	}
	matchers := ""
	if namespace != "" {
		matchers = "namespace=" + strconv.Quote(namespace)
	}
	err = each(matchers, family{base: meshLatency, code: "status_code", unit: "0.001"}, meshCounted, func(r row) []*counted {
		if p, ok := c.source.meshed(r); ok {
			return []*counted{c.at("mesh", p.ref(), "", r.at)}
		}
		return nil
	})
	if err != nil {
		return err
	}
	there, err := c.source.look(ctx, to)
	if err != nil {
		return err
	}
	homes, err := c.source.homes(ctx, there, func(q string) ([]row, error) { return c.source.instant(ctx, q, to) })
	if err != nil {
		return err
	}
	for _, f := range ownMetrics {
		err := each("", f, f.counted(), func(r row) []*counted {
			if p, ok := c.source.service(r, homes); ok {
				return []*counted{c.at("http", p.ref(), "", r.at)}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// at finds or makes the count of the step that ends at a time.
func (c *counter) at(layer string, ref *report.EntityRef, route string, end time.Time) *counted {
	key := countKey{layer, ref.GetKind(), ref.GetNamespace(), ref.GetName(), route, end.Unix()}
	have := c.found[key]
	if have == nil {
		have = &counted{le: map[string]map[float64]float64{}, RequestCount: &report.RequestCount{
			Entity: ref, Layer: layer, Route: route, Start: timestamppb.New(end.Add(-c.step)), Span: durationpb.New(c.step), Codes: map[string]float64{},
		}}
		c.found[key] = have
	}
	return have
}

// add joins one part of an answer.
func (k *counted) add(f family, r row, v float64) {
	switch r.get(what) {
	case "count":
		k.Total += v
		if code := r.get(model.LabelName(f.code)); code != "" {
			k.Codes[code] += v
		}
	case "failed":
		k.Errors += v
	case "took":
		k.took += v
	case "bucket":
		bound, err := strconv.ParseFloat(r.get("le"), 64)
		unit, bad := strconv.ParseFloat(f.unit, 64)
		if err != nil || bad != nil {
			return
		}
		if k.le[f.base] == nil {
			k.le[f.base] = map[float64]float64{}
		}
		k.le[f.base][bound*unit] += v
	}
}

// join adds what another count of the same step has.
func (k *counted) join(o *counted) {
	k.Total, k.Errors, k.took = k.Total+o.Total, k.Errors+o.Errors, k.took+o.took
	for code, n := range o.Codes {
		k.Codes[code] += n
	}
	for base, le := range o.le {
		if k.le[base] == nil {
			k.le[base] = map[float64]float64{}
		}
		for bound, n := range le {
			k.le[base][bound] += n
		}
	}
}

// latency makes the buckets. Those of several metrics are added where their bounds are the same; else, and where pods
// have different bounds, which shows as a bucket below zero, latency is unknown.
func (k *counted) latency() {
	for _, base := range slices.Sorted(maps.Keys(k.le)) {
		le := k.le[base]
		ends := slices.Sorted(maps.Keys(le))
		if len(ends) < 2 || !math.IsInf(ends[len(ends)-1], 1) {
			continue
		}
		bounds, buckets, before := ends[:len(ends)-1], make([]float64, len(ends)), 0.
		for i, end := range ends {
			buckets[i] = le[end] - before
			before = le[end]
			if buckets[i] < -1e-6*before {
				k.Bounds, k.Buckets = nil, nil
				return
			}
			buckets[i] = max(0, buckets[i])
		}
		switch {
		case k.Buckets == nil:
			k.Bounds, k.Buckets = bounds, buckets
		case slices.Equal(k.Bounds, bounds):
			for i, n := range buckets {
				k.Buckets[i] += n
			}
		default:
			k.Bounds, k.Buckets = nil, nil
			return
		}
	}
}

// quantile estimates one from the buckets, as histogram_quantile does: linear within the bucket, the highest bound in the
// last. NaN without buckets.
func (k *counted) quantile(q float64) float64 {
	var total, sum float64
	for _, n := range k.Buckets {
		total += n
	}
	if total <= 0 || len(k.Bounds) == 0 {
		return math.NaN()
	}
	for i, n := range k.Buckets {
		if sum+n < q*total || n == 0 {
			sum += n
			continue
		}
		if i == len(k.Bounds) {
			break
		}
		low := 0.
		if i > 0 {
			low = k.Bounds[i-1]
		}
		return low + (k.Bounds[i]-low)*(q*total-sum)/n
	}
	return k.Bounds[len(k.Bounds)-1]
}

// all gives the counts by time and name. Of mesh and own metrics one counts for a Service in the whole chunk. What routes,
// where Traefik does not label its routers, is counted by the Services that it alone routes to.
func (c *counter) all() []*counted {
	meshed := map[place]bool{}
	for k := range c.found {
		if k.layer == "mesh" {
			meshed[place{k.namespace, k.name}] = true
		}
	}
	if !c.routed {
		for k, got := range maps.Clone(c.found) {
			if k.layer != "ingress" || k.kind != "Service" {
				continue
			}
			if by := c.source.cfg.Names.Routes(k.namespace, k.name); len(by) == 1 {
				c.at("ingress", by[0], "", time.Unix(k.at, 0)).join(got)
			}
		}
	}
	var out []*counted
	for k, got := range c.found {
		if k.layer == "http" {
			if meshed[place{k.namespace, k.name}] {
				continue
			}
			got.Layer = "mesh"
		}
		if got.Total <= 0 && len(got.Codes) == 0 { // parts without a count say nothing
			continue
		}
		got.latency()
		out = append(out, got)
	}
	slices.SortFunc(out, func(a, b *counted) int {
		return cmp.Or(a.GetStart().AsTime().Compare(b.GetStart().AsTime()), cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Entity.Kind, b.Entity.Kind),
			cmp.Compare(a.Entity.Namespace, b.Entity.Namespace), cmp.Compare(a.Entity.Name, b.Entity.Name), cmp.Compare(a.Route, b.Route))
	})
	return out
}
