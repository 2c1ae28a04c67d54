package tools

import (
	"context"
	"encoding/json"
	"fmt"
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

func deletePodTool(e *engine.Engine) (Tool, error) {
	return verb(e, simple("delete_pod", "delete"), []string{entity.Pod}, itself, nothingMore)
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
	Revision int64 `json:"revision,omitempty" jsonschema:"revision to go back to; the one before the current when left out"`
}

func rollbackTool(e *engine.Engine) (Tool, error) {
	return verb(e, shape{name: "rollback", verb: "rollback", usage: "rollback TARGET [REVISION] [-n NAMESPACE] [--cluster C]", pos: []string{"target", "revision"}},
		workloads, func(a rollbackArgs) object { return a.object },
		func(a rollbackArgs, c *command.Command) error { c.Revision = a.Revision; return nil })
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
