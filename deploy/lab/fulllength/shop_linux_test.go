package fulllength

import (
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/telemetry"
	"github.com/bukahou/atlhyper/agent/telemetry/clickhouse"
	labtelemetry "github.com/bukahou/atlhyper/deploy/lab/telemetry"
	"github.com/bukahou/atlhyper/deploy/lab/telemetry/shop"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/storage"
)

// cluster is that in which the lab's pretended shop runs.
type cluster []*report.Resource

// Resources implements telemetry.Lister.
func (c cluster) Resources(kind string) (out []*report.Resource) {
	for _, r := range c {
		if r.GetKind() == kind {
			out = append(out, r)
		}
	}
	return out
}

func newCluster(born time.Time) (m cluster) {
	day := timestamppb.New(born)
	ready := []*report.Condition{{Type: "Ready", Status: "True", LastTransition: day}}
	owned := func(kind, name string) []*report.Owner {
		return []*report.Owner{{Kind: kind, Name: name, Uid: kind + "/" + name, Controller: true}}
	}
	for i, n := range shop.Nodes {
		m = append(m, &report.Resource{Kind: entity.Node, Name: n, Uid: "Node/" + n, Created: day, Detail: &report.Resource_Node{Node: &report.Node{
			Ready: true, Conditions: ready, Addresses: map[string]string{"InternalIP": shop.Address(i)},
		}}})
	}
	for _, s := range shop.Services {
		labels := map[string]string{"app": s}
		of := func(kind, name string) *report.Resource {
			return &report.Resource{Kind: kind, Namespace: shop.Namespace, Name: name, Uid: kind + "/" + name, Created: day, Labels: labels}
		}
		w := &report.Workload{Desired: 2, Current: 2, Ready: 2, Available: 2, Updated: 2, Revision: "1", TemplateHash: s, Selector: labels, Images: map[string]string{"app": s + ":v1"}}
		deployment, set, service, slice := of(entity.Deployment, s), of(entity.ReplicaSet, s+"-1"), of(entity.Service, s), of("EndpointSlice", s+"-x")
		deployment.Detail = &report.Resource_Workload{Workload: w}
		set.Owners, set.Detail = owned(entity.Deployment, s), &report.Resource_Workload{Workload: w}
		service.Detail = &report.Resource_Service{Service: &report.Service{Selector: labels}}
		ends := &report.EndpointSlice{Service: s}
		for i := range 2 {
			p := of(entity.Pod, shop.PodName(s, i))
			p.Owners = owned(entity.ReplicaSet, s+"-1")
			p.Detail = &report.Resource_Pod{Pod: &report.Pod{
				Phase: "Running", Node: shop.NodeOf(s, i), Conditions: ready,
				Containers: []*report.Container{{Name: "app", Image: s + ":v1", State: "running", Ready: true, Started: day}},
			}}
			ends.Endpoints = append(ends.Endpoints, &report.Endpoint{Pod: p.Name, Ready: true})
			m = append(m, p)
		}
		slice.Detail = &report.Resource_EndpointSlice{EndpointSlice: ends}
		m = append(m, deployment, set, service, slice)
	}
	return m
}

// Every fault that the pretended shop can have, one after another, over the whole way from what exporters write to the
// judgement: exporter's tables, ClickHouse's engine, source, baselines, risk, incidents. The clock is the test's.
func TestEachFaultInTheTelemetryIsOneIncidentWithItsCause(t *testing.T) {
	t.Parallel()
	begin := time.Date(2026, 3, 3, 8, 0, 0, 0, time.UTC)
	store := labtelemetry.ForTest(t)
	if err := store.Create(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	market := shop.New(shop.Config{Start: begin, Rate: 4, Seed: 3})
	market.Silent = true // neither spans nor lines: the metrics alone must do
	here := newCluster(begin.Add(-24 * time.Hour))
	clock := begin
	now := func() time.Time { return clock }
	source, err := clickhouse.Open(clickhouse.Config{URL: store.URL(), Names: telemetry.NewDirectory(here, now)})
	if err != nil {
		t.Fatal(err)
	}
	defer source.Close()
	db, err := storage.Open(t.Context(), ":memory:", storage.Config{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	e, err := engine.New(t.Context(), engine.Config{Store: db, Now: now})
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ingest := func(b *report.ReportRequest) {
		t.Helper()
		if err := e.Ingest(t.Context(), "lab", b); err != nil {
			t.Fatal(err)
		}
	}
	e.Joined("lab", &report.JoinRequest{Cluster: "lab", AgentVersion: "v1", KubernetesVersion: "v1.36.0"}, 0)
	ingest(&report.ReportRequest{ResyncBegin: true, ResyncEnd: true, Upserts: here})
	conn, err := store.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	pass := func(d time.Duration) {
		t.Helper()
		for end := clock.Add(d); clock.Before(end); {
			clock = clock.Add(30 * time.Second)
			market.Advance(clock)
			if err := labtelemetry.Write(t.Context(), conn, market.Scrape()); err != nil {
				t.Fatal(err)
			}
			f, err := source.Sample(t.Context(), clock)
			if err != nil {
				t.Fatal(err)
			}
			ingest(&report.ReportRequest{Frames: []*report.TelemetryFrame{f}})
			if err := e.Evaluate(t.Context(), clock); err != nil {
				t.Fatal(err)
			}
		}
	}
	known := map[string]bool{}
	fresh := func() (out []*incident.Incident) {
		t.Helper()
		all, err := e.ListIncidents(t.Context(), incident.Filter{})
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range all {
			if !known[i.ID] {
				out = append(out, i)
			}
		}
		return out
	}
	pass(40 * time.Minute)
	if opened := fresh(); len(opened) > 0 {
		t.Fatalf("a healthy shop opened %s", opened[0].Title)
	}
	for _, c := range []struct {
		name, where string
		fault       shop.Fault
		cause       string
	}{
		{"latency", "inventory", shop.Fault{Slow: 400 * time.Millisecond}, "inventory"},
		{"errors", "payments", shop.Fault{Fail: 0.4}, "payments"},
		{"CPU", "node-b", shop.Fault{CPU: 0.7}, "node-b"},
		{"packet loss", "node-c", shop.Fault{Loss: 0.05}, "node-c"},
		{"memory leak", "node-a", shop.Fault{Leak: 10e6}, "node-a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			market.Break(c.where, c.fault)
			pass(12 * time.Minute)
			told := fresh()
			market.Break(c.where, shop.Fault{})
			market.Restart(c.where)
			pass(45 * time.Minute) // what is back sooner is the same incident again
			for _, i := range fresh() {
				known[i.ID] = true
				t.Logf("%s: %s, %s, %s (%s), opened %s, %s", i.ID, i.Title, i.Severity, i.Cause.Entity, i.Cause.Kind, i.OpenedAt.Format(time.TimeOnly), i.Stage)
				if i.Stage != incident.StageResolved {
					t.Errorf("%s is not over: %s", i.ID, i.Stage)
				}
			}
			if len(told) != 1 {
				t.Fatalf("%d incidents, want one", len(told))
			}
			if got := told[0].Cause.Entity; got.Name != c.cause {
				t.Errorf("the cause is %s (%s), want %s", got, told[0].Cause.Summary, c.cause)
			}
		})
	}
}
