package sim

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/sim/apiserver"
	"github.com/bukahou/atlhyper/agent/sim/controller"
)

// The scenarios' names.
const (
	crashloop      = "crashloop"
	oomkilled      = "oomkilled"
	imagepull      = "imagepull"
	badRollout     = "bad-rollout"
	nodeNotReady   = "node-notready"
	slowDependency = "slow-dependency"
	noisyNeighbour = "noisy-neighbour"
	configError    = "config-error"
)

// Scenario is a fault that can be injected.
type Scenario struct {
	Name        string
	Title       string
	Story       string // what happens, in a sentence for a person
	ExpectedFix string // what mends it, in the words of the commands
}

// Scenarios lists what Inject takes.
func Scenarios() []Scenario {
	return []Scenario{
		{crashloop, "A service's processes crash", "The local cache that the processes of one release share is corrupt, and each of them dies on reading it. Nobody changed anything.", "rollout restart"},
		{oomkilled, "A service runs out of memory", "A memory leak fills the processes of one workload up to their limit within minutes, again and again. Nobody changed anything.", "rollout restart"},
		{imagepull, "An image that is not there", "Somebody rolls out an image tag that was never pushed; the rollout stalls with half of the old pods gone.", "rollback"},
		{badRollout, "A bad release", "A new version comes up ready, then fails every third request and is slow.", "rollback"},
		{nodeNotReady, "A node falls silent", "A node's kubelet stops; its pods are lost with it. The machine is repaired once the node is cordoned.", "cordon"},
		{slowDependency, "A slow dependency", "A service deep in the call graph has exhausted its connection pool and answers many times slower; everything above it waits.", "rollout restart, or scale up by half"},
		{noisyNeighbour, "A noisy neighbour", "One pod of a batch workload spins and takes its node's CPU from everything else there. Nobody changed anything.", "delete that pod"},
		{configError, "A reference to a missing key", "Somebody rolls out a template that reads a ConfigMap key which does not exist; the new containers cannot be created.", "rollback"},
	}
}

// Truth is what really happened, for whoever judges an answer. It must not reach the engine.
type Truth struct {
	Roots  []*report.EntityRef // naming any of them is right
	Change bool                // the cause is a change that somebody made
	Story  string
	Onset  time.Time
}

// fault is an injected scenario. Until its onset it does nothing.
type fault struct {
	scenario string
	onset    time.Time
	target   *service
	strength float64
	node     string

	begun    bool
	release  string    // template hash of the pods that are struck
	image    string    // or their image
	pod      types.UID // or one pod
	podName  string
	replicas int       // ready ones of the target at onset
	repair   time.Time // when a cordoned node boots
	mended   bool      // scale or repair took it away for good
}

// strikes says whether a pod is one that the fault is about.
func (f *fault) strikes(i podInfo) bool {
	if !f.begun || f.mended || i.service == nil || i.service != f.target {
		return false
	}
	switch f.scenario {
	case badRollout:
		return i.image == f.image
	case crashloop, oomkilled, slowDependency:
		return i.release == f.release
	}
	return false
}

// errand is something that somebody does to the cluster at a time.
type errand struct {
	at time.Time
	do func(*apiserver.Tx) error
}

func (s *Shop) runAgenda(tx *apiserver.Tx) error {
	var err error
	for i := 0; i < len(s.agenda) && err == nil; {
		if tx.Now().Before(s.agenda[i].at) {
			i++
			continue
		}
		due := s.agenda[i]
		s.agenda = slices.Delete(s.agenda, i, i+1)
		err = due.do(tx)
	}
	return err
}

// Inject schedules a scenario. In some seeds an innocent change happens elsewhere some minutes before the onset, if there
// is still time for one. Who is struck follows from the seed and the scenario.
func (s *Shop) Inject(scenario string, at time.Time) error {
	var names []string
	for _, known := range Scenarios() {
		names = append(names, known.Name)
	}
	if !slices.Contains(names, scenario) {
		return fmt.Errorf("no scenario %q: choose one of %s", scenario, strings.Join(names, ", "))
	}
	r := draw(s.seed, "scenario "+scenario)
	f := &fault{scenario: scenario, onset: at.UTC().Truncate(time.Second), strength: r.Float64()}
	f.target = s.plan.services[pick(r, candidates(s.plan, scenario))]
	f.node = pick(r, s.plan.nodes)
	s.server.Do(time.Time{}, func(*apiserver.Tx) {
		s.faults = append(s.faults, f)
		s.agenda = append(s.agenda, errand{f.onset, func(tx *apiserver.Tx) error { return s.begin(tx, f) }})
		s.decoy(r, f)
	})
	return nil
}

// candidates are the roles that a scenario can strike so that it hurts and can be told.
func candidates(p *plan, scenario string) []role {
	switch scenario {
	case noisyNeighbour:
		return []role{batch}
	case slowDependency:
		return []role{cache, database, inventory}
	}
	var out []role
	for _, s := range p.services {
		if s.kind != deployment || s.role == batch || s.role == frontend {
			continue
		}
		// A rollout that stalls hurts only where it may take half of the old pods first.
		if s.slowToRoll && (scenario == imagepull || scenario == configError) {
			continue
		}
		out = append(out, s.role)
	}
	return out
}

// begin is the onset.
func (s *Shop) begin(tx *apiserver.Tx, f *fault) error {
	f.begun = true
	var ready []*corev1.Pod
	for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
		if s.info(pod).service == f.target && apiserver.Ready(pod) && pod.DeletionTimestamp == nil {
			ready = append(ready, pod)
		}
	}
	f.replicas = len(ready)
	switch f.scenario {
	case imagepull:
		return s.setImage(tx, f.target, f.target.broken)
	case badRollout:
		tag := f.target.tags[len(f.target.tags)-1]
		f.image = f.target.image(s.plan.registry, tag)
		return s.setImage(tx, f.target, tag)
	case configError:
		return s.referToMissingKey(tx, f)
	case nodeNotReady:
		s.kubelets.Stop(f.node)
	case noisyNeighbour:
		if len(ready) > 0 {
			victim := ready[int(f.strength*float64(len(ready)))]
			f.pod, f.podName = victim.UID, victim.Name
		}
	case crashloop, oomkilled, slowDependency:
		f.release = s.currentRelease(tx, f.target)
	}
	return nil
}

// currentRelease is the template hash of what a service runs now.
func (s *Shop) currentRelease(tx *apiserver.Tx, sv *service) string {
	if sv.kind == statefulSet {
		if set, ok := apiserver.Get[*appsv1.StatefulSet](tx, apiserver.StatefulSets, s.plan.namespace, sv.name); ok {
			return set.Status.UpdateRevision
		}
		return ""
	}
	d, ok := apiserver.Get[*appsv1.Deployment](tx, apiserver.Deployments, s.plan.namespace, sv.name)
	if !ok {
		return ""
	}
	for set := range apiserver.All[*appsv1.ReplicaSet](tx, apiserver.ReplicaSets) {
		if set.Namespace == d.Namespace && set.Labels["app.kubernetes.io/name"] == sv.name &&
			set.Annotations[controller.RevisionAnnotation] == d.Annotations[controller.RevisionAnnotation] {
			return set.Labels[controller.TemplateHashLabel]
		}
	}
	return ""
}

// tendFaults lets repairs happen that are not the cluster's own doing.
func (s *Shop) tendFaults(tx *apiserver.Tx) error {
	for _, f := range s.faults {
		if !f.begun || f.mended {
			continue
		}
		switch f.scenario {
		case nodeNotReady:
			node, ok := apiserver.Get[*corev1.Node](tx, apiserver.Nodes, "", f.node)
			switch {
			case !ok || f.repair.IsZero() && !node.Spec.Unschedulable:
			case f.repair.IsZero():
				f.repair = tx.Now().Add(time.Duration(80+40*f.strength) * time.Second)
			case !tx.Now().Before(f.repair):
				f.mended = true
				return s.kubelets.Boot(tx, f.node, string(tx.UID()))
			}
		case slowDependency:
			if tx.Now().Unix()%5 != 0 {
				continue
			}
			ready := 0
			for pod := range apiserver.All[*corev1.Pod](tx, apiserver.Pods) {
				if s.info(pod).service == f.target && apiserver.Ready(pod) && pod.DeletionTimestamp == nil {
					ready++
				}
			}
			// Half as many pods again bring enough connections for the queue to drain.
			f.mended = f.replicas > 0 && 2*ready >= 3*f.replicas
		}
	}
	return nil
}

// Truth tells what was injected last: the judge's reference.
func (s *Shop) Truth() Truth {
	var truth Truth
	s.server.Do(time.Time{}, func(*apiserver.Tx) {
		if len(s.faults) == 0 {
			return
		}
		f := s.faults[len(s.faults)-1]
		truth.Onset = f.onset
		for _, known := range Scenarios() {
			if known.Name == f.scenario {
				truth.Story = known.Story
			}
		}
		in := func(kind, name string) *report.EntityRef {
			return &report.EntityRef{Kind: kind, Namespace: s.plan.namespace, Name: name}
		}
		switch f.scenario {
		case nodeNotReady:
			truth.Roots = []*report.EntityRef{{Kind: "Node", Name: f.node}}
		case noisyNeighbour:
			truth.Roots = []*report.EntityRef{in(f.target.kind, f.target.name)}
			if f.podName != "" {
				truth.Roots = append(truth.Roots, in("Pod", f.podName))
			}
		default:
			truth.Roots = []*report.EntityRef{in(f.target.kind, f.target.name), in("Service", f.target.name)}
		}
		switch f.scenario {
		case imagepull, badRollout, configError:
			truth.Change = true
		}
	})
	return truth
}

// decoy plans an innocent change before a fault, in every second seed.
func (s *Shop) decoy(r *rand.Rand, f *fault) {
	kind, before, who := r.IntN(6), time.Duration(100+r.IntN(260))*time.Second, r.IntN(64)
	at := f.onset.Add(-before)
	if earliest := s.clock.Add(time.Second); at.Before(earliest) {
		at = earliest
	}
	if kind >= 3 || f.onset.Sub(at) < 30*time.Second {
		return
	}
	var others []*service
	for _, sv := range s.plan.services {
		if sv != f.target && sv.kind == deployment && sv.role != batch && sv.slowToRoll {
			others = append(others, sv)
		}
	}
	other := others[who%len(others)]
	s.agenda = append(s.agenda, errand{at, func(tx *apiserver.Tx) error {
		switch kind {
		case 0:
			return s.setImage(tx, other, other.tags[len(other.tags)-1])
		case 1:
			return s.addReplica(tx, other)
		default:
			return s.editConfig(tx, other)
		}
	}})
}
