package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
	"golang.org/x/sync/errgroup"

	"github.com/bukahou/atlhyper/agent/report"
)

// Sample reads one tick: what the last minute was like. A store that cannot be read is said in the frame and is no
// error; it is asked again after a pause that grows to a minute.
func (s *Source) Sample(ctx context.Context, now time.Time) (*report.TelemetryFrame, error) {
	return s.ticker.Sample(ctx, now, func(ctx context.Context, f *report.TelemetryFrame, status *report.SourceStatus) error {
		err := (&tick{source: s, now: now, frame: f, status: status}).read(ctx)
		if err != nil {
			s.forget()
		}
		return err
	})
}

// requests are what is known of one service from one kind of data.
type requests struct {
	rate, failed float64 // a second
	mean, p95    float64 // seconds; NaN where latency is unknown
	timed        float64 // requests behind mean and p95
}

type place struct{ namespace, name string }

// pair is an edge: two Services.
type pair struct{ from, to place }

// The layers that measure a service, the one that is believed first in front.
const (
	byMesh   = "mesh"
	byHTTP   = "http"
	byTraces = "traces"
)

var layers = []string{byMesh, byHTTP, byTraces}

// tick is one reading of everything.
type tick struct {
	source *Source
	store  store
	now    time.Time
	frame  *report.TelemetryFrame
	status *report.SourceStatus

	mu      sync.Mutex // guards what the queries fill
	newest  time.Time
	unknown map[string]bool
	signals map[string]bool
	nodes   map[string]*nodeState
	entry   map[place]*requests            // at the door, by Service
	routed  map[string]*routedRequests     // at the door, by what routes
	served  map[string]map[place]*requests // by layer
	calls   map[string]map[pair]*call      // by source
}

type routedRequests struct {
	ref *report.EntityRef
	*requests
}

type call struct {
	requests
	secured float64
}

func (t *tick) read(ctx context.Context) error {
	s := t.source
	var err error
	if t.store, err = s.current(ctx, t.now); err != nil {
		return err
	}
	if t.store.tables == (tables{}) {
		t.status.Message = "the database " + s.cfg.Database + " has none of the collector's tables; let the collector's ClickHouse exporter write there"
		return nil
	}
	t.unknown, t.signals, t.nodes = map[string]bool{}, map[string]bool{}, map[string]*nodeState{}
	t.entry, t.routed = map[place]*requests{}, map[string]*routedRequests{}
	t.served, t.calls = map[string]map[place]*requests{}, map[string]map[pair]*call{byMesh: {}, byTraces: {}}
	for _, l := range layers {
		t.served[l] = map[place]*requests{}
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(3)
	t.ask(ctx, group)
	if err := group.Wait(); err != nil {
		return err
	}
	t.samples()
	t.traffic()
	t.describe()
	return nil
}

// ask starts the queries: each part of each table is read by one of them.
func (t *tick) ask(ctx context.Context, group *errgroup.Group) {
	cfg := t.source.cfg
	metrics := func(names []string) (bound, bool) {
		jobs, ok := t.store.of(names)
		return bound{
			"from": number(t.now.Add(-cfg.Window - cfg.Lag).Unix()), "to": number(t.now.Unix()), "lag": number(int64(cfg.Lag / time.Second)), "jobs": jobs, "metrics": list(names...),
		}, ok
	}
	run := func(name string, values bound, row func(driver.Rows) error) {
		group.Go(func() error {
			return t.source.each(ctx, t.store.tables, name, 50_000, values, func(r driver.Rows) error {
				t.mu.Lock()
				defer t.mu.Unlock()
				return row(r)
			})
		})
	}
	// The slowest first, so that the others run beside them.
	for _, q := range []struct {
		name    string
		metrics []string
		row     func(driver.Rows) error
	}{
		{"mesh", meshCounts, t.mesh},
		{"meshlatency", meshLatencies, t.meshLatency},
		{"ingress", ingressMetrics, t.ingress},
		{"nodes", nodeTick, t.node},
		{"levels", gaugesTick, t.level},
		{"untyped", untypedTick, t.node},
		{"http", httpMetrics, t.http},
	} {
		if values, ok := metrics(q.metrics); ok {
			run(q.name, values, q.row)
		}
	}
	if t.store.Traces != "" {
		// SDKs and collectors send spans in batches, some seconds after they ended: the newest are not all there yet.
		end := t.now.Add(-cfg.Lag / 2)
		spans := bound{"from": number(end.Add(-cfg.Window).UnixMilli()), "to": number(end.UnixMilli()), "names": "[]"}
		run("calls", spans, t.call)
		run("spans", spans, t.spans)
	}
}

// recent says whether a row's newest sample belongs to this tick.
func (t *tick) recent(unix int64) bool {
	at := time.Unix(unix, 0)
	if at.After(t.newest) {
		t.newest = at
	}
	return t.now.Sub(at) <= t.source.cfg.Window+t.source.cfg.Lag
}

func (t *tick) ingress(r driver.Rows) error {
	var metric, label string
	var q requests
	var newest int64
	var took float64
	if err := r.Scan(&metric, &label, &q.rate, &q.failed, &newest, &q.timed, &took, &q.p95); err != nil {
		return err
	}
	if !t.recent(newest) {
		return nil
	}
	q.mean = took / q.timed // NaN without any
	names := t.source.cfg.Names
	if strings.Contains(metric, "router") {
		if ref, ok := names.Route(label); ok {
			t.route(ref, q)
		} else if !strings.HasSuffix(label, "@internal") {
			t.unknown["router "+label] = true
		}
		return nil
	}
	ns, name, ok := names.Backend(label)
	if !ok {
		if !strings.HasSuffix(label, "@internal") {
			t.unknown["ingress backend "+label] = true
		}
		return nil
	}
	p := place{ns, name}
	if have := t.entry[p]; have != nil { // two ports of one Service
		have.add(q)
	} else {
		t.entry[p] = &q
	}
	return nil
}

func (t *tick) route(ref *report.EntityRef, q requests) {
	key := ref.GetKind() + "/" + ref.GetNamespace() + "/" + ref.GetName()
	if have := t.routed[key]; have != nil {
		have.add(q)
	} else {
		t.routed[key] = &routedRequests{ref, &q}
	}
}

// add joins two measurements. Of the P95 the larger stays: it is never better than its worst part by much.
func (q *requests) add(o requests) {
	if n := q.timed + o.timed; n > 0 {
		q.mean = (finite(q.mean)*q.timed + finite(o.mean)*o.timed) / n
		q.timed = n
	}
	q.rate, q.failed = q.rate+o.rate, q.failed+o.failed
	if !(q.p95 >= o.p95) {
		q.p95 = o.p95
	}
}

func finite(x float64) float64 {
	if math.IsNaN(x) || math.IsInf(x, 0) {
		return 0
	}
	return x
}

func (t *tick) service(namespace, name string) (place, bool) {
	ns, svc, ok := t.source.cfg.Names.Service(namespace, name)
	if !ok {
		t.unknown["service "+name] = true
	}
	return place{ns, svc}, ok
}

// ends resolves one row of Linkerd: the service itself of an inbound one, both ends of an outbound one.
func (t *tick) ends(direction, ns, name, toNS, to string) (here place, edge pair, outbound, ok bool) {
	if direction != "outbound" {
		here, ok = t.service(ns, name)
		return here, pair{}, false, ok
	}
	if edge.from, ok = t.service(ns, name); !ok {
		return place{}, pair{}, true, false
	}
	edge.to, ok = t.service(toNS, to)
	return place{}, edge, true, ok
}

func (t *tick) mesh(r driver.Rows) error {
	var direction, ns, name, toNS, to string
	var rate, failed, secured float64
	var newest int64
	if err := r.Scan(&direction, &ns, &name, &toNS, &to, &rate, &failed, &secured, &newest); err != nil {
		return err
	}
	here, edge, outbound, ok := t.ends(direction, ns, name, toNS, to)
	if !ok || !t.recent(newest) {
		return nil
	}
	if outbound {
		c := t.edge(byMesh, edge)
		c.rate, c.failed, c.secured = c.rate+rate, c.failed+failed, c.secured+secured
		return nil
	}
	q := t.at(byMesh, here)
	q.rate, q.failed = q.rate+rate, q.failed+failed
	return nil
}

func (t *tick) meshLatency(r driver.Rows) error {
	var direction, ns, name, toNS, to string
	var n, took, p95 float64
	if err := r.Scan(&direction, &ns, &name, &toNS, &to, &n, &took, &p95); err != nil {
		return err
	}
	here, edge, outbound, ok := t.ends(direction, ns, name, toNS, to)
	if !ok {
		return nil
	}
	q := requests{timed: n, mean: took / n, p95: p95}
	if outbound {
		t.edge(byMesh, edge).add(q)
	} else {
		t.at(byMesh, here).add(q)
	}
	return nil
}

func (t *tick) at(layer string, p place) *requests {
	if t.served[layer][p] == nil {
		t.served[layer][p] = &requests{}
	}
	return t.served[layer][p]
}

func (t *tick) edge(source string, p pair) *call {
	if t.calls[source][p] == nil {
		t.calls[source][p] = &call{}
	}
	return t.calls[source][p]
}

func (t *tick) http(r driver.Rows) error {
	var ns, name string
	var q requests
	var newest int64
	var took float64
	if err := r.Scan(&ns, &name, &q.rate, &q.failed, &newest, &q.timed, &took, &q.p95); err != nil {
		return err
	}
	q.mean = took / q.timed
	if p, ok := t.service(ns, name); ok && t.recent(newest) {
		t.at(byHTTP, p).add(q)
	}
	return nil
}

func (t *tick) spans(r driver.Rows) error {
	var ns, name string
	var q requests
	var newest int64
	if err := r.Scan(&ns, &name, &q.timed, &q.failed, &newest, &q.mean, &q.p95); err != nil {
		return err
	}
	seconds := t.source.cfg.Window.Seconds()
	q.rate, q.failed = q.timed/seconds, q.failed/seconds
	if p, ok := t.service(ns, name); ok && t.recent(newest) {
		t.at(byTraces, p).add(q)
	}
	return nil
}

func (t *tick) call(r driver.Rows) error {
	var ns, name, toNS, to string
	var q requests
	if err := r.Scan(&ns, &name, &toNS, &to, &q.timed, &q.failed, &q.mean, &q.p95); err != nil {
		return err
	}
	seconds := t.source.cfg.Window.Seconds()
	q.rate, q.failed = q.timed/seconds, q.failed/seconds
	_, edge, _, ok := t.ends("outbound", ns, name, cmp.Or(toNS, ns), to)
	if ok && edge.from != edge.to {
		t.edge(byTraces, edge).add(q)
	}
	return nil
}

func (t *tick) sample(kind, namespace, name, metric string, value, count float64) {
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		t.frame.Samples = append(t.frame.Samples, &report.Sample{Entity: &report.EntityRef{Kind: kind, Namespace: namespace, Name: name}, Metric: metric, Value: value, Count: count})
	}
}

func (t *tick) golden(kind, namespace, name string, q *requests) {
	count := q.rate * t.source.cfg.Window.Seconds()
	t.sample(kind, namespace, name, "request_rate", q.rate, count)
	if q.rate > 0 {
		t.sample(kind, namespace, name, "error_rate", q.failed/q.rate, count)
	}
	if q.timed > 0 {
		t.sample(kind, namespace, name, "avg_latency", q.mean, q.timed)
		t.sample(kind, namespace, name, "p95_latency", q.p95, q.timed)
	}
}

func (t *tick) samples() {
	for name, n := range t.nodes {
		for metric, v := range n.samples(t.source.cfg.Window.Seconds()) {
			t.signals["nodes"] = true
			t.sample("Node", "", name, metric, v.value, v.count)
		}
	}
	// A service is measured once: by its mesh, else by its own metrics, else by its spans, else at the door.
	done := map[place]bool{}
	for _, layer := range layers {
		for p, q := range t.served[layer] {
			t.signals[layer] = true
			if !done[p] {
				t.golden("Service", p.namespace, p.name, q)
				done[p] = true
			}
		}
	}
	// What routes is measured by its routers where Traefik labels them, else by the Services that it alone routes to.
	labelled := len(t.routed) > 0
	for p, q := range t.entry {
		t.signals["ingress"] = true
		if !done[p] {
			t.golden("Service", p.namespace, p.name, q)
		}
		if by := t.source.cfg.Names.Routes(p.namespace, p.name); !labelled && len(by) == 1 {
			t.route(by[0], *q)
		}
	}
	for _, q := range t.routed {
		t.signals["ingress"] = true
		t.golden(q.ref.GetKind(), q.ref.GetNamespace(), q.ref.GetName(), q.requests)
	}
	slices.SortFunc(t.frame.Samples, func(a, b *report.Sample) int {
		return cmp.Or(cmp.Compare(a.Entity.Kind, b.Entity.Kind), cmp.Compare(a.Entity.Namespace, b.Entity.Namespace), cmp.Compare(a.Entity.Name, b.Entity.Name), cmp.Compare(a.Metric, b.Metric))
	})
}

// traffic makes the edges. One that the mesh counts is not counted again from sampled traces.
func (t *tick) traffic() {
	for source, name := range map[string]string{byMesh: "linkerd", byTraces: "traces"} {
		for p, c := range t.calls[source] {
			if c.rate <= 0 || source == byTraces && t.calls[byMesh][p] != nil {
				continue
			}
			t.frame.Traffic = append(t.frame.Traffic, traffic(p, c, name))
		}
	}
	slices.SortFunc(t.frame.Traffic, func(a, b *report.Traffic) int {
		return cmp.Or(cmp.Compare(a.From.Namespace, b.From.Namespace), cmp.Compare(a.From.Name, b.From.Name), cmp.Compare(a.To.Namespace, b.To.Namespace), cmp.Compare(a.To.Name, b.To.Name))
	})
}

func traffic(p pair, c *call, source string) *report.Traffic {
	return &report.Traffic{
		From:              &report.EntityRef{Kind: "Service", Namespace: p.from.namespace, Name: p.from.name},
		To:                &report.EntityRef{Kind: "Service", Namespace: p.to.namespace, Name: p.to.name},
		RequestsPerSecond: c.rate, ErrorRatio: c.failed / c.rate, LatencyAvgSeconds: finite(c.mean), LatencyP95Seconds: finite(c.p95), TlsRatio: c.secured / c.rate, Source: source,
	}
}

// describe says what there is, and what is missing with why.
func (t *tick) describe() {
	if t.store.Logs != "" {
		t.signals["logs"] = true
	}
	t.status.Signals = slices.Sorted(maps.Keys(t.signals))
	t.status.Available = true
	var notes []string
	if len(t.frame.Samples) == 0 {
		note := "nothing was written in the last " + t.source.cfg.Window.String()
		if !t.newest.IsZero() {
			note = "the newest row is " + t.now.Sub(t.newest).Round(time.Second).String() + " old"
		}
		notes = append(notes, note)
	}
	notes = append(notes, t.store.absent...)
	if len(t.unknown) > 0 {
		names := slices.Sorted(maps.Keys(t.unknown))
		notes = append(notes, fmt.Sprintf("%d names belong to nothing in this cluster, such as %s", len(names), names[0]))
	}
	t.status.Message = strings.Join(notes, "; ")
}
