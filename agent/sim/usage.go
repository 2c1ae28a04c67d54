package sim

import (
	"context"
	"math"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/agent/sim/apiserver"
)

// ReadUsage gives CPU and memory in use, of pods (of one namespace, or of all when it is empty) or of nodes, as the metrics
// API would. What does not run, and what is on a silent node, is missing.
func (s *Shop) ReadUsage(ctx context.Context, kind, namespace string) ([]*report.Usage, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var out []*report.Usage
	s.server.Do(time.Time{}, func(tx *apiserver.Tx) {
		v := s.look(tx)
		f := s.plan.solve(v, s.clock)
		if kind == "Node" {
			for i, node := range v.nodes {
				if !node.silent {
					out = append(out, usage("Node", "", node.name, f.nodes[i].cpu*nodeCores, f.nodes[i].memory*nodeMemory*(1<<20)))
				}
			}
			return
		}
		for i := range v.pods {
			q := &v.pods[i]
			if q.running && !q.hung && (namespace == "" || q.pod.Namespace == namespace) {
				out = append(out, usage("Pod", q.pod.Namespace, q.pod.Name, f.cpu[i], q.memory*q.memLimit))
			}
		}
	})
	return out, nil
}

func usage(kind, namespace, name string, cores, bytes float64) *report.Usage {
	return &report.Usage{
		Object:   &report.ResourceKey{Kind: kind, Namespace: namespace, Name: name},
		CpuCores: math.Round(cores*1000) / 1000, MemoryBytes: math.Round(bytes/(1<<20)) * (1 << 20),
	}
}
