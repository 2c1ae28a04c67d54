package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sync/errgroup"

	"github.com/bukahou/atlhyper/agent/sim"
)

// play runs `demo --play` and gives what a person would have seen.
func play(ctx context.Context, args ...string) (out string, code int) {
	var b bytes.Buffer
	code = run(ctx, append([]string{"demo", "--log-level", "error"}, args...), os.Getenv, strings.NewReader(""), &b, &b)
	return b.String(), code
}

// seeds is how many worlds each scenario is played in; names, replicas, onset and decoys vary with them.
const seeds = 20

// atOnce is how many plays run side by side: each waits more than it computes.
const atOnce = 6

// besides lets a quick run do what mostly waits beside what mostly computes. A whole run keeps its tests apart: there the
// computing is twenty times as much, and who waits for a machine's answer would wait too long.
func besides(t *testing.T) {
	if testing.Short() {
		t.Parallel()
	}
}

func TestEveryScenarioIsBlamedMendedAndResolvedOnEverySeed(t *testing.T) {
	besides(t)
	type job struct {
		scenario string
		seed     int
		flags    []string
	}
	var jobs []job
	many := seeds
	if testing.Short() {
		many = 1
	}
	for _, s := range sim.Scenarios() {
		for seed := 1; seed <= many; seed++ {
			jobs = append(jobs, job{scenario: s.Name, seed: seed})
			// Where nobody changed anything, blame must stand without the rule that looks at changes.
			if !causedByChange(t, s.Name) {
				jobs = append(jobs, job{s.Name, seed, []string{"--no-changes"}})
			}
		}
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	var mu sync.Mutex
	right := map[string]int{}
	for _, j := range jobs {
		group.Go(func() error {
			out, code := play(t.Context(), append([]string{"--play", j.scenario, "--seed", fmt.Sprint(j.seed)}, j.flags...)...)
			mu.Lock()
			defer mu.Unlock()
			if code != 0 {
				t.Errorf("%s, seed %d %v:\n%s", j.scenario, j.seed, j.flags, tail(out, 3000))
				return nil
			}
			right[strings.Join(append([]string{j.scenario}, j.flags...), " ")]++
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	for name, n := range right {
		t.Logf("%s: %d of %d", name, n, many)
	}
}

// causedByChange asks the simulator's truth, as the judge may.
func causedByChange(t *testing.T, scenario string) bool {
	t.Helper()
	shop, err := sim.New(sim.Config{Seed: 1, Start: demoEpoch})
	if err != nil {
		t.Fatal(err)
	}
	if err := shop.Inject(scenario, demoEpoch.Add(playOnset)); err != nil {
		t.Fatal(err)
	}
	return shop.Truth().Change
}

func TestAnHourWithoutAFaultOpensNothing(t *testing.T) {
	besides(t)
	many := 6
	if testing.Short() {
		many = 1
	}
	var group errgroup.Group
	group.SetLimit(atOnce)
	for seed := 1; seed <= many; seed++ {
		group.Go(func() error {
			if out, code := play(t.Context(), "--play", "none", "--seed", fmt.Sprint(seed)); code != 0 {
				t.Errorf("seed %d:\n%s", seed, tail(out, 3000))
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
}

func TestDemoListsItsScenarios(t *testing.T) {
	out, code := play(t.Context(), "--list")
	if code != 0 {
		t.Fatal(out)
	}
	for _, s := range append(sim.Scenarios(), sim.Scenario{Name: "none"}) {
		if !strings.Contains(out, s.Name) {
			t.Errorf("%s is not listed", s.Name)
		}
	}
}

func TestAnUnknownScenarioNamesTheKnownOnes(t *testing.T) {
	out, code := play(t.Context(), "--play", "earthquake")
	if code == 0 || !strings.Contains(out, "crashloop") {
		t.Errorf("code %d: %s", code, out)
	}
}
