package topology

import (
	"slices"

	"github.com/bukahou/atlhyper/engine/entity"
)

// Upstream lists who depends on r, directly or through others, nearest first and without r; depth limits the number of
// steps, 0 or less does not.
func (g *Graph) Upstream(r entity.Ref, depth int) []entity.Ref { return g.reach(g.in, r, depth) }

// Downstream lists what r depends on, directly or through others, nearest first and without r; depth limits the number
// of steps, 0 or less does not.
func (g *Graph) Downstream(r entity.Ref, depth int) []entity.Ref { return g.reach(g.out, r, depth) }

func (g *Graph) reach(rows Rows, r entity.Ref, depth int) []entity.Ref {
	start, ok := g.index[r]
	if !ok {
		return nil
	}
	var out []entity.Ref
	seen := make([]bool, len(g.vertices))
	seen[start] = true
	for level, d := []int32{start}, 0; len(level) > 0 && (depth <= 0 || d < depth); d++ {
		var next []int32
		for _, v := range level {
			for _, w := range rows.Other[rows.Start[v]:rows.Start[v+1]] {
				if !seen[w] {
					seen[w] = true
					next = append(next, w)
				}
			}
		}
		slices.Sort(next)
		for _, w := range next {
			out = append(out, g.vertices[w])
		}
		level = next
	}
	return out
}

// Path gives a shortest way from an entity to something that it depends on, both ends included, nil when there is
// none. Of several equally short ones it is always the same.
func (g *Graph) Path(from, to entity.Ref) []entity.Ref {
	start, ok := g.index[from]
	end, known := g.index[to]
	if !ok || !known {
		return nil
	}
	before := make([]int32, len(g.vertices))
	for i := range before {
		before[i] = -1
	}
	before[start] = start
	for queue := []int32{start}; len(queue) > 0 && before[end] < 0; queue = queue[1:] {
		v := queue[0]
		for _, w := range g.out.Other[g.out.Start[v]:g.out.Start[v+1]] {
			if before[w] < 0 {
				before[w] = v
				queue = append(queue, w)
			}
		}
	}
	if before[end] < 0 {
		return nil
	}
	path := []entity.Ref{to}
	for v := end; v != start; {
		v = before[v]
		path = append(path, g.vertices[v])
	}
	slices.Reverse(path)
	return path
}

// ServicesOf lists the services that select a workload or a bare pod, sorted.
func (g *Graph) ServicesOf(r entity.Ref) []entity.Ref {
	var out []entity.Ref
	for _, e := range g.In(r) {
		if e.Type == Selects && e.From.Kind == entity.Service {
			out = append(out, e.From)
		}
	}
	return out
}

// WorkloadOf gives the workload behind an entity: a pod's owner, the one workload that a service selects, the workload
// itself. It is zero for anything else, for a bare pod, and for a service with several workloads or none.
func (g *Graph) WorkloadOf(r entity.Ref) entity.Ref {
	if r.Workload() {
		return r
	}
	edges := g.In(r)
	if r.Kind == entity.Service {
		edges = g.Out(r)
	}
	var found entity.Ref
	for _, e := range edges {
		other := e.From
		if r.Kind == entity.Service {
			other = e.To
		}
		if e.Type != Selects || !other.Workload() {
			continue
		}
		if !found.IsZero() {
			return entity.Ref{}
		}
		found = other
	}
	return found
}
