package topology

import (
	"encoding/json"
	"fmt"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
)

// stored is the persisted form: ends of edges are positions in Vertices, which keeps it small.
type stored struct {
	Version  int          `json:"version"`
	Vertices []entity.Ref `json:"vertices"`
	Edges    []storedEdge `json:"edges"`
}

type storedEdge struct {
	From    int            `json:"f"`
	To      int            `json:"t"`
	Type    EdgeType       `json:"y"`
	Weight  float64        `json:"w"`
	Traffic *storedTraffic `json:"x,omitempty"`
}

type storedTraffic struct {
	RequestsPerSecond float64 `json:"r"`
	ErrorRatio        float64 `json:"e"`
	LatencyAvg        float64 `json:"l"`
	At                int64   `json:"a"` // Unix nanoseconds
}

const storedVersion = 1

// MarshalJSON gives the form that Restore reads.
func (g *Graph) MarshalJSON() ([]byte, error) {
	s := stored{Version: storedVersion, Vertices: g.vertices, Edges: make([]storedEdge, len(g.edges))}
	for i, e := range g.edges {
		s.Edges[i] = storedEdge{From: int(g.index[e.From]), To: int(g.index[e.To]), Type: e.Type, Weight: e.Weight}
		if t := e.Traffic; t != nil {
			s.Edges[i].Traffic = &storedTraffic{RequestsPerSecond: t.RequestsPerSecond, ErrorRatio: t.ErrorRatio, LatencyAvg: t.LatencyAvg, At: t.At.UnixNano()}
		}
	}
	return json.Marshal(s)
}

// Restore reads what MarshalJSON wrote. An error means that the data are damaged or of another version; the remedy is
// to build the graph anew, so nothing is lost but time.
func Restore(data []byte) (*Graph, error) {
	var s stored
	if err := json.Unmarshal(data, &s); err != nil {
		return nil, fmt.Errorf("restore topology: %w", err)
	}
	if s.Version != storedVersion {
		return nil, fmt.Errorf("restore topology: version %d, want %d", s.Version, storedVersion)
	}
	edges := make([]Edge, len(s.Edges))
	for i, e := range s.Edges {
		if e.From < 0 || e.From >= len(s.Vertices) || e.To < 0 || e.To >= len(s.Vertices) {
			return nil, fmt.Errorf("restore topology: edge %d points outside the %d vertices", i, len(s.Vertices))
		}
		if e.Weight < 0 || e.Weight > 1 {
			return nil, fmt.Errorf("restore topology: edge %d has weight %g", i, e.Weight)
		}
		edges[i] = Edge{From: s.Vertices[e.From], To: s.Vertices[e.To], Type: e.Type, Weight: e.Weight}
		if t := e.Traffic; t != nil {
			edges[i].Traffic = &fleet.Traffic{
				From: edges[i].From, To: edges[i].To, RequestsPerSecond: t.RequestsPerSecond,
				ErrorRatio: t.ErrorRatio, LatencyAvg: t.LatencyAvg, At: unixNano(t.At),
			}
		}
	}
	return New(s.Vertices, edges), nil
}
