package controller

import (
	"cmp"
	"slices"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

var replicaSetKind = appsv1.SchemeGroupVersion.WithKind("ReplicaSet")

// runReplicaSets makes and removes pods until their number is the one asked for, and counts them.
func (s *Set) runReplicaSets(tx *apiserver.Tx) error {
	for set := range apiserver.All[*appsv1.ReplicaSet](tx, apiserver.ReplicaSets) {
		var pods []*corev1.Pod
		for _, pod := range s.pods[set.UID] {
			if active(pod) {
				pods = append(pods, pod)
			}
		}
		want := int(*set.Spec.Replicas)
		for len(pods) < want {
			pod := newPod(tx, set, replicaSetKind, set.Name+"-"+tx.Suffix(5), &set.Spec.Template)
			if err := tx.Create(apiserver.Pods, pod); err != nil {
				return err
			}
			if err := s.events.Record(tx, "ReplicaSet", set, "replicaset-controller", "", corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: "+pod.Name); err != nil {
				return err
			}
			pods = append(pods, pod)
		}
		if surplus := len(pods) - want; surplus > 0 {
			slices.SortStableFunc(pods, leastWanted)
			for _, pod := range pods[:surplus] {
				terminate(tx, pod)
				if err := s.events.Record(tx, "ReplicaSet", set, "replicaset-controller", "", corev1.EventTypeNormal, "SuccessfulDelete", "Deleted pod: "+pod.Name); err != nil {
					return err
				}
			}
			pods = pods[surplus:]
		}
		status := appsv1.ReplicaSetStatus{
			Replicas: int32(len(pods)), FullyLabeledReplicas: int32(len(pods)), ObservedGeneration: set.Generation,
			Conditions: set.Status.Conditions,
		}
		for _, pod := range pods {
			if available(pod) {
				status.ReadyReplicas++
				status.AvailableReplicas++
			}
		}
		if !sameCounts(set.Status, status) {
			updated := set.DeepCopy()
			updated.Status = status
			if err := tx.Update(apiserver.ReplicaSets, updated); err != nil {
				return err
			}
		}
	}
	return nil
}

func sameCounts(a, b appsv1.ReplicaSetStatus) bool {
	return a.Replicas == b.Replicas && a.ReadyReplicas == b.ReadyReplicas && a.AvailableReplicas == b.AvailableReplicas &&
		a.FullyLabeledReplicas == b.FullyLabeledReplicas && a.ObservedGeneration == b.ObservedGeneration
}

// leastWanted orders pods as the ReplicaSet controller deletes them: without a node first, then pending, not ready,
// often restarted, young; the name decides what is left, so that the same cluster always loses the same pod.
func leastWanted(a, b *corev1.Pod) int {
	return cmp.Or(
		cmp.Compare(order(a.Spec.NodeName != ""), order(b.Spec.NodeName != "")),
		cmp.Compare(order(a.Status.Phase == corev1.PodRunning), order(b.Status.Phase == corev1.PodRunning)),
		cmp.Compare(order(apiserver.Ready(a)), order(apiserver.Ready(b))),
		cmp.Compare(restarts(b), restarts(a)),
		b.CreationTimestamp.Compare(a.CreationTimestamp.Time),
		cmp.Compare(a.Name, b.Name),
	)
}

func order(last bool) int {
	if last {
		return 1
	}
	return 0
}

func restarts(pod *corev1.Pod) int32 {
	var n int32
	for i := range pod.Status.ContainerStatuses {
		n += pod.Status.ContainerStatuses[i].RestartCount
	}
	return n
}
