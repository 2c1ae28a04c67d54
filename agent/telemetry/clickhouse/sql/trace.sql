-- One trace. The small table of trace ids says when it was, so that not all days are read.
SELECT SpanId, ParentSpanId, ServiceName, SpanName, SpanKind, Timestamp, Duration, toUInt8({{failedSpan}}) AS failed, StatusMessage
FROM {{.Traces}}
WHERE TraceId = {trace:String}
{{- if .TraceIDs}}
    AND Timestamp >= (SELECT min(Start) - 1 FROM {{.TraceIDs}} WHERE TraceId = {trace:String})
    AND Timestamp <= (SELECT max(End) + 2 FROM {{.TraceIDs}} WHERE TraceId = {trace:String})
{{- end}}
ORDER BY Timestamp, SpanId
{{limits}}
