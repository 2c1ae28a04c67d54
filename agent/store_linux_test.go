package agent

import (
	"context"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/telemetry"
	"github.com/bukahou/atlhyper/agent/telemetry/clickhouse"
	"github.com/bukahou/atlhyper/agent/uplink/enginefake"
	lab "github.com/bukahou/atlhyper/deploy/lab/telemetry"
	labshop "github.com/bukahou/atlhyper/deploy/lab/telemetry/shop"
)

// market is the cluster of the lab's pretended shop.
func market() []runtime.Object {
	out := []runtime.Object{&corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system", UID: "cluster-uid"}}}
	for i, n := range labshop.Nodes {
		out = append(out, &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: n}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{{Type: corev1.NodeInternalIP, Address: labshop.Address(i)}}}})
	}
	for _, s := range labshop.Services {
		out = append(out, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: labshop.Namespace, Name: s}, Spec: corev1.ServiceSpec{Ports: []corev1.ServicePort{{Name: "http", Port: 80}}}})
	}
	return out
}

func TestAStoreGivesFramesAndAnswersOverTheLink(t *testing.T) {
	db := lab.ForTest(t)
	if err := db.Create(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	begin := time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)
	shop := labshop.New(labshop.Config{Start: begin})
	conn, err := db.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for range 8 {
		shop.Advance(shop.Now().Add(15 * time.Second))
		for _, r := range []lab.Records{shop.Drain(), shop.Scrape()} {
			if err := lab.Write(t.Context(), conn, r); err != nil {
				t.Fatal(err)
			}
		}
	}
	engine := enginefake.New(t, token)
	ticks := make(chan time.Time)
	a, _ := start(t, Config{
		EngineURL: engine.URL(), Client: fake.NewClientset(market()...), Ticks: ticks,
		Stores: func(names telemetry.Names) ([]telemetry.Source, error) {
			s, err := clickhouse.Open(clickhouse.Config{URL: db.URL(), Names: names, Within: 9 * time.Second})
			return []telemetry.Source{s}, err
		},
	})
	synced(t, a)
	var f *report.TelemetryFrame
	for i, later := range []time.Duration{0, 11 * time.Second, 32 * time.Second} { // a machine that is busy may miss a tick's deadline
		ticks <- shop.Now().Add(later)
		engine.WaitFrames(t, i+1)
		if f = engine.Frames()[i]; len(f.GetSamples()) > 0 {
			break
		}
	}
	rate := -1.
	for _, s := range f.GetSamples() {
		if s.GetEntity().GetName() == "frontend" && s.GetMetric() == "request_rate" {
			rate = s.GetValue()
		}
	}
	if rate != 10 || len(f.GetTraffic()) == 0 {
		t.Errorf("the frontend has %v requests a second, want 10; %d edges; %v", rate, len(f.GetTraffic()), f.GetSources())
	}
	said := map[string]string{}
	for _, s := range f.GetSources() {
		said[s.GetSource()] = s.GetMessage()
	}
	if _, ok := said["clickhouse"]; !ok || !strings.Contains(said["metrics-api"], "no client of the metrics API") {
		t.Errorf("sources: %v", said)
	}
	engine.Ask(t, &report.Query{Id: "q", Ask: &report.Query_TraceSearch{TraceSearch: &report.TraceSearchQuery{Service: "payments", From: timestamppb.New(begin), To: timestamppb.New(shop.Now()), Limit: 3}}})
	if o := engine.Outcome(t, "q"); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || len(o.GetTraces()) != 3 {
		t.Errorf("the answer is %v", o)
	}
	db.Stop()
	engine.Ask(t, &report.Query{Id: "r", Ask: &report.Query_LogSearch{LogSearch: &report.LogSearchQuery{}}})
	if o := engine.Outcome(t, "r"); o.GetStatus() != report.Outcome_STATUS_FAILED || !strings.Contains(o.GetMessage(), "ClickHouse cannot be reached") {
		t.Errorf("without the store: %v", o)
	}
}

func TestWithoutAStoreAQuestionNamesTheRemedy(t *testing.T) {
	engine := enginefake.New(t, token)
	a, _ := start(t, Config{EngineURL: engine.URL(), Client: fake.NewClientset(market()...), Ticks: make(chan time.Time)})
	synced(t, a)
	engine.Ask(t, &report.Query{Id: "q", Ask: &report.Query_Trace{Trace: &report.TraceQuery{TraceId: "00"}}})
	if o := engine.Outcome(t, "q"); o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "CLICKHOUSE_URL") {
		t.Errorf("the answer is %v", o)
	}
	o := answerer{telemetry.NewSeveral(frames{})}.Answer(context.Background(), &report.Query{Ask: &report.Query_LogSearch{LogSearch: &report.LogSearchQuery{}}})
	if o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "write logs to ClickHouse") {
		t.Errorf("a store without logs: %v", o)
	}
}
