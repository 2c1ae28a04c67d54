package command

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
)

var update = flag.Bool("update", false, "write the golden files anew")

// everyKind holds one object of each kind, with a canary wherever a value could hide.
func everyKind() []runtime.Object {
	m := func(name string) metav1.ObjectMeta {
		return metav1.ObjectMeta{
			Namespace: "shop", Name: name, UID: "uid-of-" + "x", CreationTimestamp: metav1.NewTime(noon), Labels: map[string]string{"app": "web"},
			Annotations:   map[string]string{corev1.LastAppliedConfigAnnotation: canary, "example.com/team": "payments"},
			ManagedFields: []metav1.ManagedFieldsEntry{{Manager: "kubectl"}},
		}
	}
	cluster := func(name string) metav1.ObjectMeta {
		c := m(name)
		c.Namespace = ""
		return c
	}
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	t := template("web:v2")
	t.Spec.InitContainers = []corev1.Container{{Name: "init", Image: "init:v1", Env: []corev1.EnvVar{{Name: "KEY", Value: canary}}}}
	t.Spec.Containers[0].LivenessProbe = &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{
		Path: "/", HTTPHeaders: []corev1.HTTPHeader{{Name: "Authorization", Value: canary}},
	}}}
	three := int32(3)
	class, port := "nginx", int32(8080)
	return []runtime.Object{
		&corev1.Pod{ObjectMeta: m("pod"), Spec: t.Spec, Status: corev1.PodStatus{Phase: corev1.PodRunning}},
		&corev1.Node{ObjectMeta: cluster("node")},
		&corev1.Namespace{ObjectMeta: cluster("shop")},
		&appsv1.Deployment{ObjectMeta: m("deployment"), Spec: appsv1.DeploymentSpec{Replicas: &three, Selector: selector, Template: t}},
		&appsv1.StatefulSet{ObjectMeta: m("statefulset"), Spec: appsv1.StatefulSetSpec{Replicas: &three, Selector: selector, Template: t}},
		&appsv1.DaemonSet{ObjectMeta: m("daemonset"), Spec: appsv1.DaemonSetSpec{Selector: selector, Template: t}},
		&appsv1.ReplicaSet{ObjectMeta: m("replicaset"), Spec: appsv1.ReplicaSetSpec{Replicas: &three, Selector: selector, Template: t}},
		&batchv1.Job{ObjectMeta: m("job"), Spec: batchv1.JobSpec{Selector: selector, Template: t}},
		&batchv1.CronJob{ObjectMeta: m("cronjob"), Spec: batchv1.CronJobSpec{Schedule: "0 3 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: t}}}},
		&corev1.Service{ObjectMeta: m("service"), Spec: corev1.ServiceSpec{Selector: map[string]string{"app": "web"}}},
		&discoveryv1.EndpointSlice{ObjectMeta: m("endpointslice"), Ports: []discoveryv1.EndpointPort{{Port: &port}}},
		&networkingv1.Ingress{ObjectMeta: m("ingress"), Spec: networkingv1.IngressSpec{IngressClassName: &class, Rules: []networkingv1.IngressRule{{
			Host: "shop.example", IngressRuleValue: networkingv1.IngressRuleValue{HTTP: &networkingv1.HTTPIngressRuleValue{Paths: []networkingv1.HTTPIngressPath{{
				Path: "/", Backend: networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "web", Port: networkingv1.ServiceBackendPort{Number: 80}}},
			}}}},
		}}}},
		&networkingv1.NetworkPolicy{ObjectMeta: m("networkpolicy")},
		&corev1.ConfigMap{ObjectMeta: m("configmap"), Data: map[string]string{"b": canary, "a": canary}, BinaryData: map[string][]byte{"c": []byte(canary)}},
		&corev1.Secret{ObjectMeta: m("secret"), Type: corev1.SecretTypeOpaque, Data: map[string][]byte{"password": []byte(canary)}},
		&corev1.PersistentVolume{ObjectMeta: cluster("persistentvolume")},
		&corev1.PersistentVolumeClaim{ObjectMeta: m("persistentvolumeclaim")},
		&corev1.ServiceAccount{ObjectMeta: m("serviceaccount")},
		&corev1.ResourceQuota{ObjectMeta: m("resourcequota")},
		&corev1.LimitRange{ObjectMeta: m("limitrange")},
		&autoscalingv2.HorizontalPodAutoscaler{ObjectMeta: m("horizontalpodautoscaler"), Spec: autoscalingv2.HorizontalPodAutoscalerSpec{MinReplicas: &three, MaxReplicas: 5}},
		&policyv1.PodDisruptionBudget{ObjectMeta: m("poddisruptionbudget"), Spec: policyv1.PodDisruptionBudgetSpec{Selector: selector}},
		&corev1.Event{
			ObjectMeta: m("event"), InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "pod"}, Type: "Warning", Reason: "BackOff",
			Message: "Back-off restarting failed container", Count: 3, LastTimestamp: metav1.NewTime(noon),
		},
	}
}

func TestEveryKindIsShownWithoutItsValues(t *testing.T) {
	all := everyKind()
	r := newRunner(t, simulated(all...))
	seen := map[string]bool{}
	for _, o := range all {
		res := r.cfg.Converter.Resource(o)
		k := target(res.GetKind(), res.GetNamespace(), res.GetName())
		seen[k.GetKind()] = true
		t.Run(k.GetKind(), func(t *testing.T) {
			for verb, q := range map[string]*report.Query{
				"describe": {Ask: &report.Query_Describe{Describe: &report.DescribeQuery{Object: k}}},
				"yaml":     {Ask: &report.Query_Yaml{Yaml: &report.YAMLQuery{Object: k}}},
			} {
				o := r.Query(t.Context(), q)
				text := string(o.GetText())
				if o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || text == "" {
					t.Errorf("%s: %v %s", verb, o.GetStatus(), o.GetMessage())
				}
				if strings.Contains(text, canary) || strings.Contains(text, "managedFields") || strings.Contains(text, "%!") {
					t.Errorf("%s shows what it must not:\n%s", verb, text)
				}
				if strings.Contains(text, "PASSWORD") && !strings.Contains(text, masked) {
					t.Errorf("%s drops a variable instead of masking it:\n%s", verb, text)
				}
			}
		})
	}
	for _, k := range kube.Kinds() {
		if !seen[k] {
			t.Errorf("no object of kind %s was tried", k)
		}
	}
}

func TestShownTextIsAsBefore(t *testing.T) {
	r := newRunner(t, simulated(everyKind()...))
	for name, q := range map[string]*report.Query{
		"describe-pod":         {Ask: &report.Query_Describe{Describe: &report.DescribeQuery{Object: target("Pod", "shop", "pod")}}},
		"describe-deployment":  {Ask: &report.Query_Describe{Describe: &report.DescribeQuery{Object: target("Deployment", "shop", "deployment")}}},
		"describe-statefulset": {Ask: &report.Query_Describe{Describe: &report.DescribeQuery{Object: target("StatefulSet", "shop", "statefulset")}}},
		"describe-ingress":     {Ask: &report.Query_Describe{Describe: &report.DescribeQuery{Object: target("Ingress", "shop", "ingress")}}},
		"describe-secret":      {Ask: &report.Query_Describe{Describe: &report.DescribeQuery{Object: target("Secret", "shop", "secret")}}},
		"yaml-configmap":       {Ask: &report.Query_Yaml{Yaml: &report.YAMLQuery{Object: target("ConfigMap", "shop", "configmap")}}},
		"yaml-deployment":      {Ask: &report.Query_Yaml{Yaml: &report.YAMLQuery{Object: target("Deployment", "shop", "deployment")}}},
	} {
		t.Run(name, func(t *testing.T) {
			// Ages grow as time passes, so they are not for a golden file.
			var lines []string
			for line := range strings.Lines(string(r.Query(t.Context(), q).GetText())) {
				if !strings.Contains(line, "BackOff") {
					lines = append(lines, strings.TrimRight(line, " \n"))
				}
			}
			got := strings.Join(lines, "\n") + "\n"
			path := filepath.Join("testdata", name+".golden")
			if *update {
				if err := os.MkdirAll("testdata", 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(got), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(string(want), got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestEventsOfAnObjectAndOfANamespace(t *testing.T) {
	older := &corev1.Event{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "older"}, InvolvedObject: corev1.ObjectReference{Kind: "Pod", Namespace: "shop", Name: "other"},
		Reason: "Pulled", LastTimestamp: metav1.NewTime(noon.Add(-time.Hour)),
	}
	r := newRunner(t, simulated(append(everyKind(), older)...))
	for name, c := range map[string]struct {
		query *report.EventsQuery
		want  string
	}{
		"of an object":            {&report.EventsQuery{Object: target("Pod", "shop", "pod")}, "BackOff"},
		"of a namespace, oldest":  {&report.EventsQuery{Object: target("", "shop", "")}, "Pulled BackOff"},
		"of a namespace's minute": {&report.EventsQuery{Object: target("", "shop", ""), Since: durationpb.New(time.Minute)}, "BackOff"},
		"of nothing":              {&report.EventsQuery{Object: target("Pod", "shop", "nobody")}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			o := r.Query(t.Context(), &report.Query{Ask: &report.Query_Events{Events: c.query}})
			var got []string
			for _, e := range o.GetEvents() {
				got = append(got, e.GetEvent().GetReason())
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("got %v, want %s", got, c.want)
			}
		})
	}
}
