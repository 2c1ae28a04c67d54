package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/gateway"
	"github.com/bukahou/atlhyper/engine/incident"
)

// calm is the risk below which an incident counts as over: the state machine's lower threshold.
const calm = 0.15

// openDesk wires the approval desk to the gateway, the graph and the incidents.
func (e *Engine) openDesk() error {
	var err error
	e.Desk, err = command.New(command.Config{
		Store: e.cfg.Store, Dispatcher: e.gateway, Fleet: e.Fleet, People: e.People, Audit: e.Audit, Policy: e.cfg.Policy,
		Graph: func(cluster string) command.Graph { return e.Graph(cluster) },
		Judge: e.helped, Burn: e.SLO.BurnOf, NotSent: gateway.ErrOffline, VerifyFor: time.Duration(float64(e.cfg.VerifyFor) * e.cfg.Scale), Now: e.cfg.Now, Logger: e.cfg.Logger,
	})
	return err
}

// Proposals lists proposals, newest first.
func (e *Engine) Proposals(ctx context.Context, f command.Filter) ([]*command.Proposal, error) {
	return e.cfg.Store.Proposals(ctx, f)
}

// helped says whether the incident that a command was to mend is calm since the command ended. It is the desk's judge.
func (e *Engine) helped(ctx context.Context, p *command.Proposal, _ time.Time) (settled, helped bool, sentence string) {
	i, err := e.current(ctx, p.Incident)
	if err != nil {
		return false, false, "the incident cannot be read"
	}
	if i.Risk < calm || !i.ResolvedAt.IsZero() {
		return true, true, fmt.Sprintf("risk %.2f → %.2f", i.PeakRisk, i.Risk)
	}
	return false, false, fmt.Sprintf("the risk of %s is still %.2f", i.ID, i.Risk)
}

// current gives an incident as the keeper has it now, which is newer than what is stored of an open one.
func (e *Engine) current(ctx context.Context, id string) (*incident.Incident, error) {
	for _, i := range e.Incidents.Open("") {
		if i.ID == id {
			return i, nil
		}
	}
	i, err := e.Incident(ctx, id)
	if err == nil && i.MergedInto != "" {
		return e.current(ctx, i.MergedInto)
	}
	return i, err
}

// followFixes tells each incident how the commands that were run for it went. The record itself says what it was told
// last, so that a restart tells nothing twice.
func (e *Engine) followFixes(ctx context.Context, now time.Time) error {
	var errs []error
	for _, open := range e.Incidents.Open("") {
		ps, err := e.Desk.Of(ctx, open.ID)
		if err != nil {
			return fmt.Errorf("read the proposals of %s: %w", open.ID, err)
		}
		if len(ps) == 0 {
			continue
		}
		p := ps[0] // the newest counts
		summary := fixSummary(p)
		switch p.State {
		case command.Running, command.Done:
			if open.Fix != p.ID {
				errs = append(errs, e.Incidents.FixStarted(ctx, open.ID, p.ID, summary, now))
			}
		case command.Verified, command.Unverified, command.Failed, command.Unsure:
			if open.Fix != p.ID || open.FixSummary != summary {
				errs = append(errs, e.Incidents.FixVerified(ctx, open.ID, p.ID, summary, p.State == command.Verified, now))
			}
		}
	}
	return errors.Join(errs...)
}

// fixSummary is a command with who asked for it and how it went: "roll back deployment/payments to revision 17 (Mia,
// approved by Ken): verified".
func fixSummary(p *command.Proposal) string {
	who := p.By.Name
	for _, a := range p.Approvals {
		if a.By.ID != p.By.ID {
			who += ", approved by " + a.By.Name
		}
	}
	s := p.Title + " (" + who + ")"
	switch p.State {
	case command.Running, command.Done:
		return s
	case command.Verified:
		return s + ", verified"
	case command.Unverified:
		return s + ", which did not help"
	}
	return s + ", " + string(p.State)
}
