package incident

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

var start = time.Date(2026, 3, 14, 3, 0, 0, 0, time.UTC)

const tick = 10 * time.Second

// drive steps a machine for a while under one input and gives the transitions with their times since the beginning.
type drive struct {
	m   Machine
	now time.Time
	log []string
}

func newDrive() *drive { return &drive{m: Begin(Timing{}), now: start} }

func (d *drive) run(t time.Duration, in Input) *drive {
	for end := d.now.Add(t); d.now.Before(end); {
		d.now = d.now.Add(tick)
		in.At = d.now
		closed := d.m.Closed
		from, to := d.m.Step(Timing{}, in)
		if from != to {
			d.log = append(d.log, fmt.Sprintf("%s %s→%s", d.now.Sub(start), from, to))
		}
		if d.m.Closed != closed {
			d.log = append(d.log, fmt.Sprintf("%s closed=%v", d.now.Sub(start), d.m.Closed))
		}
	}
	return d
}

func stat(r float64) Input    { return Input{Observed: true, Present: true, Stat: r} }
func certain(r float64) Input { return Input{Observed: true, Present: true, Certain: r} }

var (
	blind = Input{Present: true}
	gone  = Input{Observed: true}
)

func TestMachine(t *testing.T) {
	cases := []struct {
		name string
		run  func(*drive)
		want []string
	}{
		{"statistics alone warn after two minutes and are an Incident after five, each from its own crossing of the median, 20 to 30 s after the first bad sample", func(d *drive) {
			d.run(6*time.Minute, stat(0.9))
		}, []string{"2m30s healthy→warning", "5m40s warning→incident"}},
		{"a fact of 0.9 takes the fast path", func(d *drive) { d.run(time.Minute, certain(0.9)) }, []string{"40s healthy→incident"}},
		{"a fact of 0.8 takes the slow one", func(d *drive) { d.run(6*time.Minute, certain(0.8)) }, []string{"2m10s healthy→warning", "5m10s warning→incident"}},
		{"between 0.2 and 0.5 it stays a Warning", func(d *drive) { d.run(time.Hour, stat(0.4)) }, []string{"2m40s healthy→warning"}},
		{"a dip of less than 0.15 below the threshold does not reset the timer", func(d *drive) {
			d.run(90*time.Second, certain(0.3)).run(20*time.Second, certain(0.08)).run(time.Minute, certain(0.3))
		}, []string{"2m10s healthy→warning"}},
		{"a dip of more does", func(d *drive) {
			d.run(90*time.Second, certain(0.3)).run(20*time.Second, certain(0.04)).run(time.Minute, certain(0.3))
		}, nil},
		{"an incident recovers after ten calm minutes, is checked ten later, and closes at the next evaluation", func(d *drive) {
			d.run(time.Minute, certain(0.95)).run(25*time.Minute, stat(0))
		}, []string{"40s healthy→incident", "11m10s incident→recovery", "21m10s recovery→stable", "21m20s stable→healthy", "21m20s closed=true"}},
		{"what comes back during recovery is a recurrence at once", func(d *drive) {
			d.run(time.Minute, certain(0.95)).run(12*time.Minute, stat(0)).run(20*time.Second, certain(0.8))
		}, []string{"40s healthy→incident", "11m10s incident→recovery", "13m10s recovery→warning"}},
		{"what comes back within an hour of Stable reopens the record", func(d *drive) {
			d.run(time.Minute, certain(0.95)).run(75*time.Minute, stat(0)).run(20*time.Second, certain(0.8))
		}, []string{"40s healthy→incident", "11m10s incident→recovery", "21m10s recovery→stable", "21m20s stable→healthy", "21m20s closed=true", "1h16m10s healthy→warning", "1h16m10s closed=false"}},
		{"what comes back later does not", func(d *drive) {
			d.run(time.Minute, certain(0.95)).run(85*time.Minute, stat(0)).run(time.Hour, certain(0.8))
		}, []string{"40s healthy→incident", "11m10s incident→recovery", "21m10s recovery→stable", "21m20s stable→healthy", "21m20s closed=true"}},
		{"a warning that eases closes after five calm minutes", func(d *drive) {
			d.run(3*time.Minute, certain(0.3)).run(10*time.Minute, stat(0.1))
		}, []string{"2m10s healthy→warning", "8m10s warning→healthy", "8m10s closed=true"}},
		{"what smoulders between 0.15 and 0.2 without facts closes after half an hour", func(d *drive) {
			d.run(3*time.Minute, certain(0.3)).run(40*time.Minute, stat(0.18))
		}, []string{"2m10s healthy→warning", "33m10s warning→healthy", "33m10s closed=true"}},
		{"an entity that is gone closes after half an hour", func(d *drive) {
			d.run(time.Minute, certain(0.95)).run(31*time.Minute, gone)
		}, []string{"40s healthy→incident", "31m10s incident→healthy", "31m10s closed=true"}},
		{"a silent agent closes nothing and escalates nothing", func(d *drive) {
			d.run(time.Minute, certain(0.8)).run(24*time.Hour, blind)
		}, nil},
		{"time without observation does not count", func(d *drive) {
			d.run(70*time.Second, certain(0.8)).run(time.Hour, blind).run(70*time.Second, certain(0.8))
		}, []string{"1h2m20s healthy→warning"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			d := newDrive()
			c.run(d)
			if diff := cmp.Diff(c.want, d.log); diff != "" {
				t.Errorf("transitions (-want +got):\n%s", diff)
			}
		})
	}
}

// TestChangesBetweenTicks shows that evaluating each change does not crowd the median's window.
func TestChangesBetweenTicks(t *testing.T) {
	d := newDrive()
	d.run(2*time.Minute, stat(0))
	for range 100 { // a noisy sample, evaluated a hundred times because pods change
		d.now = d.now.Add(10 * time.Millisecond)
		in := stat(0.9)
		in.At = d.now
		d.m.Step(Timing{}, in)
	}
	if d.m.Risk > 0.1 {
		t.Errorf("one sample seen a hundred times moved the median to %.2f", d.m.Risk)
	}
}

func TestMachineContinuesAfterRestart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		series := drawSeries(t)
		cut := rapid.IntRange(0, len(series)).Draw(t, "cut")
		a, b := Begin(Timing{}), Begin(Timing{})
		for n, in := range series {
			if n == cut {
				blob, err := json.Marshal(b)
				if err != nil {
					t.Fatal(err)
				}
				b = Machine{}
				if err := json.Unmarshal(blob, &b); err != nil {
					t.Fatal(err)
				}
			}
			a.Step(Timing{}, in)
			b.Step(Timing{}, in)
		}
		if diff := cmp.Diff(a, b); diff != "" {
			t.Fatalf("a restart changed the machine:\n%s", diff)
		}
	})
}

// drawSeries draws stretches of equal inputs with jitter, gaps, disappearances and facts.
func drawSeries(t *rapid.T) []Input {
	var out []Input
	now := start
	for range rapid.IntRange(1, 12).Draw(t, "stretches") {
		in := Input{
			Observed: rapid.IntRange(0, 9).Draw(t, "observed") > 0, Present: rapid.IntRange(0, 9).Draw(t, "present") > 0,
			Stat: rapid.SampledFrom([]float64{0, 0, 0.1, 0.16, 0.19, 0.25, 0.4, 0.6, 0.95}).Draw(t, "stat"),
		}
		if rapid.IntRange(0, 3).Draw(t, "fact") == 0 {
			in.Certain = rapid.SampledFrom([]float64{0.6, 0.8, 0.95}).Draw(t, "certain")
		}
		step := rapid.SampledFrom([]time.Duration{time.Second, tick, tick, 25 * time.Second, 3 * time.Minute}).Draw(t, "step")
		for range rapid.IntRange(1, 120).Draw(t, "n") {
			now = now.Add(step)
			in.At = now
			out = append(out, in)
		}
	}
	return out
}

// TestMachineRules checks every rule against an independent account of observed time over random series.
func TestMachineRules(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m, tm := Begin(Timing{}), Timing{}
		tm.defaults()
		var last time.Time
		var clock, entered time.Duration                   // observed and present time
		above := map[float64]time.Duration{}               // since when not reset, by threshold
		calm, fast := time.Duration(-1), time.Duration(-1) // since when
		peak, recurrence, stable := 0.0, 0, time.Time{}
		for _, in := range drawSeries(t) {
			closed := m.Closed
			from, to := m.Step(tm, in)
			if in.Observed {
				if dt := in.At.Sub(last); !last.IsZero() && dt <= tm.Gap && in.Present {
					clock += dt
				}
				last = in.At
			} else {
				last = time.Time{}
			}
			if m.Peak < peak {
				t.Fatalf("the peak fell from %v to %v", peak, m.Peak)
			}
			peak = m.Peak
			if !in.Observed && from != to {
				t.Fatalf("%s→%s without an observation", from, to)
			}
			if in.Observed && in.Present {
				for _, th := range []float64{warnAbove, incidentAbove} {
					if _, on := above[th]; !on && m.Risk > th {
						above[th] = clock
					} else if on && m.Risk <= th-slack {
						delete(above, th)
					}
				}
				calm = since(calm, m.Risk < calmBelow, clock)
				fast = since(fast, in.Certain >= fastFrom, clock)
			}
			if closed && m.Closed {
				continue
			}
			switch {
			case from == Healthy && to == Warning && !closed:
				if on, ok := above[warnAbove]; !ok || clock-on < tm.Warn {
					t.Fatalf("a Warning after %v", clock-on)
				}
			case to == Critical && from != Critical:
				on, ok := above[incidentAbove]
				slow := ok && clock-on >= tm.Escalate
				if !slow && (fast < 0 || clock-fast < tm.Fast) {
					t.Fatalf("an Incident too early, risk %v", m.Risk)
				}
			case from == Critical && to == Recovery:
				if calm < 0 || clock-max(calm, entered) < tm.Recover {
					t.Fatalf("Recovery after %v of calm", clock-calm)
				}
			case from == Recovery && to == Stable:
				if clock-entered < tm.Check || m.Risk > warnAbove {
					t.Fatalf("Stable after %v at risk %v", clock-entered, m.Risk)
				}
				stable = in.At
			case (from == Recovery || from == Stable) && to == Warning:
				if m.Risk <= warnAbove || m.Recurrence != recurrence+1 {
					t.Fatalf("back at risk %v with recurrence %d after %d", m.Risk, m.Recurrence, recurrence)
				}
			case from == Critical && to == Warning, from == Critical && to == Stable, from == Warning && to == Recovery:
				t.Fatalf("%s→%s is no transition", from, to)
			}
			if closed && !m.Closed && (m.Risk <= warnAbove || m.Recurrence != recurrence+1 || !stable.IsZero() && in.At.Sub(m.StableAt) > tm.Reopen) {
				t.Fatalf("reopened at risk %v with recurrence %d after %d", m.Risk, m.Recurrence, recurrence)
			}
			if from != to || closed != m.Closed {
				entered = clock
				if m.Closed || closed {
					clear(above)
					calm, fast = -1, -1
					if !m.Closed && m.Risk > warnAbove {
						above[warnAbove] = clock
						fast = since(fast, in.Certain >= fastFrom, clock)
						if m.Risk > incidentAbove {
							above[incidentAbove] = clock
						}
					}
				}
			}
			recurrence = m.Recurrence
		}
		// Whatever happened: half an hour and three quarters of calm that is observed close it.
		at := last
		if at.IsZero() {
			at = start.Add(1000 * time.Hour)
		}
		for n := 0; n < 300; n++ {
			at = at.Add(tick)
			m.Step(tm, Input{At: at, Observed: true, Present: true})
		}
		if !m.Closed && m.Peak > 0 {
			t.Fatalf("it does not close: %+v", m)
		}
	})
}

func since(at time.Duration, holds bool, clock time.Duration) time.Duration {
	if !holds {
		return -1
	}
	if at < 0 {
		return clock
	}
	return at
}
