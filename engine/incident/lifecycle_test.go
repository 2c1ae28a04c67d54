package incident

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
)

// legal are the stages that may follow one another. A record that is over may come back as what it was or as less.
var legal = map[Stage][]Stage{
	StageNone:       {StageAlert, StageWarning, StageIncident},
	StageAlert:      {StageWarning, StageIncident, StageRecovering, StageCleared, StageResolved},
	StageWarning:    {StageAlert, StageIncident, StageRecovering, StageCleared, StageResolved},
	StageIncident:   {StageRecovering, StageResolved},
	StageRecovering: {StageAlert, StageWarning, StageIncident, StageResolved, StageCleared},
	StageResolved:   {StageAlert, StageWarning, StageIncident, StageRecovering},
	StageCleared:    {StageAlert, StageWarning, StageIncident, StageRecovering},
}

// TestTwoDaysOfFaultsWithGapsCloseAndLoseNoSeverity drives the keeper through 48 hours of faults that come and go on several
// workloads, while the agent falls silent now and then, and through a calm end. Whatever came before: what was opened is
// closed, what was told was told once, and a severity that a record reached stays with it or with what took it in.
func TestTwoDaysOfFaultsWithGapsCloseAndLoseNoSeverity(t *testing.T) {
	plan := rapid.Custom(func(t *rapid.T) []stretch {
		var out []stretch
		for left := 46 * time.Hour; left > 0; {
			x := stretch{
				lasts:  time.Duration(rapid.IntRange(1, 240).Draw(t, "minutes")) * time.Minute,
				silent: rapid.IntRange(0, 7).Draw(t, "silent") == 0,
			}
			for range rapid.IntRange(0, 2).Draw(t, "faults") {
				x.faults = append(x.faults, fault{
					of: rapid.SampledFrom(services).Draw(t, "of"), metric: rapid.Bool().Draw(t, "metric"),
					size: rapid.SampledFrom([]float64{0.3, 0.6, 0.8, 0.95}).Draw(t, "size"),
				})
			}
			x.lasts = min(x.lasts, left)
			left -= x.lasts
			out = append(out, x)
		}
		return out
	})
	runs := 30
	if testing.Short() {
		runs = 6
	}
	type turn struct{ from, to State }
	turns := map[turn]int{}
	for seed := range runs {
		s := newShop(t)
		states := map[string]State{}
		stages, peaks := map[string]Stage{}, map[string]float64{}
		look := func(d time.Duration) {
			for end := s.now.Add(d); s.now.Before(end); {
				s.now = s.now.Add(tick)
				for _, i := range s.look() {
					if from, to := stages[i.ID], i.Stage; from != to && i.MergedInto == "" && !slices.Contains(legal[from], to) {
						t.Fatalf("seed %d, %s: %s went from %q to %q", seed, s.now.Sub(start), i.ID, from, to)
					}
					if i.PeakRisk < peaks[i.ID] || i.Severity != SeverityOf(i.PeakRisk) {
						t.Fatalf("seed %d, %s: %s had reached %.2f and is %s with %.2f", seed, s.now.Sub(start), i.ID, peaks[i.ID], i.Severity, i.PeakRisk)
					}
					turns[turn{states[i.ID], i.State}]++
					stages[i.ID], peaks[i.ID], states[i.ID] = i.Stage, i.PeakRisk, i.State
				}
			}
		}
		for _, x := range plan.Example(seed) {
			s.heal()
			for _, f := range x.faults {
				if f.metric {
					s.errors(ref(entity.Service, f.of), f.size)
				} else {
					s.fail(f.of, "CrashLoopBackOff", f.size, 1)
				}
			}
			s.silent = x.silent
			look(x.lasts)
		}
		s.heal()
		s.silent = false
		look(2 * time.Hour)
		if open := s.k.Open(""); len(open) > 0 {
			t.Errorf("seed %d: after two days and two calm hours %s is open: %+v", seed, open[0].ID, open[0].Machine)
		}
		told := map[string]int{}
		for _, e := range s.store.Events() {
			if e.Type == event.IncidentOpened {
				told[e.Incident]++
			}
		}
		for id := range stages {
			i := s.record(id)
			if told[id] != 1 {
				t.Errorf("seed %d: %s was told %d times", seed, id, told[id])
			}
			if heir := s.record(id); heir.MergedInto != "" {
				for heir.MergedInto != "" {
					heir = s.record(heir.MergedInto)
				}
				if heir.PeakRisk < i.PeakRisk {
					t.Errorf("seed %d: %s with %.2f was taken in by %s with %.2f", seed, id, i.PeakRisk, heir.ID, heir.PeakRisk)
				}
			} else if i.Stage != StageResolved && i.Stage != StageCleared || i.ClosedAt.IsZero() {
				t.Errorf("seed %d: %s ended as %s", seed, id, i.Stage)
			}
		}
		if len(stages) == 0 {
			t.Errorf("seed %d: two days of faults opened nothing", seed)
		}
	}
	if testing.Short() {
		return
	}
	for _, x := range []turn{
		{Healthy, Warning}, {Warning, Critical}, {Healthy, Critical}, {Warning, Healthy}, {Critical, Recovery}, {Recovery, Warning},
		{Recovery, Stable}, {Stable, Healthy},
	} {
		if turns[x] == 0 {
			t.Errorf("in %d runs no machine went from %s to %s", runs, x.from, x.to)
		}
	}
}

type stretch struct {
	lasts  time.Duration
	silent bool
	faults []fault
}

type fault struct {
	of     string
	metric bool
	size   float64
}
