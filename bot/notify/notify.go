// Package notify tells people outside the chats: by mail, by Slack's incoming webhooks and by webhooks of other programs,
// chosen by routes in a file. It also makes the reports that have a time of their own: the digest, the hand-over and the
// report of objectives.
//
// What it told of an incident is kept in one transaction with what is on its way, so an outage loses nothing and a
// restart doubles nothing. Where messages go comes from the file alone: no chat and no cluster can name an address.
package notify

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/tools"
)

// Surface is what the outbox calls the messages of this package.
const Surface = "notify"

// Notice is what was told of one incident.
type Notice struct {
	Incident string   `json:"incident"`
	Severity string   `json:"severity,omitempty"` // the highest for which the routes were asked
	Targets  []string `json:"targets,omitempty"`  // who heard of it, and so hears of its end
	Over     bool     `json:"over,omitempty"`     // its end was told
	Round    int      `json:"round,omitempty"`    // how often it came back after that
}

// Store keeps what was told and what is on its way. Each method is one transaction; all are safe for concurrent use.
type Store interface {
	// EventsAfter, Cursor, Outbox, Delivered, Postponed and Dropped are those of bot.Store.
	EventsAfter(ctx context.Context, seq int64, limit int) ([]event.Event, error)
	Cursor(ctx context.Context, reader string) (int64, error)
	Outbox(ctx context.Context, surface string, now time.Time, limit int) ([]bot.Outgoing, error)
	Delivered(ctx context.Context, o bot.Outgoing, ref bot.Ref) error
	Postponed(ctx context.Context, key string, notUntil time.Time, failure string) error
	Dropped(ctx context.Context, key string, failure string) error
	// Notice gives what was told of an incident; one with nothing but its id when nothing was.
	Notice(ctx context.Context, incident string) (Notice, error)
	// PutNotice stores what is told of an incident, appends to the outbox and moves the reader's cursor: all or nothing.
	// Without an incident only the cursor moves.
	PutNotice(ctx context.Context, reader string, cursor int64, n Notice, out ...bot.Outgoing) error
	// LastRun gives when a schedule last ran; zero when never.
	LastRun(ctx context.Context, schedule string) (time.Time, error)
	// PutRun stores that a schedule ran, and appends to the outbox: both or neither.
	PutRun(ctx context.Context, schedule string, at time.Time, out ...bot.Outgoing) error
}

// Config of a Notifier.
type Config struct {
	Plan   *Plan
	Engine *engine.Engine
	Tools  *tools.Registry
	Store  Store
	// Chat is where the bot speaks: who is on call is mentioned there, and reports go there.
	Chat    []bot.Place
	Lang    string           // of targets that name none; default "en"
	PageURL string           // base address of the page for links; "" for none
	Now     func() time.Time // default time.Now
	Poll    time.Duration    // default 200 ms
	// Transport carries webhooks; default http.DefaultTransport.
	Transport http.RoundTripper
	Logger    *slog.Logger
}

// Notifier follows the engine's events and the clock, and tells the plan's targets.
type Notifier struct {
	cfg    Config
	log    *slog.Logger
	client *http.Client // of webhooks
}

// New checks the configuration.
func New(cfg Config) (*Notifier, error) {
	if cfg.Plan == nil || cfg.Engine == nil || cfg.Tools == nil || cfg.Store == nil {
		return nil, errors.New("notify: a plan, the engine, the tools and a store are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Lang = cmp.Or(cfg.Lang, "en")
	cfg.Poll = cmp.Or(cfg.Poll, 200*time.Millisecond)
	if r := cfg.Plan.Rota; r != nil {
		for _, p := range r.People {
			if p.Mail == "" && !slices.ContainsFunc(cfg.Chat, func(place bot.Place) bool { return len(idsOn(p, place.Surface)) > 0 }) {
				cfg.Logger.Warn("who is on call will not hear of it: they have no mail address, and none of their chats is set up", "person", p.Name)
			}
		}
	}
	return &Notifier{cfg: cfg, log: cfg.Logger, client: newClient(cfg.Transport)}, nil
}

// Run works until ctx ends.
func (n *Notifier) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return n.follow(ctx) })
	group.Go(func() error { return n.deliver(ctx) })
	if len(n.cfg.Plan.Schedules) > 0 {
		group.Go(func() error { return n.keepTime(ctx) })
	}
	return group.Wait()
}

// Idle says whether all that the engine concluded has been told and delivered.
func (n *Notifier) Idle(ctx context.Context) (bool, error) {
	cursor, err := n.cfg.Store.Cursor(ctx, reader)
	if err != nil {
		return false, err
	}
	events, err := n.cfg.Store.EventsAfter(ctx, cursor, 1)
	if err != nil || len(events) > 0 {
		return false, err
	}
	due, err := n.cfg.Store.Outbox(ctx, Surface, time.Now(), 1)
	return len(due) == 0, err
}

// pause waits for the poll interval, or returns false when ctx ends.
func (n *Notifier) pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(n.cfg.Poll):
		return true
	}
}

// lang is a target's language.
func (n *Notifier) lang(t Target) string { return cmp.Or(t.Lang, n.cfg.Lang) }
