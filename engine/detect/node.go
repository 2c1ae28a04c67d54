package detect

import (
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
)

// pressures are the conditions of a node that are faults when True.
var pressures = []struct {
	condition string
	score     float64
	text      string
}{
	{"MemoryPressure", 0.85, "the node is short of memory"},
	{"DiskPressure", 0.80, "the node is short of disk space"},
	{"PIDPressure", 0.75, "the node is short of process ids"},
}

// nodes finds nodes that are not Ready or under pressure. A node that has just joined may take a while.
func (p *pass) nodes() {
	for _, r := range p.c.List(entity.Node, "") {
		if r.GetDeleting() != nil {
			continue
		}
		ref := p.c.Ref(r)
		c := condition(r.GetNode().GetConditions(), "Ready")
		down := c != nil && c.GetStatus() != "True" || c == nil && !r.GetNode().GetReady()
		created := p.at(r.GetCreated())
		joining := !created.IsZero() && p.now.Sub(created) < p.t.NodeJoin
		if down && !joining {
			text := "the node is not ready"
			if c.GetStatus() == "Unknown" {
				text = "the node does not report"
			}
			if m := line(c.GetMessage()); m != "" {
				text += ": " + m
			}
			p.raise(Fact{Entity: ref, Kind: "NotReady", Score: 0.95, Text: text, Since: p.dated(ref, "NotReady", p.at(c.GetLastTransition()))})
		}
		for _, pr := range pressures {
			if c := condition(r.GetNode().GetConditions(), pr.condition); c.GetStatus() == "True" {
				text := pr.text
				if m := line(c.GetMessage()); m != "" {
					text += ": " + m
				}
				p.raise(Fact{Entity: ref, Kind: pr.condition, Score: pr.score, Text: text, Since: p.dated(ref, pr.condition, p.at(c.GetLastTransition()))})
			}
		}
	}
}

// dated gives since when a fact holds whose beginning the cluster tells.
func (p *pass) dated(ref entity.Ref, kind string, at time.Time) time.Time {
	return p.since("fact|"+ref.String()+"|"+kind, at)
}
