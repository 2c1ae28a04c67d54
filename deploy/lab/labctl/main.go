// Labctl starts, stops and breaks the lab by hand.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/bukahou/atlhyper/deploy/lab"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "labctl:", err)
		os.Exit(1)
	}
}

// commands is the command line.
type commands struct {
	Dir string `help:"Where the lab lives. Default: atlhyper-lab in the user's cache directory." env:"ATLHYPER_LAB_DIR" type:"path"`

	Build struct{} `cmd:"" help:"Build the Kubernetes binaries, about ten minutes once."`
	Up    struct {
		Nodes int `default:"4" help:"How many nodes at least."`
	} `cmd:"" help:"Start the lab, or find it running, and print how to use it."`
	Down struct {
		Purge bool `help:"Also delete its data."`
	} `cmd:"" help:"Stop the lab. Its data stay."`
	Status struct{} `cmd:"" help:"Say whether the lab runs."`
	Seed   struct {
		Pods int32 `help:"Also run so many pods in the namespace bench."`
	} `cmd:"" help:"Make the shop: twelve Deployments in the namespace shop."`
	Break struct {
		Fault  string `arg:"" help:"image-pull, crash-loop, oom-kill, not-ready, config-error, unschedulable or node-not-ready."`
		Target string `arg:"" help:"A Deployment, [NAMESPACE/]NAME with shop as the default namespace, or a node."`
	} `cmd:"" help:"Break a Deployment or a node."`
	Heal struct {
		Target string `arg:"" help:"A Deployment, [NAMESPACE/]NAME, or node/NAME."`
	} `cmd:"" help:"Mend what break broke."`
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	var c commands
	exit := -1
	parser, err := kong.New(&c, kong.Name("labctl"), kong.Description("A real Kubernetes control plane without containers."),
		kong.Writers(stdout, stderr), kong.Exit(func(code int) { exit = code }))
	if err != nil {
		return err
	}
	parsed, err := parser.Parse(args)
	if exit == 0 { // --help was asked for and has been printed
		return nil
	}
	if err != nil {
		return err
	}
	if c.Dir == "" {
		cache, err := os.UserCacheDir()
		if err != nil {
			return fmt.Errorf("no place for the lab: %w; set --dir", err)
		}
		c.Dir = filepath.Join(cache, "atlhyper-lab")
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))

	switch strings.Fields(parsed.Command())[0] {
	case "build":
		if _, err := lab.Build(ctx, log); err != nil {
			return err
		}
		return prepareTelemetry(ctx, log)
	case "up":
		return up(ctx, lab.Config{Dir: c.Dir, Nodes: c.Up.Nodes, Detached: true, Log: log}, stdout)
	case "down":
		return down(c.Dir, c.Down.Purge, log, stdout)
	}

	l, err := lab.Open(c.Dir, log)
	if err != nil {
		return fmt.Errorf("%w; start it with labctl up", err)
	}
	switch strings.Fields(parsed.Command())[0] {
	case "seed":
		if err := l.SeedShop(ctx); err != nil || c.Seed.Pods == 0 {
			return err
		}
		return l.RunPods(ctx, "bench", c.Seed.Pods)
	case "break":
		return breakTarget(ctx, l, c.Break.Fault, c.Break.Target)
	case "heal":
		if node, ok := strings.CutPrefix(c.Heal.Target, "node/"); ok {
			return l.HealNode(ctx, node)
		}
		namespace, name := split(c.Heal.Target)
		return l.Heal(ctx, namespace, name)
	}
	describe(stdout, l)
	return nil
}

// up starts a lab, or takes the one that runs. A lab of which a part has ended is stopped and started whole.
func up(ctx context.Context, cfg lab.Config, stdout io.Writer) error {
	l, err := lab.Open(cfg.Dir, cfg.Log)
	if errors.Is(err, lab.ErrNotRunning) {
		if l != nil {
			cfg.Log.Warn("starting the lab afresh", "err", err)
			if err := l.Stop(); err != nil {
				return err
			}
		}
		l, err = lab.Start(ctx, cfg)
	}
	if err != nil {
		return err
	}
	describe(stdout, l)
	return nil
}

func down(dir string, purge bool, log *slog.Logger, stdout io.Writer) error {
	l, err := lab.Open(dir, log)
	if err != nil && !errors.Is(err, lab.ErrNotRunning) {
		return err
	}
	if l != nil {
		if err := l.Stop(); err != nil {
			return err
		}
		fmt.Fprintln(stdout, "# the lab is stopped")
	} else {
		fmt.Fprintln(stdout, "# no lab runs")
	}
	if !purge {
		return nil
	}
	if _, err := os.Stat(filepath.Join(dir, "state.json")); err != nil {
		return fmt.Errorf("%s is not a lab's directory: %w", dir, err)
	}
	return os.RemoveAll(dir)
}

func breakTarget(ctx context.Context, l *lab.Lab, fault, target string) error {
	if fault == "node-not-ready" {
		return l.NodeNotReady(ctx, strings.TrimPrefix(target, "node/"))
	}
	inject, ok := l.Faults()[fault]
	if !ok {
		known := append(slices.Sorted(maps.Keys(l.Faults())), "node-not-ready")
		return fmt.Errorf("no fault %q, want one of %s", fault, strings.Join(known, ", "))
	}
	namespace, name := split(target)
	return inject(ctx, namespace, name)
}

func split(target string) (namespace, name string) {
	if namespace, name, ok := strings.Cut(target, "/"); ok {
		return namespace, name
	}
	return lab.ShopNamespace, target
}

// describe prints lines that a shell can evaluate.
func describe(stdout io.Writer, l *lab.Lab) {
	fmt.Fprintf(stdout, "# the lab runs at %s, its files are in %s\n", l.RESTConfig().Host, l.Dir())
	fmt.Fprintf(stdout, "export KUBECONFIG=%s\n", l.Kubeconfig())
}
