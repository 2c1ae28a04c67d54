package slack

import (
	"strings"

	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/message/layout"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// fallback is the whole message as plain text, shortened.
func fallback(m message.Message) string {
	var b strings.Builder
	line := func(s string) {
		if s = strings.TrimSpace(s); s != "" {
			b.WriteString(s)
			b.WriteByte('\n')
		}
	}
	line(strings.TrimSpace(m.Tone.Mark() + " " + layout.OneLine(m.Title)))
	line(m.Context)
	for _, block := range m.Blocks {
		switch block := block.(type) {
		case message.Paragraph:
			line(block.Heading)
			line(block.Text)
		case message.Markdown:
			line(block.Text)
		case message.Facts:
			line(block.Heading)
			for _, f := range block.Facts {
				line(layout.OneLine(f.Label) + ": " + f.Value)
			}
		case message.Table:
			line(block.Heading)
			rows, more := layout.Table(block, maxFallback)
			line(rows)
			line(morePlain(more, m.Lang))
		case message.Code:
			line(block.Heading)
			code, _ := layout.CutMiddle(block.Text, maxFallback)
			line(code)
		case message.List:
			line(block.Heading)
			points, more := layout.List(block, maxFallback)
			line(points)
			line(morePlain(more, m.Lang))
		case message.Image:
			line(block.Alt)
		case message.File:
			line(block.Name)
		}
	}
	line(m.Footer)
	out := layout.Cut(strings.TrimSpace(b.String()), maxFallback)
	if out == "" {
		return "(empty message)" // Slack refuses a message without text
	}
	return out
}

func morePlain(n int, lang string) string {
	if n <= 0 {
		return ""
	}
	return phrase.For(lang).Sprintf("+%d more", n)
}
