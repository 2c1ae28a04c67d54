package web

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/risk"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// overviewBody is the first page: what is wrong, and how each cluster is.
type overviewBody struct {
	Notice    string // instead of everything, when there is nothing to show yet
	Remedy    string
	Headline  string
	Missing   []string
	Incidents []incidentLine
	Clusters  []clusterLine
	Pending   int
	Alerts    []list
	Budgets   *answer // nil when nobody keeps objectives
}

// incidentLine is an incident as its card's first lines say it.
type incidentLine struct {
	ID, Href           string
	Stage, Word        string
	Title, Place       string
	Age, Since         string
	Cause, Impact, Fix string
	Risk               float64
	Severity           string
	Over               bool
	Acknowledged       string
}

// clusterLine is a cluster with the worst risk in it.
type clusterLine struct {
	ID, Health, Tone   string
	Nodes, Pods        string
	CPU, Memory        string
	Incidents          string
	Risk               float64
	Riskiest, RiskHref string
	Budget, BudgetOf   string // the least that is left of an objective's budget; "" where none is kept or known
	Left               float64
	Seen               string
}

func (w *Web) overview(r *http.Request, v visitor) (string, any, error) {
	p := phrase.For(v.lang)
	res, err := w.call(r, v, "overview", map[string]any{"cluster": r.URL.Query().Get("cluster")})
	var problem *tools.Problem
	if errors.As(err, &problem) && len(w.clusters()) == 0 {
		return p.Sprintf("Overview"), overviewBody{Notice: problem.Sentence, Remedy: problem.Remedy}, nil
	}
	if err != nil {
		return "", nil, err
	}
	body := overviewBody{Headline: res.Headline, Missing: res.Missing}
	if data, ok := res.Data.(map[string]any); ok {
		if open, ok := data["incidents"].([]*incident.Incident); ok {
			for _, i := range open {
				body.Incidents = append(body.Incidents, w.line(i, p))
			}
		}
	}
	if n := len(body.Incidents); n > 0 { // the cards say the causes
		worst := body.Incidents[0]
		body.Headline = p.Sprintf("One thing is wrong in %s: %s", worst.Place, worst.Title)
		if n > 1 {
			body.Headline = p.Sprintf("%d things are wrong. The worst is in %s: %s", n, worst.Place, worst.Title)
		}
	}
	for _, t := range res.Tables {
		if slices.Contains(t.Columns, "HEALTH") {
			body.Clusters = w.clusterLines(t)
		}
	}
	for _, l := range res.Lists {
		body.Alerts = append(body.Alerts, list{l.Heading, strings.Split(strings.TrimSpace(l.Body), "\n")})
	}
	if waiting, err := w.cfg.Engine.Desk.Pending(r.Context()); err == nil {
		body.Pending = len(waiting)
	} else {
		return "", nil, err
	}
	if body.Budgets, err = w.budgets(r, v); err != nil {
		return "", nil, err
	}
	return p.Sprintf("Overview"), body, nil
}

// budgets are the objectives, nil when no tool keeps any.
func (w *Web) budgets(r *http.Request, v visitor) (*answer, error) {
	if !w.cfg.Tools.Has("slo") {
		return nil, nil
	}
	res, err := w.call(r, v, "slo", map[string]any{})
	var problem *tools.Problem
	if errors.As(err, &problem) { // none is set yet: the page of objectives says how
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a := w.answer(res, scope{})
	return &a, nil
}

func (w *Web) clusterLines(t tools.Table) []clusterLine {
	var out []clusterLine
	now := w.cfg.Now()
	for _, row := range t.Rows {
		at := func(name string) string {
			if i := slices.Index(t.Columns, name); i >= 0 && i < len(row) {
				return row[i]
			}
			return ""
		}
		l := clusterLine{
			ID: at("CLUSTER"), Health: at("HEALTH"), Nodes: at("NODES"), Pods: at("PODS"), CPU: at("CPU"), Memory: at("MEMORY"), Incidents: at("INCIDENTS"),
		}
		if worst := riskiest(w.cfg.Engine.Assessment(l.ID)); worst != nil {
			l.Risk, l.Riskiest, l.RiskHref = worst.Final, worst.Entity.Short(), href(worst.Entity)
		}
		for _, o := range w.cfg.Engine.SLO.Objectives(l.ID) {
			st := w.cfg.Engine.SLO.Status(now, o)
			if _, known := st.SLI(); !known || l.Budget != "" && st.Budget.Left() >= l.Left {
				continue
			}
			l.Left, l.BudgetOf = st.Budget.Left(), o.Entity.Short()
			l.Budget = fmt.Sprintf("%.0f %%", 100*l.Left)
			if st.Budget.Counts.Coverage() < 0.99 { // what was not counted may have been bad too
				l.Budget = "≤ " + l.Budget
			}
		}
		if c, ok := w.cfg.Engine.Fleet.Cluster(l.ID); ok {
			st := c.Status()
			l.Seen = tools.Age(now.Sub(st.LastSeen))
			switch {
			case st.Silent:
				l.Tone = "unknown"
			case l.Incidents != "0":
				l.Tone = "incident"
			default:
				l.Tone = "resolved"
			}
		}
		out = append(out, l)
	}
	// What is not well comes first; the order is otherwise that of names.
	slices.SortStableFunc(out, func(a, b clusterLine) int { return rank[a.Tone] - rank[b.Tone] })
	return out
}

var rank = map[string]int{"incident": 0, "unknown": 1, "resolved": 2}

func riskiest(a *risk.Assessment) *risk.Score {
	var worst *risk.Score
	for _, s := range a.Scores {
		if worst == nil || s.Final > worst.Final || s.Final == worst.Final && entity.Compare(s.Entity, worst.Entity) < 0 {
			worst = s
		}
	}
	return worst
}

// line says an incident as its card does.
func (w *Web) line(i *incident.Incident, p words) incidentLine {
	now := w.cfg.Now()
	silent := false
	if c, ok := w.cfg.Engine.Fleet.Cluster(i.Cluster); ok {
		silent = c.Status().Silent
	}
	m := card.Incident(i, silent, now, "en")
	l := incidentLine{
		ID: i.ID, Href: "/incident/" + i.ID, Stage: string(i.Stage), Word: card.StageWord(p, i.Stage),
		Title: i.Title, Place: strings.TrimSuffix(i.Cluster+" / "+i.Namespace, " / "), Age: card.Span(i.Duration(now)), Since: i.OpenedAt.UTC().Format("15:04 MST"),
		Risk: i.PeakRisk, Severity: string(i.Severity), Fix: i.FixSummary, Acknowledged: i.Acknowledged, Cause: p.Sprintf("unknown yet"),
	}
	l.Impact = impact(m)
	l.Over = i.Stage == incident.StageResolved || i.Stage == incident.StageCleared
	if silent && !l.Over {
		l.Stage, l.Word = "unknown", p.Sprintf("unknown")
	}
	if !i.Cause.Entity.IsZero() {
		l.Cause = strings.TrimSuffix(i.Cause.Summary, ".")
		if i.Cause.Confidence != "" {
			l.Cause += " (" + tools.Confidence(p, i.Cause.Confidence) + ")"
		}
	}
	return l
}

// impact is what a card says of whom an incident hurts.
func impact(m message.Message) string {
	for _, b := range m.Blocks {
		if t, ok := b.(message.Paragraph); ok && (strings.HasPrefix(t.Text, "Impact:") || strings.HasPrefix(t.Text, "Affected:")) {
			return t.Text
		}
	}
	return ""
}

func (w *Web) incidents(r *http.Request, v visitor) (string, any, error) {
	p := phrase.For(v.lang)
	q := r.URL.Query()
	since := q.Get("since")
	if since == "" {
		since = "24h"
	}
	body := struct {
		Headline string
		Open     []incidentLine
		Past     []incidentLine
		Stats    *answer
		Filter   filter
	}{Filter: w.filter(r, "since")}
	body.Filter.Since = since
	res, err := w.call(r, v, "incidents", map[string]any{"cluster": q.Get("cluster"), "all": true, "since": since})
	if err != nil {
		return "", nil, err
	}
	body.Headline = res.Headline
	all, ok := res.Data.([]*incident.Incident)
	if !ok {
		return "", nil, errors.New("the tool incidents gives no incidents")
	}
	for _, i := range all {
		if i.MergedInto != "" {
			continue
		}
		if l := w.line(i, p); l.Over {
			body.Past = append(body.Past, l)
		} else {
			body.Open = append(body.Open, l)
		}
	}
	stats, err := w.call(r, v, "incident_stats", map[string]any{"cluster": q.Get("cluster")})
	if err != nil {
		return "", nil, err
	}
	a := w.answer(stats, scope{})
	body.Stats = &a
	return p.Sprintf("Incidents"), body, nil
}

// filter is what a list's form holds.
type filter struct {
	Fields     []string
	Clusters   []string
	Namespaces []string
	Kinds      []string
	Cluster    string
	Namespace  string
	Kind       string
	Match      string
	Since      string
	Unhealthy  bool
	Pods       bool
	Risky      bool
	Min        string
	Spans      []string
}

func (f filter) Has(field string) bool { return slices.Contains(f.Fields, field) }

func (w *Web) filter(r *http.Request, fields ...string) filter {
	q := r.URL.Query()
	f := filter{
		Fields: fields, Clusters: w.clusters(), Cluster: q.Get("cluster"), Namespace: q.Get("namespace"), Kind: q.Get("kind"),
		Match: q.Get("match"), Since: q.Get("since"), Unhealthy: q.Get("unhealthy") != "", Pods: q.Get("pods") != "", Risky: q.Get("risky") != "", Min: q.Get("min"),
		Spans: []string{"15m", "1h", "6h", "24h", "168h", "720h"},
	}
	if f.Has("namespace") {
		f.Namespaces = w.namespaces(f.Cluster)
	}
	return f
}
