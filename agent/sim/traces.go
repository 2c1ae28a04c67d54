package sim

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

// sampled is how often one request in the shop is traced.
const sampled = 2 * time.Second

// tracer draws traces. One follows from the seed, its second and the shop's state then, so that a search and a look at
// one of its finds agree.
type tracer struct {
	seed uint64
	plan *plan
	past []moment
	calm flow
}

// flowAt gives the state of the services at a time: what is remembered, or the healthy shop before.
func (t *tracer) flowAt(at time.Time) *[roles]serviceFlow {
	n, exact := slices.BinarySearchFunc(t.past, at, func(m moment, x time.Time) int { return m.at.Compare(x) })
	if !exact {
		n--
	}
	if n < 0 {
		return &t.calm.services
	}
	return &t.past[min(n, len(t.past)-1)].services
}

// id of the trace that began at a second: the seed's mark, then the time.
func (t *tracer) id(at time.Time) string {
	return fmt.Sprintf("%016x%016x", hash64(fmt.Sprint("trace", t.seed)), at.Unix())
}

// at gives the time of a trace of this shop.
func (t *tracer) at(id string) (time.Time, bool) {
	if len(id) != 32 {
		return time.Time{}, false
	}
	unix, err := strconv.ParseInt(id[16:], 16, 64)
	if err != nil {
		return time.Time{}, false
	}
	at := time.Unix(unix, 0).UTC()
	return at, t.id(at) == id && at.Equal(at.Truncate(sampled))
}

// trace draws the one that began at a time.
func (t *tracer) trace(at time.Time) *report.Trace {
	r := &request{tracer: t, noise: newNoise(t.seed^0x747261, at.Unix()), flow: t.flowAt(at)}
	begin := at.Add(time.Duration(r.noise.Float64() * float64(time.Second)))
	root := r.serve(frontend, "", begin)
	out := &report.Trace{
		Id: t.id(at), RootService: root.GetService(), RootOperation: root.GetOperation(), Start: root.GetStart(), Duration: root.GetDuration(),
		SpanCount: int64(len(r.spans)), Spans: r.spans,
	}
	for _, s := range r.spans {
		if s.GetError() {
			out.ErrorCount++
		}
		if !slices.Contains(out.Services, s.GetService()) {
			out.Services = append(out.Services, s.GetService())
		}
	}
	slices.SortStableFunc(out.Spans, func(a, b *report.Span) int { return a.GetStart().AsTime().Compare(b.GetStart().AsTime()) })
	return out
}

// request is one trace in the making.
type request struct {
	*tracer
	noise noise
	flow  *[roles]serviceFlow
	spans []*report.Span
}

// operations are what a service is asked to do.
func operations(s *service) []string {
	switch s.language {
	case "redis":
		return []string{"GET", "GET", "MGET", "SET"}
	case "postgres":
		return []string{"SELECT", "SELECT", "INSERT"}
	}
	return []string{"GET /api/" + s.name + "/{id}", "GET /api/" + s.name + "/{id}", "GET /api/" + s.name, "POST /api/" + s.name}
}

// serve adds the span of one service and those of the ones that it calls, one after another, and gives its own.
func (r *request) serve(to role, parent string, begin time.Time) *report.Span {
	s, state := r.plan.services[to], r.flow[to]
	span := &report.Span{
		Id: fmt.Sprintf("%016x", r.noise.Uint64()), ParentId: parent, Service: s.name, Operation: pick(r.noise.Rand, operations(s)), Kind: "Server", Start: timestamppb.New(begin),
	}
	r.spans = append(r.spans, span)
	own, well := state.latency, 1-state.errors
	for _, c := range s.calls {
		own -= r.flow[c.to].latency * c.perRequest
		well /= max(0.01, 1-min(1, c.perRequest)*c.hard*r.flow[c.to].errors)
	}
	// Half of the own work is before the calls: what calls fail on is found afterwards.
	work := time.Duration(r.noise.around(max(own, 0.0002), 0.5) * float64(time.Second))
	end := begin.Add(work / 2)
	failed := r.noise.Float64() > min(1, well)
	if failed {
		span.Message = "500 internal error"
	}
	if r.noise.Float64() <= state.serving { // who has no pods calls nobody
		for _, c := range s.calls {
			times := int(c.perRequest)
			if r.noise.Float64() < c.perRequest-math.Floor(c.perRequest) {
				times++
			}
			for range times {
				called := r.serve(c.to, span.GetId(), end)
				end = called.GetStart().AsTime().Add(called.GetDuration().AsDuration())
				if called.GetError() && r.noise.Float64() < c.hard && !failed {
					failed, span.Message = true, "call to "+called.GetService()+" failed"
				}
			}
		}
	} else {
		failed, span.Message = true, "503 no healthy upstream"
	}
	end = end.Add(work / 2)
	span.Error, span.Duration = failed, durationpb.New(end.Sub(begin))
	return span
}

// between draws every trace that began in a time and that a filter keeps.
func (t *tracer) between(from, to time.Time, keep func(*report.Trace) bool) []*report.Trace {
	var out []*report.Trace
	for at := from.Truncate(sampled); at.Before(to); at = at.Add(sampled) {
		if at.Before(from) {
			continue
		}
		if tr := t.trace(at); keep(tr) {
			out = append(out, tr)
		}
	}
	return out
}

// search answers a TraceSearchQuery; the spans are left out, as a list shows none.
func (t *tracer) search(q *report.TraceSearchQuery) []*report.Trace {
	found := t.between(q.GetFrom().AsTime(), q.GetTo().AsTime(), func(tr *report.Trace) bool {
		touches := slices.ContainsFunc(tr.GetSpans(), func(s *report.Span) bool {
			return (q.GetService() == "" || s.GetService() == q.GetService()) && (q.GetOperation() == "" || s.GetOperation() == q.GetOperation())
		})
		return touches && (!q.GetFailed() || tr.GetErrorCount() > 0) && tr.GetDuration().AsDuration() >= q.GetLongerThan().AsDuration()
	})
	slices.SortStableFunc(found, func(a, b *report.Trace) int {
		if q.GetNewest() {
			return b.GetStart().AsTime().Compare(a.GetStart().AsTime())
		}
		return cmp.Compare(b.GetDuration().AsDuration(), a.GetDuration().AsDuration())
	})
	found = found[:min(len(found), int(cmp.Or(max(0, q.GetLimit()), 10)))]
	for _, tr := range found {
		tr.Spans = nil
	}
	return found
}

// operations answers an OperationsQuery from the sampled traces.
func (t *tracer) operations(q *report.OperationsQuery, o *report.Outcome) {
	type key struct{ a, b string }
	type sum struct {
		n, failed float64
		took      []float64
	}
	served, called := map[key]*sum{}, map[key]*sum{}
	add := func(m map[key]*sum, k key, s *report.Span) {
		if m[k] == nil {
			m[k] = &sum{}
		}
		m[k].n++
		if s.GetError() {
			m[k].failed++
		}
		m[k].took = append(m[k].took, s.GetDuration().AsDuration().Seconds())
	}
	from, to := q.GetFrom().AsTime(), q.GetTo().AsTime()
	for _, tr := range t.between(from, to, func(*report.Trace) bool { return true }) {
		by := map[string]string{}
		for _, s := range tr.GetSpans() {
			by[s.GetId()] = s.GetService()
		}
		for _, s := range tr.GetSpans() {
			if q.GetService() == "" || s.GetService() == q.GetService() {
				add(served, key{s.GetService(), s.GetOperation()}, s)
			}
			if caller := by[s.GetParentId()]; caller != "" && (q.GetService() == "" || q.GetService() == caller || q.GetService() == s.GetService()) {
				add(called, key{caller, s.GetService()}, s)
			}
		}
	}
	seconds := to.Sub(from).Seconds()
	quantile := func(s *sum, q float64) float64 { return s.took[min(len(s.took)-1, int(q*float64(len(s.took))))] }
	byCount := func(m map[key]*sum) []key {
		keys := make([]key, 0, len(m))
		for k, s := range m {
			slices.Sort(s.took)
			keys = append(keys, k)
		}
		slices.SortFunc(keys, func(x, y key) int { return cmp.Or(cmp.Compare(m[y].n, m[x].n), strings.Compare(x.a+x.b, y.a+y.b)) })
		return keys
	}
	for _, k := range byCount(served) {
		s := served[k]
		o.Operations = append(o.Operations, &report.Operation{
			Service: k.a, Name: k.b, Count: s.n, RequestsPerSecond: s.n / seconds, ErrorRatio: s.failed / s.n,
			P50Seconds: quantile(s, 0.5), P95Seconds: quantile(s, 0.95), P99Seconds: quantile(s, 0.99),
		})
	}
	ref := func(name string) *report.EntityRef {
		return &report.EntityRef{Kind: "Service", Namespace: t.plan.namespace, Name: name}
	}
	for _, k := range byCount(called) {
		s := called[k]
		mean := 0.0
		for _, x := range s.took {
			mean += x / s.n
		}
		o.Traffic = append(o.Traffic, &report.Traffic{
			From: ref(k.a), To: ref(k.b), RequestsPerSecond: s.n / seconds, ErrorRatio: s.failed / s.n,
			LatencyAvgSeconds: mean, LatencyP95Seconds: quantile(s, 0.95), Source: "traces",
		})
	}
}
