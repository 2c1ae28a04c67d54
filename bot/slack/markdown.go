package slack

import (
	"regexp"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/slack-go/slack"

	"github.com/bukahou/atlhyper/bot/message/layout"
)

// markdown turns the text of a model into rich text: headings, points, quotes, code, bold, italic, struck. Links show
// their address beside their words, because the words are the model's; pictures leave their description; HTML stays
// text. Everything else is literal, so nothing in it can ping or hide. At most room characters are used.
func markdown(s string, room int) []slack.RichTextElement {
	var out []slack.RichTextElement
	var line []slack.RichTextSectionElement // of the section being built
	flush := func() {
		for len(line) > 0 && isBreak(line[len(line)-1]) {
			line = line[:len(line)-1] // the block's end is a break already
		}
		for len(out) > 0 && len(line) > 0 && isBreak(line[0]) {
			line = line[1:]
		}
		if e := section(line...); e != nil {
			out = append(out, e)
		}
		line = nil
	}
	s = layout.Cut(strings.TrimSpace(strings.ReplaceAll(s, "\r\n", "\n")), room)
	lines := strings.Split(s, "\n")
	for i := 0; i < len(lines); i++ {
		l := lines[i]
		if fence := fenceOf(l); fence != "" {
			var code []string
			for i++; i < len(lines) && !closes(lines[i], fence); i++ {
				code = append(code, lines[i])
			}
			flush()
			if e := preformatted(strings.Join(code, "\n")); e != nil {
				out = append(out, e)
			}
			continue
		}
		if isTableRow(l) {
			var rows []string
			for ; i < len(lines) && isTableRow(lines[i]); i++ {
				rows = append(rows, lines[i])
			}
			i--
			flush()
			out = append(out, preformatted(strings.Join(rows, "\n")))
			continue
		}
		line = append(line, markdownLine(l)...)
		if i < len(lines)-1 {
			line = append(line, text("\n"))
		}
	}
	flush()
	return out
}

var (
	headingLine = regexp.MustCompile(`^ {0,3}#{1,6}\s+(.*?)\s*#*$`)
	pointLine   = regexp.MustCompile(`^(\s*)[-*+]\s+(.*)$`)
	quoteLine   = regexp.MustCompile(`^ {0,3}>\s?(.*)$`)
	linkOrImage = regexp.MustCompile(`^(!?)\[([^\]\n]*)\]\(<?([^)\s>]*)>?(?:\s+"[^"\n]*")?\)`)
	tableRow    = regexp.MustCompile(`^\s*\|.*\|\s*$`)
)

func isTableRow(l string) bool { return tableRow.MatchString(l) }

// fenceOf gives the fence that a line opens, "" for none.
func fenceOf(l string) string {
	t := strings.TrimLeft(l, " ")
	for _, mark := range []string{"`", "~"} {
		if n := len(t) - len(strings.TrimLeft(t, mark)); n >= 3 && len(l)-len(t) <= 3 {
			return t[:n]
		}
	}
	return ""
}

func closes(l, fence string) bool {
	t := strings.TrimSpace(l)
	return len(t) >= len(fence) && strings.Trim(t, fence[:1]) == ""
}

func markdownLine(l string) []slack.RichTextSectionElement {
	if m := headingLine.FindStringSubmatch(l); m != nil {
		return inline(m[1], slack.RichTextSectionTextStyle{Bold: true})
	}
	if m := pointLine.FindStringSubmatch(l); m != nil {
		return append([]slack.RichTextSectionElement{text(m[1] + "• ")}, inline(m[2], slack.RichTextSectionTextStyle{})...)
	}
	if m := quoteLine.FindStringSubmatch(l); m != nil {
		return append([]slack.RichTextSectionElement{text("│ ")}, inline(m[1], slack.RichTextSectionTextStyle{})...)
	}
	return inline(l, slack.RichTextSectionTextStyle{})
}

// inline parses one line. A mark without its partner is an ordinary character.
func inline(s string, style slack.RichTextSectionTextStyle) []slack.RichTextSectionElement {
	var out []slack.RichTextSectionElement
	var plainRun strings.Builder
	flush := func() {
		if plainRun.Len() > 0 {
			out = append(out, styled(plainRun.String(), style))
			plainRun.Reset()
		}
	}
	for i := 0; i < len(s); {
		rest := s[i:]
		if rest[0] == '\\' && len(rest) > 1 && strings.IndexByte("\\`*_{}[]()#+-.!~|<>", rest[1]) >= 0 {
			plainRun.WriteByte(rest[1])
			i += 2
			continue
		}
		if rest[0] == '`' {
			ticks := len(rest) - len(strings.TrimLeft(rest, "`"))
			if end := strings.Index(rest[ticks:], rest[:ticks]); end > 0 {
				flush()
				code := style
				code.Code = true
				out = append(out, styled(rest[ticks:ticks+end], code))
				i += 2*ticks + end
				continue
			}
		}
		if m := linkOrImage.FindStringSubmatch(rest); m != nil {
			flush()
			out = append(out, link(m[1] == "!", m[2], m[3], style)...)
			i += len(m[0])
			continue
		}
		if mark, body := span(s, i); mark != "" {
			flush()
			inner := style
			switch mark {
			case "**", "__":
				inner.Bold = true
			case "*", "_":
				inner.Italic = true
			case "~~":
				inner.Strike = true
			}
			out = append(out, inline(body, inner)...)
			i += 2*len(mark) + len(body)
			continue
		}
		_, n := utf8.DecodeRuneInString(rest)
		plainRun.WriteString(rest[:n])
		i += n
	}
	flush()
	return out
}

// span finds emphasis that opens at i: its mark and what stands between. An underscore inside a word, as in
// payments_db, opens nothing.
func span(s string, i int) (mark, body string) {
	rest := s[i:]
	for _, mark := range []string{"**", "__", "~~", "*", "_"} {
		if !strings.HasPrefix(rest, mark) {
			continue
		}
		if before, _ := utf8.DecodeLastRuneInString(s[:i]); i > 0 && mark[0] == '_' && isWord(before) {
			return "", ""
		}
		inside := rest[len(mark):]
		if first, _ := utf8.DecodeRuneInString(inside); inside == "" || unicode.IsSpace(first) {
			return "", ""
		}
		for from := 0; ; {
			end := strings.Index(inside[from:], mark)
			if end < 0 {
				break // a shorter mark may still match: "**a*" is "*" and an italic a
			}
			end += from
			last, _ := utf8.DecodeLastRuneInString(inside[:end])
			after, _ := utf8.DecodeRuneInString(inside[end+len(mark):])
			doubled := len(mark) == 1 && strings.HasPrefix(inside[end+1:], mark)
			if end > 0 && !unicode.IsSpace(last) && !doubled && (mark[0] != '_' || !isWord(after)) {
				return mark, inside[:end]
			}
			from = end + len(mark)
			if doubled {
				from++
			}
			if from >= len(inside) {
				break
			}
		}
	}
	return "", ""
}

func isWord(r rune) bool { return r != utf8.RuneError && (unicode.IsLetter(r) || unicode.IsDigit(r)) }

func link(image bool, label, address string, style slack.RichTextSectionTextStyle) []slack.RichTextSectionElement {
	if image {
		return []slack.RichTextSectionElement{styled(label, style)}
	}
	if !strings.HasPrefix(address, "https://") && !strings.HasPrefix(address, "http://") {
		return []slack.RichTextSectionElement{styled(label+" ("+address+")", style)}
	}
	// The link's words are its address, so that it cannot say one place and lead to another.
	target := slack.NewRichTextSectionLinkElement(address, address, nil)
	if label == "" || label == address {
		return []slack.RichTextSectionElement{target}
	}
	return []slack.RichTextSectionElement{styled(label+" (", style), target, styled(")", style)}
}

func isBreak(e slack.RichTextSectionElement) bool {
	t, ok := e.(*slack.RichTextSectionTextElement)
	return ok && t.Text == "\n"
}

func styled(s string, style slack.RichTextSectionTextStyle) slack.RichTextSectionElement {
	if style == (slack.RichTextSectionTextStyle{}) {
		return text(s)
	}
	return slack.NewRichTextSectionTextElement(s, &style)
}
