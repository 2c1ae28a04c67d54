package message

import (
	"strings"
	"unicode"
)

// Legible gives a message without the characters that nobody sees and that change how others are read: controls, and the
// marks that turn the direction of text around, with which a name can pass for another. A surface renders this form.
func Legible(m Message) Message {
	m.Title, m.Context, m.Footer = legible(m.Title), legible(m.Context), legible(m.Footer)
	blocks := make([]Block, 0, len(m.Blocks))
	for _, b := range m.Blocks {
		switch x := b.(type) {
		case Paragraph:
			b = Paragraph{legible(x.Heading), legible(x.Text)}
		case Markdown:
			b = Markdown{legible(x.Text)}
		case Facts:
			out := Facts{Heading: legible(x.Heading)}
			for _, f := range x.Facts {
				out.Facts = append(out.Facts, Fact{legible(f.Label), legible(f.Value)})
			}
			b = out
		case Table:
			out := Table{Heading: legible(x.Heading), Columns: all(x.Columns), More: x.More}
			for _, row := range x.Rows {
				out.Rows = append(out.Rows, all(row))
			}
			b = out
		case Code:
			b = Code{legible(x.Heading), legible(x.Text), x.Truncated}
		case List:
			b = List{legible(x.Heading), all(x.Items), x.More}
		case Image:
			b = Image{legible(x.Name), x.PNG, legible(x.Alt), legible(x.Spark)}
		case File:
			b = File{legible(x.Name), legible(x.Text)}
		case Actions:
			b = Actions{labelled(x.Buttons)}
		case Select:
			b = Select{legible(x.Placeholder), labelled(x.Options)}
		}
		blocks = append(blocks, b)
	}
	m.Blocks = blocks
	return m
}

func all(s []string) []string {
	out := make([]string, 0, len(s))
	for _, x := range s {
		out = append(out, legible(x))
	}
	return out
}

func labelled(buttons []Button) []Button {
	out := make([]Button, 0, len(buttons))
	for _, b := range buttons {
		b.Label = legible(b.Label)
		out = append(out, b)
	}
	return out
}

func legible(s string) string {
	if strings.IndexFunc(s, illegible) < 0 {
		return s
	}
	return strings.Map(func(r rune) rune {
		if illegible(r) {
			return -1
		}
		return r
	}, s)
}

func illegible(r rune) bool {
	return r != '\n' && r != '\t' && r != '\r' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r) || r == '\ufeff')
}
