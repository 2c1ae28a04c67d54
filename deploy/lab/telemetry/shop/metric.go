package shop

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/deploy/lab/telemetry"
)

// series is one counter, histogram or gauge.
type series struct {
	kind       telemetry.Kind
	name, job  string
	instance   string
	owner      string // service or node whose restart begins it anew
	attributes map[string]string
	resource   map[string]string // of an SDK; nil for what is scraped
	untyped    bool
	start      time.Time
	value      float64
	count      uint64
	total      float64
	bounds     []float64
	buckets    []uint64
}

// The bounds that Traefik, Linkerd and OpenTelemetry's semantic conventions use.
var (
	traefikBounds = []float64{0.1, 0.3, 1.2, 5}
	linkerdBounds = []float64{1, 2, 3, 4, 5, 10, 20, 30, 40, 50, 100, 200, 300, 400, 500, 1000, 2000, 3000, 4000, 5000, 10000, 20000, 30000, 40000, 50000}
	semconvBounds = []float64{.005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}
)

// Label is how Traefik calls the frontend.
const Label = Namespace + "-frontend-http@kubernetes"

// RouterLabel is how Traefik calls the Ingress "shop" with its host.
const RouterLabel = Namespace + "-shop-shop-example-com@kubernetes"

func (s *Shop) get(x series) *series {
	id := x.name + "\x00" + x.job + "\x00" + x.instance
	for _, k := range slices.Sorted(maps.Keys(x.attributes)) {
		id += "\x00" + k + "\x00" + x.attributes[k]
	}
	have := s.series[id]
	if have == nil {
		x.start = s.cfg.Start
		if x.kind == telemetry.Histogram {
			x.buckets = make([]uint64, len(x.bounds)+1)
		}
		have = &x
		s.series[id] = have
		s.order = append(s.order, id)
	}
	return have
}

func (x *series) observe(v float64) {
	x.count++
	x.total += v
	i, _ := slices.BinarySearch(x.bounds, v)
	x.buckets[i]++
}

// count adds a request to everything that counts it: Traefik at the door, Linkerd at both ends, the service's own SDK.
func (s *Shop) count(v Visit) {
	code, class := "200", "success"
	if v.Failed {
		code, class = "500", "failure"
	}
	if v.From == "" {
		for _, kind := range []string{"service", "router"} {
			labels := map[string]string{"code": code, "method": "GET", "protocol": "http", "service": Label}
			if kind == "router" {
				labels["router"] = RouterLabel
			}
			x := series{job: "traefik", instance: "10.2.0.1:9100", owner: "traefik", attributes: labels}
			x.kind, x.name = telemetry.Sum, "traefik_"+kind+"_requests_total"
			s.get(x).value++
			x.kind, x.name, x.bounds = telemetry.Histogram, "traefik_"+kind+"_request_duration_seconds", traefikBounds
			s.get(x).observe(v.Took.Seconds())
		}
	}
	proxy := func(service string, pod int, labels map[string]string) {
		maps.Copy(labels, map[string]string{"namespace": Namespace, "deployment": service, "pod": PodName(service, pod), "status_code": code, "tls": "true"})
		timed := maps.Clone(labels)
		labels["classification"] = class
		x := series{job: "linkerd-proxy", instance: PodName(service, pod) + ":4191", owner: service}
		x.kind, x.name, x.attributes = telemetry.Sum, "response_total", labels
		s.get(x).value++
		x.kind, x.name, x.attributes, x.bounds = telemetry.Histogram, "response_latency_ms", timed, linkerdBounds
		s.get(x).observe(v.Took.Seconds() * 1000)
	}
	proxy(v.To, v.Pod, map[string]string{"direction": "inbound"})
	if v.From != "" {
		proxy(v.From, v.FromPod, map[string]string{"direction": "outbound", "dst_namespace": Namespace, "dst_service": v.To, "dst_deployment": v.To})
	}
	own := series{
		kind: telemetry.Histogram, name: "http.server.request.duration", job: v.To, instance: PodName(v.To, v.Pod), owner: v.To, resource: resource(v.To, v.Pod), bounds: semconvBounds,
		attributes: map[string]string{"http.request.method": "GET", "http.response.status_code": code, "http.route": "/", "url.scheme": "http"},
	}
	s.get(own).observe(v.Took.Seconds())
}

// node lets a node live for one second.
func (s *Shop) node(n int, name string) {
	f := s.fault[name]
	s.used[name] += f.Leak
	busy := min(1, 0.2+0.05*float64(n)+f.CPU)
	add := func(name string, by float64, labels map[string]string) {
		x := series{kind: telemetry.Sum, name: name, job: "node-exporter", instance: Address(n) + ":9100", owner: Nodes[n], attributes: labels}
		if strings.HasPrefix(name, "node_netstat") || strings.HasPrefix(name, "node_vmstat") {
			x.kind, x.untyped = telemetry.Gauge, true
		}
		s.get(x).value += by
	}
	set := func(name string, to float64, labels map[string]string) {
		s.get(series{kind: telemetry.Gauge, name: name, job: "node-exporter", instance: Address(n) + ":9100", owner: Nodes[n], attributes: labels}).value = to
	}
	for _, cpu := range []string{"0", "1"} {
		for mode, share := range map[string]float64{"idle": 1 - busy, "user": busy * 0.7, "system": busy * 0.3, "iowait": 0, "steal": 0} {
			add("node_cpu_seconds_total", share, map[string]string{"cpu": cpu, "mode": mode})
		}
	}
	add("node_pressure_cpu_waiting_seconds_total", max(0, busy-0.8), nil)
	add("node_pressure_memory_waiting_seconds_total", 0, nil)
	add("node_pressure_io_waiting_seconds_total", 0.02, nil)
	for _, dir := range []string{"receive", "transmit"} {
		add("node_network_"+dir+"_bytes_total", 250_000, map[string]string{"device": "eth0"})
		add("node_network_"+dir+"_packets_total", 500, map[string]string{"device": "eth0"})
		add("node_network_"+dir+"_errs_total", 0, map[string]string{"device": "eth0"})
		add("node_network_"+dir+"_drop_total", 0, map[string]string{"device": "eth0"})
	}
	add("node_disk_read_bytes_total", 4096, map[string]string{"device": "vda"})
	add("node_disk_written_bytes_total", 81920, map[string]string{"device": "vda"})
	add("node_disk_io_time_seconds_total", 0.05, map[string]string{"device": "vda"})
	add("node_netstat_Tcp_OutSegs", 1000, nil)
	add("node_netstat_Tcp_RetransSegs", 1000*f.Loss, nil)
	add("node_vmstat_oom_kill", 0, nil)
	set("node_netstat_Tcp_CurrEstab", 120, nil)
	set("node_memory_MemTotal_bytes", 8e9, nil)
	set("node_memory_MemAvailable_bytes", max(0, 5e9-s.used[name]), nil)
	for mount, fstype := range map[string]string{"/": "ext4", "/run": "tmpfs"} {
		labels := map[string]string{"device": "/dev/vda1", "fstype": fstype, "mountpoint": mount}
		set("node_filesystem_size_bytes", 100e9, labels)
		set("node_filesystem_avail_bytes", 60e9, labels)
	}
	sensor := map[string]string{"chip": "platform_coretemp_0", "sensor": "temp1"}
	set("node_hwmon_temp_celsius", 40+50*busy, sensor)
	set("node_hwmon_temp_crit_celsius", 100, sensor)
	set("node_load1", 2*busy, nil)
}

// Address of the nth node.
func Address(n int) string { return fmt.Sprintf("192.0.2.%d", n+1) }

// Scrape gives every series as it stands, as the collector's prometheus receiver writes it, and what SDKs push.
func (s *Shop) Scrape() telemetry.Records {
	var out telemetry.Records
	for _, id := range s.order {
		x := s.series[id]
		p := telemetry.Point{
			Kind: x.kind, Name: x.name, Resource: x.resource, Attributes: x.attributes, Time: s.now, Value: x.value,
			Count: x.count, Total: x.total, Bounds: x.bounds, Buckets: slices.Clone(x.buckets),
		}
		if x.resource == nil {
			host, port, _ := strings.Cut(x.instance, ":")
			p.Resource = map[string]string{"service.name": x.job, "service.instance.id": x.instance, "server.address": host, "server.port": port, "url.scheme": "http"}
		} else {
			p.Start = x.start
		}
		if p.Attributes == nil {
			p.Attributes = map[string]string{}
		}
		out.Points = append(out.Points, p)
	}
	return out
}

// Expose writes the series of one job in Prometheus' text format, as a target of that job would.
func (s *Shop) Expose(w io.Writer, job string) error {
	byName := map[string][]*series{}
	for _, id := range s.order {
		if x := s.series[id]; x.job == job {
			byName[x.name] = append(byName[x.name], x)
		}
	}
	b := bufio.NewWriter(w)
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		kind := map[telemetry.Kind]string{telemetry.Gauge: "gauge", telemetry.Sum: "counter", telemetry.Histogram: "histogram"}[byName[name][0].kind]
		if byName[name][0].untyped {
			kind = "untyped"
		}
		fmt.Fprintf(b, "# TYPE %s %s\n", name, kind)
		for _, x := range byName[name] {
			if x.kind != telemetry.Histogram {
				fmt.Fprintf(b, "%s%s %v\n", name, labels(x.attributes, ""), x.value)
				continue
			}
			var sum uint64
			for i, n := range x.buckets {
				sum += n
				le := "+Inf"
				if i < len(x.bounds) {
					le = strconv.FormatFloat(x.bounds[i], 'g', -1, 64)
				}
				fmt.Fprintf(b, "%s_bucket%s %d\n", name, labels(x.attributes, le), sum)
			}
			fmt.Fprintf(b, "%s_sum%s %v\n%s_count%s %d\n", name, labels(x.attributes, ""), x.total, name, labels(x.attributes, ""), x.count)
		}
	}
	return b.Flush()
}

func labels(set map[string]string, le string) string {
	var parts []string
	for _, k := range slices.Sorted(maps.Keys(set)) {
		parts = append(parts, fmt.Sprintf("%s=%q", k, set[k]))
	}
	if le != "" {
		parts = append(parts, fmt.Sprintf("le=%q", le))
	}
	if len(parts) == 0 {
		return ""
	}
	return "{" + strings.Join(parts, ",") + "}"
}
