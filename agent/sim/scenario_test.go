package sim

import (
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bukahou/atlhyper/agent/report"
)

// bench is a shop with a fault in it and somebody who looks and acts through the client alone.
type bench struct {
	testing.TB
	s    *Shop
	now  time.Time
	rest map[string]float64 // mean latency of each Service before the fault
}

func (b *bench) wait(d time.Duration) {
	b.now = b.now.Add(d)
	b.s.Step(b.now)
}

// mean is the mean of a metric over the last minute.
func (b *bench) mean(kind, name, metric string) float64 {
	var sum, n float64
	for i := range 6 {
		for _, x := range sample(b, b.s, b.now.Add(-time.Duration(i)*tick)).Samples {
			if x.Entity.Kind == kind && x.Entity.Name == name && x.Metric == metric {
				sum += x.Value
				n++
			}
		}
	}
	return sum / max(n, 1)
}

func (b *bench) root() *report.EntityRef { return b.s.Truth().Roots[0] }

func (b *bench) pods(name string) []corev1.Pod {
	list, err := b.s.Client().CoreV1().Pods(b.s.Namespace()).List(b.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + name})
	if err != nil {
		b.Fatal(err)
	}
	return list.Items
}

func (b *bench) waitingFor(reasons ...string) bool {
	for _, p := range b.pods(b.root().Name) {
		for _, c := range p.Status.ContainerStatuses {
			if c.State.Waiting != nil && slices.Contains(reasons, c.State.Waiting.Reason) {
				return true
			}
		}
	}
	return false
}

// The fixes, as a person would make them.

func (b *bench) restart() {
	patch := fmt.Appendf(nil, `{"spec":{"template":{"metadata":{"annotations":{"kubectl.kubernetes.io/restartedAt":%q}}}}}`, b.now.Format(time.RFC3339))
	b.patchWorkload(patch)
}

func (b *bench) scale(by func(int32) int32) {
	n := int32(len(b.pods(b.root().Name)))
	b.patchWorkload(fmt.Appendf(nil, `{"spec":{"replicas":%d}}`, by(n)))
}

func (b *bench) patchWorkload(patch []byte) {
	r, err := b.root(), error(nil)
	if r.Kind == statefulSet {
		_, err = b.s.Client().AppsV1().StatefulSets(r.Namespace).Patch(b.Context(), r.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	} else {
		_, err = b.s.Client().AppsV1().Deployments(r.Namespace).Patch(b.Context(), r.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{})
	}
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) rollback() {
	r := b.root()
	d, err := b.s.Client().AppsV1().Deployments(r.Namespace).Get(b.Context(), r.Name, metav1.GetOptions{})
	if err != nil {
		b.Fatal(err)
	}
	sets, err := b.s.Client().AppsV1().ReplicaSets(r.Namespace).List(b.Context(), metav1.ListOptions{LabelSelector: "app.kubernetes.io/name=" + r.Name})
	if err != nil {
		b.Fatal(err)
	}
	var last *appsv1.ReplicaSet
	for i := range sets.Items {
		set := &sets.Items[i]
		if number(set.Annotations) < number(d.Annotations) && (last == nil || number(set.Annotations) > number(last.Annotations)) {
			last = set
		}
	}
	if last == nil {
		b.Fatalf("%s has no revision to go back to", r.Name)
	}
	d.Spec.Template = last.Spec.Template
	delete(d.Spec.Template.Labels, appsv1.DefaultDeploymentUniqueLabelKey)
	if _, err := b.s.Client().AppsV1().Deployments(r.Namespace).Update(b.Context(), d, metav1.UpdateOptions{}); err != nil {
		b.Fatal(err)
	}
}

func number(annotations map[string]string) (n int) {
	if _, err := fmt.Sscan(annotations["deployment.kubernetes.io/revision"], &n); err != nil {
		return 0
	}
	return n
}

func (b *bench) deletePod(name string) {
	if err := b.s.Client().CoreV1().Pods(b.s.Namespace()).Delete(b.Context(), name, metav1.DeleteOptions{}); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) cordon() {
	if _, err := b.s.Client().CoreV1().Nodes().Patch(b.Context(), b.root().Name, types.StrategicMergePatchType, []byte(`{"spec":{"unschedulable":true}}`), metav1.PatchOptions{}); err != nil {
		b.Fatal(err)
	}
}

func (b *bench) setImage(tag string) {
	for _, sv := range b.s.plan.services {
		if sv.name == b.root().Name {
			b.patchWorkload(fmt.Appendf(nil, `{"spec":{"template":{"spec":{"containers":[{"name":%q,"image":%q}]}}}}`, sv.name, sv.image(b.s.plan.registry, tag)))
		}
	}
}

type scenarioCase struct {
	sick    func(*bench) bool
	right   map[string]func(*bench)
	wrong   map[string]func(*bench)
	lasting time.Duration // how long after the right fix it must be well; 5 min if zero
}

func one(n int32) int32  { return n + 1 }
func half(n int32) int32 { return n + (n+1)/2 }

var scenarioCases = map[string]scenarioCase{
	crashloop: {
		sick: func(b *bench) bool {
			return b.waitingFor("CrashLoopBackOff") && b.mean("Service", b.root().Name, "error_rate") > 0.9
		},
		right: map[string]func(*bench){"rollout restart": (*bench).restart},
		wrong: map[string]func(*bench){"scale up": func(b *bench) { b.scale(one) }, "delete a pod": func(b *bench) { b.deletePod(b.pods(b.root().Name)[0].Name) }},
	},
	oomkilled: {
		sick: func(b *bench) bool {
			for _, p := range b.pods(b.root().Name) {
				for _, c := range p.Status.ContainerStatuses {
					if last := c.LastTerminationState.Terminated; last != nil && last.Reason == "OOMKilled" && b.now.Sub(last.FinishedAt.Time) < 5*time.Minute {
						return true
					}
				}
			}
			return false
		},
		right:   map[string]func(*bench){"rollout restart": (*bench).restart},
		wrong:   map[string]func(*bench){"delete a pod": func(b *bench) { b.deletePod(b.pods(b.root().Name)[0].Name) }},
		lasting: 2 * time.Hour,
	},
	imagepull: {
		sick:  func(b *bench) bool { return b.waitingFor("ErrImagePull", "ImagePullBackOff") },
		right: map[string]func(*bench){"rollback": (*bench).rollback, "set image": func(b *bench) { b.setImage(target(b).tags[0]) }},
		wrong: map[string]func(*bench){"rollout restart": (*bench).restart, "scale up": func(b *bench) { b.scale(one) }},
	},
	badRollout: {
		sick:  func(b *bench) bool { return b.mean("Service", b.root().Name, "error_rate") > 0.2 },
		right: map[string]func(*bench){"rollback": (*bench).rollback},
		wrong: map[string]func(*bench){"rollout restart": (*bench).restart, "scale up": func(b *bench) { b.scale(one) }},
	},
	nodeNotReady: {
		sick: func(b *bench) bool {
			node, err := b.s.Client().CoreV1().Nodes().Get(b.Context(), b.root().Name, metav1.GetOptions{})
			if err != nil {
				b.Fatal(err)
			}
			for _, c := range node.Status.Conditions {
				if c.Type == corev1.NodeReady {
					return c.Status != corev1.ConditionTrue
				}
			}
			return true
		},
		right: map[string]func(*bench){"cordon": (*bench).cordon},
		wrong: map[string]func(*bench){"nothing": func(*bench) {}},
	},
	slowDependency: {
		sick: func(b *bench) bool {
			return b.mean("Service", b.root().Name, "avg_latency") > 5*b.rest[b.root().Name]
		},
		right: map[string]func(*bench){"rollout restart": (*bench).restart, "scale up by half": func(b *bench) { b.scale(half) }},
		wrong: map[string]func(*bench){"delete a pod": func(b *bench) { b.deletePod(b.pods(b.root().Name)[0].Name) }},
	},
	noisyNeighbour: {
		sick: func(b *bench) bool {
			for _, node := range b.s.plan.nodes {
				if b.mean("Node", node, "cpu_usage") > 0.94 && b.mean("Node", node, "psi_cpu") > 0.2 {
					return true
				}
			}
			return false
		},
		right: map[string]func(*bench){"delete that pod": func(b *bench) { b.deletePod(b.s.Truth().Roots[1].Name) }},
		wrong: map[string]func(*bench){
			"scale up": func(b *bench) { b.scale(one) },
			"delete another pod": func(b *bench) {
				for _, p := range b.pods(b.root().Name) {
					if p.Name != b.s.Truth().Roots[1].Name {
						b.deletePod(p.Name)
						return
					}
				}
			},
		},
	},
	configError: {
		sick:  func(b *bench) bool { return b.waitingFor("CreateContainerConfigError") },
		right: map[string]func(*bench){"rollback": (*bench).rollback},
		wrong: map[string]func(*bench){"rollout restart": (*bench).restart},
	},
}

func target(b *bench) *service {
	for _, sv := range b.s.plan.services {
		if sv.name == b.root().Name {
			return sv
		}
	}
	b.Fatal("the root cause is no service")
	return nil
}

func start(t *testing.T, seed uint64, scenario string) *bench {
	b := &bench{TB: t, s: open(t, seed), now: opening, rest: map[string]float64{}}
	onset := opening.Add(5 * time.Minute)
	if err := b.s.Inject(scenario, onset); err != nil {
		t.Fatal(err)
	}
	b.wait(4*time.Minute + 50*time.Second)
	for _, sv := range b.s.plan.services {
		b.rest[sv.name] = b.mean("Service", sv.name, "avg_latency")
	}
	if scenario != nodeNotReady && scenarioCases[scenario].sick(b) {
		t.Fatalf("seed %d: sick before the onset", seed)
	}
	b.wait(6 * time.Minute)
	if !scenarioCases[scenario].sick(b) {
		t.Fatalf("seed %d: %s shows no symptom 6 minutes after the onset", seed, b.root())
	}
	return b
}

func TestEachScenarioIsHealedByItsFixAndByNoOther(t *testing.T) {
	for n, sc := range Scenarios() {
		c, ok := scenarioCases[sc.Name]
		if !ok {
			t.Fatalf("%s has no case", sc.Name)
		}
		seed := uint64(n) // another shop for each
		for name, fix := range c.right {
			t.Run(sc.Name+" is healed by "+name, func(t *testing.T) {
				b := start(t, seed, sc.Name)
				fix(b)
				b.wait(6 * time.Minute)
				if c.sick(b) {
					t.Fatal("still sick")
				}
				b.wait(max(c.lasting, 5*time.Minute))
				if c.sick(b) {
					t.Error("sick again")
				}
				if sc.Name == nodeNotReady {
					return
				}
				for _, p := range b.pods(b.root().Name) {
					if !ready(&p) {
						t.Errorf("pod %s is not ready after all", p.Name)
					}
				}
			})
		}
		for name, fix := range c.wrong {
			t.Run(sc.Name+" is not healed by "+name, func(t *testing.T) {
				b := start(t, seed, sc.Name)
				fix(b)
				b.wait(6 * time.Minute)
				if !c.sick(b) {
					t.Error("healed by a fix that should not help")
				}
			})
		}
	}
}

func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

func TestAFaultIsFeltByTheCallers(t *testing.T) {
	b := start(t, 0, slowDependency)
	callers := 0
	for _, sv := range b.s.plan.services {
		for _, c := range sv.calls {
			if b.s.plan.services[c.to].name == b.root().Name {
				callers++
				if now := b.mean("Service", sv.name, "avg_latency"); now < 1.3*b.rest[sv.name] {
					t.Errorf("%s calls %s and takes %.4f s, as before (%.4f s)", sv.name, b.root().Name, now, b.rest[sv.name])
				}
			}
		}
	}
	if callers == 0 {
		t.Error("nobody calls the slow service")
	}
}

func TestASilentNodeLosesItsPodsStepByStep(t *testing.T) {
	b := &bench{TB: t, s: open(t, 4), now: opening}
	if err := b.s.Inject(nodeNotReady, opening.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	node := b.root().Name
	on := func() (up, terminating int) {
		list, err := b.s.Client().CoreV1().Pods(b.s.Namespace()).List(t.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + node})
		if err != nil {
			t.Fatal(err)
		}
		for i := range list.Items {
			if ready(&list.Items[i]) {
				up++
			}
			if list.Items[i].DeletionTimestamp != nil {
				terminating++
			}
		}
		return up, terminating
	}
	b.wait(time.Minute + 30*time.Second)
	if n, _ := on(); n == 0 {
		t.Error("the pods are not ready 30 s after the node fell silent: its grace is 40 s")
	}
	for _, x := range sample(t, b.s, b.now).Samples {
		if x.Entity.Name == node {
			t.Errorf("the silent node still reports %s", x.Metric)
		}
	}
	b.wait(30 * time.Second)
	if n, _ := on(); n != 0 {
		t.Errorf("%d pods are still ready a minute after the node fell silent", n)
	}
	b.wait(90 * time.Second)
	if _, n := on(); n == 0 {
		t.Error("no pod was evicted after its toleration")
	}
	b.wait(2 * time.Minute)
	for _, sv := range b.s.plan.services {
		if sv.kind != deployment {
			continue
		}
		d, err := b.s.Client().AppsV1().Deployments(b.s.Namespace()).Get(t.Context(), sv.name, metav1.GetOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if d.Status.AvailableReplicas != *d.Spec.Replicas {
			t.Errorf("%s was not replaced on other nodes: %d of %d", sv.name, d.Status.AvailableReplicas, *d.Spec.Replicas)
		}
	}
	b.cordon()
	b.wait(3 * time.Minute)
	if _, n := on(); n != 0 {
		t.Errorf("%d pods are still terminating after the repair", n)
	}
}
