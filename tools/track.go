package tools

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/silence"
	"github.com/bukahou/atlhyper/tools/phrase"
)

func trackTool(e *engine.Engine) (Tool, error) {
	type args struct {
		Cluster string `json:"cluster,omitempty" jsonschema:"only this cluster"`
		Since   string `json:"since,omitempty" jsonschema:"how far back; 2160h when left out"`
	}
	return define(shape{name: "track_record", verb: "track", usage: "track [--since 2160h] [--cluster C]"},
		func(ctx context.Context, caller Caller, a args) (*Result, error) {
			span, err := duration(a.Since, incident.Remembered)
			if err != nil {
				return nil, err
			}
			p, now := phrase.For(caller.Lang), e.Now()
			clusters, err := clustersOf(e, caller, a.Cluster)
			if err != nil {
				return nil, err
			}
			t, err := e.Track(ctx, onlyCluster(clusters), now.Add(-span))
			if err != nil {
				return nil, err
			}
			res := within(&Result{Observed: now, Data: t}, clusters)
			if t.Judged == 0 {
				res.Headline = p.Sprintf("Nobody has judged any of the %d incidents of the last %s in %s.", t.Incidents, Age(span), place(clusters, ""))
				res.Facts = []Fact{{Label: p.Sprintf("how"), Value: p.Sprintf("press Right cause, Wrong cause or Noise on an incident's card, or: judge INC-1 right")}}
				return res, nil
			}
			res.Headline = p.Sprintf("%d incidents of the last %s in %s were judged, of %d.", t.Judged, Age(span), place(clusters, ""), t.Incidents)
			causes := Table{Heading: p.Sprintf("Root causes by kind"), Columns: []string{"KIND", "INCIDENTS", "RIGHT", "WRONG", "NOISE", "CONFIRMED"}, Total: len(t.Causes)}
			for _, c := range t.Causes {
				causes.Rows = append(causes.Rows, tallied(c, c.Right))
			}
			detectors := Table{Heading: p.Sprintf("Detectors"), Columns: causes.Columns, Total: len(t.Detectors)}
			for _, d := range t.Detectors {
				detectors.Rows = append(detectors.Rows, tallied(d, d.Right+d.Wrong))
			}
			res.Tables = []Table{causes, detectors}
			return res, nil
		})
}

func tallied(t incident.Tally, confirmed int) []string {
	share := "–"
	if n := t.Judged(); n > 0 {
		share = fmt.Sprintf("%d/%d", confirmed, n)
	}
	return []string{t.Name, fmt.Sprint(t.Incidents), fmt.Sprint(t.Right), fmt.Sprint(t.Wrong), fmt.Sprint(t.Noise), share}
}

type judgeArgs struct {
	ID        string `json:"id" jsonschema:"incident id"`
	Judgement string `json:"judgement" jsonschema:"right (the root cause was this), wrong (it was another) or noise (nothing was the matter)"`
}

// judgeNext offers to say how right the engine was about an incident that names a cause.
func judgeNext(p *message.Printer, i *incident.Incident) []Option {
	if i.Cause.Entity.IsZero() {
		return nil
	}
	var out []Option
	for _, o := range []struct {
		label string
		j     incident.Judgement
	}{{p.Sprintf("Right cause"), incident.Right}, {p.Sprintf("Wrong cause"), incident.Wrong}, {p.Sprintf("Noise"), incident.Noise}} {
		args, _ := json.Marshal(judgeArgs{ID: i.ID, Judgement: string(o.j)}) // strings always encode
		out = append(out, Option{Label: o.label, Tool: "judge", Args: args})
	}
	return out
}

func judgeTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "judge", verb: "judge", usage: "judge INCIDENT right|wrong|noise", pos: []string{"id", "judgement"}, role: people.Operator, hand: true}
	return define(s, func(ctx context.Context, caller Caller, a judgeArgs) (*Result, error) {
		p := phrase.For(caller.Lang)
		j := incident.Judgement(strings.ToLower(strings.TrimSpace(a.Judgement)))
		if j != incident.Right && j != incident.Wrong && j != incident.Noise {
			return nil, &Problem{Sentence: p.Sprintf("%q is no judgement.", a.Judgement), Remedy: p.Sprintf("It is right, wrong or noise.")}
		}
		i, err := find(ctx, e, caller, a.ID)
		if err != nil {
			return nil, err
		}
		if i.Cause.Entity.IsZero() {
			return nil, &Problem{Sentence: p.Sprintf("%s names no root cause yet.", i.ID), Remedy: p.Sprintf("Judge it when it does.")}
		}
		if err := decides(ctx, e, caller, i, "incident.judged", ""); err != nil {
			return nil, err
		}
		if i, err = e.Judge(ctx, i.ID, caller.Person, j); err != nil {
			return nil, err
		}
		res := &Result{Cluster: i.Cluster, Incident: i.ID, Observed: e.Now(), Data: i.Votes}
		what := i.Cause.Kind + " · " + i.Cause.Entity.Short()
		switch j {
		case incident.Right:
			res.Headline = p.Sprintf("Noted: the cause of %s was right (%s).", i.ID, what)
		case incident.Wrong:
			res.Headline = p.Sprintf("Noted: the cause of %s was wrong (%s).", i.ID, what)
		default:
			res.Headline = p.Sprintf("Noted: %s was noise (%s).", i.ID, what)
		}
		res.Headline += " · " + placeOf(i)
		if j != incident.Noise {
			return res, nil
		}
		r, loud, err := e.NoisyCause(ctx, i)
		if err != nil || !loud {
			return res, err
		}
		res.Facts = []Fact{{Label: p.Sprintf("noisy"), Value: p.Sprintf("%d of %d judged %s in %s were noise", r.Tally.Noise, r.Tally.Judged(), r.Kind, placeOfMatcher(matcherOf(r)))}}
		c := causeArgs{Kind: r.Kind, Namespace: r.Namespace, Cluster: r.Cluster, For: "168h", Incidents: r.Stage == incident.StageIncident}
		if !r.Entity.IsZero() {
			c.On = r.Entity.Short()
		}
		args, err := json.Marshal(c)
		if err != nil {
			return nil, err
		}
		res.Next = []Option{{Label: p.Sprintf("Silence these for a week"), Tool: "silence_cause", Args: args}}
		return res, nil
	})
}

func matcherOf(r incident.NoisyCause) silence.Matcher {
	return silence.Matcher{Cluster: r.Cluster, Namespace: r.Namespace, Entity: r.Entity, Kind: r.Kind}
}

func placeOfMatcher(m silence.Matcher) string {
	out := m.Cluster
	if m.Namespace != "" {
		out += " / " + m.Namespace
	}
	if !m.Entity.IsZero() {
		out += " / " + m.Entity.Short()
	}
	return out
}

type causeArgs struct {
	Kind      string `json:"kind" jsonschema:"the kind of root cause, as an incident names it: CrashLoopBackOff, error_rate"`
	On        string `json:"on,omitempty" jsonschema:"only on this object: KIND/NAME"`
	Namespace string `json:"namespace,omitempty" jsonschema:"only in this namespace"`
	Cluster   string `json:"cluster,omitempty" jsonschema:"cluster id"`
	For       string `json:"for,omitempty" jsonschema:"how long; 24h when left out, at most 720h"`
	Incidents bool   `json:"incidents,omitempty" jsonschema:"also when one becomes an Incident"`
}

func silenceCauseTool(e *engine.Engine) (Tool, error) {
	s := shape{
		name: "silence_cause", verb: "silence cause", usage: "silence cause KIND [--on KIND/NAME] [--for 24h] [--incidents] [-n NAMESPACE] [--cluster C]",
		pos: []string{"kind"}, role: people.Operator, hand: true,
	}
	return define(s, func(ctx context.Context, caller Caller, a causeArgs) (*Result, error) {
		p := phrase.For(caller.Lang)
		span, err := duration(a.For, 24*time.Hour)
		if err != nil {
			return nil, err
		}
		if span > silence.Longest {
			return nil, &Problem{Sentence: p.Sprintf("A silence lasts %d days at most.", int(silence.Longest.Hours()/24)), Remedy: p.Sprintf("Silence it again when it ends.")}
		}
		c, err := clusterOf(e, caller, a.Cluster)
		if err != nil {
			return nil, err
		}
		m := silence.Matcher{Cluster: c.ID(), Namespace: a.Namespace, Kind: a.Kind}
		if a.On != "" {
			if m.Entity, err = onceThere(e, caller, a.On, a.Namespace, c.ID()); err != nil {
				return nil, err
			}
			m.Namespace = m.Entity.Namespace
		}
		if err := hushes(ctx, e, caller, m, "silence.added"); err != nil {
			return nil, err
		}
		until := incident.StageNone
		if a.Incidents {
			until = incident.StageIncident
		}
		made, err := e.QuietCause(ctx, m, until, e.Now().Add(span), caller.Person, caller.Question, caller.Lang)
		if err != nil {
			return nil, err
		}
		end := made.Till.UTC().Format("2006-01-02 15:04 MST")
		head := p.Sprintf("%s in %s is quiet until %s, or at once if one becomes an Incident.", a.Kind, placeOfMatcher(m), end)
		if a.Incidents {
			head = p.Sprintf("%s in %s is quiet until %s.", a.Kind, placeOfMatcher(m), end)
		}
		return &Result{Headline: head, Cluster: c.ID(), Observed: e.Now(), Data: made, Next: []Option{endOf(p, made)}}, nil
	})
}

// onceThere is the object that is meant, though it may be gone: what was noise last week may have been deleted since.
func onceThere(e *engine.Engine, caller Caller, on, namespace, cluster string) (entity.Ref, error) {
	c, r, err := resolve(e, caller, on, namespace, cluster)
	if err == nil {
		return c.Ref(r), nil
	}
	t, parseErr := parseTarget(e, caller, on)
	var problem *Problem
	if parseErr != nil || !errors.As(err, &problem) || t.kind == "" || cmp.Or(t.namespace, namespace) == "" && t.kind != entity.Node {
		return entity.Ref{}, err
	}
	return entity.Ref{Cluster: cluster, Kind: t.kind, Namespace: cmp.Or(t.namespace, namespace), Name: t.name}, nil
}

// hushes refuses who is no operator of all that a silence is about, and writes down who made or ended it.
func hushes(ctx context.Context, e *engine.Engine, caller Caller, m silence.Matcher, action string) error {
	if role := e.People.RoleOf(caller.Person, m.Cluster, m.Namespace); role < people.Operator {
		p := phrase.For(caller.Lang)
		return &Problem{Sentence: p.Sprintf("Only an operator of %s decides about its silences, and you are %s there.", placeOfMatcher(m), role), Remedy: p.Sprintf("Ask an admin: grants lists them.")}
	}
	_, err := e.Audit.Append(ctx, caller.Person, action, m.Cluster, cmp.Or(m.Incident, m.Kind), map[string]string{"namespace": m.Namespace, "entity": m.Entity.String(), "question": caller.Question})
	return err
}

func endOf(p *message.Printer, s silence.Silence) Option {
	args, _ := json.Marshal(map[string]string{"id": s.ID}) // a map of strings always encodes
	return Option{Label: p.Sprintf("End %s", s.ID), Tool: "silence_end", Args: args}
}

func silencesTool(e *engine.Engine) (Tool, error) {
	type args struct {
		Cluster string `json:"cluster,omitempty" jsonschema:"only this cluster"`
	}
	return define(shape{name: "silences", verb: "silences", usage: "silences [--cluster C]"}, func(ctx context.Context, caller Caller, a args) (*Result, error) {
		p := phrase.For(caller.Lang)
		clusters, err := clustersOf(e, caller, a.Cluster)
		if err != nil {
			return nil, err
		}
		t := Table{Columns: []string{"ID", "WHAT", "WHERE", "UNTIL", "BY"}}
		res := within(&Result{Observed: e.Now()}, clusters)
		shown := []silence.Silence{}
		for _, s := range e.Silences() {
			if only := onlyCluster(clusters); only != "" && s.Matcher.Cluster != only {
				continue
			}
			if len(s.Broken) > 0 && s.Matcher.Incident != "" { // one that its incident outgrew holds for nothing any more
				continue
			}
			what := cmp.Or(s.Matcher.Incident, s.Matcher.Kind, "*")
			if i, err := e.Incident(ctx, s.Matcher.Incident); s.Matcher.Incident != "" && err == nil {
				what += " " + i.Title
			}
			shown = append(shown, s)
			t.Rows = append(t.Rows, []string{s.ID, what, placeOfMatcher(s.Matcher), s.Till.UTC().Format("2006-01-02 15:04 MST"), s.By.Name})
			if len(res.Next) < 4 {
				res.Next = append(res.Next, endOf(p, s))
			}
		}
		t.Total, res.Data = len(t.Rows), shown
		if len(shown) == 0 {
			res.Headline = p.Sprintf("Nothing is silenced in %s.", place(clusters, ""))
			return res, nil
		}
		res.Headline = p.Sprintf("%d silences hold in %s.", len(shown), place(clusters, ""))
		res.Tables = []Table{t}
		return res, nil
	})
}

func silenceEndTool(e *engine.Engine) (Tool, error) {
	type args struct {
		ID string `json:"id" jsonschema:"the silence's id, as silences lists it, or an incident's"`
	}
	s := shape{name: "silence_end", verb: "silence end", usage: "silence end ID", pos: []string{"id"}, role: people.Operator, hand: true}
	return define(s, func(ctx context.Context, caller Caller, a args) (*Result, error) {
		p := phrase.For(caller.Lang)
		for _, x := range e.Silences() {
			if !strings.EqualFold(x.ID, a.ID) && !strings.EqualFold(x.Matcher.Incident, a.ID) {
				continue
			}
			m := x.Matcher
			if m.Incident != "" {
				if i, err := e.Incident(ctx, m.Incident); err == nil {
					m.Namespace = i.Namespace
				}
			}
			if err := hushes(ctx, e, caller, m, "silence.ended"); err != nil {
				return nil, err
			}
			if err := e.EndSilence(ctx, x.ID); err != nil && !errors.Is(err, silence.ErrNotFound) {
				return nil, err
			}
			return &Result{Headline: p.Sprintf("%s is quiet no longer.", cmp.Or(m.Incident, m.Kind)) + " · " + placeOfMatcher(x.Matcher), Cluster: m.Cluster, Observed: e.Now()}, nil
		}
		return nil, &Problem{Sentence: p.Sprintf("No silence %s holds.", a.ID), Remedy: p.Sprintf("silences lists them.")}
	})
}
