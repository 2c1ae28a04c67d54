package kubelet

import (
	"fmt"
	"hash/fnv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

// status writes a pod's status from the state of its containers.
func (k *Kubelets) status(tx *apiserver.Tx, pod *corev1.Pod, p *podState) {
	st := &pod.Status
	if st.StartTime == nil {
		seen := metav1.NewTime(p.seen)
		st.StartTime = &seen
	}
	if st.PodIP == "" {
		index, host := k.address(tx, pod.Spec.NodeName)
		st.HostIP, st.HostIPs = host, []corev1.HostIP{{IP: host}}
		st.PodIP = host
		if !pod.Spec.HostNetwork {
			k.addresses[pod.Spec.NodeName]++
			st.PodIP = fmt.Sprintf("10.244.%d.%d", index, 2+k.addresses[pod.Spec.NodeName]%250)
		}
		st.PodIPs = []corev1.PodIP{{IP: st.PodIP}}
	}
	st.ContainerStatuses = st.ContainerStatuses[:0:0]
	st.Phase = corev1.PodPending
	var unready []string
	for i := range p.containers {
		c := &p.containers[i]
		st.ContainerStatuses = append(st.ContainerStatuses, containerStatus(&pod.Spec.Containers[i], c))
		if !c.run.Started.IsZero() {
			st.Phase = corev1.PodRunning
		}
		if !c.ready {
			unready = append(unready, pod.Spec.Containers[i].Name)
		}
	}
	condition(tx, st, corev1.PodReadyToStartContainers, true, "", "")
	condition(tx, st, corev1.PodInitialized, true, "", "")
	reason, message := "", ""
	if len(unready) > 0 {
		reason, message = "ContainersNotReady", fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " "))
	}
	condition(tx, st, corev1.ContainersReady, len(unready) == 0, reason, message)
	condition(tx, st, corev1.PodReady, len(unready) == 0, reason, message)
}

// address gives a node's place among the nodes and its internal address.
func (k *Kubelets) address(tx *apiserver.Tx, name string) (int, string) {
	i := 0
	for node := range apiserver.All[*corev1.Node](tx, apiserver.Nodes) {
		if node.Name == name {
			for _, a := range node.Status.Addresses {
				if a.Type == corev1.NodeInternalIP {
					return i, a.Address
				}
			}
		}
		i++
	}
	return 0, ""
}

func condition(tx *apiserver.Tx, st *corev1.PodStatus, kind corev1.PodConditionType, holds bool, reason, message string) {
	state := corev1.ConditionFalse
	if holds {
		state = corev1.ConditionTrue
	}
	for i := range st.Conditions {
		c := &st.Conditions[i]
		if c.Type == kind {
			if c.Status != state {
				c.LastTransitionTime = tx.Stamp()
			}
			c.Status, c.Reason, c.Message = state, reason, message
			return
		}
	}
	st.Conditions = append(st.Conditions, corev1.PodCondition{Type: kind, Status: state, Reason: reason, Message: message, LastTransitionTime: tx.Stamp()})
}

func containerStatus(spec *corev1.Container, c *containerState) corev1.ContainerStatus {
	started := c.phase == running
	out := corev1.ContainerStatus{
		Name: spec.Name, Image: spec.Image, Ready: c.ready, RestartCount: c.restarts, Started: &started,
	}
	if !c.run.Started.IsZero() {
		out.ContainerID = containerID(spec.Name, c.run)
		out.ImageID = imageID(spec.Image)
	}
	// What ended before the present life, or the life that ended when none is present.
	last := c.last
	switch c.phase {
	case creating, pulling:
		out.State.Waiting = &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}
	case imageBackOff:
		reason := "ImagePullBackOff"
		if !strings.HasPrefix(c.message, "Back-off") {
			reason = "ErrImagePull"
		}
		out.State.Waiting = &corev1.ContainerStateWaiting{Reason: reason, Message: c.message}
	case configError:
		out.State.Waiting = &corev1.ContainerStateWaiting{Reason: "CreateContainerConfigError", Message: c.message}
	case running:
		out.State.Running = &corev1.ContainerStateRunning{StartedAt: metav1.NewTime(c.run.Started)}
	case ended:
		out.State.Terminated = terminated(spec, c.run)
	case crashBackOff:
		out.State.Waiting = &corev1.ContainerStateWaiting{Reason: "CrashLoopBackOff", Message: c.message}
		last = &c.run
	}
	if last != nil {
		out.LastTerminationState.Terminated = terminated(spec, *last)
	}
	return out
}

func terminated(spec *corev1.Container, r Run) *corev1.ContainerStateTerminated {
	return &corev1.ContainerStateTerminated{
		ExitCode: r.Exit.Code, Reason: r.Exit.Reason, ContainerID: containerID(spec.Name, r),
		StartedAt: metav1.NewTime(r.Started), FinishedAt: metav1.NewTime(r.Finished),
	}
}

func containerID(name string, r Run) string {
	return "containerd://" + digest(fmt.Sprint(name, r.Started.Unix()))
}

func imageID(image string) string {
	repository, _, _ := strings.Cut(image, ":")
	return repository + "@sha256:" + digest(image)
}

// digest gives 64 hexadecimal digits that look like a SHA-256 and mean no more than "the same text".
func digest(text string) string {
	var b strings.Builder
	h := fnv.New64a()
	for range 4 {
		h.Write([]byte(text))
		fmt.Fprintf(&b, "%016x", h.Sum64())
	}
	return b.String()
}

// Boot brings a silent node back: its kubelet posts again, deleted pods are confirmed gone, and the processes of the
// others were lost with the reboot and start anew.
func (k *Kubelets) Boot(tx *apiserver.Tx, name, bootID string) error {
	delete(k.down, name)
	node, ok := apiserver.Get[*corev1.Node](tx, apiserver.Nodes, "", name)
	if !ok {
		return nil
	}
	n := node.DeepCopy()
	Healthy(tx, n)
	n.Status.NodeInfo.BootID = bootID
	if err := tx.Update(apiserver.Nodes, n); err != nil {
		return err
	}
	for _, e := range []struct{ kind, reason, message string }{
		{corev1.EventTypeNormal, "Starting", "Starting kubelet."},
		{corev1.EventTypeWarning, "Rebooted", fmt.Sprintf("Node %s has been rebooted, boot id: %s", name, bootID)},
		{corev1.EventTypeNormal, "NodeReady", fmt.Sprintf("Node %s status is now: NodeReady", name)},
	} {
		if err := k.events.Record(tx, "Node", n, "kubelet", name, e.kind, e.reason, e.message); err != nil {
			return err
		}
	}
	for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
		p := k.pods[pod.UID]
		if pod.Spec.NodeName != name || p == nil {
			continue
		}
		if pod.DeletionTimestamp != nil {
			tx.Delete(apiserver.Pods, pod.Namespace, pod.Name)
			continue
		}
		for i := range p.containers {
			if c := &p.containers[i]; c.phase == running {
				c.run.Finished, c.run.Exit = tx.Now(), Exit{Code: 255, Reason: "Unknown"}
				c.phase, c.ready, c.due, c.wait = creating, false, tx.Now().Add(2*time.Second), 0
			}
		}
	}
	return k.renew(tx)
}

// Healthy writes the conditions of a node that has nothing to complain about.
func Healthy(tx *apiserver.Tx, node *corev1.Node) {
	for _, want := range []corev1.NodeCondition{
		{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientMemory", Message: "kubelet has sufficient memory available"},
		{Type: corev1.NodeDiskPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasNoDiskPressure", Message: "kubelet has no disk pressure"},
		{Type: corev1.NodePIDPressure, Status: corev1.ConditionFalse, Reason: "KubeletHasSufficientPID", Message: "kubelet has sufficient PID available"},
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", Message: "kubelet is posting ready status"},
	} {
		want.LastHeartbeatTime, want.LastTransitionTime = tx.Stamp(), tx.Stamp()
		found := false
		for i := range node.Status.Conditions {
			if c := &node.Status.Conditions[i]; c.Type == want.Type {
				if c.Status == want.Status {
					want.LastTransitionTime = c.LastTransitionTime
				}
				*c, found = want, true
			}
		}
		if !found {
			node.Status.Conditions = append(node.Status.Conditions, want)
		}
	}
}
