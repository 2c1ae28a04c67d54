package apiserver

import (
	"slices"
	"strconv"
	"sync"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	clienttesting "k8s.io/client-go/testing"
)

// watchBuffer is how many events a watcher may be behind before its watch is ended. A reflector then watches on from
// the last event that it saw, out of the table's history, so nothing is lost.
const watchBuffer = 512

// watcher is one open watch. No goroutine serves it: writers put events into the buffered channel, and end the watch
// when the buffer is full.
type watcher struct {
	match  func(Object) bool
	forget func(*watcher)
	events chan watch.Event

	mu    sync.Mutex // guards ended and, against a send, the closing of events
	ended bool
}

// send gives false when the watch is over, or is now because its reader is too slow.
func (w *watcher) send(c change) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ended {
		return false
	}
	event, relevant := c.event(w.match)
	if !relevant {
		return true
	}
	select {
	case w.events <- event:
		return true
	default:
		w.ended = true
		close(w.events)
		return false
	}
}

// ResultChan implements watch.Interface.
func (w *watcher) ResultChan() <-chan watch.Event { return w.events }

// Stop implements watch.Interface.
func (w *watcher) Stop() {
	w.mu.Lock()
	if !w.ended {
		w.ended = true
		close(w.events)
	}
	w.mu.Unlock()
	w.forget(w)
}

// reactWatch opens a watch: from the newest state (with every object as an ADDED first) without a resourceVersion,
// else from that version on; 410 Gone when the history no longer reaches back to it.
func (s *Server) reactWatch(action clienttesting.Action) (bool, watch.Interface, error) {
	request, ok := action.(clienttesting.WatchActionImpl)
	if !ok {
		return false, nil, nil
	}
	gvr, namespace := action.GetResource(), action.GetNamespace()
	match, err := matcher(gvr, namespace, request.WatchRestrictions.Labels, request.WatchRestrictions.Fields)
	if err != nil {
		return true, nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tx.table(gvr)
	var backlog []change
	switch version := request.ListOptions.ResourceVersion; version {
	case "", "0":
		for _, k := range t.order {
			backlog = append(backlog, change{version: s.tx.version, now: t.objects[k]})
		}
	default:
		from, err := strconv.ParseInt(version, 10, 64)
		if err != nil {
			return true, nil, apierrors.NewBadRequest("resourceVersion " + strconv.Quote(version) + " is not a number")
		}
		if from < t.dropped {
			return true, nil, apierrors.NewResourceExpired("too old resource version: " + version)
		}
		at := len(t.history)
		for at > 0 && t.history[at-1].version > from {
			at--
		}
		backlog = t.history[at:]
	}
	w := &watcher{match: match, events: make(chan watch.Event, len(backlog)+watchBuffer)}
	w.forget = func(w *watcher) { s.forget(gvr, w) }
	for _, c := range backlog {
		w.send(c)
	}
	t.watches = append(slices.Clip(t.watches), w)
	return true, w, nil
}

func (s *Server) forget(gvr schema.GroupVersionResource, w *watcher) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t := s.tx.table(gvr)
	t.watches = slices.DeleteFunc(slices.Clone(t.watches), func(other *watcher) bool { return other == w })
}
