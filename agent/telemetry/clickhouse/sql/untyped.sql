-- The same of what node_exporter gives no type: it is kept among the gauges.
SELECT {{node}} AS name, metric, '' AS mode, sum(inc / span) AS rate, max(latest) AS newest
FROM ({{counters .Gauge}}
)
WHERE span > 0
GROUP BY name, metric
{{limits}}
