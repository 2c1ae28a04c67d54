package detect

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// autoscalers finds autoscalers that want more than they may.
func (p *pass) autoscalers() {
	for _, r := range p.c.List("HorizontalPodAutoscaler", "") {
		h := r.GetHorizontalPodAutoscaler()
		if h.GetMax() == 0 || h.GetCurrent() < h.GetMax() || !h.GetTargetExceeded() || r.GetDeleting() != nil {
			continue
		}
		ref := entity.Ref{Cluster: p.c.ID(), Kind: h.GetTarget().GetKind(), Namespace: r.GetNamespace(), Name: h.GetTarget().GetName()}
		p.raise(Fact{
			Entity: ref, Kind: "AtMaxReplicas", Score: 0.60, Source: p.c.Ref(r),
			Text: fmt.Sprintf("it runs %d of at most %d replicas and is still above its target", h.GetCurrent(), h.GetMax()),
		})
	}
}

// quotas finds workloads whose pods a quota keeps from being created: as their controller says now, or as an event
// said while the workload is short of pods.
func (p *pass) quotas() {
	for _, kind := range []string{entity.Deployment, entity.ReplicaSet} {
		for _, r := range p.c.List(kind, "") {
			if c := condition(r.GetWorkload().GetConditions(), "ReplicaFailure"); c.GetStatus() == "True" && exceedsQuota(c.GetMessage()) {
				p.overQuota(p.c.Workload(r), c.GetMessage(), p.at(c.GetLastTransition()), p.now)
			}
		}
	}
	for _, r := range p.c.List("Event", "") {
		e := r.GetEvent()
		if e.GetReason() != "FailedCreate" || !exceedsQuota(e.GetMessage()) {
			continue
		}
		at := p.eventTime(r)
		about := p.c.Get(e.GetRegarding().GetKind(), e.GetRegarding().GetNamespace(), e.GetRegarding().GetName())
		if about == nil || p.now.Sub(at) >= p.t.Event || p.fullyAvailable(p.c.Workload(about)) {
			continue
		}
		p.overQuota(p.c.Workload(about), e.GetMessage(), at, at)
	}
}

func (p *pass) overQuota(w entity.Ref, message string, since, seen time.Time) {
	_, why, found := strings.Cut(message, "exceeded quota:")
	text := "a quota keeps pods from being created"
	if found {
		text += ": " + line(why)
	}
	p.raise(Fact{Entity: w, Kind: "QuotaExceeded", Score: 0.80, Text: text, Since: p.dated(w, "QuotaExceeded", since), Seen: seen})
}

func exceedsQuota(message string) bool { return strings.Contains(message, "exceeded quota") }

// fullVolume is the used share from which a volume is a fault.
const fullVolume = 0.95

// claims finds volumes that pods wait for, have lost, or have filled. A claim that no pod uses affects nobody.
func (p *pass) claims() {
	users := map[string][]*pod{}
	for _, v := range p.pods {
		if v.deleting || v.done {
			continue
		}
		for _, name := range v.GetPod().GetClaims() {
			users[v.GetNamespace()+"/"+name] = append(users[v.GetNamespace()+"/"+name], v)
		}
	}
	for _, r := range p.c.List("PersistentVolumeClaim", "") {
		pods := users[r.GetNamespace()+"/"+r.GetName()]
		if len(pods) == 0 || r.GetDeleting() != nil {
			continue
		}
		ref := p.c.Ref(r)
		f := Fact{Source: ref}
		switch r.GetPersistentVolumeClaim().GetPhase() {
		case "Lost":
			f.Kind, f.Score, f.Text = "ClaimLost", 0.80, ref.Short()+" has lost its volume"
		case "Pending":
			since, late := p.lasted("claim|"+ref.String(), time.Time{}, p.t.ClaimPending)
			if late {
				f.Kind, f.Score, f.Since = "ClaimPending", 0.80, since
				f.Text = fmt.Sprintf("%s has been pending for %s (storage class %s)", ref.Short(), short(p.now.Sub(since)), orNone(r.GetPersistentVolumeClaim().GetStorageClass()))
			}
		}
		if f.Kind != "" {
			p.onUsers(f, pods)
		}
		if used, ok := p.c.Readings(ref)["disk_usage"]; ok && used.Value >= fullVolume && p.now.Sub(used.At) < p.t.Event {
			p.onUsers(Fact{Kind: "VolumeFull", Score: 0.85, Source: ref, Seen: used.At, Text: fmt.Sprintf("%s is %.0f %% full", ref.Short(), 100*used.Value)}, pods)
		}
	}
}

// onUsers raises a fact once on each workload of the pods.
func (p *pass) onUsers(f Fact, pods []*pod) {
	var done []entity.Ref
	for _, v := range pods {
		if !slices.Contains(done, v.workload) {
			done = append(done, v.workload)
			f.Entity = v.workload
			p.raise(f)
		}
	}
}

func orNone(s string) string {
	if s == "" {
		return "none"
	}
	return s
}

// deletable are the kinds whose deletion a finalizer can hold for long enough to matter to somebody.
var deletable = []string{
	"Namespace", entity.Pod, entity.Node, entity.Deployment, entity.StatefulSet, entity.DaemonSet, entity.ReplicaSet, entity.Job, entity.CronJob,
	entity.Service, entity.Ingress, "PersistentVolume", "PersistentVolumeClaim", "ConfigMap", "Secret",
}

// deletions finds objects that a finalizer keeps from going.
func (p *pass) deletions() {
	for _, kind := range deletable {
		for _, r := range p.c.List(kind, "") {
			asked := p.at(r.GetDeleting())
			if asked.IsZero() || len(r.GetFinalizers()) == 0 || p.now.Sub(asked) <= p.t.Finalizer {
				continue
			}
			for _, ref := range p.vertices(r) {
				p.raise(Fact{
					Entity: ref, Kind: "DeletionBlocked", Score: 0.50, Source: p.c.Ref(r), Since: asked,
					Text: fmt.Sprintf("%s is being deleted for %s and held by %s", p.c.Ref(r).Short(), short(p.now.Sub(asked)), strings.Join(r.GetFinalizers(), ", ")),
				})
			}
		}
	}
}

// vertices gives the entities that an object's fault affects: itself when it is one, its owner, or who uses it. An
// object that is nobody's stands for itself.
func (p *pass) vertices(r *report.Resource) []entity.Ref {
	ref := p.c.Ref(r)
	switch r.GetKind() {
	case entity.ReplicaSet, entity.Job:
		return []entity.Ref{p.c.Workload(r)}
	case "PersistentVolumeClaim":
		var out []entity.Ref
		for _, v := range p.pods {
			if v.GetNamespace() == r.GetNamespace() && slices.Contains(v.GetPod().GetClaims(), r.GetName()) && !slices.Contains(out, v.workload) {
				out = append(out, v.workload)
			}
		}
		if len(out) > 0 {
			return out
		}
	case "HorizontalPodAutoscaler":
		t := r.GetHorizontalPodAutoscaler().GetTarget()
		return []entity.Ref{{Cluster: p.c.ID(), Kind: t.GetKind(), Namespace: r.GetNamespace(), Name: t.GetName()}}
	}
	return []entity.Ref{ref}
}
