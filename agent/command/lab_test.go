package command

import (
	"os"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/deploy/lab"
)

var shared lab.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// eventually waits for what a controller of the real cluster does.
func eventually(t *testing.T, what string, cond func() bool) {
	t.Helper()
	for deadline := time.Now().Add(90 * time.Second); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		if cond() {
			return
		}
	}
	t.Fatalf("not within 90 s: %s", what)
}

func labTemplate(image string) corev1.PodTemplateSpec {
	t := template(image)
	t.Spec.Containers = t.Spec.Containers[:1]
	return t
}

// labWorkloads makes a Deployment, a StatefulSet and a DaemonSet of two revisions each in a namespace of their own.
func labWorkloads(t *testing.T, client kubernetes.Interface, ns string) {
	t.Helper()
	ctx := t.Context()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	_, err := client.CoreV1().Namespaces().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, metav1.CreateOptions{})
	must(err)
	two := int32(2)
	label := func(name string) (*metav1.LabelSelector, corev1.PodTemplateSpec) {
		tm := labTemplate("web:v1")
		tm.Labels = map[string]string{"app": name}
		return &metav1.LabelSelector{MatchLabels: tm.Labels}, tm
	}
	s, tm := label("web")
	_, err = client.AppsV1().Deployments(ns).Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{Replicas: &two, Selector: s, Template: tm}}, metav1.CreateOptions{})
	must(err)
	s, tm = label("db")
	_, err = client.AppsV1().StatefulSets(ns).Create(ctx, &appsv1.StatefulSet{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: appsv1.StatefulSetSpec{Replicas: &two, Selector: s, Template: tm, ServiceName: "db"}}, metav1.CreateOptions{})
	must(err)
	s, tm = label("log")
	_, err = client.AppsV1().DaemonSets(ns).Create(ctx, &appsv1.DaemonSet{ObjectMeta: metav1.ObjectMeta{Name: "log"}, Spec: appsv1.DaemonSetSpec{Selector: s, Template: tm}}, metav1.CreateOptions{})
	must(err)
	eventually(t, "first revisions run", func() bool {
		d, err := client.AppsV1().Deployments(ns).Get(ctx, "web", metav1.GetOptions{})
		must(err)
		s, err := client.AppsV1().StatefulSets(ns).Get(ctx, "db", metav1.GetOptions{})
		must(err)
		l, err := client.AppsV1().DaemonSets(ns).Get(ctx, "log", metav1.GetOptions{})
		must(err)
		return d.Status.ReadyReplicas == 2 && s.Status.ReadyReplicas == 2 && l.Status.NumberReady > 0 && l.Status.NumberReady == l.Status.DesiredNumberScheduled
	})
}

func TestCommandsOnARealAPIServer(t *testing.T) {
	client := shared.Lab(t).Client()
	const ns = "command-verbs"
	labWorkloads(t, client, ns)
	r := newRunner(t, client, func(c *Config) { c.Now = time.Now })
	kinds := map[string]string{"Deployment": "web", "StatefulSet": "db", "DaemonSet": "log"}
	image := func(kind string) string {
		o, err := r.get(t.Context(), target(kind, ns, kinds[kind]))
		if err != nil {
			t.Fatal(err)
		}
		return workloadOf(o.(object)).template.Spec.Containers[0].Image
	}
	// run previews a command, checks that nothing changed, runs it under the preview's preconditions and gives both
	// outcomes.
	run := func(t *testing.T, c *report.Command) (preview, o *report.Outcome) {
		t.Helper()
		c.Id, c.DryRun = t.Name(), true
		before, err := r.get(t.Context(), c.Target)
		if err != nil {
			t.Fatal(err)
		}
		preview = r.Command(t.Context(), c)
		if preview.GetStatus() != report.Outcome_STATUS_SUCCEEDED || len(preview.GetChanges()) == 0 {
			t.Fatalf("dry run: %v %s", preview.GetStatus(), preview.GetMessage())
		}
		after, err := r.get(t.Context(), c.Target)
		if err != nil || len(diff(before, after)) != 0 {
			t.Fatalf("the dry run changed the object: %v %v", err, diff(before, after))
		}
		c.DryRun, c.Uid, c.ResourceVersion = false, preview.GetUid(), preview.GetResourceVersion()
		o = r.Command(t.Context(), c)
		if o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || changes(o) == "" {
			t.Fatalf("command: %v %s", o.GetStatus(), o.GetMessage())
		}
		if strings.Contains(preview.String()+o.String(), canary) {
			t.Error("an environment value is in an outcome")
		}
		return preview, o
	}
	for kind, name := range kinds {
		t.Run("set image and roll back a "+kind, func(t *testing.T) {
			_, o := run(t, &report.Command{Target: target(kind, ns, name), Change: &report.Command_SetImage{SetImage: &report.SetImage{Image: "web:v2"}}})
			if image(kind) != "web:v2" || changes(o) != "spec.template.spec.containers[web].image: web:v1 → web:v2" || len(o.GetTouched()) == 0 {
				t.Errorf("image %s, changes %s, touched %v", image(kind), changes(o), o.GetTouched())
			}
			history := func() []*report.Revision {
				return r.Query(t.Context(), &report.Query{Ask: &report.Query_RolloutHistory{RolloutHistory: &report.RolloutHistoryQuery{Object: target(kind, ns, name)}}}).GetRevisions()
			}
			eventually(t, "second revision of "+kind, func() bool { h := history(); return len(h) == 2 && h[1].GetCurrent() })
			if h := history(); h[0].GetImages()["web"] != "web:v1" || h[1].GetImages()["web"] != "web:v2" {
				t.Errorf("history %v", h)
			}
			live, err := r.get(t.Context(), target(kind, ns, name))
			if err != nil {
				t.Fatal(err)
			}
			if h, want := history()[1].GetTemplateHash(), r.cfg.Converter.Resource(live).GetWorkload().GetTemplateHash(); h != want {
				t.Errorf("the current revision's template hash %s is not the object's %s", h, want)
			}
		})
		t.Run("roll back a "+kind, func(t *testing.T) {
			run(t, &report.Command{Target: target(kind, ns, name), Change: &report.Command_Rollback{Rollback: &report.Rollback{}}})
			if image(kind) != "web:v1" {
				t.Errorf("image %s", image(kind))
			}
		})
		t.Run("restart a "+kind, func(t *testing.T) {
			run(t, &report.Command{Target: target(kind, ns, name), Change: &report.Command_RolloutRestart{RolloutRestart: &report.RolloutRestart{}}})
			eventually(t, "the restart of "+kind+" is rolled out", func() bool {
				o := r.Query(t.Context(), &report.Query{Ask: &report.Query_RolloutStatus{RolloutStatus: &report.RolloutStatusQuery{Object: target(kind, ns, name)}}})
				return strings.Contains(o.GetMessage(), "successfully rolled out") || strings.Contains(o.GetMessage(), "roll out complete") || strings.Contains(o.GetMessage(), "update complete")
			})
		})
	}
	t.Run("scale a StatefulSet down and name the pods that go", func(t *testing.T) {
		_, o := run(t, &report.Command{Target: target("StatefulSet", ns, "db"), Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 1}}})
		if len(o.GetTouched()) != 1 || o.GetTouched()[0].GetName() != "db-1" {
			t.Errorf("touched %v", o.GetTouched())
		}
	})
	t.Run("scale a Deployment up", func(t *testing.T) {
		run(t, &report.Command{Target: target("Deployment", ns, "web"), Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 4}}})
		eventually(t, "4 replicas run", func() bool {
			d, err := client.AppsV1().Deployments(ns).Get(t.Context(), "web", metav1.GetOptions{})
			return err == nil && d.Status.ReadyReplicas == 4
		})
	})
	t.Run("delete a pod once", func(t *testing.T) {
		pods, err := r.podsOf(t.Context(), ns, &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}})
		if err != nil || len(pods) == 0 {
			t.Fatalf("%d pods, %v", len(pods), err)
		}
		k := target("Pod", ns, pods[0].Name)
		c := &report.Command{Id: "delete", Target: k, Uid: string(pods[0].UID), DryRun: true, Change: &report.Command_DeletePod{DeletePod: &report.DeletePod{}}}
		if o := r.Command(t.Context(), c); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
			t.Fatalf("dry run: %v", o)
		}
		if p, err := client.CoreV1().Pods(ns).Get(t.Context(), k.Name, metav1.GetOptions{}); err != nil || p.DeletionTimestamp != nil {
			t.Fatalf("the dry run deleted the pod: %v", err)
		}
		c.DryRun = false
		if o := r.Command(t.Context(), c); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
			t.Fatalf("command: %v", o)
		}
		eventually(t, "the pod is gone", func() bool {
			p, err := client.CoreV1().Pods(ns).Get(t.Context(), k.Name, metav1.GetOptions{})
			return err != nil || p.DeletionTimestamp != nil
		})
	})
	t.Run("refuse an object that changed since the preview", func(t *testing.T) {
		c := &report.Command{Id: "stale", Target: target("Deployment", ns, "web"), DryRun: true, Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 1}}}
		preview := r.Command(t.Context(), c)
		patch := []byte(`{"spec":{"minReadySeconds":1}}`) // its controller writes to it as well, and a patch minds nobody
		if _, err := client.AppsV1().Deployments(ns).Patch(t.Context(), "web", types.MergePatchType, patch, metav1.PatchOptions{}); err != nil {
			t.Fatal(err)
		}
		c.DryRun, c.Uid, c.ResourceVersion = false, preview.GetUid(), preview.GetResourceVersion()
		if o := r.Command(t.Context(), c); o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "changed since the preview") {
			t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
		}
	})
	t.Run("drain a node as far as the budget allows", func(t *testing.T) {
		budget := &policyv1.PodDisruptionBudget{ObjectMeta: metav1.ObjectMeta{Name: "db"}, Spec: policyv1.PodDisruptionBudgetSpec{
			MinAvailable: &intstr.IntOrString{IntVal: 1}, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "db"}},
		}}
		if _, err := client.PolicyV1().PodDisruptionBudgets(ns).Create(t.Context(), budget, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		var db *corev1.Pod
		eventually(t, "db-0 runs and its budget is known", func() bool {
			var err error
			db, err = client.CoreV1().Pods(ns).Get(t.Context(), "db-0", metav1.GetOptions{})
			b, missing := client.PolicyV1().PodDisruptionBudgets(ns).Get(t.Context(), "db", metav1.GetOptions{})
			return err == nil && missing == nil && db.Status.Phase == corev1.PodRunning && b.Status.CurrentHealthy == 1
		})
		node := target("Node", "", db.Spec.NodeName)
		c := &report.Command{Id: "drain", Target: node, DryRun: true, Change: &report.Command_Drain{Drain: &report.Drain{Timeout: durationpb.New(3 * time.Second)}}}
		if o := r.Command(t.Context(), c); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || !strings.Contains(o.GetMessage(), "poddisruptionbudget "+ns+"/db") {
			t.Errorf("dry run: %v %s", o.GetStatus(), o.GetMessage())
		}
		c.DryRun = false
		if o := r.Command(t.Context(), c); o.GetStatus() != report.Outcome_STATUS_FAILED || !strings.Contains(o.GetMessage(), "db-0") || !strings.Contains(o.GetMessage(), "budget") {
			t.Errorf("with the budget: %v %s", o.GetStatus(), o.GetMessage())
		}
		if err := client.PolicyV1().PodDisruptionBudgets(ns).Delete(t.Context(), "db", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		c.Id, c.Change = "drain-2", &report.Command_Drain{Drain: &report.Drain{Timeout: durationpb.New(time.Minute)}}
		if o := r.Command(t.Context(), c); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
			t.Errorf("without the budget: %v %s", o.GetStatus(), o.GetMessage())
		}
		pods, err := r.podsOn(t.Context(), node.Name)
		if err != nil {
			t.Fatal(err)
		}
		for i := range pods {
			if owner := metav1.GetControllerOf(&pods[i]); owner == nil || owner.Kind != "DaemonSet" {
				t.Errorf("%s is still on the node", pods[i].Name)
			}
		}
		run(t, &report.Command{Target: node, Change: &report.Command_Uncordon{Uncordon: &report.Uncordon{}}})
	})
	t.Run("refuse what the agent's own rights do not allow", func(t *testing.T) {
		weak := rest.CopyConfig(shared.Lab(t).RESTConfig())
		weak.Impersonate = rest.ImpersonationConfig{UserName: "reader"}
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list"}}}}
		if _, err := client.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "reader"}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "reader"}}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "reader"}}
		if _, err := client.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		reader := newRunner(t, kubernetes.NewForConfigOrDie(weak))
		scale := &report.Command{Id: "weak", Target: target("Deployment", ns, "web"), Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 9}}}
		eventually(t, "the role is in force", func() bool {
			return reader.Query(t.Context(), &report.Query{Ask: &report.Query_Yaml{Yaml: &report.YAMLQuery{Object: scale.Target}}}).GetStatus() == report.Outcome_STATUS_SUCCEEDED
		})
		if o := reader.Command(t.Context(), scale); o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "own rights") {
			t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
		}
	})
}
