-- Whole traces that touch a service, with what a list shows of each.
SELECT TraceId, min(Timestamp) AS start,
    dateDiff('microsecond', start, max(fromUnixTimestamp64Nano(toUnixTimestamp64Nano(Timestamp) + Duration))) AS micros,
    toInt64(count()) AS spans, toInt64(countIf({{failedSpan}})) AS errors,
    argMin(ServiceName, (ParentSpanId != '', Timestamp)) AS root, argMin(SpanName, (ParentSpanId != '', Timestamp)) AS operation, arraySort(groupUniqArray(20)(toString(ServiceName))) AS services
FROM {{.Traces}}
WHERE Timestamp >= fromUnixTimestamp64Milli({from:Int64} - 60000) AND Timestamp < fromUnixTimestamp64Milli({to:Int64} + 60000)
    AND TraceId IN (
        SELECT TraceId FROM {{.Traces}}
        WHERE {{recentSpan}} AND {{ofService}} AND ({operation:String} = '' OR SpanName = {operation:String})
    )
GROUP BY TraceId
HAVING micros >= {micros:Int64} AND ({failed:UInt8} = 0 OR errors > 0)
ORDER BY if({newest:UInt8} = 1, toUnixTimestamp64Micro(start), micros) DESC, TraceId
{{limits}}
