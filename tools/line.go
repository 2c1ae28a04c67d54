package tools

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/bukahou/atlhyper/engine/entity"
)

// short flags, as kubectl has them.
var shortFlags = map[string]string{"n": "namespace", "c": "container", "p": "previous", "l": "selector"}

// sentence are words that make a sentence of what begins with a verb: "logs of payments" asks for the logs of payments
// and not of "of", and "fix it" names nothing.
var sentence = []string{
	"of", "for", "from", "in", "on", "at", "with", "about", "to", "is", "are", "was", "did", "does", "it", "this", "that", "these", "those",
	"the", "a", "an", "my", "our", "me", "us", "all", "any", "every", "please", "what", "which", "why", "how", "when", "and", "or", "not",
}

// positional is implemented by every typed tool.
type positional interface{ positions() []string }

func (t *typed[A]) positions() []string { return t.pos }

// ParseLine reads a command line such as "logs payments -n shop --tail 50" into a call. ok is false when the first
// word is no tool's verb: then the text is a question, not a command. A line that lacks something comes with its error and
// with the call as far as it goes.
func (r *Registry) ParseLine(line string) (tool string, args json.RawMessage, ok bool, err error) {
	if m := quotes.FindStringSubmatch(line); m != nil {
		spec := r.byName[ExplainText].Spec()
		if m[1] == "" {
			return spec.Name, nil, true, &Problem{Sentence: fmt.Sprintf("%s needs %s.", spec.Verb, "TEXT"), Remedy: "Usage: /atl " + spec.Usage}
		}
		args, err = json.Marshal(map[string]string{"text": m[1]})
		return spec.Name, args, true, err
	}
	words, err := split(line)
	if err != nil {
		words = strings.Fields(line) // an apostrophe, as in "what's wrong", or a quote that was forgotten
	}
	if len(words) == 0 {
		return "", nil, false, nil
	}
	t := r.byVerb[strings.ToLower(words[0])]
	if len(words) > 1 { // "slo set": a verb of two words
		if two := r.byVerb[strings.ToLower(words[0]+" "+words[1])]; two != nil {
			t, words = two, words[1:]
		}
	}
	if t == nil || len(words) > 1 && slices.Contains(sentence, strings.ToLower(words[1])) && !r.named(words[1]) {
		return "", nil, false, nil
	}
	if len(words) > 1 && r.named(words[0]) && !strings.HasPrefix(words[1], "-") && !r.named(words[1]) {
		return "", nil, false, nil // a service whose name is a verb: "search is slow"
	}
	spec := t.Spec()
	var schema jsonschema.Schema
	if err := json.Unmarshal(spec.Schema, &schema); err != nil {
		return "", nil, true, fmt.Errorf("tool %s: %w", spec.Name, err)
	}
	pos := t.(positional).positions()
	out := map[string]any{}
	words = words[1:]
	if len(pos) == 1 && strings.HasSuffix(pos[0], "…") { // the whole rest is the argument, flags and all
		_, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if rest = strings.TrimSpace(rest); rest != "" {
			out[strings.TrimSuffix(pos[0], "…")] = rest
		}
		words = nil
	}
	for i := 0; i < len(words); i++ {
		w := words[i]
		if !strings.HasPrefix(w, "-") || w == "-" {
			if len(pos) == 0 {
				return "", nil, true, &Problem{Sentence: fmt.Sprintf("%q is one word too many.", w), Remedy: "Usage: /atl " + spec.Usage}
			}
			if strings.EqualFold(w, "with") && len(out) > 0 && i+1 < len(words) && strings.Contains(words[i+1], "=") { // "label payments with team=shop"
				continue
			}
			name, rest := strings.CutSuffix(pos[0], "…")
			if number, word, either := strings.Cut(name, "|"); either { // "rollback payments 17", "rollback payments v2.3.1"
				if name = number; strings.Trim(w, "0123456789") != "" {
					name = word
				}
			}
			switch {
			case rest: // up to the first flag
				n := slices.IndexFunc(words[i:], func(s string) bool { return len(s) > 1 && s[0] == '-' })
				if n < 0 {
					n = len(words) - i
				}
				w, i = strings.Join(words[i:i+n], " "), i+n-1
			case name == "target" && i+1 < len(words) && !strings.HasPrefix(words[i+1], "-"): // "deployment payments", as kubectl has it
				if _, isKind := entity.ParseKind(w); isKind && !r.named(w) {
					i++
					w += "/" + words[i]
				}
			case strings.EqualFold(w, "to") && i+1 < len(words) && len(out) > 0: // "scale payments to 5"
				continue
			}
			pos = pos[1:]
			if err := set(out, &schema, name, w); err != nil {
				return "", nil, true, usage(err, spec)
			}
			continue
		}
		name, value, given := strings.Cut(strings.TrimLeft(w, "-"), "=")
		if !strings.HasPrefix(w, "--") && shortFlags[name] != "" {
			name = shortFlags[name]
		}
		name = strings.ReplaceAll(name, "-", "_")
		prop := schema.Properties[name]
		if prop == nil {
			return "", nil, true, &Problem{Sentence: fmt.Sprintf("%s has no flag %s.", spec.Verb, w), Remedy: "Usage: /atl " + spec.Usage}
		}
		if !given {
			switch {
			case is(prop, "boolean"):
				value = "true"
			case i+1 < len(words):
				i++
				value = words[i]
			default:
				return "", nil, true, &Problem{Sentence: fmt.Sprintf("%s needs a value.", w), Remedy: "Usage: /atl " + spec.Usage}
			}
		}
		if err := set(out, &schema, name, value); err != nil {
			return "", nil, true, usage(err, spec)
		}
	}
	for _, need := range schema.Required {
		if _, given := out[need]; !given {
			partly, _ := json.Marshal(out) // strings, numbers and booleans
			return spec.Name, partly, true, &Problem{Sentence: fmt.Sprintf("%s needs %s.", spec.Verb, strings.ToUpper(need)), Remedy: "Usage: /atl " + spec.Usage}
		}
	}
	args, err = json.Marshal(out)
	return spec.Name, args, true, err
}

// named says whether something that people ask about has this very name, in any cluster.
func (r *Registry) named(name string) bool { return named(r.engine, Caller{}, name) }

// split takes a line apart at spaces, except within quotes, which are dropped.
func split(line string) ([]string, error) {
	var words []string
	var b strings.Builder
	quote, open := rune(0), false
	for _, c := range line {
		switch {
		case quote != 0 && c == quote:
			quote = 0
		case quote == 0 && (c == '"' || c == '\''):
			quote, open = c, true
		case quote == 0 && unicode.IsSpace(c):
			if open {
				words = append(words, b.String())
				b.Reset()
				open = false
			}
		default:
			b.WriteRune(c)
			open = true
		}
	}
	if quote != 0 {
		return nil, fmt.Errorf("the quote %c is not closed", quote)
	}
	if open {
		words = append(words, b.String())
	}
	return words, nil
}

func usage(err error, s Spec) error {
	return &Problem{Sentence: err.Error(), Remedy: "Usage: /atl " + s.Usage}
}

func is(s *jsonschema.Schema, t string) bool { return s.Type == t || slices.Contains(s.Types, t) }

func set(out map[string]any, schema *jsonschema.Schema, name, value string) error {
	prop := schema.Properties[name]
	if prop == nil {
		return fmt.Errorf("no argument is named %s", name)
	}
	switch {
	case is(prop, "integer"):
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			return fmt.Errorf("%s must be a whole number, and %q is none", name, value)
		}
		out[name] = n
	case is(prop, "boolean"):
		b, err := strconv.ParseBool(value)
		if err != nil {
			return fmt.Errorf("%s must be true or false, and %q is neither", name, value)
		}
		out[name] = b
	default:
		out[name] = value
	}
	return nil
}
