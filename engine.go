package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"

	"golang.org/x/sync/errgroup"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/gateway"
)

// engineCmd is the real deployment: one engine, agents in each cluster.
type engineCmd struct {
	dataDir
	policyFlags
	chatFlags
	notifyFlags
	webFlags
	adminFlags
	Listen      string `help:"Address for people: the page, chat clients, Slack and Discord over HTTP." env:"ATLHYPER_LISTEN" default:":8080"`
	AgentListen string `help:"Address for agents." env:"ATLHYPER_AGENT_LISTEN" default:":8081"`
}

func (c *engineCmd) Run(ctx context.Context, env *environment) error {
	dir, err := c.dataDir.open()
	if err != nil {
		return err
	}
	cfg := coreConfig{policyFlags: c.policyFlags, chatFlags: c.chatFlags, notifyFlags: c.notifyFlags, webFlags: c.webFlags, database: databaseIn(dir), lang: cmp.Or(env.asked, "en"), log: env.log, clients: true}
	core, err := newCore(ctx, cfg)
	if err != nil {
		return err
	}
	defer core.Close()
	known, err := core.db.Clusters(ctx)
	if err != nil {
		return err
	}
	for _, cluster := range known {
		if err := core.engine.Expect(ctx, cluster.Name); err != nil {
			return err
		}
	}
	agents, err := net.Listen("tcp", c.AgentListen)
	if err != nil {
		return fmt.Errorf("listen for agents: %w; choose another address with --agent-listen", err)
	}
	people, err := core.listen(c.Listen)
	if err != nil {
		return errors.Join(err, agents.Close())
	}
	monitor, err := c.adminFlags.open()
	if err != nil {
		return errors.Join(err, agents.Close(), people.Close())
	}
	env.note("atlhyper engine: agents at %s, people at %s", agents.Addr(), people.Addr())
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, agents, agentPort(core)) })
	group.Go(func() error { return serve(ctx, people, peoplePort(core)) })
	if monitor != nil {
		group.Go(func() error { return serve(ctx, monitor, c.adminFlags.handler(core.ready, fleetMetrics{core.engine})) })
	}
	group.Go(func() error { return core.engine.Run(ctx) })
	group.Go(func() error { return core.speak(ctx) })
	return left(group.Wait())
}

// clientPlace is where incidents go for people's own clients.
var clientPlace = bot.Place{Surface: "client", Channel: gateway.Broadcast}
