package notify_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot/notify"
	"github.com/bukahou/atlhyper/engine/incident"
)

const everything = `
zone: Europe/Berlin
mail: {server: smtp.example.com:587, username: atlhyper, password: {env: PASSWORD}, from: AtlHyper <atlhyper@example.com>}
targets:
- {name: ops, mail: [ops@example.com]}
- {name: alerts, slack: {env: SLACK}}
- {name: pager, webhook: {env: PAGER}, token: {env: TOKEN}}
routes:
- clusters: [prod-*]
  namespaces: [shop, billing]
  severity: high
  hours: {days: mon-fri, from: "09:00", to: "18:00"}
  to: [ops]
  continue: true
- {clusters: [prod-*], severity: critical, to: [pager, oncall, ops]}
- {clusters: staging, to: [alerts]}
- {hours: {days: [sat, sun], from: "22:00", to: "06:00", zone: Asia/Tokyo}, to: [ops]}
default: [alerts]
rota:
  people: [{name: mia, mail: mia@example.com}, {name: ken, ids: [slack:U2]}]
  shifts: [{name: week, people: [mia, ken], start: 2026-11-02, at: "09:00"}]
schedules:
- {name: morning, send: digest, at: "0 9 * * mon-fri", to: [chat, ops]}
- {name: shift, send: handover, to: [chat, oncall]}
- {name: budgets, send: slo, at: "0 9 * * mon", to: [chat], zone: Asia/Tokyo, lang: ja}
`

var everyEnv = map[string]string{"PASSWORD": "p4ss", "SLACK": "https://hooks.example/T/B/x", "PAGER": "https://pager.example/", "TOKEN": "t"}

func TestWhoIsTold(t *testing.T) {
	p := plan(t, everything, everyEnv)
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	monday := time.Date(2026, 11, 2, 12, 0, 0, 0, berlin)
	tokyo, err := time.LoadLocation("Asia/Tokyo")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cluster, namespace string
		severity           incident.Severity
		at                 time.Time
		want               []string
	}{
		"in office hours":                         {"prod-eu", "shop", incident.SeverityHigh, monday, []string{"ops"}},
		"the end of office hours is after them":   {"prod-eu", "shop", incident.SeverityHigh, monday.Add(6 * time.Hour), []string{"alerts"}},
		"what continues is told to both, once":    {"prod-eu", "shop", incident.SeverityCritical, monday, []string{"oncall/mia", "ops", "pager"}},
		"whoever is on call a week later":         {"prod-eu", "kube-system", incident.SeverityCritical, monday.AddDate(0, 0, 7), []string{"oncall/ken", "ops", "pager"}},
		"before the shift changes":                {"prod-eu", "kube-system", incident.SeverityCritical, time.Date(2026, 11, 9, 8, 59, 59, 0, berlin), []string{"oncall/mia", "ops", "pager"}},
		"before the rota begins nobody is":        {"prod-eu", "kube-system", incident.SeverityCritical, monday.AddDate(0, 0, -7), []string{"ops", "pager"}},
		"not severe enough":                       {"prod-eu", "shop", incident.SeverityMedium, monday, []string{"alerts"}},
		"another namespace":                       {"prod-eu", "web", incident.SeverityHigh, monday, []string{"alerts"}},
		"a cluster by its name":                   {"staging", "", incident.SeverityLow, monday, []string{"alerts"}},
		"a night that began on Sunday elsewhere":  {"edge", "", incident.SeverityLow, time.Date(2026, 11, 9, 5, 59, 0, 0, tokyo), []string{"ops"}},
		"the night that follows no longer counts": {"edge", "", incident.SeverityLow, time.Date(2026, 11, 9, 22, 0, 0, 0, tokyo), []string{"alerts"}},
		"a morning before Saturday's night":       {"edge", "", incident.SeverityLow, time.Date(2026, 11, 7, 5, 0, 0, 0, tokyo), []string{"alerts"}},
	} {
		t.Run(name, func(t *testing.T) {
			i := &incident.Incident{ID: "INC-1", Cluster: c.cluster, Namespace: c.namespace, Severity: c.severity}
			got, unmanned := p.Route(i, c.at)
			if d := cmp.Diff(c.want, got); d != "" || unmanned != strings.HasPrefix(name, "before the rota begins") {
				t.Errorf("nobody on call: %v\n%s", unmanned, d)
			}
		})
	}
}

func TestEveryFaultOfAFileIsNamedWithItsLine(t *testing.T) {
	raw, err := os.ReadFile("testdata/faulty.yaml")
	if err != nil {
		t.Fatal(err)
	}
	_, err = notify.Parse(raw, func(name string) string { return map[string]string{"NOT_A_URL": "file:///etc/passwd"}[name] }, func(string) ([]byte, error) { return nil, fs.ErrNotExist })
	if err == nil {
		t.Fatal("it was accepted")
	}
	golden(t, "faulty.txt", err.Error()+"\n")
	if strings.Contains(err.Error(), "passwd") {
		t.Error("a secret is repeated")
	}
}

func TestAFileThatIsNoRoutes(t *testing.T) {
	for text, want := range map[string]string{
		"":                 "it is empty",
		"- a":              "line 1: here stand fields",
		"a: [":             "line 1: did not find",
		"routes: 7":        "line 1: here stands a list",
		"default: []":      "line 1: this list is empty",
		"zone: {a: b}":     "line 1: here stands a text",
		"mail: {tls: none": "line 1: did not find",
	} {
		if _, err := notify.Parse([]byte(text), os.Getenv, os.ReadFile); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q is told as %v", text, err)
		}
	}
	path := filepath.Join(t.TempDir(), "routes.yaml")
	if _, err := notify.ReadFile(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	if err := os.WriteFile(path, []byte("targets:\n- {name: a, webhook: {file: "+path+".url}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path+".url", []byte("https://a.example/x\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := notify.ReadFile(path)
	if err != nil || p.Targets[0].Webhook != "https://a.example/x" {
		t.Errorf("read as %+v, %v", p, err)
	}
}

func TestTheGuidesExampleIsAccepted(t *testing.T) {
	raw, err := os.ReadFile("../../docs/guide/notifications.md")
	if err != nil {
		t.Fatal(err)
	}
	_, example, _ := strings.Cut(string(raw), "```yaml\n")
	example, _, ok := strings.Cut(example, "```")
	if !ok {
		t.Fatal("the guide has no example")
	}
	p := plan(t, example, map[string]string{"SMTP_PASSWORD": "x", "OPS_WEBHOOK": "https://hooks.example/x", "PAGER_URL": "https://pager.example/x"})
	if len(p.Targets) != 3 || len(p.Routes) != 2 || len(p.Schedules) != 3 || len(p.Rota.Shifts) != 1 || p.Mail.Port != 587 {
		t.Errorf("read as %+v", p)
	}
}

func FuzzParse(f *testing.F) {
	faulty, err := os.ReadFile("testdata/faulty.yaml")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(faulty)
	f.Add([]byte(everything))
	f.Add([]byte("a: &x [*x]\nmail: *x\nroutes: [*x]"))
	f.Add([]byte("targets: &t [{name: a, webhook: {env: X}}]\nroutes: *t"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := notify.Parse(raw, func(string) string { return "https://a.example/x" }, func(string) ([]byte, error) { return []byte("https://a.example/x"), nil })
		if err != nil {
			return
		}
		at := time.Date(2026, 10, 25, 1, 30, 0, 0, time.UTC)
		p.Route(&incident.Incident{Cluster: "prod-eu", Namespace: "shop", Severity: incident.SeverityHigh}, at) // what was accepted can be used
		if p.Rota != nil {
			p.Rota.At(at)
		}
	})
}
