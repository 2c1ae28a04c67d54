// Package card turns what the engine knows into messages: the incident's parent message, the proposal with its
// buttons, a tool's answer, the help. It decides nothing; figures come from its input and are never computed anew.
package card

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/bot/chart"
	msg "github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// The actions that buttons carry. Their subjects are ids: of an incident, a proposal or a stored choice.
const (
	ActExplain  = "incident.explain"
	ActTimeline = "incident.timeline"
	ActAck      = "incident.ack"
	ActSilence  = "incident.silence"
	ActFix      = "incident.fix"
	ActRight    = "incident.right"
	ActWrong    = "incident.wrong"
	ActNoise    = "incident.noise"
	ActReview   = "incident.postmortem"
	ActModel    = "model.set"
	ActAsk      = "ask"   // opens a form for a question
	ActLang     = "lang"  // opens a form for the person's language
	ActWhole    = "whole" // subject: a stored answer that was cut
	ActApprove  = "proposal.approve"
	ActReject   = "proposal.reject"
	ActDiff     = "proposal.diff"
	ActUndo     = "proposal.undo"
	ActChoice   = "choice"
	ActFill     = "fill" // a stored choice whose call lacks what a form asks for
	ActSay      = "say"  // subject: a command line of ours, such as "incidents"
)

// maxButtons is how many ways to resolve an ambiguity are buttons; more are a list.
const maxButtons = 5

// maxList is how many items of a long list are shown before "+N more".
const maxList = 5

func tone(s incident.Stage) msg.Tone {
	switch s {
	case incident.StageAlert:
		return msg.Alert
	case incident.StageWarning:
		return msg.Warning
	case incident.StageIncident:
		return msg.Incident
	case incident.StageRecovering:
		return msg.Recovering
	case incident.StageResolved, incident.StageCleared:
		return msg.Resolved
	}
	return msg.Unknown
}

// StageWord is what a person reads beside the mark.
func StageWord(p *message.Printer, s incident.Stage) string {
	switch s {
	case incident.StageIncident:
		return p.Sprintf("Incident")
	case incident.StageWarning:
		return p.Sprintf("Warning")
	case incident.StageAlert:
		return p.Sprintf("alert")
	case incident.StageRecovering:
		return p.Sprintf("recovering")
	case incident.StageResolved:
		return p.Sprintf("resolved")
	case incident.StageCleared:
		return p.Sprintf("cleared")
	}
	return p.Sprintf("unknown")
}

func place(cluster, namespace string) string {
	if namespace == "" {
		return cluster
	}
	return cluster + " / " + namespace
}

// Span gives a duration as a person says it: "40 s", "6 min", "3 h 5 min", "2 d".
func Span(d time.Duration) string {
	switch {
	case d < 0:
		return "0 s"
	case d < 90*time.Second:
		return fmt.Sprintf("%d s", int(d.Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%d min", int(d.Minutes()))
	case d < 24*time.Hour:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%d d", int(d.Hours()/24))
}

// short gives the first of a list, and how many more there are.
func short(items []string, p *message.Printer) string {
	s := strings.Join(items[:min(len(items), maxList)], ", ")
	if more := len(items) - maxList; more > 0 {
		s += " " + p.Sprintf("+%d more", more)
	}
	return s
}

// Result is a tool's answer; a long table comes page by page. choice stores what a button stands for and gives its id.
func Result(r *tools.Result, now time.Time, lang string, choice func(tools.Option) (string, error)) (msg.Message, error) {
	p := phrase.For(lang)
	m := msg.Message{Title: r.Headline, Private: r.Private}
	if len(r.Missing) > 0 { // what could not be looked at is said first
		m.Blocks = append(m.Blocks, msg.List{Heading: p.Sprintf("Could not look at everything"), Items: r.Missing})
	}
	for _, l := range r.Links {
		m.Blocks = append(m.Blocks, Link(l.Label, l.URL))
	}
	if len(r.Facts) > 0 {
		facts := make([]msg.Fact, 0, len(r.Facts))
		for _, f := range r.Facts {
			v := f.Value
			if f.Normal != "" {
				v += " (" + p.Sprintf("normal %s", f.Normal) + ")"
			}
			facts = append(facts, msg.Fact{Label: f.Label, Value: v})
		}
		m.Blocks = append(m.Blocks, msg.Facts{Facts: facts})
	}
	for _, c := range r.Charts {
		m.Blocks = append(m.Blocks, Chart(c, lang))
	}
	var next []tools.Option
	for i, t := range r.Tables {
		if len(t.Rows) == 0 {
			continue
		}
		const page = 15
		from := 0
		if i == 0 && r.From < len(t.Rows) {
			from = r.From
		}
		till := min(len(t.Rows), from+page)
		shown := msg.Table{Heading: t.Heading, Columns: t.Columns, Rows: t.Rows[from:till], More: max(t.Total, len(t.Rows)) - till}
		m.Blocks = append(m.Blocks, worded(shown, lang))
		if i == 0 && till < len(t.Rows) && r.Args != nil {
			label := p.Sprintf("Rows %d to %d of %d", till+1, min(len(t.Rows), till+page), max(t.Total, len(t.Rows)))
			next = append(next, tools.Option{Label: label, Tool: r.Tool, Args: r.Args, From: till})
		}
	}
	for _, l := range r.Lists {
		items := strings.Split(strings.TrimSpace(l.Body), "\n")
		if len(items) == 1 && items[0] == "" {
			continue
		}
		const most = 15
		m.Blocks = append(m.Blocks, msg.List{Heading: l.Heading, Items: items[:min(len(items), most)], More: max(0, len(items)-most)})
	}
	for _, t := range r.Texts {
		if t.Body == "" {
			m.Blocks = append(m.Blocks, msg.Paragraph{Heading: t.Heading, Text: p.Sprintf("(nothing)")})
			continue
		}
		m.Blocks = append(m.Blocks, msg.Code{Heading: t.Heading, Text: t.Body, Truncated: t.Truncated})
	}
	for _, f := range r.Files {
		m.Blocks = append(m.Blocks, msg.File{Name: f.Name, Text: f.Body})
	}
	var buttons []msg.Button
	for _, o := range slices.Concat(r.Options, next, r.Next) {
		id, err := choice(o)
		if err != nil {
			return m, err
		}
		buttons = append(buttons, msg.Button{Label: o.Label, Action: ActChoice, Subject: id})
	}
	if n := len(r.Options); n > maxButtons {
		m.Blocks = append(m.Blocks, msg.Select{Placeholder: p.Sprintf("Choose one of %d", n), Options: buttons[:n]})
		buttons = buttons[n:]
	}
	for len(buttons) > 0 {
		n := min(4, len(buttons))
		m.Blocks = append(m.Blocks, msg.Actions{Buttons: buttons[:n]})
		buttons = buttons[n:]
	}
	if !r.Observed.IsZero() && now.Sub(r.Observed) > 2*time.Second {
		m.Footer = p.Sprintf("as of %s ago", Span(now.Sub(r.Observed)))
	}
	return Say(m, lang), nil
}

// wordy are the columns whose cells are words of ours, not names.
var wordy = []string{"ROLE", "STAGE", "SEVERITY"}

// worded gives a table the words of a language, in its head and where its cells are words.
func worded(t msg.Table, lang string) msg.Table {
	if phrase.Match(lang) == "en" {
		return t
	}
	head := make([]string, len(t.Columns))
	rows := make([][]string, len(t.Rows))
	for i, r := range t.Rows {
		rows[i] = slices.Clone(r)
	}
	for n, c := range t.Columns {
		head[n] = phrase.Word(lang, c)
		for _, r := range rows {
			if n < len(r) && slices.Contains(wordy, c) {
				r[n] = phrase.Word(lang, r[n])
			}
		}
	}
	t.Columns, t.Rows = head, rows
	return t
}

// Say puts what the engine wrote into a message in a reader's language.
func Say(m msg.Message, lang string) msg.Message {
	m.Lang = lang
	if phrase.Match(lang) == "en" {
		return m
	}
	return m.Map(func(s string) string { return phrase.Say(lang, s) })
}

// Chart is a course as a picture in a reader's language, with the same figures beside it. What cannot be drawn is still told.
func Chart(c tools.Chart, lang string) msg.Image {
	out := msg.Image{Name: c.Title, Alt: c.Alt, Spark: c.Spark}
	if png, err := chart.Draw(c, lang); err == nil {
		out.PNG = png
	}
	return out
}

// Link is a link of ours to a page of ours, as a block of its own.
func Link(label, url string) msg.Block { return msg.Markdown{Text: "[" + label + "](" + url + ")"} }

// Problem is an error that the asker can mend.
func Problem(sentence, remedy, lang string) msg.Message {
	m := msg.Message{Tone: msg.Failed, Title: sentence, Private: true}
	if remedy != "" {
		m.Blocks = append(m.Blocks, msg.Paragraph{Text: remedy})
	}
	return Say(m, lang)
}

// Help lists what a person can ask, in three lists that no surface has to cut: how each command is written, and not what
// it does, which HelpOn says. Flags that nearly every command has are said once, beneath.
func Help(specs []tools.Spec, lang string) msg.Message {
	p := phrase.For(lang)
	groups := []struct {
		heading string
		lines   []string
	}{{heading: p.Sprintf("Ask")}, {heading: p.Sprintf("Act (proposes; nothing runs without a click)")}, {heading: p.Sprintf("Roles and records")}}
	common := strings.NewReplacer(" [-n NAMESPACE]", "", " [--cluster C]", "")
	for _, s := range specs {
		g := &groups[0]
		switch {
		case s.Write:
			g = &groups[1]
		case s.ByHand:
			g = &groups[2]
		}
		g.lines = append(g.lines, common.Replace(s.Usage))
	}
	m := msg.Message{
		Title: p.Sprintf("Ask me in plain words, or with a command."), Private: true,
		Footer: p.Sprintf("Where it makes sense: -n NAMESPACE, --cluster CLUSTER. What a command does: help COMMAND."),
	}
	for _, g := range groups {
		if len(g.lines) > 0 {
			m.Blocks = append(m.Blocks, msg.Code{Heading: g.heading, Text: strings.Join(g.lines, "\n")})
		}
	}
	return m
}

// HelpOn says all of the commands whose words hold a text, such as "slo" or "restart".
func HelpOn(specs []tools.Spec, text, lang string) msg.Message {
	p := phrase.For(lang)
	m := msg.Message{Title: p.Sprintf("Commands with %s:", text), Private: true}
	for _, s := range specs {
		verb, _, _ := strings.Cut(s.Usage, " ")
		if strings.Contains(s.Verb, text) || strings.Contains(verb, text) {
			m.Blocks = append(m.Blocks, msg.Paragraph{Heading: "/atl " + s.Usage, Text: phrase.Say(lang, s.Summary)})
		}
	}
	if len(m.Blocks) == 0 {
		m.Title = p.Sprintf("No command has %s in its name.", text)
		m.Blocks = []msg.Block{msg.Paragraph{Text: p.Sprintf("help lists them all.")}}
	}
	return m
}

// Home is what /atl alone shows: the five things that a person wants now.
func Home(overview *tools.Result, pending int, now time.Time, lang string, choice func(tools.Option) (string, error)) (msg.Message, error) {
	p := phrase.For(lang)
	short := *overview
	short.Next, short.Lists = nil, nil
	m, err := Result(&short, now, lang, choice)
	if err != nil {
		return m, err
	}
	m.Blocks = append(m.Blocks, msg.Actions{Buttons: []msg.Button{
		{Label: p.Sprintf("Open incidents"), Action: ActSay, Subject: "incidents"},
		{Label: p.Sprintf("Pending approvals (%d)", pending), Action: ActSay, Subject: "pending"},
		{Label: p.Sprintf("My clusters"), Action: ActSay, Subject: "clusters"},
		{Label: p.Sprintf("What changed in the last hour"), Action: ActSay, Subject: "changes"},
	}}, msg.Actions{Buttons: []msg.Button{{Label: p.Sprintf("Help"), Action: ActSay, Subject: "help"}}})
	return m, nil
}
