-- Which of the metrics that we know are there, and of whom: the tables are sorted by that first.
SELECT MetricName, groupUniqArray(5000)(toString(ServiceName)) FROM (
    {{- range $i, $table := .Metrics}}{{if $i}} UNION ALL {{end}}SELECT MetricName, ServiceName FROM {{$table}} WHERE MetricName IN {metrics:Array(String)} AND TimeUnix >= toDateTime({from:Int64}) AND TimeUnix <= toDateTime({to:Int64}){{end}}
)
GROUP BY MetricName
{{limits}}
