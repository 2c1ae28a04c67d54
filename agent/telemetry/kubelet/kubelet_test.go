package kubelet

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	quantity "k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	ktesting "k8s.io/client-go/testing"
	metricsv1 "k8s.io/metrics/pkg/apis/metrics/v1beta1"
	"k8s.io/metrics/pkg/client/clientset/versioned/fake"

	"github.com/bukahou/atlhyper/agent/report"
)

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

type objects map[string][]*report.Resource

func (o objects) Resources(kind string) []*report.Resource { return o[kind] }

func use(cpu, memory string) corev1.ResourceList {
	return corev1.ResourceList{"cpu": quantity.MustParse(cpu), "memory": quantity.MustParse(memory)}
}

func pod(name string, limits ...*report.Quantities) *report.Resource {
	p := &report.Pod{}
	for _, l := range limits {
		p.Containers = append(p.Containers, &report.Container{Limits: l})
	}
	return &report.Resource{Kind: "Pod", Namespace: "shop", Name: name, Detail: &report.Resource_Pod{Pod: p}}
}

// serving gives a metrics API with these answers; the generated fake keeps its lists under another resource name.
func serving(nodes []metricsv1.NodeMetrics, pods []metricsv1.PodMetrics, err error) *fake.Clientset {
	c := fake.NewSimpleClientset()
	c.PrependReactor("list", "*", func(a ktesting.Action) (bool, runtime.Object, error) {
		if a.GetResource().Resource == "nodes" {
			return true, &metricsv1.NodeMetricsList{Items: nodes}, err
		}
		return true, &metricsv1.PodMetricsList{Items: pods}, err
	})
	return c
}

func TestUseIsARatioOfWhatThereIs(t *testing.T) {
	now := metav1.NewTime(noon.Add(-30 * time.Second))
	m := func(name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: "shop", Name: name} }
	container := func(cpu, memory string) metricsv1.ContainerMetrics {
		return metricsv1.ContainerMetrics{Usage: use(cpu, memory)}
	}
	client := serving(
		[]metricsv1.NodeMetrics{
			{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}, Timestamp: now, Usage: use("1", "2Gi")},
			{ObjectMeta: metav1.ObjectMeta{Name: "unknown"}, Timestamp: now, Usage: use("1", "2Gi")},
		},
		[]metricsv1.PodMetrics{
			{ObjectMeta: m("limited"), Timestamp: now, Containers: []metricsv1.ContainerMetrics{container("100m", "256Mi"), container("100m", "256Mi")}},
			{ObjectMeta: m("half-limited"), Timestamp: now, Containers: []metricsv1.ContainerMetrics{container("100m", "256Mi")}},
			{ObjectMeta: m("unlimited"), Timestamp: now, Containers: []metricsv1.ContainerMetrics{container("100m", "256Mi")}},
			{ObjectMeta: m("stale"), Timestamp: metav1.NewTime(noon.Add(-time.Hour)), Containers: []metricsv1.ContainerMetrics{container("100m", "256Mi")}},
		}, nil)
	half := &report.Quantities{CpuCores: 0.4, MemoryBytes: 512 << 20}
	s, err := New(Config{Metrics: client, Objects: objects{
		"Node": {{Kind: "Node", Name: "worker-1", Detail: &report.Resource_Node{Node: &report.Node{Allocatable: &report.Quantities{CpuCores: 4, MemoryBytes: 8 << 30}}}}},
		"Pod": {
			pod("limited", half, half), pod("half-limited", &report.Quantities{MemoryBytes: 1 << 30}), pod("unlimited", nil, half), pod("stale", half),
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	f, err := s.Sample(t.Context(), noon)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]float64{
		"worker-1 cpu_usage": 0.25, "worker-1 memory_usage": 0.25, "limited cpu_usage": 0.25, "limited memory_usage": 0.5, "half-limited memory_usage": 0.25,
	}
	for _, x := range f.GetSamples() {
		name := x.GetEntity().GetName() + " " + x.GetMetric()
		if v, ok := want[name]; !ok || math.Abs(v-x.GetValue()) > 1e-9 {
			t.Errorf("%s is %v, want %v", name, x.GetValue(), v)
		}
		delete(want, name)
	}
	if len(want) > 0 {
		t.Errorf("missing: %v", want)
	}
	if src := f.GetSources()[0]; !src.GetAvailable() || len(src.GetSignals()) != 2 || !f.GetTime().AsTime().Equal(noon) {
		t.Errorf("got %v", f)
	}
}

func TestAnAPIThatIsMissingIsSaidAndGivesNoSamples(t *testing.T) {
	group := schema.GroupResource{Group: "metrics.k8s.io", Resource: "nodes"}
	for name, c := range map[string]struct {
		cfg  Config
		want string
	}{
		"no client":     {Config{}, "no client"},
		"not installed": {Config{Metrics: serving(nil, nil, apierrors.NewNotFound(group, ""))}, "install metrics-server"},
		"not allowed":   {Config{Metrics: serving(nil, nil, apierrors.NewForbidden(group, "", errors.New("no")))}, "grant get and list"},
		"failing":       {Config{Metrics: serving(nil, nil, errors.New("boom"))}, "boom"},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Objects = objects{}
			s, err := New(c.cfg)
			if err != nil {
				t.Fatal(err)
			}
			f, err := s.Sample(t.Context(), noon)
			if err != nil {
				t.Fatal(err)
			}
			src := f.GetSources()[0]
			if src.GetAvailable() || !strings.Contains(src.GetMessage(), c.want) || len(f.GetSamples()) > 0 {
				t.Errorf("got %v", f)
			}
		})
	}
}
