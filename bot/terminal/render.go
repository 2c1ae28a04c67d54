package terminal

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Renderer draws messages as box-drawing cards. Colours are off when Plain is set, and nothing else changes then.
type Renderer struct {
	Width int // of the screen, in columns; a card is 40 to 110 wide
	Plain bool
	// Number gives the key that presses a button.
	Number func(message.Button) int
}

const (
	bold  = "\x1b[1m"
	dim   = "\x1b[2m"
	key   = "\x1b[36m"
	reset = "\x1b[0m"
)

var colours = map[message.Tone]string{
	message.Alert: "\x1b[33m", message.Warning: "\x1b[33m", message.Incident: "\x1b[31m", message.Recovering: "\x1b[34m",
	message.Resolved: "\x1b[32m", message.Done: "\x1b[32m", message.Failed: "\x1b[31m", message.Proposal: "\x1b[36m",
}

func (r Renderer) paint(code, s string) string {
	if r.Plain || code == "" || s == "" {
		return s
	}
	return code + s + reset
}

func (r Renderer) width() int { return max(40, min(r.Width, 110)) }

// Render gives a message as a card: lines of the same width, each ended by a line feed.
func (r Renderer) Render(m message.Message) string { return r.card(m, "") }

// Line gives a message that has no blocks without a box: it is said in passing. lead stands before it, dimmed.
func (r Renderer) Line(m message.Message, lead string) string {
	var b strings.Builder
	rest := strings.Repeat(" ", Columns(lead))
	for i, l := range Wrap(head(m), r.width()-1, lead, rest) {
		if i == 0 {
			l = r.paint(dim, lead) + r.paint(colours[m.Tone], strings.TrimPrefix(l, lead))
		}
		b.WriteString(l + "\n")
	}
	for _, small := range []string{m.Context, m.Footer} {
		if small == "" {
			continue
		}
		for _, l := range Wrap(clean(small), r.width()-1, rest, rest) {
			b.WriteString(r.paint(dim, l) + "\n")
		}
	}
	return b.String()
}

func head(m message.Message) string { return strings.TrimSpace(m.Tone.Mark() + " " + oneLine(m.Title)) }

// sheet is a card being drawn.
type sheet struct {
	Renderer
	b      strings.Builder
	colour string
	inner  int // columns between the edges and their spaces
	lang   string
}

func (r Renderer) card(m message.Message, when string) string {
	s := &sheet{Renderer: r, colour: colours[m.Tone], inner: r.width() - 4, lang: m.Lang}
	s.edge("╭", when, "╮")
	title, context := head(m), oneLine(m.Context)
	gap := s.inner - Columns(title) - Columns(context)
	switch {
	case context == "":
		s.line(bold, title)
	case gap >= 3:
		s.row(r.paint(bold, title)+strings.Repeat(" ", gap)+r.paint(dim, context), title+strings.Repeat(" ", gap)+context)
	default:
		s.line(bold, title)
		s.line(dim, context)
	}
	for _, block := range m.Blocks {
		s.block(block)
	}
	if m.Footer != "" {
		s.line(dim, clean(m.Footer))
	}
	s.edge("╰", "", "╯")
	return s.b.String()
}

func (s *sheet) edge(left, label, right string) {
	if label != "" {
		label = "─ " + label + " "
	}
	s.b.WriteString(s.paint(s.colour, left+label+strings.Repeat("─", max(0, s.width()-2-Columns(label)))+right) + "\n")
}

// row writes one line that fits; bare is the same without colours.
func (s *sheet) row(painted, bare string) {
	edge := s.paint(s.colour, "│")
	s.b.WriteString(edge + " " + painted + strings.Repeat(" ", max(0, s.inner+2-Columns("│ "+bare))) + " " + edge + "\n")
}

func (s *sheet) line(style, text string) { s.hang(style, text, "", "") }

// hang writes text whose first line begins with first and whose others begin with rest.
func (s *sheet) hang(style, text, first, rest string) {
	for _, l := range Wrap(text, s.inner, first, rest) {
		s.row(s.paint(style, l), l)
	}
}

func (s *sheet) heading(text string) {
	if text != "" {
		s.line("", "")
		s.line(bold, clean(text))
	}
}

func (s *sheet) more(n int) {
	if n > 0 {
		s.line(dim, phrase.For(s.lang).Sprintf("+%d more", n))
	}
}

func (s *sheet) block(block message.Block) {
	switch x := block.(type) {
	case message.Paragraph:
		s.heading(x.Heading)
		if x.Text != "" {
			s.line("", clean(x.Text))
		}
	case message.Markdown:
		s.markdown(clean(x.Text))
	case message.Facts:
		s.heading(x.Heading)
		s.facts(x.Facts)
	case message.Table:
		s.heading(x.Heading)
		s.table(x)
		s.more(x.More)
	case message.Code:
		s.heading(x.Heading)
		s.hang("", strings.TrimRight(clean(strings.ReplaceAll(x.Text, "\t", "    ")), "\n"), "  ", "  ")
		if x.Truncated {
			s.line(dim, "… cut: ask for less to see the rest")
		}
	case message.File: // a terminal takes no files
		s.heading(x.Name)
		s.hang("", strings.TrimRight(clean(x.Text), "\n"), "", "  ")
	case message.List:
		s.heading(x.Heading)
		for _, item := range x.Items {
			s.hang("", clean(item), "• ", "  ")
		}
		s.more(x.More)
	case message.Image:
		if x.Spark != "" {
			s.line("", oneLine(x.Spark))
		}
		s.hang(dim, clean(x.Alt), "", "")
	case message.Actions:
		s.actions(x.Buttons)
	case message.Select:
		s.heading(x.Placeholder)
		for _, o := range x.Options {
			s.hang(key, oneLine(o.Label), fmt.Sprintf("[%d] ", s.Number(o)), "    ")
		}
	}
}

// facts draws labels and values in two columns. A label that would leave no room for values stands above its own.
func (s *sheet) facts(facts []message.Fact) {
	room, label := s.inner/3, 0
	for _, f := range facts {
		if n := Columns(oneLine(f.Label)); n <= room {
			label = max(label, n)
		}
	}
	rest := strings.Repeat(" ", label+2)
	for _, f := range facts {
		name := oneLine(f.Label)
		if Columns(name) > label {
			s.line("", name)
			name = ""
		}
		s.hang("", clean(f.Value), name+strings.Repeat(" ", label+2-Columns(name)), rest)
	}
}

// actions draws buttons; a line is broken between two of them, never within a label that fits.
func (s *sheet) actions(buttons []message.Button) {
	const gap = "   "
	line := ""
	flush := func() {
		if line != "" {
			s.hang(key, line, "", "    ")
			line = ""
		}
	}
	for _, b := range buttons {
		if b.URL != "" { // which a terminal makes something to click of, where it can
			continue
		}
		label := fmt.Sprintf("[%d] %s", s.Number(b), oneLine(b.Label))
		if line != "" && Columns(line+gap+label) > s.inner {
			flush()
		}
		if line != "" {
			line += gap
		}
		line += label
	}
	flush()
	for _, b := range buttons {
		if b.URL != "" {
			s.hang("", oneLine(b.Label)+" ("+oneLine(b.URL)+")", "", "    ")
		}
	}
}

var (
	mdHeading = regexp.MustCompile(`^ {0,3}#{1,6}\s+`)
	mdBullet  = regexp.MustCompile(`^(\s*)[-*+]\s+`)
	mdLink    = regexp.MustCompile(`!?\[([^\]\n]*)\]\(([^)\s]*)[^)\n]*\)`)
	mdBold    = regexp.MustCompile(`\*\*([^*\n]+)\*\*`)
	mdCode    = regexp.MustCompile("`([^`\n]+)`")
)

// markdown draws the subset of CommonMark that models write: headings, bullets, fences, bold, code and links, which show
// their address.
func (s *sheet) markdown(text string) {
	fenced := false
	for l := range strings.SplitSeq(text, "\n") {
		if strings.HasPrefix(strings.TrimSpace(l), "```") {
			fenced = !fenced
			continue
		}
		if fenced {
			s.hang("", l, "  ", "  ")
			continue
		}
		l = mdLink.ReplaceAllString(l, "$1 ($2)")
		l = mdCode.ReplaceAllString(mdBold.ReplaceAllString(l, "$1"), "$1")
		switch {
		case mdHeading.MatchString(l):
			s.line(bold, mdHeading.ReplaceAllString(l, ""))
		case mdBullet.MatchString(l):
			indent := mdBullet.FindStringSubmatch(l)[1]
			indent = indent[:min(len(indent), 8)]
			s.hang("", mdBullet.ReplaceAllString(l, ""), indent+"• ", indent+"  ")
		default:
			s.line("", l)
		}
	}
}
