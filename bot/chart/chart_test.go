package chart_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/bot/chart"
	"github.com/bukahou/atlhyper/engine/history"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

var now = time.Date(2026, 3, 3, 3, 10, 0, 0, time.UTC)

// samples are charts as the tools make them in a language: of an outage, of a slow service, of a node with a gap, of a week.
func samples(lang string) map[string]tools.Chart {
	p := phrase.For(lang)
	of := func(metric, name string) string { return p.Sprintf("%s of %s", metric, name) }
	hour := func(f func(m int) float64) (out []history.Point) {
		for m := range 60 {
			if v := f(m); !math.IsNaN(v) {
				out = append(out, history.Point{At: now.Add(time.Duration(m-60) * time.Minute), Value: v})
			}
		}
		return out
	}
	base := tools.Chart{From: now.Add(-time.Hour), To: now, Step: time.Minute}
	outage, slow, node, week, tiny := base, base, base, base, base
	outage.Title, outage.Unit, outage.Low, outage.High, outage.Limit, outage.Begun = p.Sprintf("failed requests of %s", "checkout"), "ratio", 0, 0.02, 0.001, now.Add(-12*time.Minute)
	outage.Points = hour(func(m int) float64 {
		if m > 48 {
			return 0.31 + 0.02*math.Sin(float64(m))
		}
		return 0.002 + 0.001*math.Sin(float64(m))
	})
	slow.Title, slow.Unit, slow.Low, slow.High, slow.Begun, slow.Ended = of(p.Sprintf("latency"), "recommendations-with-a-very-long-name-that-goes-on-and-on"), "s", 0.031, 0.052, now.Add(-40*time.Minute), now.Add(-15*time.Minute)
	slow.Points = hour(func(m int) float64 {
		if m > 20 && m < 45 {
			return 0.43
		}
		return 0.041 + 0.003*math.Sin(float64(m))
	})
	node.Title, node.Unit, node.Low, node.High = of(p.Sprintf("CPU"), "ip-10-0-12-44"), "ratio", 0.41, 0.55
	node.Points = hour(func(m int) float64 {
		if m > 30 && m < 38 {
			return math.NaN()
		}
		return 0.48 + 0.02*math.Cos(float64(m)/3)
	})
	week.Title, week.Unit, week.From, week.Step = of(p.Sprintf("memory"), "worker-1"), "By", now.Add(-7*24*time.Hour), time.Hour
	for h := range 168 {
		week.Points = append(week.Points, history.Point{At: now.Add(time.Duration(h-168) * time.Hour), Value: 6e9 + 1e9*math.Sin(float64(h)/24*2*math.Pi)})
	}
	tiny.Title, tiny.Unit, tiny.Points = of(p.Sprintf("requests"), "cart"), "1/s", []history.Point{{At: now.Add(-time.Minute), Value: 0}}
	return map[string]tools.Chart{"outage": outage, "slow": slow, "node": node, "week": week, "tiny": tiny}
}

func TestAChartFitsAPhoneAndAMessage(t *testing.T) {
	for _, lang := range phrase.Langs {
		for name, c := range samples(lang) {
			t.Run(lang+" "+name, func(t *testing.T) {
				raw, err := chart.Draw(c, lang)
				if err != nil {
					t.Fatal(err)
				}
				if dir := os.Getenv("ATLHYPER_SHOW_CHARTS"); dir != "" { // for eyes
					if err := os.WriteFile(filepath.Join(dir, name+"."+lang+".png"), raw, 0o600); err != nil {
						t.Fatal(err)
					}
				}
				if len(raw) >= 100<<10 {
					t.Errorf("it has %d bytes", len(raw))
				}
				img := decoded(t, raw)
				if b := img.Bounds(); b.Dx() != 780 || b.Dy() != 464 {
					t.Errorf("it is %d × %d", b.Dx(), b.Dy())
				}
				// Opaque, so that no theme shines through, and with what it must show in it.
				has := map[string]bool{}
				for y := range img.Bounds().Dy() {
					for x := range img.Bounds().Dx() {
						r, g, b, a := img.At(x, y).RGBA()
						if a != 0xffff {
							t.Fatalf("the pixel at %d, %d is not opaque", x, y)
						}
						has[named(color.RGBA{uint8(r >> 8), uint8(g >> 8), uint8(b >> 8), 255})] = true
					}
				}
				for what, wanted := range map[string]bool{"course": true, "normal": c.High > 0, "incident": !c.Begun.IsZero(), "limit": c.Limit > 0} {
					if has[what] != wanted {
						t.Errorf("%s is shown: %v", what, has[what])
					}
				}
				if n := inked(img, image.Rect(760, 0, 780, 90)); n > 0 {
					t.Errorf("title or key run into the margin: %d pixels", n)
				}
			})
		}
	}
}

func decoded(t *testing.T, raw []byte) image.Image {
	t.Helper()
	img, err := png.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// inked counts the pixels of a part that are not the ground.
func inked(img image.Image, part image.Rectangle) (n int) {
	ground := img.At(0, 0)
	for y := part.Min.Y; y < part.Max.Y; y++ {
		for x := part.Min.X; x < part.Max.X; x++ {
			if img.At(x, y) != ground {
				n++
			}
		}
	}
	return n
}

// heading is where the title stands.
var heading = image.Rect(0, 0, 780, 48)

func TestTheSamePictureSpeaksEachLanguage(t *testing.T) {
	seen := map[string]string{}
	for _, lang := range phrase.Langs {
		c := samples(lang)["week"]
		c.Title = "worker-1" // so that all that differs is the unit's brackets, the key and the dates
		raw, err := chart.Draw(c, lang)
		if err != nil {
			t.Fatal(err)
		}
		img := decoded(t, raw)
		key, dates := fmt.Sprint(inked(img, image.Rect(40, 50, 400, 90))), fmt.Sprint(inked(img, image.Rect(0, 430, 780, 464)))
		for _, x := range []string{"key " + key, "dates " + dates} {
			if other := seen[x]; other != "" && !(strings.HasPrefix(x, "dates") && lang == "ja" && other == "zh") { // 3月2日 in both
				t.Errorf("%s and %s have the same %s", lang, other, x)
			}
			seen[x] = lang
		}
	}
}

func TestNamesOfAnyLettersAreDrawn(t *testing.T) {
	base := samples("en")["node"]
	title := func(lang, s string) (image.Image, int) {
		c := base
		c.Title = s
		raw, err := chart.Draw(c, lang)
		if err != nil {
			t.Fatalf("%q: %v", s, err)
		}
		img := decoded(t, raw)
		return img, inked(img, heading)
	}
	same := func(a, b string) {
		t.Helper()
		for _, lang := range phrase.Langs {
			one, _ := title(lang, a)
			two, _ := title(lang, b)
			if !slices.Equal(one.(*image.RGBA).Pix, two.(*image.RGBA).Pix) {
				t.Errorf("%s: %q is not drawn as %q", lang, a, b)
			}
		}
	}
	// What no font of ours has is left out, and said to be.
	same("CPU of 購物車-鬱", "CPU of …-…")
	same("CPU of 🛒🔥-cart", "CPU of …-cart")
	same("CPU of عربة التسوق", "CPU of … …")
	same("CPU of עגלה", "CPU of …")
	same("CPU of \u202ecart\u200d\x07", "CPU of cart")
	if _, n := title("en", "CPU of корзина"); n == 0 {
		t.Error("Cyrillic is not drawn")
	}
	// What only an eastern font has is drawn where that language is read, and left out elsewhere.
	for lang, word := range map[string]string{"zh": "内存", "ja": "メモリ"} {
		own, _ := title(lang, word)
		other, _ := title("en", word)
		if slices.Equal(own.(*image.RGBA).Pix, other.(*image.RGBA).Pix) {
			t.Errorf("%s: %s is not drawn", lang, word)
		}
	}
	// A name that is too long loses its middle, and the words at both ends stay.
	for _, lang := range phrase.Langs {
		for _, long := range []string{strings.Repeat("x", 3000), strings.Repeat("🛒", 3000), strings.Repeat("ж", 300), strings.Repeat("内", 300), "CPU of " + strings.Repeat("webshop-checkout-", 30)} {
			img, n := title(lang, long)
			if n == 0 || inked(img, image.Rect(760, 0, 780, 48)) > 0 {
				t.Errorf("%s: %.10q…: %d pixels, or beyond the margin", lang, long, n)
			}
		}
	}
}

func TestACrowdsPictureIsDrawnOnce(t *testing.T) {
	draw := func(c tools.Chart, lang string) *byte {
		raw, err := chart.Draw(c, lang)
		if err != nil {
			t.Fatal(err)
		}
		return &raw[0]
	}
	c := samples("en")["outage"]
	c.Title = "drawn once"
	first := draw(c, "en")
	later := c
	later.From, later.To = c.From.Add(300*time.Millisecond), c.To.Add(300*time.Millisecond)
	if draw(c, "en") != first || draw(later, "en-GB") != first {
		t.Error("the same picture was drawn again")
	}
	other := c
	other.Points = slices.Clone(c.Points)
	other.Points[7].Value += 0.01
	minute := c
	minute.From, minute.To = c.From.Add(time.Minute), c.To.Add(time.Minute)
	if draw(c, "ja") == first || draw(other, "en") == first || draw(minute, "en") == first {
		t.Error("another picture is shown")
	}
	for n := range 100 { // it is not remembered for ever
		c.Title = fmt.Sprint(n)
		draw(c, "en")
	}
	c.Title = "drawn once"
	if draw(c, "en") == first {
		t.Error("pictures pile up")
	}
}

// named says what a pure colour of the palette stands for.
func named(c color.RGBA) string {
	switch c {
	case color.RGBA{0x6c, 0xb6, 0xff, 255}:
		return "course"
	case color.RGBA{0x57, 0xab, 0x5a, 255}:
		return "normal"
	case color.RGBA{0xf4, 0x70, 0x67, 255}:
		return "incident"
	case color.RGBA{0xe3, 0xb3, 0x41, 255}:
		return "limit"
	}
	return ""
}

func TestAChartWithoutPointsIsAnError(t *testing.T) {
	if _, err := chart.Draw(tools.Chart{From: now.Add(-time.Hour), To: now}, "en"); err == nil {
		t.Error("an empty picture was drawn")
	}
}

func TestWhateverIsMeasuredCanBeDrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := tools.Chart{
			Title: rapid.String().Draw(t, "title"), Unit: rapid.SampledFrom([]string{"ratio", "s", "1/s", "By", "By/s", "Cel", ""}).Draw(t, "unit"),
			From: now.Add(-rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 26 * time.Hour, 30 * 24 * time.Hour}).Draw(t, "span")), To: now, Step: time.Minute,
			Low: rapid.Float64Range(0, 1).Draw(t, "low"), High: rapid.Float64Range(0, 1e6).Draw(t, "high"), Limit: rapid.Float64Range(0, 1).Draw(t, "limit"),
			Begun: now.Add(-time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(t, "begun"))),
		}
		for range rapid.IntRange(1, 20).Draw(t, "points") {
			c.Points = append(c.Points, history.Point{At: now.Add(-time.Duration(rapid.Int64Range(-int64(time.Hour), int64(48*time.Hour)).Draw(t, "at"))), Value: rapid.OneOf(rapid.Float64Range(-10, 1e12), rapid.Just(0.0)).Draw(t, "value")})
		}
		raw, err := chart.Draw(c, rapid.SampledFrom(phrase.Langs).Draw(t, "lang"))
		if err != nil || len(raw) >= 100<<10 {
			t.Fatalf("%d bytes, %v", len(raw), err)
		}
	})
}
