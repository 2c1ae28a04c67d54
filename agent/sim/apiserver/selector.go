package apiserver

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/selection"
)

// matcher tells the objects that a list or a watch asks for. A field that the resource cannot be selected by is a bad
// request, as on a real server.
func matcher(gvr schema.GroupVersionResource, namespace string, byLabel labels.Selector, byField fields.Selector) (func(Object) bool, error) {
	if byLabel == nil {
		byLabel = labels.Everything()
	}
	var wanted fields.Requirements
	if byField != nil {
		wanted = byField.Requirements()
	}
	for _, r := range wanted {
		if !selectable(gvr, r.Field) {
			return nil, apierrors.NewBadRequest(fmt.Sprintf("field label not supported: %s", r.Field))
		}
	}
	return func(o Object) bool {
		if namespace != "" && o.GetNamespace() != namespace || !byLabel.Matches(labels.Set(o.GetLabels())) {
			return false
		}
		for _, r := range wanted {
			if (value(o, r.Field) == r.Value) == (r.Operator == selection.NotEquals) {
				return false
			}
		}
		return true
	}, nil
}

func selectable(gvr schema.GroupVersionResource, field string) bool {
	switch field {
	case "metadata.name", "metadata.namespace":
		return true
	case "spec.nodeName", "status.phase", "status.podIP", "spec.restartPolicy", "spec.serviceAccountName":
		return gvr == Pods
	case "involvedObject.kind", "involvedObject.namespace", "involvedObject.name", "involvedObject.uid", "reason", "type":
		return gvr == Events
	case "spec.unschedulable":
		return gvr == Nodes
	}
	return false
}

func value(o Object, field string) string {
	switch field {
	case "metadata.name":
		return o.GetName()
	case "metadata.namespace":
		return o.GetNamespace()
	}
	switch o := o.(type) {
	case *corev1.Pod:
		switch field {
		case "spec.nodeName":
			return o.Spec.NodeName
		case "status.phase":
			return string(o.Status.Phase)
		case "status.podIP":
			return o.Status.PodIP
		case "spec.restartPolicy":
			return string(o.Spec.RestartPolicy)
		case "spec.serviceAccountName":
			return o.Spec.ServiceAccountName
		}
	case *corev1.Event:
		switch field {
		case "involvedObject.kind":
			return o.InvolvedObject.Kind
		case "involvedObject.namespace":
			return o.InvolvedObject.Namespace
		case "involvedObject.name":
			return o.InvolvedObject.Name
		case "involvedObject.uid":
			return string(o.InvolvedObject.UID)
		case "reason":
			return o.Reason
		case "type":
			return o.Type
		}
	case *corev1.Node:
		if o.Spec.Unschedulable {
			return "true"
		}
		return "false"
	}
	return ""
}
