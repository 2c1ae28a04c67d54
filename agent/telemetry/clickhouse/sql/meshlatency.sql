-- What those requests took, in seconds; Linkerd measures milliseconds, and does not tell failures apart here.
SELECT direction, namespace, workload, to_namespace, destination, n, took / 1000, {{quantile "0.95"}} / 1000 AS p95
FROM (
    SELECT labels['direction'] AS direction, labels['namespace'] AS namespace, {{meshed}} AS workload,
        if(direction = 'outbound', labels['dst_namespace'], '') AS to_namespace, if(direction = 'outbound', {{destined}}, '') AS destination,
        if(uniqExact(bounds) = 1, any(bounds), []) AS b, sumForEach(buckets) AS d, sum(inc) AS n, sum(took) AS took
    FROM ({{histograms .Histogram}}
    )
    WHERE span > 0 AND buckets != []
    GROUP BY direction, namespace, workload, to_namespace, destination
    HAVING workload != '' AND (direction = 'inbound' OR destination != '')
)
{{limits}}
