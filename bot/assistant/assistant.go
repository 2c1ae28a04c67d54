// Package assistant answers free text. A Talker puts the question to a model together with the tools that the asker's
// role allows, runs the tools that the model asks for, and hands back the model's words beside the tools' results. A
// Fallback does the same and turns to the planner, which needs no model, when the model fails.
//
// Three things hold whatever the model says. It never changes a cluster: a write tool only proposes, a proposal ends the
// turn, and the card that a person approves is built by the engine. It never names the target of a change: that name
// stands in the person's own words or belongs to the thread's incident. And a figure that it gives and that no tool gave
// is reported as unverified.
package assistant

import (
	"context"
	"encoding/json"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/tools"
)

// Toolbox is what may be asked of the engine; tools.Registry is one. Both methods are safe for concurrent use and apply
// the caller's role, so that a tool which is not listed for a caller cannot be called by them either.
type Toolbox interface {
	Tools(caller tools.Caller) []tools.Spec
	Call(ctx context.Context, caller tools.Caller, name string, args json.RawMessage) (*tools.Result, error)
}

// Request is one question of one person.
type Request struct {
	Text    string
	Caller  tools.Caller
	History []Turn // the thread so far, oldest first, without Text
	// Context holds what the engine knows of the thread's incident. The model gets it as data.
	Context string
	// Targets are the root cause and the affected entities of the thread's incident: beside what the person names, the
	// only things that a proposal may be about.
	Targets []entity.Ref
	Now     time.Time
	// Thread names the thread across surfaces and channels, "" outside one. Budgets are counted by it.
	Thread string
	// Stream, if set, gets the whole text so far each time some arrives. It starts over when the model looks something up,
	// and gets "" when what it showed is withdrawn. It is called from the goroutine that called Answer.
	Stream func(text string)
}

// Turn is one message of a thread: a person's words, or the bot's.
type Turn struct {
	Person bool
	Text   string
	// By is the id of the person. Others in the thread may be read, but only the asker's own words ground a change.
	By string `json:",omitempty"`
}

// Call is one use of a tool. Result is nil when Err is set.
type Call struct {
	Tool   string
	Args   json.RawMessage
	Result *tools.Result
	Err    string // why there is no result, as the model was told
	Took   time.Duration
}

// Answer is what a person is shown. The surface renders Results; Text stands above them.
type Answer struct {
	Text     string          // Markdown by the model; empty when the planner answered, and when a proposal ended the turn
	Results  []*tools.Result // of Calls, in their order
	Calls    []Call
	By       string // the model's name, or "planner"
	Degraded string // one sentence why the planner answered, "" otherwise
	Proposal string // id of the change that was proposed; its card is the engine's
	// Unverified are the figures in Text that occur in no tool result and not in the person's words.
	Unverified []string
	// Cited says of the other figures which call gave each.
	Cited []Citation
	// Notes are sentences that the person must see besides: what was left out or cut short.
	Notes []string
}

// Citation is a figure of a text and the call that gave it.
type Citation struct {
	Figure string // as it stands in the text: "31 %"
	Call   int    // index into Answer.Calls, the first whose result holds it
}

// Progress is told what is being done, in a few words of the caller's language. It may be nil.
type Progress func(step string)

// Answerer answers a question. It is safe for concurrent use.
type Answerer interface {
	Answer(ctx context.Context, req Request, progress Progress) (*Answer, error)
}
