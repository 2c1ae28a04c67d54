package slack

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
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/slack/slackfake"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func manyPods(n int) message.Table {
	t := message.Table{Heading: "Pods", Columns: []string{"Namespace", "Pod", "Ready", "Restarts"}}
	for i := range n {
		t.Rows = append(t.Rows, []string{"shop", fmt.Sprintf("payments-7d9c5b8f6d-%05d", i), "1/1", fmt.Sprint(i % 7)})
	}
	return t
}

// nasty are names that mean something in Slack's markup.
var nasty = []string{"<!channel>", "*x*", "_y_", "`z`", "<@U0KEN>", "a&amp;b", "<https://evil.example|shop>", ":warning:", "@here", "a\nb"}

func cards() map[string]message.Message {
	var points []string
	var facts []message.Fact
	var rows [][]string
	for _, n := range nasty {
		points = append(points, "pod "+n)
		facts = append(facts, message.Fact{Label: n, Value: n})
		rows = append(rows, []string{n, n})
	}
	return map[string]message.Message{
		"mention": {Title: "Mia is on call: [high] INC-214: <!channel> is failing", Mention: []string{"U0MIA"}},
		"incident": {
			Tone: message.Incident, Title: "checkout is failing — prod-eu / shop", Context: "INC-214 · Incident · 6 min",
			Blocks: []message.Block{
				message.Facts{Facts: []message.Fact{
					{Label: "Likely cause", Value: "deployment/payments, image v2.3.1 → v2.4.0 rolled out 3 min before (confidence high)"},
					{Label: "Impact", Value: "31 % of checkouts fail (1,240 of 4,020 in 5 min) · budget burning 22× · 3 services affected"},
				}},
				message.Actions{Buttons: []message.Button{
					{Label: "Explain", Action: "incident.explain", Subject: "INC-214", Style: message.Primary},
					{Label: "Suggest fix", Action: "incident.fix", Subject: "INC-214"},
					{Label: "Acknowledge", Action: "incident.ack", Subject: "INC-214"},
					{Label: "⋯", Action: "incident.more", Subject: "INC-214"},
				}},
			},
		},
		"proposal": {
			Tone: message.Proposal, Title: "Proposed by Mia: roll back deployment/payments to revision 17 (image v2.3.1)", Context: "W2 · needs one other operator",
			Blocks: []message.Block{
				message.Facts{Facts: []message.Fact{
					{Label: "where", Value: "prod-eu / shop"}, {Label: "changes", Value: "image, env PAYMENT_TIMEOUT"},
					{Label: "touches", Value: "6 pods, rolling, at least 5 stay up; PDB allows 1 down"},
					{Label: "callers", Value: "checkout, refunds, admin"}, {Label: "risk", Value: "W2, needs one other operator"},
					{Label: "dry run", Value: "accepted by the API server"}, {Label: "expires", Value: "in 10 min"},
				}},
				message.Code{Heading: "Diff", Text: "-  image: shop/payments:v2.4.0\n+  image: shop/payments:v2.3.1"},
				message.Actions{Buttons: []message.Button{
					{Label: "Show diff", Action: "proposal.diff", Subject: "p-9f2c"},
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
			Title: "*x* <!channel> is _down_", Context: "<!here> *INC*", Footer: "<@U0KEN> & co",
			Blocks: []message.Block{
				message.Paragraph{Heading: "*why* <!channel>", Text: strings.Join(nasty, " ")},
				message.Facts{Heading: "facts", Facts: facts},
				message.List{Heading: "list", Items: points, More: 3},
				message.Table{Heading: "table", Columns: []string{"pod", "状态 <!channel>"}, Rows: rows, More: 2},
				message.Code{Heading: "log", Text: "```\n<!channel> *x*\n```", Truncated: true},
				message.Markdown{Text: "Mind <!channel> and <@U0KEN>."},
				message.Actions{Buttons: []message.Button{{Label: "<!channel> *go*", Action: "choice", Subject: "c-1"}}},
			},
		},
		"markdown": {Title: "Answer", Blocks: []message.Block{message.Markdown{Text: sampleMarkdown}}},
	}
}

const sampleMarkdown = `# Why payments

The **new image** is *slow*: see ` + "`payments_db`" + ` and my_var_name, 2 * 3 * 4, ~~not redis~~.

- first [the dashboard](https://grafana.example/d/1) point
* second with ***both***
  - nested __bold__ _it_
1. numbered
> quoted

![a chart](https://evil.example/pixel.png) [click](javascript:alert(1)) <b>html</b>

| pod | ready |
|-----|-------|
| a   | 1/1   |

` + "```yaml\nimage: a*b*c\n```" + `
unclosed **bold and ` + "`tick" + `
`

func TestCardsLookLikeThis(t *testing.T) {
	for name, m := range cards() {
		t.Run(name, func(t *testing.T) {
			var buf strings.Builder
			enc := json.NewEncoder(&buf)
			enc.SetEscapeHTML(false)
			enc.SetIndent("", "  ")
			ok(t, enc.Encode(render(m)))
			got := buf.String()
			file := filepath.Join("testdata", name+".golden.json")
			if *update {
				ok(t, os.MkdirAll("testdata", 0o755))
				ok(t, os.WriteFile(file, []byte(got), 0o644))
			}
			want, err := os.ReadFile(file)
			ok(t, err)
			if d := cmp.Diff(string(want), got); d != "" {
				t.Errorf("run with -update when this is meant (-want +got):\n%s", d)
			}
		})
	}
}

// shown is how the workspace shows a message, after it has accepted it.
func shown(t interface{ Fatal(...any) }, m message.Message) slackfake.Message {
	fake := slackfake.New(slackfake.Config{})
	defer fake.Close()
	s, err := New(Config{BotToken: slackfake.BotToken, AppToken: slackfake.AppToken, APIURL: fake.URL()})
	if err != nil {
		t.Fatal(err)
	}
	ref, err := s.Post(contextOf(t), bot.Place{Surface: "slack", Channel: ops}, m, "k", "")
	if err != nil {
		t.Fatal(err)
	}
	if f := fake.Faults(); f != nil {
		t.Fatal(f)
	}
	got, _ := fake.Message(ops, ref.Message)
	return got
}

func TestNamesStayNamesAndPingNobody(t *testing.T) {
	got := shown(t, cards()["nasty-names"])
	if p := got.Pings(); p != nil {
		t.Errorf("pings %q", p)
	}
	for _, n := range nasty {
		if name := strings.ReplaceAll(n, "\n", " "); strings.Count(got.Text(), name) < 4 {
			t.Errorf("%q is not shown as it is in:\n%s", name, got.Text())
		}
	}
	if !strings.Contains(got.Text(), "+3 more") || !strings.Contains(got.Text(), "log (cut)") {
		t.Error(got.Text())
	}
}

func TestLongMessagesAreCutAndSayWhatIsMissing(t *testing.T) {
	long := strings.Repeat("all work and no play ", 1000)
	quotes := strings.Repeat("\"\n", 10_000)
	var everything []message.Block
	for range 60 {
		everything = append(everything, message.Paragraph{Heading: "part", Text: long})
	}
	row := message.Actions{Buttons: []message.Button{{Label: "The last button", Action: "choice", Subject: "c"}}}
	var items []string
	var facts []message.Fact
	for i := range 500 {
		items = append(items, fmt.Sprintf("item %d of many", i))
		facts = append(facts, message.Fact{Label: fmt.Sprint("fact ", i), Value: long})
	}
	for name, c := range map[string]struct {
		m    message.Message
		want []string
	}{
		"a table of 200 pods":       {message.Message{Title: "t", Blocks: []message.Block{manyPods(200), row}}, []string{"payments-7d9c5b8f6d-00000", "more", "The last button"}},
		"a table of 5 and 195 more": {message.Message{Title: "t", Blocks: []message.Block{message.Table{Columns: []string{"a"}, Rows: [][]string{{"b"}}, More: 195}}}, []string{"+195 more"}},
		"500 points":                {message.Message{Title: "t", Blocks: []message.Block{message.List{Items: items}}}, []string{"item 0", "more"}},
		"500 long facts":            {message.Message{Title: "t", Blocks: []message.Block{message.Facts{Facts: facts}}}, []string{"fact 0", "more"}},
		"too many parts":            {message.Message{Title: "t", Blocks: append(everything, row), Footer: "the foot"}, []string{"more parts", "The last button", "the foot"}},
		"a log of one long line":    {message.Message{Title: "t", Blocks: []message.Block{message.Code{Heading: "log", Text: long}}}, []string{"log (cut)"}},
		"a log of many lines":       {message.Message{Title: "t", Blocks: []message.Block{message.Code{Heading: "log", Text: "first\n" + strings.Repeat("line\n", 2000) + "last"}}}, []string{"first", "lines cut", "last"}},
		"much that must be quoted":  {message.Message{Title: "t", Blocks: []message.Block{message.Code{Text: quotes}, message.Paragraph{Text: quotes}}}, nil},
		"a title without end":       {message.Message{Tone: message.Incident, Title: long}, []string{"🔴 all work"}},
		"a label without end":       {message.Message{Title: "t", Blocks: []message.Block{message.Actions{Buttons: []message.Button{{Label: long, Action: "a", Subject: "b"}}}}}, []string{"[ all work"}},
		"markdown without end":      {message.Message{Title: "t", Blocks: []message.Block{message.Markdown{Text: long}}}, []string{"…"}},
		"nothing":                   {message.Message{}, nil},
		"empty parts":               {message.Message{Title: "t", Blocks: []message.Block{message.Paragraph{}, message.Code{}, message.List{}, message.Table{}, message.Facts{}, message.Markdown{}, message.Actions{}, message.Facts{Facts: []message.Fact{{}}}, message.Image{}}}, nil},
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

func TestMarkdownIsReadAsAPersonWould(t *testing.T) {
	got := shown(t, cards()["markdown"]).Text()
	for _, want := range []string{
		"Why payments", "payments_db and my_var_name, 2 * 3 * 4, not redis",
		"• first the dashboard (https://grafana.example/d/1) point", "• nested bold it", "│ quoted",
		"a chart click (javascript:alert(1)) <b>html</b>", "| a   | 1/1   |", "image: a*b*c", "unclosed **bold and `tick",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is missing in:\n%s", want, got)
		}
	}
	if strings.Contains(got, "pixel.png") {
		t.Errorf("a picture's address is shown:\n%s", got)
	}
}

func TestEveryMessageIsAcceptedBySlack(t *testing.T) {
	fake := slackfake.New(slackfake.Config{Burst: -1})
	defer fake.Close()
	s := newDesk(t, fake)
	str := rapid.OneOf(rapid.String(), rapid.SampledFrom(nasty), rapid.Map(rapid.IntRange(0, 5000), func(n int) string { return strings.Repeat("é\"", n) }))
	block := rapid.Custom(func(t *rapid.T) message.Block {
		heading := str.Draw(t, "heading")
		switch rapid.IntRange(0, 7).Draw(t, "kind") {
		case 0:
			return message.Paragraph{Heading: heading, Text: str.Draw(t, "text")}
		case 1:
			return message.Markdown{Text: str.Draw(t, "text")}
		case 2:
			var f message.Facts
			for range rapid.IntRange(0, 12).Draw(t, "facts") {
				f.Facts = append(f.Facts, message.Fact{Label: str.Draw(t, "label"), Value: str.Draw(t, "value")})
			}
			return f
		case 3:
			return message.Table{Heading: heading, Columns: []string{"a", str.Draw(t, "column")}, Rows: [][]string{{str.Draw(t, "cell")}, {"x", "y", "z"}}}
		case 4:
			return message.Code{Heading: heading, Text: str.Draw(t, "text")}
		case 5:
			return message.List{Heading: heading, Items: rapid.SliceOfN(str, 0, 8).Draw(t, "items")}
		case 6:
			return message.Image{Alt: str.Draw(t, "alt")}
		}
		return message.Actions{Buttons: []message.Button{{Label: "Go " + str.Draw(t, "label"), Action: "choice", Subject: "c"}, {Label: "Go", Action: "choice", Subject: "d"}}}
	})
	rapid.Check(t, func(t *rapid.T) {
		m := message.Message{
			Tone: message.Tone(rapid.IntRange(0, 9).Draw(t, "tone")), Title: str.Draw(t, "title"),
			Context: str.Draw(t, "context"), Footer: str.Draw(t, "footer"), Blocks: rapid.SliceOfN(block, 0, 12).Draw(t, "blocks"),
		}
		if !valid(m) {
			t.Skip("not text")
		}
		before := len(fake.Faults())
		if _, err := s.post(contextOf(t), channel, m, "k"); err != nil {
			t.Fatal(err)
		}
		if f := fake.Faults()[before:]; len(f) > 0 {
			t.Fatal(f)
		}
	})
}

func valid(m message.Message) bool { return utf8.ValidString(fmt.Sprint(m)) }
