package sim

import (
	"errors"
	"fmt"
	"sync"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"

	"github.com/bukahou/atlhyper/agent/sim/apiserver"
	"github.com/bukahou/atlhyper/agent/sim/controller"
	"github.com/bukahou/atlhyper/agent/sim/kubelet"
)

// Config says which shop it is.
type Config struct {
	Seed      uint64
	Start     time.Time // when the shop is first looked at; it is some weeks old by then. Needed, truncated to seconds
	Namespace string    // of the shop; drawn from the seed when empty
}

// tick is how often telemetry is scraped, and the window of a frame.
const tick = 10 * time.Second

// Shop is a simulated shop. All methods are safe for concurrent use; steps wait for each other.
type Shop struct {
	seed        uint64
	start       time.Time
	plan        *plan
	server      *apiserver.Server
	controllers *controller.Set
	kubelets    *kubelet.Kubelets
	events      *controller.Recorder

	stepping sync.Mutex // held for the length of a Step, so that two do not interleave

	// Guarded by server.Do, as are the controllers and kubelets.
	clock   time.Time
	settled int64 // the server's version when the controllers had nothing left to do
	faults  []*fault
	agenda  []errand
	known   map[types.UID]podInfo
	opening view // the healthy shop at Start: what history is made of
	calm    flow // and what it measures then
	past    []moment
	failure error // the first error of the machinery itself; told by Sample
}

// podInfo is what a pod tells about the simulation's own view of it.
type podInfo struct {
	service *service // nil for pods that are no part of the shop
	release string   // hash of the template that it came from
	image   string
}

// New opens a shop: its workloads are deployed, updated a few times over some weeks, and at rest at Start.
func New(cfg Config) (*Shop, error) {
	if cfg.Start.IsZero() {
		return nil, errors.New("simulated shop: Start is not set")
	}
	start := cfg.Start.UTC().Truncate(time.Second)
	s := &Shop{seed: cfg.Seed, start: start, plan: newPlan(cfg.Seed, cfg.Namespace), known: map[types.UID]podInfo{}}
	born := start.Add(-23 * 24 * time.Hour)
	server, err := apiserver.New(apiserver.Config{Start: born, Seed: cfg.Seed})
	if err != nil {
		return nil, err
	}
	s.server = server
	s.events = controller.NewRecorder()
	s.controllers = controller.NewSet(s.events)
	s.kubelets = kubelet.New(s, s.events)
	server.Do(born, func(tx *apiserver.Tx) {
		s.clock = tx.Now()
		s.failure = s.furnish(tx)
	})
	// Three releases on three days. Between them nothing happens, so the clock may jump.
	s.Step(born.Add(90 * time.Second))
	for release := 1; release < 3; release++ {
		day := start.Add(-time.Duration(20-8*release) * 24 * time.Hour)
		s.jump(day)
		for i, sv := range s.plan.services {
			if sv.revision > release {
				tag := sv.tags[release]
				s.agenda = append(s.agenda, errand{day.Add(time.Duration(5+11*i) * time.Second), func(tx *apiserver.Tx) error {
					return s.setImage(tx, sv, tag)
				}})
			}
		}
		s.Step(day.Add(5 * time.Minute))
	}
	s.jump(start.Add(-time.Second))
	s.Step(start)
	server.Do(time.Time{}, func(tx *apiserver.Tx) {
		s.opening = s.look(tx)
		s.calm = s.plan.solve(s.opening, start)
		s.past = nil
		if s.failure == nil {
			s.failure = s.atRest(tx)
		}
	})
	if s.failure != nil {
		return nil, fmt.Errorf("simulated shop: %w", s.failure)
	}
	return s, nil
}

// atRest checks that every workload has what it wants: a plan that does not fit its nodes is a bug to be told at once.
func (s *Shop) atRest(tx *apiserver.Tx) error {
	for d := range apiserver.All[*appsv1.Deployment](tx, apiserver.Deployments) {
		if d.Status.AvailableReplicas != *d.Spec.Replicas || d.Status.Replicas != *d.Spec.Replicas {
			return fmt.Errorf("deployment %s/%s did not come up: %d of %d available", d.Namespace, d.Name, d.Status.AvailableReplicas, *d.Spec.Replicas)
		}
	}
	for set := range apiserver.All[*appsv1.StatefulSet](tx, apiserver.StatefulSets) {
		if set.Status.ReadyReplicas != *set.Spec.Replicas {
			return fmt.Errorf("stateful set %s/%s did not come up: %d of %d ready", set.Namespace, set.Name, set.Status.ReadyReplicas, *set.Spec.Replicas)
		}
	}
	return nil
}

// Client gives the cluster's clientset. Writes are stored at once; what follows from them follows in the next Steps.
func (s *Shop) Client() kubernetes.Interface { return s.server.Client() }

// Start is when the shop is first looked at.
func (s *Shop) Start() time.Time { return s.start }

// Namespace is the shop's own namespace.
func (s *Shop) Namespace() string { return s.plan.namespace }

// Canary is a text that is part of every Secret value, of a ConfigMap value and of an environment value of the shop, and
// of nothing else: whoever finds it downstream has found a leak.
func (s *Shop) Canary() string { return s.plan.canary }

// Now is the shop's clock.
func (s *Shop) Now() time.Time {
	var now time.Time
	s.server.Do(time.Time{}, func(*apiserver.Tx) { now = s.clock })
	return now
}

// Step moves the shop on to now, second by second. A now that is not later than the shop's clock does nothing.
func (s *Shop) Step(now time.Time) {
	s.stepping.Lock()
	defer s.stepping.Unlock()
	for {
		next := s.clock.Add(time.Second) // written by steps alone, which wait for each other
		if next.After(now) {
			break
		}
		s.server.Do(next, s.second)
	}
	s.server.Forget()
}

// jump moves the clock over a time in which nothing happens.
func (s *Shop) jump(to time.Time) {
	s.server.Do(to, func(tx *apiserver.Tx) { s.clock = tx.Now() })
}

// second is one second of the shop's life.
func (s *Shop) second(tx *apiserver.Tx) {
	s.clock = tx.Now()
	err := errors.Join(s.runAgenda(tx), s.tendFaults(tx), s.kubelets.Step(tx))
	if err == nil && tx.Version() != s.settled {
		before := tx.Version()
		err = s.controllers.Run(tx)
		s.settled = before
		if tx.Version() == before {
			s.settled = tx.Version()
		}
	}
	s.events.Sweep(tx)
	if s.clock.Unix()%int64(tick/time.Second) == 0 {
		s.remember(tx)
	}
	if err != nil && s.failure == nil {
		s.failure = fmt.Errorf("at %s: %w", s.clock.Format(time.RFC3339), err)
	}
}

// info gives what the simulation knows of a pod.
func (s *Shop) info(pod *corev1.Pod) podInfo {
	if known, ok := s.known[pod.UID]; ok {
		return known
	}
	var i podInfo
	if pod.Namespace == s.plan.namespace {
		for _, sv := range s.plan.services {
			if pod.Labels["app.kubernetes.io/name"] == sv.name {
				i.service = sv
			}
		}
	}
	i.release = pod.Labels[controller.TemplateHashLabel]
	if i.release == "" {
		i.release = pod.Labels[controller.RevisionHashLabel]
	}
	if len(pod.Spec.Containers) > 0 {
		i.image = pod.Spec.Containers[0].Image
	}
	s.known[pod.UID] = i
	return i
}
