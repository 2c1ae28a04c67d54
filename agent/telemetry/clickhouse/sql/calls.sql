-- Who calls whom, from the spans: a client's span with the server's beneath it, of another service; or, where nothing
-- measures at the other end, the address that the client called.
SELECT c.namespace, c.service, s.namespace, if(s.service != '', s.service, c.peer) AS destination, toFloat64(count()) AS total,
    toFloat64(countIf(s.failed OR c.failed)) AS failed, avg(if(s.service != '', s.duration, c.duration)) / 1e9 AS mean, quantile(0.95)(if(s.service != '', s.duration, c.duration)) / 1e9 AS p95
FROM (
    SELECT TraceId, SpanId AS id, ResourceAttributes['k8s.namespace.name'] AS namespace, ServiceName AS service, Duration AS duration, {{failedSpan}} AS failed,
        if(SpanAttributes['peer.service'] != '', SpanAttributes['peer.service'], SpanAttributes['server.address']) AS peer
    FROM {{.Traces}}
    WHERE {{recentSpan}} AND {{clientSpan}}
) AS c
LEFT JOIN (
    SELECT TraceId, ParentSpanId AS parent, ResourceAttributes['k8s.namespace.name'] AS namespace, ServiceName AS service, Duration AS duration, {{failedSpan}} AS failed
    FROM {{.Traces}}
    WHERE Timestamp >= fromUnixTimestamp64Milli({from:Int64}) AND Timestamp < fromUnixTimestamp64Milli({to:Int64} + 60000) AND {{serverSpan}} AND ParentSpanId != ''
) AS s ON c.TraceId = s.TraceId AND c.id = s.parent
WHERE destination != '' AND c.service != destination AND (empty({names:Array(String)}) OR c.service IN {names:Array(String)} OR destination IN {names:Array(String)})
GROUP BY c.namespace, c.service, s.namespace, destination
{{limits}}
