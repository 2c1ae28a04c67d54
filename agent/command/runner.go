// Package command runs what the engine asks of a cluster: queries, which read, and commands, which change one thing.
//
// A command is written to the journal before it acts and after it ended; one that comes again is answered from there
// and never run twice. Each change takes one path: read the object, check that it is still the one that was approved,
// edit a copy, and update it under its resource version, so that a dry run, its diff and the real run cannot differ.
// No value of a Secret, a ConfigMap or an environment variable is in any outcome.
package command

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/kubernetes"

	"github.com/bukahou/atlhyper/agent/kube"
	"github.com/bukahou/atlhyper/agent/report"
)

// Config is what a Runner needs.
type Config struct {
	Client    kubernetes.Interface
	Dynamic   dynamic.Interface // for the YAML of routes; optional
	Converter *kube.Converter
	Logs      LogReader   // default: through the API server
	Usage     UsageReader // nil: the cluster has no metrics API
	Telemetry Telemetry   // nil: the agent has no store of traces, logs and series
	// As gives a client with the rights of a person, by impersonation. nil: commands run with the agent's own. It is called
	// by many goroutines.
	As func(user string, groups []string) (kubernetes.Interface, error)
	// Journal remembers commands. Without one every command is refused with NoJournal as the reason; queries go on.
	Journal   *Journal
	NoJournal error

	Timeout   time.Duration // of one command other than a drain; default 1 min
	EvictPoll time.Duration // how often a drain looks whether a pod is gone or may go; default 1 s
	Now       func() time.Time
	Logger    *slog.Logger
}

// Telemetry answers the queries that a store of traces, logs and series can. It is called by many goroutines.
type Telemetry interface {
	Answer(ctx context.Context, q *report.Query) *report.Outcome
}

func (c *Config) defaults() error {
	if c.Client == nil || c.Converter == nil {
		return errors.New("command: Client and Converter are needed")
	}
	if c.Journal == nil && c.NoJournal == nil {
		c.NoJournal = errors.New("the agent has no command journal")
	}
	if c.Logs == nil {
		c.Logs = apiLogs{c.Client}
	}
	if c.Timeout <= 0 {
		c.Timeout = time.Minute
	}
	if c.EvictPoll <= 0 {
		c.EvictPoll = time.Second
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return nil
}

// Runner answers queries and runs commands. Its methods may be called by any goroutine.
type Runner struct {
	cfg      Config
	previews *previews

	mu      sync.Mutex
	running map[string]chan struct{} // commands under way, by id; closed at their end
}

// New checks the configuration.
func New(cfg Config) (*Runner, error) {
	if err := cfg.defaults(); err != nil {
		return nil, err
	}
	return &Runner{cfg: cfg, previews: newPreviews(), running: map[string]chan struct{}{}}, nil
}

// Verbs lists the commands that the agent can run, as the engine names them.
func Verbs() []string {
	return []string{
		"rollout_restart", "scale", "rollback", "set_image", "delete_pod", "cordon", "uncordon", "drain",
		"rollout_pause", "rollout_resume", "delete_job", "run_cronjob", "taint", "untaint", "label", "annotate",
	}
}

// refusal is an error that says that nothing was tried, with a sentence for a person.
type refusal struct{ sentence string }

func (r *refusal) Error() string { return r.sentence }

func refuse(format string, args ...any) error { return &refusal{fmt.Sprintf(format, args...)} }

// Query answers a query; it never changes the cluster.
func (r *Runner) Query(ctx context.Context, q *report.Query) *report.Outcome {
	o := &report.Outcome{Status: report.Outcome_STATUS_SUCCEEDED}
	var err error
	switch ask := q.GetAsk().(type) {
	case *report.Query_Logs:
		err = r.logs(ctx, ask.Logs, limit(q.GetMaxBytes()), o)
	case *report.Query_Describe:
		err = r.describe(ctx, ask.Describe.GetObject(), limit(q.GetMaxBytes()), o)
	case *report.Query_Yaml:
		err = r.yaml(ctx, ask.Yaml.GetObject(), limit(q.GetMaxBytes()), o)
	case *report.Query_Events:
		err = r.events(ctx, ask.Events, o)
	case *report.Query_Top:
		err = r.top(ctx, ask.Top, o)
	case *report.Query_RolloutStatus:
		err = r.rolloutStatus(ctx, ask.RolloutStatus.GetObject(), o)
	case *report.Query_RolloutHistory:
		err = r.rolloutHistory(ctx, ask.RolloutHistory.GetObject(), o)
	case *report.Query_TraceSearch, *report.Query_Trace, *report.Query_Operations, *report.Query_LogSearch, *report.Query_LogPatterns, *report.Query_Series, *report.Query_Requests:
		if r.cfg.Telemetry == nil {
			err = refuse("the agent has no store of traces, logs and series: give it one with CLICKHOUSE_URL")
			break
		}
		o = r.cfg.Telemetry.Answer(ctx, q)
		o.Id, o.FinishedAt = q.GetId(), timestamppb.New(r.cfg.Now())
		return o
	default:
		err = refuse("this agent does not know the query; it may be older than the engine")
	}
	r.finish(o, err)
	o.Id = q.GetId()
	return o
}

// finish puts an error into an outcome.
func (r *Runner) finish(o *report.Outcome, err error) {
	o.FinishedAt = timestamppb.New(r.cfg.Now())
	if err == nil {
		return
	}
	o.Status, o.Message = verdict(err)
}

// Command runs a command, or only previews it when it is a dry run. A command whose id is in the journal is answered
// from it.
func (r *Runner) Command(ctx context.Context, c *report.Command) *report.Outcome {
	o := r.command(ctx, c)
	o.Id = c.GetId()
	return o
}

func (r *Runner) command(ctx context.Context, c *report.Command) *report.Outcome {
	if c.GetDryRun() {
		return r.run(ctx, c)
	}
	o := &report.Outcome{}
	if r.cfg.Journal == nil {
		r.finish(o, refuse("nothing was changed: %v", r.cfg.NoJournal))
		return o
	}
	if c.GetId() == "" {
		r.finish(o, refuse("nothing was changed: the command has no id"))
		return o
	}
	done, known := r.claim(c.GetId())
	if known {
		select {
		case <-done:
		case <-ctx.Done():
			r.finish(o, ctx.Err())
			return o
		}
	} else {
		defer r.release(c.GetId())
	}
	if e, ok := r.cfg.Journal.Lookup(c.GetId()); ok {
		return r.replay(e)
	}
	if err := r.cfg.Journal.Begin(c.GetId()); err != nil {
		r.finish(o, refuse("nothing was changed: the agent cannot write what it is about to do; free space in its data directory, or make it writable (%v)", err))
		return o
	}
	o = r.run(ctx, c)
	if err := r.cfg.Journal.End(c.GetId(), o); err != nil {
		r.cfg.Logger.ErrorContext(ctx, "outcome not journaled", "command", c.GetId(), "err", err)
	}
	r.cfg.Logger.InfoContext(ctx, "command ended", "command", c.GetId(), "target", display(c.GetTarget()), "status", o.GetStatus().String())
	return o
}

// claim registers a running command. When it runs already its end is given.
func (r *Runner) claim(id string) (done chan struct{}, known bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if done, known = r.running[id]; known {
		return done, true
	}
	done = make(chan struct{})
	r.running[id] = done
	return done, false
}

func (r *Runner) release(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	close(r.running[id])
	delete(r.running, id)
}

func (r *Runner) replay(e Entry) *report.Outcome {
	if e.Outcome != nil {
		return proto.CloneOf(e.Outcome)
	}
	return &report.Outcome{
		Status:     report.Outcome_STATUS_UNKNOWN,
		Message:    "the agent began this at " + e.Begun.UTC().Format(time.RFC3339) + " and stopped before it ended; look at the object, it will not be run again",
		FinishedAt: timestamppb.New(r.cfg.Now()),
	}
}

// run carries a command out, or its dry run.
func (r *Runner) run(ctx context.Context, c *report.Command) *report.Outcome {
	o := &report.Outcome{Status: report.Outcome_STATUS_SUCCEEDED}
	acting, err := r.acting(c)
	if err == nil {
		err = acting.dispatch(ctx, c, o)
	}
	r.finish(o, err)
	return o
}

func (r *Runner) dispatch(ctx context.Context, c *report.Command, o *report.Outcome) error {
	if c.GetNotAfter() != nil && r.cfg.Now().After(c.NotAfter.AsTime()) {
		return refuse("nothing was changed: the command came after its deadline of %s", c.NotAfter.AsTime().UTC().Format(time.RFC3339))
	}
	if c.GetTarget().GetName() == "" {
		return refuse("nothing was changed: the command names no object")
	}
	if c.GetDryRun() {
		if err := r.permitted(ctx, c); err != nil {
			return err
		}
	}
	if drain, ok := c.GetChange().(*report.Command_Drain); ok {
		return r.drain(ctx, c, drain.Drain, o)
	}
	ctx, cancel := context.WithTimeout(ctx, r.cfg.Timeout)
	defer cancel()
	switch change := c.GetChange().(type) {
	case *report.Command_RolloutRestart:
		return r.restart(ctx, c, o)
	case *report.Command_Scale:
		return r.scale(ctx, c, change.Scale.GetReplicas(), o)
	case *report.Command_Rollback:
		return r.rollback(ctx, c, change.Rollback.GetToRevision(), o)
	case *report.Command_SetImage:
		return r.setImage(ctx, c, change.SetImage, o)
	case *report.Command_DeletePod:
		return r.deletePod(ctx, c, o)
	case *report.Command_Cordon:
		return r.cordon(ctx, c, true, o)
	case *report.Command_Uncordon:
		return r.cordon(ctx, c, false, o)
	case *report.Command_RolloutPause:
		return r.pause(ctx, c, true, o)
	case *report.Command_RolloutResume:
		return r.pause(ctx, c, false, o)
	case *report.Command_DeleteJob:
		return r.deleteJob(ctx, c, o)
	case *report.Command_RunCronJob:
		return r.runCronJob(ctx, c, change.RunCronJob.GetJob(), o)
	case *report.Command_SetTaint:
		return r.taint(ctx, c, change.SetTaint.GetTaint(), o)
	case *report.Command_RemoveTaint:
		return r.untaint(ctx, c, change.RemoveTaint, o)
	case *report.Command_SetLabel:
		return r.mark(ctx, c, "label", change.SetLabel, o)
	case *report.Command_SetAnnotation:
		return r.mark(ctx, c, "annotation", change.SetAnnotation, o)
	}
	return refuse("nothing was changed: this agent does not know the command; it may be older than the engine")
}
