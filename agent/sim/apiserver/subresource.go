package apiserver

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// replicas gives where a scalable object keeps its wish, what it has, and its selector.
func replicas(o Object) (wish **int32, current int32, selector *metav1.LabelSelector, ok bool) {
	switch o := o.(type) {
	case *appsv1.Deployment:
		return &o.Spec.Replicas, o.Status.Replicas, o.Spec.Selector, true
	case *appsv1.StatefulSet:
		return &o.Spec.Replicas, o.Status.Replicas, o.Spec.Selector, true
	case *appsv1.ReplicaSet:
		return &o.Spec.Replicas, o.Status.Replicas, o.Spec.Selector, true
	}
	return nil, 0, nil, false
}

func scaleOf(gvr schema.GroupVersionResource, o Object) (*autoscalingv1.Scale, error) {
	wish, current, selector, ok := replicas(o)
	if !ok {
		return nil, apierrors.NewMethodNotSupported(gvr.GroupResource(), "scale")
	}
	want := int32(1)
	if *wish != nil {
		want = **wish
	}
	return &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{
			Name: o.GetName(), Namespace: o.GetNamespace(), UID: o.GetUID(),
			ResourceVersion: o.GetResourceVersion(), CreationTimestamp: o.GetCreationTimestamp(),
		},
		Spec:   autoscalingv1.ScaleSpec{Replicas: want},
		Status: autoscalingv1.ScaleStatus{Replicas: current, Selector: metav1.FormatLabelSelector(selector)},
	}, nil
}

func (tx *Tx) rescale(gvr schema.GroupVersionResource, namespace string, wanted *autoscalingv1.Scale, dryRun bool) (runtime.Object, error) {
	old, err := tx.stored(gvr, namespace, wanted.Name)
	if err != nil {
		return nil, err
	}
	o, ok := old.DeepCopyObject().(Object)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("%T has no metadata", old))
	}
	wish, _, _, ok := replicas(o)
	if !ok {
		return nil, apierrors.NewMethodNotSupported(gvr.GroupResource(), "scale")
	}
	count := wanted.Spec.Replicas
	*wish = &count
	o.SetResourceVersion(wanted.ResourceVersion)
	if wanted.UID != "" {
		o.SetUID(wanted.UID)
	}
	result, err := tx.replace(gvr, "", old, o, dryRun)
	if err != nil {
		return nil, err
	}
	scaled, ok := result.(Object)
	if !ok {
		return nil, apierrors.NewInternalError(fmt.Errorf("%T has no metadata", result))
	}
	return scaleOf(gvr, scaled)
}

// evict deletes a pod unless that would break a disruption budget, which is answered with 429 as the API does.
func (tx *Tx) evict(namespace, name string, options *metav1.DeleteOptions) error {
	pod, ok := Get[*corev1.Pod](tx, Pods, namespace, name)
	if !ok {
		return apierrors.NewNotFound(Pods.GroupResource(), name)
	}
	var opts metav1.DeleteOptions
	if options != nil {
		opts = *options
	}
	if pod.DeletionTimestamp == nil && Ready(pod) {
		for budget := range All[*policyv1.PodDisruptionBudget](tx, PodDisruptionBudgets) {
			selector, err := metav1.LabelSelectorAsSelector(budget.Spec.Selector)
			if err != nil || budget.Namespace != namespace || !selector.Matches(labels.Set(pod.Labels)) {
				continue
			}
			if budget.Status.DisruptionsAllowed <= 0 {
				err := apierrors.NewTooManyRequests("Cannot evict pod as it would violate the pod's disruption budget.", 10)
				err.ErrStatus.Details.Causes = append(err.ErrStatus.Details.Causes, metav1.StatusCause{
					Type: policyv1.DisruptionBudgetCause,
					Message: fmt.Sprintf("The disruption budget %s needs %d healthy pods and has %d currently",
						budget.Name, budget.Status.DesiredHealthy, budget.Status.CurrentHealthy),
				})
				return err
			}
			if !dry(opts.DryRun) {
				// Taken off at once, so that two evictions in the same second cannot both use the last permit.
				spent := budget.DeepCopy()
				spent.Status.DisruptionsAllowed--
				if err := tx.Update(PodDisruptionBudgets, spent); err != nil {
					return err
				}
			}
		}
	}
	return tx.serveDelete(Pods, namespace, name, opts)
}

// Ready says whether a pod's Ready condition is true.
func Ready(pod *corev1.Pod) bool {
	for i := range pod.Status.Conditions {
		if c := &pod.Status.Conditions[i]; c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
