package controller

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

var deploymentKind = appsv1.SchemeGroupVersion.WithKind("Deployment")

// runDeployments rolls each Deployment towards its template within maxSurge and maxUnavailable, keeps the old
// ReplicaSets for rollbacks and says how it goes in the status.
func (s *Set) runDeployments(tx *apiserver.Tx) error {
	for d := range apiserver.All[*appsv1.Deployment](tx, apiserver.Deployments) {
		if err := s.runDeployment(tx, d); err != nil {
			return fmt.Errorf("deployment %s/%s: %w", d.Namespace, d.Name, err)
		}
	}
	return nil
}

func (s *Set) runDeployment(tx *apiserver.Tx, d *appsv1.Deployment) error {
	sets := slices.Clone(s.sets[d.UID])
	// The stored objects may have moved since the index was made.
	for i, set := range sets {
		if now, ok := apiserver.Get[*appsv1.ReplicaSet](tx, apiserver.ReplicaSets, set.Namespace, set.Name); ok {
			sets[i] = now
		}
	}
	slices.SortFunc(sets, func(a, b *appsv1.ReplicaSet) int { return cmp.Compare(revision(a), revision(b)) })
	current, err := s.currentSet(tx, d, sets)
	if err != nil {
		return err
	}
	var old []*appsv1.ReplicaSet
	for _, set := range sets {
		if current == nil || set.UID != current.UID {
			old = append(old, set)
		}
	}
	if !d.Spec.Paused || current != nil && len(activeSets(old)) == 0 {
		if err := s.roll(tx, d, current, old); err != nil {
			return err
		}
	}
	if err := s.trim(tx, d, old); err != nil {
		return err
	}
	return s.deploymentStatus(tx, d, current, old)
}

func revision(o metav1.Object) int64 {
	n, err := strconv.ParseInt(o.GetAnnotations()[RevisionAnnotation], 10, 64)
	if err != nil {
		return 0
	}
	return n
}

// currentSet finds the ReplicaSet of the present template, or makes it. A template that was rolled out before (a
// rollback) gets its old ReplicaSet back, under a new revision.
func (s *Set) currentSet(tx *apiserver.Tx, d *appsv1.Deployment, sets []*appsv1.ReplicaSet) (*appsv1.ReplicaSet, error) {
	h := s.templateHash(d, &d.Spec.Template)
	var newest int64
	var current *appsv1.ReplicaSet
	for _, set := range sets {
		newest = max(newest, revision(set))
		if set.Labels[TemplateHashLabel] == h {
			current = set
		}
	}
	switch {
	case current == nil && d.Spec.Paused:
		return nil, nil
	case current == nil:
		template := d.Spec.Template.DeepCopy()
		if template.Labels == nil {
			template.Labels = map[string]string{}
		}
		template.Labels[TemplateHashLabel] = h
		selector := d.Spec.Selector.DeepCopy()
		if selector.MatchLabels == nil {
			selector.MatchLabels = map[string]string{}
		}
		selector.MatchLabels[TemplateHashLabel] = h
		annotations := maps.Clone(d.Annotations)
		if annotations == nil {
			annotations = map[string]string{}
		}
		annotations[RevisionAnnotation] = strconv.FormatInt(newest+1, 10)
		zero := int32(0)
		current = &appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{
				Name: d.Name + "-" + h, Namespace: d.Namespace, Labels: template.Labels, Annotations: annotations,
				OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(d, deploymentKind)},
			},
			Spec: appsv1.ReplicaSetSpec{Replicas: &zero, Selector: selector, Template: *template},
		}
		if err := tx.Create(apiserver.ReplicaSets, current); err != nil {
			return nil, err
		}
	case revision(current) < newest:
		again := current.DeepCopy()
		again.Annotations[RevisionAnnotation] = strconv.FormatInt(newest+1, 10)
		if cause, ok := d.Annotations["kubernetes.io/change-cause"]; ok {
			again.Annotations["kubernetes.io/change-cause"] = cause
		}
		if err := tx.Update(apiserver.ReplicaSets, again); err != nil {
			return nil, err
		}
		current = again
	}
	if d.Annotations[RevisionAnnotation] != current.Annotations[RevisionAnnotation] {
		marked := d.DeepCopy()
		if marked.Annotations == nil {
			marked.Annotations = map[string]string{}
		}
		marked.Annotations[RevisionAnnotation] = current.Annotations[RevisionAnnotation]
		if err := tx.Update(apiserver.Deployments, marked); err != nil {
			return nil, err
		}
	}
	return current, nil
}

func activeSets(sets []*appsv1.ReplicaSet) []*appsv1.ReplicaSet {
	var out []*appsv1.ReplicaSet
	for _, set := range sets {
		if *set.Spec.Replicas > 0 || set.Status.Replicas > 0 {
			out = append(out, set)
		}
	}
	return out
}

// budget gives how many pods may be above and below the wanted number during a rollout.
func budget(d *appsv1.Deployment) (surge, unavailable int) {
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		return 0, int(*d.Spec.Replicas)
	}
	surgeOf, unavailableOf := intstr.FromString("25%"), intstr.FromString("25%")
	if r := d.Spec.Strategy.RollingUpdate; r != nil {
		if r.MaxSurge != nil {
			surgeOf = *r.MaxSurge
		}
		if r.MaxUnavailable != nil {
			unavailableOf = *r.MaxUnavailable
		}
	}
	// A value that is neither a number nor a percentage counts as 0, as in Kubernetes' own helper for old objects.
	surge, _ = intstr.GetScaledValueFromIntOrPercent(&surgeOf, int(*d.Spec.Replicas), true)
	unavailable, _ = intstr.GetScaledValueFromIntOrPercent(&unavailableOf, int(*d.Spec.Replicas), false)
	if surge == 0 && unavailable == 0 {
		unavailable = 1
	}
	return surge, unavailable
}

func (s *Set) roll(tx *apiserver.Tx, d *appsv1.Deployment, current *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) error {
	want := int(*d.Spec.Replicas)
	running := activeSets(old)
	if len(running) == 0 {
		return s.resize(tx, d, current, want)
	}
	if d.Spec.Strategy.Type == appsv1.RecreateDeploymentStrategyType {
		gone := true
		for _, set := range running {
			if err := s.resize(tx, d, set, 0); err != nil {
				return err
			}
			gone = gone && len(s.pods[set.UID]) == 0
		}
		if gone {
			return s.resize(tx, d, current, want)
		}
		return nil
	}
	surge, unavailable := budget(d)
	total := int(*current.Spec.Replicas)
	ready := int(current.Status.AvailableReplicas)
	for _, set := range old {
		total += int(*set.Spec.Replicas)
		ready += min(int(set.Status.AvailableReplicas), int(*set.Spec.Replicas))
	}
	size := int(*current.Spec.Replicas)
	switch {
	case size > want:
		return s.resize(tx, d, current, want)
	case size < want && total < want+surge:
		grown := min(want, size+want+surge-total)
		if err := s.resize(tx, d, current, grown); err != nil {
			return err
		}
		total += grown - size
		size = grown
	}
	// Old pods go while enough are available; those that are not available themselves go first, for free.
	least := want - unavailable
	room := total - least - (size - min(size, int(current.Status.AvailableReplicas)))
	for _, set := range running {
		if room <= 0 {
			break
		}
		n := int(*set.Spec.Replicas)
		if idle := min(n-min(n, int(set.Status.AvailableReplicas)), room); idle > 0 {
			if err := s.resize(tx, d, set, n-idle); err != nil {
				return err
			}
			room -= idle
		}
	}
	spare := ready - least
	for _, set := range running {
		now, ok := apiserver.Get[*appsv1.ReplicaSet](tx, apiserver.ReplicaSets, set.Namespace, set.Name)
		if !ok || spare <= 0 || room <= 0 {
			continue
		}
		n := int(*now.Spec.Replicas)
		if cut := min(n, spare, room); cut > 0 {
			if err := s.resize(tx, d, now, n-cut); err != nil {
				return err
			}
			spare -= cut
			room -= cut
		}
	}
	return nil
}

func (s *Set) resize(tx *apiserver.Tx, d *appsv1.Deployment, set *appsv1.ReplicaSet, to int) error {
	from := int(*set.Spec.Replicas)
	if from == to {
		return nil
	}
	updated := set.DeepCopy()
	n := int32(to)
	updated.Spec.Replicas = &n
	if err := tx.Update(apiserver.ReplicaSets, updated); err != nil {
		return err
	}
	verb := "up"
	if to < from {
		verb = "down"
	}
	return s.events.Record(tx, "Deployment", d, "deployment-controller", "", corev1.EventTypeNormal, "ScalingReplicaSet",
		fmt.Sprintf("Scaled %s replica set %s from %d to %d", verb, set.Name, from, to))
}

// trim removes the oldest empty ReplicaSets beyond the history limit.
func (s *Set) trim(tx *apiserver.Tx, d *appsv1.Deployment, old []*appsv1.ReplicaSet) error {
	limit := 10
	if d.Spec.RevisionHistoryLimit != nil {
		limit = int(*d.Spec.RevisionHistoryLimit)
	}
	for _, set := range old[:max(0, len(old)-limit)] {
		if *set.Spec.Replicas == 0 && set.Status.Replicas == 0 {
			tx.Delete(apiserver.ReplicaSets, set.Namespace, set.Name)
		}
	}
	return nil
}

func (s *Set) deploymentStatus(tx *apiserver.Tx, d *appsv1.Deployment, current *appsv1.ReplicaSet, old []*appsv1.ReplicaSet) error {
	d, ok := apiserver.Get[*appsv1.Deployment](tx, apiserver.Deployments, d.Namespace, d.Name)
	if !ok {
		return nil
	}
	status := appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Conditions: slices.Clone(d.Status.Conditions)}
	for _, set := range old {
		status.Replicas += set.Status.Replicas
		status.ReadyReplicas += set.Status.ReadyReplicas
		status.AvailableReplicas += set.Status.AvailableReplicas
	}
	if current != nil {
		status.Replicas += current.Status.Replicas
		status.ReadyReplicas += current.Status.ReadyReplicas
		status.AvailableReplicas += current.Status.AvailableReplicas
		status.UpdatedReplicas = current.Status.Replicas
	}
	want := *d.Spec.Replicas
	status.UnavailableReplicas = max(0, want-status.AvailableReplicas)
	_, unavailable := budget(d)
	if status.AvailableReplicas >= want-int32(unavailable) {
		setCondition(tx, &status.Conditions, appsv1.DeploymentAvailable, corev1.ConditionTrue, "MinimumReplicasAvailable", "Deployment has minimum availability.", false)
	} else {
		setCondition(tx, &status.Conditions, appsv1.DeploymentAvailable, corev1.ConditionFalse, "MinimumReplicasUnavailable", "Deployment does not have minimum availability.", false)
	}
	if current != nil {
		progress(tx, d, current.Name, &status)
	}
	if equality.Semantic.DeepEqual(d.Status, status) {
		return nil
	}
	updated := d.DeepCopy()
	updated.Status = status
	return tx.Update(apiserver.Deployments, updated)
}

// progress keeps the Progressing condition: complete, moving, or past its deadline without a step forward.
func progress(tx *apiserver.Tx, d *appsv1.Deployment, set string, status *appsv1.DeploymentStatus) {
	want := *d.Spec.Replicas
	if status.UpdatedReplicas == want && status.Replicas == want && status.AvailableReplicas == want {
		setCondition(tx, &status.Conditions, appsv1.DeploymentProgressing, corev1.ConditionTrue, "NewReplicaSetAvailable",
			fmt.Sprintf("ReplicaSet %q has successfully progressed.", set), false)
		return
	}
	var last appsv1.DeploymentCondition
	for _, c := range status.Conditions {
		if c.Type == appsv1.DeploymentProgressing {
			last = c
		}
	}
	before := d.Status
	message := fmt.Sprintf("ReplicaSet %q is progressing.", set)
	moved := status.UpdatedReplicas > before.UpdatedReplicas || status.ReadyReplicas > before.ReadyReplicas ||
		status.AvailableReplicas > before.AvailableReplicas || status.Replicas-status.UpdatedReplicas < before.Replicas-before.UpdatedReplicas
	deadline := 600 * time.Second
	if d.Spec.ProgressDeadlineSeconds != nil {
		deadline = time.Duration(*d.Spec.ProgressDeadlineSeconds) * time.Second
	}
	switch {
	case moved || last.Reason == "" || status.ObservedGeneration != before.ObservedGeneration:
		setCondition(tx, &status.Conditions, appsv1.DeploymentProgressing, corev1.ConditionTrue, "ReplicaSetUpdated", message, true)
	case last.Reason == "NewReplicaSetAvailable":
		// A finished rollout that loses pods later is not a rollout that stands still.
	case tx.Now().Sub(last.LastUpdateTime.Time) > deadline:
		setCondition(tx, &status.Conditions, appsv1.DeploymentProgressing, corev1.ConditionFalse, "ProgressDeadlineExceeded",
			fmt.Sprintf("ReplicaSet %q has timed out progressing.", set), false)
	}
}

// setCondition changes a condition; its times move only when it does, or when touch asks for it.
func setCondition(tx *apiserver.Tx, list *[]appsv1.DeploymentCondition, kind appsv1.DeploymentConditionType, state corev1.ConditionStatus, reason, message string, touch bool) {
	for i := range *list {
		c := &(*list)[i]
		if c.Type != kind {
			continue
		}
		if c.Status == state && c.Reason == reason && c.Message == message && !touch {
			return
		}
		if c.Status != state {
			c.LastTransitionTime = tx.Stamp()
		}
		c.Status, c.Reason, c.Message, c.LastUpdateTime = state, reason, message, tx.Stamp()
		return
	}
	*list = append(*list, appsv1.DeploymentCondition{
		Type: kind, Status: state, Reason: reason, Message: message, LastUpdateTime: tx.Stamp(), LastTransitionTime: tx.Stamp(),
	})
}
