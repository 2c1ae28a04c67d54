package bot_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/tools"
)

// posted is a message on the chat surface.
type posted struct {
	place bot.Place
	m     message.Message
	key   string
	edits int
	at    time.Time // of the last change
}

// chat is a surface that keeps what it is given. Its fields are set before the bot runs.
type chat struct {
	knowsKeys bool                                           // as platforms with idempotency keys do
	fail      func(key string, edit bool) error              // before anything is shown
	after     func(key string)                               // after it was shown, before the bot is told
	run       func(ctx context.Context, h bot.Handler) error // default: until ctx ends

	handle bot.Handler // set by Run

	mu       sync.Mutex
	messages []*posted
	attempts []string
}

func (c *chat) Name() string { return "chat" }

func (c *chat) Run(ctx context.Context, h bot.Handler) error {
	c.handle = h
	if c.run != nil {
		return c.run(ctx, h)
	}
	<-ctx.Done()
	return nil
}

func (c *chat) Post(_ context.Context, p bot.Place, m message.Message, key, _ string) (bot.Ref, error) {
	ref, err := c.put(key, false, func() int {
		if c.knowsKeys {
			if n := slices.IndexFunc(c.messages, func(x *posted) bool { return x.key == key }); n >= 0 {
				return n
			}
		}
		c.messages = append(c.messages, &posted{place: p, m: m, key: key, at: time.Now()})
		return len(c.messages) - 1
	})
	ref.Channel = p.Channel
	return ref, err
}

func (c *chat) Edit(_ context.Context, ref bot.Ref, m message.Message) error {
	_, err := c.put(ref.Message, true, func() int {
		n := 0
		fmt.Sscan(ref.Message, &n)
		x := c.messages[n]
		x.m, x.at = m, time.Now()
		x.edits++
		return n
	})
	return err
}

func (c *chat) put(key string, edit bool, do func() int) (bot.Ref, error) {
	if c.fail != nil {
		if err := c.fail(key, edit); err != nil {
			return bot.Ref{}, err
		}
	}
	c.mu.Lock()
	c.attempts = append(c.attempts, key)
	n := do()
	c.mu.Unlock()
	if c.after != nil {
		c.after(key)
	}
	return bot.Ref{Surface: "chat", Message: fmt.Sprint(n), Thread: fmt.Sprintf("thread-%d", n)}, nil
}

// all gives copies of what is shown.
func (c *chat) all() []posted {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []posted
	for _, m := range c.messages {
		out = append(out, *m)
	}
	return out
}

// said is what is shown, a line each, with the thread before it.
func (c *chat) said() []string {
	var out []string
	for _, m := range c.all() {
		out = append(out, strings.TrimPrefix(m.place.Thread+": ", ": ")+m.m.Title)
	}
	return out
}

// replies is a Responder that keeps what it is given.
type replies struct {
	mu      sync.Mutex
	working []string
	answers []message.Message
	prompts []bot.Prompt
}

func (r *replies) Working(_ context.Context, s string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.working = append(r.working, s)
	return nil
}

func (r *replies) Answer(_ context.Context, m message.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answers = append(r.answers, m)
	return nil
}

func (r *replies) Ask(_ context.Context, p bot.Prompt) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.prompts = append(r.prompts, p)
	return nil
}

// brain is an Answerer that a test writes.
type brain func(ctx context.Context, req assistant.Request, progress assistant.Progress) (*assistant.Answer, error)

func (f brain) Answer(ctx context.Context, req assistant.Request, p assistant.Progress) (*assistant.Answer, error) {
	return f(ctx, req, p)
}

// puzzled understands nothing, as the planner does with what is no question.
func puzzled(context.Context, assistant.Request, assistant.Progress) (*assistant.Answer, error) {
	return nil, &tools.Problem{Unclear: true, Sentence: "I did not understand that, and no model is at hand.", Remedy: "Try: what is wrong?"}
}

// office is an engine on real storage with a bot in it. It lives in a bubble: its time passes when all wait.
type office struct {
	t      *testing.T
	db     *storage.DB
	engine *engine.Engine
	tools  *tools.Registry
	chat   *chat
	logged *bytes.Buffer // read after stop
	cfg    bot.Config
	bot    *bot.Bot
	stop   func() // ends the bot; it may be started again
}

var mia = people.Person{ID: "chat:MIA", Name: "Mia"}

// inOffice runs a test in a bubble, with a fresh database.
func inOffice(t *testing.T, c *chat, change func(*bot.Config), test func(t *testing.T, o *office)) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "bot.db")
	synctest.Test(t, func(t *testing.T) {
		db, err := storage.Open(t.Context(), file, storage.Config{})
		if err != nil {
			t.Fatal(err)
		}
		defer db.Close()
		e, err := engine.New(t.Context(), engine.Config{Store: db, Admins: []string{mia.ID}})
		if err != nil {
			t.Fatal(err)
		}
		defer e.Close()
		e.Fleet.Join("prod-eu").SetStatus(func(s *fleet.Status) { s.Synced, s.LastSeen = true, time.Now() })
		o := &office{t: t, db: db, engine: e, chat: c, logged: &bytes.Buffer{}}
		if o.tools, err = tools.New(e, slog.New(slog.DiscardHandler)); err != nil {
			t.Fatal(err)
		}
		o.cfg = bot.Config{
			Engine: e, Tools: o.tools, Answerer: brain(puzzled), Store: db, Surfaces: []bot.Surface{c},
			Channels: []bot.Place{{Surface: "chat", Channel: "ops"}}, Poll: 500 * time.Millisecond, Logger: slog.New(slog.NewTextHandler(o.logged, nil)),
		}
		if change != nil {
			change(&o.cfg)
		}
		o.start()
		defer func() { o.stop() }()
		test(t, o)
	})
}

// start makes a new bot, as a new process does, and runs it.
func (o *office) start() {
	o.t.Helper()
	var err error
	if o.bot, err = bot.New(o.cfg); err != nil {
		o.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(o.t.Context())
	done := make(chan error, 1)
	go func() { done <- o.bot.Run(ctx) }()
	var once sync.Once
	o.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil && o.chat.run == nil {
				o.t.Errorf("the bot ended with %v", err)
			}
		})
	}
}

func (o *office) ok(err error) {
	o.t.Helper()
	if err != nil {
		o.t.Fatal(err)
	}
}

// save stores an incident with an event that tells of it.
func (o *office) save(i *incident.Incident, kind event.Type, note string) {
	o.t.Helper()
	o.ok(o.db.SaveIncidents(o.t.Context(), []*incident.Incident{i}, []event.Event{{At: time.Now(), Type: kind, Cluster: i.Cluster, Incident: i.ID, Note: note}}))
}

func newIncident(id, title string) *incident.Incident {
	return &incident.Incident{
		ID: id, Cluster: "prod-eu", Namespace: "shop", Title: title, Stage: incident.StageIncident, OpenedAt: time.Now(),
		Cause:    incident.Cause{Entity: entity.Ref{Cluster: "prod-eu", Kind: "Deployment", Namespace: "shop", Name: "payments"}, Summary: "deployment/payments: it fails", Confidence: "high"},
		Entities: []incident.Affected{{Entity: entity.Ref{Cluster: "prod-eu", Kind: "Service", Namespace: "shop", Name: "checkout"}, Role: incident.RoleSymptom}},
	}
}

func (o *office) propose(id string, class command.Class) *command.Proposal {
	o.t.Helper()
	x := &command.Proposal{
		ID: id, Digest: id, Title: "drain node/worker-3", Button: "Drain worker-3", By: mia, State: command.Proposed, Class: class, Created: time.Now(), Expires: time.Now().Add(10 * time.Minute),
		Command: command.Command{Verb: command.Drain, Target: entity.Ref{Cluster: "prod-eu", Kind: "Node", Name: "worker-3"}},
		Preview: command.Preview{DryRun: "accepted by the API server", Accepted: true},
	}
	o.ok(o.db.CreateProposal(o.t.Context(), x, event.Event{At: time.Now(), Type: event.ProposalMade, Cluster: "prod-eu", Proposal: id}))
	return x
}

var ids int

// say hands the bot a line and gives what it answered.
func (o *office) say(in bot.Inbound) *replies {
	o.t.Helper()
	ids++
	if in.ID == "" {
		in.ID = fmt.Sprint("in-", ids)
	}
	if in.Person.ID == "" {
		in.Person = mia
	}
	if in.Place == (bot.Place{}) {
		in.Place = bot.Place{Surface: "chat", Channel: "ops"}
	}
	if in.Kind == 0 {
		in.Kind = bot.Direct
	}
	r := &replies{}
	o.bot.Handle(o.t.Context(), in, r)
	return r
}

// settle lets simulated time pass.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

func (o *office) title(r *replies) string {
	o.t.Helper()
	if len(r.answers) != 1 {
		o.t.Fatalf("%d answers: %+v", len(r.answers), r.answers)
	}
	return r.answers[0].Title
}

func bodyOf(t *testing.T, v any) json.RawMessage {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
