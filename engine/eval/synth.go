package eval

import (
	"context"
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sync/errgroup"
)

// Synthetic is one made-up case with its truth.
type Synthetic struct {
	Case   Case
	Label  Label
	Faults int      // how many there are; each is in a system of its own
	Truths []string // one entity of each fault
	Decoys []string // workloads that were rolled out just before, and are well
	Kinds  []string // of the faults, and of what makes the case hard
}

// SynthScore sums up what the engine said of synthetic cases.
type SynthScore struct {
	Cases      int
	Top1, Top3 float64 // by what a person sees: the cause of the incident, and the ranking behind it
	Decoy      float64 // share of the cases with decoys in which one was blamed
	OneEach    float64 // share with exactly one incident for each fault
	ByFault    map[string]*Tally
	Wrong      []string // a line for each case that was not right
}

// ByName gives the figures by their names in JSON.
func (s *SynthScore) ByName() map[string]float64 {
	return map[string]float64{"top1": s.Top1, "top3": s.Top3, "decoy_blamed": s.Decoy, "one_incident": s.OneEach}
}

// Synth makes and replays cases from one seed, the same for the same seed. Every case is of its own seed: seed, seed+1, ….
func Synth(ctx context.Context, cfg Config, seed uint64, cases int) (*SynthScore, error) {
	type answer struct {
		s *Synthetic
		r Result
	}
	answers := make([]answer, cases)
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i := range cases {
		group.Go(func() error {
			s := MakeCase(seed + uint64(i))
			r, err := Replay(ctx, cfg, &s.Case)
			s.Case.Window, s.Case.History = nil, nil // thousands of rows that nobody needs any more
			answers[i] = answer{s, r}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	out := &SynthScore{Cases: cases, ByFault: map[string]*Tally{}}
	var all Tally
	var decoys, blamed, each int
	for _, a := range answers {
		ranked := a.r.Ranked
		if len(a.r.Incidents) > 0 {
			ranked = append([]string{a.r.Incidents[0].Cause}, ranked...)
		}
		place := Place(&a.s.Case, ranked, a.s.Label)
		t := out.ByFault[a.s.Label.Fault]
		if t == nil {
			t = &Tally{}
			out.ByFault[a.s.Label.Fault] = t
		}
		all.count(place, len(a.r.Incidents) > 0, a.r.OpenedAt.Sub(a.s.Case.FaultStart))
		t.count(place, len(a.r.Incidents) > 0, a.r.OpenedAt.Sub(a.s.Case.FaultStart))
		if len(a.s.Decoys) > 0 {
			decoys++
			for _, i := range a.r.Incidents {
				if slices.Contains(a.s.Decoys, i.Cause) {
					blamed++
					break
				}
			}
		}
		if len(a.r.Incidents) == a.s.Faults {
			each++
		}
		if place > 0 || len(a.r.Incidents) != a.s.Faults {
			out.Wrong = append(out.Wrong, fmt.Sprintf("%s %v: %d faults at %v; incidents %v; ranked %.4v", a.s.Case.Name, a.s.Kinds, a.s.Faults, a.s.Truths, a.r.Incidents, ranked[:min(4, len(ranked))]))
		}
	}
	out.Top1, out.Top3 = all.Top(1), all.Top(3)
	out.Decoy = float64(blamed) / float64(max(1, decoys))
	out.OneEach = float64(each) / float64(max(1, cases))
	return out, nil
}

// service is one service of a made-up system with its workload.
type service struct {
	name    string
	tier    int
	calls   []call
	pods    []pod
	base    float64 // own seconds a request
	weight  float64 // CPU of a pod at no load
	perCall float64 // CPU of one request a second on one pod
	memory  float64
	image   int
	retries bool
	timeout float64 // seconds after which it gives a call up; 0 for never

	// this tick
	rate, latency, errors float64
	slow, broken          float64 // the fault's factor and share
	lost                  float64 // share of capacity that is gone
	leak                  float64
	crashed               int
	killed                bool
	oom                   int // containers restarted for want of memory so far
}

type call struct {
	to    int
	share float64
	back  bool // closes a cycle
}

type pod struct {
	name string
	node int
}

// system is one made-up cluster: two applications that share nodes and nothing else.
type system struct {
	r        *rand.Rand
	services []service
	entries  []int // the service behind each ingress
	external []external
	nodes    int
	dead     map[int]bool
	batch    []pod
	hog      int // the batch pod that spins; −1 for none
	load     float64
	phase    float64
	hidden   map[[2]string]bool // what nobody measures
	rows     []Row
	at       int64
}

type external struct {
	name          string
	caller        int
	share         float64
	base, latency float64
	slow          float64
}

const (
	synthTick    = 10 * time.Second
	synthHistory = 30 * time.Minute
	synthCalm    = 3 * time.Minute // of the window, before the fault
	synthFault   = 14 * time.Minute
	synthSpace   = "shop"
)

var synthEpoch = time.Date(2026, 3, 3, 9, 0, 0, 0, time.UTC)

// MakeCase makes the case of a seed. What is hard about it is drawn too: shared nodes and calls in circles always; retry storms, timeouts,
// rollouts of others just before the fault, harmless level shifts after a deploy, missing telemetry, a peak of load, and a
// second fault in the other application.
func MakeCase(seed uint64) *Synthetic {
	r := rand.New(rand.NewPCG(seed, 0x9e3779b97f4a7c15))
	y := newSystem(r)
	out := &Synthetic{Faults: 1}
	onset := synthEpoch.Add(synthHistory + synthCalm)
	out.Case = Case{Name: fmt.Sprintf("synth-%d", seed), Tick: synthTick, Namespace: synthSpace, FaultStart: onset}
	two := r.Float64() < 0.15
	faults := []*fault{y.draw(r, 0, onset, two)}
	if two {
		faults = append(faults, y.draw(r, 1, onset.Add(time.Duration(r.IntN(120))*time.Second), true))
		out.Faults = 2
		out.Kinds = append(out.Kinds, "two faults")
	}
	avoid := map[int]bool{}
	for _, f := range faults {
		avoid[f.service] = true
		out.Label.RootCauses = append(out.Label.RootCauses, f.truth...)
		out.Truths = append(out.Truths, f.truth[0])
		out.Kinds = append(out.Kinds, f.kind)
	}
	out.Label.Fault = faults[0].kind
	var changes []rollout
	if r.Float64() < 0.5 {
		for range 1 + r.IntN(2) {
			if s := r.IntN(len(y.services)); !avoid[s] {
				changes = append(changes, rollout{at: onset.Add(-time.Duration(20+r.IntN(160)) * time.Second), service: s})
				out.Decoys = append(out.Decoys, "deployment/"+y.services[s].name, "service/"+y.services[s].name)
			}
		}
		out.Kinds = append(out.Kinds, "decoy")
	}
	shift := -1
	if s := r.IntN(len(y.services)); r.Float64() < 0.3 && !avoid[s] {
		shift = s // a deploy in the history made it slower for good
		changes = append(changes, rollout{at: synthEpoch.Add(synthHistory / 3), service: s})
		out.Kinds = append(out.Kinds, "level shift")
	}
	peak := r.Float64() < 0.25
	if peak {
		out.Kinds = append(out.Kinds, "peak")
	}
	if r.Float64() < 0.4 {
		out.Kinds = append(out.Kinds, "missing telemetry")
		y.hide(r, avoid)
	}
	for _, f := range faults {
		if f.kind == "bad rollout" {
			changes = append(changes, rollout{at: f.at.Add(-20 * time.Second), service: f.service})
		}
	}
	slices.SortStableFunc(changes, func(a, b rollout) int { return a.at.Compare(b.at) })

	out.Case.Entities, out.Case.Edges = y.graph()
	out.Case.Resources = append(out.Case.Resources, Resources{At: synthEpoch, Upserts: y.everything(synthEpoch)})
	history := synthEpoch.Add(synthHistory)
	end := onset.Add(synthFault)
	for now := synthEpoch; !now.After(end); now = now.Add(synthTick) {
		if now.Equal(history) {
			out.Case.History, y.rows = &Series{Rows: y.rows}, nil
		}
		y.load = 1 + 0.15*math.Sin(2*math.Pi*now.Sub(synthEpoch).Hours()/24*3+y.phase)
		if peak && now.After(onset.Add(-2*time.Minute)) {
			y.load *= 1 + 0.6*min(1, now.Sub(onset.Add(-2*time.Minute)).Minutes()/10)
		}
		var altered []int
		for len(changes) > 0 && !changes[0].at.After(now) {
			s := changes[0].service
			y.services[s].image++
			if s == shift && changes[0].at.Before(history) {
				y.services[s].base *= 1.5
			}
			altered = append(altered, s)
			changes = changes[1:]
		}
		for _, f := range faults {
			if f.step(y, now) {
				altered = append(altered, f.touched(y)...)
			}
		}
		y.tick(now)
		if upserts := y.changed(now, altered, faults); len(upserts) > 0 {
			out.Case.Resources = append(out.Case.Resources, Resources{At: now, Upserts: upserts})
		}
	}
	out.Case.Window = &Series{Rows: y.rows}
	return out
}

type rollout struct {
	at      time.Time
	service int
}

func newSystem(r *rand.Rand) *system {
	y := &system{r: r, nodes: 4 + r.IntN(5), hog: -1, phase: r.Float64() * 6, hidden: map[[2]string]bool{}, dead: map[int]bool{}}
	for app := range 2 {
		first := len(y.services)
		tiers := 3 + r.IntN(2)
		for tier := range tiers {
			for range 1 + r.IntN(3)*min(1, tier) {
				n := len(y.services)
				s := service{
					name: fmt.Sprintf("%c-%s-%d", 'a'+app, []string{"web", "api", "core", "store"}[tier], n), tier: tier,
					base: 0.004 * math.Exp(r.Float64()*2.5), weight: 0.05 + 0.1*r.Float64(), perCall: 0.002 + 0.004*r.Float64(), memory: 0.3 + 0.3*r.Float64(),
					retries: r.Float64() < 0.4,
				}
				if r.Float64() < 0.25 {
					s.timeout = 0.3 + r.Float64()
				}
				for p := range 2 + r.IntN(3) {
					s.pods = append(s.pods, pod{fmt.Sprintf("%s-%d", s.name, p), r.IntN(y.nodes)})
				}
				y.services = append(y.services, s)
			}
		}
		y.entries = append(y.entries, first)
		for i := first; i < len(y.services); i++ {
			if i > first { // someone of a tier above calls it
				var above []int
				for j := first; j < len(y.services); j++ {
					if y.services[j].tier < y.services[i].tier {
						above = append(above, j)
					}
				}
				from := above[r.IntN(len(above))]
				y.services[from].calls = append(y.services[from].calls, call{to: i, share: 0.3 + 0.7*r.Float64()})
				if other := above[r.IntN(len(above))]; other != from && r.Float64() < 0.4 {
					y.services[other].calls = append(y.services[other].calls, call{to: i, share: 0.2 + 0.5*r.Float64()})
				}
			}
		}
		if low := len(y.services) - 1; low > first { // a circle: someone below calls back up, now and then
			if up := first + 1 + r.IntN(max(1, low-first)); up != low && y.services[up].tier > 0 {
				y.services[low].calls = append(y.services[low].calls, call{to: up, share: 0.03, back: true})
			}
		}
		y.external = append(y.external, external{
			name: fmt.Sprintf("partner-%c", 'a'+app), caller: first + r.IntN(len(y.services)-first), share: 0.5, base: 0.05 + 0.1*r.Float64(), slow: 1,
		})
	}
	for b := range y.nodes {
		y.batch = append(y.batch, pod{fmt.Sprintf("batch-%d", b), b})
	}
	for i := range y.services {
		y.services[i].slow = 1
	}
	return y
}

// hide takes telemetry away: whole series, of whom a fault never all that shows it.
func (y *system) hide(r *rand.Rand, keep map[int]bool) {
	for i := range y.services {
		s := &y.services[i]
		if keep[i] || slices.Contains(y.entries, i) || r.Float64() > 0.3 {
			continue
		}
		for _, m := range [][]string{{"latency_avg_s", "latency_p95_s"}, {"error_ratio"}, {"latency_p95_s"}, {"request_count"}} {
			if r.Float64() < 0.4 {
				for _, name := range m {
					y.hidden[[2]string{"service/" + s.name, name}] = true
				}
			}
		}
	}
}

// tick computes a moment: load from the top, latency and errors from the bottom.
func (y *system) tick(now time.Time) {
	y.at = now.Unix()
	for i := range y.services {
		s := &y.services[i]
		s.lost = 0
		for _, p := range s.pods {
			if y.dead[p.node] {
				s.lost += 1 / float64(len(s.pods))
			}
		}
		s.lost = min(1, s.lost+float64(s.crashed)/float64(len(s.pods)))
		s.rate = 0
	}
	for a, e := range y.entries {
		y.services[e].rate = (40 + 30*float64(a)) * y.load * (1 + 0.03*y.r.NormFloat64())
	}
	order := make([]int, len(y.services))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return y.services[a].tier - y.services[b].tier })
	for _, i := range order {
		s := &y.services[i]
		for _, c := range s.calls {
			t := &y.services[c.to]
			more := 1.0
			if s.retries && t.errors > 0.02 { // as it was a tick ago
				more += min(2, 2*t.errors)
			}
			t.rate += s.rate * c.share * more
		}
	}
	slices.Reverse(order)
	for i := range y.external {
		x := &y.external[i]
		x.latency = x.base * x.slow
	}
	for _, i := range order {
		y.serve(i)
	}
	y.measure()
}

func (y *system) serve(i int) {
	s := &y.services[i]
	own := s.base * s.slow * (1 + 0.4*s.leak*s.leak)
	crowded := 0.0
	for _, p := range s.pods {
		if y.hog >= 0 && y.batch[y.hog].node == p.node {
			crowded += 1 / float64(len(s.pods))
		}
	}
	own *= 1 + 5*crowded
	if s.lost > 0 && s.lost < 1 {
		own *= 1 + 0.5*s.lost
	}
	latency, well := own, (1-s.broken)*(1-0.8*s.lost)
	for _, c := range s.calls {
		t := &y.services[c.to]
		wait, failed := t.latency, t.errors
		if s.timeout > 0 && wait > s.timeout {
			failed, wait = 1-(1-failed)*0.3, s.timeout
		}
		tries := 1.0
		if s.retries {
			tries, failed = 1+failed, failed*failed
		}
		latency += min(1, c.share) * wait * tries
		well *= 1 - min(1, c.share)*failed
	}
	for _, x := range y.external {
		if x.caller == i {
			latency += x.share * x.latency
		}
	}
	s.latency, s.errors = min(30, latency), 1-well
}

func (y *system) row(id, metric string, value float64) {
	if y.hidden[[2]string{id, metric}] || y.r.Float64() < 0.01 {
		return
	}
	y.rows = append(y.rows, Row{At: y.at, Entity: id, Metric: metric, Value: max(0, value)})
}

// sample gives what n requests show of a latency and an error ratio.
func (y *system) requests(id string, rate, latency, errors float64) {
	n := float64(int(max(0, rate*synthTick.Seconds()*(1+0.02*y.r.NormFloat64()))))
	y.row(id, "request_count", n)
	if n < 1 {
		return
	}
	y.row(id, "latency_avg_s", latency*max(0.2, 1+0.5/math.Sqrt(n)*y.r.NormFloat64()+0.02*y.r.NormFloat64()))
	y.row(id, "latency_p95_s", 2.2*latency*max(0.2, 1+1.2/math.Sqrt(n)*y.r.NormFloat64()+0.03*y.r.NormFloat64()))
	p := min(1, 0.002+errors)
	y.row(id, "error_ratio", min(1, max(0, p+math.Sqrt(p*(1-p)/n)*y.r.NormFloat64())))
}

func (y *system) measure() {
	used := make([]float64, y.nodes)
	for i := range y.services {
		s := &y.services[i]
		y.requests("service/"+s.name, s.rate, s.latency, s.errors)
		alive := max(0.5, float64(len(s.pods))*(1-s.lost))
		for k, p := range s.pods {
			if y.dead[p.node] || k < s.crashed {
				continue
			}
			cpu := min(0.99, (s.weight+s.perCall*s.rate/alive)*(1+0.05*y.r.NormFloat64()))
			used[p.node] += cpu
			y.row("pod/"+p.name, "cpu_ratio", cpu)
			y.row("pod/"+p.name, "memory_ratio", min(1, s.memory+(1-s.memory)*s.leak+0.01*y.r.NormFloat64()))
		}
	}
	for b, p := range y.batch {
		if y.dead[p.node] {
			continue
		}
		cpu := 0.06 + 0.01*y.r.NormFloat64()
		if b == y.hog {
			cpu = 0.95 + 0.01*y.r.NormFloat64()
			used[p.node] += 20
		}
		y.row("pod/"+p.name, "cpu_ratio", min(1, cpu))
	}
	for n := range y.nodes {
		if !y.dead[n] {
			y.row(fmt.Sprintf("node/n%d", n), "node_cpu_ratio", min(0.99, 0.1+used[n]/20+0.01*y.r.NormFloat64()))
			y.row(fmt.Sprintf("node/n%d", n), "node_memory_ratio", 0.5+0.01*y.r.NormFloat64())
		}
	}
	for i := range y.external {
		x := &y.external[i]
		y.requests("external/"+x.name, y.services[x.caller].rate*x.share, x.latency, 0)
	}
	for a, e := range y.entries {
		s := &y.services[e]
		y.requests(fmt.Sprintf("ingress/front-%d", a), s.rate, s.latency+0.002, s.errors)
	}
}
