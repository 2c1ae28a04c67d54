package tools

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/silence"
	"github.com/bukahou/atlhyper/tools/phrase"
)

var incidentTools = []func(*engine.Engine) (Tool, error){
	incidentsTool, explainTool, explainTextTool, timelineTool, postMortemTool, similarTool, statsTool, trackTool, ackTool, judgeTool,
	silenceTool, silenceCauseTool, silencesTool, silenceEndTool, suggestTool, pendingTool, onCallTool,
}

func incidentTable(p *message.Printer, is []*incident.Incident, now time.Time) Table {
	t := Table{Columns: []string{"ID", "STAGE", "SEVERITY", "WHAT", "CAUSE", "WHERE", "SINCE"}, Total: len(is)}
	for _, i := range is {
		cause := i.Cause.Entity.Short()
		if i.Cause.Entity.IsZero() {
			cause = p.Sprintf("unknown yet")
		}
		t.Rows = append(t.Rows, []string{i.ID, string(i.Stage), string(i.Severity), i.Title, cause, placeOf(i), Age(now.Sub(i.OpenedAt))})
	}
	return t
}

func incidentNext(p *message.Printer, i *incident.Incident) []Option {
	about := func(tool, label string) Option {
		args, _ := json.Marshal(map[string]string{"id": i.ID}) // a map of strings always encodes
		return Option{Label: label, Tool: tool, Args: args}
	}
	return []Option{about("explain", p.Sprintf("Why?")+" "+i.ID), about("suggest_fix", p.Sprintf("Suggest fix"))}
}

func incidentsTool(e *engine.Engine) (Tool, error) {
	type args struct {
		Cluster string `json:"cluster,omitempty" jsonschema:"only this cluster"`
		All     bool   `json:"all,omitempty" jsonschema:"closed ones too"`
		Since   string `json:"since,omitempty" jsonschema:"how far back with all; 24h when left out"`
	}
	return define(shape{name: "incidents", verb: "incidents", usage: "incidents [--all] [--since 24h] [--cluster C]"},
		func(ctx context.Context, caller Caller, a args) (*Result, error) {
			p, now := phrase.For(caller.Lang), e.Now()
			clusters, err := clustersOf(e, caller, a.Cluster)
			if err != nil {
				return nil, err
			}
			if !a.All {
				is := openIncidents(e, clusters)
				res := &Result{Headline: p.Sprintf("No incident is open in %s.", place(clusters, "")), Observed: now, Data: is}
				if len(is) > 0 {
					res.Headline = p.Sprintf("%d incidents are open in %s.", len(is), place(clusters, ""))
					res.Tables, res.Next = []Table{incidentTable(p, is, now)}, incidentNext(p, is[0])
				}
				return within(res, clusters), nil
			}
			span, err := duration(a.Since, 24*time.Hour)
			if err != nil {
				return nil, err
			}
			is, err := e.ListIncidents(ctx, incident.Filter{Cluster: onlyCluster(clusters), Since: now.Add(-span)})
			if err != nil {
				return nil, err
			}
			return within(&Result{
				Headline: p.Sprintf("%d incidents in the last %s in %s.", len(is), Age(span), place(clusters, "")),
				Observed: now, Tables: []Table{incidentTable(p, is, now)}, Data: is,
			}, clusters), nil
		})
}

// within names the one cluster that a result is about.
func within(res *Result, clusters []*fleet.Cluster) *Result {
	res.Cluster = onlyCluster(clusters)
	return res
}

// onlyCluster is the id of the only cluster, "" when there are several.
func onlyCluster(clusters []*fleet.Cluster) string {
	if len(clusters) == 1 {
		return clusters[0].ID()
	}
	return ""
}

type incidentArgs struct {
	ID string `json:"id,omitempty" jsonschema:"incident id such as INC-7, or the name of an entity; the thread's incident, else the newest open one, when left out"`
}

// find gives the incident that is meant: by id, by an entity in it, the thread's, or the worst open one.
func find(ctx context.Context, e *engine.Engine, caller Caller, id string) (*incident.Incident, error) {
	p := phrase.For(caller.Lang)
	id = cmp.Or(strings.TrimSpace(id), caller.Incident)
	if strings.HasPrefix(strings.ToUpper(id), "INC-") {
		i, err := e.Incident(ctx, strings.ToUpper(id))
		for err == nil && i.MergedInto != "" {
			i, err = e.Incident(ctx, i.MergedInto)
		}
		if errors.Is(err, incident.ErrNotFound) {
			return nil, &Problem{Sentence: p.Sprintf("There is no incident %s.", id), Remedy: p.Sprintf("/atl incidents --all lists them.")}
		}
		return i, err
	}
	var t target
	var err error
	if id != "" {
		if t, err = parseTarget(e, caller, id); err != nil {
			return nil, err
		}
	}
	clusters, err := clustersOf(e, caller, t.cluster)
	if err != nil {
		return nil, err
	}
	open := openIncidents(e, clusters)
	if id == "" {
		if len(open) == 0 {
			return nil, &Problem{Sentence: p.Sprintf("No incident is open in %s.", place(clusters, "")), Remedy: p.Sprintf("/atl incidents --all lists earlier ones.")}
		}
		return open[0], nil
	}
	for _, i := range open {
		if t.means(i.Cause.Entity) {
			return i, nil
		}
	}
	for _, i := range open {
		if slices.ContainsFunc(i.Entities, func(a incident.Affected) bool { return t.means(a.Entity) }) {
			return i, nil
		}
	}
	if _, _, err := resolve(e, caller, id, "", ""); err != nil {
		var problem *Problem
		if errors.As(err, &problem) {
			return nil, problem // no such thing: perhaps it is only misspelt
		}
	}
	return nil, &Problem{
		Sentence: p.Sprintf("No open incident in %s touches %q.", place(clusters, ""), id), Remedy: p.Sprintf("/atl incidents lists the open ones; /atl risk %s shows its score.", id),
	}
}

// means says whether what a person wrote fits an entity.
func (t target) means(r entity.Ref) bool {
	return t.name == strings.ToLower(r.Name) && (t.kind == "" || t.kind == r.Kind) &&
		(t.namespace == "" || t.namespace == r.Namespace) && (t.cluster == "" || t.cluster == r.Cluster)
}

// decide is find for what takes effect at once: with nothing named and several open, it asks which.
func decide(ctx context.Context, e *engine.Engine, caller Caller, tool, id string, args any) (*incident.Incident, *Result, error) {
	if id != "" || caller.Incident != "" {
		i, err := find(ctx, e, caller, id)
		return i, nil, err
	}
	clusters, err := clustersOf(e, caller, "")
	if err != nil {
		return nil, nil, err
	}
	open := openIncidents(e, clusters)
	if len(open) < 2 {
		i, err := find(ctx, e, caller, id)
		return i, nil, err
	}
	question := phrase.For(caller.Lang).Sprintf("Which incident?")
	res := &Result{Headline: question, Question: question}
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, nil, err
	}
	for _, i := range open {
		m := map[string]any{}
		if err := json.Unmarshal(raw, &m); err != nil {
			return nil, nil, err
		}
		m["id"] = i.ID
		opt, err := json.Marshal(m)
		if err != nil {
			return nil, nil, err
		}
		res.Options = append(res.Options, Option{Label: i.ID + " · " + i.Title + " · " + placeOf(i), Tool: tool, Args: opt})
	}
	return nil, res, nil
}

// decides refuses who is no operator where an incident is, and writes down who decided about it: an operator of another
// namespace must not make this one's alarms quiet.
func decides(ctx context.Context, e *engine.Engine, caller Caller, i *incident.Incident, action, reason string) error {
	if role := e.People.RoleOf(caller.Person, i.Cluster, i.Namespace); role < people.Operator {
		p := phrase.For(caller.Lang)
		return &Problem{Sentence: p.Sprintf("Only an operator of %s decides about %s, and you are %s there.", placeOf(i), i.ID, role), Remedy: p.Sprintf("Ask an admin: grants lists them.")}
	}
	detail := map[string]string{"question": caller.Question}
	if reason != "" {
		detail["reason"] = reason
	}
	_, err := e.Audit.Append(ctx, caller.Person, action, i.Cluster, i.ID, detail)
	return err
}

func explainTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "explain", verb: "explain", usage: "explain [INCIDENT|NAME]", pos: []string{"id"}}
	return define(s, func(ctx context.Context, caller Caller, a incidentArgs) (*Result, error) {
		i, err := find(ctx, e, caller, a.ID)
		if err != nil {
			if res := explainEntity(e, caller, a.ID); res != nil {
				return res, nil
			}
			return nil, err
		}
		p, now := phrase.For(caller.Lang), e.Now()
		x := e.ExplainIncident(i)
		res := &Result{Cluster: i.Cluster, Incident: i.ID, Observed: now, Data: x}
		if c, ok := e.Fleet.Cluster(i.Cluster); ok {
			res.Missing = missing(c, now)
		}
		c := i.Cause
		if c.Entity.IsZero() {
			res.Headline = p.Sprintf("%s: I do not know the cause yet. %s.", i.ID, i.Title) + " · " + placeOf(i)
		} else {
			res.Headline = p.Sprintf("Why I think it is %s", c.Entity.Short()) + " · " + placeOf(i)
			res.Facts = append(res.Facts, Fact{Label: p.Sprintf("cause"), Value: fmt.Sprintf("%s (%s)", c.Summary, Confidence(p, c.Confidence))})
		}
		if !c.Onset.IsZero() {
			res.Facts = append(res.Facts, Fact{Label: p.Sprintf("started"), Value: fmt.Sprintf("%s (%s)", c.Onset.UTC().Format("15:04:05 MST"), p.Sprintf("%s ago", Age(now.Sub(c.Onset))))})
		}
		for _, ch := range c.Suspects {
			when := p.Sprintf("%s before", Age(c.Onset.Sub(ch.At)))
			if ch.At.After(c.Onset) {
				when = p.Sprintf("%s ago", Age(now.Sub(ch.At)))
			}
			res.Facts = append(res.Facts, Fact{Label: p.Sprintf("changed"), Value: ch.Entity.Short() + ": " + ch.String() + ", " + when, At: ch.At})
		}
		if len(c.Evidence) > 0 {
			l := Text{Heading: p.Sprintf("Evidence")}
			for _, ev := range c.Evidence {
				l.Body += fmt.Sprintf("%s: %s\n", ev.Entity.Short(), ev.Text)
			}
			res.Lists = append(res.Lists, l)
		}
		if len(c.RuledOut) > 0 {
			res.Lists = append(res.Lists, Text{Heading: p.Sprintf("Ruled out"), Body: strings.Join(c.RuledOut, "\n")})
		}
		t := Table{Heading: p.Sprintf("Affected"), Columns: []string{"OBJECT", "ROLE", "RISK", "WHY"}, Total: len(i.Entities)}
		for _, x := range i.Entities {
			t.Rows = append(t.Rows, []string{x.Entity.Short(), strings.ReplaceAll(string(x.Role), "_", " "), fmt.Sprintf("%.2f", x.RFinal), x.Why})
		}
		if len(t.Rows) > 0 {
			res.Tables = append(res.Tables, t)
		}
		res.Texts = append(res.Texts, workings(p, x.Spread, now)...)
		if ch := IncidentChart(e, i, caller.Lang); ch != nil {
			res.Charts = []Chart{*ch}
		}
		past, err := e.Past(ctx, i)
		if err != nil {
			return nil, err
		}
		if before := incident.Similar(i, past, 1); len(before) > 0 {
			res.Facts = append(res.Facts, Fact{Label: p.Sprintf("seen before"), Value: seenBefore(p, before[0].Incident, now)})
		}
		if i.Budget != "" {
			res.Facts = append(res.Facts, Fact{Label: p.Sprintf("error budget"), Value: i.Budget})
		}
		if !c.Entity.IsZero() {
			if t := incident.TrackOf(past).Cause(c.Kind); t.Judged() > 0 {
				res.Facts = append(res.Facts, Fact{Label: p.Sprintf("track record"), Value: p.Sprintf("of %d judged causes of the kind %s, %d were right, %d wrong, %d noise", t.Judged(), t.Name, t.Right, t.Wrong, t.Noise)})
			}
		}
		if active(i.Stage) {
			res.Next = incidentNext(p, i)[1:]
		}
		res.Next = append(res.Next, judgeNext(p, i)...)
		return res, nil
	})
}

// workings are the formulas of a risk's way, what it reached last first, the cause last.
func workings(p *message.Printer, w incident.Workings, now time.Time) []Text {
	var out []Text
	for n, s := range w.Steps {
		heading := s.Entity.Short()
		if n == 0 {
			heading = p.Sprintf("Formula with its numbers") + " · " + heading
			if now.Sub(w.At) > time.Minute {
				heading += " · " + p.Sprintf("at its worst, %s", w.At.UTC().Format("15:04:05 MST"))
			}
		}
		out = append(out, Text{Heading: heading, Body: s.Formula})
	}
	return out
}

// explainEntity opens the score of something that no incident touches; nil when the name is of nothing that is known.
func explainEntity(e *engine.Engine, caller Caller, name string) *Result {
	if name == "" || strings.HasPrefix(strings.ToUpper(name), "INC-") {
		return nil
	}
	c, r, err := resolve(e, caller, name, "", "")
	if err != nil {
		return nil
	}
	p, x := phrase.For(caller.Lang), e.Explain(c.Ref(r))
	res := &Result{Cluster: c.ID(), Observed: e.Now(), Data: x, Missing: missing(c, e.Now())}
	if x.Score.Final == 0 {
		res.Headline = p.Sprintf("%s is healthy: no fact, and no metric outside its normal.", x.Entity.Short())
		return res
	}
	res.Headline = p.Sprintf("%s has a risk of %.2f.", x.Entity.Short(), x.Score.Final)
	t := Table{Heading: p.Sprintf("Evidence"), Columns: []string{"METRIC", "VALUE", "NORMAL", "Z", "Q", "AT"}, Total: len(x.Metrics)}
	for _, m := range x.Metrics {
		t.Rows = append(t.Rows, []string{m.Metric, m.Class.Figure(m.Value), m.Class.Figure(m.Mean), fmt.Sprintf("%.2f", m.Z), fmt.Sprintf("%.3f", m.Q), m.At.UTC().Format("15:04:05")})
	}
	if len(t.Rows) > 0 {
		res.Tables = append(res.Tables, t)
	}
	for _, f := range x.Facts {
		res.Facts = append(res.Facts, Fact{Label: f.Kind, Value: f.Text, At: f.Since})
	}
	for n, s := range x.Path {
		heading := p.Sprintf("Formula with its numbers")
		if n > 0 {
			heading = s.Entity.Short()
		}
		res.Texts = append(res.Texts, Text{Heading: heading, Body: s.Formula})
	}
	return res
}

func timelineTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "timeline", verb: "timeline", usage: "timeline [INCIDENT]", pos: []string{"id"}}
	return define(s, func(ctx context.Context, caller Caller, a incidentArgs) (*Result, error) {
		i, err := find(ctx, e, caller, a.ID)
		if err != nil {
			return nil, err
		}
		p := phrase.For(caller.Lang)
		l := Text{}
		for _, t := range i.Timeline {
			l.Body += t.At.UTC().Format("15:04:05") + " " + t.Text
			if t.By != "" {
				l.Body += " — " + t.By
			}
			l.Body += "\n"
		}
		return &Result{
			Headline: p.Sprintf("%s · %s: %d steps in %s (times in UTC)", i.ID, i.Title, len(i.Timeline), Age(i.Duration(e.Now()))) + " · " + placeOf(i),
			Cluster:  i.Cluster, Incident: i.ID, Observed: e.Now(), Lists: []Text{l}, Data: i.Timeline,
		}, nil
	})
}

// seenBefore tells of an earlier incident: which, when, and what mended it.
func seenBefore(p *message.Printer, i *incident.Incident, now time.Time) string {
	out := i.ID + ", " + p.Sprintf("%s ago", Age(now.Sub(i.OpenedAt)))
	if i.FixSummary != "" {
		out += ": " + i.FixSummary
	}
	return out
}

func similarTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "similar", verb: "similar", usage: "similar [INCIDENT|NAME]", pos: []string{"id"}}
	return define(s, func(ctx context.Context, caller Caller, a incidentArgs) (*Result, error) {
		i, err := find(ctx, e, caller, a.ID)
		if err != nil {
			return nil, err
		}
		past, err := e.Past(ctx, i)
		if err != nil {
			return nil, err
		}
		all := incident.Similar(i, past, 10)
		p, now := phrase.For(caller.Lang), e.Now()
		res := &Result{Cluster: i.Cluster, Incident: i.ID, Observed: now, Data: all}
		if len(all) == 0 {
			res.Headline = p.Sprintf("Nothing like %s (%s) was seen in the last %s.", i.ID, i.Title, Age(incident.Remembered)) + " · " + placeOf(i)
			return res, nil
		}
		res.Headline = p.Sprintf("%d earlier incidents are like %s (%s).", len(all), i.ID, i.Title) + " · " + placeOf(i)
		t := Table{Columns: []string{"ID", "AGO", "WHAT", "CAUSE", "MENDED BY", "LIKENESS"}, Total: len(all)}
		for _, m := range all {
			t.Rows = append(t.Rows, []string{
				m.Incident.ID, Age(now.Sub(m.Incident.OpenedAt)), m.Incident.Title, m.Incident.Cause.Entity.Short(), m.Incident.FixSummary,
				fmt.Sprintf("%.2f = 0.5·%.2g + 0.3·%.2g + 0.2·%.2g", m.Score, m.Cause, m.Entities, m.Signs),
			})
		}
		res.Tables = []Table{t}
		return res, nil
	})
}

func statsTool(e *engine.Engine) (Tool, error) {
	type args struct {
		Cluster string `json:"cluster,omitempty" jsonschema:"only this cluster"`
		Since   string `json:"since,omitempty" jsonschema:"how far back; 720h when left out"`
	}
	return define(shape{name: "incident_stats", verb: "stats", usage: "stats [--since 720h] [--cluster C]"},
		func(ctx context.Context, caller Caller, a args) (*Result, error) {
			span, err := duration(a.Since, 30*24*time.Hour)
			if err != nil {
				return nil, err
			}
			p, now := phrase.For(caller.Lang), e.Now()
			clusters, err := clustersOf(e, caller, a.Cluster)
			if err != nil {
				return nil, err
			}
			st, err := e.Incidents.Stats(ctx, incident.Filter{Cluster: onlyCluster(clusters), Since: now.Add(-span)})
			if err != nil {
				return nil, err
			}
			res := within(&Result{Headline: p.Sprintf("%d incidents in the last %s in %s.", st.Total, Age(span), place(clusters, "")), Observed: now, Data: st}, clusters)
			mttr := p.Sprintf("unknown, because none was resolved")
			if st.Resolved > 0 {
				mttr = Age(st.MTTR)
			}
			res.Facts = []Fact{
				{Label: p.Sprintf("open now"), Value: fmt.Sprint(st.Open)},
				{Label: p.Sprintf("mean time to resolve"), Value: mttr},
				{Label: p.Sprintf("recurrence rate"), Value: fmt.Sprintf("%.0f %%", 100*st.RecurrenceRate)},
			}
			sev := Table{Heading: p.Sprintf("Severity"), Columns: []string{"SEVERITY", "INCIDENTS"}}
			for _, s := range []incident.Severity{incident.SeverityCritical, incident.SeverityHigh, incident.SeverityMedium, incident.SeverityLow} {
				sev.Rows = append(sev.Rows, []string{string(s), fmt.Sprint(st.Severities[s])})
			}
			top := Table{Heading: p.Sprintf("Top root causes"), Columns: []string{"CAUSE", "INCIDENTS"}}
			for _, t := range st.Causes {
				top.Rows = append(top.Rows, []string{t.Entity.String(), fmt.Sprint(t.Count)})
			}
			res.Tables = []Table{sev, top}
			return res, nil
		})
}

func ackTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "acknowledge", verb: "ack", usage: "ack [INCIDENT]", pos: []string{"id"}, role: people.Operator}
	return define(s, func(ctx context.Context, caller Caller, a incidentArgs) (*Result, error) {
		i, which, err := decide(ctx, e, caller, s.name, a.ID, a)
		if err != nil || which != nil {
			return which, err
		}
		if err := decides(ctx, e, caller, i, "incident.acknowledged", ""); err != nil {
			return nil, err
		}
		if err := e.Incidents.Acknowledge(ctx, i.ID, caller.Person.Name, e.Now()); err != nil {
			return nil, err
		}
		return &Result{Headline: phrase.For(caller.Lang).Sprintf("%s has %s.", caller.Person.Name, i.ID) + " · " + placeOf(i), Cluster: i.Cluster, Incident: i.ID}, nil
	})
}

func silenceTool(e *engine.Engine) (Tool, error) {
	type args struct {
		ID  string `json:"id,omitempty" jsonschema:"incident id; the thread's when left out"`
		For string `json:"for,omitempty" jsonschema:"how long; 1h when left out, at most 168h"`

		Reason string `json:"reason,omitempty" jsonschema:"why, as the person said it"`
	}
	s := shape{name: "silence", verb: "silence", usage: "silence [INCIDENT] [--for 1h] [--reason WHY]", pos: []string{"id"}, role: people.Operator}
	return define(s, func(ctx context.Context, caller Caller, a args) (*Result, error) {
		span, err := duration(a.For, time.Hour)
		if err != nil {
			return nil, err
		}
		if span > 7*24*time.Hour {
			return nil, &Problem{Sentence: "A silence lasts a week at most.", Remedy: "Silence it again when it ends."}
		}
		i, which, err := decide(ctx, e, caller, s.name, a.ID, a)
		if err != nil || which != nil {
			return which, err
		}
		till, reason := e.Now().Add(span), strings.Join(strings.Fields(Clean(a.Reason)), " ")
		if err := decides(ctx, e, caller, i, "incident.silenced", reason); err != nil {
			return nil, err
		}
		if err := e.Quiet(ctx, i, till, caller.Person, reason, caller.Lang); err != nil {
			return nil, err
		}
		p := phrase.For(caller.Lang)
		head := p.Sprintf("%s is quiet until %s, or at once if it gets worse.", i.ID, till.UTC().Format("15:04 MST"))
		return &Result{Headline: head + " · " + placeOf(i), Cluster: i.Cluster, Incident: i.ID}, nil
	})
}

func SilenceEnded(e event.SilenceEnded, lang string) string {
	p := phrase.For(lang)
	switch silence.Why(e.Why) {
	case silence.ByStage:
		return p.Sprintf("The silence of %s ended early: it is an Incident now.", e.By)
	case silence.BySeverity:
		return p.Sprintf("The silence of %s ended early: the severity rose from %s to %s.", e.By, e.From, e.To)
	case silence.ByRisk:
		return p.Sprintf("The silence of %s ended early: the risk rose from %s to %s.", e.By, e.From, e.To)
	}
	return p.Sprintf("The silence of %s ended early: it got worse.", e.By)
}
