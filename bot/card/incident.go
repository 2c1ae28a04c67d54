package card

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/message"

	msg "github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// over says whether an incident is history, whatever its cluster does now.
func over(i *incident.Incident) bool {
	return i.Stage == incident.StageResolved || i.Stage == incident.StageCleared
}

// Incident is the parent message, the only one of its incident in the channel, edited in place: what, where, how bad and
// since when in its first line, the likely cause in the second, then whom it hurts and what can be done.
func Incident(i *incident.Incident, silent bool, now time.Time, lang string) msg.Message {
	return Say(parent(i, silent, now, phrase.For(lang)), lang)
}

func parent(i *incident.Incident, silent bool, now time.Time, p *message.Printer) msg.Message {
	m := msg.Message{Tone: tone(i.Stage), Title: i.Title + " — " + place(i.Cluster, i.Namespace), Gist: gist(i, silent, now)}
	switch {
	case i.MergedInto != "":
		// Neither red nor green: how it stands is told by the other record.
		m.Tone, m.Context = msg.Plain, i.ID+" · "+p.Sprintf("one cause with %s: go on there", i.MergedInto)
		return m
	case over(i):
		return resolved(m, i, now, p)
	}
	word := StageWord(p, i.Stage)
	if silent {
		m.Tone = msg.Unknown
		m.Blocks = append(m.Blocks, msg.Paragraph{Text: p.Sprintf("The cluster's agent is silent: the state is unknown.") + " " + p.Sprintf("It was: %s.", word)})
		word = p.Sprintf("unknown")
	}
	// The age is of the last edit and the card may stand for hours without one: the time beside it stays true.
	m.Context = strings.Join([]string{i.ID, word, Span(i.Duration(now)), p.Sprintf("since %s", clock(i.OpenedAt))}, " · ")
	if what, _ := subject(i); what != "" && i.Stage == incident.StageRecovering && !silent {
		m.Title = p.Sprintf("%s is recovering", what) + " — " + place(i.Cluster, i.Namespace) // blue beside "is failing" would confuse
	}
	m.Blocks = append(m.Blocks, msg.Paragraph{Text: causeLine(i, p)})
	if s := impact(i, p); s != "" {
		m.Blocks = append(m.Blocks, msg.Paragraph{Text: s})
	}
	if i.FixSummary != "" {
		m.Blocks = append(m.Blocks, msg.Paragraph{Text: p.Sprintf("Fix: %s", i.FixSummary)})
	}
	var foot []string
	if i.Acknowledged != "" {
		foot = append(foot, p.Sprintf("Acknowledged by %s", i.Acknowledged))
	}
	quiet := i.SilencedTill.After(now)
	if quiet {
		foot = append(foot, p.Sprintf("%s is quiet until %s, or at once if it gets worse.", i.ID, clock(i.SilencedTill)))
	}
	m.Footer = strings.Join(foot, " · ")

	act := []msg.Button{{Label: p.Sprintf("Explain"), Action: ActExplain, Subject: i.ID, Style: msg.Primary}}
	if i.Stage != incident.StageRecovering || i.Fix == "" {
		act = append(act, msg.Button{Label: p.Sprintf("Suggest fix"), Action: ActFix, Subject: i.ID})
	}
	if i.Acknowledged == "" {
		act = append(act, msg.Button{Label: p.Sprintf("Acknowledge"), Action: ActAck, Subject: i.ID})
	}
	look := []msg.Button{{Label: p.Sprintf("Timeline"), Action: ActTimeline, Subject: i.ID}}
	if !quiet {
		look = append(look, msg.Button{Label: p.Sprintf("Silence…"), Action: ActSilence, Subject: i.ID})
	}
	m.Blocks = append(m.Blocks, msg.Actions{Buttons: act}, msg.Actions{Buttons: look})
	return m
}

// clock is a time of day, for a reader whose zone is not known.
func clock(t time.Time) string { return t.UTC().Format("15:04 MST") }

// gist is the state of an incident without its figures: what makes an edit worth reading again.
func gist(i *incident.Incident, silent bool, now time.Time) string {
	what, _ := subject(i)
	fixed := ""
	if over(i) {
		fixed = i.FixSummary
	}
	return strings.Join([]string{
		string(i.Stage), what, i.Cause.Entity.String(), i.Fix, fixed, i.Acknowledged, i.MergedInto,
		fmt.Sprint(silent && !over(i), !over(i) && i.SilencedTill.After(now)), judged(i, phrase.For("en")),
	}, "\x1f")
}

// subject gives what the title speaks of, as the title names it: titles begin with the name of one of the incident's
// entities, with "node" or "pod" before it where it is one. It is empty when the title is of another form.
func subject(i *incident.Incident) (string, entity.Ref) {
	words := strings.SplitN(i.Title, " ", 3)
	name := words[0]
	if len(words) > 1 && (name == "node" || name == "pod") {
		name = words[1]
	}
	name = strings.TrimSuffix(name, ":")
	text := strings.TrimSuffix(strings.TrimSuffix(strings.Join(words[:min(2, len(words))], " "), ":"), ":")
	if name == strings.TrimSuffix(words[0], ":") {
		text = name
	}
	for _, x := range i.Entities {
		if x.Entity.Name == name && x.Role != incident.RoleRootCause {
			return text, x.Entity
		}
	}
	if i.Cause.Entity.Name == name {
		return text, i.Cause.Entity
	}
	return "", entity.Ref{}
}

func causeLine(i *incident.Incident, p *message.Printer) string {
	c := i.Cause
	if c.Entity.IsZero() {
		return p.Sprintf("Likely cause: unknown yet.")
	}
	s := p.Sprintf("Likely cause: %s", strings.TrimSuffix(c.Summary, "."))
	return s + " (" + tools.Confidence(p, c.Confidence) + ")"
}

// impact says whom it hurts and how: the figure of what the title speaks of, then what else is affected. Pods stand
// behind their workloads, so they are left out, unless there is nothing else to say.
func impact(i *incident.Incident, p *message.Printer) string {
	_, about := subject(i)
	var lead, also string
	var names, pods []string
	for _, x := range i.Entities {
		switch {
		case x.Role == incident.RoleRootCause || x.Entity == i.Cause.Entity:
			continue
		case x.Entity.Kind == entity.Pod:
			pods = append(pods, x.Entity.Short())
			continue
		}
		figure := ""
		if x.Why != "" {
			figure = x.Entity.Short() + ": " + strings.TrimPrefix(x.Why, x.Entity.Short()+": ")
		}
		switch {
		case x.Entity == about && figure != "":
			lead = figure
			continue
		case also == "" && x.Role == incident.RoleSymptom:
			also = figure
		}
		names = append(names, x.Entity.Short())
	}
	if lead == "" && also != "" {
		lead = also
		names = without(names, strings.SplitN(also, ": ", 2)[0])
	}
	if lead == "" && len(names) == 0 {
		names = pods
	}
	var parts []string
	switch {
	case lead != "" && i.Stage == incident.StageRecovering: // the figure is from when it last hurt
		parts = append(parts, p.Sprintf("Impact was: %s", lead))
	case lead != "":
		parts = append(parts, p.Sprintf("Impact: %s", lead))
	}
	if cost := i.Budget; cost != "" {
		if _, spent, burns := strings.Cut(cost, ", "); burns && strings.Contains(lead, "budget burning") {
			cost = spent // at what rate it burns is said already
		}
		parts = append(parts, cost)
	}
	if len(names) > 0 {
		parts = append(parts, p.Sprintf("Affected: %s", short(names, p)))
	}
	return strings.Join(parts, " · ")
}

func without(names []string, name string) []string {
	var out []string
	for _, n := range names {
		if n != name {
			out = append(out, n)
		}
	}
	return out
}

// resolved is the card of what is over. The title says so in words: green beside "is failing" would confuse.
func resolved(m msg.Message, i *incident.Incident, now time.Time, p *message.Printer) msg.Message {
	title := p.Sprintf("Over: %s", i.Title)
	if what, _ := subject(i); what != "" {
		title = p.Sprintf("%s recovered", what)
	}
	m.Title = title + " — " + place(i.Cluster, i.Namespace)
	m.Context = strings.Join([]string{i.ID, StageWord(p, i.Stage), Span(i.Duration(now))}, " · ")
	if !i.Cause.Entity.IsZero() {
		m.Blocks = append(m.Blocks, msg.Paragraph{Text: p.Sprintf("Cause: %s", strings.TrimSuffix(i.Cause.Summary, "."))})
	}
	how := p.Sprintf("It healed without a fix from here.")
	switch {
	case i.FixSummary != "" && !i.Follow.Fixed.IsZero():
		how = p.Sprintf("Fixed by: %s", i.FixSummary)
	case i.FixSummary != "":
		how = p.Sprintf("Tried: %s", i.FixSummary)
	}
	if i.Budget != "" {
		how += " · " + i.Budget
	}
	m.Blocks = append(m.Blocks, msg.Paragraph{Text: how}, msg.Actions{Buttons: []msg.Button{
		{Label: p.Sprintf("Timeline"), Action: ActTimeline, Subject: i.ID},
		{Label: p.Sprintf("Explain"), Action: ActExplain, Subject: i.ID},
		{Label: p.Sprintf("Post-mortem"), Action: ActReview, Subject: i.ID},
	}})
	if !i.Cause.Entity.IsZero() {
		m.Blocks = append(m.Blocks, msg.Actions{Buttons: []msg.Button{
			{Label: p.Sprintf("Right cause"), Action: ActRight, Subject: i.ID},
			{Label: p.Sprintf("Wrong cause"), Action: ActWrong, Subject: i.ID},
			{Label: p.Sprintf("Noise"), Action: ActNoise, Subject: i.ID},
		}})
	}
	m.Footer = judged(i, p)
	return m
}

// judged says who found the cause right, wrong, or the whole noise.
func judged(i *incident.Incident, p *message.Printer) string {
	var parts []string
	who := map[incident.Judgement][]string{}
	for _, v := range i.Votes {
		who[v.Judgement] = append(who[v.Judgement], v.Name)
	}
	if names := who[incident.Right]; len(names) > 0 {
		parts = append(parts, p.Sprintf("Right cause: %s", short(names, p)))
	}
	if names := who[incident.Wrong]; len(names) > 0 {
		parts = append(parts, p.Sprintf("Wrong cause: %s", short(names, p)))
	}
	if names := who[incident.Noise]; len(names) > 0 {
		parts = append(parts, p.Sprintf("Noise: %s", short(names, p)))
	}
	return strings.Join(parts, " · ")
}
