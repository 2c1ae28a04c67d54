package tools

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/remedy"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// writeTools only ever propose. What they return is the id of a proposal; its card is built by the engine from the
// canonical command, and nothing runs before the people that its class demands have approved it.
var writeTools = []func(*engine.Engine) (Tool, error){
	restartTool, scaleTool, rollbackTool, setImageTool, deletePodTool, cordonTool, uncordonTool, drainTool,
	pauseTool, resumeTool, deleteJobTool, runCronJobTool, taintTool, untaintTool, labelTool, annotateTool,
	restartAllTool, scaleAllTool, undoTool,
}

// propose puts a command to the approval desk.
func propose(ctx context.Context, e *engine.Engine, caller Caller, c command.Command, reason string) (*Result, error) {
	p, err := e.Desk.Propose(ctx, command.Request{
		Command: c, By: caller.Person, Incident: caller.Incident, Question: caller.Question, Reason: reason,
	})
	if err != nil {
		return nil, err
	}
	return proposed(e, caller, p), nil
}

func proposed(e *engine.Engine, caller Caller, p *command.Proposal) *Result {
	t := p.Command.Target
	return &Result{
		Headline: phrase.For(caller.Lang).Sprintf("Proposed: %s. Nothing has run; it waits for approval.", p.Title) +
			" · " + strings.TrimSuffix(t.Cluster+" / "+t.Namespace, " / "),
		Cluster: t.Cluster, Observed: e.Now(), Proposal: p.ID, Incident: caller.Incident, Data: p,
	}
}

// verb defines one write tool: it resolves the target among kinds and proposes what fill makes of the arguments.
func verb[A any](e *engine.Engine, s shape, kinds []string, target func(A) object, fill func(A, *command.Command) error) (Tool, error) {
	s.role, s.write = people.Operator, true
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a A) (*Result, error) {
		o := target(a)
		c, r, err := resolve(e, caller, o.Target, o.Namespace, o.Cluster, kinds...)
		if err != nil {
			return nil, err
		}
		return proposeFor(ctx, e, caller, c, r, s.name, func(cmd *command.Command) error { return fill(a, cmd) })
	}))
}

func proposeFor(ctx context.Context, e *engine.Engine, caller Caller, c *fleet.Cluster, r *report.Resource, name string, fill func(*command.Command) error) (*Result, error) {
	cmd := command.Command{Verb: command.Verb(name), Target: c.Ref(r)}
	if err := fill(&cmd); err != nil {
		return nil, err
	}
	return propose(ctx, e, caller, cmd, "")
}

func itself(o object) object                     { return o }
func nothingMore(object, *command.Command) error { return nil }
func objectUsage(verb string) (usage string)     { return verb + " TARGET [-n NAMESPACE] [--cluster C]" }
func simple(name, verb string) shape {
	return shape{name: name, verb: verb, usage: objectUsage(verb), pos: []string{"target"}}
}

func restartTool(e *engine.Engine) (Tool, error) {
	return verb(e, simple("rollout_restart", "restart"), workloads, itself, nothingMore)
}

func cordonTool(e *engine.Engine) (Tool, error) {
	return verb(e, simple("cordon", "cordon"), []string{entity.Node}, itself, nothingMore)
}

func uncordonTool(e *engine.Engine) (Tool, error) {
	return verb(e, simple("uncordon", "uncordon"), []string{entity.Node}, itself, nothingMore)
}

func drainTool(e *engine.Engine) (Tool, error) {
	return verb(e, shape{name: "drain", verb: "drain", usage: "drain NODE [--delete-emptydir-data] [--cluster C]", pos: []string{"target"}},
		[]string{entity.Node}, func(a drainArgs) object { return a.object },
		func(a drainArgs, c *command.Command) error { c.DeleteEmptyDirData = a.DeleteEmptyDirData; return nil })
}

type deleteArgs struct {
	object
	Node string `json:"node,omitempty" jsonschema:"when the target is a workload, its pod on this node"`
}

// deletePodTool takes a workload as well, and asks which of its pods is meant; only its one pod on a named node is no question.
func deletePodTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "delete_pod", verb: "delete", usage: "delete TARGET [--node NODE] [-n NAMESPACE] [--cluster C]", pos: []string{"target"}, role: people.Operator, write: true}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a deleteArgs) (*Result, error) {
		c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster, append([]string{entity.Pod}, workloads...)...)
		if err != nil {
			return nil, err
		}
		if r.GetKind() != entity.Pod {
			if r, err = podOf(caller, c, r, a.Node); err != nil {
				return nil, err
			}
		}
		return proposeFor(ctx, e, caller, c, r, s.name, func(*command.Command) error { return nil })
	}))
}

// podOf gives a workload's one pod on a node. Without a node, or where there are several, it asks which; those that are not
// well come first.
func podOf(caller Caller, c *fleet.Cluster, workload *report.Resource, node string) (*report.Resource, error) {
	p, ref := phrase.For(caller.Lang), c.Ref(workload)
	pods := slices.DeleteFunc(slices.Clone(c.Pods(ref)), func(pod *report.Resource) bool { return node != "" && pod.GetPod().GetNode() != node })
	slices.SortStableFunc(pods, func(a, b *report.Resource) int {
		sick := func(pod *report.Resource) int {
			if well(c, pod) {
				return 1
			}
			return 0
		}
		return cmp.Or(cmp.Compare(sick(a), sick(b)), cmp.Compare(a.GetName(), b.GetName()))
	})
	switch {
	case len(pods) == 0 && node != "":
		return nil, &Problem{Sentence: p.Sprintf("%s has no pod on %s.", title(c, workload), node), Remedy: p.Sprintf("list pods %s shows where they are.", workload.GetName())}
	case len(pods) == 0:
		return nil, &Problem{Sentence: p.Sprintf("%s has no pods.", title(c, workload)), Remedy: p.Sprintf("describe %s tells why.", workload.GetName())}
	case len(pods) == 1 && node != "":
		return pods[0], nil
	}
	a := &ambiguous{question: p.Sprintf("Which pod of %s?", title(c, workload))}
	for _, pod := range pods[:min(25, len(pods))] {
		a.options = append(a.options, c.Ref(pod))
	}
	return nil, a
}

type drainArgs struct {
	object
	DeleteEmptyDirData bool `json:"delete_emptydir_data,omitempty" jsonschema:"also evict pods that keep data in an emptyDir, which is lost; only when the person says so"`
}

type scaleArgs struct {
	object
	Replicas int32 `json:"replicas" jsonschema:"how many replicas there shall be"`
}

func scaleTool(e *engine.Engine) (Tool, error) {
	return verb(e, shape{name: "scale", verb: "scale", usage: "scale TARGET REPLICAS [-n NAMESPACE] [--cluster C]", pos: []string{"target", "replicas"}},
		[]string{entity.Deployment, entity.StatefulSet}, func(a scaleArgs) object { return a.object },
		func(a scaleArgs, c *command.Command) error {
			if a.Replicas < 0 {
				return &Problem{Sentence: "A workload cannot have fewer than 0 replicas."}
			}
			c.Replicas = a.Replicas
			return nil
		})
}

// Replicas finds the one workload that a call is about, and how many replicas it has; ok is false when that is not one.
func (r *Registry) Replicas(caller Caller, args json.RawMessage) (what entity.Ref, n int32, ok bool) {
	var o object
	if json.Unmarshal(args, &o) != nil || o.Target == "" {
		return entity.Ref{}, 0, false
	}
	c, found, err := resolve(r.engine, caller, o.Target, o.Namespace, o.Cluster, entity.Deployment, entity.StatefulSet)
	if err != nil {
		return entity.Ref{}, 0, false
	}
	return c.Ref(found), found.GetWorkload().GetDesired(), true
}

type rollbackArgs struct {
	object
	Revision int64  `json:"revision,omitempty" jsonschema:"revision to go back to; the one before the current when neither it nor a version is given"`
	Version  string `json:"version,omitempty" jsonschema:"instead of a revision, the version to go back to: the tag of its image, such as v2.3.1"`
}

func rollbackTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "rollback", verb: "rollback", usage: "rollback TARGET [REVISION|VERSION] [-n NAMESPACE] [--cluster C]", pos: []string{"target", "revision|version"}, role: people.Operator, write: true}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a rollbackArgs) (*Result, error) {
		c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster, workloads...)
		if err != nil {
			return nil, err
		}
		return proposeFor(ctx, e, caller, c, r, s.name, func(cmd *command.Command) (err error) {
			cmd.Revision = a.Revision
			if a.Version != "" && a.Revision == 0 {
				cmd.Revision, err = revisionOf(ctx, e, caller, c, r, a.Version)
			}
			return err
		})
	}))
}

// revisionOf gives the newest revision, other than the current one, whose image has a version as its tag, with or without
// the v before it.
func revisionOf(ctx context.Context, e *engine.Engine, caller Caller, c *fleet.Cluster, r *report.Resource, version string) (int64, error) {
	o, err := query(ctx, e, c.ID(), &report.Query{Ask: &report.Query_RolloutHistory{RolloutHistory: &report.RolloutHistoryQuery{Object: keyOf(r)}}})
	if err != nil {
		return 0, err
	}
	p := phrase.For(caller.Lang)
	bare := func(s string) string { return strings.TrimPrefix(strings.ToLower(s), "v") }
	newest, current := int64(0), false
	var known []string
	for _, v := range o.GetRevisions() {
		for _, image := range v.GetImages() {
			tag := image[strings.LastIndex(image, ":")+1:]
			known = append(known, tag)
			if bare(tag) != bare(version) {
				continue
			}
			if current = current || v.GetCurrent(); !v.GetCurrent() {
				newest = max(newest, v.GetNumber())
			}
		}
	}
	switch {
	case newest > 0:
		return newest, nil
	case current:
		return 0, &Problem{Sentence: p.Sprintf("%s runs %s already.", title(c, r), version), Remedy: p.Sprintf("history %s lists what it ran before.", r.GetName())}
	}
	slices.Sort(known)
	return 0, &Problem{Sentence: p.Sprintf("No revision of %s that is kept ran %s.", title(c, r), version), Remedy: p.Sprintf("These did: %s.", strings.Join(slices.Compact(known), ", "))}
}

type setImageArgs struct {
	object
	Image     string `json:"image" jsonschema:"the image reference to run"`
	Container string `json:"container,omitempty" jsonschema:"container; may be left out when the pod has one"`
}

func setImageTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "set_image", verb: "set-image", usage: "set-image TARGET IMAGE [-c CONTAINER] [-n NAMESPACE] [--cluster C]", pos: []string{"target", "image"}, role: people.Operator, write: true}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a setImageArgs) (*Result, error) {
		c, r, err := resolve(e, caller, a.Target, a.Namespace, a.Cluster, workloads...)
		if err != nil {
			return nil, err
		}
		return proposeFor(ctx, e, caller, c, r, s.name, func(cmd *command.Command) error {
			cmd.Image, cmd.Container = a.Image, a.Container
			if images := r.GetWorkload().GetImages(); cmd.Container == "" {
				if len(images) != 1 {
					return &Problem{Sentence: fmt.Sprintf("%s has %d containers.", r.GetName(), len(images)), Remedy: "Name one with -c."}
				}
				for name := range images {
					cmd.Container = name
				}
			}
			return nil
		})
	}))
}

func suggestTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "suggest_fix", verb: "fix", usage: "fix [INCIDENT]", pos: []string{"id"}, role: people.Operator, write: true}
	return define(s, func(ctx context.Context, caller Caller, a incidentArgs) (*Result, error) {
		i, err := find(ctx, e, caller, a.ID)
		if err != nil {
			return nil, err
		}
		p := phrase.For(caller.Lang)
		res := &Result{Cluster: i.Cluster, Incident: i.ID, Observed: e.Now()}
		if !active(i.Stage) {
			res.Headline = p.Sprintf("%s is %s: there is nothing to fix.", i.ID, i.Stage) + " · " + placeOf(i)
			return res, nil
		}
		c, ok := e.Fleet.Cluster(i.Cluster)
		if !ok {
			return nil, &Problem{Sentence: fmt.Sprintf("The cluster %s does not report any more.", i.Cluster)}
		}
		suggestions := remedy.Suggest(i, c)
		if len(suggestions) == 0 {
			res.Headline = p.Sprintf("I know no safe fix for %s.", i.ID) + " " + remedy.None(i, c) + " · " + placeOf(i)
			res.Next = []Option{incidentNext(p, i)[0]}
			return res, nil
		}
		best := suggestions[0]
		caller.Incident = i.ID
		out, err := propose(ctx, e, caller, best.Command, best.Why)
		if err != nil {
			return nil, err
		}
		l := Text{Heading: p.Sprintf("Other ways")}
		for _, s := range suggestions[1:] {
			l.Body += Words(s.Command) + ": " + s.Why + "\n"
		}
		if l.Body != "" {
			out.Lists = append(out.Lists, l)
		}
		return out, nil
	})
}

func pendingTool(e *engine.Engine) (Tool, error) {
	return define(shape{name: "pending", verb: "pending", usage: "pending"}, func(ctx context.Context, caller Caller, _ struct{}) (*Result, error) {
		ps, err := e.Desk.Pending(ctx)
		if err != nil {
			return nil, err
		}
		p, now := phrase.For(caller.Lang), e.Now()
		t := Table{Columns: []string{"WHAT", "WHERE", "CLASS", "BY", "EXPIRES IN"}}
		res := &Result{Observed: now, Data: ps}
		for _, x := range ps {
			t.Rows = append(t.Rows, []string{x.Title, strings.TrimSuffix(x.Command.Target.Cluster+" / "+x.Command.Target.Namespace, " / "), x.Class.String(), x.By.Name, Age(x.Expires.Sub(now))})
		}
		res.Headline, res.Tables = p.Sprintf("%d proposals wait for approval.", len(ps)), []Table{t}
		if len(ps) == 1 {
			res.Proposal, res.Cluster = ps[0].ID, ps[0].Command.Target.Cluster
		}
		return res, nil
	})
}
