-- The same of the counters that node_exporter gives no type.
SELECT metric, label, at, sum(rate) AS value FROM (
    SELECT metric, {{nodeLabel}} AS label, series, {{at}} AS at, sum(step.3) / sum(step.2) AS rate
    FROM (
        SELECT metric, labels, cityHash64(target, mapSort(labels)) AS series, arrayJoin({{added}}) AS step
        FROM ({{counters .Gauge ofNode}}
        )
    )
    WHERE {{within}}
    GROUP BY metric, label, series, at
)
GROUP BY metric, label, at
ORDER BY metric, label, at
{{limits}}
