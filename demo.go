package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"slices"
	"sync"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent"
	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/sim"
	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools/phrase"
)

const demoCluster = "demo"

// demoCmd runs everything on a simulated cluster.
type demoCmd struct {
	chatFlags
	notifyFlags
	objectiveFlags
	webFlags
	List      bool    `help:"List the scenarios and what each shows." xor:"mode"`
	Play      string  `help:"Play a scenario unattended; exit 0 only if the right root cause was named and the incident resolved. \"none\" runs an hour without a fault." placeholder:"NAME" xor:"mode"`
	Scenario  string  `help:"Scenario of the interactive demo." default:"bad-rollout" placeholder:"NAME"`
	Speed     float64 `help:"Simulated seconds a second; 30, or as fast as it goes with --play when 0." default:"0" placeholder:"N"`
	Seed      uint64  `help:"Names, replicas and the onset vary with it." default:"1"`
	Formulas  string  `help:"By which formulas to judge: default, or classic for comparison." default:"default" enum:"default,classic"`
	NoChanges bool    `help:"Leave the what-changed rule out of the root cause."`
	Listen    string  `help:"Address of the page; nothing listens when empty." env:"ATLHYPER_LISTEN" placeholder:"ADDR"`
}

func (c *demoCmd) Run(ctx context.Context, env *environment) error {
	if c.List {
		w := tabwriter.NewWriter(env.stdout, 0, 4, 2, ' ', 0)
		for _, s := range sim.Scenarios() {
			fmt.Fprintf(w, "%s\t%s\n", s.Name, phrase.Line(env.lang, s.Story))
		}
		fmt.Fprintf(w, "none\t%s\n", phrase.Line(env.lang, "An hour without a fault: nothing may open."))
		return w.Flush()
	}
	if c.Play != "" {
		return c.play(ctx, env)
	}
	w, err := newWorld(ctx, c, env, nil)
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.inject(c.Scenario, 20*time.Second); err != nil {
		return err
	}
	if c.Listen != "" {
		if w.people, err = w.core.listen(c.Listen); err != nil {
			return err
		}
	}
	return left(w.run(ctx, cmp.Or(c.Speed, 30), true, nil))
}

// world is the simulated cluster with everything that watches it, on one simulated clock.
type world struct {
	shop     *sim.Shop
	clock    *clock
	core     *core
	agent    *agent.Agent
	wire     *inProcess
	terminal *terminal.Terminal
	ticks    chan time.Time
	people   net.Listener // nil: no page
	log      *slog.Logger
	cleanup  []func()
}

// clock is simulated time: only its driver moves it.
type clock struct {
	mu  sync.Mutex // guards now
	now time.Time
}

// Now reads the clock.
func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) advance(d time.Duration) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return c.now
}

// demoEpoch is when every demo begins: 02:45 of a night, so that output can be compared between runs.
var demoEpoch = time.Date(2026, time.March, 3, 2, 45, 0, 0, time.UTC)

// newWorld builds it. extra changes the configuration before it is wired.
func newWorld(ctx context.Context, c *demoCmd, env *environment, extra func(*coreConfig, *terminal.Config)) (_ *world, err error) {
	w := &world{clock: &clock{now: demoEpoch}, wire: newInProcess(), ticks: make(chan time.Time, 1), log: env.log}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	dir, remove, err := tempDir()
	if err != nil {
		return nil, err
	}
	w.cleanup = append(w.cleanup, remove)
	if w.shop, err = sim.New(sim.Config{Seed: c.Seed, Start: demoEpoch}); err != nil {
		return nil, err
	}
	tcfg := terminal.Config{
		In: env.stdin, Out: env.stdout, Person: people.Person{ID: "terminal:local", Name: localUser(), Local: true},
		Lang: env.lang, Now: w.clock.Now, Greeting: terminal.Demo(cmp.Or(c.Speed, 30), c.Listen != "", env.lang), Complete: w.complete,
	}
	cfg := coreConfig{
		policyFlags: policyFlags{ProtectedNamespaces: []string{"kube-system"}, TimeScale: 1, NoChanges: c.NoChanges, Formulas: c.Formulas, objectiveFlags: c.objectiveFlags}, chatFlags: c.chatFlags, notifyFlags: c.notifyFlags, webFlags: c.webFlags,
		database: filepath.Join(dir, "demo.db"), lang: env.lang, now: w.clock.Now, editGap: time.Millisecond, poll: 5 * time.Millisecond, log: env.log,
	}
	if extra != nil {
		extra(&cfg, &tcfg)
	}
	w.terminal = terminal.New(tcfg)
	cfg.surfaces, cfg.channels = append(cfg.surfaces, w.terminal), append(cfg.channels, w.terminal.Place())
	if w.core, err = newCore(ctx, cfg); err != nil {
		return nil, err
	}
	w.cleanup = append(w.cleanup, func() { w.core.Close() })
	for f := range w.shop.History(demoEpoch.Add(-2*time.Hour), demoEpoch, 10*time.Second) {
		w.core.engine.Warm(demoCluster, f)
	}
	token, err := w.core.localToken(ctx, demoCluster)
	if err != nil {
		return nil, err
	}
	w.agent, err = agent.New(agent.Config{
		Cluster: demoCluster, EngineURL: "http://engine", Token: token, HTTPClient: w.wire.client(), Client: w.shop.Client(),
		Source: w.shop, Logs: w.shop, Usage: w.shop, DataDir: filepath.Join(dir, "agent"), Version: version, Now: w.clock.Now, Ticks: w.ticks, Logger: env.log,
	})
	return w, err
}

// backfill hands over what was counted before the demo began: the last hour by the minute, two days by the hour.
func (w *world) backfill(ctx context.Context) error {
	for step, ago := range map[time.Duration]time.Duration{time.Minute: time.Hour, time.Hour: 48 * time.Hour} {
		counts, err := w.shop.Requests(ctx, demoEpoch.Add(-ago), demoEpoch, step)
		if err != nil {
			return err
		}
		w.core.engine.Backfill(demoCluster, counts)
	}
	return nil
}

// count hands over the minute that is over.
func (w *world) count(ctx context.Context, now time.Time) error {
	counts, err := w.shop.Requests(ctx, now.Add(-time.Minute), now, time.Minute)
	if err != nil || len(counts) == 0 {
		return err
	}
	return w.core.engine.Ingest(ctx, demoCluster, &report.ReportRequest{Minutes: []*report.TelemetryMinute{{Start: timestamppb.New(now.Add(-time.Minute)), Requests: counts}}})
}

func (w *world) close() {
	for i := len(w.cleanup) - 1; i >= 0; i-- {
		w.cleanup[i]()
	}
	w.cleanup = nil
}

// complete gives the words that may follow what is typed.
func (w *world) complete(line string) []string { return w.core.complete(line) }

func (w *world) inject(scenario string, after time.Duration) error {
	if scenario == "none" {
		return nil
	}
	if err := w.shop.Inject(scenario, w.clock.Now().Add(after)); err != nil {
		return fmt.Errorf("%w; none is an hour without a fault", err)
	}
	return nil
}

// run drives everything until the person leaves or ctx ends. speed is simulated seconds a second, 0 as fast as it
// goes. With pauses the clock stands still while a proposal waits for a click.
func (w *world) run(ctx context.Context, speed float64, pauses bool, p actor) error {
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return serve(ctx, w.wire, agentPort(w.core)) })
	group.Go(func() error { return w.agent.Run(ctx) })
	group.Go(func() error { return w.core.speak(ctx) })
	if w.people != nil {
		group.Go(func() error { return serve(ctx, w.people, peoplePort(w.core)) })
	}
	group.Go(func() error { return w.drive(ctx, speed, pauses, p) })
	return group.Wait()
}

// actor is who acts while the clock stands after a tick: errDriven from it ends the run.
type actor interface {
	act(ctx context.Context, now time.Time) error
}

// errDriven says that the driver's time is over.
var errDriven = errors.New("the demo's time is over")

func (w *world) drive(ctx context.Context, speed float64, pauses bool, p actor) error {
	select { // the clock starts when the engine knows the cluster
	case <-ctx.Done():
		return nil
	case <-w.agent.Synced():
	}
	next := time.Now()
	for ctx.Err() == nil {
		if pauses && w.waiting(ctx) {
			next = time.Now()
			if !sleep(ctx, 50*time.Millisecond) {
				return nil
			}
			continue
		}
		now, err := w.second(ctx)
		if err != nil {
			return err
		}
		if p != nil && now.Unix()%10 == 0 {
			if err := p.act(ctx, now); err != nil {
				return err
			}
		}
		if speed <= 0 {
			continue
		}
		next = next.Add(time.Duration(float64(time.Second) / speed))
		if !sleep(ctx, time.Until(next)) {
			return nil
		}
	}
	return nil
}

// second moves everything on by one second of simulated time.
func (w *world) second(ctx context.Context) (time.Time, error) {
	if w.running(ctx) && !sleep(ctx, 20*time.Millisecond) { // a command under way is done in real time
		return w.clock.Now(), nil
	}
	now := w.clock.advance(time.Second)
	w.shop.Step(now)
	if now.Unix()%10 == 0 {
		return now, w.tick(ctx, now)
	}
	select {
	case <-w.core.engine.Woken():
		w.evaluate(ctx, now)
	default:
	}
	return now, nil
}

// tick samples the telemetry, waits until the engine has it, and evaluates.
func (w *world) tick(ctx context.Context, now time.Time) error {
	select {
	case w.ticks <- now:
	case <-ctx.Done():
		return nil
	}
	for deadline := time.Now().Add(2 * time.Second); w.core.engine.LastFrame(demoCluster).Before(now) && time.Now().Before(deadline); {
		if !sleep(ctx, 200*time.Microsecond) {
			return nil
		}
	}
	if now.Second() == 0 {
		if err := w.count(ctx, now); err != nil {
			return err
		}
	}
	w.evaluate(ctx, now)
	return nil
}

func (w *world) evaluate(ctx context.Context, now time.Time) {
	if err := w.core.engine.Evaluate(ctx, now); err != nil && ctx.Err() == nil {
		w.log.Error("evaluation failed", "err", err)
	}
}

// waiting says whether a proposal waits for a click.
func (w *world) waiting(ctx context.Context) bool {
	ps, err := w.core.engine.Desk.Pending(ctx)
	if err != nil {
		return false
	}
	for _, p := range ps {
		if p.State == command.Proposed {
			return true
		}
	}
	return false
}

// running says whether a command is under way.
func (w *world) running(ctx context.Context) bool {
	ps, err := w.core.engine.Proposals(ctx, command.Filter{Open: true})
	return err == nil && slices.ContainsFunc(ps, func(p *command.Proposal) bool {
		return p.State == command.Approved || p.State == command.Running
	})
}

func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}
