package geminifake

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"sync"
	"text/template"
	"time"
)

// Brain decides what the model says next. It is called by one goroutine at a time.
type Brain func(Turn) Reply

// Turn is what the model sees.
type Turn struct {
	System   string
	Tools    []string // names of the declared tools, in order
	NoTools  bool     // tools are declared and may not be called
	Question string   // the newest words of a person
	Step     int      // how many rounds of calls were made since Question
	Results  []Result // what the tools gave since Question, oldest first
	Thinking string   // the thinking level that was asked for
}

// Result is what one tool gave. Output is the decoded "output" of the response, Error its "error".
type Result struct {
	Name   string
	Output any
	Error  string
}

// Reply is what the model says, or how it fails.
type Reply struct {
	Thought string   // shown to nobody: a client must drop it
	Text    []string // each element comes in a chunk of its own when streamed
	Calls   []Call   // with at least two, they are parallel and only the first is signed
	// SignLast puts the signature into a last part of its own that holds nothing else.
	SignLast bool
	Finish   string // the finish reason, STOP when empty
	Block    string // the prompt is blocked for this reason, and there is no candidate
	Nothing  bool   // no candidate at all

	Fault    Fault
	Hang     bool // nothing more comes, until the client leaves; at once, or after CutAfter chunks
	CutAfter int  // the stream breaks in the middle of the chunk after so many
	CutClean bool // it ends between two chunks instead, without a finish reason
}

// Call is one tool call. Args may be anything that JSON can hold, to play a model that writes nonsense.
type Call struct {
	Name string
	Args any
}

// Fault is an HTTP error; Status 0 is none.
type Fault struct {
	Status     int
	Message    string
	Reason     string        // of an ErrorInfo detail
	RetryAfter time.Duration // of a RetryInfo detail
}

// Script says the replies one after the other, and then repeats the last.
func Script(replies ...Reply) Brain {
	var mu sync.Mutex
	next := 0
	return func(Turn) Reply {
		mu.Lock()
		defer mu.Unlock()
		r := replies[min(next, len(replies)-1)]
		next++
		return r
	}
}

// Rule says what to do with a question that fits When. Each round of Calls is made in turn; then Answer is rendered with
// text/template over the Turn, in which {{output "tool" "key"}} reads a key of the newest output of a tool. String
// arguments may refer to groups of When as $1 or ${name}.
type Rule struct {
	When   string // a regular expression; case does not matter
	Calls  [][]Call
	Answer string
}

// Rules answers with the first rule that fits. A question that fits none is answered with a sentence that says so.
func Rules(rules ...Rule) (Brain, error) {
	type compiled struct {
		Rule
		when *regexp.Regexp
	}
	var all []compiled
	for _, r := range rules {
		when, err := regexp.Compile("(?is)" + r.When)
		if err != nil {
			return nil, fmt.Errorf("rule %q: %w", r.When, err)
		}
		if _, err := template.New("").Funcs(template.FuncMap{"output": func(string, string) any { return nil }}).Parse(r.Answer); err != nil {
			return nil, fmt.Errorf("rule %q: %w", r.When, err)
		}
		all = append(all, compiled{r, when})
	}
	return func(t Turn) Reply {
		for _, r := range all {
			at := r.when.FindStringSubmatchIndex(t.Question)
			if at == nil {
				continue
			}
			if t.Step < len(r.Calls) && !t.NoTools {
				reply := Reply{Thought: "I should look this up."}
				for _, c := range r.Calls[t.Step] {
					c.Args = expand(r.when, t.Question, at, c.Args)
					reply.Calls = append(reply.Calls, c)
				}
				return reply
			}
			text, err := t.render(r.Answer)
			if err != nil {
				text = "The rule's answer cannot be rendered: " + err.Error()
			}
			return Reply{Thought: "Now I can answer.", Text: halves(text), SignLast: true}
		}
		return Reply{Text: []string{"I have no rule for this question."}}
	}, nil
}

// expand fills the groups of a match into string arguments.
func expand(when *regexp.Regexp, question string, at []int, args any) any {
	m, ok := args.(map[string]any)
	if !ok {
		return args
	}
	m = maps.Clone(m)
	for k, v := range m {
		if s, ok := v.(string); ok {
			m[k] = string(when.ExpandString(nil, s, question, at))
		}
	}
	return m
}

func (t Turn) render(answer string) (string, error) {
	tmpl, err := template.New("answer").Funcs(template.FuncMap{"output": t.output}).Parse(answer)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	err = tmpl.Execute(&b, t)
	return b.String(), err
}

func (t Turn) output(tool, key string) any {
	for i := len(t.Results) - 1; i >= 0; i-- {
		if m, ok := t.Results[i].Output.(map[string]any); ok && t.Results[i].Name == tool {
			return m[key]
		}
	}
	return "nothing from " + tool
}

// halves splits a text into two chunks, so that what streams it has something to join.
func halves(s string) []string {
	r := []rune(s)
	if len(r) < 2 {
		return []string{s}
	}
	return []string{string(r[:len(r)/2]), string(r[len(r)/2:])}
}
