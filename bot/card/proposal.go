package card

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/message"

	msg "github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Proposal is the card of a write: built from the canonical command and its preview, never from a model's words.
func Proposal(x *command.Proposal, now time.Time, lang string) msg.Message {
	return Say(proposal(x, now, phrase.For(lang)), lang)
}

func proposal(x *command.Proposal, now time.Time, p *message.Printer) msg.Message {
	t := x.Command.Target
	m := msg.Message{
		Title: p.Sprintf("Proposed by %s: %s", x.By.Name, x.Title), Tone: msg.Proposal,
		Gist: fmt.Sprint(x.ID, x.State, len(x.Approvals), x.Result, x.Doubt),
	}
	if x.State != command.Proposed {
		return decided(m, x, p)
	}
	facts := []msg.Fact{{Label: p.Sprintf("where"), Value: place(t.Cluster, t.Namespace)}}
	add := func(label, value string) {
		if value != "" {
			facts = append(facts, msg.Fact{Label: p.Sprintf(label), Value: value})
		}
	}
	var fields, callers []string
	for _, c := range x.Preview.Changes {
		fields = append(fields, field(c))
	}
	for _, c := range x.Preview.Callers {
		callers = append(callers, c.Name)
	}
	yes := approvers(p, x)
	add("why", x.Reason)
	add("touches", strings.Join(x.Preview.Touches, "; "))
	add("changes", short(fields, p))
	add("budget", x.Preview.Budget)
	add("callers", short(callers, p))
	approval := x.Class.String() + ": " + x.Why
	if len(yes) > 0 {
		approval += "; " + p.Sprintf("approved by %s", strings.Join(yes, ", "))
	}
	add("approval", approval)
	add("dry run", x.Preview.DryRun)
	add("expires", p.Sprintf("in %s", Span(x.Expires.Sub(now)))+" ("+clock(x.Expires)+")")
	m.Blocks = append(m.Blocks, msg.Facts{Facts: facts})
	if len(x.Preview.Objects) > 0 {
		m.Blocks = append(m.Blocks, msg.List{Heading: p.Sprintf("Every object"), Items: x.Preview.Objects})
	}
	if len(x.Preview.Warnings) > 0 {
		m.Blocks = append(m.Blocks, msg.List{Heading: p.Sprintf("Mind"), Items: x.Preview.Warnings})
	}
	// The dangerous one is never first.
	approve := msg.Button{Label: x.Button, Action: ActApprove, Subject: x.ID, Style: msg.Danger}
	reject := msg.Button{Label: p.Sprintf("Reject"), Action: ActReject, Subject: x.ID}
	buttons := []msg.Button{reject, approve}
	if len(x.Preview.Changes) > 0 {
		buttons = []msg.Button{{Label: p.Sprintf("Show diff"), Action: ActDiff, Subject: x.ID}, approve, reject}
	}
	m.Blocks = append(m.Blocks, msg.Actions{Buttons: buttons})
	return m
}

// field is one changed field as a person calls it: where every object keeps it is left out, and short values are shown.
func field(c command.FieldChange) string {
	const longest = 60
	name := c.Path
	for _, where := range []string{"spec.template.spec.", "spec.template.metadata.", "metadata.", "spec."} {
		if rest, ok := strings.CutPrefix(name, where); ok {
			name = rest
			break
		}
	}
	if utf8.RuneCountInString(c.Before) > longest || utf8.RuneCountInString(c.After) > longest || c.Before+c.After == "" {
		return name
	}
	none := func(s string) string {
		if s == "" {
			return "–"
		}
		return s
	}
	return name + " " + none(c.Before) + " → " + none(c.After)
}

// decided is the card after the decision: the buttons are gone and the outcome stands in their place.
func decided(m msg.Message, x *command.Proposal, p *message.Printer) msg.Message {
	m.Title = upper(x.Title)
	word := ""
	switch x.State {
	case command.Approved, command.Running:
		m.Tone, word = msg.Recovering, p.Sprintf("running")
	case command.Done:
		m.Tone, word = msg.Recovering, p.Sprintf("done, being verified")
	case command.Verified:
		m.Tone, word = msg.Done, p.Sprintf("verified")
	case command.Unverified:
		m.Tone, word = msg.Failed, p.Sprintf("ran and did not help")
	case command.Failed:
		m.Tone, word = msg.Failed, p.Sprintf("failed")
	case command.Unsure:
		m.Tone, word = msg.Unknown, p.Sprintf("unknown whether it ran")
	case command.Rejected:
		word = p.Sprintf("rejected by %s", x.Decided)
	case command.Expired:
		word = p.Sprintf("expired; nothing ran")
	case command.Superseded:
		word = p.Sprintf("the object changed after the preview; nothing ran")
	}
	if m.Tone == msg.Proposal { // nothing ran, and nothing will
		m.Tone = msg.Plain
	}
	who := p.Sprintf("asked by %s", x.By.Name)
	if yes := approvers(p, x); len(yes) > 0 {
		who += ", " + p.Sprintf("approved by %s", strings.Join(yes, ", "))
	}
	line := []string{word, who}
	if !x.RanAt.IsZero() && !x.EndedAt.IsZero() {
		line = append(line, Span(x.EndedAt.Sub(x.RanAt)))
	}
	for _, s := range []string{x.Result, x.Doubt} {
		if s != "" {
			line = append(line, s)
		}
	}
	m.Context = strings.Join(line, " · ")
	if x.Undoable() {
		m.Blocks = append(m.Blocks, msg.Actions{Buttons: []msg.Button{{Label: p.Sprintf("Undo"), Action: ActUndo, Subject: x.ID}}})
	}
	return m
}

// approvers names who said yes, and who said it alone for which reason.
func approvers(p *message.Printer, x *command.Proposal) []string {
	var out []string
	for _, a := range x.Approvals {
		name := a.By.Name
		if a.BreakGlass != "" {
			name = p.Sprintf("%s alone (broke the glass: %s)", name, a.BreakGlass)
		}
		out = append(out, name)
	}
	return out
}

// Diff is the dry run's diff of a proposal.
func Diff(x *command.Proposal, lang string) msg.Message {
	p := phrase.For(lang)
	m := msg.Message{Title: p.Sprintf("What would change: %s", x.Title), Private: true}
	var b strings.Builder
	for _, c := range x.Preview.Changes {
		fmt.Fprintf(&b, "%s\n", c.Path)
		for _, side := range []struct{ mark, text string }{{"- ", c.Before}, {"+ ", c.After}} {
			if side.text == "" {
				continue
			}
			for l := range strings.SplitSeq(side.text, "\n") {
				b.WriteString(side.mark + l + "\n")
			}
		}
	}
	if b.Len() == 0 {
		m.Blocks = []msg.Block{msg.Paragraph{Text: p.Sprintf("(nothing)")}}
	} else {
		m.Blocks = []msg.Block{msg.Code{Text: b.String()}}
	}
	return Say(m, lang)
}

func upper(s string) string {
	r, n := utf8.DecodeRuneInString(s)
	if n == 0 {
		return ""
	}
	return string(unicode.ToUpper(r)) + s[n:]
}
