package chart

import (
	"slices"

	"github.com/bukahou/atlhyper/engine/history"
	"github.com/bukahou/atlhyper/tools"
)

// runs splits a course where something was not measured: a line over a gap would be made up. Points before and behind the
// chart are dropped.
func runs(c tools.Chart) (out [][]history.Point) {
	points := slices.Clone(c.Points)
	slices.SortStableFunc(points, func(a, b history.Point) int { return a.At.Compare(b.At) })
	for _, p := range points {
		if p.At.Before(c.From.Add(-c.Step)) || p.At.After(c.To) {
			continue
		}
		if p.At.Before(c.From) {
			p.At = c.From
		}
		if n := len(out); n > 0 && (c.Step <= 0 || p.At.Sub(out[n-1][len(out[n-1])-1].At) <= 2*c.Step) {
			out[n-1] = append(out[n-1], p)
			continue
		}
		out = append(out, []history.Point{p})
	}
	return out
}
