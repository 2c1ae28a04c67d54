package eval

import (
	"math"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// kinds are the entity kinds of a recording, as they stand in an id.
var kinds = map[string]string{
	"ingress": entity.Ingress, "service": entity.Service, "pod": entity.Pod, "node": entity.Node, "external": entity.External, "edge": entity.Edge,
	"deployment": entity.Deployment, "statefulset": entity.StatefulSet, "daemonset": entity.DaemonSet,
}

// metrics are the names of a recording and ours. What is in neither is skipped: nobody said how to judge it.
var metrics = map[string]string{
	"cpu_usage": "cpu_cores", "memory_bytes": "memory_bytes", "node_cpu_ratio": "cpu_usage", "node_memory_ratio": "memory_usage",
	"latency_avg_s": "avg_latency", "latency_p50_s": "p50_latency", "latency_p90_s": "p90_latency", "latency_p95_s": "p95_latency", "latency_p99_s": "p99_latency",
	"edge_latency_avg_s": "avg_latency", "edge_latency_p50_s": "p50_latency", "edge_latency_p90_s": "p90_latency", "edge_latency_p95_s": "p95_latency", "edge_latency_p99_s": "p99_latency",
	"request_count": "request_rate", "error_ratio": "error_rate",
	// our own names, which synthetic cases use
	"cpu_ratio": "cpu_usage", "memory_ratio": "memory_usage", "restart_count": "restart_count",
}

// refOf reads an id; ok is false for a kind that we do not know.
func (c *Case) refOf(id string) (*report.EntityRef, bool) {
	kind, name, found := strings.Cut(id, "/")
	k, known := kinds[kind]
	ref := &report.EntityRef{Kind: k, Name: name}
	switch k {
	case entity.Node, entity.External, entity.Edge:
	default:
		ref.Namespace = c.Namespace
	}
	return ref, found && known && name != ""
}

// idOf writes the id of an entity.
func idOf(r entity.Ref) string { return strings.ToLower(r.Kind) + "/" + r.Name }

// frames turns rows into telemetry as an agent would report it: one frame for each time.
func (c *Case) frames(rows []Row, shift time.Duration, each func(at time.Time, f *report.TelemetryFrame) error) error {
	for i := 0; i < len(rows); {
		j := i
		counts := map[string]float64{}
		for ; j < len(rows) && rows[j].At == rows[i].At; j++ {
			if rows[j].Metric == "request_count" {
				counts[rows[j].Entity] = rows[j].Value
			}
		}
		at := time.Unix(rows[i].At, 0).UTC().Add(shift)
		f := &report.TelemetryFrame{Time: timestamppb.New(at), Window: durationpb.New(c.Tick)}
		for _, r := range rows[i:j] {
			ref, ok := c.refOf(r.Entity)
			name, known := metrics[r.Metric]
			if !ok || !known || math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
				continue
			}
			s := &report.Sample{Entity: ref, Metric: name, Value: r.Value, Count: counts[r.Entity]}
			if r.Metric == "request_count" {
				s.Value /= c.Tick.Seconds()
			}
			f.Samples = append(f.Samples, s)
		}
		i = j
		if err := each(at, f); err != nil {
			return err
		}
	}
	return nil
}

// graph gives the entities and edges of a case as an agent would report them. Calls that have metrics of their own are edges
// even where the topology does not name them.
func (c *Case) graph() ([]*report.GenericEntity, []*report.GenericEdge) {
	var entities []*report.GenericEntity
	var edges []*report.GenericEdge
	for _, e := range c.Entities {
		ref, ok := c.refOf(e.ID)
		if !ok {
			continue
		}
		g := &report.GenericEntity{Entity: ref}
		if service, ok := c.refOf(e.Service); ok {
			g.Service = service
		}
		entities = append(entities, g)
	}
	known := map[[2]string]bool{}
	add := func(from, to, kind string) {
		f, ok := c.refOf(from)
		t, also := c.refOf(to)
		if ok && also && !known[[2]string{from, to}] {
			known[[2]string{from, to}] = true
			edges = append(edges, &report.GenericEdge{From: f, To: t, Type: kind})
		}
	}
	for _, e := range c.Edges {
		add(e.From, e.To, e.Type)
	}
	for _, s := range []*Series{c.History, c.Window} {
		if s == nil {
			continue
		}
		for _, r := range s.Rows {
			if ends, ok := strings.CutPrefix(r.Entity, "edge/"); ok {
				if from, to, ok := strings.Cut(ends, "->"); ok {
					add(from, to, "calls")
				}
			}
		}
	}
	return entities, edges
}
