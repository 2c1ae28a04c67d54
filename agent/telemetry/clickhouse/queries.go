package clickhouse

import (
	"embed"
	"fmt"
	"slices"
	"strings"
	"text/template"
)

// One query a file. What is put into their text are the names of tables that were found and the fragments below, which
// are constants; every value that a question brings is bound by the server.
//
//go:embed sql/*.sql
var files embed.FS

// The fragments take cumulative series apart. A series is what one target (its whole resource) says under one set of
// attributes, in whatever order it says them.
//
// A counter that fell was reset: its new value counts. Two samples of one moment add nothing. A series that a target
// did not have in an earlier scrape of the window counts from zero, and so does a target that says it began within the
// window: otherwise the first errors of a service would be invisible. A target that was merely not scraped before has
// neither, and gives nothing for the time before.
//
// The time that a rate is taken over ends with the series' own last sample, which may have come in a later batch than
// its neighbours; one that ended longer than the lag ago is spread over the time until now, so that a pod that went is
// not counted on as if it still ran.
const (
	counters = `SELECT job, target, metric, resource, labels, steps, steps[-1].1 AS latest,
        arraySum(arrayMap((a, b) -> if(b.2 >= a.2, b.2 - a.2, b.2), arrayPopBack(steps), arrayPopFront(steps))) AS inc,
        if(latest >= max(latest) OVER (PARTITION BY job, metric) - {lag:Int64}, latest, max(latest) OVER (PARTITION BY job, metric)) - opened AS span
    FROM (
        SELECT *, min(if(began >= {from:Int64} AND began < s[1].1, began, s[1].1)) OVER (PARTITION BY job, target, metric) AS opened,
            if(opened < s[1].1, arrayPushFront(s, (if(began >= {from:Int64} AND began < s[1].1, began, s[1].1 - 1), 0.)), s) AS steps
        FROM (
            SELECT ServiceName AS job, cityHash64(mapSort(ResourceAttributes)) AS target, MetricName AS metric, any(ResourceAttributes) AS resource, any(Attributes) AS labels,
                max(toInt64(toUnixTimestamp(StartTimeUnix))) AS began, arraySort(groupArray((toInt64(toUnixTimestamp(TimeUnix)), Value))) AS s
            FROM %[1]s
            WHERE ServiceName IN {jobs:Array(String)} AND MetricName IN {metrics:Array(String)} AND ` + recent + `%[2]s
            GROUP BY job, target, metric, cityHash64(mapSort(Attributes))
        )
    )`

	// histograms give what was added: requests by bucket, in all, and the sum of what they took. What an SDK sends as
	// differences is added up.
	histograms = `SELECT job, target, metric, resource, labels, bounds, steps, steps[-1].1 AS latest,
        arrayReduce('sumForEach', arrayMap((a, b) -> if(b.2 >= a.2, arrayMap((x, y) -> y - x, a.4, b.4), b.4), arrayPopBack(steps), arrayPopFront(steps))) AS buckets,
        arraySum(arrayMap((a, b) -> if(b.2 >= a.2, b.2 - a.2, b.2), arrayPopBack(steps), arrayPopFront(steps))) AS inc,
        arraySum(arrayMap((a, b) -> if(b.2 >= a.2, b.3 - a.3, b.3), arrayPopBack(steps), arrayPopFront(steps))) AS took,
        if(latest >= max(latest) OVER (PARTITION BY job, metric) - {lag:Int64}, latest, max(latest) OVER (PARTITION BY job, metric)) - opened AS span
    FROM (
        SELECT *, min(if(began >= {from:Int64} AND began < s[1].1, began, s[1].1)) OVER (PARTITION BY job, target, metric) AS opened,
            if(opened < s[1].1, arrayPushFront(s, (if(began >= {from:Int64} AND began < s[1].1, began, s[1].1 - 1), 0., 0., arrayMap(x -> 0., s[1].4))), s) AS steps
        FROM (
            SELECT * EXCEPT (seen, delta), if(delta, arrayMap((t, n, x, d) -> (t, n, x, d), seen.1, arrayCumSum(seen.2), arrayCumSum(seen.3), arrayMap(i -> arrayReduce('sumForEach', arraySlice(seen.4, 1, i)), arrayEnumerate(seen))), seen) AS s
            FROM (
                SELECT ServiceName AS job, cityHash64(mapSort(ResourceAttributes)) AS target, MetricName AS metric, any(ResourceAttributes) AS resource, any(Attributes) AS labels, ExplicitBounds AS bounds,
                    max(AggregationTemporality) = 1 AS delta, if(delta, min(toInt64(toUnixTimestamp(StartTimeUnix))), max(toInt64(toUnixTimestamp(StartTimeUnix)))) AS began,
                    arraySort(groupArray((toInt64(toUnixTimestamp(TimeUnix)), toFloat64(Count), Sum, arrayMap(x -> toFloat64(x), BucketCounts)))) AS seen
                FROM %[1]s
                WHERE ServiceName IN {jobs:Array(String)} AND MetricName IN {metrics:Array(String)} AND ` + recentHistogram + `%[2]s
                GROUP BY job, target, metric, bounds, cityHash64(mapSort(Attributes))
            )
        )
    )`

	// added is what came between one sample and the next, as (time of the later, seconds between, requests) and, of a
	// histogram, (…, sum, buckets).
	added          = `arrayMap((a, b) -> (b.1, b.1 - a.1, if(b.2 >= a.2, b.2 - a.2, b.2)), arrayPopBack(steps), arrayPopFront(steps))`
	addedHistogram = `arrayMap((a, b) -> (b.1, b.1 - a.1, if(b.2 >= a.2, b.2 - a.2, b.2), if(b.2 >= a.2, b.3 - a.3, b.3), if(b.2 >= a.2, arrayMap((x, y) -> y - x, a.4, b.4), b.4)), arrayPopBack(steps), arrayPopFront(steps))`
	// within keeps what belongs to a step. What came in longer than a step, and than two scrapes a minute apart with one
	// missing between, came at an unknown time.
	within = `step.1 > {begin:Int64} AND step.1 <= {to:Int64} AND step.2 <= greatest(150, {step:Int64})`
	// at is the beginning of the step that an increment belongs to.
	at = `intDiv(step.1 - 1 - {begin:Int64}, {step:Int64}) * {step:Int64} + {begin:Int64}`

	// quantile estimates one from the buckets d with the bounds b: linear within the bucket, the highest bound in the last.
	quantile = `(arrayCumSum(d) AS cum%[2]s, arrayFirstIndex(c -> c >= %[1]s * cum%[2]s[-1], cum%[2]s) AS i%[2]s,
        if(empty(b) OR cum%[2]s[-1] <= 0, nan, if(i%[2]s > length(b), b[-1],
            if(i%[2]s = 1, 0., b[i%[2]s - 1]) + (b[i%[2]s] - if(i%[2]s = 1, 0., b[i%[2]s - 1])) * (%[1]s * cum%[2]s[-1] - (cum%[2]s[i%[2]s] - d[i%[2]s])) / d[i%[2]s]))).3`

	recentHistogram = `TimeUnix >= toDateTime({from:Int64}) AND TimeUnix <= toDateTime({to:Int64}) AND bitAnd(Flags, 1) = 0`
	recent          = recentHistogram + ` AND NOT isNaN(Value)`
	// node is how a node is called in the data; the collector puts the first, a relabelling the second.
	node = `multiIf(resource['k8s.node.name'] != '', resource['k8s.node.name'], labels['node'] != '', labels['node'],
        resource['host.name'] != '', resource['host.name'], resource['server.address'] != '', resource['server.address'],
        resource['net.host.name'] != '', resource['net.host.name'], resource['service.instance.id'])`
	ofNode = ` AND (ResourceAttributes['k8s.node.name'] IN {nodes:Array(String)} OR Attributes['node'] IN {nodes:Array(String)} OR ResourceAttributes['host.name'] IN {nodes:Array(String)}
                OR ResourceAttributes['server.address'] IN {nodes:Array(String)} OR ResourceAttributes['net.host.name'] IN {nodes:Array(String)} OR splitByChar(':', ResourceAttributes['service.instance.id'])[1] IN {nodes:Array(String)})`
	// nodeLabel is the one label by which a metric's series are told apart to a person; what is not named is summed.
	nodeLabel = `multiIf(metric = 'node_cpu_seconds_total', labels['mode'], metric LIKE 'node\_filesystem%', labels['mountpoint'],
        metric LIKE 'node\_disk%' OR metric LIKE 'node\_network%', labels['device'], metric LIKE 'node\_hwmon%', concat(labels['chip'], ' ', labels['sensor']), '')`
	workload = `multiIf(ResourceAttributes['k8s.deployment.name'] != '', ResourceAttributes['k8s.deployment.name'], ResourceAttributes['k8s.statefulset.name'] != '', ResourceAttributes['k8s.statefulset.name'],
        ResourceAttributes['k8s.daemonset.name'] != '', ResourceAttributes['k8s.daemonset.name'], ServiceName)`
	// meshed is the workload that a proxy stands beside, by the kind that it is.
	meshed   = `multiIf(labels['deployment'] != '', labels['deployment'], labels['statefulset'] != '', labels['statefulset'], labels['daemonset'])`
	destined = `multiIf(labels['dst_service'] != '', labels['dst_service'], labels['dst_deployment'] != '', labels['dst_deployment'], labels['dst_statefulset'] != '', labels['dst_statefulset'], labels['dst_daemonset'])`
	// ofMesh filters the proxies' series before they are put together.
	ofMesh = ` AND Attributes['direction'] = 'inbound' AND (empty({names:Array(String)}) OR Attributes['deployment'] IN {names:Array(String)} OR Attributes['statefulset'] IN {names:Array(String)} OR Attributes['daemonset'] IN {names:Array(String)})
                AND ({namespace:String} = '' OR Attributes['namespace'] = {namespace:String})`
	ofHTTP     = ` AND (empty({names:Array(String)}) OR ServiceName IN {names:Array(String)} OR ResourceAttributes['k8s.deployment.name'] IN {names:Array(String)}) AND ({namespace:String} = '' OR ResourceAttributes['k8s.namespace.name'] IN ('', {namespace:String}))`
	httpCode   = `if(mapContains(labels, 'http.response.status_code'), labels['http.response.status_code'], labels['http.status_code'])`
	httpFailed = `(` + httpCode + ` LIKE '5%' OR labels['rpc.grpc.status_code'] IN ('2', '4', '8', '12', '13', '14', '15'))`
	// httpUnit makes seconds of the older conventions' milliseconds.
	httpUnit   = `if(metric IN ('http.server.duration', 'rpc.server.duration'), 0.001, 1.)`
	failedSpan = `StatusCode IN ('Error', 'STATUS_CODE_ERROR')`
	serverSpan = `SpanKind IN ('Server', 'Consumer', 'SPAN_KIND_SERVER', 'SPAN_KIND_CONSUMER')`
	clientSpan = `SpanKind IN ('Client', 'Producer', 'SPAN_KIND_CLIENT', 'SPAN_KIND_PRODUCER')`
	recentSpan = `Timestamp >= fromUnixTimestamp64Milli({from:Int64}) AND Timestamp < fromUnixTimestamp64Milli({to:Int64})`
	ofService  = `(empty({names:Array(String)}) OR ServiceName IN {names:Array(String)} OR ResourceAttributes['k8s.deployment.name'] IN {names:Array(String)} OR ResourceAttributes['k8s.statefulset.name'] IN {names:Array(String)})
    AND ({namespace:String} = '' OR ResourceAttributes['k8s.namespace.name'] IN ('', {namespace:String}))`
	recentLogs = recentSpan + `
    {{- if .LogTime}} AND TimestampTime >= toDateTime(intDiv({from:Int64}, 1000)) AND TimestampTime <= toDateTime(intDiv({to:Int64}, 1000)){{else}} AND toStartOfFiveMinutes(Timestamp) >= toStartOfFiveMinutes(fromUnixTimestamp64Milli({from:Int64})) AND toStartOfFiveMinutes(Timestamp) <= fromUnixTimestamp64Milli({to:Int64}){{end}}
    AND ({namespace:String} = '' OR ResourceAttributes['k8s.namespace.name'] IN ('', {namespace:String}))
    AND (empty({names:Array(String)}) OR ` + workload + ` IN {names:Array(String)} OR ServiceName IN {names:Array(String)})
    AND ({pod:String} = '' OR ResourceAttributes['k8s.pod.name'] = {pod:String})
    AND ({trace:String} = '' OR TraceId = {trace:String})
    AND SeverityNumber >= {severity:UInt8}`
)

// The metrics that are asked for, by what they are for.
var (
	nodeTick = []string{
		"node_cpu_seconds_total", "node_pressure_cpu_waiting_seconds_total", "node_pressure_memory_waiting_seconds_total", "node_pressure_io_waiting_seconds_total",
		"node_network_receive_packets_total", "node_network_transmit_packets_total", "node_network_receive_errs_total", "node_network_transmit_errs_total",
	}
	nodeCounters = append([]string{
		"node_disk_read_bytes_total", "node_disk_written_bytes_total", "node_disk_io_time_seconds_total", "node_network_receive_bytes_total", "node_network_transmit_bytes_total",
		"node_network_receive_drop_total", "node_network_transmit_drop_total",
	}, nodeTick...)
	// node_exporter gives netstat and vmstat no type, and what has none arrives among the gauges.
	untypedTick     = []string{"node_netstat_Tcp_RetransSegs", "node_netstat_Tcp_OutSegs"}
	untypedCounters = append([]string{"node_netstat_TcpExt_ListenDrops", "node_netstat_TcpExt_TCPTimeouts", "node_vmstat_oom_kill"}, untypedTick...)
	gaugesTick      = []string{
		"node_memory_MemTotal_bytes", "node_memory_MemAvailable_bytes", "node_filesystem_size_bytes", "node_filesystem_avail_bytes", "node_hwmon_temp_celsius", "node_hwmon_temp_crit_celsius",
	}
	nodeGauges = append([]string{"node_load1", "node_netstat_Tcp_CurrEstab", "node_nf_conntrack_entries", "node_filefd_allocated"}, gaugesTick...)

	ingressMetrics = []string{"traefik_service_request_duration_seconds", "traefik_router_request_duration_seconds"}
	meshCounts     = []string{"response_total"}
	meshLatencies  = []string{"response_latency_ms", "response_latency"}
	httpMetrics    = []string{"http.server.request.duration", "http.server.duration", "rpc.server.duration"}
)

// tables are the names that the queries use; an empty one was not found.
type tables struct {
	Gauge, Sum, Histogram, Exponential, Summary, Traces, TraceIDs, Logs string
	LogTime                                                             bool // the logs have TimestampTime, the sort key of the first generation
}

// Metrics lists the tables of metrics that there are.
func (t tables) Metrics() []string {
	return slices.DeleteFunc([]string{t.Sum, t.Gauge, t.Histogram, t.Exponential, t.Summary}, func(name string) bool { return name == "" })
}

// durations is a table of all three forms in which a duration's distribution is sent, each as explicit buckets.
//
// The buckets of an exponential histogram end at powers of 2^(2^−scale), and every fourth root of two is such a power or ends
// none: to these they are added up, which loses nothing below scale 3 and leaves buckets 19 % wide above. So a scale that
// the SDK lowers on the way makes no other series.
//
// A summary has no buckets, and quantiles of several cannot be put together: it gives counts and means, and no percentile.
func durations(t tables, and ...string) string {
	const columns = `SELECT ServiceName, ResourceAttributes, MetricName, Attributes, StartTimeUnix, TimeUnix, Count, Sum, Flags, `
	of := ` WHERE ServiceName IN {jobs:Array(String)} AND MetricName IN {metrics:Array(String)} AND ` + recentHistogram + strings.Join(and, "")
	var parts []string
	if t.Histogram != "" {
		parts = append(parts, columns+`AggregationTemporality, ExplicitBounds, BucketCounts FROM `+t.Histogram+of)
	}
	if t.Exponential != "" {
		parts = append(parts, columns+`AggregationTemporality, arrayMap(k -> exp2((k - 56) / 4), range(86)) AS ExplicitBounds,
            arrayMap(k -> arraySum(arrayMap((c, p) -> if(least(86, greatest(0, ceil((PositiveOffset + p) * exp2(2 - Scale)) + 56)) = k, c, 0), PositiveBucketCounts, arrayEnumerate(PositiveBucketCounts)))
                + if(k = 0, ZeroCount, 0), range(87)) AS BucketCounts FROM `+t.Exponential+of)
	}
	if t.Summary != "" {
		parts = append(parts, columns+`toInt32(2) AS AggregationTemporality, emptyArrayFloat64() AS ExplicitBounds, [Count] AS BucketCounts FROM `+t.Summary+of)
	}
	return "(" + strings.Join(parts, "\n        UNION ALL ") + ")"
}

// render makes the text of a query for the tables that were found.
func render(name string, t tables) (string, error) {
	text, err := files.ReadFile("sql/" + name + ".sql")
	if err != nil {
		return "", err
	}
	constant := func(s string) func() string { return func() string { return s } }
	parsed, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{
		"counters":   func(table string, and ...string) string { return fmt.Sprintf(counters, table, strings.Join(and, "")) },
		"histograms": func(table string, and ...string) string { return fmt.Sprintf(histograms, table, strings.Join(and, "")) },
		"durations":  func(and ...string) string { return fmt.Sprintf(histograms, durations(t, and...), "") },
		"quantile":   func(q string) string { return fmt.Sprintf(quantile, q, strings.ReplaceAll(q, ".", "_")) },
		"added":      constant(added), "addedHistogram": constant(addedHistogram), "within": constant(within), "at": constant(at),
		"recent": constant(recent), "node": constant(node), "ofNode": constant(ofNode), "nodeLabel": constant(nodeLabel), "workload": constant(workload), "meshed": constant(meshed), "ofMesh": constant(ofMesh), "ofHTTP": constant(ofHTTP), "destined": constant(destined),
		"httpCode": constant(httpCode), "httpFailed": constant(httpFailed), "httpUnit": constant(httpUnit),
		"failedSpan": constant(failedSpan), "serverSpan": constant(serverSpan), "clientSpan": constant(clientSpan), "recentSpan": constant(recentSpan), "ofService": constant(ofService),
		"limits": constant("LIMIT {limit:UInt32}"),
	}).Parse(strings.ReplaceAll(string(text), "{{recentLogs}}", recentLogs))
	if err != nil {
		return "", fmt.Errorf("query %s: %w", name, err)
	}
	var out strings.Builder
	if err := parsed.Execute(&out, t); err != nil {
		return "", fmt.Errorf("query %s: %w", name, err)
	}
	return out.String(), nil
}
