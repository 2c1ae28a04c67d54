package controller

import (
	"encoding/json"
	"fmt"
	"maps"
	"strconv"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

var (
	statefulSetKind = appsv1.SchemeGroupVersion.WithKind("StatefulSet")
	daemonSetKind   = appsv1.SchemeGroupVersion.WithKind("DaemonSet")
)

// runStatefulSets keeps pods 0 to n-1 in order: one comes when those below it are ready, and an update replaces one at
// a time from the top.
func (s *Set) runStatefulSets(tx *apiserver.Tx) error {
	for set := range apiserver.All[*appsv1.StatefulSet](tx, apiserver.StatefulSets) {
		if err := s.runStatefulSet(tx, set); err != nil {
			return fmt.Errorf("stateful set %s/%s: %w", set.Namespace, set.Name, err)
		}
	}
	return nil
}

func (s *Set) runStatefulSet(tx *apiserver.Tx, set *appsv1.StatefulSet) error {
	h := s.templateHash(set, &set.Spec.Template)
	name := set.Name + "-" + h
	if err := s.keepRevision(tx, set, statefulSetKind, name, h, &set.Spec.Template); err != nil {
		return err
	}
	status := appsv1.StatefulSetStatus{ObservedGeneration: set.Generation, UpdateRevision: name, CurrentRevision: set.Status.CurrentRevision}
	if status.CurrentRevision == "" {
		status.CurrentRevision = name
	}
	want := int(*set.Spec.Replicas)
	byOrdinal := map[int]*corev1.Pod{}
	top := want - 1
	for _, pod := range s.pods[set.UID] {
		n, err := strconv.Atoi(pod.Name[len(set.Name)+1:])
		if err != nil {
			continue
		}
		byOrdinal[n] = pod
		top = max(top, n)
	}
	settled := true // every pod looked at so far is there and ready
	for n := 0; n <= top; n++ {
		pod := byOrdinal[n]
		switch {
		case pod == nil && n < want && settled:
			if err := s.newStatefulPod(tx, set, n, name); err != nil {
				return err
			}
			settled = false
		case pod == nil:
			settled = settled && n >= want
		default:
			status.Replicas++
			if available(pod) {
				status.ReadyReplicas++
				status.AvailableReplicas++
			} else {
				settled = false
			}
			if pod.Labels[RevisionHashLabel] == name {
				status.UpdatedReplicas++
			}
			if pod.Labels[RevisionHashLabel] == status.CurrentRevision {
				status.CurrentReplicas++
			}
		}
	}
	if err := s.shrinkOrUpdate(tx, set, byOrdinal, top, name, settled); err != nil {
		return err
	}
	if status.UpdatedReplicas == int32(want) && status.ReadyReplicas == int32(want) && status.Replicas == int32(want) {
		status.CurrentRevision, status.CurrentReplicas = name, status.UpdatedReplicas
	}
	if equality.Semantic.DeepEqual(set.Status, status) {
		return nil
	}
	updated := set.DeepCopy()
	updated.Status = status
	return tx.Update(apiserver.StatefulSets, updated)
}

// shrinkOrUpdate takes the topmost pod that is too many, or the topmost of an old revision. One at a time; a pod that is
// not ready does not hold up its own replacement.
func (s *Set) shrinkOrUpdate(tx *apiserver.Tx, set *appsv1.StatefulSet, pods map[int]*corev1.Pod, top int, revision string, settled bool) error {
	for n := top; n >= 0; n-- {
		pod := pods[n]
		if pod == nil {
			continue
		}
		if pod.DeletionTimestamp != nil {
			return nil
		}
		surplus := n >= int(*set.Spec.Replicas)
		outdated := pod.Labels[RevisionHashLabel] != revision && set.Spec.UpdateStrategy.Type != appsv1.OnDeleteStatefulSetStrategyType
		switch {
		case surplus || outdated && (settled || !available(pod)):
			terminate(tx, pod)
			return s.events.Record(tx, "StatefulSet", set, "statefulset-controller", "", corev1.EventTypeNormal, "SuccessfulDelete",
				fmt.Sprintf("delete Pod %s in StatefulSet %s successful", pod.Name, set.Name))
		case !available(pod):
			return nil
		}
	}
	return nil
}

func (s *Set) newStatefulPod(tx *apiserver.Tx, set *appsv1.StatefulSet, n int, revision string) error {
	pod := newPod(tx, set, statefulSetKind, fmt.Sprintf("%s-%d", set.Name, n), &set.Spec.Template)
	pod.Labels[RevisionHashLabel] = revision
	pod.Labels[appsv1.StatefulSetPodNameLabel] = pod.Name
	pod.Labels[appsv1.PodIndexLabel] = strconv.Itoa(n)
	for i := range set.Spec.VolumeClaimTemplates {
		claim := set.Spec.VolumeClaimTemplates[i].Name + "-" + pod.Name
		pod.Spec.Volumes = append(pod.Spec.Volumes, corev1.Volume{
			Name:         set.Spec.VolumeClaimTemplates[i].Name,
			VolumeSource: corev1.VolumeSource{PersistentVolumeClaim: &corev1.PersistentVolumeClaimVolumeSource{ClaimName: claim}},
		})
		if err := bindClaim(tx, set, &set.Spec.VolumeClaimTemplates[i], claim); err != nil {
			return err
		}
	}
	if _, taken := apiserver.Get[*corev1.Pod](tx, apiserver.Pods, pod.Namespace, pod.Name); taken {
		return nil // a pod of that name which is not ours: wait for it to go
	}
	if err := tx.Create(apiserver.Pods, pod); err != nil {
		return err
	}
	return s.events.Record(tx, "StatefulSet", set, "statefulset-controller", "", corev1.EventTypeNormal, "SuccessfulCreate",
		fmt.Sprintf("create Pod %s in StatefulSet %s successful", pod.Name, set.Name))
}

// bindClaim makes a pod's claim with a volume bound to it, as a dynamic provisioner would, unless it is there already.
func bindClaim(tx *apiserver.Tx, set *appsv1.StatefulSet, template *corev1.PersistentVolumeClaim, name string) error {
	if _, ok := apiserver.Get[*corev1.PersistentVolumeClaim](tx, apiserver.PersistentVolumeClaims, set.Namespace, name); ok {
		return nil
	}
	claim := template.DeepCopy()
	claim.Name, claim.Namespace, claim.UID = name, set.Namespace, tx.UID()
	claim.Labels = maps.Clone(set.Spec.Selector.MatchLabels)
	claim.Spec.VolumeName = "pvc-" + string(claim.UID)
	size := claim.Spec.Resources.Requests[corev1.ResourceStorage]
	claim.Status = corev1.PersistentVolumeClaimStatus{
		Phase: corev1.ClaimBound, AccessModes: claim.Spec.AccessModes, Capacity: corev1.ResourceList{corev1.ResourceStorage: size},
	}
	class := ""
	if claim.Spec.StorageClassName != nil {
		class = *claim.Spec.StorageClassName
	}
	volume := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: claim.Spec.VolumeName},
		Spec: corev1.PersistentVolumeSpec{
			Capacity: claim.Status.Capacity, AccessModes: claim.Spec.AccessModes, StorageClassName: class,
			PersistentVolumeReclaimPolicy: corev1.PersistentVolumeReclaimDelete,
			ClaimRef:                      &corev1.ObjectReference{Kind: "PersistentVolumeClaim", APIVersion: "v1", Namespace: claim.Namespace, Name: claim.Name, UID: claim.UID},
			PersistentVolumeSource: corev1.PersistentVolumeSource{
				CSI: &corev1.CSIPersistentVolumeSource{Driver: "disk.csi.example.com", VolumeHandle: "vol-" + string(claim.UID)[:8]},
			},
		},
		Status: corev1.PersistentVolumeStatus{Phase: corev1.VolumeBound},
	}
	if err := tx.Create(apiserver.PersistentVolumes, volume); err != nil {
		return err
	}
	return tx.Create(apiserver.PersistentVolumeClaims, claim)
}

// keepRevision records a template as a ControllerRevision, the form that rollbacks of StatefulSets and DaemonSets read.
// One that comes back gets a new number.
func (s *Set) keepRevision(tx *apiserver.Tx, owner metav1.Object, kind schema.GroupVersionKind, name, h string, template *corev1.PodTemplateSpec) error {
	var newest int64
	for other := range apiserver.All[*appsv1.ControllerRevision](tx, apiserver.ControllerRevisions) {
		if ref := metav1.GetControllerOfNoCopy(other); ref != nil && ref.UID == owner.GetUID() {
			newest = max(newest, other.Revision)
		}
	}
	if old, ok := apiserver.Get[*appsv1.ControllerRevision](tx, apiserver.ControllerRevisions, owner.GetNamespace(), name); ok {
		if old.Revision == newest {
			return nil
		}
		again := old.DeepCopy()
		again.Revision = newest + 1
		return tx.Update(apiserver.ControllerRevisions, again)
	}
	raw, err := json.Marshal(template)
	if err != nil {
		return fmt.Errorf("encode template: %w", err)
	}
	var fields map[string]any
	if err := json.Unmarshal(raw, &fields); err != nil {
		return fmt.Errorf("encode template: %w", err)
	}
	fields["$patch"] = "replace"
	data, err := json.Marshal(map[string]any{"spec": map[string]any{"template": fields}})
	if err != nil {
		return fmt.Errorf("encode template: %w", err)
	}
	labels := maps.Clone(template.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[RevisionHashLabel] = h
	return tx.Create(apiserver.ControllerRevisions, &appsv1.ControllerRevision{
		ObjectMeta: metav1.ObjectMeta{
			Name: name, Namespace: owner.GetNamespace(), Labels: labels,
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(owner, kind)},
		},
		Data: runtime.RawExtension{Raw: data}, Revision: newest + 1,
	})
}
