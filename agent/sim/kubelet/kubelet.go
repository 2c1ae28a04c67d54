// Package kubelet plays the kubelets of the simulated nodes: it starts the containers of the pods bound to them, keeps
// the pods' statuses as a kubelet writes them, restarts what ends with the usual back-off, removes what was deleted and
// renews the nodes' leases. What the processes inside do is the Behaviour's business.
package kubelet

import (
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
	"github.com/bukahou/atlhyper/agent/sim/controller"
)

// Behaviour says what images and processes do. It is asked about one container at a time, once a second, and must give
// the same answer to the same question.
type Behaviour interface {
	// Pull gives nil when the image can be pulled, or what the registry answers.
	Pull(image string) error
	// Startup is how long a new process of the pod needs until its readiness probe succeeds.
	Startup(pod *corev1.Pod) time.Duration
	// Ended says whether a process that was started at the given time has ended by now, and how.
	Ended(pod *corev1.Pod, started, now time.Time) (Exit, bool)
}

// Exit is how a process ended.
type Exit struct {
	Code   int32
	Reason string // Error, OOMKilled, Completed
}

// Run is one life of a container's process.
type Run struct {
	Started, Finished time.Time // Finished is zero while it runs
	Exit              Exit
}

// Kubelets are all kubelets of the cluster. Not safe for concurrent use: step it inside Server.Do.
type Kubelets struct {
	behaviour Behaviour
	events    *controller.Recorder
	pods      map[types.UID]*podState
	down      map[string]bool
	addresses map[string]int // pod addresses given out, by node
}

type podState struct {
	seen       time.Time // when the kubelet first saw the pod; zero until then
	ends       time.Time // when a deleted pod's processes are gone
	containers []containerState
	gone       bool // scratch of one step's sweep
}

type phase int

const (
	creating phase = iota
	pulling
	imageBackOff
	configError
	running
	ended
	crashBackOff
)

// containerState is where one container stands. due is when the phase is looked at again.
type containerState struct {
	phase    phase
	due      time.Time
	message  string
	ready    bool
	readyAt  time.Time
	restarts int32
	wait     time.Duration // the current back-off
	run      Run           // present or last life
	last     *Run          // the life before
}

// New makes the kubelets.
func New(behaviour Behaviour, events *controller.Recorder) *Kubelets {
	return &Kubelets{behaviour: behaviour, events: events, pods: map[types.UID]*podState{}, down: map[string]bool{}, addresses: map[string]int{}}
}

// Stop makes a node's kubelet fall silent, with everything on it frozen.
func (k *Kubelets) Stop(node string) { k.down[node] = true }

// Stopped says whether a node's kubelet is silent.
func (k *Kubelets) Stopped(node string) bool { return k.down[node] }

// Runs gives the present or last life of a pod's first container, and the one before it (nil if none). ok is false when
// no process has run yet.
func (k *Kubelets) Runs(pod types.UID) (now Run, last *Run, ok bool) {
	p := k.pods[pod]
	if p == nil || len(p.containers) == 0 || p.containers[0].run.Started.IsZero() {
		return Run{}, nil, false
	}
	return p.containers[0].run, p.containers[0].last, true
}

// Step brings all nodes to tx.Now(), which must be at most a second after the last step, save for jumps over quiet time.
func (k *Kubelets) Step(tx *apiserver.Tx) error {
	if err := k.renew(tx); err != nil {
		return err
	}
	for _, p := range k.pods {
		p.gone = true
	}
	for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
		p := k.pods[pod.UID]
		if p == nil {
			p = &podState{}
			k.pods[pod.UID] = p
		}
		p.gone = false
		if pod.Spec.NodeName == "" || k.down[pod.Spec.NodeName] {
			continue
		}
		if err := k.stepPod(tx, pod, p); err != nil {
			return fmt.Errorf("pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	for uid, p := range k.pods {
		if p.gone {
			delete(k.pods, uid)
		}
	}
	return nil
}

const leaseEvery = 10 * time.Second

// renew keeps the leases of the nodes whose kubelet is alive.
func (k *Kubelets) renew(tx *apiserver.Tx) error {
	for node := range apiserver.All[*corev1.Node](tx, apiserver.Nodes) {
		if k.down[node.Name] {
			continue
		}
		now := metav1.NewMicroTime(tx.Now())
		lease, ok := apiserver.Get[*coordinationv1.Lease](tx, apiserver.Leases, controller.LeaseNamespace, node.Name)
		switch {
		case !ok:
			holder, seconds := node.Name, int32(40)
			lease = &coordinationv1.Lease{
				ObjectMeta: metav1.ObjectMeta{Namespace: controller.LeaseNamespace, Name: node.Name},
				Spec:       coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now},
			}
			if err := tx.Create(apiserver.Leases, lease); err != nil {
				return err
			}
		case tx.Now().Sub(lease.Spec.RenewTime.Time) >= leaseEvery:
			renewed := lease.DeepCopy()
			renewed.Spec.RenewTime = &now
			if err := tx.Update(apiserver.Leases, renewed); err != nil {
				return err
			}
		}
	}
	return nil
}

// stepPod moves a pod's containers on and writes its status when something changed.
func (k *Kubelets) stepPod(tx *apiserver.Tx, pod *corev1.Pod, p *podState) error {
	if pod.DeletionTimestamp != nil {
		return k.endPod(tx, pod, p)
	}
	now := tx.Now()
	changed := false
	if p.seen.IsZero() {
		p.seen = now
		p.containers = make([]containerState, len(pod.Spec.Containers))
		for i := range p.containers {
			p.containers[i].due = now.Add(time.Second)
		}
		changed = true
	}
	for i := range p.containers {
		moved, err := k.stepContainer(tx, pod, &pod.Spec.Containers[i], &p.containers[i])
		if err != nil {
			return err
		}
		changed = changed || moved
	}
	if !changed && apiserver.Ready(pod) == p.ready() {
		return nil
	}
	current, ok := apiserver.Get[*corev1.Pod](tx, apiserver.Pods, pod.Namespace, pod.Name)
	if !ok {
		return nil
	}
	updated := current.DeepCopy()
	k.status(tx, updated, p)
	return tx.Update(apiserver.Pods, updated)
}

func (p *podState) ready() bool {
	for i := range p.containers {
		if !p.containers[i].ready {
			return false
		}
	}
	return len(p.containers) > 0
}

// endPod stops a deleted pod's processes, which takes a few seconds, and then lets the pod go.
func (k *Kubelets) endPod(tx *apiserver.Tx, pod *corev1.Pod, p *podState) error {
	now := tx.Now()
	if p.ends.IsZero() {
		p.ends = now.Add(2*time.Second + time.Duration(len(pod.Name)%3)*time.Second)
		for i := range p.containers {
			if p.containers[i].phase == running {
				if err := k.event(tx, pod, corev1.EventTypeNormal, "Killing", "Stopping container "+pod.Spec.Containers[i].Name); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if !now.Before(p.ends) {
		tx.Delete(apiserver.Pods, pod.Namespace, pod.Name)
	}
	return nil
}

func (k *Kubelets) event(tx *apiserver.Tx, pod *corev1.Pod, kind, reason, message string) error {
	return k.events.Record(tx, "Pod", pod, "kubelet", pod.Spec.NodeName, kind, reason, message)
}
