package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
)

// Limits of an unattended play, in simulated time.
const (
	playOnset   = 2 * time.Minute
	playLimit   = 90 * time.Minute
	playNone    = time.Hour
	playThinks  = 20 * time.Second // between two things that the person does
	playRetries = 3                // fixes that are tried
)

// play runs one scenario with a person who presses what the cards offer, and judges the end.
func (c *demoCmd) play(ctx context.Context, env *environment) error {
	w, err := newWorld(ctx, c, env, func(_ *coreConfig, t *terminal.Config) {
		t.In, t.Greeting, t.Plain = blocked{ctx}, "", true
	})
	if err != nil {
		return err
	}
	defer w.close()
	if err := w.inject(c.Play, playOnset); err != nil {
		return err
	}
	p := &player{w: w, scenario: c.Play}
	err = w.run(ctx, c.Speed, false, p)
	if !errors.Is(err, errDriven) {
		return err
	}
	verdict, right := p.judge(ctx)
	if err := env.say("%s", verdict); err != nil {
		return err
	}
	if !right {
		return exitCode(1)
	}
	return nil
}

// blocked is a keyboard that nobody types on.
type blocked struct{ ctx context.Context }

func (b blocked) Read([]byte) (int, error) {
	<-b.ctx.Done()
	return 0, io.EOF
}

// player is the person of an unattended play. It knows nothing but what the cards show; the judge alone knows the truth.
type player struct {
	w        *world
	scenario string
	next     time.Time // when the person does the next thing
	asked    map[string]bool
	fixes    int
	press    map[string]bool // proposals that were decided
}

// act is called after each tick. It returns errDriven when the play is over.
func (p *player) act(ctx context.Context, now time.Time) error {
	since := now.Sub(demoEpoch)
	if p.scenario == "none" {
		if since >= playNone {
			return errDriven
		}
		return nil
	}
	if since > playLimit {
		return errDriven
	}
	open, err := p.w.core.engine.ListIncidents(ctx, incident.Filter{Cluster: demoCluster})
	if err != nil || len(open) == 0 {
		return err
	}
	if p.over(ctx, open) {
		p.settle(ctx)
		p.click(ctx, card.ActTimeline, now)
		return errDriven
	}
	if now.Before(p.next) {
		return nil
	}
	p.settle(ctx)
	switch {
	case p.asked == nil:
		p.asked, p.press = map[string]bool{}, map[string]bool{}
		p.next = now.Add(playThinks)
	case !p.asked["explain"]:
		p.asked["explain"] = true
		p.click(ctx, card.ActExplain, now)
	default:
		return p.mend(ctx, now)
	}
	return nil
}

// mend asks for a fix, approves it, and asks again when it did not help.
func (p *player) mend(ctx context.Context, now time.Time) error {
	all, err := p.w.core.engine.Proposals(ctx, command.Filter{})
	if err != nil {
		return err
	}
	for _, x := range all {
		switch {
		case x.State == command.Proposed && !p.press[x.ID]:
			p.press[x.ID] = true
			p.click(ctx, card.ActApprove, now)
			if x.Class == command.W3 {
				p.say(ctx, x.Command.Target.Name)
			}
			return nil
		case !x.State.Final():
			return nil // it is being verified
		case x.State == command.Verified:
			return nil
		}
	}
	if p.fixes < playRetries {
		p.fixes++
		p.click(ctx, card.ActFix, now)
	}
	return nil
}

func (p *player) click(ctx context.Context, action string, now time.Time) {
	p.next = now.Add(playThinks)
	number, label, ok := p.w.terminal.Button(action)
	if !ok {
		return
	}
	p.w.terminal.Echo(fmt.Sprintf("> %d   (%s)", number, label))
	p.say(ctx, fmt.Sprint(number))
}

func (p *player) say(ctx context.Context, line string) {
	in, ok := p.w.terminal.Inbound(line)
	if ok {
		p.w.core.bot.Handle(ctx, in, p.w.terminal.Responder())
	}
	p.settle(ctx)
}

// settle waits until the bot has told what the engine concluded: a person acts on what is on the screen.
func (p *player) settle(ctx context.Context) {
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		if idle, err := p.w.core.idle(ctx); err != nil || idle || !sleep(ctx, time.Millisecond) {
			return
		}
	}
}

func (p *player) over(ctx context.Context, all []*incident.Incident) bool {
	for _, i := range all {
		if i.MergedInto == "" && i.Stage != incident.StageResolved && i.Stage != incident.StageCleared {
			return false
		}
	}
	pending, err := p.w.core.engine.Proposals(ctx, command.Filter{Open: true})
	return err == nil && len(pending) == 0
}

// judge compares what was named with what was injected.
func (p *player) judge(ctx context.Context) (string, bool) {
	all, err := p.w.core.engine.ListIncidents(ctx, incident.Filter{Cluster: demoCluster})
	if err != nil {
		return err.Error(), false
	}
	if p.scenario == "none" {
		if len(all) > 0 {
			return fmt.Sprintf("WRONG: nothing was broken, and %s opened: %s", all[0].ID, all[0].Title), false
		}
		return "RIGHT: an hour without a fault opened nothing.", true
	}
	truth := p.w.shop.Truth()
	var roots []string
	right, wrong := false, ""
	for _, r := range truth.Roots {
		roots = append(roots, strings.ToLower(r.GetKind())+"/"+r.GetName())
	}
	for _, i := range all {
		if i.MergedInto != "" {
			continue
		}
		named := false
		for _, r := range truth.Roots {
			named = named || i.Cause.Entity == entity.Ref{Cluster: demoCluster, Kind: r.GetKind(), Namespace: r.GetNamespace(), Name: r.GetName()}
		}
		switch {
		case !named:
			wrong = fmt.Sprintf("%s named %s", i.ID, i.Cause.Entity.Short())
		case i.Stage != incident.StageResolved && i.Stage != incident.StageCleared:
			wrong = fmt.Sprintf("%s is still at stage %s", i.ID, i.Stage)
		default:
			right = true
		}
	}
	cause := strings.Join(roots, " / ")
	switch {
	case len(all) == 0:
		return fmt.Sprintf("WRONG: %s: the root cause is %s, and nothing opened.", p.scenario, cause), false
	case wrong != "":
		return fmt.Sprintf("WRONG: %s: the root cause is %s; %s.", p.scenario, cause, wrong), false
	}
	i := all[len(all)-1]
	return fmt.Sprintf("RIGHT: %s: the root cause is %s, named as %s (%s) and resolved after %s.", p.scenario, cause, i.Cause.Entity.Short(), fmt.Sprintf("confidence %s", i.Cause.Confidence), card.Span(i.Duration(p.w.clock.Now()))), right
}
