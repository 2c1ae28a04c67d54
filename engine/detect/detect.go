package detect

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
)

// Timing holds every duration of channel B. The zero value of a field takes its default.
type Timing struct {
	HoldReady        time.Duration // a container must have been Ready this long before its fact ends; default 2 min
	HoldMax          time.Duration // a fact ends this long after its last evidence, whatever happens; default 10 min
	RecentKill       time.Duration // how long ago an OOM kill in the last state still counts; default 10 min
	Event            time.Duration // an event counts this long after it was last seen; default 5 min
	EventNotReady    time.Duration // and only when its pod has not been Ready this long; default 30 s
	Unschedulable    time.Duration // a pod must have waited this long for a node; default 60 s
	Unavailable      time.Duration // replicas must have been lost this long; default 15 s
	Missing          time.Duration // a controller may take this long to create pods; default 60 s
	NoEndpoints      time.Duration // a service must have been without endpoints this long; default 30 s
	StartFloor       time.Duration // no start is called slow before this; default 60 s
	ProgressDeadline time.Duration // for workloads that name none; default 10 min, as in Kubernetes
	ClaimPending     time.Duration // a claim that a pod waits for may bind this long; default 60 s
	ScheduleSlack    time.Duration // a CronJob may start this late; default 2 min
	BatchWindow      time.Duration // a failed Job is news this long, for it may lie around for ever; default 1 h
	Expiry           time.Duration // a certificate is told this long before it expires; default 7 d
	Finalizer        time.Duration // a finalizer may hold a deletion this long; default 15 min
	NodeJoin         time.Duration // a new node may take this long to become Ready; default 2 min
}

func (t *Timing) defaults() {
	t.HoldReady = cmp.Or(t.HoldReady, 2*time.Minute)
	t.HoldMax = cmp.Or(t.HoldMax, 10*time.Minute)
	t.RecentKill = cmp.Or(t.RecentKill, 10*time.Minute)
	t.Event = cmp.Or(t.Event, 5*time.Minute)
	t.EventNotReady = cmp.Or(t.EventNotReady, 30*time.Second)
	t.Unschedulable = cmp.Or(t.Unschedulable, time.Minute)
	t.Unavailable = cmp.Or(t.Unavailable, 15*time.Second)
	t.Missing = cmp.Or(t.Missing, time.Minute)
	t.NoEndpoints = cmp.Or(t.NoEndpoints, 30*time.Second)
	t.StartFloor = cmp.Or(t.StartFloor, time.Minute)
	t.ProgressDeadline = cmp.Or(t.ProgressDeadline, 10*time.Minute)
	t.ClaimPending = cmp.Or(t.ClaimPending, time.Minute)
	t.ScheduleSlack = cmp.Or(t.ScheduleSlack, 2*time.Minute)
	t.BatchWindow = cmp.Or(t.BatchWindow, time.Hour)
	t.Expiry = cmp.Or(t.Expiry, 7*24*time.Hour)
	t.Finalizer = cmp.Or(t.Finalizer, 15*time.Minute)
	t.NodeJoin = cmp.Or(t.NodeJoin, 2*time.Minute)
}

// Scaled gives the defaults with every waiting time multiplied by factor, for tests on a real cluster. What Kubernetes
// or a calendar sets (progress deadlines, certificates, CronJob slack) stays.
func (t Timing) Scaled(factor float64) Timing {
	t.defaults()
	for _, d := range []*time.Duration{
		&t.HoldReady, &t.HoldMax, &t.RecentKill, &t.Event, &t.EventNotReady, &t.Unschedulable, &t.Unavailable, &t.Missing,
		&t.NoEndpoints, &t.StartFloor, &t.ClaimPending, &t.Finalizer, &t.NodeJoin,
	} {
		*d = time.Duration(float64(*d) * factor)
	}
	return t
}

// Config sets a detector up.
type Config struct {
	Timing Timing
}

// Detector finds facts. It keeps what a single look cannot tell (since when, held until when, how long a start
// usually takes), keyed by cluster. It is safe for concurrent use.
type Detector struct {
	timing Timing

	mu       sync.Mutex // guards clusters and what is in them
	clusters map[string]*state
}

// New makes a detector without memory.
func New(cfg Config) *Detector {
	cfg.Timing.defaults()
	return &Detector{timing: cfg.Timing, clusters: map[string]*state{}}
}

// Evaluate gives the facts of one cluster at a time, sorted by entity and kind. The same state and times give the same
// facts. While the agent is silent or the first sync has not ended, nothing is known: the facts of the last look are
// given again, neither aged nor ended.
func (d *Detector) Evaluate(now time.Time, c *fleet.Cluster) []Fact {
	d.mu.Lock()
	defer d.mu.Unlock()
	s := d.state(c.ID())
	if !c.Observed() {
		return slices.Clone(s.Last)
	}
	p := newPass(now, d.timing, c, s)
	p.containers()
	p.starts()
	p.scheduling()
	p.availability()
	p.held()
	p.nodes()
	p.services()
	p.ingresses()
	p.jobs()
	p.cronJobs()
	p.autoscalers()
	p.quotas()
	p.claims()
	p.deletions()
	p.events()
	s.Last = p.finish()
	return slices.Clone(s.Last)
}

// Forget drops the memory of a cluster.
func (d *Detector) Forget(cluster string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.clusters, cluster)
}

// Checkpoint gives the memory of one cluster, for Restore in a later process.
func (d *Detector) Checkpoint(cluster string) ([]byte, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	b, err := json.Marshal(d.state(cluster))
	if err != nil {
		return nil, fmt.Errorf("checkpoint facts of %s: %w", cluster, err)
	}
	return b, nil
}

// Restore puts back what Checkpoint gave.
func (d *Detector) Restore(cluster string, blob []byte) error {
	s := newState()
	if err := json.Unmarshal(blob, s); err != nil {
		return fmt.Errorf("restore facts of %s: %w", cluster, err)
	}
	s.init()
	d.mu.Lock()
	defer d.mu.Unlock()
	d.clusters[cluster] = s
	return nil
}

func (d *Detector) state(cluster string) *state {
	s := d.clusters[cluster]
	if s == nil {
		s = newState()
		d.clusters[cluster] = s
	}
	return s
}

func compareFacts(a, b Fact) int {
	return cmp.Or(entity.Compare(a.Entity, b.Entity), cmp.Compare(a.Kind, b.Kind), entity.Compare(a.Source, b.Source))
}
