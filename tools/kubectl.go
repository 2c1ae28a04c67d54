package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/people"
)

// runKubectl does what parsed kubectl text means: a write is proposed like any other, a read goes to the tool that a
// verb of ours would have called.
func (r *Registry) runKubectl(ctx context.Context, caller Caller, p command.Parsed, cluster string) (*Result, error) {
	if p.Command != nil {
		return proposeKubectl(ctx, r.engine, caller, *p.Command, cluster)
	}
	q := p.Read
	args := map[string]any{}
	put := func(key, value string) {
		if value != "" {
			args[key] = value
		}
	}
	put("cluster", cluster)
	put("namespace", q.Namespace)
	target := ""
	if q.Name != "" {
		target = q.Kind + "/" + q.Name
	}
	tool := ""
	switch q.Verb {
	case "get":
		tool = "list_resources"
		put("kind", q.Kind)
		put("match", q.Name)
		if q.YAML {
			tool, args = "get_resource", map[string]any{"target": target}
			put("cluster", cluster)
			put("namespace", q.Namespace)
		}
	case "top":
		tool = "top"
		put("kind", q.Kind)
	case "events":
		tool = "events"
		args["all"] = true
		put("target", target)
	case "logs":
		tool = "logs"
		put("target", target)
		put("container", q.Container)
		if q.Previous {
			args["previous"] = true
		}
		if q.Since > 0 {
			args["since"] = q.Since.String()
		}
		if q.Tail > 0 {
			args["tail"] = q.Tail
		}
	case "describe":
		tool = "describe"
		put("target", target)
	case "rollout status":
		tool = "rollout_status"
		put("target", target)
	case "rollout history":
		tool = "rollout_history"
		put("target", target)
	default:
		return nil, &Problem{Sentence: fmt.Sprintf("kubectl %s is not offered here.", q.Verb), Remedy: "Ask help for what is."}
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	return r.byName[tool].Call(ctx, caller, raw)
}

func proposeKubectl(ctx context.Context, e *engine.Engine, caller Caller, c command.Command, cluster string) (*Result, error) {
	if role := e.People.Highest(caller.Person); role < people.Operator {
		return nil, &Problem{Sentence: fmt.Sprintf("A change needs the role operator, and you are %s.", role), Remedy: "An admin can grant it."}
	}
	if c.Bulk() {
		view, err := clusterOf(e, caller, cluster)
		if err != nil {
			return nil, err
		}
		c.Target.Cluster = view.ID()
		return propose(ctx, e, caller, c, "")
	}
	view, r, err := resolve(e, caller, c.Target.Kind+"/"+c.Target.Name, c.Target.Namespace, cluster, c.Target.Kind)
	if err != nil {
		return nil, err
	}
	c.Target = view.Ref(r)
	return propose(ctx, e, caller, c, "")
}

// kubectlTool takes what a person pastes. The text is parsed into a typed command or a read, or refused with the
// reason: it never reaches a shell.
func (r *Registry) kubectlTool() (Tool, error) {
	type args struct {
		Command string `json:"command" jsonschema:"the kubectl command line, with or without the word kubectl"`
		Cluster string `json:"cluster,omitempty" jsonschema:"cluster id"`
	}
	s := shape{name: "kubectl", verb: "kubectl", usage: "kubectl COMMAND…", pos: []string{"command…"}, write: true}
	return define(s, func(ctx context.Context, caller Caller, a args) (*Result, error) {
		text := a.Command
		if len(text) < 8 || text[:8] != "kubectl " {
			text = "kubectl " + text
		}
		parsed, err := command.ParseKubectl(text)
		if err != nil {
			return nil, err
		}
		res, err := r.runKubectl(ctx, caller, parsed, a.Cluster)
		var ask *ambiguous
		if errors.As(err, &ask) {
			return r.pickCluster(ask, a.Command, placed(parsed))
		}
		return res, err
	})
}

// placed says whether a pasted command names its namespace.
func placed(p command.Parsed) bool {
	if p.Command != nil {
		return p.Command.Target.Namespace != ""
	}
	return p.Read.Namespace != "" || p.Read.AllNamespaces
}

// pickCluster asks which object a pasted command meant: the same text for each cluster and, unless it names one itself,
// each namespace.
func (r *Registry) pickCluster(ask *ambiguous, text string, placed bool) (*Result, error) {
	res := &Result{Headline: ask.question, Question: ask.question}
	for _, o := range ask.options {
		line := text
		if o.Kind != entity.Cluster && o.Namespace != "" && !placed {
			line += " -n " + o.Namespace
		}
		raw, err := json.Marshal(map[string]string{"command": line, "cluster": o.Cluster})
		if err != nil {
			return nil, err
		}
		res.Options = append(res.Options, Option{Label: o.String(), Tool: "kubectl", Args: raw})
	}
	return res, nil
}
