package lab

import (
	"context"
	"fmt"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestEachFaultReachesItsStateHoldsItAndHeals(t *testing.T) {
	l := shop(t)
	waiting := func(reason string) func(*corev1.Pod) bool {
		return func(p *corev1.Pod) bool {
			w := p.Status.ContainerStatuses[0].State.Waiting
			return w != nil && w.Reason == reason && ready(p).Status == corev1.ConditionFalse
		}
	}
	crashed := func(reason string, code int32) func(*corev1.Pod) bool {
		return func(p *corev1.Pod) bool {
			c := p.Status.ContainerStatuses[0]
			last := c.LastTerminationState.Terminated
			return waiting("CrashLoopBackOff")(p) && p.Status.Phase == corev1.PodRunning && c.RestartCount > 0 &&
				last != nil && last.Reason == reason && last.ExitCode == code
		}
	}
	for _, c := range []struct {
		fault, deployment string
		event             string
		is                func(*corev1.Pod) bool
	}{
		{"image-pull", "cart", "Failed", func(p *corev1.Pod) bool {
			return waiting("ImagePullBackOff")(p) && p.Status.Phase == corev1.PodPending
		}},
		{"crash-loop", "email", "BackOff", crashed("Error", 1)},
		{"oom-kill", "search", "BackOff", crashed("OOMKilled", 137)},
		{"not-ready", "ads", "Unhealthy", func(p *corev1.Pod) bool {
			s := p.Status.ContainerStatuses[0]
			return p.Status.Phase == corev1.PodRunning && s.State.Running != nil && !s.Ready &&
				ready(p).Status == corev1.ConditionFalse && ready(p).Reason == "ContainersNotReady"
		}},
		{"config-error", "currency", "Failed", func(p *corev1.Pod) bool {
			return waiting("CreateContainerConfigError")(p) &&
				strings.Contains(p.Status.ContainerStatuses[0].State.Waiting.Message, `configmap "currency-missing" not found`)
		}},
		{"unschedulable", "catalog", "FailedScheduling", func(p *corev1.Pod) bool {
			for _, c := range p.Status.Conditions {
				if c.Type == corev1.PodScheduled {
					return c.Status == corev1.ConditionFalse && c.Reason == corev1.PodReasonUnschedulable
				}
			}
			return false
		}},
	} {
		t.Run(c.fault, func(t *testing.T) {
			t.Parallel()
			t.Cleanup(func() { // also after a failure: the next test wants the shop whole
				if err := l.Heal(context.Background(), ShopNamespace, c.deployment); err != nil {
					t.Error(err)
				}
			})
			if err := l.Faults()[c.fault](t.Context(), ShopNamespace, c.deployment); err != nil {
				t.Fatal(err)
			}
			state := func() string {
				pods, err := newPods(t.Context(), l, c.deployment)
				if err != nil {
					return err.Error()
				}
				if len(pods) == 0 {
					return "no pod of the new revision"
				}
				for _, p := range pods {
					if len(p.Status.ContainerStatuses) == 0 && c.fault != "unschedulable" || !c.is(&p) {
						return fmt.Sprintf("%s is %+v", p.Name, p.Status)
					}
				}
				return ""
			}
			eventually(t, state)
			holds(t, state)
			eventually(t, func() string {
				events, err := l.Client().CoreV1().Events(ShopNamespace).List(t.Context(), metav1.ListOptions{
					FieldSelector: "type=Warning,reason=" + c.event,
				})
				if err != nil {
					return err.Error()
				}
				for _, e := range events.Items {
					if strings.HasPrefix(e.InvolvedObject.Name, c.deployment+"-") {
						return ""
					}
				}
				return "no warning " + c.event
			})
		})
	}
}

func TestFaultAnnotatedOnALivingPodStrikesAndHealsWithoutARollout(t *testing.T) {
	l := shop(t)
	pods, err := newPods(t.Context(), l, "shipping")
	if err != nil || len(pods) == 0 {
		t.Fatalf("pods of shipping: %d, %v", len(pods), err)
	}
	name := pods[0].Name
	annotate := func(value string) {
		t.Helper()
		_, err := l.Client().CoreV1().Pods(ShopNamespace).Patch(t.Context(), name, "application/merge-patch+json",
			fmt.Appendf(nil, `{"metadata":{"annotations":{%q:%s}}}`, faultAnnotation, value), metav1.PatchOptions{})
		if err != nil {
			t.Fatal(err)
		}
	}
	get := func() *corev1.Pod {
		p, err := l.Client().CoreV1().Pods(ShopNamespace).Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	annotate(`"crash-loop"`)
	eventually(t, func() string {
		if w := get().Status.ContainerStatuses[0].State.Waiting; w == nil || w.Reason != "CrashLoopBackOff" {
			return "not in a crash loop"
		}
		return ""
	})
	// The kubelet's first back-off is 10 s: the second crash follows it.
	eventually(t, func() string {
		if n := get().Status.ContainerStatuses[0].RestartCount; n < 2 {
			return fmt.Sprintf("%d restarts", n)
		}
		return ""
	})
	annotate("null")
	eventually(t, func() string {
		if p := get(); ready(p).Status != corev1.ConditionTrue || p.Status.ContainerStatuses[0].RestartCount < 2 {
			return fmt.Sprintf("%+v", p.Status)
		}
		return ""
	})
}

func TestNodeNotReadyHoldsAndHeals(t *testing.T) {
	l := shop(t)
	const name = "node-2"
	if err := l.NodeNotReady(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	lease, err := l.Client().CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	down := func() string {
		node, err := l.Client().CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err.Error()
		}
		tainted := false
		for _, taint := range node.Spec.Taints {
			tainted = tainted || taint.Key == corev1.TaintNodeUnreachable && taint.Effect == corev1.TaintEffectNoExecute
		}
		for _, c := range node.Status.Conditions {
			if c.Type == corev1.NodeReady && c.Status == corev1.ConditionUnknown && tainted {
				return ""
			}
		}
		return fmt.Sprintf("taints %v, conditions %v", node.Spec.Taints, node.Status.Conditions)
	}
	pods := func(want corev1.ConditionStatus) func() string {
		return func() string {
			list, err := l.Client().CoreV1().Pods(ShopNamespace).List(t.Context(), metav1.ListOptions{
				FieldSelector: "spec.nodeName=" + name,
			})
			if err != nil {
				return err.Error()
			}
			for _, p := range list.Items {
				if ready(&p).Status != want {
					return p.Name + " is ready: " + string(ready(&p).Status)
				}
			}
			return ""
		}
	}
	eventually(t, down)
	holds(t, func() string { return down() + pods(corev1.ConditionFalse)() })
	after, err := l.Client().CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if !after.Spec.RenewTime.Equal(lease.Spec.RenewTime) {
		t.Errorf("the lease of a dead node was renewed at %s", after.Spec.RenewTime)
	}
	if err := l.HealNode(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	eventually(t, pods(corev1.ConditionTrue))
	for _, service := range shopServices {
		if err := l.waitAvailable(t.Context(), ShopNamespace, service); err != nil {
			t.Fatal(err)
		}
	}
}
