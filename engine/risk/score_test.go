package risk_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/risk"
	"github.com/bukahou/atlhyper/engine/topology"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func ref(kind, name string) entity.Ref {
	r := entity.Ref{Cluster: "prod", Kind: kind, Namespace: "shop", Name: name}
	if kind == entity.Node || kind == entity.External {
		r.Namespace = ""
	}
	return r
}

// world builds inputs for tests: an application is a Service over a Deployment over pods on nodes.
type world struct {
	edges     []topology.Edge
	facts     []detect.Fact
	anomalies []baseline.Anomaly
	readings  map[entity.Ref]map[string]fleet.Reading
	normal    map[entity.Ref]map[string]float64
	pods      map[string]int
}

func newWorld() *world {
	return &world{readings: map[entity.Ref]map[string]fleet.Reading{}, normal: map[entity.Ref]map[string]float64{}, pods: map[string]int{}}
}

func (w *world) edge(from, to entity.Ref, t topology.EdgeType, weight float64) {
	w.edges = append(w.edges, topology.Edge{From: from, To: to, Type: t, Weight: weight})
}

func (w *world) app(name string, nodes ...string) {
	w.edge(ref(entity.Service, name), ref(entity.Deployment, name), topology.Selects, 1)
	for i, n := range nodes {
		pod := ref(entity.Pod, fmt.Sprintf("%s-%d", name, i))
		w.edge(ref(entity.Deployment, name), pod, topology.Selects, 1/float64(len(nodes)))
		w.edge(pod, ref(entity.Node, n), topology.RunsOn, 1)
	}
	w.pods[name] = len(nodes)
}

// calls measures what one application sends to another.
func (w *world) calls(from, to string, rate, share float64) {
	a, b := ref(entity.Deployment, from), ref(entity.Service, to)
	w.edges = append(w.edges, topology.Edge{From: a, To: b, Type: topology.Calls, Weight: share, Traffic: &fleet.Traffic{From: a, To: b, RequestsPerSecond: rate}})
	rate += w.normal[ref(entity.Service, to)]["request_rate"]
	w.read(ref(entity.Service, to), "request_rate", rate, rate)
}

func (w *world) read(r entity.Ref, metric string, now, normal float64) {
	if w.readings[r] == nil {
		w.readings[r], w.normal[r] = map[string]fleet.Reading{}, map[string]float64{}
	}
	w.readings[r][metric] = fleet.Reading{Value: now, At: noon}
	w.normal[r][metric] = normal
}

func (w *world) fact(kind string, score float64, r, source entity.Ref, since time.Duration) {
	w.facts = append(w.facts, detect.Fact{Entity: r, Kind: kind, Score: score, Text: kind + " on " + r.Name, Source: source, Since: noon.Add(since), Seen: noon})
}

// fails puts a fact on pods of an application and on its workload, as the detectors do.
func (w *world) fails(app, kind string, score float64, since time.Duration, pods ...int) {
	for _, i := range pods {
		w.fact(kind, score, ref(entity.Pod, fmt.Sprintf("%s-%d", app, i)), entity.Ref{}, since)
	}
	w.fact(kind, score, ref(entity.Deployment, app), ref(entity.Pod, fmt.Sprintf("%s-%d", app, pods[0])), since)
}

// strays makes a metric differ from its normal.
func (w *world) strays(r entity.Ref, metric string, normal, now float64, since time.Duration) {
	spec := baseline.SpecOf(r.Kind, metric)
	spread := max(spec.Floor, spec.Relative*normal)
	z := (now - normal) / spread
	weight := spec.Weight
	w.anomalies = append(w.anomalies, baseline.Anomaly{
		Entity: r, Metric: metric, Class: spec.Class, Value: now, Mean: normal, Spread: spread, Z: z, Weight: weight,
		Q: baseline.Q(weight, z), Onset: noon.Add(since), At: noon,
	})
	w.read(r, metric, now, normal)
}

func (w *world) input() risk.Input {
	return risk.Input{
		Now: noon, Cluster: "prod", Graph: topology.New(nil, w.edges), Facts: w.facts, Anomalies: w.anomalies,
		Readings: func(r entity.Ref) map[string]fleet.Reading { return w.readings[r] },
		Normal: func(r entity.Ref, metric string) (float64, float64, bool) {
			mean, ok := w.normal[r][metric]
			return mean, 0.01, ok
		},
	}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 5e-4 {
		t.Errorf("%s = %.4f, want %.4f", what, got, want)
	}
}

func TestLocalRiskByHand(t *testing.T) {
	w := newWorld()
	w.app("cart", "n1")
	svc := ref(entity.Service, "cart")
	w.strays(svc, "error_rate", 0.01, 0.03, 0) // z = 4: q = 1.0·tanh(0.5) = 0.4621
	w.strays(svc, "avg_latency", 0.1, 0.12, 0) // z = 0.02/0.005 = 4: q = 0.9·0.4621 = 0.4159
	w.fact("NoEndpoints", 0.85, svc, entity.Ref{}, 0)
	in := w.input()
	in.First = func(entity.Ref) time.Time { return noon.Add(-5 * time.Minute) }
	got := risk.New(risk.Config{}).Score(in).Of(svc)
	// R_stat = 1 − 0.5379·0.5841 = 0.6858; W = 0.7 + 0.3·(1−e^(−0.6)) = 0.8354; R_local = 1 − (1−0.5729)·0.15 = 0.9359.
	near(t, "R_stat", got.Statistical, 0.6858)
	near(t, "W", got.Time, 0.8354)
	near(t, "R_cert", got.Certain, 0.85)
	near(t, "R_local", got.Local, 0.9359)
	near(t, "R_final", got.Final, 0.9359)
	want := `q(avg_latency) = 0.9·tanh((|z|−3)/2) = 0.416; z = (0.12 − 0.1)/0.005 = 4.00
q(error_rate) = 1·tanh((|z|−3)/2) = 0.462; z = (0.03 − 0.01)/0.005 = 4.00
R_stat = 1 − (1−0.416)·(1−0.462) = 0.686
W = 0.7 + 0.3·(1−exp(−300 s/500 s)) = 0.835
R_cert = 1 − (1−0.85 NoEndpoints) = 0.850
R_local = 1 − (1−0.835·0.686)·(1−0.850) = 0.936
R_final = R_local = 0.936`
	if diff := cmp.Diff(want, got.Formula()); diff != "" {
		t.Error(diff)
	}
}

func TestOneCertainFactIsCritical(t *testing.T) {
	w := newWorld()
	w.app("cart", "n1", "n1")
	w.fact("NotReady", 0.95, ref(entity.Node, "n1"), entity.Ref{}, 0)
	a := risk.New(risk.Config{}).Score(w.input())
	near(t, "node", a.Of(ref(entity.Node, "n1")).Final, 0.95)
	near(t, "pod", a.Of(ref(entity.Pod, "cart-0")).Final, 0.855)
	near(t, "workload: both of its pods", a.Of(ref(entity.Deployment, "cart")).Final, 0.7695)
	near(t, "service", a.Of(ref(entity.Service, "cart")).Final, 0.9*0.7695)
	if via := a.Of(ref(entity.Pod, "cart-0")).Via; via != ref(entity.Node, "n1") {
		t.Errorf("via %s", via)
	}
}

func TestOutagesAreNotDilutedAndOneReplicaIsNone(t *testing.T) {
	nodes := make([]string, 10)
	for i := range nodes {
		nodes[i] = fmt.Sprint("n", i)
	}
	for dead, want := range map[int]struct{ service, ingress float64 }{
		1:  {0.9 * 0.09, 0.9 * 0.9 * 0.09}, // the workload's flow is 0.9·0.1 from its own fact, 0.9·0.9·0.1 from its pod
		10: {0.9 * 0.9, 0.9 * 0.9 * 0.9},
	} {
		t.Run(fmt.Sprintf("%d of 10 pods", dead), func(t *testing.T) {
			w := newWorld()
			w.app("cart", nodes...)
			w.edge(ref(entity.Ingress, "web"), ref(entity.Service, "cart"), topology.RoutesTo, 1)
			pods := make([]int, dead)
			for i := range pods {
				pods[i] = i
			}
			w.fails("cart", "CrashLoopBackOff", 0.9, 0, pods...)
			a := risk.New(risk.Config{}).Score(w.input())
			near(t, "workload", a.Of(ref(entity.Deployment, "cart")).Final, 0.9)
			near(t, "service", a.Of(ref(entity.Service, "cart")).Final, want.service)
			near(t, "ingress", a.Of(ref(entity.Ingress, "web")).Final, want.ingress)
		})
	}
}

func TestTrafficShareLimitsTheBlastRadius(t *testing.T) {
	w := newWorld()
	w.app("front", "n1")
	w.app("cart", "n1")
	w.app("ads", "n1")
	w.calls("front", "cart", 90, 0.9)
	w.calls("front", "ads", 10, 0.1)
	w.fact("Unavailable", 0.95, ref(entity.Deployment, "ads"), entity.Ref{}, 0)
	a := risk.New(risk.Config{}).Score(w.input())
	near(t, "service ads", a.Of(ref(entity.Service, "ads")).Final, 0.855)
	near(t, "front", a.Of(ref(entity.Deployment, "front")).Final, 0.9*0.1*0.855)
	if got := a.Of(ref(entity.Service, "cart")); got.Final != 0 || got.Terms != nil {
		t.Errorf("cart is healthy and scores %+v", got)
	}
	want := "R_final = max(0.000, 0.9·max(0.100·0.855 (calls service/ads))) = 0.077"
	front := a.Of(ref(entity.Deployment, "front"))
	if diff := cmp.Diff(want, front.Formula()); diff != "" {
		t.Error(diff)
	}
}

func TestACycleHasOneAnswer(t *testing.T) {
	w := newWorld()
	for _, p := range [][2]string{{"a", "b"}, {"b", "c"}, {"c", "a"}, {"c", "d"}} {
		w.edge(ref(entity.Service, p[0]), ref(entity.Service, p[1]), topology.Calls, 1)
	}
	w.edge(ref(entity.Service, "a"), ref(entity.Service, "a"), topology.Calls, 1)
	w.fact("NoEndpoints", 0.8, ref(entity.Service, "b"), entity.Ref{}, 0)
	a := risk.New(risk.Config{}).Score(w.input())
	near(t, "b", a.Of(ref(entity.Service, "b")).Final, 0.8)
	near(t, "a", a.Of(ref(entity.Service, "a")).Final, 0.72)
	near(t, "c", a.Of(ref(entity.Service, "c")).Final, 0.648)
	near(t, "d is only depended on", a.Of(ref(entity.Service, "d")).Final, 0)
}

// mess is a random world with cycles.
func mess(r *rand.Rand) *world {
	w := newWorld()
	for i := range 12 {
		w.app(fmt.Sprint("s", i), fmt.Sprint("n", r.IntN(4)), fmt.Sprint("n", r.IntN(4)))
	}
	for range 30 {
		w.calls(fmt.Sprint("s", r.IntN(12)), fmt.Sprint("s", r.IntN(12)), 100*r.Float64(), r.Float64())
	}
	for range 6 {
		w.fails(fmt.Sprint("s", r.IntN(12)), []string{"OOMKilled", "Unhealthy", "Unavailable", "CrashLoopBackOff"}[r.IntN(4)], 0.8+0.2*r.Float64(), -time.Duration(r.IntN(300))*time.Second, r.IntN(2))
	}
	for range 10 {
		w.strays(ref(entity.Service, fmt.Sprint("s", r.IntN(12))), []string{"avg_latency", "error_rate"}[r.IntN(2)], 0.1, 0.1+r.Float64(), -time.Duration(r.IntN(300))*time.Second)
	}
	w.strays(ref(entity.Node, "n1"), "cpu_usage", 0.4, 0.97, -300*time.Second)
	w.strays(ref(entity.Pod, "s3-0"), "cpu_usage", 0.1, 0.9, -300*time.Second)
	return w
}

func members(in risk.Input) []entity.Ref { return in.Graph.Vertices() }

// opened are all scores with their terms.
func opened(a *risk.Assessment) map[entity.Ref]risk.Score {
	out := map[entity.Ref]risk.Score{}
	for r := range a.Scores {
		out[r] = a.Of(r)
	}
	return out
}

func TestAHundredShufflesGiveTheSameBits(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		w := mess(r)
		s := risk.New(risk.Config{})
		in := w.input()
		want, blame := opened(s.Score(in)), s.Blame(in, members(in))
		for range 100 {
			rand.Shuffle(len(w.edges), func(i, j int) { w.edges[i], w.edges[j] = w.edges[j], w.edges[i] })
			rand.Shuffle(len(w.facts), func(i, j int) { w.facts[i], w.facts[j] = w.facts[j], w.facts[i] })
			rand.Shuffle(len(w.anomalies), func(i, j int) { w.anomalies[i], w.anomalies[j] = w.anomalies[j], w.anomalies[i] })
			in := w.input()
			m := append([]entity.Ref{}, members(in)...)
			rand.Shuffle(len(m), func(i, j int) { m[i], m[j] = m[j], m[i] })
			if diff := cmp.Diff(want, opened(s.Score(in)), cmpopts.IgnoreUnexported(risk.Score{})); diff != "" {
				t.Fatal(diff)
			}
			if diff := cmp.Diff(blame, s.Blame(in, m)); diff != "" {
				t.Fatal(diff)
			}
		}
	}
}

func TestScoresStayWithinOneAndGrowWithTheirCauses(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := mess(rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1)))
		s := risk.New(risk.Config{})
		before := s.Score(w.input())
		for r, sc := range before.Scores {
			if !(sc.Final > 0 && sc.Final <= 1) || sc.Final < sc.Local || sc.Passed > sc.Final+1e-9 || sc.Formula() == "" {
				t.Fatalf("%s: %+v", r, sc)
			}
		}
		w.fact("CertificateExpired", rapid.Float64Range(0, 1).Draw(t, "score"), ref(entity.Service, fmt.Sprint("s", rapid.IntRange(0, 11).Draw(t, "which"))), entity.Ref{}, 0)
		after := s.Score(w.input())
		for r, sc := range before.Scores {
			if after.Of(r).Final < sc.Final-1e-12 {
				t.Fatalf("%s fell from %g to %g", r, sc.Final, after.Of(r).Final)
			}
		}
	})
}

func TestHealthyIsExactlyZero(t *testing.T) {
	w := newWorld()
	w.app("cart", "n1")
	w.fact("AgentSilent", 1, entity.Ref{Cluster: "prod", Kind: entity.Cluster, Name: "prod"}, entity.Ref{}, 0)
	w.anomalies = append(w.anomalies, baseline.Anomaly{Entity: ref(entity.Service, "cart"), Metric: "request_rate", Class: baseline.Rate, Z: 9}) // context
	if a := risk.New(risk.Config{}).Score(w.input()); len(a.Scores) != 0 || a.Of(ref(entity.Service, "cart")).Final != 0 {
		t.Errorf("%+v", a.Scores)
	}
	if a := risk.New(risk.Config{}).Score(risk.Input{Now: noon, Cluster: "prod"}); len(a.Scores) != 0 {
		t.Error("nothing scores something")
	}
}

func TestAFactOnWhatTheGraphLacksStillCounts(t *testing.T) {
	w := newWorld()
	w.fact("CrashLoopBackOff", 0.9, ref(entity.Pod, "new"), entity.Ref{}, 0)
	near(t, "pod", risk.New(risk.Config{}).Score(w.input()).Of(ref(entity.Pod, "new")).Final, 0.9)
}

func BenchmarkScore(b *testing.B) {
	var edges []topology.Edge
	var facts []detect.Fact
	w := newWorld()
	for i := range 500 {
		nodes := make([]string, 10)
		for k := range nodes {
			nodes[k] = fmt.Sprint("n", (i*7+k)%200)
		}
		w.app(fmt.Sprint("s", i), nodes...)
		w.edge(ref(entity.Deployment, fmt.Sprint("s", i)), ref(entity.Service, fmt.Sprint("s", i/2)), topology.Calls, 0.5)
		if i < 100 {
			w.edge(ref(entity.Ingress, fmt.Sprint("i", i)), ref(entity.Service, fmt.Sprint("s", i)), topology.RoutesTo, 1)
		}
		if i%10 == 0 {
			w.fact("CrashLoopBackOff", 0.9, ref(entity.Pod, fmt.Sprintf("s%d-0", i)), entity.Ref{}, 0)
		}
	}
	edges, facts = w.edges, w.facts
	in := risk.Input{Now: noon, Cluster: "prod", Graph: topology.New(nil, edges), Facts: facts}
	s := risk.New(risk.Config{})
	b.ReportAllocs()
	for b.Loop() {
		s.Score(in)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*(in.Graph.N()+len(in.Graph.Edges()))), "ns/vertex+edge")
}

func traffic(from, to entity.Ref, rate, errors, latency float64) *fleet.Traffic {
	return &fleet.Traffic{From: from, To: to, RequestsPerSecond: rate, ErrorRatio: errors, LatencyAvg: latency}
}
