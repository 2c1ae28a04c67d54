package kube

import (
	"context"
	"errors"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	"k8s.io/client-go/rest"
	ktesting "k8s.io/client-go/testing"

	"go.uber.org/goleak"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/deploy/lab"
)

var shared lab.Shared

func TestMain(m *testing.M) { os.Exit(shared.Run(m)) }

// recorder is a Sink that counts.
type recorder struct {
	mu      sync.Mutex
	changes map[Key]int
	news    chan struct{}
}

func newRecorder() *recorder {
	return &recorder{changes: map[Key]int{}, news: make(chan struct{}, 1)}
}

func (r *recorder) Changed(k Key) {
	r.mu.Lock()
	r.changes[k]++
	r.mu.Unlock()
	r.KindChanged()
}

func (r *recorder) KindChanged() {
	select {
	case r.news <- struct{}{}:
	default:
	}
}

func (r *recorder) count(k Key) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changes[k]
}

func (r *recorder) until(t *testing.T, what string, cond func() bool) {
	t.Helper()
	deadline := time.After(90 * time.Second)
	for !cond() {
		select {
		case <-r.news:
		case <-time.After(50 * time.Millisecond):
		case <-deadline:
			t.Fatalf("not within 90 s: %s", what)
		}
	}
}

func follow(t *testing.T, cfg Config) (*Watcher, *recorder, context.CancelFunc) {
	t.Helper()
	sink := newRecorder()
	cfg.Sink, cfg.Converter = sink, NewConverter("test")
	w, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.Run(ctx)
	}()
	stop := sync.OnceFunc(func() {
		cancel()
		<-done
	})
	t.Cleanup(stop)
	return w, sink, stop
}

func settled(t *testing.T, w *Watcher) {
	t.Helper()
	select {
	case <-w.Settled():
	case <-time.After(60 * time.Second):
		t.Fatalf("not settled within 60 s: %v", w.Kinds())
	}
}

func state(w *Watcher, kind string) report.KindStatus_State {
	for _, k := range w.Kinds() {
		if k.GetKind() == kind {
			return k.GetState()
		}
	}
	return report.KindStatus_STATE_UNSPECIFIED
}

func TestOnlyWhatIsReportedCountsAsAChange(t *testing.T) {
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1"}, Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{
		{Type: corev1.NodeReady, Status: corev1.ConditionTrue, LastHeartbeatTime: metav1.NewTime(time.Unix(1000, 0))},
	}}}
	event := &corev1.Event{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "e"}, Count: 1, LastTimestamp: metav1.NewTime(time.Unix(1000, 0))}
	client := fake.NewClientset(node, event)
	w, sink, _ := follow(t, Config{Client: client})
	settled(t, w)
	k := Key{"Node", "", "worker-1"}
	edit := func(f func(*corev1.Node)) {
		t.Helper()
		n, err := client.CoreV1().Nodes().Get(t.Context(), "worker-1", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		f(n)
		if _, err := client.CoreV1().Nodes().Update(t.Context(), n, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	before := sink.count(k)
	edit(func(n *corev1.Node) { n.Status.Conditions[0].LastHeartbeatTime = metav1.NewTime(time.Unix(2000, 0)) })
	edit(func(n *corev1.Node) { n.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet"}} })
	edit(func(n *corev1.Node) { n.Annotations = map[string]string{"volumes.kubernetes.io/attached": "x"} })
	edit(func(n *corev1.Node) { n.Spec.Unschedulable = true })
	sink.until(t, "the cordon is told", func() bool { return sink.count(k) > before })
	if got := sink.count(k) - before; got != 1 {
		t.Errorf("told %d changes of the node, want only the cordon", got)
	}
	if !w.Resource(k).GetNode().GetUnschedulable() {
		t.Error("the newest form is not kept")
	}
	e, err := client.CoreV1().Events("shop").Get(t.Context(), "e", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	k = Key{"Event", "shop", "e"}
	before = sink.count(k)
	e.Count = 2
	if _, err := client.CoreV1().Events("shop").Update(t.Context(), e, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	sink.until(t, "the event's new count is told", func() bool { return sink.count(k) == before+1 })
}

func TestAKindThatIsLeftOutIsNeverRead(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("*", "secrets", func(a ktesting.Action) (bool, runtime.Object, error) {
		t.Errorf("%s of secrets", a.GetVerb())
		return false, nil, nil
	})
	w, _, _ := follow(t, Config{Client: client, Without: []string{"Secret"}})
	settled(t, w)
	if state(w, "Secret") != report.KindStatus_STATE_LEFT_OUT || state(w, "Pod") != report.KindStatus_STATE_SYNCED || w.Resource(Key{"Secret", "shop", "db"}) != nil || len(w.Resources("Secret")) > 0 {
		t.Errorf("got %v", w.Kinds())
	}
	if _, err := New(Config{Client: client, Converter: NewConverter("k"), Sink: &recorder{}, Without: []string{"secrets"}}); err == nil || !strings.Contains(err.Error(), `no kind "secrets"`) || !strings.Contains(err.Error(), "Secret") {
		t.Errorf("a kind that there is not: %v", err)
	}
}

func TestAForbiddenKindIsToldAndAppearsWhenRightsCome(t *testing.T) {
	client := fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "db"}})
	var mu sync.Mutex
	forbidden := true
	client.PrependReactor("list", "secrets", func(ktesting.Action) (bool, runtime.Object, error) {
		mu.Lock()
		defer mu.Unlock()
		return forbidden, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "secrets"}, "", errors.New("no"))
	})
	client.PrependReactor("list", "ingresses", func(ktesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewNotFound(schema.GroupResource{Resource: "ingresses"}, "")
	})
	w, sink, _ := follow(t, Config{Client: client})
	settled(t, w)
	if state(w, "Secret") != report.KindStatus_STATE_FORBIDDEN || state(w, "Ingress") != report.KindStatus_STATE_NOT_INSTALLED || state(w, "Pod") != report.KindStatus_STATE_SYNCED {
		t.Errorf("got %v", w.Kinds())
	}
	mu.Lock()
	forbidden = false
	mu.Unlock()
	sink.until(t, "secrets are synced", func() bool { return state(w, "Secret") == report.KindStatus_STATE_SYNCED })
	if w.Resource(Key{"Secret", "shop", "db"}) == nil {
		t.Error("the secret did not appear")
	}
}

func TestOneFailingKindDoesNotHoldUpTheOthers(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("list", "jobs", func(ktesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("conversion webhook failed")
	})
	w, _, _ := follow(t, Config{Client: client, Grace: 10 * time.Millisecond})
	settled(t, w)
	if state(w, "Job") != report.KindStatus_STATE_FAILING {
		t.Errorf("jobs are %v", state(w, "Job"))
	}
}

func TestNothingIsSettledWhileTheAPIServerIsAway(t *testing.T) {
	client := fake.NewClientset()
	client.PrependReactor("*", "*", func(ktesting.Action) (bool, runtime.Object, error) {
		return true, nil, errors.New("connection refused")
	})
	w, sink, _ := follow(t, Config{Client: client, Grace: time.Millisecond})
	sink.until(t, "every kind fails", func() bool { return len(w.Kinds()) == len(Kinds()) })
	select {
	case <-w.Settled():
		t.Error("an unreachable cluster was called complete")
	case <-time.After(50 * time.Millisecond):
	}
}

func TestTheListOfKindsIsWhatIsWatched(t *testing.T) {
	var names []string
	for _, k := range kinds(fake.NewClientset(), nil) {
		names = append(names, k.name)
	}
	if !slices.Equal(names, Kinds()) {
		t.Errorf("watched %v, named %v", names, Kinds())
	}
}

func TestRunLeavesNothingBehind(t *testing.T) {
	ignore := goleak.IgnoreCurrent()
	w, _, stop := follow(t, Config{Client: fake.NewClientset(&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "n"}})})
	settled(t, w)
	stop()
	goleak.VerifyNone(t, ignore)
}

func TestARealAPIServer(t *testing.T) {
	l := shared.Lab(t)
	client := l.Client()
	ctx := t.Context()
	// Somebody who may read all but secrets, until that is allowed too.
	weak := rest.CopyConfig(l.RESTConfig())
	weak.Impersonate = rest.ImpersonationConfig{UserName: "watcher"}
	grant := func(name string, resources ...string) {
		t.Helper()
		role := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: resources, Verbs: []string{"get", "list", "watch"}}}}
		if _, err := client.RbacV1().ClusterRoles().Create(ctx, role, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
		binding := &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: []rbacv1.Subject{{Kind: "User", Name: "watcher"}}, RoleRef: rbacv1.RoleRef{Kind: "ClusterRole", Name: name}}
		if _, err := client.RbacV1().ClusterRoleBindings().Create(ctx, binding, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	grant("most", "pods", "nodes", "namespaces", "deployments", "statefulsets", "daemonsets", "replicasets", "jobs", "cronjobs", "services",
		"endpointslices", "ingresses", "configmaps", "persistentvolumes", "persistentvolumeclaims", "networkpolicies", "serviceaccounts",
		"resourcequotas", "limitranges", "events", "horizontalpodautoscalers", "poddisruptionbudgets", "httproutes", "grpcroutes", "ingressroutes")
	if _, err := client.CoreV1().Secrets("default").Create(ctx, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "db"}, StringData: map[string]string{"password": "x"}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	w, sink, _ := follow(t, Config{Client: kubernetes.NewForConfigOrDie(weak), Dynamic: dynamic.NewForConfigOrDie(weak)})
	settled(t, w)
	for _, k := range w.Kinds() {
		want := report.KindStatus_STATE_SYNCED
		switch {
		case k.GetKind() == "Secret":
			want = report.KindStatus_STATE_FORBIDDEN
		case slices.Contains([]string{"HTTPRoute", "GRPCRoute", "IngressRoute"}, k.GetKind()):
			want = report.KindStatus_STATE_NOT_INSTALLED
		}
		if k.GetState() != want {
			t.Errorf("%s is %v (%s), want %v", k.GetKind(), k.GetState(), k.GetMessage(), want)
		}
	}
	nodes := w.Resources("Node")
	if len(nodes) != 4 || !nodes[0].GetNode().GetReady() {
		t.Errorf("%d nodes, first %v", len(nodes), nodes)
	}
	one := int32(1)
	labels := map[string]string{"app": "web"}
	if _, err := client.AppsV1().Deployments("default").Create(ctx, &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "web"}, Spec: appsv1.DeploymentSpec{
		Replicas: &one, Selector: &metav1.LabelSelector{MatchLabels: labels},
		Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels}, Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:v1"}}}},
	}}, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	sink.until(t, "the deployment is available", func() bool {
		return w.Resource(Key{"Deployment", "default", "web"}).GetWorkload().GetAvailable() == 1
	})
	d := w.Resource(Key{"Deployment", "default", "web"})
	for _, rs := range w.Resources("ReplicaSet") {
		if rs.GetOwners()[0].GetUid() == d.GetUid() && rs.GetWorkload().GetTemplateHash() != d.GetWorkload().GetTemplateHash() {
			t.Errorf("the replica set's template hash %s is not the deployment's %s", rs.GetWorkload().GetTemplateHash(), d.GetWorkload().GetTemplateHash())
		}
	}
	grant("secrets", "secrets")
	sink.until(t, "secrets appear", func() bool { return w.Resource(Key{"Secret", "default", "db"}) != nil })

	if err := l.StopAPIServer(); err != nil {
		t.Fatal(err)
	}
	sink.until(t, "pods fail", func() bool { return state(w, "Pod") == report.KindStatus_STATE_FAILING })
	if w.Resource(Key{"Deployment", "default", "web"}) == nil {
		t.Error("the last known state was dropped")
	}
	if err := l.StartAPIServer(ctx); err != nil {
		t.Fatal(err)
	}
	sink.until(t, "pods are synced again", func() bool { return state(w, "Pod") == report.KindStatus_STATE_SYNCED })
}
