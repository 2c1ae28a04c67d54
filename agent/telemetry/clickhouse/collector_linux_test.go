package clickhouse

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	lab "github.com/bukahou/atlhyper/deploy/lab/telemetry"
	"github.com/bukahou/atlhyper/deploy/lab/telemetry/shop"
)

func TestWhatTheRealCollectorWritesIsReadAsItHappened(t *testing.T) {
	db := shared.Database(t)
	h := &history{t: t, shop: shop.New(shop.Config{Start: epoch, Seed: 1}), db: db}
	collector := lab.CollectorForTest(t, db)
	h.shop.Break("payments", shop.Fault{Fail: 0.2})
	records := h.run(2*time.Minute, nil)
	h.shop.Restart("cart")
	records = append(records, h.run(45*time.Second, func(i int) bool { return i == 1 })...) // a restart, and a scrape that is missed
	for _, r := range records {
		if err := collector.Send(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	now := h.shop.Now()
	s := source(t, db)
	h.truth(h.sample(s), now.Add(-90*time.Second), now)
	counts, err := s.Requests(t.Context(), epoch.Add(time.Minute), epoch.Add(2*time.Minute), time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for _, c := range counts {
		if c.GetLayer() == "mesh" {
			seen++
			want := h.shop.Truth("*", c.GetEntity().GetName(), epoch.Add(time.Minute), epoch.Add(2*time.Minute))
			near(t, c.GetEntity().GetName(), c.GetTotal(), float64(want.Requests), 1e-9)
		}
	}
	if seen != len(shop.Services) {
		t.Errorf("%d services were counted, want %d", seen, len(shop.Services))
	}

	from, to := timestamppb.New(epoch), timestamppb.New(now)
	slowest := ask(t, s, &report.Query{Ask: &report.Query_TraceSearch{TraceSearch: &report.TraceSearchQuery{From: from, To: to, Limit: 1}}}).GetTraces()
	want := h.shop.Truth("", "frontend", epoch, now).Took
	if len(slowest) != 1 || (slowest[0].GetDuration().AsDuration()-want[len(want)-1]).Abs() > time.Microsecond {
		t.Fatalf("the slowest trace is %v, want %v", slowest, want[len(want)-1])
	}
	whole := ask(t, s, &report.Query{Ask: &report.Query_Trace{Trace: &report.TraceQuery{TraceId: slowest[0].GetId()}}}).GetTraces()
	if len(whole) != 1 || whole[0].GetSpanCount() != slowest[0].GetSpanCount() {
		t.Errorf("the trace has %v, want %d spans", whole, slowest[0].GetSpanCount())
	}
	lines := ask(t, s, &report.Query{Ask: &report.Query_LogSearch{LogSearch: &report.LogSearchQuery{TraceId: slowest[0].GetId(), From: from, To: to}}}).GetLines()
	if served := len(whole[0].GetSpans())/2 + 1; len(lines) != served {
		t.Errorf("%d lines belong to the trace, want %d", len(lines), served)
	}
}

// TestOurSchemasAreThoseOfTheExporter keeps deploy/lab/telemetry/schema honest: c.sql is compared with what this
// collector's exporter made.
func TestOurSchemasAreThoseOfTheExporter(t *testing.T) {
	theirs, ours := shared.Database(t), shared.Database(t)
	lab.CollectorForTest(t, theirs)
	if err := ours.Create(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	describe := func(c *lab.ClickHouse) string {
		database := c.URL()[strings.LastIndex(c.URL(), "/")+1:]
		out, err := c.Query(t.Context(), fmt.Sprintf(`SELECT * FROM (SELECT table, name, type, default_kind FROM system.columns WHERE database = '%[1]s'
			UNION ALL SELECT name, 'key', sorting_key, partition_key FROM system.tables WHERE database = '%[1]s') ORDER BY ALL`, database))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	if a, b := describe(theirs), describe(ours); a != b || a == "" {
		t.Errorf("the exporter makes\n%s\nwe pretend\n%s", a, b)
	}
}

// TestAScrapedShopIsRead is live: the collector's Prometheus receiver scrapes a running shop by the wall clock.
func TestAScrapedShopIsRead(t *testing.T) {
	begin := time.Now().Truncate(time.Second)
	var mu sync.Mutex // guards s
	s := shop.New(shop.Config{Start: begin, Seed: 1})
	s.Silent = true
	var targets []lab.Target
	for _, job := range []string{"traefik", "linkerd-proxy", "node-exporter"} {
		server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			mu.Lock()
			defer mu.Unlock()
			s.Advance(time.Now())
			w.Header().Set("Content-Type", "text/plain; version=0.0.4")
			if err := s.Expose(w, job); err != nil {
				t.Error(err)
			}
		}))
		defer server.Close()
		targets = append(targets, lab.Target{Job: job, Address: strings.TrimPrefix(server.URL, "http://")})
	}
	db := shared.Database(t)
	lab.CollectorForTest(t, db, targets...)
	src, err := Open(Config{URL: db.URL(), Names: anyNode{names()}, Window: 10 * time.Second, Lag: 3 * time.Second, Within: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	deadline := time.Now().Add(2 * time.Minute)
	for {
		time.Sleep(time.Second)
		now := time.Now()
		if now.Sub(begin) < 16*time.Second {
			continue
		}
		f, err := src.Sample(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		got := found(f)
		if len(f.GetTraffic()) < 12 || got["Node/node-a cpu_usage"] == nil || got["Ingress/shop request_rate"] == nil {
			if now.After(deadline) {
				t.Fatalf("after two minutes: %v", f)
			}
			continue
		}
		// A second more or less at each end of a window of twelve is what a schema with whole seconds costs here.
		near(t, "the frontend's rate", got["Service/frontend request_rate"].GetValue(), 10, 0.2)
		near(t, "the Ingress's rate", got["Ingress/shop request_rate"].GetValue(), 10, 0.2)
		near(t, "node-a's CPU", got["Node/node-a cpu_usage"].GetValue(), 0.25, 0.3) // three pretended nodes behind one address
		if v := got["Node/node-a tcp_retransmit_ratio"]; v == nil || v.GetValue() != 0 {
			t.Errorf("retransmits are %v, want a measured 0: untyped counters arrive among the gauges", v)
		}
		break
	}
}

func TestTheRealNodeExporterIsRead(t *testing.T) {
	address := lab.NodeExporterForTest(t)
	db := shared.Database(t)
	lab.CollectorForTest(t, db, lab.Target{Job: "node", Address: address})
	src, err := Open(Config{URL: db.URL(), Names: anyNode{names()}, Window: 10 * time.Second, Lag: 3 * time.Second, Within: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		f, err := src.Sample(t.Context(), time.Now())
		if err != nil {
			t.Fatal(err)
		}
		got := found(f)
		cpu, memory, disk := got["Node/node-a cpu_usage"], got["Node/node-a memory_usage"], got["Node/node-a disk_usage"]
		segments := got["Node/node-a tcp_retransmit_ratio"] != nil // netstat has no type, and there is traffic: this test's own
		if cpu != nil && memory != nil && disk != nil && segments {
			for _, x := range []*report.Sample{cpu, memory, disk} {
				if x.GetValue() <= 0 || x.GetValue() > 1 { // a machine that runs this may well be busy
					t.Errorf("%s is %v", x.GetMetric(), x.GetValue())
				}
			}
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("after two minutes: %v", f)
		}
	}
}
