-- Requests per service from OpenTelemetry's own histograms, in seconds; the older http.server.duration is in milliseconds.
SELECT namespace, service, total, failed, newest, n, took, unit * {{quantile "0.95"}} AS p95
FROM (
    SELECT resource['k8s.namespace.name'] AS namespace, job AS service, {{httpUnit}} AS unit, if(uniqExact(bounds) = 1, any(bounds), []) AS b, sumForEach(buckets) AS d,
        sum(inc / span) AS total, sumIf(inc / span, {{httpFailed}}) AS failed, max(latest) AS newest, sum(inc) AS n, unit * sum(took) AS took
    FROM ({{durations}}
    )
    WHERE span > 0 AND buckets != []
    GROUP BY namespace, service, unit
)
{{limits}}
