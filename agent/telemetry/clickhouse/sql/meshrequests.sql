-- Requests of each step as Linkerd's proxies count them where they arrive.
SELECT namespace, workload, at, sum(step.3) AS total, sumIf(step.3, class = 'failure') AS failed, sumMap(map(code, step.3)) AS codes
FROM (
    SELECT labels['namespace'] AS namespace, workload, at, step, class, code FROM (
        SELECT labels, {{meshed}} AS workload, {{at}} AS at, labels['classification'] AS class, toString(labels['status_code']) AS code, arrayJoin({{added}}) AS step
        FROM ({{counters .Sum ofMesh}}
        )
    )
    WHERE {{within}} AND workload != ''
)
GROUP BY namespace, workload, at
{{limits}}
