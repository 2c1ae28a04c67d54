package controller

import (
	"fmt"
	"slices"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

const (
	// LeaseNamespace holds one Lease a node, which its kubelet renews.
	LeaseNamespace = corev1.NamespaceNodeLease
	// graceOfSilence is how long a node may be silent before it counts as not ready: the node monitor's default.
	graceOfSilence = 40 * time.Second
)

// runNodes is the node lifecycle controller: a node whose lease is stale turns Unknown and is tainted, its pods turn not
// ready and, when their toleration ends, are deleted. A cordoned node carries the unschedulable taint.
func (s *Set) runNodes(tx *apiserver.Tx) error {
	for node := range apiserver.All[*corev1.Node](tx, apiserver.Nodes) {
		lease, ok := apiserver.Get[*coordinationv1.Lease](tx, apiserver.Leases, LeaseNamespace, node.Name)
		silent := !ok || lease.Spec.RenewTime == nil || tx.Now().Sub(lease.Spec.RenewTime.Time) > graceOfSilence
		updated, err := s.judge(tx, node, silent)
		if err != nil {
			return err
		}
		if silent {
			if err := s.evictFrom(tx, updated); err != nil {
				return err
			}
		}
	}
	return nil
}

func nodeReady(node *corev1.Node) *corev1.NodeCondition {
	for i := range node.Status.Conditions {
		if node.Status.Conditions[i].Type == corev1.NodeReady {
			return &node.Status.Conditions[i]
		}
	}
	return nil
}

// judge brings conditions and taints in line with what is known of the node.
func (s *Set) judge(tx *apiserver.Tx, node *corev1.Node, silent bool) (*corev1.Node, error) {
	ready := nodeReady(node)
	unknown := ready != nil && ready.Status == corev1.ConditionUnknown
	cordoned := hasTaint(node, unschedulableTaint)
	tainted := hasTaint(node, UnreachableTaint)
	if silent == unknown && cordoned == node.Spec.Unschedulable && tainted == unknown {
		return node, nil
	}
	n := node.DeepCopy()
	if silent && !unknown {
		for i := range n.Status.Conditions {
			c := &n.Status.Conditions[i]
			c.Status, c.Reason, c.Message, c.LastTransitionTime = corev1.ConditionUnknown, "NodeStatusUnknown", "Kubelet stopped posting node status.", tx.Stamp()
		}
		unknown = true
	}
	setTaint(tx, n, unschedulableTaint, node.Spec.Unschedulable, corev1.TaintEffectNoSchedule)
	setTaint(tx, n, UnreachableTaint, unknown, corev1.TaintEffectNoSchedule, corev1.TaintEffectNoExecute)
	if err := tx.Update(apiserver.Nodes, n); err != nil {
		return nil, err
	}
	if !silent || ready == nil || ready.Status == corev1.ConditionUnknown {
		return n, nil
	}
	if err := s.events.Record(tx, "Node", n, "node-controller", "", corev1.EventTypeNormal, "NodeNotReady",
		fmt.Sprintf("Node %s status is now: NodeNotReady", n.Name)); err != nil {
		return nil, err
	}
	return n, s.markNotReady(tx, n)
}

// markNotReady takes the pods of a silent node out of service.
func (s *Set) markNotReady(tx *apiserver.Tx, node *corev1.Node) error {
	for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
		if pod.Spec.NodeName != node.Name || !apiserver.Ready(pod) {
			continue
		}
		p := pod.DeepCopy()
		for i := range p.Status.Conditions {
			if c := &p.Status.Conditions[i]; c.Type == corev1.PodReady {
				c.Status, c.LastTransitionTime = corev1.ConditionFalse, tx.Stamp()
			}
		}
		if err := tx.Update(apiserver.Pods, p); err != nil {
			return err
		}
		if err := s.events.Record(tx, "Pod", p, "node-controller", "", corev1.EventTypeWarning, "NodeNotReady", "Node is not ready"); err != nil {
			return err
		}
	}
	return nil
}

// evictFrom deletes the pods of an unreachable node whose toleration has run out. They stay Terminating until the
// node's kubelet is back to confirm that they are gone.
func (s *Set) evictFrom(tx *apiserver.Tx, node *corev1.Node) error {
	var since time.Time
	for _, t := range node.Spec.Taints {
		if t.Key == UnreachableTaint && t.Effect == corev1.TaintEffectNoExecute && t.TimeAdded != nil {
			since = t.TimeAdded.Time
		}
	}
	if since.IsZero() {
		return nil
	}
	for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
		if pod.Spec.NodeName != node.Name || pod.DeletionTimestamp != nil {
			continue
		}
		wait, forever := 300*time.Second, false
		for _, t := range pod.Spec.Tolerations {
			if t.Effect != "" && t.Effect != corev1.TaintEffectNoExecute || t.Key != "" && t.Key != UnreachableTaint {
				continue
			}
			if t.TolerationSeconds == nil {
				forever = true
			} else {
				wait = time.Duration(*t.TolerationSeconds) * time.Second
			}
		}
		if forever || tx.Now().Sub(since) < wait {
			continue
		}
		terminate(tx, pod)
		if err := s.events.Record(tx, "Pod", pod, "taint-eviction-controller", "", corev1.EventTypeNormal, "TaintManagerEviction",
			fmt.Sprintf("Marking for deletion Pod %s/%s", pod.Namespace, pod.Name)); err != nil {
			return err
		}
	}
	return nil
}

func hasTaint(node *corev1.Node, key string) bool {
	return slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
}

func setTaint(tx *apiserver.Tx, node *corev1.Node, key string, wanted bool, effects ...corev1.TaintEffect) {
	if hasTaint(node, key) == wanted {
		return
	}
	node.Spec.Taints = slices.DeleteFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == key })
	if !wanted {
		return
	}
	for _, effect := range effects {
		now := tx.Stamp()
		node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: key, Effect: effect, TimeAdded: &now})
	}
}
