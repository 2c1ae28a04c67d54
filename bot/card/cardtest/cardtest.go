// Package cardtest makes every card in its worst cases, for the tests of the surfaces: what a person is shown must fit and
// stay what it is whatever the names in a cluster look like.
package cardtest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
)

// Now is when all of it happens.
var Now = time.Date(2026, time.March, 3, 3, 0, 0, 0, time.UTC)

// Names are what a cluster may call its things, by what is bad about them.
var Names = map[string]string{
	"many":          "payments-7d9c5b8f6d",
	"long":          strings.Repeat("payments-", 333) + "end", // 3,000 characters
	"emoji":         "payments-👩‍💻-🇯🇵-🏴󠁧󠁢󠁥󠁮󠁧󠁿-💥",
	"right-to-left": "תשלומים-مدفوعات-\u202egnp.exe",
	"markup":        "<!channel> *x* _y_ ~z~ `c` <@U0KEN> @everyone ||gone|| [shop](https://evil.example) # a & b",
}

// rows is how many things there are in the long tables of a case.
func rows(kind string) int {
	if kind == "many" {
		return 200
	}
	return 6
}

// Cards makes every card with one kind of name, by the card's name.
func Cards(kind string) map[string]message.Message {
	name, n := Names[kind], rows(kind)
	ref := func(kind string) entity.Ref {
		return entity.Ref{Cluster: "prod-eu", Kind: kind, Namespace: "shop", Name: name}
	}
	i := &incident.Incident{
		ID: "INC-214", Cluster: "prod-eu", Namespace: "shop", Title: name + " is failing", Stage: incident.StageIncident, OpenedAt: Now.Add(-6 * time.Minute),
		Cause:  incident.Cause{Entity: ref("Deployment"), Confidence: "high", Summary: "deployment/" + name + ": image shop/" + name + ":v2.3.1 → shop/" + name + ":v2.4.0 (revision 18), 34 s before"},
		Budget: "31 % of " + name + "'s 30 d budget spent",
	}
	for k := range n {
		x := ref("Service")
		x.Name = fmt.Sprintf("%s-%d", name, k)
		i.Entities = append(i.Entities, incident.Affected{Entity: x, Role: incident.RoleSymptom, Why: "service/" + x.Name + ": error rate 31 % (normal 0.2 %)"})
	}
	over := *i
	over.Stage, over.ResolvedAt = incident.StageResolved, Now
	over.FixSummary = "roll back deployment/" + name + " (" + name + "), verified"
	over.Follow.Fixed = Now
	quiet := *i
	quiet.Acknowledged, quiet.SilencedTill = name, Now.Add(time.Hour)
	merged := *i
	merged.MergedInto = "INC-213"

	x := &command.Proposal{
		ID: "0123456789abcdef0123456789abcdef", Title: "roll back deployment/" + name + " to revision 17", Button: "Roll back " + name, By: people.Person{Name: name},
		State: command.Proposed, Class: command.W3, Why: "many objects; needs one other operator", Reason: "It began after image shop/" + name + ":v2.4.0.", Expires: Now.Add(10 * time.Minute),
		Command: command.Command{Target: ref("Deployment")},
		Preview: command.Preview{
			Touches: []string{"6 pods of " + name + ", rolling, at least 5 stay up"}, DryRun: "accepted by the API server", Budget: "PDB " + name + " allows 1 down",
			Warnings: []string{name + " is scaled by an autoscaler, which would undo it"},
		},
	}
	for k := range n {
		one := fmt.Sprintf("%s-%d", name, k)
		x.Preview.Callers = append(x.Preview.Callers, entity.Ref{Kind: "Service", Name: one})
		x.Preview.Objects = append(x.Preview.Objects, "deployment/"+one+": 3 pods")
		x.Preview.Changes = append(x.Preview.Changes, command.FieldChange{Path: "spec.template.spec.containers[" + one + "].image", Before: one + ":v2.4.0", After: one + ":v2.3.1"})
	}
	done := *x
	done.State, done.Result, done.Approvals = command.Verified, "6/6 ready; errors of "+name+" 31 % → 0.3 %", []command.Approval{{By: people.Person{Name: name}}}
	done.RanAt, done.EndedAt = Now.Add(-time.Minute), Now
	done.Undo = &command.Command{Verb: command.Rollback, Target: ref("Deployment")}
	failed := *x
	failed.State, failed.Result, failed.Doubt = command.Failed, name+" is not there", "what "+name+" does now is unknown"

	var pods, audit [][]string
	var lines, logs []string
	var options []tools.Option
	for k := range n {
		one := fmt.Sprintf("%s-%05d", name, k)
		pods = append(pods, []string{"shop", one, "0/1", "CrashLoopBackOff", fmt.Sprint(k), "back-off 5m0s restarting container=" + name})
		audit = append(audit, []string{fmt.Sprint(k), "2026-03-03 02:51:16", name, "command.proposed", "prod-eu/shop/deployment/" + one})
		lines = append(lines, "02:51:10 "+one+": error rate 2.9 % (normal 0.23 %)")
		logs = append(logs, "2026-03-03T02:51:20Z ERROR "+one+" cannot reach payments-db:5432")
		options = append(options, tools.Option{Label: "deployment/" + one + " · prod-eu / shop", Tool: "logs"})
	}
	args := []byte("{}")
	few := tools.Result{Headline: "Which " + name + " do you mean?", Options: options[:3]}
	overview := &tools.Result{
		Headline: fmt.Sprintf("%d things are wrong. The worst is in prod-eu: %s", n, name), Missing: []string{"staging: the agent of " + name + " is silent"},
		Facts: []tools.Fact{{Label: "open incidents", Value: name}, {Label: "nodes", Value: "4"}}, Observed: Now.Add(-4 * time.Minute),
	}
	out := map[string]message.Message{
		"incident":           card.Incident(i, false, Now, "en"),
		"incident-silent":    card.Incident(i, true, Now, "ja"),
		"incident-quiet":     card.Incident(&quiet, false, Now, "zh"),
		"incident-resolved":  card.Incident(&over, false, Now, "en"),
		"incident-merged":    card.Incident(&merged, false, Now, "en"),
		"proposal":           card.Proposal(x, Now, "en"),
		"proposal-verified":  card.Proposal(&done, Now, "en"),
		"proposal-failed":    card.Proposal(&failed, Now, "ja"),
		"diff":               card.Diff(x, "en"),
		"problem":            card.Problem("There is no workload named "+name+".", "Did you mean "+name+"?", "en"),
		"help":               card.Help(commands(name), "en"),
		"help-on":            card.HelpOn(commands(name)[:5], "logs", "en"),
		"home":               must(card.Home(overview, 3, Now, "en", stored)),
		"page":               card.HomePage(page(name, n, i), Now, "en"),
		"page-of-a-stranger": card.NoAccess("ja"),
		"answer-pods":        result(&tools.Result{Headline: fmt.Sprintf("%d pods in prod-eu / %s.", n, name), Args: args, Tables: []tools.Table{{Heading: name, Columns: []string{"NAMESPACE", "NAME", "READY", "STATUS", "RESTARTS", "WHY"}, Rows: pods, Total: n}}}),
		"answer-logs":        result(&tools.Result{Headline: "deployment/" + name + " · prod-eu / shop: the last lines.", Texts: []tools.Text{{Heading: name, Body: strings.Join(logs, "\n"), Truncated: true}}}),
		"timeline":           result(&tools.Result{Headline: "INC-214 · " + name + " is failing", Lists: []tools.Text{{Heading: name, Body: strings.Join(lines, "\n")}}, Next: options[:2]}),
		"explain":            result(&tools.Result{Headline: "Why I think it is deployment/" + name, Missing: []string{name + ": metrics are unavailable"}, Facts: []tools.Fact{{Label: "cause", Value: name}, {Label: name, Value: "31 %", Normal: "0.2 %"}}, Lists: []tools.Text{{Heading: "Ruled out", Body: strings.Join(lines, "\n")}}, Charts: []tools.Chart{{Title: "errors of " + name, Alt: "errors of " + name + ", last 60m · now 31 %", Spark: "▁▁▂▁▁▇█"}}, Observed: Now.Add(-12 * time.Second)}),
		"slo":                result(&tools.Result{Headline: "service/" + name + ": 99.1 % good, and the budget burns at 22×.", Facts: []tools.Fact{{Label: name + " availability 99.9 % over 30 d", Value: "69 % of the budget is left", Normal: "burns at 1×"}}, Tables: []tools.Table{{Heading: "Burn rates", Columns: []string{"OBJECTIVE", "WINDOW", "BURN", "BAD", "REQUESTS", "KNOWN"}, Rows: [][]string{{name, "5 min", "22×", "310", "1,000", "100 %"}, {name, "1 h", "unknown", "–", "–", "3 %"}}}}, Charts: []tools.Chart{{Title: "budget of " + name, Alt: "budget of " + name + " 69 % left", Spark: "████▇▆▅"}}}),
		"post-mortem":        result(&tools.Result{Headline: "Draft of the post-mortem of INC-214 · " + name, Files: []tools.File{{Name: "INC-214.md", Body: "# Post-mortem (draft): " + name + "\n\n" + strings.Join(lines, "\n")}}}),
		"audit":              result(&tools.Result{Headline: "The newest entries of the audit log.", Args: args, Tables: []tools.Table{{Columns: []string{"NO", "AT", "WHO", "WHAT", "ABOUT"}, Rows: audit, Total: n}}}),
		"choice-few":         result(&few),
		"choice-many":        result(&tools.Result{Headline: "Which " + name + " do you mean?", Options: repeated(options, 20+n), Next: options[:2]}),
		"answer-of-a-model":  {Title: name + " is failing", Blocks: []message.Block{message.Markdown{Text: "## Why " + name + "\n\n**" + name + "** is slow:\n- " + name + "\n\n| " + name + " | x |\n|---|---|\n| " + name + " | y |\n\n```\n" + name + "\n```\n![p](https://evil.example/p.png) [" + name + "](https://evil.example)"}}, Footer: "gemini looked at: " + name},
	}
	return out
}

// page is a home with many incidents, clusters and rights.
func page(name string, n int, i *incident.Incident) card.Page {
	h := card.Page{
		Stays:    true,
		Headline: fmt.Sprintf("%d incidents are open in prod-eu.", n), Dark: true, Said: "Why I think it is deployment/" + name,
		OnCall: name + " is on call, until Tue 2026-03-03 09:00 CET.", Role: "viewer everywhere", Speaks: "You are answered in English.",
	}
	for k := range n {
		one := *i
		one.ID = fmt.Sprint("INC-", k)
		h.Open = append(h.Open, card.Opened{Incident: &one, Silent: k%2 == 1, Thread: fmt.Sprintf("https://home.slack.com/archives/C0OPS/p17725064400001%02d", k)})
		h.Clusters = append(h.Clusters, message.Fact{Label: fmt.Sprintf("%s-%d", name, k), Value: "🟢 agent connected, heard 2s ago; it cannot read " + name})
		if k < 4 {
			h.Role += ", operator in " + name
		}
	}
	return h
}

// commands are about as many as there are, with long lines.
func commands(name string) []tools.Spec {
	var out []tools.Spec
	for k := range 64 {
		out = append(out, tools.Spec{
			Verb: fmt.Sprint("logs", k), Usage: fmt.Sprintf("logs%d TARGET [GREP] [-c CONTAINER] [--since 10m] [-n NAMESPACE] [--cluster C]", k),
			Summary: "What is not well in " + name + ", each with its reason.", Write: k > 34, ByHand: k > 56,
		})
		if k > 56 {
			out[k].Write = false
		}
	}
	return out
}

func repeated(options []tools.Option, n int) []tools.Option {
	var out []tools.Option
	for k := range n {
		o := options[k%len(options)]
		o.Label = fmt.Sprint(k, " ", o.Label)
		out = append(out, o)
	}
	return out
}

// stored stands for the store of choices: an id of the length that it gives.
func stored(o tools.Option) (string, error) {
	var h uint64 = 14695981039346656037
	for _, b := range []byte(o.Label) {
		h = (h ^ uint64(b)) * 1099511628211
	}
	return fmt.Sprintf("%016x%016x", h, h), nil
}

func result(r *tools.Result) message.Message { return must(card.Result(r, Now, "en", stored)) }

func must(m message.Message, err error) message.Message {
	if err != nil {
		panic(err) // stored gives none
	}
	return m
}

// Whole checks that nothing of a card was lost that a person acts on or trusts. text is what a platform shows, buttons how
// many there are, and sent all that it was sent.
func Whole(t testing.TB, m message.Message, text string, buttons int, sent string) {
	t.Helper()
	want := 0
	for _, b := range m.Blocks {
		if a, ok := b.(message.Actions); ok {
			want += len(a.Buttons)
		}
	}
	if buttons != want {
		t.Errorf("%d buttons, want %d", buttons, want)
	}
	if m.Footer != "" && !strings.Contains(text, m.Footer[:min(10, len(m.Footer))]) {
		t.Errorf("the small print is missing:\n%s", text)
	}
	if i := strings.IndexFunc(sent, disguises); i >= 0 {
		t.Errorf("it holds %U, which turns text around", []rune(sent[i:])[0])
	}
}

// disguises says that a character changes the direction of those around it.
func disguises(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }

// Golden compares what a card became with a file, or writes the file anew.
func Golden(t testing.TB, file string, got []byte, update bool) {
	t.Helper()
	if update {
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("run with -update when this is meant (-want +got):\n%s", diff)
	}
}
