// Package kubelet reads CPU and memory use from the Kubernetes metrics API, for clusters that keep no other telemetry.
package kubelet

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

// The name of the source and its signals, as they appear in a frame.
const (
	sourceName  = "metrics-api"
	cpuUsage    = "cpu_usage"
	memoryUsage = "memory_usage"
)

// stale is how old a measurement may be: a kubelet that stopped answering leaves its last one behind.
const stale = 5 * time.Minute

// Lister gives the current objects of a kind. What it returns is not changed.
type Lister interface {
	Resources(kind string) []*report.Resource
}

// Config is what a Source needs.
type Config struct {
	// Metrics is the client of the metrics API; nil says that there is none.
	Metrics metrics.Interface
	Objects Lister
	Window  time.Duration // of a frame, default 10 s
	Logger  *slog.Logger
}

// Source gives for each node cpu_usage and memory_usage as ratios of what it can allocate, and for each pod the same
// as ratios of its limits. A pod without a limit on every container has no such ratio and gives no sample.
type Source struct{ cfg Config }

// New checks the configuration.
func New(cfg Config) (*Source, error) {
	if cfg.Objects == nil {
		return nil, errors.New("kubelet: Objects is needed")
	}
	if cfg.Window <= 0 {
		cfg.Window = 10 * time.Second
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Source{cfg}, nil
}

// Sample reads once. An API that is missing or failing is said in the frame, which then has no samples; it is not an
// error, for the agent goes on without it.
func (s *Source) Sample(ctx context.Context, now time.Time) (*report.TelemetryFrame, error) {
	f := &report.TelemetryFrame{Time: timestamppb.New(now), Window: durationpb.New(s.cfg.Window)}
	status := &report.SourceStatus{Source: sourceName}
	f.Sources = []*report.SourceStatus{status}
	if s.cfg.Metrics == nil {
		status.Message = "the agent has no client of the metrics API"
		return f, nil
	}
	err := s.nodes(ctx, now, f)
	if err == nil {
		err = s.pods(ctx, now, f)
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		f.Samples = nil
		status.Message = reason(err)
		s.cfg.Logger.DebugContext(ctx, "metrics api not read", "err", err)
		return f, nil
	}
	status.Available = true
	status.Signals = []string{cpuUsage, memoryUsage}
	return f, nil
}

func reason(err error) string {
	switch {
	case apierrors.IsNotFound(err) || apierrors.IsServiceUnavailable(err):
		return "the cluster serves no metrics API; install metrics-server"
	case apierrors.IsForbidden(err):
		return "the agent may not read metrics.k8s.io; grant get and list on nodes and pods there"
	}
	if call, ok := errors.AsType[*url.Error](err); ok { // its text begins with the cluster's inner address
		if _, lost := errors.AsType[*net.OpError](call); lost {
			return "the API server cannot be reached"
		}
		err = call.Err
	}
	return fmt.Sprintf("the metrics API failed: %v", err)
}

func (s *Source) nodes(ctx context.Context, now time.Time, f *report.TelemetryFrame) error {
	list, err := s.cfg.Metrics.MetricsV1beta1().NodeMetricses().List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	allocatable := map[string]*report.Quantities{}
	for _, n := range s.cfg.Objects.Resources("Node") {
		allocatable[n.GetName()] = n.GetNode().GetAllocatable()
	}
	for i := range list.Items {
		n := &list.Items[i]
		if old(n.Timestamp, now) {
			continue
		}
		sample(f, "Node", "", n.Name, n.Usage.Cpu().AsApproximateFloat64(), n.Usage.Memory().AsApproximateFloat64(), allocatable[n.Name])
	}
	return nil
}

func (s *Source) pods(ctx context.Context, now time.Time, f *report.TelemetryFrame) error {
	list, err := s.cfg.Metrics.MetricsV1beta1().PodMetricses("").List(ctx, metav1.ListOptions{})
	if err != nil {
		return err
	}
	limits := map[[2]string]*report.Quantities{}
	for _, p := range s.cfg.Objects.Resources("Pod") {
		limits[[2]string{p.GetNamespace(), p.GetName()}] = podLimits(p.GetPod())
	}
	for i := range list.Items {
		p := &list.Items[i]
		if old(p.Timestamp, now) {
			continue
		}
		var cpu, memory float64
		for c := range p.Containers {
			cpu += p.Containers[c].Usage.Cpu().AsApproximateFloat64()
			memory += p.Containers[c].Usage.Memory().AsApproximateFloat64()
		}
		sample(f, "Pod", p.Namespace, p.Name, cpu, memory, limits[[2]string{p.Namespace, p.Name}])
	}
	return nil
}

func old(t metav1.Time, now time.Time) bool { return !t.IsZero() && now.Sub(t.Time) > stale }

// podLimits sums the limits of a pod's containers. A resource that one of them may use without limit has none.
func podLimits(p *report.Pod) *report.Quantities {
	sum := &report.Quantities{}
	cpu, memory := true, true
	for _, c := range p.GetContainers() {
		if c.GetInit() {
			continue
		}
		sum.CpuCores += c.GetLimits().GetCpuCores()
		sum.MemoryBytes += c.GetLimits().GetMemoryBytes()
		cpu = cpu && c.GetLimits().GetCpuCores() > 0
		memory = memory && c.GetLimits().GetMemoryBytes() > 0
	}
	if !cpu {
		sum.CpuCores = 0
	}
	if !memory {
		sum.MemoryBytes = 0
	}
	return sum
}

func sample(f *report.TelemetryFrame, kind, namespace, name string, cpu, memory float64, of *report.Quantities) {
	e := &report.EntityRef{Kind: kind, Namespace: namespace, Name: name}
	if c := of.GetCpuCores(); c > 0 {
		f.Samples = append(f.Samples, &report.Sample{Entity: e, Metric: cpuUsage, Value: cpu / c})
	}
	if m := of.GetMemoryBytes(); m > 0 {
		f.Samples = append(f.Samples, &report.Sample{Entity: e, Metric: memoryUsage, Value: memory / m})
	}
}
