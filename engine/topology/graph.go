// Package topology is the graph of what depends on what in one cluster: Ingress → Service → Workload → Pod → Node, calls
// between services and workloads, and externals. An edge points at what is depended on.
//
// A Graph is built once and never changes afterwards, so any number of goroutines may read it. Vertices have dense
// ids in the order of entity.Compare and edges lie in compressed rows, so that the same cluster gives the same graph,
// bit for bit, in whatever order its resources were listed.
package topology

import (
	"cmp"
	"slices"
	"sync"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
)

// EdgeType says in what way one entity depends on another.
type EdgeType string

// The edge types.
const (
	RoutesTo EdgeType = "routes_to" // Ingress → Service
	Selects  EdgeType = "selects"   // Service → Workload → Pod; Service → a bare Pod
	RunsOn   EdgeType = "runs_on"   // Pod → Node
	Calls    EdgeType = "calls"     // whoever sends requests → whoever answers them
)

// Edge is one dependency. Weight is 0 to 1: for Selects the share of capacity behind the edge, for RoutesTo and Calls
// the share of From's requests that need To, and 1 where nobody measured it: what is not measured must not hide an
// outage. Traffic is what was measured, nil for nothing.
type Edge struct {
	From    entity.Ref     `json:"from"`
	To      entity.Ref     `json:"to"`
	Type    EdgeType       `json:"type"`
	Weight  float64        `json:"weight"`
	Traffic *fleet.Traffic `json:"traffic,omitempty"`
}

// Graph is a cluster's dependencies. The zero value is an empty graph.
type Graph struct {
	vertices []entity.Ref         // sorted; the position is the id
	index    map[entity.Ref]int32 // vertex → id
	edges    []Edge               // by from, to, type
	out      Rows                 // edges by from
	in       Rows                 // the same edges by to
	order    []int32              // vertices, dependencies first, members of a cycle together
	cycles   []int32              // start of each strongly connected component in order, with len(order) at the end
	memo     *memo
}

// memo is what a reader derived from a graph.
type memo struct {
	once  sync.Once
	value any
}

// Memo gives what derive makes of the graph, made once for each graph: a graph never changes, and blame asks the same of it for every
// incident. There is room for one reader's, which is package risk.
func (g *Graph) Memo(derive func() any) any {
	if g.memo == nil {
		return derive()
	}
	g.memo.once.Do(func() { g.memo.value = derive() })
	return g.memo.value
}

// Rows are edges in compressed form: those of vertex v are Start[v] to Start[v+1] of the other slices. Other is the
// far end's id, Edge the position in Edges; Weight and Replica (the edge is of type Selects) are copied here so that a
// walk touches nothing else.
type Rows struct {
	Start   []int32
	Other   []int32
	Edge    []int32
	Weight  []float64
	Replica []bool
}

// New makes a graph of edges and of vertices that may have none. Of several edges with the same two ends and type the one with
// the most traffic counts. A self-loop is kept as an edge and has no effect on walks or scores.
func New(vertices []entity.Ref, edges []Edge) *Graph {
	g := &Graph{index: make(map[entity.Ref]int32, len(vertices)), memo: &memo{}}
	add := func(r entity.Ref) {
		if _, ok := g.index[r]; !ok {
			g.index[r] = 0
			g.vertices = append(g.vertices, r)
		}
	}
	for _, r := range vertices {
		add(r)
	}
	for i := range edges {
		add(edges[i].From)
		add(edges[i].To)
	}
	slices.SortFunc(g.vertices, entity.Compare)
	for i, r := range g.vertices {
		g.index[r] = int32(i)
	}
	ends := make([]end, len(edges))
	for i := range edges {
		ends[i] = end{from: g.index[edges[i].From], to: g.index[edges[i].To], edge: &edges[i]}
	}
	slices.SortFunc(ends, func(a, b end) int {
		return cmp.Or(cmp.Compare(a.from, b.from), cmp.Compare(a.to, b.to), cmp.Compare(a.edge.Type, b.edge.Type),
			compareTraffic(b.edge.Traffic, a.edge.Traffic), cmp.Compare(b.edge.Weight, a.edge.Weight))
	})
	ends = slices.CompactFunc(ends, func(a, b end) bool { return a.from == b.from && a.to == b.to && a.edge.Type == b.edge.Type })
	g.edges = make([]Edge, len(ends))
	for i, e := range ends {
		g.edges[i] = *e.edge
	}
	g.out = rows(len(g.vertices), g.edges, ends, func(e end) (int32, int32) { return e.from, e.to })
	g.in = rows(len(g.vertices), g.edges, ends, func(e end) (int32, int32) { return e.to, e.from })
	g.condense()
	return g
}

// end is an edge with the ids of its ends.
type end struct {
	from, to int32
	edge     *Edge
}

func compareTraffic(a, b *fleet.Traffic) int {
	switch {
	case a == nil && b == nil:
		return 0
	case a == nil:
		return -1
	case b == nil:
		return 1
	}
	return cmp.Or(cmp.Compare(a.RequestsPerSecond, b.RequestsPerSecond), cmp.Compare(a.ErrorRatio, b.ErrorRatio), cmp.Compare(a.LatencyAvg, b.LatencyAvg), a.At.Compare(b.At))
}

// rows sorts edges into rows by counting, which keeps the order of edges within a row.
func rows(n int, edges []Edge, ends []end, turn func(end) (row, other int32)) Rows {
	r := Rows{
		Start: make([]int32, n+1), Other: make([]int32, len(edges)), Edge: make([]int32, len(edges)),
		Weight: make([]float64, len(edges)), Replica: make([]bool, len(edges)),
	}
	for i := range edges {
		row, _ := turn(ends[i])
		r.Start[row+1]++
	}
	for v := range n {
		r.Start[v+1] += r.Start[v]
	}
	next := slices.Clone(r.Start)
	for i := range edges {
		row, other := turn(ends[i])
		at := next[row]
		r.Other[at], r.Edge[at], r.Weight[at], r.Replica[at] = other, int32(i), edges[i].Weight, edges[i].Type == Selects
		next[row]++
	}
	return r
}

// condense finds the strongly connected components with Tarjan's algorithm, which yields them dependencies first. It
// keeps its own stack: a chain of ten thousand services must not overflow the goroutine's.
func (g *Graph) condense() {
	n := len(g.vertices)
	var (
		visited = make([]int32, n) // 0: not yet; else order of discovery + 1
		low     = make([]int32, n)
		onStack = make([]bool, n)
		next    = slices.Clone(g.out.Start[:n]) // the next edge to look at
		stack   []int32
		walk    []int32
		count   int32
	)
	g.order, g.cycles = make([]int32, 0, n), make([]int32, 0, n+1)
	for root := range int32(n) {
		if visited[root] != 0 {
			continue
		}
		walk = append(walk, root)
		for len(walk) > 0 {
			v := walk[len(walk)-1]
			if visited[v] == 0 {
				count++
				visited[v], low[v] = count, count
				stack, onStack[v] = append(stack, v), true
			}
			descended := false
			for next[v] < g.out.Start[v+1] {
				w := g.out.Other[next[v]]
				if visited[w] == 0 {
					walk, descended = append(walk, w), true
					break
				}
				next[v]++
				if onStack[w] {
					low[v] = min(low[v], low[w])
				}
			}
			if descended {
				continue
			}
			walk = walk[:len(walk)-1]
			if low[v] != visited[v] {
				continue
			}
			start := len(g.order)
			g.cycles = append(g.cycles, int32(start))
			for {
				w := stack[len(stack)-1]
				stack, onStack[w] = stack[:len(stack)-1], false
				g.order = append(g.order, w)
				if w == v {
					break
				}
			}
			slices.Sort(g.order[start:])
		}
	}
	g.cycles = append(g.cycles, int32(n))
}

// N is the number of vertices; ids are 0 to N-1.
func (g *Graph) N() int { return len(g.vertices) }

// Vertices lists all, sorted; the position is the id. The caller does not change it.
func (g *Graph) Vertices() []entity.Ref { return g.vertices }

// Edges lists all, by From, To and Type. The caller does not change it.
func (g *Graph) Edges() []Edge { return g.edges }

// Index gives the id of a vertex.
func (g *Graph) Index(r entity.Ref) (int, bool) {
	i, ok := g.index[r]
	return int(i), ok
}

// Has says whether r is a vertex.
func (g *Graph) Has(r entity.Ref) bool {
	_, ok := g.index[r]
	return ok
}

// OutRows gives the edges by From, InRows by To. The caller does not change them.
func (g *Graph) OutRows() Rows { return g.out }

// InRows gives the edges by To.
func (g *Graph) InRows() Rows { return g.in }

// Order lists the ids so that everything comes after what it depends on. Entities that depend on each other in a
// cycle form one component: component k is order[starts[k]:starts[k+1]].
func (g *Graph) Order() (order, starts []int32) { return g.order, g.cycles }

// Out gives what r depends on directly, by To.
func (g *Graph) Out(r entity.Ref) []Edge { return g.row(g.out, r) }

// In gives who depends on r directly, by From.
func (g *Graph) In(r entity.Ref) []Edge { return g.row(g.in, r) }

func (g *Graph) row(rows Rows, r entity.Ref) []Edge {
	v, ok := g.index[r]
	if !ok {
		return nil
	}
	row := rows.Edge[rows.Start[v]:rows.Start[v+1]]
	out := make([]Edge, len(row))
	for i, e := range row {
		out[i] = g.edges[e]
	}
	return out
}
