package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"connectrpc.com/connect"
	"golang.org/x/sync/errgroup"

	"github.com/bukahou/atlhyper/agent"
	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/gateway"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// askCmd is one question for scripts.
type askCmd struct {
	kubeFlags
	clientFlags
	policyFlags
	chatFlags
	Question string        `arg:"" help:"The question, in plain words or as a command."`
	Cluster  string        `help:"Cluster that the question is about; all when empty." env:"ATLHYPER_CLUSTER_ID"`
	JSON     bool          `name:"json" help:"Print the answer, the facts, the root cause and the tools called as JSON."`
	Timeout  time.Duration `help:"How long it may take." default:"60s"`
}

func (c *askCmd) Run(ctx context.Context, env *environment) error {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	lang := env.asked
	if lang == "" {
		client := env.lang
		if c.JSON {
			client = "en" // scripts read it, whatever the terminal speaks
		}
		lang = bot.AnswerLang(c.Question, client)
	}
	asked, err := c.ask(ctx, env, lang)
	var problem *tools.Problem
	switch {
	case errors.As(err, &problem):
		return problem
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("no answer within %s; is the cluster reachable? A longer --timeout waits longer", c.Timeout)
	case err != nil:
		return err
	}
	if c.JSON {
		enc := json.NewEncoder(env.stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(asked)
	}
	return show(env, asked, lang)
}

// show prints an answer as the terminal would.
func show(env *environment, asked *bot.Asked, lang string) error {
	r := terminal.Renderer{Width: 100, Plain: true, Number: func(message.Button) int { return 0 }}
	for i, res := range asked.Results {
		files := res.Files
		res.Options, res.Next, res.Files = nil, nil, nil
		m, err := card.Result(res, asked.At, lang, nil)
		if err != nil {
			return err
		}
		if i == 0 && asked.By != "planner" && asked.By != "command" {
			m.Title = asked.Answer
		}
		if asked.Degraded != "" && i == 0 {
			m.Footer = phrase.For(lang).Sprintf("Answering without the model: %s", phrase.Say(lang, asked.Degraded))
		}
		if _, err := fmt.Fprint(env.stdout, r.Render(m)); err != nil {
			return err
		}
		for _, f := range files { // without a frame, so that it can be kept as it is
			if _, err := fmt.Fprint(env.stdout, "\n"+f.Body); err != nil {
				return err
			}
		}
	}
	if len(asked.Results) == 0 {
		_, err := fmt.Fprintln(env.stdout, asked.Answer)
		return err
	}
	return nil
}

func (c *askCmd) ask(ctx context.Context, env *environment, lang string) (*bot.Asked, error) {
	if c.EngineURL != "" {
		client, err := c.client()
		if err != nil {
			return nil, err
		}
		res, err := client.Ask(ctx, connect.NewRequest(&gateway.AskRequest{Question: c.Question, Cluster: c.Cluster, Lang: lang}))
		if err != nil {
			return nil, c.explain(err)
		}
		var asked bot.Asked
		return &asked, json.Unmarshal(res.Msg.GetJson(), &asked)
	}
	k, err := c.connect()
	if err != nil {
		return nil, err
	}
	return c.alone(ctx, env, k, lang)
}

// alone opens the cluster, reads it once, answers and leaves: no engine need run.
func (c *askCmd) alone(ctx context.Context, env *environment, k *kubeClients, lang string) (*bot.Asked, error) {
	k.name = cmp.Or(c.Cluster, k.name)
	dir, remove, err := tempDir()
	if err != nil {
		return nil, err
	}
	defer remove()
	core, err := newCore(ctx, coreConfig{
		policyFlags: c.policyFlags, chatFlags: c.modelOnly(),
		database: ":memory:", lang: lang, log: env.log,
	})
	if err != nil {
		return nil, err
	}
	defer core.Close()
	token, err := core.localToken(ctx, k.name)
	if err != nil {
		return nil, err
	}
	wire := newInProcess()
	a, err := agent.New(agentConfig(k, agent.Config{
		Cluster: k.name, EngineURL: "http://engine", Token: token, HTTPClient: wire.client(), DataDir: filepath.Join(dir, "agent"), Logger: env.log,
	}))
	if err != nil {
		return nil, err
	}
	inner, stop := context.WithCancel(ctx)
	defer stop()
	group, inner := errgroup.WithContext(inner)
	group.Go(func() error { return serve(inner, wire, agentPort(core)) })
	group.Go(func() error { return a.Run(inner) })
	var asked *bot.Asked
	group.Go(func() error {
		defer stop()
		select {
		case <-inner.Done():
			return inner.Err()
		case <-a.Synced():
		}
		if err := core.engine.Evaluate(inner, core.engine.Now()); err != nil {
			return err
		}
		var err error
		asked, err = core.bot.Ask(inner, c.Question, tools.Caller{
			Person: people.Person{ID: "terminal:local", Name: localUser(), Local: true}, Lang: lang,
		}, nil)
		return err
	})
	if err := group.Wait(); asked == nil {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		return nil, err
	}
	return asked, nil
}
