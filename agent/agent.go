// Package agent runs in a cluster: it watches it, reads its telemetry, and runs the queries and commands that the
// engine sends. It dials out only, keeps going when the API server or the engine cannot be reached, and says what it
// cannot see.
//
// The packages below it each hold one part: kube watches, telemetry samples, command acts, uplink talks to the engine.
// This one connects them.
package agent

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"path/filepath"
	"sync"
	"time"

	"connectrpc.com/connect"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"
	metrics "k8s.io/metrics/pkg/client/clientset/versioned"

	"github.com/bukahou/atlhyper/agent/command"
	"github.com/bukahou/atlhyper/agent/concentrator"
	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/telemetry"
	"github.com/bukahou/atlhyper/agent/telemetry/kubelet"
	"github.com/bukahou/atlhyper/agent/uplink"
)

// journalKept is for how long a command that comes again is recognised; none is approved for nearly as long.
const journalKept = 7 * 24 * time.Hour

// countsWait is for how long a minute is held back for a store that does not say what was requested in it; then it goes
// without, which means unknown.
const countsWait = 2 * time.Minute

// Config is what an Agent needs.
type Config struct {
	Cluster   string // id, as the engine knows it
	EngineURL string
	Token     string
	// HTTPClient makes the calls to the engine; optional.
	HTTPClient connect.HTTPClient

	Client  kubernetes.Interface
	Dynamic dynamic.Interface // optional: Gateway API and Traefik routes
	Metrics metrics.Interface // optional: the metrics API

	Without []string // kinds that are not watched

	Source telemetry.Source // instead of the Stores and the metrics API
	// Stores makes the sources that keep telemetry, the best first, once the cluster whose names they use is watched. What
	// they do not give comes from the metrics API.
	Stores func(telemetry.Names) ([]telemetry.Source, error)
	Logs   command.LogReader   // default: through the API server
	Usage  command.UsageReader // default: Metrics, if there is one

	// As gives a client with the rights of a person; nil: commands run with the agent's own.
	As func(user string, groups []string) (kubernetes.Interface, error)

	// DataDir holds the command journal. When it cannot be used the agent still reports and answers queries, and
	// refuses commands.
	DataDir string
	Version string

	TickInterval time.Duration // of telemetry; default 10 s
	// Ticks replaces the agent's own ticker: each time received is a tick at that time.
	Ticks <-chan time.Time
	Now   func() time.Time // default time.Now
	Retry uplink.Retry     // of the link to the engine

	Logger *slog.Logger
}

func (c *Config) defaults() error {
	if c.Client == nil {
		return errors.New("agent: a Kubernetes client is needed")
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.TickInterval <= 0 {
		c.TickInterval = 10 * time.Second
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	if c.Usage == nil && c.Metrics != nil {
		c.Usage = command.MetricsUsage(c.Metrics)
	}
	return nil
}

// Stats counts what the agent did.
type Stats struct {
	Link    uplink.Stats
	Minutes concentrator.Stats
	Kinds   []*report.KindStatus
}

// Agent watches one cluster for one engine.
type Agent struct {
	cfg     Config
	link    *uplink.Uplink
	state   *state
	minutes *concentrator.Concentrator
}

// New checks the configuration; nothing is dialled before Run.
func New(cfg Config) (*Agent, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	a := &Agent{cfg: cfg, state: newState(cfg), minutes: concentrator.New(concentrator.Config{Grace: max(30*time.Second, 2*cfg.TickInterval)})}
	var err error
	a.link, err = uplink.New(uplink.Config{
		Cluster: cfg.Cluster, Token: cfg.Token, EngineURL: cfg.EngineURL, HTTPClient: cfg.HTTPClient,
		State: a.state, Runner: a.state, Minutes: a.minutes, Hello: a.state.hello, Retry: cfg.Retry, Now: cfg.Now, Logger: cfg.Logger,
	})
	if err != nil {
		return nil, err
	}
	return a, nil
}

// Synced is closed when the engine has acknowledged the whole cluster for the first time.
func (a *Agent) Synced() <-chan struct{} { return a.link.Synced() }

// Stats gives the counters.
func (a *Agent) Stats() Stats { return Stats{a.link.Stats(), a.minutes.Stats(), a.state.Kinds()} }

// Run watches and reports until ctx is done, and returns when everything has stopped. Losing the API server or the
// engine is no error: it goes on trying. It may be called once.
func (a *Agent) Run(ctx context.Context) error {
	journal, noJournal := a.openJournal()
	if noJournal != nil {
		a.cfg.Logger.ErrorContext(ctx, "commands will be refused", "err", noJournal)
	}
	var running sync.WaitGroup
	link := sync.OnceFunc(func() { running.Go(func() { a.link.Run(ctx) }) })
	err := a.watch(ctx, link, journal, noJournal)
	running.Wait()
	if journal != nil {
		err = errors.Join(err, journal.Close())
	}
	return err
}

func (a *Agent) openJournal() (*command.Journal, error) {
	if a.cfg.DataDir == "" {
		return nil, errors.New("the agent has no data directory; give one with ATLHYPER_DATA_DIR")
	}
	return command.OpenJournal(filepath.Join(a.cfg.DataDir, "commands.journal"), journalKept, a.cfg.Now)
}

// watch learns which cluster it is in, then watches it. It starts the link as soon as there is something to tell: who
// the cluster is, or that it cannot be reached.
func (a *Agent) watch(ctx context.Context, link func(), journal *command.Journal, noJournal error) error {
	late := false
	id, ok := a.state.identify(ctx, func() {
		late = true
		link()
		a.link.KindChanged()
	})
	if !ok {
		return nil // stopped before the API server could be reached
	}
	key := id.uid
	if key == "" {
		key = a.cfg.Cluster
	}
	converter := kube.NewConverter(key)
	watcher, err := kube.New(kube.Config{
		Without: a.cfg.Without,
		Client:  a.cfg.Client, Dynamic: a.cfg.Dynamic, Converter: converter, Sink: a.link, Logger: a.cfg.Logger,
	})
	if err != nil {
		return fmt.Errorf("watch cluster: %w", err)
	}
	source, err := a.sources(watcher)
	if err != nil {
		return fmt.Errorf("prepare telemetry: %w", err)
	}
	if c, ok := source.(io.Closer); ok {
		defer c.Close()
	}
	runner, err := command.New(command.Config{
		Telemetry: answers(source),
		Client:    a.cfg.Client, Dynamic: a.cfg.Dynamic, Converter: converter, Logs: a.cfg.Logs, Usage: a.cfg.Usage, As: a.cfg.As,
		Journal: journal, NoJournal: noJournal, Now: a.cfg.Now, Logger: a.cfg.Logger,
	})
	if err != nil {
		return fmt.Errorf("prepare commands: %w", err)
	}
	a.state.found(id, watcher, runner)
	link()
	if late {
		a.link.Rejoin() // with what is known of the cluster now
	}
	var running sync.WaitGroup
	running.Go(func() {
		select {
		case <-watcher.Settled():
			close(a.state.settled)
			a.sample(ctx, source)
		case <-ctx.Done():
		}
	})
	watcher.Run(ctx)
	running.Wait()
	return nil
}

// sources gives what telemetry is read from.
func (a *Agent) sources(objects telemetry.Lister) (telemetry.Source, error) {
	if a.cfg.Source != nil {
		return a.cfg.Source, nil
	}
	usage, err := kubelet.New(kubelet.Config{Metrics: a.cfg.Metrics, Objects: objects, Window: a.cfg.TickInterval, Logger: a.cfg.Logger})
	if err != nil || a.cfg.Stores == nil {
		return usage, err
	}
	stores, err := a.cfg.Stores(telemetry.NewDirectory(objects, a.cfg.Now))
	if err != nil || len(stores) == 0 {
		return usage, err
	}
	return telemetry.NewSeveral(append(stores, usage)...), nil
}

// sample asks the source for a frame at each tick.
func (a *Agent) sample(ctx context.Context, source telemetry.Source) {
	ticks := a.cfg.Ticks
	if ticks == nil {
		t := time.NewTicker(a.cfg.TickInterval)
		defer t.Stop()
		ticks = t.C
	}
	for {
		var now time.Time
		select {
		case <-ctx.Done():
			return
		case at, open := <-ticks:
			if !open {
				return
			}
			if now = at; a.cfg.Ticks == nil {
				now = a.cfg.Now()
			}
		}
		a.tick(ctx, source, now)
	}
}

// tick takes one frame. A source that hangs must not stop the next tick.
func (a *Agent) tick(ctx context.Context, source telemetry.Source, now time.Time) {
	limit := a.cfg.TickInterval
	if a.cfg.Ticks != nil {
		limit = 10 * time.Second // simulated ticks say nothing of how long a real read may take
	}
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	frame, err := source.Sample(ctx, now)
	switch {
	case err != nil:
		a.cfg.Logger.WarnContext(ctx, "no telemetry this tick", "err", err)
	case frame != nil:
		a.link.Frame(frame)
		a.minutes.Add(frame, now)
	}
	a.close(ctx, source, now)
}

// close closes the minutes that are over, with the requests that the source counted in them, and has them sent.
func (a *Agent) close(ctx context.Context, source telemetry.Source, now time.Time) {
	from, to, due := a.minutes.Due(now)
	if !due {
		return
	}
	var counts []*report.RequestCount
	if counter, ok := source.(telemetry.Counter); ok {
		var err error
		counts, err = counter.Requests(ctx, from, to, time.Minute)
		if err != nil && !errors.Is(err, telemetry.ErrNotKept) {
			a.cfg.Logger.DebugContext(ctx, "requests not counted", "from", from, "err", err)
			if to = now.Add(-countsWait).Truncate(time.Minute); !to.After(from) {
				return
			}
		}
	}
	a.minutes.Close(to, counts)
	a.link.MinuteOver()
}
