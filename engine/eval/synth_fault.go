package eval

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// fault is one thing that breaks.
type fault struct {
	kind    string
	service int // −1 when it is of no service
	at      time.Time
	size    float64
	node    int
	batch   int
	partner int
	truth   []string
}

var faultKinds = []string{"slow", "errors", "crash", "noisy neighbour", "node lost", "leak", "partner slow", "bad rollout"}

// draw draws a fault of one application, and of that one alone.
func (y *system) draw(r *rand.Rand, app int, at time.Time, alone bool) *fault {
	f := &fault{kind: faultKinds[r.IntN(len(faultKinds))], at: at, service: -1, size: r.Float64()}
	first, last := y.entries[app], len(y.services)
	if app+1 < len(y.entries) {
		last = y.entries[app+1]
	}
	if alone && (f.kind == "node lost" || f.kind == "noisy neighbour") {
		f.kind = "slow" // the applications share nodes, and a fault of a node would be of both
	}
	of := func(name string) []string { return []string{"deployment/" + name, "service/" + name} }
	switch f.kind {
	case "noisy neighbour":
		f.batch = r.IntN(len(y.batch))
		f.truth = []string{"deployment/" + y.batch[f.batch].name, "pod/" + y.batch[f.batch].name}
		for i := range y.services { // one that suffers
			y.services[i].pods[0].node = map[bool]int{true: y.batch[f.batch].node, false: y.services[i].pods[0].node}[i >= first && i < last && i < first+3]
		}
	case "node lost":
		f.node = r.IntN(y.nodes)
		y.services[first].pods[0].node = f.node
		f.truth = []string{fmt.Sprintf("node/n%d", f.node)}
	case "partner slow":
		f.partner = app
		f.truth = []string{"external/" + y.external[app].name}
	default:
		f.service = first + r.IntN(last-first)
		if f.kind == "bad rollout" && f.service == first {
			f.service = last - 1
		}
		f.truth = of(y.services[f.service].name)
	}
	return f
}

// step lets the fault act at a time and says whether Kubernetes shows something new.
func (f *fault) step(y *system, now time.Time) bool {
	if now.Before(f.at) {
		return false
	}
	began := now.Sub(f.at) < synthTick
	switch f.kind {
	case "slow":
		y.services[f.service].slow = 5 + 25*f.size
	case "errors":
		y.services[f.service].broken = 0.15 + 0.6*f.size
	case "bad rollout":
		y.services[f.service].broken, y.services[f.service].slow = 0.1+0.4*f.size, 1.5+3*f.size
	case "crash":
		s := &y.services[f.service]
		s.crashed = 1 + int(f.size*float64(len(s.pods)))
		s.crashed = min(s.crashed, len(s.pods))
		return now.Sub(f.at)%(time.Minute) < synthTick
	case "noisy neighbour":
		y.hog = f.batch
	case "node lost":
		y.dead[f.node] = true
		return began
	case "leak":
		s := &y.services[f.service]
		full := 7*time.Minute + time.Duration(f.size*float64(3*time.Minute))
		since := now.Sub(f.at)
		s.leak = min(1, float64(since%full)/float64(full))
		if s.killed = false; int(since/full) > s.oom {
			s.oom, s.killed = int(since/full), true
			return true
		}
		return s.oom > 0 && since%full < 3*synthTick // it runs again
	case "partner slow":
		y.external[f.partner].slow = 8 + 20*f.size
	}
	return false
}

// touched lists the services whose objects the fault changes.
func (f *fault) touched(y *system) []int {
	if f.service >= 0 {
		return []int{f.service}
	}
	var out []int
	for i := range y.services {
		if f.kind == "node lost" && slices.ContainsFunc(y.services[i].pods, func(p pod) bool { return p.node == f.node }) {
			out = append(out, i)
		}
	}
	return out
}

// graph gives the calls; everything else the objects say.
func (y *system) graph() (entities []Entity, edges []Edge) {
	for _, s := range y.services {
		id := "service/" + s.name
		entities = append(entities, Entity{ID: id}, Entity{ID: "deployment/" + s.name, Service: ""})
		for _, c := range s.calls {
			edges = append(edges, Edge{From: id, To: "service/" + y.services[c.to].name, Type: "calls"})
		}
	}
	for _, x := range y.external {
		edges = append(edges, Edge{From: "service/" + y.services[x.caller].name, To: "external/" + x.name, Type: "calls"})
	}
	return entities, edges
}

func owner(kind, name string) []*report.Owner {
	return []*report.Owner{{Kind: kind, Name: name, Uid: kind + "/" + name, Controller: true}}
}

// everything gives all objects as they are before anything happens.
func (y *system) everything(now time.Time) []*report.Resource {
	var out []*report.Resource
	for n := range y.nodes {
		out = append(out, y.nodeObject(n, now))
	}
	for i := range y.services {
		out = append(out, y.objects(i, now)...)
	}
	day := timestamppb.New(now.Add(-24 * time.Hour))
	for _, b := range y.batch {
		out = append(out,
			&report.Resource{Kind: entity.Deployment, Namespace: synthSpace, Name: b.name, Uid: "Deployment/" + b.name, Generation: 1, Created: day, Detail: &report.Resource_Workload{Workload: &report.Workload{
				Desired: 1, Current: 1, Ready: 1, Available: 1, Updated: 1, ObservedGeneration: 1, Revision: "1", TemplateHash: "1", Selector: map[string]string{"app": b.name},
			}}},
			&report.Resource{Kind: entity.ReplicaSet, Namespace: synthSpace, Name: b.name + "-rs", Uid: "ReplicaSet/" + b.name + "-rs", Created: day, Owners: owner(entity.Deployment, b.name),
				Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: 1, Ready: 1, Available: 1}}},
			y.podObject(b, b.name, true, 0, 0, false, now))
	}
	for a, e := range y.entries {
		out = append(out, &report.Resource{Kind: entity.Ingress, Namespace: synthSpace, Name: fmt.Sprintf("front-%d", a), Uid: fmt.Sprintf("Ingress/%d", a), Created: day,
			Detail: &report.Resource_Ingress{Ingress: &report.Ingress{Backends: []*report.IngressBackend{{Host: "shop.example", Path: "/", Service: y.services[e].name}}}}})
	}
	return out
}

func (y *system) nodeObject(n int, now time.Time) *report.Resource {
	status, since := "True", now.Add(-24*time.Hour)
	if y.dead[n] {
		status, since = "Unknown", now
	}
	name := fmt.Sprintf("n%d", n)
	return &report.Resource{Kind: entity.Node, Name: name, Uid: "Node/" + name, Created: timestamppb.New(synthEpoch.Add(-24 * time.Hour)), Detail: &report.Resource_Node{Node: &report.Node{
		Ready: !y.dead[n], Conditions: []*report.Condition{{Type: "Ready", Status: status, LastTransition: timestamppb.New(since)}},
	}}}
}

func (y *system) podObject(p pod, app string, ready bool, restarts, oom int, killed bool, now time.Time) *report.Resource {
	day := timestamppb.New(synthEpoch.Add(-24 * time.Hour))
	c := &report.Container{Name: "app", Image: app, State: "running", Ready: true, Started: day}
	status, since := "True", day
	switch {
	case killed:
		c.State, c.Reason, c.ExitCode, c.Ready, c.Restarts, ready = "terminated", "OOMKilled", 137, false, int32(oom-1), false
	case oom > 0:
		c.Restarts, c.LastReason, c.LastExitCode, c.LastFinished = int32(oom), "OOMKilled", 137, timestamppb.New(now)
		c.Started = timestamppb.New(now)
		since = timestamppb.New(now)
	case restarts > 0:
		c.State, c.Reason, c.Ready, c.Restarts = "waiting", "CrashLoopBackOff", false, int32(restarts)
		c.LastReason, c.LastExitCode, c.LastFinished = "Error", 1, timestamppb.New(now)
	}
	if !ready {
		status, since = "False", timestamppb.New(now)
	}
	return &report.Resource{
		Kind: entity.Pod, Namespace: synthSpace, Name: p.name, Uid: "Pod/" + p.name, Created: day, Labels: map[string]string{"app": app}, Owners: owner(entity.ReplicaSet, app+"-rs"),
		Detail: &report.Resource_Pod{Pod: &report.Pod{
			Phase: "Running", Node: fmt.Sprintf("n%d", p.node), Conditions: []*report.Condition{{Type: "Ready", Status: status, LastTransition: since}}, Containers: []*report.Container{c},
		}},
	}
}

// objects gives a service's objects as they are now.
func (y *system) objects(i int, now time.Time) []*report.Resource {
	s := &y.services[i]
	day := timestamppb.New(synthEpoch.Add(-24 * time.Hour))
	labels := map[string]string{"app": s.name}
	image := fmt.Sprintf("%s:v%d", s.name, s.image+1)
	n := int32(len(s.pods))
	var pods []*report.Resource
	slice := &report.EndpointSlice{Service: s.name}
	ready := int32(0)
	for k, p := range s.pods {
		restarts := 0
		if k < s.crashed {
			restarts = 3 + int(now.Unix()/60%60)
		}
		well := restarts == 0 && !y.dead[p.node] && !s.killed
		if well {
			ready++
		}
		pods = append(pods, y.podObject(p, s.name, well, restarts, s.oom, s.killed, now))
		slice.Endpoints = append(slice.Endpoints, &report.Endpoint{Pod: p.name, Ready: well})
	}
	w := &report.Workload{
		Desired: n, Current: n, Ready: ready, Available: ready, Updated: n, ObservedGeneration: int64(1 + s.image), Revision: fmt.Sprint(1 + s.image), TemplateHash: image,
		Selector: labels, Images: map[string]string{"app": image},
	}
	return append(pods,
		&report.Resource{Kind: entity.Deployment, Namespace: synthSpace, Name: s.name, Uid: "Deployment/" + s.name, Generation: int64(1 + s.image), Created: day, Detail: &report.Resource_Workload{Workload: w}},
		&report.Resource{Kind: entity.ReplicaSet, Namespace: synthSpace, Name: s.name + "-rs", Uid: "ReplicaSet/" + s.name + "-rs", Created: day, Labels: labels, Owners: owner(entity.Deployment, s.name),
			Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: n, Ready: ready, Available: ready, TemplateHash: image}}},
		&report.Resource{Kind: entity.Service, Namespace: synthSpace, Name: s.name, Uid: "Service/" + s.name, Created: day, Detail: &report.Resource_Service{Service: &report.Service{Selector: labels}}},
		&report.Resource{Kind: "EndpointSlice", Namespace: synthSpace, Name: s.name + "-x", Uid: "slice/" + s.name, Created: day, Detail: &report.Resource_EndpointSlice{EndpointSlice: slice}})
}

// changed gives the objects that are other than they were.
func (y *system) changed(now time.Time, altered []int, faults []*fault) []*report.Resource {
	slices.Sort(altered)
	var out []*report.Resource
	for _, i := range slices.Compact(altered) {
		out = append(out, y.objects(i, now)...)
	}
	for _, f := range faults {
		if f.kind == "node lost" && now.Sub(f.at) >= 0 && now.Sub(f.at) < synthTick {
			out = append(out, y.nodeObject(f.node, now))
		}
	}
	return out
}
