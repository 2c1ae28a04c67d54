// Package discord is the Discord surface: one application command, mentions, direct messages, threads, buttons and
// prompts, over the gateway and, when a public key is set, over signed HTTP. Discord wants an interaction answered
// within 3 s and takes the first answer for good, so an answer that is ready in time is that first answer, and only a
// late one is announced by an acknowledgement (see responder).
//
// Nothing here decides anything: a person whom Discord cannot vouch for is handed on as a stranger.
package discord

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bwmarrin/discordgo"
	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Config says which application to be. BotToken is required.
type Config struct {
	BotToken string
	AppID    string // the bot's own id when empty, which is the same for all but the oldest applications
	// GuildID is the one server that the bot serves: people of others are strangers, and whoever writes directly must
	// be a member. Empty: every server that invited the bot, and no direct messages but from strangers.
	GuildID   string
	PublicKey string // hex; turns the HTTP entry on, see Discord.Handler
	APIURL    string // instead of https://discord.com/api/v9

	Logger *slog.Logger     // slog.Default() when nil
	Now    func() time.Time // time.Now when nil
}

// callTimeout bounds one call.
const callTimeout = 20 * time.Second

// Discord is the surface. Its methods are safe for concurrent use.
type Discord struct {
	cfg  Config
	log  *slog.Logger
	api  *discordgo.Session
	key  ed25519.PublicKey
	http *http.Client

	places *atlas

	lastEvent atomic.Int64 // unix nanoseconds, 0: never

	mu      sync.Mutex // guards session
	session *session   // nil while Run is not serving
}

var _ bot.Surface = (*Discord)(nil)

// New makes a surface. It makes no call: Run does.
func New(cfg Config) (*Discord, error) {
	if cfg.BotToken == "" {
		return nil, errors.New("discord: no bot token: set DISCORD_BOT_TOKEN to the token under Bot")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.Default()
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	d := &Discord{cfg: cfg, log: cfg.Logger.With("surface", "discord"), http: &http.Client{Timeout: callTimeout}}
	if cfg.PublicKey != "" {
		key, err := hex.DecodeString(cfg.PublicKey)
		if err != nil || len(key) != ed25519.PublicKeySize {
			return nil, errors.New("discord: the public key is not one: set DISCORD_PUBLIC_KEY to that of General Information")
		}
		d.key = key
	}
	if cfg.APIURL != "" {
		base, err := url.Parse(strings.TrimSuffix(cfg.APIURL, "/"))
		if err != nil || base.Host == "" {
			return nil, fmt.Errorf("discord: DISCORD_API_URL %q is no address", cfg.APIURL)
		}
		d.http.Transport = redirect{base: base}
	}
	api, err := discordgo.New("Bot " + cfg.BotToken)
	if err != nil {
		return nil, fmt.Errorf("discord: %w", err)
	}
	api.Client = d.http
	api.LogLevel = -1 // the library logs to a global logger; what matters comes back as errors
	api.StateEnabled = false
	api.SyncEvents = true
	// Its own reconnecting cannot be stopped while it waits, so Run reconnects. Retries are the outbox's, which knows
	// what may be sent twice.
	api.ShouldReconnectOnError = false
	api.ShouldReconnectVoiceOnSessionError = false
	api.ShouldRetryOnRateLimit = false
	api.MaxRestRetries = 0
	d.api = api
	d.places = newAtlas(api)
	return d, nil
}

// redirect sends the library's calls, whose addresses are fixed, to another base address.
type redirect struct{ base *url.URL }

func (r redirect) RoundTrip(req *http.Request) (*http.Response, error) {
	req = req.Clone(req.Context())
	req.URL.Scheme, req.URL.Host, req.Host = r.base.Scheme, r.base.Host, r.base.Host
	req.URL.Path = r.base.Path + strings.TrimPrefix(req.URL.Path, "/api/v"+discordgo.APIVersion)
	req.URL.RawPath = ""
	return http.DefaultTransport.RoundTrip(req)
}

// Permalink is the address of a message in a browser; "" when no one server is configured, which the address names.
func (d *Discord) Permalink(ref bot.Ref) string {
	if d.cfg.GuildID == "" || ref.Message == "" {
		return ""
	}
	return "https://discord.com/channels/" + url.PathEscape(d.cfg.GuildID) + "/" + url.PathEscape(ref.Channel) + "/" + url.PathEscape(ref.Message)
}

// Name is "discord".
func (d *Discord) Name() string { return "discord" }

// LastEvent is when Discord was last heard, heartbeats among it. Zero: never.
func (d *Discord) LastEvent() time.Time {
	n := d.lastEvent.Load()
	if n == 0 {
		return time.Time{}
	}
	return time.Unix(0, n)
}

func (d *Discord) heardSomething() { d.lastEvent.Store(d.cfg.Now().UnixNano()) }

// session is one call of Run.
type session struct {
	ctx     context.Context
	self    string // the bot's user id
	app     string
	handler bot.Handler
	work    sync.WaitGroup
}

// Run signs in, registers the command, serves, and waits for running handlers when ctx ends. It returns an error only
// when a person must act.
func (d *Discord) Run(ctx context.Context, h bot.Handler) error {
	self, err := d.signIn(ctx)
	if err != nil || ctx.Err() != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	app := d.cfg.AppID
	if app == "" {
		app = self.ID
	}
	run := &session{ctx: ctx, self: self.ID, app: app, handler: h}
	d.mu.Lock()
	if d.session != nil {
		d.mu.Unlock()
		return errors.New("discord: run: already running")
	}
	d.session = run
	d.mu.Unlock()
	d.places.setSelf(self.ID)
	d.log.Info("signed in", "user", self.ID)

	if err = d.register(ctx, app); err != nil {
		d.log.Warn("cannot register the commands, mentions and direct messages still work", "err", err)
	}
	err = d.runGateway(ctx)

	d.mu.Lock()
	d.session = nil
	d.mu.Unlock()
	cancel()
	run.work.Wait()
	return err
}

// signIn learns who the bot is. It retries what may pass by itself and returns what may not.
func (d *Discord) signIn(ctx context.Context) (*discordgo.User, error) {
	for wait := time.Second; ; wait = min(2*wait, time.Minute) {
		self, err := d.api.User("@me", discordgo.WithContext(ctx))
		if err == nil {
			return self, nil
		}
		if unauthorised(err) {
			return nil, fmt.Errorf("discord: sign in: %w: %s", err, tokenRemedy)
		}
		if e := deliveryError(err); e.RetryAfter > wait {
			wait = e.RetryAfter
		}
		if ctx.Err() != nil {
			return nil, nil
		}
		d.log.Warn("cannot sign in, will try again", "err", err, "wait", wait)
		if sleep(ctx, wait) != nil {
			return nil, nil
		}
	}
}

const (
	commandName = "atl"
	optionName  = "text"
	// completeWithin is how long suggestions may take: Discord shows none after 3 s.
	completeWithin = 2500 * time.Millisecond
)

// contextName is the command in a message's own menu. Discord shows it in the language of the client.
const contextName = "Explain this"

// register makes /atl and the command on messages the application's commands: in the guild, where they are there at once, or
// everywhere.
func (d *Discord) register(ctx context.Context, app string) error {
	command := &discordgo.ApplicationCommand{Name: commandName}
	command.Description, command.DescriptionLocalizations = local(func(p *message.Printer) string { return p.Sprintf("Ask about a cluster, or propose a change") })
	for _, o := range []struct {
		name string
		says func(*message.Printer) string
	}{
		{optionName, func(p *message.Printer) string { return p.Sprintf("a question, or: incidents, pods, changes, help") }},
		{tools.FieldCluster, func(p *message.Printer) string { return p.Sprintf("which cluster it is about") }},
		{tools.FieldNamespace, func(p *message.Printer) string { return p.Sprintf("which namespace it is about") }},
		{tools.FieldWorkload, func(p *message.Printer) string {
			return p.Sprintf("which deployment, statefulset, daemonset or cronjob it is about")
		}},
	} {
		text, others := local(o.says)
		command.Options = append(command.Options, &discordgo.ApplicationCommandOption{
			Type: discordgo.ApplicationCommandOptionString, Name: o.name, Description: text, DescriptionLocalizations: *others, Autocomplete: o.name != optionName,
		})
	}
	onMessage := &discordgo.ApplicationCommand{Type: discordgo.MessageApplicationCommand, Name: contextName}
	_, onMessage.NameLocalizations = local(func(p *message.Printer) string { return p.Sprintf("Explain this") })
	_, err := d.api.ApplicationCommandBulkOverwrite(app, d.cfg.GuildID, []*discordgo.ApplicationCommand{command, onMessage}, discordgo.WithContext(ctx))
	return err
}

// local gives a text in English and in the other languages, of which Discord shows the client's.
func local(says func(*message.Printer) string) (string, *map[discordgo.Locale]string) {
	return says(phrase.For("en")), &map[discordgo.Locale]string{discordgo.ChineseCN: says(phrase.For("zh")), discordgo.Japanese: says(phrase.For("ja"))}
}

// begin runs f as a handler's goroutine of the present session. It says false when none is serving.
func (d *Discord) begin(f func(*session)) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	run := d.session
	if run == nil {
		return false
	}
	run.work.Go(func() {
		defer func() {
			// A fault in one answer must not take the process, and everyone else's incidents, with it.
			if p := recover(); p != nil {
				d.log.Error("handler panicked", "err", fmt.Sprint(p), "stack", string(debug.Stack()))
			}
		}()
		f(run)
	})
	return true
}

// take decodes one event and answers it. Kind is the gateway's name of it.
func (d *Discord) take(kind string, payload []byte) bool {
	return d.begin(func(run *session) {
		var h *heard
		var err error
		switch kind {
		case "MESSAGE_CREATE":
			h, err = decodeMessage(payload, run.self)
		case "INTERACTION_CREATE":
			h, err = decodeInteraction(payload)
		}
		if err != nil {
			d.log.Warn("unreadable event", "type", kind, "err", err)
			return
		}
		if h != nil {
			d.answer(run, h)
		}
	})
}

// answer finds out where and by whom the bot was spoken to and hands it to the core.
func (d *Discord) answer(run *session, h *heard) {
	ctx := run.ctx
	if h.in.Kind == bot.Complete {
		d.complete(run, h)
		return
	}
	r := newResponder(ctx, d, run, h)
	defer r.close()
	ours, err := d.places.find(ctx, h)
	if err != nil && h.in.Kind == bot.Pointed { // a channel without the bot: the answer is for one person, wherever that is
		h.in.Place, err = bot.Place{Surface: "discord", Channel: h.channel}, nil
	}
	if err != nil {
		d.log.Warn("cannot tell which channel an event is in, it is left alone", "channel", h.channel, "err", err)
		return
	}
	if h.in.Kind == bot.Reply && !ours {
		return
	}
	if h.in.Person, err = d.places.person(ctx, h, d.cfg.GuildID); err != nil {
		d.log.Warn("cannot look a person up, they are taken for a stranger", "user", h.in.Person.ID, "err", err)
	}
	if h.in.At.IsZero() {
		h.in.At = d.cfg.Now()
	}
	run.handler(ctx, h.in, r)
}

// sleep waits, or says why it did not.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
