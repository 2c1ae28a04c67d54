package agent

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/agent/command"
	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
)

// identity is what tells a cluster from others.
type identity struct {
	uid     string // of the kube-system namespace; empty where the agent may not read it
	version string // of Kubernetes
}

// state is what the uplink sees of the cluster. Until the API server has been reached once there is neither a watcher
// nor a runner: then there is nothing to report but that, and every request is refused.
type state struct {
	cfg     Config
	settled chan struct{} // closed once the watcher has settled

	mu      sync.Mutex // guards all below
	id      identity
	watcher *kube.Watcher
	runner  *command.Runner
	problem error // why the cluster could not be identified
}

func newState(cfg Config) *state { return &state{cfg: cfg, settled: make(chan struct{})} }

func (s *state) parts() (*kube.Watcher, *command.Runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.watcher, s.runner
}

// identify asks until the API server answers; false when ctx ends first. It calls failed when there is a new reason
// why it does not.
func (s *state) identify(ctx context.Context, failed func()) (identity, bool) {
	wait := 500 * time.Millisecond
	for {
		id, err := s.ask(ctx)
		if err == nil {
			return id, true
		}
		if ctx.Err() != nil {
			return id, false
		}
		s.mu.Lock()
		news := s.problem == nil || s.problem.Error() != err.Error()
		s.problem = err
		s.mu.Unlock()
		if news {
			s.cfg.Logger.WarnContext(ctx, "api server not reached", "err", err)
			failed()
		}
		wait = min(2*wait, 15*time.Second)
		t := time.NewTimer(wait/2 + rand.N(wait/2))
		select {
		case <-ctx.Done():
			t.Stop()
			return id, false
		case <-t.C:
		}
	}
}

func (s *state) ask(ctx context.Context) (identity, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var id identity
	ns, err := s.cfg.Client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	switch {
	case err == nil:
		id.uid = string(ns.UID)
	case apierrors.IsNotFound(err) || apierrors.IsForbidden(err):
		s.cfg.Logger.WarnContext(ctx, "cluster has no readable uid", "err", err)
	default:
		return id, err
	}
	if v, err := s.cfg.Client.Discovery().ServerVersion(); err == nil {
		id.version = v.GitVersion
	}
	return id, nil
}

// found makes the cluster known.
func (s *state) found(id identity, w *kube.Watcher, r *command.Runner) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.id, s.watcher, s.runner, s.problem = id, w, r, nil
}

func (s *state) hello() *report.JoinRequest {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &report.JoinRequest{
		AgentVersion: s.cfg.Version, KubernetesVersion: s.id.version, ClusterUid: s.id.uid, Capabilities: command.Verbs(),
	}
}

// Resource gives the newest form of an object, nil when it is gone.
func (s *state) Resource(k kube.Key) *report.Resource {
	if w, _ := s.parts(); w != nil {
		return w.Resource(k)
	}
	return nil
}

// Snapshot gives everything that is there.
func (s *state) Snapshot() []*report.Resource {
	if w, _ := s.parts(); w != nil {
		return w.Snapshot()
	}
	return nil
}

// Kinds gives the status of each kind; before the API server was reached, that every kind fails and why.
func (s *state) Kinds() []*report.KindStatus {
	w, _ := s.parts()
	if w != nil {
		return w.Kinds()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.problem == nil {
		return nil
	}
	var out []*report.KindStatus
	for _, k := range kube.Kinds() {
		out = append(out, &report.KindStatus{
			Kind: k, State: report.KindStatus_STATE_FAILING, Message: fmt.Sprintf("the API server cannot be reached: %v", s.problem),
		})
	}
	return out
}

// Settled is closed when Snapshot is complete.
func (s *state) Settled() <-chan struct{} { return s.settled }

// Query answers a query.
func (s *state) Query(ctx context.Context, q *report.Query) *report.Outcome {
	if _, r := s.parts(); r != nil {
		return r.Query(ctx, q)
	}
	return s.unreached()
}

// Command runs a command.
func (s *state) Command(ctx context.Context, c *report.Command) *report.Outcome {
	if _, r := s.parts(); r != nil {
		return r.Command(ctx, c)
	}
	return s.unreached()
}

func (s *state) unreached() *report.Outcome {
	return &report.Outcome{Status: report.Outcome_STATUS_REFUSED, Message: "nothing was done: the agent has not reached the API server yet"}
}
