package command

import (
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/runtime"
)

// redact masks, in a decoded object, every value that a list of variables or headers holds, wherever it is: templates
// sit at different depths, and custom resources carry them too. list is the name of the field that v is in.
func redact(v any, list string) {
	switch v := v.(type) {
	case map[string]any:
		if s, ok := v["value"].(string); ok && s != "" && holdsValues(list) {
			v["value"] = masked
		}
		for k, e := range v {
			redact(e, k)
		}
	case []any:
		for _, e := range v {
			redact(e, list)
		}
	}
}

// redactObject makes a decoded object fit to be shown: no bookkeeping, no copy of what was last applied, no values.
func redactObject(u map[string]any) {
	if m, ok := u["metadata"].(map[string]any); ok {
		delete(m, "managedFields")
		if notes, ok := m["annotations"].(map[string]any); ok {
			delete(notes, corev1.LastAppliedConfigAnnotation)
			if len(notes) == 0 {
				delete(m, "annotations")
			}
		}
	}
	if u["kind"] == "Secret" || u["kind"] == "ConfigMap" {
		for _, field := range []string{"data", "stringData", "binaryData"} {
			if m, ok := u[field].(map[string]any); ok {
				for k := range m {
					m[k] = masked
				}
			}
		}
	}
	redact(u, "")
}

// mask does the same to a typed object, in place.
func mask(o runtime.Object) {
	if m, err := meta.Accessor(o); err == nil {
		delete(m.GetAnnotations(), corev1.LastAppliedConfigAnnotation)
	}
	switch v := o.(type) {
	case *corev1.Pod:
		maskSpec(&v.Spec)
	case *appsv1.Deployment:
		maskSpec(&v.Spec.Template.Spec)
	case *appsv1.StatefulSet:
		maskSpec(&v.Spec.Template.Spec)
	case *appsv1.DaemonSet:
		maskSpec(&v.Spec.Template.Spec)
	case *appsv1.ReplicaSet:
		maskSpec(&v.Spec.Template.Spec)
	case *batchv1.Job:
		maskSpec(&v.Spec.Template.Spec)
	case *batchv1.CronJob:
		maskSpec(&v.Spec.JobTemplate.Spec.Template.Spec)
	}
}

func maskSpec(s *corev1.PodSpec) {
	mask := func(env []corev1.EnvVar) {
		for i := range env {
			if env[i].Value != "" {
				env[i].Value = masked
			}
		}
	}
	for i := range s.InitContainers {
		mask(s.InitContainers[i].Env)
	}
	for i := range s.Containers {
		mask(s.Containers[i].Env)
	}
	for i := range s.EphemeralContainers {
		mask(s.EphemeralContainers[i].Env)
	}
}
