package bot

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/tools"
)

// Config of a Bot.
type Config struct {
	Engine   *engine.Engine
	Tools    *tools.Registry
	Answerer assistant.Answerer
	Models   Models // nil where the model cannot be set up in chat
	Store    Store
	Surfaces []Surface
	// Channels is where incidents go: one place for each surface that has a channel.
	Channels []Place
	Lang     string           // of messages that nobody asked for; default "en"
	Now      func() time.Time // default time.Now: what ages are counted to
	// EditEvery is the least time between two edits of one message; default 5 s, the platforms' tolerance.
	EditEvery time.Duration
	Poll      time.Duration // of the event log and the outbox; default 100 ms
	PageURL   string        // base address of the page for links on cards; "" for none
	Logger    *slog.Logger
}

// Bot is the conversation on all surfaces.
type Bot struct {
	cfg Config
	log *slog.Logger

	begun time.Time
	// easel holds a place for each answer that may draw its pictures now, half of the cores: drawing is work of milliseconds, and
	// a crowd's pictures must not hold up the answers that have none.
	easel chan struct{}

	mu     sync.Mutex              // guards what follows
	edited map[string]time.Time    // when a key was last delivered, by the wall clock: platforms' limits are real time
	turns  map[Place]*turn         // threads in which a question is being answered
	posts  map[Place]chan struct{} // channels that a new message is on its way to; closed when it is written down
}

// posting notes that a new message is on its way to a channel, until done is called.
func (b *Bot) posting(p Place) (done func()) {
	p.Thread = ""
	written := make(chan struct{})
	b.mu.Lock()
	b.posts[p] = written
	b.mu.Unlock()
	return func() {
		b.mu.Lock()
		delete(b.posts, p)
		b.mu.Unlock()
		close(written)
	}
}

// topicOf gives what a thread is about. A platform shows a message before it tells us its id, and somebody may answer
// at once: a thread that is not known yet is looked up again when what is on its way there has been written down.
func (b *Bot) topicOf(ctx context.Context, p Place) (string, error) {
	b.mu.Lock()
	written := b.posts[Place{Surface: p.Surface, Channel: p.Channel}]
	b.mu.Unlock()
	topic, err := b.cfg.Store.TopicOf(ctx, p)
	if topic != "" || err != nil || p.Thread == "" || written == nil {
		return topic, err
	}
	select {
	case <-written:
	case <-ctx.Done():
	}
	return b.cfg.Store.TopicOf(ctx, p)
}

// turn makes the questions of one thread wait for each other: what "it" means in the second is known from the first.
type turn struct {
	free   chan struct{} // holds one while nobody's question is being answered
	wanted int           // how many hold it or wait for it
}

// takeTurn waits until no other question of the thread is being answered, or ctx ends. The caller calls done afterwards.
func (b *Bot) takeTurn(ctx context.Context, p Place) (done func()) {
	b.mu.Lock()
	t := b.turns[p]
	if t == nil {
		t = &turn{free: make(chan struct{}, 1)}
		t.free <- struct{}{}
		b.turns[p] = t
	}
	t.wanted++
	b.mu.Unlock()
	held := true
	select {
	case <-t.free:
	case <-ctx.Done():
		held = false
	}
	return func() {
		if held {
			t.free <- struct{}{}
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		if t.wanted--; t.wanted == 0 {
			delete(b.turns, p)
		}
	}
}

// New checks the configuration.
func New(cfg Config) (*Bot, error) {
	if cfg.Engine == nil || cfg.Tools == nil || cfg.Answerer == nil || cfg.Store == nil {
		return nil, errors.New("bot: engine, tools, answerer and store are needed")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	cfg.Lang = cmp.Or(cfg.Lang, "en")
	cfg.EditEvery = cmp.Or(cfg.EditEvery, 5*time.Second)
	cfg.Poll = cmp.Or(cfg.Poll, 100*time.Millisecond)
	return &Bot{cfg: cfg, log: cfg.Logger, begun: time.Now(), easel: make(chan struct{}, max(1, runtime.GOMAXPROCS(0)/2)), edited: map[string]time.Time{}, turns: map[Place]*turn{}, posts: map[Place]chan struct{}{}}, nil
}

// Run serves every surface, follows the engine's events and empties the outbox until ctx ends. It returns the first
// error that a person must act on.
func (b *Bot) Run(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, s := range b.cfg.Surfaces {
		group.Go(func() error {
			err := s.Run(ctx, b.Handle)
			if err == nil || ctx.Err() != nil {
				return nil
			}
			b.drain(ctx, s)
			return err // a surface names itself
		})
		group.Go(func() error { return b.deliver(ctx, s) })
	}
	group.Go(func() error { return b.follow(ctx) })
	return group.Wait()
}

// pause waits for the poll interval, or returns false when ctx ends.
func (b *Bot) pause(ctx context.Context) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(b.cfg.Poll):
		return true
	}
}

// memory is what a thread remembers: what was said, and what "it" and "there" mean. No cluster data is kept, only the
// headlines of our answers.
type memory struct {
	Cluster string           `json:"cluster,omitempty"`
	Turns   []assistant.Turn `json:"turns,omitempty"`
	// Degraded is why the planner answered last: it is said once, not under every answer.
	Degraded string `json:"degraded,omitempty"`
}

const maxTurns = 12

func (b *Bot) recall(ctx context.Context, p Place) memory {
	var m memory
	raw, err := b.cfg.Store.Memory(ctx, p)
	if err == nil && len(raw) > 0 {
		err = json.Unmarshal(raw, &m)
	}
	if err != nil {
		b.log.Warn("thread memory not read", "err", err)
	}
	return m
}

func (b *Bot) remember(ctx context.Context, p Place, m memory) {
	if n := len(m.Turns) - maxTurns; n > 0 {
		m.Turns = m.Turns[n:]
	}
	raw, err := json.Marshal(m)
	if err == nil {
		err = b.cfg.Store.Remember(ctx, p, raw, b.cfg.Now())
	}
	if err != nil {
		b.log.Warn("thread memory not written", "err", err)
	}
}

// choice stores what a button stands for, so that the button itself carries only an opaque id.
func (b *Bot) choice(ctx context.Context) func(tools.Option) (string, error) {
	return func(o tools.Option) (string, error) {
		raw, err := json.Marshal(o)
		if err != nil {
			return "", err
		}
		return b.cfg.Store.PutChoice(ctx, raw, b.cfg.Now())
	}
}
