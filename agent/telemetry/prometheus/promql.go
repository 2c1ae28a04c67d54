package prometheus

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A query is several parts, each under its name in the label "what", so that one answer holds all of a family.
type part struct{ what, expr string }

const what = "what"

// join makes one query of parts. W stands for the window of rates, and M for matchers that narrow every selector.
func join(window time.Duration, matchers string, parts ...part) string {
	all := make([]string, len(parts))
	for i, p := range parts {
		all[i] = fmt.Sprintf(`label_replace(%s, "%s", "%s", "", "")`, p.expr, what, p.what)
	}
	return strings.NewReplacer("[W]", "["+span(window)+"]", "{M}", "{"+matchers+"}", ",M}", ","+matchers+"}"). // a comma may be the last
															Replace(strings.Join(all, " or "))
}

// span writes a duration as PromQL does.
func span(d time.Duration) string { return fmt.Sprintf("%ds", max(1, int64(d/time.Second))) }

// How a node is called: a relabelling puts "node", the target's address is "instance".
const nodeBy = "instance, node"

// nodeTick are the ratios that a node is judged by. Waiting for a disk, and what the hypervisor took, are no use of a CPU.
var nodeTick = []part{
	{"cpu_usage", `1 - sum by (` + nodeBy + `) (rate(node_cpu_seconds_total{mode=~"idle|iowait|steal",M}[W])) / sum by (` + nodeBy + `) (rate(node_cpu_seconds_total{M}[W]))`},
	{"memory_usage", `1 - sum by (` + nodeBy + `) (node_memory_MemAvailable_bytes{M}) / sum by (` + nodeBy + `) (node_memory_MemTotal_bytes{M})`},
	{"disk_usage", `max by (` + nodeBy + `) (1 - node_filesystem_avail_bytes{` + realDisks + `,M} / (node_filesystem_size_bytes{` + realDisks + `,M} > 0))`},
	{"psi_cpu", `sum by (` + nodeBy + `) (rate(node_pressure_cpu_waiting_seconds_total{M}[W]))`},
	{"psi_memory", `sum by (` + nodeBy + `) (rate(node_pressure_memory_waiting_seconds_total{M}[W]))`},
	{"psi_io", `sum by (` + nodeBy + `) (rate(node_pressure_io_waiting_seconds_total{M}[W]))`},
	{"temperature_ratio", `max by (` + nodeBy + `) (node_hwmon_temp_celsius{M} / (node_hwmon_temp_crit_celsius{M} > 0))`},
	{"network_error_ratio", `(` + packets("errs") + `) / (` + packets("packets") + ` > 0)`},
	{"network_packets", packets("packets")},
	{"tcp_retransmit_ratio", `sum by (` + nodeBy + `) (rate(node_netstat_Tcp_RetransSegs{M}[W])) / (sum by (` + nodeBy + `) (rate(node_netstat_Tcp_OutSegs{M}[W])) > 0)`},
}

// realDisks leaves out what is kept in memory or is read-only by design.
const realDisks = `fstype!~"tmpfs|ramfs|devtmpfs|overlay|squashfs|iso9660|fuse.lxcfs"`

func packets(of string) string {
	return `sum by (` + nodeBy + `) (rate(node_network_receive_` + of + `_total{M}[W])) + sum by (` + nodeBy + `) (rate(node_network_transmit_` + of + `_total{M}[W]))`
}

// nodeCourse is what is shown of a node beside nodeTick, with its unit and the label by which its series are told apart.
var nodeCourse = []struct{ metric, unit, label, expr string }{
	{"cpu", "ratio", "mode", `sum by (mode) (rate(node_cpu_seconds_total{M}[W])) / on () group_left () sum (rate(node_cpu_seconds_total{M}[W]))`},
	{"disk_usage", "ratio", "mountpoint", `max by (mountpoint) (1 - node_filesystem_avail_bytes{` + realDisks + `,M} / (node_filesystem_size_bytes{` + realDisks + `,M} > 0))`},
	{"disk_read", "By/s", "device", `sum by (device) (rate(node_disk_read_bytes_total{M}[W]))`},
	{"disk_write", "By/s", "device", `sum by (device) (rate(node_disk_written_bytes_total{M}[W]))`},
	{"disk_io_usage", "ratio", "device", `sum by (device) (rate(node_disk_io_time_seconds_total{M}[W]))`},
	{"network_receive", "By/s", "device", `sum by (device) (rate(node_network_receive_bytes_total{M}[W]))`},
	{"network_transmit", "By/s", "device", `sum by (device) (rate(node_network_transmit_bytes_total{M}[W]))`},
	{"network_receive_errors", "1/s", "device", `sum by (device) (rate(node_network_receive_errs_total{M}[W]))`},
	{"network_transmit_errors", "1/s", "device", `sum by (device) (rate(node_network_transmit_errs_total{M}[W]))`},
	{"network_receive_drops", "1/s", "device", `sum by (device) (rate(node_network_receive_drop_total{M}[W]))`},
	{"network_transmit_drops", "1/s", "device", `sum by (device) (rate(node_network_transmit_drop_total{M}[W]))`},
	{"tcp_listen_drops", "1/s", "", `sum (rate(node_netstat_TcpExt_ListenDrops{M}[W]))`},
	{"tcp_timeouts", "1/s", "", `sum (rate(node_netstat_TcpExt_TCPTimeouts{M}[W]))`},
	{"tcp_connections", "1", "", `sum (node_netstat_Tcp_CurrEstab{M})`},
	{"oom_kills", "1/s", "", `sum (rate(node_vmstat_oom_kill{M}[W]))`},
	{"load", "1", "", `sum (node_load1{M})`},
	{"memory_available", "By", "", `sum (node_memory_MemAvailable_bytes{M})`},
	{"temperature", "Cel", "sensor", `max by (sensor) (node_hwmon_temp_celsius{M})`},
	{"conntrack_entries", "1", "", `sum (node_nf_conntrack_entries{M})`},
	{"open_files", "1", "", `sum (node_filefd_allocated{M})`},
}

// podTick is what cAdvisor and kube-state-metrics know of pods: use against limit as the metrics API's source has it, which
// a pod with an unlimited container has not; and the share of the CPU's periods in which a pod was throttled.
var podTick = []part{
	{"cpu_throttled", `sum by (namespace, pod) (rate(container_cpu_cfs_throttled_periods_total{container!="",M}[W])) / (sum by (namespace, pod) (rate(container_cpu_cfs_periods_total{container!="",M}[W])) > 0)`},
	{"cpu_usage", againstLimit(`rate(container_cpu_usage_seconds_total{container!="",container!="POD",M}[W])`, "cpu")},
	{"memory_usage", againstLimit(`container_memory_working_set_bytes{container!="",container!="POD",M}`, "memory")},
}

func againstLimit(used, resource string) string {
	used = `max by (namespace, pod, container) (` + used + `)`
	limit := `max by (namespace, pod, container) (kube_pod_container_resource_limits{resource="` + resource + `",M})`
	return `(sum by (namespace, pod) (` + used + `) / (sum by (namespace, pod) (` + limit + `) > 0) unless on (namespace, pod) (` + used + ` unless on (namespace, pod, container) ` + limit + `))`
}

// family is a histogram of requests as one kind of exporter counts them.
type family struct {
	probe  string // the metric by which the server is known to have it
	by     string // labels that tell entities apart
	base   string // of _count, _sum and _bucket
	code   string // label with the status
	failed string // matcher of what failed
	unit   string // factor that makes seconds
}

var (
	traefikServices = family{"traefik_service_request_duration_seconds_count", "service, exported_service", "traefik_service_request_duration_seconds", "code", `code=~"5.."`, "1"}
	traefikRouters  = family{"traefik_router_request_duration_seconds_count", "router", "traefik_router_request_duration_seconds", "code", `code=~"5.."`, "1"}
	// The older conventions count milliseconds.
	ownMetrics = []family{
		{"http_server_request_duration_seconds_count", ownBy, "http_server_request_duration_seconds", "http_response_status_code", `http_response_status_code=~"5.."`, "1"},
		{"http_server_duration_milliseconds_count", ownBy, "http_server_duration_milliseconds", "http_status_code", `http_status_code=~"5.."`, "0.001"},
		{"rpc_server_duration_milliseconds_count", ownBy, "rpc_server_duration_milliseconds", "rpc_grpc_status_code", `rpc_grpc_status_code=~"2|4|8|12|13|14|15"`, "0.001"},
		{"rpc_server_call_duration_seconds_count", ownBy, "rpc_server_call_duration_seconds", "rpc_response_status_code", `rpc_response_status_code=~"UNKNOWN|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|UNIMPLEMENTED|INTERNAL|UNAVAILABLE|DATA_LOSS"`, "1"},
	}
)

// ownBy: a job is called like the service, or namespace/service; what scrapes pods adds the others.
const ownBy = "job, exported_job, namespace, service, service_name, service_namespace, k8s_namespace_name, k8s_deployment_name"

// golden are the parts of one tick.
func (f family) golden() []part {
	return []part{
		{"rate", `sum by (` + f.by + `) (rate(` + f.base + `_count{M}[W]))`},
		{"failed", `sum by (` + f.by + `) (rate(` + f.base + `_count{` + f.failed + `,M}[W]))`},
		{"timed", `sum by (` + f.by + `) (rate(` + f.base + `_count{M}[W]))`},
		{"took", f.unit + ` * sum by (` + f.by + `) (rate(` + f.base + `_sum{M}[W]))`},
		{"p95", f.unit + ` * histogram_quantile(0.95, sum by (` + f.by + `, le) (rate(` + f.base + `_bucket{M}[W])))`},
	}
}

// counted are the parts of counts of requests, a second.
func (f family) counted() []part {
	return []part{
		{"count", `sum by (` + f.by + `, ` + f.code + `) (rate(` + f.base + `_count{M}[W]))`},
		{"failed", `sum by (` + f.by + `) (rate(` + f.base + `_count{` + f.failed + `,M}[W]))`},
		{"took", f.unit + ` * sum by (` + f.by + `) (rate(` + f.base + `_sum{M}[W]))`},
		{"bucket", `sum by (` + f.by + `, le) (rate(` + f.base + `_bucket{M}[W]))`},
	}
}

// Linkerd counts each call at both ends: a service is what comes in, an edge what goes out.
const (
	meshProbe   = "response_total"
	inboundBy   = "namespace, deployment, statefulset, daemonset"
	outboundBy  = inboundBy + ", dst_namespace, dst_service, dst_deployment, dst_statefulset, dst_daemonset"
	meshLatency = "response_latency_ms"
)

func meshTick(direction, by string) []part {
	of := `direction="` + direction + `"`
	return []part{
		{"rate", `sum by (` + by + `) (rate(response_total{` + of + `,M}[W]))`},
		{"failed", `sum by (` + by + `) (rate(response_total{` + of + `,classification="failure",M}[W]))`},
		{"secured", `sum by (` + by + `) (rate(response_total{` + of + `,tls="true",M}[W]))`},
		{"timed", `sum by (` + by + `) (rate(` + meshLatency + `_count{` + of + `,M}[W]))`},
		{"took", `0.001 * sum by (` + by + `) (rate(` + meshLatency + `_sum{` + of + `,M}[W]))`},
		{"p95", `0.001 * histogram_quantile(0.95, sum by (` + by + `, le) (rate(` + meshLatency + `_bucket{` + of + `,M}[W])))`},
	}
}

var meshCounted = []part{
	{"count", `sum by (` + inboundBy + `, status_code) (rate(response_total{direction="inbound",M}[W]))`},
	{"failed", `sum by (` + inboundBy + `) (rate(response_total{direction="inbound",classification="failure",M}[W]))`},
	{"took", `0.001 * sum by (` + inboundBy + `) (rate(` + meshLatency + `_sum{direction="inbound",M}[W]))`},
	{"bucket", `sum by (` + inboundBy + `, le) (rate(` + meshLatency + `_bucket{direction="inbound",M}[W]))`},
}

// targetInfo tells where the service behind a job runs, for OpenTelemetry's metrics carry that apart.
const targetInfo = `group by (job, k8s_namespace_name, k8s_deployment_name) (target_info{k8s_deployment_name!=""})`

// Names of what a server may have, by the metric that shows it.
var signals = map[string]string{
	"node_cpu_seconds_total":          "nodes",
	"node_memory_MemTotal_bytes":      "nodes",
	traefikServices.probe:             "ingress",
	traefikRouters.probe:              "ingress",
	meshProbe:                         "mesh",
	ownMetrics[0].probe:               "http",
	ownMetrics[1].probe:               "http",
	ownMetrics[2].probe:               "http",
	ownMetrics[3].probe:               "http",
	"container_cpu_cfs_periods_total": "pods", "container_memory_working_set_bytes": "pods", "kube_pod_container_resource_limits": "pods",
	"target_info": "",
}

func probes() []string { return slices.Sorted(maps.Keys(signals)) }

// mendings say what to scrape for what a server does not have.
var mendings = []struct{ signal, mend string }{
	{"nodes", "nodes: no node_exporter"}, {"ingress", "ingress: no Traefik"}, {"mesh", "mesh: no Linkerd proxy"}, {"http", "http: no OpenTelemetry server metrics"}, {"pods", "pods: no cAdvisor"},
}
