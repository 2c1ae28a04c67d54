package card_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/chart"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/history"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

var update = flag.Bool("update", false, "write the golden files anew")

var now = time.Date(2026, time.March, 3, 3, 0, 0, 0, time.UTC)

func ref(kind, name string) entity.Ref {
	return entity.Ref{Cluster: "prod-eu", Kind: kind, Namespace: "shop", Name: name}
}

// failing is an incident as the engine keeps it, changed by each of the functions.
func failing(change ...func(*incident.Incident)) *incident.Incident {
	i := &incident.Incident{
		ID: "INC-214", Cluster: "prod-eu", Namespace: "shop", Title: "checkout is failing", Stage: incident.StageIncident, State: incident.Critical,
		OpenedAt: now.Add(-6 * time.Minute),
		Cause: incident.Cause{
			Entity: ref("Deployment", "payments"), Kind: "avg_latency", Confidence: "high",
			Summary: "deployment/payments: payments adds 41 s of delay a minute; image v2.3.1 → v2.4.0 (revision 18), 34 s before.",
		},
		Entities: []incident.Affected{
			{Entity: ref("Deployment", "payments"), Role: incident.RoleRootCause, Why: "avg_latency"},
			{Entity: ref("Service", "checkout"), Role: incident.RoleSymptom, Why: "error rate 31 % (normal 0.2 %)"},
			{Entity: ref("Service", "payments"), Role: incident.RoleSymptom, Why: "p95 4.1 s (normal 120 ms)"},
			{Entity: ref("Pod", "payments-7d9f-x2x"), Role: incident.RoleSymptom},
			{Entity: ref("Ingress", "shop"), Role: incident.RoleAffected},
		},
	}
	for _, f := range change {
		f(i)
	}
	return i
}

func at(s incident.Stage) func(*incident.Incident) {
	return func(i *incident.Incident) {
		i.Stage = s
		if s == incident.StageResolved || s == incident.StageCleared {
			i.ResolvedAt = now
		}
	}
}

func fixed(i *incident.Incident) {
	i.Fix, i.FixSummary, i.Follow.Fixed = "p1", "roll back deployment/payments to revision 17 (Mia, approved by Ken), verified", now
}

func tried(i *incident.Incident) {
	i.Fix, i.FixSummary = "p1", "restart deployment/payments (Mia), which did not help"
}

var incidents = map[string]func() message.Message{
	"alert":   func() message.Message { return card.Incident(failing(at(incident.StageAlert)), false, now, "en") },
	"warning": func() message.Message { return card.Incident(failing(at(incident.StageWarning)), false, now, "en") },
	"open":    func() message.Message { return card.Incident(failing(), false, now, "en") },
	"acknowledged and silenced": func() message.Message {
		return card.Incident(failing(func(i *incident.Incident) { i.Acknowledged, i.SilencedTill = "Mia", now.Add(time.Hour) }), false, now, "en")
	},
	"warning silenced": func() message.Message {
		return card.Incident(failing(at(incident.StageWarning), func(i *incident.Incident) { i.SilencedTill = now.Add(3 * time.Hour) }), false, now, "en")
	},
	"silent cluster":          func() message.Message { return card.Incident(failing(), true, now, "en") },
	"silent cluster resolved": func() message.Message { return card.Incident(failing(at(incident.StageResolved)), true, now, "en") },
	"fix running": func() message.Message {
		return card.Incident(failing(func(i *incident.Incident) {
			i.Fix, i.FixSummary = "p1", "roll back deployment/payments to revision 17 (Mia)"
		}), false, now, "en")
	},
	"fix did not help": func() message.Message { return card.Incident(failing(tried), false, now, "en") },
	"recovering": func() message.Message {
		return card.Incident(failing(at(incident.StageRecovering), fixed), false, now, "en")
	},
	"resolved by a fix": func() message.Message {
		return card.Incident(failing(at(incident.StageResolved), fixed), false, now.Add(2*time.Hour), "en")
	},
	"resolved by itself": func() message.Message { return card.Incident(failing(at(incident.StageResolved)), false, now, "en") },
	"resolved after a try": func() message.Message {
		return card.Incident(failing(at(incident.StageResolved), tried), false, now, "en")
	},
	"cleared": func() message.Message { return card.Incident(failing(at(incident.StageCleared)), false, now, "en") },
	"merged": func() message.Message {
		return card.Incident(failing(func(i *incident.Incident) { i.MergedInto = "INC-213" }), false, now, "en")
	},
	"burning": func() message.Message {
		return card.Incident(failing(func(i *incident.Incident) { i.Budget = "budget burning 22×, 2.1 % of checkout's 30 d budget spent" }), false, now, "en")
	},
	"burning is what hurts": func() message.Message {
		return card.Incident(failing(func(i *incident.Incident) {
			i.Budget = "budget burning 308×, 3.6 % of checkout's 30 d budget spent"
			i.Entities[1].Why = "budget burning 308× over 5 min: 31 % of requests fail (1,240 of 4,020; the objective allows 0.1 %)"
		}), false, now, "en")
	},
	"budget spent": func() message.Message {
		return card.Incident(failing(at(incident.StageResolved), fixed, func(i *incident.Incident) { i.Budget = "2.1 % of checkout's 30 d budget spent" }), false, now, "en")
	},
	"chinese":  func() message.Message { return card.Incident(failing(), false, now, "zh-CN") },
	"japanese": func() message.Message { return card.Incident(failing(), false, now, "ja") },
	"japanese resolved": func() message.Message {
		return card.Incident(failing(at(incident.StageResolved), fixed), false, now, "ja")
	},
	"no cause yet, many hurt": func() message.Message { return card.Incident(failing(manyHurt), false, now, "en") },
	"node": func() message.Message {
		return card.Incident(failing(func(i *incident.Incident) {
			node := entity.Ref{Cluster: "prod-eu", Kind: "Node", Name: "worker-3"}
			i.Title, i.Namespace, i.Cause = "node worker-3 is not ready", "", incident.Cause{Entity: node, Summary: "node/worker-3: kubelet stopped posting status", Confidence: "high"}
			i.Entities = []incident.Affected{{Entity: node, Role: incident.RoleRootCause}, {Entity: ref("Pod", "a"), Role: incident.RoleAffected}, {Entity: ref("Pod", "b"), Role: incident.RoleAffected}}
		}, at(incident.StageResolved)), false, now, "en")
	},
	"title of another form": func() message.Message {
		return card.Incident(failing(func(i *incident.Incident) { i.Title = "something odd goes on" }, at(incident.StageCleared)), false, now, "en")
	},
}

func manyHurt(i *incident.Incident) {
	i.Cause = incident.Cause{}
	i.Entities = nil
	for n := range 9 {
		i.Entities = append(i.Entities, incident.Affected{Entity: ref("Service", fmt.Sprintf("service-%d", n)), Role: incident.RoleAffected})
	}
}

// proposed is a proposal as the desk keeps it.
func proposed(s command.State, change ...func(*command.Proposal)) *command.Proposal {
	mia, ken := people.Person{ID: "slack:MIA", Name: "Mia"}, people.Person{ID: "slack:KEN", Name: "Ken"}
	x := &command.Proposal{
		ID: "p1", Title: "roll back deployment/payments to revision 17", Button: "Roll back to v2.3.1", By: mia, State: s, Class: command.W2,
		Why: "another operator must agree", Reason: "It began after image v2.3.1 → v2.4.0.", Expires: now.Add(10 * time.Minute),
		Command: command.Command{Verb: command.Rollback, Target: ref("Deployment", "payments"), Revision: 17},
		Preview: command.Preview{
			Touches: []string{"6 pods, rolling, at least 5 stay up"}, Callers: []entity.Ref{ref("Service", "checkout"), ref("Service", "refunds")},
			Budget: "PDB payments allows 1 down", DryRun: "accepted by the API server", Accepted: true,
			Changes: []command.FieldChange{
				{Path: "spec.template.spec.containers[payments].image", Before: "v2.4.0", After: "v2.3.1"},
				{Path: "spec.template.spec.containers[payments].env[PAYMENT_TIMEOUT].value", After: "3s"},
				{Path: "metadata.annotations[deployment.kubernetes.io/change-cause]", Before: strings.Repeat("a long reason ", 8), After: "-"},
			},
		},
	}
	if s != command.Proposed && s != command.Expired {
		x.Approvals = []command.Approval{{By: ken}}
	}
	switch s {
	case command.Done, command.Verified, command.Unverified, command.Failed:
		x.RanAt, x.EndedAt, x.Result = now.Add(-38*time.Second), now, "6/6 ready; checkout errors 31 % → 0.3 %"
	case command.Unsure:
		x.Doubt = "the agent was cut off while it ran; the cluster is being read"
	case command.Rejected:
		x.Approvals, x.Decided = nil, "Ken"
	}
	for _, f := range change {
		f(x)
	}
	return x
}

func proposals() map[string]func() message.Message {
	out := map[string]func() message.Message{
		"warned, nothing changes": func() message.Message {
			return card.Proposal(proposed(command.Proposed, func(x *command.Proposal) {
				x.Preview.Changes, x.Preview.Warnings = nil, []string{"Argo CD will revert this", "another rollout is under way"}
			}), now, "en")
		},
		"one of two approved": func() message.Message {
			return card.Proposal(proposed(command.Proposed, func(x *command.Proposal) {
				x.Approvals = []command.Approval{{By: people.Person{Name: "Mia"}}}
			}), now, "en")
		},
		"several objects": func() message.Message {
			return card.Proposal(proposed(command.Proposed, func(x *command.Proposal) {
				x.Title, x.Button, x.Why = "restart 2 deployments with tier=web", "Restart 2 deployments", "2 objects at once; needs one other operator"
				x.Command = command.Command{Verb: command.RolloutRestart, Target: ref("Deployment", ""), Selector: "tier=web", Names: "cart,payments"}
				x.Preview.Objects = []string{"cart: 3 pods, rolling, at least 2 stay up", "payments: 6 pods, rolling, at least 5 stay up"}
				x.Preview.Touches = []string{"2 deployments, one after the other; the first that fails stops the rest"}
			}), now, "en")
		},
		"verified, can be undone": func() message.Message {
			return card.Proposal(proposed(command.Verified, func(x *command.Proposal) {
				x.Undo = &command.Command{Verb: command.Rollback, Target: x.Command.Target, Revision: 18}
			}), now, "en")
		},
		"failed, nothing to undo": func() message.Message {
			return card.Proposal(proposed(command.Failed, func(x *command.Proposal) {
				x.Undo = &command.Command{Verb: command.Rollback, Target: x.Command.Target, Revision: 18}
			}), now, "en")
		},
		"approved alone": func() message.Message {
			return card.Proposal(proposed(command.Verified, func(x *command.Proposal) {
				x.Approvals[0].BreakGlass = "the site is down and nobody else answers"
			}), now, "ja")
		},
		"chinese":           func() message.Message { return card.Proposal(proposed(command.Proposed), now, "zh") },
		"japanese verified": func() message.Message { return card.Proposal(proposed(command.Verified), now, "ja") },
		"diff":              func() message.Message { return card.Diff(proposed(command.Proposed), "en") },
		"diff of nothing": func() message.Message {
			return card.Diff(proposed(command.Proposed, func(x *command.Proposal) { x.Preview.Changes = nil }), "en")
		},
	}
	for _, s := range []command.State{
		command.Proposed, command.Approved, command.Running, command.Done, command.Verified, command.Unverified, command.Failed,
		command.Unsure, command.Rejected, command.Expired, command.Superseded,
	} {
		out[string(s)] = func() message.Message { return card.Proposal(proposed(s), now, "en") }
	}
	return out
}

func choice(tools.Option) (string, error) { return "c1", nil }

func answers(t *testing.T) map[string]func() message.Message {
	result := func(r *tools.Result, lang string) func() message.Message {
		return func() message.Message {
			m, err := card.Result(r, now, lang, choice)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
	}
	var rows [][]string
	for n := range 40 {
		rows = append(rows, []string{fmt.Sprintf("payments-%d", n), "1/1", "Running"})
	}
	var lines []string
	for n := range 30 {
		lines = append(lines, fmt.Sprintf("line %d", n))
	}
	overview := &tools.Result{
		Headline: "One thing is wrong in prod-eu: checkout is failing.", Observed: now.Add(-12 * time.Second),
		Tables: []tools.Table{{Columns: []string{"CLUSTER", "HEALTH"}, Rows: [][]string{{"prod-eu", "1 incident"}}}},
		Next:   []tools.Option{{Label: "Explain", Tool: "explain"}}, Lists: []tools.Text{{Body: "not for the home page"}},
	}
	return map[string]func() message.Message{
		"could not look at everything": result(&tools.Result{
			Headline: "payments is not well in prod-eu / shop.", Missing: []string{"telemetry: ClickHouse did not answer within 5 s", "staging: the agent is silent"},
			Facts: []tools.Fact{{Label: "errors", Value: "31 %", Normal: "0.1–0.4 %"}, {Label: "p95", Value: "unknown, because there is no telemetry"}}, Observed: now.Add(-4 * time.Minute),
		}, "en"),
		"ambiguous": result(&tools.Result{
			Headline: "payments in shop or in billing?", Options: []tools.Option{{Label: "shop"}, {Label: "billing"}, {Label: "refunds"}, {Label: "old"}, {Label: "older"}},
		}, "en"),
		"long": result(&tools.Result{
			Headline: "40 pods in prod-eu / shop.", Tables: []tools.Table{{Columns: []string{"NAME", "READY", "STATUS"}, Rows: rows, Total: 195}, {Heading: "an empty one", Columns: []string{"A"}}},
			Lists: []tools.Text{{Heading: "Steps", Body: strings.Join(lines, "\n")}, {Heading: "an empty one"}},
			Texts: []tools.Text{{Heading: "Logs", Body: "a\nb", Truncated: true}, {Heading: "No logs"}}, Observed: now,
		}, "en"),
		"chinese": result(&tools.Result{Headline: "prod-eu 有一处问题", Missing: []string{"staging"}, Observed: now.Add(-4 * time.Minute), Facts: []tools.Fact{{Label: "错误率", Value: "31 %", Normal: "0.2 %"}}}, "zh"),
		"problem": func() message.Message {
			return card.Problem("Scaling in kube-system is protected.", "An admin can break glass.", "en")
		},
		"help": func() message.Message {
			return card.Help([]tools.Spec{
				{Usage: "status [--cluster C]", Summary: "what is wrong now"}, {Usage: "logs NAME [-n NAMESPACE]", Summary: "the last lines of a pod's logs"},
				{Usage: "restart NAME", Summary: "proposes a rolling restart", Write: true},
				{Usage: "grant WHO ROLE [CLUSTER[/NAMESPACE]]", Summary: "gives a role", ByHand: true},
			}, "en")
		},
		"help on a word": func() message.Message {
			return card.HelpOn([]tools.Spec{{Verb: "restart", Usage: "restart NAME [-n NAMESPACE]", Summary: "proposes a rolling restart"}, {Verb: "logs", Usage: "logs NAME"}}, "rest", "en")
		},
		"help on nothing": func() message.Message { return card.HelpOn(nil, "fly", "zh") },
		"help of a viewer, japanese": func() message.Message {
			return card.Help([]tools.Spec{{Usage: "status", Summary: "what is wrong now"}}, "ja")
		},
		"home": func() message.Message {
			m, err := card.Home(overview, 2, now, "en", choice)
			if err != nil {
				t.Fatal(err)
			}
			if overview.Next == nil || overview.Lists == nil {
				t.Error("the home card took the overview's own parts away")
			}
			return m
		},
		"page":                func() message.Message { return card.HomePage(page(), now, "en") },
		"page, japanese":      func() message.Message { return card.HomePage(page(), now, "ja") },
		"page of a quiet day": func() message.Message { return card.HomePage(quietPage(), now, "zh") },
		"page of a stranger":  func() message.Message { return card.NoAccess("en") },
	}
}

// page is the home of somebody who is woken at night.
func page() card.Page {
	warned := failing(at(incident.StageWarning), func(i *incident.Incident) {
		i.ID, i.Title, i.Cause, i.Entities, i.Namespace = "INC-215", "search is slow", incident.Cause{}, nil, "search"
	})
	return card.Page{
		Headline: "2 incidents are open in prod-eu, staging.", Dark: true, Stays: true, Said: "Why I think it is deployment/payments · prod-eu / shop",
		Open: []card.Opened{{Incident: failing(), Thread: "https://home.slack.com/archives/C0OPS/p1772506440000100"}, {Incident: warned}},
		Clusters: []message.Fact{
			{Label: "prod-eu", Value: "🟢 agent connected, heard 2s ago · 4 nodes, 61 pods"},
			{Label: "staging", Value: "⚪ agent silent for 3m: what it last reported is all that is known · 2 nodes, 18 pods"},
		},
		OnCall: "Mia is on call, until Tue 2026-03-03 09:00 CET.", Role: "viewer everywhere, operator in prod-eu / shop",
		Speaks: "You are answered in the language of your question, else in that of your client.",
	}
}

func quietPage() card.Page {
	return card.Page{
		Headline: "prod-eu 没有未关闭的故障。", Clusters: []message.Fact{{Label: "prod-eu", Value: "🟢 代理已连接，2s前有消息 · 节点 4、Pod 61"}},
		OnCall: "没有值班表，因此不知道谁在值班。", Role: "所有位置：admin", Speaks: "用中文回答你。",
	}
}

// TestGolden pins what a person reads, as the plain terminal shows it.
func TestGolden(t *testing.T) {
	for file, cards := range map[string]map[string]func() message.Message{"incident": incidents, "proposal": proposals(), "answer": answers(t)} {
		for name, f := range cards {
			t.Run(file+"/"+name, func(t *testing.T) {
				m := f()
				raw, err := json.Marshal(m)
				if err != nil {
					t.Fatal(err)
				}
				var back message.Message
				if err := json.Unmarshal(raw, &back); err != nil {
					t.Fatal(err)
				}
				keys := map[message.Button]int{}
				r := terminal.Renderer{Width: 100, Plain: true, Number: func(b message.Button) int {
					if len(b.Action)+len(b.Subject) > 90 {
						t.Errorf("button %+v does not fit Discord", b)
					}
					if keys[b] == 0 {
						keys[b] = len(keys) + 1
					}
					return keys[b]
				}}
				golden(t, file, strings.NewReplacer(" ", "-", ",", "").Replace(name), r.Render(back))
			})
		}
	}
}

func golden(t *testing.T, folder, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", folder, name+".txt")
	if *update {
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
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

func TestTheFirstLineSaysWhatWhereHowBadAndSinceWhen(t *testing.T) {
	m := card.Incident(failing(), false, now, "en")
	first := m.Tone.Mark() + " " + m.Title + " " + m.Context
	for _, want := range []string{"🔴", "checkout is failing", "prod-eu / shop", "Incident", "6 min", "since 02:54 UTC"} {
		if !strings.Contains(first, want) {
			t.Errorf("%q is not in %q", want, first)
		}
	}
	if second := m.Blocks[0].(message.Paragraph).Text; !strings.HasPrefix(second, "Likely cause: deployment/payments") {
		t.Errorf("the second line is %q", second)
	}
}

func TestTheGistChangesWithTheStateAndNotWithTheFigures(t *testing.T) {
	gist := func(change ...func(*incident.Incident)) string {
		return card.Incident(failing(change...), false, now, "en").Gist
	}
	base := gist()
	for name, same := range map[string]func(*incident.Incident){
		"other figures in the cause":  func(i *incident.Incident) { i.Cause.Summary = "deployment/payments: payments adds 44 s" },
		"other figures in the title":  func(i *incident.Incident) { i.Title = "checkout is slow (p95 80 ms → 2 s)" },
		"other figures in the impact": func(i *incident.Incident) { i.Entities[1].Why = "error rate 33 % (normal 0.2 %)" },
		"another confidence":          func(i *incident.Incident) { i.Cause.Confidence = "low" },
		"one more affected": func(i *incident.Incident) {
			i.Entities = append(i.Entities, incident.Affected{Entity: ref("Service", "x")})
		},
		"it is older": func(i *incident.Incident) { i.OpenedAt = i.OpenedAt.Add(-time.Hour) },
	} {
		if gist(same) != base {
			t.Errorf("%s counts as news", name)
		}
	}
	for name, other := range map[string]func(*incident.Incident){
		"another stage":               at(incident.StageWarning),
		"another entity in the title": func(i *incident.Incident) { i.Title = "payments is failing" },
		"another cause":               func(i *incident.Incident) { i.Cause.Entity = ref("Service", "redis") },
		"a fix":                       fixed,
		"an acknowledgement":          func(i *incident.Incident) { i.Acknowledged = "Mia" },
		"a judgement": func(i *incident.Incident) {
			i.Stage, i.Votes = incident.StageIncident, []incident.Vote{{Judgement: incident.Right, Name: "Mia"}}
		},
		"a silence":                    func(i *incident.Incident) { i.SilencedTill = now.Add(time.Minute) },
		"it went on in another record": func(i *incident.Incident) { i.MergedInto = "INC-1" },
	} {
		if gist(other) == base {
			t.Errorf("%s does not count as news", name)
		}
	}
	if card.Incident(failing(), true, now, "en").Gist == base {
		t.Error("the cluster's silence does not count as news")
	}
}

func TestSpan(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 0: "0 s", 89 * time.Second: "89 s", 90 * time.Second: "1 min", time.Hour - 1: "59 min", time.Hour: "1 h 0 min",
		25 * time.Hour: "1 d", 24*time.Hour - 1: "23 h 59 min",
	} {
		if got := card.Span(d); got != want {
			t.Errorf("%v: %q, want %q", d, got, want)
		}
	}
}

func TestAnAnswersPictureSpeaksTheReadersLanguage(t *testing.T) {
	c := tools.Chart{Title: "checkout", Unit: "ratio", From: now.Add(-time.Hour), To: now, Step: time.Minute, Points: []history.Point{{At: now.Add(-time.Minute), Value: 0.3}}}
	for _, lang := range phrase.Langs {
		m, err := card.Result(&tools.Result{Headline: "checkout", Charts: []tools.Chart{c}}, now, lang, choice)
		if err != nil {
			t.Fatal(err)
		}
		want, err := chart.Draw(c, lang)
		if err != nil {
			t.Fatal(err)
		}
		if got, ok := m.Blocks[0].(message.Image); !ok || !bytes.Equal(got.PNG, want) {
			t.Errorf("%s: the picture is of another language", lang)
		}
	}
}
