-- Requests of each step from OpenTelemetry's own histograms, in seconds.
SELECT namespace, service, at, total, failed, codes, arrayMap(x -> x * unit, b), d, took * unit, p50 * unit, p95 * unit, p99 * unit FROM (
    SELECT *, {{quantile "0.5"}} AS p50, {{quantile "0.95"}} AS p95, {{quantile "0.99"}} AS p99
    FROM (
        SELECT namespace, service, unit, {{at}} AS at, sum(step.3) AS total, sumIf(step.3, failing) AS failed, sumMap(map(code, step.3)) AS codes,
            if(uniqExact(bounds) = 1, any(bounds), []) AS b, sumForEach(step.5) AS d, sum(step.4) AS took
        FROM (
            SELECT resource['k8s.namespace.name'] AS namespace, job AS service, {{httpUnit}} AS unit, {{httpFailed}} AS failing, toString({{httpCode}}) AS code, bounds, arrayJoin({{addedHistogram}}) AS step
            FROM ({{durations ofHTTP}}
            )
        )
        WHERE {{within}}
        GROUP BY namespace, service, unit, at
    )
)
{{limits}}
