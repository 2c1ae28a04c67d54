package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/bot/assistant/gemini"
	"github.com/bukahou/atlhyper/bot/assistant/generativeai"
	"github.com/bukahou/atlhyper/bot/assistant/openai"
	"github.com/bukahou/atlhyper/bot/assistant/planner"
	"github.com/bukahou/atlhyper/bot/discord"
	"github.com/bukahou/atlhyper/bot/gateway"
	"github.com/bukahou/atlhyper/bot/mcp"
	"github.com/bukahou/atlhyper/bot/notify"
	"github.com/bukahou/atlhyper/bot/slack"
	"github.com/bukahou/atlhyper/bot/web"
	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/slo"
	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/tools"
)

// policyFlags say what is protected and who administers.
type policyFlags struct {
	Admins              []string `help:"First admins, such as slack:U123,discord:456." env:"ATLHYPER_ADMINS"`
	PeopleFile          string   `help:"YAML file of people, groups and their roles." env:"ATLHYPER_PEOPLE_FILE" type:"path"`
	ProtectedNamespaces []string `help:"Namespaces where every change needs another operator." env:"ATLHYPER_PROTECTED_NAMESPACES" default:"kube-system"`
	ProtectedClusters   []string `help:"Clusters where every change needs another operator." env:"ATLHYPER_PROTECTED_CLUSTERS"`
	TimeScale           float64  `help:"Divide the state machine's durations, for a test bed; thresholds stay." env:"ATLHYPER_TIME_SCALE" default:"1"`
	Formulas            string   `help:"By which formulas to judge: default, or classic for comparison." default:"default" enum:"default,classic" env:"ATLHYPER_FORMULAS"`
	NoChanges           bool     `help:"Leave the what-changed rule out of the root cause." env:"ATLHYPER_NO_CHANGES"`
	objectiveFlags
}

// objectiveFlags name the file of objectives.
type objectiveFlags struct {
	SLOFile string `name:"slo-file" help:"YAML file of service level objectives; what stands in it cannot be changed in chat." env:"ATLHYPER_SLO_FILE" type:"path" placeholder:"FILE"`
}

// objectives reads the file, none when there is none.
func (f objectiveFlags) objectives() ([]slo.Objective, error) {
	if f.SLOFile == "" {
		return nil, nil
	}
	raw, err := os.ReadFile(f.SLOFile)
	if err != nil {
		return nil, fmt.Errorf("--slo-file: %w", err)
	}
	all, err := slo.ParseFile(raw)
	if err != nil {
		return nil, fmt.Errorf("--slo-file %s: %w", f.SLOFile, err)
	}
	return all, nil
}

// chatFlags are the platforms and the model.
type chatFlags struct {
	SlackAppToken      string `help:"App-level token (xapp-…): Socket Mode." env:"SLACK_APP_TOKEN" group:"Slack"`
	SlackBotToken      string `help:"Bot token (xoxb-…)." env:"SLACK_BOT_TOKEN" group:"Slack"`
	SlackSigningSecret string `help:"Signing secret: events over HTTP." env:"SLACK_SIGNING_SECRET" group:"Slack"`
	SlackAPIURL        string `name:"slack-api-url" help:"Another base address of Slack's API." env:"SLACK_API_URL" group:"Slack"`
	SlackChannel       string `help:"Channel where incidents go (its id)." env:"SLACK_CHANNEL" group:"Slack"`

	DiscordBotToken  string `help:"Bot token." env:"DISCORD_BOT_TOKEN" group:"Discord"`
	DiscordAppID     string `name:"discord-app-id" help:"Application id." env:"DISCORD_APP_ID" group:"Discord"`
	DiscordGuildID   string `name:"discord-guild-id" help:"Guild whose commands appear at once." env:"DISCORD_GUILD_ID" group:"Discord"`
	DiscordChannel   string `help:"Channel where incidents go (its id)." env:"DISCORD_CHANNEL" group:"Discord"`
	DiscordPublicKey string `help:"Public key: interactions over HTTP." env:"DISCORD_PUBLIC_KEY" group:"Discord"`
	DiscordAPIURL    string `name:"discord-api-url" help:"Another base address of Discord's API." env:"DISCORD_API_URL" group:"Discord"`

	GeminiAPIKey string `name:"gemini-api-key" help:"Gemini key; without one the planner answers." env:"GEMINI_API_KEY" group:"Model"`
	GeminiModel  string `help:"Gemini model." env:"GEMINI_MODEL" default:"gemini-3.8-flash" group:"Model"`
	GeminiAPIURL string `name:"gemini-api-url" help:"Another base address of Gemini's API." env:"GEMINI_API_URL" group:"Model"`
	GeminiSDK    string `name:"gemini-sdk" help:"Which SDK speaks with Gemini: genai, or generative-ai-go." env:"GEMINI_SDK" enum:"genai,generative-ai-go" default:"genai" group:"Model"`

	OpenAIAPIKey  string `name:"openai-api-key" help:"Key of OpenAI, or of what speaks as it does." env:"OPENAI_API_KEY" group:"Model"`
	OpenAIBaseURL string `name:"openai-base-url" help:"Ollama, vLLM or the like, such as http://localhost:11434/v1." env:"OPENAI_BASE_URL" group:"Model"`
	OpenAIModel   string `name:"openai-model" help:"Model there." env:"OPENAI_MODEL" group:"Model"`

	SecretKeyFile string `help:"File with the key, 64 hexadecimal digits, that seals the model's API key when an admin sets it in chat; secret.key in the data directory when left out." env:"ATLHYPER_SECRET_KEY_FILE" type:"path" placeholder:"FILE" group:"Model"`

	ModelTokensPerson int `help:"Tokens that one person may spend on the model in a day (UTC); then the planner answers. 0: no limit." env:"ATLHYPER_MODEL_TOKENS_PERSON" default:"1000000" group:"Model"`
	ModelTokensThread int `help:"The same of one thread." env:"ATLHYPER_MODEL_TOKENS_THREAD" default:"1000000" group:"Model"`
	ModelTokensAll    int `help:"The same of everybody together." env:"ATLHYPER_MODEL_TOKENS_ALL" default:"20000000" group:"Model"`
}

// notifyFlags name the file of routes.
type notifyFlags struct {
	Routes string `help:"YAML file of who is told by mail and webhook, who is on call, and which reports come when." env:"ATLHYPER_ROUTES" type:"path" placeholder:"FILE" group:"Notifications"`
}

// plan reads the file, nil when there is none.
func (f notifyFlags) plan() (*notify.Plan, error) {
	if f.Routes == "" {
		return nil, nil
	}
	return notify.ReadFile(f.Routes)
}

// webFlags are the page's.
type webFlags struct {
	WebURL        string `name:"web-url" help:"Address at which people reach the page, such as https://atlhyper.example; links on cards need it." env:"ATLHYPER_WEB_URL" group:"Page"`
	AdminUsername string `help:"Name of the administrator who enters the page by password." env:"ATLHYPER_ADMIN_USERNAME" group:"Page"`
	AdminPassword string `help:"The administrator's password, or its argon2id hash." env:"ATLHYPER_ADMIN_PASSWORD" group:"Page"`
}

// coreConfig is what newCore needs.
type coreConfig struct {
	policyFlags
	chatFlags
	notifyFlags
	webFlags
	database string // file, or ":memory:"
	lang     string
	now      func() time.Time // nil: the wall clock
	surfaces []bot.Surface
	channels []bot.Place
	editGap  time.Duration
	poll     time.Duration
	clients  bool // people's own clients may connect
	log      *slog.Logger
}

// core is an engine with its bot, in one process.
type core struct {
	db       *storage.DB
	engine   *engine.Engine
	tools    *tools.Registry
	answerer assistant.Answerer
	model    *models
	bot      *bot.Bot
	notifier *notify.Notifier // nil without routes
	slack    *slack.Slack
	discord  *discord.Discord
	clients  *gateway.Server
	mcp      http.Handler // nil unless clients may connect
	web      *web.Web
	close    []func() error // last in, first out
}

func newCore(ctx context.Context, cfg coreConfig) (*core, error) {
	c := &core{}
	fail := func(err error) (*core, error) { return nil, errors.Join(err, c.Close()) }
	var err error
	if c.db, err = storage.Open(ctx, cfg.database, storage.Config{Logger: cfg.log}); err != nil {
		return fail(err)
	}
	c.close = append(c.close, c.db.Close)
	if cfg.TimeScale <= 0 {
		return fail(errors.New("--time-scale must be positive"))
	}
	objectives, err := cfg.objectives()
	if err != nil {
		return fail(err)
	}
	var roles *people.File
	if cfg.PeopleFile != "" {
		if roles, err = people.ReadFile(cfg.PeopleFile); err != nil {
			return fail(err)
		}
	}
	plan, err := cfg.plan()
	if err != nil {
		return fail(err)
	}
	if plan == nil {
		plan = &notify.Plan{}
	}
	if c.engine, err = engine.New(ctx, engine.Config{
		Objectives: objectives, Rota: plan.Rota,
		Store: c.db, Now: cfg.now, Scale: 1 / cfg.TimeScale, NoChanges: cfg.NoChanges, Formulas: engine.Formulas(cfg.Formulas), Admins: cfg.Admins, PeopleFile: roles, Logger: cfg.log,
		Policy: command.Policy{ProtectedNamespaces: cfg.ProtectedNamespaces, ProtectedClusters: cfg.ProtectedClusters},
	}); err != nil {
		return fail(err)
	}
	c.close = append(c.close, func() error { c.engine.Close(); return nil })
	if c.tools, err = tools.New(c.engine, cfg.log); err != nil {
		return fail(err)
	}
	if c.model, err = openModels(ctx, cfg.chatFlags, c.db, cfg.database, planner.New(c.tools), c.tools, cfg.log); err != nil {
		return fail(err)
	}
	c.answerer = c.model
	c.close = append(c.close, c.model.Close)
	if err = c.connectPlatforms(&cfg); err != nil {
		return fail(err)
	}
	if cfg.clients {
		c.clients = gateway.New(c.db, cfg.log)
		if c.mcp, err = mcp.NewHandler(mcp.Config{Tools: c.tools, Tokens: c.db, Now: cfg.now, Version: version, Logger: cfg.log}); err != nil {
			return fail(err)
		}
		cfg.surfaces, cfg.channels = append(cfg.surfaces, c.clients), append(cfg.channels, clientPlace)
	}
	if err = c.openPage(cfg); err != nil {
		return fail(err)
	}
	c.bot, err = bot.New(bot.Config{
		Engine: c.engine, Tools: c.tools, Answerer: c.answerer, Models: c.model, Store: c.db, Surfaces: cfg.surfaces, Channels: cfg.channels,
		Lang: cfg.lang, Now: cfg.now, EditEvery: cfg.editGap, Poll: cfg.poll, PageURL: c.web.Base(), Logger: cfg.log,
	})
	if err != nil {
		return fail(err)
	}
	if cfg.Routes != "" {
		if c.notifier, err = notify.New(notify.Config{
			Plan: plan, Engine: c.engine, Tools: c.tools, Store: c.db, Chat: cfg.channels, Lang: cfg.lang, PageURL: c.web.Base(), Now: cfg.now, Poll: cfg.poll, Logger: cfg.log,
		}); err != nil {
			return fail(err)
		}
	}
	if c.clients != nil {
		c.clients.Answers(func(ctx context.Context, q string, caller tools.Caller) (*bot.Asked, error) {
			return c.bot.Ask(ctx, q, caller, nil)
		})
	}
	return c, nil
}

// openPage makes the page and the tool that lets people in to it.
func (c *core) openPage(cfg coreConfig) error {
	var chats []web.Permalinker
	if c.slack != nil {
		chats = append(chats, c.slack)
	}
	if c.discord != nil {
		chats = append(chats, c.discord)
	}
	var err error
	if c.web, err = web.New(web.Config{
		Engine: c.engine, Tools: c.tools, Store: c.db, Thread: c.db, Chats: chats,
		URL: cfg.WebURL, Username: cfg.AdminUsername, Password: cfg.AdminPassword, Version: version, Now: cfg.now, Logger: cfg.log,
	}); err != nil {
		return err
	}
	link, err := tools.WebTool(c.web)
	if err != nil {
		return err
	}
	return c.tools.Add(link)
}

// checkedModel is a model that can say whether it can be used.
type checkedModel interface {
	assistant.Model
	Check(ctx context.Context) error
}

// hasModel says whether a model is set up.
func (f chatFlags) hasModel() bool {
	return f.GeminiAPIKey != "" || f.OpenAIAPIKey != "" || f.OpenAIBaseURL != ""
}

// modelOnly leaves the platforms out: nobody is written to.
func (f chatFlags) modelOnly() chatFlags {
	return chatFlags{
		GeminiAPIKey: f.GeminiAPIKey, GeminiModel: f.GeminiModel, GeminiAPIURL: f.GeminiAPIURL, GeminiSDK: f.GeminiSDK,
		OpenAIAPIKey: f.OpenAIAPIKey, OpenAIBaseURL: f.OpenAIBaseURL, OpenAIModel: f.OpenAIModel,
	}
}

// model makes the model that is set up, nil when there is none, and what closes it.
func (f chatFlags) model(ctx context.Context) (checkedModel, func() error, error) {
	none := func() error { return nil }
	switch {
	case f.GeminiAPIKey != "" && f.GeminiSDK == "generative-ai-go":
		m, err := generativeai.New(ctx, generativeai.Config{APIKey: f.GeminiAPIKey, Model: f.GeminiModel, BaseURL: f.GeminiAPIURL})
		if err != nil {
			return nil, none, err
		}
		return m, m.Close, nil
	case f.GeminiAPIKey != "":
		m, err := gemini.New(ctx, gemini.Config{APIKey: f.GeminiAPIKey, Model: f.GeminiModel, BaseURL: f.GeminiAPIURL})
		if err != nil {
			return nil, none, err
		}
		return m, none, nil
	case f.OpenAIAPIKey != "" || f.OpenAIBaseURL != "":
		m, err := openai.New(openai.Config{APIKey: f.OpenAIAPIKey, Model: f.OpenAIModel, BaseURL: f.OpenAIBaseURL})
		if err != nil {
			return nil, none, err
		}
		return m, none, nil
	}
	return nil, none, nil
}

// connectPlatforms adds Slack and Discord when their tokens are set.
func (c *core) connectPlatforms(cfg *coreConfig) error {
	if cfg.SlackBotToken != "" {
		s, err := slack.New(slack.Config{
			BotToken: cfg.SlackBotToken, AppToken: cfg.SlackAppToken, SigningSecret: cfg.SlackSigningSecret, APIURL: cfg.SlackAPIURL,
			Channel: cfg.SlackChannel, Logger: cfg.log,
		})
		if err != nil {
			return err
		}
		c.slack = s
		cfg.surfaces = append(cfg.surfaces, s)
		if cfg.SlackChannel != "" {
			cfg.channels = append(cfg.channels, bot.Place{Surface: s.Name(), Channel: cfg.SlackChannel})
		}
	}
	if cfg.DiscordBotToken != "" {
		d, err := discord.New(discord.Config{
			BotToken: cfg.DiscordBotToken, AppID: cfg.DiscordAppID, GuildID: cfg.DiscordGuildID,
			PublicKey: cfg.DiscordPublicKey, APIURL: cfg.DiscordAPIURL, Logger: cfg.log,
		})
		if err != nil {
			return err
		}
		c.discord = d
		cfg.surfaces = append(cfg.surfaces, d)
		if cfg.DiscordChannel != "" {
			cfg.channels = append(cfg.channels, bot.Place{Surface: d.Name(), Channel: cfg.DiscordChannel})
		}
	}
	return nil
}

// speak runs the bot, and the notifier where there are routes, until ctx ends or one of them fails.
func (c *core) speak(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return c.bot.Run(ctx) })
	if c.notifier != nil {
		group.Go(func() error { return c.notifier.Run(ctx) })
	}
	return group.Wait()
}

// idle says whether everybody has been told everything.
func (c *core) idle(ctx context.Context) (bool, error) {
	idle, err := c.bot.Idle(ctx)
	if err != nil || !idle || c.notifier == nil {
		return idle, err
	}
	return c.notifier.Idle(ctx)
}

// Close releases what newCore opened, last in, first out.
func (c *core) Close() error {
	var errs []error
	for i := len(c.close) - 1; i >= 0; i-- {
		errs = append(errs, c.close[i]())
	}
	c.close = nil
	return errors.Join(errs...)
}

// databaseIn is the database's file in a data directory.
func databaseIn(dir string) string { return filepath.Join(dir, "atlhyper.db") }

// localToken makes a token for an agent of this very process.
func (c *core) localToken(ctx context.Context, cluster string) (string, error) {
	token, err := c.db.RotateCluster(ctx, cluster)
	if errors.Is(err, storage.ErrNoCluster) {
		token, err = c.db.AddCluster(ctx, cluster)
	}
	if err != nil {
		return "", fmt.Errorf("make the local agent's token: %w", err)
	}
	return token, nil
}

// complete gives the words that may follow what is typed: verbs first, then the names of what exists.
func (c *core) complete(line string) []string {
	words := strings.Fields(line)
	if strings.HasSuffix(line, " ") || len(words) == 0 {
		words = append(words, "")
	}
	last := words[len(words)-1]
	candidates := append(c.tools.Verbs(), "help", "home")
	if len(words) > 1 {
		candidates = c.tools.Names()
	}
	return slices.DeleteFunc(candidates, func(s string) bool { return !strings.HasPrefix(s, last) })
}
