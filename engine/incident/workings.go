package incident

import (
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/risk"
)

// Step is one entity on the way of a risk: its score and the formula with the numbers put in.
type Step struct {
	Entity  entity.Ref `json:"entity"`
	Final   float64    `json:"final"`
	Formula string     `json:"formula"`
}

// Workings are how a risk was made up at a time: from the entity that it reached the furthest down to where it comes from.
type Workings struct {
	At    time.Time  `json:"at,omitzero"`
	Cause entity.Ref `json:"cause,omitzero"` // that was blamed then
	Risk  float64    `json:"risk"`
	Steps []Step     `json:"steps,omitempty"`
}

// Path is the way of a risk from ref down to where it comes from, ref first; nil for what is healthy.
func Path(a *risk.Assessment, ref entity.Ref) []Step {
	var out []Step
	for at := ref; !at.IsZero() && !slices.ContainsFunc(out, func(s Step) bool { return s.Entity == at }); {
		s := a.Of(at)
		if s.Final == 0 {
			break
		}
		out = append(out, Step{at, s.Final, s.Formula()})
		at = s.Via
	}
	return out
}

// Spread is the longest way by which the risk of an incident's root cause reached one of its entities; of equals the one
// with the highest risk at its end. Where it reached none it is the cause's own. A workload that is blamed for what its
// service shows has no score: then the way comes from whichever of the entities is worst off.
func Spread(a *risk.Assessment, i *Incident) []Step {
	const looked = 64 // of an outage of hundreds, the first ones tell
	best := Path(a, i.Cause.Entity)
	source := i.Cause.Entity
	entities := i.Entities[:min(looked, len(i.Entities))]
	if len(best) == 0 {
		worst := 0.0
		for _, x := range entities {
			if p := Path(a, x.Entity); len(p) > 0 && p[len(p)-1].Final > worst {
				worst, source = p[len(p)-1].Final, p[len(p)-1].Entity
			}
		}
	}
	for _, x := range entities {
		p := Path(a, x.Entity)
		if len(p) == 0 || p[len(p)-1].Entity != source {
			continue
		}
		if len(best) == 0 || len(p) > len(best) || len(p) == len(best) && p[0].Final > best[0].Final {
			best = p
		}
	}
	return best
}

// work keeps the formulas of the worst moment: when the record is read, the scores of then are long gone. They are written
// again when the cause is another one.
func (i *Incident) work(in *Observation) {
	if in.Assessment == nil {
		return
	}
	const step = 0.005 // what shows in the figures
	same := i.Worst.Cause == i.Cause.Entity
	if same && i.Machine.Risk < i.Worst.Risk+step {
		return
	}
	if steps := Spread(in.Assessment, i); len(steps) > 0 {
		i.Worst = Workings{At: in.Now, Cause: i.Cause.Entity, Risk: i.Machine.Risk, Steps: steps}
	}
}
