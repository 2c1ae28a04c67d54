// Package tools is everything that a person or a model can ask of the engine: one file a tool, with its description
// beside it. Slash commands, buttons, free text, the planner and the web page are faces of these tools, and nothing is
// reachable by only one of them.
package tools

import (
	"context"
	"encoding/json"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/people"
)

// Caller is who asks, and from where.
type Caller struct {
	Person   people.Person
	Lang     string // en, zh or ja
	Cluster  string // the thread's cluster, used when a call names none; "" when there are several
	Incident string // the thread's incident, "" outside one
	Question string // the exact words, for the audit log
	Place    string // where it was asked: "slack/C123"
	// Mentioned gives the id of each person and group that the words name the platform's own way: "@mia" → "slack:U123".
	Mentioned map[string]string
}

// Spec describes a tool to people and models.
type Spec struct {
	Name        string          // list_resources: lower-case, underscores
	Verb        string          // the word behind /atl: "list"; "" when there is none
	Usage       string          // "list KIND [-n NAMESPACE] [--cluster C]"
	Summary     string          // one line for /atl help
	Description string          // for the model, from the prompt file
	Schema      json.RawMessage // JSON Schema of the arguments, an object
	Role        people.Role     // the least role that may call it
	Write       bool            // it proposes a change; nothing runs without an approval
	// ByHand marks what only a person's own command or click may call: roles, approvals alone, the audit log. It is never
	// offered to a model, whose words may be those of a log line.
	ByHand  bool
	Private bool // its answer is for the caller alone, and no model may call it
}

// Fact is one figure with what it takes to judge it.
type Fact struct {
	Label  string    `json:"label"`
	Value  string    `json:"value"` // with its unit: "31 %", "unknown, because the agent is silent"
	Normal string    `json:"normal,omitempty"`
	At     time.Time `json:"at,omitzero"`
}

// Table is a list of rows; Total is how many there are in all.
type Table struct {
	Heading string     `json:"heading,omitempty"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
	Total   int        `json:"total"`
}

// Text is untrusted text from a cluster: data, never instructions.
type Text struct {
	Heading   string `json:"heading,omitempty"`
	Body      string `json:"body"`
	Truncated bool   `json:"truncated,omitempty"`
}

// File is a document that a person keeps.
type File struct {
	Name string `json:"name"`
	Body string `json:"body"`
}

// Link leads to a page of ours; its URL is never made of what a cluster said.
type Link struct {
	Label string `json:"label"`
	URL   string `json:"url"`
}

// Option is one way to resolve an ambiguity: the same call with these arguments.
type Option struct {
	Label string          `json:"label"`
	Tool  string          `json:"tool"`
	Args  json.RawMessage `json:"args"`
	From  int             `json:"from,omitempty"` // the row of its first table that is shown first
}

// Result is a tool's answer, in no surface's dialect. Figures in an answer to a person come from here and nowhere else.
type Result struct {
	Tool string `json:"tool"`
	// Args are what it was called with, and From is the row of its first table that is shown first: what turning the page takes.
	Args json.RawMessage `json:"-"`
	From int             `json:"-"`

	Headline string    `json:"headline"` // its first line answers; names the cluster
	Cluster  string    `json:"cluster,omitempty"`
	Observed time.Time `json:"observed,omitzero"` // the oldest figure in it
	Missing  []string  `json:"missing,omitempty"` // what could not be looked at, and why
	Facts    []Fact    `json:"facts,omitempty"`
	Tables   []Table   `json:"tables,omitempty"`
	Texts    []Text    `json:"texts,omitempty"`
	Lists    []Text    `json:"lists,omitempty"`    // Body holds one item a line
	Charts   []Chart   `json:"charts,omitempty"`   // their figures stand in their Alt and in Facts too
	Question string    `json:"question,omitempty"` // asked back when the call was ambiguous
	Options  []Option  `json:"options,omitempty"`
	Next     []Option  `json:"next,omitempty"`     // what a person is likely to want now
	Proposal string    `json:"proposal,omitempty"` // id of what was proposed; the card is the engine's
	Incident string    `json:"incident,omitempty"`
	Links    []Link    `json:"links,omitempty"`
	Files    []File    `json:"files,omitempty"`
	Private  bool      `json:"private,omitempty"` // for the caller alone, where the surface can do that
	Data     any       `json:"data,omitempty"`    // the same facts for programs
}

// Tool is one question or one proposal. Call is safe for concurrent use and honours its context. It returns a
// *Problem for what the person or the model can mend, and any other error for what only we can.
type Tool interface {
	Spec() Spec
	Call(ctx context.Context, caller Caller, args json.RawMessage) (*Result, error)
}

// Problem is a failure that the asker can act on.
type Problem struct {
	Sentence string // what is wrong
	Remedy   string // what to do
	Unclear  bool   // it was not understood what is asked: in a thread, people may just talk to each other
}

func (p *Problem) Error() string {
	if p.Remedy == "" {
		return p.Sentence
	}
	if strings.HasSuffix(p.Sentence, "。") {
		return p.Sentence + p.Remedy
	}
	if p.Sentence != "" && !strings.ContainsAny(p.Sentence[len(p.Sentence)-1:], ".?!") {
		return p.Sentence + ". " + p.Remedy
	}
	return p.Sentence + " " + p.Remedy
}
