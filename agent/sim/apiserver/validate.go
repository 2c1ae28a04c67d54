package apiserver

import (
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/validation"
	fielderr "k8s.io/apimachinery/pkg/util/validation/field"
)

// fill sets the defaults that the controllers of the simulation read.
func fill(o Object) {
	one := int32(1)
	switch o := o.(type) {
	case *appsv1.Deployment:
		if o.Spec.Replicas == nil {
			o.Spec.Replicas = &one
		}
		if o.Spec.Strategy.Type == "" {
			o.Spec.Strategy.Type = appsv1.RollingUpdateDeploymentStrategyType
		}
		if o.Spec.Strategy.Type == appsv1.RollingUpdateDeploymentStrategyType && o.Spec.Strategy.RollingUpdate == nil {
			quarter := intstr.FromString("25%")
			o.Spec.Strategy.RollingUpdate = &appsv1.RollingUpdateDeployment{MaxSurge: &quarter, MaxUnavailable: &quarter}
		}
	case *appsv1.StatefulSet:
		if o.Spec.Replicas == nil {
			o.Spec.Replicas = &one
		}
	case *appsv1.ReplicaSet:
		if o.Spec.Replicas == nil {
			o.Spec.Replicas = &one
		}
	case *corev1.Pod:
		if o.Status.Phase == "" {
			o.Status.Phase = corev1.PodPending
		}
	}
}

// validate refuses what the API server would refuse of the fields that people change: names, replica counts, selectors,
// containers and images. old is nil for a new object.
func validate(old, o Object) error {
	var errs fielderr.ErrorList
	for _, problem := range validation.IsDNS1123Subdomain(o.GetName()) {
		errs = append(errs, fielderr.Invalid(fielderr.NewPath("metadata", "name"), o.GetName(), problem))
	}
	spec := fielderr.NewPath("spec")
	switch o := o.(type) {
	case *appsv1.Deployment:
		var before *metav1.LabelSelector
		if old, ok := old.(*appsv1.Deployment); ok {
			before = old.Spec.Selector
		}
		errs = append(errs, workload(o.Spec.Replicas, before, o.Spec.Selector, &o.Spec.Template)...)
	case *appsv1.StatefulSet:
		var before *metav1.LabelSelector
		if old, ok := old.(*appsv1.StatefulSet); ok {
			before = old.Spec.Selector
		}
		errs = append(errs, workload(o.Spec.Replicas, before, o.Spec.Selector, &o.Spec.Template)...)
	case *appsv1.DaemonSet:
		var before *metav1.LabelSelector
		if old, ok := old.(*appsv1.DaemonSet); ok {
			before = old.Spec.Selector
		}
		errs = append(errs, workload(nil, before, o.Spec.Selector, &o.Spec.Template)...)
	case *appsv1.ReplicaSet:
		errs = append(errs, workload(o.Spec.Replicas, nil, o.Spec.Selector, &o.Spec.Template)...)
	case *corev1.Pod:
		errs = append(errs, containers(spec.Child("containers"), o.Spec.Containers)...)
	}
	if len(errs) == 0 {
		return nil
	}
	return apierrors.NewInvalid(kindOf(o), o.GetName(), errs)
}

func kindOf(o Object) schema.GroupKind {
	switch o.(type) {
	case *appsv1.Deployment:
		return schema.GroupKind{Group: "apps", Kind: "Deployment"}
	case *appsv1.StatefulSet:
		return schema.GroupKind{Group: "apps", Kind: "StatefulSet"}
	case *appsv1.DaemonSet:
		return schema.GroupKind{Group: "apps", Kind: "DaemonSet"}
	case *appsv1.ReplicaSet:
		return schema.GroupKind{Group: "apps", Kind: "ReplicaSet"}
	case *corev1.Pod:
		return schema.GroupKind{Kind: "Pod"}
	}
	return o.GetObjectKind().GroupVersionKind().GroupKind()
}

func workload(replicas *int32, before, selector *metav1.LabelSelector, template *corev1.PodTemplateSpec) fielderr.ErrorList {
	var errs fielderr.ErrorList
	spec := fielderr.NewPath("spec")
	if replicas != nil && *replicas < 0 {
		errs = append(errs, fielderr.Invalid(spec.Child("replicas"), *replicas, "must be greater than or equal to 0"))
	}
	if before != nil && !equality.Semantic.DeepEqual(before, selector) {
		errs = append(errs, fielderr.Invalid(spec.Child("selector"), selector, "field is immutable"))
	}
	match, err := metav1.LabelSelectorAsSelector(selector)
	switch {
	case err != nil:
		errs = append(errs, fielderr.Invalid(spec.Child("selector"), selector, err.Error()))
	case selector == nil || match.Empty():
		errs = append(errs, fielderr.Required(spec.Child("selector"), ""))
	case !match.Matches(labels.Set(template.Labels)):
		errs = append(errs, fielderr.Invalid(spec.Child("template", "metadata", "labels"), template.Labels, "`selector` does not match template `labels`"))
	}
	return append(errs, containers(spec.Child("template", "spec", "containers"), template.Spec.Containers)...)
}

func containers(path *fielderr.Path, list []corev1.Container) fielderr.ErrorList {
	var errs fielderr.ErrorList
	if len(list) == 0 {
		errs = append(errs, fielderr.Required(path, ""))
	}
	seen := map[string]bool{}
	for i, c := range list {
		at := path.Index(i)
		switch {
		case c.Name == "":
			errs = append(errs, fielderr.Required(at.Child("name"), ""))
		case seen[c.Name]:
			errs = append(errs, fielderr.Duplicate(at.Child("name"), c.Name))
		}
		seen[c.Name] = true
		if c.Image == "" {
			errs = append(errs, fielderr.Required(at.Child("image"), ""))
		}
	}
	return errs
}
