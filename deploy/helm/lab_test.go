package helm_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/restmapper"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/bukahou/atlhyper/agent"
	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/uplink/enginefake"
	"github.com/bukahou/atlhyper/deploy/lab"
)

const installed = "atlhyper" // the namespace

// cluster applies manifests to the lab as kubectl apply --server-side does.
type cluster struct {
	t      *testing.T
	l      *lab.Lab
	mapper *restmapper.DeferredDiscoveryRESTMapper
	client dynamic.Interface
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	l := lab.ForTest(t)
	c := &cluster{t: t, l: l, mapper: restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(l.Client().Discovery())), client: dynamic.NewForConfigOrDie(l.RESTConfig())}
	if _, err := l.Client().CoreV1().Namespaces().Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: installed}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c *cluster) apply(o *unstructured.Unstructured, dryRun bool) {
	c.t.Helper()
	gvk := o.GroupVersionKind()
	m, err := c.mapper.RESTMapping(gvk.GroupKind(), gvk.Version)
	if err != nil {
		c.t.Fatal(err)
	}
	options := metav1.ApplyOptions{FieldManager: "chart-test", Force: true}
	if dryRun {
		options.DryRun = []string{metav1.DryRunAll}
	}
	var r dynamic.ResourceInterface = c.client.Resource(m.Resource)
	if ns := o.GetNamespace(); ns != "" {
		r = c.client.Resource(m.Resource).Namespace(ns)
	}
	if _, err := r.Apply(c.t.Context(), o.GetName(), o, options); err != nil {
		c.t.Errorf("%s %s: %v", o.GetKind(), o.GetName(), err)
	}
}

func manifest(t *testing.T, name string) []*unstructured.Unstructured {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("..", "manifests", name))
	if err != nil {
		t.Fatal(err)
	}
	return objects(t, raw)
}

// rights really applies a manifest's account and its roles, and nothing that would run.
func (c *cluster) rights(name string) {
	c.t.Helper()
	for _, o := range manifest(c.t, name) {
		switch o.GetKind() {
		case "ServiceAccount", "ClusterRole", "ClusterRoleBinding":
			c.apply(o, false)
		}
	}
}

// account is a client with the token of the chart's service account, and with nothing else.
func (c *cluster) account() *rest.Config {
	c.t.Helper()
	hour := int64(3600)
	token, err := c.l.Client().CoreV1().ServiceAccounts(installed).CreateToken(c.t.Context(), "atlhyper-agent", &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &hour}}, metav1.CreateOptions{})
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := rest.AnonymousClientConfig(c.l.RESTConfig())
	cfg.BearerToken = token.Status.Token
	return cfg
}

func TestARealAPIServerTakesEveryManifest(t *testing.T) {
	c := newCluster(t)
	files, err := filepath.Glob("../manifests/*.yaml")
	if err != nil || len(files) != len(manifests) {
		t.Fatalf("%v, %v", files, err)
	}
	n := 0
	for _, f := range files {
		for _, o := range manifest(t, filepath.Base(f)) {
			c.apply(o, true)
			n++
		}
	}
	if n < 15 {
		t.Errorf("only %d objects were tried", n)
	}
}

// TestTheAgentWorksWithExactlyTheRightsOfItsChart runs the agent as the chart's service account: what documents promise
// works, everything else is the API server's to forbid.
func TestTheAgentWorksWithExactlyTheRightsOfItsChart(t *testing.T) {
	c := newCluster(t)
	if err := c.l.SeedShop(t.Context()); err != nil {
		t.Fatal(err)
	}
	cron := &report.ResourceKey{Kind: "CronJob", Namespace: lab.ShopNamespace, Name: "report"}
	_, err := c.l.Client().BatchV1().CronJobs(cron.GetNamespace()).Create(t.Context(), &batchv1.CronJob{
		ObjectMeta: metav1.ObjectMeta{Name: cron.GetName()},
		Spec: batchv1.CronJobSpec{Schedule: "0 4 * * *", JobTemplate: batchv1.JobTemplateSpec{Spec: batchv1.JobSpec{Template: corev1.PodTemplateSpec{
			Spec: corev1.PodSpec{RestartPolicy: corev1.RestartPolicyNever, Containers: []corev1.Container{{Name: "report", Image: "shop/report:v1"}}},
		}}}},
	}, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	c.rights("agent.yaml")
	cfg := c.account()
	const token = "cluster-token"
	engine := enginefake.New(t, token)
	a, err := agent.New(agent.Config{
		Cluster: "lab", EngineURL: engine.URL(), Token: token, Client: kubernetes.NewForConfigOrDie(cfg), Dynamic: dynamic.NewForConfigOrDie(cfg), Metrics: metrics.NewForConfigOrDie(cfg), DataDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- a.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	select {
	case <-a.Synced():
	case <-time.After(60 * time.Second):
		t.Fatal("the agent did not read the cluster")
	}
	for _, k := range kube.Kinds() {
		want := report.KindStatus_STATE_SYNCED
		if k == "Secret" {
			want = report.KindStatus_STATE_FORBIDDEN
		}
		engine.WaitKind(t, k, want)
	}

	cart := &report.ResourceKey{Kind: "Deployment", Namespace: lab.ShopNamespace, Name: "cart"}
	var pod *report.ResourceKey
	for k := range engine.State() {
		if k.Kind == "Pod" && strings.HasPrefix(k.Name, "cart-") {
			pod = &report.ResourceKey{Kind: "Pod", Namespace: k.Namespace, Name: k.Name}
		}
	}
	node := &report.ResourceKey{Kind: "Node"}
	for k := range engine.State() {
		if k.Kind == "Node" {
			node.Name = k.Name
		}
	}
	if pod == nil || node.Name == "" {
		t.Fatal("no pod of cart, or no node")
	}
	for id, q := range map[string]*report.Query{
		"logs":     {Ask: &report.Query_Logs{Logs: &report.LogsQuery{Object: pod}}},
		"describe": {Ask: &report.Query_Describe{Describe: &report.DescribeQuery{Object: cart}}},
		"yaml":     {Ask: &report.Query_Yaml{Yaml: &report.YAMLQuery{Object: cart}}},
		"history":  {Ask: &report.Query_RolloutHistory{RolloutHistory: &report.RolloutHistoryQuery{Object: cart}}},
		"rollout":  {Ask: &report.Query_RolloutStatus{RolloutStatus: &report.RolloutStatusQuery{Object: cart}}},
	} {
		q.Id = id
		engine.Ask(t, q)
		if o := engine.Outcome(t, id); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
			t.Errorf("%s: %v", id, o)
		}
	}

	commands := func(prefix string) map[string]*report.Command {
		return map[string]*report.Command{
			prefix + "restart":  {Target: cart, Change: &report.Command_RolloutRestart{RolloutRestart: &report.RolloutRestart{}}},
			prefix + "scale":    {Target: cart, Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 4}}},
			prefix + "image":    {Target: cart, Change: &report.Command_SetImage{SetImage: &report.SetImage{Container: "cart", Image: "shop/cart:v2"}}},
			prefix + "cordon":   {Target: node, Change: &report.Command_Cordon{Cordon: &report.Cordon{}}},
			prefix + "pod":      {Target: pod, Change: &report.Command_DeletePod{DeletePod: &report.DeletePod{}}},
			prefix + "drain":    {Target: node, Change: &report.Command_Drain{Drain: &report.Drain{}}},
			prefix + "uncordon": {Target: node, Change: &report.Command_Uncordon{Uncordon: &report.Uncordon{}}},
			prefix + "pause":    {Target: cart, Change: &report.Command_RolloutPause{RolloutPause: &report.RolloutPause{}}},
			prefix + "resume":   {Target: cart, Change: &report.Command_RolloutResume{RolloutResume: &report.RolloutResume{}}},
			prefix + "taint":    {Target: node, Change: &report.Command_SetTaint{SetTaint: &report.SetTaint{Taint: &report.Taint{Key: "example.com/spare", Effect: "PreferNoSchedule"}}}},
			prefix + "untaint":  {Target: node, Change: &report.Command_RemoveTaint{RemoveTaint: &report.RemoveTaint{Key: "example.com/spare"}}},
			prefix + "label":    {Target: cart, Change: &report.Command_SetLabel{SetLabel: &report.SetLabel{Key: "example.com/team", Value: "shop"}}},
			prefix + "annotate": {Target: cart, Change: &report.Command_SetAnnotation{SetAnnotation: &report.SetAnnotation{Key: "example.com/note", Value: "x"}}},
			prefix + "cron":     {Target: cron, Change: &report.Command_RunCronJob{RunCronJob: &report.RunCronJob{Job: "report-by-hand"}}},
			prefix + "job":      {Target: &report.ResourceKey{Kind: "Job", Namespace: lab.ShopNamespace, Name: "report-by-hand"}, Change: &report.Command_DeleteJob{DeleteJob: &report.DeleteJob{}}},
		}
	}
	// Without a verb the API server refuses already the dry run, so that nobody is ever asked to approve it.
	for id, cmd := range commands("read-") {
		cmd.Id, cmd.DryRun = id, true
		if strings.HasSuffix(id, "-job") {
			continue // it is not there yet
		}
		engine.Order(t, cmd)
		if o := engine.Outcome(t, id); o.GetStatus() == report.Outcome_STATUS_SUCCEEDED || !strings.Contains(o.GetMessage(), "may not") {
			t.Errorf("%s: %v", id, o)
		}
	}
	c.rights("agent-all-verbs.yaml")
	order := commands("write-")
	for _, id := range []string{
		"write-pod", // first: what follows replaces the pods
		"write-restart", "write-scale", "write-image", "write-pause", "write-resume", "write-label", "write-annotate", "write-cron", "write-job",
		"write-cordon", "write-uncordon", "write-taint", "write-untaint", "write-drain",
	} {
		cmd := order[id]
		cmd.Id = id
		engine.Order(t, cmd)
		if o := engine.Outcome(t, id); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
			t.Errorf("%s: %v", id, o)
		}
	}

	reviews := kubernetes.NewForConfigOrDie(cfg).AuthorizationV1().SelfSubjectAccessReviews()
	for _, never := range []authorizationv1.ResourceAttributes{
		{Verb: "get", Resource: "secrets"}, {Verb: "list", Resource: "secrets"}, {Verb: "create", Resource: "pods"}, {Verb: "create", Resource: "pods", Subresource: "exec"},
		{Verb: "create", Resource: "pods", Subresource: "attach"}, {Verb: "create", Resource: "pods", Subresource: "portforward"}, {Verb: "get", Resource: "nodes", Subresource: "proxy"},
		{Verb: "patch", Group: "apps", Resource: "deployments"}, {Verb: "delete", Group: "apps", Resource: "deployments"}, {Verb: "create", Group: "apps", Resource: "deployments"},
		{Verb: "update", Resource: "configmaps"}, {Verb: "update", Resource: "services"}, {Verb: "delete", Resource: "nodes"}, {Verb: "delete", Resource: "namespaces"}, {Verb: "update", Resource: "pods"},
		{Verb: "create", Resource: "serviceaccounts", Subresource: "token"}, {Verb: "update", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"},
		{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "clusterrolebindings"}, {Verb: "impersonate", Resource: "users"}, {Verb: "deletecollection", Resource: "pods"},
		{Verb: "update", Group: "batch", Resource: "jobs"}, {Verb: "delete", Resource: "persistentvolumeclaims"},
	} {
		r, err := reviews.Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: &never}}, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Status.Allowed {
			t.Errorf("even with every verb switched on the agent must not %s %s/%s/%s", never.Verb, never.Group, never.Resource, never.Subresource)
		}
	}
}
