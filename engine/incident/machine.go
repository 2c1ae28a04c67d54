package incident

import (
	"cmp"
	"slices"
	"time"
)

// Timing holds every duration of the state machine and of the keeper. The zero value of a field takes its default.
// Thresholds are not configuration: they are part of what a state means.
type Timing struct {
	Window       time.Duration // the machine reads the median of the statistical part over this; default 1 min, six evaluations at the tick of 10 s
	Gap          time.Duration // evaluations further apart have not observed what lies between; default 30 s
	Warn         time.Duration // Healthy → Warning, R > 0.2; default 2 min
	Escalate     time.Duration // Warning → Incident, R > 0.5; default 5 min
	Fast         time.Duration // to Incident on a fact ≥ 0.9; default 30 s
	Ease         time.Duration // Warning → Healthy, R < 0.15; default 5 min
	Recover      time.Duration // Incident → Recovery, R < 0.15; default 10 min
	Check        time.Duration // Recovery → Stable; default 10 min
	Quiet        time.Duration // R ≤ 0.2 without facts closes after this, whatever the state; default 30 min
	Gone         time.Duration // an entity that is gone closes after this; default 30 min
	Reopen       time.Duration // R > 0.2 this soon after Stable is the same incident; default 1 h
	Onset        time.Duration // faults of one component begin within this; default 10 min
	Revise       time.Duration // the blame may be revised this long after opening; default 10 min
	ReviseHold   time.Duration // another verdict must stand this long before it replaces the first; default 20 s
	SuspectFrom  time.Duration // changes this long before onset are suspects; default 10 min
	SuspectUntil time.Duration // and this long after it, for an onset is an estimate; default 30 s
	Save         time.Duration // an open record whose machine alone moved on is saved this often; default 30 s
}

func (t *Timing) defaults() {
	t.Window = cmp.Or(t.Window, time.Minute)
	t.Gap = cmp.Or(t.Gap, 30*time.Second)
	t.Warn = cmp.Or(t.Warn, 2*time.Minute)
	t.Escalate = cmp.Or(t.Escalate, 5*time.Minute)
	t.Fast = cmp.Or(t.Fast, 30*time.Second)
	t.Ease = cmp.Or(t.Ease, 5*time.Minute)
	t.Recover = cmp.Or(t.Recover, 10*time.Minute)
	t.Check = cmp.Or(t.Check, 10*time.Minute)
	t.Quiet = cmp.Or(t.Quiet, 30*time.Minute)
	t.Gone = cmp.Or(t.Gone, 30*time.Minute)
	t.Reopen = cmp.Or(t.Reopen, time.Hour)
	t.Onset = cmp.Or(t.Onset, 10*time.Minute)
	t.Revise = cmp.Or(t.Revise, 10*time.Minute)
	t.ReviseHold = cmp.Or(t.ReviseHold, 20*time.Second)
	t.SuspectFrom = cmp.Or(t.SuspectFrom, 10*time.Minute)
	t.SuspectUntil = cmp.Or(t.SuspectUntil, 30*time.Second)
	t.Save = cmp.Or(t.Save, 30*time.Second)
}

// Scaled gives the timing with the durations of the state machine multiplied by factor; a test cluster runs at one
// twentieth. What relates to the tick and to when things began (Gap, Onset, suspects) stays as it is.
func (t Timing) Scaled(factor float64) Timing {
	t.defaults()
	for _, d := range []*time.Duration{&t.Window, &t.Warn, &t.Escalate, &t.Fast, &t.Ease, &t.Recover, &t.Check, &t.Quiet, &t.Gone, &t.Reopen, &t.Revise, &t.ReviseHold, &t.Save} {
		*d = time.Duration(float64(*d) * factor)
	}
	return t
}

// The thresholds of the state machine, on a risk of 0 to 1.
const (
	warnAbove     = 0.2
	incidentAbove = 0.5
	calmBelow     = 0.15
	slack         = 0.15 // an upward timer resets only this far below its threshold
	fastFrom      = 0.9
)

// Input is what one evaluation tells a machine.
type Input struct {
	At time.Time
	// Observed is false when nothing was seen: the agent is silent, not synced, or the metrics that raised the alarm
	// give no samples. Such a time counts neither as healthy nor as anomalous.
	Observed bool
	Present  bool    // something of what the record follows still exists
	Stat     float64 // the statistical part of the risk
	Certain  float64 // the highest fact's score
}

// Machine is the state machine of one record. Its timers run on observed time only: Clock stands still while nobody
// looks. It is plain data, so that a restart continues where it was. The zero value is Healthy.
type Machine struct {
	State      State         `json:"state"`
	Risk       float64       `json:"risk"` // as the machine read it last
	Peak       float64       `json:"peak"` // never falls
	Recurrence int           `json:"recurrence"`
	Reached    bool          `json:"reached"` // it has been an Incident
	Closed     bool          `json:"closed"`
	StableAt   time.Time     `json:"stable_at,omitzero"` // or when it closed, if it never was Stable
	Last       time.Time     `json:"last,omitzero"`      // newest observed evaluation
	Clock      time.Duration `json:"clock"`
	Samples    []Sample      `json:"samples,omitempty"` // of the statistical part, oldest first

	WarnFor     Timer `json:"warn_for"`
	EscalateFor Timer `json:"escalate_for"`
	FastFor     Timer `json:"fast_for"`
	EaseFor     Timer `json:"ease_for"`
	RecoverFor  Timer `json:"recover_for"`
	CheckFor    Timer `json:"check_for"`
	QuietFor    Timer `json:"quiet_for"`
	GoneFor     Timer `json:"gone_for"`
}

// Sample is one reading of the statistical part at a time of the machine's clock.
type Sample struct {
	At    time.Duration `json:"at"`
	Value float64       `json:"v"`
}

// Timer measures for how long a condition has been observed to hold. Each exit of a state has its own.
type Timer struct {
	On    bool          `json:"on"`
	Since time.Duration `json:"since"` // on the machine's clock
	N     int           `json:"n"`     // evaluations that saw it
}

func (t *Timer) keep(holds bool, clock time.Duration) {
	switch {
	case !holds:
		*t = Timer{}
	case !t.On:
		*t = Timer{On: true, Since: clock, N: 1}
	default:
		t.N++
	}
}

// ran says whether the condition has been observed for d, by at least two evaluations.
func (t *Timer) ran(d, clock time.Duration) bool { return t.On && t.N >= 2 && clock-t.Since >= d }

// Begin makes the machine of a new record. What came before was healthy, and the median must know it: else the first
// noisy sample would be the median of itself.
func Begin(t Timing) Machine {
	t.defaults()
	m := Machine{State: Healthy}
	for i := range windowSamples {
		m.Samples = append(m.Samples, Sample{At: -t.Window + time.Duration(i)*t.Window/windowSamples})
	}
	return m
}

// windowSamples is how many evaluations the median is of.
const windowSamples = 6

// Step takes one evaluation and says from which state to which the machine went; the same twice when it stayed.
func (m *Machine) Step(t Timing, in Input) (from, to State) {
	t.defaults()
	if m.State == "" {
		m.State = Healthy
	}
	from = m.State
	if !in.Observed {
		m.Last = time.Time{} // the next evaluation has not observed what lies between
		return from, m.State
	}
	step := in.At.Sub(m.Last)
	if m.Last.IsZero() || step < 0 || step > t.Gap {
		step = 0
	}
	m.Last = in.At
	m.Clock += step
	if m.Closed {
		return from, m.again(t, in)
	}
	m.GoneFor.keep(!in.Present, m.Clock)
	if !in.Present {
		m.freeze(step)
		m.Risk = 0 // what is not there is not at risk
		if m.GoneFor.ran(t.Gone, m.Clock) {
			m.close(in.At)
		}
		return from, m.State
	}
	m.read(t, in)
	m.move(t, in)
	return from, m.State
}

// freeze keeps the other timers from counting a step in which the entity did not exist.
func (m *Machine) freeze(step time.Duration) {
	for _, timer := range []*Timer{&m.WarnFor, &m.EscalateFor, &m.FastFor, &m.EaseFor, &m.RecoverFor, &m.CheckFor, &m.QuietFor} {
		if timer.On {
			timer.Since += step
		}
	}
}

// read takes the risk: the median of the window's statistical part, joined with the facts of this moment as the local
// risk joins them, 1 − (1−a)(1−b).
func (m *Machine) read(t Timing, in Input) {
	// Changes are evaluated between the ticks too. They must not crowd the window with copies of one sample.
	if n := len(m.Samples); n > 0 && m.Clock-m.Samples[n-1].At < t.Window/(2*windowSamples) {
		m.Samples[n-1].Value = in.Stat
	} else {
		m.Samples = append(m.Samples, Sample{At: m.Clock, Value: in.Stat})
	}
	m.Samples = slices.DeleteFunc(m.Samples, func(s Sample) bool { return m.Clock-s.At >= t.Window })
	m.Risk = 1 - (1-m.median())*(1-in.Certain)
	m.Peak = max(m.Peak, m.Risk)
	m.WarnFor.keep(m.Risk > warnAbove || m.WarnFor.On && m.Risk > warnAbove-slack, m.Clock)
	m.EscalateFor.keep(m.Risk > incidentAbove || m.EscalateFor.On && m.Risk > incidentAbove-slack, m.Clock)
	m.FastFor.keep(in.Certain >= fastFrom, m.Clock)
	calm := m.Risk < calmBelow
	m.EaseFor.keep(calm, m.Clock)
	m.RecoverFor.keep(calm, m.Clock)
	m.CheckFor.keep(m.State == Recovery, m.Clock)
	m.QuietFor.keep(m.Risk <= warnAbove && in.Certain == 0, m.Clock)
}

func (m *Machine) median() float64 {
	if len(m.Samples) == 0 {
		return 0
	}
	v := make([]float64, len(m.Samples))
	for i, s := range m.Samples {
		v[i] = s.Value
	}
	slices.Sort(v)
	if n := len(v); n%2 == 0 {
		return (v[n/2-1] + v[n/2]) / 2
	}
	return v[len(v)/2]
}

func (m *Machine) move(t Timing, in Input) {
	hot := m.Risk > warnAbove
	switch m.State {
	case Healthy, Warning:
		switch {
		case m.FastFor.ran(t.Fast, m.Clock), m.Risk > incidentAbove && m.EscalateFor.ran(t.Escalate, m.Clock):
			m.enter(Critical)
			m.Reached = true
		case m.State == Healthy && hot && m.WarnFor.ran(t.Warn, m.Clock):
			m.enter(Warning)
		case m.EaseFor.ran(t.Ease, m.Clock), m.QuietFor.ran(t.Quiet, m.Clock):
			m.close(in.At)
		}
	case Critical:
		switch {
		case m.RecoverFor.ran(t.Recover, m.Clock):
			m.enter(Recovery)
			m.CheckFor.keep(true, m.Clock)
		case m.QuietFor.ran(t.Quiet, m.Clock):
			m.close(in.At)
		}
	case Recovery:
		switch {
		case hot:
			m.Recurrence++
			m.enter(Warning)
		case m.CheckFor.ran(t.Check, m.Clock):
			m.StableAt = in.At
			m.enter(Stable)
		case m.QuietFor.ran(t.Quiet, m.Clock):
			m.close(in.At)
		}
	case Stable:
		if hot {
			m.Recurrence++
			m.enter(Warning)
			return
		}
		m.close(in.At)
	}
}

// enter changes the state. Downward timers measure calm within a state, so each state begins its own; upward timers
// measure a rise, which may have begun before.
func (m *Machine) enter(s State) {
	m.State = s
	m.EaseFor, m.RecoverFor, m.CheckFor, m.QuietFor = Timer{}, Timer{}, Timer{}, Timer{}
}

func (m *Machine) close(now time.Time) {
	if m.State != Stable {
		m.StableAt = now
	}
	m.enter(Healthy)
	m.WarnFor, m.EscalateFor, m.FastFor, m.GoneFor = Timer{}, Timer{}, Timer{}, Timer{}
	m.Closed = true
}

// again reopens a closed machine when the risk comes back within an hour.
func (m *Machine) again(t Timing, in Input) State {
	if !in.Present || in.At.Sub(m.StableAt) > t.Reopen {
		return m.State
	}
	m.read(t, in)
	if m.Risk > warnAbove {
		m.Closed = false
		m.Recurrence++
		m.enter(Warning)
	}
	return m.State
}
