-- What one node's counters grew by a second, within each step; a step without an increment has no point.
SELECT metric, label, at, sum(rate) AS value FROM (
    SELECT metric, {{nodeLabel}} AS label, series, {{at}} AS at, sum(step.3) / sum(step.2) AS rate
    FROM (
        SELECT metric, labels, cityHash64(target, mapSort(labels)) AS series, arrayJoin({{added}}) AS step
        FROM ({{counters .Sum ofNode}}
        )
    )
    WHERE {{within}}
    GROUP BY metric, label, series, at
)
GROUP BY metric, label, at
ORDER BY metric, label, at
{{limits}}
