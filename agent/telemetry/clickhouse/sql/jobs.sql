-- Which of the metrics that we know are there, and of whom: the tables are sorted by that first.
SELECT MetricName, groupUniqArray(5000)(toString(ServiceName)) FROM (
    {{- if .Sum}}SELECT MetricName, ServiceName FROM {{.Sum}} WHERE MetricName IN {metrics:Array(String)} AND TimeUnix >= toDateTime({from:Int64}) AND TimeUnix <= toDateTime({to:Int64}){{end}}
    {{- if and .Sum .Gauge}} UNION ALL {{end}}
    {{- if .Gauge}}SELECT MetricName, ServiceName FROM {{.Gauge}} WHERE MetricName IN {metrics:Array(String)} AND TimeUnix >= toDateTime({from:Int64}) AND TimeUnix <= toDateTime({to:Int64}){{end}}
    {{- if and .Histogram (or .Sum .Gauge)}} UNION ALL {{end}}
    {{- if .Histogram}}SELECT MetricName, ServiceName FROM {{.Histogram}} WHERE MetricName IN {metrics:Array(String)} AND TimeUnix >= toDateTime({from:Int64}) AND TimeUnix <= toDateTime({to:Int64}){{end}}
)
GROUP BY MetricName
{{limits}}
