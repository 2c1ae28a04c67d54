package kube

import (
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bukahou/atlhyper/agent/report"
)

// The annotations of a rollout, as Kubernetes' own controllers and kubectl write them.
const (
	revisionAnnotation   = "deployment.kubernetes.io/revision"
	generationAnnotation = "deprecated.daemonset.template.generation"
	restartedAnnotation  = "kubectl.kubernetes.io/restartedAt"
)

// template fills what the pod template tells.
func (c *Converter) template(w *report.Workload, t *corev1.PodTemplateSpec) {
	w.TemplateHash = c.TemplateHash(t)
	w.Images = Images(t)
	refs := references(&t.Spec)
	w.ConfigMaps, w.Secrets = refs.configMaps, refs.secrets
	for i := range t.Spec.Containers {
		w.Requests = add(w.Requests, quantities(t.Spec.Containers[i].Resources.Requests))
		w.Limits = add(w.Limits, quantities(t.Spec.Containers[i].Resources.Limits))
	}
	if s := t.Annotations[restartedAnnotation]; s != "" {
		if at, err := time.Parse(time.RFC3339, s); err == nil {
			w.RestartedAt = stamp(at)
		}
	}
}

// Images gives the image of each container of a template, by container.
func Images(t *corev1.PodTemplateSpec) map[string]string {
	out := make(map[string]string, len(t.Spec.Containers))
	for _, list := range [][]corev1.Container{t.Spec.InitContainers, t.Spec.Containers} {
		for i := range list {
			out[intern(list[i].Name)] = intern(list[i].Image)
		}
	}
	return out
}

func (c *Converter) deployment(d *appsv1.Deployment) *report.Resource {
	r := resource("Deployment", &d.ObjectMeta)
	w := &report.Workload{
		Desired: replicas(d.Spec.Replicas), Current: d.Status.Replicas, Ready: d.Status.ReadyReplicas,
		Available: d.Status.AvailableReplicas, Updated: d.Status.UpdatedReplicas, ObservedGeneration: d.Status.ObservedGeneration,
		Selector: selector(d.Spec.Selector), Revision: d.Annotations[revisionAnnotation],
		Strategy: string(d.Spec.Strategy.Type), Paused: d.Spec.Paused,
	}
	if s := d.Spec.ProgressDeadlineSeconds; s != nil {
		w.ProgressDeadline = durationpb.New(time.Duration(*s) * time.Second)
	}
	if u := d.Spec.Strategy.RollingUpdate; u != nil {
		w.MaxUnavailable, w.MaxSurge = intOrPercent(u.MaxUnavailable), intOrPercent(u.MaxSurge)
	}
	for _, s := range d.Status.Conditions {
		w.Conditions = append(w.Conditions, condition(s.Type, s.Status, s.Reason, s.Message, s.LastTransitionTime))
	}
	c.template(w, &d.Spec.Template)
	r.Detail = &report.Resource_Workload{Workload: w}
	return r
}

func (c *Converter) statefulSet(s *appsv1.StatefulSet) *report.Resource {
	r := resource("StatefulSet", &s.ObjectMeta)
	w := &report.Workload{
		Desired: replicas(s.Spec.Replicas), Current: s.Status.Replicas, Ready: s.Status.ReadyReplicas,
		Available: s.Status.AvailableReplicas, Updated: s.Status.UpdatedReplicas, ObservedGeneration: s.Status.ObservedGeneration,
		Selector: selector(s.Spec.Selector), Revision: s.Status.UpdateRevision, Strategy: string(s.Spec.UpdateStrategy.Type),
	}
	if u := s.Spec.UpdateStrategy.RollingUpdate; u != nil {
		w.MaxUnavailable = intOrPercent(u.MaxUnavailable)
	}
	for _, k := range s.Status.Conditions {
		w.Conditions = append(w.Conditions, condition(k.Type, k.Status, k.Reason, k.Message, k.LastTransitionTime))
	}
	c.template(w, &s.Spec.Template)
	r.Detail = &report.Resource_Workload{Workload: w}
	return r
}

func (c *Converter) daemonSet(s *appsv1.DaemonSet) *report.Resource {
	r := resource("DaemonSet", &s.ObjectMeta)
	w := &report.Workload{
		Desired: s.Status.DesiredNumberScheduled, Current: s.Status.CurrentNumberScheduled, Ready: s.Status.NumberReady,
		Available: s.Status.NumberAvailable, Updated: s.Status.UpdatedNumberScheduled, ObservedGeneration: s.Status.ObservedGeneration,
		Selector: selector(s.Spec.Selector), Strategy: string(s.Spec.UpdateStrategy.Type),
		Revision: s.Annotations[generationAnnotation], // its ControllerRevisions are not in its status
	}
	if u := s.Spec.UpdateStrategy.RollingUpdate; u != nil {
		w.MaxUnavailable, w.MaxSurge = intOrPercent(u.MaxUnavailable), intOrPercent(u.MaxSurge)
	}
	for _, k := range s.Status.Conditions {
		w.Conditions = append(w.Conditions, condition(k.Type, k.Status, k.Reason, k.Message, k.LastTransitionTime))
	}
	c.template(w, &s.Spec.Template)
	r.Detail = &report.Resource_Workload{Workload: w}
	return r
}

func (c *Converter) replicaSet(s *appsv1.ReplicaSet) *report.Resource {
	r := resource("ReplicaSet", &s.ObjectMeta)
	w := &report.Workload{
		Desired: replicas(s.Spec.Replicas), Current: s.Status.Replicas, Ready: s.Status.ReadyReplicas,
		Available: s.Status.AvailableReplicas, Updated: s.Status.FullyLabeledReplicas, ObservedGeneration: s.Status.ObservedGeneration,
		Selector: selector(s.Spec.Selector), Revision: s.Annotations[revisionAnnotation],
	}
	for _, k := range s.Status.Conditions {
		w.Conditions = append(w.Conditions, condition(k.Type, k.Status, k.Reason, k.Message, k.LastTransitionTime))
	}
	c.template(w, &s.Spec.Template)
	r.Detail = &report.Resource_Workload{Workload: w}
	return r
}

// replicas gives the API's default of one for a count that was left out.
func replicas(p *int32) int32 {
	if p == nil {
		return 1
	}
	return *p
}

func intOrPercent(v *intstr.IntOrString) string {
	if v == nil {
		return ""
	}
	return v.String()
}

func job(j *batchv1.Job) *report.Resource {
	r := resource("Job", &j.ObjectMeta)
	d := &report.Job{
		Completions: value(j.Spec.Completions), Parallelism: value(j.Spec.Parallelism), BackoffLimit: value(j.Spec.BackoffLimit),
		Active: j.Status.Active, Succeeded: j.Status.Succeeded, Failed: j.Status.Failed,
		Started: at(j.Status.StartTime), Completed: at(j.Status.CompletionTime),
	}
	for _, k := range j.Status.Conditions {
		d.Conditions = append(d.Conditions, condition(k.Type, k.Status, k.Reason, k.Message, k.LastTransitionTime))
	}
	r.Detail = &report.Resource_Job{Job: d}
	return r
}

func cronJob(j *batchv1.CronJob) *report.Resource {
	r := resource("CronJob", &j.ObjectMeta)
	r.Detail = &report.Resource_CronJob{CronJob: &report.CronJob{
		Schedule: j.Spec.Schedule, TimeZone: value(j.Spec.TimeZone), Suspend: value(j.Spec.Suspend),
		Active: int32(len(j.Status.Active)), LastSchedule: at(j.Status.LastScheduleTime), LastSuccess: at(j.Status.LastSuccessfulTime),
	}}
	return r
}

func autoscaler(h *autoscalingv2.HorizontalPodAutoscaler) *report.Resource {
	r := resource("HorizontalPodAutoscaler", &h.ObjectMeta)
	d := &report.HorizontalPodAutoscaler{
		Target: &report.ResourceKey{Kind: h.Spec.ScaleTargetRef.Kind, Namespace: h.Namespace, Name: h.Spec.ScaleTargetRef.Name},
		Min:    replicas(h.Spec.MinReplicas), Max: h.Spec.MaxReplicas,
		Current: h.Status.CurrentReplicas, Desired: h.Status.DesiredReplicas, TargetExceeded: exceeded(h),
	}
	for _, k := range h.Status.Conditions {
		d.Conditions = append(d.Conditions, condition(k.Type, k.Status, k.Reason, k.Message, k.LastTransitionTime))
	}
	r.Detail = &report.Resource_HorizontalPodAutoscaler{HorizontalPodAutoscaler: d}
	return r
}

// exceeded says whether a current metric is above its target. Metrics are matched by kind and name, not by position:
// the controller leaves out those that it could not read.
func exceeded(h *autoscalingv2.HorizontalPodAutoscaler) bool {
	current := map[string]autoscalingv2.MetricValueStatus{}
	for _, m := range h.Status.CurrentMetrics {
		switch {
		case m.Resource != nil:
			current["r/"+string(m.Resource.Name)] = m.Resource.Current
		case m.ContainerResource != nil:
			current["c/"+m.ContainerResource.Container+"/"+string(m.ContainerResource.Name)] = m.ContainerResource.Current
		case m.Pods != nil:
			current["p/"+m.Pods.Metric.Name] = m.Pods.Current
		case m.Object != nil:
			current["o/"+m.Object.Metric.Name] = m.Object.Current
		case m.External != nil:
			current["e/"+m.External.Metric.Name] = m.External.Current
		}
	}
	for _, m := range h.Spec.Metrics {
		var key string
		var target autoscalingv2.MetricTarget
		switch {
		case m.Resource != nil:
			key, target = "r/"+string(m.Resource.Name), m.Resource.Target
		case m.ContainerResource != nil:
			key, target = "c/"+m.ContainerResource.Container+"/"+string(m.ContainerResource.Name), m.ContainerResource.Target
		case m.Pods != nil:
			key, target = "p/"+m.Pods.Metric.Name, m.Pods.Target
		case m.Object != nil:
			key, target = "o/"+m.Object.Metric.Name, m.Object.Target
		case m.External != nil:
			key, target = "e/"+m.External.Metric.Name, m.External.Target
		}
		is := current[key]
		switch {
		case target.AverageUtilization != nil && is.AverageUtilization != nil:
			if *is.AverageUtilization > *target.AverageUtilization {
				return true
			}
		case target.AverageValue != nil && is.AverageValue != nil:
			if is.AverageValue.Cmp(*target.AverageValue) > 0 {
				return true
			}
		case target.Value != nil && is.Value != nil:
			if is.Value.Cmp(*target.Value) > 0 {
				return true
			}
		}
	}
	return false
}

func disruptionBudget(p *policyv1.PodDisruptionBudget) *report.Resource {
	r := resource("PodDisruptionBudget", &p.ObjectMeta)
	r.Detail = &report.Resource_PodDisruptionBudget{PodDisruptionBudget: &report.PodDisruptionBudget{
		Selector: selector(p.Spec.Selector), DisruptionsAllowed: p.Status.DisruptionsAllowed, CurrentHealthy: p.Status.CurrentHealthy,
		DesiredHealthy: p.Status.DesiredHealthy, ExpectedPods: p.Status.ExpectedPods,
	}}
	return r
}
