// Package bot is the conversation: routing, memory, approvals' cards, incident threads. It renders and delivers; it
// decides nothing about a cluster. Surfaces (Slack, Discord, terminal) turn wire forms into Inbound and messages
// into wire forms.
package bot

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
)

// Kind says how a person spoke.
type Kind int

// The kinds.
const (
	Slash    Kind = iota + 1 // a slash command; Text is what stands behind it
	Mention                  // the bot was named in a channel; Text has the mention removed
	Direct                   // a direct message, or a line typed at the terminal
	Reply                    // a message in a thread that the bot takes part in
	Click                    // a button, or one of a list; Action and Subject are set
	Submit                   // a prompt that was filled in; Action, Subject and Values are set
	Opened                   // a person opened a conversation with the bot, and said nothing yet
	Moved                    // the same person looks at something else beside an open conversation
	Complete                 // a person types one of a command's options, and wants to see what there is; Field and Text are set
	Home                     // a person looks at their home with the bot, where a surface has one; see Publisher
	Pointed                  // a person points at a message, and wants to know of what it names; Evidence is set
)

// Place is where messages go: a channel, or a thread in it when Thread is set.
type Place struct {
	Surface string `json:"surface"`
	Channel string `json:"channel"`
	Thread  string `json:"thread,omitempty"`
}

// Ref names a delivered message, so that it can be edited. Thread is what a later Place.Thread must hold to answer
// beneath it (Slack: its own ts; Discord: the id of the thread started on it).
type Ref struct {
	Surface string `json:"surface"`
	Channel string `json:"channel"`
	Message string `json:"message"`
	Thread  string `json:"thread,omitempty"`
}

// Inbound is one thing that a person did, in no platform's dialect.
type Inbound struct {
	ID      string // the platform's id of the event; a repeated one is dropped
	Kind    Kind
	Person  people.Person
	Place   Place
	Message Ref // of a Click: the message that holds the button
	Text    string
	Values  map[string]string // of a Submit: what each field of the prompt holds, by its name
	About   tools.About       // of a Slash and a Complete: what the command's options name beside its words
	Field   string            // of a Complete: which of About is being typed
	// Evidence is what stands in the message of a Pointed. Anybody may have written it: it is looked up, and is nobody's words.
	Evidence string
	AtHome   bool // of a Click and a Submit: it was done on the person's home, which is shown anew afterwards
	// Mentioned gives the id of each person and group that Text names the platform's own way: "@mia" → "slack:U123".
	Mentioned map[string]string
	Action    string
	Subject   string
	Lang      string // BCP 47 of the person's client, "" when unknown
	Prefers   string // the language that the person asked for, "" when none; the bot looks it up
	At        time.Time
}

// Prompt asks a person to fill in a form, in a modal where the surface has one, else line by line.
type Prompt struct {
	Title           string
	Submit, Cancel  string // what its two buttons say, where the surface lets us name them
	Fields          []Field
	Action, Subject string // of the Submit that answers it
}

// Field is one thing that a Prompt asks for. At most five fit every surface.
type Field struct {
	Name        string // its key in Inbound.Values
	Label, Hint string
	Choices     []Choice // one of these is chosen, at most 25; none: a line is typed
	Value       string   // what stands there at first; of Choices the Value of one
	Optional    bool     // it may be left empty
}

// Choice is one of a Field's.
type Choice struct{ Label, Value string }

// ErrNoPrompt is what Ask returns, wrapped, where no prompt can open: a platform opens one upon a click or a command alone.
var ErrNoPrompt = errors.New("no prompt can open here")

// Responder answers one Inbound where it was made. The surface has acknowledged it already: there is no deadline.
// Methods may be called from one goroutine at a time.
type Responder interface {
	// Working shows that an answer is being made, and how far it is. It may be called often; the surface throttles.
	Working(ctx context.Context, step string) error
	// Answer delivers the final answer and clears what Working showed. Private messages reach the person alone.
	Answer(ctx context.Context, m message.Message) error
	// Ask opens a prompt. It is valid only while the platform's trigger lives, seconds after a click or a command; where
	// there never was one it returns ErrNoPrompt.
	Ask(ctx context.Context, p Prompt) error
}

// Suggester is a Responder that can offer what a person may say next.
type Suggester interface {
	// Suggest offers the choices, best first, of a field that is being typed, or of what to begin a conversation with; none is
	// an answer too. The surface shows as many as it can.
	Suggest(ctx context.Context, choices []Choice) error
}

// Publisher is a Responder of a surface that has a home for each person: a page that is shown anew and not said.
type Publisher interface {
	// Publish makes a message the person's home, in place of what it showed.
	Publish(ctx context.Context, m message.Message) error
}

// Courier is a Responder of a surface on which an answer for one person cannot bring files where it was asked for.
type Courier interface {
	// Loses says whether an answer would come without what it has of texts, files or pictures.
	Loses(m message.Message) bool
	// Send delivers a message where it comes whole: in the person's direct messages.
	Send(ctx context.Context, m message.Message) error
}

// Handler takes what people do. It is called concurrently, and returns when the answer is delivered.
type Handler func(ctx context.Context, in Inbound, r Responder)

// Surface is a chat platform. Post and Edit are called by the outbox, one at a time for each channel.
type Surface interface {
	// Name is the first part of Place.Surface: "slack", "discord", "terminal".
	Name() string
	// Run connects and serves until ctx ends; it reconnects by itself and returns an error only when a person must act
	// (a revoked token, a missing scope), with the remedy in it.
	Run(ctx context.Context, h Handler) error
	// Post delivers a new message. key is the outbox's id: a surface whose platform has an idempotency key uses it.
	// When thread is not empty, a thread is prepared beneath the message, with that name where threads have names.
	Post(ctx context.Context, p Place, m message.Message, key string, thread string) (Ref, error)
	// Edit replaces a delivered message.
	Edit(ctx context.Context, ref Ref, m message.Message) error
}

// DeliveryError is a failed Post or Edit. The outbox retries it after RetryAfter unless it is Permanent.
type DeliveryError struct {
	Err        error
	RetryAfter time.Duration // 0: the outbox's own back-off
	Permanent  bool          // the channel is gone, the message was deleted, a scope is missing
	Remedy     string        // what a person must do, "" when nothing
}

func (e *DeliveryError) Error() string {
	if e.Remedy != "" {
		return fmt.Sprintf("%v (%s)", e.Err, e.Remedy)
	}
	return e.Err.Error()
}

func (e *DeliveryError) Unwrap() error { return e.Err }
