package controller

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

// runDaemonSets keeps one pod on every node, cordoned or not, and replaces outdated ones one at a time. The pod is bound
// to its node at once, which spares the scheduler's affinity rules and ends the same.
func (s *Set) runDaemonSets(tx *apiserver.Tx) error {
	for set := range apiserver.All[*appsv1.DaemonSet](tx, apiserver.DaemonSets) {
		if err := s.runDaemonSet(tx, set); err != nil {
			return fmt.Errorf("daemon set %s/%s: %w", set.Namespace, set.Name, err)
		}
	}
	return nil
}

func (s *Set) runDaemonSet(tx *apiserver.Tx, set *appsv1.DaemonSet) error {
	h := s.templateHash(set, &set.Spec.Template)
	if err := s.keepRevision(tx, set, daemonSetKind, set.Name+"-"+h, h, &set.Spec.Template); err != nil {
		return err
	}
	on := map[string]*corev1.Pod{}
	for _, pod := range s.pods[set.UID] {
		if other := on[pod.Spec.NodeName]; other == nil || other.DeletionTimestamp != nil {
			on[pod.Spec.NodeName] = pod
		}
	}
	status := appsv1.DaemonSetStatus{ObservedGeneration: set.Generation}
	var outdated *corev1.Pod
	missing := false
	for node := range apiserver.All[*corev1.Node](tx, apiserver.Nodes) {
		status.DesiredNumberScheduled++
		pod := on[node.Name]
		if pod == nil {
			missing = true
			pod = newPod(tx, set, daemonSetKind, set.Name+"-"+tx.Suffix(5), &set.Spec.Template)
			pod.Labels[RevisionHashLabel] = h
			pod.Spec.NodeName = node.Name
			bound(tx, pod)
			if err := tx.Create(apiserver.Pods, pod); err != nil {
				return err
			}
			if err := s.events.Record(tx, "DaemonSet", set, "daemonset-controller", "", corev1.EventTypeNormal, "SuccessfulCreate", "Created pod: "+pod.Name); err != nil {
				return err
			}
			continue
		}
		status.CurrentNumberScheduled++
		if available(pod) {
			status.NumberReady++
			status.NumberAvailable++
		}
		if pod.Labels[RevisionHashLabel] == h {
			status.UpdatedNumberScheduled++
		} else if outdated == nil || !available(pod) {
			outdated = pod
		}
	}
	status.NumberUnavailable = status.DesiredNumberScheduled - status.NumberAvailable
	if outdated != nil && !missing && outdated.DeletionTimestamp == nil && (status.NumberUnavailable == 0 || !available(outdated)) {
		terminate(tx, outdated)
	}
	if equality.Semantic.DeepEqual(set.Status, status) {
		return nil
	}
	updated := set.DeepCopy()
	updated.Status = status
	return tx.Update(apiserver.DaemonSets, updated)
}
