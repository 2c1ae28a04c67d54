package controller

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/util/intstr"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

// runEndpoints keeps one EndpointSlice a Service with the pods that its selector finds and whether they are ready.
func (s *Set) runEndpoints(tx *apiserver.Tx) error {
	for service := range apiserver.All[*corev1.Service](tx, apiserver.Services) {
		if len(service.Spec.Selector) == 0 {
			continue
		}
		selector := labels.SelectorFromSet(service.Spec.Selector)
		var behind []*corev1.Pod
		for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
			if pod.Namespace != service.Namespace || pod.Status.PodIP == "" || !selector.Matches(labels.Set(pod.Labels)) {
				continue
			}
			behind = append(behind, pod)
		}
		name := service.Name + "-" + string(service.UID)[:5]
		old, ok := apiserver.Get[*discoveryv1.EndpointSlice](tx, apiserver.EndpointSlices, service.Namespace, name)
		slice := &discoveryv1.EndpointSlice{AddressType: discoveryv1.AddressTypeIPv4}
		if len(behind) > 0 {
			slice.Ports = endpointPorts(service, behind[0])
		} else if ok {
			slice.Ports = old.Ports
		}
		if ok && slices.EqualFunc(old.Endpoints, behind, sameEndpoint) && equality.Semantic.DeepEqual(old.Ports, slice.Ports) {
			continue
		}
		for _, pod := range behind {
			slice.Endpoints = append(slice.Endpoints, endpoint(pod))
		}
		if ok {
			slice.ObjectMeta = *old.ObjectMeta.DeepCopy()
			if err := tx.Update(apiserver.EndpointSlices, slice); err != nil {
				return err
			}
			continue
		}
		slice.ObjectMeta = metav1.ObjectMeta{
			Name: name, Namespace: service.Namespace,
			Labels: map[string]string{
				discoveryv1.LabelServiceName: service.Name,
				discoveryv1.LabelManagedBy:   "endpointslice-controller.k8s.io",
			},
			OwnerReferences: []metav1.OwnerReference{*metav1.NewControllerRef(service, corev1.SchemeGroupVersion.WithKind("Service"))},
		}
		if err := tx.Create(apiserver.EndpointSlices, slice); err != nil {
			return err
		}
	}
	for slice := range apiserver.All[*discoveryv1.EndpointSlice](tx, apiserver.EndpointSlices) {
		if _, ok := apiserver.Get[*corev1.Service](tx, apiserver.Services, slice.Namespace, slice.Labels[discoveryv1.LabelServiceName]); !ok {
			tx.Delete(apiserver.EndpointSlices, slice.Namespace, slice.Name)
		}
	}
	return nil
}

func endpoint(pod *corev1.Pod) discoveryv1.Endpoint {
	serving := apiserver.Ready(pod)
	terminating := pod.DeletionTimestamp != nil
	ready := serving && !terminating
	node := pod.Spec.NodeName
	return discoveryv1.Endpoint{
		Addresses:  []string{pod.Status.PodIP},
		Conditions: discoveryv1.EndpointConditions{Ready: &ready, Serving: &serving, Terminating: &terminating},
		TargetRef:  &corev1.ObjectReference{Kind: "Pod", Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID},
		NodeName:   &node,
	}
}

// sameEndpoint says whether an endpoint still is what endpoint would make of the pod.
func sameEndpoint(e discoveryv1.Endpoint, pod *corev1.Pod) bool {
	return e.TargetRef.UID == pod.UID && e.Addresses[0] == pod.Status.PodIP && *e.Conditions.Serving == apiserver.Ready(pod) &&
		*e.Conditions.Terminating == (pod.DeletionTimestamp != nil)
}

// endpointPorts resolves the Service's target ports by number or by the container port's name.
func endpointPorts(service *corev1.Service, pod *corev1.Pod) []discoveryv1.EndpointPort {
	var out []discoveryv1.EndpointPort
	for _, p := range service.Spec.Ports {
		name, protocol, number := p.Name, p.Protocol, p.TargetPort.IntVal
		if p.TargetPort.Type == intstr.String {
			for i := range pod.Spec.Containers {
				for _, c := range pod.Spec.Containers[i].Ports {
					if c.Name == p.TargetPort.StrVal {
						number = c.ContainerPort
					}
				}
			}
		}
		if number == 0 {
			continue
		}
		out = append(out, discoveryv1.EndpointPort{Name: &name, Protocol: &protocol, Port: &number})
	}
	return out
}

// runBudgets counts what each disruption budget protects.
func (s *Set) runBudgets(tx *apiserver.Tx) error {
	for b := range apiserver.All[*policyv1.PodDisruptionBudget](tx, apiserver.PodDisruptionBudgets) {
		selector, err := metav1.LabelSelectorAsSelector(b.Spec.Selector)
		if err != nil {
			continue // a selector that cannot be read protects nothing
		}
		status := policyv1.PodDisruptionBudgetStatus{ObservedGeneration: b.Generation, Conditions: b.Status.Conditions}
		for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
			if pod.Namespace != b.Namespace || pod.DeletionTimestamp != nil || !selector.Matches(labels.Set(pod.Labels)) {
				continue
			}
			status.ExpectedPods++
			if apiserver.Ready(pod) {
				status.CurrentHealthy++
			}
		}
		switch {
		case b.Spec.MinAvailable != nil:
			n, err := intstr.GetScaledValueFromIntOrPercent(b.Spec.MinAvailable, int(status.ExpectedPods), true)
			if err != nil {
				n = int(status.ExpectedPods)
			}
			status.DesiredHealthy = int32(n)
		case b.Spec.MaxUnavailable != nil:
			n, err := intstr.GetScaledValueFromIntOrPercent(b.Spec.MaxUnavailable, int(status.ExpectedPods), true)
			if err != nil {
				n = 0
			}
			status.DesiredHealthy = max(0, status.ExpectedPods-int32(n))
		}
		status.DisruptionsAllowed = max(0, status.CurrentHealthy-status.DesiredHealthy)
		if equality.Semantic.DeepEqual(b.Status, status) {
			continue
		}
		updated := b.DeepCopy()
		updated.Status = status
		if err := tx.Update(apiserver.PodDisruptionBudgets, updated); err != nil {
			return err
		}
	}
	return nil
}
