package apiserver

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"pgregory.net/rapid"
)

var born = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func serve(t testing.TB) (*Server, kubernetes.Interface) {
	t.Helper()
	s, err := New(Config{Start: born, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	return s, s.Client()
}

func web(replicas int32) *appsv1.Deployment {
	labels := map[string]string{"app": "web"}
	return &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop", Labels: labels},
		Spec: appsv1.DeploymentSpec{
			Replicas: &replicas, Selector: &metav1.LabelSelector{MatchLabels: labels},
			Template: corev1.PodTemplateSpec{
				ObjectMeta: metav1.ObjectMeta{Labels: labels},
				Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "web", Image: "web:v1"}}},
			},
		},
	}
}

func create(t testing.TB, c kubernetes.Interface) *appsv1.Deployment {
	t.Helper()
	d, err := c.AppsV1().Deployments("shop").Create(t.Context(), web(3), metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestAnUpdateWithAStaleVersionIsAConflict(t *testing.T) {
	_, c := serve(t)
	stale := create(t, c)
	fresh := stale.DeepCopy()
	fresh.Labels["tier"] = "front"
	if _, err := c.AppsV1().Deployments("shop").Update(t.Context(), fresh, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AppsV1().Deployments("shop").Update(t.Context(), stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("got %v", err)
	}
	patch := fmt.Appendf(nil, `{"metadata":{"resourceVersion":%q},"spec":{"replicas":9}}`, stale.ResourceVersion)
	if _, err := c.AppsV1().Deployments("shop").Patch(t.Context(), "web", types.MergePatchType, patch, metav1.PatchOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("a patch with a stale precondition gave %v", err)
	}
	stale.ResourceVersion, stale.UID = "", "another"
	if _, err := c.AppsV1().Deployments("shop").Update(t.Context(), stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("an update of another uid gave %v", err)
	}
}

func TestTheGenerationMovesWithTheSpecAlone(t *testing.T) {
	_, c := serve(t)
	d := create(t, c)
	if d.Generation != 1 || d.UID == "" || !d.CreationTimestamp.Equal(&metav1.Time{Time: born}) {
		t.Fatalf("generation %d, uid %q, created %s", d.Generation, d.UID, d.CreationTimestamp)
	}
	d.Status.ReadyReplicas = 3
	d.Annotations = map[string]string{"a": "b"}
	d, err := c.AppsV1().Deployments("shop").Update(t.Context(), d, metav1.UpdateOptions{})
	if err != nil || d.Generation != 1 || d.Status.ReadyReplicas != 0 {
		t.Fatalf("generation %d, %d ready, %v: an annotation moved it, or an update touched the status", d.Generation, d.Status.ReadyReplicas, err)
	}
	d.Status.ReadyReplicas = 3
	d.Spec.Template.Spec.Containers[0].Image = "web:v2"
	d, err = c.AppsV1().Deployments("shop").UpdateStatus(t.Context(), d, metav1.UpdateOptions{})
	if err != nil || d.Generation != 1 || d.Status.ReadyReplicas != 3 || d.Spec.Template.Spec.Containers[0].Image != "web:v1" {
		t.Fatalf("a status update did more or less than that: %v", err)
	}
	d.Spec.Template.Spec.Containers[0].Image = "web:v2"
	if d, err = c.AppsV1().Deployments("shop").Update(t.Context(), d, metav1.UpdateOptions{}); err != nil || d.Generation != 2 {
		t.Errorf("generation %d after a change of the spec, %v", d.Generation, err)
	}
}

func TestADryRunIsCheckedAndNotStored(t *testing.T) {
	s, c := serve(t)
	d := create(t, c)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "shop"}, Spec: corev1.PodSpec{NodeName: "n", Containers: []corev1.Container{{Name: "c", Image: "i"}}}}
	if _, err := c.CoreV1().Pods("shop").Create(t.Context(), pod, metav1.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	var before int64
	s.Do(time.Time{}, func(tx *Tx) { before = tx.Version() })
	dry := []string{metav1.DryRunAll}
	deployments := c.AppsV1().Deployments("shop")
	changed := d.DeepCopy()
	changed.Spec.Template.Spec.Containers[0].Image = "web:v2"
	for name, try := range map[string]func() error{
		"update": func() error {
			got, err := deployments.Update(t.Context(), changed, metav1.UpdateOptions{DryRun: dry})
			if err == nil && (got.Generation != 2 || got.Spec.Template.Spec.Containers[0].Image != "web:v2") {
				t.Error("the dry run does not show what would be")
			}
			return err
		},
		"patch": func() error {
			_, err := deployments.Patch(t.Context(), "web", types.StrategicMergePatchType, []byte(`{"spec":{"replicas":5}}`), metav1.PatchOptions{DryRun: dry})
			return err
		},
		"create": func() error {
			other := web(1)
			other.Name = "other"
			_, err := deployments.Create(t.Context(), other, metav1.CreateOptions{DryRun: dry})
			return err
		},
		"delete": func() error { return deployments.Delete(t.Context(), "web", metav1.DeleteOptions{DryRun: dry}) },
		"scale": func() error {
			scale, err := deployments.GetScale(t.Context(), "web", metav1.GetOptions{})
			if err != nil {
				return err
			}
			scale.Spec.Replicas = 7
			_, err = deployments.UpdateScale(t.Context(), "web", scale, metav1.UpdateOptions{DryRun: dry})
			return err
		},
		"evict": func() error {
			return c.PolicyV1().Evictions("shop").Evict(t.Context(), &policyv1.Eviction{
				ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "shop"}, DeleteOptions: &metav1.DeleteOptions{DryRun: dry},
			})
		},
	} {
		if err := try(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	s.Do(time.Time{}, func(tx *Tx) {
		if tx.Version() != before {
			t.Errorf("%d changes were stored", tx.Version()-before)
		}
	})
	if _, err := deployments.Patch(t.Context(), "web", types.StrategicMergePatchType, []byte(`{"spec":{"replicas":-1}}`), metav1.PatchOptions{DryRun: dry}); !apierrors.IsInvalid(err) {
		t.Errorf("a negative replica count passed: %v", err)
	}
}

func TestScaleChangesReplicas(t *testing.T) {
	_, c := serve(t)
	create(t, c)
	scale, err := c.AppsV1().Deployments("shop").GetScale(t.Context(), "web", metav1.GetOptions{})
	if err != nil || scale.Spec.Replicas != 3 || scale.Status.Selector != "app=web" {
		t.Fatalf("%+v, %v", scale, err)
	}
	scale.Spec.Replicas = 6
	if _, err := c.AppsV1().Deployments("shop").UpdateScale(t.Context(), "web", scale, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.AppsV1().Deployments("shop").UpdateScale(t.Context(), "web", scale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
		t.Errorf("a stale scale gave %v", err)
	}
	d, err := c.AppsV1().Deployments("shop").Get(t.Context(), "web", metav1.GetOptions{})
	if err != nil || *d.Spec.Replicas != 6 || d.Generation != 2 {
		t.Errorf("%d replicas, generation %d, %v", *d.Spec.Replicas, d.Generation, err)
	}
}

func TestWhatIsNotThereIsNotFound(t *testing.T) {
	_, c := serve(t)
	_, get := c.CoreV1().Pods("shop").Get(t.Context(), "x", metav1.GetOptions{})
	_, patch := c.CoreV1().Nodes().Patch(t.Context(), "x", types.MergePatchType, []byte(`{}`), metav1.PatchOptions{})
	_, update := c.AppsV1().Deployments("shop").Update(t.Context(), web(1), metav1.UpdateOptions{})
	remove := c.CoreV1().Pods("shop").Delete(t.Context(), "x", metav1.DeleteOptions{})
	evict := c.PolicyV1().Evictions("shop").Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: "x", Namespace: "shop"}})
	for name, err := range map[string]error{"get": get, "patch": patch, "update": update, "delete": remove, "evict": evict} {
		if !apierrors.IsNotFound(err) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func pods(t testing.TB, c kubernetes.Interface, n int) {
	t.Helper()
	for i := range n {
		p := &corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("p%d", i), Namespace: "shop", Labels: map[string]string{"app": "web", "odd": fmt.Sprint(i%2 == 1)}},
			Spec:       corev1.PodSpec{NodeName: fmt.Sprintf("n%d", i%3), Containers: []corev1.Container{{Name: "c", Image: "i"}}},
		}
		p, err := c.CoreV1().Pods("shop").Create(t.Context(), p, metav1.CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}
		if _, err := c.CoreV1().Pods("shop").UpdateStatus(t.Context(), p, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
}

func TestListsObeySelectors(t *testing.T) {
	_, c := serve(t)
	pods(t, c, 9)
	for name, row := range map[string]struct {
		o    metav1.ListOptions
		want int
	}{
		"all":            {metav1.ListOptions{}, 9},
		"by node":        {metav1.ListOptions{FieldSelector: "spec.nodeName=n1"}, 3},
		"not on a node":  {metav1.ListOptions{FieldSelector: "spec.nodeName!=n1"}, 6},
		"by name":        {metav1.ListOptions{FieldSelector: "metadata.name=p4"}, 1},
		"by label":       {metav1.ListOptions{LabelSelector: "odd=true"}, 4},
		"label and node": {metav1.ListOptions{LabelSelector: "odd=true", FieldSelector: "spec.nodeName=n1"}, 2},
	} {
		list, err := c.CoreV1().Pods("").List(t.Context(), row.o)
		if err != nil || len(list.Items) != row.want {
			t.Errorf("%s: %d pods, %v; want %d", name, len(list.Items), err, row.want)
		}
	}
	if _, err := c.CoreV1().Pods("").List(t.Context(), metav1.ListOptions{FieldSelector: "spec.hostNetwork=true"}); !apierrors.IsBadRequest(err) {
		t.Errorf("a field that cannot be selected by gave %v", err)
	}
}

func TestAnEvictionObeysTheBudget(t *testing.T) {
	s, c := serve(t)
	pods(t, c, 3)
	budget := &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: "shop"},
		Spec:       policyv1.PodDisruptionBudgetSpec{Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "web"}}},
		Status:     policyv1.PodDisruptionBudgetStatus{DisruptionsAllowed: 1},
	}
	s.Do(time.Time{}, func(tx *Tx) {
		if err := tx.Create(PodDisruptionBudgets, budget); err != nil {
			t.Error(err)
		}
	})
	evict := func(name string) error {
		return c.PolicyV1().Evictions("shop").Evict(t.Context(), &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: "shop"}})
	}
	if err := evict("p0"); err != nil {
		t.Fatal(err)
	}
	if err := evict("p1"); !apierrors.IsTooManyRequests(err) || !apierrors.HasStatusCause(err, policyv1.DisruptionBudgetCause) {
		t.Errorf("the second eviction of one permit gave %v", err)
	}
	p, err := c.CoreV1().Pods("shop").Get(t.Context(), "p0", metav1.GetOptions{})
	if err != nil || p.DeletionTimestamp == nil || *p.DeletionGracePeriodSeconds != 30 {
		t.Errorf("the evicted pod is not terminating: %v", err)
	}
}

func TestASlowWatcherIsEndedAndLosesNothing(t *testing.T) {
	_, c := serve(t)
	w, err := c.CoreV1().ConfigMaps("shop").Watch(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	const writes = watchBuffer + 300
	for i := range writes { // nobody reads meanwhile, and no write may wait
		if _, err := c.CoreV1().ConfigMaps("shop").Create(t.Context(), &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("m%04d", i), Namespace: "shop"}}, metav1.CreateOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	seen, last := 0, ""
	for e := range w.ResultChan() {
		seen++
		last = e.Object.(*corev1.ConfigMap).ResourceVersion
	}
	if seen != watchBuffer {
		t.Fatalf("%d events before the watch ended, want %d", seen, watchBuffer)
	}
	w.Stop()
	again, err := c.CoreV1().ConfigMaps("shop").Watch(t.Context(), metav1.ListOptions{ResourceVersion: last})
	if err != nil {
		t.Fatal(err)
	}
	defer again.Stop()
	for range writes - watchBuffer {
		if e := <-again.ResultChan(); e.Type != watch.Added {
			t.Fatalf("got %s", e.Type)
		}
	}
	select {
	case e := <-again.ResultChan():
		t.Errorf("one event too many: %v", e)
	default:
	}
}

func TestAWatchFromTooLongAgoIsGone(t *testing.T) {
	s, c := serve(t)
	s.Do(time.Time{}, func(tx *Tx) {
		m := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "m", Namespace: "shop"}}
		if err := tx.Create(ConfigMaps, m); err != nil {
			t.Error(err)
		}
		for range historyLength + 10 {
			if err := tx.Update(ConfigMaps, m.DeepCopy()); err != nil {
				t.Error(err)
			}
		}
	})
	if _, err := c.CoreV1().ConfigMaps("").Watch(t.Context(), metav1.ListOptions{ResourceVersion: "1"}); !apierrors.IsResourceExpired(err) {
		t.Errorf("got %v", err)
	}
}

func TestAccessReviewsAllowEverything(t *testing.T) {
	_, c := serve(t)
	r, err := c.AuthorizationV1().SelfSubjectAccessReviews().Create(t.Context(), &authorizationv1.SelfSubjectAccessReview{}, metav1.CreateOptions{})
	if err != nil || !r.Status.Allowed {
		t.Errorf("%+v, %v", r, err)
	}
}

func TestStartIsNeeded(t *testing.T) {
	if _, err := New(Config{}); err == nil {
		t.Error("a server without a clock was made")
	}
}

// A watcher that lists once and then follows the events, through ended watches, always ends with what a list gives.
func TestAWatcherAlwaysEndsWithWhatIsStored(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s, c := serve(t)
		maps := c.CoreV1().ConfigMaps("shop")
		mirror := map[string]string{}
		selector := rapid.SampledFrom([]string{"", "keep=yes"}).Draw(r, "selector")
		w, err := maps.Watch(t.Context(), metav1.ListOptions{LabelSelector: selector})
		if err != nil {
			r.Fatal(err)
		}
		follow := func() {
			for {
				select {
				case e := <-w.ResultChan():
					m := e.Object.(*corev1.ConfigMap)
					if e.Type == watch.Deleted {
						delete(mirror, m.Name)
					} else {
						mirror[m.Name] = m.Data["v"] + m.ResourceVersion
					}
				default:
					return
				}
			}
		}
		r.Repeat(map[string]func(*rapid.T){
			"write": func(r *rapid.T) {
				m := &corev1.ConfigMap{
					ObjectMeta: metav1.ObjectMeta{Name: rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "name"), Namespace: "shop", Labels: map[string]string{"keep": rapid.SampledFrom([]string{"yes", "no"}).Draw(r, "keep")}},
					Data:       map[string]string{"v": rapid.StringN(1, 3, 9).Draw(r, "value")},
				}
				if _, err := maps.Update(t.Context(), m, metav1.UpdateOptions{}); apierrors.IsNotFound(err) {
					_, err = maps.Create(t.Context(), m, metav1.CreateOptions{})
					if err != nil {
						r.Fatal(err)
					}
				}
			},
			"delete": func(r *rapid.T) {
				err := maps.Delete(t.Context(), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(r, "name"), metav1.DeleteOptions{})
				if err != nil && !apierrors.IsNotFound(err) {
					r.Fatal(err)
				}
			},
			"": func(r *rapid.T) {
				follow()
				list, err := maps.List(t.Context(), metav1.ListOptions{LabelSelector: selector})
				if err != nil {
					r.Fatal(err)
				}
				stored := map[string]string{}
				for _, m := range list.Items {
					stored[m.Name] = m.Data["v"] + m.ResourceVersion
				}
				a, errA := json.Marshal(stored)
				b, errB := json.Marshal(mirror)
				if errA != nil || errB != nil || string(a) != string(b) {
					r.Fatalf("stored %s, followed %s", a, b)
				}
			},
		})
		w.Stop()
		s.Forget()
	})
}
