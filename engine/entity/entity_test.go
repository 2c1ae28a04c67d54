package entity_test

import (
	"slices"
	"testing"

	"github.com/bukahou/atlhyper/engine/entity"
)

func TestKindsAreReadAsPeopleTypeThem(t *testing.T) {
	for word, want := range map[string]string{
		"deploy": "Deployment", "Deployments": "Deployment", "deployments.apps": "Deployment", "po": "Pod", "PODS": "Pod", "sts": "StatefulSet",
		"svc": "Service", "ing": "Ingress", "ingresses": "Ingress", "networkpolicies": "NetworkPolicy", "cm": "ConfigMap", "hpa": "HorizontalPodAutoscaler",
		"pvc": "PersistentVolumeClaim", "jobs": "Job", "secrets": "Secret", "endpoints": "EndpointSlice", "httproutes": "HTTPRoute",
	} {
		if got, ok := entity.ParseKind(word); !ok || got != want {
			t.Errorf("%q is read as %q, %v, want %q", word, got, ok, want)
		}
	}
	for _, word := range []string{"", "payments", "podx", ".", "deploy ", "external"} {
		if got, ok := entity.ParseKind(word); ok {
			t.Errorf("%q is read as %q", word, got)
		}
	}
}

func TestARefIsNamedForPeopleAndOrdered(t *testing.T) {
	pod := entity.Ref{Cluster: "prod", Kind: entity.Pod, Namespace: "shop", Name: "a"}
	node := entity.Ref{Cluster: "prod", Kind: entity.Node, Name: "worker-1"}
	if pod.String() != "prod/shop/pod/a" || node.String() != "prod/node/worker-1" || pod.Short() != "pod/a" || pod.IsZero() || !(entity.Ref{}).IsZero() {
		t.Errorf("%s, %s, %s", pod, node, pod.Short())
	}
	if pod.Workload() || !(entity.Ref{Kind: entity.CronJob}).Workload() {
		t.Error("a pod is no workload, a CronJob is one")
	}
	other := pod
	other.Cluster = "east"
	refs := []entity.Ref{pod, node, other}
	slices.SortFunc(refs, entity.Compare)
	if !slices.Equal(refs, []entity.Ref{other, node, pod}) {
		t.Errorf("ordered as %v", refs)
	}
}
