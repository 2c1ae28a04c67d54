package clickhouse

import (
	"strings"

	"github.com/ClickHouse/clickhouse-go/v2/lib/driver"
)

// nodeState is what a tick read of one node: rates by metric and CPU mode, levels by metric and mount point or sensor.
type nodeState struct {
	rates  map[string]map[string]float64
	levels map[string]map[string]float64
}

func (t *tick) of(name string) *nodeState {
	node := t.source.cfg.Names.Node(name)
	if node == "" {
		t.unknown["node "+name] = true
		return nil
	}
	if t.nodes[node] == nil {
		t.nodes[node] = &nodeState{map[string]map[string]float64{}, map[string]map[string]float64{}}
	}
	return t.nodes[node]
}

func put(into map[string]map[string]float64, metric, label string, value float64) {
	if into[metric] == nil {
		into[metric] = map[string]float64{}
	}
	into[metric][label] = value
}

func (t *tick) node(r driver.Rows) error {
	var name, metric, mode string
	var rate float64
	var newest int64
	if err := r.Scan(&name, &metric, &mode, &rate, &newest); err != nil {
		return err
	}
	if n := t.of(name); n != nil && t.recent(newest) {
		put(n.rates, metric, mode, rate)
	}
	return nil
}

func (t *tick) level(r driver.Rows) error {
	var name, metric, label string
	var value float64
	var newest int64
	if err := r.Scan(&name, &metric, &label, &value, &newest); err != nil {
		return err
	}
	if n := t.of(name); n != nil && t.recent(newest) {
		put(n.levels, metric, label, value)
	}
	return nil
}

// reading is a value, with the packets or segments behind a ratio.
type reading struct{ value, count float64 }

// samples are the ratios that a node is judged by, over a window of seconds. A ratio with a missing part is missing.
func (n *nodeState) samples(window float64) map[string]reading {
	out := map[string]reading{}
	ratio := func(metric string, part, whole, count float64) {
		if whole > 0 {
			out[metric] = reading{min(1, max(0, part/whole)), count}
		}
	}
	if cpu := n.rates["node_cpu_seconds_total"]; cpu != nil {
		var whole float64
		for _, v := range cpu {
			whole += v
		}
		ratio("cpu_usage", whole-idle(cpu), whole, 0)
	}
	for metric, v := range n.rates {
		if what, ok := strings.CutPrefix(metric, "node_pressure_"); ok {
			ratio("psi_"+strings.TrimSuffix(what, "_waiting_seconds_total"), v[""], 1, 0)
		}
	}
	total, hasTotal := n.levels["node_memory_MemTotal_bytes"]
	if free, ok := n.levels["node_memory_MemAvailable_bytes"]; ok && hasTotal {
		ratio("memory_usage", sum(total)-sum(free), sum(total), 0)
	}
	for mount, size := range n.levels["node_filesystem_size_bytes"] {
		if free, ok := n.levels["node_filesystem_avail_bytes"][mount]; ok && size > 0 {
			if used := 1 - free/size; used >= out["disk_usage"].value { // the fullest
				out["disk_usage"] = reading{value: min(1, max(0, used))}
			}
		}
	}
	for sensor, critical := range n.levels["node_hwmon_temp_crit_celsius"] {
		if now, ok := n.levels["node_hwmon_temp_celsius"][sensor]; ok && critical > 0 {
			if share := now / critical; share >= out["temperature_ratio"].value { // the nearest to its critical mark
				out["temperature_ratio"] = reading{value: max(0, share)}
			}
		}
	}
	packets := sum(n.rates["node_network_receive_packets_total"]) + sum(n.rates["node_network_transmit_packets_total"])
	ratio("network_error_ratio", sum(n.rates["node_network_receive_errs_total"])+sum(n.rates["node_network_transmit_errs_total"]), packets, packets*window)
	segments := sum(n.rates["node_netstat_Tcp_OutSegs"])
	ratio("tcp_retransmit_ratio", sum(n.rates["node_netstat_Tcp_RetransSegs"]), segments, 0)
	return out
}

// idle is the part of CPU time that nobody uses: waiting for a disk, and what the hypervisor took, are no use of it.
func idle(byMode map[string]float64) float64 {
	return byMode["idle"] + byMode["iowait"] + byMode["steal"]
}

func sum(byLabel map[string]float64) float64 {
	var total float64
	for _, v := range byLabel {
		total += v
	}
	return total
}
