package command

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	resourcev1 "k8s.io/api/resource/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/kubectl/pkg/describe"
	deploymentutil "k8s.io/kubectl/pkg/util/deployment"

	"github.com/bukahou/atlhyper/agent/report"
)

// describe gives what kubectl describe prints. Objects are masked before kubectl's describers see them, whatever they
// then choose to print. A kind that kubectl has no words for is given as YAML; of a Secret and a ConfigMap only the
// keys are named.
func (r *Runner) describe(ctx context.Context, k *report.ResourceKey, size int, o *report.Outcome) error {
	v, err := r.get(ctx, k)
	if err != nil {
		return reading(k, err)
	}
	mask(v)
	text, err := r.inWords(ctx, k, v)
	if err != nil {
		return err
	}
	if text == "" {
		b, err := redactedYAML(v)
		if err != nil {
			return fmt.Errorf("describe %s: %w", display(k), err)
		}
		text = string(b)
	}
	o.Text, o.Truncated = capped([]byte(text), size)
	return nil
}

// inWords describes an object; nothing for a kind without a describer, or when one of kubectl's panics, which happens
// on objects that its authors did not think of and must not end the agent.
func (r *Runner) inWords(ctx context.Context, k *report.ResourceKey, v runtime.Object) (text string, err error) {
	defer func() {
		if p := recover(); p != nil {
			r.cfg.Logger.WarnContext(ctx, "describer panicked", "kind", k.GetKind(), "panic", p)
			text, err = "", nil
		}
	}()
	events, err := r.eventsOf(ctx, k)
	if err != nil {
		events = nil // described without; whether events may be read is told by their kind's status
	}
	by := describe.DefaultObjectDescriber.DescribeObject
	switch v := v.(type) {
	case *corev1.Secret, *corev1.ConfigMap:
		return keysOnly(v), nil
	case *corev1.Pod:
		return by(v, events)
	case *corev1.Node:
		pods, err := r.podsOn(ctx, v.Name)
		if err != nil {
			return "", err
		}
		return by(v, &corev1.PodList{Items: pods}, events, true, (*describe.LeaseDescriber)(nil), []resourcev1.ResourceSlice(nil))
	case *corev1.Namespace:
		quotas, err := r.cfg.Client.CoreV1().ResourceQuotas(v.Name).List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", err
		}
		limits, err := r.cfg.Client.CoreV1().LimitRanges(v.Name).List(ctx, metav1.ListOptions{})
		if err != nil {
			return "", err
		}
		return by(v, quotas, limits)
	case *appsv1.Deployment:
		_, old, current, err := deploymentutil.GetAllReplicaSets(v, r.cfg.Client.AppsV1())
		if err != nil {
			return "", err
		}
		var now []*appsv1.ReplicaSet
		if current != nil {
			now = append(now, current)
		}
		return by(v, old, now, events)
	case *appsv1.StatefulSet:
		return describeSet(v, &v.Spec.Template, v.Spec.Selector, events,
			"Replicas", fmt.Sprintf("%d desired | %d total | %d updated | %d ready", value(v.Spec.Replicas, 1), v.Status.Replicas, v.Status.UpdatedReplicas, v.Status.ReadyReplicas),
			"Update Strategy", string(v.Spec.UpdateStrategy.Type), "Revision", v.Status.UpdateRevision)
	case *appsv1.DaemonSet:
		return describeSet(v, &v.Spec.Template, v.Spec.Selector, events,
			"Pods", fmt.Sprintf("%d desired | %d scheduled | %d updated | %d ready | %d misscheduled", v.Status.DesiredNumberScheduled, v.Status.CurrentNumberScheduled, v.Status.UpdatedNumberScheduled, v.Status.NumberReady, v.Status.NumberMisscheduled),
			"Update Strategy", string(v.Spec.UpdateStrategy.Type))
	case *appsv1.ReplicaSet:
		return describeSet(v, &v.Spec.Template, v.Spec.Selector, events,
			"Replicas", fmt.Sprintf("%d desired | %d total | %d ready", value(v.Spec.Replicas, 1), v.Status.Replicas, v.Status.ReadyReplicas))
	case *networkingv1.Ingress:
		return describeIngress(v, events)
	case *autoscalingv2.HorizontalPodAutoscaler:
		return by(v, events, (*describe.HorizontalPodAutoscalerDescriber)(nil))
	case *corev1.Service:
		slices, err := r.cfg.Client.DiscoveryV1().EndpointSlices(v.Namespace).List(ctx, metav1.ListOptions{LabelSelector: discoveryv1.LabelServiceName + "=" + v.Name})
		if err != nil {
			return "", err
		}
		return by(v, slices.Items, events)
	case *corev1.PersistentVolumeClaim:
		pods, err := r.podsMounting(ctx, v)
		if err != nil {
			return "", err
		}
		return by(v, events, pods)
	case *corev1.LimitRange, *corev1.ResourceQuota, *networkingv1.NetworkPolicy:
		return by(v)
	case *batchv1.Job, *batchv1.CronJob, *discoveryv1.EndpointSlice, *corev1.PersistentVolume, *corev1.ServiceAccount, *policyv1.PodDisruptionBudget:
		return by(v, events)
	}
	return "", nil
}

// tabbed lines up what write writes as kubectl does.
func tabbed(write func(describe.PrefixWriter)) (string, error) {
	var b strings.Builder
	t := tabwriter.NewWriter(&b, 0, 8, 2, ' ', 0)
	write(describe.NewPrefixWriter(t))
	err := t.Flush()
	return b.String(), err
}

// describeSet describes what kubectl's own describers cannot be asked for without a clientset. facts are pairs.
func describeSet(m metav1.Object, t *corev1.PodTemplateSpec, s *metav1.LabelSelector, events *corev1.EventList, facts ...string) (string, error) {
	return tabbed(func(w describe.PrefixWriter) {
		describeMeta(w, m)
		w.Write(describe.LEVEL_0, "Selector:\t%s\n", metav1.FormatLabelSelector(s))
		if owner := metav1.GetControllerOf(m); owner != nil {
			w.Write(describe.LEVEL_0, "Controlled By:\t%s/%s\n", owner.Kind, owner.Name)
		}
		for pair := range slices.Chunk(facts, 2) {
			w.Write(describe.LEVEL_0, "%s:\t%s\n", pair[0], pair[1])
		}
		describe.DescribePodTemplate(t, w)
		if events != nil {
			describe.DescribeEvents(events, w)
		}
	})
}

func describeIngress(i *networkingv1.Ingress, events *corev1.EventList) (string, error) {
	return tabbed(func(w describe.PrefixWriter) {
		describeMeta(w, i)
		w.Write(describe.LEVEL_0, "Ingress Class:\t%s\n", value(i.Spec.IngressClassName, "<none>"))
		var addresses []string
		for _, a := range i.Status.LoadBalancer.Ingress {
			addresses = append(addresses, a.IP+a.Hostname)
		}
		w.Write(describe.LEVEL_0, "Address:\t%s\n", strings.Join(addresses, ", "))
		for _, t := range i.Spec.TLS {
			w.Write(describe.LEVEL_0, "TLS:\t%s terminates %s\n", t.SecretName, strings.Join(t.Hosts, ", "))
		}
		w.Write(describe.LEVEL_0, "Rules:\n  Host\tPath\tBackend\n  ----\t----\t-------\n")
		backend := func(host, path string, b *networkingv1.IngressBackend) {
			to := "<none>"
			switch {
			case b.Service != nil && b.Service.Port.Name != "":
				to = b.Service.Name + ":" + b.Service.Port.Name
			case b.Service != nil:
				to = fmt.Sprintf("%s:%d", b.Service.Name, b.Service.Port.Number)
			case b.Resource != nil:
				to = b.Resource.Kind + "/" + b.Resource.Name
			}
			w.Write(describe.LEVEL_1, "%s\t%s\t%s\n", host, path, to)
		}
		if i.Spec.DefaultBackend != nil {
			backend("*", "*", i.Spec.DefaultBackend)
		}
		for _, rule := range i.Spec.Rules {
			if rule.HTTP == nil {
				continue
			}
			host := rule.Host
			if host == "" {
				host = "*"
			}
			for p := range rule.HTTP.Paths {
				backend(host, rule.HTTP.Paths[p].Path, &rule.HTTP.Paths[p].Backend)
			}
		}
		if events != nil {
			describe.DescribeEvents(events, w)
		}
	})
}

func describeMeta(w describe.PrefixWriter, m metav1.Object) {
	w.Write(describe.LEVEL_0, "Name:\t%s\nNamespace:\t%s\nCreated:\t%s\n", m.GetName(), m.GetNamespace(), m.GetCreationTimestamp().UTC().Format(time.RFC3339))
	pairs := func(title string, set map[string]string) {
		for _, k := range slices.Sorted(maps.Keys(set)) {
			w.Write(describe.LEVEL_0, "%s:\t%s=%s\n", title, k, set[k])
			title = ""
		}
	}
	pairs("Labels", m.GetLabels())
	pairs("Annotations", m.GetAnnotations())
}

func value[T any](p *T, otherwise T) T {
	if p == nil {
		return otherwise
	}
	return *p
}

// keysOnly describes a Secret or a ConfigMap without its values, nor their lengths.
func keysOnly(v runtime.Object) string {
	var b strings.Builder
	line := func(name, value string) { fmt.Fprintf(&b, "%-14s%s\n", name+":", value) }
	var m metav1.ObjectMeta
	keys := map[string]struct{}{}
	kind := ""
	switch v := v.(type) {
	case *corev1.Secret:
		m, kind = v.ObjectMeta, string(v.Type)
		for k := range v.Data {
			keys[k] = struct{}{}
		}
	case *corev1.ConfigMap:
		m = v.ObjectMeta
		for k := range v.Data {
			keys[k] = struct{}{}
		}
		for k := range v.BinaryData {
			keys[k] = struct{}{}
		}
	}
	line("Name", m.Name)
	line("Namespace", m.Namespace)
	for _, k := range slices.Sorted(maps.Keys(m.Labels)) {
		line("Label", k+"="+m.Labels[k])
	}
	if kind != "" {
		line("Type", kind)
	}
	line("Created", m.CreationTimestamp.UTC().Format(time.RFC3339))
	line("Keys", strings.Join(slices.Sorted(maps.Keys(keys)), ", "))
	line("Values", "not shown")
	return b.String()
}
