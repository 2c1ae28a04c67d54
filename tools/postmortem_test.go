package tools_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
)

var update = flag.Bool("update", false, "write golden files anew")

// reviewed is an incident with all that a post-mortem tells of, and what was tried.
func reviewed() (*incident.Incident, []*command.Proposal) {
	at := func(min, sec int) time.Time { return time.Date(2026, 11, 5, 2, 51+min, sec, 0, time.UTC) }
	payments := entity.Ref{Cluster: "prod-eu", Kind: entity.Deployment, Namespace: "shop", Name: "payments"}
	checkout := entity.Ref{Cluster: "prod-eu", Kind: entity.Service, Namespace: "shop", Name: "checkout"}
	i := &incident.Incident{
		ID: "INC-214", Cluster: "prod-eu", Namespace: "shop", Title: "checkout is failing", Stage: incident.StageResolved, Severity: incident.SeverityCritical,
		Risk: 0.02, PeakRisk: 0.87, OpenedAt: at(0, 20), ResolvedAt: at(19, 20), Recurrence: 1, Budget: "2.1 % of checkout's 30 d budget spent",
		Cause: incident.Cause{
			Entity: payments, Kind: "error_rate", Confidence: "medium", Onset: at(-1, 50), Summary: "deployment/payments: payments adds 41.2 failed requests a second of its own; image payments:v2.3.1 → payments:v2.4.0 (revision 18), 34 s before",
			Evidence: []incident.Evidence{
				{Entity: payments, What: "error_rate", Text: "error rate 31 % (normal 0.2 %)", At: at(0, 10)},
				{Entity: payments, What: "log", Text: "panic: | <img src=x> [click](https://evil.example) `rm -rf /`\nsecond line", At: at(0, 12)},
			},
			Ranking:  []incident.Ranked{{Entity: payments, Score: 0.91, Why: "payments adds 41.2 failed requests a second of its own"}, {Entity: checkout, Score: 0.4, Why: "checkout adds 0.773 failed requests a second of its own of 42; what it calls explains 41.2"}},
			RuledOut: []string{"checkout: its errors follow payments', on which it depends", "node/worker-3: no fact and nothing abnormal"},
			Suspects: []fleet.Change{
				{At: at(-3, 46), Entity: payments, Kind: "image", Before: "payments:v2.3.1", After: "payments:v2.4.0", Revision: "18"},
				{At: at(-40, 0), Entity: checkout, Kind: "scale", Before: "2", After: "3"},
			},
		},
		Entities: []incident.Affected{
			{Entity: payments, RFinal: 0.87, Role: incident.RoleRootCause, Why: "error rate 31 % (normal 0.2 %)"},
			{Entity: checkout, RFinal: 0.66, Role: incident.RoleSymptom, Why: "error rate 12 % (normal 0.1 %)"},
			{Entity: entity.Ref{Cluster: "prod-eu", Kind: entity.Ingress, Namespace: "shop", Name: "shop"}, RFinal: 0.5, Role: incident.RoleAffected, Why: "depends on deployment/payments"},
		},
		Timeline: []incident.Entry{
			{At: at(0, 20), Kind: "opened", Text: "checkout is failing. deployment/payments: payments adds 41.2 failed requests a second of its own; image payments:v2.3.1 → payments:v2.4.0 (revision 18), 34 s before"},
			{At: at(2, 0), Kind: "acknowledged", Text: "acknowledged by Mia", By: "Mia"},
			{At: at(9, 0), Kind: "proposal", Text: "the fix did not help: restart deployment/payments"},
			{At: at(15, 0), Kind: "fixed", Text: "fix verified: roll back deployment/payments to revision 17"},
			{At: at(19, 20), Kind: "resolved", Text: "it is resolved after 19 min"},
		},
		Acknowledged: "Mia", FixSummary: "roll back deployment/payments to revision 17", Follow: incident.Follow{Fixed: at(15, 0)},
	}
	mia, ken := people.Person{Name: "Mia"}, people.Person{Name: "Ken"}
	return i, []*command.Proposal{
		{Title: "restart deployment/payments", By: mia, Created: at(4, 0), RanAt: at(5, 0), State: command.Unverified, Approvals: []command.Approval{{By: mia}}, Result: "ran but did not help: the risk of INC-214 is still 0.85; 6/6 ready"},
		{Title: "scale deployment/payments to 9", By: mia, Created: at(6, 0), State: command.Rejected},
		{Title: "roll back deployment/payments to revision 17", By: mia, Created: at(10, 0), RanAt: at(12, 0), State: command.Verified, Approvals: []command.Approval{{By: ken}, {By: mia, BreakGlass: "nobody else is awake"}}, Result: "6/6 ready; payments errors 31 % → 0.3 %"},
	}
}

func TestAPostMortemHoldsTheIncidentsOwnFacts(t *testing.T) {
	i, tried := reviewed()
	bare := &incident.Incident{ID: "INC-1", Cluster: "prod-eu", Title: "node worker-3 is not ready", Stage: incident.StageWarning, Severity: incident.SeverityLow, PeakRisk: 0.3, OpenedAt: i.OpenedAt}
	for name, text := range map[string]string{
		"en":   tools.PostMortem("en", i, tried, i.ResolvedAt.Add(time.Hour)),
		"zh":   tools.PostMortem("zh", i, tried, i.ResolvedAt.Add(time.Hour)),
		"ja":   tools.PostMortem("ja", i, tried, i.ResolvedAt.Add(time.Hour)),
		"bare": tools.PostMortem("en", bare, nil, i.OpenedAt.Add(6*time.Minute)),
	} {
		path := filepath.Join("testdata", "postmortem", name+".md")
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), text); d != "" {
			t.Errorf("%s (write it anew with -update):\n%s", path, d)
		}
		for line := range strings.Lines(text) {
			if strings.Contains(line, "<img") || strings.Contains(strings.ReplaceAll(line, `\[`, ""), "[click]") {
				t.Errorf("a cluster's text became markup: %s", line)
			}
		}
	}
}
