package command

import (
	"context"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"

	"github.com/bukahou/atlhyper/agent/report"
)

// podKey names a pod.
func podKey(p *corev1.Pod) *report.ResourceKey {
	return &report.ResourceKey{Kind: "Pod", Namespace: p.Namespace, Name: p.Name}
}

// podsOf lists the pods that a selector picks, by name.
func (r *Runner) podsOf(ctx context.Context, namespace string, s *metav1.LabelSelector) ([]corev1.Pod, error) {
	if s == nil {
		return nil, nil // a nil selector picks nothing, an empty one everything
	}
	sel, err := metav1.LabelSelectorAsSelector(s)
	if err != nil {
		return nil, err
	}
	list, err := r.cfg.Client.CoreV1().Pods(namespace).List(ctx, metav1.ListOptions{LabelSelector: sel.String()})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list.Items, func(a, b corev1.Pod) int { return strings.Compare(a.Name, b.Name) })
	return list.Items, nil
}

// podsOn lists the pods of a node that have not ended. The field selector saves the API server work; a simulated
// cluster ignores it.
func (r *Runner) podsOn(ctx context.Context, node string) ([]corev1.Pod, error) {
	list, err := r.cfg.Client.CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", node).String()})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		return p.Spec.NodeName != node || p.Status.Phase == corev1.PodSucceeded || p.Status.Phase == corev1.PodFailed
	}), nil
}

func (r *Runner) podsMounting(ctx context.Context, c *corev1.PersistentVolumeClaim) ([]corev1.Pod, error) {
	list, err := r.cfg.Client.CoreV1().Pods(c.Namespace).List(ctx, metav1.ListOptions{})
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list.Items, func(p corev1.Pod) bool {
		return !slices.ContainsFunc(p.Spec.Volumes, func(v corev1.Volume) bool {
			return v.PersistentVolumeClaim != nil && v.PersistentVolumeClaim.ClaimName == c.Name
		})
	}), nil
}

// podsBehind lists the pods of an object: itself, a workload's, or those that a service selects.
func (r *Runner) podsBehind(ctx context.Context, k *report.ResourceKey) ([]corev1.Pod, error) {
	o, err := r.get(ctx, k)
	if err != nil {
		return nil, err
	}
	switch v := o.(type) {
	case *corev1.Pod:
		return []corev1.Pod{*v}, nil
	case *appsv1.Deployment:
		return r.podsOf(ctx, v.Namespace, v.Spec.Selector)
	case *appsv1.StatefulSet:
		return r.podsOf(ctx, v.Namespace, v.Spec.Selector)
	case *appsv1.DaemonSet:
		return r.podsOf(ctx, v.Namespace, v.Spec.Selector)
	case *appsv1.ReplicaSet:
		return r.podsOf(ctx, v.Namespace, v.Spec.Selector)
	case *batchv1.Job:
		return r.podsOf(ctx, v.Namespace, v.Spec.Selector)
	case *corev1.Service:
		if len(v.Spec.Selector) == 0 {
			return nil, nil
		}
		return r.podsOf(ctx, v.Namespace, &metav1.LabelSelector{MatchLabels: v.Spec.Selector})
	case *batchv1.CronJob:
		jobs, err := r.cfg.Client.BatchV1().Jobs(v.Namespace).List(ctx, metav1.ListOptions{})
		if err != nil {
			return nil, err
		}
		var pods []corev1.Pod
		for i := range jobs.Items {
			if !metav1.IsControlledBy(&jobs.Items[i], v) {
				continue
			}
			of, err := r.podsOf(ctx, v.Namespace, jobs.Items[i].Spec.Selector)
			if err != nil {
				return nil, err
			}
			pods = append(pods, of...)
		}
		return pods, nil
	}
	return nil, refuse("a %s has no pods; ask for the logs of a pod, a workload or a service", k.GetKind())
}

// eventsOf lists the events of one object. Those of a cluster-scoped one are in other namespaces.
func (r *Runner) eventsOf(ctx context.Context, k *report.ResourceKey) (*corev1.EventList, error) {
	sel := fields.SelectorFromSet(fields.Set{"involvedObject.kind": k.GetKind(), "involvedObject.name": k.GetName()})
	list, err := r.cfg.Client.CoreV1().Events(k.GetNamespace()).List(ctx, metav1.ListOptions{FieldSelector: sel.String()})
	if err != nil {
		return nil, err
	}
	list.Items = slices.DeleteFunc(list.Items, func(e corev1.Event) bool {
		return e.InvolvedObject.Kind != k.GetKind() || e.InvolvedObject.Name != k.GetName()
	})
	return list, nil
}

// maxEvents bounds an answer; the newest are given.
const maxEvents = 500

// events gives the events of an object, or of a namespace, oldest first.
func (r *Runner) events(ctx context.Context, q *report.EventsQuery, o *report.Outcome) error {
	var list *corev1.EventList
	var err error
	if q.GetObject().GetName() == "" {
		list, err = r.cfg.Client.CoreV1().Events(q.GetObject().GetNamespace()).List(ctx, metav1.ListOptions{})
	} else {
		list, err = r.eventsOf(ctx, q.GetObject())
	}
	if err != nil {
		return err
	}
	var since time.Time
	if d := q.GetSince().AsDuration(); d > 0 {
		since = r.cfg.Now().Add(-d)
	}
	for i := range list.Items {
		e := r.cfg.Converter.Resource(&list.Items[i])
		if !e.GetEvent().GetLast().AsTime().Before(since) {
			o.Events = append(o.Events, e)
		}
	}
	slices.SortStableFunc(o.Events, func(a, b *report.Resource) int {
		return a.GetEvent().GetLast().AsTime().Compare(b.GetEvent().GetLast().AsTime())
	})
	if over := len(o.Events) - maxEvents; over > 0 {
		o.Events, o.Truncated = o.Events[over:], true
	}
	return nil
}
