package sim

import (
	"context"
	"iter"
	"time"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	corev1 "k8s.io/api/core/v1"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/sim/apiserver"
	"github.com/bukahou/atlhyper/agent/telemetry"
)

var _ telemetry.Source = (*Shop)(nil)

// Sample implements telemetry.Source: what the last ten seconds looked like, with noise that depends on now alone. A
// node that fell silent gives nothing, nor do its pods. The metrics of a Service are those that its callers see, so a
// Service without pods shows refused requests. Sample does not move the shop's clock.
func (s *Shop) Sample(ctx context.Context, now time.Time) (*report.TelemetryFrame, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var frame *report.TelemetryFrame
	var failure error
	s.server.Do(time.Time{}, func(tx *apiserver.Tx) {
		failure = s.failure
		frame = s.frame(s.look(tx), now)
	})
	return frame, failure
}

// History gives the frames of a healthy time, from (included) to to (excluded), a step apart: what the shop measured
// before it was looked at, for baselines to start warm on. The shop is taken as it was at Start.
func (s *Shop) History(from, to time.Time, step time.Duration) iter.Seq[*report.TelemetryFrame] {
	return func(yield func(*report.TelemetryFrame) bool) {
		for at := from; at.Before(to) && step > 0; at = at.Add(step) {
			if !yield(s.frame(s.opening, at)) {
				return
			}
		}
	}
}

// sheet collects the samples of one frame.
type sheet struct {
	frame *report.TelemetryFrame
	noise noise
}

func (sh *sheet) add(entity *report.EntityRef, metric string, value, count float64) {
	sh.frame.Samples = append(sh.frame.Samples, &report.Sample{Entity: entity, Metric: metric, Value: value, Count: count})
}

// frame measures a view at a time.
func (s *Shop) frame(v view, at time.Time) *report.TelemetryFrame {
	f := s.plan.solve(v, at)
	sh := &sheet{
		frame: &report.TelemetryFrame{
			Time: timestamppb.New(at), Window: durationpb.New(tick),
			Samples: make([]*report.Sample, 0, 600),
			Sources: []*report.SourceStatus{
				{Source: "node-exporter", Available: true, Signals: []string{"node"}},
				{Source: "metrics-api", Available: true, Signals: []string{"pod"}},
				{Source: "mesh", Available: true, Signals: []string{"service", "ingress", "traffic"}},
			},
		},
		noise: newNoise(s.seed, at.Unix()),
	}
	s.measureNodes(sh, v, f)
	s.measurePods(sh, v, f)
	s.measureServices(sh, f)
	return sh.frame
}

func (s *Shop) measureNodes(sh *sheet, v view, f flow) {
	n := sh.noise
	for i, node := range v.nodes {
		cpu := n.share(f.nodes[i].cpu, 0.012)
		memory, disk := n.share(f.nodes[i].memory, 0.004), n.share(0.34+0.06*float64(i), 0.001)
		waiting := 0.015 + 0.12*max(0, f.nodes[i].cpu-0.6) + 1.6*f.nodes[i].pressure
		psi := [3]float64{min(0.95, n.around(waiting, 0.08)), n.around(0.002, 0.1), n.around(0.012, 0.1)}
		if node.silent {
			continue
		}
		ref := &report.EntityRef{Kind: "Node", Name: node.name}
		sh.add(ref, "cpu_usage", cpu, 0)
		sh.add(ref, "memory_usage", memory, 0)
		sh.add(ref, "disk_usage", disk, 0)
		sh.add(ref, "psi_cpu", psi[0], 0)
		sh.add(ref, "psi_memory", psi[1], 0)
		sh.add(ref, "psi_io", psi[2], 0)
	}
}

func (s *Shop) measurePods(sh *sheet, v view, f flow) {
	n := sh.noise
	for i := range v.pods {
		q := &v.pods[i]
		ref := &report.EntityRef{Kind: "Pod", Namespace: q.pod.Namespace, Name: q.pod.Name}
		cpu, memory, throttled := n.around(f.cpu[i], 0.06), n.share(q.memory, 0.006), n.around(0.004+f.throttle[i], 0.1)
		if q.running && !q.hung && q.cpuLimit > 0 {
			sh.add(ref, "cpu_usage", min(1, cpu/q.cpuLimit), 0)
			sh.add(ref, "cpu_throttled", min(1, throttled), 0)
		}
		if q.running && !q.hung && q.memLimit > 0 {
			sh.add(ref, "memory_usage", memory, 0)
		}
		var restarts, unready float64
		for c := range q.pod.Status.ContainerStatuses {
			restarts += float64(q.pod.Status.ContainerStatuses[c].RestartCount)
			if !q.pod.Status.ContainerStatuses[c].Ready {
				unready++
			}
		}
		if !apiserver.Ready(q.pod) {
			unready = max(unready, 1)
		}
		up := 0.0
		if q.pod.Status.Phase == corev1.PodRunning {
			up = 1
		}
		sh.add(ref, "restart_count", restarts, 0)
		sh.add(ref, "is_running", up, 0)
		sh.add(ref, "not_ready_containers", unready, 0)
	}
}

// requests measures one stream of requests: how many came, how many failed, how long they took.
func (sh *sheet) requests(ref *report.EntityRef, rate, errors, latency float64, tail bool) {
	n := sh.noise
	count := n.poisson(rate * tick.Seconds())
	sh.add(ref, "request_rate", count/tick.Seconds(), count)
	if count == 0 {
		return // nothing was asked, so nothing failed and nothing was slow: unknown, not zero
	}
	sh.add(ref, "error_rate", n.binomial(count, errors)/count, count)
	sh.add(ref, "avg_latency", n.meanLatency(latency, count), count)
	if tail {
		sh.add(ref, "p95_latency", n.percentile95(latency, count), count)
	}
}

const ingressLatency = 0.002 // seconds that the ingress controller adds

func (s *Shop) measureServices(sh *sheet, f flow) {
	n := sh.noise
	entry := &report.EntityRef{Kind: "Ingress", Namespace: s.plan.namespace, Name: s.plan.namespace}
	door := &f.services[frontend]
	sh.requests(entry, f.entry, door.errors, door.latency+ingressLatency, false)
	ref := func(r role) *report.EntityRef {
		return &report.EntityRef{Kind: "Service", Namespace: s.plan.namespace, Name: s.plan.services[r].name}
	}
	edge := func(from, to *report.EntityRef, rate float64, callee *serviceFlow) {
		count := n.poisson(rate * tick.Seconds())
		if count == 0 {
			return
		}
		sh.frame.Traffic = append(sh.frame.Traffic, &report.Traffic{
			From: from, To: to, RequestsPerSecond: count / tick.Seconds(),
			ErrorRatio: n.binomial(count, callee.errors) / count, LatencyAvgSeconds: n.meanLatency(callee.latency, count),
		})
	}
	edge(entry, ref(frontend), f.entry, door)
	for i, sv := range s.plan.services {
		if sv.role == batch {
			continue
		}
		of := &f.services[i]
		sh.requests(ref(role(i)), of.rate, of.errors, of.latency, true)
		for _, c := range sv.calls {
			edge(ref(role(i)), ref(c.to), of.rate*of.serving*c.perRequest, &f.services[c.to])
		}
	}
}
