package command

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
	ktesting "k8s.io/client-go/testing"

	"google.golang.org/protobuf/types/known/durationpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
)

const canary = "canary-value-must-not-leave"

var noon = time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)

func newRunner(t *testing.T, client kubernetes.Interface, edit ...func(*Config)) *Runner {
	t.Helper()
	journal := open(t, filepath.Join(t.TempDir(), "j"), noon)
	cfg := Config{
		Client: client, Converter: kube.NewConverter("test"), Journal: journal, EvictPoll: 10 * time.Millisecond, Now: func() time.Time { return noon },
	}
	for _, e := range edit {
		e(&cfg)
	}
	r, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// simulated gives a fake clientset that honours dry runs, as a simulated cluster must.
func simulated(objects ...runtime.Object) *fake.Clientset {
	c := fake.NewClientset(objects...)
	c.PrependReactor("update", "*", func(a ktesting.Action) (bool, runtime.Object, error) {
		u := a.(ktesting.UpdateActionImpl)
		return len(u.UpdateOptions.DryRun) > 0, u.GetObject(), nil
	})
	c.PrependReactor("create", "*", func(a ktesting.Action) (bool, runtime.Object, error) {
		o := a.(ktesting.CreateActionImpl)
		if review, ok := o.GetObject().(*authorizationv1.SelfSubjectAccessReview); ok {
			review.Status.Allowed = true
			return true, review, nil
		}
		return len(o.CreateOptions.DryRun) > 0, o.GetObject(), nil
	})
	c.PrependReactor("delete", "*", func(a ktesting.Action) (bool, runtime.Object, error) {
		return len(a.(ktesting.DeleteActionImpl).DeleteOptions.DryRun) > 0, nil, nil
	})
	return c
}

func owned(kind, name string, uid types.UID) []metav1.OwnerReference {
	yes := true
	return []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: kind, Name: name, UID: uid, Controller: &yes}}
}

func template(image string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": "web"}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{
			{Name: "web", Image: image, Env: []corev1.EnvVar{{Name: "PASSWORD", Value: canary + image}}},
			{Name: "proxy", Image: "proxy:v1"},
		}},
	}
}

func objects() []runtime.Object {
	three := int32(3)
	selector := &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}
	old := template("web:v1")
	old.Labels = map[string]string{"app": "web", templateHashLabel: "aaa"}
	is := template("web:v2")
	is.Labels = map[string]string{"app": "web", templateHashLabel: "bbb"}
	return []runtime.Object{
		&appsv1.Deployment{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web", UID: "d", ResourceVersion: "10", Annotations: map[string]string{revisionAnnotation: "2"}},
			Spec:       appsv1.DeploymentSpec{Replicas: &three, Selector: selector, Template: template("web:v2")},
		},
		&appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-aaa", Labels: old.Labels, OwnerReferences: owned("Deployment", "web", "d"), Annotations: map[string]string{revisionAnnotation: "1"}},
			Spec:       appsv1.ReplicaSetSpec{Template: old},
		},
		&appsv1.ReplicaSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-bbb", Labels: is.Labels, OwnerReferences: owned("Deployment", "web", "d"), Annotations: map[string]string{revisionAnnotation: "2"}},
			Spec:       appsv1.ReplicaSetSpec{Template: is},
		},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-bbb-1", UID: "p1", Labels: is.Labels, OwnerReferences: owned("ReplicaSet", "web-bbb", "r")},
			Spec:       corev1.PodSpec{NodeName: "worker-1", Containers: is.Spec.Containers}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
		},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-bbb-2", UID: "p2", Labels: is.Labels, OwnerReferences: owned("ReplicaSet", "web-bbb", "r")},
			Spec:       corev1.PodSpec{NodeName: "worker-2", Containers: is.Spec.Containers}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
		},
		&corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "proxy-1", UID: "p3", OwnerReferences: owned("DaemonSet", "proxy", "ds")},
			Spec:       corev1.PodSpec{NodeName: "worker-1"}, Status: corev1.PodStatus{Phase: corev1.PodRunning},
		},
		&appsv1.DaemonSet{
			ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "proxy", UID: "ds"},
			Spec:       appsv1.DaemonSetSpec{Selector: selector, Template: template("proxy:v1")},
		},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-1", UID: "n1", ResourceVersion: "3"}},
		&corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "worker-2", UID: "n2"}},
	}
}

func target(kind, ns, name string) *report.ResourceKey {
	return &report.ResourceKey{Kind: kind, Namespace: ns, Name: name}
}

var web = target("Deployment", "shop", "web")

func changes(o *report.Outcome) string {
	var lines []string
	for _, c := range o.GetChanges() {
		lines = append(lines, c.GetPath()+": "+c.GetBefore()+" → "+c.GetAfter())
	}
	return strings.Join(lines, "\n")
}

func TestEachCommandPreviewsThenChanges(t *testing.T) {
	for name, c := range map[string]struct {
		command *report.Command
		want    string
		touched int
	}{
		"scale up": {
			&report.Command{Target: web, Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 5}}},
			"spec.replicas: 3 → 5", 0,
		},
		"scale to nothing": {
			&report.Command{Target: web, Change: &report.Command_Scale{Scale: &report.Scale{}}},
			"spec.replicas: 3 → 0", 2,
		},
		"restart": {
			&report.Command{Target: web, Change: &report.Command_RolloutRestart{RolloutRestart: &report.RolloutRestart{}}},
			"spec.template.metadata.annotations[kubectl.kubernetes.io/restartedAt]:  → 2026-05-04T12:00:00Z", 2,
		},
		"set an image": {
			&report.Command{Target: web, Change: &report.Command_SetImage{SetImage: &report.SetImage{Container: "web", Image: "web:v3"}}},
			"spec.template.spec.containers[web].image: web:v2 → web:v3", 2,
		},
		"roll back to the one before": {
			&report.Command{Target: web, Change: &report.Command_Rollback{Rollback: &report.Rollback{}}},
			"spec.template.spec.containers[web].env[PASSWORD].value: <masked> → <masked, changed>\nspec.template.spec.containers[web].image: web:v2 → web:v1", 2,
		},
		"roll back to a revision": {
			&report.Command{Target: web, Change: &report.Command_Rollback{Rollback: &report.Rollback{ToRevision: 1}}},
			"spec.template.spec.containers[web].env[PASSWORD].value: <masked> → <masked, changed>\nspec.template.spec.containers[web].image: web:v2 → web:v1", 2,
		},
		"delete a pod": {
			&report.Command{Target: target("Pod", "shop", "web-bbb-1"), Change: &report.Command_DeletePod{DeletePod: &report.DeletePod{}}},
			"pod shop/web-bbb-1: Running → deleted", 1,
		},
		"cordon": {
			&report.Command{Target: target("Node", "", "worker-1"), Change: &report.Command_Cordon{Cordon: &report.Cordon{}}},
			"spec.unschedulable:  → true", 0,
		},
		"restart a DaemonSet": {
			&report.Command{Target: target("DaemonSet", "kube-system", "proxy"), Change: &report.Command_RolloutRestart{RolloutRestart: &report.RolloutRestart{}}},
			"spec.template.metadata.annotations[kubectl.kubernetes.io/restartedAt]:  → 2026-05-04T12:00:00Z", 0,
		},
	} {
		t.Run(name, func(t *testing.T) {
			client := simulated(objects()...)
			r := newRunner(t, client)
			before, err := r.get(t.Context(), c.command.Target)
			if err != nil {
				t.Fatal(err)
			}
			c.command.Id, c.command.DryRun = "c-1", true
			o := r.Command(t.Context(), c.command)
			if o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || changes(o) != c.want || len(o.GetTouched()) != c.touched {
				t.Errorf("dry run: %v %s\n%s\nwant\n%s\n%d touched", o.GetStatus(), o.GetMessage(), changes(o), c.want, len(o.GetTouched()))
			}
			is, err := r.get(t.Context(), c.command.Target)
			if err != nil || len(diff(before, is)) != 0 {
				t.Errorf("a dry run changed the object: %v", err)
			}
			c.command.DryRun, c.command.Uid, c.command.ResourceVersion = false, o.GetUid(), o.GetResourceVersion()
			o = r.Command(t.Context(), c.command)
			if o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || changes(o) != c.want || o.GetFinishedAt() == nil {
				t.Errorf("command: %v %s\n%s", o.GetStatus(), o.GetMessage(), changes(o))
			}
			is, err = r.get(t.Context(), c.command.Target)
			if !apierrors.IsNotFound(err) && (err != nil || len(diff(before, is)) == 0) {
				t.Errorf("the command changed nothing: %v", err)
			}
		})
	}
}

func TestRefusalsSayWhyAndChangeNothing(t *testing.T) {
	for name, c := range map[string]struct {
		command *report.Command
		want    string
	}{
		"another object of the same name": {&report.Command{Target: web, Uid: "x", Change: &report.Command_Scale{Scale: &report.Scale{}}}, "made anew"},
		"changed since the preview":       {&report.Command{Target: web, ResourceVersion: "9", Change: &report.Command_Scale{Scale: &report.Scale{}}}, "changed since the preview"},
		"pod made anew":                   {&report.Command{Target: target("Pod", "shop", "web-bbb-1"), Uid: "x", Change: &report.Command_DeletePod{}}, "made anew"},
		"too late":                        {&report.Command{Target: web, NotAfter: timestamppb.New(noon.Add(-time.Second)), Change: &report.Command_Scale{Scale: &report.Scale{}}}, "after its deadline"},
		"no such object":                  {&report.Command{Target: target("Deployment", "shop", "nobody"), Change: &report.Command_Scale{Scale: &report.Scale{}}}, "does not exist"},
		"no name":                         {&report.Command{Target: target("Deployment", "shop", ""), Change: &report.Command_Scale{Scale: &report.Scale{}}}, "names no object"},
		"less than nothing":               {&report.Command{Target: web, Change: &report.Command_Scale{Scale: &report.Scale{Replicas: -1}}}, "not possible"},
		"a DaemonSet scaled":              {&report.Command{Target: target("DaemonSet", "kube-system", "proxy"), Change: &report.Command_Scale{Scale: &report.Scale{}}}, "cannot be scaled"},
		"a pod restarted":                 {&report.Command{Target: target("Pod", "shop", "web-bbb-1"), Change: &report.Command_RolloutRestart{}}, "no rollout"},
		"a deployment deleted":            {&report.Command{Target: web, Change: &report.Command_DeletePod{}}, "only a Pod"},
		"a pod cordoned":                  {&report.Command{Target: web, Change: &report.Command_Cordon{}}, "only a Node"},
		"a pod drained":                   {&report.Command{Target: web, Change: &report.Command_Drain{}}, "only a Node"},
		"no such revision":                {&report.Command{Target: web, Change: &report.Command_Rollback{Rollback: &report.Rollback{ToRevision: 7}}}, "no revision 7, only 1, 2"},
		"no such container":               {&report.Command{Target: web, Change: &report.Command_SetImage{SetImage: &report.SetImage{Container: "nope", Image: "a"}}}, "it has web, proxy"},
		"container not named":             {&report.Command{Target: web, Change: &report.Command_SetImage{SetImage: &report.SetImage{Image: "a"}}}, "name one"},
		"image with a space":              {&report.Command{Target: web, Change: &report.Command_SetImage{SetImage: &report.SetImage{Container: "web", Image: "a b"}}}, "not an image"},
		"unknown verb":                    {&report.Command{Target: web}, "does not know"},
	} {
		t.Run(name, func(t *testing.T) {
			client := simulated(objects()...)
			client.PrependReactor("*", "*", func(a ktesting.Action) (bool, runtime.Object, error) {
				if a.GetVerb() != "get" && a.GetVerb() != "list" {
					t.Errorf("a refused command did %s %s", a.GetVerb(), a.GetResource().Resource)
				}
				return false, nil, nil
			})
			c.command.Id = "c-1"
			o := newRunner(t, client).Command(t.Context(), c.command)
			if o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), c.want) {
				t.Errorf("got %v %q, want REFUSED with %q", o.GetStatus(), o.GetMessage(), c.want)
			}
		})
	}
}

func TestAStatusThatMovedIsNoChangeOfTheObject(t *testing.T) {
	client := simulated(objects()...)
	r := newRunner(t, client)
	scale := &report.Command{Id: "c-1", Target: web, DryRun: true, Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 5}}}
	preview := r.Command(t.Context(), scale)
	deployments := client.AppsV1().Deployments("shop")
	move := func(edit func(*appsv1.Deployment)) {
		t.Helper()
		d, err := deployments.Get(t.Context(), "web", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		edit(d)
		if _, err := deployments.Update(t.Context(), d, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	move(func(d *appsv1.Deployment) {
		d.ResourceVersion, d.Status.ReadyReplicas = "11", 1
		d.Annotations[revisionAnnotation] = "3" // its controller numbers the template
	})
	back := &report.Command{Id: "c-2", Target: web, Uid: preview.GetUid(), ResourceVersion: preview.GetResourceVersion(), Change: &report.Command_Rollback{Rollback: &report.Rollback{}}}
	if o := r.Command(t.Context(), back); o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "changed since the preview") {
		t.Errorf("a rollback that would go elsewhere now: %v %s", o.GetStatus(), o.GetMessage())
	}
	scale.DryRun, scale.Uid, scale.ResourceVersion = false, preview.GetUid(), preview.GetResourceVersion()
	if o := r.Command(t.Context(), scale); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
		t.Errorf("after a new status: %v %s", o.GetStatus(), o.GetMessage())
	}
	move(func(d *appsv1.Deployment) {
		d.ResourceVersion, d.Spec.Template.Spec.Containers[0].Image = "12", "web:v9"
	})
	scale.Id = "c-3"
	if o := r.Command(t.Context(), scale); o.GetStatus() != report.Outcome_STATUS_REFUSED {
		t.Errorf("after a new image: %v %s", o.GetStatus(), o.GetMessage())
	}
}

func TestAConflictStartsOver(t *testing.T) {
	client := simulated(objects()...)
	conflicts := 2
	client.PrependReactor("update", "deployments", func(ktesting.Action) (bool, runtime.Object, error) {
		if conflicts == 0 {
			return false, nil, nil
		}
		conflicts--
		return true, nil, apierrors.NewConflict(schema.GroupResource{Resource: "deployments"}, "web", errors.New("changed"))
	})
	o := newRunner(t, client).Command(t.Context(), &report.Command{Id: "c-1", Target: web, Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 4}}})
	if o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
		t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
	}
}

func TestALostAnswerIsReadFromTheCluster(t *testing.T) {
	scale := &report.Command{Target: web, Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 4}}}
	for name, c := range map[string]struct {
		applied bool // the update reached the store
		blind   bool // nothing can be read afterwards
		want    report.Outcome_Status
	}{
		"and it was made":     {applied: true, want: report.Outcome_STATUS_SUCCEEDED},
		"and it was not made": {want: report.Outcome_STATUS_FAILED},
		"and nobody can tell": {blind: true, want: report.Outcome_STATUS_UNKNOWN},
	} {
		t.Run(name, func(t *testing.T) {
			client := simulated(objects()...)
			lost := false
			client.PrependReactor("update", "deployments", func(a ktesting.Action) (bool, runtime.Object, error) {
				lost = true
				if c.applied {
					d := a.(ktesting.UpdateAction).GetObject().(*appsv1.Deployment).DeepCopy()
					d.ResourceVersion = "11"
					if err := client.Tracker().Update(a.GetResource(), d, "shop"); err != nil {
						t.Error(err)
					}
				}
				return true, nil, io.ErrUnexpectedEOF
			})
			client.PrependReactor("get", "deployments", func(ktesting.Action) (bool, runtime.Object, error) {
				return lost && c.blind, nil, io.ErrUnexpectedEOF
			})
			scale.Id = name
			if o := newRunner(t, client).Command(t.Context(), scale); o.GetStatus() != c.want {
				t.Errorf("got %v %s, want %v", o.GetStatus(), o.GetMessage(), c.want)
			}
		})
	}
}

func TestACommandThatWasInterruptedIsNotRunAgain(t *testing.T) {
	client := simulated(objects()...)
	path := filepath.Join(t.TempDir(), "j")
	before := open(t, path, noon)
	if err := before.Begin("c-1"); err != nil { // and the process dies
		t.Fatal(err)
	}
	r := newRunner(t, client, func(c *Config) { c.Journal = open(t, path, noon) })
	o := r.Command(t.Context(), &report.Command{Id: "c-1", Target: web, Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 9}}})
	if o.GetStatus() != report.Outcome_STATUS_UNKNOWN || !strings.Contains(o.GetMessage(), "will not be run again") {
		t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
	}
	d, err := client.AppsV1().Deployments("shop").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || *d.Spec.Replicas != 3 {
		t.Errorf("it ran: %v %v", *d.Spec.Replicas, err)
	}
}

func TestWithoutAJournalCommandsAreRefusedAndQueriesGoOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "j")
	if err := os.WriteFile(path, []byte("garbage\ngarbage\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := OpenJournal(path, week, time.Now)
	r := newRunner(t, simulated(objects()...), func(c *Config) { c.Journal, c.NoJournal = nil, err })
	o := r.Command(t.Context(), &report.Command{Id: "c-1", Target: web, Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 9}}})
	if o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "move the file away") {
		t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
	}
	if o := r.Query(t.Context(), &report.Query{Ask: &report.Query_RolloutHistory{RolloutHistory: &report.RolloutHistoryQuery{Object: web}}}); len(o.GetRevisions()) != 2 {
		t.Errorf("history: %v", o)
	}
}

func TestAFullDiskRefusesBeforeAnythingChanges(t *testing.T) {
	client := simulated(objects()...)
	r := newRunner(t, client)
	r.cfg.Journal.file = &fullDisk{}
	o := r.Command(t.Context(), &report.Command{Id: "c-1", Target: web, Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 9}}})
	if o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "free space") {
		t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
	}
	for _, a := range client.Actions() {
		if a.GetVerb() == "update" {
			t.Error("the object was changed")
		}
	}
}

func TestForbiddenIsRefused(t *testing.T) {
	client := simulated(objects()...)
	client.PrependReactor("update", "deployments", func(ktesting.Action) (bool, runtime.Object, error) {
		return true, nil, apierrors.NewForbidden(schema.GroupResource{Resource: "deployments"}, "web", errors.New("no"))
	})
	o := newRunner(t, client).Command(t.Context(), &report.Command{Id: "c-1", Target: web, Change: &report.Command_Scale{Scale: &report.Scale{Replicas: 4}}})
	if o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "own rights") {
		t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
	}
}

func TestDrain(t *testing.T) {
	drain := func(edit ...func(*report.Drain)) *report.Command {
		d := &report.Drain{Timeout: durationpb.New(5 * time.Second)}
		for _, e := range edit {
			e(d)
		}
		return &report.Command{Id: "c-1", Target: target("Node", "", "worker-1"), Change: &report.Command_Drain{Drain: d}}
	}
	evicting := func(client *fake.Clientset, held *int) {
		client.PrependReactor("create", "pods", func(a ktesting.Action) (bool, runtime.Object, error) {
			if a.GetSubresource() != "eviction" {
				return false, nil, nil
			}
			if *held > 0 {
				*held--
				return true, nil, apierrors.NewTooManyRequests("the budget allows none", 1)
			}
			e := a.(ktesting.CreateAction).GetObject().(metav1.Object)
			return true, nil, client.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("pods"), e.GetNamespace(), e.GetName())
		})
	}
	node := func(t *testing.T, c kubernetes.Interface) *corev1.Node {
		t.Helper()
		n, err := c.CoreV1().Nodes().Get(t.Context(), "worker-1", metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	t.Run("evicts the node's own pods, waits for the budget, leaves DaemonSets", func(t *testing.T) {
		client := simulated(objects()...)
		held := 2
		evicting(client, &held)
		o := newRunner(t, client).Command(t.Context(), drain())
		if o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || len(o.GetTouched()) != 1 || o.GetTouched()[0].GetName() != "web-bbb-1" {
			t.Fatalf("got %v %s, touched %v", o.GetStatus(), o.GetMessage(), o.GetTouched())
		}
		pods, err := client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(pods.Items) != 2 {
			t.Errorf("%d pods left, want the DaemonSet's and the other node's: %v", len(pods.Items), err)
		}
		if !node(t, client).Spec.Unschedulable {
			t.Error("the node is not cordoned")
		}
	})
	t.Run("a dry run changes nothing and names the pods", func(t *testing.T) {
		client := simulated(objects()...)
		held := 0
		evicting(client, &held)
		c := drain()
		c.DryRun = true
		o := newRunner(t, client).Command(t.Context(), c)
		if o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || len(o.GetTouched()) != 1 || changes(o) != "spec.unschedulable:  → true" {
			t.Errorf("got %v %s, touched %v, %s", o.GetStatus(), o.GetMessage(), o.GetTouched(), changes(o))
		}
		pods, err := client.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{})
		if err != nil || len(pods.Items) != 3 || node(t, client).Spec.Unschedulable {
			t.Errorf("a dry run changed something: %d pods", len(pods.Items))
		}
	})
	t.Run("runs out of time and says what holds it", func(t *testing.T) {
		client := simulated(objects()...)
		held := 1 << 30
		evicting(client, &held)
		o := newRunner(t, client).Command(t.Context(), drain(func(d *report.Drain) { d.Timeout = durationpb.New(50 * time.Millisecond) }))
		if o.GetStatus() != report.Outcome_STATUS_FAILED || !strings.Contains(o.GetMessage(), "shop/web-bbb-1") || !strings.Contains(o.GetMessage(), "budget") {
			t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
		}
	})
	t.Run("refuses pods that nothing makes anew", func(t *testing.T) {
		bare := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "bare"}, Spec: corev1.PodSpec{NodeName: "worker-1"}}
		client := simulated(append(objects(), bare)...)
		o := newRunner(t, client).Command(t.Context(), drain())
		if o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "shop/bare") || node(t, client).Spec.Unschedulable {
			t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
		}
	})
	t.Run("refuses to lose local data unless told", func(t *testing.T) {
		local := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "local", OwnerReferences: owned("ReplicaSet", "r", "r")},
			Spec:       corev1.PodSpec{NodeName: "worker-1", Volumes: []corev1.Volume{{Name: "v", VolumeSource: corev1.VolumeSource{EmptyDir: &corev1.EmptyDirVolumeSource{}}}}},
		}
		client := simulated(append(objects(), local)...)
		held := 0
		evicting(client, &held)
		r := newRunner(t, client)
		if o := r.Command(t.Context(), drain()); o.GetStatus() != report.Outcome_STATUS_REFUSED || !strings.Contains(o.GetMessage(), "shop/local") {
			t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
		}
		c := drain(func(d *report.Drain) { d.DeleteEmptyDirData = true })
		c.Id = "c-2"
		if o := r.Command(t.Context(), c); o.GetStatus() != report.Outcome_STATUS_SUCCEEDED || len(o.GetTouched()) != 2 {
			t.Errorf("got %v %s", o.GetStatus(), o.GetMessage())
		}
	})
}
