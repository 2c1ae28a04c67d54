-- Requests as Linkerd's proxies count them: inbound where they arrive, which is what a service did; outbound where they
-- leave, where alone the other end is named. Every call is counted at both ends, so the two are never added.
SELECT labels['direction'] AS direction, labels['namespace'] AS namespace, {{meshed}} AS workload,
    if(direction = 'outbound', labels['dst_namespace'], '') AS to_namespace, if(direction = 'outbound', {{destined}}, '') AS destination,
    sum(inc / span) AS total, sumIf(inc / span, labels['classification'] = 'failure') AS failed, sumIf(inc / span, labels['tls'] = 'true') AS secured, max(latest) AS newest
FROM ({{counters .Sum}}
)
WHERE span > 0
GROUP BY direction, namespace, workload, to_namespace, destination
HAVING workload != '' AND (direction = 'inbound' OR destination != '')
{{limits}}
