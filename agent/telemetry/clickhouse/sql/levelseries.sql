-- The levels of one node: the mean of each step.
SELECT metric, label, at, sum(value) FROM (
    SELECT metric, {{nodeLabel}} AS label, series, intDiv(seen - 1 - {begin:Int64}, {step:Int64}) * {step:Int64} + {begin:Int64} AS at, avg(Value) AS value
    FROM (
        SELECT MetricName AS metric, Attributes AS labels, cityHash64(mapSort(ResourceAttributes), mapSort(Attributes)) AS series, toInt64(toUnixTimestamp(TimeUnix)) AS seen, Value
        FROM {{.Gauge}}
        WHERE ServiceName IN {jobs:Array(String)} AND MetricName IN {metrics:Array(String)} AND {{recent}}{{ofNode}}
    )
    WHERE seen > {begin:Int64} AND labels['fstype'] NOT IN ('tmpfs', 'overlay', 'squashfs', 'ramfs', 'devtmpfs')
    GROUP BY metric, label, series, at
)
GROUP BY metric, label, at
ORDER BY metric, label, at
{{limits}}
