package bot

import (
	"context"
	"encoding/json"
	"time"

	"github.com/bukahou/atlhyper/engine/event"
)

// Outgoing is one message on its way out. Key names it for ever: enqueuing the same key again replaces what has not
// been delivered yet, so that edits coalesce and nothing is posted twice.
type Outgoing struct {
	Key      string // "incident/INC-1/parent@slack/C1", "event/57@slack/C1"
	Place    Place
	Under    string          // topic whose delivered Ref's thread this goes into; "" for the channel itself
	Topic    string          // what the delivered Ref is remembered as; "" when nobody edits it later
	Edit     bool            // edit the message remembered under Topic, or post it when there is none yet
	Thread   string          // prepare a thread beneath it with this name
	Body     json.RawMessage // what to render, at delivery: an Envelope
	NotUntil time.Time
	Attempts int
	Failure  string // the last attempt's error
}

// Store is the conversation's memory. Each method is one transaction; all are safe for concurrent use.
type Store interface {
	// EventsAfter reads the engine's log, at most limit events with a Seq greater than seq.
	EventsAfter(ctx context.Context, seq int64, limit int) ([]event.Event, error)
	// Cursor gives how far a reader has come; 0 at first.
	Cursor(ctx context.Context, reader string) (int64, error)
	// Enqueue appends to the outbox and moves the reader's cursor, both or neither. An empty reader moves none.
	Enqueue(ctx context.Context, reader string, cursor int64, out ...Outgoing) error
	// Outbox lists what is due for a surface, oldest first, at most one for each channel and thread being blocked by
	// an earlier one that is not due: order within a channel is kept.
	Outbox(ctx context.Context, surface string, now time.Time, limit int) ([]Outgoing, error)
	// Delivered removes a message from the outbox and remembers its Ref under its Topic. body is what was delivered: a
	// newer body enqueued meanwhile stays, as an edit.
	Delivered(ctx context.Context, o Outgoing, ref Ref) error
	// Postponed records a failed attempt.
	Postponed(ctx context.Context, key string, notUntil time.Time, failure string) error
	// Dropped removes a message that can never be delivered, keeping a line of why.
	Dropped(ctx context.Context, key string, failure string) error
	// RefOf gives the Ref remembered under a topic on a place; ok is false when none was delivered.
	RefOf(ctx context.Context, topic string, p Place) (ref Ref, ok bool, err error)
	// Places lists where a topic was delivered or waits to be.
	Places(ctx context.Context, topic string) ([]Place, error)
	// TopicOf gives the topic that a thread belongs to, "" when none.
	TopicOf(ctx context.Context, p Place) (string, error)
	// FirstSeen records an inbound event's id and says whether it is new. Ids are forgotten after a day.
	FirstSeen(ctx context.Context, id string, now time.Time) (bool, error)
	// Memory and Remember keep a thread's turns and its defaults, as JSON; forgotten after a week without use.
	Memory(ctx context.Context, p Place) (json.RawMessage, error)
	Remember(ctx context.Context, p Place, memory json.RawMessage, now time.Time) error
	// PutChoice keeps what a button stands for and gives its opaque id; Choice reads it.
	PutChoice(ctx context.Context, choice json.RawMessage, now time.Time) (string, error)
	Choice(ctx context.Context, id string) (json.RawMessage, error)
	// Prune forgets what is older than its retention.
	Prune(ctx context.Context, now time.Time) error
}
