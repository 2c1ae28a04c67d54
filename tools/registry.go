package tools

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"unicode"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/codes"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/gateway"
	"github.com/bukahou/atlhyper/engine/people"
)

// Caps on what one result carries to a person or a model.
const (
	maxRows = 200
	maxCell = 1000
	maxText = 32 << 10
	maxFile = 256 << 10
)

// Registry holds the tools and is the one way to call them: it checks the role, caps and cleans what comes back, and
// turns the engine's refusals into sentences.
type Registry struct {
	engine *engine.Engine
	log    *slog.Logger
	tools  []Tool
	byName map[string]Tool
	byVerb map[string]Tool
}

// New makes the registry with every tool of the engine.
func New(e *engine.Engine, log *slog.Logger) (*Registry, error) {
	r := &Registry{engine: e, log: log, byName: map[string]Tool{}, byVerb: map[string]Tool{}}
	pasted := func(*engine.Engine) (Tool, error) { return r.kubectlTool() }
	for _, group := range [][]func(*engine.Engine) (Tool, error){lookTools, telemetryTools, objectiveTools, incidentTools, writeTools, roleTools, {pasted}} {
		for _, make := range group {
			t, err := make(e)
			if err != nil {
				return nil, err
			}
			if err := r.Add(t); err != nil {
				return nil, err
			}
		}
	}
	return r, nil
}

// Add takes in a tool that is not the engine's own. It is called before anybody calls a tool.
func (r *Registry) Add(t Tool) error {
	s := t.Spec()
	if r.byName[s.Name] != nil {
		return fmt.Errorf("two tools are named %s", s.Name)
	}
	r.tools = append(r.tools, t)
	r.byName[s.Name] = t
	if s.Verb != "" {
		r.byVerb[s.Verb] = t
	}
	return nil
}

// tracer makes a span of each call, where traces are wanted.
var tracer = otel.Tracer("github.com/bukahou/atlhyper/tools")

// Has says whether there is a tool of that name.
func (r *Registry) Has(name string) bool { return r.byName[name] != nil }

// Tools lists what the caller may call, in the order of the help.
func (r *Registry) Tools(caller Caller) []Spec {
	role := r.role(caller)
	var out []Spec
	for _, t := range r.tools {
		if s := t.Spec(); s.Role <= role {
			out = append(out, s)
		}
	}
	return out
}

// role is the highest that the caller has anywhere: the target's own check follows when the target is known.
func (r *Registry) role(caller Caller) people.Role { return r.engine.People.Highest(caller.Person) }

// Call runs one tool for a caller. It returns a *Problem for what the asker can mend.
func (r *Registry) Call(ctx context.Context, caller Caller, name string, args json.RawMessage) (*Result, error) {
	t := r.byName[name]
	if t == nil {
		return nil, &Problem{Sentence: fmt.Sprintf("There is no tool %q.", name), Remedy: "Ask /atl help."}
	}
	if role, need := r.role(caller), t.Spec().Role; role < need {
		return nil, &Problem{
			Sentence: fmt.Sprintf("%s needs the role %s, and you are %s.", t.Spec().Name, need, role),
			Remedy:   "An admin can grant it.",
		}
	}
	ctx, span := tracer.Start(ctx, "tool "+name)
	defer span.End()
	res, err := attempt(ctx, t, caller, args)
	if err != nil {
		span.SetStatus(codes.Error, "")
		return nil, r.explain(name, err)
	}
	res.Tool, res.Args = name, args
	tidy(res)
	return res, nil
}

// attempt is Call with a panic as an error: the model's loop calls tools in goroutines of its own, and one broken tool
// must not end the process.
func attempt(ctx context.Context, t Tool, caller Caller, args json.RawMessage) (res *Result, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v\n%s", p, debug.Stack())
		}
	}()
	return t.Call(ctx, caller, args)
}

// explain turns refusals into what a person can act on and leaves faults of ours as they are.
func (r *Registry) explain(name string, err error) error {
	var problem *Problem
	var denied *command.Denied
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.As(err, &denied):
		return &Problem{Sentence: denied.Sentence, Remedy: denied.Remedy}
	case errors.Is(err, gateway.ErrOffline):
		return &Problem{Sentence: "The cluster's agent is not connected, so it cannot be asked now.", Remedy: "What was last reported is in the other answers, with its age."}
	case errors.Is(err, context.DeadlineExceeded):
		return &Problem{Sentence: "The cluster did not answer in time.", Remedy: "Try again, or ask for less (a shorter --since, a smaller --tail)."}
	}
	r.log.Error("tool failed", "tool", name, "err", err)
	return fmt.Errorf("tool %s: %w", name, err)
}

// tidy caps a result, masks what looks like a credential and strips what could disguise text: control and
// bidirectional characters. Names, messages and logs all come from a cluster, where anybody may have written them.
func tidy(res *Result) {
	line := func(s *string) { *s = strings.Join(strings.Fields(Mask(Clean(*s))), " ") }
	line(&res.Headline)
	line(&res.Question)
	for i := range res.Missing {
		line(&res.Missing[i])
	}
	for i := range res.Facts {
		line(&res.Facts[i].Value)
		line(&res.Facts[i].Normal)
	}
	for i := range res.Options {
		line(&res.Options[i].Label)
	}
	for i := range res.Next {
		line(&res.Next[i].Label)
	}
	for i := range res.Charts {
		line(&res.Charts[i].Title)
		line(&res.Charts[i].Alt)
	}
	for i := range res.Tables {
		t := &res.Tables[i]
		t.Total = max(t.Total, len(t.Rows))
		if len(t.Rows) > maxRows {
			t.Rows = t.Rows[:maxRows]
		}
		for _, row := range t.Rows {
			for j := range row {
				line(&row[j])
				if len(row[j]) > maxCell {
					row[j] = strings.ToValidUTF8(row[j][:maxCell], "") + "…"
				}
			}
		}
	}
	for i := range res.Files {
		f := &res.Files[i]
		if f.Body = Mask(Clean(f.Body)); len(f.Body) > maxFile {
			f.Body = cut(f.Body, maxFile)
		}
	}
	for _, texts := range [][]Text{res.Texts, res.Lists} {
		for i := range texts {
			t := &texts[i]
			if t.Body = Mask(Clean(t.Body)); len(t.Body) > maxText {
				t.Body, t.Truncated = cut(t.Body, maxText), true
			}
		}
	}
}

// cut keeps the head and the tail of a long text, whole lines of it, and says what is missing between.
func cut(s string, n int) string {
	head, tail := s[:n/2], s[len(s)-n/2:]
	if i := strings.LastIndexByte(head, '\n'); i > 0 {
		head = head[:i]
	}
	if i := strings.IndexByte(tail, '\n'); i >= 0 {
		tail = tail[i+1:]
	}
	return strings.ToValidUTF8(fmt.Sprintf("%s\n… %d bytes left out …\n%s", head, len(s)-len(head)-len(tail), tail), "�")
}

// Clean drops control and bidirectional formatting characters from text that a cluster gave, keeping line ends and tabs.
func Clean(s string) string {
	bad := func(r rune) bool {
		return r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\u200b' || r == '\ufeff')
	}
	if !strings.ContainsFunc(s, bad) {
		return s
	}
	return strings.Map(func(r rune) rune {
		if bad(r) {
			return -1
		}
		return r
	}, s)
}

// Help lists the verbs that the caller may use, with their summaries.
func (r *Registry) Help(caller Caller) []Spec {
	return slices.DeleteFunc(r.Tools(caller), func(s Spec) bool { return s.Verb == "" })
}

// Lacks names the required arguments that a call does not give.
func (r *Registry) Lacks(name string, args json.RawMessage) []string {
	t := r.byName[name]
	var given map[string]any
	var schema struct {
		Required []string `json:"required"`
	}
	if t == nil || json.Unmarshal(args, &given) != nil || json.Unmarshal(t.Spec().Schema, &schema) != nil {
		return nil // the call itself says what is wrong
	}
	return slices.DeleteFunc(schema.Required, func(need string) bool { _, ok := given[need]; return ok })
}

// Verbs lists the words that begin a command, for completion.
func (r *Registry) Verbs() []string {
	var out []string
	for _, t := range r.tools {
		if v := t.Spec().Verb; v != "" {
			out = append(out, v)
		}
	}
	return out
}
