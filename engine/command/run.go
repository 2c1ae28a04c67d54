package command

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/people"
)

// engineItself is the actor of what no person does.
var engineItself = people.Person{ID: "engine", Name: "AtlHyper"}

// start has one runner take an approved or running proposal on, unless one does already.
func (d *Desk) start(id string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.running[id] {
		return
	}
	d.running[id] = true
	d.runners.Go(func() {
		err := d.run(d.ctx, id)
		d.mu.Lock()
		delete(d.running, id)
		d.mu.Unlock()
		if err != nil && d.ctx.Err() == nil {
			d.log.Error("command not taken on; it will be at the next tick", "proposal", id, "err", err)
		}
	})
}

// tracer makes a span of each command that runs, where traces are wanted.
var tracer = otel.Tracer("github.com/bukahou/atlhyper/engine/command")

// run sends a command and records how it ends. It may be stopped between any two steps: whoever runs it next goes on
// from what is stored, under the same id, so that the agent acts once.
func (d *Desk) run(ctx context.Context, id string) error {
	p, err := d.cfg.Store.Proposal(ctx, id)
	if err != nil {
		return err
	}
	fresh := p.State == Approved
	if fresh {
		if err := d.begin(ctx, p); err != nil || p.State != Running {
			return err
		}
	}
	if p.State != Running || p.Doubt != "" {
		return nil
	}
	ctx, span := tracer.Start(ctx, "command "+string(p.Command.Verb), trace.WithAttributes(attribute.String("cluster", p.Command.Target.Cluster)))
	defer span.End()
	o, err := d.send(ctx, p, fresh)
	if err != nil {
		span.SetStatus(codes.Error, "")
		return err
	}
	return d.settle(ctx, p, o)
}

// begin writes the audit entry without which nothing runs, and makes the proposal running.
func (d *Desk) begin(ctx context.Context, p *Proposal) error {
	approver := p.Approvals[len(p.Approvals)-1].By
	_, err := d.cfg.Audit.Append(ctx, approver, "command.run", p.Command.Target.Cluster, p.Command.About(), map[string]any{
		"proposal": p.ID, "command": p.Command, "digest": p.Digest, "class": p.Class.String(), "why": p.Why, "question": p.Question,
		"asked_by": p.By, "approvals": p.Approvals, "incident": p.Incident, "uid": p.UID,
	})
	now := d.cfg.Now()
	switch {
	case err != nil && ctx.Err() != nil:
		return ctx.Err() // stopped; the next process tries again
	case err != nil:
		d.log.Error("not run: the audit entry cannot be written", "proposal", p.ID, "err", err)
		p.State, p.EndedAt, p.Result = Failed, now, "not run: the audit log cannot be written"
		return d.swap(ctx, p, Approved, now, "Not run, because the audit log cannot be written: %s.", p.Title)
	}
	p.State, p.RanAt, p.Before = Running, now, d.readings(p)
	return d.swap(ctx, p, Approved, now, "Running: %s.", p.Title)
}

// send delivers a command, or a bulk one's members in their order until one fails. Each member has an id of its own, so
// that after a restart the agent answers from its journal for those that ran.
func (d *Desk) send(ctx context.Context, p *Proposal, fresh bool) (*report.Outcome, error) {
	each := p.Command.Each()
	var outcomes []*report.Outcome
	for i := range each {
		id := p.ID
		if p.Command.Bulk() {
			id = fmt.Sprintf("%s-%d", p.ID, i)
		}
		o, err := d.deliver(ctx, p.one(i), id, fresh)
		if err != nil {
			return nil, err
		}
		outcomes = append(outcomes, o)
		if o.GetStatus() != report.Outcome_STATUS_SUCCEEDED {
			break
		}
	}
	if !p.Command.Bulk() {
		return outcomes[0], nil
	}
	return together(each, outcomes), nil
}

// deliver sends one command until the agent answers, or until it is too late to begin.
func (d *Desk) deliver(ctx context.Context, p *Proposal, id string, fresh bool) (*report.Outcome, error) {
	notAfter := p.RanAt.Add(beginFor)
	giveUp := notAfter
	if t := d.cfg.Now().Add(beginFor / 2); t.After(giveUp) { // after a restart the agent needs time to come back
		giveUp = t
	}
	attemptFor := 30 * time.Second
	if p.Command.Verb == Drain {
		attemptFor += drainTimeout
	}
	version := ""
	if p.Command.Verb.exact() {
		version = p.Version
	}
	command, unsent := ToReport(p.Command, id, p.UID, version, false, notAfter), true
	command.OnBehalfOf = identity(p.By)
	for wait := 250 * time.Millisecond; ; wait = min(2*wait, 5*time.Second) {
		attempt, cancel := context.WithTimeout(ctx, attemptFor)
		o, err := d.cfg.Dispatcher.Do(attempt, p.Command.Target.Cluster, command)
		cancel()
		if err == nil {
			return o, nil
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		unsent = unsent && d.cfg.NotSent != nil && errors.Is(err, d.cfg.NotSent)
		d.log.Warn("command not answered", "proposal", p.ID, "cluster", p.Command.Target.Cluster, "err", err)
		if d.cfg.Now().After(giveUp) {
			if fresh && unsent {
				return &report.Outcome{Status: report.Outcome_STATUS_REFUSED, Message: "the agent is not connected"}, nil
			}
			return &report.Outcome{Status: report.Outcome_STATUS_UNKNOWN, Message: "the agent did not answer"}, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// settle records an outcome. One that nobody knows leaves the proposal running, to be read from the cluster.
func (d *Desk) settle(ctx context.Context, p *Proposal, o *report.Outcome) error {
	now := d.cfg.Now()
	p.EndedAt, p.Result = now, o.GetMessage()
	note := ""
	switch o.GetStatus() {
	case report.Outcome_STATUS_SUCCEEDED:
		p.State, note = Done, "Done, and being verified: %s."
	case report.Outcome_STATUS_FAILED:
		p.State, note = Failed, "Failed: %s."
	case report.Outcome_STATUS_REFUSED:
		p.State, p.Result, note = Failed, "not run: "+o.GetMessage(), "Not run: %s."
	default:
		p.Doubt, p.Result, note = o.GetMessage(), "", "It is not known whether this ran; reading the cluster: %s."
		if p.Doubt == "" {
			p.Doubt = "the agent's answer says nothing"
		}
	}
	if err := d.swap(ctx, p, Running, now, note, p.Title); err != nil {
		return fmt.Errorf("record outcome: %w", err)
	}
	d.note(ctx, engineItself, "command.outcome", p.Command, map[string]any{"proposal": p.ID, "state": p.State, "result": p.Result, "doubt": p.Doubt})
	return nil
}
