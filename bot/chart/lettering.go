package chart

import (
	"embed"
	"fmt"
	"strings"
	"sync"
	"unicode"

	"golang.org/x/image/font/opentype"
	"golang.org/x/image/font/sfnt"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"

	xfont "golang.org/x/image/font"
)

// The Chinese and Japanese letters that our own words in a picture need, and no others: a whole font has megabytes. Han
// letters look different in the two, so that each has its own. font/subset.sh makes the files.
//
//go:embed font/zh.otf font/zh-bold.otf font/ja.otf font/ja-bold.otf
var fontFiles embed.FS

// eastern are the fonts by language, of normal weight and bold.
var eastern = sync.OnceValue(func() map[string][2]*opentype.Font {
	out := map[string][2]*opentype.Font{}
	for _, lang := range []string{"zh", "ja"} {
		var pair [2]*opentype.Font
		for i, file := range []string{lang + ".otf", lang + "-bold.otf"} {
			raw, err := fontFiles.ReadFile("font/" + file)
			if err == nil {
				pair[i], err = opentype.Parse(raw)
			}
			if err != nil {
				panic(fmt.Sprintf("font %s: %v", file, err)) // embedded at build time; a test draws with each
			}
		}
		out[lang] = pair
	}
	return out
})

// lettering draws and measures text of a language whose letters are in two fonts: Latin ones in Liberation, the others in
// the language's own. It implements text.Handler.
type lettering struct{ lang string }

// style gives what text of a size looks like.
func (l lettering) style(size vg.Length, bold bool) draw.TextStyle {
	f := font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}
	if bold {
		f.Weight = xfont.WeightBold
	}
	return draw.TextStyle{Color: ink, Font: f, Handler: l}
}

// faces are those that a letter is looked for in, in their order.
func (l lettering) faces(f font.Font) []font.Face {
	out := []font.Face{font.DefaultCache.Lookup(f, f.Size)}
	if pair, ok := eastern()[l.lang]; ok {
		own := pair[0]
		if f.Weight == xfont.WeightBold {
			own = pair[1]
		}
		out = append(out, font.Face{Font: f, Face: own})
	}
	return out
}

// run is a text in one font.
type run struct {
	face font.Face
	text string
}

// runs takes a text apart by the fonts of its letters. Letters that no font has become one "…" for all that stand together:
// the text beside the picture has them. So do those that are read from the right, which this would draw backwards.
func (l lettering) runs(s string, f font.Font) (out []run) {
	faces := l.faces(f)
	var buf sfnt.Buffer
	in := func(r rune) int {
		if unicode.In(r, unicode.Hebrew, unicode.Arabic, unicode.Syriac, unicode.Thaana) {
			return -1
		}
		for i, x := range faces {
			if g, err := x.Face.GlyphIndex(&buf, r); err == nil && g != 0 {
				return i
			}
		}
		return -1
	}
	at, lost := -1, false
	for _, r := range s {
		if unicode.In(r, unicode.Cc, unicode.Cf, unicode.Mn, unicode.Me) { // nothing to see by itself
			continue
		}
		n := in(r)
		if n < 0 {
			if lost {
				continue
			}
			r, n, lost = '…', 0, true
		} else {
			lost = false
		}
		if n != at || len(out) == 0 {
			out, at = append(out, run{face: faces[n]}), n
		}
		out[len(out)-1].text += string(r)
	}
	return out
}

// Cache implements text.Handler.
func (lettering) Cache() *font.Cache { return font.DefaultCache }

// Extents implements text.Handler.
func (l lettering) Extents(f font.Font) font.Extents { return l.faces(f)[0].Extents() }

// Lines implements text.Handler: a label has one.
func (lettering) Lines(s string) []string { return []string{s} }

// Box implements text.Handler.
func (l lettering) Box(s string, f font.Font) (width, height, depth vg.Length) {
	for _, r := range l.runs(s, f) {
		width += r.face.Width(r.text)
	}
	e := l.Extents(f)
	return width, e.Ascent, e.Descent
}

// Draw implements text.Handler. No text of a chart is turned.
func (l lettering) Draw(c vg.Canvas, s string, style text.Style, at vg.Point) {
	c.SetColor(style.Color)
	at.X += vg.Length(style.XAlign) * style.Width(s)
	at.Y += vg.Length(style.YAlign)*style.Height(s) - l.Extents(style.Font).Ascent + style.Font.Size
	for _, r := range l.runs(s, style.Font) {
		c.FillString(r.face, at, r.text)
		at.X += r.face.Width(r.text)
	}
}

// elide takes out of the middle what does not fit: a title has its metric at one end or the other, by the language.
func (l lettering) elide(s string, style draw.TextStyle, room vg.Length) string {
	if style.Width(s) <= room {
		return s
	}
	all := []rune(s)
	less := func(keep int) string {
		return strings.TrimSpace(string(all[:keep-keep/2])) + "…" + strings.TrimSpace(string(all[len(all)-keep/2:]))
	}
	low, high := 0, len(all)-1 // low fits, high+1 does not
	for low < high {
		mid := (low + high + 1) / 2
		if style.Width(less(mid)) <= room {
			low = mid
		} else {
			high = mid - 1
		}
	}
	return less(low)
}
