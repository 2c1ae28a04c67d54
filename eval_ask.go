package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/assistant"
	asking "github.com/bukahou/atlhyper/bot/eval"
	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
)

// evalAskCmd asks questions with known answers of simulated clusters in known trouble.
type evalAskCmd struct {
	evalFlags
	chatFlags
	Runs  int    `help:"How often a model is asked everything." default:"3"`
	Wrong bool   `help:"Print a line for each question that was not answered rightly, but for the unseen ones."`
	World string `help:"Only the questions about this one of the worlds." placeholder:"NAME"`
}

func (c *evalAskCmd) Run(ctx context.Context, env *environment) error {
	worlds, questions, err := asking.Load()
	if err != nil {
		return err
	}
	if c.World != "" {
		worlds = slices.DeleteFunc(worlds, func(w asking.World) bool { return w.Name != c.World })
		questions = slices.DeleteFunc(questions, func(q asking.Question) bool { return q.World != c.World })
		if len(worlds) == 0 {
			return fmt.Errorf("there is no world %q; bot/eval/questions.yaml lists them", c.World)
		}
	}
	verdicts, err := askWorlds(ctx, env, chatFlags{}, worlds, questions)
	if err != nil {
		return err
	}
	score := asking.Sum(verdicts)
	figures := askFigures(score)
	var runs [][]asking.Verdict
	if c.hasModel() {
		for range c.Runs {
			v, err := askWorlds(ctx, env, c.modelOnly(), worlds, questions)
			if err != nil {
				return err
			}
			runs = append(runs, v)
		}
		figures["model_mean"], figures["model_all3"] = asking.Steady(runs)
	}
	if c.Wrong {
		for _, v := range slices.Concat(append([][]asking.Verdict{verdicts}, runs...)...) {
			if v.Wrong != "" && v.Question.Set != asking.Unseen { // what is read here is learned from
				fmt.Fprintf(env.stderr, "%s %s: %s\n  %s\n", v.Question.World, v.Question.Kind, v.Question.Ask, v.Wrong)
			}
		}
	}
	return c.print(env, figures, func(w io.Writer) {
		fmt.Fprintln(w, "questions\tright\tof\tshare\t")
		row := func(name string, t asking.Tally) {
			fmt.Fprintf(w, "%s\t%d\t%d\t%.3f\t\n", name, t.Right, t.Cases, t.Share())
		}
		row("all", score.All)
		row("  written before", score.Sets[asking.Before])
		row("by others, learned", score.Sets[asking.Blind])
		row("by others, unseen", score.Sets[asking.Unseen])
		for _, by := range []map[string]asking.Tally{score.Langs, score.Kinds} {
			for _, name := range slices.Sorted(maps.Keys(by)) {
				row(name, by[name])
			}
		}
		if len(runs) > 0 {
			fmt.Fprintf(w, "\nmodel\tmean\tevery run\t\n%d runs\t%.3f\t%.3f\t\n", len(runs), figures["model_mean"], figures["model_all3"])
		}
	})
}

// askFigures names a planner's score.
func askFigures(s asking.Score) map[string]float64 {
	figures := map[string]float64{
		"planner_score": s.All.Share(), "planner_cases": float64(s.All.Cases),
		"planner_before": s.Sets[asking.Before].Share(), "planner_before_cases": float64(s.Sets[asking.Before].Cases),
		"planner_blind": s.Sets[asking.Blind].Share(), "planner_unseen": s.Sets[asking.Unseen].Share(),
	}
	for kind, t := range s.Kinds {
		figures["planner_"+kind] = t.Share()
	}
	return figures
}

// askAll gives the planner's figures over everything.
func askAll(ctx context.Context, env *environment) (map[string]float64, error) {
	worlds, questions, err := asking.Load()
	if err != nil {
		return nil, err
	}
	verdicts, err := askWorlds(ctx, env, chatFlags{}, worlds, questions)
	if err != nil {
		return nil, err
	}
	return askFigures(asking.Sum(verdicts)), nil
}

// askWorlds asks the questions of each world in it. Worlds share nothing, so that some are made at once.
func askWorlds(ctx context.Context, env *environment, chat chatFlags, worlds []asking.World, questions []asking.Question) ([]asking.Verdict, error) {
	out := make([][]asking.Verdict, len(worlds))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for i, x := range worlds {
		group.Go(func() error {
			about := slices.DeleteFunc(slices.Clone(questions), func(q asking.Question) bool { return q.World != x.Name })
			var err error
			if out[i], err = askWorld(ctx, env, chat, x, about); err != nil {
				return fmt.Errorf("world %s: %w", x.Name, err)
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return slices.Concat(out...), nil
}

// When the trouble of a world begins, and when it is asked about. Its clock runs no faster than the agent can follow: what is
// reported late in simulated time would be answered wrongly.
const (
	askOnset = 4 * time.Minute
	askAt    = 14 * time.Minute
	askSpeed = 200 // simulated seconds a second
)

// askWorld lets a world come to its trouble and asks about it while its clock stands.
func askWorld(ctx context.Context, env *environment, chat chatFlags, x asking.World, questions []asking.Question) ([]asking.Verdict, error) {
	quiet := *env
	quiet.stdout, quiet.lang = io.Discard, "en"
	w, err := newWorld(ctx, &demoCmd{Seed: x.Seed, chatFlags: chat}, &quiet, func(_ *coreConfig, t *terminal.Config) {
		t.In, t.Greeting, t.Plain = blocked{ctx}, "", true
	})
	if err != nil {
		return nil, err
	}
	defer w.close()
	if err := w.backfill(ctx); err != nil {
		return nil, err
	}
	if err := w.inject(x.Scenario, askOnset); err != nil {
		return nil, err
	}
	q := &questioner{w: w, model: chat.hasModel(), questions: questions}
	if err := w.run(ctx, askSpeed, false, q); !errors.Is(err, errDriven) {
		return nil, cmp.Or(err, ctx.Err())
	}
	return q.verdicts, nil
}

// questioner asks when it is time, and is an actor.
type questioner struct {
	w         *world
	model     bool // a model shall answer, and not the planner in its place
	questions []asking.Question
	verdicts  []asking.Verdict
}

func (q *questioner) act(ctx context.Context, now time.Time) error {
	if now.Sub(demoEpoch) < askAt {
		return nil
	}
	var err error
	if q.verdicts, err = asking.Ask(ctx, q.questions, q.ask); err != nil {
		return err
	}
	return errDriven
}

// ask puts a question as a person would, after those that came before it in its thread, and withdraws what was proposed.
func (q *questioner) ask(ctx context.Context, x asking.Question) (asking.Reply, error) {
	caller := tools.Caller{Person: people.Person{ID: "terminal:local", Name: localUser(), Local: true}, Lang: x.Lang, Incident: x.Incident}
	var turns []assistant.Turn
	for _, text := range x.Thread {
		r, a, err := q.put(ctx, caller, turns, text)
		if err != nil {
			return r, err
		}
		said := r.Text
		if a != nil {
			said = a.Answer
		}
		turns = append(turns, assistant.Turn{Person: true, Text: text, By: caller.Person.ID}, assistant.Turn{Text: said})
	}
	r, _, err := q.put(ctx, caller, turns, x.Ask)
	return r, err
}

func (q *questioner) put(ctx context.Context, caller tools.Caller, turns []assistant.Turn, text string) (asking.Reply, *bot.Asked, error) {
	var r asking.Reply
	a, err := q.w.core.bot.AskAfter(ctx, turns, text, caller, nil)
	var problem *tools.Problem
	var denied *command.Denied
	switch {
	case errors.As(err, &problem): // what is missing is asked for; what was not understood is no question
		r.Text, r.AskedBack, r.Unclear = problem.Error(), !problem.Unclear, problem.Unclear
	case errors.As(err, &denied):
		r.Text = denied.Error()
	case err != nil:
		return r, nil, err
	case q.model && a.Degraded != "":
		r.Text, r.Unclear = "Answering without the model: "+a.Degraded, true // what another answers is none of the model's
	default:
		r.Text, r.AskedBack = asking.Shown(a), asking.AskedBack(a)
	}
	open, err := q.w.core.engine.Proposals(ctx, command.Filter{Open: true})
	if err != nil {
		return r, nil, err
	}
	for _, p := range open {
		r.Proposals = append(r.Proposals, asking.Change(p.Command))
		if _, err := q.w.core.engine.Desk.Reject(ctx, p.ID, caller.Person); err != nil {
			return r, nil, err
		}
	}
	return r, a, nil
}
