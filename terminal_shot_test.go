package main

import (
	"errors"
	"html"
	"io"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"

	"github.com/bukahou/atlhyper/bot/terminal"
)

// shotColumns is a terminal that is legible when its picture is as wide as a phone.
const shotColumns = 60

// TestTerminalScreenshot makes the picture of an incident in the terminal: what broke, how it went, the fix, the end. The
// marks of its cards need a font of emoji.
func TestTerminalScreenshot(t *testing.T) {
	if *screenshots == "" {
		t.Skip("pictures are made by make screenshots")
	}
	b := browser(t)
	var out strings.Builder
	const scenario = "bad-rollout"
	w, err := newWorld(t.Context(), &demoCmd{Play: scenario, Seed: 1}, &environment{stdout: &out, stderr: io.Discard, log: slog.New(slog.DiscardHandler)}, func(_ *coreConfig, c *terminal.Config) {
		c.In, c.Greeting, c.Plain, c.Width = blocked{t.Context()}, "", true, shotColumns
	})
	if err != nil {
		t.Fatal(err)
	}
	defer w.close()
	if err := w.inject(scenario, playOnset); err != nil {
		t.Fatal(err)
	}
	if err := w.run(t.Context(), 0, false, &player{w: w, scenario: scenario}); !errors.Is(err, errDriven) {
		t.Fatal(err)
	}

	var shown []string
	rest := spoken(out.String())
	for _, mark := range []string{"🔴", "▁", "(Suggest fix)", "📝", "(Roll back ", "✅", "🟢"} { // in the order in which they are told
		for {
			if len(rest) == 0 {
				t.Fatalf("nothing with %s was told:\n%s", mark, out.String())
			}
			next := rest[0]
			if rest = rest[1:]; strings.Contains(next, mark) {
				shown = append(shown, next)
				break
			}
		}
	}
	var page strings.Builder
	page.WriteString(`<!doctype html><meta charset="utf-8"><style>
body { margin: 0; background: #1b1f24 }
pre { margin: 0; padding: 16px 18px; width: max-content; color: #d7dde4; font: 14px/18px "DejaVu Sans Mono", monospace }
b { color: #6cb6ff; font-weight: normal }
</style><pre>`)
	for _, s := range shown {
		s = html.EscapeString(s)
		if strings.HasPrefix(s, "&gt;") {
			s = "<b>" + s + "</b>"
		}
		page.WriteString(s + "\n")
	}
	do(t, b, chromedp.Navigate("data:text/html;charset=utf-8,"+url.PathEscape(page.String())))
	png, err := chromedp.Run(b, chromedp.ScreenshotScale(chromedp.CSS("pre"), 2))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(*screenshots, "incident.png"), png, 0o644); err != nil {
		t.Fatal(err)
	}
}

// spoken takes what a terminal showed apart into cards and lines.
func spoken(out string) (all []string) {
	within := false
	for line := range strings.SplitSeq(out, "\n") {
		if within {
			all[len(all)-1] += "\n" + line
		} else {
			all = append(all, line)
		}
		within = (within || strings.HasPrefix(line, "╭")) && !strings.HasPrefix(line, "╰")
	}
	return all
}
