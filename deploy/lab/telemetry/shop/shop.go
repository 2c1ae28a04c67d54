// Package shop pretends a shop of twelve services and keeps the truth about it: every request that ever was stands in its
// ledger, so that what a store answers can be compared with what happened. It speaks as Traefik, Linkerd, node_exporter
// and OpenTelemetry's SDKs do. A Shop is used by one goroutine.
package shop

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/deploy/lab/telemetry"
)

// Namespace of everything in the shop.
const Namespace = "shop"

// call is one dependency: every so many requests of the caller make one.
type call struct {
	to    string
	every int
}

// graph is who calls whom. Door calls the frontend: that is Traefik.
var graph = map[string][]call{
	"frontend":        {{"catalog", 1}, {"cart", 2}, {"recommendations", 2}, {"ads", 3}, {"currency", 2}, {"checkout", 4}},
	"checkout":        {{"payments", 1}, {"cart", 1}, {"inventory", 1}, {"shipping", 1}, {"email", 1}},
	"catalog":         {{"search", 2}},
	"recommendations": {{"catalog", 2}},
	"shipping":        {{"currency", 2}},
}

// Services are the twelve, by name.
var Services = []string{"ads", "cart", "catalog", "checkout", "currency", "email", "frontend", "inventory", "payments", "recommendations", "search", "shipping"}

// Nodes that the pods run on.
var Nodes = []string{"node-a", "node-b", "node-c"}

const pods = 2

// Fault is what is wrong with a service, or with a node.
type Fault struct {
	Slow  time.Duration // more per request
	Fail  float64       // share of requests that fail
	CPU   float64       // more of the node in use, 0 to 1
	Loss  float64       // share of segments that are sent again
	Leak  float64       // bytes a second
	Error string        // what the service logs when it fails
}

// Visit is one request that reached a service.
type Visit struct {
	At       time.Time // when it was counted
	From, To string    // From is "" for the door
	Pod      int       // of To
	FromPod  int
	Took     time.Duration
	Failed   bool
}

// Config of a Shop.
type Config struct {
	Start time.Time
	Rate  int    // requests a second at the door; default 10
	Seed  uint64 // of latencies
}

// Shop is the pretended shop at one moment.
type Shop struct {
	cfg    Config
	rng    *rand.Rand
	now    time.Time
	serial int
	turns  map[[2]string]int // how often a caller was reached, per dependency
	ledger []Visit
	series map[string]*series // counters and histograms by identity
	order  []string
	fault  map[string]Fault
	used   map[string]float64 // leaked memory by node
	out    telemetry.Records  // spans and lines since the last Drain

	// Silent leaves spans and lines out, for long times of which only counters matter.
	Silent bool
}

// New makes a shop that begins to be used at its start.
func New(cfg Config) *Shop {
	if cfg.Rate == 0 {
		cfg.Rate = 10
	}
	return &Shop{
		cfg: cfg, rng: rand.New(rand.NewPCG(cfg.Seed, 7)), now: cfg.Start, turns: map[[2]string]int{}, series: map[string]*series{}, fault: map[string]Fault{}, used: map[string]float64{},
	}
}

// Now is how far the shop has come.
func (s *Shop) Now() time.Time { return s.now }

// Break sets what is wrong with a service or node from now on; the zero Fault mends it.
func (s *Shop) Break(name string, f Fault) { s.fault[name] = f }

// Restart begins every counter of a service's pods, or of a node, anew, as a new process does, and frees what leaked. The
// pods keep their names.
func (s *Shop) Restart(service string) {
	delete(s.used, service)
	for _, id := range s.order {
		if x := s.series[id]; x.owner == service {
			x.start = s.now
			x.value, x.count, x.total = 0, 0, 0
			clear(x.buckets)
		}
	}
}

// Advance lets requests happen until a time, in whole seconds.
func (s *Shop) Advance(to time.Time) {
	for !s.now.Add(time.Second).After(to) {
		begin := s.now
		s.now = s.now.Add(time.Second)
		for i := range s.cfg.Rate {
			at := begin.Add(time.Duration(i) * time.Second / time.Duration(s.cfg.Rate))
			s.serial++
			s.visit("", 0, "frontend", at, fmt.Sprintf("%032x", s.serial), "")
		}
		for n, name := range Nodes {
			s.node(n, name)
		}
	}
}

// visit is one request and all that follows from it. It returns when it was answered and whether it failed.
func (s *Shop) visit(from string, fromPod int, to string, at time.Time, trace, parent string) (time.Time, bool) {
	f := s.fault[to]
	pod := s.rng.IntN(pods)
	s.serial++
	id := fmt.Sprintf("%016x", s.serial)
	own := time.Duration(math.Exp(s.rng.NormFloat64()*0.6+math.Log(4))*float64(time.Millisecond)) + f.Slow
	own = s.hindered(own, NodeOf(to, pod))
	end := at.Add(own / 2)
	failed := s.rng.Float64() < f.Fail
	for _, c := range graph[to] {
		key := [2]string{to, c.to}
		s.turns[key]++
		if failed || s.turns[key]%c.every != 0 {
			continue
		}
		s.serial++
		client := fmt.Sprintf("%016x", s.serial)
		begin := end
		done, bad := s.visit(to, pod, c.to, begin.Add(200*time.Microsecond), trace, client)
		end = done.Add(200 * time.Microsecond)
		s.span(to, pod, trace, client, id, "GET /"+c.to, "Client", begin, end.Sub(begin), bad, map[string]string{"server.address": c.to + "." + Namespace + ".svc.cluster.local"})
		if bad && c.to != "ads" { // nobody misses an advertisement
			failed = true
		}
	}
	end = end.Add(own / 2)
	took := end.Sub(at)
	// A request is counted in the second in which the first of its trace began: a test can then say exactly which requests
	// a span of time has.
	counted := at
	if !at.Before(s.now) {
		counted = s.now.Add(-1)
	}
	v := Visit{At: counted, From: from, To: to, Pod: pod, FromPod: fromPod, Took: took, Failed: failed}
	s.ledger = append(s.ledger, v)
	s.count(v)
	message := ""
	if failed {
		message = f.Error
	}
	s.span(to, pod, trace, id, parent, "GET /", "Server", at, took, failed, nil)
	s.log(v, trace, message)
	return end, failed
}

// hindered is how long work takes on a node: it waits for the CPU behind the node's other work, and for segments that are
// sent again.
func (s *Shop) hindered(own time.Duration, node string) time.Duration {
	f := s.fault[node]
	if f.CPU > 0 {
		own = time.Duration(float64(own) / max(0.05, 1-f.CPU))
	}
	if f.Loss > 0 && s.rng.Float64() < 10*f.Loss { // a request and its answer are about ten segments
		own += 200 * time.Millisecond
	}
	return own
}

// Truth is what happened to one service, or along one edge, in a time.
type Truth struct {
	Requests, Failed int
	Took             []time.Duration // ascending
}

// Mean of what the requests took.
func (t Truth) Mean() time.Duration {
	var sum time.Duration
	for _, d := range t.Took {
		sum += d
	}
	return sum / time.Duration(max(1, len(t.Took)))
}

// Quantile by the nearest rank.
func (t Truth) Quantile(q float64) time.Duration {
	if len(t.Took) == 0 {
		return 0
	}
	return t.Took[min(len(t.Took)-1, int(math.Ceil(q*float64(len(t.Took))))-1)]
}

// Truth gives what reached a service (from "*": from anywhere, "": at the door) from a time on, before another.
func (s *Shop) Truth(from, to string, begin, end time.Time) Truth {
	var t Truth
	for _, v := range s.ledger {
		if v.To != to || from != "*" && v.From != from || v.At.Before(begin) || !v.At.Before(end) {
			continue
		}
		t.Requests++
		if v.Failed {
			t.Failed++
		}
		t.Took = append(t.Took, v.Took)
	}
	slices.Sort(t.Took)
	return t
}

// Visits are all requests to a service until now, in the order of their beginning.
func (s *Shop) Visits(to string) (out []Visit) {
	for _, v := range s.ledger {
		if v.To == to {
			out = append(out, v)
		}
	}
	return out
}

// Edges are the pairs of services that called each other in a time.
func (s *Shop) Edges(begin, end time.Time) map[[2]string]bool {
	out := map[[2]string]bool{}
	for _, v := range s.ledger {
		if v.From != "" && !v.At.Before(begin) && v.At.Before(end) {
			out[[2]string{v.From, v.To}] = true
		}
	}
	return out
}

// NodeOf tells where a service's pod runs: each service has its first on the next node, so that no two share both.
func NodeOf(service string, pod int) string {
	return Nodes[(slices.Index(Services, service)+pod)%len(Nodes)]
}

// PodName of a service's pod.
func PodName(service string, pod int) string { return fmt.Sprintf("%s-%d", service, pod) }

func resource(service string, pod int) map[string]string {
	return map[string]string{
		"service.name": service, "service.instance.id": PodName(service, pod), "k8s.namespace.name": Namespace, "k8s.deployment.name": service, "k8s.pod.name": PodName(service, pod),
	}
}

func (s *Shop) span(service string, pod int, trace, id, parent, name, kind string, start time.Time, took time.Duration, failed bool, attributes map[string]string) {
	if s.Silent {
		return
	}
	x := telemetry.Span{
		TraceID: trace, ID: id, Parent: parent, Resource: resource(service, pod), Name: name, Kind: kind, Attributes: attributes, Start: start, Duration: took, Failed: failed,
	}
	if failed {
		x.Message = "it failed"
	}
	s.out.Spans = append(s.out.Spans, x)
}

func (s *Shop) log(v Visit, trace, message string) {
	if s.Silent {
		return
	}
	l := telemetry.Line{
		Time: v.At.Add(v.Took), Severity: 9, Text: "INFO", TraceID: trace, Resource: resource(v.To, v.Pod),
		Body: fmt.Sprintf("served request %d from 10.0.%d.%d:%d in %dms", s.serial, s.rng.IntN(250), s.rng.IntN(250), 30000+s.rng.IntN(9999), v.Took.Milliseconds()),
	}
	if v.Failed {
		l.Severity, l.Text = 17, "ERROR"
		l.Body = fmt.Sprintf("request %d failed after %dms", s.serial, v.Took.Milliseconds())
		if message != "" {
			l.Body += ": " + message
		}
	}
	s.out.Lines = append(s.out.Lines, l)
}

// Drain gives the spans and lines since the last time.
func (s *Shop) Drain() telemetry.Records {
	out := s.out
	s.out = telemetry.Records{}
	return out
}
