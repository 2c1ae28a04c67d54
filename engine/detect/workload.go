package detect

import (
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// allowance is how long a pod of a workload may take to become Ready: three times its own usual start, at least
// StartFloor and at most its progress deadline.
func (p *pass) allowance(w entity.Ref) time.Duration {
	deadline := p.t.ProgressDeadline
	if r := p.c.Find(w); r != nil && r.GetWorkload().GetProgressDeadline() != nil {
		deadline = r.GetWorkload().GetProgressDeadline().AsDuration()
	}
	usual, ok := p.s.usualStart(w.String())
	if !ok {
		return deadline
	}
	return min(deadline, max(p.t.StartFloor, 3*usual))
}

// starting says whether a pod is on its way up and nothing speaks against it: it has never been Ready, never
// restarted, waits for nothing but its own start, and is within its allowance. A slow start is no fault.
func (p *pass) starting(v *pod) bool {
	if v.deleting || v.done || v.ready || v.state.Was || v.restarts > 0 {
		return false
	}
	if c := condition(v.GetPod().GetConditions(), "PodScheduled"); unschedulable(c) && p.now.Sub(cmpTime(p.at(c.GetLastTransition()), v.created)) >= p.t.Unschedulable {
		return false
	}
	for _, ct := range v.GetPod().GetContainers() {
		if _, bad := waiting[ct.GetReason()]; bad && ct.GetState() == "waiting" {
			return false
		}
	}
	return p.now.Sub(cmpTime(v.created, v.state.NotReady)) < p.allowance(v.workload)
}

// leaving says whether a pod is being deleted and has not overstayed.
func (p *pass) leaving(v *pod) bool {
	return v.deleting && p.now.Before(p.at(v.GetDeleting()).Add(p.t.Missing))
}

// starts finds pods that are not Ready past their allowance.
func (p *pass) starts() {
	for _, w := range p.workloads {
		pods := p.live[w]
		var slow []*pod
		for _, v := range pods {
			if v.ready || v.GetPod().GetNode() == "" || p.now.Sub(v.state.NotReady) < p.allowance(w) {
				continue
			}
			slow = append(slow, v)
			text := "not ready for " + short(p.now.Sub(v.state.NotReady))
			if usual, ok := p.s.usualStart(w.String()); ok {
				text += ", it usually starts in " + short(usual)
			}
			p.raise(Fact{Entity: v.ref, Kind: "NotReady", Score: 0.60, Text: text, Since: v.state.NotReady})
		}
		if len(slow) == 0 || slow[0].ref == w {
			continue
		}
		since := slow[0].state.NotReady
		for _, v := range slow {
			since = earlier(since, v.state.NotReady)
		}
		verb := "is"
		if len(slow) != 1 {
			verb = "are"
		}
		p.raise(Fact{
			Entity: w, Kind: "NotReady", Score: 0.60, Source: slow[0].ref, Since: since,
			Text: fmt.Sprintf("%s %s not ready, the longest for %s", of(len(slow), len(pods)), verb, short(p.now.Sub(since))),
		})
	}
}

// scheduling finds pods that no node takes.
func (p *pass) scheduling() {
	for _, w := range p.workloads {
		pods := p.live[w]
		var stuck []*pod
		var since time.Time
		for _, v := range pods {
			c := condition(v.GetPod().GetConditions(), "PodScheduled")
			if !unschedulable(c) {
				continue
			}
			from := cmpTime(p.at(c.GetLastTransition()), v.created)
			if from.IsZero() {
				from = p.since("unschedulable|"+v.GetUid(), time.Time{})
			}
			if p.now.Sub(from) < p.t.Unschedulable {
				continue
			}
			if len(stuck) == 0 || from.Before(since) {
				since = from
			}
			stuck = append(stuck, v)
		}
		if len(stuck) == 0 {
			continue
		}
		why := lacking(condition(stuck[0].GetPod().GetConditions(), "PodScheduled").GetMessage())
		p.raise(Fact{
			Entity: w, Kind: "Unschedulable", Score: 0.80, Source: stuck[0].ref, Since: since,
			Text: of(len(stuck), len(pods)) + " cannot be scheduled for " + short(p.now.Sub(since)) + ": " + why,
		})
	}
}

func unschedulable(c *report.Condition) bool {
	return c != nil && c.GetStatus() == "False" && c.GetReason() == "Unschedulable"
}

// availability finds workloads that have lost half or more of their replicas. Replicas that are starting within their
// allowance, that leave in good order, or that the controller has not had time to create are not lost: so neither a
// rollout nor a first start is a fault.
func (p *pass) availability() {
	for _, kind := range []string{entity.Deployment, entity.StatefulSet, entity.DaemonSet} {
		for _, r := range p.c.List(kind, "") {
			lost, desired := p.lost(r)
			if desired == 0 || r.GetDeleting() != nil || 2*lost < desired {
				continue
			}
			ref := p.c.Ref(r)
			since, ok := p.lasted("unavailable|"+ref.String(), time.Time{}, p.t.Unavailable)
			if !ok {
				continue
			}
			score := 0.80
			if 4*lost >= 3*desired {
				score = 0.95
			}
			verb := "are"
			if lost == 1 {
				verb = "is"
			}
			p.raise(Fact{Entity: ref, Kind: "Unavailable", Score: score, Since: since, Text: fmt.Sprintf("%s %s unavailable", of(lost, desired), verb)})
		}
	}
}

func (p *pass) lost(r *report.Resource) (lost, desired int) {
	w, ref := r.GetWorkload(), p.c.Ref(r)
	desired = int(w.GetDesired())
	pods := p.byWorkload[ref]
	underway, present := max(0, int(w.GetReady()-w.GetAvailable())), 0 // Ready, but not yet for minReadySeconds
	for _, v := range pods {
		switch {
		case v.done:
		case p.starting(v):
			underway++
			present++
		case p.leaving(v):
			underway++
		case !v.deleting:
			present++
		}
	}
	if missing := desired - present; missing > 0 {
		if _, late := p.lasted("missing|"+ref.String(), time.Time{}, p.t.Missing); !late {
			underway += missing
		}
	}
	if w.GetObservedGeneration() > 0 && w.GetObservedGeneration() < r.GetGeneration() {
		return 0, desired // its controller has not looked yet: these figures are about another specification
	}
	return max(0, desired-int(w.GetAvailable())-underway), desired
}

// fullyAvailable says whether a workload runs as it is specified now, with nothing left to replace.
func (p *pass) fullyAvailable(ref entity.Ref) bool {
	r := p.c.Find(ref)
	if r == nil {
		return false
	}
	if j := r.GetJob(); j != nil {
		c := condition(j.GetConditions(), "Complete")
		return c.GetStatus() == "True"
	}
	w := r.GetWorkload()
	if w == nil || (w.GetObservedGeneration() > 0 && w.GetObservedGeneration() < r.GetGeneration()) {
		return false
	}
	return w.GetAvailable() >= w.GetDesired() && w.GetUpdated() >= w.GetDesired()
}

// cmpTime gives the first time that is set.
func cmpTime(a, b time.Time) time.Time {
	if a.IsZero() {
		return b
	}
	return a
}
