package command

import (
	"context"
	"slices"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/bukahou/atlhyper/agent/report"
)

// UsageReader gives the current use of pods or nodes. An empty namespace means all.
type UsageReader interface {
	ReadUsage(ctx context.Context, kind, namespace string) ([]*report.Usage, error)
}

// MetricsUsage reads from the Kubernetes metrics API.
func MetricsUsage(client metrics.Interface) UsageReader { return metricsUsage{client} }

type metricsUsage struct{ client metrics.Interface }

func (m metricsUsage) ReadUsage(ctx context.Context, kind, namespace string) ([]*report.Usage, error) {
	var out []*report.Usage
	if kind == "Node" {
		list, err := m.client.MetricsV1beta1().NodeMetricses().List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		for i := range list.Items {
			n := &list.Items[i]
			out = append(out, &report.Usage{
				Object:   &report.ResourceKey{Kind: "Node", Name: n.Name},
				CpuCores: n.Usage.Cpu().AsApproximateFloat64(), MemoryBytes: n.Usage.Memory().AsApproximateFloat64(),
			})
		}
		return out, nil
	}
	list, err := m.client.MetricsV1beta1().PodMetricses(namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	for i := range list.Items {
		p := &list.Items[i]
		u := &report.Usage{Object: &report.ResourceKey{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}}
		for c := range p.Containers {
			u.CpuCores += p.Containers[c].Usage.Cpu().AsApproximateFloat64()
			u.MemoryBytes += p.Containers[c].Usage.Memory().AsApproximateFloat64()
		}
		out = append(out, u)
	}
	return out, nil
}

func (r *Runner) top(ctx context.Context, q *report.TopQuery, o *report.Outcome) error {
	if q.GetKind() != "Pod" && q.GetKind() != "Node" {
		return refuse("use is measured of pods and nodes, not of a %s", q.GetKind())
	}
	const none = "the cluster serves no metrics API; install metrics-server to see the current use"
	if r.cfg.Usage == nil {
		return refuse(none)
	}
	usages, err := r.cfg.Usage.ReadUsage(ctx, q.GetKind(), q.GetNamespace())
	if apierrors.IsNotFound(err) || apierrors.IsServiceUnavailable(err) {
		return refuse(none)
	}
	if err != nil {
		return err
	}
	slices.SortFunc(usages, func(a, b *report.Usage) int {
		return strings.Compare(a.GetObject().GetNamespace()+"/"+a.GetObject().GetName(), b.GetObject().GetNamespace()+"/"+b.GetObject().GetName())
	})
	o.Usages = usages
	return nil
}
