// Package apiserver gives client-go's fake clientset the manners of a real API server, in memory.
//
// client-go's own object tracker stores whatever it is given: it never moves a resourceVersion, accepts stale updates,
// stores dry runs, ignores field selectors and panics when a watcher is slow. This package answers the clientset's
// requests itself: one resourceVersion for all objects, generations that move with the spec, Conflict on a stale update,
// dry runs that are checked and forgotten, the status, scale and eviction subresources, graceful deletion of pods,
// and watches with a bounded history that end a slow watcher instead of blocking the writer (as the watch cache does).
//
// Stored objects are immutable: a write replaces the stored pointer. What leaves through the client is a copy;
// what leaves through Tx is the stored object itself and must not be changed.
//
// Not imitated: server-side apply, admission plugins, orphaning deletes, the events.k8s.io view of events, pod logs
// (the clientset's log action does not say which pod is meant).
package apiserver

import (
	"errors"
	"math/rand/v2"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/version"
	fakediscovery "k8s.io/client-go/discovery/fake"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/fake"
)

// Config says where a server's uids and time come from. Both are needed for two servers to give the same bits.
type Config struct {
	Start time.Time // time of the first objects; truncated to whole seconds as Kubernetes keeps it
	Seed  uint64    // of uids and cluster addresses
}

// Server is an API server in memory. All methods are safe for concurrent use.
type Server struct {
	clientset *fake.Clientset

	mu sync.Mutex // guards everything below, and what callers keep consistent through Do
	tx Tx
}

// New makes an empty server.
func New(cfg Config) (*Server, error) {
	if cfg.Start.IsZero() {
		return nil, errors.New("simulated API server: Start is not set")
	}
	s := &Server{clientset: fake.NewSimpleClientset()}
	s.tx = Tx{
		now:    cfg.Start.Truncate(time.Second),
		uids:   rand.New(rand.NewPCG(cfg.Seed, 0x75696473)),
		tables: map[schema.GroupVersionResource]*table{},
	}
	s.clientset.PrependReactor("*", "*", s.react)
	s.clientset.PrependWatchReactor("*", s.reactWatch)
	s.clientset.Resources = resources()
	if d, ok := s.clientset.Discovery().(*fakediscovery.FakeDiscovery); ok {
		d.FakedServerVersion = &version.Info{Major: "1", Minor: "36", GitVersion: "v1.36.3", Platform: "linux/amd64"}
	}
	return s, nil
}

// Client gives the clientset that this server answers.
func (s *Server) Client() kubernetes.Interface { return s.clientset }

// Do gives fn sole access to the objects, with the server's clock moved on to now; a zero now leaves the clock. Neither
// fn nor anything that it calls may use the clientset: that would wait for itself.
func (s *Server) Do(now time.Time, fn func(*Tx)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.After(s.tx.now) {
		s.tx.now = now.Truncate(time.Second)
	}
	fn(&s.tx)
}

// Forget drops the clientset's record of the requests made so far, which would otherwise grow without end.
func (s *Server) Forget() { s.clientset.ClearActions() }
