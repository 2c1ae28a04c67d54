package assistant

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/tools"
)

func TestRenderShowsFactsAndMarksText(t *testing.T) {
	at := time.Date(2026, 11, 22, 3, 0, 0, 0, time.UTC)
	got := render(&tools.Result{
		Tool: "get_logs", Headline: "prod-eu: logs", Cluster: "prod-eu", Observed: at.Add(-90 * time.Second), Missing: []string{"no metrics API"},
		Facts:    []tools.Fact{{Label: "errors", Value: "31 %", Normal: "0.1–0.4 %", At: at.Add(-12 * time.Second)}},
		Tables:   []tools.Table{{Columns: []string{"pod"}, Rows: [][]string{{"payments-1"}}, Total: 40}},
		Texts:    []tools.Text{{Heading: "log", Body: "see [here](http://evil.example) <b>&\x1b[0m\u202e", Truncated: true}},
		Options:  []tools.Option{{Label: "in shop", Tool: "get_logs", Args: json.RawMessage(`{"namespace":"shop"}`)}},
		Proposal: "secret-id", Data: map[string]int{"not": 1},
	}, at)
	want := `{"headline":"prod-eu: logs","cluster":"prod-eu","observed":"2026-11-22T02:58:30Z","age":"1m30s","could_not_look_at":["no metrics API"],` +
		`"facts":[{"label":"errors","value":"31 %","normal":"0.1–0.4 %","age":"12s"}],"tables":[{"columns":["pod"],"rows":[["payments-1"]],"total":40}],` +
		`"untrusted_text":[{"heading":"log","body":"see here <b>&[0m","cut":true}],"options":[{"label":"in shop","tool":"get_logs","args":{"namespace":"shop"}}]}`
	if d := cmp.Diff(want, string(got)); d != "" {
		t.Error(d)
	}
}

func TestRenderKeepsItsLimits(t *testing.T) {
	long := strings.Repeat("日本語 log line ", 4000)
	many := make([][]string, 1000)
	for i := range many {
		many[i] = []string{fmt.Sprintf("pod-%d", i), long}
	}
	wide := []string{}
	for range 300 {
		wide = append(wide, long)
	}
	for name, res := range map[string]*tools.Result{
		"one long text":          {Headline: "logs", Texts: []tools.Text{{Body: long}}},
		"many long texts":        {Headline: "logs", Texts: []tools.Text{{Body: long}, {Body: long}, {Body: long}, {Body: long}, {Body: long}, {Body: long}, {Body: long}, {Body: long}, {Body: long}}},
		"many rows":              {Headline: "pods", Tables: []tools.Table{{Columns: []string{"a", "b"}, Rows: many, Total: 1000}}},
		"many columns":           {Headline: "pods", Tables: []tools.Table{{Columns: wide, Rows: [][]string{wide, wide}}}},
		"a long headline":        {Headline: long + long + long},
		"many facts":             {Headline: "facts", Facts: make([]tools.Fact, 50_000)},
		"options with arguments": {Headline: "which", Options: []tools.Option{{Label: "x", Args: json.RawMessage(`"` + strings.Repeat("x", 60_000) + `"`)}}},
	} {
		t.Run(name, func(t *testing.T) {
			got := render(res, time.Now())
			var s shown
			if err := json.Unmarshal(got, &s); err != nil {
				t.Fatal(err)
			}
			if len(got) > maxResult || !utf8.Valid(got) || strings.ContainsRune(string(got), utf8.RuneError) {
				t.Errorf("%d bytes, valid %t", len(got), utf8.Valid(got))
			}
			if s.Cut == "" || s.Headline == "" {
				t.Errorf("it does not say that it was cut: %.200s", got)
			}
			for _, u := range s.Untrusted {
				if len(u.Body) > maxField+10 || !u.Cut || !strings.Contains(u.Body, "[…]") {
					t.Errorf("a text of %d bytes, cut %t", len(u.Body), u.Cut)
				}
			}
		})
	}
}

func TestClipKeepsHeadAndTail(t *testing.T) {
	got, cut := clip("head "+strings.Repeat("é", 500)+" tail", 101)
	if !cut || !strings.HasPrefix(got, "head ") || !strings.HasSuffix(got, " tail") || !utf8.ValidString(got) || len(got) > 110 {
		t.Errorf("%q", got)
	}
}

func FuzzClean(f *testing.F) {
	f.Add("a\x00b\u202ec\xff[x](y)", 3)
	f.Fuzz(func(t *testing.T, s string, n int) {
		if n < 0 || n > 1<<16 {
			return
		}
		got, _ := clip(untrusted(s), n)
		if !utf8.ValidString(got) || strings.ContainsAny(got, "\x00\x1b\r\u202e\u2066") || len(got) > n+len(" […] ") {
			t.Errorf("%q", got)
		}
	})
}
