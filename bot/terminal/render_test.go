package terminal_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, time.March, 3, 3, 0, 0, 0, time.UTC)

func opened(change func(*incident.Incident)) message.Message {
	payments := entity.Ref{Cluster: "prod-eu", Kind: "Deployment", Namespace: "shop", Name: "payments"}
	i := &incident.Incident{
		ID: "INC-214", Cluster: "prod-eu", Namespace: "shop", Title: "checkout is failing", Stage: incident.StageIncident, OpenedAt: now.Add(-6 * time.Minute),
		Cause: incident.Cause{Entity: payments, Confidence: "high", Summary: "deployment/payments: image registry.example.com/shop/payments:v2.3.1 → registry.example.com/shop/payments:v2.4.0 (revision 18), 34 s before"},
		Entities: []incident.Affected{
			{Entity: payments, Role: incident.RoleRootCause},
			{Entity: entity.Ref{Cluster: "prod-eu", Kind: "Service", Namespace: "shop", Name: "checkout"}, Role: incident.RoleSymptom, Why: "error rate 31 % (normal 0.2 %)"},
		},
	}
	if change != nil {
		change(i)
	}
	return card.Incident(i, false, now, "en")
}

func stage(s incident.Stage) message.Message {
	return opened(func(i *incident.Incident) {
		i.Stage = s
		if s == incident.StageResolved || s == incident.StageCleared {
			i.ResolvedAt = now
		}
	})
}

func proposal(s command.State) message.Message {
	x := &command.Proposal{
		ID: "p1", Title: "roll back deployment/payments to revision 17", Button: "Roll back to v2.3.1", By: people.Person{Name: "Mia"}, State: s, Class: command.W1,
		Why: "reversible, one object", Expires: now.Add(10 * time.Minute), Result: "6/6 ready; checkout errors 31 % → 0.3 %",
		Command: command.Command{Target: entity.Ref{Cluster: "prod-eu", Kind: "Deployment", Namespace: "shop", Name: "payments"}},
		Preview: command.Preview{
			Touches: []string{"6 pods, rolling, at least 5 stay up"}, DryRun: "accepted by the API server",
			Changes: []command.FieldChange{{Path: "spec.template.spec.containers[payments].image", Before: "registry.example.com/shop/payments:v2.4.0", After: "registry.example.com/shop/payments:v2.3.1"}},
		},
	}
	return card.Proposal(x, now, "en")
}

func pods(n int) message.Table {
	t := message.Table{Heading: "Pods", Columns: []string{"NAME", "READY", "STATUS", "RESTARTS", "AGE", "WHY"}, More: 195}
	for i := range n {
		t.Rows = append(t.Rows, []string{
			fmt.Sprintf("payments-7d9f8b6c4-%05d", i), "0/1", "CrashLoopBackOff", fmt.Sprint(i), "4 min",
			"back-off 5m0s restarting failed container=payments pod=payments-7d9f8b6c4 exit code 137",
		})
	}
	return t
}

var cards = map[string]message.Message{
	"alert": stage(incident.StageAlert), "warning": stage(incident.StageWarning), "incident": opened(nil), "recovering": stage(incident.StageRecovering),
	"resolved": stage(incident.StageResolved), "cleared": stage(incident.StageCleared),
	"proposal": proposal(command.Proposed), "proposal verified": proposal(command.Verified), "proposal failed": proposal(command.Failed),
	"long table": {Title: "200 pods in prod-eu / shop are not well.", Blocks: []message.Block{pods(5)}},
	"short table": {Title: "2 nodes.", Blocks: []message.Block{message.Table{Columns: []string{"NODE", "CPU"}, Rows: [][]string{
		{"worker-1", "52 %"}, {"worker-2", "unknown"}, {"a row that is too short"}, {"a row", "that is", "too long"},
	}}}},
	"nodes": {Title: "2 nodes in prod-eu.", Blocks: []message.Block{message.Table{Columns: []string{"NAMESPACE", "NAME", "STATUS", "WHY"}, Rows: [][]string{
		{"", "ip-10-0-10-188.eu-central-1.compute.internal", "NotReady", "kubelet stopped posting its status 4 min ago"}, {"", "ip-10-0-11-89.eu-central-1.compute.internal", "Ready", ""},
	}}, message.Table{Columns: []string{"EMPTY", "TOO"}, Rows: [][]string{{"", ""}}}, message.Table{Columns: []string{"HEADER"}}}},
	"names of the world": {Tone: message.Warning, Title: "支付服务 is slow — 生产 / 商店", Context: "INC-7 · Warning · 3 min", Blocks: []message.Block{
		message.Paragraph{Text: "可能原因：部署/支付服务在十分钟之内的平均延迟从一百二十毫秒上升到四秒，并且错误率同时上升，请检查最近一次发布，以及它所依赖的数据库连接池。"},
		message.Facts{Facts: []message.Fact{{Label: "遅延", Value: "4.1 s（通常 120 ms）"}, {Label: "errors 👩‍💻", Value: "31 % 🇯🇵 🏴󠁧󠁢󠁥󠁮󠁧󠁿 é"}, {Label: "שלום", Value: "مرحبا بالعالم"}}},
		message.Table{Columns: []string{"名前", "状態"}, Rows: [][]string{{"決済サービス", "異常"}, {"кошик", "в порядке"}, {"🛒 cart", "ok"}}},
		message.List{Items: []string{"決済サービスのレイテンシが直近10分間で大幅に上昇しています。データベースの接続プールを確認してください。"}},
		message.Actions{Buttons: []message.Button{{Label: "解释"}, {Label: "修復を提案"}}},
	}},
	"escapes": {Tone: message.Failed, Title: "pod \x1b[31mevil\x1b[0m\x1b]0;owned\x07-1\r\n is \u009b2Jfailing", Context: "INC\u202e-9\u2066", Footer: "\x1b[2Jas of 3 s ago", Blocks: []message.Block{
		message.Paragraph{Heading: "\x1bcWhy", Text: "one\ntwo\x07\x00\u200b\ufeff"},
		message.Facts{Facts: []message.Fact{{Label: "la\x1b[5mbel\nb", Value: "v\x1b[Halue"}}},
		message.Table{Columns: []string{"A\x1b[1m"}, Rows: [][]string{{"c\x1b]8;;http://evil\x1b\\ell\n2"}}},
		message.Code{Text: "\x1b[32mINFO\x1b[0m started\n\tindented\x1b[1A\x1b[2K"},
		message.List{Items: []string{"i\x1bPq#0\x1b\\tem"}}, message.Image{Alt: "al\x1b[mt", Spark: "▁\x1b[m█"},
		message.Markdown{Text: "\x1b[7mmark"}, message.Actions{Buttons: []message.Button{{Label: "Do\x1b[8m it\nnow"}}},
	}},
	"every block": {Title: "payments fails in prod-eu / shop since 02:51 because of its image, and this title goes on for longer than one line of any terminal", Context: "by gemini-3.8-flash", Blocks: []message.Block{
		message.Markdown{Text: "## What I see\n\n**payments** adds `41 s`:\n- errors 31 % since the rollout of registry.example.com/shop/payments:v2.4.0, of which there were none before\n* see [the run book](https://example.com/run) and ![chart](https://example.com/c.png)\n```\nkubectl -n shop get pods **literal**\n```\nDone."},
		message.Facts{Heading: "Figures", Facts: []message.Fact{{Label: "errors", Value: "31 % (normal 0.2 %)"}, {Label: "a label that is too long to stand beside its value", Value: "yes"}, {Label: "p95", Value: "unknown, because the cluster has no telemetry and the metrics API gives no latencies"}}},
		message.List{Heading: "Ruled out", Items: []string{"node worker-3: CPU normal", "a long one that must be broken somewhere and whose second line stands under the first word of it"}, More: 195},
		message.Code{Heading: "Logs", Text: "2026-03-03T02:51:20Z ERROR cannot reach payments-db.shop.svc.cluster.local:5432: connection refused after 3 attempts\n    at main.go:17", Truncated: true},
		message.Image{Alt: "errors 0.2 % → 31 % within 5 min", Spark: "▁▁▂▁·▁█▇█▇"},
		message.Actions{Buttons: []message.Button{{Label: "Explain"}, {Label: "Suggest fix"}, {Label: "Acknowledge"}, {Label: "Roll back to registry.example.com/shop/payments:v2.3.1"}}},
	}, Footer: "as of 12 s ago · Answering without the model."},
}

func renderer(width int, plain bool) terminal.Renderer {
	keys := map[string]int{}
	return terminal.Renderer{Width: width, Plain: plain, Number: func(b message.Button) int {
		if keys[b.Label] == 0 {
			keys[b.Label] = len(keys) + 1
		}
		return keys[b.Label]
	}}
}

func TestGolden(t *testing.T) {
	for name, m := range cards {
		for _, width := range []int{100, 44} {
			for _, plain := range []bool{true, false} {
				got := renderer(width, plain).Render(m)
				kind := "plain"
				if !plain {
					kind = "colour"
				}
				file := fmt.Sprintf("%s-%d-%s.txt", strings.ReplaceAll(name, " ", "-"), width, kind)
				t.Run(file, func(t *testing.T) {
					golden(t, file, got)
					bare := got
					if !plain {
						bare = ours.Replace(got)
						if want := renderer(width, true).Render(m); bare != want {
							t.Error("colour changes more than colours")
						}
					}
					check(t, bare, width)
				})
			}
		}
	}
}

// ours are the only escape sequences that a card may hold.
var ours = strings.NewReplacer("\x1b[0m", "", "\x1b[1m", "", "\x1b[2m", "", "\x1b[31m", "", "\x1b[32m", "", "\x1b[33m", "", "\x1b[34m", "", "\x1b[36m", "")

// check says what holds for every card: a box of one width, with nothing in it that a terminal obeys.
func check(t *testing.T, s string, width int) {
	t.Helper()
	for i, l := range strings.Split(strings.TrimSuffix(s, "\n"), "\n") {
		if got := terminal.Columns(l); got != width {
			t.Errorf("line %d is %d columns wide, not %d: %q", i+1, got, width, l)
		}
		if r, _, _ := strings.Cut("│╭╰", l[:min(3, len(l))]); len(r) == len("│╭╰") {
			t.Errorf("line %d begins without an edge: %q", i+1, l)
		}
		for _, c := range l {
			if c < 0x20 || c >= 0x7f && c < 0xa0 || c >= 0x202a && c <= 0x202e || c >= 0x2066 && c <= 0x2069 {
				t.Errorf("line %d holds the control character %U: %q", i+1, c, l)
			}
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatalf("%v (make it with -update)", err)
	}
	if d := cmp.Diff(string(want), got); d != "" {
		t.Errorf("%s:\n%s", path, d)
	}
}

func TestThreeHundredLinesOfLogsAreAllThere(t *testing.T) {
	var b strings.Builder
	for n := range 300 {
		fmt.Fprintf(&b, "%03d %s\n", n, strings.Repeat("word ", n%40))
	}
	got := renderer(44, true).Render(message.Message{Title: "logs", Blocks: []message.Block{message.Code{Text: b.String()}}})
	check(t, got, 44)
	for n := range 300 {
		if !strings.Contains(got, fmt.Sprintf("│   %03d", n)) {
			t.Fatalf("line %d is missing", n)
		}
	}
	if strings.Count(got, "word") != strings.Count(b.String(), "word") {
		t.Error("words are missing")
	}
}

func TestALongLineIsDrawnInNoTime(t *testing.T) {
	begun := time.Now()
	got := renderer(100, true).Render(message.Message{Title: "t", Blocks: []message.Block{
		message.Code{Text: strings.Repeat("é", 1<<16)}, message.Code{Text: strings.Repeat("長", 1<<14)}, message.Code{Text: strings.Repeat(" ", 500) + "x"},
	}})
	check(t, got, 100)
	if took := time.Since(begun); took > 20*time.Second {
		t.Errorf("it took %v", took)
	}
}

func TestNamesInATableAreNeverCut(t *testing.T) {
	for _, width := range []int{40, 44, 60, 80, 100} {
		got := renderer(width, true).Render(message.Message{Title: "t", Blocks: []message.Block{pods(3)}})
		check(t, got, width)
		for n := range 3 {
			if name := fmt.Sprintf("payments-7d9f8b6c4-%05d", n); !strings.Contains(got, name) {
				t.Errorf("at %d columns %s is not whole:\n%s", width, name, got)
			}
		}
	}
}

func FuzzNothingBreaksTheBox(f *testing.F) {
	f.Add("title", "context", "a text of some words", "label", uint8(100))
	f.Add("\x1b[31m", "支付", strings.Repeat("é́", 90), strings.Repeat("🏴󠁧󠁢󠁥󠁮󠁧󠁿", 40), uint8(44))
	f.Add("🇩", "🇪🇩🇪", "\u0301\u200d \u0600a", "ำ", uint8(40))
	f.Fuzz(func(t *testing.T, title, context, text, label string, width uint8) {
		cells := strings.Fields(text)
		m := message.Message{Tone: message.Incident, Title: title, Context: context, Footer: label, Blocks: []message.Block{
			message.Paragraph{Heading: label, Text: text}, message.Markdown{Text: text}, message.Facts{Facts: []message.Fact{{Label: label, Value: text}, {Label: title, Value: context}}},
			message.Table{Columns: []string{"A", label, "C"}, Rows: [][]string{cells, {text, title, label}}}, message.Code{Text: text}, message.List{Items: []string{text, label}, More: 3},
			message.Image{Alt: text}, message.Actions{Buttons: []message.Button{{Label: label}, {Label: title}, {Label: text}}},
		}}
		check(t, renderer(int(width), true).Render(m), max(40, min(int(width), 110)))
		check(t, ours.Replace(renderer(int(width), false).Render(m)), max(40, min(int(width), 110)))
	})
}
