package risk

import (
	"fmt"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
)

// resources maps a node's metric to the metric of its pods that uses the resource up; there is none for disks and for
// the network.
var resources = map[string]string{
	"cpu_usage": "cpu_usage", "psi_cpu": "cpu_usage", "memory_usage": "memory_usage", "psi_memory": "memory_usage", "disk_usage": "", "psi_io": "", "tcp_retransmit_ratio": "",
}

// byResource looks for a saturated node whose pods suffer: the workload whose own use rose on it is the cause, and the
// node itself when none did and at least two services on it suffer by themselves. nil when there is no such node.
func (c *court) byResource(all []*cost) *Verdict {
	var total float64
	for _, x := range all {
		total += x.self
	}
	for _, a := range gatherNodes(c.in) {
		pods := c.podsOn(a.Entity)
		var victims []*cost
		for _, x := range all {
			if x.self > 0 && x.self >= total/10 && c.nodes[x.unit][a.Entity] && !a.Onset.After(x.onset.Add(slack)) {
				victims = append(victims, x)
			}
		}
		if len(victims) == 0 {
			continue
		}
		if v := c.noisy(a, pods, victims); v != nil {
			return v
		}
		if len(victims) >= 2 {
			return &Verdict{
				Entity: a.Entity, Kind: a.Metric, Confidence: Medium, Onset: a.Onset,
				Why: fmt.Sprintf("%s: %s, and %s on it suffer since", c.name(a.Entity), describe(a), plural(len(victims), "service", "services")),
			}
		}
	}
	return nil
}

// gatherNodes lists the deviations of nodes that are saturated, worst first.
func gatherNodes(in Input) []baseline.Anomaly {
	var out []baseline.Anomaly
	for _, l := range gather(in) {
		for _, a := range l.anomalies {
			if _, ok := resources[a.Metric]; ok && a.Entity.Kind == entity.Node && a.Q >= 0.2 {
				out = append(out, a)
			}
		}
	}
	slices.SortStableFunc(out, func(a, b baseline.Anomaly) int {
		switch {
		case a.Q*a.Z > b.Q*b.Z:
			return -1
		case a.Q*a.Z < b.Q*b.Z:
			return 1
		}
		return 0
	})
	return out
}

// rise is by how much a workload uses more of a resource on a node.
type rise struct {
	unit          entity.Ref
	amount        float64
	value, normal float64
	onset         time.Time
	young         bool // it was not there before, or its pods were not
}

// noisy finds the workload whose use of the resource rose most on a node, before or with the suffering of the others.
func (c *court) noisy(node baseline.Anomaly, pods []entity.Ref, victims []*cost) *Verdict {
	metric := resources[node.Metric]
	if metric == "" {
		return nil
	}
	first := victims[0].onset
	for _, x := range victims {
		if x.onset.Before(first) {
			first = x.onset
		}
	}
	deviations := map[entity.Ref]baseline.Anomaly{}
	for _, a := range c.in.Anomalies {
		if a.Metric == metric && a.Z > 0 { // half of a generous limit may be all of the node
			deviations[a.Entity] = a
		}
	}
	rises := map[entity.Ref]*rise{}
	var order []*rise
	for _, p := range pods {
		r := rise{unit: c.unit(p), onset: node.Onset}
		if a, ok := deviations[p]; ok {
			r.amount, r.value, r.normal, r.onset = a.Value-a.Mean, a.Value, a.Mean, a.Onset
		} else if !c.young(p, metric, &r) {
			continue
		}
		if r.amount <= 0 || r.onset.After(first.Add(slack)) {
			continue
		}
		sum := rises[r.unit]
		if sum == nil {
			sum = &rise{unit: r.unit, onset: r.onset}
			rises[r.unit] = sum
			order = append(order, sum)
		}
		sum.amount, sum.value, sum.normal, sum.young = sum.amount+r.amount, sum.value+r.value, sum.normal+r.normal, sum.young || r.young
		if r.onset.Before(sum.onset) {
			sum.onset = r.onset
		}
	}
	if len(order) == 0 {
		return nil
	}
	slices.SortStableFunc(order, func(a, b *rise) int {
		switch {
		case a.amount != b.amount:
			return map[bool]int{true: -1, false: 1}[a.amount > b.amount]
		case !a.onset.Equal(b.onset):
			return a.onset.Compare(b.onset)
		}
		return entity.Compare(a.unit, b.unit)
	})
	top := order[0]
	victims = slices.DeleteFunc(slices.Clone(victims), func(x *cost) bool { return x.unit == top.unit })
	if len(victims) == 0 {
		return nil // it only harms itself: the excess says so without the node
	}
	v := &Verdict{Entity: top.unit, Kind: metric, Confidence: Medium, Onset: top.onset}
	if len(victims) >= 2 && !top.young {
		v.Confidence = High
	}
	v.Why = fmt.Sprintf("%s uses %s of its %s on %s where %s is normal, and %s there suffer since", c.name(top.unit), baseline.Saturation.Figure(top.value), label(metric),
		c.name(node.Entity), baseline.Saturation.Figure(top.normal), plural(len(victims), "service", "services"))
	return v
}

// young gives the use of a pod that has no baseline of its own. What its siblings use is its normal; without any, nothing is.
func (c *court) young(p entity.Ref, metric string, r *rise) bool {
	if c.in.Readings == nil || c.in.Normal == nil {
		return false
	}
	now, ok := c.in.Readings(p)[metric]
	if !ok {
		return false
	}
	if _, _, known := c.in.Normal(p, metric); known {
		return false
	}
	var sum, n float64
	for _, e := range c.g.Out(c.unit(p)) {
		if mean, _, known := c.in.Normal(e.To, metric); known {
			sum, n = sum+mean, n+1
		}
	}
	r.value, r.young = now.Value, true
	if n > 0 {
		r.normal = sum / n
	}
	r.amount = r.value - r.normal
	spec := baseline.SpecOf(p.Kind, metric)
	return r.amount > 3*max(spec.Floor, spec.Relative*r.normal)
}
