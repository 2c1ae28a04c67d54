package web

import (
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/tools"
)

// answer is a tool's result as a page shows it.
type answer struct {
	Headline string
	Missing  []string
	Facts    []tools.Fact
	Tables   []table
	Lists    []list
	Texts    []tools.Text
	Plots    []plot
	Observed time.Time
	Age      string // "" when it is of now
}

type table struct {
	Heading string
	Columns []column
	Rows    [][]cell
	More    int
}

type column struct {
	Name   string
	Number bool
}

// cell is one cell: Bar is a share of 0 to 1 when HasBar, Tone a state with its mark.
type cell struct {
	Text   string
	Href   string
	Bar    float64
	HasBar bool
	Tone   string
	Number bool
	Mono   bool
}

type list struct {
	Heading string
	Items   []string
}

// scope is what a table's cells need to become links.
type scope struct {
	cluster string // when no column names it
	kind    string // of NAME
}

// answer turns a result into what a template shows.
func (w *Web) answer(res *tools.Result, s scope) answer {
	if s.cluster == "" {
		s.cluster = res.Cluster
	}
	if all := w.clusters(); s.cluster == "" && len(all) == 1 {
		s.cluster = all[0]
	}
	a := answer{Headline: res.Headline, Missing: res.Missing, Facts: res.Facts, Observed: res.Observed}
	if d := w.cfg.Now().Sub(res.Observed); !res.Observed.IsZero() && d > 2*time.Second {
		a.Age = tools.Age(d)
	}
	for _, t := range res.Texts {
		if t.Body != "" {
			a.Texts = append(a.Texts, t)
		}
	}
	for _, f := range res.Files {
		a.Texts = append(a.Texts, tools.Text{Heading: f.Name, Body: f.Body})
	}
	for _, l := range res.Lists {
		if items := strings.Split(strings.TrimSpace(l.Body), "\n"); items[0] != "" {
			a.Lists = append(a.Lists, list{l.Heading, items})
		}
	}
	for _, c := range res.Charts {
		if p, ok := plotOf(c); ok {
			a.Plots = append(a.Plots, p)
		}
	}
	for _, t := range res.Tables {
		if len(t.Rows) > 0 {
			a.Tables = append(a.Tables, tableOf(t, s))
		}
	}
	return a
}

// numbers are the columns that are read from the right.
var numbers = []string{"SCORE", "RISK", "LOCAL", "CPU", "MEMORY", "NODES", "PODS", "READY", "RESTARTS", "COUNT", "AGE", "AGO", "SINCE", "INCIDENTS", "UP-TO-DATE", "AVAILABLE", "SEEN", "LAST"}

func tableOf(t tools.Table, s scope) table {
	out := table{Heading: t.Heading, More: max(0, t.Total-len(t.Rows))}
	for _, c := range t.Columns {
		out.Columns = append(out.Columns, column{Name: c, Number: slices.Contains(numbers, c)})
	}
	at := func(row []string, name string) string {
		if i := slices.Index(t.Columns, name); i >= 0 && i < len(row) {
			return row[i]
		}
		return ""
	}
	for _, row := range t.Rows {
		cluster := at(row, "CLUSTER")
		if cluster == "" {
			cluster = s.cluster
		}
		var cells []cell
		for i, text := range row {
			if i >= len(t.Columns) {
				break
			}
			c := cell{Text: text, Number: out.Columns[i].Number}
			switch name := t.Columns[i]; name {
			case "OBJECT", "THROUGH":
				c.Href = objectHref(cluster, text)
			case "NAME":
				if s.kind != "" {
					c.Href = href(entity.Ref{Cluster: cluster, Kind: s.kind, Namespace: at(row, "NAMESPACE"), Name: text})
				}
			case "NODE":
				c.Href = href(entity.Ref{Cluster: cluster, Kind: entity.Node, Name: text})
			case "ID":
				if strings.HasPrefix(text, "INC-") {
					c.Href = "/incident/" + url.PathEscape(text)
				}
			case "CLUSTER":
				c.Href = "/?" + url.Values{"cluster": {text}}.Encode()
			case "SCORE", "RISK", "LOCAL":
				if x, err := strconv.ParseFloat(text, 64); err == nil {
					c.Bar, c.HasBar = x, true
				}
			case "STAGE":
				c.Tone = text
			case "STATUS":
				c.Tone = statusTone(text)
			case "READY":
				if have, want, ok := strings.Cut(text, "/"); ok && have != want {
					c.Tone = "warning"
				}
			case "COURSE":
				c.Mono = true
			}
			cells = append(cells, c)
		}
		out.Rows = append(out.Rows, cells)
	}
	return out
}

// statusTone says how a pod's or node's status word is to be taken.
func statusTone(s string) string {
	switch s {
	case "Running", "Ready", "Succeeded", "Completed", "Bound", "Active", "Available":
		return ""
	case "Pending", "Terminating", "ContainerCreating", "PodInitializing", "":
		return "alert"
	}
	return "incident"
}

// objectHref reads an object as tools write it: "shop deployment/payments" or "node/worker-1".
func objectHref(cluster, text string) string {
	namespace, short, ok := strings.Cut(text, " ")
	if !ok {
		namespace, short = "", text
	}
	kind, name, ok := strings.Cut(short, "/")
	if !ok || cluster == "" {
		return ""
	}
	k, known := entity.ParseKind(kind)
	if !known {
		if !strings.EqualFold(kind, entity.External) {
			return ""
		}
		k = entity.External
	}
	return href(entity.Ref{Cluster: cluster, Kind: k, Namespace: namespace, Name: name})
}

// href is the page of an entity.
func href(r entity.Ref) string {
	if r.IsZero() || r.Cluster == "" || r.Name == "" {
		return ""
	}
	parts := []string{r.Cluster, r.Namespace, strings.ToLower(r.Kind), r.Name}
	if r.Namespace == "" {
		parts = slices.Delete(parts, 1, 2)
	}
	for i := range parts {
		parts[i] = url.PathEscape(parts[i])
	}
	return "/entity/" + strings.Join(parts, "/")
}
