// AtlHyper is a ChatOps-first operations assistant for Kubernetes: one binary that is the engine, the agent in each
// cluster, the bot, and the terminal that speaks with them. This package only wires.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"
	"k8s.io/klog/v2"

	"github.com/bukahou/atlhyper/tools/phrase"
)

// version is stamped at release.
var version = "dev"

// commands is the command line. Each flag has an environment twin, and each secret's twin has a _FILE twin.
type commands struct {
	Up      upCmd      `cmd:"" help:"Watch the cluster of the current kubeconfig and talk about it here, in Slack and in Discord."`
	Demo    demoCmd    `cmd:"" help:"The same on a simulated cluster: needs nothing, shows everything."`
	Engine  engineCmd  `cmd:"" help:"Run the engine and the bot; agents and people connect to it."`
	Agent   agentCmd   `cmd:"" help:"Run the agent of one cluster; it dials the engine."`
	Chat    chatCmd    `cmd:"" help:"Talk to a running engine in this terminal."`
	Ask     askCmd     `cmd:"" help:"One question, one answer on standard output."`
	MCP     mcpCmd     `cmd:"" name:"mcp" help:"Offer a running engine's tools over the Model Context Protocol (stdio)."`
	Doctor  doctorCmd  `cmd:"" help:"Check tokens, scopes, rights, agents, stores and the model; say what mends what fails."`
	Cluster clusterCmd `cmd:"" help:"Make and revoke the tokens of clusters."`
	Token   tokenCmd   `cmd:"" help:"Make and end the tokens of people."`
	Audit   auditCmd   `cmd:"" help:"Verify and export the audit log."`
	Backup  backupCmd  `cmd:"" help:"Copy the engine's database to a file, while it runs."`
	Restore restoreCmd `cmd:"" help:"Put such a copy in the database's place; the engine must be stopped."`
	Bench   benchCmd   `cmd:"" help:"Measure latency, the agent's cost and a tick of telemetry."`
	Eval    evalCmd    `cmd:"" help:"Measure the engine's judgement against labels."`

	Completion completionCmd `cmd:"" help:"Print a completion script for bash, zsh or fish."`
	Version    versionCmd    `cmd:"" help:"Print the version."`

	Lang     string `help:"Language spoken here: en, zh or ja; the terminal's when empty, but English for an engine's messages." env:"ATLHYPER_LANG" default:"" enum:",en,zh,ja" placeholder:"LANG"`
	LogLevel string `help:"debug, info, warn or error." default:"warn" enum:"debug,info,warn,error" env:"ATLHYPER_LOG_LEVEL"`
	LogFile  string `help:"Where the log goes; standard error when empty." env:"ATLHYPER_LOG_FILE" type:"path"`
}

// environment is what a command gets beside its own flags.
type environment struct {
	stdin  io.Reader
	stdout io.Writer
	stderr io.Writer
	log    *slog.Logger
	kong   *kong.Kong
	lang   string // of whoever sits at this terminal
	asked  string // the language that --lang asks for, "" when it is left to the terminal
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:], os.Getenv, os.Stdin, os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is the whole program, so that a test can start it on its own streams. It returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdin io.Reader, stdout, stderr io.Writer) int {
	var c commands
	exit := -1
	env := &environment{stdin: stdin, stdout: stdout, stderr: stderr, lang: langOf(args, getenv)}
	fail := func(err error) int {
		fmt.Fprintln(stderr, "atlhyper: "+phrase.Line(env.lang, err.Error()))
		return 1
	}
	parser, err := kong.New(&c,
		kong.Name("atlhyper"),
		kong.Description("A ChatOps-first operations assistant for Kubernetes. Begin with `atlhyper demo`, then `atlhyper up`."),
		kong.Writers(stdout, stderr),
		kong.Exit(func(code int) { exit = code }),
		kong.Help(helpIn(env.lang)),
		kong.Resolvers(fileTwins(getenv)),
	)
	if err != nil {
		return fail(err)
	}
	if len(args) == 0 {
		args = []string{"--help"}
	}
	kctx, err := parser.Parse(args)
	if exit >= 0 { // help was asked for
		return exit
	}
	if err != nil {
		fail(err)
		env.note("See: atlhyper --help")
		return 2
	}
	if env.asked = c.Lang; c.Lang != "" {
		env.lang = c.Lang
	}
	log, closeLog, err := newLogger(c, stderr)
	if err != nil {
		return fail(err)
	}
	defer closeLog()
	if stderr == io.Writer(os.Stderr) {
		// What client-go and genai say goes where ours goes, not into somebody's chat. Their loggers are the process's, so a
		// run on other streams, of which there may be several, leaves them alone.
		klog.SetSlogLogger(log)
		slog.SetDefault(log)
	}
	part, _, _ := strings.Cut(kctx.Command(), " ")
	if part == "engine" || part == "agent" || part == "up" {
		stopTracing, err := startTracing(ctx, part, log)
		if err != nil {
			return fail(err)
		}
		defer stopTracing()
	}
	env.log, env.kong = log, parser
	kctx.BindTo(ctx, (*context.Context)(nil))
	err = kctx.Run(env)
	var code exitCode
	switch {
	case err == nil, errors.Is(err, context.Canceled) && ctx.Err() != nil:
		return 0
	case errors.As(err, &code):
		return int(code)
	}
	return fail(err)
}

// exitCode ends the program with a code and nothing more to say.
type exitCode int

func (e exitCode) Error() string { return fmt.Sprintf("exit %d", int(e)) }

func newLogger(c commands, stderr io.Writer) (*slog.Logger, func(), error) {
	var level slog.Level
	if err := level.UnmarshalText([]byte(c.LogLevel)); err != nil {
		return nil, nil, err
	}
	if c.LogFile == "" {
		return slog.New(slog.NewTextHandler(stderr, &slog.HandlerOptions{Level: level})), func() {}, nil
	}
	f, err := os.OpenFile(c.LogFile, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, nil, fmt.Errorf("open the log file: %w", err)
	}
	return slog.New(slog.NewTextHandler(f, &slog.HandlerOptions{Level: level})), func() { f.Close() }, nil
}

// fileTwins lets NAME_FILE name a file that holds the value of NAME, for every variable, as secrets are mounted.
func fileTwins(getenv func(string) string) kong.Resolver {
	return kong.ResolverFunc(func(_ *kong.Context, _ *kong.Path, flag *kong.Flag) (any, error) {
		for _, name := range flag.Envs {
			path := getenv(name + "_FILE")
			if path == "" || getenv(name) != "" {
				continue
			}
			raw, err := os.ReadFile(path)
			if err != nil {
				return nil, fmt.Errorf("%s_FILE: %w", name, err)
			}
			return strings.TrimSpace(string(raw)), nil
		}
		return nil, nil
	})
}

type versionCmd struct{}

func (versionCmd) Run(env *environment) error {
	_, err := fmt.Fprintln(env.stdout, "atlhyper", version)
	return err
}

// dataDir is a directory for what must survive a restart.
type dataDir struct {
	DataDir string `help:"Directory for the database and the journal." env:"ATLHYPER_DATA_DIR" type:"path" placeholder:"DIR"`
}

func (d dataDir) open() (string, error) {
	dir := d.DataDir
	if dir == "" {
		base := os.Getenv("XDG_DATA_HOME")
		if base == "" {
			home, err := os.UserHomeDir()
			if err != nil {
				return "", fmt.Errorf("find a data directory: %w; set ATLHYPER_DATA_DIR", err)
			}
			base = filepath.Join(home, ".local", "share")
		}
		dir = filepath.Join(base, "atlhyper")
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", fmt.Errorf("make the data directory: %w; choose another with ATLHYPER_DATA_DIR", err)
	}
	return dir, nil
}
