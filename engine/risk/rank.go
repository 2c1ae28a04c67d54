package risk

import (
	"cmp"
	"math"
	"slices"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
)

// Rank blames for a complaint, whether or not anything is open: every entity is heard, with in.Anomalies over the time of the
// complaint, and the verdict's Ranking is not cut short. Those whom the verdict says nothing of follow in the order of their
// deviations.
func (s *Scorer) Rank(in Input) Verdict {
	members := map[entity.Ref]bool{}
	for _, a := range in.Anomalies {
		members[a.Entity] = true
	}
	for _, f := range in.Facts {
		members[f.Entity] = true
	}
	all := make([]entity.Ref, 0, len(members))
	for m := range members {
		all = append(all, m)
	}
	slices.SortFunc(all, entity.Compare)
	v := s.blame(in, all, len(all)+1)
	ranked := map[entity.Ref]bool{}
	for _, r := range v.Ranking {
		ranked[r.Entity] = true
	}
	c := newCourt(in, all)
	rest := slices.Clone(c.anomalies)
	slices.SortStableFunc(rest, func(a, b baseline.Anomaly) int { return cmp.Compare(b.Q*math.Abs(b.Z), a.Q*math.Abs(a.Z)) })
	for _, a := range rest {
		if u := c.unit(a.Entity); !ranked[u] && u.Kind != entity.Edge {
			ranked[u] = true
			v.Ranking = append(v.Ranking, Ranked{Entity: u, Why: c.name(u) + ": " + describe(a)})
		}
	}
	return v
}
