package clickhouse

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/deploy/lab/telemetry/shop"
)

// broken is a shop of six minutes in which payments began to fail in the fourth, asked once by each test of a generation.
func broken(t *testing.T, generation string) (*history, *Source) {
	t.Helper()
	h := newHistory(t, generation)
	records := h.run(3*time.Minute, nil)
	h.shop.Break("payments", shop.Fault{Fail: 0.5, Slow: 300 * time.Millisecond, Error: "card 4111 declined by bank 'ACME'"})
	h.write(append(records, h.run(3*time.Minute, nil)...)...)
	return h, source(t, h.db)
}

func ask(t *testing.T, s *Source, q *report.Query) *report.Outcome {
	t.Helper()
	o, err := s.Answer(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTracesAreFoundAndShown(t *testing.T) {
	h, s := broken(t, "c")
	from, to := timestamppb.New(epoch), timestamppb.New(h.shop.Now())
	slowest := ask(t, s, &report.Query{Ask: &report.Query_TraceSearch{TraceSearch: &report.TraceSearchQuery{Service: "checkout", Namespace: shop.Namespace, From: from, To: to, Limit: 5}}}).GetTraces()
	if len(slowest) != 5 {
		t.Fatalf("%d traces, want 5", len(slowest))
	}
	want := h.shop.Truth("", "frontend", epoch, h.shop.Now()).Took
	if got := slowest[0].GetDuration().AsDuration(); (got - want[len(want)-1]).Abs() > time.Millisecond {
		t.Errorf("the slowest took %v, want %v", got, want[len(want)-1])
	}
	for i, x := range slowest {
		if i > 0 && x.GetDuration().AsDuration() > slowest[i-1].GetDuration().AsDuration() {
			t.Errorf("trace %d is slower than the one before", i)
		}
		if x.GetRootService() != "frontend" || !slices.Contains(x.GetServices(), "payments") {
			t.Errorf("trace %d begins at %s and touches %v", i, x.GetRootService(), x.GetServices())
		}
	}
	one := ask(t, s, &report.Query{Ask: &report.Query_Trace{Trace: &report.TraceQuery{TraceId: slowest[0].GetId()}}}).GetTraces()
	if len(one) != 1 || one[0].GetSpanCount() != slowest[0].GetSpanCount() || (one[0].GetDuration().AsDuration()-slowest[0].GetDuration().AsDuration()).Abs() > time.Microsecond {
		t.Fatalf("the trace alone: %v, in the list %v", one, slowest[0])
	}
	ids := map[string]bool{}
	for _, span := range one[0].GetSpans() {
		ids[span.GetId()] = true
	}
	for _, span := range one[0].GetSpans() {
		if span.GetParentId() != "" && !ids[span.GetParentId()] {
			t.Errorf("span %s has a parent that is not there", span.GetId())
		}
	}
	failed := ask(t, s, &report.Query{Ask: &report.Query_TraceSearch{TraceSearch: &report.TraceSearchQuery{From: from, To: to, Failed: true, Newest: true, LongerThan: durationpb.New(250 * time.Millisecond)}}}).GetTraces()
	if len(failed) == 0 {
		t.Fatal("no failed trace")
	}
	for _, x := range failed {
		if x.GetErrorCount() == 0 || x.GetDuration().AsDuration() < 250*time.Millisecond {
			t.Errorf("a trace that did not fail or was quick: %v", x)
		}
	}
	if none := ask(t, s, &report.Query{Ask: &report.Query_Trace{Trace: &report.TraceQuery{TraceId: "' OR 1 = 1 --"}}}).GetTraces(); len(none) != 0 {
		t.Errorf("an id that is none found %v", none)
	}
}

func TestOperationsAndCallsOfAService(t *testing.T) {
	h, s := broken(t, "c")
	begin, end := epoch.Add(3*time.Minute), h.shop.Now()
	o := ask(t, s, &report.Query{Ask: &report.Query_Operations{Operations: &report.OperationsQuery{Service: "payments", Namespace: shop.Namespace, From: timestamppb.New(begin), To: timestamppb.New(end)}}})
	if len(o.GetOperations()) != 1 {
		t.Fatalf("operations: %v", o.GetOperations())
	}
	want, got := h.shop.Truth("*", "payments", begin, end), o.GetOperations()[0]
	near(t, "the rate", got.GetRequestsPerSecond(), float64(want.Requests)/180, 0.02)
	near(t, "the errors", got.GetErrorRatio(), float64(want.Failed)/float64(want.Requests), 0.02)
	near(t, "p50", got.GetP50Seconds(), want.Quantile(0.5).Seconds(), 0.02)
	near(t, "p95", got.GetP95Seconds(), want.Quantile(0.95).Seconds(), 0.02)
	if len(o.GetTraffic()) != 1 || o.GetTraffic()[0].GetFrom().GetName() != "checkout" || o.GetTraffic()[0].GetTo().GetName() != "payments" {
		t.Errorf("calls: %v", o.GetTraffic())
	}
}

func TestLogsAreSearchedInEveryGeneration(t *testing.T) {
	for _, generation := range []string{"a", "b", "c"} {
		t.Run(generation, func(t *testing.T) {
			h, s := broken(t, generation)
			from, to := timestamppb.New(epoch), timestamppb.New(h.shop.Now().Add(time.Minute))
			q := &report.LogSearchQuery{Namespace: shop.Namespace, Workload: "payments", MinSeverity: 17, Text: "DECLINED BY bank 'acme'", From: from, To: to, Limit: 500}
			o := ask(t, s, &report.Query{Ask: &report.Query_LogSearch{LogSearch: q}})
			want := h.shop.Truth("*", "payments", epoch, h.shop.Now()).Failed
			if len(o.GetLines()) != min(want, 500) || o.GetTruncated() != (want > 500) {
				t.Errorf("%d lines, truncated %v; %d requests failed", len(o.GetLines()), o.GetTruncated(), want)
			}
			for i, l := range o.GetLines() {
				if l.GetWorkload() != "payments" || l.GetSeverity() != "ERROR" || !strings.Contains(l.GetBody(), "declined") || !strings.HasPrefix(l.GetPod(), "payments-") {
					t.Fatalf("line %v", l)
				}
				if i > 0 && l.GetTime().AsTime().After(o.GetLines()[i-1].GetTime().AsTime()) {
					t.Fatal("lines are not newest first")
				}
			}
			trace := o.GetLines()[0].GetTraceId()
			of := ask(t, s, &report.Query{Ask: &report.Query_LogSearch{LogSearch: &report.LogSearchQuery{TraceId: trace, From: from, To: to}}}).GetLines()
			for _, l := range of {
				if l.GetTraceId() != trace {
					t.Errorf("a line of another trace: %v", l)
				}
			}
			if len(of) < 5 {
				t.Errorf("the trace has %d lines", len(of))
			}
			few := ask(t, s, &report.Query{Ask: &report.Query_LogSearch{LogSearch: &report.LogSearchQuery{From: from, To: to, Limit: 3}}})
			if len(few.GetLines()) != 3 || !few.GetTruncated() {
				t.Errorf("%d lines of a limit of 3, truncated %v", len(few.GetLines()), few.GetTruncated())
			}
		})
	}
}

func TestPatternsSayWhatIsNew(t *testing.T) {
	h, s := broken(t, "c")
	from, to := timestamppb.New(epoch), timestamppb.New(h.shop.Now().Add(time.Minute))
	all := ask(t, s, &report.Query{Ask: &report.Query_LogPatterns{LogPatterns: &report.LogPatternsQuery{From: from, To: to}}}).GetPatterns()
	var lines int64
	for _, p := range all {
		lines += p.GetCount()
	}
	visits := 0
	for _, svc := range shop.Services {
		visits += h.shop.Truth("*", svc, epoch, h.shop.Now()).Requests
	}
	if lines != int64(visits) || all[0].GetTemplate() != "served request <*> from <*> in <*>ms" {
		t.Errorf("%d lines in patterns %v, want %d", lines, all, visits)
	}
	fresh := ask(t, s, &report.Query{Ask: &report.Query_LogPatterns{LogPatterns: &report.LogPatternsQuery{From: from, To: to, NewSince: timestamppb.New(epoch.Add(3 * time.Minute))}}}).GetPatterns()
	var templates []string
	for _, p := range fresh {
		templates = append(templates, p.GetTemplate())
	}
	slices.Sort(templates)
	want := []string{"request <*> failed after <*>ms", "request <*> failed after <*>ms: card <*> declined by bank 'ACME'"}
	if !slices.Equal(templates, want) {
		t.Errorf("new patterns are %q, want %q", templates, want)
	}
}

func TestTheCourseOfANodeAndOfAService(t *testing.T) {
	h := newHistory(t, "c")
	records := h.run(3*time.Minute, nil)
	h.shop.Break("node-a", shop.Fault{CPU: 0.5, Loss: 0.1, Leak: 1e6})
	h.shop.Break("payments", shop.Fault{Slow: 200 * time.Millisecond})
	h.write(append(records, h.run(3*time.Minute, nil)...)...)
	s := source(t, h.db)
	course := func(e *report.EntityRef) map[string][]*report.Point {
		o := ask(t, s, &report.Query{Ask: &report.Query_Series{Series: &report.SeriesQuery{Entity: e, From: timestamppb.New(epoch.Add(time.Minute)), To: timestamppb.New(h.shop.Now()), Step: durationpb.New(time.Minute)}}})
		out := map[string][]*report.Point{}
		for _, x := range o.GetSeries() {
			key := x.GetMetric() + "[" + x.GetUnit() + "]"
			for _, k := range slices.Sorted(maps.Keys(x.GetLabels())) {
				key += " " + k + "=" + x.GetLabels()[k]
			}
			out[key] = x.GetPoints()
		}
		return out
	}
	node := course(&report.EntityRef{Kind: "Node", Name: "node-a"})
	for key, want := range map[string][]float64{
		"cpu_usage[ratio]": {0.2, 0.2, 0.7, 0.7, 0.7}, "cpu[ratio] mode=user": {0.14, 0.14, 0.49, 0.49, 0.49}, "psi_io[ratio]": {0.02, 0.02, 0.02, 0.02, 0.02},
		"tcp_retransmit_ratio[ratio]": {0, 0, 0.1, 0.1, 0.1}, "network_receive[By/s] device=eth0": {250000, 250000, 250000, 250000, 250000},
		"disk_write[By/s] device=vda": {81920, 81920, 81920, 81920, 81920}, "disk_usage[ratio] mountpoint=/": {0.4, 0.4, 0.4, 0.4, 0.4},
		"temperature[Cel] sensor=platform_coretemp_0 temp1": {50, 50, 75, 75, 75}, "tcp_connections[1]": {120, 120, 120, 120, 120},
	} {
		got := node[key]
		if len(got) != len(want) {
			t.Errorf("%s has %d points, want %d; there are %v", key, len(got), len(want), slices.Sorted(maps.Keys(node)))
			continue
		}
		for i, p := range got {
			near(t, key, p.GetValue(), want[i], 0.001)
			if !p.GetTime().AsTime().Equal(epoch.Add(time.Duration(i+1) * time.Minute)) {
				t.Errorf("%s: point %d is at %v", key, i, p.GetTime().AsTime())
			}
		}
	}
	if used := node["memory_usage[ratio]"]; len(used) != 5 || used[4].GetValue() <= used[2].GetValue() {
		t.Errorf("a leak does not show: %v", used)
	}
	for _, e := range []*report.EntityRef{{Kind: "Service", Namespace: shop.Namespace, Name: "payments"}, {Kind: "Ingress", Namespace: shop.Namespace, Name: "shop"}} {
		got := course(e)
		from, to, bounds := "*", "payments", linkerd
		if e.GetKind() == "Ingress" {
			from, to, bounds = "", "frontend", []float64{.1, .3, 1.2, 5}
		}
		for i := range 5 {
			begin := epoch.Add(time.Duration(i+1) * time.Minute)
			want := h.shop.Truth(from, to, begin, begin.Add(time.Minute))
			near(t, e.GetName()+"'s rate", got["request_rate[1/s]"][i].GetValue(), float64(want.Requests)/60, 0.001)
			near(t, e.GetName()+"'s mean", got["avg_latency[s]"][i].GetValue(), want.Mean().Seconds(), 0.001)
			for q, key := range map[float64]string{0.5: "p50_latency[s]", 0.95: "p95_latency[s]", 0.99: "p99_latency[s]"} {
				inBucket(t, e.GetName()+"'s "+key, bounds, got[key][i].GetValue(), want.Quantile(q))
			}
		}
	}
}
