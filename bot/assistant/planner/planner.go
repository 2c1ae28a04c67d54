// Package planner answers free text without a model: it recognises what is asked, in English, Chinese and Japanese,
// finds the names in it among the things that exist, and calls the same tools. It says when it does not understand.
//
// It proposes a change only when a sentence orders one: a question, a doubt, a condition or a report about a change is
// answered with what is known instead.
package planner

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Toolbox is what the planner needs of the tools; tools.Registry is one.
type Toolbox interface {
	assistant.Toolbox
	Mentions(caller tools.Caller, text string) tools.Mention
}

// Planner implements assistant.Answerer. It keeps nothing between questions.
type Planner struct{ tools Toolbox }

// New makes a planner.
func New(t Toolbox) *Planner { return &Planner{tools: t} }

// Name is who answered.
const Name = "planner"

// step is one tool call of a plan. When the tool cannot answer, the steps of otherwise are taken in its place.
type step struct {
	tool      string
	args      map[string]any
	otherwise []step
	offer     *tools.Result // shown in place of a call
	note      string        // stands before what the tool says
}

// Answer implements assistant.Answerer. It returns a *tools.Problem when it does not understand or cannot answer.
func (p *Planner) Answer(ctx context.Context, req assistant.Request, progress assistant.Progress) (*assistant.Answer, error) {
	steps, err := p.plan(req)
	if err != nil {
		return nil, err
	}
	a := &assistant.Answer{By: Name}
	problem, err := p.run(ctx, req, progress, a, steps)
	if err != nil {
		return nil, err
	}
	if len(a.Results) == 0 {
		return nil, problem
	}
	return a, nil
}

// run calls the tools of a plan. It gives the first problem, which is the answer when nothing else is.
func (p *Planner) run(ctx context.Context, req assistant.Request, progress assistant.Progress, a *assistant.Answer, steps []step) (first *tools.Problem, err error) {
	for _, s := range steps {
		if s.offer != nil {
			a.Results = append(a.Results, s.offer)
			continue
		}
		if progress != nil {
			progress(strings.ReplaceAll(s.tool, "_", " "))
		}
		args, err := json.Marshal(s.args)
		if err != nil {
			return nil, fmt.Errorf("plan: %w", err)
		}
		begun := time.Now()
		res, err := p.tools.Call(ctx, req.Caller, s.tool, args)
		call := assistant.Call{Tool: s.tool, Args: args, Result: res, Took: time.Since(begun)}
		var problem *tools.Problem
		switch {
		case err == nil:
			if s.note != "" {
				res.Missing = append([]string{s.note}, res.Missing...)
			}
			a.Results = append(a.Results, res)
			if res.Proposal != "" {
				a.Proposal = res.Proposal
			}
		case errors.As(err, &problem):
			call.Err = err.Error()
		default:
			return nil, err
		}
		a.Calls = append(a.Calls, call)
		if problem == nil {
			continue
		}
		if first == nil {
			first = problem
		}
		if _, err := p.run(ctx, req, progress, a, s.otherwise); err != nil {
			return nil, err
		}
	}
	return first, nil
}

// plan turns a question into steps, or says what is unclear about it.
func (p *Planner) plan(req assistant.Request) ([]step, error) {
	marked, text := marks(req.Text)
	m := p.tools.Mentions(req.Caller, text)
	s := read(text, m)
	if m.Kind == "" {
		m.Kind = s.kindOf()
	}
	q := question{sentence: s, mention: m, marks: marked, req: req, say: phrase.For(req.Caller.Lang)}
	if act := s.order(); act != "" && !(act == "fix" && slices.Contains(s.all(asks), "slo")) { // an objective is proposed, not a fix
		return p.ordered(q, act)
	}
	var offer []step
	if polite, firm, ok := s.request(); ok {
		if act := polite.order(); acted[act] != nil {
			asked := q
			asked.sentence = polite
			steps, err := p.ordered(asked, act)
			if err != nil || firm {
				return steps, err
			}
			if offer, err = q.offer(steps[0]); err != nil {
				return nil, err
			}
		}
	}
	if s.chatter() && offer == nil {
		return nil, q.unclear()
	}
	wanted := q.wants()
	note := ""
	if word := candidate(m, false); m.Target == "" && offer == nil && m.Meant[word] != "" {
		q.mention.Target, q.mention.Near = m.Meant[word], nil
		_, name, _ := strings.Cut(m.Meant[word], "/")
		note = q.say.Sprintf("I read %s as %s.", word, name)
	}
	// "and in staging?" is the question before, about something else; so is a name alone behind an "and".
	if s.elliptic() && (len(wanted) == 0 || wanted[0] == "overview" || wanted[0] == "list" && m.Kind == "") && (m.Target != "" || m.Cluster != "" || m.Namespace != "" || m.Since != "") {
		if earlier := p.earlier(&q); len(earlier) > 0 {
			wanted = append(earlier, wanted...)
		} else {
			q = p.carry(q, wanted)
		}
	} else {
		q = p.carry(q, wanted)
	}
	for _, w := range append(wanted, "") {
		if steps := q.steps(w); len(steps) > 0 {
			steps = q.each(steps)
			steps[0].note = note
			return append(offer, steps...), nil
		}
	}
	if offer != nil {
		return offer, nil
	}
	if len(wanted) > 0 && !s.means(asks[0]) && candidate(m, true) == "" { // what is asked is clear, and of what is not
		note := q.say.Sprintf("There is no name in that, so this is what is wrong.")
		return []step{{tool: "explain", args: q.about(), otherwise: []step{{tool: "overview", args: q.wide(), note: note}}, note: note}}, nil
	}
	if s.means(asks[0]) {
		return nil, &tools.Problem{Sentence: q.say.Sprintf("Ask me in plain words, or with a command."), Remedy: q.examples()}
	}
	return nil, q.unclear()
}

// offer asks whether a change that somebody asked for in the form of a question shall be proposed. It proposes nothing itself.
func (q question) offer(s step) ([]step, error) {
	args, err := json.Marshal(s.args)
	if err != nil {
		return nil, fmt.Errorf("plan: %w", err)
	}
	what := strings.ReplaceAll(s.tool, "_", " ")
	if target, named := s.args["target"].(string); named {
		what += " " + target
	}
	for _, k := range slices.Sorted(maps.Keys(s.args)) {
		if k != "target" && k != "cluster" {
			what += fmt.Sprintf(" · %s %v", k, s.args[k])
		}
	}
	ask := q.say.Sprintf("Shall I propose it: %s?", what)
	return []step{{offer: &tools.Result{Headline: ask, Question: ask, Options: []tools.Option{{Label: q.say.Sprintf("Propose it"), Tool: s.tool, Args: args}}}}}, nil
}

// ordered plans a change. Its target stands in the order, or the order leans on the thread.
func (p *Planner) ordered(q question, act string) ([]step, error) {
	switch act {
	case "acknowledge", "fix":
		tool := map[string]string{"acknowledge": "acknowledge", "fix": "suggest_fix"}[act]
		return []step{{tool: tool, args: q.about()}}, nil
	case "silence":
		args := q.about()
		if q.mention.Since != "" {
			args["for"] = q.mention.Since
		}
		return []step{{tool: "silence", args: args}}, nil
	}
	if tool, ok := q.refusal(act); ok {
		return []step{tool}, nil
	}
	q.orders = true
	if steps, ok, err := q.bulk(act); ok {
		return steps, err
	}
	targets := q.targets(act)
	if len(targets) == 0 {
		if w := q.object(); w != "" {
			targets = []string{w} // the tool says that there is none, and which it could be
		} else if q = p.carry(q, []string{act}); q.mention.Target != "" {
			targets = q.targets(act)
		}
	}
	if len(targets) > 1 {
		return nil, &tools.Problem{Sentence: q.say.Sprintf("That names several things: %s.", strings.Join(targets, ", ")), Remedy: q.say.Sprintf("One change at a time: name one of them.")}
	}
	if len(targets) == 0 {
		return nil, &tools.Problem{Sentence: q.say.Sprintf("A name is needed for a change."), Remedy: q.say.Sprintf("Such as: restart payments · scale payments to 3 · roll back payments · cordon worker-1.")}
	}
	args := q.with("target", targets[0])
	tool := act
	switch act {
	case "restart":
		tool = "rollout_restart"
	case "scale":
		n, ok := q.number()
		ok = ok && !q.relative()
		if !ok {
			return nil, &tools.Problem{Sentence: q.say.Sprintf("To how many replicas?"), Remedy: q.say.Sprintf("Such as: scale %s to 3.", targets[0])}
		}
		args["replicas"] = n
	case "rollback":
		switch n, ok := q.number(); {
		case len(q.versions()) == 1:
			args["version"] = q.versions()[0]
		case ok:
			args["revision"] = n
		case len(q.mention.Numbers) > 0:
			return nil, &tools.Problem{Sentence: q.say.Sprintf("To which revision?"), Remedy: q.say.Sprintf("Such as: roll back %s to revision 17.", targets[0])}
		}
	case "taint", "untaint", "label", "unlabel", "annotate", "unannotate":
		var err error
		if tool, err = q.marking(act, targets[0], args); err != nil {
			return nil, err
		}
	case "delete_pod": // "the cart pod on worker-1"
		if node := q.node(); node != "" && !strings.HasPrefix(targets[0], "node/") {
			args["node"] = node
		}
	case "drain":
		if emptied.MatchString(strings.ToLower(q.req.Text)) {
			args["delete_emptydir_data"] = true
		}
	case "set_image":
		if q.mention.Image == "" {
			return nil, &tools.Problem{Sentence: q.say.Sprintf("To which image?"), Remedy: q.say.Sprintf("Such as: set the image of %s to shop/cart:v2.", targets[0])}
		}
		args["image"] = q.mention.Image
	}
	return []step{{tool: tool, args: args}}, nil
}

// carry takes what a question leaves out from the person's newest earlier message in this thread that names something,
// else from the thread's incident.
func (p *Planner) carry(q question, wanted []string) question {
	if q.mention.Target != "" || !q.leans(wanted) {
		return q
	}
	caller := q.req.Caller
	if q.mention.Cluster != "" {
		caller.Cluster = q.mention.Cluster // the same name, in the cluster that is asked about now
	}
	for i := len(q.req.History) - 1; i >= 0; i-- {
		t := q.req.History[i]
		if !t.Person || q.orders && t.By != caller.Person.ID { // what another wrote is read, and orders nothing
			continue
		}
		before := p.tools.Mentions(caller, t.Text)
		if before.Target == "" {
			continue
		}
		q.mention.Target, q.mention.Others = before.Target, nil
		if q.mention.Namespace == "" && q.mention.Cluster == "" {
			q.mention.Namespace, q.mention.Cluster = before.Namespace, before.Cluster
		}
		return q
	}
	if len(q.req.Targets) > 0 && !q.req.Targets[0].IsZero() && q.mention.Cluster == "" && q.mention.Namespace == "" {
		cause := q.req.Targets[0]
		q.mention.Target, q.mention.Namespace, q.mention.Cluster = cause.Short(), cause.Namespace, cause.Cluster
	}
	return q
}

// earlier gives what the person's newest earlier question in this thread was about, and fills in what it named and q
// does not. A change is never repeated so: an order must be given in its own words.
func (p *Planner) earlier(q *question) []string {
	caller, m := q.req.Caller, &q.mention
	elsewhere := m.Cluster != "" || m.Namespace != ""
	if m.Cluster != "" {
		caller.Cluster = m.Cluster
	}
	for i := len(q.req.History) - 1; i >= 0; i-- {
		t := q.req.History[i]
		if !t.Person {
			continue
		}
		before := p.tools.Mentions(caller, t.Text)
		s := read(t.Text, before)
		if s.order() != "" {
			return nil
		}
		wanted := s.all(asks)
		if m.Target == "" {
			m.Target = before.Target
			if !elsewhere {
				m.Namespace, m.Cluster = before.Namespace, before.Cluster
			}
		}
		if len(wanted) > 0 {
			m.Kind, m.Since = cmp.Or(m.Kind, before.Kind), cmp.Or(m.Since, before.Since)
			return wanted
		}
	}
	return nil
}
