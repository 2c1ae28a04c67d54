package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"

	"connectrpc.com/connect"

	"github.com/bukahou/atlhyper/bot/gateway"
)

// clientFlags say which engine a person speaks to, and as whom.
type clientFlags struct {
	EngineURL string `name:"engine" help:"Address of a running engine, such as https://atlhyper.example:8080." env:"ATLHYPER_ENGINE" placeholder:"URL"`
	Token     string `help:"Your token at that engine." env:"ATLHYPER_TOKEN"`
}

func (c clientFlags) client() (gateway.ChatServiceClient, error) {
	if c.Token == "" {
		return nil, errors.New("a token is needed to speak with an engine: set ATLHYPER_TOKEN; an admin makes one with `atlhyper token add NAME`")
	}
	return gateway.NewChatServiceClient(http.DefaultClient, c.EngineURL, connect.WithInterceptors(gateway.Bearer(c.Token))), nil
}

// explain says what a person can do about a failed call.
func (c clientFlags) explain(err error) error {
	switch connect.CodeOf(err) {
	case connect.CodeUnauthenticated:
		return errors.New("the engine does not know this token; an admin makes one with `atlhyper token add NAME`")
	case connect.CodeUnavailable:
		return fmt.Errorf("no engine answers at %s: is it running, and is this its --listen address?", c.EngineURL)
	}
	var e *connect.Error
	if errors.As(err, &e) {
		return errors.New(e.Message())
	}
	return err
}

// chatCmd is the terminal chat against a running engine.
type chatCmd struct {
	clientFlags
}

func (c *chatCmd) Run(ctx context.Context, env *environment) error {
	if c.EngineURL == "" {
		return errors.New("--engine or ATLHYPER_ENGINE is needed; without an engine use `atlhyper up`")
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	return left(c.explainEnd(gateway.Chat(ctx, gateway.ChatConfig{
		Client: client, In: env.stdin, Out: env.stdout, Lang: env.lang, Conversation: localUser() + "@" + host, Logger: env.log,
	})))
}

func (c *chatCmd) explainEnd(err error) error {
	if err == nil {
		return nil
	}
	return c.explain(err)
}
