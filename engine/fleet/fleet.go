// Package fleet keeps every cluster's current state as its agent reported it, and what changed in it. Resources are
// immutable once stored: a reader may hold them as long as it likes.
package fleet

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// Config limits what is kept.
type Config struct {
	MaxChanges      int           // a cluster; default 5000
	ChangeRetention time.Duration // default 24 h
}

func (c *Config) defaults() {
	c.MaxChanges = cmp.Or(c.MaxChanges, 5000)
	c.ChangeRetention = cmp.Or(c.ChangeRetention, 24*time.Hour)
}

// Fleet is the set of clusters. It is safe for concurrent use.
type Fleet struct {
	cfg Config

	mu       sync.RWMutex // guards clusters
	clusters map[string]*Cluster
}

// New makes an empty fleet.
func New(cfg Config) *Fleet {
	cfg.defaults()
	return &Fleet{cfg: cfg, clusters: map[string]*Cluster{}}
}

// Cluster gives one cluster's state; ok is false for one that never reported.
func (f *Fleet) Cluster(id string) (c *Cluster, ok bool) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	c, ok = f.clusters[id]
	return c, ok
}

// Clusters lists the ids, sorted.
func (f *Fleet) Clusters() []string {
	f.mu.RLock()
	defer f.mu.RUnlock()
	return slices.Sorted(maps.Keys(f.clusters))
}

// Join makes the cluster known, with an empty state until its first resync ends.
func (f *Fleet) Join(id string) *Cluster {
	f.mu.Lock()
	defer f.mu.Unlock()
	c, ok := f.clusters[id]
	if !ok {
		c = newCluster(id, f.cfg)
		f.clusters[id] = c
	}
	return c
}

// Remove forgets a cluster.
func (f *Fleet) Remove(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.clusters, id)
}

type key struct{ namespace, name string }

// Cluster is one cluster's state.
type Cluster struct {
	id  string
	cfg Config

	listing sync.Mutex                    // guards what is put into lists while mu is read-locked
	lists   map[string][]*report.Resource // sorted, by kind; a kind that changed is dropped under mu

	mu       sync.RWMutex // guards all below, and lists
	kinds    map[string]map[key]*report.Resource
	children map[string]map[*report.Resource]struct{} // by uid of the controlling owner
	statuses map[string]*report.KindStatus
	changes  []Change // oldest first
	readings map[entity.Ref]map[string]Reading
	traffic  []Traffic
	pruned   time.Time // when old readings were dropped last
	sources  []*report.SourceStatus
	resync   map[*report.Resource]struct{} // what a running resync has brought; nil when none runs
	status   Status
	version  uint64
}

// Status is how the cluster's agent is doing.
type Status struct {
	Synced     bool          `json:"synced"` // a resync has ended at least once
	LastSeen   time.Time     `json:"last_seen"`
	Silent     bool          `json:"silent"` // told as such by the engine
	Skew       time.Duration `json:"skew"`   // engine clock minus agent clock
	Agent      string        `json:"agent,omitempty"`
	Kubernetes string        `json:"kubernetes,omitempty"`
	Verbs      []string      `json:"verbs,omitempty"`
}

// Reading is the newest value of one metric of one entity.
type Reading struct {
	Value float64   `json:"value"`
	Count float64   `json:"count,omitempty"`
	At    time.Time `json:"at"`
}

// Traffic is what one entity sent to another, newest frame.
type Traffic struct {
	From, To          entity.Ref
	RequestsPerSecond float64
	ErrorRatio        float64 // 0 to 1
	LatencyAvg        float64 // seconds
	At                time.Time
}

func newCluster(id string, cfg Config) *Cluster {
	return &Cluster{
		id: id, cfg: cfg,
		kinds:    map[string]map[key]*report.Resource{},
		lists:    map[string][]*report.Resource{},
		children: map[string]map[*report.Resource]struct{}{},
		statuses: map[string]*report.KindStatus{},
		readings: map[entity.Ref]map[string]Reading{},
	}
}

// ID is the cluster's id.
func (c *Cluster) ID() string { return c.id }

// Version rises with each change to resources, so that derived state can tell whether it is stale.
func (c *Cluster) Version() uint64 {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.version
}

// Status gives the agent's state.
func (c *Cluster) Status() Status {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.status
}

// SetStatus changes the agent's state under the cluster's lock.
func (c *Cluster) SetStatus(set func(*Status)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	set(&c.status)
}

// Observed says whether what is held is what the cluster is like now: its agent speaks, has reported everything once
// and can read pods. Otherwise nothing may be concluded from it, neither a fault nor its end.
func (c *Cluster) Observed() bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.status.Synced && !c.status.Silent && c.statuses[entity.Pod].GetState() != report.KindStatus_STATE_FAILING
}

// Kinds lists what could be listed and what not, by kind.
func (c *Cluster) Kinds() []*report.KindStatus {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := make([]*report.KindStatus, 0, len(c.statuses))
	for _, k := range slices.Sorted(maps.Keys(c.statuses)) {
		out = append(out, c.statuses[k])
	}
	return out
}

// Sources lists the telemetry sources as the newest frame gave them.
func (c *Cluster) Sources() []*report.SourceStatus {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.sources
}

// Get gives one resource, nil when there is none.
func (c *Cluster) Get(kind, namespace, name string) *report.Resource {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.kinds[kind][key{namespace, name}]
}

// Find gives the resource behind an entity, nil when there is none.
func (c *Cluster) Find(r entity.Ref) *report.Resource { return c.Get(r.Kind, r.Namespace, r.Name) }

// List gives the resources of a kind, of one namespace or of all when it is empty, by namespace and name. The slice is the
// caller's own.
func (c *Cluster) List(kind, namespace string) []*report.Resource {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := c.list(kind)
	if namespace == "" {
		return slices.Clone(all)
	}
	from, _ := slices.BinarySearchFunc(all, namespace, func(r *report.Resource, n string) int { return cmp.Compare(r.GetNamespace(), n) })
	till := from
	for till < len(all) && all[till].GetNamespace() == namespace {
		till++
	}
	return slices.Clone(all[from:till])
}

// list gives the sorted resources of a kind, sorting them only when one came or went: every evaluation asks for each kind.
func (c *Cluster) list(kind string) []*report.Resource {
	c.listing.Lock()
	defer c.listing.Unlock()
	all, ok := c.lists[kind]
	if !ok {
		all = make([]*report.Resource, 0, len(c.kinds[kind]))
		for _, r := range c.kinds[kind] {
			all = append(all, r)
		}
		slices.SortFunc(all, compareResources)
		c.lists[kind] = all
	}
	return all
}

// Children gives the resources that the one with this uid controls, by namespace and name.
func (c *Cluster) Children(uid string) []*report.Resource {
	c.mu.RLock()
	defer c.mu.RUnlock()
	out := slices.Collect(maps.Keys(c.children[uid]))
	slices.SortFunc(out, compareResources)
	return out
}

// Ref gives the entity of a resource of this cluster.
func (c *Cluster) Ref(r *report.Resource) entity.Ref {
	return entity.Ref{Cluster: c.id, Kind: r.GetKind(), Namespace: r.GetNamespace(), Name: r.GetName()}
}

// Controller gives the owner that controls a resource, nil when there is none or it is not known.
func (c *Cluster) Controller(r *report.Resource) *report.Resource {
	for _, o := range r.GetOwners() {
		if o.GetController() {
			return c.Get(o.GetKind(), r.GetNamespace(), o.GetName())
		}
	}
	return nil
}

// Workload gives the topmost workload that owns a resource: a pod's Deployment (through its ReplicaSet), StatefulSet,
// DaemonSet, CronJob or Job. For a resource that nothing owns it is the resource itself.
func (c *Cluster) Workload(r *report.Resource) entity.Ref {
	for range 4 { // Pod → ReplicaSet → Deployment is the longest chain in practice; a cycle must not hang us
		o := c.Controller(r)
		if o == nil || !c.Ref(o).Workload() {
			break
		}
		r = o
	}
	return c.Ref(r)
}

// Pods gives the pods that a workload owns, or the pods of a node, or the pods behind a service, or the pod itself.
func (c *Cluster) Pods(ref entity.Ref) []*report.Resource {
	switch ref.Kind {
	case entity.Pod:
		if p := c.Find(ref); p != nil {
			return []*report.Resource{p}
		}
		return nil
	case entity.Node:
		return slices.DeleteFunc(c.List(entity.Pod, ""), func(p *report.Resource) bool { return p.GetPod().GetNode() != ref.Name })
	case entity.Service:
		var out []*report.Resource
		seen := map[string]bool{}
		for _, s := range c.List("EndpointSlice", ref.Namespace) {
			if s.GetEndpointSlice().GetService() != ref.Name {
				continue
			}
			for _, e := range s.GetEndpointSlice().GetEndpoints() {
				if p := c.Get(entity.Pod, ref.Namespace, e.GetPod()); p != nil && !seen[p.GetName()] {
					seen[p.GetName()] = true
					out = append(out, p)
				}
			}
		}
		slices.SortFunc(out, compareResources)
		return out
	}
	owner := c.Find(ref)
	if owner == nil {
		return nil
	}
	return slices.DeleteFunc(c.Family(owner), func(r *report.Resource) bool { return r.GetKind() != entity.Pod })
}

// Family gives what a resource controls, directly and through others, by kind, namespace and name: a Deployment's
// ReplicaSets and their pods. Owners that form a circle are each given once.
func (c *Cluster) Family(r *report.Resource) []*report.Resource {
	c.mu.RLock()
	defer c.mu.RUnlock()
	var out []*report.Resource
	seen := map[*report.Resource]bool{r: true}
	for next := []*report.Resource{r}; len(next) > 0; next = next[1:] {
		for child := range c.children[next[0].GetUid()] {
			if !seen[child] {
				seen[child] = true
				out, next = append(out, child), append(next, child)
			}
		}
	}
	slices.SortFunc(out, compareResources)
	return out
}

// Readings gives the newest value of each metric of an entity.
func (c *Cluster) Readings(ref entity.Ref) map[string]Reading {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return maps.Clone(c.readings[ref])
}

// Traffic gives the newest traffic between entities.
func (c *Cluster) Traffic() []Traffic {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.traffic
}

func compareResources(a, b *report.Resource) int {
	return cmp.Or(cmp.Compare(a.GetKind(), b.GetKind()), cmp.Compare(a.GetNamespace(), b.GetNamespace()), cmp.Compare(a.GetName(), b.GetName()))
}
