package web

import (
	"fmt"
	"math"
	"strings"
	"time"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/engine/figure"
	"github.com/bukahou/atlhyper/tools"
)

// plot is a course drawn as SVG: the line, broken where nothing was measured; the normal band; what the objective
// allows; when the incident began and ended. Its text holds the same figures.
type plot struct {
	Title, Alt        string
	Lines             []string
	Dots              []dot // measured alone, between two gaps
	Band              *strip
	Limit             *rule
	Begun, Ended      *rule
	Ticks             []rule
	From, Middle, To  time.Time
	Days              bool // dates stand at its foot, not times
	Width, Height     int
	Left, Right, Base int
}

type dot struct{ X, Y string }

type strip struct{ Y, Height string }

type rule struct {
	At   string
	Text string
}

// Sizes of a plot. It is scaled to the width that there is.
const (
	plotW, plotH           = 420, 170
	plotLeft, plotRight    = 52, 8
	plotTop, plotBottom    = 10, 22
	plotInnerW, plotInnerH = plotW - plotLeft - plotRight, plotH - plotTop - plotBottom
	gapAfter               = 5 // steps without a point break the line
)

func plotOf(c tools.Chart) (plot, bool) {
	span := c.To.Sub(c.From)
	if len(c.Points) == 0 || span <= 0 {
		return plot{}, false
	}
	most := max(c.High, c.Limit)
	least := math.Inf(1)
	for _, p := range c.Points {
		most, least = max(most, p.Value), min(least, p.Value)
	}
	// From zero where the figures reach near it: half a scale makes a molehill a mountain.
	low := 0.0
	if least > 0.8*most && most-least > 0.02*most {
		low = least - (most - least)
	}
	high := nice(most)
	if high <= low {
		high = low + 1
	}
	x := func(t time.Time) float64 {
		return plotLeft + plotInnerW*min(1, max(0, float64(t.Sub(c.From))/float64(span)))
	}
	y := func(v float64) float64 {
		return plotTop + plotInnerH*(1-min(1, max(0, (v-low)/(high-low))))
	}
	px := func(v float64) string { return fmt.Sprintf("%.1f", v) }
	out := plot{
		Title: c.Title, Alt: c.Alt, Width: plotW, Height: plotH, Left: plotLeft, Right: plotW - plotRight, Base: plotTop + plotInnerH,
		From: c.From, Middle: c.From.Add(span / 2), To: c.To, Days: span > 36*time.Hour,
	}
	var line []string
	end := func() {
		switch len(line) {
		case 0:
		case 1:
			at := strings.Split(line[0], ",")
			out.Dots = append(out.Dots, dot{at[0], at[1]})
		default:
			out.Lines = append(out.Lines, strings.Join(line, " "))
		}
		line = nil
	}
	var last time.Time
	for _, p := range c.Points {
		if p.At.Before(c.From) || p.At.After(c.To) || math.IsNaN(p.Value) {
			continue
		}
		if step := max(c.Step, time.Second); !last.IsZero() && p.At.Sub(last) > gapAfter*step {
			end()
		}
		line, last = append(line, px(x(p.At))+","+px(y(p.Value))), p.At
	}
	end()
	if c.High > 0 {
		out.Band = &strip{px(y(c.High)), px(max(1, y(c.Low)-y(c.High)))}
	}
	if c.Limit > 0 {
		out.Limit = &rule{px(y(c.Limit)), ""}
	}
	mark := func(t time.Time) *rule {
		if t.Before(c.From) || t.After(c.To) {
			return nil
		}
		return &rule{px(x(t)), t.UTC().Format("15:04")}
	}
	out.Begun, out.Ended = mark(c.Begun), mark(c.Ended)
	for _, v := range []float64{low, (low + high) / 2, high} {
		out.Ticks = append(out.Ticks, rule{px(y(v)), axis(c.Unit, v)})
	}
	return out, true
}

// footOf gives how a language writes what stands at a plot's foot: times of day, or dates.
func footOf(p *message.Printer) func(t time.Time, days bool) string {
	date := p.Sprintf("2 Jan")
	return func(t time.Time, days bool) string {
		if days {
			return t.UTC().Format(date)
		}
		return t.UTC().Format("15:04")
	}
}

// nice rounds up to a number that people read easily.
func nice(x float64) float64 {
	if x <= 0 {
		return 1
	}
	p := math.Pow(10, math.Floor(math.Log10(x)))
	for _, m := range []float64{1, 1.5, 2, 3, 4, 5, 6, 8} {
		if x <= m*p {
			return m * p
		}
	}
	return 10 * p
}

// axis writes a figure of an axis with its unit.
func axis(unit string, x float64) string {
	switch unit {
	case "ratio":
		return figure.Of(100*x) + " %"
	case "s":
		if x < 1 {
			return figure.Of(1000*x) + " ms"
		}
		return figure.Of(x) + " s"
	case "1/s":
		return figure.Of(x) + "/s"
	case "By":
		return tools.Bytes(x)
	case "Cel":
		return figure.Of(x) + " °C"
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s", figure.Of(x), unit))
}
