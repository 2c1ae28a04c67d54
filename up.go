package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/bukahou/atlhyper/agent"
	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/mcp"
	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/engine/people"
)

// upCmd is everything in one process, for one person with a kubeconfig.
type upCmd struct {
	kubeFlags
	dataDir
	policyFlags
	chatFlags
	notifyFlags
	storeFlags
	webFlags
	Headless  bool   `help:"No terminal chat: Slack or Discord alone." env:"ATLHYPER_HEADLESS"`
	ClusterID string `name:"cluster-id" help:"Id of the cluster in chat; the context's name when empty." env:"ATLHYPER_CLUSTER_ID"`
	Listen    string `help:"Address of the page, and for Slack and Discord over HTTP; nothing listens when empty." env:"ATLHYPER_LISTEN"`
}

func (c *upCmd) Run(ctx context.Context, env *environment) error {
	if c.Headless && c.SlackBotToken == "" && c.DiscordBotToken == "" {
		return errors.New("--headless without a chat: set SLACK_BOT_TOKEN or DISCORD_BOT_TOKEN, or leave --headless out")
	}
	k, err := c.connect()
	if err != nil {
		return err
	}
	if c.ClusterID != "" {
		k.name = c.ClusterID
	}
	if err := c.storeFlags.check(); err != nil {
		return err
	}
	dir, err := c.dataDir.open()
	if err != nil {
		return err
	}
	cfg := coreConfig{policyFlags: c.policyFlags, chatFlags: c.chatFlags, notifyFlags: c.notifyFlags, webFlags: c.webFlags, database: databaseIn(dir), lang: env.lang, log: env.log}
	var t *terminal.Terminal
	if !c.Headless {
		t = terminal.New(terminal.Config{
			In: env.stdin, Out: env.stdout, Person: people.Person{ID: "terminal:local", Name: localUser(), Local: true}, Lang: env.lang,
			Greeting: terminal.Watching(k.name, env.lang),
		})
		cfg.surfaces, cfg.channels = []bot.Surface{t}, []bot.Place{t.Place()}
	}
	core, err := newCore(ctx, cfg)
	if err != nil {
		return err
	}
	defer core.Close()
	token, err := core.localToken(ctx, k.name)
	if err != nil {
		return err
	}
	wire := newInProcess()
	a, err := agent.New(agentConfig(k, agent.Config{
		Cluster: k.name, EngineURL: "http://engine", Token: token, HTTPClient: tracing(wire.client().Transport), DataDir: filepath.Join(dir, "agent-"+k.name), Stores: c.stores(env.log), Logger: env.log,
	}))
	if err != nil {
		return err
	}
	if c.Headless {
		env.note("atlhyper watches %s", k.name)
	}
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, wire, agentPort(core)) })
	group.Go(func() error { return a.Run(ctx) })
	group.Go(func() error { return core.engine.Run(ctx) })
	group.Go(func() error { return core.speak(ctx) })
	if c.Listen != "" {
		people, err := core.listen(c.Listen)
		if err != nil {
			return err
		}
		group.Go(func() error { return serve(ctx, people, peoplePort(core)) })
	}
	return left(group.Wait())
}

// left is a normal end: the person at the terminal went away.
func left(err error) error {
	if errors.Is(err, terminal.ErrLeft) || errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// agentPort is what agents dial.
func agentPort(c *core) http.Handler {
	mux := http.NewServeMux()
	mux.Handle(c.engine.Gateway().Handler())
	return traced(mux)
}

// listen opens the people's port, and lets the page know where it is.
func (c *core) listen(addr string) (net.Listener, error) {
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("listen for people: %w; choose another address with --listen", err)
	}
	c.web.ServedAt(l.Addr())
	return l, nil
}

// peoplePort is what chat platforms, people's clients and browsers reach.
func peoplePort(c *core) http.Handler {
	mux := http.NewServeMux()
	if c.slack != nil {
		mux.Handle("/slack/", c.slack.Handler())
	}
	if c.discord != nil {
		mux.Handle("/discord/", c.discord.Handler())
	}
	if c.clients != nil {
		mux.Handle(c.clients.Handler())
		mux.Handle(mcp.Path, c.mcp)
	}
	mux.Handle("/", c.web.Handler())
	return traced(mux)
}
