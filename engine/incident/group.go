package incident

import (
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/topology"
)

// Unit is what an incident owns: an entity, a pod standing for its workload, so that a hundred pods are one. A
// standing fault (see standing) is a unit of its own: Aspect names it.
type Unit struct {
	Ref    entity.Ref `json:"ref"`
	Aspect string     `json:"aspect,omitempty"`
}

func compareUnits(a, b Unit) int {
	if c := entity.Compare(a.Ref, b.Ref); c != 0 {
		return c
	}
	return strings.Compare(a.Aspect, b.Aspect)
}

// standing are kinds of facts that hold for days beside whatever else happens. They neither cause a failure elsewhere
// nor follow from one, so each is a record of its own: an outage must not disappear in last week's thread about a
// certificate.
var standing = map[string]bool{
	"CertificateExpiring": true, "DeletionBlocked": true, "MissedSchedule": true, "BackoffLimitExceeded": true, "DeadlineExceeded": true,
}

// own are kinds of facts that no dependency can cause: an entity that shows one long after something that it depends
// on failed has a fault of its own.
var own = map[string]bool{
	"ImagePullBackOff": true, "CreateContainerConfigError": true, "CreateContainerError": true, "InvalidImageName": true, "RunContainerError": true,
	"OOMKilled": true, "Unschedulable": true, "QuotaExceeded": true, "ClaimLost": true, "ClaimPending": true, "VolumeFull": true,
	"SelectorMatchesNothing": true, "TargetPortMatchesNothing": true, "MissingService": true, "CertificateExpired": true,
}

// signal is one thing that is wrong with a unit now.
type signal struct {
	unit    Unit
	entity  entity.Ref
	fact    bool
	name    string // a fact's kind or a metric's name
	text    string
	score   float64
	onset   time.Time
	seen    time.Time
	anomaly *baseline.Anomaly
}

// trouble is a unit with what is wrong with it now.
type trouble struct {
	unit    Unit
	signals []signal
	stat    float64 // statistical part of the worst of its entities
	certain float64
	final   float64
	onset   time.Time
	own     bool
}

// component is a set of units whose troubles hang together.
type component struct {
	troubles []*trouble // sorted by unit
}

// certain is the highest fact's score.
func (c component) certain() (out float64) {
	for _, t := range c.troubles {
		out = max(out, t.certain)
	}
	return out
}

func (c component) stat() (out float64) {
	for _, t := range c.troubles {
		out = max(out, t.stat)
	}
	return out
}

func (c component) onset() (out time.Time) {
	for _, t := range c.troubles {
		if out.IsZero() || t.onset.Before(out) {
			out = t.onset
		}
	}
	return out
}

// alarming is the risk from which a metric's entity counts as anomalous, and telling the score from which a fact is
// told at once.
const (
	alarming = 0.2
	telling  = 0.8
)

// unitOf gives the unit of an entity.
func (in *Observation) unitOf(r entity.Ref) entity.Ref {
	switch r.Kind {
	case entity.Pod, entity.ReplicaSet, entity.Job:
		if found := in.View.Find(r); found != nil {
			return in.View.Workload(found)
		}
		if in.Graph != nil {
			if w := in.Graph.WorkloadOf(r); !w.IsZero() {
				return w
			}
		}
	}
	return r
}

// troubles lists the units that are anomalous now: any fact, or metrics that together raise the local risk above 0.2.
func (in *Observation) troubles() map[Unit]*trouble {
	out := map[Unit]*trouble{}
	at := func(u Unit) *trouble {
		if out[u] == nil {
			out[u] = &trouble{unit: u}
		}
		return out[u]
	}
	add := func(s signal) *trouble {
		t := at(s.unit)
		t.signals = append(t.signals, s)
		if t.onset.IsZero() || s.onset.Before(t.onset) {
			t.onset = s.onset
		}
		return t
	}
	for _, f := range in.Facts {
		u := Unit{Ref: in.unitOf(f.Entity)}
		if standing[f.Kind] {
			u.Aspect = f.Kind
		}
		t := add(signal{unit: u, entity: f.Entity, fact: true, name: f.Kind, text: f.Text, score: f.Score, onset: f.Since, seen: f.Seen})
		t.certain = max(t.certain, f.Score)
		t.own = t.own || own[f.Kind]
	}
	for i, a := range in.Anomalies {
		stat := in.stat(a.Entity)
		if a.Q <= 0 || stat <= alarming {
			continue
		}
		onset := a.Onset
		if onset.IsZero() {
			onset = a.At
		}
		t := add(signal{unit: Unit{Ref: in.unitOf(a.Entity)}, entity: a.Entity, name: a.Metric, text: describe(a), score: a.Q, onset: onset, seen: a.At, anomaly: &in.Anomalies[i]})
		t.stat = max(t.stat, stat)
	}
	for _, t := range out {
		for _, s := range t.signals {
			if in.Assessment != nil && t.unit.Aspect == "" {
				t.final = max(t.final, in.Assessment.Brief(s.entity).Final)
			}
		}
		t.final = max(t.final, t.local())
		slices.SortStableFunc(t.signals, func(a, b signal) int { return compareSignals(t.unit.Ref, a, b) })
	}
	for _, t := range out {
		if in.unfelt(t, out) {
			t.stat = min(t.stat, bearable)
		}
	}
	return out
}

// bearable is the most that slowness counts which nobody feels: a Warning, and no Incident.
const bearable = 0.45

// deviates says whether anything of an entity is not normal, however mildly.
func (in *Observation) deviates(r entity.Ref) bool {
	return slices.ContainsFunc(in.Anomalies, func(a baseline.Anomaly) bool { return a.Entity == r && a.Q > 0 })
}

// unfelt says whether a unit is slow, or is asked less, and nothing else is wrong with it, while those who call it are
// measured and none of them shows anything. What hurts reaches a caller; what reaches none is mostly the tail of a few
// requests. Errors always count: retries may hide them for now.
func (in *Observation) unfelt(t *trouble, all map[Unit]*trouble) bool {
	if in.Graph == nil || in.Normal == nil {
		return false
	}
	for _, s := range t.signals {
		if s.anomaly == nil || s.anomaly.Class != baseline.Latency && s.anomaly.Class != baseline.Rate {
			return false
		}
	}
	measured := false
	for _, r := range append(in.Graph.ServicesOf(t.unit.Ref), t.unit.Ref) {
		for _, e := range in.Graph.In(r) {
			if e.Type != topology.Calls && e.Type != topology.RoutesTo {
				continue
			}
			for _, caller := range append(in.Graph.ServicesOf(e.From), e.From, in.Graph.WorkloadOf(e.From)) {
				if all[Unit{Ref: in.unitOf(caller)}] != nil || in.deviates(caller) {
					return false
				}
				_, _, latency := in.Normal(caller, "avg_latency")
				_, _, errors := in.Normal(caller, "error_rate")
				measured = measured || latency || errors
			}
		}
	}
	return measured
}

func (t *trouble) local() float64 { return 1 - (1-t.stat)*(1-t.certain) }

// compareSignals puts what tells most of a unit first: certain before statistical, worse before milder, the unit's own
// before its pods'.
func compareSignals(u entity.Ref, a, b signal) int {
	rank := func(s signal) float64 {
		r := s.score
		if s.fact {
			r += 10
		}
		if s.entity == u {
			r += 0.001
		}
		return -r
	}
	if ra, rb := rank(a), rank(b); ra != rb {
		if ra < rb {
			return -1
		}
		return 1
	}
	if c := strings.Compare(a.name, b.name); c != 0 {
		return c
	}
	return entity.Compare(a.entity, b.entity)
}

// stat is the statistical part of an entity's risk.
func (in *Observation) stat(r entity.Ref) float64 {
	if in.Assessment != nil {
		if s := in.Assessment.Scores[r]; s != nil {
			return s.Statistical
		}
	}
	well := 1.0
	for _, a := range in.Anomalies {
		if a.Entity == r {
			well *= 1 - a.Q
		}
	}
	return 1 - well
}

// components joins troubles that hang together: two units with an edge between them, whose faults began within ten
// minutes, or where the one that depends began later, as consequences do. What is healthy does not join what is not:
// two workloads on one healthy node, or two callers of one healthy service, stay apart. Only the service in front of
// an anomalous workload stands for it, for a service's own health is often not measured.
func (in *Observation) components(t Timing) []component {
	all := in.troubles()
	set := newSets(len(all))
	keys := make([]Unit, 0, len(all))
	for u := range all {
		keys = append(keys, u)
	}
	slices.SortFunc(keys, compareUnits)
	index := make(map[Unit]int, len(keys))
	for i, u := range keys {
		index[u] = i
	}
	if in.Graph != nil && len(keys) > 1 {
		in.edges(all, func(a, b entity.Ref) {
			if a != b && joined(t, all[Unit{Ref: a}], all[Unit{Ref: b}]) {
				set.join(index[Unit{Ref: a}], index[Unit{Ref: b}])
			}
		})
	}
	groups := map[int]int{}
	var out []component
	for i, u := range keys {
		root := set.find(i)
		g, ok := groups[root]
		if !ok {
			g = len(out)
			groups[root] = g
			out = append(out, component{})
		}
		out[g].troubles = append(out[g].troubles, all[u])
	}
	return out
}

// edges calls join with the two anomalous units of each edge between such. It walks from the anomalous ones alone: a cluster has
// ten thousand edges, of which a fault touches a few.
func (in *Observation) edges(all map[Unit]*trouble, join func(a, b entity.Ref)) {
	stands := map[entity.Ref]entity.Ref{}    // an entity → the anomalous unit that it is or is of
	suffers := map[entity.Ref][]entity.Ref{} // a pod → the anomalous services that it serves
	var units []entity.Ref
	for u := range all {
		if u.Aspect == "" {
			units = append(units, u.Ref)
		}
	}
	slices.SortFunc(units, entity.Compare)
	for _, u := range units {
		stands[u] = u
		for _, e := range in.Graph.Out(u) {
			if e.Type != topology.Selects {
				continue
			}
			if e.To.Kind == entity.Pod && in.unitOf(e.To) == u {
				stands[e.To] = u
			}
			if u.Kind != entity.Service {
				continue
			}
			suffers[e.To] = append(suffers[e.To], u)
			for _, p := range in.Graph.Out(e.To) {
				if p.Type == topology.Selects {
					suffers[p.To] = append(suffers[p.To], u)
				}
			}
		}
	}
	behind := in.behind(all)
	// of lists what an end of an edge stands for. A pod that is well by itself stands for a service that suffers from its node.
	of := func(r entity.Ref, edge topology.EdgeType) []entity.Ref {
		if u, ok := stands[r]; ok {
			return []entity.Ref{u}
		}
		switch edge {
		case topology.Calls, topology.RoutesTo:
			return behind[r]
		case topology.RunsOn:
			return suffers[r]
		}
		return nil
	}
	from := make([]entity.Ref, 0, len(stands)+len(behind)+len(suffers))
	for r := range stands {
		from = append(from, r)
	}
	for r := range behind {
		from = append(from, r)
	}
	for r := range suffers {
		from = append(from, r)
	}
	slices.SortFunc(from, entity.Compare)
	for _, r := range slices.Compact(from) {
		for _, e := range in.Graph.Out(r) {
			for _, b := range of(e.To, e.Type) {
				for _, a := range of(r, e.Type) {
					join(a, b)
				}
			}
		}
	}
}

// behind maps each service that is not anomalous itself to the anomalous units that it selects.
func (in *Observation) behind(all map[Unit]*trouble) map[entity.Ref][]entity.Ref {
	out := map[entity.Ref][]entity.Ref{}
	for u := range all {
		for _, s := range in.Graph.ServicesOf(u.Ref) {
			if all[Unit{Ref: s}] == nil {
				out[s] = append(out[s], u.Ref)
			}
		}
	}
	for s := range out {
		slices.SortFunc(out[s], entity.Compare)
		out[s] = slices.Compact(out[s])
	}
	return out
}

// joined says whether the trouble of one that depends on another can be of the same cause. The one that depends may
// come any time later, unless it shows a fault that nothing else can cause.
func joined(t Timing, depends, on *trouble) bool {
	late := depends.onset.Sub(on.onset)
	return late >= -t.Onset && (late <= t.Onset || !depends.own)
}

// sets is a union-find over 0 to n−1.
type sets []int

func newSets(n int) sets {
	s := make(sets, n)
	for i := range s {
		s[i] = i
	}
	return s
}

func (s sets) find(i int) int {
	for s[i] != i {
		s[i] = s[s[i]]
		i = s[i]
	}
	return i
}

func (s sets) join(a, b int) {
	a, b = s.find(a), s.find(b)
	s[max(a, b)] = min(a, b)
}

// sortInput makes results independent of the order in which facts and anomalies come.
func (in *Observation) sortInput() {
	in.Facts = slices.Clone(in.Facts)
	slices.SortFunc(in.Facts, func(a, b detect.Fact) int {
		if c := entity.Compare(a.Entity, b.Entity); c != 0 {
			return c
		}
		return strings.Compare(a.Kind+a.Text, b.Kind+b.Text)
	})
	in.Anomalies = slices.Clone(in.Anomalies)
	slices.SortFunc(in.Anomalies, func(a, b baseline.Anomaly) int {
		if c := entity.Compare(a.Entity, b.Entity); c != 0 {
			return c
		}
		return strings.Compare(a.Metric, b.Metric)
	})
}
