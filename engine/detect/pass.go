package detect

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
)

// pass is one look at one cluster.
type pass struct {
	now  time.Time
	t    Timing
	c    *fleet.Cluster
	s    *state
	skew time.Duration

	*cast
	fresh   bool // the cast is of this look: something changed since the last
	unseen  map[string]bool
	touched map[string]bool // keys of every map of the state that are still in use
	facts   map[factKey]*Fact
}

// cast are the pods of a cluster as they are while no resource changes, which is most of the time. Looks share it.
type cast struct {
	version    uint64 // of the cluster's resources
	skew       time.Duration
	look       uint64 // counts the looks
	pods       []*pod
	byWorkload map[entity.Ref][]*pod
	live       map[entity.Ref][]*pod // of byWorkload those that count now, by name
	byName     map[entity.Ref]*pod
	workloads  []entity.Ref // the keys of byWorkload, sorted
	fronts     []front      // of the services; written by the first look that asks
	served     bool
}

type factKey struct {
	entity entity.Ref
	kind   string
}

// pod is a pod as this look sees it.
type pod struct {
	*report.Resource
	ref      entity.Ref
	workload entity.Ref // the topmost owner; the pod itself when it is bare
	state    *podState
	deleting bool
	done     bool // it ran to an end
	ready    bool
	restarts int32
	created  time.Time
	shows    uint64 // the look in which one of its containers last showed a fact
}

// smallSkew is below what a network's delay makes of the measured difference of clocks: correcting by it would only
// make times jump.
const smallSkew = 5 * time.Second

func newPass(now time.Time, t Timing, c *fleet.Cluster, s *state) *pass {
	p := &pass{
		now: now, t: t, c: c, s: s,
		unseen: map[string]bool{}, touched: map[string]bool{}, facts: map[factKey]*Fact{},
	}
	if skew := c.Status().Skew; skew.Abs() >= smallSkew {
		p.skew = skew
	}
	for _, k := range c.Kinds() {
		if k.GetState() != report.KindStatus_STATE_SYNCED {
			p.unseen[k.GetKind()] = true
		}
	}
	version := c.Version() // before what it is of: what changes meanwhile is seen by the next look
	if s.cast == nil || s.cast.version != version || s.cast.skew != p.skew {
		p.fresh = true
		p.castAnew(version)
	}
	p.cast = s.cast
	p.look++
	return p
}

// castAnew looks at all pods.
func (p *pass) castAnew(version uint64) {
	list := p.c.List(entity.Pod, "")
	x := &cast{
		version: version, skew: p.skew, pods: make([]*pod, 0, len(list)),
		byWorkload: map[entity.Ref][]*pod{}, live: map[entity.Ref][]*pod{}, byName: make(map[entity.Ref]*pod, len(list)),
	}
	if p.s.cast != nil {
		x.look = p.s.cast.look
	}
	p.s.cast = x
	all := make([]pod, len(list))
	for i, r := range list {
		v := &all[i]
		*v = pod{
			Resource: r, ref: p.c.Ref(r), workload: p.c.Workload(r), deleting: r.GetDeleting() != nil,
			done: r.GetPod().GetPhase() == "Succeeded" || r.GetPod().GetPhase() == "Failed", ready: podReady(r.GetPod()), created: p.at(r.GetCreated()),
		}
		for _, ct := range r.GetPod().GetContainers() {
			v.restarts += ct.GetRestarts()
		}
		p.observe(v)
		x.pods = append(x.pods, v)
		x.byName[v.ref] = v
		if x.byWorkload[v.workload] == nil {
			x.workloads = append(x.workloads, v.workload)
		}
		x.byWorkload[v.workload] = append(x.byWorkload[v.workload], v)
	}
	slices.SortFunc(x.workloads, entity.Compare)
	for _, w := range x.workloads {
		p.touched[w.String()] = true
		x.live[w] = live(x.byWorkload[w])
	}
}

// observe keeps since when a pod and its containers are Ready or not, and learns from a first start.
func (p *pass) observe(v *pod) {
	st := p.s.Pods[v.GetUid()]
	if st == nil {
		st = &podState{Started: map[string]time.Time{}}
		p.s.Pods[v.GetUid()] = st
	}
	p.touched[v.GetUid()] = true
	v.state = st
	since := p.now
	if c := condition(v.GetPod().GetConditions(), "Ready"); c != nil {
		if t := p.at(c.GetLastTransition()); !t.IsZero() && t.Before(p.now) && !t.Before(v.created) {
			since = t
		}
	}
	if v.ready {
		if st.Ready.IsZero() {
			st.Ready = since
		}
		st.NotReady, st.Was = time.Time{}, true
	} else {
		if st.NotReady.IsZero() {
			st.NotReady = since
		}
		st.Ready = time.Time{}
	}
	for _, ct := range v.GetPod().GetContainers() {
		switch up := st.Started[ct.GetName()]; {
		case !containerUp(ct):
			delete(st.Started, ct.GetName())
		case up.IsZero() && v.ready:
			st.Started[ct.GetName()] = since
		case up.IsZero():
			st.Started[ct.GetName()] = p.now
		}
	}
	if v.ready && !st.Counted {
		st.Counted = true
		// Times of the API server have whole seconds: 0 is a quick start, and no reason to know nothing.
		// A pod that restarted did not start as usual, and a transition long after the creation is no start at all.
		if took := st.Ready.Sub(v.created); v.restarts == 0 && !v.created.IsZero() && took >= 0 && took < p.t.ProgressDeadline {
			p.s.learnStart(v.workload.String(), took)
		}
	}
}

// at reads a time of the cluster on the engine's clock; zero when there is none.
func (p *pass) at(t *timestamppb.Timestamp) time.Time {
	if t == nil || (t.GetSeconds() == 0 && t.GetNanos() == 0) {
		return time.Time{}
	}
	return t.AsTime().Add(p.skew)
}

// visible says whether resources of a kind are reported: without them their absence means nothing.
func (p *pass) visible(kind string) bool { return !p.unseen[kind] }

// since gives when a condition that holds now began to hold: at, when it is known and earlier, else the first look
// that asked. A condition that no look asks for is forgotten.
func (p *pass) since(key string, at time.Time) time.Time {
	p.touched[key] = true
	first, ok := p.s.Since[key]
	if !ok {
		first = p.now
		if !at.IsZero() && at.Before(first) {
			first = at
		}
		p.s.Since[key] = first
	}
	return first
}

// lasted says whether a condition has held for a while, and since when.
func (p *pass) lasted(key string, at time.Time, d time.Duration) (time.Time, bool) {
	since := p.since(key, at)
	return since, p.now.Sub(since) >= d
}

// raise adds a fact. Several sources of the same kind on one entity are one fact: the worst speaks.
func (p *pass) raise(f Fact) {
	key := factKey{f.Entity, f.Kind}
	if f.Since.IsZero() {
		f.Since = p.since("fact|"+f.Entity.String()+"|"+f.Kind, time.Time{})
	}
	if f.Seen.IsZero() {
		f.Seen = p.now
	}
	if f.Source == f.Entity {
		f.Source = entity.Ref{}
	}
	old := p.facts[key]
	if old == nil {
		p.facts[key] = &f
		return
	}
	since, seen := earlier(old.Since, f.Since), later(old.Seen, f.Seen)
	if f.Score > old.Score {
		*old = f
	}
	old.Since, old.Seen = since, seen
}

// finish sorts the facts and forgets what is gone.
func (p *pass) finish() []Fact {
	keep(p.s.Since, p.touched)
	keep(p.s.Holds, p.touched)
	keep(p.s.Kinds, p.touched)
	if p.fresh { // else nothing can have gone
		keep(p.s.Pods, p.touched)
		for _, kind := range []string{entity.Deployment, entity.StatefulSet, entity.DaemonSet} {
			for _, r := range p.c.List(kind, "") {
				p.touched[p.c.Ref(r).String()] = true // scaled to zero, it still knows how it starts
			}
		}
		keep(p.s.Starts, p.touched)
	}
	out := make([]Fact, 0, len(p.facts))
	for _, f := range p.facts {
		out = append(out, *f)
	}
	slices.SortFunc(out, compareFacts)
	return out
}

func podReady(v *report.Pod) bool {
	if c := condition(v.GetConditions(), "Ready"); c != nil {
		return c.GetStatus() == "True"
	}
	if v.GetPhase() != "Running" {
		return false
	}
	for _, ct := range v.GetContainers() {
		if !containerUp(ct) {
			return false
		}
	}
	return len(v.GetContainers()) > 0
}

// containerUp says whether a container is as it should be: Ready, or for an init container done.
func containerUp(ct *report.Container) bool {
	if ct.GetInit() && ct.GetState() == "terminated" {
		return ct.GetExitCode() == 0
	}
	return ct.GetReady()
}

func condition(list []*report.Condition, kind string) *report.Condition {
	for _, c := range list {
		if c.GetType() == kind {
			return c
		}
	}
	return nil
}

// line makes one short line of a foreign message.
func line(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	const most = 160
	if r := []rune(s); len(r) > most {
		return string(r[:most]) + "…"
	}
	return s
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// short writes a duration for a person: "45 s", "12 min", "3 h", "6 d".
func short(d time.Duration) string {
	switch {
	case d < 2*time.Minute:
		return plural(int(d.Round(time.Second).Seconds()), "s", "s")
	case d < 2*time.Hour:
		return plural(int(d.Round(time.Minute).Minutes()), "min", "min")
	case d < 48*time.Hour:
		return plural(int(d.Round(time.Hour).Hours()), "h", "h")
	}
	return plural(int(d.Hours()/24), "d", "d")
}

func plural(n int, one, many string) string {
	if n == 1 {
		return itoa(n) + " " + one
	}
	return itoa(n) + " " + many
}

// of writes "2 of 3 pods", or "the pod" of a single one.
func of(n, total int) string {
	return itoa(n) + " of " + plural(max(n, total), "pod", "pods")
}

func podsOf(list []*pod, keep func(*pod) bool) []*pod {
	out := make([]*pod, 0, len(list))
	for _, v := range list {
		if keep(v) {
			out = append(out, v)
		}
	}
	slices.SortFunc(out, func(a, b *pod) int { return cmp.Compare(a.GetName(), b.GetName()) })
	return out
}

// live are the pods that count for their workload now.
func live(list []*pod) []*pod {
	return podsOf(list, func(v *pod) bool { return !v.deleting && !v.done })
}
