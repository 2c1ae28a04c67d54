package terminal

import (
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/bot/message"
)

const between = "  " // two columns

// table aligns cells. Nothing is cut, so that every name can be pasted: the widest column is broken into lines when that
// is enough, else each row becomes a small record under its first cell.
func (s *sheet) table(t message.Table) {
	rows := make([][]string, 0, len(t.Rows)+1)
	widths := make([]int, len(t.Columns))
	for _, row := range append([][]string{t.Columns}, t.Rows...) {
		cells := make([]string, len(t.Columns))
		for i := range cells {
			if i < len(row) {
				cells[i] = strings.TrimSpace(oneLine(row[i]))
			}
			widths[i] = max(widths[i], Columns(cells[i]))
		}
		rows = append(rows, cells)
	}
	for i := len(t.Columns) - 1; i >= 0; i-- { // a column that says nothing takes no room
		if len(rows) > 1 && !slices.ContainsFunc(rows[1:], func(row []string) bool { return row[i] != "" }) {
			for n := range rows {
				rows[n] = slices.Delete(rows[n], i, i+1)
			}
			widths = slices.Delete(widths, i, i+1)
		}
	}
	total := len(between) * max(0, len(widths)-1)
	for _, w := range widths {
		total += w
	}
	if over := total - s.inner; over > 0 {
		widest := slices.Index(widths, slices.Max(widths))
		longest := 12 // the least that is worth a column
		for _, row := range rows {
			for _, t := range tokens(row[widest]) {
				longest = max(longest, Columns(t.text))
			}
		}
		if widths[widest]-over < longest {
			s.records(rows)
			return
		}
		widths[widest] -= over
	}
	for i, row := range rows {
		style := ""
		if i == 0 {
			style = dim
		}
		s.cells(style, row, widths)
	}
}

// cells draws one row, in as many lines as its longest cell needs.
func (s *sheet) cells(style string, row []string, widths []int) {
	broken, height := make([][]string, len(row)), 0
	for i, cell := range row {
		broken[i] = Wrap(cell, max(1, widths[i]), "", "")
		height = max(height, len(broken[i]))
	}
	for n := range height {
		var b strings.Builder
		for i, lines := range broken {
			cell := ""
			if n < len(lines) {
				cell = lines[n]
			}
			b.WriteString(cell)
			if i < len(broken)-1 {
				b.WriteString(strings.Repeat(" ", max(0, widths[i]-Columns(cell))) + between)
			}
		}
		l := strings.TrimRight(b.String(), " ")
		s.row(s.paint(style, l), l)
	}
}

// records draws a table that is too wide: the name of a row, or its first cell, and beneath it the others with their
// columns' names.
func (s *sheet) records(rows [][]string) {
	name := max(0, slices.Index(rows[0], "NAME"))
	for _, row := range rows[1:] {
		var rest []string
		for i, cell := range row {
			if i != name && cell != "" {
				rest = append(rest, strings.TrimSpace(rows[0][i]+" "+cell))
			}
		}
		s.hang("", row[name], "", "  ")
		if len(rest) > 0 {
			s.hang(dim, strings.Join(rest, " · "), "  ", "  ")
		}
	}
}
