package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"

	"github.com/bukahou/atlhyper/agent"
)

// agentCmd runs in each cluster.
type agentCmd struct {
	kubeFlags
	dataDir
	storeFlags
	adminFlags
	ClusterID string `name:"cluster-id" help:"Id of this cluster, as in chat." env:"ATLHYPER_CLUSTER_ID" required:""`
	EngineURL string `name:"engine" help:"Address of the engine's agent port, such as https://atlhyper.example:8081." env:"ATLHYPER_ENGINE" required:""`
	// Impersonate needs the right to impersonate users, and groups where groups have bindings.
	Impersonate bool     `help:"Run each change with the rights of who asked for it, by impersonation: by e-mail address, else by chat id such as slack:U123, with the chat's groups." env:"ATLHYPER_IMPERSONATE"`
	Without     []string `help:"Kinds to leave alone, such as Secret: not read, and not told as missing." env:"ATLHYPER_WITHOUT" placeholder:"KIND"`
	Token       string   `help:"The cluster's token, from \"atlhyper cluster add\"." env:"ATLHYPER_TOKEN" required:""`
}

func (c *agentCmd) Run(ctx context.Context, env *environment) error {
	k, err := c.connect()
	if err != nil {
		return err
	}
	if err := c.storeFlags.check(); err != nil {
		return err
	}
	dir, err := c.dataDir.open()
	if err != nil {
		return err
	}
	cfg := agentConfig(k, agent.Config{
		Cluster: c.ClusterID, EngineURL: c.EngineURL, Token: c.Token, HTTPClient: tracing(http.DefaultTransport),
		Without: c.Without, DataDir: filepath.Join(dir, "agent-"+c.ClusterID), Stores: c.stores(env.log), Logger: env.log,
	})
	if c.Impersonate {
		cfg.As = k.as
	}
	a, err := agent.New(cfg)
	if err != nil {
		return err
	}
	monitor, err := c.adminFlags.open()
	if err != nil {
		return err
	}
	env.note("agent of %s: reporting to %s", c.ClusterID, c.EngineURL)
	group, ctx := errgroup.WithContext(ctx)
	if monitor != nil {
		group.Go(func() error {
			return serve(ctx, monitor, c.adminFlags.handler(func(context.Context) error {
				select {
				case <-a.Synced():
					return nil
				default:
					return errors.New("the engine does not have the cluster's state yet")
				}
			}, linkMetrics{a}))
		})
	}
	group.Go(func() error { return a.Run(ctx) })
	return group.Wait()
}

// agentConfig fills in what comes from the cluster.
func agentConfig(k *kubeClients, cfg agent.Config) agent.Config {
	cfg.Client, cfg.Dynamic, cfg.Metrics, cfg.Version = k.client, k.dynamic, k.metrics, version
	return cfg
}

// tempDir is a data directory that goes with the process.
func tempDir() (dir string, remove func(), err error) {
	dir, err = os.MkdirTemp("", "atlhyper-")
	if err != nil {
		return "", nil, fmt.Errorf("make a temporary directory: %w", err)
	}
	return dir, func() { os.RemoveAll(dir) }, nil
}
