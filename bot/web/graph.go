package web

import (
	"cmp"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/figure"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/topology"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// drawing is a graph with its places on the page, drawn as SVG by a template: nothing is computed in the browser.
type drawing struct {
	Width, Height int
	Vertices      []vertex
	Edges         []edge
	Columns       []heading
}

type heading struct {
	X    int
	Text string
}

type vertex struct {
	ref                     entity.Ref
	Name, Shown, Kind, Href string
	Label                   string // said to who does not see it
	Note                    string
	Class                   string
	Risk                    float64
	X, Y, W, H              int
	Bar                     int // width of the risk's bar
	ID                      int
}

type edge struct {
	from, to       entity.Ref
	Type           string
	Path           string
	Label          string
	LabelX, LabelY int
	Title          string
	Carries        float64 // the risk that it passes on
	Class          string
	From, To       int
}

// Sizes of a box and the gaps, in pixels of SVG.
const (
	boxW, boxH = 160, 46
	gapX, gapY = 16, 54
)

// fall places vertices in rows: the cause on top, beneath it who depends on it, and so on. What hangs together with
// nothing above it stands in the first row too.
func (d *drawing) fall(cause entity.Ref) {
	index := map[entity.Ref]int{}
	for i := range d.Vertices {
		d.Vertices[i].ID = i
		index[d.Vertices[i].ref] = i
	}
	depth := make([]int, len(d.Vertices))
	// Longest paths by repeated relaxation, cut at the number of vertices: a cycle of callers must not go on for ever.
	for range len(d.Vertices) {
		moved := false
		for _, e := range d.Edges {
			from, to := index[e.from], index[e.to]
			if e.from != e.to && e.from != cause && depth[from] < depth[to]+1 && depth[to]+1 < len(d.Vertices) && !d.back(e) {
				depth[from], moved = depth[to]+1, true
			}
		}
		if !moved {
			break
		}
	}
	rows := [][]int{}
	for i, n := range depth {
		for len(rows) <= n {
			rows = append(rows, nil)
		}
		rows[n] = append(rows[n], i)
	}
	rows = slices.DeleteFunc(rows, func(r []int) bool { return len(r) == 0 })
	var split [][]int // a row is at most four wide, so that a phone scrolls down and not sideways
	const wide = 4
	for _, r := range rows {
		if i := slices.IndexFunc(r, func(i int) bool { return d.Vertices[i].ref == cause }); i > 0 {
			r[0], r[i] = r[i], r[0]
		}
		for len(r) > wide {
			split, r = append(split, r[:wide]), r[wide:]
		}
		split = append(split, r)
	}
	rows = split
	at := make([]float64, len(d.Vertices)) // centre of each, for ordering the row beneath
	widest := 1
	for _, r := range rows {
		widest = max(widest, len(r))
	}
	d.Width = widest*(boxW+gapX) + gapX
	for n, r := range rows {
		centre := func(i int) float64 {
			sum, k := 0.0, 0
			for _, e := range d.Edges {
				if index[e.from] == i && depth[index[e.to]] < depth[i] {
					sum, k = sum+at[index[e.to]], k+1
				}
			}
			if k == 0 {
				return float64(d.Width) / 2
			}
			return sum / float64(k)
		}
		slices.SortStableFunc(r, func(a, b int) int {
			if d.Vertices[a].ref == cause {
				return -1
			}
			if d.Vertices[b].ref == cause {
				return 1
			}
			return cmp.Or(cmp.Compare(centre(a), centre(b)), entity.Compare(d.Vertices[a].ref, d.Vertices[b].ref))
		})
		left := (d.Width - len(r)*(boxW+gapX) + gapX) / 2
		for k, i := range r {
			v := &d.Vertices[i]
			v.X, v.Y, v.W, v.H = left+k*(boxW+gapX), 8+n*(boxH+gapY), boxW, boxH
			v.Shown, v.Bar = middle(v.Name, 21), int(v.Risk*float64(boxW))
			at[i] = float64(v.X + boxW/2)
		}
	}
	d.Height = len(rows)*(boxH+gapY) - gapY + 16
	for k := range d.Edges {
		e := &d.Edges[k]
		from, to := d.Vertices[index[e.from]], d.Vertices[index[e.to]]
		e.From, e.To = from.ID, to.ID
		if e.Carries > 0 {
			e.Class = "carries"
		}
		x1, y1, x2, y2 := to.X+boxW/2, to.Y+boxH, from.X+boxW/2, from.Y // risk flows from what is depended on
		if to.Y >= from.Y {
			y1, y2 = to.Y+boxH/2, from.Y+boxH/2
			e.Path = fmt.Sprintf("M%d %d C%d %d %d %d %d %d", x1, y1, x1+boxW, y1, x2+boxW, y2, x2, y2)
		} else {
			bend := (y2 - y1) / 2
			e.Path = fmt.Sprintf("M%d %d C%d %d %d %d %d %d", x1, y1, x1, y1+bend, x2, y2-bend, x2, y2)
		}
		e.LabelX, e.LabelY = (x1+x2)/2, (y1+y2)/2+4
	}
}

// back says whether an edge closes a circle with another one of the drawing, and is the one of the two that is not
// followed: of two that depend on each other the later name depends on the earlier.
func (d *drawing) back(e edge) bool {
	for _, o := range d.Edges {
		if o.from == e.to && o.to == e.from && entity.Compare(e.from, e.to) < 0 {
			return true
		}
	}
	return false
}

// middle shortens a name in its middle: both ends of a pod's name tell it from others. The whole stands in its title.
func middle(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n/2]) + "…" + string(r[len(r)-(n-n/2-1):])
}

func traffic(t *fleet.Traffic) string {
	return fmt.Sprintf("%s requests/s, %s %% errors, %s ms", figure.Of(t.RequestsPerSecond), figure.Of(100*t.ErrorRatio), figure.Of(1000*t.LatencyAvg))
}

// Sizes of the topology: a line a vertex, a column a layer.
const (
	lineH, lineGap = 22, 6
	colW, colGap   = 190, 90
)

// layer is the column in which a kind stands.
func layer(kind string) int {
	switch kind {
	case entity.Service:
		return 1
	case entity.Deployment, entity.StatefulSet, entity.DaemonSet, entity.Job, entity.CronJob, entity.ReplicaSet:
		return 2
	case entity.Pod:
		return 3
	case entity.Node:
		return 4
	case entity.External:
		return 5
	}
	return 0 // an Ingress and its cousins
}

type topologyBody struct {
	Filter  filter
	Cluster string
	Graph   *drawing
	Shown   int
	All     int
	Calls   []call
	Missing []string
}

type call struct {
	From, FromHref, To, ToHref string
	Rate, Errors, Latency      string
	Bad                        bool
}

func (w *Web) topology(r *http.Request, v visitor) (string, any, error) {
	p := phrase.For(v.lang)
	f := w.filter(r, "namespace", "match", "pods", "risky")
	body := topologyBody{Filter: f}
	all := w.clusters()
	if body.Cluster = f.Cluster; body.Cluster == "" && len(all) > 0 {
		body.Cluster = all[0]
		// The cluster with the worst risk is what somebody wants to see who named none.
		for _, id := range all {
			if a, b := riskiest(w.cfg.Engine.Assessment(id)), riskiest(w.cfg.Engine.Assessment(body.Cluster)); a != nil && (b == nil || a.Final > b.Final) {
				body.Cluster = id
			}
		}
	}
	// The role and what cannot be seen are the tool's to say.
	res, err := w.call(r, v, "risk", map[string]any{"cluster": body.Cluster})
	if err != nil {
		return "", nil, err
	}
	body.Missing = res.Missing
	body.Filter.Cluster = body.Cluster
	body.Filter.Namespaces = w.namespaces(body.Cluster)
	g := w.cfg.Engine.Graph(body.Cluster)
	body.All = g.N()
	body.Graph = w.layered(g, body, p)
	body.Shown = len(body.Graph.Vertices)
	for _, e := range g.Edges() {
		if t := e.Traffic; t != nil && (f.Namespace == "" || e.From.Namespace == f.Namespace || e.To.Namespace == f.Namespace) {
			body.Calls = append(body.Calls, call{
				e.From.Short(), href(e.From), e.To.Short(), href(e.To),
				figure.Of(t.RequestsPerSecond) + "/s", figure.Of(100*t.ErrorRatio) + " %", figure.Of(1000*t.LatencyAvg) + " ms", t.ErrorRatio >= 0.05,
			})
		}
	}
	return p.Sprintf("Topology"), body, nil
}

// layered draws a cluster in columns, Ingress to Node. Each column is ordered by where its neighbours stand, three times
// over, which untangles most crossings. The same graph gives the same drawing.
func (w *Web) layered(g *topology.Graph, b topologyBody, p words) *drawing {
	c, ok := w.cfg.Engine.Fleet.Cluster(b.Cluster)
	a := w.cfg.Engine.Assessment(b.Cluster)
	d := &drawing{}
	pods := map[entity.Ref]int{} // workload → pods, where they are not drawn
	hidden := map[entity.Ref]entity.Ref{}
	shown := map[entity.Ref]int{}
	columns := make([][]int, 6)
	match := strings.ToLower(b.Filter.Match)
	related := func(r entity.Ref) bool {
		if match == "" || strings.Contains(strings.ToLower(r.Name), match) {
			return true
		}
		for _, e := range g.Out(r) {
			if strings.Contains(strings.ToLower(e.To.Name), match) {
				return true
			}
		}
		for _, e := range g.In(r) {
			if strings.Contains(strings.ToLower(e.From.Name), match) {
				return true
			}
		}
		return false
	}
	for _, r := range g.Vertices() {
		if r.Kind == entity.Pod && !b.Filter.Pods {
			if ok {
				if pod := c.Find(r); pod != nil {
					pods[c.Workload(pod)]++
					hidden[r] = c.Workload(pod)
				}
			}
			if a.Of(r).Local < 0.2 || c != nil && c.Workload(c.Find(r)) != r { // a pod that stands for itself is drawn
				continue
			}
		}
		score := a.Of(r)
		switch {
		case b.Filter.Namespace != "" && r.Namespace != b.Filter.Namespace && r.Namespace != "",
			b.Filter.Risky && score.Final < 0.2,
			!related(r):
			continue
		}
		v := vertex{ref: r, Name: r.Name, Shown: middle(r.Name, 24), Kind: strings.ToLower(r.Kind), Href: href(r), Risk: score.Final, W: colW, H: lineH, ID: len(d.Vertices)}
		v.Bar = int(v.Risk * colW)
		switch {
		case v.Risk >= 0.6:
			v.Class = "high"
		case v.Risk >= 0.2:
			v.Class = "raised"
		}
		shown[r] = v.ID
		d.Vertices = append(d.Vertices, v)
		columns[layer(r.Kind)] = append(columns[layer(r.Kind)], v.ID)
	}
	for i := range d.Vertices {
		if n := pods[d.Vertices[i].ref]; n > 0 {
			d.Vertices[i].Note = fmt.Sprintf("×%d", n)
		}
		v := &d.Vertices[i]
		v.Label = p.Sprintf("%s, risk %.2f", strings.TrimSuffix(v.Shown+" "+v.Note, " ")+" "+v.Kind, v.Risk)
	}
	near := make([][]int, len(d.Vertices))
	drawn := map[[2]entity.Ref]bool{}
	for _, e := range g.Edges() {
		if w, ok := hidden[e.From]; ok && e.Type == topology.RunsOn { // a workload stands for its pods
			e.From = w
			pair := [2]entity.Ref{e.From, e.To}
			if drawn[pair] {
				continue
			}
			drawn[pair] = true
		}
		from, okFrom := shown[e.From]
		to, okTo := shown[e.To]
		if !okFrom || !okTo || from == to {
			continue
		}
		x := edge{from: e.From, to: e.To, From: from, To: to, Type: string(e.Type), Class: strings.ReplaceAll(string(e.Type), "_", "-")}
		if e.Traffic != nil {
			x.Title = e.From.Short() + " → " + e.To.Short() + ": " + traffic(e.Traffic)
			if e.Traffic.ErrorRatio >= 0.05 {
				x.Class += " failing"
			}
		}
		d.Edges = append(d.Edges, x)
		near[from], near[to] = append(near[from], to), append(near[to], from)
	}
	columns = slices.DeleteFunc(columns, func(c []int) bool { return len(c) == 0 })
	place := make([]float64, len(d.Vertices))
	for _, col := range columns {
		for k, i := range col {
			place[i] = float64(k) / float64(len(col))
		}
	}
	for range 3 {
		for _, col := range columns {
			mean := map[int]float64{}
			for _, i := range col {
				sum := 0.0
				for _, n := range near[i] {
					sum += place[n]
				}
				mean[i] = place[i]
				if len(near[i]) > 0 {
					mean[i] = sum / float64(len(near[i]))
				}
			}
			slices.SortStableFunc(col, func(x, y int) int {
				return cmp.Or(cmp.Compare(mean[x], mean[y]), entity.Compare(d.Vertices[x].ref, d.Vertices[y].ref))
			})
			for k, i := range col {
				place[i] = float64(k) / float64(len(col))
			}
		}
	}
	tallest := 0
	for _, col := range columns {
		tallest = max(tallest, len(col))
	}
	const top = 28
	d.Height = top + max(1, tallest)*(lineH+lineGap) + 8
	d.Width = len(columns)*(colW+colGap) - colGap + 2*40
	for n, col := range columns {
		x := 40 + n*(colW+colGap)
		d.Columns = append(d.Columns, heading{x, layerName(d.Vertices[col[0]].ref.Kind, p)})
		step := float64(d.Height-top-8) / float64(len(col))
		for k, i := range col {
			d.Vertices[i].X, d.Vertices[i].Y = x, top+int(step*(float64(k)+0.5))-lineH/2
		}
	}
	for k := range d.Edges {
		e := &d.Edges[k]
		from, to := d.Vertices[e.From], d.Vertices[e.To]
		y1, y2 := from.Y+lineH/2, to.Y+lineH/2
		switch {
		case from.X == to.X: // within one column: a bow on its left
			bow := from.X - 8 - min(30, abs(y2-y1)/6)
			e.Path = fmt.Sprintf("M%d %dC%d %d %d %d %d %d", from.X, y1, bow, y1, bow, y2, to.X, y2)
		case from.X < to.X:
			e.Path = fmt.Sprintf("M%d %dC%d %d %d %d %d %d", from.X+colW, y1, from.X+colW+colGap/2, y1, to.X-colGap/2, y2, to.X, y2)
		default: // a workload calls a service: back to an earlier column
			e.Path = fmt.Sprintf("M%d %dC%d %d %d %d %d %d", from.X, y1, from.X-colGap/2, y1, to.X+colW+colGap/2, y2, to.X+colW, y2)
		}
	}
	return d
}

func layerName(kind string, p words) string {
	switch layer(kind) {
	case 1:
		return p.Sprintf("Services")
	case 2:
		return p.Sprintf("Workloads")
	case 3:
		return p.Sprintf("Pods")
	case 4:
		return p.Sprintf("Nodes")
	case 5:
		return p.Sprintf("External")
	}
	return p.Sprintf("Entries")
}

func abs(x int) int { return max(x, -x) }
