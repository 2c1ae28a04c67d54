// Package fulllength follows incidents at the durations that people live with, without a time scale. One test takes a
// quarter of an hour, nearly all of it waiting for the built program on a real API server; another lets hours of telemetry
// go through a real store on a clock of its own. So they have a package that runs beside the others.
package fulllength

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/bot/slack/slackfake"
	"github.com/bukahou/atlhyper/deploy/lab"
)

const (
	ops    = "C0OPS"
	target = "payments"
)

// watch is the program beside its lab, and the one message that it writes.
type watch struct {
	*slackfake.Server
	t *testing.T
}

// shows waits until the incident's parent message shows a stage, and gives when it did.
func (w *watch) shows(stage string, within time.Duration) time.Time {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), within)
	defer cancel()
	err := w.Wait(ctx, func() bool {
		for _, m := range w.Messages(ops) {
			if strings.Contains(m.Text(), "INC-1 · "+stage) {
				return true
			}
		}
		return false
	})
	at := time.Now()
	if err != nil {
		w.t.Fatalf("the parent did not show %q within %s", stage, within)
	}
	w.t.Logf("%s: %s", at.Format(time.TimeOnly), stage)
	return at
}

// took fails the test when a stage came at another time than its timer says. Slack is told within a tick of 10 s and the
// 5 s between two edits, and a busy machine is late, never early.
func (w *watch) took(what string, got, want time.Duration) {
	w.t.Helper()
	w.t.Logf("%s: %s", what, got.Round(100*time.Millisecond))
	if early, late := 15*time.Second, 45*time.Second; got < want-early || got > want+late {
		w.t.Errorf("%s took %s, want about %s", what, got.Round(time.Second), want)
	}
}

func TestAnIncidentRunsItsCourseAtFullLength(t *testing.T) {
	t.Parallel() // it waits
	l := lab.ForTest(t)
	if err := l.SeedShop(t.Context()); err != nil {
		t.Fatal(err)
	}
	w := &watch{slackfake.New(slackfake.Config{}), t}
	t.Cleanup(w.Close)
	start(w, l)

	begun := time.Now()
	if err := l.ImagePull(t.Context(), lab.ShopNamespace, target); err != nil {
		t.Fatal(err)
	}
	alerted := w.shows("alert", time.Minute)
	w.took("the alert", alerted.Sub(begun), 0)
	// Both timers start when the risk crosses their threshold, and a certain fact of 0.8 crosses both at once: the fast
	// path begins at 0.9, and a missing image is no reason for it.
	w.took("the Warning", w.shows("Warning", 4*time.Minute).Sub(alerted), 2*time.Minute)
	w.took("the Incident", w.shows("Incident", 6*time.Minute).Sub(alerted), 5*time.Minute)

	if err := l.Heal(t.Context(), lab.ShopNamespace, target); err != nil {
		t.Fatal(err)
	}
	healed := time.Now()
	recovering := w.shows("recovering", 2*time.Minute)
	w.took("recovering", recovering.Sub(healed), 0)
	w.took("ten calm minutes", w.shows("resolved", 12*time.Minute).Sub(recovering), 10*time.Minute)

	if all := w.Messages(ops); len(all) != 1 {
		for _, m := range all {
			t.Logf("message:\n%s", m.Text())
		}
		t.Errorf("%d messages in the channel, want the one parent", len(all))
	}
}

// start builds the program and runs it until the test ends.
func start(w *watch, l *lab.Lab) {
	w.t.Helper()
	dir := w.t.TempDir()
	program := filepath.Join(dir, "atlhyper")
	if out, err := exec.CommandContext(w.t.Context(), "go", "build", "-o", program, "github.com/bukahou/atlhyper").CombinedOutput(); err != nil {
		w.t.Fatalf("build: %v\n%s", err, out)
	}
	cmd := exec.Command(program, "up", "--headless", "--kubeconfig", l.Kubeconfig(), "--cluster-id", "lab",
		"--data-dir", filepath.Join(dir, "data"), "--log-file", filepath.Join(dir, "log"), "--log-level", "info",
		"--slack-bot-token", slackfake.BotToken, "--slack-app-token", slackfake.AppToken, "--slack-api-url", w.URL(), "--slack-channel", ops)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM) // it may have ended
		if err := cmd.Wait(); err != nil {
			w.t.Errorf("the program did not stop well: %v", err)
		}
		for _, f := range w.Faults() {
			w.t.Errorf("Slack would have complained: %s", f)
		}
		if w.t.Failed() {
			raw, err := os.ReadFile(filepath.Join(dir, "log"))
			w.t.Logf("log (%v):\n%s", err, raw[max(0, len(raw)-8000):])
			for _, m := range w.Messages(ops) {
				w.t.Logf("message:\n%s", m.Text())
				for _, r := range w.Thread(ops, m.TS) {
					w.t.Logf("  in its thread:\n%s", r.Text())
				}
			}
		}
	})
	ctx, cancel := context.WithTimeout(w.t.Context(), time.Minute)
	defer cancel()
	if err := w.WaitConnected(ctx); err != nil {
		w.t.Fatalf("AtlHyper did not come to Slack: %v", err)
	}
}
