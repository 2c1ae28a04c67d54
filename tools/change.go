package tools

import (
	"context"
	"time"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools/phrase"
)

func pauseTool(e *engine.Engine) (Tool, error) {
	return verb(e, simple("rollout_pause", "pause"), []string{entity.Deployment}, itself, nothingMore)
}

func resumeTool(e *engine.Engine) (Tool, error) {
	return verb(e, simple("rollout_resume", "resume"), []string{entity.Deployment}, itself, nothingMore)
}

func deleteJobTool(e *engine.Engine) (Tool, error) {
	return verb(e, simple("delete_job", "delete-job"), []string{entity.Job}, itself, nothingMore)
}

func runCronJobTool(e *engine.Engine) (Tool, error) {
	return verb(e, simple("run_cronjob", "run"), []string{entity.CronJob}, itself, nothingMore)
}

type taintArgs struct {
	object
	Taint string `json:"taint" jsonschema:"the taint in kubectl's form, such as gpu=yes:NoSchedule"`
}

func taintTool(e *engine.Engine) (Tool, error) {
	return verb(e, shape{name: "taint", verb: "taint", usage: "taint NODE KEY[=VALUE]:EFFECT [--cluster C]", pos: []string{"target", "taint"}},
		[]string{entity.Node}, func(a taintArgs) object { return a.object },
		func(a taintArgs, c *command.Command) error { return c.SetMark(a.Taint) })
}

func untaintTool(e *engine.Engine) (Tool, error) {
	return verb(e, shape{name: "untaint", verb: "untaint", usage: "untaint NODE KEY[:EFFECT] [--cluster C]", pos: []string{"target", "taint"}},
		[]string{entity.Node}, func(a taintArgs) object { return a.object },
		func(a taintArgs, c *command.Command) error { return c.SetMark(a.Taint) })
}

type labelArgs struct {
	object
	Label string `json:"label" jsonschema:"the label as KEY=VALUE, or KEY- to remove it"`
}

// marked are the kinds whose labels and annotations can be set, the likeliest first.
var marked = []string{
	entity.Deployment, entity.StatefulSet, entity.DaemonSet, entity.CronJob, entity.Job, entity.Service, entity.Node, entity.Pod, "Namespace",
}

func labelTool(e *engine.Engine) (Tool, error) {
	return verb(e, shape{name: "label", verb: "label", usage: "label TARGET KEY=VALUE|KEY- [-n NAMESPACE] [--cluster C]", pos: []string{"target", "label"}},
		marked, func(a labelArgs) object { return a.object },
		func(a labelArgs, c *command.Command) error { return c.SetMark(a.Label) })
}

type annotateArgs struct {
	object
	Annotation string `json:"annotation" jsonschema:"the annotation as KEY=VALUE, or KEY- to remove it"`
}

func annotateTool(e *engine.Engine) (Tool, error) {
	return verb(e, shape{name: "annotate", verb: "annotate", usage: "annotate TARGET KEY=VALUE|KEY- [-n NAMESPACE] [--cluster C]", pos: []string{"target", "annotation…"}},
		marked, func(a annotateArgs) object { return a.object },
		func(a annotateArgs, c *command.Command) error { return c.SetMark(a.Annotation) })
}

type allArgs struct {
	Kind      string `json:"kind" jsonschema:"kind of the workloads: deployments, statefulsets or daemonsets"`
	Selector  string `json:"selector" jsonschema:"label selector, such as app=cart"`
	Namespace string `json:"namespace" jsonschema:"namespace; one, and it must be named"`
	Cluster   string `json:"cluster,omitempty" jsonschema:"cluster id"`
}

type scaleAllArgs struct {
	allArgs
	Replicas int32 `json:"replicas" jsonschema:"how many replicas each shall have"`
}

func restartAllTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "restart_all", verb: "restart-all", usage: "restart-all KIND -l SELECTOR -n NAMESPACE [--cluster C]", pos: []string{"kind"}, role: people.Operator, write: true}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a allArgs) (*Result, error) {
		return proposeAll(ctx, e, caller, a, command.Command{Verb: command.RolloutRestart})
	}))
}

func scaleAllTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "scale_all", verb: "scale-all", usage: "scale-all KIND REPLICAS -l SELECTOR -n NAMESPACE [--cluster C]", pos: []string{"kind", "replicas"}, role: people.Operator, write: true}
	return define(s, asking(s.name, func(ctx context.Context, caller Caller, a scaleAllArgs) (*Result, error) {
		return proposeAll(ctx, e, caller, a.allArgs, command.Command{Verb: command.Scale, Replicas: a.Replicas})
	}))
}

// proposeAll proposes one command for all objects that a selector matches now; the engine pins and shows each of them.
func proposeAll(ctx context.Context, e *engine.Engine, caller Caller, a allArgs, c command.Command) (*Result, error) {
	p := phrase.For(caller.Lang)
	kind, ok := entity.ParseKind(a.Kind)
	if !ok {
		return nil, &Problem{Sentence: p.Sprintf("%q is no kind that I know.", a.Kind), Remedy: p.Sprintf("Such as pods, deployments, nodes, services, events, cm, pvc, hpa.")}
	}
	view, err := clusterOf(e, caller, a.Cluster)
	if err != nil {
		return nil, err
	}
	c.Target = entity.Ref{Cluster: view.ID(), Kind: kind, Namespace: a.Namespace}
	if err := c.Select(a.Selector); err != nil {
		return nil, err
	}
	return propose(ctx, e, caller, c, "")
}

type undoArgs struct {
	ID string `json:"id,omitempty" jsonschema:"id of the proposal to take back; the newest of the caller's when left out"`
}

// undoable is for how long "undo" alone still means the last change; after that it must be said which.
const undoable = 24 * time.Hour

// undoTool proposes the inverse of a finished command. It is by hand: nothing that a model read may bring it up.
func undoTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "undo", verb: "undo", usage: "undo", pos: []string{"id"}, role: people.Operator, write: true, hand: true}
	return define(s, func(ctx context.Context, caller Caller, a undoArgs) (*Result, error) {
		p := phrase.For(caller.Lang)
		id := a.ID
		if id == "" {
			last, err := e.Proposals(ctx, command.Filter{Cluster: caller.Cluster, Limit: 100})
			if err != nil {
				return nil, err
			}
			for _, x := range last {
				if x.Undoable() && e.People.Same(x.By, caller.Person) && e.Now().Sub(x.EndedAt) < undoable {
					id = x.ID
					break
				}
			}
			if id == "" {
				return nil, &Problem{Sentence: p.Sprintf("I find no change of yours of the last day that can be taken back."), Remedy: p.Sprintf("A finished card that can be undone has a button for it.")}
			}
		}
		x, err := e.Desk.Undo(ctx, id, caller.Person, caller.Question)
		if err != nil {
			return nil, err
		}
		return proposed(e, caller, x), nil
	})
}
