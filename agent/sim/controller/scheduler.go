package controller

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

const schedulerName = "default-scheduler"

// room is what a node has left, and how many pods of each controller it runs.
type room struct {
	node       *corev1.Node
	cpu, mem   int64 // free: millicores, bytes
	total      int64 // allocatable millicores
	pods       int64
	neighbours map[types.UID]int
}

// schedule binds pods without a node: to a node that takes new pods and has room, where the fewest of the same workload
// run, then the emptiest.
func (s *Set) schedule(tx *apiserver.Tx) error {
	var rooms []*room
	for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
		if pod.Spec.NodeName != "" || pod.DeletionTimestamp != nil || pod.Status.Phase != corev1.PodPending {
			continue
		}
		if rooms == nil {
			rooms = s.rooms(tx)
		}
		best, why := pick(rooms, pod)
		if best == nil {
			if err := s.unschedulable(tx, pod, why, len(rooms)); err != nil {
				return err
			}
			continue
		}
		best.take(pod)
		placed := pod.DeepCopy()
		placed.Spec.NodeName = best.node.Name
		bound(tx, placed)
		if err := tx.Update(apiserver.Pods, placed); err != nil {
			return err
		}
		if err := s.events.Record(tx, "Pod", pod, schedulerName, "", corev1.EventTypeNormal, "Scheduled",
			fmt.Sprintf("Successfully assigned %s/%s to %s", pod.Namespace, pod.Name, best.node.Name)); err != nil {
			return err
		}
	}
	return nil
}

func (s *Set) rooms(tx *apiserver.Tx) []*room {
	var rooms []*room
	byName := map[string]*room{}
	for node := range apiserver.All[*corev1.Node](tx, apiserver.Nodes) {
		r := &room{
			node: node, cpu: node.Status.Allocatable.Cpu().MilliValue(), mem: node.Status.Allocatable.Memory().Value(),
			pods: node.Status.Allocatable.Pods().Value(), neighbours: map[types.UID]int{},
		}
		r.total = r.cpu
		rooms = append(rooms, r)
		byName[node.Name] = r
	}
	for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
		if r := byName[pod.Spec.NodeName]; r != nil && pod.Status.Phase != corev1.PodFailed && pod.Status.Phase != corev1.PodSucceeded {
			r.take(pod)
		}
	}
	return rooms
}

func requests(pod *corev1.Pod) (cpu, mem int64) {
	for i := range pod.Spec.Containers {
		cpu += pod.Spec.Containers[i].Resources.Requests.Cpu().MilliValue()
		mem += pod.Spec.Containers[i].Resources.Requests.Memory().Value()
	}
	return cpu, mem
}

func (r *room) take(pod *corev1.Pod) {
	cpu, mem := requests(pod)
	r.cpu -= cpu
	r.mem -= mem
	r.pods--
	if owner := metav1.GetControllerOfNoCopy(pod); owner != nil && pod.DeletionTimestamp == nil {
		r.neighbours[owner.UID]++
	}
}

// pick gives the best node, or for each reason how many nodes it rules out.
func pick(rooms []*room, pod *corev1.Pod) (*room, map[string]int) {
	cpu, mem := requests(pod)
	why := map[string]int{}
	var fit []*room
	for _, r := range rooms {
		taint := untolerated(r.node, pod)
		switch {
		case r.node.Spec.Unschedulable:
			why["node(s) were unschedulable"]++
		case taint != "":
			why["node(s) had untolerated taint {"+taint+": }"]++
		case !matches(r.node, pod):
			why["node(s) didn't match Pod's node affinity/selector"]++
		case r.pods < 1:
			why["Too many pods"]++
		case r.cpu < cpu:
			why["Insufficient cpu"]++
		case r.mem < mem:
			why["Insufficient memory"]++
		default:
			fit = append(fit, r)
		}
	}
	if len(fit) == 0 {
		return nil, why
	}
	var owner types.UID
	if ref := metav1.GetControllerOfNoCopy(pod); ref != nil {
		owner = ref.UID
	}
	return slices.MinFunc(fit, func(a, b *room) int {
		return cmp.Or(
			cmp.Compare(a.neighbours[owner], b.neighbours[owner]),
			cmp.Compare(b.cpu*1000/b.total, a.cpu*1000/a.total),
			cmp.Compare(a.node.Name, b.node.Name),
		)
	}), nil
}

func untolerated(node *corev1.Node, pod *corev1.Pod) string {
	for _, taint := range node.Spec.Taints {
		if taint.Effect == corev1.TaintEffectPreferNoSchedule || taint.Key == unschedulableTaint {
			continue
		}
		tolerated := slices.ContainsFunc(pod.Spec.Tolerations, func(t corev1.Toleration) bool {
			return (t.Key == "" || t.Key == taint.Key) && (t.Effect == "" || t.Effect == taint.Effect) &&
				(t.Operator == corev1.TolerationOpExists || t.Value == taint.Value)
		})
		if !tolerated {
			return taint.Key
		}
	}
	return ""
}

func matches(node *corev1.Node, pod *corev1.Pod) bool {
	for k, v := range pod.Spec.NodeSelector {
		if node.Labels[k] != v {
			return false
		}
	}
	return true
}

// bound marks a pod as scheduled.
func bound(tx *apiserver.Tx, pod *corev1.Pod) {
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: tx.Stamp()}}
}

func (s *Set) unschedulable(tx *apiserver.Tx, pod *corev1.Pod, why map[string]int, nodes int) error {
	var parts []string
	for _, reason := range slices.Sorted(maps.Keys(why)) {
		parts = append(parts, fmt.Sprintf("%d %s", why[reason], reason))
	}
	message := fmt.Sprintf("0/%d nodes are available: %s. preemption: 0/%d nodes are available: %d No preemption victims found for incoming pod.",
		nodes, strings.Join(parts, ", "), nodes, nodes)
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Message == message && tx.Now().Second()%30 != 0 {
			return nil // already said; the scheduler tries again and says so now and then
		}
	}
	waiting := pod.DeepCopy()
	since := tx.Stamp()
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			since = c.LastTransitionTime
		}
	}
	waiting.Status.Conditions = []corev1.PodCondition{{
		Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: message, LastTransitionTime: since,
	}}
	if err := tx.Update(apiserver.Pods, waiting); err != nil {
		return err
	}
	return s.events.Record(tx, "Pod", pod, schedulerName, "", corev1.EventTypeWarning, "FailedScheduling", message)
}
