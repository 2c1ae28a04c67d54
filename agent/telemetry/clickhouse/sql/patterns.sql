-- Log lines that differ in numbers, ids, addresses and quoted words only, as one row each. What differs otherwise is
-- merged afterwards (package pattern, whose expression says the same). The order matters: the longer shapes first.
SELECT replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(replaceRegexpAll(substring(Body, 1, 1000),
        '[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}', '<*>'),
        '\\b\\d{1,3}(\\.\\d{1,3}){3}(:\\d+)?\\b', '<*>'),
        '\\b(0x)?[0-9a-fA-F]*\\d[0-9a-fA-F]{7,}\\b', '<*>'),
        '[+-]?\\d+(\\.\\d+)?', '<*>') AS template,
    toInt64(count()) AS lines, min(Timestamp) AS first, max(Timestamp) AS last, toString(argMax(SeverityText, SeverityNumber)) AS severity, any(substring(Body, 1, 1000)) AS example
FROM {{.Logs}}
WHERE {{recentLogs}}
GROUP BY template
ORDER BY lines DESC, template
{{limits}}
