package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/bot/assistant/geminifake"
	"github.com/bukahou/atlhyper/deploy/lab/telemetry"
	"github.com/bukahou/atlhyper/deploy/lab/telemetry/shop"
)

// store is a real ClickHouse engine with the tables of the collector's exporter, and a pretended shop that fills them.
type store struct {
	*telemetry.ClickHouse
	t    *testing.T
	shop *shop.Shop
}

func newStore(t *testing.T, begin time.Time) *store {
	t.Helper()
	s := &store{telemetry.ForTest(t), t, shop.New(shop.Config{Start: begin.Truncate(time.Second), Rate: 4, Seed: 3})}
	if err := s.Create(t.Context(), "c"); err != nil {
		t.Fatal(err)
	}
	return s
}

// until lets the shop go on to a time, scraped every 30 s, and stores what it left.
func (s *store) until(end time.Time) {
	s.t.Helper()
	conn, err := s.Open()
	if err != nil {
		s.t.Fatal(err)
	}
	defer conn.Close()
	var all telemetry.Records
	for next := s.shop.Now().Add(30 * time.Second); !next.After(end); next = next.Add(30 * time.Second) {
		s.shop.Advance(next)
		for _, r := range []telemetry.Records{s.shop.Drain(), s.shop.Scrape()} {
			all.Points, all.Spans, all.Lines = append(all.Points, r.Points...), append(all.Spans, r.Spans...), append(all.Lines, r.Lines...)
		}
	}
	if err := telemetry.Write(s.t.Context(), conn, all); err != nil {
		s.t.Fatal(err)
	}
}

// What a person on call asks of the store, over the whole way: exporter's tables, ClickHouse's engine, agent, engine, tools,
// chat; with a model, and without one.
func TestTracesAndNewLogsAreAskedInPlainWords(t *testing.T) {
	s := newStore(t, time.Now().Add(-20*time.Minute))
	s.until(time.Now())
	flags := []string{"--clickhouse-url", s.URL()}

	t.Run("without a model", func(t *testing.T) {
		w := newWorkspace(t, flags...)
		w.heal("payments")
		w.start()
		asked := w.mention(mia, "show me the slowest checkout traces of the last 15 minutes")
		list := w.expectReply(asked, "checkout · lab / shop: the 10 slowest traces of the last 15m", "frontend")
		w.click(mia, list, "Show the first")
		w.expectReply(asked, "frontend", "spans", "payments", "█")

		// A rollout, and after it a complaint that was not there before.
		w.slash("restart deployment/payments")
		card := w.expect("restart deployment/payments", "expires")
		w.click(mia, card, w.buttonOf(card, "Restart"))
		w.expect("Restart deployment/payments", "verified")
		s.shop.Advance(time.Now())
		s.shop.Break("payments", shop.Fault{Fail: 0.5, Error: "card declined by bank ACME"})
		broken := time.Now()
		s.until(broken.Add(time.Minute)) // what lies ahead is not asked for yet
		waitFor(t, "some failed requests", func() bool { return time.Since(broken) > 20*time.Second })
		asked = w.mention(mia, "which logs of payments are new since the rollout?")
		w.expectReply(asked, "are new in the last", "card declined by bank ACME", "ERROR")
	})

	t.Run("with a model", func(t *testing.T) {
		_, model := newModel(t, "genai", func(turn geminifake.Turn) geminifake.Reply {
			if turn.Step == 0 {
				return geminifake.Reply{Calls: []geminifake.Call{
					{Name: "traces", Args: map[string]any{"target": "checkout", "since": "15m"}},
					{Name: "log_patterns", Args: map[string]any{"target": "payments", "level": "error", "new_since": "10m"}},
				}}
			}
			return geminifake.Reply{Text: []string{"Slowest first: ", headlineOf(turn.Results[0].Output), " Logs: ", headlineOf(turn.Results[1].Output)}}
		})
		w := newWorkspace(t, append(flags, model...)...)
		w.start()
		asked := w.mention(mia, "which checkout traces are slow, and which logs are new?")
		w.expectReply(asked, "the 10 slowest traces of the last 15m", "are new in the last", "looked at: traces", "log patterns")
	})
}

// headlineOf reads a tool's headline as the model sees it.
func headlineOf(output any) string {
	raw, err := json.Marshal(output)
	if err != nil {
		return err.Error()
	}
	var shown struct{ Headline string }
	if err := json.Unmarshal(raw, &shown); err != nil {
		return err.Error()
	}
	return shown.Headline
}

// A budget that burns in the counts of a real store opens one thread, with the course as a picture in it.
func TestABudgetThatBurnsInAStoreOpensAThreadWithItsChart(t *testing.T) {
	now := time.Now()
	s := newStore(t, now.Add(-90*time.Minute))
	s.shop.Silent = true // counters are all that matters
	s.until(now.Add(-8 * time.Minute))
	s.shop.Break("payments", shop.Fault{Fail: 0.6})
	s.until(now)
	file := filepath.Join(t.TempDir(), "slo.yaml")
	if err := os.WriteFile(file, []byte("objectives:\n- service: shop/payments\n  availability: 99.5\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorkspace(t, "--clickhouse-url", s.URL(), "--slo-file", file)
	w.start()
	parent := w.expect("payments", "INC-1", "budget")
	if file := w.picture(parent); !strings.Contains(file.Alt, "payments") {
		t.Errorf("the picture tells %s", file.Alt)
	}
}
