package detect

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/bukahou/atlhyper/agent/report"
)

func clone(r *report.Resource) *report.Resource { return proto.Clone(r).(*report.Resource) }

func TestFacts(t *testing.T) {
	cases := []struct {
		name string
		make func(*world)
		wait time.Duration
		want []string
	}{
		{"a crash loop lands on the pod and, with figures, on the workload", func(w *world) {
			w.deployment("cart", 3)
			w.pod("cart")
			w.crash(w.pod("cart"), 4)
			w.crash(w.pod("cart"), 3)
		}, 0, []string{
			"deployment/cart CrashLoopBackOff 0.90: 2 of 3 pods wait in CrashLoopBackOff: exit code 1, 7 restarts",
			"pod/cart-1-2 CrashLoopBackOff 0.90: container app waits in CrashLoopBackOff: exit code 1, 4 restarts",
			"pod/cart-1-3 CrashLoopBackOff 0.90: container app waits in CrashLoopBackOff: exit code 1, 3 restarts",
		}},
		{"an init container that crashes counts the same", func(w *world) {
			w.deployment("cart", 1)
			w.change(w.newPod("cart"), func(r *report.Resource, c *report.Container) {
				r.GetPod().Containers = append([]*report.Container{{Name: "migrate", Init: true, State: "waiting", Reason: "CrashLoopBackOff", LastExitCode: 2, Restarts: 5}}, c)
			})
		}, 0, []string{
			"deployment/cart CrashLoopBackOff 0.90: 1 of 1 pod waits in CrashLoopBackOff: exit code 2, 5 restarts",
			"pod/cart-1-1 CrashLoopBackOff 0.90: container migrate waits in CrashLoopBackOff: exit code 2, 5 restarts",
		}},
		{"an OOM kill counts although the container runs again", func(w *world) {
			w.deployment("ads", 2)
			w.pod("ads")
			w.change(w.pod("ads"), func(_ *report.Resource, c *report.Container) {
				c.Ready, c.Restarts, c.LastReason, c.LastFinished = false, 1, "OOMKilled", w.ago(20*time.Second)
				c.Limits = &report.Quantities{MemoryBytes: 256 << 20}
			})
		}, 0, []string{
			"deployment/ads OOMKilled 0.95: 1 of 2 pods was OOMKilled: memory limit 256 MiB, 1 restart",
			"pod/ads-1-2 OOMKilled 0.95: container app was OOMKilled: memory limit 256 MiB, 1 restart",
		}},
		{"an image that cannot be pulled is named with the reason", func(w *world) {
			w.deployment("cart", 1)
			w.waits(w.newPod("cart"), "ErrImagePull", "rpc error: code = NotFound: manifest unknown")
		}, 0, []string{
			"deployment/cart ImagePullBackOff 0.80: 1 of 1 pod waits in ImagePullBackOff: shop/cart:v9 not found",
			"pod/cart-1-1 ImagePullBackOff 0.80: container app waits in ImagePullBackOff: shop/cart:v9 not found",
		}},
		{"a configuration error says what is missing", func(w *world) {
			w.deployment("cart", 1)
			w.waits(w.newPod("cart"), "CreateContainerConfigError", `configmap "cart-env" not found`)
		}, 0, []string{
			`deployment/cart CreateContainerConfigError 0.80: 1 of 1 pod waits in CreateContainerConfigError: configmap "cart-env" not found`,
			`pod/cart-1-1 CreateContainerConfigError 0.80: container app waits in CreateContainerConfigError: configmap "cart-env" not found`,
		}},
		{"half of the replicas lost", func(w *world) {
			d := w.deployment("cart", 4)
			w.pod("cart")
			w.pod("cart")
			w.unready(w.pod("cart"))
			w.unready(w.pod("cart"))
			w.counts(d, 2, 4)
		}, 20 * time.Second, []string{"deployment/cart Unavailable 0.80: 2 of 4 pods are unavailable"}},
		{"a DaemonSet with three quarters lost", func(w *world) {
			w.put(&report.Resource{Kind: "DaemonSet", Namespace: "shop", Name: "log", Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: 4, Available: 1}}})
		}, 90 * time.Second, []string{"daemonset/log Unavailable 0.95: 3 of 4 pods are unavailable"}},
		{"a pod that is not ready past its workload's progress deadline", func(w *world) {
			d := w.deployment("slow", 3)
			d = clone(d)
			d.GetWorkload().ProgressDeadline = durationpb.New(2 * time.Minute)
			w.put(d)
			w.newPod("slow")
		}, 3 * time.Minute, []string{
			"deployment/slow NotReady 0.60: 1 of 1 pod is not ready, the longest for 3 min",
			"pod/slow-1-1 NotReady 0.60: not ready for 3 min",
		}},
		{"a pod that takes three times as long as its siblings did", func(w *world) {
			w.deployment("slow", 3)
			w.pod("slow")
			w.pod("slow")
			w.newPod("slow")
		}, 61 * time.Second, []string{
			"deployment/slow NotReady 0.60: 1 of 3 pods is not ready, the longest for 70 s",
			"pod/slow-1-3 NotReady 0.60: not ready for 70 s, it usually starts in 20 s",
		}},
		{"pods that no node takes say what is lacking", func(w *world) {
			w.deployment("cart", 2)
			w.pod("cart")
			w.change(w.newPod("cart"), func(r *report.Resource, _ *report.Container) {
				r.GetPod().Node, r.GetPod().Containers = "", nil
				r.GetPod().Conditions = append(r.GetPod().Conditions, &report.Condition{
					Type: "PodScheduled", Status: "False", Reason: "Unschedulable", LastTransition: w.ts(),
					Message: "0/4 nodes are available: 3 Insufficient memory, 1 node(s) had untolerated taint {dedicated: gpu}. preemption: 0/4 nodes are available",
				})
			})
		}, time.Minute, []string{"deployment/cart Unschedulable 0.80: 1 of 2 pods cannot be scheduled for 60 s: not enough memory (3 nodes), taints are not tolerated (1 node)"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			c.make(w)
			if diff := cmp.Diff(c.want, lines(w.wait(c.wait))); diff != "" {
				t.Errorf("facts (-want +got):\n%s", diff)
			}
		})
	}
}
