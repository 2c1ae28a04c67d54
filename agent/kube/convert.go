package kube

import (
	"maps"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
	"unique"

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

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
)

// maxMessage bounds free text that others wrote: a container's termination message may have 4 kB.
const maxMessage = 1024

// Converter turns Kubernetes objects into what is reported of them. It keeps no state but its key and may be used by
// many goroutines.
type Converter struct {
	key []byte
}

// NewConverter takes the key of the content hashes. It must be the same over restarts of one cluster's agent, or
// every restart would look like a change of every configuration: the uid of the kube-system namespace is.
func NewConverter(key string) *Converter {
	return &Converter{key: []byte("atlhyper content hash\x00" + key)}
}

// Resource converts one object; nil for a kind that is not reported. The object is not kept, nor changed.
func (c *Converter) Resource(o runtime.Object) *report.Resource {
	switch v := o.(type) {
	case *corev1.Pod:
		return c.pod(v)
	case *corev1.Node:
		return node(v)
	case *corev1.Namespace:
		r := resource("Namespace", &v.ObjectMeta)
		r.Detail = &report.Resource_NamespaceDetail{NamespaceDetail: &report.Namespace{Phase: string(v.Status.Phase)}}
		return r
	case *appsv1.Deployment:
		return c.deployment(v)
	case *appsv1.StatefulSet:
		return c.statefulSet(v)
	case *appsv1.DaemonSet:
		return c.daemonSet(v)
	case *appsv1.ReplicaSet:
		return c.replicaSet(v)
	case *batchv1.Job:
		return job(v)
	case *batchv1.CronJob:
		return cronJob(v)
	case *corev1.Service:
		return service(v)
	case *discoveryv1.EndpointSlice:
		return endpointSlice(v)
	case *networkingv1.Ingress:
		return ingress(v)
	case *networkingv1.NetworkPolicy:
		return networkPolicy(v)
	case *corev1.ConfigMap:
		return c.configMap(v)
	case *corev1.Secret:
		return c.secret(v)
	case *corev1.PersistentVolume:
		return persistentVolume(v)
	case *corev1.PersistentVolumeClaim:
		return persistentVolumeClaim(v)
	case *corev1.ServiceAccount:
		return serviceAccount(v)
	case *corev1.ResourceQuota:
		return resourceQuota(v)
	case *corev1.LimitRange:
		r := resource("LimitRange", &v.ObjectMeta)
		r.Detail = &report.Resource_LimitRange{LimitRange: &report.LimitRange{Limits: int32(len(v.Spec.Limits))}}
		return r
	case *corev1.Event:
		return event(v)
	case *autoscalingv2.HorizontalPodAutoscaler:
		return autoscaler(v)
	case *policyv1.PodDisruptionBudget:
		return disruptionBudget(v)
	case *unstructured.Unstructured:
		return route(v)
	}
	return nil
}

func resource(kind string, m *metav1.ObjectMeta) *report.Resource {
	r := &report.Resource{
		Kind: kind, Namespace: intern(m.Namespace), Name: m.Name, Uid: string(m.UID),
		ResourceVersion: m.ResourceVersion, Generation: m.Generation,
		Created: at(&m.CreationTimestamp), Deleting: at(m.DeletionTimestamp),
		Labels: labels(m.Labels), Annotations: annotations(m.Annotations),
		Finalizers: m.Finalizers,
	}
	for _, o := range m.OwnerReferences {
		r.Owners = append(r.Owners, &report.Owner{
			Kind: intern(o.Kind), Name: intern(o.Name), Uid: intern(string(o.UID)), Controller: o.Controller != nil && *o.Controller,
		})
	}
	return r
}

// kept lists the annotations that travel, by exact name or by prefix ending in "/": our own settings, the rollout's
// revision and cause, and the marks that say which GitOps source owns an object. All others are dropped:
// last-applied-configuration alone holds every value of the object.
var kept = []string{
	"atlhyper.io/",
	"deployment.kubernetes.io/revision",
	"kubernetes.io/change-cause",
	"argocd.argoproj.io/",
	"kustomize.toolkit.fluxcd.io/",
	"helm.toolkit.fluxcd.io/",
	"meta.helm.sh/",
}

func annotations(m map[string]string) map[string]string {
	var out map[string]string
	for k, v := range m {
		for _, p := range kept {
			if k == p || strings.HasSuffix(p, "/") && strings.HasPrefix(k, p) {
				if out == nil {
					out = map[string]string{}
				}
				out[intern(k)] = clean(v)
			}
		}
	}
	return out
}

func labels(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	out := make(map[string]string, len(m))
	for k, v := range m {
		out[intern(k)] = intern(v)
	}
	return out
}

// selector gives what a selector asks for by equality. Set-based terms have no place in the protocol; an object that
// uses only those selects nothing there.
func selector(s *metav1.LabelSelector) map[string]string {
	if s == nil {
		return nil
	}
	return labels(s.MatchLabels)
}

// intern keeps one copy of a string that many objects share: a namespace, a label, an image, a node.
func intern(s string) string {
	if s == "" {
		return ""
	}
	return unique.Make(s).Value()
}

// clean bounds free text and makes it valid UTF-8, without which a whole batch could not be encoded.
func clean(s string) string {
	if len(s) > maxMessage {
		s = s[:maxMessage]
	}
	if !utf8.ValidString(s) {
		s = strings.ToValidUTF8(s, "�")
	}
	return s
}

func at(t *metav1.Time) *timestamppb.Timestamp {
	if t == nil {
		return nil
	}
	return stamp(t.Time)
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}

// sorted gives the members of a set in order, nil for none.
func sorted(set map[string]struct{}) []string {
	if len(set) == 0 {
		return nil
	}
	return slices.Sorted(maps.Keys(set))
}

func quantities(l corev1.ResourceList) *report.Quantities {
	if len(l) == 0 {
		return nil
	}
	return &report.Quantities{
		CpuCores: l.Cpu().AsApproximateFloat64(), MemoryBytes: l.Memory().AsApproximateFloat64(),
		Pods: l.Pods().AsApproximateFloat64(), EphemeralStorageBytes: l.StorageEphemeral().AsApproximateFloat64(),
	}
}

func add(sum, q *report.Quantities) *report.Quantities {
	if q == nil {
		return sum
	}
	if sum == nil {
		sum = &report.Quantities{}
	}
	sum.CpuCores += q.CpuCores
	sum.MemoryBytes += q.MemoryBytes
	sum.EphemeralStorageBytes += q.EphemeralStorageBytes
	return sum
}

func condition[T, S ~string](kind T, status S, reason, message string, last metav1.Time) *report.Condition {
	return &report.Condition{
		Type: intern(string(kind)), Status: intern(string(status)), Reason: intern(reason), Message: intern(clean(message)), LastTransition: at(&last),
	}
}
