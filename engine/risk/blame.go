package risk

import (
	"cmp"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/topology"
)

// Evidence is one figure or fact behind a verdict. Value, Normal and Unit are for a person; At is when it was seen.
type Evidence struct {
	Entity entity.Ref `json:"entity"`
	What   string     `json:"what"` // a fact's kind or a metric's name
	Text   string     `json:"text"`
	Value  float64    `json:"value,omitempty"`
	Normal float64    `json:"normal,omitempty"`
	Unit   string     `json:"unit,omitempty"`
	At     time.Time  `json:"at"`
}

// Ranked is one candidate, best first. Scores compare within one ranking only.
type Ranked struct {
	Entity entity.Ref `json:"entity"`
	Score  float64    `json:"score"`
	Why    string     `json:"why,omitempty"`
}

// The confidences of a verdict.
const (
	High   = "high"
	Medium = "medium"
	Low    = "low"
)

// Verdict is what is to blame for the trouble of some connected entities.
type Verdict struct {
	Entity     entity.Ref `json:"entity"`     // what can be mended: a workload rather than its service or pods; zero when nothing is wrong
	Kind       string     `json:"kind"`       // the fact's kind or the metric's name
	Confidence string     `json:"confidence"` // High, Medium, Low
	Why        string     `json:"why"`        // one sentence with the figures
	Evidence   []Evidence `json:"evidence,omitempty"`
	Ranking    []Ranked   `json:"ranking,omitempty"`
	RuledOut   []string   `json:"ruled_out,omitempty"` // a sentence for each that was looked at and is not it
	Onset      time.Time  `json:"onset"`
}

// Blame names the root cause of the trouble of members, the entities of one connected component. It is computed apart from the
// scores: those flow from cause to callers and are as high on a victim.
//
// Certain facts come first. Facts on pods count for their workload. A workload's fact is explained by one of something
// that it depends on, unless that came more than a minute later; facts on workloads whose failing pods run on a node
// that is not ready are explained by the node. Facts that only say that something does not answer (Unhealthy, Unavailable, …)
// give way to a dependency that became abnormal before.
//
// Without such a fact the excess cost decides (compare PetShop, arXiv 2311.04806): what a service adds in waiting and failed
// requests over its baseline, minus what its callees add. When a node is saturated and services on it suffer, the pod whose own use rose
// on that node is the cause, else the node. What was never seen before the fault has no baseline and is not blamed by excess.
func (s *Scorer) Blame(in Input, members []entity.Ref) Verdict {
	return s.blame(in, members, maxRanked)
}

func (s *Scorer) blame(in Input, members []entity.Ref, most int) Verdict {
	c := newCourt(in, members)
	stat := c.byCost()
	facts := c.byFacts()
	bridge := c.byResource(stat)

	v := Verdict{}
	switch {
	case len(facts) > 0 && !facts[0].weak() && !c.yields(facts[0], stat, bridge):
		v = c.factVerdict(facts)
	case bridge != nil:
		v = *bridge
	case len(stat) > 0 && stat[0].score > 0:
		v = c.costVerdict(stat)
	case len(facts) > 0:
		v = c.factVerdict(facts)
	default:
		v = c.bySymptom()
	}
	if v.Entity.IsZero() {
		return v
	}
	c.rank(&v, facts, stat, most)
	c.testify(&v)
	c.ruleOut(&v, stat)
	return v
}

// court is one hearing: the graph in terms of what can be blamed, and who is accused of what.
type court struct {
	in        Input
	g         *topology.Graph
	members   map[entity.Ref]bool
	facts     []detect.Fact      // of members
	anomalies []baseline.Anomaly // of members
	*docket
	above     map[entity.Ref]map[entity.Ref]bool // memo of dependents
	explained []string
}

// call is the sum of the edges between two units.
type call struct {
	rate, errors, wait float64 // per second; wait in seconds per second
	measured           bool
}

func newCourt(in Input, members []entity.Ref) *court {
	c := &court{
		in: in, g: in.Graph, members: map[entity.Ref]bool{}, above: map[entity.Ref]map[entity.Ref]bool{},
	}
	if c.g == nil {
		c.g = topology.New(nil, nil)
	}
	c.docket = docketOf(c.g)
	for _, m := range members {
		c.members[m] = true
	}
	for _, l := range gather(in) {
		if c.members[l.ref] {
			c.anomalies = append(c.anomalies, l.anomalies...)
		}
	}
	for _, f := range in.Facts {
		if c.members[f.Entity] && f.Score > 0 {
			c.facts = append(c.facts, f)
		}
	}
	slices.SortFunc(c.facts, func(a, b detect.Fact) int {
		return cmp.Or(entity.Compare(a.Entity, b.Entity), cmp.Compare(a.Kind, b.Kind), cmp.Compare(b.Score, a.Score),
			a.Since.Compare(b.Since), entity.Compare(a.Source, b.Source), cmp.Compare(a.Text, b.Text))
	})
	return c
}

// docket is a graph in terms of what can be blamed. It is derived once for each graph and only read afterwards.
type docket struct {
	units     map[entity.Ref]entity.Ref          // of the pods and services whose unit is another
	calls     map[entity.Ref]map[entity.Ref]call // by caller, by callee
	callersOf map[entity.Ref][]entity.Ref        // by callee, sorted
	nodes     map[entity.Ref]map[entity.Ref]bool // by unit
}

func docketOf(g *topology.Graph) *docket {
	return g.Memo(func() any { return newDocket(g) }).(*docket)
}

func newDocket(g *topology.Graph) *docket {
	c := &docket{
		units: map[entity.Ref]entity.Ref{}, calls: map[entity.Ref]map[entity.Ref]call{}, callersOf: map[entity.Ref][]entity.Ref{},
		nodes: map[entity.Ref]map[entity.Ref]bool{},
	}
	for _, r := range g.Vertices() {
		if r.Kind == entity.Pod || r.Kind == entity.Service {
			if u := g.WorkloadOf(r); !u.IsZero() {
				c.units[r] = u
			}
		}
	}
	for _, e := range g.Edges() {
		switch e.Type {
		case topology.Calls, topology.RoutesTo:
			from, to := c.unit(e.From), c.unit(e.To)
			if from == to {
				continue
			}
			if c.calls[from] == nil {
				c.calls[from] = map[entity.Ref]call{}
			}
			k, known := c.calls[from][to]
			if !known {
				c.callersOf[to] = append(c.callersOf[to], from)
			}
			if t := e.Traffic; t != nil {
				k.measured = true
				k.rate += t.RequestsPerSecond
				k.errors += t.RequestsPerSecond * t.ErrorRatio
				k.wait += t.RequestsPerSecond * t.LatencyAvg
			}
			c.calls[from][to] = k
		case topology.RunsOn:
			u := c.unit(e.From)
			if c.nodes[u] == nil {
				c.nodes[u] = map[entity.Ref]bool{}
			}
			c.nodes[u][e.To] = true
		}
	}
	for _, callers := range c.callersOf {
		slices.SortFunc(callers, entity.Compare)
	}
	return c
}

// unit is what is blamed for r: the workload of a pod or service that has exactly one, else r itself.
func (c *docket) unit(r entity.Ref) entity.Ref {
	if u, ok := c.units[r]; ok {
		return u
	}
	return r
}

// dependsOn says whether a unit calls another, directly or through others, or runs on it.
func (c *court) dependsOn(a, b entity.Ref) bool { return c.dependents(b)[a] }

// dependents is the set of the units that depend on r, without r.
func (c *court) dependents(r entity.Ref) map[entity.Ref]bool {
	seen, ok := c.above[r]
	if ok {
		return seen
	}
	seen = map[entity.Ref]bool{}
	queue := slices.Clone(c.callersOf[r])
	for u, on := range c.nodes {
		if on[r] {
			queue = append(queue, u)
		}
	}
	for ; len(queue) > 0; queue = queue[1:] {
		if u := queue[0]; !seen[u] {
			seen[u] = true
			queue = append(queue, c.callersOf[u]...)
		}
	}
	delete(seen, r) // it may be in a cycle
	c.above[r] = seen
	return seen
}

// callees lists what a unit calls, sorted.
func (c *court) callees(u entity.Ref) []entity.Ref {
	out := make([]entity.Ref, 0, len(c.calls[u]))
	for w := range c.calls[u] {
		out = append(out, w)
	}
	slices.SortFunc(out, entity.Compare)
	return out
}

// podsOn lists the pods of a node, sorted.
func (c *court) podsOn(node entity.Ref) []entity.Ref {
	var out []entity.Ref
	for _, e := range c.g.In(node) {
		if e.Type == topology.RunsOn {
			out = append(out, e.From)
		}
	}
	return out
}

// bySymptom is the last resort: the member that is furthest from its normal.
func (c *court) bySymptom() Verdict {
	var best *baseline.Anomaly
	for i, a := range c.anomalies {
		if best == nil || a.Q > best.Q || a.Q == best.Q && a.Onset.Before(best.Onset) {
			best = &c.anomalies[i]
		}
	}
	if best != nil {
		return Verdict{Entity: c.unit(best.Entity), Kind: best.Metric, Confidence: Low, Onset: best.Onset, Why: c.name(best.Entity) + ": " + describe(*best)}
	}
	// Only burn rates are left: the deepest of the services that burn, which no other one that burns explains.
	var worst *detect.Fact
	for i, f := range c.facts {
		if worst == nil || c.dependsOn(c.unit(worst.Entity), c.unit(f.Entity)) {
			worst = &c.facts[i]
		}
	}
	if worst == nil {
		return Verdict{}
	}
	return Verdict{Entity: c.unit(worst.Entity), Kind: worst.Kind, Confidence: Low, Onset: worst.Since, Why: c.name(worst.Entity) + ": " + worst.Text}
}

// rank lists the candidates behind a verdict, the blamed one first.
func (c *court) rank(v *Verdict, facts []*suspect, stat []*cost, most int) {
	seen := map[entity.Ref]bool{v.Entity: true}
	v.Ranking = []Ranked{{Entity: v.Entity, Score: 1, Why: v.Why}}
	add := func(r entity.Ref, score float64, why string) {
		if !seen[r] && score > 0 {
			seen[r] = true
			v.Ranking = append(v.Ranking, Ranked{Entity: r, Score: min(score, v.Ranking[len(v.Ranking)-1].Score), Why: why})
		}
	}
	for _, f := range facts {
		if !f.weak() && f.by.IsZero() {
			add(f.unit, f.score, f.primary.Text)
		}
	}
	for _, x := range stat {
		add(x.unit, x.score/stat[0].score, x.why)
	}
	for _, f := range facts {
		add(f.unit, f.score, f.primary.Text)
	}
	v.Ranking = v.Ranking[:min(len(v.Ranking), most)]
}

const maxRanked = 10
