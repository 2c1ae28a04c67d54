package incident

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
)

// follow takes one record through one evaluation: members, machine, telling, blame, stage.
func (k *Keeper) follow(ctx context.Context, in *Observation, i *Incident, found []component) error {
	all := component{}
	for _, c := range found {
		all.troubles = append(all.troubles, c.troubles...)
	}
	slices.SortFunc(all.troubles, func(a, b *trouble) int { return compareUnits(a.unit, b.unit) })

	joined := i.meet(in, all)
	_, to := i.Machine.Step(k.timing, Input{
		At: in.Now, Observed: len(all.troubles) > 0 || i.sampled(in, k.timing), Present: i.present(in, all),
		Stat: all.stat(), Certain: all.certain(),
	})
	if i.ID == "" {
		if len(all.troubles) == 0 || all.certain() < telling && to != Critical {
			return nil // silent: a Warning without a fact is nobody's business yet
		}
		return k.openRecord(ctx, in, i, all)
	}
	var notes []string
	if len(all.troubles) > 0 {
		notes = append(notes, k.revise(in, i, all)...)
		i.list(in, all)
		i.work(in)
	}
	i.reckon(in)
	notes = append(notes, i.fixHolds(in, all, k.timing)...)
	notes = append(k.restage(i, in.Now), notes...)
	if len(joined) > 0 {
		notes = append(notes, joined...)
	}
	for _, r := range in.Rebased {
		if slices.ContainsFunc(i.Follow.Members, func(m Member) bool { return m.Ref == in.unitOf(r.Entity) }) {
			i.note(in.Now, Entry{Kind: "rebased", Entity: r.Entity, Text: r.Text})
			notes = append(notes, r.Text)
		}
	}
	if len(notes) > 0 || i.Machine.Closed || in.Now.Sub(k.saved[i.ID]) >= k.timing.Save {
		k.tell(i, in.Now, notes)
	}
	if i.Machine.Closed {
		k.retire(i)
	}
	return nil
}

// openRecord allocates the id and tells of the record. What was seen before is on its timeline already.
func (k *Keeper) openRecord(ctx context.Context, in *Observation, i *Incident, all component) error {
	id, err := k.store.NextIncident(ctx)
	if err != nil {
		return fmt.Errorf("allocate incident: %w", err)
	}
	i.ID, i.OpenedAt = id, in.Now
	k.blame(in, i, all)
	i.list(in, all)
	i.work(in)
	i.reckon(in)
	i.entitle(in, all)
	k.restage(i, in.Now)
	i.note(in.Now, Entry{Kind: "opened", Entity: i.Cause.Entity, Text: i.Title + ". " + i.Cause.Summary})
	if k.quiet != nil {
		if till, by, reason := k.quiet(ctx, i, in.Now); till.After(in.Now) {
			i.silence(till, by, reason, in.Now)
		}
	}
	i.UpdatedAt = in.Now
	k.open[id] = i
	k.dirty[id] = i
	k.told[i.ID] = i.facts()
	k.events = append(k.events, event.Event{At: in.Now, Type: event.IncidentOpened, Cluster: i.Cluster, Incident: id, Note: sentence(i.Title + ": " + i.Cause.Summary)})
	k.log.InfoContext(ctx, "incident opened", "incident", id, "cluster", i.Cluster, "stage", i.Stage, "cause", i.Cause.Entity.String(), "kind", i.Cause.Kind)
	return nil
}

// reckon brings up to date what the record costs the budgets of its entities. Once it has healed the last figure stays.
func (i *Incident) reckon(in *Observation) {
	if in.Toll == nil || i.Machine.State == Stable || i.Machine.Closed {
		return
	}
	refs := make([]entity.Ref, 0, len(i.Entities))
	for _, a := range i.Entities {
		refs = append(refs, a.Entity)
	}
	since := i.OpenedAt
	if !i.Cause.Onset.IsZero() && i.Cause.Onset.Before(since) {
		since = i.Cause.Onset
	}
	if text := in.Toll(since, refs); text != "" {
		i.Budget = text
	}
}

// meet brings the members up to date, writes what is new on the timeline, and gives a sentence for each entity that
// joined a record that was told already.
func (i *Incident) meet(in *Observation, all component) []string {
	var joined []string
	for n := range i.Follow.Members {
		i.Follow.Members[n].Active = false
		for s := range i.Follow.Members[n].Shown {
			i.Follow.Members[n].Shown[s].Active = false
		}
	}
	for _, t := range all.troubles {
		n := slices.IndexFunc(i.Follow.Members, func(m Member) bool { return m.Unit == t.unit })
		if n < 0 {
			n = len(i.Follow.Members)
			i.Follow.Members = append(i.Follow.Members, Member{Unit: t.unit, Onset: t.onset})
			if i.ID != "" {
				text := t.unit.Ref.Name + " joined: " + t.signals[0].text
				joined = append(joined, text)
				i.note(in.Now, Entry{Kind: "member", Entity: t.unit.Ref, Text: text})
			}
		}
		m := &i.Follow.Members[n]
		if !m.Active && in.Now.Sub(m.Seen) > 0 && t.onset.After(m.Seen) {
			m.Onset = t.onset // it had healed between
		}
		m.Seen, m.Active = in.Now, true
		for _, s := range t.signals {
			i.show(in.Now, m, s)
		}
	}
	return joined
}

// show notes one fault of a member. On the timeline it stands once for the member, not once for each of its pods.
func (i *Incident) show(now time.Time, m *Member, s signal) {
	known := slices.ContainsFunc(m.Shown, func(x Shown) bool { return x.Name == s.name && x.Fact == s.fact })
	n := slices.IndexFunc(m.Shown, func(x Shown) bool { return x.Name == s.name && x.Fact == s.fact && x.Entity == s.entity })
	const most = 40 // of a member: a workload of a thousand failing pods needs no thousand entries to be watched
	switch {
	case n >= 0:
		m.Shown[n].Active = true
	case len(m.Shown) < most:
		m.Shown = append(m.Shown, Shown{Entity: s.entity, Name: s.name, Fact: s.fact, Active: true})
	}
	if known {
		return
	}
	kind := "anomaly"
	if s.fact {
		kind = "fact"
	}
	i.note(now, Entry{Kind: kind, Entity: s.entity, Text: s.entity.Short() + ": " + s.text})
}

// stale is from which age a reading is no longer one of this moment.
const stale = 45 * time.Second

// sampled says whether the metrics that raised the alarm still give samples. When they stop, with the entity still
// there, nothing is known of it: it neither recovers nor worsens. This holds for as long as a gone entity is followed;
// then the metric counts as gone, as that of a service which nobody calls any more.
func (i *Incident) sampled(in *Observation, t Timing) bool {
	for _, m := range i.Follow.Members {
		for _, s := range m.Shown {
			if s.Fact || in.View == nil {
				continue
			}
			r, ok := in.View.Readings(s.Entity)[s.Name]
			if !ok || in.Now.Sub(r.At) <= stale {
				continue
			}
			if i.Follow.Dangling.IsZero() {
				i.Follow.Dangling = in.Now
			}
			return in.Now.Sub(i.Follow.Dangling) > t.Gone
		}
	}
	i.Follow.Dangling = time.Time{}
	return true
}

// present says whether anything that the record follows is still there.
func (i *Incident) present(in *Observation, all component) bool {
	if len(all.troubles) > 0 {
		return true
	}
	return slices.ContainsFunc(i.Follow.Members, func(m Member) bool {
		return in.View != nil && in.View.Find(m.Ref) != nil || in.Graph != nil && in.Graph.Has(m.Ref)
	})
}

// restage derives what a person sees from the machine, and says what changed.
func (k *Keeper) restage(i *Incident, now time.Time) []string {
	m := &i.Machine
	if m.Recurrence > i.Recurrence {
		i.Recurrence = m.Recurrence
		i.ResolvedAt = time.Time{}
		i.note(now, Entry{Kind: "recurred", Text: fmt.Sprintf("it is back, for the %s time: risk %.2f", ordinal(i.Recurrence), m.Risk)})
	}
	i.State, i.Risk = m.State, m.Risk
	i.PeakRisk = max(i.PeakRisk, m.Peak, m.Risk)
	old := i.Severity
	i.Severity = SeverityOf(i.PeakRisk)
	var notes []string
	stage := i.stage()
	if stage != i.Stage {
		from := i.Stage
		i.Stage, i.StageAt = stage, now
		if from == StageResolved || from == StageCleared {
			i.Follow.Back, i.Follow.Felt = now, entity.Ref{}
		}
		text := i.stageText(from, now)
		if from != StageNone {
			i.note(now, Entry{Kind: stageEntry(stage), Text: text})
			notes = append(notes, text)
		}
	}
	if old != "" && i.Severity != old {
		notes = append(notes, fmt.Sprintf("severity is %s now (risk %.2f)", i.Severity, i.PeakRisk))
		i.note(now, Entry{Kind: "stage", Text: notes[len(notes)-1]})
	}
	switch i.Stage {
	case StageResolved, StageCleared:
		if i.ResolvedAt.IsZero() {
			i.ResolvedAt = now
		}
	default:
		i.ResolvedAt = time.Time{}
	}
	if m.Closed && i.ClosedAt.IsZero() {
		i.ClosedAt = now
	}
	return notes
}

func stageEntry(s Stage) string {
	if s == StageResolved || s == StageCleared {
		return "resolved"
	}
	return "stage"
}

// stage reads the machine. A record is recovering at once when a fix is verified or the risk first falls below 0.15,
// and no longer when it rises above 0.2 again: between the two it stays what it was.
func (i *Incident) stage() Stage {
	m := &i.Machine
	over := m.Closed || m.State == Recovery || m.State == Stable
	switch {
	case over && (m.Reached || !i.Follow.Fixed.IsZero()): // what a fix ended did not clear by itself
		return StageResolved
	case over:
		return StageCleared
	case !i.Follow.Fixed.IsZero(), m.Risk < calmBelow, i.Stage == StageRecovering && m.Risk <= warnAbove:
		return StageRecovering
	case m.State == Critical:
		return StageIncident
	case m.State == Warning:
		return StageWarning
	}
	return StageAlert
}

func (i *Incident) stageText(from Stage, now time.Time) string {
	switch i.Stage {
	case StageIncident:
		return fmt.Sprintf("it is an Incident now: risk %.2f for %s", i.Risk, span(now.Sub(i.OpenedAt)))
	case StageWarning:
		if from == StageAlert || from == StageNone {
			return fmt.Sprintf("it is a Warning now: risk %.2f for %s", i.Risk, span(now.Sub(i.OpenedAt)))
		}
		return fmt.Sprintf("it is back: risk %.2f", i.Risk)
	case StageAlert:
		return fmt.Sprintf("it is back: risk %.2f", i.Risk)
	case StageRecovering:
		if !i.Follow.Fixed.IsZero() && i.Machine.Risk >= calmBelow {
			return "it is recovering: the fix is verified"
		}
		return fmt.Sprintf("it is recovering: risk fell to %.2f after %s", i.Risk, span(now.Sub(i.OpenedAt)))
	case StageResolved:
		return "it is resolved after " + span(now.Sub(i.OpenedAt))
	case StageCleared:
		return "it cleared by itself after " + span(now.Sub(i.OpenedAt))
	}
	return string(i.Stage)
}

// fixHolds takes a verified fix back when the fault goes on after it: a fact with evidence newer than the fix by more
// than an evaluation or two, or metrics that are still bad when the median has forgotten the time before it.
func (i *Incident) fixHolds(in *Observation, all component, t Timing) []string {
	if i.Follow.Fixed.IsZero() {
		return nil
	}
	for _, tr := range all.troubles {
		for _, s := range tr.signals {
			if s.fact && s.seen.Sub(i.Follow.Fixed) > t.Gap || !s.fact && in.Now.Sub(i.Follow.Fixed) > 2*t.Window+t.Gap && i.Machine.median() > warnAbove {
				i.Follow.Fixed = time.Time{}
				text := "the fix does not hold: " + s.entity.Short() + ": " + s.text
				i.note(in.Now, Entry{Kind: "note", Entity: s.entity, Text: text})
				return []string{text}
			}
		}
	}
	return nil
}

// list brings the entities up to date: the cause, what is anomalous, and what is at risk through what it depends on.
// Risks are the highest of the record's time.
func (i *Incident) list(in *Observation, all component) {
	cause := in.unitOf(i.Cause.Entity)
	for n := range i.Entities {
		if i.Entities[n].Role == RoleRootCause {
			i.Entities[n].Role = RoleSymptom
		}
	}
	named := false
	for _, t := range all.troubles {
		a := Affected{Entity: t.unit.Ref, RLocal: t.local(), RFinal: t.final, Role: RoleSymptom, Why: t.signals[0].text}
		if t.unit.Ref == cause {
			a.Role, a.Entity, named = RoleRootCause, i.Cause.Entity, true
		}
		i.affect(a)
	}
	if !named && !i.Cause.Entity.IsZero() {
		i.affect(Affected{Entity: i.Cause.Entity, Role: RoleRootCause, Why: i.Cause.Kind})
	}
	if in.Graph == nil || in.Assessment == nil || len(all.troubles) > 0 && all.troubles[0].unit.Aspect != "" {
		return
	}
	const steps = 6
	for _, r := range in.Graph.Upstream(i.Cause.Entity, steps) {
		s := in.Assessment.Brief(r)
		if s.Final <= alarming || r.Kind == entity.Pod || r.Kind == entity.Node || in.unitOf(r) == cause {
			continue
		}
		i.affect(Affected{Entity: r, RLocal: s.Local, RFinal: s.Final, Role: RoleAffected, Why: "depends on " + i.Cause.Entity.Short()})
	}
}

// affect adds an entity or raises what is known of it. The cause stands first, then symptoms, then the affected.
func (i *Incident) affect(a Affected) {
	n := slices.IndexFunc(i.Entities, func(x Affected) bool { return x.Entity == a.Entity })
	if n >= 0 {
		old := i.Entities[n]
		a.RLocal, a.RFinal = max(a.RLocal, old.RLocal), max(a.RFinal, old.RFinal)
		if a.Role == RoleAffected && old.Role != RoleAffected {
			a.Role, a.Why = old.Role, old.Why
		}
		i.Entities[n] = a
	} else {
		i.Entities = append(i.Entities, a)
	}
	order := []Role{RoleRootCause, RoleSymptom, RoleAffected}
	slices.SortStableFunc(i.Entities, func(a, b Affected) int {
		if d := slices.Index(order, a.Role) - slices.Index(order, b.Role); d != 0 {
			return d
		}
		if a.RFinal != b.RFinal {
			if a.RFinal > b.RFinal {
				return -1
			}
			return 1
		}
		return entity.Compare(a.Entity, b.Entity)
	})
}

// sentence gives a text the end of a sentence.
func sentence(s string) string { return strings.TrimRight(s, ". ") + "." }
