-- Requests of each step from the spans that serve them, in the buckets of the semantic conventions.
WITH [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1., 2.5, 5., 7.5, 10.] AS b
SELECT *, {{quantile "0.5"}} AS p50, {{quantile "0.95"}} AS p95, {{quantile "0.99"}} AS p99 FROM (
    SELECT ResourceAttributes['k8s.namespace.name'] AS namespace, ServiceName AS service, intDiv(toInt64(toUnixTimestamp(Timestamp)) - {begin:Int64}, {step:Int64}) * {step:Int64} + {begin:Int64} AS at,
        toFloat64(count()) AS total, toFloat64(countIf({{failedSpan}})) AS failed,
        sumMap(map(toString(if(mapContains(SpanAttributes, 'http.response.status_code'), SpanAttributes['http.response.status_code'], SpanAttributes['http.status_code'])), 1.)) AS codes,
        b AS bounds, sumForEach(arrayMap(i -> toFloat64(i = arrayFirstIndex(x -> Duration / 1e9 <= x, arrayPushBack(b, inf))), range(1, 16))) AS d, sum(Duration) / 1e9 AS took
    FROM {{.Traces}}
    WHERE Timestamp >= toDateTime({begin:Int64}) AND Timestamp < toDateTime({to:Int64}) AND {{serverSpan}} AND {{ofService}}
    GROUP BY namespace, service, at
)
{{limits}}
