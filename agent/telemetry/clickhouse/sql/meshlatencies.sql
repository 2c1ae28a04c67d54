-- What those requests took, in seconds.
SELECT namespace, workload, at, total, arrayMap(x -> x / 1000, b), d, took / 1000, p50 / 1000, p95 / 1000, p99 / 1000 FROM (
    SELECT *, {{quantile "0.5"}} AS p50, {{quantile "0.95"}} AS p95, {{quantile "0.99"}} AS p99
    FROM (
        SELECT labels['namespace'] AS namespace, workload, at, sum(step.3) AS total, if(uniqExact(bounds) = 1, any(bounds), []) AS b, sumForEach(step.5) AS d, sum(step.4) AS took
        FROM (
            SELECT labels, {{meshed}} AS workload, bounds, {{at}} AS at, arrayJoin({{addedHistogram}}) AS step
            FROM ({{histograms .Histogram ofMesh}}
            )
        )
        WHERE {{within}} AND workload != ''
        GROUP BY namespace, workload, at
    )
)
{{limits}}
