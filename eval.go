package main

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/eval"
	"github.com/bukahou/atlhyper/storage"
)

// evalCmd measures the engine's judgement against labels, and answers against what they must hold.
type evalCmd struct {
	Rca    evalRcaCmd    `cmd:"" help:"Replay labelled incidents: whose fault was it, and when was it seen."`
	All    evalAllCmd    `cmd:"" help:"All of it, against the committed floors: fails below one."`
	Synth  evalSynthCmd  `cmd:"" help:"Made-up cases, hard on purpose, with a truth by construction."`
	Detect evalDetectCmd `cmd:"" help:"Single series with labelled anomalies, scored by the rules of NAB."`
	Ask    evalAskCmd    `cmd:"" help:"Questions in plain words with known answers: what the planner answers rightly, and the model."`
}

// evalFlags are common to the evaluations.
type evalFlags struct {
	JSON bool `name:"json" help:"One flat JSON object on standard output."`
}

func (f evalFlags) print(env *environment, figures map[string]float64, table func(io.Writer)) error {
	if f.JSON {
		return json.NewEncoder(env.stdout).Encode(figures)
	}
	w := tabwriter.NewWriter(env.stdout, 0, 4, 2, ' ', tabwriter.AlignRight)
	table(w)
	return w.Flush()
}

// evalConfig replays on stores in memory.
func evalConfig(formulas engine.Formulas) eval.Config {
	return eval.Config{
		Formulas: formulas,
		Open: func(ctx context.Context, now func() time.Time) (engine.Store, func() error, error) {
			db, err := storage.Open(ctx, ":memory:", storage.Config{Now: now})
			if err != nil {
				return nil, nil, err
			}
			return db, db.Close, nil
		},
	}
}

// evalRcaCmd replays sets of labelled incidents.
type evalRcaCmd struct {
	evalFlags
	Dir string `arg:"" help:"A set, or a folder of sets." type:"existingdir"`
	Out string `help:"Write one JSON line a case, by the default formulas, to this file." type:"path"`
}

func (c *evalRcaCmd) Run(ctx context.Context, env *environment) error {
	outcomes, figures, err := replaySets(ctx, env, c.Dir)
	if err != nil {
		return err
	}
	if c.Out != "" {
		if err := writeResults(c.Out, outcomes); err != nil {
			return err
		}
	}
	return c.print(env, figures, func(w io.Writer) {
		fmt.Fprintln(w, "set\tformulas\tfault\tcases\ttop-1\ttop-3\tavg@5\topened\tafter\tfalse openings\t")
		row := func(o *eval.Outcome, fault string, t *eval.Tally, wrong string) {
			after := "-"
			if t.Opened > 0 {
				after = t.Detect.Round(time.Second).String()
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%.2f\t%.2f\t%.2f\t%d\t%s\t%s\t\n", o.Set, o.Formulas, fault, t.Cases, t.Top(1), t.Top(3), t.Avg5(), t.Opened, after, wrong)
		}
		for _, o := range outcomes {
			row(o, "all", &o.All, fmt.Sprintf("%d in %s", o.False, o.Calm.Round(time.Minute)))
			for _, fault := range slices.Sorted(maps.Keys(o.ByFault)) {
				row(o, fault, o.ByFault[fault], "")
			}
		}
	})
}

// replaySets replays every set with both formulas.
func replaySets(ctx context.Context, env *environment, dir string) (outcomes []*eval.Outcome, figures map[string]float64, err error) {
	sets, err := eval.LoadSets(dir)
	if err != nil {
		return nil, nil, err
	}
	figures = map[string]float64{"false_openings": 0}
	for _, s := range sets {
		for _, formulas := range []engine.Formulas{engine.Default, engine.Classic} {
			o, err := eval.Run(ctx, evalConfig(formulas), s)
			if err != nil {
				return nil, nil, fmt.Errorf("replay set %s: %w", s.Name, err)
			}
			outcomes = append(outcomes, o)
			for _, f := range o.FalseAt {
				env.log.Warn("opened without a fault", "set", o.Set, "formulas", o.Formulas, "at", f.At, "cause", f.Cause)
			}
			key := o.Set + "." + string(formulas) + "."
			figures[key+"top1"], figures[key+"top3"], figures[key+"avg5"] = o.All.Top(1), o.All.Top(3), o.All.Avg5()
			figures[key+"opened"], figures[key+"detect_s"] = float64(o.All.Opened), o.All.Detect.Seconds()
			figures[key+"false_openings"] = float64(o.False)
			if formulas == engine.Default {
				figures["false_openings"] += float64(o.False)
			}
		}
	}
	return outcomes, figures, nil
}

// writeResults writes the answers of the default formulas, one JSON object a line.
func writeResults(path string, outcomes []*eval.Outcome) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer func() { err = cmp.Or(err, f.Close()) }()
	w := bufio.NewWriter(f)
	for _, o := range outcomes {
		if o.Formulas != engine.Default {
			continue
		}
		for _, r := range o.Results {
			line, err := json.Marshal(r)
			if err != nil {
				return err
			}
			if _, err := w.Write(append(line, '\n')); err != nil {
				return err
			}
		}
	}
	return errors.Join(w.Flush())
}

// evalDetectCmd scores detectors on single series.
type evalDetectCmd struct {
	evalFlags
	Dir string `arg:"" help:"A folder with set.json, windows.json and data/." type:"existingdir"`
}

// nabKeys are our names of NAB's profiles.
var nabKeys = map[string]string{"standard": "standard", "reward_low_FP_rate": "low_fp", "reward_low_FN_rate": "low_fn"}

func (c *evalDetectCmd) Run(_ context.Context, env *environment) error {
	b, err := eval.LoadBenchmark(c.Dir)
	if err != nil {
		return err
	}
	scores := eval.Detect(b)
	return c.print(env, detectFigures(scores), func(w io.Writer) {
		fmt.Fprintln(w, "detector\tstandard\tlow FP\tlow FN\t")
		for _, d := range slices.Sorted(maps.Keys(scores)) {
			fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t\n", d, scores[d]["standard"], scores[d]["reward_low_FP_rate"], scores[d]["reward_low_FN_rate"])
		}
	})
}

func detectFigures(scores map[string]eval.Scores) map[string]float64 {
	figures := map[string]float64{}
	for detector, s := range scores {
		for profile, x := range s {
			key := cmp.Or(nabKeys[profile], profile)
			if detector != string(engine.Default) {
				key = detector + "." + key
			}
			figures[key] = x
		}
	}
	return figures
}

// evalSynthCmd replays made-up cases.
type evalSynthCmd struct {
	evalFlags
	Seed  uint64 `help:"Seed of the first case; the next has the next." default:"1"`
	Cases int    `help:"How many cases." default:"100"`
	Wrong bool   `help:"Print a line for each case that was not right."`
}

func (c *evalSynthCmd) Run(ctx context.Context, env *environment) error {
	s, err := eval.Synth(ctx, evalConfig(engine.Default), c.Seed, c.Cases)
	if err != nil {
		return err
	}
	if c.Wrong {
		for _, line := range s.Wrong {
			fmt.Fprintln(env.stderr, line)
		}
	}
	return c.print(env, s.ByName(), func(w io.Writer) {
		fmt.Fprintf(w, "top-1\ttop-3\tdecoy blamed\tone incident\t\n%.3f\t%.3f\t%.3f\t%.3f\t\n\n", s.Top1, s.Top3, s.Decoy, s.OneEach)
		fmt.Fprintln(w, "fault\tcases\ttop-1\topened\tafter\t")
		for _, fault := range slices.Sorted(maps.Keys(s.ByFault)) {
			t := s.ByFault[fault]
			fmt.Fprintf(w, "%s\t%d\t%.2f\t%d\t%s\t\n", fault, t.Cases, t.Top(1), t.Opened, t.Detect.Round(time.Second))
		}
	})
}

// evalAllCmd is what a change must pass.
type evalAllCmd struct {
	Dir    string `arg:"" optional:"" help:"A folder of sets; made-up cases alone when empty."`
	Floors string `help:"The committed floors." default:"engine/eval/floors.json" type:"path"`
	Raise  bool   `help:"Write what is better than its floor back into the file."`
	Seed   uint64 `help:"Seed of the first made-up case." default:"1"`
	Cases  int    `help:"How many made-up cases." default:"500"`
}

func (c *evalAllCmd) Run(ctx context.Context, env *environment) error {
	floors, err := eval.LoadFloors(c.Floors)
	if err != nil {
		return err
	}
	figures := map[string]float64{}
	if c.Dir != "" {
		if err := c.recorded(ctx, env, figures); err != nil {
			return err
		}
	}
	s, err := eval.Synth(ctx, evalConfig(engine.Default), c.Seed, c.Cases)
	if err != nil {
		return err
	}
	for name, x := range s.ByName() {
		figures["synth."+name] = x
	}
	asked, err := askAll(ctx, env)
	if err != nil {
		return err
	}
	for name, x := range asked {
		figures["ask."+name] = x
	}
	for _, name := range slices.Sorted(maps.Keys(figures)) {
		fmt.Fprintf(env.stdout, "%-45s %8.3f\n", name, figures[name])
	}
	if below := floors.Below(figures); len(below) > 0 {
		return fmt.Errorf("below the floor:\n  %s", strings.Join(below, "\n  "))
	}
	if c.Raise && floors.Raise(figures) {
		return floors.Save(c.Floors)
	}
	return nil
}

// recorded measures on the sets of a folder: replays, and series where a folder has these.
func (c *evalAllCmd) recorded(ctx context.Context, env *environment, figures map[string]float64) error {
	_, replayed, err := replaySets(ctx, env, c.Dir)
	if err != nil {
		return err
	}
	maps.Copy(figures, replayed)
	entries, err := os.ReadDir(c.Dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		dir := filepath.Join(c.Dir, e.Name())
		if !eval.IsBenchmark(dir) {
			continue
		}
		b, err := eval.LoadBenchmark(dir)
		if err != nil {
			return err
		}
		scores := eval.Detect(b)
		for name, x := range detectFigures(scores) {
			figures[e.Name()+"."+name] = x
		}
		if ours, theirs := scores["default"]["standard"], scores["windowed_gaussian"]["standard"]; ours <= theirs {
			return fmt.Errorf("%s: the default's standard score is %.1f, and the windowed Gaussian's %.1f", e.Name(), ours, theirs)
		}
	}
	return nil
}
