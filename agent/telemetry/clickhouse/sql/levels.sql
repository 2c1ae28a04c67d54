-- Memory, file systems and temperatures of each node, as they were last.
SELECT {{node}} AS name, metric, if(metric LIKE 'node\_filesystem%', labels['mountpoint'], concat(labels['chip'], ' ', labels['sensor'])) AS label, max(value), max(newest)
FROM (
    SELECT MetricName AS metric, any(ResourceAttributes) AS resource, any(Attributes) AS labels, argMax(Value, TimeUnix) AS value, max(toInt64(toUnixTimestamp(TimeUnix))) AS newest
    FROM {{.Gauge}}
    WHERE ServiceName IN {jobs:Array(String)} AND MetricName IN {metrics:Array(String)} AND {{recent}}
    GROUP BY metric, cityHash64(mapSort(ResourceAttributes)), cityHash64(mapSort(Attributes))
)
WHERE labels['fstype'] NOT IN ('tmpfs', 'overlay', 'squashfs', 'ramfs', 'devtmpfs')
GROUP BY name, metric, label
{{limits}}
