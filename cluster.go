package main

import (
	"context"
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/storage"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// clusterCmd makes and revokes the tokens with which agents join. It works on the engine's database, and a running
// engine takes the change at the next call.
type clusterCmd struct {
	Add    clusterAdd    `cmd:"" help:"Make a cluster's token; it is shown once."`
	Rotate clusterRotate `cmd:"" help:"Replace a cluster's token; the old one ends at once."`
	Remove clusterRemove `cmd:"" help:"Revoke a cluster's token."`
	List   clusterList   `cmd:"" help:"List the clusters that have a token."`
}

type clusterAdd struct {
	dataDir
	Name string `arg:"" help:"Id of the cluster."`
}

type clusterRotate clusterAdd

type clusterRemove clusterAdd

type clusterList struct{ dataDir }

func (d dataDir) database(ctx context.Context, env *environment, use func(*storage.DB) error) error {
	dir, err := d.open()
	if err != nil {
		return err
	}
	db, err := storage.Open(ctx, databaseIn(dir), storage.Config{Logger: env.log, Shared: true})
	if err != nil {
		return err
	}
	defer db.Close()
	return use(db)
}

const howToStart = "Start its agent with:\n  atlhyper agent --cluster-id %s --engine https://ENGINE:8081 --token %s"

func (c *clusterAdd) Run(ctx context.Context, env *environment) error {
	return c.database(ctx, env, func(db *storage.DB) error {
		token, err := db.AddCluster(ctx, c.Name)
		if err == nil {
			err = env.say(howToStart, c.Name, token)
		}
		return err
	})
}

func (c *clusterRotate) Run(ctx context.Context, env *environment) error {
	return c.database(ctx, env, func(db *storage.DB) error {
		token, err := db.RotateCluster(ctx, c.Name)
		if err == nil {
			err = env.say(howToStart, c.Name, token)
		}
		return err
	})
}

func (c *clusterRemove) Run(ctx context.Context, env *environment) error {
	return c.database(ctx, env, func(db *storage.DB) error {
		if err := db.RemoveCluster(ctx, c.Name); err != nil {
			return err
		}
		return env.say("The token of %s is revoked.", c.Name)
	})
}

func (c *clusterList) Run(ctx context.Context, env *environment) error {
	return c.database(ctx, env, func(db *storage.DB) error {
		all, err := db.Clusters(ctx)
		if err != nil {
			return err
		}
		for _, c := range all {
			if _, err := fmt.Fprintf(env.stdout, "%s\t%s\n", c.Name, phrase.Line(env.lang, fmt.Sprintf("token of %s", c.Rotated.Format(time.DateTime)))); err != nil {
				return err
			}
		}
		return nil
	})
}
