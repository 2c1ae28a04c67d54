package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/slack/slackfake"
	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
)

// benchChatCmd measures what chat feels of a storm of alerts and of a crowd. It needs no lab: Slack is an emulator that keeps
// Slack's limits, and the cluster a simulated one.
type benchChatCmd struct {
	JSON   bool          `name:"json" help:"One flat JSON object on standard output."`
	Alerts int           `help:"Pods of one workload that begin to crash, one after the other." default:"40"`
	Within time.Duration `help:"The time in which they do." default:"1m"`
	People int           `help:"People who ask at the same moment." default:"1000"`
}

func (c *benchChatCmd) Run(ctx context.Context, env *environment) error {
	if c.Alerts < 1 || c.People < 1 || c.Within <= 0 {
		return errors.New("--alerts, --people and --within must be positive")
	}
	figures := map[string]float64{}
	env.note("%d pods crash within %s…", c.Alerts, c.Within)
	if err := c.storm(ctx, env, figures); err != nil {
		return fmt.Errorf("storm: %w", err)
	}
	env.note("%d people ask at once…", c.People)
	if err := c.crowd(ctx, env, figures); err != nil {
		return fmt.Errorf("crowd: %w", err)
	}
	return benchFlags{JSON: c.JSON}.print(env, figures)
}

// stormSettles is how long the last alert may take to stand in the parent: records are saved every half a minute, edits are 5 s
// apart, and Slack's refusals put them off.
const stormSettles = time.Minute

// storm lets the pods of one workload crash and counts what the channel saw of it, while Slack refuses a few calls.
func (c *benchChatCmd) storm(ctx context.Context, env *environment, figures map[string]float64) error {
	slack := slackfake.New(slackfake.Config{})
	defer slack.Close()
	dir, remove, err := tempDir()
	if err != nil {
		return err
	}
	defer remove()
	core, err := newCore(ctx, coreConfig{
		policyFlags: policyFlags{TimeScale: 1}, database: filepath.Join(dir, "bench.db"), lang: "en", log: env.log,
		chatFlags: chatFlags{SlackBotToken: slackfake.BotToken, SlackAppToken: slackfake.AppToken, SlackAPIURL: slack.URL(), SlackChannel: benchChannel},
	})
	if err != nil {
		return err
	}
	defer core.Close()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	group, ctx := errgroup.WithContext(ctx)
	group.Go(func() error { return core.engine.Run(ctx) })
	group.Go(func() error { return core.bot.Run(ctx) })
	watch := &channelWatch{slack: slack}
	group.Go(func() error { return watch.run(ctx) })
	group.Go(func() error {
		defer stop()
		if err := slack.WaitConnected(ctx); err != nil {
			return err
		}
		pods := newStormWorkload(c.Alerts)
		core.engine.Joined("bench", &report.JoinRequest{Cluster: "bench"}, 0)
		if err := core.engine.Ingest(ctx, "bench", &report.ReportRequest{ResyncBegin: true, ResyncEnd: true, Upserts: pods.healthy()}); err != nil {
			return err
		}
		slack.Fail("chat.postMessage", "429", 1)
		for i := range c.Alerts {
			if i == c.Alerts/2 {
				slack.Fail("chat.update", "429", 2)
			}
			if err := core.engine.Ingest(ctx, "bench", &report.ReportRequest{Upserts: pods.crash(i, time.Now())}); err != nil {
				return err
			}
			if !sleep(ctx, c.Within/time.Duration(c.Alerts)) {
				return ctx.Err()
			}
		}
		all := fmt.Sprintf("%d of %d pods", c.Alerts, c.Alerts)
		settled, cancel := context.WithTimeout(ctx, stormSettles)
		defer cancel()
		_, _ = slack.WaitMessage(settled, benchChannel, all) // what is not told then is lost
		for idle, err := core.bot.Idle(settled); err == nil && !idle && sleep(settled, 20*time.Millisecond); idle, err = core.bot.Idle(settled) {
		}
		waiting, err := core.db.Outbox(ctx, "slack", time.Now().Add(time.Hour), 1000)
		if err != nil {
			return err
		}
		c.count(slack, watch, len(waiting), figures)
		return nil
	})
	if err := group.Wait(); len(figures) == 0 {
		return cmp.Or(err, ctx.Err())
	}
	return nil
}

// told is how many pods a parent counts.
var told = regexp.MustCompile(`(\d+) of \d+ pods`)

// count reads the channel: its messages, their edits, and what of the storm does not stand in it.
func (c *benchChatCmd) count(slack *slackfake.Server, watch *channelWatch, waiting int, figures map[string]float64) {
	lost := c.Alerts
	figures["parents"], figures["edits"] = 0, 0
	for _, m := range slack.Messages(benchChannel) {
		if m.User != slackfake.BotUser {
			continue
		}
		figures["parents"]++
		figures["edits"] += float64(m.Edits)
		if g := told.FindStringSubmatch(m.Text()); g != nil {
			if n, err := strconv.Atoi(g[1]); err == nil {
				lost = min(lost, c.Alerts-n)
			}
		}
	}
	figures["lost"] = float64(lost + waiting + len(slack.Faults()))
	figures["edits_in_5s"] = float64(watch.densest(5 * time.Second))
}

// channelWatch notes when the channel's messages were edited.
type channelWatch struct {
	slack *slackfake.Server

	mu    sync.Mutex // guards edits
	edits map[string][]time.Time
}

// run watches until ctx ends.
func (w *channelWatch) run(ctx context.Context) error {
	w.edits = map[string][]time.Time{}
	_ = w.slack.Wait(ctx, func() bool { // it ends with ctx alone
		w.mu.Lock()
		defer w.mu.Unlock()
		for _, m := range w.slack.Messages(benchChannel) {
			for len(w.edits[m.TS]) < m.Edits {
				w.edits[m.TS] = append(w.edits[m.TS], time.Now())
			}
		}
		return false
	})
	return nil
}

// densest is the most edits that one message had within a span.
func (w *channelWatch) densest(span time.Duration) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	most := 0
	for _, at := range w.edits {
		for i := range at {
			n := 1
			for j := i + 1; j < len(at) && at[j].Sub(at[i]) < span; j++ {
				n++
			}
			most = max(most, n)
		}
	}
	return most
}

// stormWorkload is a Deployment whose pods can crash.
type stormWorkload struct {
	fixed []*report.Resource
	pods  []*report.Resource
}

func newStormWorkload(n int) *stormWorkload {
	const name, space = "checkout", "shop"
	day, labels := timestamppb.New(time.Now().Add(-24*time.Hour)), map[string]string{"app": name}
	owned := func(kind, name string) []*report.Owner {
		return []*report.Owner{{Kind: kind, Name: name, Uid: kind + "/" + name, Controller: true}}
	}
	size := int32(n)
	w := &stormWorkload{fixed: []*report.Resource{
		{Kind: entity.Node, Name: "worker-1", Uid: "Node/worker-1", Created: day, Detail: &report.Resource_Node{Node: &report.Node{
			Ready: true, Conditions: []*report.Condition{{Type: "Ready", Status: "True", LastTransition: day}}}}},
		{Kind: entity.Deployment, Namespace: space, Name: name, Uid: "Deployment/" + name, Generation: 1, Created: day, Detail: &report.Resource_Workload{Workload: &report.Workload{
			Desired: size, Current: size, Ready: size, Available: size, Updated: size, ObservedGeneration: 1, Revision: "1", TemplateHash: "t", Selector: labels, Images: map[string]string{"app": "v1"}}}},
		{Kind: entity.ReplicaSet, Namespace: space, Name: name + "-1", Uid: "ReplicaSet/" + name + "-1", Created: day, Labels: labels, Owners: owned(entity.Deployment, name),
			Detail: &report.Resource_Workload{Workload: &report.Workload{Desired: size, Ready: size, Available: size, Revision: "1", TemplateHash: "t"}}},
		{Kind: entity.Service, Namespace: space, Name: name, Uid: "Service/" + name, Created: day, Detail: &report.Resource_Service{Service: &report.Service{Selector: labels}}},
	}}
	for i := range n {
		pod := fmt.Sprintf("%s-1-%d", name, i)
		w.pods = append(w.pods, &report.Resource{
			Kind: entity.Pod, Namespace: space, Name: pod, Uid: "Pod/" + pod, Created: day, Labels: labels, Owners: owned(entity.ReplicaSet, name+"-1"),
			Detail: &report.Resource_Pod{Pod: &report.Pod{Phase: "Running", Node: "worker-1", Conditions: []*report.Condition{{Type: "Ready", Status: "True", LastTransition: day}},
				Containers: []*report.Container{{Name: "app", Image: "v1", State: "running", Ready: true, Started: day}}}},
		})
	}
	return w
}

func (w *stormWorkload) healthy() []*report.Resource {
	return append(w.fixed[:len(w.fixed):len(w.fixed)], w.pods...)
}

// crash gives a pod that crashes from now on.
func (w *stormWorkload) crash(i int, now time.Time) []*report.Resource {
	old := w.pods[i]
	at := timestamppb.New(now)
	return []*report.Resource{{
		Kind: old.GetKind(), Namespace: old.GetNamespace(), Name: old.GetName(), Uid: old.GetUid(), Created: old.GetCreated(), Labels: old.GetLabels(), Owners: old.GetOwners(),
		Detail: &report.Resource_Pod{Pod: &report.Pod{Phase: "Running", Node: "worker-1", Conditions: []*report.Condition{{Type: "Ready", Status: "False", LastTransition: at}},
			Containers: []*report.Container{{Name: "app", Image: "v1", State: "waiting", Reason: "CrashLoopBackOff", Restarts: 4, LastReason: "Error", LastExitCode: 1, LastFinished: at}}}},
	}}
}

// crowdAsks are what a crowd asks: all of it is answered from what the engine knows. What is read in the cluster waits for the
// cluster, which is none of ours.
var crowdAsks = []string{
	"what is wrong?", "why is checkout failing?", "what changed in the last hour?", "is payments ok?", "who calls payments", "how many pods are not ready?",
	"what is the error rate of payments?", "compare payments with an hour ago", "how much error budget is left?", "open incidents", "which pods are on worker-2?",
	"现在有什么问题？", "payments 为什么失败？", "checkout 的错误预算还剩多少", "何が起きていますか？", "checkout はいつから遅い？", "payments の依存関係", "pods in shop",
}

// crowd lets everybody ask at the same moment, each in a thread of their own.
func (c *benchChatCmd) crowd(ctx context.Context, env *environment, figures map[string]float64) error {
	quiet := *env
	quiet.stdout, quiet.lang = io.Discard, "en"
	w, err := newWorld(ctx, &demoCmd{Seed: 134}, &quiet, func(_ *coreConfig, t *terminal.Config) {
		t.In, t.Greeting, t.Plain = blocked{ctx}, "", true
	})
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.backfill(ctx); err != nil {
		return err
	}
	if err := w.inject("bad-rollout", askOnset); err != nil {
		return err
	}
	x := &crowd{w: w, people: c.People}
	if err := w.run(ctx, 0, false, x); !errors.Is(err, errDriven) {
		return cmp.Or(err, ctx.Err())
	}
	if x.failed != nil {
		return x.failed
	}
	figures["planner_p50_ms"], figures["planner_p95_ms"] = quantile(x.answer, .5), quantile(x.answer, .95)
	figures["message_p50_ms"], figures["message_p95_ms"] = quantile(x.shown, .5), quantile(x.shown, .95)
	return nil
}

// crowd is an actor.
type crowd struct {
	w      *world
	people int
	answer []time.Duration // until the planner had its answer
	shown  []time.Duration // until the message was handed to the chat platform: with its pictures, its buttons and the thread's memory
	failed error
}

func (x *crowd) act(ctx context.Context, now time.Time) error {
	if now.Sub(demoEpoch) < askAt {
		return nil
	}
	caller := func(id string) tools.Caller { return tools.Caller{Person: people.Person{ID: "bench:" + id, Name: id}} }
	ask := func(id, text string) error {
		_, err := x.w.core.bot.Ask(ctx, text, caller(id), nil)
		return err
	}
	show := func(id, text string) error {
		var r waiter
		x.w.core.bot.Handle(ctx, bot.Inbound{
			ID: id, Kind: bot.Mention, Person: caller(id).Person, Place: bot.Place{Surface: "bench", Channel: benchChannel, Thread: id}, Text: text, At: now,
		}, &r)
		if !r.answered {
			return errors.New("no answer")
		}
		return nil
	}
	x.burst("warm", len(crowdAsks), show) // the first question of a process pays for what all others find
	x.answer = x.burst("ask", x.people, ask)
	x.shown = x.burst("show", x.people, show)
	return errDriven
}

// burst has n people ask at the same moment, and gives how long each waited.
func (x *crowd) burst(name string, n int, ask func(id, text string) error) []time.Duration {
	took, failed := make([]time.Duration, n), make([]error, n)
	var group sync.WaitGroup
	var begun time.Time
	start := make(chan struct{})
	for i := range n {
		group.Go(func() {
			<-start
			text := crowdAsks[i%len(crowdAsks)]
			if err := ask(fmt.Sprintf("%s-%d", name, i), text); err != nil {
				failed[i] = fmt.Errorf("%q: %w", text, err)
			}
			took[i] = time.Since(begun)
		})
	}
	begun = time.Now()
	close(start)
	group.Wait()
	x.failed = cmp.Or(x.failed, errors.Join(failed...))
	return took
}

// waiter is one person of a crowd, who waits.
type waiter struct{ answered bool }

// Working implements bot.Responder.
func (w *waiter) Working(context.Context, string) error { return nil }

// Answer implements bot.Responder.
func (w *waiter) Answer(context.Context, message.Message) error {
	w.answered = true
	return nil
}

// Ask implements bot.Responder; nobody of a crowd is prompted.
func (w *waiter) Ask(context.Context, bot.Prompt) error { return nil }
