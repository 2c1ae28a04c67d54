package lab

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/retry"
)

// Every fault below is a change that a person could make to a Deployment's template, and so comes with a rollout of
// a new revision. The old pods stay until the new ones are ready, as the Deployment's strategy says.

// ImagePull sets a tag that the registry does not have.
func (l *Lab) ImagePull(ctx context.Context, namespace, deployment string) error {
	return l.change(ctx, namespace, deployment, func(t *corev1.PodTemplateSpec) {
		image := t.Spec.Containers[0].Image
		if i := strings.LastIndexByte(image, ':'); i > strings.LastIndexByte(image, '/') {
			image = image[:i]
		}
		t.Spec.Containers[0].Image = image + ":missing-1"
	})
}

// CrashLoop rolls out a version that ends with exit code 1 soon after each start.
func (l *Lab) CrashLoop(ctx context.Context, namespace, deployment string) error {
	for _, previous := range []bool{false, true} {
		err := l.AppendLog(l.logOf(deployment), previous,
			`level=error msg="cannot parse configuration" key=CACHE_TTL value=fast err="time: invalid duration"`,
			`panic: invalid configuration`)
		if err != nil {
			return err
		}
	}
	return l.annotate(ctx, namespace, deployment, "crash-loop")
}

// OOMKill rolls out a version that is killed with exit code 137 each time it passes its memory limit.
func (l *Lab) OOMKill(ctx context.Context, namespace, deployment string) error {
	return l.annotate(ctx, namespace, deployment, "oom-kill")
}

// NotReady rolls out a version that runs and fails its readiness probe.
func (l *Lab) NotReady(ctx context.Context, namespace, deployment string) error {
	err := l.AppendLog(l.logOf(deployment), false,
		`level=error msg="readiness check failed" err="dial tcp 10.96.0.40:5432: connect: connection refused"`)
	if err != nil {
		return err
	}
	return l.annotate(ctx, namespace, deployment, "not-ready")
}

// ConfigError refers to a ConfigMap that does not exist.
func (l *Lab) ConfigError(ctx context.Context, namespace, deployment string) error {
	return l.change(ctx, namespace, deployment, func(t *corev1.PodTemplateSpec) {
		c := &t.Spec.Containers[0]
		c.EnvFrom = append(c.EnvFrom, corev1.EnvFromSource{ConfigMapRef: &corev1.ConfigMapEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: deployment + "-missing"},
		}})
	})
}

// Unschedulable asks for more CPU than any node has.
func (l *Lab) Unschedulable(ctx context.Context, namespace, deployment string) error {
	return l.change(ctx, namespace, deployment, func(t *corev1.PodTemplateSpec) {
		c := &t.Spec.Containers[0]
		if c.Resources.Requests == nil {
			c.Resources.Requests = corev1.ResourceList{}
		}
		c.Resources.Requests[corev1.ResourceCPU] = unschedulableCPU
		delete(c.Resources.Limits, corev1.ResourceCPU)
	})
}

// unschedulableCPU is more than a node's 64.
var unschedulableCPU = resource.MustParse("512")

// Fault breaks a Deployment.
type Fault func(ctx context.Context, namespace, deployment string) error

// Faults are the faults of Deployments by the name that labctl knows them by.
func (l *Lab) Faults() map[string]Fault {
	return map[string]Fault{
		"image-pull":    l.ImagePull,
		"crash-loop":    l.CrashLoop,
		"oom-kill":      l.OOMKill,
		"not-ready":     l.NotReady,
		"config-error":  l.ConfigError,
		"unschedulable": l.Unschedulable,
	}
}

func (l *Lab) annotate(ctx context.Context, namespace, deployment, fault string) error {
	return l.change(ctx, namespace, deployment, func(t *corev1.PodTemplateSpec) {
		if t.Annotations == nil {
			t.Annotations = map[string]string{}
		}
		t.Annotations[faultAnnotation] = fault
	})
}

// CrashPods makes every living pod of a Deployment crash, as when what they all need is gone: nothing is rolled out.
func (l *Lab) CrashPods(ctx context.Context, namespace, deployment string) error {
	pods := l.client.CoreV1().Pods(namespace)
	all, err := pods.List(ctx, metav1.ListOptions{LabelSelector: labels.FormatLabels(labelsOf(deployment))})
	if err != nil {
		return fmt.Errorf("list the pods of %s/%s: %w", namespace, deployment, err)
	}
	patch := fmt.Appendf(nil, `{"metadata":{"annotations":{%q:"crash-loop"}}}`, faultAnnotation)
	for _, p := range all.Items {
		if _, err := pods.Patch(ctx, p.Name, types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			return fmt.Errorf("crash pod %s/%s: %w", namespace, p.Name, err)
		}
	}
	return nil
}

// Restart rolls a Deployment's pods over, as `kubectl rollout restart` does, and waits until all are available again.
func (l *Lab) Restart(ctx context.Context, namespace, deployment string) error {
	err := l.change(ctx, namespace, deployment, func(t *corev1.PodTemplateSpec) {
		if t.Annotations == nil {
			t.Annotations = map[string]string{}
		}
		t.Annotations["kubectl.kubernetes.io/restartedAt"] = time.Now().Format(time.RFC3339)
	})
	if err != nil {
		return err
	}
	return l.waitAvailable(ctx, namespace, deployment)
}

func (l *Lab) change(ctx context.Context, namespace, deployment string, edit func(*corev1.PodTemplateSpec)) error {
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		d, err := l.client.AppsV1().Deployments(namespace).Get(ctx, deployment, metav1.GetOptions{})
		if err != nil {
			return err
		}
		edit(&d.Spec.Template)
		_, err = l.client.AppsV1().Deployments(namespace).Update(ctx, d, metav1.UpdateOptions{})
		return err
	})
	if err != nil {
		return fmt.Errorf("change deployment %s/%s: %w", namespace, deployment, err)
	}
	return nil
}

// Heal rolls a Deployment back to its newest revision without a fault, as `kubectl rollout undo` would, and waits
// until it is available.
func (l *Lab) Heal(ctx context.Context, namespace, deployment string) error {
	d, err := l.client.AppsV1().Deployments(namespace).Get(ctx, deployment, metav1.GetOptions{})
	if err != nil {
		return fmt.Errorf("heal %s/%s: %w", namespace, deployment, err)
	}
	if broken(&d.Spec.Template) {
		healthy, err := l.healthyTemplate(ctx, d)
		if err != nil {
			return fmt.Errorf("heal %s/%s: %w", namespace, deployment, err)
		}
		err = l.change(ctx, namespace, deployment, func(t *corev1.PodTemplateSpec) { *t = *healthy })
		if err != nil {
			return err
		}
	}
	return l.waitAvailable(ctx, namespace, deployment)
}

func (l *Lab) healthyTemplate(ctx context.Context, d *appsv1.Deployment) (*corev1.PodTemplateSpec, error) {
	sets, err := l.client.AppsV1().ReplicaSets(d.Namespace).List(ctx, metav1.ListOptions{
		LabelSelector: metav1.FormatLabelSelector(d.Spec.Selector),
	})
	if err != nil {
		return nil, err
	}
	best := 0
	var template *corev1.PodTemplateSpec
	for _, rs := range sets.Items {
		revision, err := strconv.Atoi(rs.Annotations["deployment.kubernetes.io/revision"])
		if err != nil || !metav1.IsControlledBy(&rs, d) || broken(&rs.Spec.Template) || revision <= best {
			continue
		}
		best, template = revision, rs.Spec.Template.DeepCopy()
	}
	if template == nil {
		return nil, fmt.Errorf("none of its %d revisions is without a fault", len(sets.Items))
	}
	template.Labels = maps.Clone(template.Labels)
	delete(template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	return template, nil
}

var missingImage = regexp.MustCompile(`:[^/]*missing`)

// broken recognises the faults of this file in a template.
func broken(t *corev1.PodTemplateSpec) bool {
	if t.Annotations[faultAnnotation] != "" {
		return true
	}
	return slices.ContainsFunc(t.Spec.Containers, func(c corev1.Container) bool {
		missingConfig := slices.ContainsFunc(c.EnvFrom, func(e corev1.EnvFromSource) bool {
			return e.ConfigMapRef != nil && strings.Contains(e.ConfigMapRef.Name, "missing")
		})
		return missingConfig || missingImage.MatchString(c.Image) ||
			c.Resources.Requests.Cpu().Cmp(unschedulableCPU) >= 0
	})
}
