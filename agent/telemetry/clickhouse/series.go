package clickhouse

import (
	"context"
	"strings"
	"time"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/telemetry"
)

// maxSteps bounds how finely a course is asked for.
const maxSteps = 1500

func (s *Source) series(ctx context.Context, x store, q *report.SeriesQuery, o *report.Outcome) error {
	from, to := telemetry.Bounds(q.GetFrom(), q.GetTo(), time.Hour, maxRange)
	step := max(q.GetStep().AsDuration(), to.Sub(from)/maxSteps, time.Second).Truncate(time.Second)
	if q.GetStep() == nil {
		step = max(step, time.Minute)
	}
	c := &telemetry.Course{Entity: q.GetEntity()}
	var err error
	switch q.GetEntity().GetKind() {
	case "Node":
		err = s.nodeCourse(ctx, x, c, from, to, step)
	default:
		err = s.requestCourse(ctx, c, from, to, step)
	}
	if err != nil {
		return err
	}
	o.Series = c.All(q.GetMetrics())
	return nil
}

// requestCourse gives the golden signals of a Service, or of what routes, step by step. A step without a count has no point.
func (s *Source) requestCourse(ctx context.Context, c *telemetry.Course, from, to time.Time, step time.Duration) error {
	e := c.Entity
	of := only{names: "[]"}
	if e.GetKind() == "Service" {
		of = only{e.GetNamespace(), s.called(e.GetNamespace(), e.GetName())}
	}
	counts, err := s.requests(ctx, from, to, step, of)
	if err != nil {
		return err
	}
	layer := "ingress"
	mine := func(k *counted) bool {
		x := k.GetEntity()
		return x.GetKind() == e.GetKind() && x.GetNamespace() == e.GetNamespace() && x.GetName() == e.GetName() && k.GetRoute() == ""
	}
	for _, k := range counts {
		if mine(k) && k.GetLayer() == "mesh" {
			layer = "mesh"
		}
	}
	for _, k := range counts {
		if !mine(k) || k.GetLayer() != layer {
			continue
		}
		at := k.GetStart().AsTime()
		c.Add("request_rate", "1/s", "", "", at, k.GetTotal()/step.Seconds())
		c.Add("error_rate", "ratio", "", "", at, k.GetErrors()/k.GetTotal())
		if len(k.GetBuckets()) > 0 {
			c.Add("avg_latency", "s", "", "", at, k.took/total(k.GetBuckets()))
			c.Add("p50_latency", "s", "", "", at, k.p50)
			c.Add("p95_latency", "s", "", "", at, k.p95)
			c.Add("p99_latency", "s", "", "", at, k.p99)
		}
	}
	return nil
}

func total(buckets []float64) float64 {
	var n float64
	for _, x := range buckets {
		n += x
	}
	return n
}

// told is how a node's metric is shown, where it is shown as it is.
var told = map[string]struct{ name, unit, label string }{
	"node_disk_read_bytes_total":        {"disk_read", "By/s", "device"},
	"node_disk_written_bytes_total":     {"disk_write", "By/s", "device"},
	"node_disk_io_time_seconds_total":   {"disk_io_usage", "ratio", "device"},
	"node_network_receive_bytes_total":  {"network_receive", "By/s", "device"},
	"node_network_transmit_bytes_total": {"network_transmit", "By/s", "device"},
	"node_network_receive_errs_total":   {"network_receive_errors", "1/s", "device"},
	"node_network_transmit_errs_total":  {"network_transmit_errors", "1/s", "device"},
	"node_network_receive_drop_total":   {"network_receive_drops", "1/s", "device"},
	"node_network_transmit_drop_total":  {"network_transmit_drops", "1/s", "device"},
	"node_netstat_TcpExt_ListenDrops":   {"tcp_listen_drops", "1/s", ""},
	"node_netstat_TcpExt_TCPTimeouts":   {"tcp_timeouts", "1/s", ""},
	"node_netstat_Tcp_CurrEstab":        {"tcp_connections", "1", ""},
	"node_vmstat_oom_kill":              {"oom_kills", "1/s", ""},
	"node_load1":                        {"load", "1", ""},
	"node_memory_MemAvailable_bytes":    {"memory_available", "By", ""},
	"node_hwmon_temp_celsius":           {"temperature", "Cel", "sensor"},
	"node_nf_conntrack_entries":         {"conntrack_entries", "1", ""},
	"node_filefd_allocated":             {"open_files", "1", ""},
}

func (s *Source) nodeCourse(ctx context.Context, x store, c *telemetry.Course, from, to time.Time, step time.Duration) error {
	nodes := s.cfg.Names.Addresses(c.Entity.GetName())
	if len(nodes) == 0 {
		return telemetry.ErrNotKept
	}
	x, err := s.writers(ctx, x, from, to)
	if err != nil {
		return err
	}
	raw := map[int64]map[string]map[string]float64{} // time → metric → label → value
	read := func(name string, metrics []string) error {
		jobs, ok := x.of(metrics)
		if !ok {
			return nil
		}
		values := bound{
			"from": number(from.Add(-max(s.cfg.Lag, time.Minute)).Unix()), "to": number(to.Unix()), "begin": number(from.Unix()), "step": number(int64(step / time.Second)),
			"lag": number(int64(s.cfg.Lag / time.Second)), "jobs": jobs, "metrics": list(metrics...), "nodes": list(nodes...),
		}
		return s.each(ctx, x.tables, name, 500_000, values, func(r driver.Rows) error {
			var metric, label string
			var at int64
			var v float64
			if err := r.Scan(&metric, &label, &at, &v); err != nil {
				return err
			}
			if raw[at] == nil {
				raw[at] = map[string]map[string]float64{}
			}
			put(raw[at], metric, label, v)
			return nil
		})
	}
	for _, q := range []struct {
		name    string
		metrics []string
	}{{"nodeseries", nodeCounters}, {"untypedseries", untypedCounters}, {"levelseries", nodeGauges}} {
		if err := read(q.name, q.metrics); err != nil {
			return err
		}
	}
	for at, byMetric := range raw {
		addNode(c, time.Unix(at, 0), byMetric)
	}
	return nil
}

// addNode adds one step of a node: what is shown as it is, and the ratios.
func addNode(c *telemetry.Course, at time.Time, raw map[string]map[string]float64) {
	for metric, byLabel := range raw {
		if t, ok := told[metric]; ok {
			for label, v := range byLabel {
				c.Add(t.name, t.unit, t.label, strings.TrimSpace(label), at, v)
			}
		}
	}
	if cpu := raw["node_cpu_seconds_total"]; cpu != nil {
		if whole := sum(cpu); whole > 0 {
			c.Add("cpu_usage", "ratio", "", "", at, 1-idle(cpu)/whole)
			for mode, v := range cpu {
				c.Add("cpu", "ratio", "mode", mode, at, v/whole)
			}
		}
	}
	for metric, v := range raw {
		if what, ok := strings.CutPrefix(metric, "node_pressure_"); ok {
			c.Add("psi_"+strings.TrimSuffix(what, "_waiting_seconds_total"), "ratio", "", "", at, min(1, v[""]))
		}
	}
	if total, free := raw["node_memory_MemTotal_bytes"], raw["node_memory_MemAvailable_bytes"]; total != nil && free != nil {
		c.Add("memory_usage", "ratio", "", "", at, 1-sum(free)/sum(total))
	}
	for mount, size := range raw["node_filesystem_size_bytes"] {
		if free, ok := raw["node_filesystem_avail_bytes"][mount]; ok {
			c.Add("disk_usage", "ratio", "mountpoint", mount, at, 1-free/size)
		}
	}
	if out := sum(raw["node_netstat_Tcp_OutSegs"]); out > 0 {
		c.Add("tcp_retransmit_ratio", "ratio", "", "", at, sum(raw["node_netstat_Tcp_RetransSegs"])/out)
	}
}
