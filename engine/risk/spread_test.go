package risk

import (
	"fmt"
	"testing"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/topology"
)

// BenchmarkSpread is the flow of risk alone, over the compressed rows of 5,500 vertices.
func BenchmarkSpread(b *testing.B) {
	ref := func(kind, name string, i int) entity.Ref {
		return entity.Ref{Cluster: "prod", Kind: kind, Name: fmt.Sprint(name, i)}
	}
	var edges []topology.Edge
	for i := range 5000 {
		pod, d := ref(entity.Pod, "p", i), ref(entity.Deployment, "d", i/10)
		edges = append(edges, topology.Edge{From: d, To: pod, Type: topology.Selects, Weight: 0.1},
			topology.Edge{From: pod, To: ref(entity.Node, "n", i%200), Type: topology.RunsOn, Weight: 1})
		if i < 500 {
			edges = append(edges, topology.Edge{From: ref(entity.Deployment, "d", i), To: ref(entity.Deployment, "d", i/2), Type: topology.Calls, Weight: 0.5})
		}
	}
	g := topology.New(nil, edges)
	own := make([]float64, g.N())
	own[g.N()-1] = 0.9
	final, passed := make([]float64, g.N()), make([]float64, g.N())
	s := New(Config{})
	b.ReportAllocs()
	for b.Loop() {
		s.spread(g, own, own, final, passed)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*(g.N()+len(edges))), "ns/vertex+edge")
}
