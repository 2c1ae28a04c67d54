package kube

import (
	"context"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
)

// kind is how one kind is listed and watched.
type kind struct {
	name    string
	example runtime.Object
	list    func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch   func(context.Context, metav1.ListOptions) (watch.Interface, error)
	client  any // asked whether it can stream a list
}

// lister is what every typed client of client-go can do.
type lister[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

func typed[L runtime.Object](name string, example runtime.Object, c kubernetes.Interface, l lister[L]) kind {
	return kind{
		name: name, example: example, watch: l.Watch, client: c,
		list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return l.List(ctx, o) },
	}
}

// Routes lists the kinds that are watched only where they are installed.
func Routes() map[string]schema.GroupVersionResource {
	return map[string]schema.GroupVersionResource{
		"HTTPRoute":    {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "httproutes"},
		"GRPCRoute":    {Group: "gateway.networking.k8s.io", Version: "v1", Resource: "grpcroutes"},
		"IngressRoute": {Group: "traefik.io", Version: "v1alpha1", Resource: "ingressroutes"},
	}
}

func kinds(c kubernetes.Interface, d dynamic.Interface) []kind {
	core, apps, batch := c.CoreV1(), c.AppsV1(), c.BatchV1()
	out := []kind{
		typed("Namespace", &corev1.Namespace{}, c, core.Namespaces()),
		typed("Node", &corev1.Node{}, c, core.Nodes()),
		typed("Deployment", &appsv1.Deployment{}, c, apps.Deployments("")),
		typed("StatefulSet", &appsv1.StatefulSet{}, c, apps.StatefulSets("")),
		typed("DaemonSet", &appsv1.DaemonSet{}, c, apps.DaemonSets("")),
		typed("ReplicaSet", &appsv1.ReplicaSet{}, c, apps.ReplicaSets("")),
		typed("Job", &batchv1.Job{}, c, batch.Jobs("")),
		typed("CronJob", &batchv1.CronJob{}, c, batch.CronJobs("")),
		typed("Pod", &corev1.Pod{}, c, core.Pods("")),
		typed("Service", &corev1.Service{}, c, core.Services("")),
		typed("EndpointSlice", &discoveryv1.EndpointSlice{}, c, c.DiscoveryV1().EndpointSlices("")),
		typed("Ingress", &networkingv1.Ingress{}, c, c.NetworkingV1().Ingresses("")),
		typed("NetworkPolicy", &networkingv1.NetworkPolicy{}, c, c.NetworkingV1().NetworkPolicies("")),
		typed("ConfigMap", &corev1.ConfigMap{}, c, core.ConfigMaps("")),
		typed("Secret", &corev1.Secret{}, c, core.Secrets("")),
		typed("PersistentVolume", &corev1.PersistentVolume{}, c, core.PersistentVolumes()),
		typed("PersistentVolumeClaim", &corev1.PersistentVolumeClaim{}, c, core.PersistentVolumeClaims("")),
		typed("ServiceAccount", &corev1.ServiceAccount{}, c, core.ServiceAccounts("")),
		typed("ResourceQuota", &corev1.ResourceQuota{}, c, core.ResourceQuotas("")),
		typed("LimitRange", &corev1.LimitRange{}, c, core.LimitRanges("")),
		typed("HorizontalPodAutoscaler", &autoscalingv2.HorizontalPodAutoscaler{}, c, c.AutoscalingV2().HorizontalPodAutoscalers("")),
		typed("PodDisruptionBudget", &policyv1.PodDisruptionBudget{}, c, c.PolicyV1().PodDisruptionBudgets("")),
		typed("Event", &corev1.Event{}, c, core.Events("")),
	}
	if d == nil {
		return out
	}
	for _, name := range []string{"HTTPRoute", "GRPCRoute", "IngressRoute"} {
		gvr := Routes()[name]
		example := &unstructured.Unstructured{}
		example.SetGroupVersionKind(gvr.GroupVersion().WithKind(name))
		r := d.Resource(gvr)
		out = append(out, kind{
			name: name, example: example, watch: r.Watch, client: d,
			list: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return r.List(ctx, o) },
		})
	}
	return out
}

// Kinds names the kinds that every cluster has.
func Kinds() []string {
	return []string{
		"Namespace", "Node", "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "Job", "CronJob", "Pod", "Service", "EndpointSlice",
		"Ingress", "NetworkPolicy", "ConfigMap", "Secret", "PersistentVolume", "PersistentVolumeClaim", "ServiceAccount", "ResourceQuota",
		"LimitRange", "HorizontalPodAutoscaler", "PodDisruptionBudget", "Event",
	}
}
