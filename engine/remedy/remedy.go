// Package remedy suggests what could mend an incident: typed commands by fixed rules, best first. A suggestion is no
// more than that; it becomes a proposal, which people approve, only when somebody asks for it.
package remedy

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/incident"
)

// Suggestion is a command with the reason for it, one sentence for a person.
type Suggestion struct {
	Command command.Command `json:"command"`
	Why     string          `json:"why"`
}

// Suggest gives what could mend an incident in its cluster's present state, best first. It is empty when no command
// would help; None says why.
func Suggest(i *incident.Incident, c *fleet.Cluster) []Suggestion {
	out, _ := suggest(i, c)
	return out
}

// None says why nothing is suggested, in one sentence; "" when something is.
func None(i *incident.Incident, c *fleet.Cluster) string {
	_, why := suggest(i, c)
	return why
}

func suggest(i *incident.Incident, c *fleet.Cluster) (out []Suggestion, none string) {
	cause := i.Cause.Entity
	switch cause.Kind {
	case "":
		return nil, "No cause is known yet."
	case entity.External:
		return nil, cause.Name + " is outside the cluster: nothing here can mend it."
	case entity.Node:
		return node(i, c)
	case entity.Pod:
		if saturations[i.Cause.Kind] {
			return noisy(c, cause, i.Cause.Kind)
		}
	}
	if cause.Workload() && saturations[i.Cause.Kind] {
		for _, e := range i.Cause.Evidence { // one pod of it takes what its neighbours need
			if p := c.Find(e.Entity); e.Entity.Kind == entity.Pod && saturations[e.What] && p != nil && c.Workload(p) == cause {
				out, none = noisy(c, e.Entity, e.What)
				more, _ := workload(i, c, cause)
				return append(out, more...), none
			}
		}
	}
	if why, ok := hopeless[i.Cause.Kind]; ok {
		if s, ok := undo(i, c, behind(c, cause)); ok {
			return []Suggestion{s}, ""
		}
		return nil, why
	}
	w := behind(c, cause)
	if w.IsZero() {
		return nil, "No workload behind " + cause.Short() + " is known that a command could mend."
	}
	return workload(i, c, w)
}

// hopeless are kinds that no command mends: what has to be done instead. Undoing a change may still.
var hopeless = map[string]string{
	"CreateContainerConfigError": "The configuration that the pods refer to is missing or wrong: mend the ConfigMap, the Secret or the reference.",
	"InvalidImageName":           "The image name is invalid: mend it in the workload.",
	"Unschedulable":              "No node has room or fits: add capacity, or lower the requests or constraints.",
	"FailedScheduling":           "No node has room or fits: add capacity, or lower the requests or constraints.",
	"QuotaExceeded":              "A quota blocks new pods: raise it or free some of it.",
	"ClaimPending":               "A volume claim is not bound: look at its storage class and provisioner.",
	"ClaimLost":                  "A volume is lost: restore it from a backup.",
	"VolumeFull":                 "A volume is full: free space or enlarge the claim.",
	"AtMaxReplicas":              "The autoscaler is at its maximum: raise the maximum if the load is real.",
	"CertificateExpiring":        "The certificate must be renewed.",
	"CertificateExpired":         "The certificate must be renewed.",
	"DeletionBlocked":            "A finalizer holds the deletion: look at the controller that owns it.",
	"MissedSchedule":             "A CronJob missed its run: look at its controller and its concurrency.",
	"BackoffLimitExceeded":       "A Job gave up: read its pods' logs and run it again.",
	"DeadlineExceeded":           "A Job ran out of time: read its pods' logs.",
	"MissingService":             "The route names a service that does not exist: mend the route or create the service.",
	"SelectorMatchesNothing":     "The service's selector matches no pod: mend the selector or the labels.",
	"TargetPortMatchesNothing":   "The service's target port matches no container port: mend one of them.",
}

var saturations = map[string]bool{
	"cpu_usage": true, "cpu_throttled": true, "memory_usage": true, "psi_cpu": true, "psi_memory": true, "psi_io": true, "disk_usage": true,
}

// node suggests for a node: away from one that is down, or without the one pod that saturates it.
func node(i *incident.Incident, c *fleet.Cluster) ([]Suggestion, string) {
	ref := i.Cause.Entity
	r := c.Find(ref)
	if r == nil {
		return nil, ref.Short() + " is gone."
	}
	if saturations[i.Cause.Kind] {
		if pod := loudest(i, c, ref); !pod.IsZero() {
			return noisy(c, pod, i.Cause.Kind)
		}
		return nil, "No single pod saturates " + ref.Short() + ": add capacity or move something away."
	}
	var out []Suggestion
	if !r.GetNode().GetUnschedulable() {
		out = append(out, Suggestion{command.Command{Verb: command.Cordon, Target: ref}, "It keeps new pods off " + ref.Name + " until it is well; what runs there stays."})
	}
	out = append(out, Suggestion{command.Command{Verb: command.Drain, Target: ref}, fmt.Sprintf("It moves the %d pods of %s to other nodes, within their disruption budgets.", len(c.Pods(ref)), ref.Name)})
	return out, ""
}

// noisy suggests to delete a pod that takes what its neighbours need; its owner makes a new one, likely elsewhere.
func noisy(c *fleet.Cluster, pod entity.Ref, metric string) ([]Suggestion, string) {
	r := c.Find(pod)
	if r == nil {
		return nil, pod.Short() + " is gone."
	}
	owner := c.Workload(r)
	if owner == pod {
		return nil, pod.Short() + " has no owner that would replace it: deleting it would end what it does."
	}
	return []Suggestion{{command.Command{Verb: command.DeletePod, Target: pod}, fmt.Sprintf("%s takes what its neighbours on node/%s need (%s); %s makes a new one.", pod.Short(), r.GetPod().GetNode(), metric, owner.Short())}}, ""
}

// loudest finds the pod of a node that the evidence names, else the one that uses at least twice the CPU of any other.
func loudest(i *incident.Incident, c *fleet.Cluster, node entity.Ref) entity.Ref {
	on := func(r entity.Ref) bool {
		found := c.Find(r)
		return r.Kind == entity.Pod && found != nil && found.GetPod().GetNode() == node.Name
	}
	for _, e := range i.Cause.Evidence {
		if on(e.Entity) {
			return e.Entity
		}
	}
	var best entity.Ref
	first, second := 0.0, 0.0
	for _, p := range c.Pods(node) {
		ref := c.Ref(p)
		switch v := c.Readings(ref)["cpu_usage"].Value; {
		case v > first:
			best, first, second = ref, v, first
		case v > second:
			second = v
		}
	}
	if first > 0 && first >= 2*second {
		return best
	}
	return entity.Ref{}
}

// behind gives the workload that a command would act on: the entity itself, a pod's owner, or the one workload behind
// a service; zero when there is none or more than one.
func behind(c *fleet.Cluster, r entity.Ref) entity.Ref {
	switch {
	case r.Workload():
		return r
	case r.Kind == entity.Pod:
		if p := c.Find(r); p != nil && c.Workload(p) != r {
			return c.Workload(p)
		}
	case r.Kind == entity.Service:
		var found []entity.Ref
		for _, p := range c.Pods(r) {
			if w := c.Workload(p); !slices.Contains(found, w) {
				found = append(found, w)
			}
		}
		if len(found) == 1 && found[0].Workload() {
			return found[0]
		}
	}
	return entity.Ref{}
}

func workload(i *incident.Incident, c *fleet.Cluster, w entity.Ref) ([]Suggestion, string) {
	r := c.Find(w)
	if r == nil {
		return nil, w.Short() + " is gone."
	}
	if s, ok := undo(i, c, w); ok {
		return []Suggestion{s}, ""
	}
	if r.GetWorkload() == nil || w.Kind == entity.ReplicaSet {
		return nil, "No command mends " + w.Short() + ": read its logs and events."
	}
	switch i.Cause.Kind {
	case "ImagePullBackOff":
		if target, ok := previous(c, r, otherImages); ok {
			return []Suggestion{{command.Command{Verb: command.Rollback, Target: w, Revision: target}, "Its image cannot be pulled; the revision before had one that could."}}, ""
		}
		return nil, "Its image cannot be pulled and there is no earlier revision with another: mend the image or the registry's credentials."
	case "NoEndpoints", "FailedMount", "FailedAttachVolume", "Evicted", "FailedCreate":
		return nil, "A restart would not change what keeps the pods of " + w.Short() + " from running: look at their events."
	}
	out := []Suggestion{{command.Command{Verb: command.RolloutRestart, Target: w}, "Nothing changed before it began: new processes start without what these have gathered, one after the other."}}
	if scalable(r) && loaded(i) {
		n := r.GetWorkload().GetDesired()
		more := int32(math.Ceil(float64(n) * 1.5))
		out = append(out, Suggestion{command.Command{Verb: command.Scale, Target: w, Replicas: more}, fmt.Sprintf("It is saturated or slow: %d replicas share the load of %d.", more, n)})
	}
	return out, ""
}

func scalable(r *report.Resource) bool {
	return (r.GetKind() == entity.Deployment || r.GetKind() == entity.StatefulSet) && r.GetWorkload().GetDesired() > 0
}

// loaded says whether latency or saturation is what the cause shows.
func loaded(i *incident.Incident) bool {
	slow := func(what string) bool {
		return saturations[what] || what == "avg_latency" || what == "p95_latency"
	}
	return slow(i.Cause.Kind) || slices.ContainsFunc(i.Cause.Evidence, func(e incident.Evidence) bool { return slow(e.What) })
}

// undo takes the change back that is the first suspect on the workload itself, while it is still in effect.
func undo(i *incident.Incident, c *fleet.Cluster, w entity.Ref) (Suggestion, bool) {
	r := c.Find(w)
	if w.IsZero() || r.GetWorkload() == nil {
		return Suggestion{}, false
	}
	for _, s := range i.Cause.Suspects {
		if s.Entity != w {
			continue
		}
		switch s.Kind {
		case "image", "rollout":
			target, ok := previous(c, r, anyRevision)
			if !ok || s.Template != "" && s.Template != r.GetWorkload().GetTemplateHash() {
				continue // there is nothing to go back to, or somebody has gone on already
			}
			return Suggestion{command.Command{Verb: command.Rollback, Target: w, Revision: target}, "It began after " + s.Brief() + "; this goes back to the revision before."}, true
		case "scale":
			n, err := strconv.ParseInt(s.Before, 10, 32)
			if err != nil || n <= 0 || s.After != strconv.Itoa(int(r.GetWorkload().GetDesired())) {
				continue
			}
			return Suggestion{command.Command{Verb: command.Scale, Target: w, Replicas: int32(n)}, "It began after " + s.Brief() + "; this goes back to " + s.Before + "."}, true
		}
	}
	return Suggestion{}, false
}

// anyRevision and otherImages say which revisions are worth going back to.
func anyRevision(_, _ map[string]string) bool { return true }

// otherImages leaves out revisions that differ in something else, such as a restart: their images are as missing.
func otherImages(then, now map[string]string) bool { return !maps.Equal(then, now) }

// previous gives the newest revision before the current one that is worth it. A Deployment's are known from its ReplicaSets; the history of a
// StatefulSet or DaemonSet is not reported, and 0 leaves it to the API server to find it.
func previous(c *fleet.Cluster, r *report.Resource, worth func(then, now map[string]string) bool) (revision int64, ok bool) {
	if r.GetKind() == entity.StatefulSet || r.GetKind() == entity.DaemonSet {
		return 0, true
	}
	if r.GetKind() != entity.Deployment {
		return 0, false
	}
	current, err := strconv.ParseInt(r.GetWorkload().GetRevision(), 10, 64)
	sets := 0
	for _, rs := range c.Children(r.GetUid()) {
		if rs.GetWorkload() == nil || !worth(rs.GetWorkload().GetImages(), r.GetWorkload().GetImages()) {
			continue
		}
		sets++
		n, bad := strconv.ParseInt(rs.GetWorkload().GetRevision(), 10, 64)
		if bad == nil && err == nil && n < current && n > revision {
			revision = n
		}
	}
	return revision, revision > 0 || err != nil && sets > 1
}
