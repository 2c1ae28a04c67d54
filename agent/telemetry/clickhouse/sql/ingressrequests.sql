-- Requests of each step as Traefik counts them, by router and by service.
SELECT metric, label, at, total, failed, codes, b, d, took, {{quantile "0.5"}} AS p50, {{quantile "0.95"}} AS p95, {{quantile "0.99"}} AS p99
FROM (
    SELECT metric, label, {{at}} AS at, sum(step.3) AS total, sumIf(step.3, code LIKE '5%') AS failed, sumMap(map(code, step.3)) AS codes,
        if(uniqExact(bounds) = 1, any(bounds), []) AS b, sumForEach(step.5) AS d, sum(step.4) AS took
    FROM (
        SELECT metric, if(metric LIKE '%router%', labels['router'], if(labels['service'] != '', labels['service'], labels['exported_service'])) AS label, toString(labels['code']) AS code, bounds,
            arrayJoin({{addedHistogram}}) AS step
        FROM ({{histograms .Histogram}}
        )
    )
    WHERE {{within}}
    GROUP BY metric, label, at
)
{{limits}}
