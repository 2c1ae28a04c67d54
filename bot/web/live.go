package web

import (
	"context"
	"fmt"
	"hash/fnv"
	"net/http"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/engine/incident"
)

// news looks once a pulse, for all who watch together, whether anything that pages show has changed.
type news struct {
	pulse time.Duration
	look  func(context.Context) uint64

	mu       sync.Mutex // guards all below
	watchers map[chan struct{}]bool
	last     uint64
	stop     context.CancelFunc // ends the looking; nil while nobody watches
}

func newNews(pulse time.Duration, look func(context.Context) uint64) *news {
	return &news{pulse: pulse, look: look, watchers: map[chan struct{}]bool{}}
}

// watch gives a channel that holds one while there is news. The caller calls done afterwards.
func (n *news) watch() (c <-chan struct{}, done func()) {
	w := make(chan struct{}, 1)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.watchers[w] = true
	if n.stop == nil {
		ctx, stop := context.WithCancel(context.Background())
		n.stop = stop
		n.last = 0 // the first look tells nothing
		go n.run(ctx)
	}
	return w, func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		delete(n.watchers, w)
		if len(n.watchers) == 0 && n.stop != nil {
			n.stop()
			n.stop = nil
		}
	}
}

// run ends when the last watcher leaves.
func (n *news) run(ctx context.Context) {
	tick := time.NewTicker(n.pulse)
	defer tick.Stop()
	for {
		now := n.look(ctx)
		if ctx.Err() != nil {
			return
		}
		n.mu.Lock()
		if n.last != 0 && now != n.last {
			for w := range n.watchers {
				select {
				case w <- struct{}{}:
				default: // told already
				}
			}
		}
		n.last = now
		n.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// fingerprint changes when what pages show does: resources, judgements, incidents.
func (w *Web) fingerprint(ctx context.Context) uint64 {
	h := fnv.New64a()
	e := w.cfg.Engine
	for _, id := range e.Fleet.Clusters() {
		c, ok := e.Fleet.Cluster(id)
		if !ok {
			continue
		}
		st := c.Status()
		fmt.Fprint(h, id, c.Version(), st.Silent, st.Synced, e.Assessment(id).At.Unix(), e.LastFrame(id).Unix())
	}
	open, err := e.ListIncidents(ctx, incident.Filter{Open: true})
	if err != nil && ctx.Err() == nil {
		w.log.Warn("incidents not read", "err", err)
	}
	for _, i := range open {
		fmt.Fprint(h, i.ID, i.UpdatedAt.UnixNano(), i.Stage, len(i.Timeline))
	}
	fmt.Fprint(h, e.Audit.Head().Seq)
	return h.Sum64() | 1 // never 0, which stands for not looked yet
}

// pulse is the time between two signs of life on a quiet stream, and between two looks whether its session has ended.
const pulse = 15 * time.Second

// live tells a page that it is out of date: an event a change, and the page fetches itself anew. What is shown is never
// in the stream, so that the rules of each page hold for its renewal too.
func (w *Web) live(rw http.ResponseWriter, r *http.Request, _ visitor) {
	out := http.NewResponseController(rw)
	rw.Header().Set("Content-Type", "text/event-stream")
	rw.Header().Set("X-Accel-Buffering", "no")
	changed, done := w.news.watch()
	defer done()
	send := func(s string) bool {
		if _, err := fmt.Fprint(rw, s); err != nil {
			return false
		}
		return out.Flush() == nil
	}
	if !send("retry: 3000\n\nevent: hello\ndata: \n\n") {
		return
	}
	tick := time.NewTicker(pulse)
	defer tick.Stop()
	for {
		select {
		case <-r.Context().Done():
			return
		case <-changed:
			if !send("event: change\ndata: \n\n") {
				return
			}
		case <-tick.C:
			if _, ok, err := w.porter.Who(r.Context(), w.token(r)); err != nil || !ok {
				send("event: over\ndata: \n\n")
				return
			}
			if !send(": \n\n") {
				return
			}
		}
	}
}
