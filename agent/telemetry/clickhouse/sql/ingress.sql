-- Requests as Traefik counts them, by router and by service: rate, failures (5xx), mean and P95. Its histogram counts
-- the same requests as its counter does, under the same labels, so that one is read.
SELECT metric, label, total, failed, newest, n, took, {{quantile "0.95"}} AS p95
FROM (
    SELECT metric, if(metric LIKE '%router%', labels['router'], if(labels['service'] != '', labels['service'], labels['exported_service'])) AS label,
        if(uniqExact(bounds) = 1, any(bounds), []) AS b, sumForEach(buckets) AS d, sum(inc / span) AS total, sumIf(inc / span, labels['code'] LIKE '5%') AS failed, max(latest) AS newest, sum(inc) AS n, sum(took) AS took
    FROM ({{histograms .Histogram}}
    )
    WHERE span > 0 AND buckets != []
    GROUP BY metric, label
)
{{limits}}
