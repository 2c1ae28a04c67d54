// Package kube watches a cluster through client-go's shared informers and keeps each object in the trimmed form that
// travels to the engine. An informer's transform converts an object the moment it arrives, so the cache never holds a
// full object, let alone the value of a Secret, a ConfigMap or an environment variable.
//
// A kind that may not be listed, or is not installed, is reported as such and retried with back-off; every other kind
// goes on. When the API server cannot be reached the last known state stays and the kinds say FAILING.
package kube

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"github.com/bukahou/atlhyper/agent/report"
)

// Key names one object. It is comparable, so that pending changes can be kept per object.
type Key struct{ Kind, Namespace, Name string }

// Report gives the key as the protocol spells it.
func (k Key) Report() *report.ResourceKey {
	return &report.ResourceKey{Kind: k.Kind, Namespace: k.Namespace, Name: k.Name}
}

// Sink is told what changed, never how: it reads the newest form with Resource when it wants it, so that a burst of
// changes of one object costs one message. Calls come from many goroutines and must not block.
type Sink interface {
	// Changed says that the object differs from before in something that is reported, came, or went.
	Changed(Key)
	// KindChanged says that the status of a kind changed.
	KindChanged()
}

// Config is what a Watcher needs.
type Config struct {
	Client kubernetes.Interface
	// Dynamic reads Gateway API and Traefik routes; without it they are not watched.
	Dynamic   dynamic.Interface
	Converter *Converter
	Sink      Sink
	Logger    *slog.Logger
	// Without names kinds that are not watched, because somebody decided so.
	Without []string
	// Grace is how long Settled waits for kinds that fail once another kind is there. Default 30 s.
	Grace time.Duration
}

func (c *Config) defaults() error {
	if c.Client == nil || c.Converter == nil || c.Sink == nil {
		return errors.New("kube: Client, Converter and Sink are needed")
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Grace == 0 {
		c.Grace = 30 * time.Second
	}
	return nil
}

// Watcher keeps the current state of a cluster. Its methods may be called by any goroutine.
type Watcher struct {
	cfg      Config
	sources  []*source
	byKind   map[string]*source
	seed     maphash.Seed
	settled  chan struct{} // closed once by settle
	settling sync.Once
	grace    *time.Timer // runs from the first synced kind on; set under graceMu
	graceMu  sync.Mutex
}

// New prepares a Watcher; Run starts it.
func New(cfg Config) (*Watcher, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	w := &Watcher{cfg: cfg, byKind: map[string]*source{}, seed: maphash.MakeSeed(), settled: make(chan struct{})}
	without := slices.Clone(cfg.Without)
	var known []string
	for _, k := range kinds(cfg.Client, cfg.Dynamic) {
		known = append(known, k.name)
		if i := slices.Index(without, k.name); i >= 0 {
			without = slices.Delete(without, i, i+1)
			continue
		}
		s, err := newSource(k, w)
		if err != nil {
			return nil, err
		}
		w.sources = append(w.sources, s)
		w.byKind[k.name] = s
	}
	if len(without) > 0 {
		return nil, fmt.Errorf("there is no kind %q to leave out; the kinds are %s", without[0], strings.Join(known, ", "))
	}
	return w, nil
}

// Run watches until ctx is done and returns when every informer has stopped.
func (w *Watcher) Run(ctx context.Context) {
	var running sync.WaitGroup
	for _, s := range w.sources {
		running.Go(func() { s.informer.RunWithContext(ctx) })
		running.Go(func() {
			if cache.WaitForCacheSync(ctx.Done(), s.handled.HasSynced) {
				s.synced()
			}
		})
	}
	<-ctx.Done()
	running.Wait()
	w.graceMu.Lock()
	defer w.graceMu.Unlock()
	if w.grace != nil {
		w.grace.Stop()
	}
}

// Settled is closed when the state is complete enough to be called the cluster's: every kind is synced, forbidden or
// not installed, or at least one is and the others went on failing for the grace period. It stays open while the API
// server cannot be reached, so that an agent that starts then does not report an empty cluster.
func (w *Watcher) Settled() <-chan struct{} { return w.settled }

// Resource gives an object's newest form, nil when there is none. It must not be changed.
func (w *Watcher) Resource(k Key) *report.Resource {
	s := w.byKind[k.Kind]
	if s == nil {
		return nil
	}
	name := k.Name
	if k.Namespace != "" {
		name = k.Namespace + "/" + k.Name
	}
	o, ok, err := s.informer.GetStore().GetByKey(name)
	if err != nil || !ok {
		return nil
	}
	return o.(*object).resource
}

// Resources gives every object of a kind, in no order. They must not be changed.
func (w *Watcher) Resources(kind string) []*report.Resource {
	s := w.byKind[kind]
	if s == nil {
		return nil
	}
	list := s.informer.GetStore().List()
	out := make([]*report.Resource, 0, len(list))
	for _, o := range list {
		out = append(out, o.(*object).resource)
	}
	return out
}

// Snapshot gives every object of every kind, kinds in the order of the table.
func (w *Watcher) Snapshot() []*report.Resource {
	var out []*report.Resource
	for _, s := range w.sources {
		out = append(out, w.Resources(s.kind.name)...)
	}
	return out
}

// Kinds gives the status of each kind; a kind that was not tried yet is left out.
func (w *Watcher) Kinds() []*report.KindStatus {
	var out []*report.KindStatus
	for _, s := range w.sources {
		if st := s.current(); st.GetState() != report.KindStatus_STATE_UNSPECIFIED {
			out = append(out, proto.CloneOf(st))
		}
	}
	for _, k := range w.cfg.Without {
		out = append(out, &report.KindStatus{Kind: k, State: report.KindStatus_STATE_LEFT_OUT, Message: "the agent is set up to leave " + k + " alone"})
	}
	return out
}

// changed is called by a source whose status changed.
func (w *Watcher) changed() {
	var synced, open int
	for _, s := range w.sources {
		switch s.current().GetState() {
		case report.KindStatus_STATE_SYNCED:
			synced++
		case report.KindStatus_STATE_FORBIDDEN, report.KindStatus_STATE_NOT_INSTALLED:
		default:
			open++
		}
	}
	switch {
	case open == 0:
		w.settle()
	case synced > 0:
		w.graceMu.Lock()
		if w.grace == nil {
			w.grace = time.AfterFunc(w.cfg.Grace, w.settle)
		}
		w.graceMu.Unlock()
	}
	w.cfg.Sink.KindChanged()
}

func (w *Watcher) settle() { w.settling.Do(func() { close(w.settled) }) }
