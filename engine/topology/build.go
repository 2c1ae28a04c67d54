package topology

import (
	"cmp"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
)

// routeKinds are the kinds that carry backends: an Ingress and its cousins, each a vertex under its own kind.
var routeKinds = []string{entity.Ingress, "IngressRoute", "HTTPRoute", "GRPCRoute"}

// Build draws the graph of a cluster's current state. extra are edges from elsewhere, such as a replayed case; they
// are taken as they are. The same state gives the same graph in whatever order it was reported.
//
// Services are joined to pods by their EndpointSlices: a label scan would count pods that take no requests and misses
// what selects nothing. Only for a service without any pod behind it is its selector compared with the workloads'
// own, so that one scaled to zero still hangs together.
func Build(c *fleet.Cluster, extra []Edge) *Graph {
	b := builder{c: c, podsOf: map[entity.Ref]int{}, ownerOf: map[entity.Ref]entity.Ref{}}
	b.nodes()
	b.workloads()
	b.pods()
	b.services()
	b.routes()
	b.traffic()
	b.edges = append(b.edges, extra...)
	return New(b.vertices, b.edges)
}

type builder struct {
	c        *fleet.Cluster
	vertices []entity.Ref
	edges    []Edge
	desired  map[entity.Ref]int
	podsOf   map[entity.Ref]int        // workload → pods that count
	ownerOf  map[entity.Ref]entity.Ref // pod → workload
}

func (b *builder) ref(kind, namespace, name string) entity.Ref {
	return entity.Ref{Cluster: b.c.ID(), Kind: kind, Namespace: namespace, Name: name}
}

func (b *builder) vertex(r entity.Ref) { b.vertices = append(b.vertices, r) }

func (b *builder) edge(from, to entity.Ref, t EdgeType, weight float64) {
	b.edges = append(b.edges, Edge{From: from, To: to, Type: t, Weight: min(1, max(0, weight))})
}

func (b *builder) nodes() {
	for _, n := range b.c.List(entity.Node, "") {
		b.vertex(b.c.Ref(n))
	}
}

func (b *builder) workloads() {
	b.desired = map[entity.Ref]int{}
	for _, kind := range []string{entity.Deployment, entity.StatefulSet, entity.DaemonSet, entity.ReplicaSet, entity.Job, entity.CronJob} {
		for _, w := range b.c.List(kind, "") {
			ref := b.c.Ref(w)
			if b.c.Workload(w) != ref {
				continue // it stands for its owner: a ReplicaSet for its Deployment, a Job for its CronJob
			}
			b.vertex(ref)
			b.desired[ref] = int(w.GetWorkload().GetDesired())
		}
	}
}

func (b *builder) pods() {
	pods := b.c.List(entity.Pod, "")
	for _, p := range pods {
		ref := b.c.Ref(p)
		b.vertex(ref)
		if owner := b.c.Workload(p); owner != ref {
			b.ownerOf[ref] = owner
			if serves(p) {
				b.podsOf[owner]++
			}
		}
	}
	for _, p := range pods {
		ref := b.c.Ref(p)
		if node := p.GetPod().GetNode(); node != "" {
			b.edge(ref, b.ref(entity.Node, "", node), RunsOn, 1)
		}
		owner, owned := b.ownerOf[ref]
		if !owned {
			continue
		}
		share := 0.0 // a pod that has ended takes no capacity with it: twenty evicted ones beside three good ones are no outage
		if serves(p) {
			share = 1 / float64(max(b.desired[owner], b.podsOf[owner]))
		}
		b.edge(owner, ref, Selects, share)
	}
}

func serves(p *report.Resource) bool {
	phase := p.GetPod().GetPhase()
	return phase != "Succeeded" && phase != "Failed"
}

func (b *builder) services() {
	behind := map[entity.Ref]map[string]bool{} // service → names of pods
	for _, s := range b.c.List("EndpointSlice", "") {
		service := b.ref(entity.Service, s.GetNamespace(), s.GetEndpointSlice().GetService())
		for _, e := range s.GetEndpointSlice().GetEndpoints() {
			if e.GetPod() == "" {
				continue
			}
			if behind[service] == nil {
				behind[service] = map[string]bool{}
			}
			behind[service][e.GetPod()] = true
		}
	}
	for _, s := range b.c.List(entity.Service, "") {
		service := b.c.Ref(s)
		b.vertex(service)
		if name := s.GetService().GetExternalName(); name != "" {
			b.edge(service, b.ref(entity.External, "", name), Calls, 1)
		}
		shares, total := map[entity.Ref]int{}, 0
		for name := range behind[service] {
			pod := b.ref(entity.Pod, service.Namespace, name)
			if b.c.Find(pod) == nil {
				continue // the slice still names a pod that is gone
			}
			total++
			shares[cmp.Or(b.ownerOf[pod], pod)]++
		}
		for to, n := range shares {
			b.edge(service, to, Selects, float64(n)/float64(total))
		}
		if total == 0 {
			b.selected(s, service)
		}
	}
}

// selected joins a service without pods to the workloads whose pods it would select.
func (b *builder) selected(s *report.Resource, service entity.Ref) {
	want := s.GetService().GetSelector()
	if len(want) == 0 {
		return
	}
	for _, kind := range []string{entity.Deployment, entity.StatefulSet, entity.DaemonSet} {
		for _, w := range b.c.List(kind, service.Namespace) {
			have, matches := w.GetWorkload().GetSelector(), true
			for k, v := range want {
				matches = matches && have[k] == v
			}
			if matches {
				b.edge(service, b.c.Ref(w), Selects, 1)
			}
		}
	}
}

func (b *builder) routes() {
	for _, kind := range routeKinds {
		for _, r := range b.c.List(kind, "") {
			from := b.c.Ref(r)
			b.vertex(from)
			for _, backend := range r.GetIngress().GetBackends() {
				to := b.ref(entity.Service, cmp.Or(backend.GetServiceNamespace(), r.GetNamespace()), backend.GetService())
				if b.c.Find(to) != nil {
					b.edge(from, to, RoutesTo, 1)
				}
			}
		}
	}
}

// traffic adds calls, and measures the routes that it matches. A weight is the share of the caller's own requests that
// the callee sees a part of: its rate on the edge over the rate of what comes in, or of all that goes out where nobody counts what comes in.
func (b *builder) traffic() {
	seen := slices.Clone(b.c.Traffic())
	in, out := map[entity.Ref]float64{}, map[entity.Ref]float64{}
	for i := range seen {
		t := &seen[i]
		t.From, t.To = b.known(t.From), b.known(t.To)
	}
	slices.SortFunc(seen, func(x, y fleet.Traffic) int { // sums of floats depend on their order
		return cmp.Or(entity.Compare(x.From, y.From), entity.Compare(x.To, y.To), compareTraffic(&x, &y))
	})
	for _, t := range seen {
		if t.From != t.To {
			in[t.To] += max(0, t.RequestsPerSecond)
			out[t.From] += max(0, t.RequestsPerSecond)
		}
	}
	routes := map[[2]entity.Ref]int{}
	for i, e := range b.edges {
		if e.Type == RoutesTo {
			routes[[2]entity.Ref{e.From, e.To}] = i
		}
	}
	for i := range seen {
		t := &seen[i]
		if t.From.Name == "" || t.To.Name == "" {
			continue
		}
		own := in[t.From]
		if r, ok := b.c.Readings(t.From)["request_rate"]; ok && r.Value > 0 {
			own = r.Value
		}
		if own <= 0 {
			own = out[t.From]
		}
		weight := 1.0
		if own > 0 {
			weight = min(1, max(0, t.RequestsPerSecond)/own)
		}
		if r, ok := routes[[2]entity.Ref{t.From, t.To}]; ok {
			b.edges[r].Weight, b.edges[r].Traffic = weight, t
			continue
		}
		b.edges = append(b.edges, Edge{From: t.From, To: t.To, Type: Calls, Weight: weight, Traffic: t})
	}
}

// known turns a service that the cluster does not have into an External: what it is called is all that is known of it.
func (b *builder) known(r entity.Ref) entity.Ref {
	if r.Kind == entity.Service && b.c.Find(r) == nil {
		r.Kind = entity.External
	}
	return r
}

func unixNano(n int64) time.Time { return time.Unix(0, n).UTC() }
