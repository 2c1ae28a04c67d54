// Package controller holds the small controllers of the simulated cluster: what kube-controller-manager and
// kube-scheduler do to Deployments, ReplicaSets, StatefulSets, DaemonSets, pods, endpoints, disruption budgets and
// nodes, as far as a person with kubectl can tell.
//
// A Set is run once for each change of the cluster and brings it one step on; running it until the server's version
// stands still brings it to rest. It keeps no state about objects that is not in the objects, except the templates'
// hashes and the counts of events, which are caches. It is not safe for concurrent use: run it inside Server.Do.
package controller

import (
	"encoding/json"
	"hash/fnv"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/rand"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

// Labels and annotations that the controllers set, spelled as Kubernetes spells them.
const (
	TemplateHashLabel  = appsv1.DefaultDeploymentUniqueLabelKey // pod-template-hash
	RevisionHashLabel  = appsv1.ControllerRevisionHashLabelKey  // controller-revision-hash
	RevisionAnnotation = "deployment.kubernetes.io/revision"    // on Deployments and their ReplicaSets
	UnreachableTaint   = "node.kubernetes.io/unreachable"       // on nodes whose kubelet is silent
	unschedulableTaint = "node.kubernetes.io/unschedulable"     // on cordoned nodes
)

// Set is all controllers of one cluster.
type Set struct {
	events *Recorder

	hashes map[types.UID]hashed // of a workload's template, by its generation
	pods   map[types.UID][]*corev1.Pod
	sets   map[types.UID][]*appsv1.ReplicaSet
}

type hashed struct {
	generation int64
	hash       string
}

// NewSet makes the controllers. They write what happened through events.
func NewSet(events *Recorder) *Set {
	return &Set{events: events, hashes: map[types.UID]hashed{}}
}

// Run brings the cluster one step on.
func (s *Set) Run(tx *apiserver.Tx) error {
	s.index(tx)
	for _, step := range []func(*apiserver.Tx) error{
		s.collect, s.runReplicaSets, s.runDeployments, s.runStatefulSets, s.runDaemonSets,
		s.runNodes, s.schedule, s.runEndpoints, s.runBudgets,
	} {
		if err := step(tx); err != nil {
			return err
		}
	}
	return nil
}

// index groups pods and ReplicaSets by their controller, once a run.
func (s *Set) index(tx *apiserver.Tx) {
	s.pods = map[types.UID][]*corev1.Pod{}
	for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
		if owner := metav1.GetControllerOfNoCopy(pod); owner != nil {
			s.pods[owner.UID] = append(s.pods[owner.UID], pod)
		}
	}
	s.sets = map[types.UID][]*appsv1.ReplicaSet{}
	for set := range apiserver.All[*appsv1.ReplicaSet](tx, apiserver.ReplicaSets) {
		if owner := metav1.GetControllerOfNoCopy(set); owner != nil {
			s.sets[owner.UID] = append(s.sets[owner.UID], set)
		}
	}
}

// collect removes what lost its controller.
func (s *Set) collect(tx *apiserver.Tx) error {
	alive := map[types.UID]bool{}
	for set := range apiserver.All[*appsv1.ReplicaSet](tx, apiserver.ReplicaSets) {
		alive[set.UID] = true
	}
	for d := range apiserver.All[*appsv1.Deployment](tx, apiserver.Deployments) {
		alive[d.UID] = true
	}
	for set := range apiserver.All[*appsv1.StatefulSet](tx, apiserver.StatefulSets) {
		alive[set.UID] = true
	}
	for set := range apiserver.All[*appsv1.DaemonSet](tx, apiserver.DaemonSets) {
		alive[set.UID] = true
	}
	for set := range apiserver.All[*appsv1.ReplicaSet](tx, apiserver.ReplicaSets) {
		if owner := metav1.GetControllerOfNoCopy(set); owner != nil && !alive[owner.UID] {
			tx.Delete(apiserver.ReplicaSets, set.Namespace, set.Name)
			delete(alive, set.UID)
		}
	}
	for revision := range apiserver.All[*appsv1.ControllerRevision](tx, apiserver.ControllerRevisions) {
		if owner := metav1.GetControllerOfNoCopy(revision); owner != nil && !alive[owner.UID] {
			tx.Delete(apiserver.ControllerRevisions, revision.Namespace, revision.Name)
		}
	}
	for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
		if owner := metav1.GetControllerOfNoCopy(pod); owner != nil && workloadKind(owner.Kind) && !alive[owner.UID] {
			terminate(tx, pod)
		}
	}
	return nil
}

func workloadKind(kind string) bool {
	switch kind {
	case "ReplicaSet", "StatefulSet", "DaemonSet":
		return true
	}
	return false
}

// terminate deletes a pod as a controller does: with its own grace period.
func terminate(tx *apiserver.Tx, pod *corev1.Pod) {
	if pod.DeletionTimestamp != nil {
		return
	}
	var grace int64
	if pod.Spec.NodeName != "" {
		grace = 30
		if pod.Spec.TerminationGracePeriodSeconds != nil {
			grace = *pod.Spec.TerminationGracePeriodSeconds
		}
	}
	tx.Terminate(apiserver.Pods, pod.Namespace, pod.Name, grace)
}

// hash names a template. The same template gives the same name, on any run.
func hash(template *corev1.PodTemplateSpec, salt string) string {
	bare := template.DeepCopy()
	delete(bare.Labels, TemplateHashLabel)
	b, err := json.Marshal(bare)
	if err != nil {
		// A pod template holds nothing that JSON cannot: the name alone still is unique within the workload.
		b = []byte(bare.Name)
	}
	h := fnv.New32a()
	h.Write(b)
	h.Write([]byte(salt))
	return rand.SafeEncodeString(strconv.FormatUint(uint64(h.Sum32()), 10))
}

// templateHash is hash, remembered for as long as the workload's spec stands.
func (s *Set) templateHash(o metav1.Object, template *corev1.PodTemplateSpec) string {
	if known, ok := s.hashes[o.GetUID()]; ok && known.generation == o.GetGeneration() {
		return known.hash
	}
	h := hash(template, string(o.GetUID()))
	s.hashes[o.GetUID()] = hashed{o.GetGeneration(), h}
	return h
}

// newPod makes a pod of a template. Its node is left to the scheduler.
func newPod(tx *apiserver.Tx, owner metav1.Object, kind schema.GroupVersionKind, name string, template *corev1.PodTemplateSpec) *corev1.Pod {
	template = template.DeepCopy()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: owner.GetNamespace(), Labels: template.Labels, Annotations: template.Annotations,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, kind)},
		},
		Spec: template.Spec,
	}
	if pod.Labels == nil {
		pod.Labels = map[string]string{}
	}
	pod.Status = corev1.PodStatus{Phase: corev1.PodPending, QOSClass: qosClass(&pod.Spec)}
	return pod
}

func qosClass(spec *corev1.PodSpec) corev1.PodQOSClass {
	class := corev1.PodQOSGuaranteed
	limited := false
	for i := range spec.Containers {
		r := &spec.Containers[i].Resources
		limited = limited || len(r.Requests)+len(r.Limits) > 0
		for _, name := range []corev1.ResourceName{corev1.ResourceCPU, corev1.ResourceMemory} {
			request, limit := r.Requests[name], r.Limits[name]
			if limit.IsZero() || request.Cmp(limit) != 0 {
				class = corev1.PodQOSBurstable
			}
		}
	}
	if !limited {
		return corev1.PodQOSBestEffort
	}
	return class
}

// available says whether a pod counts as available now. Every workload of the simulation has minReadySeconds 0.
func available(pod *corev1.Pod) bool { return pod.DeletionTimestamp == nil && apiserver.Ready(pod) }

func active(pod *corev1.Pod) bool {
	return pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodFailed && pod.Status.Phase != corev1.PodSucceeded
}
