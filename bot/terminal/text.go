package terminal

import (
	"regexp"
	"strings"
	"unicode"

	"github.com/rivo/uniseg"
)

// Columns is how many columns a string takes on a screen: a Chinese character takes two, an emoji two.
func Columns(s string) int {
	for i := range len(s) {
		if s[i] < 0x20 || s[i] > 0x7e {
			return uniseg.StringWidth(s)
		}
	}
	return len(s)
}

// token is what a line is not broken within, with the spaces before it. A wide character is a token of its own: Chinese
// and Japanese have no spaces.
type token struct {
	gap  int
	text string
}

// closing characters never begin a line, and opening ones never end it.
const (
	closing = "，。、：；！？）」』】》〉,.:;!?)]ー々ぁぃぅぇぉっゃゅょァィゥェォッャュョ"
	opening = "（「『【《〈"
)

func tokens(s string) []token {
	var out []token
	gap, start, end := 0, 0, 0 // the last token is s[start:end]
	joined := false            // the next narrow character goes on with it
	opened := false            // whatever comes next goes on with it
	for g := uniseg.NewGraphemes(s); g.Next(); {
		c := g.Str()
		if c == " " {
			gap++
			joined = false
			continue
		}
		from, to := g.Positions()
		if c == "%" && gap == 1 && end > 0 && '0' <= s[end-1] && s[end-1] <= '9' {
			gap, joined = 0, true // a figure keeps its unit
		}
		if gap > 0 || len(out) == 0 || !opened && !strings.Contains(closing, c) && (!joined || g.Width() > 1) {
			out = append(out, token{gap: gap})
			start = from
		}
		end = to
		out[len(out)-1].text = s[start:end]
		gap, joined, opened = 0, g.Width() < 2, strings.Contains(opening, c)
	}
	return out
}

// Wrap breaks text into lines of at most columns, at spaces and between wide characters; a word that is too long is
// broken anywhere. The first line begins with first and the others with rest, and the indentation of a line stays with
// what is broken off it.
func Wrap(text string, columns int, first, rest string) []string {
	var out []string
	for l := range strings.SplitSeq(text, "\n") {
		body := strings.TrimLeft(l, " ")
		indent := strings.Repeat(" ", min(len(l)-len(body), columns/3))
		out = append(out, wrapLine(strings.TrimRight(body, " "), columns, first+indent, rest+indent)...)
		first = rest
	}
	return out
}

func wrapLine(body string, columns int, first, rest string) []string {
	if Columns(first+body) <= columns {
		return []string{first + body}
	}
	var out []string
	line, empty := first, true
	next := func() { out, line, empty = append(out, line), rest, true }
	for _, t := range tokens(body) {
		gap := strings.Repeat(" ", t.gap)
		if empty {
			gap = ""
		}
		if !empty && Columns(line)+len(gap)+Columns(t.text) > columns {
			next()
			gap = ""
		}
		line += gap
		for t.text != "" { // once, unless the word is longer than a line
			fits, over := take(t.text, columns-Columns(line))
			line, empty, t.text = line+fits, false, over
			if over != "" {
				next()
			}
		}
	}
	return append(out, line)
}

// take cuts what fits into so many columns off the start, but at least one character. A path is broken behind a slash when
// there is one in the second half.
func take(s string, columns int) (fits, over string) {
	used, end, slash := 0, 0, 0
	for g := uniseg.NewGraphemes(s); g.Next(); {
		_, to := g.Positions()
		if used += g.Width(); used > columns && end > 0 {
			if slash > 0 {
				end = slash
			}
			break
		}
		end = to
		if g.Str() == "/" && used > columns/2 {
			slash = end
		}
	}
	return s[:end], s[end:]
}

// sequences are what a terminal takes for commands: colours, cursor moves, titles, links.
var sequences = regexp.MustCompile("(?:\x1b\\[|\u009b)[0-?]*[ -/]*[@-~]|(?:\x1b[\\]P_^X]|[\u0090\u0098\u009d-\u009f])[^\x07\x1b\u009c]*(?:\x07|\x1b\\\\|\u009c)?|\x1b[ -/]*[0-~]")

// clean drops what could move the cursor, change the terminal's state or reorder text: names and logs are only text. Line
// feeds stay, and so do the joiners within emoji and words.
func clean(s string) string {
	if strings.ContainsAny(s, "\x1b\u0090\u0098\u009b\u009d\u009e\u009f") {
		s = sequences.ReplaceAllString(s, "")
	}
	return strings.Map(func(c rune) rune {
		switch {
		case c == '\n', c == '\u200c', c == '\u200d':
			return c
		case c == '\t':
			return ' '
		case c == '\u2028', c == '\u2029':
			return '\n'
		case unicode.IsControl(c), unicode.Is(unicode.Cf, c):
			return -1
		}
		return c
	}, s)
}

// oneLine is clean for what has no room for a second line.
func oneLine(s string) string { return strings.ReplaceAll(clean(s), "\n", " ") }
