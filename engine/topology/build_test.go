package topology_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/topology"
)

var start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ref(kind, name string) entity.Ref {
	r := entity.Ref{Cluster: "prod", Kind: kind, Namespace: "shop", Name: name}
	if kind == entity.Node || kind == entity.External {
		r.Namespace = ""
	}
	return r
}

func owned(kind, name string) []*report.Owner {
	return []*report.Owner{{Kind: kind, Name: name, Uid: kind + "/" + name, Controller: true}}
}

// shop is an ingress over cart (two replicas through a ReplicaSet) and a canary of it, with redis as a StatefulSet, a
// bare pod behind a service, one service scaled to zero and one that is another name for something outside.
func shop() *report.ReportRequest {
	r := func(kind, name string, owners []*report.Owner) *report.Resource {
		return &report.Resource{Kind: kind, Namespace: "shop", Name: name, Uid: kind + "/" + name, Owners: owners}
	}
	pod := func(name, node, phase string, owners []*report.Owner) *report.Resource {
		p := r(entity.Pod, name, owners)
		p.Detail = &report.Resource_Pod{Pod: &report.Pod{Node: node, Phase: phase}}
		return p
	}
	workload := func(kind, name string, desired int32, selector map[string]string, owners []*report.Owner) *report.Resource {
		w := r(kind, name, owners)
		w.Detail = &report.Resource_Workload{Workload: &report.Workload{Desired: desired, Selector: selector}}
		return w
	}
	service := func(name string, s *report.Service) *report.Resource {
		x := r(entity.Service, name, nil)
		x.Detail = &report.Resource_Service{Service: s}
		return x
	}
	slice := func(service string, pods ...string) *report.Resource {
		x := r("EndpointSlice", service+"-x1", nil)
		d := &report.EndpointSlice{Service: service}
		for _, p := range pods {
			d.Endpoints = append(d.Endpoints, &report.Endpoint{Pod: p, Ready: true})
		}
		x.Detail = &report.Resource_EndpointSlice{EndpointSlice: d}
		return x
	}
	ingress := r(entity.Ingress, "web", nil)
	ingress.Detail = &report.Resource_Ingress{Ingress: &report.Ingress{Backends: []*report.IngressBackend{{Service: "cart"}, {Service: "gone"}}}}
	route := r("HTTPRoute", "api", nil)
	route.Detail = &report.Resource_Ingress{Ingress: &report.Ingress{Backends: []*report.IngressBackend{{Service: "redis", ServiceNamespace: "shop"}}}}
	node := &report.Resource{Kind: entity.Node, Name: "n1", Uid: "n1", Detail: &report.Resource_Node{Node: &report.Node{Ready: true}}}
	return &report.ReportRequest{
		ResyncBegin: true, ResyncEnd: true,
		Upserts: []*report.Resource{
			node, ingress, route,
			workload(entity.Deployment, "cart", 2, nil, nil), workload(entity.ReplicaSet, "cart-1", 2, nil, owned(entity.Deployment, "cart")),
			workload(entity.Deployment, "canary", 1, nil, nil), workload(entity.ReplicaSet, "canary-1", 1, nil, owned(entity.Deployment, "canary")),
			workload(entity.StatefulSet, "redis", 4, nil, nil),
			workload(entity.Deployment, "idle", 0, map[string]string{"app": "idle", "tier": "back"}, nil),
			pod("cart-1-a", "n1", "Running", owned(entity.ReplicaSet, "cart-1")), pod("cart-1-b", "n1", "Running", owned(entity.ReplicaSet, "cart-1")),
			pod("cart-1-old", "n1", "Failed", owned(entity.ReplicaSet, "cart-1")),
			pod("canary-1-a", "", "Pending", owned(entity.ReplicaSet, "canary-1")),
			pod("redis-0", "n1", "Running", owned(entity.StatefulSet, "redis")), pod("bare", "n1", "Running", nil),
			service("cart", &report.Service{}), slice("cart", "cart-1-a", "cart-1-b", "canary-1-a", "vanished"),
			service("redis", &report.Service{}), slice("redis", "redis-0"),
			service("bare", &report.Service{}), slice("bare", "bare"),
			service("idle", &report.Service{Selector: map[string]string{"app": "idle"}}), slice("idle"),
			service("pay", &report.Service{ExternalName: "pay.example.com"}),
		},
		Frames: []*report.TelemetryFrame{{Traffic: []*report.Traffic{
			{From: &report.EntityRef{Kind: "Ingress", Namespace: "shop", Name: "web"}, To: &report.EntityRef{Kind: "Service", Namespace: "shop", Name: "cart"}, RequestsPerSecond: 50},
			{From: &report.EntityRef{Kind: "Deployment", Namespace: "shop", Name: "cart"}, To: &report.EntityRef{Kind: "Service", Namespace: "shop", Name: "redis"}, RequestsPerSecond: 30, LatencyAvgSeconds: 0.01},
			{From: &report.EntityRef{Kind: "Deployment", Namespace: "shop", Name: "cart"}, To: &report.EntityRef{Kind: "Service", Name: "mail.example.com"}, RequestsPerSecond: 10},
			{From: &report.EntityRef{Kind: "Deployment", Namespace: "shop", Name: "cart"}, To: &report.EntityRef{Kind: "Deployment", Namespace: "shop", Name: "cart"}, RequestsPerSecond: 5},
			{From: &report.EntityRef{Kind: "StatefulSet", Namespace: "shop", Name: "redis"}, To: &report.EntityRef{Kind: "Service", Namespace: "shop", Name: "cart"}, RequestsPerSecond: 1},
		}}},
	}
}

func built(b *report.ReportRequest) *topology.Graph {
	c := fleet.New(fleet.Config{}).Join("prod")
	c.Apply(start, b)
	return topology.Build(c, nil)
}

func TestBuildJoinsTheShop(t *testing.T) {
	g := built(shop())
	got := map[string]float64{}
	for _, e := range g.Edges() {
		got[fmt.Sprintf("%s -%s-> %s", e.From.Short(), e.Type, e.To.Short())] = e.Weight
	}
	want := map[string]float64{
		"ingress/web -routes_to-> service/cart":              1,
		"httproute/api -routes_to-> service/redis":           1,
		"service/cart -selects-> deployment/cart":            2.0 / 3,
		"service/cart -selects-> deployment/canary":          1.0 / 3,
		"service/redis -selects-> statefulset/redis":         1,
		"service/bare -selects-> pod/bare":                   1,
		"service/idle -selects-> deployment/idle":            1,
		"service/pay -calls-> external/pay.example.com":      1,
		"deployment/cart -selects-> pod/cart-1-a":            0.5,
		"deployment/cart -selects-> pod/cart-1-b":            0.5,
		"deployment/cart -selects-> pod/cart-1-old":          0, // ended: it takes no capacity with it
		"deployment/canary -selects-> pod/canary-1-a":        1,
		"statefulset/redis -selects-> pod/redis-0":           0.25, // four are wanted
		"pod/cart-1-a -runs_on-> node/n1":                    1,
		"pod/cart-1-b -runs_on-> node/n1":                    1,
		"pod/cart-1-old -runs_on-> node/n1":                  1,
		"pod/redis-0 -runs_on-> node/n1":                     1,
		"pod/bare -runs_on-> node/n1":                        1,
		"deployment/cart -calls-> service/redis":             0.75, // 30 of the 40 that go out: nobody counts what comes in
		"deployment/cart -calls-> external/mail.example.com": 0.25,
		"deployment/cart -calls-> deployment/cart":           0.125,
		"statefulset/redis -calls-> service/cart":            1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestTheGraphIsTheSameInWhateverOrderItWasReported(t *testing.T) {
	want, err := json.Marshal(built(shop()))
	if err != nil {
		t.Fatal(err)
	}
	for range 100 {
		b := shop()
		rand.Shuffle(len(b.Upserts), func(i, j int) { b.Upserts[i], b.Upserts[j] = b.Upserts[j], b.Upserts[i] })
		tr := b.Frames[0].Traffic
		rand.Shuffle(len(tr), func(i, j int) { tr[i], tr[j] = tr[j], tr[i] })
		got, err := json.Marshal(built(b))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), string(got)); diff != "" {
			t.Fatal(diff)
		}
	}
}

func TestWalks(t *testing.T) {
	g := built(shop())
	for name, tc := range map[string]struct{ got, want []entity.Ref }{
		"one step down an ingress is its service": {g.Downstream(ref("Ingress", "web"), 1), []entity.Ref{ref("Service", "cart")}},
		"a path follows the dependencies": {
			g.Path(ref("Ingress", "web"), ref("StatefulSet", "redis")),
			[]entity.Ref{ref("Ingress", "web"), ref("Service", "cart"), ref("Deployment", "cart"), ref("Service", "redis"), ref("StatefulSet", "redis")},
		},
		"there is no path against them":           {g.Path(ref("Node", "n1"), ref("Ingress", "web")), nil},
		"a path to itself is itself":              {g.Path(ref("Node", "n1"), ref("Node", "n1")), []entity.Ref{ref("Node", "n1")}},
		"a path to what is not known is none":     {g.Path(ref("Node", "n1"), ref("Node", "n2")), nil},
		"services of a workload":                  {g.ServicesOf(ref("Deployment", "canary")), []entity.Ref{ref("Service", "cart")}},
		"what is not known has nothing upstream":  {g.Upstream(ref("Service", "nobody"), 0), nil},
		"the workload of a pod":                   {[]entity.Ref{g.WorkloadOf(ref("Pod", "cart-1-a"))}, []entity.Ref{ref("Deployment", "cart")}},
		"the workload of a service that has one":  {[]entity.Ref{g.WorkloadOf(ref("Service", "redis"))}, []entity.Ref{ref("StatefulSet", "redis")}},
		"a service over two workloads has no one": {[]entity.Ref{g.WorkloadOf(ref("Service", "cart"))}, []entity.Ref{{}}},
		"a bare pod has none":                     {[]entity.Ref{g.WorkloadOf(ref("Pod", "bare"))}, []entity.Ref{{}}},
		"upstream of redis, nearest first, in order": {
			g.Upstream(ref("Service", "redis"), 0),
			[]entity.Ref{ref("Deployment", "cart"), ref("HTTPRoute", "api"), ref("Service", "cart"), ref("Ingress", "web"), ref("StatefulSet", "redis")},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(tc.want, tc.got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEverythingComesAfterWhatItDependsOn(t *testing.T) {
	g := built(shop())
	order, starts := g.Order()
	if len(order) != g.N() {
		t.Fatalf("%d of %d vertices are in order", len(order), g.N())
	}
	component := make([]int, g.N())
	for k := range len(starts) - 1 {
		for _, v := range order[starts[k]:starts[k+1]] {
			component[v] = k
		}
	}
	for _, e := range g.Edges() {
		from, _ := g.Index(e.From)
		to, _ := g.Index(e.To)
		if component[from] < component[to] {
			t.Errorf("%s comes before %s", e.From, e.To)
		}
	}
	cart, _ := g.Index(ref("Deployment", "cart"))
	redis, _ := g.Index(ref("StatefulSet", "redis"))
	if component[cart] != component[redis] {
		t.Error("cart and redis call each other and are not one component")
	}
}

func TestRestoreGivesTheSameGraph(t *testing.T) {
	g := built(shop())
	blob, err := json.Marshal(g)
	if err != nil {
		t.Fatal(err)
	}
	got, err := topology.Restore(blob)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(g.Edges(), got.Edges()); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(g.Vertices(), got.Vertices()); diff != "" {
		t.Error(diff)
	}
	if g.N() == 0 || (&topology.Graph{}).Has(ref("Node", "n1")) {
		t.Error("the graph is empty")
	}
}

func FuzzRestore(f *testing.F) {
	blob, _ := json.Marshal(built(shop()))
	f.Add(blob)
	f.Add([]byte(`{"version":1,"vertices":[],"edges":[{"f":0,"t":9}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		g, err := topology.Restore(data)
		if err != nil {
			return
		}
		if order, _ := g.Order(); len(order) != g.N() {
			t.Fatal("order is incomplete")
		}
	})
}

func BenchmarkBuild(b *testing.B) {
	c := fleet.New(fleet.Config{}).Join("prod")
	batch := &report.ReportRequest{ResyncBegin: true, ResyncEnd: true}
	for d := range 500 {
		name := fmt.Sprintf("d%d", d)
		batch.Upserts = append(batch.Upserts,
			&report.Resource{Kind: entity.Deployment, Namespace: "shop", Name: name, Uid: name, Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: 10}}},
			&report.Resource{Kind: entity.Service, Namespace: "shop", Name: name, Uid: "s" + name, Detail: &report.Resource_Service{Service: &report.Service{}}})
		slice := &report.EndpointSlice{Service: name}
		for p := range 10 {
			pod := fmt.Sprintf("%s-%d", name, p)
			batch.Upserts = append(batch.Upserts, &report.Resource{
				Kind: entity.Pod, Namespace: "shop", Name: pod, Uid: pod, Owners: []*report.Owner{{Kind: entity.Deployment, Name: name, Uid: name, Controller: true}},
				Detail: &report.Resource_Pod{Pod: &report.Pod{Node: fmt.Sprintf("n%d", p*d%200)}},
			})
			slice.Endpoints = append(slice.Endpoints, &report.Endpoint{Pod: pod})
		}
		batch.Upserts = append(batch.Upserts, &report.Resource{Kind: "EndpointSlice", Namespace: "shop", Name: name, Detail: &report.Resource_EndpointSlice{EndpointSlice: slice}})
	}
	c.Apply(start, batch)
	for b.Loop() {
		topology.Build(c, nil)
	}
}
