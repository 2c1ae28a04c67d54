package assistant

import (
	"context"
	"encoding/json"
	"time"

	"github.com/bukahou/atlhyper/tools"
)

// Model is a provider of a language model that can call tools. It is safe for concurrent use.
type Model interface {
	// Name is the model's, as a person may be told: "gemini-3.8-flash".
	Name() string
	// Start opens a conversation. It does not speak to the provider yet.
	Start(o Opening) (Session, error)
}

// Opening is what a conversation begins with.
type Opening struct {
	System  string
	Tools   []tools.Spec
	History []Turn // alternates and begins with a person
}

// Session is one conversation. It owns the provider's history, since that holds things that only the provider
// understands and that must go back as they came (signatures of thoughts, ids of calls). One goroutine at a time uses it.
type Session interface {
	// Send says in and waits for the reply; text is handed to onText as it arrives. When it returns an error, a reply
	// whose Finish is FinishMalformed, or one with neither text nor calls, then neither in nor the reply has become part
	// of the conversation: in may be sent again.
	// Errors are *ModelError, or the context's.
	Send(ctx context.Context, in Input, onText func(text string)) (Reply, error)
}

// Input is the person's words, or the outputs of all calls of the reply before, in their order.
type Input struct {
	Text    string
	Outputs []Output
	NoTools bool // the model must answer in words
}

// Output is what a tool gave: a JSON object, or a JSON string with what went wrong when Failed.
type Output struct {
	ID, Name string
	Content  json.RawMessage
	Failed   bool
}

// ModelCall is a tool that the model wants to be run. ID is the provider's; Args are as the model wrote them.
type ModelCall struct {
	ID, Name string
	Args     json.RawMessage
}

// Finish says how a reply ended.
type Finish int

// The ends.
const (
	FinishStop      Finish = iota + 1
	FinishLength           // cut at the provider's limit of output
	FinishMalformed        // the model called a tool in a way that could not be read
)

// Reply is one message of the model. Tokens is what the exchange cost, as the provider counts, 0 when it did not say.
type Reply struct {
	Text   string
	Calls  []ModelCall
	Finish Finish
	Tokens int
}

// ErrorKind says what kind of failure a ModelError is.
type ErrorKind int

// The kinds.
const (
	Failed      ErrorKind = iota // anything else
	BadKey                       // the provider does not accept the API key
	BadModel                     // the provider knows no such model
	BadRequest                   // the provider does not accept what we sent
	Quota                        // too many requests or tokens
	Unavailable                  // the provider is down or overloaded
	TimedOut                     // no answer in the time that was given
	Blocked                      // the provider withholds the answer
	Empty                        // no text and no call
	Broken                       // the connection ended in the middle of an answer
	Spent                        // what it may cost is spent
)

// ModelError is a failure of the model or its provider. Sentence is for a person and says nothing secret; the cause is
// for the log, and providers keep keys out of it too.
type ModelError struct {
	Kind       ErrorKind
	Sentence   string        // "Gemini does not accept the API key."
	Remedy     string        // "Set GEMINI_API_KEY to a valid key.", "" when nothing can be done
	RetryAfter time.Duration // when the provider said so
	Err        error
}

func (e *ModelError) Error() string {
	s := e.Sentence
	if e.Remedy != "" {
		s += " " + e.Remedy
	}
	if e.Err != nil {
		s += " (" + e.Err.Error() + ")"
	}
	return s
}

func (e *ModelError) Unwrap() error { return e.Err }
