package prometheus

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

	"golang.org/x/sync/errgroup"

	"github.com/bukahou/atlhyper/agent/report"
)

// Sample reads one tick: what the last window was like. A server that cannot be read is said in the frame and is no error;
// it is asked again after a pause that grows to a minute.
func (s *Source) Sample(ctx context.Context, now time.Time) (*report.TelemetryFrame, error) {
	return s.ticker.Sample(ctx, now, func(ctx context.Context, f *report.TelemetryFrame, status *report.SourceStatus) error {
		err := newTick(s, now, f, status).read(ctx)
		if err != nil {
			s.forget()
		}
		return err
	})
}

type place struct{ namespace, name string }

func (p place) ref() *report.EntityRef {
	return &report.EntityRef{Kind: "Service", Namespace: p.namespace, Name: p.name}
}

// pair is an edge: two Services.
type pair struct{ from, to place }

// requests are what is known of one service from one family, a second.
type requests struct {
	rate, failed, secured float64
	timed, took           float64 // requests whose time is known, and the seconds of all of them
	p95                   float64 // seconds; NaN where it is unknown
}

// add joins one part of an answer. Of two P95 the larger stays: a service is never better than its worst part by much.
func (q *requests) add(what string, v float64) {
	switch what {
	case "rate":
		q.rate += v
	case "failed":
		q.failed += v
	case "secured":
		q.secured += v
	case "timed":
		q.timed += v
	case "took":
		q.took += v
	case "p95":
		if !(q.p95 >= v) {
			q.p95 = v
		}
	}
}

// measured collects requests by whatever they are of.
type measured[K comparable] map[K]*requests

func (m measured[K]) at(k K) *requests {
	if m[k] == nil {
		m[k] = &requests{p95: math.NaN()}
	}
	return m[k]
}

type tick struct {
	source *Source
	now    time.Time
	frame  *report.TelemetryFrame
	status *report.SourceStatus
	there  map[string]bool

	mu      sync.Mutex // guards what the queries fill
	unknown map[string]bool
	signals map[string]bool
	packets map[string]float64 // of a node, in the window
	nodes   []*report.Sample
	pods    []*report.Sample
	entry   measured[place]                        // at the door, by Service
	routed  map[place]map[string]*report.EntityRef // what routes, by namespace, name and kind
	routes  map[*report.EntityRef]*requests        // likewise
	mesh    measured[place]
	own     measured[place]
	calls   measured[pair]
}

func newTick(s *Source, now time.Time, f *report.TelemetryFrame, status *report.SourceStatus) *tick {
	return &tick{
		source: s, now: now, frame: f, status: status, unknown: map[string]bool{}, signals: map[string]bool{}, packets: map[string]float64{},
		entry: measured[place]{}, routed: map[place]map[string]*report.EntityRef{}, routes: map[*report.EntityRef]*requests{}, mesh: measured[place]{}, own: measured[place]{}, calls: measured[pair]{},
	}
}

func (t *tick) read(ctx context.Context) error {
	var err error
	if t.there, err = t.source.look(ctx, t.now); err != nil {
		return err
	}
	homes, err := t.source.homes(ctx, t.there, func(q string) ([]row, error) { return t.source.instant(ctx, q, t.now) })
	if err != nil {
		return err
	}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(3)
	run := func(parts []part, use func(row)) {
		group.Go(func() error {
			rows, err := t.source.instant(ctx, join(t.source.cfg.Window, "", parts...), t.now)
			if err != nil {
				return err
			}
			t.mu.Lock()
			defer t.mu.Unlock()
			for _, r := range rows {
				use(r)
			}
			return nil
		})
	}
	if t.there[meshProbe] { // the largest first
		run(meshTick("outbound", outboundBy), t.outbound)
		run(meshTick("inbound", inboundBy), t.inbound)
	}
	if t.there[traefikServices.probe] {
		run(traefikServices.golden(), t.backend)
	}
	if t.there[traefikRouters.probe] {
		run(traefikRouters.golden(), t.router)
	}
	for _, f := range ownMetrics {
		if t.there[f.probe] {
			run(f.golden(), func(r row) {
				if p, ok := t.source.service(r, homes); ok {
					t.own.at(p).add(r.get(what), r.value)
				} else {
					t.unknown["service "+r.get("service_name", "exported_job", "job")] = true
				}
			})
		}
	}
	if t.has("nodes") {
		run(nodeTick, t.node)
	}
	if t.has("pods") {
		run(podTick, t.pod)
	}
	if err := group.Wait(); err != nil {
		return err
	}
	t.samples()
	t.traffic()
	t.describe()
	return nil
}

func (t *tick) has(signal string) bool {
	for metric, s := range signals {
		if s == signal && t.there[metric] {
			return true
		}
	}
	return false
}

// homes are the namespace and workload of each job of OpenTelemetry's. A job that runs in two is left out.
func (s *Source) homes(ctx context.Context, there map[string]bool, ask func(string) ([]row, error)) (map[string]place, error) {
	if !there["target_info"] {
		return nil, nil
	}
	rows, err := ask(targetInfo)
	if err != nil {
		return nil, err
	}
	homes := map[string]place{}
	for _, r := range rows {
		job, p := r.get("job"), place{r.get("k8s_namespace_name"), r.get("k8s_deployment_name")}
		if have, taken := homes[job]; taken && have != p {
			p = place{}
		}
		homes[job] = p
	}
	return homes, nil
}

// service finds the Service that own metrics are of.
func (s *Source) service(r row, homes map[string]place) (place, bool) {
	try := func(namespace, name string) (place, bool) {
		if name == "" {
			return place{}, false
		}
		ns, svc, ok := s.cfg.Names.Service(namespace, name)
		return place{ns, svc}, ok
	}
	if p, ok := try(r.get("k8s_namespace_name"), r.get("k8s_deployment_name")); ok {
		return p, true
	}
	job := r.get("exported_job", "job")
	if home := homes[r.get("job")]; home.name != "" {
		if p, ok := try(home.namespace, home.name); ok {
			return p, true
		}
	}
	namespace := r.get("k8s_namespace_name", "namespace", "service_namespace")
	if before, after, ok := strings.Cut(job, "/"); ok { // service.namespace/service.name, or a ServiceMonitor's namespace/name
		namespace, job = cmp.Or(r.get("k8s_namespace_name", "namespace"), before), after
	}
	for _, name := range []string{r.get("service_name"), r.get("service"), job} {
		if p, ok := try(namespace, name); ok {
			return p, true
		}
	}
	return try("", job)
}

func (t *tick) node(r row) {
	name := cmp.Or(t.source.cfg.Names.Node(r.get("node")), t.source.cfg.Names.Node(r.get("instance")))
	if name == "" {
		t.unknown["node "+r.get("node", "instance")] = true
		return
	}
	metric, v := r.get(what), r.value
	switch metric {
	case "network_packets":
		t.packets[name] = v * t.source.cfg.Window.Seconds()
		return
	case "temperature_ratio":
		v = max(0, v)
	default:
		v = min(1, max(0, v))
	}
	t.nodes = append(t.nodes, &report.Sample{Entity: &report.EntityRef{Kind: "Node", Name: name}, Metric: metric, Value: v})
}

func (t *tick) pod(r row) {
	if r.get("pod") != "" {
		t.pods = append(t.pods, &report.Sample{Entity: &report.EntityRef{Kind: "Pod", Namespace: r.get("namespace"), Name: r.get("pod")}, Metric: r.get(what), Value: max(0, r.value)})
	}
}

func (t *tick) backend(r row) {
	label := r.get("exported_service", "service")
	ns, name, ok := t.source.cfg.Names.Backend(label)
	switch {
	case ok:
		t.entry.at(place{ns, name}).add(r.get(what), r.value)
	case !strings.HasSuffix(label, "@internal"):
		t.unknown["ingress backend "+label] = true
	}
}

func (t *tick) router(r row) {
	label := r.get("router")
	ref, ok := t.source.cfg.Names.Route(label)
	switch {
	case ok:
		t.route(ref).add(r.get(what), r.value)
	case !strings.HasSuffix(label, "@internal"):
		t.unknown["router "+label] = true
	}
}

func (t *tick) route(ref *report.EntityRef) *requests {
	p := place{ref.GetNamespace(), ref.GetName()}
	if t.routed[p] == nil {
		t.routed[p] = map[string]*report.EntityRef{}
	}
	if t.routed[p][ref.GetKind()] == nil {
		t.routed[p][ref.GetKind()] = ref
		t.routes[ref] = &requests{p95: math.NaN()}
	}
	return t.routes[t.routed[p][ref.GetKind()]]
}

// meshed finds the Service in front of the workload that a proxy stands beside.
func (s *Source) meshed(r row) (place, bool) {
	ns, svc, ok := s.cfg.Names.Service(r.get("namespace"), r.get("deployment", "statefulset", "daemonset"))
	return place{ns, svc}, ok
}

func (t *tick) inbound(r row) {
	if p, ok := t.source.meshed(r); ok {
		t.mesh.at(p).add(r.get(what), r.value)
	} else {
		t.unknown["service "+r.get("deployment", "statefulset", "daemonset")] = true
	}
}

func (t *tick) outbound(r row) {
	from, known := t.source.meshed(r)
	name := r.get("dst_service", "dst_deployment", "dst_statefulset", "dst_daemonset")
	ns, svc, ok := t.source.cfg.Names.Service(r.get("dst_namespace"), name)
	if !ok {
		t.unknown["service "+name] = true
	}
	if known && ok {
		t.calls.at(pair{from, place{ns, svc}}).add(r.get(what), r.value)
	}
}

func (t *tick) sample(e *report.EntityRef, metric string, value, count float64) {
	if !math.IsNaN(value) && !math.IsInf(value, 0) {
		t.frame.Samples = append(t.frame.Samples, &report.Sample{Entity: e, Metric: metric, Value: value, Count: count})
	}
}

func (t *tick) golden(e *report.EntityRef, q *requests) {
	seconds := t.source.cfg.Window.Seconds()
	t.sample(e, "request_rate", q.rate, q.rate*seconds)
	if q.rate > 0 {
		t.sample(e, "error_rate", q.failed/q.rate, q.rate*seconds)
	}
	if q.timed > 0 {
		t.sample(e, "avg_latency", q.took/q.timed, q.timed*seconds)
		t.sample(e, "p95_latency", q.p95, q.timed*seconds)
	}
}

func (t *tick) samples() {
	for _, x := range t.nodes {
		t.signals["nodes"] = true
		if x.GetMetric() == "network_error_ratio" {
			x.Count = t.packets[x.GetEntity().GetName()]
		}
		t.sample(x.GetEntity(), x.GetMetric(), x.GetValue(), x.GetCount())
	}
	for _, x := range t.pods {
		t.signals["pods"] = true
		t.sample(x.GetEntity(), x.GetMetric(), x.GetValue(), 0)
	}
	// A service is measured once: by its mesh, else by its own metrics, else at the door.
	done := map[place]bool{}
	for _, layer := range []struct {
		name string
		of   measured[place]
	}{{"mesh", t.mesh}, {"http", t.own}, {"ingress", t.entry}} {
		for p, q := range layer.of {
			t.signals[layer.name] = true
			if !done[p] {
				t.golden(p.ref(), q)
				done[p] = true
			}
		}
	}
	// What routes is measured by its routers where Traefik labels them, else by the Services that it alone routes to.
	if len(t.routes) == 0 {
		for p, q := range t.entry {
			if by := t.source.cfg.Names.Routes(p.namespace, p.name); len(by) == 1 {
				into := t.route(by[0])
				for what, v := range map[string]float64{"rate": q.rate, "failed": q.failed, "timed": q.timed, "took": q.took, "p95": q.p95} {
					into.add(what, v)
				}
			}
		}
	}
	for ref, q := range t.routes {
		t.signals["ingress"] = true
		t.golden(ref, q)
	}
	slices.SortFunc(t.frame.Samples, func(a, b *report.Sample) int {
		return cmp.Or(cmp.Compare(a.Entity.Kind, b.Entity.Kind), cmp.Compare(a.Entity.Namespace, b.Entity.Namespace), cmp.Compare(a.Entity.Name, b.Entity.Name), cmp.Compare(a.Metric, b.Metric))
	})
}

func (t *tick) traffic() {
	for p, c := range t.calls {
		if c.rate <= 0 {
			continue
		}
		x := &report.Traffic{
			From: p.from.ref(), To: p.to.ref(), RequestsPerSecond: c.rate, ErrorRatio: c.failed / c.rate, TlsRatio: c.secured / c.rate, Source: "linkerd",
		}
		if c.timed > 0 {
			x.LatencyAvgSeconds = c.took / c.timed
		}
		if !math.IsNaN(c.p95) {
			x.LatencyP95Seconds = c.p95
		}
		t.frame.Traffic = append(t.frame.Traffic, x)
	}
	slices.SortFunc(t.frame.Traffic, func(a, b *report.Traffic) int {
		return cmp.Or(cmp.Compare(a.From.Namespace, b.From.Namespace), cmp.Compare(a.From.Name, b.From.Name), cmp.Compare(a.To.Namespace, b.To.Namespace), cmp.Compare(a.To.Name, b.To.Name))
	})
}

// describe says what there is, and what is missing.
func (t *tick) describe() {
	t.status.Signals = slices.Sorted(maps.Keys(t.signals))
	t.status.Available = true
	var notes []string
	if len(t.frame.Samples) == 0 {
		notes = append(notes, "the server has nothing of the last "+t.source.cfg.Window.String()+" that is known here")
	}
	for _, m := range mendings {
		if !t.has(m.signal) {
			notes = append(notes, m.mend+" is scraped")
		}
	}
	if len(t.unknown) > 0 {
		names := slices.Sorted(maps.Keys(t.unknown))
		notes = append(notes, fmt.Sprintf("%d names belong to nothing in this cluster, such as %s", len(names), names[0]))
	}
	t.status.Message = strings.Join(notes, "; ")
}
