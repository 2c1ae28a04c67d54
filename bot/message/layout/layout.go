// Package layout fits text into what a chat message holds: cut with a mark, by whole lines, in columns. Everything that
// is cut says so, because a list that silently ends is read as complete. Lengths are in characters.
package layout

import (
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/bukahou/atlhyper/bot/message"
)

// Runes is the length of a string.
func Runes(s string) int { return utf8.RuneCountInString(s) }

// OneLine folds white space, so that a name with a line break cannot start a line of its own.
func OneLine(s string) string { return strings.Join(strings.Fields(s), " ") }

// Cut keeps the first n characters, the last of them an ellipsis when something was cut.
func Cut(s string, n int) string {
	if Runes(s) <= n {
		return s
	}
	for i := range s {
		if n--; n == 0 {
			return strings.TrimRightFunc(s[:i], unicode.IsSpace) + "…"
		}
	}
	return s
}

// CutMiddle keeps whole lines of the start and of the end, where a log has its newest and a diff its first. It says
// whether it cut.
func CutMiddle(s string, n int) (string, bool) {
	s = strings.TrimRight(s, "\n")
	if Runes(s) <= n {
		return s, false
	}
	const note = 40
	lines := strings.Split(s, "\n")
	var head, tail []string
	for room := n - note; len(lines) > 0; {
		last := len(lines) - 1
		// The end gets a line first: when only one fits, it is the newest.
		if room -= Runes(lines[last]) + 1; room < 0 {
			break
		}
		tail, lines = append(tail, lines[last]), lines[:last]
		if len(lines) == 0 {
			break
		}
		if room -= Runes(lines[0]) + 1; room < 0 {
			break
		}
		head, lines = append(head, lines[0]), lines[1:]
	}
	if len(tail) == 0 {
		return Cut(s, n), true // one line longer than everything
	}
	head = append(head, fmt.Sprintf("… %d lines cut …", len(lines)))
	for i := len(tail) - 1; i >= 0; i-- {
		head = append(head, tail[i])
	}
	return strings.Join(head, "\n"), true
}

// Table aligns columns with spaces. It gives as many rows as fit, and how many are not shown.
func Table(t message.Table, room int) (string, int) {
	widths := make([]int, len(t.Columns))
	rows := append([][]string{t.Columns}, t.Rows...)
	for i, row := range rows {
		folded := make([]string, len(t.Columns))
		for c := range folded {
			if c < len(row) {
				folded[c] = OneLine(row[c])
			}
			widths[c] = max(widths[c], Width(folded[c]))
		}
		rows[i] = folded
	}
	var b strings.Builder
	shown := -1 // the header is no row
	for _, row := range rows {
		var line strings.Builder
		for c, cell := range row {
			if c > 0 {
				line.WriteString("  ")
			}
			line.WriteString(cell)
			if c < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[c]-Width(cell)))
			}
		}
		l := strings.TrimRight(line.String(), " ")
		if room -= Runes(l) + 1; room < 0 {
			break
		}
		if b.Len() > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(l)
		shown++
	}
	return b.String(), t.More + len(t.Rows) - max(shown, 0)
}

// List gives as many points as fit, and how many are not shown.
func List(l message.List, room int) (string, int) {
	var b strings.Builder
	shown := 0
	for _, item := range l.Items {
		item = "• " + OneLine(item)
		if shown == 0 {
			item = Cut(item, room)
		}
		if room -= Runes(item) + 1; room < 0 {
			break
		}
		b.WriteString(item)
		b.WriteByte('\n')
		shown++
	}
	return b.String(), l.More + len(l.Items) - shown
}

// Placeholder is what stands in a list of which a surface shows only the first options: within n characters, and with how
// many are left out, as more words it.
func Placeholder(s message.Select, shown, n int, more func(left int) string) string {
	text := OneLine(s.Placeholder)
	if text == "" {
		text = "…"
	}
	rest := ""
	if left := len(s.Options) - shown; left > 0 {
		rest = " (" + more(left) + ")"
	}
	return Cut(text, n-Runes(rest)) + rest
}

// Width is how wide a string stands in a monospaced font: wide East Asian characters and emoji take two cells.
func Width(s string) int {
	n := 0
	for _, r := range s {
		switch {
		case unicode.Is(unicode.Mn, r), r == '\u200d', r == '\ufe0f':
		case unicode.In(r, unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Hangul),
			r >= 0x3000 && r <= 0x303f, r >= 0xff01 && r <= 0xff60, r >= 0x1f300 && r <= 0x1faff:
			n += 2
		default:
			n++
		}
	}
	return n
}
