package agent

import (
	"bytes"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/uplink/enginefake"
	"github.com/bukahou/atlhyper/deploy/lab"
)

var shared lab.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// TestARealClusterEndToEnd takes one agent on a real API server through its day: report, change, outage, recovery.
func TestARealClusterEndToEnd(t *testing.T) {
	l := shared.Lab(t)
	client, ctx := l.Client(), t.Context()
	const ns = "end-to-end"
	create := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
	create(err)
	_, err = client.CoreV1().Secrets(ns).Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "db"}, StringData: map[string]string{"password": canary}}, metav1.CreateOptions{})
	create(err)
	_, err = client.CoreV1().ConfigMaps(ns).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "settings"}, Data: map[string]string{"mode": canary}}, metav1.CreateOptions{})
	create(err)
	two := int32(2)
	labels := map[string]string{"app": "web"}
	_, err = client.AppsV1().Deployments(ns).Create(ctx, &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Annotations: map[string]string{corev1.LastAppliedConfigAnnotation: canary}},
		Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: &metav1.LabelSelector{MatchLabels: labels}, Template: corev1.PodTemplateSpec{
			ObjectMeta: metav1.ObjectMeta{Labels: labels},
			Spec: corev1.PodSpec{Containers: []corev1.Container{{
				Name: "web", Image: "web:v1", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: canary}},
				EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "db"}}}},
			}}},
		}},
	}, metav1.CreateOptions{})
	create(err)

	engine := enginefake.New(t, token)
	a, _ := start(t, Config{
		EngineURL: engine.URL(), Client: client, Dynamic: dynamic.NewForConfigOrDie(l.RESTConfig()), Metrics: metrics.NewForConfigOrDie(l.RESTConfig()), TickInterval: 200 * time.Millisecond,
	})
	synced(t, a)
	web := key("Deployment", ns, "web")
	available := func(n int32) func(map[kube.Key]*report.Resource) bool {
		return func(s map[kube.Key]*report.Resource) bool { return s[web].GetWorkload().GetAvailable() == n }
	}
	engine.WaitFor(t, "2 available replicas", available(2))
	if join := engine.Joins()[0]; join.GetClusterUid() == "" || !strings.HasPrefix(join.GetKubernetesVersion(), "v1.") {
		t.Errorf("join said %v", join)
	}
	engine.WaitFrames(t, 1)
	if src := engine.Frames()[0].GetSources()[0]; src.GetAvailable() || !strings.Contains(src.GetMessage(), "metrics-server") {
		t.Errorf("a cluster without a metrics API says %v", src)
	}

	engine.Order(t, &report.Command{Id: "scale", Target: web.Report(), Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 3}}})
	if o := engine.Outcome(t, "scale"); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
		t.Fatalf("scale: %v", o)
	}
	engine.WaitFor(t, "3 available replicas", available(3))
	n := 0
	ask := func(q *report.Query) *report.Outcome {
		n++
		q.Id = fmt.Sprint("q-", n)
		engine.Ask(t, q)
		return engine.Outcome(t, q.Id)
	}
	for k := range engine.State() {
		if k.Namespace != ns && k.Kind != "Node" {
			continue
		}
		for _, q := range []*report.Query{
			{Ask: &report.Query_Describe{Describe: &report.DescribeQuery{Object: k.Report()}}},
			{Ask: &report.Query_Yaml{Yaml: &report.YAMLQuery{Object: k.Report()}}},
		} {
			// An event or a pod may be gone meanwhile, which is refused.
			if o := ask(q); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED && !strings.Contains(o.GetMessage(), "does not exist") {
				t.Errorf("%v: %v %s", q.GetAsk(), o.GetStatus(), o.GetMessage())
			}
		}
	}
	logs := ask(&report.Query{Ask: &report.Query_Logs{Logs: &report.LogsQuery{Object: web.Report(), Tail: 5}}})
	if logs.GetStatus() != report.Outcome_STATUS_SUCCEEDED || !bytes.Contains(logs.GetText(), []byte(" | ")) {
		t.Errorf("logs of a workload: %v %q", logs, logs.GetText())
	}
	if bytes.Contains(engine.Everything(), []byte(canary)) {
		t.Error("a value left the cluster")
	}

	if err := l.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	engine.WaitKind(t, "Pod", report.KindStatus_STATE_FAILING)
	if !available(3)(engine.State()) {
		t.Error("the last known state was taken back")
	}
	if err := l.StartAPIServer(ctx); err != nil {
		t.Fatal(err)
	}
	for _, k := range kube.Kinds() {
		engine.WaitKind(t, k, report.KindStatus_STATE_SYNCED)
	}
	engine.WaitFor(t, "3 available replicas still", available(3))
}
