package sim

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

func answer(t *testing.T, s *Shop, q *report.Query) *report.Outcome {
	t.Helper()
	o, err := s.Answer(t.Context(), q)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func TestTracesOfASlowDependencyEndInIt(t *testing.T) {
	begin := time.Date(2026, 3, 4, 2, 50, 0, 0, time.UTC)
	s, err := New(Config{Seed: 11, Start: begin})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Inject(slowDependency, begin.Add(5*time.Minute)); err != nil {
		t.Fatal(err)
	}
	s.Step(begin.Add(15 * time.Minute))
	search := func(from, to time.Duration) []*report.Trace {
		q := &report.TraceSearchQuery{From: timestamppb.New(begin.Add(from)), To: timestamppb.New(begin.Add(to)), Limit: 5}
		return answer(t, s, &report.Query{Ask: &report.Query_TraceSearch{TraceSearch: q}}).GetTraces()
	}
	before, after := search(0, 5*time.Minute), search(10*time.Minute, 15*time.Minute)
	if len(before) != 5 || len(after) != 5 || after[0].GetDuration().AsDuration() < 2*before[0].GetDuration().AsDuration() {
		t.Fatalf("slowest before %v, after %v", before, after)
	}
	if after[0].GetDuration().AsDuration() < after[4].GetDuration().AsDuration() || after[0].GetSpans() != nil {
		t.Errorf("not slowest first, or with spans: %v", after)
	}
	whole := answer(t, s, &report.Query{Ask: &report.Query_Trace{Trace: &report.TraceQuery{TraceId: after[0].GetId()}}}).GetTraces()
	if len(whole) != 1 || int64(len(whole[0].GetSpans())) != after[0].GetSpanCount() || whole[0].GetDuration().AsDuration() != after[0].GetDuration().AsDuration() {
		t.Fatalf("the trace differs from its line in the list: %v", whole)
	}
	took := map[string]time.Duration{}
	for _, x := range whole[0].GetSpans() {
		took[x.GetService()] += x.GetDuration().AsDuration()
		for _, c := range whole[0].GetSpans() {
			if c.GetParentId() == x.GetId() {
				took[x.GetService()] -= c.GetDuration().AsDuration()
			}
		}
	}
	slowest := ""
	for name, d := range took {
		if d > took[slowest] {
			slowest = name
		}
	}
	if root := s.Truth().Roots[0].GetName(); slowest != root {
		t.Errorf("the trace spends most in %s, the fault is in %s: %v", slowest, root, took)
	}
	if o := answer(t, s, &report.Query{Ask: &report.Query_Trace{Trace: &report.TraceQuery{TraceId: strings.Repeat("0", 32)}}}); len(o.GetTraces()) != 0 {
		t.Errorf("a trace that is none was found: %v", o.GetTraces())
	}
}

func TestANewReleasesComplaintIsANewPattern(t *testing.T) {
	begin := time.Date(2026, 3, 4, 2, 50, 0, 0, time.UTC)
	s, err := New(Config{Seed: 5, Start: begin})
	if err != nil {
		t.Fatal(err)
	}
	onset := begin.Add(10 * time.Minute)
	if err := s.Inject(badRollout, onset); err != nil {
		t.Fatal(err)
	}
	s.Step(begin.Add(20 * time.Minute))
	root := s.Truth().Roots[0].GetName()
	span := func(q *report.LogPatternsQuery) []*report.LogPattern {
		q.From, q.To = timestamppb.New(begin), timestamppb.New(begin.Add(20*time.Minute))
		q.Workload = root
		return answer(t, s, &report.Query{Ask: &report.Query_LogPatterns{LogPatterns: q}}).GetPatterns()
	}
	all, fresh := span(&report.LogPatternsQuery{}), span(&report.LogPatternsQuery{NewSince: timestamppb.New(onset), MinSeverity: 17})
	if len(all) < 2 || all[0].GetCount() < all[1].GetCount() {
		t.Errorf("patterns %v", all)
	}
	if len(fresh) == 0 || !strings.Contains(fresh[0].GetTemplate(), "of null in PriceFormatter") || fresh[0].GetSeverity() != "ERROR" {
		t.Errorf("new errors %v", fresh)
	}
	o := answer(t, s, &report.Query{Ask: &report.Query_LogSearch{LogSearch: &report.LogSearchQuery{
		Workload: root, Text: "priceformatter", From: timestamppb.New(begin), To: timestamppb.New(begin.Add(20 * time.Minute)), Limit: 3,
	}}})
	if len(o.GetLines()) != 3 || !o.GetTruncated() || o.GetLines()[0].GetTime().AsTime().Before(o.GetLines()[2].GetTime().AsTime()) {
		t.Errorf("lines %v", o.GetLines())
	}
}

func TestOperationsAndCoursesAreGiven(t *testing.T) {
	begin := time.Date(2026, 3, 4, 2, 50, 0, 0, time.UTC)
	s, err := New(Config{Seed: 2, Start: begin})
	if err != nil {
		t.Fatal(err)
	}
	s.Step(begin.Add(10 * time.Minute))
	name := s.plan.services[checkout].name
	from, to := timestamppb.New(begin.Add(-20*time.Minute)), timestamppb.New(begin.Add(10*time.Minute))
	o := answer(t, s, &report.Query{Ask: &report.Query_Operations{Operations: &report.OperationsQuery{Service: name, From: from, To: to}}})
	callees := map[string]bool{}
	for _, x := range o.GetTraffic() {
		if x.GetFrom().GetName() == name {
			callees[x.GetTo().GetName()] = true
		}
	}
	if len(o.GetOperations()) == 0 || len(callees) != len(s.plan.services[checkout].calls) {
		t.Errorf("operations %v, callees %v", o.GetOperations(), callees)
	}
	for _, e := range []*report.EntityRef{{Kind: "Service", Namespace: s.Namespace(), Name: name}, {Kind: "Node", Name: s.plan.nodes[0]}} {
		o := answer(t, s, &report.Query{Ask: &report.Query_Series{Series: &report.SeriesQuery{Entity: e, From: from, To: to, Step: durationpb.New(time.Minute)}}})
		if len(o.GetSeries()) < 4 || len(o.GetSeries()[0].GetPoints()) != 30 {
			t.Errorf("%s: %v", e.GetName(), o.GetSeries())
		}
	}
}
