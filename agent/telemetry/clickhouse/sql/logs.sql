-- Log lines, newest first.
SELECT Timestamp, SeverityText, substring(Body, 1, 4000), {{workload}} AS workload, ResourceAttributes['k8s.pod.name'] AS pod, TraceId
FROM {{.Logs}}
WHERE {{recentLogs}} AND ({text:String} = '' OR positionCaseInsensitiveUTF8(Body, {text:String}) > 0)
ORDER BY Timestamp DESC
{{limits}}
