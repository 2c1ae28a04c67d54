package slo

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
)

// Config of a Tracker.
type Config struct {
	Store      Store       // needed
	File       []Objective // from ParseFile
	MaxStreams int         // a cluster; what comes beyond is dropped and said once; default 4000
	Logger     *slog.Logger
}

// Tracker counts requests and holds them against objectives, cluster by cluster. It is safe for concurrent use.
type Tracker struct {
	cfg Config

	mu       sync.Mutex // guards all below; held over a write of an objective, so that memory and store change in one order
	clusters map[string]*cluster
	chat     []Objective
}

// streamKey names a stream.
type streamKey struct {
	entity entity.Ref
	layer  string
	route  string
}

type cluster struct {
	streams  map[streamKey]*stream
	declared []Objective // by annotations
	refused  []string    // annotations that say nothing sensible, one sentence each
	episodes map[Key]*episode
	loaded   bool
	full     bool
}

// New loads what was set in chat.
func New(ctx context.Context, cfg Config) (*Tracker, error) {
	if cfg.Store == nil {
		return nil, errors.New("slo: a store is needed")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.MaxStreams = cmp.Or(cfg.MaxStreams, 4000)
	chat, err := cfg.Store.Objectives(ctx)
	if err != nil {
		return nil, fmt.Errorf("load objectives: %w", err)
	}
	return &Tracker{cfg: cfg, clusters: map[string]*cluster{}, chat: chat}, nil
}

func (t *Tracker) cluster(id string) *cluster {
	c := t.clusters[id]
	if c == nil {
		c = &cluster{streams: map[streamKey]*stream{}, episodes: map[Key]*episode{}}
		t.clusters[strings.Clone(id)] = c
	}
	return c
}

// Load takes up the rollups of a cluster that an earlier process stored, once.
func (t *Tracker) Load(ctx context.Context, id string, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.cluster(id)
	if c.loaded {
		return nil
	}
	c.loaded = true
	for _, span := range []time.Duration{24 * time.Hour, time.Hour} { // a day that is stored whole is not added to again
		keep := time.Duration(hoursKept) * time.Hour
		if span > time.Hour {
			keep = daysKept * 24 * time.Hour
		}
		rs, err := t.cfg.Store.Rollups(ctx, id, span, now.Add(-keep))
		if err != nil {
			return fmt.Errorf("load counts of %s: %w", id, err)
		}
		for _, r := range rs {
			r.Entity.Cluster = id
			s := t.stream(c, streamKey{r.Entity, r.Layer, r.Route})
			if s == nil {
				continue
			}
			ring := &s.hours
			if span > time.Hour {
				ring = &s.days
			}
			if slot := ring.claim(ring.index(r.Start)); slot != nil {
				s.version++
				*slot = cell{index: slot.index, known: float32(r.Known), total: r.Total, errors: r.Errors, bounds: r.Bounds, codes: r.Codes}
				for _, n := range r.Buckets {
					slot.buckets = append(slot.buckets, float32(n))
				}
			}
		}
	}
	return nil
}

// stream gives a stream, made when it is new; nil when there are too many.
func (t *Tracker) stream(c *cluster, k streamKey) *stream {
	s := c.streams[k]
	if s != nil {
		return s
	}
	if len(c.streams) >= t.cfg.MaxStreams {
		if !c.full {
			c.full = true
			t.cfg.Logger.Warn("too many services and routes to count the requests of all", "cluster", k.entity.Cluster, "limit", t.cfg.MaxStreams)
		}
		return nil
	}
	k = streamKey{ // cloned: the strings of a report would keep the whole of it alive
		entity.Ref{Cluster: strings.Clone(k.entity.Cluster), Kind: strings.Clone(k.entity.Kind), Namespace: strings.Clone(k.entity.Namespace), Name: strings.Clone(k.entity.Name)},
		strings.Clone(k.layer), strings.Clone(k.route),
	}
	s = newStream(k)
	c.streams[k] = s
	return s
}

// Count takes requests that were counted in a cluster over a span that began at start: a minute, or for the past an hour
// or a day of UTC. A count that says its own span or start is taken by that. What cannot be is dropped.
func (t *Tracker) Count(id string, start time.Time, span time.Duration, counts []*report.RequestCount) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.cluster(id)
	for _, n := range counts {
		at, d := start, span
		if n.GetSpan() != nil {
			d = n.GetSpan().AsDuration()
		}
		if n.GetStart() != nil {
			at = n.GetStart().AsTime()
		}
		x, ok := read(n)
		layer := n.GetLayer()
		if !ok || n.GetEntity().GetName() == "" || layer != Ingress && layer != Mesh {
			continue
		}
		ref := entity.Ref{Cluster: id, Kind: n.GetEntity().GetKind(), Namespace: n.GetEntity().GetNamespace(), Name: n.GetEntity().GetName()}
		s := t.stream(c, streamKey{ref, layer, n.GetRoute()})
		if s == nil {
			continue
		}
		switch d {
		case time.Minute:
			x.index = s.minutes.index(at)
			s.minute(x)
		case time.Hour:
			x.index, x.known = s.hours.index(at), 60
			s.hour(x)
		case 24 * time.Hour:
			x.index, x.known = s.days.index(at), minutesOfDay
			s.day(x)
		}
	}
}

// read takes the figures of a count, false when they cannot be.
func read(n *report.RequestCount) (cell, bool) {
	sane := func(x float64) bool { return x >= 0 && x <= 1e15 && !math.IsNaN(x) }
	c := cell{total: n.GetTotal(), errors: n.GetErrors()}
	if !sane(c.total) || !sane(c.errors) || c.errors > c.total {
		return cell{}, false
	}
	if b := n.GetBounds(); len(b) > 0 && len(b) <= maxBuckets && len(n.GetBuckets()) == len(b)+1 && slices.IsSorted(b) && !slices.ContainsFunc(b, func(x float64) bool { return !sane(x) }) &&
		!slices.ContainsFunc(n.GetBuckets(), func(x float64) bool { return !sane(x) }) {
		c.bounds = sharedBounds(b)
		c.buckets = make([]float32, len(n.GetBuckets()))
		for i, x := range n.GetBuckets() {
			c.buckets[i] = float32(x)
		}
	}
	for code, x := range n.GetCodes() {
		if sane(x) && len(code) <= 8 && len(c.codes) < maxCodes {
			if c.codes == nil {
				c.codes = map[string]float64{}
			}
			c.codes[code] = x
		}
	}
	return c, true
}

// maxBuckets bounds a histogram; OpenTelemetry's own have 15.
const maxBuckets = 64

// bounds are nearly always one of two or three lists; each is kept once.
var bounds sync.Map // string → []float64

func sharedBounds(b []float64) []float64 {
	key := fmt.Sprint(b)
	if have, ok := bounds.Load(key); ok {
		return have.([]float64)
	}
	have, _ := bounds.LoadOrStore(key, slices.Clone(b))
	return have.([]float64)
}

// Declare replaces the objectives that annotations of a cluster ask for. refused has a sentence for each that cannot be
// taken.
func (t *Tracker) Declare(id string, objectives []Objective, refused []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.cluster(id)
	c.declared, c.refused = objectives, refused
}

// Refused gives the annotations of a cluster that could not be taken, a sentence each.
func (t *Tracker) Refused(id string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c := t.clusters[id]; c != nil {
		return c.refused
	}
	return nil
}

// ErrByFile is returned for a change of what the file says: the file would have the last word at the next start.
var ErrByFile = errors.New("the objective stands in the file of objectives; change it there")

// ErrNotFound is returned for an objective that does not exist.
var ErrNotFound = errors.New("no such objective")

// Set stores an objective of a person, replacing the one of the same thing, and gives it as it counts. Its entity must
// have its cluster.
func (t *Tracker) Set(ctx context.Context, o Objective) (Objective, error) {
	o.Source = FromChat
	if err := o.Check(); err != nil {
		return Objective{}, err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	o.Layer = t.layer(o)
	for _, f := range t.fromFile(o.Entity.Cluster) {
		if f.Key() == o.Key() {
			return Objective{}, ErrByFile
		}
	}
	if err := t.cfg.Store.PutObjective(ctx, o); err != nil {
		return Objective{}, fmt.Errorf("store objective: %w", err)
	}
	t.chat = slices.DeleteFunc(t.chat, func(x Objective) bool { return x.Key() == o.Key() })
	t.chat = append(t.chat, o)
	return o, nil
}

// Remove ends an objective that was set in chat. One of the same thing from an annotation counts again.
func (t *Tracker) Remove(ctx context.Context, k Key) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, f := range t.fromFile(k.Entity.Cluster) {
		if f.Key() == k {
			return ErrByFile
		}
	}
	i := slices.IndexFunc(t.chat, func(o Objective) bool { return o.Key() == k })
	if i < 0 {
		return ErrNotFound
	}
	if _, err := t.cfg.Store.DeleteObjective(ctx, k); err != nil {
		return fmt.Errorf("remove objective: %w", err)
	}
	t.chat = slices.Delete(t.chat, i, i+1)
	return nil
}

// layer gives the layer of an objective that names none: the mesh's for a Service that the mesh measures.
func (t *Tracker) layer(o Objective) string {
	if o.Layer != "" {
		return o.Layer
	}
	if c := t.clusters[o.Entity.Cluster]; c != nil && o.Entity.Kind == entity.Service {
		if c.streams[streamKey{o.Entity, Mesh, o.Route}] != nil || c.streams[streamKey{o.Entity, Ingress, o.Route}] == nil {
			return Mesh
		}
	} else if o.Entity.Kind == entity.Service {
		return Mesh
	}
	return Ingress
}

func (t *Tracker) fromFile(id string) []Objective {
	var out []Objective
	for _, o := range t.cfg.File {
		if o.Entity.Cluster == "" || o.Entity.Cluster == id {
			o.Entity.Cluster = id
			o.Layer = t.layer(o)
			out = append(out, o)
		}
	}
	return out
}

// Objectives lists what counts in a cluster, by entity, layer, route and kind.
func (t *Tracker) Objectives(id string) []Objective {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.objectives(id)
}

func (t *Tracker) objectives(id string) []Objective {
	all := t.fromFile(id)
	for _, o := range t.chat {
		if o.Entity.Cluster == id {
			all = append(all, o)
		}
	}
	if c := t.clusters[id]; c != nil {
		for _, o := range c.declared {
			o.Layer = t.layer(o)
			all = append(all, o)
		}
	}
	seen := map[Key]bool{}
	all = slices.DeleteFunc(all, func(o Objective) bool { // the first source wins
		dup := seen[o.Key()]
		seen[o.Key()] = true
		return dup
	})
	slices.SortFunc(all, func(a, b Objective) int {
		return cmp.Or(entity.Compare(a.Entity, b.Entity), cmp.Compare(a.Layer, b.Layer), cmp.Compare(a.Route, b.Route), cmp.Compare(a.Kind, b.Kind))
	})
	return all
}

// Facts gives what burns in a cluster, for the score and the state machine: one fact for each entity, the worst of its
// objectives speaking. It is called by one evaluation of a cluster at a time, in the order of their times.
func (t *Tracker) Facts(now time.Time, id string) []detect.Fact {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := t.clusters[id]
	if c == nil {
		return nil
	}
	out := map[entity.Ref]detect.Fact{}
	live := map[Key]bool{}
	for _, o := range t.objectives(id) {
		s := c.streams[streamKey{o.Entity, o.Layer, o.Route}]
		if s == nil {
			continue
		}
		s.minutes.grow(minutesBurn)
		k := o.Key()
		live[k] = true
		ep := c.episodes[k]
		if ep == nil {
			ep = &episode{}
			c.episodes[k] = ep
		}
		f := s.follow(now, o, ep)
		if f == nil {
			continue
		}
		if have, ok := out[o.Entity]; !ok || f.Score > have.Score || f.Score == have.Score && f.Since.Before(have.Since) {
			out[o.Entity] = *f
		}
	}
	maps.DeleteFunc(c.episodes, func(k Key, _ *episode) bool { return !live[k] })
	return slices.SortedFunc(maps.Values(out), func(a, b detect.Fact) int { return entity.Compare(a.Entity, b.Entity) })
}

// Burning gives the entities of a cluster whose budget burns at a paging rate, whether or not a fact tells so: a level
// that spends the budget must never become the new normal.
func (t *Tracker) Burning(now time.Time, id string) map[entity.Ref]bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	out := map[entity.Ref]bool{}
	c := t.clusters[id]
	if c == nil {
		return out
	}
	for _, o := range t.objectives(id) {
		if s := c.streams[streamKey{o.Entity, o.Layer, o.Route}]; s != nil {
			if tier, burns := s.alight(now, o); burns && tier != tiers[2] {
				out[o.Entity] = true
			}
		}
	}
	return out
}

// Save stores the hours and days that changed since the last time.
func (t *Tracker) Save(ctx context.Context, id string) error {
	t.mu.Lock()
	c := t.clusters[id]
	if c == nil {
		t.mu.Unlock()
		return nil
	}
	var out []Rollup
	for _, k := range slices.SortedFunc(maps.Keys(c.streams), compareStreams) {
		s := c.streams[k]
		days := map[int64]bool{}
		for h := range s.dirty {
			if x := s.hours.at(h); x != nil {
				out = append(out, k.rollup(x, time.Hour))
			}
			days[h/24] = true
		}
		for d := range days {
			if x := s.days.at(d); x != nil {
				out = append(out, k.rollup(x, 24*time.Hour))
			}
		}
		clear(s.dirty)
	}
	t.mu.Unlock()
	if len(out) == 0 {
		return nil
	}
	if err := t.cfg.Store.PutRollups(ctx, id, out); err != nil {
		t.mu.Lock()
		defer t.mu.Unlock()
		for _, r := range out { // not stored: again at the next time
			if s := c.streams[streamKey{r.Entity, r.Layer, r.Route}]; s != nil && r.Span == time.Hour {
				s.dirty[s.hours.index(r.Start)] = true
			}
		}
		return fmt.Errorf("store counts of %s: %w", id, err)
	}
	return nil
}

func (k streamKey) rollup(c *cell, span time.Duration) Rollup {
	r := Rollup{
		Entity: k.entity, Layer: k.layer, Route: k.route, Span: span, Start: time.Unix(c.index*int64(span/time.Second), 0).UTC(),
		Known: float64(c.known), Total: c.total, Errors: c.errors, Bounds: c.bounds, Codes: cloneCodes(c.codes),
	}
	for _, n := range c.buckets {
		r.Buckets = append(r.Buckets, float64(n))
	}
	return r
}

func compareStreams(a, b streamKey) int {
	return cmp.Or(entity.Compare(a.entity, b.entity), cmp.Compare(a.layer, b.layer), cmp.Compare(a.route, b.route))
}

// ForgetCluster drops a cluster that was removed. What is stored of it stays until its retention.
func (t *Tracker) ForgetCluster(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.clusters, id)
}
