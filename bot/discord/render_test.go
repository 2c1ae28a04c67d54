package discord

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/discord/discordfake"
	"github.com/bukahou/atlhyper/bot/message"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// nasty are names that mean something in Discord's markup.
var nasty = []string{"@everyone", "*x*", "_y_", "`z`", "<@402>", "a\\b", "[shop](https://evil.example)", ":warning:", "||gone||", "# big", "- point", "-# small", "> said", "a\nb"}

func manyPods(n int) message.Table {
	t := message.Table{Heading: "Pods", Columns: []string{"Namespace", "Pod", "Ready", "Restarts"}}
	for i := range n {
		t.Rows = append(t.Rows, []string{"shop", fmt.Sprintf("payments-7d9c5b8f6d-%05d", i), "1/1", fmt.Sprint(i % 7)})
	}
	return t
}

func cards() map[string]message.Message {
	var facts []message.Fact
	var rows [][]string
	for _, n := range nasty {
		facts = append(facts, message.Fact{Label: n, Value: n})
		rows = append(rows, []string{n, n})
	}
	return map[string]message.Message{
		"mention": {Title: "Mia is on call: [high] INC-214: @everyone is failing", Mention: []string{"401"}},
		"incident": {
			Tone: message.Incident, Title: "checkout is failing — prod-eu / shop", Context: "INC-214 · Incident · 6 min",
			Blocks: []message.Block{
				message.Facts{Facts: []message.Fact{
					{Label: "Likely cause", Value: "deployment/payments, image v2.3.1 → v2.4.0 rolled out 3 min before (confidence high)"},
					{Label: "Impact", Value: "31 % of checkouts fail (1,240 of 4,020 in 5 min) · budget burning 22×"},
				}},
				message.Actions{Buttons: []message.Button{
					{Label: "Explain", Action: "incident.explain", Subject: "INC-214", Style: message.Primary},
					{Label: "Acknowledge", Action: "incident.ack", Subject: "INC-214"},
				}},
			},
		},
		"proposal": {
			Tone: message.Proposal, Title: "Proposed by Mia: roll back deployment/payments to revision 17", Context: "W2 · needs one other operator",
			Blocks: []message.Block{
				message.Facts{Facts: []message.Fact{{Label: "where", Value: "prod-eu / shop"}, {Label: "expires", Value: "in 10 min"}}},
				message.Code{Heading: "Diff", Text: "-  image: shop/payments:v2.4.0\n+  image: shop/payments:v2.3.1"},
				message.Actions{Buttons: []message.Button{
					{Label: "Roll back to v2.3.1", Action: "proposal.approve", Subject: "p-9f2c", Style: message.Primary},
					{Label: "Reject", Action: "proposal.reject", Subject: "p-9f2c", Style: message.Danger},
				}},
			},
			Footer: "newest figure 8 s old",
		},
		"pods-200": {
			Title: "200 pods run in prod-eu", Blocks: []message.Block{manyPods(200), message.Actions{Buttons: []message.Button{{Label: "More", Action: "choice", Subject: "c-1"}}}},
			Footer: "newest 8 s old",
		},
		"nasty-names": {
			Title: "*x* @everyone is _down_", Context: "<@402> *INC*", Footer: "@here & co",
			Blocks: []message.Block{
				message.Paragraph{Heading: "*why* @here", Text: strings.Join(nasty, "\n")},
				message.Facts{Heading: "facts", Facts: facts},
				message.List{Heading: "list", Items: nasty, More: 3},
				message.Table{Heading: "table", Columns: []string{"pod", "状态"}, Rows: rows, More: 2},
				message.Code{Heading: "log", Text: "```\n@everyone *x*\n```", Truncated: true},
				message.Actions{Buttons: []message.Button{{Label: "@everyone *go*", Action: "choice", Subject: "c-1"}}},
			},
		},
		"markdown": {Title: "Answer", Blocks: []message.Block{message.Markdown{Text: "# Why\n\n**new** image, see `a_b` and [the board](https://g.example/d/1)\n\n![chart](https://evil.example/p.png) <@402> @everyone\n\n| pod | ready |\n|-----|-------|\n| a   | 1/1   |\n\n```yaml\nimage: <@402>"}}},
	}
}

func TestCardsLookLikeThis(t *testing.T) {
	t.Parallel()
	for name, m := range cards() {
		t.Run(name, func(t *testing.T) {
			var buf strings.Builder
			enc := json.NewEncoder(&buf)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			ok(t, enc.Encode(render(m)))
			file := filepath.Join("testdata", name+".golden.json")
			if *update {
				ok(t, os.MkdirAll("testdata", 0o755))
				ok(t, os.WriteFile(file, []byte(buf.String()), 0o644))
			}
			want, err := os.ReadFile(file)
			ok(t, err)
			if d := cmp.Diff(string(want), buf.String()); d != "" {
				t.Errorf("run with -update when this is meant (-want +got):\n%s", d)
			}
		})
	}
}

func desk(t *testing.T) (*Discord, *discordfake.Server) {
	t.Helper()
	fake := discordfake.New(discordfake.Config{Burst: -1})
	t.Cleanup(fake.Close)
	d, err := New(Config{BotToken: discordfake.BotToken, APIURL: fake.URL()})
	ok(t, err)
	return d, fake
}

func shown(t *testing.T, m message.Message) discordfake.Message {
	t.Helper()
	d, fake := desk(t)
	ref, err := d.Post(t.Context(), bot.Place{Surface: "discord", Channel: ops}, m, "k", "")
	ok(t, err)
	if f := fake.Faults(); f != nil {
		t.Fatal(f)
	}
	got, _ := fake.Message(ops, ref.Message)
	return got
}

func TestNamesStayNamesAndPingNobody(t *testing.T) {
	t.Parallel()
	got := shown(t, cards()["nasty-names"])
	if got.Pinged {
		t.Error("it may ping")
	}
	for _, n := range nasty {
		if name := strings.ReplaceAll(n, "\n", " "); strings.Count(got.Text(), name) < 4 {
			t.Errorf("%q is not shown as it is in:\n%s", name, got.Text())
		}
	}
}

func TestLongMessagesAreCutAndSayWhatIsMissing(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("all work and no play ", 1000)
	marked := strings.Repeat("*_`", 5000)
	row := message.Actions{Buttons: []message.Button{{Label: "The last button", Action: "choice", Subject: "c"}}}
	var everything []message.Block
	var facts []message.Fact
	for i := range 30 {
		everything = append(everything, message.Paragraph{Heading: "part", Text: long})
		facts = append(facts, message.Fact{Label: fmt.Sprint("fact ", i), Value: long})
	}
	for name, c := range map[string]struct {
		m    message.Message
		want []string
	}{
		"a table of 200 pods":    {message.Message{Title: "t", Blocks: []message.Block{manyPods(200), row}}, []string{"payments-7d9c5b8f6d-00000", "more", "The last button"}},
		"too many parts":         {message.Message{Title: "t", Blocks: append(everything, row), Footer: "the foot"}, []string{"more parts", "The last button", "the foot"}},
		"30 long facts":          {message.Message{Title: "t", Blocks: []message.Block{message.Facts{Facts: facts}}}, []string{"fact 0", "more"}},
		"much that is escaped":   {message.Message{Title: marked, Context: marked, Footer: marked, Blocks: []message.Block{message.Paragraph{Text: marked}}}, nil},
		"a title without end":    {message.Message{Tone: message.Incident, Title: long, Context: long, Footer: long}, []string{"🔴 all work"}},
		"a label without end":    {message.Message{Title: "t", Blocks: []message.Block{message.Actions{Buttons: []message.Button{{Label: long, Action: "a", Subject: "b"}}}}}, []string{"[ all work"}},
		"the same button twice":  {message.Message{Title: "t", Blocks: []message.Block{row, row}}, []string{"The last button"}},
		"nothing":                {message.Message{}, nil},
		"empty parts":            {message.Message{Title: "t", Blocks: []message.Block{message.Paragraph{}, message.Code{}, message.List{}, message.Table{}, message.Facts{}, message.Markdown{}, message.Actions{}, message.Image{}}}, nil},
		"a log of one long line": {message.Message{Title: "t", Blocks: []message.Block{message.Code{Heading: "log", Text: long}}}, []string{"log (cut)"}},
	} {
		t.Run(name, func(t *testing.T) {
			got := shown(t, c.m)
			for _, want := range c.want {
				if !strings.Contains(got.Text(), want) {
					t.Errorf("%q is missing in:\n%s", want, got.Text())
				}
			}
		})
	}
}

func TestMarkdownKeepsItsMarksAndLosesItsTraps(t *testing.T) {
	t.Parallel()
	got := render(cards()["markdown"]).Embeds[0].Description
	for _, want := range []string{"**new** image", "the board (https://g.example/d/1)", `\<\@402>`, `\@everyone`, "```\n| pod | ready |"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "p.png") || strings.Count(got, "```")%2 != 0 {
		t.Error(got)
	}
}

func TestEveryMessageIsAcceptedByDiscord(t *testing.T) {
	t.Parallel()
	d, fake := desk(t)
	str := rapid.OneOf(rapid.String(), rapid.SampledFrom(nasty), rapid.Map(rapid.IntRange(0, 3000), func(n int) string { return strings.Repeat("é*\n", n) }))
	block := rapid.Custom(func(t *rapid.T) message.Block {
		heading := str.Draw(t, "heading")
		switch rapid.IntRange(0, 7).Draw(t, "kind") {
		case 0:
			return message.Paragraph{Heading: heading, Text: str.Draw(t, "text")}
		case 1:
			return message.Markdown{Text: str.Draw(t, "text")}
		case 2:
			return message.Facts{Heading: heading, Facts: []message.Fact{{Label: str.Draw(t, "label"), Value: str.Draw(t, "value")}}}
		case 3:
			return message.Table{Heading: heading, Columns: []string{"a", str.Draw(t, "column")}, Rows: [][]string{{str.Draw(t, "cell")}}}
		case 4:
			return message.Code{Heading: heading, Text: str.Draw(t, "text")}
		case 5:
			return message.List{Heading: heading, Items: rapid.SliceOfN(str, 0, 8).Draw(t, "items")}
		case 6:
			return message.Image{Alt: str.Draw(t, "alt"), PNG: []byte("png")}
		}
		return message.Actions{Buttons: []message.Button{{Label: str.Draw(t, "label"), Action: "choice", Subject: "c"}, {Label: "Go", Action: "choice", Subject: "d"}}}
	})
	rapid.Check(t, func(t *rapid.T) {
		m := message.Message{
			Tone: message.Tone(rapid.IntRange(0, 9).Draw(t, "tone")), Title: str.Draw(t, "title"),
			Context: str.Draw(t, "context"), Footer: str.Draw(t, "footer"), Blocks: rapid.SliceOfN(block, 0, 12).Draw(t, "blocks"),
		}
		if !utf8.ValidString(fmt.Sprint(m)) {
			t.Skip("not text")
		}
		if _, err := d.post(t.Context(), bot.Place{Channel: ops}, m, "", nil); err != nil {
			t.Fatal(err)
		}
		if f := fake.Faults(); len(f) > 0 {
			t.Fatal(f)
		}
	})
}

func TestATextThatIsCutGoesAlongWhole(t *testing.T) {
	t.Parallel()
	logs := strings.Repeat("2026-03-03T02:51:20Z ERROR *x* cannot reach payments-db\n", 300)
	got := shown(t, message.Message{Title: "logs", Blocks: []message.Block{
		message.Code{Heading: "The last lines", Text: logs}, message.Code{Heading: "short", Text: "all ``` of it"}, message.Code{Heading: "no room left", Text: logs + "end"},
	}})
	var names []string
	for _, f := range got.Files {
		names = append(names, f.Name)
	}
	if len(got.Files) < 2 || string(got.Files[0].Content) != logs || string(got.Files[len(got.Files)-1].Content) != logs+"end" {
		t.Errorf("files %v", names)
	}
}
