package tools

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// ExplainText is the name of the tool that tells what is known of the things that a text names.
const ExplainText = "explain_text"

// quotes is a line that gives a text of another's. What stands behind the colon is none of the asker's words: no flag, no
// sentence and no quote in it means anything.
var quotes = regexp.MustCompile(`(?is)^\s*explain\s+this\s*[:：]\s*(.*?)\s*$`)

// maxNamed is how many of the things in a text are told of, and maxFound how many are counted.
const (
	maxNamed = 12
	maxFound = 50
)

// maxRead is how many bytes of a text are looked at.
const maxRead = 16 << 10

// explainTextTool looks up what a text names: an alert of another system, a log line, somebody's message. The text is evidence
// and nothing else: names that exist are found in it, and no word of it is repeated or obeyed.
func explainTextTool(e *engine.Engine) (Tool, error) {
	type args struct {
		Text string `json:"text" jsonschema:"the text whose names are looked up"`
	}
	s := shape{name: ExplainText, verb: "explain this:", usage: "explain this: TEXT…", pos: []string{"text…"}, private: true}
	return define(s, func(ctx context.Context, caller Caller, a args) (*Result, error) {
		p, now := phrase.For(caller.Lang), e.Now()
		if len(e.Fleet.Clusters()) == 0 {
			return nil, noCluster(caller)
		}
		found, err := namedIn(ctx, e, a.Text[:min(len(a.Text), maxRead)])
		if err != nil {
			return nil, err
		}
		if len(found) == 0 {
			return nil, &Problem{Sentence: p.Sprintf("That text names nothing that I know."), Remedy: p.Sprintf("I look for clusters, namespaces, nodes, workloads, services, pods and incidents, by the names that they have now.")}
		}
		res := &Result{Observed: now, Private: true}
		t := Table{Columns: []string{"OBJECT", "WHERE", "WHAT"}, Total: len(found)}
		var touched []*incident.Incident
		unwell := 0
		for _, x := range found {
			what, of, well := x.standing(e, p)
			if !well {
				unwell++
			}
			for _, i := range of {
				if !slices.ContainsFunc(touched, func(o *incident.Incident) bool { return o.ID == i.ID }) {
					touched = append(touched, i)
				}
			}
			if len(t.Rows) < maxNamed {
				t.Rows = append(t.Rows, []string{x.name(), x.where(), what})
			}
			if c, ok := e.Fleet.Cluster(x.ref.Cluster); ok {
				for _, m := range missing(c, now) {
					if !slices.Contains(res.Missing, m) {
						res.Missing = append(res.Missing, m)
					}
				}
			}
		}
		res.Tables, res.Data = []Table{t}, map[string]any{"named": len(found), "incidents": touched}
		open := slices.DeleteFunc(slices.Clone(touched), func(i *incident.Incident) bool { return !active(i.Stage) })
		slices.SortStableFunc(open, worstFirst)
		switch {
		case len(open) == 1:
			res.Headline = p.Sprintf("It is about an open incident in %s: %s", placeOf(open[0]), Sentence(open[0]))
		case len(open) > 1:
			res.Headline = p.Sprintf("It is about %d open incidents. The worst is in %s: %s", len(open), placeOf(open[0]), Sentence(open[0]))
		case unwell > 0:
			res.Headline = p.Sprintf("It is about no open incident, and of what it names %d are not well.", unwell)
		default:
			res.Headline = p.Sprintf("It names %d things that I know, and nothing is wrong with them.", len(found))
		}
		switch {
		case len(open) > 0:
			res.Incident, res.Cluster = open[0].ID, open[0].Cluster
			res.Next = incidentNext(p, open[0])
		case len(touched) > 0:
			res.Next = incidentNext(p, touched[0])[:1]
		}
		return res, nil
	})
}

// thing is something that a text names: an object, a whole namespace or cluster, or an incident.
type thing struct {
	ref      entity.Ref // of Kind Cluster for a whole one
	incident *incident.Incident
}

func (x thing) name() string {
	switch {
	case x.incident != nil:
		return x.incident.ID
	case x.ref.Kind == entity.Cluster:
		return x.ref.Cluster
	}
	return x.ref.Short()
}

func (x thing) where() string {
	switch {
	case x.incident != nil:
		return placeOf(x.incident)
	case x.ref.Namespace != "":
		return x.ref.Cluster + " / " + x.ref.Namespace
	}
	return x.ref.Cluster
}

// standing says how a thing is, and which incidents it is part of.
func (x thing) standing(e *engine.Engine, p *message.Printer) (what string, of []*incident.Incident, well bool) {
	if i := x.incident; i != nil {
		return fmt.Sprintf("%s (%s)", i.Title, i.Stage), []*incident.Incident{i}, !active(i.Stage)
	}
	c, ok := e.Fleet.Cluster(x.ref.Cluster)
	if !ok {
		return "", nil, true
	}
	of = slices.DeleteFunc(e.Incidents.Open(x.ref.Cluster), func(i *incident.Incident) bool {
		switch {
		case !active(i.Stage):
			return true
		case x.ref.Kind == entity.Cluster:
			return false
		case x.ref.Kind == "Namespace":
			return i.Namespace != x.ref.Name
		}
		mine := []entity.Ref{x.ref}
		if r := c.Find(x.ref); r != nil {
			mine = append(mine, c.Workload(r))
		}
		touches := func(r entity.Ref) bool { return !r.IsZero() && slices.Contains(mine, r) }
		return !touches(i.Cause.Entity) && !slices.ContainsFunc(i.Entities, func(a incident.Affected) bool { return touches(a.Entity) })
	})
	slices.SortStableFunc(of, worstFirst)
	switch score := e.Assessment(x.ref.Cluster).Of(x.ref); {
	case len(of) == 1:
		return p.Sprintf("part of %s: %s", of[0].ID, of[0].Title), of, false
	case len(of) > 1:
		return p.Sprintf("%d open incidents, the worst is %s: %s", len(of), of[0].ID, of[0].Title), of, false
	case score.Final > 0:
		what := p.Sprintf("risk %.2f", score.Final)
		for _, f := range e.Facts(x.ref.Cluster) {
			if f.Entity == x.ref {
				return what + ": " + f.Text, nil, false
			}
		}
		return what, nil, false
	}
	return p.Sprintf("nothing is wrong with it"), nil, true
}

// nameLike gives the words of a text that Kubernetes could have as names.
var nameLike = regexp.MustCompile(`[a-zA-Z0-9](?:[a-zA-Z0-9.-]*[a-zA-Z0-9])?`)

// ofPod is the name of a pod that a workload made, perhaps one that is gone: the workload's name stands before it.
var ofPod = regexp.MustCompile(`^(.+?)(?:-[a-z0-9]{6,10})?-[a-z0-9]{5}$`)

// namedIn finds what a text names, in its order. A name counts in the namespaces and clusters that the text names too, where it
// is in one of them; they are things themselves when it names nothing else.
func namedIn(ctx context.Context, e *engine.Engine, text string) ([]thing, error) {
	index := map[string][]entity.Ref{} // by name, the likeliest kind first
	spaces := map[string][]entity.Ref{}
	for _, id := range e.Fleet.Clusters() {
		c, ok := e.Fleet.Cluster(id)
		if !ok {
			continue
		}
		for _, k := range searched {
			for _, r := range c.List(k, "") {
				index[r.GetName()] = append(index[r.GetName()], c.Ref(r))
				if ns := r.GetNamespace(); ns != "" {
					ref := entity.Ref{Cluster: id, Kind: "Namespace", Name: ns}
					if !slices.Contains(spaces[ns], ref) {
						spaces[ns] = append(spaces[ns], ref)
					}
				}
			}
		}
	}
	var out []thing
	var within []entity.Ref // clusters and namespaces
	add := func(x thing) {
		if len(out) < maxFound && !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	var names []string
	for _, w := range nameLike.FindAllString(text, -1) {
		lower := strings.ToLower(w)
		if slices.Contains(names, lower) {
			continue
		}
		names = append(names, lower)
		for _, id := range e.Fleet.Clusters() {
			if strings.EqualFold(id, w) {
				within = append(within, entity.Ref{Cluster: id, Kind: entity.Cluster, Name: id})
			}
		}
		within = append(within, spaces[lower]...)
		if incidentID.MatchString(w) {
			i, err := find(ctx, e, Caller{}, w)
			var none *Problem // there is no such incident
			switch {
			case err == nil:
				add(thing{incident: i})
			case !errors.As(err, &none):
				return nil, err
			}
		}
	}
	for _, name := range names {
		refs := index[name]
		if refs == nil {
			first, _, _ := strings.Cut(name, ".") // payments.shop.svc
			refs = index[first]
		}
		if m := ofPod.FindStringSubmatch(name); refs == nil && m != nil {
			refs = slices.DeleteFunc(slices.Clone(index[m[1]]), func(r entity.Ref) bool { return !slices.Contains(workloads, r.Kind) })
		}
		if len(spaces[name]) > 0 && !slices.ContainsFunc(refs, func(r entity.Ref) bool { return r.Kind != entity.Ingress }) {
			refs = nil // an Ingress is often named as its namespace
		}
		for _, r := range narrowed(refs, within) {
			add(thing{ref: r})
		}
	}
	if len(out) == 0 {
		for _, r := range within {
			add(thing{ref: r})
		}
	}
	return out, nil
}

// narrowed gives, of the objects of one name, those of the likeliest kind, where the text says that they are.
func narrowed(refs, within []entity.Ref) []entity.Ref {
	keep := func(in func(r, w entity.Ref) bool) {
		here := slices.DeleteFunc(slices.Clone(refs), func(r entity.Ref) bool {
			return !slices.ContainsFunc(within, func(w entity.Ref) bool { return in(r, w) })
		})
		if len(here) > 0 {
			refs = here
		}
	}
	keep(func(r, w entity.Ref) bool { return w.Kind == entity.Cluster && r.Cluster == w.Cluster })
	keep(func(r, w entity.Ref) bool { return w.Kind == "Namespace" && r.Namespace == w.Name })
	for _, k := range searched {
		of := slices.DeleteFunc(slices.Clone(refs), func(r entity.Ref) bool { return r.Kind != k })
		if len(of) > 0 {
			return of
		}
	}
	return nil
}
