package web

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// listBody is a page of filters with one answer beneath.
type listBody struct {
	Filter filter
	Answer answer
	Note   string
}

func parseSeq(s string) (int64, error) { return strconv.ParseInt(s, 10, 64) }

func figureOf(x float64) string { return fmt.Sprintf("%.2f", x) }

// list shows what list_resources gives of a kind.
func (w *Web) list(r *http.Request, v visitor, kind string, f filter) (listBody, error) {
	res, err := w.call(r, v, "list_resources", map[string]any{
		"kind": kind, "cluster": f.Cluster, "namespace": f.Namespace, "match": f.Match, "unhealthy": f.Unhealthy,
	})
	if err != nil {
		return listBody{}, err
	}
	return listBody{Filter: f, Answer: w.answer(res, scope{cluster: f.Cluster, kind: kind})}, nil
}

func (w *Web) pods(r *http.Request, v visitor) (string, any, error) {
	body, err := w.list(r, v, entity.Pod, w.filter(r, "namespace", "match", "unhealthy"))
	return phrase.For(v.lang).Sprintf("Pods"), body, err
}

// workloadKinds are the kinds that the page of workloads lists, besides what else people look for.
var workloadKinds = []string{
	entity.Deployment, entity.StatefulSet, entity.DaemonSet, entity.Job, entity.CronJob, entity.Service, entity.Ingress,
	"HorizontalPodAutoscaler", "PersistentVolumeClaim", "ConfigMap", "Secret", "Event",
}

func (w *Web) workloads(r *http.Request, v visitor) (string, any, error) {
	f := w.filter(r, "namespace", "kind", "match", "unhealthy")
	f.Kinds = workloadKinds
	if !slices.Contains(workloadKinds, f.Kind) {
		f.Kind = entity.Deployment
	}
	body, err := w.list(r, v, f.Kind, f)
	return phrase.For(v.lang).Sprintf("Workloads"), body, err
}

type nodeLine struct {
	Name, Href, Cluster string
	Status, Tone        string
	Pods                string
	Risk                float64
	Figures             []nodeFigure
	Age                 string
}

// nodeFigure is one reading: Share is its part of the whole where it is one.
type nodeFigure struct {
	Metric, Value, Normal string
	Share                 float64
	IsShare               bool
	Known                 bool
}

// nodeMetrics are the columns of the page of nodes.
var nodeMetrics = []string{"cpu_usage", "memory_usage", "disk_usage", "psi_cpu", "psi_memory", "psi_io"}

func (w *Web) nodes(r *http.Request, v visitor) (string, any, error) {
	p := phrase.For(v.lang)
	f := w.filter(r, "match", "unhealthy")
	res, err := w.call(r, v, "list_resources", map[string]any{"kind": entity.Node, "cluster": f.Cluster, "match": f.Match, "unhealthy": f.Unhealthy})
	if err != nil {
		return "", nil, err
	}
	body := struct {
		Filter   filter
		Headline string
		Missing  []string
		Metrics  []string
		Nodes    []nodeLine
		More     int
	}{Filter: f, Headline: res.Headline, Missing: res.Missing, Metrics: nodeMetrics}
	now := w.cfg.Now()
	for _, t := range res.Tables {
		body.More = max(0, t.Total-len(t.Rows))
		pods := map[entity.Ref]int{}
		for _, row := range t.Rows {
			at := func(name string) string {
				if i := slices.Index(t.Columns, name); i >= 0 {
					return row[i]
				}
				return ""
			}
			l := nodeLine{Name: at("NAME"), Cluster: at("CLUSTER"), Status: at("STATUS"), Tone: statusTone(at("STATUS"))}
			if l.Cluster == "" {
				l.Cluster = res.Cluster
			}
			ref := entity.Ref{Cluster: l.Cluster, Kind: entity.Node, Name: l.Name}
			l.Href = href(ref)
			c, ok := w.cfg.Engine.Fleet.Cluster(l.Cluster)
			if !ok {
				continue
			}
			if _, counted := pods[entity.Ref{Cluster: l.Cluster}]; !counted { // once a cluster, not once a node
				pods[entity.Ref{Cluster: l.Cluster}] = 1
				for _, pod := range c.List(entity.Pod, "") {
					pods[entity.Ref{Cluster: l.Cluster, Kind: entity.Node, Name: pod.GetPod().GetNode()}]++
				}
			}
			l.Pods = fmt.Sprint(pods[ref])
			l.Risk = w.cfg.Engine.Assessment(l.Cluster).Of(ref).Final
			readings := c.Readings(ref)
			for _, m := range nodeMetrics {
				reading, known := readings[m]
				fig := nodeFigure{Metric: m, Known: known}
				if known {
					class := baseline.SpecOf(ref.Kind, m).Class
					fig.Value, fig.Share, fig.IsShare = class.Figure(reading.Value), reading.Value, class == baseline.Saturation || class == baseline.Ratio
					if mean, spread, ok := w.cfg.Engine.Normal(ref, m); ok {
						fig.Normal = p.Sprintf("normal %s", class.Figure(mean)+" ± "+class.Figure(spread))
					}
					l.Age = tools.Age(now.Sub(reading.At))
				}
				l.Figures = append(l.Figures, fig)
			}
			body.Nodes = append(body.Nodes, l)
		}
	}
	return p.Sprintf("Nodes"), body, nil
}

// entity is everything that is known of one object.
func (w *Web) entity(r *http.Request, v visitor) (string, any, error) {
	p := phrase.For(v.lang)
	ref, ok := parseRef(r.PathValue("ref"))
	c, known := w.cfg.Engine.Fleet.Cluster(ref.Cluster)
	if !ok || !known {
		return "", nil, &tools.Problem{Sentence: p.Sprintf("There is no such page.")}
	}
	found := c.Find(ref) != nil
	if !found && !w.cfg.Engine.Graph(ref.Cluster).Has(ref) && w.cfg.Engine.Assessment(ref.Cluster).Of(ref).Final == 0 {
		return "", nil, &tools.Problem{Sentence: p.Sprintf("%s is not in %s any more.", ref.Short(), ref.Cluster)}
	}
	body := struct {
		Ref, Kind, Cluster, Namespace string
		Score                         risked
		Sections                      []section
		Course                        string
	}{Ref: ref.Name, Kind: strings.ToLower(ref.Kind), Cluster: ref.Cluster, Namespace: ref.Namespace}
	s := w.cfg.Engine.Assessment(ref.Cluster).Of(ref)
	body.Score = risked{Local: s.Local, Final: s.Final}
	if s.Final > 0 {
		body.Score.Formula = tools.Mask(tools.Clean(s.Formula()))
		for _, t := range s.Terms {
			body.Score.Terms = append(body.Score.Terms, term{t.Name, t.From.Short(), href(t.From), t.Score, t.Weight, tools.Mask(tools.Clean(t.Text))})
		}
	}
	if !found { // an External: only the graph knows it
		return ref.Short(), body, nil
	}
	target := map[string]any{"target": ref.String()}
	ask := []struct {
		id, tool string
		extra    map[string]any
		title    string
	}{
		{"alerts", "alerts", nil, p.Sprintf("Alerts")},
		{"course", "chart", nil, p.Sprintf("Course")},
		{"metrics", "metrics", nil, p.Sprintf("Metrics")},
		{"changes", "changes", map[string]any{"since": "24h"}, p.Sprintf("Changes")},
		{"events", "events", map[string]any{"all": true}, p.Sprintf("Events")},
		{"topology", "topology", map[string]any{"depth": 2}, p.Sprintf("Topology")},
	}
	if r.URL.Query().Get("course") != "" {
		ask = slices.Insert(ask, 3, struct {
			id, tool string
			extra    map[string]any
			title    string
		}{"courses", "graph", map[string]any{"since": r.URL.Query().Get("course")}, p.Sprintf("Courses")})
	} else if slices.Contains([]string{entity.Node, entity.Service, entity.Ingress, entity.Deployment, entity.StatefulSet, entity.DaemonSet}, ref.Kind) {
		body.Course = "?course=1h"
	}
	for _, a := range ask {
		args := maps.Clone(target)
		maps.Copy(args, a.extra)
		res, err := w.call(r, v, a.tool, args)
		var problem *tools.Problem
		switch {
		case errors.As(err, &problem):
			body.Sections = append(body.Sections, section{ID: a.id, Title: a.title, Answer: answer{Headline: problem.Error()}})
		case err != nil:
			return "", nil, err
		default:
			body.Sections = append(body.Sections, section{ID: a.id, Title: a.title, Answer: w.linked(w.answer(res, scope{cluster: ref.Cluster}), ref.Cluster)})
		}
	}
	return ref.Short(), body, nil
}

type risked struct {
	Local, Final float64
	Formula      string
	Terms        []term
}

type term struct {
	Name, From, Href string
	Score, Weight    float64
	Text             string
}

type section struct {
	ID, Title string
	Answer    answer
}

// linked keeps of a result what is not said elsewhere on the page of an entity.
func (w *Web) linked(a answer, _ string) answer {
	a.Missing = nil
	return a
}

// parseRef reads the path of an entity's page, as href writes it. Its segments are unescaped already.
func parseRef(path string) (entity.Ref, bool) {
	parts := strings.Split(path, "/")
	if len(parts) == 3 {
		parts = []string{parts[0], "", parts[1], parts[2]}
	}
	if len(parts) != 4 || parts[0] == "" || parts[3] == "" {
		return entity.Ref{}, false
	}
	kind, ok := entity.ParseKind(parts[2])
	if !ok {
		if !strings.EqualFold(parts[2], entity.External) {
			return entity.Ref{}, false
		}
		kind = entity.External
	}
	return entity.Ref{Cluster: parts[0], Namespace: parts[1], Kind: kind, Name: parts[3]}, true
}

func (w *Web) alerts(r *http.Request, v visitor) (string, any, error) {
	p := phrase.For(v.lang)
	f := w.filter(r, "namespace", "match", "min")
	clusters := w.clusters()
	if f.Cluster != "" {
		clusters = []string{f.Cluster}
	}
	least, err := strconv.ParseFloat(f.Min, 64)
	if err != nil || least < 0 || least > 1 {
		f.Min, least = "", 0
	}
	body := listBody{Filter: f, Note: p.Sprintf("A fact is certain: it was read from the cluster's own words. A metric is told when it is further from its baseline than three spreads; score = weight · tanh((|z|−3)/2). The object's page opens the formula.")}
	out := table{Columns: []column{{"SCORE", true}, {"CLUSTER", false}, {"OBJECT", false}, {"WHAT", false}, {"SINCE", true}, {"WHY", false}}}
	total := 0
	for _, id := range clusters {
		args := map[string]any{"cluster": id, "namespace": f.Namespace}
		if least > 0 {
			args["min"] = least
		}
		res, err := w.call(r, v, "alerts", args)
		if err != nil {
			return "", nil, err
		}
		a := w.answer(res, scope{cluster: id})
		body.Answer.Missing = append(body.Answer.Missing, a.Missing...)
		for _, t := range a.Tables {
			for _, row := range t.Rows {
				if f.Match != "" && !slices.ContainsFunc(row, func(c cell) bool { return strings.Contains(strings.ToLower(c.Text), strings.ToLower(f.Match)) }) {
					continue
				}
				out.Rows = append(out.Rows, slices.Insert(row, 1, cell{Text: id, Href: "/?cluster=" + id}))
			}
			total += t.More
		}
	}
	slices.SortStableFunc(out.Rows, func(a, b []cell) int { return strings.Compare(b[0].Text, a[0].Text) })
	body.Answer.Headline = p.Sprintf("%d alerts in %s.", len(out.Rows)+total, strings.Join(clusters, ", "))
	const most = 300
	out.More = total + max(0, len(out.Rows)-most)
	out.Rows = out.Rows[:min(most, len(out.Rows))]
	if len(out.Rows) > 0 {
		body.Answer.Tables = []table{out}
	}
	return p.Sprintf("Alerts"), body, nil
}

func (w *Web) changes(r *http.Request, v visitor) (string, any, error) {
	p := phrase.For(v.lang)
	f := w.filter(r, "namespace", "since")
	if f.Since == "" {
		f.Since = "1h"
	}
	res, err := w.call(r, v, "changes", map[string]any{"cluster": f.Cluster, "namespace": f.Namespace, "since": f.Since})
	if err != nil {
		return "", nil, err
	}
	return p.Sprintf("Changes"), listBody{Filter: f, Answer: w.answer(res, scope{cluster: f.Cluster})}, nil
}

// slos shows what the tool of that name gives, once there is one.
func (w *Web) slos(r *http.Request, v visitor) (string, any, error) {
	p := phrase.For(v.lang)
	body := listBody{}
	if !w.cfg.Tools.Has("slo") {
		body.Answer.Headline = p.Sprintf("No objectives are kept here.")
		return p.Sprintf("SLOs"), body, nil
	}
	res, err := w.call(r, v, "slo", map[string]any{})
	if err != nil {
		return "", nil, err
	}
	body.Answer = w.answer(res, scope{})
	return p.Sprintf("SLOs"), body, nil
}
