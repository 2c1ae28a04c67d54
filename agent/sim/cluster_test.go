package sim

import (
	"context"
	"io"
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/kubectl/pkg/drain"
)

func TestARolloutStaysWithinItsBudget(t *testing.T) {
	s := open(t, 1)
	for _, r := range []role{catalog, cart} {
		sv := s.plan.services[r]
		b := &bench{TB: t, s: s, now: s.Now()}
		d := deploymentOf(t, s, sv.name)
		want := *d.Spec.Replicas
		surge, unavailable := (want+3)/4, want/2
		if sv.slowToRoll {
			unavailable = want / 4
		}
		d.Spec.Template.Annotations = map[string]string{"again": "1"}
		if _, err := s.Client().AppsV1().Deployments(s.Namespace()).Update(t.Context(), d, metav1.UpdateOptions{}); err != nil {
			t.Fatal(err)
		}
		done := false
		for range 180 {
			b.wait(time.Second)
			total, up := int32(0), int32(0)
			for _, p := range b.pods(sv.name) {
				if p.DeletionTimestamp == nil {
					total++
					if ready(&p) {
						up++
					}
				}
			}
			if total > want+surge || up < want-unavailable {
				t.Fatalf("%s: %d pods, %d ready; wanted %d with a surge of %d and %d unavailable", sv.name, total, up, want, surge, unavailable)
			}
			now := deploymentOf(t, s, sv.name)
			if now.Status.ObservedGeneration == now.Generation && now.Status.UpdatedReplicas == want && now.Status.Replicas == want && now.Status.AvailableReplicas == want {
				done = true
				break
			}
		}
		if !done {
			t.Errorf("%s: the rollout did not end within three minutes", sv.name)
		}
		if got := number(deploymentOf(t, s, sv.name).Annotations); got != number(d.Annotations)+1 {
			t.Errorf("%s: revision %d after revision %d", sv.name, got, number(d.Annotations))
		}
	}
}

func deploymentOf(t testing.TB, s *Shop, name string) *appsv1.Deployment {
	t.Helper()
	d, err := s.Client().AppsV1().Deployments(s.Namespace()).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func TestARollbackBringsTheOldReplicaSetBackUnderANewRevision(t *testing.T) {
	b := start(t, 2, badRollout)
	before := number(deploymentOf(t, b.s, b.root().Name).Annotations)
	sets := func() int {
		list, err := b.s.Client().AppsV1().ReplicaSets(b.s.Namespace()).List(t.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + b.root().Name})
		if err != nil {
			t.Fatal(err)
		}
		return len(list.Items)
	}
	n := sets()
	b.rollback()
	b.wait(2 * time.Minute)
	if got := number(deploymentOf(t, b.s, b.root().Name).Annotations); got != before+1 {
		t.Errorf("revision %d, want %d", got, before+1)
	}
	if got := sets(); got != n {
		t.Errorf("%d replica sets after the rollback, %d before", got, n)
	}
}

func TestARolloutThatStandsStillExceedsItsDeadline(t *testing.T) {
	b := start(t, 1, imagepull)
	b.wait(11 * time.Minute)
	for _, c := range deploymentOf(t, b.s, b.root().Name).Status.Conditions {
		if c.Type == appsv1.DeploymentProgressing && c.Reason == "ProgressDeadlineExceeded" && c.Status == corev1.ConditionFalse {
			return
		}
	}
	t.Error("no ProgressDeadlineExceeded")
}

func TestKubectlDrainEmptiesANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := open(t, 3)
		ctx, cancel := context.WithCancel(t.Context())
		stepped := make(chan struct{})
		go func() {
			defer close(stepped)
			for at := opening; ctx.Err() == nil; at = at.Add(time.Second) {
				s.Step(at)
				time.Sleep(time.Second)
			}
		}()
		node, err := s.Client().CoreV1().Nodes().Get(ctx, s.plan.nodes[1], metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		h := &drain.Helper{
			Ctx: ctx, Client: s.Client(), IgnoreAllDaemonSets: true, DeleteEmptyDirData: true, GracePeriodSeconds: -1,
			Timeout: 10 * time.Minute, EvictErrorRetryDelay: 5 * time.Second, Out: io.Discard, ErrOut: io.Discard,
		}
		if err := drain.RunCordonOrUncordon(h, node, true); err != nil {
			t.Fatal(err)
		}
		if err := drain.RunNodeDrain(h, node.Name); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		pods, err := s.Client().CoreV1().Pods("").List(ctx, metav1.ListOptions{FieldSelector: "spec.nodeName=" + node.Name})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pods.Items {
			if p.OwnerReferences[0].Kind != "DaemonSet" {
				t.Errorf("%s is still on the drained node", p.Name)
			}
		}
		cancel()
		<-stepped
	})
}

func TestInformersFollowTheShop(t *testing.T) {
	s := open(t, 8)
	factory := informers.NewSharedInformerFactory(s.Client(), 0)
	pods := factory.Core().V1().Pods().Lister()
	factory.Core().V1().Pods().Informer()
	stop := make(chan struct{})
	factory.Start(stop)
	factory.WaitForCacheSync(stop)
	defer factory.Shutdown()
	defer close(stop)
	sv := s.plan.services[cart]
	d := deploymentOf(t, s, sv.name)
	n := *d.Spec.Replicas + 2
	d.Spec.Replicas = &n
	if _, err := s.Client().AppsV1().Deployments(s.Namespace()).Update(t.Context(), d, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	s.Step(opening.Add(time.Minute))
	selector := labels.SelectorFromSet(sv.labels())
	for range 500 {
		list, err := pods.List(selector)
		if err != nil {
			t.Fatal(err)
		}
		up := 0
		for _, p := range list {
			if ready(p) {
				up++
			}
		}
		if up == int(n) {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Error("the informer did not see the new pods")
}

func TestADryRunOfARolloutChangesNothing(t *testing.T) {
	s := open(t, 1)
	before := everything(t, s)
	d := deploymentOf(t, s, s.plan.services[cart].name)
	d.Spec.Template.Spec.Containers[0].Image = "registry.example.com/other:v9"
	got, err := s.Client().AppsV1().Deployments(s.Namespace()).Update(t.Context(), d, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
	if err != nil {
		t.Fatal(err)
	}
	if got.Spec.Template.Spec.Containers[0].Image != "registry.example.com/other:v9" {
		t.Error("the answer does not show what would be")
	}
	if everything(t, s) != before {
		t.Error("the dry run stored something")
	}
	negative := int32(-1)
	d.Spec.Replicas = &negative
	if _, err := s.Client().AppsV1().Deployments(s.Namespace()).Update(t.Context(), d, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}); !apierrors.IsInvalid(err) {
		t.Errorf("a negative replica count passed the dry run: %v", err)
	}
}
