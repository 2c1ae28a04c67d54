package risk

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/topology"
)

// Limits of what a verdict tells; more would bury it.
const (
	maxEvidence = 8
	maxRuledOut = 8
)

// name is what a person calls an entity: a workload or service by its bare name, all else with its kind.
func (c *court) name(r entity.Ref) string {
	if r.Workload() || r.Kind == entity.Service || r.Kind == entity.External {
		return r.Name
	}
	return r.Short()
}

// label is a metric's name in prose.
func label(metric string) string {
	switch metric {
	case "error_rate", "error_ratio":
		return "errors"
	case "avg_latency":
		return "latency"
	case "cpu_usage":
		return "CPU"
	case "memory_usage":
		return "memory"
	case "psi_cpu", "psi_memory", "psi_io":
		return "pressure on " + map[string]string{"psi_cpu": "CPU", "psi_memory": "memory", "psi_io": "disk"}[metric]
	}
	return strings.ReplaceAll(metric, "_", " ")
}

// written writes a value for a person, and names the unit that it has for a program.
func written(class baseline.Class, x float64) (text, unit string) {
	switch class {
	case baseline.Ratio, baseline.Saturation:
		unit = "ratio"
	case baseline.Latency:
		unit = "s"
	case baseline.Rate:
		unit = "1/s"
	}
	return class.Figure(x), unit
}

// describe says a deviation in words: "latency 310 ms (normal 120 ms)".
func describe(a baseline.Anomaly) string {
	now, _ := written(a.Class, a.Value)
	normal, _ := written(a.Class, a.Mean)
	if a.Limit > 0 && a.Value >= a.Limit {
		limit, _ := written(a.Class, a.Limit)
		return fmt.Sprintf("%s %s (limit %s)", label(a.Metric), now, limit)
	}
	return fmt.Sprintf("%s %s (normal %s)", label(a.Metric), now, normal)
}

// testify collects the evidence: the facts and figures of the blamed one, then the worst figure at the entry.
func (c *court) testify(v *Verdict) {
	blamed := func(r entity.Ref) bool { return r == v.Entity || c.unit(r) == v.Entity }
	told := map[string]bool{}
	for _, workload := range []bool{true, false} { // a workload's own fact counts all pods; those of single pods say less
		for _, f := range c.facts {
			if !blamed(f.Entity) || (f.Entity.Kind != entity.Pod) != workload || told[f.Kind] {
				continue
			}
			told[f.Kind] = true
			v.Evidence = append(v.Evidence, Evidence{Entity: f.Entity, What: f.Kind, Text: f.Text, At: f.Since})
		}
	}
	var own, entry []baseline.Anomaly
	for _, l := range gather(c.in) {
		for _, a := range l.anomalies {
			switch {
			case blamed(a.Entity):
				own = append(own, a)
			case c.members[a.Entity] && (a.Class == baseline.Ratio || a.Class == baseline.Latency) && len(c.callersOf[c.unit(a.Entity)]) == 0:
				entry = append(entry, a)
			}
		}
	}
	worst := func(a, b baseline.Anomaly) int {
		switch {
		case a.Q > b.Q, a.Q == b.Q && math.Abs(a.Z) > math.Abs(b.Z):
			return -1
		case a.Q == b.Q && math.Abs(a.Z) == math.Abs(b.Z):
			return 0
		}
		return 1
	}
	slices.SortStableFunc(own, worst)
	slices.SortStableFunc(entry, worst)
	for _, a := range append(own[:min(len(own), maxEvidence-2)], entry[:min(len(entry), 2)]...) {
		_, unit := written(a.Class, a.Value)
		v.Evidence = append(v.Evidence, Evidence{Entity: a.Entity, What: a.Metric, Text: describe(a), Value: a.Value, Normal: a.Mean, Unit: unit, At: a.Onset})
	}
	v.Evidence = v.Evidence[:min(len(v.Evidence), maxEvidence)]
}

// ruleOut tells who else was looked at and why it is not to blame.
func (c *court) ruleOut(v *Verdict, stat []*cost) {
	told := map[entity.Ref]bool{v.Entity: true}
	blamed := c.name(v.Entity)
	for _, text := range c.explained {
		if !strings.HasPrefix(text, blamed+":") {
			v.RuledOut = append(v.RuledOut, text)
		}
	}
	for _, x := range stat {
		if told[x.unit] || x.excess() == 0 {
			continue
		}
		told[x.unit] = true
		what := "its latency follows"
		if x.failing > x.waiting {
			what = "its errors follow"
		}
		switch {
		case x.self <= 0.2*x.excess() && !x.worst.IsZero():
			v.RuledOut = append(v.RuledOut, fmt.Sprintf("%s: %s %s", c.name(x.unit), what, possessive(c.name(x.worst))))
		case c.dependsOn(x.unit, v.Entity):
			v.RuledOut = append(v.RuledOut, fmt.Sprintf("%s: %s %s, on which it depends", c.name(x.unit), what, possessive(blamed)))
		}
	}
	abnormal := map[entity.Ref]bool{}
	for _, f := range c.facts {
		abnormal[c.unit(f.Entity)] = true
	}
	for _, a := range c.anomalies {
		abnormal[c.unit(a.Entity)] = true
	}
	for _, w := range c.callees(v.Entity) {
		if !told[w] && !abnormal[w] {
			told[w] = true
			v.RuledOut = append(v.RuledOut, c.name(w)+": "+c.wellness(w))
		}
	}
	for _, e := range c.g.Out(v.Entity) {
		for _, on := range c.g.Out(e.To) {
			if on.Type == topology.RunsOn && !told[on.To] && !abnormal[on.To] {
				told[on.To] = true
				v.RuledOut = append(v.RuledOut, c.name(on.To)+": no fact and nothing abnormal")
			}
		}
	}
	v.RuledOut = v.RuledOut[:min(len(v.RuledOut), maxRuledOut)]
}

func possessive(s string) string {
	if strings.HasSuffix(s, "s") {
		return s + "'"
	}
	return s + "'s"
}

// wellness says what is known of a unit that is well.
func (c *court) wellness(u entity.Ref) string {
	if c.in.Readings != nil && c.in.Normal != nil {
		for _, r := range append(c.g.ServicesOf(u), u) {
			for _, metric := range []string{"avg_latency", "error_rate"} {
				now, ok := c.in.Readings(r)[metric]
				mean, _, known := c.in.Normal(r, metric)
				if ok && known {
					class := baseline.SpecOf(r.Kind, metric).Class
					is, _ := written(class, now.Value)
					was, _ := written(class, mean)
					return fmt.Sprintf("%s normal (%s, usually %s)", label(metric), is, was)
				}
			}
		}
	}
	return "no fact and nothing abnormal"
}
