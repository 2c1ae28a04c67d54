package chart_test

import (
	"bytes"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/bot/chart"
	"github.com/bukahou/atlhyper/engine/history"
	"github.com/bukahou/atlhyper/tools"
)

var now = time.Date(2026, 3, 3, 3, 10, 0, 0, time.UTC)

// samples are charts as the tools make them: of an outage, of a slow service, of a node with a gap, of a week.
func samples() map[string]tools.Chart {
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
	outage.Label, outage.Unit, outage.Low, outage.High, outage.Limit, outage.Begun = "failed requests of checkout", "ratio", 0, 0.02, 0.001, now.Add(-12*time.Minute)
	outage.Points = hour(func(m int) float64 {
		if m > 48 {
			return 0.31 + 0.02*math.Sin(float64(m))
		}
		return 0.002 + 0.001*math.Sin(float64(m))
	})
	slow.Label, slow.Unit, slow.Low, slow.High, slow.Begun, slow.Ended = "latency of recommendations-with-a-very-long-name-that-goes-on", "s", 0.031, 0.052, now.Add(-40*time.Minute), now.Add(-15*time.Minute)
	slow.Points = hour(func(m int) float64 {
		if m > 20 && m < 45 {
			return 0.43
		}
		return 0.041 + 0.003*math.Sin(float64(m))
	})
	node.Label, node.Unit, node.Low, node.High = "CPU of ip-10-0-12-44", "ratio", 0.41, 0.55
	node.Points = hour(func(m int) float64 {
		if m > 30 && m < 38 {
			return math.NaN()
		}
		return 0.48 + 0.02*math.Cos(float64(m)/3)
	})
	week.Label, week.Unit, week.From, week.Step = "memory of worker-1", "By", now.Add(-7*24*time.Hour), time.Hour
	for h := range 168 {
		week.Points = append(week.Points, history.Point{At: now.Add(time.Duration(h-168) * time.Hour), Value: 6e9 + 1e9*math.Sin(float64(h)/24*2*math.Pi)})
	}
	tiny.Label, tiny.Unit, tiny.Points = "requests of cart", "1/s", []history.Point{{At: now.Add(-time.Minute), Value: 0}}
	return map[string]tools.Chart{"outage": outage, "slow": slow, "node": node, "week": week, "tiny": tiny}
}

func TestAChartFitsAPhoneAndAMessage(t *testing.T) {
	for name, c := range samples() {
		t.Run(name, func(t *testing.T) {
			raw, err := chart.Draw(c)
			if err != nil {
				t.Fatal(err)
			}
			if dir := os.Getenv("ATLHYPER_SHOW_CHARTS"); dir != "" { // for eyes
				if err := os.WriteFile(filepath.Join(dir, name+".png"), raw, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			if len(raw) >= 100<<10 {
				t.Errorf("it has %d bytes", len(raw))
			}
			img, err := png.Decode(bytes.NewReader(raw))
			if err != nil {
				t.Fatal(err)
			}
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
		})
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
	if _, err := chart.Draw(tools.Chart{From: now.Add(-time.Hour), To: now}); err == nil {
		t.Error("an empty picture was drawn")
	}
}

func TestWhateverIsMeasuredCanBeDrawn(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := tools.Chart{
			Label: rapid.String().Draw(t, "label"), Unit: rapid.SampledFrom([]string{"ratio", "s", "1/s", "By", "By/s", "Cel", ""}).Draw(t, "unit"),
			From: now.Add(-rapid.SampledFrom([]time.Duration{time.Minute, time.Hour, 26 * time.Hour, 30 * 24 * time.Hour}).Draw(t, "span")), To: now, Step: time.Minute,
			Low: rapid.Float64Range(0, 1).Draw(t, "low"), High: rapid.Float64Range(0, 1e6).Draw(t, "high"), Limit: rapid.Float64Range(0, 1).Draw(t, "limit"),
			Begun: now.Add(-time.Duration(rapid.Int64Range(0, int64(40*24*time.Hour)).Draw(t, "begun"))),
		}
		for range rapid.IntRange(1, 20).Draw(t, "points") {
			c.Points = append(c.Points, history.Point{At: now.Add(-time.Duration(rapid.Int64Range(-int64(time.Hour), int64(48*time.Hour)).Draw(t, "at"))), Value: rapid.OneOf(rapid.Float64Range(-10, 1e12), rapid.Just(0.0)).Draw(t, "value")})
		}
		raw, err := chart.Draw(c)
		if err != nil || len(raw) >= 100<<10 {
			t.Fatalf("%d bytes, %v", len(raw), err)
		}
	})
}
