package planner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/bot/assistant/planner"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/tools"
)

var night = time.Date(2026, 3, 3, 2, 45, 0, 0, time.UTC)

// recorder is the real toolbox, which keeps what it was asked. Agents are not connected here: what needs one fails with
// a problem, after the call has been kept.
type recorder struct {
	*tools.Registry
	calls []string
}

func (r *recorder) Call(ctx context.Context, c tools.Caller, name string, args json.RawMessage) (*tools.Result, error) {
	var m map[string]any
	if err := json.Unmarshal(args, &m); err != nil {
		return nil, err
	}
	var words []string
	for k, v := range m {
		words = append(words, fmt.Sprintf("%s=%v", k, v))
	}
	slices.Sort(words)
	r.calls = append(r.calls, strings.TrimSpace(name+" "+strings.Join(words, " ")))
	return r.Registry.Call(ctx, c, name, args)
}

// shop gives the resources of a cluster: workloads in two namespaces, some of whose names hold words of questions.
func shop() []*report.Resource {
	var out []*report.Resource
	add := func(kind, namespace, name string) {
		r := &report.Resource{Kind: kind, Namespace: namespace, Name: name, Uid: kind + "/" + namespace + "/" + name}
		if kind == entity.Deployment || kind == entity.StatefulSet {
			r.Detail = &report.Resource_Workload{Workload: &report.Workload{Desired: 3, Ready: 3, Available: 3, Updated: 3, Images: map[string]string{"app": name + ":v1"}}}
		}
		if kind == entity.Node {
			r.Detail = &report.Resource_Node{Node: &report.Node{Ready: true, Conditions: []*report.Condition{{Type: "Ready", Status: "True"}}}}
		}
		out = append(out, r)
	}
	for _, ns := range []string{"shop", "billing", "kube-system"} {
		add("Namespace", "", ns)
	}
	for i := range 4 {
		add(entity.Node, "", fmt.Sprintf("worker-%d", i+1))
	}
	for _, name := range []string{"payments", "checkout", "cart", "catalog", "frontend", "eventbus", "stop-sign", "uprising"} {
		add(entity.Deployment, "shop", name)
		add(entity.Service, "shop", name)
	}
	add(entity.StatefulSet, "shop", "redis")
	add(entity.Deployment, "billing", "invoices")
	add(entity.CronJob, "shop", "nightly-report")
	add(entity.Pod, "shop", "payments-7d9f-x2x4")
	return out
}

// newToolbox gives the tools of an engine that watches two clusters with the same shop, prod and staging.
func newToolbox(t testing.TB) *recorder {
	t.Helper()
	now := func() time.Time { return night }
	db, err := storage.Open(t.Context(), ":memory:", storage.Config{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	e, err := engine.New(t.Context(), engine.Config{Store: db, Now: now, Admins: []string{"slack:mia"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		e.Close()
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	for _, c := range []string{"prod", "staging"} {
		e.Joined(c, &report.JoinRequest{}, 0)
		if err := e.Ingest(t.Context(), c, &report.ReportRequest{ResyncBegin: true, ResyncEnd: true, Upserts: shop()}); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.Evaluate(t.Context(), night); err != nil {
		t.Fatal(err)
	}
	r, err := tools.New(e, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return &recorder{Registry: r}
}

// mia is an admin who speaks in a thread about prod.
var mia = tools.Caller{Person: people.Person{ID: "slack:mia", Name: "Mia"}, Lang: "en", Cluster: "prod"}

// ask gives the calls that a question led to. Those that stand in for a call that could not answer are left out.
func ask(t *testing.T, r *recorder, req assistant.Request) ([]string, *assistant.Answer, error) {
	t.Helper()
	r.calls = nil
	a, err := planner.New(r).Answer(t.Context(), req, nil)
	return r.calls, a, err
}
