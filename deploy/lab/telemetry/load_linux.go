package telemetry

import (
	"context"
	"fmt"
	"strings"
	"time"
)

// Scale is how large a pretended cluster is, and for how long it has been measured.
type Scale struct {
	Nodes, Services, Edges int
	Span, Every            time.Duration // of the data, and between scrapes
}

// load are the rows of one scrape, made by the engine itself: ten million of them through a driver would take minutes.
// Node n is "node-n", service s is "svc-s" in the namespace "load" with the workload of the same name and two pods; edge
// e goes from service e to a service some steps on. i counts the scrapes.
var load = []string{
	// node_exporter: 4 CPUs by 8 modes, PSI, network, disk
	`INSERT INTO otel_metrics_sum (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Value, AggregationTemporality, IsMonotonic)
SELECT map('service.name','node-exporter','service.instance.id',concat('node-',toString(n),':9100'),'server.address',concat('node-',toString(n)),'server.port','9100','url.scheme','http'),
    'node-exporter', 'node_cpu_seconds_total', map('cpu',toString(c),'mode',mode), toDateTime(0), toDateTime({t}), {i} * {every} * share, 2, true
FROM (SELECT number AS n FROM numbers({nodes})) CROSS JOIN (SELECT number AS c FROM numbers(4))
CROSS JOIN (SELECT arrayJoin([('idle',0.6),('user',0.25),('system',0.1),('iowait',0.02),('irq',0.),('softirq',0.02),('nice',0.),('steal',0.01)]) AS m, m.1 AS mode, m.2 AS share)`,
	`INSERT INTO otel_metrics_sum (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Value, AggregationTemporality, IsMonotonic)
SELECT map('service.name','node-exporter','service.instance.id',concat('node-',toString(n),':9100'),'server.address',concat('node-',toString(n)),'server.port','9100','url.scheme','http'),
    'node-exporter', name, if(name LIKE 'node_p%', map(), map('device','eth0')), toDateTime(0), toDateTime({t}), {i} * {every} * share, 2, true
FROM (SELECT number AS n FROM numbers({nodes}))
CROSS JOIN (SELECT arrayJoin([('node_pressure_cpu_waiting_seconds_total',0.05),('node_pressure_memory_waiting_seconds_total',0.),('node_pressure_io_waiting_seconds_total',0.01),
    ('node_network_receive_bytes_total',1e6),('node_network_transmit_bytes_total',1e6),('node_network_receive_packets_total',1e3),('node_network_transmit_packets_total',1e3),
    ('node_network_receive_errs_total',0.),('node_network_transmit_errs_total',0.),('node_network_receive_drop_total',0.),('node_network_transmit_drop_total',0.),
    ('node_disk_read_bytes_total',1e5),('node_disk_written_bytes_total',1e6),('node_disk_reads_completed_total',10.),('node_disk_writes_completed_total',50.),('node_disk_io_time_seconds_total',0.1),
    ('node_disk_read_time_seconds_total',0.1),('node_disk_write_time_seconds_total',0.1),('node_forks_total',5.),('node_context_switches_total',1e4)]) AS m, m.1 AS name, m.2 AS share)`,
	`INSERT INTO otel_metrics_gauge (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Value)
SELECT map('service.name','node-exporter','service.instance.id',concat('node-',toString(n),':9100'),'server.address',concat('node-',toString(n)),'server.port','9100','url.scheme','http'),
    'node-exporter', name, labels, toDateTime(0), toDateTime({t}), base + {i} * {every} * growth
FROM (SELECT number AS n FROM numbers({nodes}))
CROSS JOIN (SELECT arrayJoin([('node_memory_MemTotal_bytes',map(),16e9,0.),('node_memory_MemAvailable_bytes',map(),9e9,0.),('node_memory_MemFree_bytes',map(),2e9,0.),
    ('node_memory_Cached_bytes',map(),6e9,0.),('node_load1',map(),1.,0.),('node_load5',map(),1.,0.),
    ('node_filesystem_size_bytes',map('device','/dev/vda1','fstype','ext4','mountpoint','/'),100e9,0.),('node_filesystem_avail_bytes',map('device','/dev/vda1','fstype','ext4','mountpoint','/'),60e9,0.),
    ('node_filesystem_size_bytes',map('device','tmpfs','fstype','tmpfs','mountpoint','/run'),1e9,0.),('node_filesystem_avail_bytes',map('device','tmpfs','fstype','tmpfs','mountpoint','/run'),1e9,0.),
    ('node_hwmon_temp_celsius',map('chip','platform_coretemp_0','sensor','temp1'),55.,0.),('node_hwmon_temp_crit_celsius',map('chip','platform_coretemp_0','sensor','temp1'),100.,0.),
    ('node_netstat_Tcp_OutSegs',map(),0.,1000.),('node_netstat_Tcp_RetransSegs',map(),0.,1.),('node_netstat_Tcp_CurrEstab',map(),200.,0.),('node_vmstat_oom_kill',map(),0.,0.),
    ('node_filefd_allocated',map(),2e3,0.),('node_time_seconds',map(),1e9,1.),('node_procs_running',map(),3.,0.),('node_nf_conntrack_entries',map(),500.,0.)]) AS m, m.1 AS name, m.2 AS labels, m.3 AS base, m.4 AS growth)`,
	// Traefik: two instances, three codes
	`INSERT INTO otel_metrics_sum (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Value, AggregationTemporality, IsMonotonic)
SELECT map('service.name','traefik','service.instance.id',concat('10.1.0.',toString(p),':9100'),'server.address',concat('10.1.0.',toString(p)),'server.port','9100','url.scheme','http'),
    'traefik', 'traefik_service_requests_total', map('code',code,'method','GET','protocol','http','service',concat('load-svc-',toString(s),'-80@kubernetes')), toDateTime(0), toDateTime({t}), floor({i} * {every} * share), 2, true
FROM (SELECT number AS s FROM numbers({services})) CROSS JOIN (SELECT number AS p FROM numbers(2)) CROSS JOIN (SELECT arrayJoin([('200',5.),('404',0.1),('503',0.05)]) AS m, m.1 AS code, m.2 AS share)`,
	`INSERT INTO otel_metrics_histogram (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Count, Sum, BucketCounts, ExplicitBounds, AggregationTemporality)
SELECT map('service.name','traefik','service.instance.id',concat('10.1.0.',toString(p),':9100'),'server.address',concat('10.1.0.',toString(p)),'server.port','9100','url.scheme','http'),
    'traefik', 'traefik_service_request_duration_seconds', map('code',code,'method','GET','protocol','http','service',concat('load-svc-',toString(s),'-80@kubernetes')), toDateTime(0), toDateTime({t}),
    arraySum(b), arraySum(b) * 0.05, b, [0.1,0.3,1.2,5.], 2
FROM (SELECT s, p, code, arrayMap(x -> toUInt64({i} * {every} * share * x), [0.8,0.15,0.04,0.01,0.]) AS b
FROM (SELECT number AS s FROM numbers({services})) CROSS JOIN (SELECT number AS p FROM numbers(2)) CROSS JOIN (SELECT arrayJoin([('200',5.),('404',0.1),('503',0.05)]) AS m, m.1 AS code, m.2 AS share))`,
	// Linkerd where calls arrive: two pods, two outcomes
	`INSERT INTO otel_metrics_sum (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Value, AggregationTemporality, IsMonotonic)
SELECT map('service.name','linkerd-proxy','service.instance.id',concat('svc-',toString(s),'-',toString(p),':4191'),'server.port','4191','url.scheme','http'),
    'linkerd-proxy', 'response_total', map('classification',class,'deployment',concat('svc-',toString(s)),'direction','inbound','namespace','load','pod',concat('svc-',toString(s),'-',toString(p)),
    'status_code',code,'tls','true'), toDateTime(0), toDateTime({t}), floor({i} * {every} * share), 2, true
FROM (SELECT number AS s FROM numbers({services})) CROSS JOIN (SELECT number AS p FROM numbers(2)) CROSS JOIN (SELECT arrayJoin([('success','200',20.),('failure','500',0.2)]) AS m, m.1 AS class, m.2 AS code, m.3 AS share)`,
	`INSERT INTO otel_metrics_histogram (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Count, Sum, BucketCounts, ExplicitBounds, AggregationTemporality)
SELECT map('service.name','linkerd-proxy','service.instance.id',concat('svc-',toString(s),'-',toString(p),':4191'),'server.port','4191','url.scheme','http'),
    'linkerd-proxy', 'response_latency_ms', map('deployment',concat('svc-',toString(s)),'direction','inbound','namespace','load','pod',concat('svc-',toString(s),'-',toString(p)),'status_code','200','tls','true'),
    toDateTime(0), toDateTime({t}), arraySum(b), arraySum(b) * 12., b, {bounds}, 2
FROM (SELECT s, p, arrayMap(x -> toUInt64({i} * {every} * if(x < 15, 1., 0.01)), range(27)) AS b FROM (SELECT number AS s FROM numbers({services})) CROSS JOIN (SELECT number AS p FROM numbers(2)))`,
	// Linkerd where calls leave
	`INSERT INTO otel_metrics_sum (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Value, AggregationTemporality, IsMonotonic)
SELECT map('service.name','linkerd-proxy','service.instance.id',concat('svc-',toString(s),'-',toString(p),':4191'),'server.port','4191','url.scheme','http'),
    'linkerd-proxy', 'response_total', map('classification',class,'deployment',concat('svc-',toString(s)),'direction','outbound','dst_deployment',to,'dst_namespace','load','dst_service',to,
    'namespace','load','pod',concat('svc-',toString(s),'-',toString(p)),'status_code',code,'tls','true'), toDateTime(0), toDateTime({t}), floor({i} * {every} * share), 2, true
FROM (SELECT number AS e, e % {services} AS s, concat('svc-',toString((s + 1 + intDiv(e, {services}) * 7) % {services})) AS to FROM numbers({edges}))
CROSS JOIN (SELECT number AS p FROM numbers(2)) CROSS JOIN (SELECT arrayJoin([('success','200',5.),('failure','500',0.05)]) AS m, m.1 AS class, m.2 AS code, m.3 AS share)`,
	`INSERT INTO otel_metrics_histogram (ResourceAttributes, ServiceName, MetricName, Attributes, StartTimeUnix, TimeUnix, Count, Sum, BucketCounts, ExplicitBounds, AggregationTemporality)
SELECT map('service.name','linkerd-proxy','service.instance.id',concat('svc-',toString(s),'-',toString(p),':4191'),'server.port','4191','url.scheme','http'),
    'linkerd-proxy', 'response_latency_ms', map('deployment',concat('svc-',toString(s)),'direction','outbound','dst_deployment',to,'dst_namespace','load','dst_service',to,
    'namespace','load','pod',concat('svc-',toString(s),'-',toString(p)),'status_code','200','tls','true'), toDateTime(0), toDateTime({t}), arraySum(b), arraySum(b) * 12., b, {bounds}, 2
FROM (SELECT s, p, to, arrayMap(x -> toUInt64({i} * {every} * if(x < 15, 0.3, 0.01)), range(27)) AS b
FROM (SELECT number AS e, e % {services} AS s, concat('svc-',toString((s + 1 + intDiv(e, {services}) * 7) % {services})) AS to FROM numbers({edges})) CROSS JOIN (SELECT number AS p FROM numbers(2)))`,
	// a sampled call along every tenth edge a second: a client's span and the server's beneath it
	`INSERT INTO otel_traces (Timestamp, TraceId, SpanId, ParentSpanId, SpanName, SpanKind, ServiceName, ResourceAttributes, Duration, StatusCode)
SELECT toDateTime64({t}, 9) + toIntervalMillisecond(at), trace, if(side = 0, concat('c', id), concat('s', id)), if(side = 0, '', concat('c', id)), 'GET /', if(side = 0, 'Client', 'Server'), if(side = 0, name, to),
    map('service.name', if(side = 0, name, to), 'k8s.namespace.name', 'load', 'k8s.deployment.name', if(side = 0, name, to)), 10000000, if(e % 100 = 0, 'Error', 'Unset')
FROM (SELECT number AS e, e % {services} AS s, concat('svc-',toString(s)) AS name, concat('svc-',toString((s + 1 + intDiv(e, {services}) * 7) % {services})) AS to,
    concat(leftPad(hex({t}), 16, '0'), leftPad(hex(number), 16, '0')) AS trace, leftPad(hex(number), 15, '0') AS id, number * {every} * 1000 / {edges} AS at FROM numbers({edges}))
CROSS JOIN (SELECT number AS side FROM numbers(2))`,
}

// Load fills the tables with what a cluster of that size would have written until a time, scrape by scrape, so that the
// parts of the tables are as they are in life. It returns how many rows that is.
func (c *ClickHouse) Load(ctx context.Context, until time.Time, s Scale, progress func(done, of int)) (int, error) {
	steps := int(s.Span / s.Every)
	bounds := "[" + strings.Join(strings.Fields("1. 2. 3. 4. 5. 10. 20. 30. 40. 50. 100. 200. 300. 400. 500. 1000. 2000. 3000. 4000. 5000. 10000. 20000. 30000. 40000. 50000. 100000."), ",") + "]"
	for i := range steps {
		at := until.Add(-s.Span + time.Duration(i+1)*s.Every)
		r := strings.NewReplacer("{t}", fmt.Sprint(at.Unix()), "{i}", fmt.Sprint(i+1), "{every}", fmt.Sprintf("%.1f", s.Every.Seconds()), "{bounds}", bounds,
			"{nodes}", fmt.Sprint(s.Nodes), "{services}", fmt.Sprint(s.Services), "{edges}", fmt.Sprint(s.Edges))
		for _, q := range load {
			if err := c.Exec(ctx, r.Replace(q)+" SETTINGS joined_subquery_requires_alias = 0"); err != nil {
				return 0, fmt.Errorf("load scrape %d: %w", i, err)
			}
		}
		progress(i+1, steps)
	}
	var rows int
	for _, table := range []string{"otel_metrics_gauge", "otel_metrics_sum", "otel_metrics_histogram", "otel_traces"} {
		out, err := c.Query(ctx, "SELECT count() FROM "+table)
		if err != nil {
			return 0, err
		}
		var n int
		if _, err := fmt.Sscan(out, &n); err != nil {
			return 0, err
		}
		rows += n
	}
	return rows, nil
}
