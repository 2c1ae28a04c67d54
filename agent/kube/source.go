package kube

import (
	"context"
	"errors"
	"fmt"
	"hash/maphash"
	"sync"

	"google.golang.org/protobuf/proto"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"github.com/bukahou/atlhyper/agent/report"
)

// object is what an informer's cache holds: the converted form, and of the metadata only what the cache keys on.
type object struct {
	metav1.ObjectMeta

	resource *report.Resource
	// print tells whether two forms differ in something that is reported, see fingerprint.
	print uint64
}

// fingerprint covers everything of a resource but its resource version, which also rises with changes that are not
// reported, such as a node's heartbeat. It fails on text that is not UTF-8. seed is one for a process.
func fingerprint(seed maphash.Seed, r *report.Resource) (uint64, error) {
	version := r.ResourceVersion
	r.ResourceVersion = ""
	b, err := proto.MarshalOptions{Deterministic: true}.Marshal(r)
	r.ResourceVersion = version
	if err != nil {
		return 0, err
	}
	return maphash.Bytes(seed, b), nil
}

// source is one kind's informer with its status.
type source struct {
	kind     kind
	watcher  *Watcher
	informer cache.SharedIndexInformer
	handled  cache.ResourceEventHandlerRegistration // synced once the first list has passed the handlers too

	mu     sync.Mutex // guards status and listed
	status *report.KindStatus
	listed bool // the first list is in the cache
}

func newSource(k kind, w *Watcher) (*source, error) {
	s := &source{kind: k, watcher: w, status: &report.KindStatus{Kind: k.name}}
	lw := cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			list, err := k.list(ctx, o)
			s.tried(ctx, err)
			return list, err
		},
		WatchFuncWithContext: func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			wi, err := k.watch(ctx, o)
			s.tried(ctx, err)
			return wi, err
		},
	}, k.client)
	s.informer = cache.NewSharedIndexInformerWithOptions(lw, k.example, cache.SharedIndexInformerOptions{ObjectDescription: k.name})
	if err := s.informer.SetTransform(s.transform); err != nil {
		return nil, fmt.Errorf("watch %s: %w", k.name, err)
	}
	// The list and watch functions above have noted the error already; the default handler would print it again.
	err := s.informer.SetWatchErrorHandlerWithContext(func(ctx context.Context, _ *cache.Reflector, err error) {
		w.cfg.Logger.DebugContext(ctx, "watch ended", "kind", k.name, "err", err)
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", k.name, err)
	}
	s.handled, err = s.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { s.tell(o) },
		UpdateFunc: func(was, is any) {
			if was.(*object).print != is.(*object).print {
				s.tell(is)
			}
		},
		DeleteFunc: func(o any) {
			if gone, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = gone.Obj
			}
			s.tell(o)
		},
	})
	if err != nil {
		return nil, fmt.Errorf("watch %s: %w", k.name, err)
	}
	return s, nil
}

// transform converts an object on its way into the cache. client-go may pass an object through it twice.
func (s *source) transform(o any) (any, error) {
	switch v := o.(type) {
	case *object:
		return v, nil
	case cache.DeletedFinalStateUnknown:
		return v, nil
	case runtime.Object:
		r := s.watcher.cfg.Converter.Resource(v)
		if r == nil {
			return nil, fmt.Errorf("convert %T: not a kind that is watched", o)
		}
		print, err := fingerprint(s.watcher.seed, r)
		if err != nil {
			// One object that cannot be encoded must not stop a whole batch: only what names it travels.
			s.watcher.cfg.Logger.Warn("object cannot be encoded", "kind", r.Kind, "namespace", r.Namespace, "name", r.Name, "err", err)
			r = &report.Resource{Kind: r.Kind, Namespace: r.Namespace, Name: r.Name, Uid: r.Uid, ResourceVersion: r.ResourceVersion, Created: r.Created}
		}
		return &object{
			ObjectMeta: metav1.ObjectMeta{Namespace: r.Namespace, Name: r.Name, ResourceVersion: r.ResourceVersion},
			resource:   r, print: print,
		}, nil
	}
	return nil, fmt.Errorf("convert %T: not a Kubernetes object", o)
}

func (s *source) tell(o any) {
	if v, ok := o.(*object); ok {
		s.watcher.cfg.Sink.Changed(Key{s.kind.name, v.Namespace, v.Name})
	}
}

// tried notes how a list or the opening of a watch went.
func (s *source) tried(ctx context.Context, err error) {
	if err == nil {
		s.mu.Lock()
		listed := s.listed
		s.mu.Unlock()
		if listed {
			s.set(report.KindStatus_STATE_SYNCED, "")
		}
		return
	}
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
	case apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err):
		s.set(report.KindStatus_STATE_FORBIDDEN, fmt.Sprintf("the agent may not list %s; grant list and watch on it in the agent's ClusterRole (%v)", s.kind.name, err))
	case apierrors.IsNotFound(err) || apierrors.IsMethodNotSupported(err):
		s.set(report.KindStatus_STATE_NOT_INSTALLED, "the API server does not serve "+s.kind.name)
	case apierrors.IsResourceExpired(err) || apierrors.IsGone(err) || apierrors.IsInvalid(err) || apierrors.IsTimeout(err):
		// The reflector answers these with another kind of list at once: nothing has failed yet.
	default:
		s.set(report.KindStatus_STATE_FAILING, Reason(err))
	}
}

// synced is called once, when the first list is in the cache and its objects were told.
func (s *source) synced() {
	s.mu.Lock()
	s.listed = true
	s.mu.Unlock()
	s.set(report.KindStatus_STATE_SYNCED, "")
}

func (s *source) set(state report.KindStatus_State, message string) {
	s.mu.Lock()
	if s.status.GetState() == state && s.status.GetMessage() == message {
		s.mu.Unlock()
		return
	}
	was := s.status.GetState()
	s.status = &report.KindStatus{Kind: s.kind.name, State: state, Message: message}
	s.mu.Unlock()
	if was != state {
		s.watcher.cfg.Logger.Info("kind changed state", "kind", s.kind.name, "state", state.String(), "message", message)
	}
	s.watcher.changed()
}

func (s *source) current() *report.KindStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.status
}
