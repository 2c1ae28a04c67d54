package detect

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/fleet"
)

var start = time.Date(2026, 3, 14, 3, 0, 0, 0, time.UTC)

// world is a cluster under a clock that a test turns.
type world struct {
	t   testing.TB
	now time.Time
	c   *fleet.Cluster
	d   *Detector
	uid int
}

func newWorld(t testing.TB) *world {
	w := &world{t: t, now: start, c: fleet.New(fleet.Config{}).Join("prod"), d: New(Config{})}
	w.c.Apply(w.now, &report.ReportRequest{ResyncBegin: true, ResyncEnd: true})
	return w
}

func (w *world) ts() *timestamppb.Timestamp { return timestamppb.New(w.now) }

func (w *world) ago(d time.Duration) *timestamppb.Timestamp { return timestamppb.New(w.now.Add(-d)) }

func (w *world) put(rs ...*report.Resource) {
	for _, r := range rs {
		if r.Uid == "" {
			r.Uid = r.Kind + "/" + r.Namespace + "/" + r.Name
		}
		if r.Created == nil {
			r.Created = w.ts()
		}
	}
	w.c.Apply(w.now, &report.ReportRequest{Upserts: rs})
}

func (w *world) drop(rs ...*report.Resource) {
	var keys []*report.ResourceKey
	for _, r := range rs {
		keys = append(keys, &report.ResourceKey{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name})
	}
	w.c.Apply(w.now, &report.ReportRequest{Deletes: keys})
}

// wait lets time pass with a look every ten seconds, and gives the facts of the last one.
func (w *world) wait(d time.Duration) []Fact {
	out := w.look()
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(10 * time.Second)
		out = w.look()
	}
	return out
}

func (w *world) look() []Fact { return w.d.Evaluate(w.now, w.c) }

func lines(facts []Fact) []string {
	out := []string{}
	for _, f := range facts {
		out = append(out, fmt.Sprintf("%s %s %.2f: %s", f.Entity.Short(), f.Kind, f.Score, f.Text))
	}
	return out
}

// deployment makes a Deployment with its ReplicaSet, available as it should be.
func (w *world) deployment(name string, replicas int32) *report.Resource {
	d := &report.Resource{
		Kind: "Deployment", Namespace: "shop", Name: name, Uid: "d-" + name, Generation: 1,
		Detail: &report.Resource_Workload{Workload: &report.Workload{
			Desired: replicas, Current: replicas, Ready: replicas, Available: replicas, Updated: replicas, ObservedGeneration: 1,
			Selector: map[string]string{"app": name}, Images: map[string]string{"app": name + ":v1"},
		}},
	}
	rs := &report.Resource{
		Kind: "ReplicaSet", Namespace: "shop", Name: name + "-1", Uid: "rs-" + name, Labels: map[string]string{"app": name},
		Owners: []*report.Owner{{Kind: "Deployment", Name: name, Uid: "d-" + name, Controller: true}},
		Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: replicas, Ready: replicas, Available: replicas}},
	}
	w.put(d, rs)
	return d
}

// counts sets a workload's figures.
func (w *world) counts(d *report.Resource, available, updated int32) {
	n := clone(d)
	n.GetWorkload().Available, n.GetWorkload().Ready, n.GetWorkload().Updated = available, available, updated
	w.put(n)
}

// newPod makes a pod of a deployment that has just been created and waits for its container.
func (w *world) newPod(deployment string) *report.Resource {
	w.uid++
	p := &report.Resource{
		Kind: "Pod", Namespace: "shop", Name: fmt.Sprintf("%s-1-%d", deployment, w.uid), Uid: fmt.Sprintf("p-%d", w.uid),
		Labels: map[string]string{"app": deployment}, Created: w.ts(),
		Owners: []*report.Owner{{Kind: "ReplicaSet", Name: deployment + "-1", Uid: "rs-" + deployment, Controller: true}},
		Detail: &report.Resource_Pod{Pod: &report.Pod{
			Phase: "Pending", Node: "worker-1",
			Conditions: []*report.Condition{{Type: "Ready", Status: "False", LastTransition: w.ts()}},
			Containers: []*report.Container{{Name: "app", Image: "shop/" + deployment + ":v9", State: "waiting", Reason: "ContainerCreating", Ports: []string{"http:8080/TCP"}}},
		}},
	}
	w.put(p)
	return p
}

// pod makes a pod that has been Ready for an hour.
func (w *world) pod(deployment string) *report.Resource {
	now := w.now
	w.now = now.Add(-time.Hour)
	p := w.newPod(deployment)
	w.now = now.Add(-time.Hour + 20*time.Second)
	p = w.ready(p)
	w.now = now
	return p
}

// change replaces a pod by an altered copy.
func (w *world) change(p *report.Resource, f func(*report.Resource, *report.Container)) *report.Resource {
	n := clone(p)
	f(n, n.GetPod().GetContainers()[0])
	w.put(n)
	return n
}

func (w *world) ready(p *report.Resource) *report.Resource {
	return w.change(p, func(r *report.Resource, c *report.Container) {
		c.State, c.Reason, c.Ready, c.Started = "running", "", true, w.ts()
		r.GetPod().Phase = "Running"
		r.GetPod().Conditions[0] = &report.Condition{Type: "Ready", Status: "True", LastTransition: w.ts()}
	})
}

func (w *world) unready(p *report.Resource) *report.Resource {
	return w.change(p, func(r *report.Resource, c *report.Container) {
		c.Ready = false
		r.GetPod().Conditions[0] = &report.Condition{Type: "Ready", Status: "False", LastTransition: w.ts()}
	})
}

// crash puts a pod's container into CrashLoopBackOff.
func (w *world) crash(p *report.Resource, restarts int32) *report.Resource {
	return w.change(p, func(r *report.Resource, c *report.Container) {
		c.State, c.Reason, c.Ready, c.Restarts = "waiting", "CrashLoopBackOff", false, restarts
		c.LastReason, c.LastExitCode, c.LastFinished = "Error", 1, w.ts()
		if podReady(r.GetPod()) {
			r.GetPod().Conditions[0] = &report.Condition{Type: "Ready", Status: "False", LastTransition: w.ts()}
		}
	})
}

func (w *world) waits(p *report.Resource, reason, message string) *report.Resource {
	return w.change(p, func(_ *report.Resource, c *report.Container) {
		c.State, c.Reason, c.Message, c.Ready = "waiting", reason, message, false
	})
}

func (w *world) event(kind, name, reason, message string) *report.Resource {
	e := &report.Resource{
		Kind: "Event", Namespace: "shop", Name: name + "." + reason,
		Detail: &report.Resource_Event{Event: &report.Event{
			Type: "Warning", Reason: reason, Message: message, Count: 3, Last: w.ts(),
			Regarding: &report.ResourceKey{Kind: kind, Namespace: "shop", Name: name},
		}},
	}
	if kind == "Node" {
		e.GetEvent().Regarding.Namespace = ""
	}
	w.put(e)
	return e
}

// service makes a Service over a deployment's pods with an EndpointSlice of the given ones.
func (w *world) service(name string, ready bool, pods ...*report.Resource) {
	s := &report.Resource{Kind: "Service", Namespace: "shop", Name: name, Detail: &report.Resource_Service{Service: &report.Service{
		Selector: map[string]string{"app": name}, Ports: []*report.ServicePort{{Port: 80, TargetPort: "http"}},
	}}}
	slice := &report.Resource{Kind: "EndpointSlice", Namespace: "shop", Name: name + "-x", Detail: &report.Resource_EndpointSlice{EndpointSlice: &report.EndpointSlice{Service: name}}}
	for _, p := range pods {
		slice.GetEndpointSlice().Endpoints = append(slice.GetEndpointSlice().Endpoints, &report.Endpoint{Pod: p.Name, Ready: ready})
	}
	w.put(s, slice)
}

func (w *world) node(name, ready string, more ...*report.Condition) {
	w.put(&report.Resource{Kind: "Node", Name: name, Created: w.ago(24 * time.Hour), Detail: &report.Resource_Node{Node: &report.Node{
		Ready: ready == "True", Conditions: append([]*report.Condition{{Type: "Ready", Status: ready, Message: "kubelet stopped posting node status", LastTransition: w.ts()}}, more...),
	}}})
}

func (w *world) sample(kind, name, metric string, v float64) {
	w.c.Apply(w.now, &report.ReportRequest{Frames: []*report.TelemetryFrame{{Window: durationpb.New(10 * time.Second), Samples: []*report.Sample{
		{Entity: &report.EntityRef{Kind: kind, Namespace: "shop", Name: name}, Metric: metric, Value: v},
	}}}})
}
