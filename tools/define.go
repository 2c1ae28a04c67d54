package tools

import (
	"bytes"
	"context"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/bukahou/atlhyper/engine/people"
)

// Each tool's words stand in prompts/NAME.md: the first line is for people (/atl help), the whole is for the model.
//
//go:embed prompts/*.md
var prompts embed.FS

// shape is what the Go side of a tool says of itself.
type shape struct {
	name  string
	verb  string
	usage string
	pos   []string // argument names that stand without a flag, in order; the last takes the rest of the line when it ends in "…"
	role  people.Role
	write bool
	hand  bool // see Spec.ByHand

	private bool
}

// typed is a tool whose arguments are decoded into A after the schema inferred from A has accepted them.
type typed[A any] struct {
	spec   Spec
	pos    []string
	schema *jsonschema.Resolved
	run    func(ctx context.Context, caller Caller, args A) (*Result, error)
}

func define[A any](s shape, run func(context.Context, Caller, A) (*Result, error)) (Tool, error) {
	text, err := prompts.ReadFile("prompts/" + s.name + ".md")
	if err != nil {
		return nil, fmt.Errorf("tool %s: %w", s.name, err)
	}
	schema, err := jsonschema.For[A](nil)
	if err != nil {
		return nil, fmt.Errorf("tool %s: schema: %w", s.name, err)
	}
	resolved, err := schema.Resolve(nil)
	if err != nil {
		return nil, fmt.Errorf("tool %s: schema: %w", s.name, err)
	}
	raw, err := json.Marshal(schema)
	if err != nil {
		return nil, fmt.Errorf("tool %s: schema: %w", s.name, err)
	}
	summary, _, _ := strings.Cut(string(text), "\n")
	role := s.role
	if role == people.Nobody {
		role = people.Viewer
	}
	return &typed[A]{
		spec: Spec{
			Name: s.name, Verb: s.verb, Usage: s.usage, Summary: summary,
			Description: strings.TrimSpace(string(text)), Schema: raw, Role: role, Write: s.write, ByHand: s.hand, Private: s.private,
		},
		pos: s.pos, schema: resolved, run: run,
	}, nil
}

// Spec implements Tool.
func (t *typed[A]) Spec() Spec { return t.spec }

// Call implements Tool.
func (t *typed[A]) Call(ctx context.Context, caller Caller, raw json.RawMessage) (*Result, error) {
	if len(bytes.TrimSpace(raw)) == 0 {
		raw = json.RawMessage("{}")
	}
	var loose any
	if err := json.Unmarshal(raw, &loose); err != nil {
		return nil, &Problem{Sentence: fmt.Sprintf("The arguments of %s are not JSON: %v.", t.spec.Name, err)}
	}
	if err := t.schema.Validate(loose); err != nil {
		return nil, &Problem{Sentence: fmt.Sprintf("The arguments of %s do not fit: %s.", t.spec.Name, plain(err)), Remedy: "Usage: " + t.spec.Usage}
	}
	var args A
	if err := json.Unmarshal(raw, &args); err != nil {
		return nil, &Problem{Sentence: fmt.Sprintf("The arguments of %s do not fit: %v.", t.spec.Name, err), Remedy: "Usage: " + t.spec.Usage}
	}
	return t.run(ctx, caller, args)
}

// plain takes the innermost message of a schema error: the path through the schema's own tree helps nobody.
func plain(err error) string {
	whole := err.Error()
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			break
		}
		err = inner
	}
	s := err.Error()
	if i := strings.LastIndex(s, "validating "); i >= 0 {
		if _, rest, ok := strings.Cut(s[i:], ": "); ok {
			s = rest
		}
	}
	if _, argument, ok := strings.Cut(whole, "/properties/"); ok { // which argument it is about
		argument, _, _ = strings.Cut(argument, ":")
		s = argument + ": " + strings.TrimPrefix(s, "type: ")
	}
	return strings.TrimSuffix(s, ".")
}
