package card

import (
	"strings"
	"time"

	"golang.org/x/text/message"

	msg "github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Page is what a person's home shows: what is wrong now, where, and who they are here.
type Page struct {
	Headline string // answers what is wrong
	Open     []Opened
	Clusters []msg.Fact // by name: how each is, and its agent
	Dark     bool       // an agent is silent: what is green may be wrong
	OnCall   string
	Role     string // the reader's own
	Speaks   string // in which language the reader is answered
	Stays    bool   // on a page that stands until it is shown anew
	Said     string // the title of the answer to what was pressed here, "" when nothing was
}

// Opened is an open incident, with the address of its thread; "" where it has none.
type Opened struct {
	Incident *incident.Incident
	Silent   bool // its cluster's agent
	Thread   string
}

// maxWhole is how many open incidents are shown with all that their message says; the others are a line each. A surface has
// room for so many rows of buttons, and a phone for so many cards.
const maxWhole = 3

// maxLines is how many further ones are a line, and an option of the list of those that can be explained.
const maxLines = 10

// HomePage is a person's home, the worst first.
func HomePage(h Page, now time.Time, lang string) msg.Message {
	p := phrase.For(lang)
	m := msg.Message{Tone: msg.Resolved, Title: h.Headline, Private: true}
	if h.Said != "" {
		m.Context = "✉️ " + p.Sprintf("Answered under Messages: %s", h.Said)
	}
	if h.Dark {
		m.Tone = msg.Unknown
	}
	var others msg.List
	var menu msg.Select
	for n, o := range h.Open {
		one := parent(o.Incident, o.Silent, now, p)
		if n == 0 {
			m.Tone = one.Tone
		}
		if n < maxWhole {
			m.Blocks = append(m.Blocks, opened(one, o, p, lang)...)
			continue
		}
		line := phrase.Say(lang, one.Title) + " · " + phrase.Say(lang, one.Context)
		if len(others.Items) == maxLines {
			others.More++
			continue
		}
		others.Items = append(others.Items, one.Tone.Mark()+" "+line)
		menu.Options = append(menu.Options, msg.Button{Label: o.Incident.ID + " · " + phrase.Say(lang, one.Title), Action: ActExplain, Subject: o.Incident.ID})
	}
	if len(others.Items) > 0 {
		others.Heading, menu.Placeholder = p.Sprintf("Open too"), p.Sprintf("Explain one of %d", len(menu.Options))
		m.Blocks = append(m.Blocks, others, menu)
	}
	m.Blocks = append(m.Blocks, msg.Actions{Buttons: []msg.Button{
		{Label: p.Sprintf("Ask…"), Action: ActAsk, Subject: "question", Style: msg.Primary},
		{Label: p.Sprintf("What is wrong?"), Action: ActSay, Subject: "status"},
		{Label: p.Sprintf("Language…"), Action: ActLang, Subject: "person"},
	}})
	if len(h.Clusters) > 0 {
		m.Blocks = append(m.Blocks, msg.Facts{Heading: p.Sprintf("Clusters"), Facts: h.Clusters})
	}
	m.Blocks = append(m.Blocks,
		msg.Paragraph{Heading: p.Sprintf("On call"), Text: h.OnCall},
		msg.Facts{Heading: p.Sprintf("You"), Facts: []msg.Fact{{Label: p.Sprintf("Role"), Value: h.Role}, {Label: p.Sprintf("Language"), Value: h.Speaks}}},
	)
	m.Footer = p.Sprintf("As of %s.", now.UTC().Format("15:04:05 MST"))
	if h.Stays {
		m.Footer += " " + p.Sprintf("It is read anew when you open it, and after each button.")
	}
	return Say(m, lang)
}

// opened is one incident in three lines, what its message says of it, and what leads on.
func opened(one msg.Message, o Opened, p *message.Printer, lang string) []msg.Block {
	lines := []string{one.Context}
	for _, b := range one.Blocks {
		if text, ok := b.(msg.Paragraph); ok {
			lines = append(lines, text.Text)
		}
	}
	for i := range lines {
		lines[i] = phrase.Say(lang, lines[i])
	}
	out := []msg.Block{msg.Paragraph{Heading: one.Tone.Mark() + " " + phrase.Say(lang, one.Title), Text: strings.Join(lines, "\n")}}
	row := []msg.Button{{Label: p.Sprintf("Explain %s", o.Incident.ID), Action: ActExplain, Subject: o.Incident.ID}}
	if o.Thread != "" {
		row = append(row, msg.Button{Label: p.Sprintf("Open the thread"), URL: o.Thread})
	}
	return append(out, msg.Actions{Buttons: row})
}

// NoAccess is all that somebody sees who may see nothing.
func NoAccess(lang string) msg.Message {
	p := phrase.For(lang)
	return msg.Message{
		Title: p.Sprintf("You have no access to AtlHyper here."), Lang: lang, Private: true,
		Blocks: []msg.Block{msg.Paragraph{Text: p.Sprintf("Guests, and people of other organisations, are not answered. Ask an admin of this workspace for an account of your own: with it you may look, and an admin of AtlHyper can grant more.")}},
	}
}
