-- What each node's counters grew by a second: CPU by mode, PSI, packets and those with errors.
SELECT {{node}} AS name, metric, labels['mode'] AS mode, sum(inc / span) AS rate, max(latest) AS newest
FROM ({{counters .Sum}}
)
WHERE span > 0
GROUP BY name, metric, mode
{{limits}}
