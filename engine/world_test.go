package engine_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/storage"
)

var night = time.Date(2026, 3, 3, 2, 45, 0, 0, time.UTC)

// world is an engine on a store in memory, under a clock that only the test turns.
type world struct {
	t        testing.TB
	now      time.Time
	db       *storage.DB
	e        *engine.Engine
	formulas engine.Formulas
	fed      map[string]func(time.Time) *report.ReportRequest // what each cluster's agent reports at every tick
}

func newWorld(t testing.TB) *world {
	t.Helper()
	w := &world{t: t, now: night, fed: map[string]func(time.Time) *report.ReportRequest{}}
	var err error
	if w.db, err = storage.Open(t.Context(), ":memory:", storage.Config{Now: func() time.Time { return w.now }}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := w.db.Close(); err != nil {
			t.Error(err)
		}
	})
	w.start()
	t.Cleanup(func() { w.e.Close() })
	return w
}

// start starts an engine on the store, as a new process would.
func (w *world) start() {
	w.t.Helper()
	var err error
	if w.e, err = engine.New(w.t.Context(), engine.Config{Store: w.db, Now: func() time.Time { return w.now }, Formulas: w.formulas}); err != nil {
		w.t.Fatal(err)
	}
}

// restart ends the engine as SIGTERM does and starts another one. Its clusters join again with their state of now.
func (w *world) restart() {
	w.t.Helper()
	if err := w.e.Save(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
	w.e.Close()
	w.start()
}

func (w *world) join(cluster string, skew time.Duration, rs ...*report.Resource) {
	w.t.Helper()
	w.e.Joined(cluster, &report.JoinRequest{Cluster: cluster, AgentVersion: "v1", KubernetesVersion: "v1.36.0"}, skew)
	w.ingest(cluster, &report.ReportRequest{ResyncBegin: true, ResyncEnd: true, Upserts: rs})
	w.fed[cluster] = func(time.Time) *report.ReportRequest { return &report.ReportRequest{} }
}

func (w *world) ingest(cluster string, b *report.ReportRequest) {
	w.t.Helper()
	if err := w.e.Ingest(w.t.Context(), cluster, b); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) evaluate() {
	w.t.Helper()
	if err := w.e.Evaluate(w.t.Context(), w.now); err != nil {
		w.t.Fatal(err)
	}
}

// pass lets time pass. Every agent that is fed reports each ten seconds, and the engine evaluates after it.
func (w *world) pass(d time.Duration) {
	w.t.Helper()
	for end := w.now.Add(d); w.now.Before(end); {
		w.now = w.now.Add(10 * time.Second)
		for _, c := range w.e.Fleet.Clusters() {
			if feed := w.fed[c]; feed != nil {
				w.ingest(c, feed(w.now))
			}
		}
		w.evaluate()
	}
}

// events gives what was told of a cluster, without what belongs to incidents.
func (w *world) events(cluster string) []string {
	w.t.Helper()
	all, err := w.db.EventsAfter(w.t.Context(), 0, 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	var out []string
	for _, e := range all {
		if e.Cluster == cluster && strings.HasPrefix(string(e.Type), "cluster.") {
			out = append(out, strings.TrimPrefix(string(e.Type), "cluster.")+": "+e.Note)
		}
	}
	return out
}

func (w *world) told(t event.Type) (out []event.Event) {
	w.t.Helper()
	all, err := w.db.EventsAfter(w.t.Context(), 0, 10_000)
	if err != nil {
		w.t.Fatal(err)
	}
	return slices.DeleteFunc(all, func(e event.Event) bool { return e.Type != t })
}

func (w *world) incidents() []*incident.Incident {
	w.t.Helper()
	is, err := w.e.ListIncidents(w.t.Context(), incident.Filter{})
	if err != nil {
		w.t.Fatal(err)
	}
	return is
}

func (w *world) ts(ago time.Duration) *timestamppb.Timestamp { return timestamppb.New(w.now.Add(-ago)) }

func owned(kind, name string) []*report.Owner {
	return []*report.Owner{{Kind: kind, Name: name, Uid: kind + "/" + name, Controller: true}}
}

// app gives a Deployment of three pods that have run for a day, with its ReplicaSet, its Service and their node.
func (w *world) app(name, image string) []*report.Resource {
	day, labels := w.ts(24*time.Hour), map[string]string{"app": name}
	out := []*report.Resource{
		{Kind: entity.Node, Name: "worker-1", Uid: "Node/worker-1", Created: day, Detail: &report.Resource_Node{Node: &report.Node{
			Ready: true, Conditions: []*report.Condition{{Type: "Ready", Status: "True", LastTransition: day}},
		}}},
		{Kind: entity.Deployment, Namespace: "shop", Name: name, Uid: "Deployment/" + name, Generation: 1, Created: day, Detail: &report.Resource_Workload{Workload: &report.Workload{
			Desired: 3, Current: 3, Ready: 3, Available: 3, Updated: 3, ObservedGeneration: 1, Revision: "17", TemplateHash: "t-" + image,
			Selector: labels, Images: map[string]string{"app": image},
		}}},
		{Kind: entity.ReplicaSet, Namespace: "shop", Name: name + "-1", Uid: "ReplicaSet/" + name + "-1", Created: day, Labels: labels, Owners: owned(entity.Deployment, name),
			Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: 3, Ready: 3, Available: 3, Revision: "17", TemplateHash: "t-" + image}}},
		{Kind: entity.Service, Namespace: "shop", Name: name, Uid: "Service/" + name, Created: day, Detail: &report.Resource_Service{Service: &report.Service{Selector: labels}}},
	}
	slice := &report.EndpointSlice{Service: name}
	for i := range 3 {
		pod := fmt.Sprintf("%s-1-%d", name, i)
		out = append(out, &report.Resource{
			Kind: entity.Pod, Namespace: "shop", Name: pod, Uid: "Pod/" + pod, Created: day, Labels: labels, Owners: owned(entity.ReplicaSet, name+"-1"),
			Detail: &report.Resource_Pod{Pod: &report.Pod{
				Phase: "Running", Node: "worker-1", Conditions: []*report.Condition{{Type: "Ready", Status: "True", LastTransition: day}},
				Containers: []*report.Container{{Name: "app", Image: image, State: "running", Ready: true, Started: day}},
			}},
		})
		slice.Endpoints = append(slice.Endpoints, &report.Endpoint{Pod: pod, Ready: true})
	}
	return append(out, &report.Resource{Kind: "EndpointSlice", Namespace: "shop", Name: name + "-x", Uid: "slice/" + name, Created: day,
		Detail: &report.Resource_EndpointSlice{EndpointSlice: slice}})
}

// crashed gives the pods of an app in CrashLoopBackOff, by the clock of the cluster, which may be ahead of ours.
func (w *world) crashed(app []*report.Resource, ahead time.Duration) []*report.Resource {
	var out []*report.Resource
	for _, r := range app {
		if r.GetPod() == nil {
			continue
		}
		p := proto.CloneOf(r)
		c := p.GetPod().GetContainers()[0]
		c.State, c.Reason, c.Ready, c.Restarts = "waiting", "CrashLoopBackOff", false, 4
		c.LastReason, c.LastExitCode, c.LastFinished = "Error", 1, timestamppb.New(w.now.Add(ahead))
		p.GetPod().Conditions[0] = &report.Condition{Type: "Ready", Status: "False", LastTransition: timestamppb.New(w.now.Add(ahead))}
		out = append(out, p)
	}
	return out
}

func (w *world) frame(samples ...*report.Sample) *report.ReportRequest {
	return &report.ReportRequest{Frames: []*report.TelemetryFrame{{Time: timestamppb.New(w.now), Window: durationpb.New(10 * time.Second), Samples: samples}}}
}

func sample(kind, name, metric string, v, count float64) *report.Sample {
	return &report.Sample{Entity: &report.EntityRef{Kind: kind, Namespace: "shop", Name: name}, Metric: metric, Value: v, Count: count}
}
