package risk

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/figure"
	"github.com/bukahou/atlhyper/engine/topology"
)

// failure is what one failed request costs, in seconds of waiting, so that errors and delays add up.
const failure = 1.0

// cost is what a unit adds to the waiting and failing of requests, in seconds per second.
type cost struct {
	unit    entity.Ref
	waiting float64 // excess latency × rate
	failing float64 // excess error ratio × rate × failure
	callees float64 // of that, what its callees explain
	self    float64
	z, q    float64
	surest  float64 // the greatest z·tanh((z−3)/2) of a metric that is no rate
	own     float64 // the greatest z of what its pods use of CPU and memory
	told    bool    // it has latency or errors of its own, and not only those that callers saw
	score   float64 // (self/Σself)·log(1+z) + ½·log(1+own); without a call graph surest
	metric  string  // that has the greatest part in the excess
	slow    string  // the metric of waiting
	broken  string  // the metric of failing
	onset   time.Time
	why     string
	worst   entity.Ref // the callee that explains most
}

func (x *cost) excess() float64 { return x.waiting + x.failing }

// byCost ranks the units by the cost that is their own. Units whose own cost is nothing stay in the list, with score 0.
func (c *court) byCost() []*cost {
	at := map[entity.Ref]*cost{}
	var all []*cost
	strongest := map[entity.Ref]float64{}
	for _, a := range c.anomalies {
		if a.Entity.Kind == entity.Node || a.Entity.Kind == entity.Edge {
			continue
		}
		x := c.accused(at, &all, c.unit(a.Entity), a)
		u := x.unit
		if a.Onset.Before(x.onset) {
			x.onset = a.Onset
		}
		z := math.Abs(a.Z)
		if z > x.z {
			x.z = z
		}
		x.q = max(x.q, a.Q)
		if a.Class == baseline.Rate {
			z = 0 // a drop of the rate is what a fault elsewhere looks like
		}
		excess := cmp.Or(a.Excess, max(0, a.Value-a.Mean)*c.rate(a))
		x.told = x.told || a.Class == baseline.Latency || a.Class == baseline.Ratio
		x.surest = max(x.surest, z*math.Tanh(max(0, z-3)/2))
		switch a.Class {
		case baseline.Usage, baseline.Saturation:
			if a.Z > 0 {
				x.own = max(x.own, z)
			}
		case baseline.Latency: // a unit's latencies are the same requests, measured twice: the mean is what adds up
			excess *= baseline.Mean(a.Metric, c.meansOf(a.Entity))
			if a.Metric == "avg_latency" || excess > x.waiting && x.slow != "avg_latency" {
				x.waiting, x.slow = excess, a.Metric
			}
		case baseline.Ratio:
			if excess*failure > x.failing {
				x.failing, x.broken = excess*failure, a.Metric
			}
		}
		if z > strongest[u] {
			strongest[u], x.metric = z, a.Metric
		}
	}
	seen := c.callersView(at, &all)
	c.complaint(all, at)
	for _, x := range all {
		switch {
		case x.failing > x.waiting:
			x.metric = x.broken
		case x.waiting > 0:
			x.metric = x.slow
		}
	}
	connected := false
	for _, x := range all {
		for _, w := range c.callees(x.unit) {
			connected = true
			callee := at[w]
			if callee == nil {
				continue
			}
			part := callee.excess() * c.share(x.unit, w)
			if k, ok := seen[[2]entity.Ref{x.unit, w}]; ok && callee.waiting > 0 {
				part = max(min(part, callee.failing), k) // what this caller saw says it better than a share
			}
			x.callees += part
			if x.worst.IsZero() || part > at[x.worst].excess()*c.share(x.unit, x.worst) {
				x.worst = w
			}
		}
	}
	for _, x := range all {
		x.self = max(0, x.excess()-x.callees)
		if c.entry(x.unit) && x.callees >= residue*x.excess() {
			x.self = 0
		}
	}
	total := 0.0
	for _, x := range all {
		if x.unit.Kind == entity.External && c.hairpin(x, at) {
			x.self = 0
		}
		total += x.self
	}
	for _, x := range all {
		switch {
		case !connected && len(all) > 1 || total == 0: // no call graph, or nothing but resources to go by
			x.score = x.surest
		default:
			x.score = x.self/total*math.Log1p(x.z) + hint*math.Log1p(x.own)
		}
		x.why = c.costText(x)
	}
	slices.SortFunc(all, func(a, b *cost) int {
		return cmp.Or(cmp.Compare(b.score, a.score), a.onset.Compare(b.onset), cmp.Compare(b.z, a.z), entity.Compare(a.unit, b.unit))
	})
	return all
}

// hint is what the use of CPU or memory counts beside the cost: it explains a cost, and is none. A busy batch job of fifty
// deviations beside a service that is slow by thirty is not its cause; beside one that is slow by four, which chance alone does
// now and then, it is.
const hint = 0.5

// meansOf says whether the mean latency of an entity is measured.
func (c *court) meansOf(r entity.Ref) bool {
	if c.in.Readings == nil {
		return false
	}
	_, ok := c.in.Readings(r)["avg_latency"]
	return ok
}

// accused gives the cost of a unit, a new one when it has none yet.
func (c *court) accused(at map[entity.Ref]*cost, all *[]*cost, u entity.Ref, a baseline.Anomaly) *cost {
	x := at[u]
	if x == nil {
		x = &cost{unit: u, onset: a.Onset, metric: a.Metric}
		at[u] = x
		*all = append(*all, x)
	}
	return x
}

// callersView adds what callers saw of a unit: where a call waits longer than the unit itself says, the difference is the way to it.
// It gives the excess of each call, by caller and callee.
func (c *court) callersView(at map[entity.Ref]*cost, all *[]*cost) map[[2]entity.Ref]float64 {
	seen := map[[2]entity.Ref]float64{}
	sum := map[entity.Ref]float64{}
	for _, a := range c.anomalies {
		from, to, ok := c.ends(a.Entity)
		if !ok || a.Class != baseline.Latency {
			continue
		}
		k := [2]entity.Ref{from, to}
		excess := cmp.Or(a.Excess, max(0, a.Value-a.Mean)*c.rate(a)) * baseline.Mean(a.Metric, c.meansOf(a.Entity))
		if excess <= seen[k] {
			continue // another percentile of the same calls
		}
		sum[to] += excess - seen[k]
		seen[k] = excess
		x := c.accused(at, all, to, a)
		x.z, x.q = max(x.z, math.Abs(a.Z)), max(x.q, a.Q)
		if a.Onset.Before(x.onset) {
			x.onset = a.Onset
		}
		x.surest = max(x.surest, math.Abs(a.Z)*math.Tanh(max(0, math.Abs(a.Z)-3)/2))
		if sum[to] > x.waiting {
			x.waiting, x.slow = sum[to], a.Metric
		}
	}
	return seen
}

// ends reads the two units of an entity.Edge.
func (c *court) ends(r entity.Ref) (from, to entity.Ref, ok bool) {
	if r.Kind != entity.Edge {
		return from, to, false
	}
	for _, e := range c.g.Edges() {
		if e.Type == topology.Calls || e.Type == topology.RoutesTo {
			if entity.EdgeRef(e.From, e.To) == r {
				return c.unit(e.From), c.unit(e.To), true
			}
		}
	}
	return from, to, false
}

// residue is the share below which a part of an excess means nothing. For an Ingress it is what callees must explain
// before the rest is not its own: all that nobody measures ends up there, and it computes nothing itself.
const residue = 0.2

// entry says whether a unit only passes requests on.
func (c *court) entry(u entity.Ref) bool {
	switch u.Kind {
	case entity.Ingress, "IngressRoute", "HTTPRoute", "GRPCRoute":
		return true
	}
	return false
}

// complaint drops what the entries of the component do not complain of: when requests fail there and are not slow, slowness
// elsewhere is not what is to be explained, and the other way round. What a unit depends on stays when the unit shows
// the complaint, is no entry, and none of its callees explains it: a database that is slow makes its callers give up.
func (c *court) complaint(all []*cost, at map[entity.Ref]*cost) {
	own := func(x *cost, part func(*cost) float64) bool {
		rest := part(x)
		for _, w := range c.callees(x.unit) {
			if callee := at[w]; callee != nil {
				rest -= part(callee) * c.share(x.unit, w)
			}
		}
		return rest > residue*part(x)
	}
	var waiting, failing bool
	var slow, broken []entity.Ref
	for _, x := range all {
		if len(c.callersOf[x.unit]) == 0 {
			waiting, failing = waiting || x.waiting > 0, failing || x.failing > 0
			continue
		}
		if own(x, func(x *cost) float64 { return x.waiting }) {
			slow = append(slow, x.unit)
		}
		if own(x, func(x *cost) float64 { return x.failing }) {
			broken = append(broken, x.unit)
		}
	}
	if in := c.in.Alert; in != nil && in.Metric != "" {
		class := baseline.SpecOf(in.Entity.Kind, in.Metric).Class
		waiting, failing = class == baseline.Latency, class == baseline.Ratio
	}
	if waiting == failing || failing && len(broken) == 0 || waiting && len(slow) == 0 {
		return
	}
	for _, x := range all {
		below := func(u entity.Ref) bool { return c.dependsOn(u, x.unit) }
		switch {
		case failing && !slices.ContainsFunc(broken, below):
			x.waiting = 0
		case waiting && !slices.ContainsFunc(slow, below):
			x.failing = 0
		}
	}
}

// hairpin says whether an External is likely the client's view of something inside: it shares a caller with a unit of the
// cluster that has trouble of its own, of at least a fifth of its size.
func (c *court) hairpin(x *cost, at map[entity.Ref]*cost) bool {
	for _, caller := range c.callersOf[x.unit] {
		for _, w := range c.callees(caller) {
			if y := at[w]; y != nil && w.Kind != entity.External && y.self >= residue*x.self && y.self > 0 {
				return true
			}
		}
	}
	return false
}

func (c *court) costText(x *cost) string {
	if x.excess() == 0 {
		return fmt.Sprintf("%s: %s is %.1f deviations from its normal", c.name(x.unit), x.metric, x.z)
	}
	what, all := "s of waiting a second", x.waiting
	if x.failing > x.waiting {
		what, all = "failed requests a second", x.failing/failure
	}
	own := all * x.self / x.excess()
	text := fmt.Sprintf("%s adds %s %s of its own", c.name(x.unit), figure.Of(own), what)
	if x.callees > 0 {
		text += fmt.Sprintf(" of %s; what it calls explains %s", figure.Of(all), figure.Of(all-own))
	}
	return text
}

// share is the part of a callee's requests that comes from a caller, 1 where it was not measured.
func (c *court) share(caller, callee entity.Ref) float64 {
	k, total := c.calls[caller][callee], 0.0
	for _, r := range c.callersOf[callee] {
		total += c.calls[r][callee].rate
	}
	if !k.measured || total == 0 {
		return 1
	}
	return min(1, k.rate/total)
}

// rate is how many requests a second are behind a deviation: the most that is read, normal or seen in the calls, since
// fewer may come now because of the fault; where nothing is known, the requests of the sample or 1.
func (c *court) rate(a baseline.Anomaly) float64 {
	var read, normal, called float64
	if c.in.Readings != nil {
		read = c.in.Readings(a.Entity)["request_rate"].Value
	}
	if c.in.Normal != nil {
		if mean, _, ok := c.in.Normal(a.Entity, "request_rate"); ok {
			normal = mean
		}
	}
	for _, e := range c.g.In(a.Entity) {
		if e.Traffic != nil && (e.Type == topology.Calls || e.Type == topology.RoutesTo) {
			called += e.Traffic.RequestsPerSecond
		}
	}
	return cmp.Or(max(read, normal, called), a.Count, 1)
}

func (c *court) costVerdict(all []*cost) Verdict {
	x := all[0]
	v := Verdict{Entity: x.unit, Kind: x.metric, Onset: x.onset, Why: x.why, Confidence: Low}
	second := 0.0
	if len(all) > 1 {
		second = all[1].score
	}
	switch {
	case x.score >= 3*second && x.z >= 6:
		v.Confidence = High
	case x.score >= 1.5*second:
		v.Confidence = Medium
	}
	c.unmeasured(&v, x)
	return v
}

// unmeasured moves the blame to a callee that has no latency or errors of its own to show, when the calls to it, as the caller saw them,
// or its pods explain the caller's cost.
func (c *court) unmeasured(v *Verdict, x *cost) {
	var best entity.Ref
	var most float64
	for _, w := range c.callees(x.unit) {
		k := c.calls[x.unit][w]
		if c.measured(w) {
			continue
		}
		part := k.errors*failure + k.wait
		if part > most && (k.errors*failure >= x.self/2 && x.failing >= x.waiting || k.wait >= x.self/2 && k.wait > c.normalWaiting(x.unit)) {
			best, most = w, part
		}
	}
	if !best.IsZero() {
		v.Why = fmt.Sprintf("%s fails or delays the calls of %s to it (%s s and errors a second), and nothing else that %s calls is abnormal", c.name(best), c.name(x.unit), figure.Of(most), c.name(x.unit))
		v.Entity, v.Confidence = best, Medium
		return
	}
	for _, w := range c.callees(x.unit) {
		if c.measured(w) {
			continue
		}
		for _, a := range c.anomalies {
			if c.unit(a.Entity) == w && a.Q >= 0.5 && !a.Onset.After(x.onset.Add(slack)) {
				v.Entity, v.Kind, v.Confidence, v.Onset = w, a.Metric, Medium, a.Onset
				v.Why = fmt.Sprintf("%s: %s, and %s, which calls it, suffers", c.name(w), describe(a), c.name(x.unit))
				return
			}
		}
	}
}

// measured says whether a unit, or a service of it, has latency or errors of its own.
func (c *court) measured(u entity.Ref) bool {
	for _, r := range append(c.g.ServicesOf(u), u) {
		if c.in.Readings != nil {
			m := c.in.Readings(r)
			for _, name := range []string{"avg_latency", "p95_latency", "error_rate"} {
				if _, ok := m[name]; ok {
					return true
				}
			}
		}
		for _, a := range c.anomalies {
			if a.Entity == r && (a.Class == baseline.Latency || a.Class == baseline.Ratio) {
				return true
			}
		}
	}
	return false
}

// normalWaiting is how long a unit's requests normally wait, in seconds per second; +Inf when that is not known, since then nothing can
// be said to exceed it.
func (c *court) normalWaiting(u entity.Ref) float64 {
	for _, a := range c.anomalies {
		if c.unit(a.Entity) == u && a.Class == baseline.Latency {
			return (a.Mean + 3*a.Spread) * c.rate(a)
		}
	}
	return math.Inf(1)
}
