package tools

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/tools/phrase"
)

func postMortemTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "postmortem", verb: "postmortem", usage: "postmortem [INCIDENT]", pos: []string{"id"}}
	return define(s, func(ctx context.Context, caller Caller, a incidentArgs) (*Result, error) {
		i, err := find(ctx, e, caller, a.ID)
		if err != nil {
			return nil, err
		}
		tried, err := e.Proposals(ctx, command.Filter{Incident: i.ID})
		if err != nil {
			return nil, err
		}
		slices.Reverse(tried) // oldest first
		p, now := phrase.For(caller.Lang), e.Now()
		return &Result{
			Headline: p.Sprintf("Draft of the post-mortem of %s · %s", i.ID, i.Title) + " · " + placeOf(i),
			Cluster:  i.Cluster, Incident: i.ID, Observed: now, Files: []File{{Name: i.ID + "-postmortem.md", Body: PostMortem(caller.Lang, i, tried, now)}},
		}, nil
	})
}

// PostMortem drafts the post-mortem of an incident in Markdown, in a language. It holds what the incident's record and the
// proposals made for it say, and nothing else: what they do not say is an open question.
func PostMortem(lang string, i *incident.Incident, tried []*command.Proposal, now time.Time) string {
	d := &draft{p: phrase.For(lang), lang: lang, i: i, tried: tried, now: now}
	d.line("# " + d.p.Sprintf("Post-mortem (draft): %s", d.told(i.Title)))
	d.line("")
	d.line(strings.Join([]string{i.ID, plainText(placeOf(i)), phrase.Word(lang, string(i.Severity)), d.when(i.OpenedAt) + " – " + d.end(), Age(i.Duration(now))}, " · "))
	d.summary()
	d.impact()
	d.timeline()
	d.cause()
	d.trials()
	d.suspects()
	d.questions()
	return d.b.String()
}

type draft struct {
	p     *message.Printer
	lang  string
	i     *incident.Incident
	tried []*command.Proposal
	now   time.Time
	b     strings.Builder
}

func (d *draft) line(s string) { d.b.WriteString(s + "\n") }

func (d *draft) heading(s string) { d.line("\n## " + s + "\n") }

// marks are the characters that would make a cluster's text something else than text: a link, a tag, a column.
var marks = strings.NewReplacer(`\`, `\\`, "|", `\|`, "<", "&lt;", "*", `\*`, "`", "\\`", "[", `\[`)

// plainText makes one line of plain text of what may come from a cluster.
func plainText(s string) string { return marks.Replace(strings.Join(strings.Fields(s), " ")) }

// told makes one line of what the engine wrote, in the reader's language: a report in two languages reads as neither.
func (d *draft) told(s string) string { return plainText(phrase.Say(d.lang, s)) }

// word is one of the engine's own words, such as a severity.
func (d *draft) word(s string) string { return phrase.Word(d.lang, s) }

// sentence is what the engine wrote without its end, to stand within a sentence.
func (d *draft) sentence(s string) string {
	return strings.TrimSuffix(strings.TrimSuffix(d.told(s), "."), "。")
}

func (d *draft) table(columns []string, rows [][]string) {
	d.line("| " + strings.Join(columns, " | ") + " |")
	d.line("|" + strings.Repeat(" --- |", len(columns)))
	for _, r := range rows {
		d.line("| " + strings.Join(r, " | ") + " |")
	}
}

func (d *draft) when(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

func (d *draft) end() string {
	if d.i.ResolvedAt.IsZero() {
		return d.p.Sprintf("not over yet")
	}
	return d.when(d.i.ResolvedAt) + " UTC"
}

func (d *draft) summary() {
	d.heading(d.p.Sprintf("Summary"))
	i := d.i
	d.line(d.p.Sprintf("At %s UTC AtlHyper opened %s: %s (%s).", d.when(i.OpenedAt), i.ID, d.told(i.Title), plainText(placeOf(i))))
	switch {
	case i.Cause.Entity.IsZero():
		d.line(d.p.Sprintf("No root cause was found."))
	default:
		d.line(d.p.Sprintf("Root cause, confidence %s: %s.", d.word(i.Cause.Confidence), d.sentence(i.Cause.Summary)))
	}
	switch {
	case i.MergedInto != "":
		d.line(d.p.Sprintf("It has one cause with %s and was taken in there.", i.MergedInto))
	case i.ResolvedAt.IsZero():
		d.line(d.p.Sprintf("It is not over yet."))
	case i.FixSummary != "" && !i.Follow.Fixed.IsZero():
		d.line(d.p.Sprintf("After %s it was over, fixed by: %s.", Age(i.Duration(d.now)), d.sentence(i.FixSummary)))
	default:
		d.line(d.p.Sprintf("After %s it was over, without a fix from here.", Age(i.Duration(d.now))))
	}
}

func (d *draft) impact() {
	d.heading(d.p.Sprintf("Impact"))
	i := d.i
	d.line("- " + d.p.Sprintf("Peak risk %.2f, severity %s.", i.PeakRisk, d.word(string(i.Severity))))
	if i.Budget != "" {
		d.line("- " + d.p.Sprintf("Error budget: %s.", d.told(i.Budget)))
	} else {
		d.line("- " + d.p.Sprintf("Error budget: unknown, because no objective counts what it touched."))
	}
	if i.Recurrence > 0 {
		d.line("- " + d.p.Sprintf("It came back %d times.", i.Recurrence))
	}
	var rows [][]string
	for _, a := range i.Entities {
		rows = append(rows, []string{plainText(a.Entity.Short()), plainText(a.Entity.Namespace), d.role(a.Role), d.told(a.Why), fmt.Sprintf("%.2f", a.RFinal)})
	}
	if len(rows) > 0 {
		d.line("")
		d.table([]string{d.p.Sprintf("What"), d.p.Sprintf("Namespace"), d.p.Sprintf("Part"), d.p.Sprintf("Why"), d.p.Sprintf("Risk")}, rows)
	}
}

func (d *draft) role(r incident.Role) string {
	switch r {
	case incident.RoleRootCause:
		return d.p.Sprintf("root cause")
	case incident.RoleSymptom:
		return d.p.Sprintf("symptom")
	}
	return d.p.Sprintf("affected")
}

func (d *draft) timeline() {
	d.heading(d.p.Sprintf("Timeline (UTC)"))
	var rows [][]string
	for _, t := range d.i.Timeline {
		rows = append(rows, []string{d.when(t.At), d.told(t.Text), plainText(t.By)})
	}
	if len(rows) == 0 {
		d.line(d.p.Sprintf("Nothing was written down."))
		return
	}
	d.table([]string{d.p.Sprintf("Time"), d.p.Sprintf("What"), d.p.Sprintf("Who")}, rows)
}

func (d *draft) cause() {
	d.heading(d.p.Sprintf("Root cause"))
	c := d.i.Cause
	if c.Entity.IsZero() {
		d.line(d.p.Sprintf("No root cause was found."))
		return
	}
	d.line(d.p.Sprintf("%s: %s. Confidence %s, since %s.", plainText(c.Entity.String()), d.sentence(c.Summary), d.word(c.Confidence), d.when(c.Onset)))
	if len(c.Evidence) > 0 {
		d.line("\n" + d.p.Sprintf("Evidence:") + "\n")
		var rows [][]string
		for _, e := range c.Evidence {
			rows = append(rows, []string{d.when(e.At), plainText(e.Entity.Short()), plainText(e.What), d.told(e.Text)})
		}
		d.table([]string{d.p.Sprintf("Time"), d.p.Sprintf("What"), d.p.Sprintf("Sign"), d.p.Sprintf("Reading")}, rows)
	}
	if len(c.Ranking) > 0 {
		d.line("\n" + d.p.Sprintf("Candidates, with the terms of their scores:") + "\n")
		var rows [][]string
		for _, r := range c.Ranking {
			rows = append(rows, []string{plainText(r.Entity.Short()), fmt.Sprintf("%.2f", r.Score), d.told(r.Why)})
		}
		d.table([]string{d.p.Sprintf("Candidate"), d.p.Sprintf("Score"), d.p.Sprintf("Terms")}, rows)
	}
	if len(c.RuledOut) > 0 {
		d.line("\n" + d.p.Sprintf("Ruled out:") + "\n")
		for _, r := range c.RuledOut {
			d.line("- " + d.told(r))
		}
	}
}

func (d *draft) trials() {
	d.heading(d.p.Sprintf("What was tried"))
	if len(d.tried) == 0 {
		d.line(d.p.Sprintf("Nothing was proposed here."))
		return
	}
	var rows [][]string
	for _, t := range d.tried {
		var approved []string
		for _, a := range t.Approvals {
			by := a.By.Name
			if a.BreakGlass != "" {
				by += " (" + d.p.Sprintf("alone: %s", a.BreakGlass) + ")"
			}
			approved = append(approved, plainText(by))
		}
		at := t.Created
		if !t.RanAt.IsZero() {
			at = t.RanAt
		}
		rows = append(rows, []string{d.when(at), d.told(t.Title), plainText(t.By.Name), strings.Join(approved, ", "), d.helped(t.State), d.told(t.Result)})
	}
	d.table([]string{d.p.Sprintf("Time"), d.p.Sprintf("What"), d.p.Sprintf("Asked by"), d.p.Sprintf("Approved by"), d.p.Sprintf("Did it help?"), d.p.Sprintf("Outcome")}, rows)
}

func (d *draft) helped(s command.State) string {
	switch s {
	case command.Verified:
		return d.p.Sprintf("yes, verified")
	case command.Unverified:
		return d.p.Sprintf("no: it ran and the fault went on")
	case command.Failed:
		return d.p.Sprintf("no: it failed")
	case command.Unsure:
		return d.p.Sprintf("unknown: nobody can tell whether it ran")
	case command.Rejected, command.Expired, command.Superseded:
		return d.p.Sprintf("it was not run")
	}
	return d.p.Sprintf("not known yet")
}

func (d *draft) suspects() {
	d.heading(d.p.Sprintf("Changes before it began"))
	if len(d.i.Cause.Suspects) == 0 {
		d.line(d.p.Sprintf("None that is watched."))
		return
	}
	var rows [][]string
	for _, c := range d.i.Cause.Suspects {
		rows = append(rows, []string{d.when(c.At), plainText(c.Entity.Short()), d.told(c.String()), d.before(c.At)})
	}
	d.table([]string{d.p.Sprintf("Time"), d.p.Sprintf("What"), d.p.Sprintf("Change"), d.p.Sprintf("Before the onset")}, rows)
	d.line("\n" + d.p.Sprintf("A change before a fault is a suspect, not a proof."))
}

func (d *draft) before(at time.Time) string {
	if d.i.Cause.Onset.IsZero() || at.After(d.i.Cause.Onset) {
		return "–"
	}
	return Age(d.i.Cause.Onset.Sub(at))
}

// questions are what the facts leave open, each with the fact that leaves it open.
func (d *draft) questions() {
	d.heading(d.p.Sprintf("Open questions"))
	i, c := d.i, d.i.Cause
	ask := func(s string) { d.line("- [ ] " + s) }
	if i.ResolvedAt.IsZero() && i.MergedInto == "" {
		ask(d.p.Sprintf("It is not over: what is still to be done?"))
	}
	switch {
	case c.Entity.IsZero():
		ask(d.p.Sprintf("What was the root cause? None was found."))
	case c.Confidence != "high" && len(c.Ranking) > 1:
		ask(d.p.Sprintf("Was it really %s? The confidence is %s, and %s comes next with %.2f against %.2f.", plainText(c.Entity.Short()), d.word(c.Confidence), plainText(c.Ranking[1].Entity.Short()), c.Ranking[1].Score, c.Ranking[0].Score))
	case c.Confidence != "high":
		ask(d.p.Sprintf("Was it really %s? The confidence is %s.", plainText(c.Entity.Short()), d.word(c.Confidence)))
	}
	switch n := len(c.Suspects); {
	case n == 0:
		ask(d.p.Sprintf("What set it off? No watched change came before it."))
	case n > 1:
		ask(d.p.Sprintf("Which of the %d changes set it off, if any?", n))
	}
	for _, t := range d.tried {
		if t.State == command.Unverified || t.State == command.Failed {
			ask(d.p.Sprintf("Why did it not help: %s?", d.told(t.Title)))
		}
	}
	if !i.ResolvedAt.IsZero() && i.Follow.Fixed.IsZero() {
		ask(d.p.Sprintf("What ended it? No fix from here was verified."))
	}
	if i.Recurrence > 0 {
		ask(d.p.Sprintf("Why did it come back %d times?", i.Recurrence))
	}
	if i.Budget == "" {
		ask(d.p.Sprintf("What did users feel? No objective counts what it touched."))
	}
	if i.Acknowledged == "" {
		ask(d.p.Sprintf("Who looked after it? Nobody acknowledged it."))
	}
	ask(d.p.Sprintf("How would it have been noticed sooner, or not have happened?"))
}
