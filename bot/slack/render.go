package slack

import (
	"bytes"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/message/layout"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Slack's limits, in characters, from its Block Kit reference.
const (
	maxBlocks  = 50
	maxHeader  = 150
	maxSection = 3000
	maxField   = 2000
	maxFields  = 10
	maxLabel   = 75
	maxContext = 2000
	maxOptions = 100
	// maxMessage bounds all blocks of a message as JSON. Slack refuses somewhere above 12,000 characters
	// (msg_blocks_too_long) and does not document how it counts, so the whole encoding is counted here.
	maxMessage = 12_000
	// maxFallback bounds the plain text that notifications, screen readers and refused blocks fall back to.
	maxFallback = 3000
)

// linkAction is the action of a button that opens an address. Slack tells of its click all the same.
const linkAction = "link"

// actionMark parts a button's action from the number that makes its action_id unique within the message.
const actionMark = "#"

// rendered is a message in Slack's form.
type rendered struct {
	Text   string        `json:"text"`
	Blocks []slack.Block `json:"blocks"`
	images []message.Image
	files  []message.File
	whole  []message.Code // what had to be cut: it goes along as files
}

// render turns a message into blocks. Plain strings go into plain_text and rich_text, which Slack shows as they are,
// so that a pod called <!channel> or *x* keeps its name and pings nobody. What does not fit is cut, and says so; the
// title, the buttons and the footer always fit, because they are what a person acts on.
func render(m message.Message) rendered { return renderIn(m, maxMessage, maxBlocks) }

// renderIn is render within so many characters of JSON and so many blocks.
func renderIn(m message.Message, room, blocks int) rendered {
	m = message.Legible(m)
	r := rendered{Text: escape(fallback(m))}
	b := builder{room: room, left: blocks, lang: m.Lang}
	if len(m.Mention) > 0 {
		var who []slack.RichTextSectionElement
		for _, id := range m.Mention {
			who = append(who, slack.NewRichTextSectionUserElement(id, nil), text(" "))
			r.Text = "<@" + id + "> " + r.Text
		}
		b.add(richText(section(who...))...)
	}
	b.add(title(m)...)
	if m.Context != "" {
		b.add(small(m.Context))
	}
	const note = 200 // for "+N more parts"
	tail := builder{room: b.room - note, left: b.left - 1}
	if m.Footer != "" {
		tail.add(small(m.Footer))
	}
	// Rows of buttons keep their place among the blocks, so what they need is set aside before the rest is laid out.
	rows := map[int]slack.Block{}
	for i, block := range m.Blocks {
		if a, ok := block.(message.Actions); ok {
			if row := buttons(i, a); row != nil && tail.add(row) {
				rows[i] = row
			}
		}
	}
	for i, block := range m.Blocks { // lists take what the buttons leave
		s, ok := block.(message.Select)
		for n := min(len(s.Options), maxOptions); ok && n > 0; n = n * 3 / 4 {
			if row := list(i, s, n, m.Lang); tail.add(row) {
				rows[i] = row
				break
			}
		}
	}
	b.room, b.left = tail.room, tail.left

	skipped := 0
	for i, block := range m.Blocks {
		switch block := block.(type) {
		case message.Actions, message.Select:
			if row := rows[i]; row != nil {
				b.blocks = append(b.blocks, row)
			}
			continue
		case message.Image:
			r.images = append(r.images, block)
		case message.File:
			r.files = append(r.files, block)
		}
		left := b.content(block)
		if left == 0 {
			skipped++
		}
		if c, ok := block.(message.Code); ok && layout.Runes(strings.TrimRight(c.Text, "\n")) > left {
			r.whole = append(r.whole, c)
		}
	}
	if skipped > 0 {
		b.blocks = append(b.blocks, small(phrase.For(m.Lang).Sprintf("+%d more parts, too long for one message", skipped)))
	}
	if m.Footer != "" {
		b.blocks = append(b.blocks, small(m.Footer))
	}
	r.Blocks = b.blocks
	return r
}

// builder lays out blocks within what is left of the message.
type builder struct {
	blocks []slack.Block
	room   int // characters of JSON
	left   int // blocks
	lang   string
}

// add appends blocks if all of them fit.
func (b *builder) add(blocks ...slack.Block) bool {
	need := 0
	for _, block := range blocks {
		need += size(block)
	}
	if need > b.room || len(blocks) > b.left {
		return false
	}
	b.blocks = append(b.blocks, blocks...)
	b.room -= need
	b.left -= len(blocks)
	return true
}

// overhead is more than the JSON around one block's text, its heading and its quoting of ordinary text.
const overhead = 400

// content appends one block of the message, cut to what is left. It gives within how many characters of text it was laid
// out, 0 when nothing useful of it fits.
func (b *builder) content(block message.Block) int {
	for room := min(maxSection, b.room-overhead); room >= 200; room /= 2 {
		// The loop is for text that needs much quoting: its JSON is longer than its characters. Halving ends it soon.
		blocks := lay(block, room, b.lang)
		if b.add(blocks...) {
			return room
		}
	}
	return 0
}

// lay renders one block within room characters of text.
func lay(block message.Block, room int, lang string) []slack.Block {
	switch block := block.(type) {
	case message.Paragraph:
		return richText(heading(block.Heading), section(text(layout.Cut(block.Text, room))))
	case message.Markdown:
		return richText(markdown(block.Text, room)...)
	case message.Facts:
		return facts(block, room, lang)
	case message.Table:
		lines, more := layout.Table(block, room)
		return richText(heading(block.Heading), preformatted(lines), plus(more, lang))
	case message.Code:
		code, cut := layout.CutMiddle(block.Text, room)
		head := block.Heading
		if (cut || block.Truncated) && head != "" {
			head += " " + phrase.For(lang).Sprintf("(cut)")
		}
		return richText(heading(head), preformatted(code))
	case message.List:
		lines, more := layout.List(block, room)
		return richText(heading(block.Heading), section(text(lines)), plus(more, lang))
	case message.Image:
		// The picture itself is uploaded beneath the message; its figures stand here, where they can be read aloud.
		return richText(section(text(layout.Cut("📈 "+block.Alt, room))))
	case message.File:
		return richText(section(text(layout.Cut("📄 "+layout.OneLine(block.Name), room))))
	}
	return nil
}

// title is a header for a message that shows a state, and a bold line for an ordinary answer, which would shout in
// header size. A header that is too long becomes a line as well: it must not be cut.
func title(m message.Message) []slack.Block {
	t := layout.OneLine(m.Title)
	if mark := m.Tone.Mark(); mark != "" {
		t = strings.TrimSpace(mark + " " + t)
	}
	if t == "" {
		return nil
	}
	if m.Tone != message.Plain && layout.Runes(t) <= maxHeader {
		return []slack.Block{slack.NewHeaderBlock(plain(t))}
	}
	return richText(section(bold(layout.Cut(t, maxSection))))
}

func small(s string) slack.Block {
	return slack.NewContextBlock("", plain(layout.Cut(s, maxContext)))
}

func buttons(block int, a message.Actions) slack.Block {
	var elements []slack.BlockElement
	for i, button := range a.Buttons {
		id := button.Action + actionMark + strconv.Itoa(block) + "." + strconv.Itoa(i)
		e := slack.NewButtonBlockElement(id, button.Subject, plain(layout.Cut(layout.OneLine(button.Label), maxLabel)))
		switch button.Style {
		case message.Primary:
			e.Style = slack.StylePrimary
		case message.Danger:
			e.Style = slack.StyleDanger
		}
		if button.URL != "" {
			e.ActionID, e.URL = linkAction+id, button.URL
		}
		elements = append(elements, e)
	}
	if len(elements) == 0 {
		return nil
	}
	return slack.NewActionBlock("", elements...)
}

// list is a menu of the first n options, of which one is chosen. That there are more is said in its placeholder.
func list(block int, s message.Select, n int, lang string) slack.Block {
	var options []*slack.OptionBlockObject
	for _, o := range s.Options[:n] {
		label := layout.OneLine(o.Label)
		if label == "" {
			label = "…"
		}
		options = append(options, slack.NewOptionBlockObject(o.Action+actionMark+o.Subject, plain(layout.Cut(label, maxLabel)), nil))
	}
	id := selectAction + actionMark + strconv.Itoa(block)
	placeholder := plain(layout.Placeholder(s, len(options), maxHeader, func(n int) string { return phrase.For(lang).Sprintf("+%d more", n) }))
	return slack.NewActionBlock("", slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, placeholder, id, options...))
}

// facts are pairs of fields, label and value, which Slack sets in two columns.
func facts(f message.Facts, room int, lang string) []slack.Block {
	var out []slack.Block
	if f.Heading != "" {
		out = richText(heading(f.Heading))
	}
	var fields []*slack.TextBlockObject
	flush := func() {
		if len(fields) > 0 {
			out = append(out, slack.NewSectionBlock(nil, fields, nil))
			fields = nil
		}
	}
	shown := 0
	for _, fact := range f.Facts {
		label, value := layout.OneLine(fact.Label), layout.Cut(fact.Value, maxField)
		if value == "" {
			value = "–" // Slack refuses an empty field
		}
		if label == "" {
			label = "–"
		}
		if room -= layout.Runes(label) + layout.Runes(value); room < 0 {
			break
		}
		fields = append(fields, boldField(layout.Cut(label, maxLabel)), plain(value))
		shown++
		if len(fields) == maxFields {
			flush()
		}
	}
	flush()
	if more := len(f.Facts) - shown; more > 0 {
		out = append(out, small(phrase.For(lang).Sprintf("+%d more", more)))
	}
	return out
}

// boldField is a bold label. Bold needs mrkdwn, in which nothing but a change to the name keeps the four marks
// literal; a label that holds one is shown plain instead.
func boldField(s string) *slack.TextBlockObject {
	if strings.ContainsAny(s, "*_~`") {
		return plain(s)
	}
	return slack.NewTextBlockObject(slack.MarkdownType, "*"+escape(s)+"*", false, true)
}

// plain is text that Slack shows as it is. Without emoji, ":warning:" in a log line stays what it is.
func plain(s string) *slack.TextBlockObject {
	off := false
	return &slack.TextBlockObject{Type: slack.PlainTextType, Text: s, Emoji: &off}
}

func text(s string) slack.RichTextSectionElement {
	return slack.NewRichTextSectionTextElement(s, nil)
}

func bold(s string) slack.RichTextSectionElement {
	return slack.NewRichTextSectionTextElement(s, &slack.RichTextSectionTextStyle{Bold: true})
}

func section(elements ...slack.RichTextSectionElement) slack.RichTextElement {
	var kept []slack.RichTextSectionElement
	for _, e := range elements {
		if t, ok := e.(*slack.RichTextSectionTextElement); !ok || t.Text != "" {
			kept = append(kept, e)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return slack.NewRichTextSection(kept...)
}

func heading(s string) slack.RichTextElement {
	if s = layout.OneLine(s); s == "" {
		return nil
	}
	return section(bold(layout.Cut(s, maxHeader) + "\n"))
}

func plus(more int, lang string) slack.RichTextElement {
	if more <= 0 {
		return nil
	}
	return section(text(phrase.For(lang).Sprintf("+%d more", more)))
}

func preformatted(s string) slack.RichTextElement {
	if s == "" {
		return nil
	}
	return &slack.RichTextPreformatted{
		Type:     slack.RTEPreformatted,
		Elements: []slack.RichTextSectionElement{text(s)},
	}
}

// richText is one block of the elements that are there, or none.
func richText(elements ...slack.RichTextElement) []slack.Block {
	var kept []slack.RichTextElement
	for _, e := range elements {
		if e != nil {
			kept = append(kept, e)
		}
	}
	if len(kept) == 0 {
		return nil
	}
	return []slack.Block{slack.NewRichTextBlock("", kept...)}
}

// escape takes the meaning from Slack's control characters, for text that is not in a literal element.
func escape(s string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace(s)
}

// size is a block's length as JSON, in characters.
func size(block slack.Block) int {
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(block); err != nil {
		return maxMessage + 1 // cannot be sent: it does not fit
	}
	return utf8.RuneCount(buf.Bytes())
}
