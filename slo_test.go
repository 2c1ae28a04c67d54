package main

import (
	"bytes"
	"context"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/bot/slack/slackfake"
)

// shopping is the simulated shop with one fault, told in Slack. Nobody mends it.
func shopping(t *testing.T, scenario string, extra ...string) *workspace {
	t.Helper()
	s := slackfake.New(slackfake.Config{Burst: -1})
	t.Cleanup(s.Close)
	w := &workspace{Server: s, t: t, data: t.TempDir()}
	ctx, cancel := context.WithCancel(t.Context())
	keyboard, typing := io.Pipe()
	var out bytes.Buffer
	var done sync.WaitGroup
	done.Go(func() {
		code := run(ctx, append([]string{
			"demo", "--scenario", scenario, "--seed", "3", "--speed", "100", "--slack-bot-token", slackfake.BotToken, "--slack-app-token", slackfake.AppToken,
			"--slack-api-url", s.URL(), "--slack-channel", ops, "--log-file", filepath.Join(w.data, "log"),
		}, extra...), os.Getenv, keyboard, &out, &out)
		if code != 0 && ctx.Err() == nil {
			t.Errorf("the program ended with code %d: %s", code, tail(out.String(), 2000))
		}
	})
	t.Cleanup(func() {
		cancel()
		typing.Close()
		done.Wait()
		w.said()
	})
	w.connected(t.Context())
	return w
}

// picture gives the first file in the thread of a message.
func (w *workspace) picture(parent slackfake.Message) slackfake.File {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), 90*time.Second)
	defer cancel()
	var found slackfake.File
	err := w.Wait(ctx, func() bool {
		for _, m := range w.Thread(ops, parent.TS) {
			if len(m.Files) > 0 {
				found = m.Files[0]
				return true
			}
		}
		return false
	})
	if err != nil {
		w.t.Fatal("no picture came into the thread")
	}
	return found
}

func TestAnIncidentsThreadHasItsChartWithTheFiguresAsText(t *testing.T) {
	w := shopping(t, "slow-dependency")
	parent := w.expect("is slow")
	file := w.picture(parent)
	img, err := png.Decode(bytes.NewReader(file.Content))
	if err != nil || img.Bounds().Dx() != 780 || len(file.Content) >= 100<<10 {
		t.Errorf("the picture is %v, %d bytes, %v", img, len(file.Content), err)
	}
	for _, words := range []string{"latency of ", "now ", "normal ", "the incident began at 02:"} {
		if !strings.Contains(file.Alt, words) {
			t.Errorf("its text lacks %q: %s", words, file.Alt)
		}
	}
	w.expectReply(parent, "latency of ", "least ", "normal ")
	time.Sleep(time.Second)
	pictures := 0
	for _, m := range w.Thread(ops, parent.TS) {
		pictures += len(m.Files)
	}
	if pictures != 1 {
		t.Errorf("%d pictures came", pictures)
	}
}

func TestABudgetThatBurnsIsToldInTheThreadAndInAnswers(t *testing.T) {
	besides(t)
	file := filepath.Join(t.TempDir(), "objectives.yaml")
	if err := os.WriteFile(file, []byte("objectives:\n- service: shop/product-search\n  availability: 99.5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := shopping(t, "bad-rollout", "--slo-file", file)
	parent := w.expect("Likely cause: deployment/product-search")
	w.expect("budget burning ", "of product-search's 30 d budget spent")
	if err := w.Slash(mia, ops, "/atl", "slo"); err != nil {
		t.Fatal(err)
	}
	w.expect("burn too fast", "service/product-search", "availability 99.5 % over 30 d", "file")
	if err := w.Slash(mia, ops, "/atl", "slo ingress/shop"); err != nil {
		t.Fatal(err)
	}
	w.expect("% good", "14 d of 30 d known", "forecast", "3 d") // two weeks were read from the shop's telemetry
	if err := w.Slash(mia, ops, "/atl", "signals checkout"); err != nil {
		t.Fatal(err)
	}
	w.expect("golden signals", "p95", "/s")
	current, _ := w.Message(ops, parent.TS)
	if text := current.Text(); !strings.Contains(text, "deployment/product-search") {
		t.Errorf("the burn took the blame:\n%s", text)
	}
}

func TestAFileOfObjectivesThatMakesNoSenseStopsTheStart(t *testing.T) {
	file := filepath.Join(t.TempDir(), "objectives.yaml")
	if err := os.WriteFile(file, []byte("objectives: [{service: shop/checkout, availability: 0.999}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, code := play(t.Context(), "--play", "none", "--slo-file", file)
	if code == 0 || !strings.Contains(out, "objective 1 (shop/checkout): 0.999 is a fraction: a target is written in percent, such as 99.9") {
		t.Errorf("code %d: %s", code, out)
	}
}
