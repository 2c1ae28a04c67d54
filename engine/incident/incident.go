// Package incident keeps what went wrong: the state machine, one record for each cause, its root cause, timeline and
// statistics. A record exists from the first certain fact on; its thread, its id and its history never change hands.
package incident

import (
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
)

// Stage is what a person sees.
type Stage string

// The stages, in the order in which a record passes them. Cleared is an alert or warning that healed before it
// became an incident.
const (
	StageNone       Stage = ""
	StageAlert      Stage = "alert"
	StageWarning    Stage = "warning"
	StageIncident   Stage = "incident"
	StageRecovering Stage = "recovering"
	StageResolved   Stage = "resolved"
	StageCleared    Stage = "cleared"
)

// State is the state machine's.
type State string

// The states.
const (
	Healthy  State = "healthy"
	Warning  State = "warning"
	Critical State = "incident"
	Recovery State = "recovery"
	Stable   State = "stable"
)

// Severity is derived from the peak risk and never lost: ≥ 0.8 critical, ≥ 0.6 high, ≥ 0.4 medium, else low.
type Severity string

// The severities.
const (
	SeverityLow      Severity = "low"
	SeverityMedium   Severity = "medium"
	SeverityHigh     Severity = "high"
	SeverityCritical Severity = "critical"
)

// SeverityOf maps a risk of 0 to 1.
func SeverityOf(risk float64) Severity {
	switch {
	case risk >= 0.8:
		return SeverityCritical
	case risk >= 0.6:
		return SeverityHigh
	case risk >= 0.4:
		return SeverityMedium
	}
	return SeverityLow
}

// Above says whether s is more severe than other.
func (s Severity) Above(other Severity) bool {
	order := []Severity{SeverityLow, SeverityMedium, SeverityHigh, SeverityCritical}
	return slices.Index(order, s) > slices.Index(order, other)
}

// Role is the part that an entity plays in an incident.
type Role string

// The roles.
const (
	RoleRootCause Role = "root_cause"
	RoleSymptom   Role = "symptom"  // abnormal by itself
	RoleAffected  Role = "affected" // at risk through what it depends on
)

// Affected is one entity of an incident with its risks, 0 to 1.
type Affected struct {
	Entity entity.Ref `json:"entity"`
	RLocal float64    `json:"r_local"`
	RFinal float64    `json:"r_final"`
	Role   Role       `json:"role"`
	Why    string     `json:"why,omitempty"` // "2 of 3 replicas in CrashLoopBackOff", "error rate 31 % (normal 0.2 %)"
}

// Evidence is one figure or fact behind a root cause. Value, Normal and Unit are for a person; At is when it was seen.
type Evidence struct {
	Entity entity.Ref `json:"entity"`
	What   string     `json:"what"` // a fact's reason or a metric's name
	Text   string     `json:"text"` // "3 of 3 pods wait in ImagePullBackOff: shop/cart:v9 not found"
	Value  float64    `json:"value,omitempty"`
	Normal float64    `json:"normal,omitempty"`
	Unit   string     `json:"unit,omitempty"`
	At     time.Time  `json:"at"`
}

// Ranked is one candidate of the blame ranking, best first.
type Ranked struct {
	Entity entity.Ref `json:"entity"`
	Score  float64    `json:"score"`
	Why    string     `json:"why,omitempty"`
}

// Cause is the root cause as it is believed now.
type Cause struct {
	Entity     entity.Ref     `json:"entity"`
	Kind       string         `json:"kind"`       // the fact's reason or the metric's name: CrashLoopBackOff, avg_latency, …
	Summary    string         `json:"summary"`    // one sentence for a person
	Confidence string         `json:"confidence"` // high, medium, low
	Evidence   []Evidence     `json:"evidence,omitempty"`
	Suspects   []fleet.Change `json:"suspects,omitempty"`
	RuledOut   []string       `json:"ruled_out,omitempty"`
	Ranking    []Ranked       `json:"ranking,omitempty"`
	Onset      time.Time      `json:"onset"`
}

// Entry is one line of the timeline. Kinds: opened, fact, anomaly, stage, cause, member, merged, acknowledged,
// silenced, proposal, fixed, rebased, recurred, resolved, judged, note.
type Entry struct {
	At     time.Time  `json:"at"`
	Kind   string     `json:"kind"`
	Entity entity.Ref `json:"entity,omitzero"`
	Text   string     `json:"text"`
	By     string     `json:"by,omitempty"` // a person's name, "" for the engine
}

// Incident is one record.
type Incident struct {
	ID           string     `json:"id"` // INC-214
	Cluster      string     `json:"cluster"`
	Stage        Stage      `json:"stage"`
	State        State      `json:"state"`
	Severity     Severity   `json:"severity"`
	Title        string     `json:"title"` // "checkout is failing"; kept when it resolves
	Namespace    string     `json:"namespace,omitempty"`
	Cause        Cause      `json:"cause"`
	Risk         float64    `json:"risk"`
	PeakRisk     float64    `json:"peak_risk"`
	OpenedAt     time.Time  `json:"opened_at"`
	UpdatedAt    time.Time  `json:"updated_at"`
	StageAt      time.Time  `json:"stage_at"`
	ResolvedAt   time.Time  `json:"resolved_at,omitzero"`
	ClosedAt     time.Time  `json:"closed_at,omitzero"`
	Recurrence   int        `json:"recurrence"`
	Entities     []Affected `json:"entities"`
	Timeline     []Entry    `json:"timeline,omitempty"`
	Acknowledged string     `json:"acknowledged,omitempty"` // by whom
	SilencedTill time.Time  `json:"silenced_till,omitzero"`
	Votes        []Vote     `json:"votes,omitempty"`
	Worst        Workings   `json:"worst,omitzero"` // how the risk was made up when it was highest
	Fix          string     `json:"fix,omitempty"`  // id of the proposal that mended it or is being tried
	FixSummary   string     `json:"fix_summary,omitempty"`
	Budget       string     `json:"budget,omitempty"` // what it costs: "budget burning 22×, 2.1 % of checkout's 30 d budget spent"
	MergedInto   string     `json:"merged_into,omitempty"`
	Machine      Machine    `json:"machine"`
	Follow       Follow     `json:"follow"`
}

// Follow is what the keeper needs to go on with a record after a restart.
type Follow struct {
	Members  []Member   `json:"members,omitempty"`
	Fixed    time.Time  `json:"fixed,omitzero"`    // when a fix was verified; zero again when it does not hold
	Rival    *Rival     `json:"rival,omitempty"`   // another verdict that does not stand long enough yet
	Back     time.Time  `json:"back,omitzero"`     // when it came back after it was over: what is wrong then may be another thing
	Felt     entity.Ref `json:"felt,omitzero"`     // whose users the title speaks of; zero while it speaks of the cause
	Dangling time.Time  `json:"dangling,omitzero"` // since when the metrics that raised the alarm give no samples
}

// Member is one unit of a record: an entity, a pod standing for its workload, with what was wrong with it.
type Member struct {
	Unit
	Onset  time.Time `json:"onset"`
	Seen   time.Time `json:"seen"` // when it was last anomalous
	Active bool      `json:"active"`
	Shown  []Shown   `json:"shown,omitempty"`
}

// Shown is one fault that a member shows or showed.
type Shown struct {
	Entity entity.Ref `json:"entity"`
	Name   string     `json:"name"`
	Fact   bool       `json:"fact,omitempty"`
	Active bool       `json:"active"`
}

// Rival is a verdict that differs from the record's cause.
type Rival struct {
	Entity entity.Ref `json:"entity"`
	Since  time.Time  `json:"since"`
}

// Open says whether the record still follows something.
func (i *Incident) Open() bool { return i.ClosedAt.IsZero() && i.MergedInto == "" }

// Duration is from opening to resolution, or to now.
func (i *Incident) Duration(now time.Time) time.Duration {
	if !i.ResolvedAt.IsZero() {
		return i.ResolvedAt.Sub(i.OpenedAt)
	}
	return now.Sub(i.OpenedAt)
}
