package incident

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/risk"
)

// verdict names the cause of what is anomalous now.
func (k *Keeper) verdict(in *Observation, all component) Cause {
	if t := all.troubles[0]; t.unit.Aspect != "" { // a standing fault is its own cause
		s := t.signals[0]
		return Cause{Entity: t.unit.Ref, Kind: s.name, Summary: s.text, Confidence: "high", Onset: s.onset, Evidence: evidenceOf(t)}
	}
	var v risk.Verdict
	if in.Scorer != nil {
		v = in.Scorer.Blame(risk.Input{
			Now: in.Now, Cluster: in.Cluster, Graph: in.Graph, Anomalies: in.Anomalies, First: in.First, Normal: in.Normal, Readings: in.View.Readings,
			Facts: slices.DeleteFunc(slices.Clone(in.Facts), func(f detect.Fact) bool { return standing[f.Kind] }),
		}, all.members())
	}
	if v.Entity.IsZero() {
		worst := all.worst()
		s := worst.signals[0]
		v = risk.Verdict{Entity: worst.unit.Ref, Kind: s.name, Confidence: "low", Why: s.text, Onset: worst.onset}
	}
	c := Cause{Entity: v.Entity, Kind: v.Kind, Summary: v.Why, Confidence: v.Confidence, RuledOut: v.RuledOut, Onset: v.Onset}
	if own := in.unitOf(v.Entity); own != v.Entity {
		// The workload speaks for a pod, when it shows the same: one bad pod of a good workload stays the cause.
		if t := all.of(Unit{Ref: own}); t != nil && slices.ContainsFunc(t.signals, func(s signal) bool { return s.fact && s.entity == own && s.name == v.Kind }) {
			c.Entity = own
		}
	}
	for _, e := range v.Evidence {
		c.Evidence = append(c.Evidence, Evidence(e))
	}
	for _, r := range v.Ranking {
		c.Ranking = append(c.Ranking, Ranked(r))
	}
	t := all.of(Unit{Ref: in.unitOf(c.Entity)})
	if t != nil {
		if len(c.Evidence) == 0 {
			c.Evidence = evidenceOf(t)
		}
		if c.Onset.IsZero() {
			c.Onset = t.onset
		}
		// The workload's own sentence has the figures of all its pods.
		if n := slices.IndexFunc(t.signals, func(s signal) bool { return s.fact && s.entity == c.Entity && s.name == c.Kind }); n >= 0 {
			c.Summary = t.signals[n].text
		}
	}
	if c.Onset.IsZero() {
		c.Onset = all.onset()
	}
	if c.Summary == "" {
		c.Summary = c.Kind
	}
	c.Summary = c.Entity.Short() + ": " + strings.TrimPrefix(c.Summary, c.Entity.Short()+": ")
	k.suspect(in, &c)
	return c
}

func evidenceOf(t *trouble) []Evidence {
	var out []Evidence
	for _, s := range t.signals {
		e := Evidence{Entity: s.entity, What: s.name, Text: s.text, At: s.seen}
		if s.anomaly != nil {
			e.Value, e.Normal = s.anomaly.Value, s.anomaly.Mean
		}
		if out = append(out, e); len(out) == 8 {
			break
		}
	}
	return out
}

// members are the anomalous entities and the units that they stand for, sorted.
func (c component) members() []entity.Ref {
	var out []entity.Ref
	for _, t := range c.troubles {
		out = append(out, t.unit.Ref)
		for _, s := range t.signals {
			out = append(out, s.entity)
		}
	}
	slices.SortFunc(out, entity.Compare)
	return slices.Compact(out)
}

func (c component) of(u Unit) *trouble {
	for _, t := range c.troubles {
		if t.unit == u {
			return t
		}
	}
	return nil
}

// worst is the trouble with the highest risk; of equals the earliest.
func (c component) worst() *trouble {
	out := c.troubles[0]
	for _, t := range c.troubles[1:] {
		if t.local() > out.local() || t.local() == out.local() && t.onset.Before(out.onset) {
			out = t
		}
	}
	return out
}

// suspect names what changed shortly before the onset on the blamed entity or on what it depends on. A change makes
// the verdict more certain when it was made on the blamed entity itself; it never makes one.
func (k *Keeper) suspect(in *Observation, c *Cause) {
	if !k.changes || in.View == nil {
		return
	}
	near := []entity.Ref{c.Entity, in.unitOf(c.Entity)}
	for _, r := range near {
		near = append(near, configs(in, r)...)
	}
	direct := slices.Clone(near)
	if in.Graph != nil {
		const steps = 3
		for _, r := range in.Graph.Downstream(near[1], steps) {
			near = append(near, r)
			near = append(near, configs(in, r)...)
		}
	}
	from, until := c.Onset.Add(-k.timing.SuspectFrom), c.Onset.Add(k.timing.SuspectUntil)
	for _, ch := range in.View.Changes(from, near...) {
		if !ch.At.After(until) && !slices.ContainsFunc(c.Suspects, func(s fleet.Change) bool { return s == ch }) {
			c.Suspects = append(c.Suspects, ch)
		}
	}
	slices.SortStableFunc(c.Suspects, func(a, b fleet.Change) int {
		if d := weightOf(a, direct) - weightOf(b, direct); d != 0 {
			return d
		}
		return b.At.Compare(a.At)
	})
	const most = 5
	c.Suspects = c.Suspects[:min(most, len(c.Suspects))]
	if len(c.Suspects) == 0 || !slices.Contains(direct, c.Suspects[0].Entity) {
		return
	}
	s := c.Suspects[0]
	where := ""
	if s.Entity != c.Entity {
		where = s.Entity.Short() + ": "
	}
	when := span(c.Onset.Sub(s.At)) + " before"
	if !s.At.Before(c.Onset) {
		when = "at the same time"
	}
	c.Summary += fmt.Sprintf("; %s%s, %s", where, s.Brief(), when)
	switch c.Confidence {
	case "low":
		c.Confidence = "medium"
	case "medium":
		c.Confidence = "high"
	}
}

// weightOf orders suspects: on the blamed entity before on what it depends on, what replaces the program before what
// merely restarts or scales it.
func weightOf(c fleet.Change, direct []entity.Ref) int {
	n := slices.Index([]string{"image", "rollout", "config", "node", "restart", "scale"}, c.Kind)
	if n < 0 {
		n = 6
	}
	if !slices.Contains(direct, c.Entity) {
		n += 10
	}
	return n
}

// configs are the ConfigMaps and Secrets that a workload refers to.
func configs(in *Observation, r entity.Ref) []entity.Ref {
	found := in.View.Find(r)
	if found == nil {
		return nil
	}
	var out []entity.Ref
	add := func(kind string, names []string) {
		for _, n := range names {
			out = append(out, entity.Ref{Cluster: in.Cluster, Kind: kind, Namespace: r.Namespace, Name: n})
		}
	}
	add("ConfigMap", found.GetWorkload().GetConfigMaps())
	add("Secret", found.GetWorkload().GetSecrets())
	add("ConfigMap", found.GetPod().GetConfigMaps())
	add("Secret", found.GetPod().GetSecrets())
	return out
}

// blame sets the cause of a new record.
func (k *Keeper) blame(in *Observation, i *Incident, all component) {
	i.Cause = k.verdict(in, all)
	i.Namespace = i.Cause.Entity.Namespace
	i.note(in.Now, Entry{Kind: "cause", Entity: i.Cause.Entity, Text: "likely cause (confidence " + i.Cause.Confidence + "): " + i.Cause.Summary})
}

// revise looks again at who is to blame, within ten minutes of opening or of coming back; later only when the blamed entity is healthy and
// another shows a certain fault. Another verdict must stand for a while, or be certain where the first was not, so that
// two near equals do not take turns.
func (k *Keeper) revise(in *Observation, i *Incident, all component) []string {
	blamed := all.of(i.causeUnit(in))
	early := in.Now.Sub(later(i.OpenedAt, i.Follow.Back)) <= k.timing.Revise
	if !early && (blamed != nil || all.certain() < telling) {
		i.Follow.Rival = nil
		return nil
	}
	if !i.Follow.Fixed.IsZero() {
		return nil // what is left after a fix says nothing about what was broken
	}
	c := k.verdict(in, all)
	fainter := certainty(c.Confidence) < certainty(i.Cause.Confidence) && blamed == nil // what is left when the cause has gone quiet is its wake
	if c.Entity == i.Cause.Entity {
		i.Follow.Rival = nil
		if fainter {
			return nil
		}
		worse := c.Kind != i.Cause.Kind
		if i.Follow.Back.IsZero() || i.Follow.Back.Sub(i.Cause.Onset) <= k.timing.Onset { // else it is of the time before
			c.Onset = earliest(c.Onset, i.Cause.Onset)
			if len(c.Suspects) == 0 {
				c.Suspects = i.Cause.Suspects
			}
		}
		i.Cause = c
		if worse {
			text := "the cause shows more: " + c.Summary
			i.note(in.Now, Entry{Kind: "cause", Entity: c.Entity, Text: text})
		}
		if early {
			i.entitle(in, all)
		}
		return nil
	}
	if fainter {
		return nil
	}
	if r := i.Follow.Rival; r == nil || r.Entity != c.Entity {
		i.Follow.Rival = &Rival{Entity: c.Entity, Since: in.Now}
	}
	sure := c.Confidence == "high" && i.Cause.Confidence != "high"
	if !sure && in.Now.Sub(i.Follow.Rival.Since) < k.timing.ReviseHold {
		return nil
	}
	was := i.Cause.Entity
	i.Cause, i.Follow.Rival = c, nil
	i.Namespace = c.Entity.Namespace
	i.Follow.Felt = entity.Ref{}
	i.entitle(in, all)
	text := "cause revised from " + was.Short() + " to " + c.Summary
	i.note(in.Now, Entry{Kind: "cause", Entity: c.Entity, Text: text})
	return []string{text}
}

// certainty orders the words of confidence.
func certainty(confidence string) int {
	return slices.Index([]string{risk.Low, risk.Medium, risk.High}, confidence)
}

func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
