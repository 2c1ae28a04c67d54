// Package chart draws a course as a PNG: one figure, its unit on the axis, the normal band shaded, the incident marked.
// It is drawn at twice the 390 points of a phone's width, on an opaque dark ground that stands out on light and dark
// themes alike. Its words are in the reader's language; names stay what they are.
package chart

import (
	"bytes"
	"errors"
	"fmt"
	"image/color"
	"image/png"
	"math"
	"strings"
	"time"

	"golang.org/x/text/message"
	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"

	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Size in points, and pixels for each.
const (
	width  = 390
	height = 232
	scale  = 2
	head   = 50 // for the title and the key
)

var (
	ground   = color.NRGBA{0x1b, 0x1f, 0x24, 0xff}
	ink      = color.NRGBA{0xf0, 0xf3, 0xf6, 0xff}
	faint    = color.NRGBA{0x3d, 0x44, 0x4d, 0xff}
	course   = color.NRGBA{0x6c, 0xb6, 0xff, 0xff}
	normal   = color.NRGBA{0x24, 0x4f, 0x36, 0xff}
	normalIn = color.NRGBA{0x57, 0xab, 0x5a, 0xff} // of the key, where the shade alone would not show
	trouble  = color.NRGBA{0xf4, 0x70, 0x67, 0xff}
	during   = color.NRGBA{0xf4, 0x70, 0x67, 0x2e}
	allowed  = color.NRGBA{0xe3, 0xb3, 0x41, 0xff}
)

// paint makes the PNG of a chart.
func paint(c tools.Chart, lang string) ([]byte, error) {
	p, say := plot.New(), phrase.For(lang)
	p.BackgroundColor = color.Transparent
	factor, unit := inUnit(c, say)
	x := func(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }
	letters := lettering{phrase.Match(lang)}
	axes(p, c, factor, letters, say)
	low, high := p.Y.Min, p.Y.Max

	clipped := func(v float64) float64 { return min(high, max(low, v*factor)) }
	area := func(from, to time.Time, lower, upper float64, fill color.Color) error {
		a, b := max(p.X.Min, x(from)), min(p.X.Max, x(to))
		if b <= a || upper <= lower {
			return nil
		}
		poly, err := plotter.NewPolygon(plotter.XYs{{X: a, Y: lower}, {X: b, Y: lower}, {X: b, Y: upper}, {X: a, Y: upper}})
		if err != nil {
			return err
		}
		poly.Color, poly.LineStyle.Width = fill, 0
		p.Add(poly)
		return nil
	}
	stroke := func(points plotter.XYs, style draw.LineStyle) error {
		line, err := plotter.NewLine(points)
		if err != nil {
			return err
		}
		line.LineStyle = style
		p.Add(line)
		return nil
	}
	var errs []error
	if c.High > 0 {
		errs = append(errs, area(c.From, c.To, clipped(c.Low), clipped(c.High), normal))
	}
	if !c.Begun.IsZero() {
		end := c.To
		if !c.Ended.IsZero() {
			end = c.Ended
		}
		errs = append(errs, area(c.Begun, end, low, high, during))
	}
	for _, y := range (ticks{factor}).at(low, high) {
		errs = append(errs, stroke(plotter.XYs{{X: p.X.Min, Y: y}, {X: p.X.Max, Y: y}}, draw.LineStyle{Color: faint, Width: 0.5}))
	}
	if c.Limit > 0 && c.Limit*factor <= high {
		errs = append(errs, stroke(plotter.XYs{{X: p.X.Min, Y: c.Limit * factor}, {X: p.X.Max, Y: c.Limit * factor}},
			draw.LineStyle{Color: allowed, Width: 1.5, Dashes: []vg.Length{5, 3}}))
	}
	if at := x(c.Begun); !c.Begun.IsZero() && at > p.X.Min && at < p.X.Max {
		errs = append(errs, stroke(plotter.XYs{{X: at, Y: low}, {X: at, Y: high}}, draw.LineStyle{Color: trouble, Width: 1.5, Dashes: []vg.Length{3, 3}}))
	}
	for _, run := range runs(c) {
		var points plotter.XYs
		for _, pt := range run {
			points = append(points, plotter.XY{X: x(pt.At), Y: clipped(pt.Value)})
		}
		if len(points) == 1 { // a lone minute still shows
			points = append(points, plotter.XY{X: points[0].X + max(1, c.Step.Seconds()/2), Y: points[0].Y})
		}
		errs = append(errs, stroke(points, draw.LineStyle{Color: course, Width: 2}))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("draw chart: %w", err)
	}
	return render(p, c, unit, letters, say)
}

// encoder is quick: drawing is most of an answer's time, and these pictures are small either way.
var encoder = png.Encoder{CompressionLevel: png.BestSpeed}

// render puts title, key and plot onto one ground.
func render(p *plot.Plot, c tools.Chart, unit string, letters lettering, say *message.Printer) ([]byte, error) {
	canvas := vgimg.NewWith(vgimg.UseWH(width, height), vgimg.UseDPI(72*scale), vgimg.UseBackgroundColor(ground))
	dc := draw.New(canvas)
	const margin = 10
	suffix := ""
	if unit != "" {
		suffix = say.Sprintf(", %s", unit)
	}
	name := letters.style(14, true)
	title := letters.elide(c.Title, name, width-2*margin-name.Width(suffix))
	dc.FillText(name, vg.Point{X: margin, Y: height - 20}, title+suffix)
	at := vg.Length(margin)
	key := func(col color.Color, words string) {
		s := letters.style(11, false)
		dc.FillPolygon(col, []vg.Point{{X: at, Y: height - 38}, {X: at + 9, Y: height - 38}, {X: at + 9, Y: height - 29}, {X: at, Y: height - 29}})
		dc.FillText(s, vg.Point{X: at + 13, Y: height - 38}, words)
		at += 13 + s.Width(words) + 12
	}
	key(course, say.Sprintf("measured"))
	if c.High > 0 {
		key(normalIn, say.Sprintf("normal"))
	}
	if !c.Begun.IsZero() {
		key(trouble, say.Sprintf("incident from %s", c.Begun.UTC().Format("15:04")))
	}
	if c.Limit > 0 {
		key(allowed, say.Sprintf("allowed"))
	}
	p.Draw(draw.Crop(dc, 6, -margin, 4, -head))
	var out bytes.Buffer
	if err := encoder.Encode(&out, canvas.Image()); err != nil {
		return nil, fmt.Errorf("draw chart: %w", err)
	}
	return out.Bytes(), nil
}

// axes sets ranges, ticks and colours.
func axes(p *plot.Plot, c tools.Chart, factor float64, letters lettering, say *message.Printer) {
	p.X.Min, p.X.Max = float64(c.From.Unix()), float64(c.To.Unix())
	least, most := math.Inf(1), math.Inf(-1)
	for _, pt := range c.Points {
		least, most = min(least, pt.Value), max(most, pt.Value)
	}
	top := most
	if c.High > 0 && c.High < 3*most {
		top = max(top, c.High)
	}
	if c.Limit > 0 && c.Limit < 3*most {
		top = max(top, c.Limit)
	}
	low := 0.0 // figures of a load begin at nothing: a cut axis makes a tremor of a breath
	if c.Unit == "Cel" || least < 0 {
		low = least - 0.1*(top-least)
	}
	top += 0.1 * (top - low)
	if c.Unit == "ratio" && most <= 1 {
		top = min(top, 1)
	}
	if top <= low {
		top = low + 1/factor
	}
	p.Y.Min, p.Y.Max = low*factor, top*factor
	p.Y.Tick.Marker = ticks{factor}
	p.X.Tick.Marker = clock{c.To.Sub(c.From), say.Sprintf("2 Jan")}
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.Color, a.LineStyle.Color, a.Tick.Color, a.Tick.LineStyle.Color = faint, faint, faint, faint
		words := letters.style(12, false)
		a.Tick.Label.Color, a.Tick.Label.Font, a.Tick.Label.Handler = words.Color, words.Font, words.Handler
		a.Tick.Length = 3
		a.Padding = 2
	}
}

// inUnit gives what a chart's values are multiplied by, and the unit that they are in then.
func inUnit(c tools.Chart, say *message.Printer) (factor float64, unit string) {
	most := 0.0
	for _, pt := range c.Points {
		most = max(most, math.Abs(pt.Value))
	}
	switch c.Unit {
	case "ratio":
		return 100, "%"
	case "s":
		if most < 1 {
			return 1000, "ms"
		}
		return 1, "s"
	case "1/s":
		return 1, say.Sprintf("per second")
	case "Cel":
		return 1, "°C"
	case "By", "By/s":
		suffix := strings.TrimPrefix(c.Unit, "By")
		for _, u := range []struct {
			size float64
			name string
		}{{1 << 40, "TiB"}, {1 << 30, "GiB"}, {1 << 20, "MiB"}, {1 << 10, "KiB"}} {
			if most >= u.size {
				return 1 / u.size, u.name + suffix
			}
		}
		return 1, "B" + suffix
	}
	return 1, c.Unit
}

// ticks are round numbers, few enough for a phone.
type ticks struct{ factor float64 }

func (ticks) at(low, high float64) (out []float64) {
	const most = 5
	raw := (high - low) / most
	power := math.Pow(10, math.Floor(math.Log10(raw)))
	step := 10 * power
	for _, s := range []float64{1, 2, 2.5, 5} {
		if s*power >= raw {
			step = s * power
			break
		}
	}
	first := math.Ceil(low/step - 1e-9)
	for i := range 2 * most {
		if y := (first + float64(i)) * step; y <= high+step*1e-9 {
			out = append(out, y)
		}
	}
	return out
}

// Ticks implements plot.Ticker.
func (t ticks) Ticks(low, high float64) []plot.Tick {
	var out []plot.Tick
	for _, y := range t.at(low, high) {
		out = append(out, plot.Tick{Value: y, Label: strings.TrimPrefix(fmt.Sprintf("%.4g", y+0), "-0")})
	}
	for i := range out {
		if out[i].Label == "" {
			out[i].Label = "0"
		}
	}
	return out
}

// clock are round times of day in UTC; of more than two days, dates as a language writes them.
type clock struct {
	span time.Duration
	date string // their layout
}

// Ticks implements plot.Ticker.
func (c clock) Ticks(low, high float64) []plot.Tick {
	const most = 5
	step, format := 24*time.Hour, c.date
	for _, s := range []time.Duration{5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour} {
		if s*most >= c.span {
			step, format = s, "15:04"
			break
		}
	}
	for step*most < c.span {
		step += 24 * time.Hour
	}
	var out []plot.Tick
	for t := time.Unix(int64(low), 0).UTC().Truncate(step); float64(t.Unix()) <= high; t = t.Add(step) {
		if float64(t.Unix()) >= low {
			out = append(out, plot.Tick{Value: float64(t.Unix()), Label: t.Format(format)})
		}
	}
	if n := len(out); n > 0 && format == "15:04" {
		out[n-1].Label += " UTC"
		if float64(out[n-1].Value) > high-(high-low)*0.08 && n > 1 { // it would not fit at the edge
			out[n-1].Label, out[n-2].Label = strings.TrimSuffix(out[n-1].Label, " UTC"), out[n-2].Label+" UTC"
		}
	}
	return out
}
