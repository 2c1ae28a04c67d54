package command

import (
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bukahou/atlhyper/agent/report"
)

func TestPausesJobsTaintsAndLabelsOnARealAPIServer(t *testing.T) {
	client := shared.Lab(t).Client()
	const ns = "command-marks"
	labWorkloads(t, client, ns)
	ctx := t.Context()
	r := newRunner(t, client, func(c *Config) { c.Now = time.Now })
	cron := &batchv1.CronJob{ObjectMeta: metav1.ObjectMeta{Name: "import"}, Spec: batchv1.CronJobSpec{
		Schedule: "0 3 1 1 *",
		JobTemplate: batchv1.JobTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "import"}}, Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "import", Image: "import:v1", Env: []corev1.EnvVar{{Name: "PASSWORD", Value: canary}}}}},
		}}},
	}}
	if _, err := client.BatchV1().CronJobs(ns).Create(ctx, cron, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	nodes, err := client.CoreV1().Nodes().List(ctx, metav1.ListOptions{})
	if err != nil || len(nodes.Items) == 0 {
		t.Fatalf("nodes: %v", err)
	}
	node := target("Node", "", nodes.Items[0].Name)
	web, importer := target("Deployment", ns, "web"), target("CronJob", ns, "import")
	// run previews a command, checks that the object is as it was, and runs it under the preview's preconditions, twice.
	run := func(t *testing.T, c *report.Command) *report.Outcome {
		t.Helper()
		before, err := r.get(ctx, c.Target)
		if err != nil {
			t.Fatal(err)
		}
		c.Id, c.DryRun = t.Name(), true
		preview := r.Command(ctx, c)
		if preview.GetStatus() != report.Outcome_STATUS_SUCCEEDED || len(preview.GetChanges()) == 0 {
			t.Fatalf("dry run: %v %s", preview.GetStatus(), preview.GetMessage())
		}
		if after, err := r.get(ctx, c.Target); err != nil || len(diff(before, after)) != 0 {
			t.Fatalf("the dry run changed the object: %v %v", err, diff(before, after))
		}
		c.DryRun, c.Uid, c.ResourceVersion = false, preview.GetUid(), preview.GetResourceVersion()
		o := r.Command(ctx, c)
		if o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || changes(o) != changes(preview) {
			t.Fatalf("command: %v %s: %s, want %s", o.GetStatus(), o.GetMessage(), changes(o), changes(preview))
		}
		if again := r.Command(ctx, c); again.GetMessage() != o.GetMessage() {
			t.Errorf("the journal answers %q", again.GetMessage())
		}
		if strings.Contains(preview.String()+o.String(), canary) {
			t.Error("an environment value is in an outcome")
		}
		return o
	}
	deployment := func() *appsv1.Deployment {
		d, err := client.AppsV1().Deployments(ns).Get(ctx, "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	t.Run("pause and resume", func(t *testing.T) {
		t.Run("pause", func(t *testing.T) {
			run(t, &report.Command{Target: web, Change: &report.Command_RolloutPause{RolloutPause: &report.RolloutPause{}}})
		})
		if !deployment().Spec.Paused {
			t.Error("it is not paused")
		}
		restart := &report.Command{Id: "r", DryRun: true, Target: web, Change: &report.Command_RolloutRestart{RolloutRestart: &report.RolloutRestart{}}}
		if o := r.Command(ctx, restart); o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "paused") {
			t.Errorf("a restart: %v %s", o.GetStatus(), o.GetMessage())
		}
		t.Run("resume", func(t *testing.T) {
			run(t, &report.Command{Target: web, Change: &report.Command_RolloutResume{RolloutResume: &report.RolloutResume{}}})
		})
		if deployment().Spec.Paused {
			t.Error("it is still paused")
		}
	})
	t.Run("label and annotate", func(t *testing.T) {
		t.Run("label", func(t *testing.T) {
			o := run(t, &report.Command{Target: web, Change: &report.Command_SetLabel{SetLabel: &report.SetLabel{Key: "team", Value: "shop"}}})
			if changes(o) != "metadata.labels: → present" && !strings.Contains(changes(o), "team") {
				t.Errorf("changes %s", changes(o))
			}
		})
		t.Run("annotate", func(t *testing.T) {
			run(t, &report.Command{Target: web, Change: &report.Command_SetAnnotation{SetAnnotation: &report.SetAnnotation{Key: "example.com/note", Value: "held back"}}})
		})
		if d := deployment(); d.Labels["team"] != "shop" || d.Annotations["example.com/note"] != "held back" || d.Spec.Template.Labels["team"] != "" {
			t.Errorf("labels %v, annotations %v", d.Labels, d.Annotations)
		}
		t.Run("unlabel", func(t *testing.T) {
			run(t, &report.Command{Target: web, Change: &report.Command_SetLabel{SetLabel: &report.SetLabel{Key: "team", Remove: true}}})
		})
		if _, is := deployment().Labels["team"]; is {
			t.Error("the label is still there")
		}
		t.Run("label a namespace", func(t *testing.T) {
			run(t, &report.Command{Target: target("Namespace", "", ns), Change: &report.Command_SetLabel{SetLabel: &report.SetLabel{Key: "team", Value: "shop"}}})
		})
		bad := &report.Command{Id: "bad", DryRun: true, Target: web, Change: &report.Command_SetLabel{SetLabel: &report.SetLabel{Key: "team", Value: "not a value!"}}}
		if o := r.Command(ctx, bad); o.GetStatus() == report.Outcome_STATUS_SUCCEEDED {
			t.Error("the API server took a bad label")
		}
	})
	t.Run("taint and untaint", func(t *testing.T) {
		taints := func() string {
			n, err := client.CoreV1().Nodes().Get(ctx, node.Name, metav1.GetOptions{})
			if err != nil {
				t.Fatal(err)
			}
			var out []string
			for _, x := range n.Spec.Taints {
				out = append(out, taintText(x.Key, x.Value, string(x.Effect)))
			}
			return strings.Join(out, " ")
		}
		t.Run("taint", func(t *testing.T) {
			run(t, &report.Command{Target: node, Change: &report.Command_SetTaint{SetTaint: &report.SetTaint{Taint: &report.Taint{Key: "gpu", Value: "yes", Effect: "NoSchedule"}}}})
		})
		if got := taints(); got != "gpu=yes:NoSchedule" {
			t.Errorf("taints %s", got)
		}
		t.Run("replace", func(t *testing.T) {
			run(t, &report.Command{Target: node, Change: &report.Command_SetTaint{SetTaint: &report.SetTaint{Taint: &report.Taint{Key: "gpu", Value: "no", Effect: "NoSchedule"}}}})
		})
		if got := taints(); got != "gpu=no:NoSchedule" {
			t.Errorf("taints %s", got)
		}
		t.Run("untaint", func(t *testing.T) {
			run(t, &report.Command{Target: node, Change: &report.Command_RemoveTaint{RemoveTaint: &report.RemoveTaint{Key: "gpu"}}})
		})
		if got := taints(); got != "" {
			t.Errorf("taints %s", got)
		}
	})
	t.Run("run a cronjob and delete its job", func(t *testing.T) {
		const name = "import-manual-abc"
		t.Run("run", func(t *testing.T) {
			run(t, &report.Command{Target: importer, Change: &report.Command_RunCronJob{RunCronJob: &report.RunCronJob{Job: name}}})
		})
		job, err := client.BatchV1().Jobs(ns).Get(ctx, name, metav1.GetOptions{})
		if err != nil || !metav1.IsControlledBy(job, mustCron(t, client, ns)) || job.Annotations[instantiate] != "manual" || job.Labels["app"] != "import" {
			t.Fatalf("%v: %+v", err, job.ObjectMeta)
		}
		eventually(t, "the job has a pod", func() bool {
			pods, err := r.podsOf(ctx, ns, job.Spec.Selector)
			return err == nil && len(pods) == 1
		})
		second := &report.Command{Id: "second", Target: importer, Change: &report.Command_RunCronJob{RunCronJob: &report.RunCronJob{Job: name}}}
		if o := r.Command(ctx, second); o.GetStatus() != report.Outcome_STATUS_UNKNOWN {
			t.Errorf("a job of that name is there, and the answer is %v %s", o.GetStatus(), o.GetMessage())
		}
		c := &report.Command{Id: "gone", DryRun: true, Target: target("Job", ns, name), Uid: string(job.UID), Change: &report.Command_DeleteJob{DeleteJob: &report.DeleteJob{}}}
		if o := r.Command(ctx, c); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || len(o.GetTouched()) != 2 {
			t.Fatalf("dry run: %v", o)
		}
		if _, err := client.BatchV1().Jobs(ns).Get(ctx, name, metav1.GetOptions{}); err != nil {
			t.Fatalf("the dry run deleted it: %v", err)
		}
		c.DryRun, c.Uid = false, "another"
		c.Id = "wrong"
		if o := r.Command(ctx, c); o.GetStatus() != report.Outcome_STATUS_REFUSED {
			t.Errorf("another uid: %v %s", o.GetStatus(), o.GetMessage())
		}
		c.Id, c.Uid = "right", string(job.UID)
		if o := r.Command(ctx, c); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
			t.Fatalf("command: %v", o)
		}
		eventually(t, "the job is gone", func() bool {
			_, err := client.BatchV1().Jobs(ns).Get(ctx, name, metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		})
	})
	t.Run("a cronjob that changed since the preview is not run", func(t *testing.T) {
		c := &report.Command{Id: "stale", DryRun: true, Target: importer, Change: &report.Command_RunCronJob{RunCronJob: &report.RunCronJob{Job: "import-manual-old"}}}
		preview := r.Command(ctx, c)
		now := mustCron(t, client, ns)
		now.Spec.JobTemplate.Spec.Template.Spec.Containers[0].Image = "evil:v1"
		if _, err := client.BatchV1().CronJobs(ns).Update(ctx, now, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		c.DryRun, c.Uid, c.ResourceVersion = false, preview.GetUid(), preview.GetResourceVersion()
		if o := r.Command(ctx, c); o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "changed since the preview") {
			t.Errorf("%v %s", o.GetStatus(), o.GetMessage())
		}
	})
}

func mustCron(t *testing.T, client kubernetes.Interface, ns string) *batchv1.CronJob {
	t.Helper()
	c, err := client.BatchV1().CronJobs(ns).Get(t.Context(), "import", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// allow gives a user rights in the lab.
func allow(t *testing.T, client kubernetes.Interface, user string, rules ...rbacv1.PolicyRule) {
	t.Helper()
	role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "may-" + user}, Rules: rules}
	if _, err := client.RbacV1().ClusterRoles().Create(t.Context(), role, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "may-" + user}, Subjects: []rbacv1.Subject{{Kind: "User", Name: user}}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: "may-" + user}}
	if _, err := client.RbacV1().ClusterRoleBindings().Create(t.Context(), binding, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
}

func TestTheClustersOwnRulesDecideOnARealAPIServer(t *testing.T) {
	l := shared.Lab(t)
	client := l.Client()
	const ns = "command-rights"
	labWorkloads(t, client, ns)
	as := func(user string, groups ...string) kubernetes.Interface {
		cfg := rest.CopyConfig(l.RESTConfig())
		cfg.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
		return kubernetes.NewForConfigOrDie(cfg)
	}
	read := rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"get", "list"}}
	allow(t, client, "drainer", read, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"nodes"}, Verbs: []string{"update"}})
	allow(t, client, "mia@example.com", read, rbacv1.PolicyRule{APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: []string{"update"}})
	pods, err := client.CoreV1().Pods(ns).List(t.Context(), metav1.ListOptions{})
	if err != nil || len(pods.Items) == 0 {
		t.Fatal(err)
	}
	drain := &report.Command{Id: "d", DryRun: true, Target: target("Node", "", pods.Items[0].Spec.NodeName), Change: &report.Command_Drain{Drain: &report.Drain{DeleteEmptyDirData: true, Timeout: durationpb.New(time.Minute)}}}
	weak := newRunner(t, as("drainer"), func(c *Config) { c.Now = time.Now })
	eventually(t, "the rights are in force", func() bool {
		return weak.Query(t.Context(), &report.Query{Ask: &report.Query_Yaml{Yaml: &report.YAMLQuery{Object: drain.Target}}}).GetStatus() == report.Outcome_STATUS_SUCCEEDED
	})
	// The cordon alone would pass the dry run.
	if o := weak.Command(t.Context(), drain); o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "the agent may not create pods/eviction in namespace") {
		t.Errorf("a drain without the right to evict: %v %s", o.GetStatus(), o.GetMessage())
	}

	strong := newRunner(t, client, func(c *Config) {
		c.Now = time.Now
		c.As = func(user string, groups []string) (kubernetes.Interface, error) { return as(user, groups...), nil }
	})
	scale := func(id, user string, dry bool) *report.Outcome {
		return strong.Command(t.Context(), &report.Command{
			Id: id, DryRun: dry, Target: target("Deployment", ns, "web"), OnBehalfOf: &report.Identity{User: user}, Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 3}},
		})
	}
	for user, want := range map[string]string{"ken@example.com": "ken@example.com may not update deployments", "": "acts for a person only", "system:masters": "acts for a person only"} {
		for _, dry := range []bool{true, false} {
			o := scale("no-"+user, user, dry)
			if o.GetStatus() != report.Outcome_STATUS_REFUSED || dry && !strings.Contains(o.GetMessage(), want) {
				t.Errorf("%q, dry %v: %v %s", user, dry, o.GetStatus(), o.GetMessage())
			}
		}
	}
	if d, err := client.AppsV1().Deployments(ns).Get(t.Context(), "web", metav1.GetOptions{}); err != nil || *d.Spec.Replicas != 2 {
		t.Errorf("it was scaled to %d, %v", *d.Spec.Replicas, err)
	}
	for _, dry := range []bool{true, false} {
		if o := scale("yes", "mia@example.com", dry); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
			t.Errorf("dry %v: %v %s", dry, o.GetStatus(), o.GetMessage())
		}
	}
}
