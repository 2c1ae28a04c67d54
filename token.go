package main

import (
	"context"

	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/storage"
)

// tokenCmd makes and ends the tokens with which people's own clients (chat, ask --engine) connect.
type tokenCmd struct {
	Add    tokenAdd    `cmd:"" help:"Make a person's token; it is shown once. An earlier one of that name ends."`
	Remove tokenRemove `cmd:"" help:"End a person's token."`
}

type tokenAdd struct {
	dataDir
	Name string `arg:"" help:"The person's name."`
	Role string `help:"viewer, operator or admin." default:"viewer" enum:"viewer,operator,admin"`
}

type tokenRemove struct {
	dataDir
	Name string `arg:"" help:"The person's name."`
}

func (c *tokenAdd) Run(ctx context.Context, env *environment) error {
	role, err := people.ParseRole(c.Role)
	if err != nil {
		return err
	}
	return c.database(ctx, env, func(db *storage.DB) error {
		token, err := db.AddPerson(ctx, c.Name, role)
		if err == nil {
			err = env.say("Speak with the engine as %s (%s):\n  ATLHYPER_TOKEN=%s atlhyper chat --engine http://ENGINE:8080", c.Name, role, token)
		}
		return err
	})
}

func (c *tokenRemove) Run(ctx context.Context, env *environment) error {
	return c.database(ctx, env, func(db *storage.DB) error {
		if err := db.RemovePerson(ctx, c.Name); err != nil {
			return err
		}
		return env.say("The token of %s has ended.", c.Name)
	})
}
