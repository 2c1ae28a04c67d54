package incident

import (
	"cmp"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
)

// Match is an earlier record with how like another one it is. Score is 0.5·Cause + 0.3·Entities + 0.2·Signs.
type Match struct {
	Incident *Incident `json:"incident"`
	Score    float64   `json:"score"`    // 0 to 1
	Cause    float64   `json:"cause"`    // 1: the same entity for the same reason; 0.6: the same entity; 0.3: the same reason on the like; else 0
	Entities float64   `json:"entities"` // share of the entities that both touch, of those that either does
	Signs    float64   `json:"signs"`    // the same of facts and metrics
}

// leastLike is where a resemblance begins to say something: the same reason elsewhere alone gives 0.15, the same entity
// alone 0.3.
const leastLike = 0.34

// Similar ranks the earlier records of the same cluster by how like i they are, the most first and of equals the newest;
// at most n of them. Sets are compared by the Jaccard index (Jaccard 1901), |A∩B| / |A∪B|. Pods do not count: their names
// change with each rollout, and what they belong to counts in their place.
func Similar(i *Incident, past []*Incident, n int) []Match {
	here, shown := touched(i), signs(i)
	var out []Match
	for _, p := range past {
		if p.ID == i.ID || p.Cluster != i.Cluster || p.MergedInto != "" || !p.OpenedAt.Before(i.OpenedAt) {
			continue
		}
		m := Match{Incident: p, Cause: likeness(&i.Cause, &p.Cause), Entities: jaccard(here, touched(p)), Signs: jaccard(shown, signs(p))}
		m.Score = 0.5*m.Cause + 0.3*m.Entities + 0.2*m.Signs
		if m.Score >= leastLike {
			out = append(out, m)
		}
	}
	slices.SortFunc(out, func(a, b Match) int {
		return cmp.Or(cmp.Compare(b.Score, a.Score), b.Incident.OpenedAt.Compare(a.Incident.OpenedAt), cmp.Compare(a.Incident.ID, b.Incident.ID))
	})
	return out[:min(n, len(out))]
}

// likeness of two root causes.
func likeness(a, b *Cause) float64 {
	switch {
	case a.Entity.IsZero() || b.Entity.IsZero():
		return 0
	case a.Entity == b.Entity && a.Kind == b.Kind:
		return 1
	case a.Entity == b.Entity:
		return 0.6
	case a.Kind == b.Kind && a.Entity.Kind == b.Entity.Kind:
		return 0.3
	}
	return 0
}

func touched(i *Incident) map[entity.Ref]bool {
	out := map[entity.Ref]bool{}
	for _, a := range i.Entities {
		if a.Entity.Kind != entity.Pod {
			out[a.Entity] = true
		}
	}
	return out
}

// signs are the reasons and metrics that showed what was wrong.
func signs(i *Incident) map[string]bool {
	out := map[string]bool{}
	for _, e := range i.Cause.Evidence {
		out[e.What] = true
	}
	for _, m := range i.Follow.Members {
		for _, s := range m.Shown {
			out[s.Name] = true
		}
	}
	return out
}

// jaccard gives 0 for two empty sets: nothing in common is nothing that tells.
func jaccard[K comparable](a, b map[K]bool) float64 {
	both := 0
	for k := range a {
		if b[k] {
			both++
		}
	}
	all := len(a) + len(b) - both
	if all == 0 {
		return 0
	}
	return float64(both) / float64(all)
}

// Remembered is for how long earlier records are compared with.
const Remembered = 90 * 24 * time.Hour
