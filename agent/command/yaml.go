package command

import (
	"context"
	"fmt"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
)

const (
	defaultBytes = 256 << 10
	maxBytes     = 1 << 20
)

// limit gives the size cap of a query's text.
func limit(asked int64) int {
	if asked <= 0 {
		return defaultBytes
	}
	return int(min(asked, maxBytes))
}

// get reads one object of a kind that is reported.
func (r *Runner) get(ctx context.Context, k *report.ResourceKey) (runtime.Object, error) {
	c, ns, name, o := r.cfg.Client, k.GetNamespace(), k.GetName(), metav1.GetOptions{}
	switch k.GetKind() {
	case "Pod":
		return c.CoreV1().Pods(ns).Get(ctx, name, o)
	case "Node":
		return c.CoreV1().Nodes().Get(ctx, name, o)
	case "Namespace":
		return c.CoreV1().Namespaces().Get(ctx, name, o)
	case "Deployment":
		return c.AppsV1().Deployments(ns).Get(ctx, name, o)
	case "StatefulSet":
		return c.AppsV1().StatefulSets(ns).Get(ctx, name, o)
	case "DaemonSet":
		return c.AppsV1().DaemonSets(ns).Get(ctx, name, o)
	case "ReplicaSet":
		return c.AppsV1().ReplicaSets(ns).Get(ctx, name, o)
	case "Job":
		return c.BatchV1().Jobs(ns).Get(ctx, name, o)
	case "CronJob":
		return c.BatchV1().CronJobs(ns).Get(ctx, name, o)
	case "Service":
		return c.CoreV1().Services(ns).Get(ctx, name, o)
	case "EndpointSlice":
		return c.DiscoveryV1().EndpointSlices(ns).Get(ctx, name, o)
	case "Ingress":
		return c.NetworkingV1().Ingresses(ns).Get(ctx, name, o)
	case "NetworkPolicy":
		return c.NetworkingV1().NetworkPolicies(ns).Get(ctx, name, o)
	case "ConfigMap":
		return c.CoreV1().ConfigMaps(ns).Get(ctx, name, o)
	case "Secret":
		return c.CoreV1().Secrets(ns).Get(ctx, name, o)
	case "PersistentVolume":
		return c.CoreV1().PersistentVolumes().Get(ctx, name, o)
	case "PersistentVolumeClaim":
		return c.CoreV1().PersistentVolumeClaims(ns).Get(ctx, name, o)
	case "ServiceAccount":
		return c.CoreV1().ServiceAccounts(ns).Get(ctx, name, o)
	case "ResourceQuota":
		return c.CoreV1().ResourceQuotas(ns).Get(ctx, name, o)
	case "LimitRange":
		return c.CoreV1().LimitRanges(ns).Get(ctx, name, o)
	case "HorizontalPodAutoscaler":
		return c.AutoscalingV2().HorizontalPodAutoscalers(ns).Get(ctx, name, o)
	case "PodDisruptionBudget":
		return c.PolicyV1().PodDisruptionBudgets(ns).Get(ctx, name, o)
	case "Event":
		return c.CoreV1().Events(ns).Get(ctx, name, o)
	}
	if gvr, ok := kube.Routes()[k.GetKind()]; ok && r.cfg.Dynamic != nil {
		return r.cfg.Dynamic.Resource(gvr).Namespace(ns).Get(ctx, name, o)
	}
	return nil, refuse("the agent does not read objects of kind %q", k.GetKind())
}

// yaml gives an object as YAML, redacted.
func (r *Runner) yaml(ctx context.Context, k *report.ResourceKey, size int, o *report.Outcome) error {
	v, err := r.get(ctx, k)
	if err != nil {
		return reading(k, err)
	}
	text, err := redactedYAML(v)
	if err != nil {
		return fmt.Errorf("YAML of %s: %w", display(k), err)
	}
	o.Text, o.Truncated = capped(text, size)
	return nil
}

func redactedYAML(v runtime.Object) ([]byte, error) {
	u, ok := v.(*unstructured.Unstructured)
	if !ok {
		kinds, _, err := scheme.Scheme.ObjectKinds(v) // a typed client leaves kind and version empty
		if err != nil {
			return nil, err
		}
		m, err := runtime.DefaultUnstructuredConverter.ToUnstructured(v)
		if err != nil {
			return nil, err
		}
		u = &unstructured.Unstructured{Object: m}
		u.SetGroupVersionKind(kinds[0])
	}
	redactObject(u.Object)
	return yaml.Marshal(u.Object)
}
