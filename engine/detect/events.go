package detect

import (
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// critical are the reasons of Warning events that name a fault.
var critical = map[string]bool{
	"FailedScheduling": true, "FailedMount": true, "FailedAttachVolume": true, "FailedMapVolume": true, "BackOff": true, "Unhealthy": true,
	"NodeNotReady": true, "FailedCreate": true, "Evicted": true, "FailedCreatePodSandBox": true, "NetworkNotReady": true,
	"FailedPostStartHook": true, "ProvisioningFailed": true, "SystemOOM": true, "EvictionThresholdMet": true, "InvalidDiskCapacity": true,
	"BackoffLimitExceeded": true, "FailedDaemonPod": true, "ContainerGCFailed": true, "ImageGCFailed": true,
}

// slowStart are the reasons that any slow start gives: about a pod that is on its way up they mean nothing.
var slowStart = map[string]bool{"Unhealthy": true, "BackOff": true, "FailedScheduling": true}

// events finds what Warning events tell of the last minutes, on the vertex of the object that they regard. Counts are
// totals and are not compared: an event counts for as long as its newest time is fresh, so the same object and reason
// may tell again after it was quiet.
func (p *pass) events() {
	for _, r := range p.c.List("Event", "") {
		e := r.GetEvent()
		if e.GetType() == "Normal" || !critical[e.GetReason()] {
			continue
		}
		at := p.eventTime(r)
		if p.now.Sub(at) >= p.t.Event {
			continue
		}
		about := p.c.Get(e.GetRegarding().GetKind(), e.GetRegarding().GetNamespace(), e.GetRegarding().GetName())
		if about == nil || about.GetDeleting() != nil || !p.counts(about, e.GetReason()) {
			continue
		}
		for _, ref := range p.vertices(about) {
			f := Fact{Entity: ref, Kind: e.GetReason(), Score: 0.85, Source: p.c.Ref(about), Seen: at, Text: line(e.GetMessage())}
			if f.Text == "" {
				f.Text = e.GetReason()
			}
			f.Since = p.since("event|"+ref.String()+"|"+f.Kind, at)
			p.raise(f)
		}
	}
}

// eventTime is the newest time that an event carries, on the engine's clock. One without any is as old as we know it.
func (p *pass) eventTime(r *report.Resource) time.Time {
	e := r.GetEvent()
	for _, t := range []time.Time{p.at(e.GetLast()), p.at(e.GetFirst()), p.at(r.GetCreated())} {
		if !t.IsZero() {
			return t
		}
	}
	return p.since("undated|"+r.GetUid()+"|"+r.GetNamespace()+"/"+r.GetName(), time.Time{})
}

// counts says whether an event still speaks of a fault: what it regards must not have come good meanwhile. About a pod
// it counts when the pod has not been Ready for half a minute; events that any slow start gives count only when the
// pod is past its allowance, or had been up before.
func (p *pass) counts(about *report.Resource, reason string) bool {
	ref := p.c.Ref(about)
	switch {
	case ref.Kind == entity.Pod:
		v := p.byName[ref]
		switch {
		case v == nil || v.GetPod().GetPhase() == "Succeeded":
			return false
		case v.ready:
			return false
		case slowStart[reason] && p.starting(v):
			return false
		}
		return p.now.Sub(v.state.NotReady) > p.t.EventNotReady
	case ref.Kind == entity.Node:
		c := condition(about.GetNode().GetConditions(), "Ready")
		return reason != "NodeNotReady" || c.GetStatus() != "True"
	case ref.Kind == entity.CronJob || ref.Kind == entity.Job:
		return reason != "BackoffLimitExceeded" // the Job's own condition says it better
	case ref.Workload():
		return !p.fullyAvailable(p.c.Workload(about))
	case ref.Kind == "PersistentVolumeClaim":
		return about.GetPersistentVolumeClaim().GetPhase() != "Bound"
	}
	return true
}
