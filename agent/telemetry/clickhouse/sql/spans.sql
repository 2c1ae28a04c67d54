-- Requests per service from the spans that serve them.
SELECT ResourceAttributes['k8s.namespace.name'] AS namespace, ServiceName AS service,
    toFloat64(count()) AS total, toFloat64(countIf({{failedSpan}})) AS failed,
    toInt64(toUnixTimestamp(max(Timestamp))) AS newest, avg(Duration) / 1e9 AS mean, quantile(0.95)(Duration) / 1e9 AS p95
FROM {{.Traces}}
WHERE {{recentSpan}} AND {{serverSpan}}
GROUP BY namespace, service
{{limits}}
