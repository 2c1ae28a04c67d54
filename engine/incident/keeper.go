package incident

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/risk"
	"github.com/bukahou/atlhyper/engine/topology"
)

// Blamer names the root cause among anomalous entities; risk.Scorer is the one.
type Blamer interface {
	Blame(in risk.Input, members []entity.Ref) risk.Verdict
}

// Observation is one cluster at one evaluation.
type Observation struct {
	Now        time.Time
	Cluster    string
	View       *fleet.Cluster
	Graph      *topology.Graph
	Facts      []detect.Fact
	Anomalies  []baseline.Anomaly
	Rebased    []baseline.Rebase // levels that became the new normal since the last evaluation
	Assessment *risk.Assessment
	Scorer     Blamer
	// First and Normal go to the Blamer as they are; either may be nil.
	First  func(entity.Ref) time.Time
	Normal func(ref entity.Ref, metric string) (mean, spread float64, ok bool)
	// Toll says what an outage costs the error budgets of some entities since a time: "budget burning 22×", or "2.1 % of
	// the 30 d budget spent" when it is over; empty when nothing that counts. It may be nil.
	Toll     func(since time.Time, refs []entity.Ref) string
	Observed bool // false when the agent is silent or not synced: nothing is concluded, no timer runs
}

// Config sets a keeper up.
type Config struct {
	Store  Store // default: Memory, which forgets when the process ends
	Timing Timing
	// IgnoreChanges leaves out what changed before the onset: no suspects, and no confidence from them. The blame itself
	// never depends on changes.
	IgnoreChanges bool
	// Quiet says until when a record that opens now is under a silence that stood before it, and whose; it may be nil. The
	// keeper is locked while it is asked.
	Quiet  func(ctx context.Context, i *Incident, now time.Time) (till time.Time, by, reason string)
	Logger *slog.Logger // default: discards
}

// Keeper groups what is anomalous into one record for each cause and follows each until it closes. It is safe for
// concurrent use; evaluations of one cluster are made in the order of their times.
type Keeper struct {
	store   Store
	timing  Timing
	changes bool
	quiet   func(context.Context, *Incident, time.Time) (till time.Time, by, reason string)
	log     *slog.Logger

	mu         sync.Mutex             // guards all below, and is held over a save so that records are saved in order
	open       map[string]*Incident   // told and not closed, by id
	closed     map[string]*Incident   // closed within the time in which they may reopen, by id
	candidates map[string][]*Incident // by cluster: followed and not told, without an id
	dirty      map[string]*Incident   // changed and not saved yet
	events     []event.Event          // not saved yet
	saved      map[string]time.Time   // when an open record was last saved
	told       map[string]int         // how many facts an open record showed when an event last told of it
}

// New makes a keeper without records; see Load.
func New(cfg Config) *Keeper {
	if cfg.Store == nil {
		cfg.Store = NewMemory()
	}
	cfg.Timing.defaults()
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	return &Keeper{
		store: cfg.Store, timing: cfg.Timing, changes: !cfg.IgnoreChanges, quiet: cfg.Quiet, log: cfg.Logger,
		open: map[string]*Incident{}, closed: map[string]*Incident{}, candidates: map[string][]*Incident{},
		dirty: map[string]*Incident{}, saved: map[string]time.Time{}, told: map[string]int{},
	}
}

// recent is how many of the newest records are looked through for ones that may reopen.
const recent = 500

// Load takes up the open records where an earlier process left them, and the ones that closed so lately that they may
// reopen; the next evaluation sorts out for which of these it is too late.
func (k *Keeper) Load(ctx context.Context) error {
	open, err := k.store.Incidents(ctx, Filter{Open: true})
	if err != nil {
		return fmt.Errorf("load open incidents: %w", err)
	}
	newest, err := k.store.Incidents(ctx, Filter{Limit: recent})
	if err != nil {
		return fmt.Errorf("load recent incidents: %w", err)
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, i := range open {
		k.open[i.ID] = i
		k.told[i.ID] = i.facts()
	}
	for _, i := range newest {
		if !i.Open() && i.MergedInto == "" {
			k.closed[i.ID] = i
		}
	}
	return nil
}

// Open gives copies of the told records that are open, of one cluster or of all when it is empty, oldest first.
func (k *Keeper) Open(cluster string) []*Incident {
	k.mu.Lock()
	defer k.mu.Unlock()
	var out []*Incident
	for _, i := range byAge(k.open) {
		if cluster == "" || i.Cluster == cluster {
			out = append(out, i.clone())
		}
	}
	return out
}

// Evaluate follows one cluster by one observation. It returns copies of the told records that it changed. Records and
// the events that tell of them are saved together; when that fails the error is returned, nothing is lost, and the
// next evaluation saves it with its own.
func (k *Keeper) Evaluate(ctx context.Context, in Observation) ([]*Incident, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !in.Observed {
		for _, i := range k.records(in.Cluster) {
			i.Machine.Step(k.timing, Input{At: in.Now})
		}
		return nil, k.flush(ctx)
	}
	in.sortInput()
	mine := k.assign(&in, in.components(k.timing))
	var errs []error
	for _, i := range k.records(in.Cluster) {
		if err := k.follow(ctx, &in, i, mine[i]); err != nil {
			errs = append(errs, err)
		}
	}
	k.forget(in.Cluster, in.Now)
	var out []*Incident
	for _, i := range byAge(k.dirty) {
		if i.Cluster == in.Cluster {
			out = append(out, i.clone())
		}
	}
	return out, errors.Join(append(errs, k.flush(ctx))...)
}

// Forget drops what is followed of a cluster that was removed. Its open records are closed and told.
func (k *Keeper) Forget(ctx context.Context, cluster string, now time.Time) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.candidates, cluster)
	for _, i := range byAge(k.open) {
		if i.Cluster == cluster {
			i.Machine.close(now)
			i.note(now, Entry{Kind: "note", Text: "cluster " + cluster + " is no longer watched"})
			k.tell(i, now, k.restage(i, now))
			k.retire(i)
		}
	}
	return k.flush(ctx)
}

// records lists what is followed of a cluster: told ones oldest first, then candidates.
func (k *Keeper) records(cluster string) []*Incident {
	var out []*Incident
	for _, i := range byAge(k.open) {
		if i.Cluster == cluster {
			out = append(out, i)
		}
	}
	return append(out, k.candidates[cluster]...)
}

// assign gives each component to the record that owns one of its units. A component that holds two records makes them
// one; one that nobody owns takes up a lately closed record of the same cause, or begins a candidate, silently.
func (k *Keeper) assign(in *Observation, components []component) map[*Incident][]component {
	out := map[*Incident][]component{}
	records := k.records(in.Cluster)
	for _, c := range components {
		var owners []*Incident
		for _, i := range records {
			if i.owns(c, in.Now, k.timing) {
				owners = append(owners, i)
			}
		}
		var owner *Incident
		switch {
		case len(owners) > 0:
			owner = owners[0]
			for _, other := range owners[1:] {
				k.merge(in.Now, owner, other)
				out[owner] = append(out[owner], out[other]...)
				delete(out, other)
				records = k.records(in.Cluster)
			}
		default:
			if owner = k.returning(in, c); owner == nil && !k.dormant(in, c) {
				owner = &Incident{Cluster: in.Cluster, State: Healthy, Machine: Begin(k.timing)}
				k.candidates[in.Cluster] = append(k.candidates[in.Cluster], owner)
			}
			records = k.records(in.Cluster)
		}
		if owner != nil {
			out[owner] = append(out[owner], c)
		}
	}
	return out
}

// owns says whether a record has one of the component's units among what was anomalous in it lately.
func (i *Incident) owns(c component, now time.Time, t Timing) bool {
	return slices.ContainsFunc(i.Follow.Members, func(m Member) bool {
		return (m.Active || now.Sub(m.Seen) <= t.Gone) && slices.ContainsFunc(c.troubles, func(tr *trouble) bool { return tr.unit == m.Unit })
	})
}

// returning steps the machine of a lately closed record of the same cause, and gives the record when that reopens it.
func (k *Keeper) returning(in *Observation, c component) *Incident {
	for _, i := range byAge(k.closed) {
		if !i.sameCause(in, c) {
			continue
		}
		i.Machine.Step(k.timing, Input{At: in.Now, Observed: true, Present: true, Stat: c.stat(), Certain: c.certain()})
		if i.Machine.Closed {
			return nil
		}
		delete(k.closed, i.ID)
		i.ClosedAt, i.ResolvedAt = time.Time{}, time.Time{}
		i.Follow.Fixed = time.Time{}
		k.open[i.ID] = i
		return i
	}
	return nil
}

// dormant says whether a closed record of the same cause may still reopen, so that no second one begins beside it.
func (k *Keeper) dormant(in *Observation, c component) bool {
	return slices.ContainsFunc(byAge(k.closed), func(i *Incident) bool {
		return i.sameCause(in, c) && in.Now.Sub(i.Machine.StableAt) <= k.timing.Reopen
	})
}

func (i *Incident) sameCause(in *Observation, c component) bool {
	cause := i.causeUnit(in)
	return i.Cluster == in.Cluster && slices.ContainsFunc(c.troubles, func(t *trouble) bool { return t.unit == cause })
}

func (i *Incident) causeUnit(in *Observation) Unit {
	u := Unit{Ref: in.unitOf(i.Cause.Entity)}
	if standing[i.Cause.Kind] {
		u.Aspect = i.Cause.Kind
	}
	return u
}

// merge takes other into i: the older id survives, the higher state and peak stay.
func (k *Keeper) merge(now time.Time, i, other *Incident) {
	for _, m := range other.Follow.Members {
		if n := slices.IndexFunc(i.Follow.Members, func(x Member) bool { return x.Unit == m.Unit }); n >= 0 {
			i.Follow.Members[n].Seen = later(i.Follow.Members[n].Seen, m.Seen)
			continue
		}
		i.Follow.Members = append(i.Follow.Members, m)
	}
	peak, recurrence, reached := max(i.Machine.Peak, other.Machine.Peak), i.Machine.Recurrence+other.Machine.Recurrence, i.Machine.Reached || other.Machine.Reached
	if rank(other.Machine.State) > rank(i.Machine.State) {
		i.Machine = other.Machine
	}
	i.Machine.Peak, i.Machine.Recurrence, i.Machine.Reached = peak, recurrence, reached
	if other.ID == "" {
		k.candidates[i.Cluster] = slices.DeleteFunc(k.candidates[i.Cluster], func(x *Incident) bool { return x == other })
		return
	}
	for _, a := range other.Entities {
		if a.Role == RoleRootCause {
			a.Role = RoleSymptom
		}
		i.affect(a)
	}
	other.MergedInto, other.ClosedAt, other.UpdatedAt = i.ID, now, now
	other.Machine.close(now)
	other.State = other.Machine.State
	other.note(now, Entry{Kind: "merged", Text: "merged into " + i.ID + ": both have one cause"})
	i.note(now, Entry{Kind: "merged", Text: other.ID + " (" + other.Title + ") has the same cause and was taken in"})
	k.events = append(k.events, event.Event{At: now, Type: event.IncidentMerged, Cluster: other.Cluster, Incident: other.ID, Note: other.ID + " is one with " + i.ID + " (" + i.Title + ")"})
	k.tell(i, now, []string{other.ID + " has the same cause and was taken in"})
	delete(k.open, other.ID)
	k.dirty[other.ID] = other
}

// rank orders states by how bad they are.
func rank(s State) int {
	return slices.Index([]State{Healthy, Stable, Recovery, Warning, Critical}, s)
}

// retire moves a closed record to those that may reopen.
func (k *Keeper) retire(i *Incident) {
	delete(k.open, i.ID)
	delete(k.saved, i.ID)
	delete(k.told, i.ID)
	k.closed[i.ID] = i
}

// forget drops candidates that healed and closed records that can no longer reopen.
func (k *Keeper) forget(cluster string, now time.Time) {
	k.candidates[cluster] = slices.DeleteFunc(k.candidates[cluster], func(i *Incident) bool { return i.ID != "" || i.Machine.Closed })
	maps.DeleteFunc(k.closed, func(_ string, i *Incident) bool { return now.Sub(i.Machine.StableAt) > k.timing.Reopen })
}

// tell notes that a record changed, with one sentence for its thread when there is something to say. An event without a
// sentence tells that more is broken than was told: who shows the record shows it anew.
func (k *Keeper) tell(i *Incident, now time.Time, notes []string) {
	if i.ID == "" {
		return
	}
	i.UpdatedAt = now
	k.dirty[i.ID] = i
	size := i.facts()
	if len(notes) == 0 && size <= k.told[i.ID] {
		return
	}
	k.told[i.ID] = size
	k.events = append(k.events, event.Event{At: now, Type: event.IncidentChanged, Cluster: i.Cluster, Incident: i.ID, Note: strings.Join(notes, "; ")})
}

// facts is how many things show a certain fault now.
func (i *Incident) facts() int {
	n := 0
	for _, m := range i.Follow.Members {
		for _, s := range m.Shown {
			if s.Fact && s.Active {
				n++
			}
		}
	}
	return n
}

// flush saves what changed, in one transaction. What could not be saved is kept for the next time.
func (k *Keeper) flush(ctx context.Context) error {
	if len(k.dirty) == 0 && len(k.events) == 0 {
		return nil
	}
	records := byAge(k.dirty)
	if err := k.store.SaveIncidents(ctx, records, k.events); err != nil {
		return fmt.Errorf("save %d incidents: %w", len(records), err)
	}
	for _, i := range records {
		k.saved[i.ID] = i.UpdatedAt
		if !i.Open() {
			delete(k.saved, i.ID)
		}
	}
	clear(k.dirty)
	k.events = nil
	return nil
}

// byAge lists records by the number of their id.
func byAge(m map[string]*Incident) []*Incident {
	return slices.SortedFunc(maps.Values(m), func(a, b *Incident) int {
		return cmp.Or(cmp.Compare(number(a.ID), number(b.ID)), cmp.Compare(a.ID, b.ID))
	})
}

func number(id string) int {
	n, err := strconv.Atoi(id[strings.LastIndexByte(id, '-')+1:])
	if err != nil {
		return 0
	}
	return n
}

// timelineLimit is how many entries a record keeps. Past it the oldest of what the engine saw goes first, never what a
// person or a transition wrote.
const timelineLimit = 500

func (i *Incident) note(now time.Time, e Entry) {
	e.At = now
	i.Timeline = append(i.Timeline, e)
	if len(i.Timeline) > timelineLimit {
		if n := slices.IndexFunc(i.Timeline, func(e Entry) bool { return e.Kind == "fact" || e.Kind == "anomaly" }); n >= 0 {
			i.Timeline = slices.Delete(i.Timeline, n, n+1)
		}
	}
}

// clone copies a record as deep as the keeper changes it.
func (i *Incident) clone() *Incident {
	c := *i
	c.Entities = slices.Clone(i.Entities)
	c.Timeline = slices.Clone(i.Timeline)
	c.Cause.Evidence = slices.Clone(i.Cause.Evidence)
	c.Cause.Suspects = slices.Clone(i.Cause.Suspects)
	c.Cause.RuledOut = slices.Clone(i.Cause.RuledOut)
	c.Cause.Ranking = slices.Clone(i.Cause.Ranking)
	c.Votes = slices.Clone(i.Votes)
	c.Machine.Samples = slices.Clone(i.Machine.Samples)
	c.Follow.Members = slices.Clone(i.Follow.Members)
	for n := range c.Follow.Members {
		c.Follow.Members[n].Shown = slices.Clone(c.Follow.Members[n].Shown)
	}
	return &c
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
