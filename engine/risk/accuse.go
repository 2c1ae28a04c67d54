package risk

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
)

// grade says how much a fact explains by itself.
type grade int

const (
	cause   grade = iota // it names its own cause: out of memory, no such image, no room to run
	crash                // something inside failed, perhaps for want of a dependency
	event                // Kubernetes could not do something
	silence              // it does not answer, whoever's fault that is
	burn                 // users notice
)

// grades has the facts that are not their own cause. What is not listed is one.
var grades = map[string]grade{
	"CrashLoopBackOff": crash, "RunContainerError": crash,
	"BackoffLimitExceeded": crash, "JobFailed": crash, "FailedCreatePodSandBox": event, "Evicted": event, "FailedPostStartHook": event, "BackOff": event,
	"NodeNotReady": silence, "Unhealthy": silence, "Unavailable": silence, "NotReady": silence, "AtMaxReplicas": silence,
	"NoEndpoints": silence, "MissedSchedule": silence, "DeletionBlocked": silence, "CertificateExpiring": silence,
}

func gradeOf(f detect.Fact) grade {
	switch {
	case f.Entity.Kind == entity.Node:
		return cause
	case strings.Contains(strings.ToLower(f.Kind), "burn"):
		return burn
	}
	return grades[f.Kind]
}

// stayPut are facts about a service's own manifest: its workload is not what needs mending.
var stayPut = map[string]bool{"SelectorMatchesNothing": true, "TargetPortMatchesNothing": true}

// slack is by how much a cause may seem to begin after its effect: evidence comes in at its own pace.
const slack = time.Minute

// suspect is a unit with facts.
type suspect struct {
	unit    entity.Ref
	facts   []detect.Fact
	primary detect.Fact // that names the cause best
	grade   grade
	score   float64
	since   time.Time
	failing []entity.Ref // its pods that show a fact
	by      entity.Ref   // what explains it; zero when nothing does
	covers  int          // suspects that it explains, and units without facts that depend on it and suffer
}

// weak facts alone blame nobody while there is anything better.
func (s *suspect) weak() bool { return s.score < 0.8 && s.grade >= silence || s.score < 0.6 }

// byFacts lists the suspects: unexplained ones first, then by how much each would explain.
func (c *court) byFacts() []*suspect {
	at := map[entity.Ref]*suspect{}
	var all []*suspect
	for _, f := range c.facts {
		g := gradeOf(f)
		if g == burn {
			continue
		}
		u := c.unit(f.Entity)
		if stayPut[f.Kind] {
			u = f.Entity
		}
		s := at[u]
		if s == nil {
			s = &suspect{unit: u, grade: burn, since: f.Since}
			at[u] = s
			all = append(all, s)
		}
		s.facts = append(s.facts, f)
		if f.Since.Before(s.since) {
			s.since = f.Since
		}
		s.score = max(s.score, f.Score)
		if g < s.grade || g == s.grade && f.Score > s.primary.Score ||
			g == s.grade && f.Score == s.primary.Score && s.primary.Entity.Kind == entity.Pod && f.Entity.Kind != entity.Pod {
			s.primary, s.grade = f, g // of equal facts the workload's counts all pods
		}
		for _, pod := range []entity.Ref{f.Entity, f.Source} {
			if pod.Kind == entity.Pod && !slices.Contains(s.failing, pod) {
				s.failing = append(s.failing, pod)
			}
		}
	}
	for _, s := range all {
		s.by = c.explain(s, all)
	}
	var symptoms []entity.Ref
	for _, a := range c.anomalies {
		if u := c.unit(a.Entity); !slices.Contains(symptoms, u) {
			symptoms = append(symptoms, u)
		}
	}
	for _, s := range all {
		for _, o := range all {
			if o != s && o.by == s.unit {
				s.covers++
			}
		}
		for _, u := range symptoms {
			if at[u] == nil && c.dependsOn(u, s.unit) {
				s.covers++
			}
		}
	}
	slices.SortFunc(all, func(a, b *suspect) int {
		return cmp.Or(
			compareBool(!a.by.IsZero(), !b.by.IsZero()), compareBool(a.weak(), b.weak()),
			cmp.Compare(b.covers, a.covers), cmp.Compare(a.grade, b.grade), cmp.Compare(b.score, a.score),
			a.since.Compare(b.since), entity.Compare(a.unit, b.unit))
	})
	for _, s := range all {
		if !s.by.IsZero() {
			c.explained = append(c.explained, fmt.Sprintf("%s: its %s follows %s", c.name(s.unit), s.primary.Kind, c.name(s.by)))
		}
	}
	return all
}

func compareBool(a, b bool) int {
	switch {
	case a == b:
		return 0
	case b:
		return -1
	}
	return 1
}

// explain finds what explains a suspect, zero when it stands by itself.
func (c *court) explain(s *suspect, all []*suspect) entity.Ref {
	var best *suspect
	for _, o := range all {
		if o == s || o.weak() || o.since.After(s.since.Add(slack)) {
			continue
		}
		var guilty bool
		switch {
		case s.unit.Kind == entity.Node:
			guilty = c.starvedNode(o, s)
		case o.unit.Kind == entity.Node:
			guilty = c.brokenNode(o, s, all)
		default:
			guilty = c.dependsOn(s.unit, o.unit)
			if guilty && c.dependsOn(o.unit, s.unit) { // a cycle: who was first
				guilty = cmp.Or(o.since.Compare(s.since), cmp.Compare(o.grade, s.grade), cmp.Compare(s.score, o.score), entity.Compare(o.unit, s.unit)) < 0
			}
		}
		if !guilty {
			continue
		}
		if best == nil || c.dependsOn(best.unit, o.unit) { // the one at the bottom of it
			best = o
		}
	}
	if best == nil {
		return entity.Ref{}
	}
	return best.unit
}

// brokenNode says whether a node's fact explains a workload's: the workload's failing pods run there, all of them, and its facts do not name
// another cause. A pressure takes two workloads: of one alone it is as well the effect.
func (c *court) brokenNode(node, s *suspect, all []*suspect) bool {
	down := node.primary.Kind == "NotReady" || node.primary.Kind == "Unknown"
	homeless := down && (s.primary.Kind == "Unschedulable" || s.primary.Kind == "FailedScheduling")
	if s.grade == cause && !homeless || !homeless && !c.fails(s, node.unit) {
		return false
	}
	if down {
		return true
	}
	n := 0
	for _, o := range all {
		if o.unit.Kind != entity.Node && c.fails(o, node.unit) {
			n++
		}
	}
	return n >= 2
}

// fails says whether a workload's trouble is on a node: every pod that shows a fact and has a node is there, or none does
// and some pod of it is there.
func (c *court) fails(s *suspect, node entity.Ref) bool {
	here, elsewhere := false, false
	for _, p := range s.failing {
		for _, e := range c.g.Out(p) {
			if e.To.Kind == entity.Node {
				here, elsewhere = here || e.To == node, elsewhere || e.To != node
			}
		}
	}
	if !here && !elsewhere {
		return c.nodes[s.unit][node]
	}
	return here && !elsewhere
}

// starvedNode says whether a workload that runs out of memory explains a node that is short of it.
func (c *court) starvedNode(s, node *suspect) bool {
	return node.primary.Kind == "MemoryPressure" && s.primary.Kind == "OOMKilled" && c.nodes[s.unit][node.unit]
}

// yields says whether a fact gives way: it only says that something fails, and what it depends on was abnormal before.
func (c *court) yields(s *suspect, stat []*cost, bridge *Verdict) bool {
	if s.grade < crash || s.unit.Kind == entity.Node {
		return false
	}
	if bridge != nil && bridge.Entity != s.unit && s.grade >= silence {
		return true
	}
	if len(stat) == 0 || stat[0].score == 0 || stat[0].q < 0.5 || !c.dependsOn(s.unit, stat[0].unit) {
		return false
	}
	if s.grade >= silence {
		return !stat[0].onset.After(s.since)
	}
	return !stat[0].onset.After(s.since.Add(-slack))
}

func (c *court) factVerdict(all []*suspect) Verdict {
	s := all[0]
	v := Verdict{Entity: s.unit, Kind: s.primary.Kind, Onset: s.since, Confidence: High}
	rivals := 0
	for _, o := range all[1:] {
		if o.by.IsZero() && !o.weak() {
			rivals++
		}
	}
	switch {
	case s.weak():
		v.Confidence = Low
	case rivals > 0 || s.grade >= event:
		v.Confidence = Medium
	}
	v.Why = fmt.Sprintf("%s: %s", c.name(s.unit), cmp.Or(s.primary.Text, s.primary.Kind))
	if s.covers > 0 {
		v.Why += fmt.Sprintf("; %s depend on it", plural(s.covers, "other that is failing", "others that are failing"))
		if s.covers == 1 {
			v.Why = strings.Replace(v.Why, "depend on it", "depends on it", 1)
		}
	}
	return v
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
