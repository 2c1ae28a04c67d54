package lab

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
)

// kubeletLabel says whether a node's kubelet runs. kwok watches only the nodes where it does.
const (
	kubeletLabel   = "lab.atlhyper.io/kubelet"
	kubeletRunning = "running"
	kubeletStopped = "stopped"
)

// poll is how often a wait asks the API server.
const poll = 100 * time.Millisecond

// ensureNodes makes node-1 to node-n where they are missing, and waits until each with a running kubelet is
// ready and has a lease, which shows that its kubelet is of this run.
func (l *Lab) ensureNodes(ctx context.Context, n int) error {
	for i := 1; i <= n; i++ {
		name := fmt.Sprintf("node-%d", i)
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			kubeletLabel:                       kubeletRunning,
			corev1.LabelHostname:               name,
			corev1.LabelOSStable:               "linux",
			corev1.LabelArchStable:             "amd64",
			corev1.LabelTopologyRegion:         "lab",
			corev1.LabelTopologyZone:           "lab-" + string("ab"[(i-1)%2]),
			corev1.LabelInstanceTypeStable:     "kwok.16xlarge",
			"node-role.kubernetes.io/worker":   "",
			"node.kubernetes.io/instance-size": "64-cpu",
		}}}
		_, err := l.client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{})
		if err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("create %s: %w", name, err)
		}
	}
	running := metav1.ListOptions{LabelSelector: kubeletLabel + "=" + kubeletRunning}
	waiting := "no node"
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		if err := l.allAlive(); err != nil {
			return false, err
		}
		nodes, err := l.client.CoreV1().Nodes().List(ctx, running)
		if err != nil {
			return false, nil // asked again
		}
		leases, err := l.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).List(ctx, metav1.ListOptions{})
		if err != nil {
			return false, nil
		}
		held := map[string]bool{}
		for _, lease := range leases.Items {
			held[lease.Name] = true
		}
		for _, node := range nodes.Items {
			if !schedulable(&node) || !held[node.Name] {
				waiting = node.Name
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("wait for nodes (%s is not ready): %w", waiting, err)
	}
	return nil
}

// dropLeases lets go of what the kwok of an earlier run held: the next one would treat those nodes as another's until
// the leases run out, 40 s after the start.
func (l *Lab) dropLeases(ctx context.Context) error {
	err := l.client.CoordinationV1().Leases(corev1.NamespaceNodeLease).DeleteCollection(ctx,
		metav1.DeleteOptions{}, metav1.ListOptions{})
	if err != nil && !apierrors.IsNotFound(err) {
		return fmt.Errorf("drop old node leases: %w", err)
	}
	return nil
}

// schedulable says that a node is ready and that the node controller has noticed.
func schedulable(node *corev1.Node) bool {
	for _, taint := range node.Spec.Taints {
		if taint.Key == corev1.TaintNodeNotReady || taint.Key == corev1.TaintNodeUnreachable {
			return false
		}
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// NodeNotReady stops a node's kubelet: no more lease, no more status. What the node controller does about it after
// its grace period of 50 s is done at once: conditions Unknown, pods not ready, an event. It adds its taints itself,
// and evicts after five minutes. The node stays like this until HealNode.
func (l *Lab) NodeNotReady(ctx context.Context, name string) error {
	node, err := l.setKubelet(ctx, name, kubeletStopped)
	if err != nil {
		return fmt.Errorf("stop kubelet of %s: %w", name, err)
	}
	now := metav1.Now()
	var conditions []map[string]any // not the type, which would write an empty lastHeartbeatTime over the last one
	for _, t := range []corev1.NodeConditionType{
		corev1.NodeReady, corev1.NodeMemoryPressure, corev1.NodeDiskPressure, corev1.NodePIDPressure,
	} {
		conditions = append(conditions, map[string]any{
			"type": t, "status": corev1.ConditionUnknown, "reason": "NodeStatusUnknown",
			"message": "Kubelet stopped posting node status.", "lastTransitionTime": now,
		})
	}
	patch, err := statusPatch(map[string]any{"conditions": conditions})
	if err != nil {
		return err
	}
	if _, err := l.client.CoreV1().Nodes().PatchStatus(ctx, name, patch); err != nil {
		return fmt.Errorf("mark %s not ready: %w", name, err)
	}
	if err := l.podsNotReady(ctx, name, now); err != nil {
		return err
	}
	_, err = l.client.CoreV1().Events(metav1.NamespaceDefault).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: name + ".", Namespace: metav1.NamespaceDefault},
		InvolvedObject: corev1.ObjectReference{Kind: "Node", Name: name, UID: node.UID, APIVersion: "v1"},
		Type:           corev1.EventTypeNormal,
		Reason:         "NodeNotReady",
		Message:        "Node " + name + " status is now: NodeNotReady",
		Source:         corev1.EventSource{Component: "node-controller"},
		FirstTimestamp: now,
		LastTimestamp:  now,
		Count:          1,
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("record that %s is not ready: %w", name, err)
	}
	return nil
}

// podsNotReady takes a silent node's pods out of their Services.
func (l *Lab) podsNotReady(ctx context.Context, node string, now metav1.Time) error {
	pods, err := l.client.CoreV1().Pods(metav1.NamespaceAll).List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
	if err != nil {
		return fmt.Errorf("pods of %s: %w", node, err)
	}
	patch, err := statusPatch(map[string]any{"conditions": []corev1.PodCondition{
		{Type: corev1.PodReady, Status: corev1.ConditionFalse, LastTransitionTime: now},
	}})
	if err != nil {
		return err
	}
	for _, pod := range pods.Items {
		_, err := l.client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch,
			metav1.PatchOptions{}, "status")
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("mark %s/%s not ready: %w", pod.Namespace, pod.Name, err)
		}
	}
	return nil
}

func statusPatch(status map[string]any) ([]byte, error) {
	patch, err := json.Marshal(map[string]any{"status": status})
	if err != nil {
		return nil, fmt.Errorf("status patch: %w", err)
	}
	return patch, nil
}

// HealNode starts a node's kubelet again and waits until the node takes pods. Its own pods become ready again.
func (l *Lab) HealNode(ctx context.Context, name string) error {
	if _, err := l.setKubelet(ctx, name, kubeletRunning); err != nil {
		return fmt.Errorf("start kubelet of %s: %w", name, err)
	}
	err := wait.PollUntilContextCancel(ctx, poll, true, func(ctx context.Context) (bool, error) {
		node, err := l.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
		return err == nil && schedulable(node), nil
	})
	if err != nil {
		return fmt.Errorf("wait for %s to be ready: %w", name, err)
	}
	return nil
}

func (l *Lab) setKubelet(ctx context.Context, name, value string) (node *corev1.Node, err error) {
	err = retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if node, err = l.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{}); err != nil {
			return err
		}
		node.Labels[kubeletLabel] = value
		node, err = l.client.CoreV1().Nodes().Update(ctx, node, metav1.UpdateOptions{})
		return err
	})
	return node, err
}
