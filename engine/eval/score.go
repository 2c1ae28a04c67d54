package eval

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine"
)

// Tally is how well a set, or the cases of one kind of fault, were answered.
type Tally struct {
	Cases  int
	Hits   [5]int        // right entity within the first 1, 2, … 5 places
	Opened int           // cases in which an incident opened by itself
	Detect time.Duration // the mean time from the fault to it
}

// Top gives the share of cases with a right entity in the first n places, n from 1 to 5.
func (t *Tally) Top(n int) float64 {
	if t.Cases == 0 {
		return 0
	}
	return float64(t.Hits[n-1]) / float64(t.Cases)
}

// Avg5 is the mean of Top(1) to Top(5).
func (t *Tally) Avg5() float64 {
	sum := 0.0
	for n := 1; n <= 5; n++ {
		sum += t.Top(n)
	}
	return sum / 5
}

func (t *Tally) count(place int, opened bool, after time.Duration) {
	t.Cases++
	for n := place; n < len(t.Hits); n++ {
		t.Hits[n]++
	}
	if opened {
		t.Detect = (t.Detect*time.Duration(t.Opened) + after) / time.Duration(t.Opened+1)
		t.Opened++
	}
}

// Outcome is one set with one kind of formulas.
type Outcome struct {
	Set      string
	Formulas engine.Formulas
	All      Tally
	ByFault  map[string]*Tally
	Results  []Result
	False    int // openings on the fault-free histories
	FalseAt  []Opened
	Calm     time.Duration // how long these were
}

// Run replays and scores a set.
func Run(ctx context.Context, cfg Config, s *Set) (*Outcome, error) {
	out := &Outcome{Set: s.Name, Formulas: cfg.Formulas, ByFault: map[string]*Tally{}}
	calm := map[*Series]bool{}
	for i := range s.Cases {
		c := &s.Cases[i]
		r, err := Replay(ctx, cfg, c)
		if err != nil {
			return nil, err
		}
		out.Results = append(out.Results, r)
		label := s.Labels[c.Name]
		place := Place(c, r.Ranked, label)
		for _, t := range []*Tally{&out.All, out.fault(label.Fault)} {
			t.count(place, !r.OpenedAt.IsZero(), r.OpenedAt.Sub(c.since()))
		}
		if c.History == nil || calm[c.History] {
			continue
		}
		calm[c.History] = true
		opened, err := Quiet(ctx, cfg, c)
		if err != nil {
			return nil, err
		}
		out.False += len(opened)
		out.FalseAt = append(out.FalseAt, opened...)
		rows := c.History.Rows
		out.Calm += time.Duration(rows[len(rows)-1].At-rows[0].At) * time.Second
	}
	return out, nil
}

func (o *Outcome) fault(kind string) *Tally {
	kind = cmp.Or(kind, "unknown")
	if o.ByFault[kind] == nil {
		o.ByFault[kind] = &Tally{}
	}
	return o.ByFault[kind]
}

// Place gives the position of the first right entity in a ranking, from 0, and five or more when it is not among the first
// five. A pod and its service share one place.
func Place(c *Case, ranked []string, label Label) int {
	fold := map[string]string{}
	for _, e := range c.Entities {
		if e.Service != "" {
			fold[e.ID] = e.Service
		}
	}
	for _, e := range c.Edges {
		if e.Type == "selects" && fold[e.To] == "" {
			fold[e.To] = e.From
		}
	}
	of := func(id string) string { return cmp.Or(fold[id], id) }
	var right []string
	for _, r := range label.RootCauses {
		right = append(right, of(r))
	}
	seen := map[string]bool{}
	place := 0
	for _, r := range ranked {
		if r = of(r); seen[r] {
			continue
		}
		if slices.Contains(right, r) {
			return place
		}
		seen[r] = true
		place++
	}
	return len(Tally{}.Hits)
}
