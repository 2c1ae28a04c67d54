package prometheus

import (
	"context"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/telemetry"
	lab "github.com/bukahou/atlhyper/deploy/lab/telemetry"
	"github.com/bukahou/atlhyper/deploy/lab/telemetry/shop"
)

// epoch is far from now on purpose: nothing may read the wall clock where a tick's time is meant.
var epoch = time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC)

const every = 15 * time.Second

type objects map[string][]*report.Resource

func (o objects) Resources(kind string) []*report.Resource { return o[kind] }

// cluster is the one that the shop runs in.
func cluster() objects {
	o := objects{}
	for i, n := range shop.Nodes {
		o["Node"] = append(o["Node"], &report.Resource{Kind: "Node", Name: n, Detail: &report.Resource_Node{Node: &report.Node{Addresses: map[string]string{"InternalIP": shop.Address(i), "Hostname": n}}}})
	}
	for _, s := range shop.Services {
		selector := map[string]string{"app": s}
		o["Service"] = append(o["Service"], &report.Resource{Kind: "Service", Namespace: shop.Namespace, Name: s, Detail: &report.Resource_Service{Service: &report.Service{
			Selector: selector, Ports: []*report.ServicePort{{Name: "http", Port: 80}},
		}}})
		o["Deployment"] = append(o["Deployment"], &report.Resource{Kind: "Deployment", Namespace: shop.Namespace, Name: s, Detail: &report.Resource_Workload{Workload: &report.Workload{Selector: selector}}})
	}
	o["Ingress"] = []*report.Resource{{Kind: "Ingress", Namespace: shop.Namespace, Name: "shop", Detail: &report.Resource_Ingress{Ingress: &report.Ingress{
		Backends: []*report.IngressBackend{{Host: "shop.example.com", Path: "/", Service: "frontend", Port: "http"}},
	}}}}
	return o
}

func names() telemetry.Names { return telemetry.NewDirectory(cluster(), time.Now) }

func source(t *testing.T, cfg Config) *Source {
	t.Helper()
	if cfg.Names == nil {
		cfg.Names = names()
	}
	cfg.Within = time.Minute
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// history is what a server scraped, series by series, with the family that each belongs to.
type history struct {
	kind    map[string]string
	samples map[string][]string // family → lines
}

func newHistory() *history { return &history{map[string]string{}, map[string][]string{}} }

func (h *history) add(family, kind, name string, labels map[string]string, at time.Time, v float64) {
	h.kind[family] = kind
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		parts = append(parts, fmt.Sprintf("%s=%q", k, labels[k]))
	}
	h.samples[family] = append(h.samples[family], fmt.Sprintf("%s{%s} %v %d\n", name, strings.Join(parts, ","), v, at.Unix()))
}

// scrape adds what one scrape of everything gave. The names of OpenTelemetry become what Prometheus makes of them; kinds are
// left unknown, which is all that a server keeps of them.
func (h *history) scrape(r lab.Records, only func(name string) bool) {
	for _, p := range r.Points {
		if !only(p.Name) {
			continue
		}
		labels := map[string]string{"job": p.Resource["service.name"], "instance": p.Resource["service.instance.id"]}
		for k, v := range p.Attributes {
			labels[strings.ReplaceAll(k, ".", "_")] = v
		}
		name := strings.ReplaceAll(p.Name, ".", "_")
		if p.Name == "http.server.request.duration" {
			name += "_seconds"
			h.add("target_info", "unknown", "target_info", map[string]string{
				"job": labels["job"], "instance": labels["instance"], "k8s_namespace_name": p.Resource["k8s.namespace.name"], "k8s_deployment_name": p.Resource["k8s.deployment.name"],
			}, p.Time, 1)
		}
		if p.Kind != lab.Histogram {
			h.add(name, "unknown", name, labels, p.Time, p.Value)
			continue
		}
		h.add(name+"_sum", "unknown", name+"_sum", labels, p.Time, p.Total)
		h.add(name+"_count", "unknown", name+"_count", labels, p.Time, float64(p.Count))
		var sum uint64
		for i, n := range p.Buckets {
			sum += n
			labels["le"] = "+Inf"
			if i < len(p.Bounds) {
				labels["le"] = strconv.FormatFloat(p.Bounds[i], 'g', -1, 64)
			}
			h.add(name+"_bucket", "unknown", name+"_bucket", labels, p.Time, float64(sum))
		}
		delete(labels, "le")
	}
}

func (h *history) text() []byte {
	var b strings.Builder
	for _, family := range slices.Sorted(maps.Keys(h.samples)) {
		fmt.Fprintf(&b, "# TYPE %s %s\n", family, h.kind[family])
		for _, line := range h.samples[family] {
			b.WriteString(line)
		}
	}
	return []byte(b.String())
}

func everything(string) bool { return true }

// run lets a shop run and be scraped; skip says which scrapes are missed.
func (h *history) run(s *shop.Shop, span time.Duration, only func(string) bool, skip func(i int) bool) {
	for i := range int(span / every) {
		s.Advance(s.Now().Add(every))
		s.Drain()
		if skip == nil || !skip(i) {
			h.scrape(s.Scrape(), only)
		}
	}
}

func near(t *testing.T, what string, got, want, within float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > within*math.Abs(want)+1e-9 {
		t.Errorf("%s is %v, want %v within %v %%", what, got, want, within*100)
	}
}

func inBucket(t *testing.T, what string, bounds []float64, got float64, want time.Duration) {
	t.Helper()
	i, _ := slices.BinarySearch(bounds, want.Seconds())
	low, high := 0., math.Inf(1)
	if i > 0 {
		low = bounds[i-1]
	}
	if i < len(bounds) {
		high = bounds[i]
	}
	if !(got >= low && got <= high) {
		t.Errorf("%s is %v s, want it in the bucket of %v, %v to %v s", what, got, want, low, high)
	}
}

// found gives the samples of a frame by entity and metric.
func found(f *report.TelemetryFrame) map[string]*report.Sample {
	out := map[string]*report.Sample{}
	for _, s := range f.GetSamples() {
		out[s.GetEntity().GetKind()+"/"+s.GetEntity().GetName()+" "+s.GetMetric()] = s
	}
	return out
}

var (
	linkerd = []float64{.001, .002, .003, .004, .005, .01, .02, .03, .04, .05, .1, .2, .3, .4, .5, 1, 2, 3, 4, 5, 10, 20, 30, 40, 50}
	traefik = []float64{.1, .3, 1.2, 5}
	semconv = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
)

func sample(t *testing.T, s *Source, now time.Time) (*report.TelemetryFrame, map[string]*report.Sample) {
	t.Helper()
	f, err := s.Sample(t.Context(), now)
	if err != nil {
		t.Fatal(err)
	}
	if !f.GetSources()[0].GetAvailable() {
		t.Fatalf("unavailable: %s", f.GetSources()[0].GetMessage())
	}
	return f, found(f)
}

// services compares the golden signals of every service with what happened.
func services(t *testing.T, s *shop.Shop, got map[string]*report.Sample, bounds []float64, begin, end time.Time) {
	t.Helper()
	for _, svc := range shop.Services {
		want := s.Truth("*", svc, begin, end)
		near(t, svc+"'s rate", got["Service/"+svc+" request_rate"].GetValue(), float64(want.Requests)/end.Sub(begin).Seconds(), 0.02)
		near(t, svc+"'s errors", got["Service/"+svc+" error_rate"].GetValue(), float64(want.Failed)/float64(want.Requests), 0.02)
		near(t, svc+"'s mean", got["Service/"+svc+" avg_latency"].GetValue(), want.Mean().Seconds(), 0.02)
		inBucket(t, svc+"'s p95", bounds, got["Service/"+svc+" p95_latency"].GetValue(), want.Quantile(0.95))
	}
}

func TestATickAgreesWithWhatHappened(t *testing.T) {
	s, h := shop.New(shop.Config{Start: epoch, Seed: 1}), newHistory()
	s.Break("payments", shop.Fault{Fail: 0.2})
	h.run(s, 6*time.Minute, everything, nil)
	p := lab.PrometheusForTest(t, lab.PrometheusConfig{History: h.text()})
	now := s.Now()
	f, got := sample(t, source(t, Config{URL: p.URL}), now)
	begin := now.Add(-2 * time.Minute)
	services(t, s, got, linkerd, begin, now)
	door := s.Truth("", "frontend", begin, now)
	near(t, "the Ingress's rate", got["Ingress/shop request_rate"].GetValue(), float64(door.Requests)/120, 0.02)
	inBucket(t, "the Ingress's p95", traefik, got["Ingress/shop p95_latency"].GetValue(), door.Quantile(0.95))
	want := s.Edges(begin, now)
	for _, e := range f.GetTraffic() {
		key := [2]string{e.GetFrom().GetName(), e.GetTo().GetName()}
		if !want[key] {
			t.Errorf("an edge that is not there: %v", key)
		}
		delete(want, key)
		truth := s.Truth(key[0], key[1], begin, now)
		near(t, "the rate of "+key[0]+" → "+key[1], e.GetRequestsPerSecond(), float64(truth.Requests)/120, 0.02)
		near(t, "the mean of "+key[0]+" → "+key[1], e.GetLatencyAvgSeconds(), truth.Mean().Seconds(), 0.02)
		near(t, "the errors of "+key[0]+" → "+key[1], e.GetErrorRatio(), float64(truth.Failed)/float64(truth.Requests), 0.02)
		near(t, "the TLS share of "+key[0]+" → "+key[1], e.GetTlsRatio(), 1, 1e-9)
	}
	if len(want) > 0 {
		t.Errorf("edges are missing: %v", want)
	}
	near(t, "node-b's CPU", got["Node/node-b cpu_usage"].GetValue(), 0.25, 0.001)
	near(t, "node-b's memory", got["Node/node-b memory_usage"].GetValue(), 3./8, 0.001)
	near(t, "node-b's disk", got["Node/node-b disk_usage"].GetValue(), 0.4, 0.001)
	near(t, "node-b's IO pressure", got["Node/node-b psi_io"].GetValue(), 0.02, 0.001)
	near(t, "node-b's temperature", got["Node/node-b temperature_ratio"].GetValue(), 0.525, 0.001)
	if x := got["Node/node-b network_error_ratio"]; x == nil || x.GetValue() != 0 {
		t.Errorf("network errors are %v, want a measured 0", x)
	} else {
		near(t, "the packets behind it", x.GetCount(), 1000*120, 0.001)
	}
	if got := f.GetSources()[0].GetSignals(); !slices.Equal(got, []string{"http", "ingress", "mesh", "nodes"}) {
		t.Errorf("signals are %v", got)
	}
	if m := f.GetSources()[0].GetMessage(); !strings.Contains(m, "pods: no cAdvisor is scraped") {
		t.Errorf("what is missing is told as %q", m)
	}
}

func TestWhatIsNotScrapedIsUnavailableAndNeverZero(t *testing.T) {
	s, h := shop.New(shop.Config{Start: epoch, Seed: 1}), newHistory()
	h.run(s, 6*time.Minute, func(name string) bool { return strings.HasPrefix(name, "node_memory") }, nil)
	p := lab.PrometheusForTest(t, lab.PrometheusConfig{History: h.text()})
	src := source(t, Config{URL: p.URL})
	f, _ := sample(t, src, s.Now())
	if len(f.GetSamples()) != len(shop.Nodes) || len(f.GetTraffic()) != 0 {
		t.Errorf("memory alone gave %v", f.GetSamples())
	}
	for _, x := range f.GetSamples() {
		if x.GetMetric() != "memory_usage" {
			t.Errorf("%v was never scraped", x)
		}
	}
	counts, err := src.Requests(t.Context(), s.Now().Add(-5*time.Minute), s.Now(), time.Minute)
	if err != nil || len(counts) != 0 {
		t.Errorf("requests that nobody counts are %v, %v", counts, err)
	}
	later := source(t, Config{URL: p.URL})
	f, _ = sample(t, later, s.Now().Add(time.Hour))
	if len(f.GetSamples()) != 0 || !strings.Contains(f.GetSources()[0].GetMessage(), "has nothing of the last") {
		t.Errorf("an hour later %v", f)
	}
}

func TestARestartAndAMissingScrapeMoveNoRate(t *testing.T) {
	s, h := shop.New(shop.Config{Start: epoch, Seed: 1}), newHistory()
	h.run(s, 4*time.Minute, everything, nil)
	s.Restart("cart") // just after a scrape: nothing is lost
	h.run(s, time.Minute, everything, func(i int) bool { return i == 1 })
	p := lab.PrometheusForTest(t, lab.PrometheusConfig{History: h.text()})
	_, got := sample(t, source(t, Config{URL: p.URL}), s.Now())
	services(t, s, got, linkerd, s.Now().Add(-2*time.Minute), s.Now())
}

func TestAServiceWithoutAMeshIsMeasuredByItsOwnMetrics(t *testing.T) {
	s, h := shop.New(shop.Config{Start: epoch, Seed: 1}), newHistory()
	h.run(s, 5*time.Minute, func(name string) bool { return name == "http.server.request.duration" }, nil)
	p := lab.PrometheusForTest(t, lab.PrometheusConfig{History: h.text()})
	_, got := sample(t, source(t, Config{URL: p.URL}), s.Now())
	services(t, s, got, semconv, s.Now().Add(-2*time.Minute), s.Now())
}

func TestMinutesCountRequestsByCodeAndBucket(t *testing.T) {
	s, h := shop.New(shop.Config{Start: epoch, Seed: 1}), newHistory()
	s.Break("payments", shop.Fault{Fail: 0.2})
	h.run(s, 12*time.Minute, everything, nil)
	p := lab.PrometheusForTest(t, lab.PrometheusConfig{History: h.text()})
	src := source(t, Config{URL: p.URL, Window: time.Minute})
	begin, end := epoch.Add(2*time.Minute), epoch.Add(12*time.Minute)
	counts, err := src.Requests(t.Context(), begin, end, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	type key struct{ layer, entity, route string }
	sums := map[key]*report.RequestCount{}
	for _, c := range counts {
		k := key{c.GetLayer(), c.GetEntity().GetKind() + "/" + c.GetEntity().GetName(), c.GetRoute()}
		if c.GetSpan().AsDuration() != time.Minute || c.GetStart().AsTime().Sub(begin)%time.Minute != 0 {
			t.Fatalf("a minute is %v", c)
		}
		have := sums[k]
		if have == nil {
			have = &report.RequestCount{Codes: map[string]float64{}, Bounds: c.GetBounds(), Buckets: make([]float64, len(c.GetBuckets()))}
			sums[k] = have
		}
		have.Span = durationpb.New(have.GetSpan().AsDuration() + time.Minute)
		have.Total, have.Errors = have.Total+c.Total, have.Errors+c.Errors
		for code, n := range c.Codes {
			have.Codes[code] += n
		}
		for i, n := range c.Buckets {
			have.Buckets[i] += n
		}
	}
	check := func(k key, from, to string, bounds []float64) {
		t.Helper()
		got, want := sums[k], s.Truth(from, to, begin, end)
		if got == nil {
			t.Errorf("nothing of %v", k)
			return
		}
		if got.GetSpan().AsDuration() != 10*time.Minute {
			t.Errorf("%v has %v of ten minutes", k, got.GetSpan().AsDuration())
		}
		near(t, fmt.Sprint(k, "'s requests"), got.Total, float64(want.Requests), 0.02)
		near(t, fmt.Sprint(k, "'s errors"), got.Errors, float64(want.Failed), 0.02)
		near(t, fmt.Sprint(k, "'s 500s"), got.Codes["500"], float64(want.Failed), 0.02)
		if len(got.Bounds) != len(bounds) {
			t.Errorf("%v has the bounds %v", k, got.Bounds)
			return
		}
		var sum float64
		for i, n := range got.Buckets {
			sum += n
			upTo := time.Hour
			if i < len(bounds) {
				near(t, "a bound", got.Bounds[i], bounds[i], 1e-9)
				upTo = time.Duration(bounds[i] * float64(time.Second))
			}
			real, _ := slices.BinarySearch(want.Took, upTo+1)
			if math.Abs(sum-float64(real)) > 0.02*float64(want.Requests) {
				t.Errorf("%v: %v requests took up to %v, want %d", k, sum, upTo, real)
			}
		}
	}
	for _, svc := range shop.Services {
		check(key{"mesh", "Service/" + svc, ""}, "*", svc, linkerd)
	}
	check(key{"ingress", "Service/frontend", ""}, "", "frontend", traefik)
	check(key{"ingress", "Ingress/shop", ""}, "", "frontend", traefik)
	check(key{"ingress", "Ingress/shop", shop.RouterLabel}, "", "frontend", traefik)
	if len(sums) != len(shop.Services)+3 {
		t.Errorf("%d entities were counted, want %d", len(sums), len(shop.Services)+3)
	}
}

func TestTheCourseOfANodeAndOfAService(t *testing.T) {
	s, h := shop.New(shop.Config{Start: epoch, Seed: 1}), newHistory()
	h.run(s, 10*time.Minute, everything, nil)
	p := lab.PrometheusForTest(t, lab.PrometheusConfig{History: h.text()})
	src := source(t, Config{URL: p.URL})
	ask := func(kind, namespace, name string, metrics ...string) map[string]*report.Series {
		t.Helper()
		o, err := src.Answer(t.Context(), &report.Query{Ask: &report.Query_Series{Series: &report.SeriesQuery{
			Entity: &report.EntityRef{Kind: kind, Namespace: namespace, Name: name}, Metrics: metrics,
			From: timestamppb.New(epoch.Add(4 * time.Minute)), To: timestamppb.New(epoch.Add(10 * time.Minute)), Step: durationpb.New(time.Minute),
		}}})
		if err != nil {
			t.Fatal(err)
		}
		out := map[string]*report.Series{}
		for _, x := range o.GetSeries() {
			key := x.GetMetric()
			for _, v := range x.GetLabels() {
				key += " " + v
			}
			out[key] = x
		}
		return out
	}
	node := ask("Node", "", "node-b")
	for key, want := range map[string]float64{
		"cpu_usage": 0.25, "cpu user": 0.175, "cpu idle": 0.75, "memory_usage": 3. / 8, "memory_available": 5e9, "disk_usage /": 0.4, "disk_read vda": 4096,
		"network_receive eth0": 250_000, "load": 0.5, "tcp_connections": 120, "psi_io": 0.02, "temperature temp1": 52.5,
	} {
		points := node[key].GetPoints()
		if len(points) < 6 {
			t.Errorf("%s has %d points", key, len(points))
			continue
		}
		for _, p := range points {
			near(t, "node-b's "+key, p.GetValue(), want, 0.001)
		}
	}
	if x := node["disk_usage /run"]; x != nil {
		t.Errorf("memory is shown as a disk: %v", x)
	}
	cart := ask("Service", shop.Namespace, "cart", "request_rate", "p95_latency")
	if len(cart) != 2 || len(cart["request_rate"].GetPoints()) != 6 {
		t.Fatalf("cart's course is %v", cart)
	}
	want := s.Truth("*", "cart", epoch.Add(4*time.Minute), epoch.Add(10*time.Minute))
	var mean float64
	for _, p := range cart["request_rate"].GetPoints() {
		mean += p.GetValue() / 6
	}
	near(t, "cart's rate", mean, float64(want.Requests)/360, 0.02)
	inBucket(t, "cart's p95", linkerd, cart["p95_latency"].GetPoints()[5].GetValue(), want.Quantile(0.95))
	if _, err := src.Answer(t.Context(), &report.Query{Ask: &report.Query_Trace{Trace: &report.TraceQuery{TraceId: "1"}}}); err != telemetry.ErrNotKept {
		t.Errorf("a trace is answered with %v", err)
	}
}

func TestPodsAreMeasuredAgainstTheirLimits(t *testing.T) {
	h := newHistory()
	for i := range 20 {
		at := epoch.Add(time.Duration(i) * every)
		seconds := at.Sub(epoch).Seconds()
		cadvisor := func(pod, container, name string, v float64) {
			h.add(name, "unknown", name, map[string]string{"job": "kubelet", "namespace": "shop", "pod": pod, "container": container}, at, v)
		}
		limit := func(pod, container, resource string, v float64) {
			h.add("kube_pod_container_resource_limits", "unknown", "kube_pod_container_resource_limits",
				map[string]string{"job": "kube-state-metrics", "namespace": "shop", "pod": pod, "container": container, "resource": resource}, at, v)
		}
		for _, c := range []struct{ pod, container string }{{"cart-1", "app"}, {"cart-1", "proxy"}, {"ads-1", "app"}, {"ads-1", "proxy"}, {"cart-1", ""}} {
			cadvisor(c.pod, c.container, "container_cpu_usage_seconds_total", 0.25*seconds)
			cadvisor(c.pod, c.container, "container_memory_working_set_bytes", 3e8)
			cadvisor(c.pod, c.container, "container_cpu_cfs_periods_total", 10*seconds)
			cadvisor(c.pod, c.container, "container_cpu_cfs_throttled_periods_total", 2*seconds)
		}
		for _, container := range []string{"app", "proxy"} {
			limit("cart-1", container, "cpu", 1)
			limit("cart-1", container, "memory", 4e8)
		}
		limit("ads-1", "app", "memory", 4e8) // its proxy may use what it likes
	}
	p := lab.PrometheusForTest(t, lab.PrometheusConfig{History: h.text()})
	_, got := sample(t, source(t, Config{URL: p.URL}), epoch.Add(19*every))
	near(t, "cart's CPU", got["Pod/cart-1 cpu_usage"].GetValue(), 0.25, 0.001)
	near(t, "cart's memory", got["Pod/cart-1 memory_usage"].GetValue(), 0.75, 0.001)
	near(t, "cart's throttling", got["Pod/cart-1 cpu_throttled"].GetValue(), 0.2, 0.001)
	near(t, "ads' throttling", got["Pod/ads-1 cpu_throttled"].GetValue(), 0.2, 0.001)
	for _, unlimited := range []string{"Pod/ads-1 memory_usage", "Pod/ads-1 cpu_usage"} {
		if got[unlimited] != nil {
			t.Errorf("%s is %v, though one of its containers has no limit", unlimited, got[unlimited])
		}
	}
}

// anyNode takes this machine's address, where every pretended target is scraped, for the first node.
type anyNode struct{ telemetry.Names }

func (anyNode) Node(string) string { return shop.Nodes[0] }

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
	p := lab.PrometheusForTest(t, lab.PrometheusConfig{Targets: targets})
	src := source(t, Config{URL: p.URL, Names: anyNode{names()}, Window: 10 * time.Second})
	for deadline := time.Now().Add(2 * time.Minute); ; time.Sleep(time.Second) {
		now := time.Now()
		f, err := src.Sample(t.Context(), now)
		if err != nil {
			t.Fatal(err)
		}
		got := found(f)
		if !f.GetSources()[0].GetAvailable() {
			t.Fatal(f.GetSources())
		}
		if now.Sub(begin) < 16*time.Second || len(f.GetTraffic()) < 12 || got["Node/node-a cpu_usage"] == nil || got["Ingress/shop request_rate"] == nil {
			if now.After(deadline) {
				t.Fatalf("after two minutes: %v", f)
			}
			continue
		}
		// The shop counts whole seconds, and a scrape comes when it comes: a second more or less in a window of ten.
		near(t, "the frontend's rate", got["Service/frontend request_rate"].GetValue(), 10, 0.2)
		near(t, "the Ingress's rate", got["Ingress/shop request_rate"].GetValue(), 10, 0.2)
		if e := got["Service/frontend error_rate"]; e == nil || e.GetValue() != 0 {
			t.Errorf("a shop without a fault has errors: %v", e)
		}
		return
	}
}

func TestWhateverTheServerDoesTheTickIsSkippedAndSaidWithItsRemedy(t *testing.T) {
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"a wrong login":    {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusUnauthorized) }, "mend PROMETHEUS_TOKEN"},
		"not a Prometheus": {func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello</html>") }, "is PROMETHEUS_URL that of a Prometheus?"},
		"no such path":     {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, "it knows no query API there"},
		"a server error":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusBadGateway) }, "server error"},
		"too much": {func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(http.StatusUnprocessableEntity)
			fmt.Fprint(w, `{"status":"error","errorType":"execution","error":"query processing would load too many samples into memory in query execution"}`)
		}, "--query.max-samples"},
		"breaking off": {func(w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) }, "cannot be reached"},
		"an endless answer": {func(w http.ResponseWriter, _ *http.Request) {
			b := make([]byte, 1<<20)
			for range 80 {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}, "too large"},
	} {
		t.Run(name, func(t *testing.T) {
			asked := 0
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked++; c.answer(w, r) }))
			defer server.Close()
			s := source(t, Config{URL: strings.Replace(server.URL, "http://", "http://reader:hunter2@", 1)})
			for i := range 2 {
				f, err := s.Sample(t.Context(), epoch.Add(time.Duration(i)*time.Second))
				if err != nil {
					t.Fatal(err)
				}
				st := f.GetSources()[0]
				if st.GetAvailable() || len(f.GetSamples()) > 0 || !strings.Contains(st.GetMessage(), c.want) || strings.Contains(st.GetMessage(), "hunter2") {
					t.Errorf("said %v", st)
				}
			}
			before := asked
			if _, err := s.Sample(t.Context(), epoch.Add(2*time.Second)); err != nil || asked != before {
				t.Errorf("a server that fails is asked at every tick (%d, %v)", asked-before, err)
			}
			if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("check says %v", err)
			}
		})
	}
}

func TestAHangingServerCostsATickAndComesBack(t *testing.T) {
	s, h := shop.New(shop.Config{Start: epoch, Seed: 1}), newHistory()
	h.run(s, 4*time.Minute, everything, nil)
	p := lab.PrometheusForTest(t, lab.PrometheusConfig{History: h.text()})
	src, err := Open(Config{URL: p.URL, Names: names(), Within: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	if err := p.Pause(); err != nil {
		t.Fatal(err)
	}
	f, err := src.Sample(t.Context(), s.Now())
	if err != nil || !strings.Contains(f.GetSources()[0].GetMessage(), "did not answer in time") {
		t.Errorf("a hanging server gave %v, %v", f.GetSources(), err)
	}
	if err := p.Resume(); err != nil {
		t.Fatal(err)
	}
	src.ticker.Within = time.Minute
	sample(t, src, s.Now().Add(30*time.Second))
}

func TestTheLoginIsSentAndNeverTold(t *testing.T) {
	for name, c := range map[string]struct {
		user, token, want string
	}{
		"a user":  {"reader:hunter2@", "", "Basic cmVhZGVyOmh1bnRlcjI="},
		"a token": {"", "hunter2", "Bearer hunter2"},
	} {
		t.Run(name, func(t *testing.T) {
			var got string
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				got = r.Header.Get("Authorization")
				fmt.Fprint(w, `{"status":"success","data":{"resultType":"vector","result":[]}}`)
			}))
			defer server.Close()
			s := source(t, Config{URL: strings.Replace(server.URL, "http://", "http://"+c.user, 1) + "/base", Token: c.token})
			if err := s.Check(context.Background()); err != nil || got != c.want {
				t.Errorf("sent %q, %v", got, err)
			}
		})
	}
	for _, bad := range []Config{{URL: "reader:hunter2@host"}, {URL: "http://reader:hunter2@host:9090", Token: "x"}, {URL: "ftp://reader:hunter2@host"}} {
		bad.Names = names()
		if _, err := Open(bad); err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
}
