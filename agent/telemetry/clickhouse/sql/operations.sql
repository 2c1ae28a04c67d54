-- Rate, failures and latency of each operation that a service serves.
SELECT ServiceName, SpanName, toFloat64(count()) AS total, countIf({{failedSpan}}) / count() AS failed,
    quantile(0.5)(Duration) / 1e9, quantile(0.95)(Duration) / 1e9, quantile(0.99)(Duration) / 1e9
FROM {{.Traces}}
WHERE {{recentSpan}} AND {{serverSpan}} AND {{ofService}}
GROUP BY ServiceName, SpanName
ORDER BY total DESC, ServiceName, SpanName
{{limits}}
