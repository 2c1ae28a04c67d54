package main

import (
	"context"
	"errors"

	"github.com/bukahou/atlhyper/bot/mcp"
)

// mcpCmd offers a running engine's tools to a program that speaks the Model Context Protocol over standard input and
// output. One that speaks it over HTTP connects to the engine itself.
type mcpCmd struct {
	clientFlags
}

// Help is shown by --help.
func (c *mcpCmd) Help() string {
	return "Over HTTP the same tools are at /mcp of the engine's --listen address, with the header \"Authorization: Bearer TOKEN\"."
}

func (c *mcpCmd) Run(ctx context.Context, env *environment) error {
	if c.EngineURL == "" {
		return errors.New("--engine or ATLHYPER_ENGINE is needed: the address of a running engine")
	}
	if _, err := c.client(); err != nil { // says that a token is needed, and how to get one
		return err
	}
	return mcp.Bridge(ctx, mcp.BridgeConfig{URL: c.EngineURL, Token: c.Token, In: env.stdin, Out: env.stdout, Version: version, Logger: env.log})
}
