// Package bench measures what the engine costs on a cluster of a known shape, from one seed: 200 nodes, 20 namespaces, 500
// services each with a Deployment, 5,000 pods, 100 ingresses, 500 warning events, 50 pods in a crash loop, and 20,400 samples a
// tick, 24,402 with telemetry; and on ten and a hundred of them in one.
package bench

import (
	"fmt"
	"math/rand/v2"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// Shape is how many there are of each.
type Shape struct{ Nodes, Namespaces, Services, PodsEach, Ingresses, Events, Crashing int }

// One is the shape that everything is compared at; Times is so many of it in one cluster.
var One = Shape{Nodes: 200, Namespaces: 20, Services: 500, PodsEach: 10, Ingresses: 100, Events: 500, Crashing: 50}

// Times gives the shape of n clusters in one.
func (s Shape) Times(n int) Shape {
	return Shape{s.Nodes * n, s.Namespaces * n, s.Services * n, s.PodsEach, s.Ingresses * n, s.Events * n, s.Crashing * n}
}

const cluster = "bench"

var epoch = time.Date(2026, 3, 3, 3, 0, 0, 0, time.UTC)

// world makes reports of a cluster of a shape.
type world struct {
	shape     Shape
	r         *rand.Rand
	resources []*report.Resource
	pods      []*report.Resource
	frame     *report.TelemetryFrame
	calls     []*report.GenericEdge
}

func owner(kind, name string) []*report.Owner {
	return []*report.Owner{{Kind: kind, Name: name, Uid: kind + "/" + name, Controller: true}}
}

func newWorld(shape Shape, seed uint64) *world {
	w := &world{shape: shape, r: rand.New(rand.NewPCG(seed, 1))}
	day := timestamppb.New(epoch.Add(-24 * time.Hour))
	for n := range shape.Nodes {
		name := fmt.Sprintf("node-%d", n)
		w.resources = append(w.resources, &report.Resource{Kind: entity.Node, Name: name, Uid: "Node/" + name, Created: day, Detail: &report.Resource_Node{Node: &report.Node{
			Ready: true, Conditions: []*report.Condition{{Type: "Ready", Status: "True", LastTransition: day}},
		}}})
	}
	for s := range shape.Services {
		w.service(s, day)
	}
	for i := range shape.Ingresses {
		s := i % shape.Services
		w.resources = append(w.resources, &report.Resource{Kind: entity.Ingress, Namespace: w.space(s), Name: fmt.Sprintf("front-%d", i), Uid: fmt.Sprintf("Ingress/%d", i), Created: day,
			Detail: &report.Resource_Ingress{Ingress: &report.Ingress{Backends: []*report.IngressBackend{{Host: "h", Path: "/", Service: serviceName(s)}}}}})
	}
	for i := range shape.Crashing { // spread over the services: a pod of every tenth
		p := w.pods[(i*shape.PodsEach*10)%len(w.pods)]
		c := p.GetPod().GetContainers()[0]
		c.State, c.Reason, c.Ready, c.Restarts = "waiting", "CrashLoopBackOff", false, 7
		c.LastReason, c.LastExitCode, c.LastFinished = "Error", 1, timestamppb.New(epoch)
		p.GetPod().Conditions[0] = &report.Condition{Type: "Ready", Status: "False", LastTransition: timestamppb.New(epoch)}
	}
	for i := range shape.Events {
		p := w.pods[w.r.IntN(len(w.pods))]
		w.resources = append(w.resources, &report.Resource{Kind: "Event", Namespace: p.GetNamespace(), Name: fmt.Sprintf("event-%d", i), Uid: fmt.Sprintf("Event/%d", i), Detail: &report.Resource_Event{Event: &report.Event{
			Type: "Warning", Reason: "DNSConfigForming", Last: timestamppb.New(epoch), Count: 3,
		}}})
	}
	w.telemetry()
	return w
}

func serviceName(s int) string      { return fmt.Sprintf("service-%d", s) }
func (w *world) space(s int) string { return fmt.Sprintf("space-%d", s%w.shape.Namespaces) }

func (w *world) service(s int, day *timestamppb.Timestamp) {
	name, space := serviceName(s), w.space(s)
	labels := map[string]string{"app": name}
	n := int32(w.shape.PodsEach)
	w.resources = append(w.resources,
		&report.Resource{Kind: entity.Deployment, Namespace: space, Name: name, Uid: "Deployment/" + name, Generation: 1, Created: day, Detail: &report.Resource_Workload{Workload: &report.Workload{
			Desired: n, Current: n, Ready: n, Available: n, Updated: n, ObservedGeneration: 1, Revision: "1", TemplateHash: "t", Selector: labels, Images: map[string]string{"app": "v1", "sidecar": "v1"},
		}}},
		&report.Resource{Kind: entity.ReplicaSet, Namespace: space, Name: name + "-rs", Uid: "ReplicaSet/" + name + "-rs", Created: day, Labels: labels, Owners: owner(entity.Deployment, name),
			Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: n, Ready: n, Available: n}}},
		&report.Resource{Kind: entity.Service, Namespace: space, Name: name, Uid: "Service/" + name, Created: day, Detail: &report.Resource_Service{Service: &report.Service{Selector: labels}}})
	slice := &report.EndpointSlice{Service: name}
	for k := range w.shape.PodsEach {
		pod := fmt.Sprintf("%s-rs-%d", name, k)
		p := &report.Resource{Kind: entity.Pod, Namespace: space, Name: pod, Uid: "Pod/" + pod, Created: day, Labels: labels, Owners: owner(entity.ReplicaSet, name+"-rs"),
			Detail: &report.Resource_Pod{Pod: &report.Pod{
				Phase: "Running", Node: fmt.Sprintf("node-%d", (s*w.shape.PodsEach+k)%w.shape.Nodes), Conditions: []*report.Condition{{Type: "Ready", Status: "True", LastTransition: day}},
				Containers: []*report.Container{{Name: "app", Image: "v1", State: "running", Ready: true, Started: day}, {Name: "sidecar", Image: "v1", State: "running", Ready: true, Started: day}},
			}}}
		w.pods = append(w.pods, p)
		slice.Endpoints = append(slice.Endpoints, &report.Endpoint{Pod: pod, Ready: true})
	}
	w.resources = append(w.resources, w.pods[len(w.pods)-w.shape.PodsEach:]...)
	w.resources = append(w.resources, &report.Resource{Kind: "EndpointSlice", Namespace: space, Name: name + "-x", Uid: "slice/" + name, Created: day, Detail: &report.Resource_EndpointSlice{EndpointSlice: slice}})
	for range 2 {
		if s > 0 {
			to := w.r.IntN(s)
			w.calls = append(w.calls, &report.GenericEdge{From: &report.EntityRef{Kind: entity.Service, Namespace: space, Name: name},
				To: &report.EntityRef{Kind: entity.Service, Namespace: w.space(to), Name: serviceName(to)}, Type: "calls"})
		}
	}
}

// telemetry makes the samples of a tick: two of each node, four of each pod (20,400 at One), and eight of each service and
// one and two of … the ingresses with telemetry.
func (w *world) telemetry() {
	w.frame = &report.TelemetryFrame{Window: durationpb.New(10 * time.Second)}
	add := func(r *report.EntityRef, metric string, value, count float64) {
		w.frame.Samples = append(w.frame.Samples, &report.Sample{Entity: r, Metric: metric, Value: value, Count: count})
	}
	for _, p := range w.pods {
		r := &report.EntityRef{Kind: entity.Pod, Namespace: p.GetNamespace(), Name: p.GetName()}
		add(r, "cpu_usage", 0.2, 0)
		add(r, "memory_usage", 0.4, 0)
		add(r, "restart_count", 0, 0)
		add(r, "not_ready_containers", 0, 0)
	}
	for n := range w.shape.Nodes {
		r := &report.EntityRef{Kind: entity.Node, Name: fmt.Sprintf("node-%d", n)}
		add(r, "cpu_usage", 0.5, 0)
		add(r, "memory_usage", 0.5, 0)
	}
	for s := range w.shape.Services {
		r := &report.EntityRef{Kind: entity.Service, Namespace: w.space(s), Name: serviceName(s)}
		for _, m := range []string{"error_rate", "avg_latency", "p50_latency", "p95_latency", "p99_latency", "request_rate"} {
			add(r, m, map[bool]float64{true: 50, false: 0.01}[m == "request_rate"], 500)
		}
	}
	for i := range w.shape.Ingresses {
		r := &report.EntityRef{Kind: entity.Ingress, Namespace: w.space(i % w.shape.Services), Name: fmt.Sprintf("front-%d", i)}
		for k := range 10 {
			add(r, []string{"error_rate", "avg_latency", "p50_latency", "p90_latency", "p95_latency", "p99_latency", "request_rate", "p75_latency", "upstream_error_ratio", "connect_latency"}[k],
				map[bool]float64{true: 50, false: 0.01}[k == 6], 500)
		}
	}
	node := &report.EntityRef{Kind: entity.Node, Name: "node-0"}
	add(node, "psi_cpu", 0.01, 0)
	add(node, "psi_io", 0.01, 0)
}

// samples gives the next tick's frame: every value moves by its noise.
func (w *world) samples(at time.Time) *report.TelemetryFrame {
	w.frame.Time = timestamppb.New(at)
	for i, s := range w.frame.GetSamples() {
		switch s.GetMetric() {
		case "restart_count", "not_ready_containers":
		default:
			base := 0.01
			switch {
			case s.GetMetric() == "request_rate":
				base = 50
			case s.GetEntity().GetKind() == entity.Pod:
				base = 0.2
			case s.GetEntity().GetKind() == entity.Node:
				base = 0.5
			}
			// A triangle of period 17 is cheap, and never three deviations wide.
			s.Value = base * (1 + 0.02*float64((i*7+int(at.Unix()/10))%17-8)/8)
		}
	}
	return w.frame
}
