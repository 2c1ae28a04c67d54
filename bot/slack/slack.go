// Package slack is the Slack surface. It renders messages as Block Kit, decodes events, commands, buttons and modals
// into bot.Inbound, and answers where a person spoke. Events come over Socket Mode, over signed HTTP, or both; they are
// acknowledged before any work starts, because Slack gives up on an event after 3 s.
//
// Nothing here decides anything: a person whom Slack cannot vouch for is handed on as a stranger, and the core refuses.
package slack

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/slack-go/slack"

	"github.com/bukahou/atlhyper/bot"
)

// Config says which workspace to join and how. BotToken is required, and one of AppToken and SigningSecret at least.
type Config struct {
	BotToken      string // xoxb-…
	AppToken      string // xapp-… with connections:write: turns Socket Mode on
	SigningSecret string // turns the HTTP entry on, see Slack.Handler
	APIURL        string // instead of https://slack.com/api/
	Channel       string // id of the channel that Check looks at, "" for none

	Logger *slog.Logger     // slog.Default() when nil
	Now    func() time.Time // time.Now when nil
}

func (c *Config) defaults() error {
	if c.BotToken == "" {
		return errors.New("slack: no bot token: set SLACK_BOT_TOKEN to the token under OAuth & Permissions (xoxb-…)")
	}
	if c.AppToken == "" && c.SigningSecret == "" {
		return errors.New("slack: no way to hear events: set SLACK_APP_TOKEN (Socket Mode) or SLACK_SIGNING_SECRET (HTTP)")
	}
	if c.APIURL == "" {
		c.APIURL = slack.APIURL
	}
	if c.APIURL[len(c.APIURL)-1] != '/' {
		c.APIURL += "/"
	}
	if c.Logger == nil {
		c.Logger = slog.Default()
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return nil
}

// callTimeout bounds one call of the Web API. Slack answers within a second or two when it is well.
const callTimeout = 20 * time.Second

// Slack is the surface. Its methods are safe for concurrent use.
type Slack struct {
	cfg Config
	log *slog.Logger
	api *slack.Client

	people  *directory
	threads *threadBook
	sent    *ledger
	open    assistantBook
	directs directBook

	lastEvent atomic.Int64 // unix nanoseconds, 0: never

	mu      sync.Mutex // guards session
	session *session   // nil while Run is not serving
}

var _ bot.Surface = (*Slack)(nil)

// New makes a surface. It makes no call: Run and Check do.
func New(cfg Config) (*Slack, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	s := &Slack{cfg: cfg, log: cfg.Logger.With("surface", "slack")}
	s.api = slack.New(cfg.BotToken,
		slack.OptionAPIURL(cfg.APIURL),
		slack.OptionAppLevelToken(cfg.AppToken),
		slack.OptionHTTPClient(&http.Client{Timeout: callTimeout}),
	)
	s.people = newDirectory(s.api, cfg.Now)
	s.threads = newThreadBook(s.api)
	s.sent = newLedger(s.api, cfg.Now)
	return s, nil
}

// Name is "slack".
func (s *Slack) Name() string { return "slack" }

// LastEvent is when Slack was last heard: an event, or over Socket Mode any frame, its pings among them. Zero: never.
// A connection that is merely quiet keeps it fresh, so an old one means that nothing can reach the bot.
func (s *Slack) LastEvent() time.Time {
	n := s.lastEvent.Load()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

// Permalink is the address of a message in a browser; "" before Run has signed in.
func (s *Slack) Permalink(ref bot.Ref) string {
	s.mu.Lock()
	run := s.session
	s.mu.Unlock()
	if run == nil || run.self.URL == "" || ref.Message == "" {
		return ""
	}
	return strings.TrimSuffix(run.self.URL, "/") + "/archives/" + url.PathEscape(ref.Channel) + "/p" + strings.ReplaceAll(url.PathEscape(ref.Message), ".", "")
}

func (s *Slack) heardSomething() { s.lastEvent.Store(s.cfg.Now().UnixNano()) }

// identity is who the bot is in its workspace.
type identity struct {
	User, Bot, Team, Enterprise string
	URL                         string // of the workspace: "https://team.slack.com/"
}

// session is one call of Run: what handlers need, and the wait for those that still run.
type session struct {
	ctx     context.Context
	self    identity
	handler bot.Handler
	work    sync.WaitGroup
}

// Run signs in, serves, and waits for running handlers when ctx ends. It returns an error only when a person must act.
func (s *Slack) Run(ctx context.Context, h bot.Handler) error {
	self, err := s.signIn(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	run := &session{ctx: ctx, self: self, handler: h}
	s.mu.Lock()
	if s.session != nil {
		s.mu.Unlock()
		return errors.New("slack: run: already running")
	}
	s.session = run
	s.mu.Unlock()
	s.people.setSelf(self)
	s.threads.setSelf(self)
	s.sent.setSelf(self)
	s.log.Info("signed in", "user", self.User, "team", self.Team)

	if s.cfg.AppToken != "" {
		err = s.runSocket(ctx, run)
	} else {
		<-ctx.Done()
	}

	// Taken out first, so that the HTTP entry starts nothing that the wait below would miss.
	s.mu.Lock()
	s.session = nil
	s.mu.Unlock()
	cancel()
	run.work.Wait()
	return err
}

// signIn learns who the bot is. It retries what may pass by itself and returns what may not.
func (s *Slack) signIn(ctx context.Context) (identity, error) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		auth, err := s.api.AuthTestContext(ctx)
		if err == nil {
			return identity{User: auth.UserID, Bot: auth.BotID, Team: auth.TeamID, Enterprise: auth.EnterpriseID, URL: auth.URL}, nil
		}
		if fatal := needsPerson(err, "SLACK_BOT_TOKEN"); fatal != nil {
			return identity{}, fmt.Errorf("slack: sign in: %w", fatal)
		}
		if d := deliveryError(err); d.RetryAfter > wait {
			wait = d.RetryAfter
		}
		s.log.Warn("cannot sign in, will try again", "err", err, "wait", wait)
		if sleep(ctx, wait) != nil {
			return identity{}, nil
		}
	}
}

// self is who the bot is; empty before Run has signed in.
func (s *Slack) self() identity {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.session == nil {
		return identity{}
	}
	return s.session.self
}

// begin runs f as a handler's goroutine of the present session. It says false when none is serving.
func (s *Slack) begin(f func(*session)) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	run := s.session
	if run == nil {
		return false
	}
	run.work.Go(func() {
		defer func() {
			// A fault in one answer must not take the process, and everyone else's incidents, with it.
			if p := recover(); p != nil {
				s.log.Error("handler panicked", "err", fmt.Sprint(p), "stack", stack())
			}
		}()
		f(run)
	})
	return true
}

// answer finds out who spoke and hands it to the core. The event is acknowledged already.
func (s *Slack) answer(run *session, h *heard) {
	ctx := run.ctx
	if h.in.Kind == bot.Reply {
		ours, err := s.threads.takesPart(ctx, h.in.Place)
		if err != nil {
			s.log.Warn("cannot tell whose thread a reply is in, it is left alone", "channel", h.in.Place.Channel, "err", err)
			return
		}
		if !ours {
			return
		}
	}
	switch h.in.Kind {
	case bot.Opened:
		s.open.begin(h.in.Place)
		fallthrough
	case bot.Direct, bot.Home:
		s.directs.learn(h.user, h.in.Place.Channel)
	}
	if h.in.Place.Channel == h.user {
		h.in.Place.Channel = s.directs.with(h.user)
	}
	if h.in.Kind != bot.Pointed { // whose answer one person sees: that makes no thread ours
		s.threads.join(h.in.Place)
	}
	person, lang, err := s.people.look(ctx, h.user, h.teams)
	if err != nil {
		s.log.Warn("cannot look a person up in full", "user", h.user, "stranger", person.Stranger, "err", err)
		if h.fresh && person.Stranger { // Slack did not say so, it said nothing
			return
		}
	}
	h.in.Person, h.in.Lang = person, lang
	if h.in.At.IsZero() {
		h.in.At = s.cfg.Now()
	}
	run.handler(ctx, h.in, &responder{s: s, heard: h})
}

// Check says what a person must mend before the bot can work, one error a fault, joined. It opens no connection.
func (s *Slack) Check(ctx context.Context) error {
	var faults []error
	auth, err := s.api.AuthTestContext(ctx)
	if err != nil {
		return fmt.Errorf("slack: %w", orRetry(err, "SLACK_BOT_TOKEN"))
	}
	if lacking := lackingScopes(auth.Header.Get("X-OAuth-Scopes")); lacking != "" {
		faults = append(faults, fmt.Errorf("slack: the bot token lacks %s: add that under OAuth & Permissions, or take deploy/slack/manifest.yaml, and install the app again", lacking))
	}
	if s.cfg.AppToken != "" {
		if _, _, err := s.api.StartSocketModeContext(ctx); err != nil {
			faults = append(faults, fmt.Errorf("slack: socket mode: %w", orRetry(err, "SLACK_APP_TOKEN")))
		}
	}
	if s.cfg.Channel != "" {
		ch, err := s.api.GetConversationInfoContext(ctx, &slack.GetConversationInfoInput{ChannelID: s.cfg.Channel})
		switch {
		case err != nil:
			faults = append(faults, fmt.Errorf("slack: channel %s: %w", s.cfg.Channel, deliveryError(err)))
		case ch.IsArchived:
			faults = append(faults, fmt.Errorf("slack: channel %s is archived: unarchive it or set SLACK_CHANNEL to another", s.cfg.Channel))
		case !ch.IsMember && !ch.IsIM:
			faults = append(faults, fmt.Errorf("slack: the bot is not in channel %s: %s", s.cfg.Channel, inviteRemedy))
		}
	}
	return errors.Join(faults...)
}

// Scopes are those that the bot token needs, as deploy/slack/manifest.yaml asks for them.
var Scopes = []string{
	"app_mentions:read", "assistant:write", "channels:history", "channels:read", "chat:write", "commands", "files:write",
	"groups:history", "groups:read", "im:history", "usergroups:read", "users:read", "users:read.email",
}

// lackingScopes names the scopes that Slack, which lists the granted ones with every answer, does not name. Whatever does
// not list any, such as a proxy, is believed to have them all.
func lackingScopes(granted string) string {
	if granted == "" {
		return ""
	}
	has := strings.Split(strings.ReplaceAll(granted, " ", ""), ",")
	return strings.Join(slices.DeleteFunc(slices.Clone(Scopes), func(s string) bool { return slices.Contains(has, s) }), ", ")
}

func orRetry(err error, token string) error {
	if fatal := needsPerson(err, token); fatal != nil {
		return fatal
	}
	return deliveryError(err)
}
