package tools_test

import (
	"encoding/json"
	"log/slog"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/tools"
)

var night = time.Date(2026, 3, 3, 2, 45, 0, 0, time.UTC)

// fixed is an engine whose clusters are made by hand. No agent is connected.
type fixed struct {
	*tools.Registry
	e   *engine.Engine
	now time.Time
}

func newFixed(t testing.TB, clusters map[string][]*report.Resource) *fixed {
	t.Helper()
	f := &fixed{now: night}
	clock := func() time.Time { return f.now }
	db, err := storage.Open(t.Context(), ":memory:", storage.Config{Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	if f.e, err = engine.New(t.Context(), engine.Config{Store: db, Now: clock, Admins: []string{"slack:mia"}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		f.e.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for c, rs := range clusters {
		f.e.Joined(c, &report.JoinRequest{}, 0)
		f.ingest(t, c, &report.ReportRequest{ResyncBegin: true, ResyncEnd: true, Upserts: rs})
	}
	f.evaluate(t)
	if f.Registry, err = tools.New(f.e, slog.New(slog.DiscardHandler)); err != nil {
		t.Fatal(err)
	}
	return f
}

func (f *fixed) ingest(t testing.TB, cluster string, b *report.ReportRequest) {
	t.Helper()
	if err := f.e.Ingest(t.Context(), cluster, b); err != nil {
		t.Fatal(err)
	}
}

func (f *fixed) evaluate(t testing.TB) {
	t.Helper()
	if err := f.e.Evaluate(t.Context(), f.now); err != nil {
		t.Fatal(err)
	}
}

// call calls a tool with its arguments as JSON.
func (f *fixed) call(t testing.TB, caller tools.Caller, tool, args string) (*tools.Result, error) {
	t.Helper()
	return f.Call(t.Context(), caller, tool, json.RawMessage(args))
}

func named(name string) tools.Caller {
	return tools.Caller{Person: people.Person{ID: "slack:" + name, Name: name}, Lang: "en"}
}

func workload(kind, namespace, name string) *report.Resource {
	return &report.Resource{
		Kind: kind, Namespace: namespace, Name: name, Uid: kind + "/" + namespace + "/" + name,
		Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: 3, Ready: 3, Available: 3, Updated: 3, Images: map[string]string{"app": name + ":v1"}}},
	}
}

func node(name string) *report.Resource {
	return &report.Resource{Kind: entity.Node, Name: name, Uid: "Node/" + name, Detail: &report.Resource_Node{Node: &report.Node{
		Ready: true, Conditions: []*report.Condition{{Type: "Ready", Status: "True"}},
	}}}
}

// pod is one of a Deployment without a ReplicaSet between, which is enough here.
func pod(namespace, owner, name string, crashing bool) *report.Resource {
	c := &report.Container{Name: "app", Image: owner + ":v1", State: "running", Ready: true}
	ready := &report.Condition{Type: "Ready", Status: "True", LastTransition: timestamppb.New(night.Add(-time.Hour))}
	if crashing {
		c = &report.Container{Name: "app", Image: owner + ":v1", State: "waiting", Reason: "CrashLoopBackOff", Restarts: 4, LastReason: "Error", LastExitCode: 1, LastFinished: timestamppb.New(night)}
		ready.Status = "False"
	}
	return &report.Resource{
		Kind: entity.Pod, Namespace: namespace, Name: name, Uid: "Pod/" + name, Created: timestamppb.New(night.Add(-time.Hour)),
		Owners: []*report.Owner{{Kind: entity.Deployment, Name: owner, Uid: entity.Deployment + "/" + namespace + "/" + owner, Controller: true}},
		Detail: &report.Resource_Pod{Pod: &report.Pod{Phase: "Running", Node: "worker-1", Conditions: []*report.Condition{ready}, Containers: []*report.Container{c}}},
	}
}

func of(kind, namespace, name string) *report.Resource {
	return &report.Resource{Kind: kind, Namespace: namespace, Name: name, Uid: kind + "/" + namespace + "/" + name}
}
