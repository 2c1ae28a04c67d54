package commandtest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
)

// Cluster is the id of the cluster that Shop makes.
const Cluster = "prod-eu"

// Agent is a cluster with an agent in front: it tries dry runs, keeps a journal, runs each id once and reports what
// changed into the fleet. It is a command.Dispatcher.
type Agent struct {
	Fleet *fleet.Fleet
	Now   func() time.Time

	mu      sync.Mutex // guards all below
	view    *fleet.Cluster
	journal map[string]*report.Outcome
	runs    map[string]int
	restart int
	lose    int
	refuse  string
	forget  bool
	stuck   bool
	deaf    string // commands to objects of this name are refused
}

// ErrLost is what Do returns when the answer is lost on its way.
var ErrLost = errors.New("connection lost")

// Shop makes a cluster: in namespace shop deployment payments (3 pods, revisions 17 and 18, with a budget and a
// service), deployment search (2 pods), cronjob import with a job, and a bare pod; in kube-system deployment dns; nodes worker-1
// and worker-2. The deployments of the shop have the label tier=web.
func Shop(now func() time.Time) *Agent {
	f := fleet.New(fleet.Config{})
	a := &Agent{Fleet: f, Now: now, view: f.Join(Cluster), journal: map[string]*report.Outcome{}, runs: map[string]int{}}
	a.view.SetStatus(func(s *fleet.Status) {
		s.Verbs = []string{"rollout_restart", "scale", "rollback", "set_image", "delete_pod", "cordon", "uncordon", "drain",
			"rollout_pause", "rollout_resume", "delete_job", "run_cronjob", "taint", "untaint", "label", "annotate"}
	})
	labels := map[string]string{"app": "payments"}
	pod := func(ns, name, node string, owner *report.Owner) *report.Resource {
		r := resource("Pod", ns, name)
		r.Labels = labels
		if owner != nil {
			r.Owners = []*report.Owner{owner}
		}
		r.Detail = &report.Resource_Pod{Pod: &report.Pod{Phase: "Running", Node: node}}
		return r
	}
	set := func(name, image string, rev, n int) *report.Resource {
		r := resource("ReplicaSet", "shop", name)
		r.Owners = []*report.Owner{{Kind: "Deployment", Name: "payments", Uid: "u-shop-payments", Controller: true}}
		r.Detail = &report.Resource_Workload{Workload: &report.Workload{Desired: int32(n), Revision: strconv.Itoa(rev), Images: map[string]string{"app": image}}}
		return r
	}
	deployment := func(ns, name string, n int32) *report.Resource {
		r := resource("Deployment", ns, name)
		r.Generation = 5
		if ns == "shop" {
			r.Labels = map[string]string{"tier": "web"}
		}
		r.Detail = &report.Resource_Workload{Workload: &report.Workload{
			Desired: n, Current: n, Ready: n, Available: n, Updated: n, ObservedGeneration: 5, Selector: labels, Revision: "18", TemplateHash: "t18",
			Images: map[string]string{"app": "shop/" + name + ":v2.4.0"}, Strategy: "RollingUpdate", MaxUnavailable: "1", MaxSurge: "25%",
		}}
		return r
	}
	owner := &report.Owner{Kind: "ReplicaSet", Name: "payments-b", Uid: "u-shop-payments-b", Controller: true}
	node := func(name string) *report.Resource {
		r := resource("Node", "", name)
		r.Detail = &report.Resource_Node{Node: &report.Node{Ready: true}}
		return r
	}
	budget := resource("PodDisruptionBudget", "shop", "payments")
	budget.Detail = &report.Resource_PodDisruptionBudget{PodDisruptionBudget: &report.PodDisruptionBudget{Selector: labels, DisruptionsAllowed: 1, CurrentHealthy: 3, DesiredHealthy: 2, ExpectedPods: 3}}
	search := deployment("shop", "search", 2)
	search.GetWorkload().Selector = map[string]string{"app": "search"}
	cron := resource("CronJob", "shop", "import")
	cron.Detail = &report.Resource_CronJob{CronJob: &report.CronJob{Schedule: "0 3 * * *"}}
	job := resource("Job", "shop", "import-1")
	job.Owners = []*report.Owner{{Kind: "CronJob", Name: "import", Uid: cron.GetUid(), Controller: true}}
	job.Detail = &report.Resource_Job{Job: &report.Job{Completions: 1, Active: 1}}
	bare := pod("shop", "debug", "worker-1", nil)
	bare.Labels = nil
	a.view.Apply(now(), &report.ReportRequest{ResyncBegin: true, ResyncEnd: true, Upserts: []*report.Resource{
		deployment("shop", "payments", 3), set("payments-a", "shop/payments:v2.3.1", 17, 0), set("payments-b", "shop/payments:v2.4.0", 18, 3),
		pod("shop", "payments-b-1", "worker-1", owner), pod("shop", "payments-b-2", "worker-2", owner), pod("shop", "payments-b-3", "worker-2", owner),
		bare, pod("kube-system", "agent-1", "worker-1", &report.Owner{Kind: "DaemonSet", Name: "agent", Uid: "u-ds", Controller: true}),
		deployment("kube-system", "dns", 2), search, cron, job, budget, node("worker-1"), node("worker-2"),
	}})
	return a
}

func resource(kind, ns, name string) *report.Resource {
	uid := "u-" + name
	if ns != "" {
		uid = "u-" + ns + "-" + name
	}
	return &report.Resource{Kind: kind, Namespace: ns, Name: name, Uid: uid, ResourceVersion: "1"}
}

// Ref names an object of the shop.
func Ref(kind, namespace, name string) entity.Ref {
	return entity.Ref{Cluster: Cluster, Kind: kind, Namespace: namespace, Name: name}
}

// Set changes how the agent behaves from now on.
func (a *Agent) Set(set func(*Behaviour)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	b := Behaviour{LoseAnswers: a.lose, RefuseDryRun: a.refuse, ForgetJournal: a.forget, Stuck: a.stuck}
	set(&b)
	a.lose, a.refuse, a.forget, a.stuck = b.LoseAnswers, b.RefuseDryRun, b.ForgetJournal, b.Stuck
}

// Behaviour is what can go wrong in a cluster.
type Behaviour struct {
	LoseAnswers   int    // so many answers to commands are lost after the command was taken
	RefuseDryRun  string // the API server's reason
	ForgetJournal bool   // the journal says begun, and not how it ended
	Stuck         bool   // a rollout never gets further than its first pod
}

// RefuseFor has commands, not their dry runs, to objects of a name refused as if they were gone.
func (a *Agent) RefuseFor(name string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.deaf = name
}

// Runs says how often a command was run.
func (a *Agent) Runs(id string) int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.runs[id]
}

// Change alters an object behind everybody's back, and reports it.
func (a *Agent) Change(ref entity.Ref, change func(*report.Resource)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	r := proto.CloneOf(a.view.Find(ref))
	r.Generation++
	change(r)
	if w := r.GetWorkload(); w != nil {
		w.ObservedGeneration = r.GetGeneration()
	}
	a.view.Apply(a.Now(), &report.ReportRequest{Upserts: []*report.Resource{r}})
}

// Do implements command.Dispatcher.
func (a *Agent) Do(ctx context.Context, cluster string, c *report.Command) (*report.Outcome, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if cluster != Cluster {
		return nil, fmt.Errorf("no agent in %s", cluster)
	}
	if c.GetDryRun() {
		if a.refuse != "" {
			return &report.Outcome{Id: c.GetId(), Status: report.Outcome_STATUS_FAILED, Message: a.refuse}, nil
		}
		return &report.Outcome{Id: c.GetId(), Status: report.Outcome_STATUS_SUCCEEDED, Changes: []*report.FieldChange{{Path: "spec", Before: "a", After: "b"}}}, nil
	}
	o := a.journal[c.GetId()]
	if o == nil {
		o = a.run(c)
		a.journal[c.GetId()] = o
	}
	if a.lose > 0 {
		a.lose--
		return nil, ErrLost
	}
	if a.forget {
		return &report.Outcome{Id: c.GetId(), Status: report.Outcome_STATUS_UNKNOWN, Message: "the journal says begun and not how it ended"}, nil
	}
	return o, nil
}

func (a *Agent) run(c *report.Command) *report.Outcome {
	refused := func(why string) *report.Outcome {
		return &report.Outcome{Id: c.GetId(), Status: report.Outcome_STATUS_REFUSED, Message: why}
	}
	t := c.GetTarget()
	old := a.view.Get(t.GetKind(), t.GetNamespace(), t.GetName())
	switch {
	case a.Now().After(c.GetNotAfter().AsTime()):
		return refused("it came too late")
	case old == nil || a.deaf == t.GetName():
		return refused("it is not there")
	case c.GetUid() != "" && c.GetUid() != old.GetUid():
		return refused("it is another object by now")
	case c.GetResourceVersion() != "" && c.GetResourceVersion() != old.GetResourceVersion():
		return refused("it changed since the preview")
	}
	a.runs[c.GetId()]++
	r := proto.CloneOf(old)
	w := r.GetWorkload()
	r.Generation++
	batch := &report.ReportRequest{Upserts: []*report.Resource{r}}
	switch x := c.GetChange().(type) {
	case *report.Command_Scale:
		w.Desired, w.Current, w.Ready, w.Available, w.Updated = x.Scale.GetReplicas(), x.Scale.GetReplicas(), x.Scale.GetReplicas(), x.Scale.GetReplicas(), x.Scale.GetReplicas()
	case *report.Command_RolloutRestart:
		a.restart++
		w.TemplateHash, w.RestartedAt = fmt.Sprint("restart-", a.restart), timestamppb.New(a.Now())
	case *report.Command_Rollback:
		w.TemplateHash, w.Revision = "t17", "19"
		w.Images["app"] = "shop/payments:v2.3.1"
	case *report.Command_SetImage:
		w.TemplateHash = "image-" + x.SetImage.GetImage()
		w.Images[x.SetImage.GetContainer()] = x.SetImage.GetImage()
	case *report.Command_Cordon:
		r.GetNode().Unschedulable = true
	case *report.Command_Uncordon:
		r.GetNode().Unschedulable = false
	case *report.Command_Drain:
		r.GetNode().Unschedulable = true
		for _, p := range a.view.List("Pod", "shop") {
			if p.GetPod().GetNode() == t.GetName() {
				batch.Deletes = append(batch.Deletes, &report.ResourceKey{Kind: "Pod", Namespace: "shop", Name: p.GetName()})
			}
		}
	case *report.Command_RolloutPause:
		w.Paused = true
	case *report.Command_RolloutResume:
		w.Paused = false
	case *report.Command_SetTaint:
		taints := slices.DeleteFunc(r.GetNode().GetTaints(), func(is *report.Taint) bool {
			return is.GetKey() == x.SetTaint.GetTaint().GetKey() && is.GetEffect() == x.SetTaint.GetTaint().GetEffect()
		})
		r.GetNode().Taints = append(taints, x.SetTaint.GetTaint())
	case *report.Command_RemoveTaint:
		r.GetNode().Taints = slices.DeleteFunc(r.GetNode().GetTaints(), func(is *report.Taint) bool {
			return is.GetKey() == x.RemoveTaint.GetKey() && (x.RemoveTaint.GetEffect() == "" || is.GetEffect() == x.RemoveTaint.GetEffect())
		})
	case *report.Command_SetLabel:
		if r.Labels == nil {
			r.Labels = map[string]string{}
		}
		if r.Labels[x.SetLabel.GetKey()] = x.SetLabel.GetValue(); x.SetLabel.GetRemove() {
			delete(r.Labels, x.SetLabel.GetKey())
		}
	case *report.Command_RunCronJob:
		job := resource("Job", t.GetNamespace(), x.RunCronJob.GetJob())
		job.Owners = []*report.Owner{{Kind: "CronJob", Name: t.GetName(), Uid: old.GetUid(), Controller: true}}
		job.Detail = &report.Resource_Job{Job: &report.Job{Completions: 1, Succeeded: 1}}
		batch.Upserts = []*report.Resource{job}
	case *report.Command_DeletePod, *report.Command_DeleteJob:
		batch.Upserts, batch.Deletes = nil, []*report.ResourceKey{t}
	}
	if w != nil {
		w.ObservedGeneration = r.GetGeneration()
		if a.stuck {
			w.Updated, w.Available, w.Ready = 1, w.GetDesired()-1, w.GetDesired()-1
		}
	}
	a.view.Apply(a.Now(), batch)
	return &report.Outcome{Id: c.GetId(), Status: report.Outcome_STATUS_SUCCEEDED, Message: "done"}
}
