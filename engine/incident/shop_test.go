package incident

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/risk"
	"github.com/bukahou/atlhyper/engine/topology"
)

// shop is a cluster with a small call graph, a keeper on it, and a clock that a test turns:
// ingress/web → service/checkout → service/payments, service/cart; each service has a deployment of its name with pods
// on worker-1 and worker-2.
type shop struct {
	t      *testing.T
	now    time.Time
	c      *fleet.Cluster
	store  *Memory
	k      *Keeper
	blamer Blamer
	edges  []topology.Edge
	// what is wrong now
	facts     []detect.Fact
	anomalies []baseline.Anomaly
	silent    bool
	shuffle   *rand.Rand
	broken    bool // the store fails
	graph     *topology.Graph
	version   uint64
}

var services = []string{"checkout", "payments", "cart", "ads", "search"}

func newShop(t *testing.T) *shop {
	s := &shop{t: t, now: start, store: NewMemory(), blamer: byFact{}}
	s.c = fleet.New(fleet.Config{}).Join("prod")
	batch := &report.ReportRequest{ResyncBegin: true, ResyncEnd: true}
	for _, n := range []string{"worker-1", "worker-2"} {
		batch.Upserts = append(batch.Upserts, &report.Resource{Kind: "Node", Name: n, Uid: n, Detail: &report.Resource_Node{Node: &report.Node{Ready: true}}})
	}
	for _, name := range services {
		batch.Upserts = append(batch.Upserts,
			&report.Resource{Kind: "Deployment", Namespace: "shop", Name: name, Uid: "d-" + name, Detail: &report.Resource_Workload{Workload: &report.Workload{
				Desired: 2, Images: map[string]string{"app": name + ":v1"}, TemplateHash: "1", Revision: "1", ConfigMaps: []string{name + "-env"},
			}}},
			&report.Resource{Kind: "ConfigMap", Namespace: "shop", Name: name + "-env", Uid: "c-" + name, Detail: &report.Resource_Config{Config: &report.Config{Hash: "1"}}},
			&report.Resource{Kind: "Service", Namespace: "shop", Name: name, Uid: "s-" + name, Detail: &report.Resource_Service{Service: &report.Service{}}})
		slice := &report.EndpointSlice{Service: name}
		for n := range 2 {
			pod := fmt.Sprintf("%s-%d", name, n)
			batch.Upserts = append(batch.Upserts, &report.Resource{
				Kind: "Pod", Namespace: "shop", Name: pod, Uid: "p-" + pod, Owners: []*report.Owner{{Kind: "Deployment", Name: name, Uid: "d-" + name, Controller: true}},
				Detail: &report.Resource_Pod{Pod: &report.Pod{Node: fmt.Sprintf("worker-%d", n+1), Phase: "Running"}},
			})
			slice.Endpoints = append(slice.Endpoints, &report.Endpoint{Pod: pod, Ready: true})
		}
		batch.Upserts = append(batch.Upserts, &report.Resource{Kind: "EndpointSlice", Namespace: "shop", Name: name + "-x", Uid: "e-" + name, Detail: &report.Resource_EndpointSlice{EndpointSlice: slice}})
	}
	batch.Upserts = append(batch.Upserts, &report.Resource{Kind: "Ingress", Namespace: "shop", Name: "web", Uid: "i", Detail: &report.Resource_Ingress{Ingress: &report.Ingress{Backends: []*report.IngressBackend{{Service: "checkout"}}}}})
	s.c.Apply(s.now, batch)
	s.calls("checkout", "payments")
	s.calls("checkout", "cart")
	s.k = New(Config{Store: s.store})
	return s
}

func ref(kind, name string) entity.Ref {
	r := entity.Ref{Cluster: "prod", Kind: kind, Namespace: "shop", Name: name}
	if kind == entity.Node {
		r.Namespace = ""
	}
	return r
}

func (s *shop) calls(from, to string) {
	s.graph = nil
	s.edges = append(s.edges, topology.Edge{From: ref("Service", from), To: ref("Service", to), Type: topology.Calls, Weight: 1})
}

// byFact blames the deepest certain fault, else the highest z; the real rules are package risk's.
type byFact struct{}

func (byFact) Blame(in risk.Input, members []entity.Ref) risk.Verdict {
	var best risk.Verdict
	score := -1.0
	for _, f := range in.Facts {
		v := f.Score
		if f.Entity.Workload() || f.Entity.Kind == entity.Node {
			v++
		}
		if slices.Contains(members, f.Entity) && v > score {
			score, best = v, risk.Verdict{Entity: f.Entity, Kind: f.Kind, Confidence: "medium", Why: f.Text, Onset: f.Since}
		}
	}
	for _, a := range in.Anomalies {
		if slices.Contains(members, a.Entity) && a.Q-1 > score {
			score, best = a.Q-1, risk.Verdict{Entity: a.Entity, Kind: a.Metric, Confidence: "low", Why: describe(a), Onset: a.Onset}
		}
	}
	return best
}

// fail raises a fact on a workload and on so many of its pods.
func (s *shop) fail(name, kind string, score float64, pods int) {
	s.fact(ref("Deployment", name), kind, score)
	for n := range pods {
		s.fact(ref("Pod", fmt.Sprintf("%s-%d", name, n)), kind, score)
	}
}

func (s *shop) fact(r entity.Ref, kind string, score float64) {
	s.facts = append(s.facts, detect.Fact{Entity: r, Kind: kind, Score: score, Text: "it shows " + kind, Since: s.now, Seen: s.now})
}

func (s *shop) errors(r entity.Ref, ratio float64) {
	s.anomalies = append(s.anomalies, baseline.Anomaly{Entity: r, Metric: "error_rate", Class: baseline.Ratio, Value: ratio, Mean: 0.002, Z: 20, Q: 0.99, Weight: 1, Onset: s.now, At: s.now})
}

func (s *shop) heal() { s.facts, s.anomalies = nil, nil }

func (s *shop) look() []*Incident {
	if v := s.c.Version(); s.graph == nil || v != s.version {
		s.graph, s.version = topology.Build(s.c, s.edges), v
	}
	in := Observation{
		Now: s.now, Cluster: "prod", View: s.c, Graph: s.graph, Facts: slices.Clone(s.facts), Anomalies: slices.Clone(s.anomalies),
		Scorer: s.blamer, Observed: !s.silent,
	}
	for n := range in.Facts {
		in.Facts[n].Seen = s.now
	}
	if s.shuffle != nil {
		s.shuffle.Shuffle(len(in.Facts), func(a, b int) { in.Facts[a], in.Facts[b] = in.Facts[b], in.Facts[a] })
		s.shuffle.Shuffle(len(in.Anomalies), func(a, b int) { in.Anomalies[a], in.Anomalies[b] = in.Anomalies[b], in.Anomalies[a] })
	}
	out, err := s.k.Evaluate(context.Background(), in)
	if (err != nil) != s.broken {
		s.t.Fatalf("%s: %v", s.now.Sub(start), err)
	}
	return out
}

func (s *shop) wait(d time.Duration) {
	for end := s.now.Add(d); s.now.Before(end); {
		s.now = s.now.Add(tick)
		s.look()
	}
}

// story gives the told events, without their times.
func (s *shop) story() []string {
	out := []string{}
	for _, e := range s.store.Events() {
		out = append(out, fmt.Sprintf("%s %s: %s", e.Incident, strings.TrimPrefix(string(e.Type), "incident."), e.Note))
	}
	return out
}

func (s *shop) want(story ...string) {
	s.t.Helper()
	if diff := cmp.Diff(append([]string{}, story...), s.story()); diff != "" {
		s.t.Errorf("story (-want +got):\n%s", diff)
	}
}

func (s *shop) record(id string) *Incident {
	s.t.Helper()
	i, err := s.store.Incident(context.Background(), id)
	if err != nil {
		s.t.Fatal(err)
	}
	return i
}
