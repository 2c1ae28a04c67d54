package incident

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
)

// Judgement is what a person says of a record afterwards.
type Judgement string

// The judgements. Wrong blames the root cause alone: something was the matter all the same.
const (
	Unjudged Judgement = ""
	Right    Judgement = "right" // the root cause was this
	Wrong    Judgement = "wrong" // the root cause was another
	Noise    Judgement = "noise" // nothing was the matter
)

// Vote is one person's judgement of a record, of the root cause that it named then.
type Vote struct {
	By        string     `json:"by"` // the person's id
	Name      string     `json:"name,omitempty"`
	At        time.Time  `json:"at"`
	Judgement Judgement  `json:"judgement"`
	Entity    entity.Ref `json:"entity,omitzero"` // the cause that was judged
	Kind      string     `json:"kind,omitempty"`
}

// Judge keeps a person's judgement of a record; a second one of the same person replaces the first. It gives the record
// as it is then.
func (k *Keeper) Judge(ctx context.Context, id string, v Vote) (*Incident, error) {
	var judged *Incident
	err := k.act(ctx, id, v.At, "", func(i *Incident) {
		v.Entity, v.Kind = i.Cause.Entity, i.Cause.Kind
		i.Votes = append(slices.DeleteFunc(slices.Clone(i.Votes), func(x Vote) bool { return x.By == v.By }), v)
		i.note(v.At, Entry{Kind: "judged", By: v.Name, Text: "judged: " + string(v.Judgement)})
		judged = i.clone()
	})
	return judged, err
}

// Judged is what most people said of the record and the root cause that they said it of; of equals the latest counts.
func (i *Incident) Judged() Vote {
	votes := map[Judgement]int{}
	for _, v := range i.Votes {
		votes[v.Judgement]++
	}
	var best Vote
	for _, v := range i.Votes {
		if c := cmp.Compare(votes[v.Judgement], votes[best.Judgement]); best.Judgement == Unjudged || c > 0 || c == 0 && v.At.After(best.At) {
			best = v
		}
	}
	return best
}

// Tally is how often something was named, and what people said of it. What nobody judged is only in Incidents.
type Tally struct {
	Name      string `json:"name"` // a fact's reason or a metric's name
	Incidents int    `json:"incidents"`
	Right     int    `json:"right"`
	Wrong     int    `json:"wrong"`
	Noise     int    `json:"noise"`
}

// Judged is of how many incidents somebody said anything.
func (t Tally) Judged() int { return t.Right + t.Wrong + t.Noise }

func (t *Tally) count(j Judgement) {
	switch j {
	case Right:
		t.Right++
	case Wrong:
		t.Wrong++
	case Noise:
		t.Noise++
	}
}

// Track is the record of the engine's judgement as people saw it. A cause of a kind was confirmed when an incident that
// blamed it was judged right. A detector, which is a fact or a metric that showed in an incident, was confirmed when the
// incident was real: right or wrong, but not noise.
type Track struct {
	Incidents int     `json:"incidents"`
	Judged    int     `json:"judged"`
	Causes    []Tally `json:"causes"`    // the most often named first
	Detectors []Tally `json:"detectors"` // the same
}

// TrackOf sums up records; merged ones count with the one that took them in.
func TrackOf(records []*Incident) Track {
	var t Track
	causes, detectors := map[string]*Tally{}, map[string]*Tally{}
	of := func(m map[string]*Tally, name string) *Tally {
		if m[name] == nil {
			m[name] = &Tally{Name: name}
		}
		return m[name]
	}
	for _, i := range records {
		if i.MergedInto != "" {
			continue
		}
		v := i.Judged()
		t.Incidents++
		if v.Judgement != Unjudged {
			t.Judged++
		}
		if kind := cmp.Or(v.Kind, i.Cause.Kind); kind != "" {
			c := of(causes, kind)
			c.Incidents++
			c.count(v.Judgement)
		}
		for name := range signs(i) {
			d := of(detectors, name)
			d.Incidents++
			d.count(v.Judgement)
		}
	}
	t.Causes, t.Detectors = ranked(causes), ranked(detectors)
	return t
}

// Cause is what people said of a kind of root cause; zero when none was named.
func (t Track) Cause(kind string) Tally {
	if i := slices.IndexFunc(t.Causes, func(c Tally) bool { return c.Name == kind }); i >= 0 {
		return t.Causes[i]
	}
	return Tally{}
}

func ranked(m map[string]*Tally) []Tally {
	out := []Tally{}
	for _, t := range m {
		out = append(out, *t)
	}
	slices.SortFunc(out, func(a, b Tally) int {
		return cmp.Or(cmp.Compare(b.Incidents, a.Incidents), cmp.Compare(a.Name, b.Name))
	})
	return out
}

// NoisyCause is a kind of root cause that people call noise, and the least place in which all of it lies: an entity, else a
// namespace, else the cluster.
type NoisyCause struct {
	Cluster   string     `json:"cluster"`
	Namespace string     `json:"namespace,omitempty"`
	Entity    entity.Ref `json:"entity,omitzero"`
	Kind      string     `json:"kind"`
	Tally     Tally      `json:"tally"`
	Stage     Stage      `json:"stage"` // the highest that a noisy one reached: a silence holds up to there
}

// When a kind is noisy: at least this many judged in one place, of which at least this share was noise.
const (
	noisyJudged = 3
	noisyShare  = 2.0 / 3
)

// NoisyCauseOf says whether what i blames is mostly noise by what people said of it and of records like it in the same
// cluster. The narrowest place that has the votes is taken, and a wider one only when the noise comes from several in it,
// so that a silence takes away no more than it must.
func NoisyCauseOf(i *Incident, records []*Incident) (NoisyCause, bool) {
	c := i.Cause
	if c.Kind == "" || c.Entity.IsZero() || i.Judged().Judgement != Noise {
		return NoisyCause{}, false
	}
	places := []NoisyCause{
		{Cluster: i.Cluster, Namespace: c.Entity.Namespace, Entity: c.Entity, Kind: c.Kind},
		{Cluster: i.Cluster, Namespace: c.Entity.Namespace, Kind: c.Kind},
		{Cluster: i.Cluster, Kind: c.Kind},
	}
	for n, r := range places {
		r.Tally.Name = c.Kind
		from := map[entity.Ref]bool{} // where the noise comes from, one level below
		for _, x := range records {
			v := x.Judged()
			if x.Cluster != r.Cluster || x.MergedInto != "" || v.Kind != r.Kind || !r.Entity.IsZero() && v.Entity != r.Entity || r.Namespace != "" && v.Entity.Namespace != r.Namespace {
				continue
			}
			r.Tally.Incidents++
			r.Tally.count(v.Judgement)
			if v.Judgement != Noise {
				continue
			}
			source := v.Entity
			if n == 2 {
				source = entity.Ref{Namespace: v.Entity.Namespace}
			}
			from[source] = true
			switch {
			case x.Machine.Reached:
				r.Stage = StageIncident
			case r.Stage == StageNone:
				r.Stage = StageAlert
			}
		}
		if all := r.Tally.Judged(); all >= noisyJudged && float64(r.Tally.Noise) >= noisyShare*float64(all) && (n == 0 || len(from) > 1) {
			return r, true
		}
	}
	return NoisyCause{}, false
}
