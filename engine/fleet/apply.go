package fleet

import (
	"maps"
	"math"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// Delta is what a batch did: what came or changed, what went, and the samples to learn from.
type Delta struct {
	Upserts []*report.Resource
	Deletes []*report.Resource // the last known form
	Changes []Change
	Frames  []*report.TelemetryFrame
	Synced  bool // a resync ended with this batch
}

// Apply takes one batch. Applying the same batch twice gives the same state. now is the engine's clock: an agent's
// clock is never compared with ours.
func (c *Cluster) Apply(now time.Time, b *report.ReportRequest) Delta {
	c.mu.Lock()
	defer c.mu.Unlock()
	var d Delta
	c.status.LastSeen = now
	if b.GetResyncBegin() {
		c.resync = map[*report.Resource]struct{}{}
	}
	for _, k := range b.GetKinds() {
		if k.GetKind() != "" {
			c.statuses[k.GetKind()] = k
		}
	}
	for _, r := range lastOfEach(b.GetUpserts()) {
		old := c.upsert(r)
		d.Upserts = append(d.Upserts, r)
		if old == nil {
			continue
		}
		if numberedNow(old, r) {
			number(c.changes, c.Ref(r), r.GetWorkload())
		}
		d.Changes = append(d.Changes, c.compare(now, old, r)...)
	}
	for _, k := range b.GetDeletes() {
		if old := c.delete(k.GetKind(), key{k.GetNamespace(), k.GetName()}); old != nil {
			d.Deletes = append(d.Deletes, old)
		}
	}
	if b.GetResyncEnd() && c.resync != nil {
		d.Deletes = append(d.Deletes, c.sweep()...)
		c.resync = nil
		if !c.status.Synced {
			d.Changes = append(d.Changes, c.recentRollouts(now)...)
		}
		c.status.Synced = true
		d.Synced = true
	}
	for _, f := range b.GetFrames() {
		c.frame(now, f)
		d.Frames = append(d.Frames, f)
	}
	if len(d.Upserts)+len(d.Deletes) > 0 {
		c.version++
	}
	c.remember(now, d.Changes)
	return d
}

// lastOfEach gives the last form of each resource in a batch, without what has no kind or name to key it by. The forms
// before it count for nothing, or a repeated batch would tell their differences as changes again.
func lastOfEach(upserts []*report.Resource) []*report.Resource {
	type id struct{ kind, namespace, name string }
	of := func(r *report.Resource) id { return id{r.GetKind(), r.GetNamespace(), r.GetName()} }
	last := make(map[id]int, len(upserts))
	for i, r := range upserts {
		last[of(r)] = i
	}
	out := make([]*report.Resource, 0, len(last))
	for i, r := range upserts {
		if last[of(r)] == i && r.GetKind() != "" && r.GetName() != "" {
			out = append(out, r)
		}
	}
	return out
}

// sweep deletes what the resync did not bring and gives it, sorted.
func (c *Cluster) sweep() []*report.Resource {
	var gone []*report.Resource
	for _, m := range c.kinds {
		for _, r := range m {
			if _, brought := c.resync[r]; !brought {
				gone = append(gone, r)
			}
		}
	}
	for _, r := range gone {
		c.delete(r.GetKind(), key{r.GetNamespace(), r.GetName()})
	}
	slices.SortFunc(gone, compareResources)
	return gone
}

// upsert stores a resource and gives the one that it replaces, nil when there was none.
func (c *Cluster) upsert(r *report.Resource) *report.Resource {
	m := c.kinds[r.GetKind()]
	if m == nil {
		m = map[key]*report.Resource{}
		c.kinds[r.GetKind()] = m
	}
	delete(c.lists, r.GetKind())
	k := key{r.GetNamespace(), r.GetName()}
	old := m[k]
	if old != nil {
		c.unlink(old)
	}
	m[k] = r
	if c.resync != nil {
		c.resync[r] = struct{}{}
	}
	for _, o := range r.GetOwners() {
		if !o.GetController() || o.GetUid() == "" {
			continue
		}
		if c.children[o.GetUid()] == nil {
			c.children[o.GetUid()] = map[*report.Resource]struct{}{}
		}
		c.children[o.GetUid()][r] = struct{}{}
	}
	return old
}

func (c *Cluster) delete(kind string, k key) *report.Resource {
	old := c.kinds[kind][k]
	if old == nil {
		return nil
	}
	c.unlink(old)
	delete(c.lists, kind)
	delete(c.kinds[kind], k)
	delete(c.readings, c.Ref(old))
	return old
}

func (c *Cluster) unlink(r *report.Resource) {
	for _, o := range r.GetOwners() {
		if set := c.children[o.GetUid()]; set != nil {
			delete(set, r)
			if len(set) == 0 {
				delete(c.children, o.GetUid())
			}
		}
	}
}

func (c *Cluster) frame(now time.Time, f *report.TelemetryFrame) {
	if len(f.GetSources()) > 0 {
		c.sources = f.GetSources()
	}
	if now.Sub(c.pruned) > time.Minute {
		c.pruned = now
		c.prune(now)
	}
	var ref entity.Ref // samples come grouped by entity
	var m map[string]Reading
	for _, s := range f.GetSamples() {
		if !finite(s.GetValue()) || s.GetMetric() == "" {
			continue
		}
		if e := s.GetEntity(); m != nil && ref.Name == e.GetName() && ref.Kind == e.GetKind() && ref.Namespace == e.GetNamespace() {
			m[s.GetMetric()] = Reading{Value: s.GetValue(), Count: s.GetCount(), At: now}
			continue
		}
		ref, m = c.entityRef(s.GetEntity()), nil
		if ref.Kind == entity.Pod && len(c.kinds[entity.Pod]) > 0 && c.kinds[entity.Pod][key{ref.Namespace, ref.Name}] == nil {
			continue // a late sample of a pod that is gone
		}
		if m = c.readings[ref]; m == nil {
			m = map[string]Reading{}
			c.readings[ref] = m
		}
		m[s.GetMetric()] = Reading{Value: s.GetValue(), Count: s.GetCount(), At: now}
	}
	if len(f.GetTraffic()) == 0 {
		return
	}
	c.traffic = make([]Traffic, 0, len(f.GetTraffic()))
	for _, t := range f.GetTraffic() {
		if t.GetFrom().GetName() == "" || t.GetTo().GetName() == "" ||
			!finite(t.GetRequestsPerSecond()) || !finite(t.GetErrorRatio()) || !finite(t.GetLatencyAvgSeconds()) {
			continue
		}
		c.traffic = append(c.traffic, Traffic{
			From: c.entityRef(t.GetFrom()), To: c.entityRef(t.GetTo()),
			RequestsPerSecond: t.GetRequestsPerSecond(), ErrorRatio: t.GetErrorRatio(),
			LatencyAvg: t.GetLatencyAvgSeconds(), At: now,
		})
	}
}

// readingRetention is how long a reading is kept without a newer one: telemetry also names what is no resource, such as
// a dependency outside the cluster, and nothing ever tells that it is gone.
const readingRetention = 30 * time.Minute

func (c *Cluster) prune(now time.Time) {
	for ref, m := range c.readings {
		maps.DeleteFunc(m, func(_ string, r Reading) bool { return now.Sub(r.At) > readingRetention })
		if len(m) == 0 {
			delete(c.readings, ref)
		}
	}
}

func (c *Cluster) entityRef(e *report.EntityRef) entity.Ref {
	return entity.Ref{Cluster: c.id, Kind: e.GetKind(), Namespace: e.GetNamespace(), Name: e.GetName()}
}

func finite(x float64) bool { return !math.IsNaN(x) && !math.IsInf(x, 0) }
