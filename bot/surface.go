// Package bot is the conversation: routing, memory, approvals' cards, incident threads. It renders and delivers; it
// decides nothing about a cluster. Surfaces (Slack, Discord, terminal) turn wire forms into Inbound and messages
// into wire forms.
package bot

import (
	"context"
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/people"
)

// Kind says how a person spoke.
type Kind int

// The kinds.
const (
	Slash   Kind = iota + 1 // a slash command; Text is what stands behind it
	Mention                 // the bot was named in a channel; Text has the mention removed
	Direct                  // a direct message, or a line typed at the terminal
	Reply                   // a message in a thread that the bot takes part in
	Click                   // a button; Action and Subject are set
	Submit                  // a typed prompt; Action, Subject and Text are set
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
	// Mentioned gives the id of each person and group that Text names the platform's own way: "@mia" → "slack:U123".
	Mentioned map[string]string
	Action    string
	Subject   string
	Lang      string // BCP 47 of the person's client, "" when unknown
	At        time.Time
}

// Prompt asks a person to type something, in a modal where the surface has one.
type Prompt struct {
	Title, Label, Hint string
	Action, Subject    string // of the Submit that answers it
}

// Responder answers one Inbound where it was made. The surface has acknowledged it already: there is no deadline.
// Methods may be called from one goroutine at a time.
type Responder interface {
	// Working shows that an answer is being made, and how far it is. It may be called often; the surface throttles.
	Working(ctx context.Context, step string) error
	// Answer delivers the final answer and clears what Working showed. Private messages reach the person alone.
	Answer(ctx context.Context, m message.Message) error
	// Ask opens a prompt. It is valid only while the platform's trigger lives, seconds after a click.
	Ask(ctx context.Context, p Prompt) error
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
