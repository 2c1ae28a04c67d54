package tools_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
)

func TestAViewerNeitherSeesNorCallsWhatAnOperatorMay(t *testing.T) {
	f := newFixed(t, shops())
	viewer, admin := named("ken"), named("mia")
	stranger := named("guest")
	stranger.Person.Stranger = true
	if len(f.Tools(stranger)) != 0 {
		t.Error("a stranger is offered tools")
	}
	var seen, all []string
	for _, s := range f.Tools(viewer) {
		seen = append(seen, s.Name)
		if s.Role > people.Viewer || s.Write && s.Name != "kubectl" {
			t.Errorf("a viewer is offered %s", s.Name)
		}
	}
	for _, s := range f.Tools(admin) {
		all = append(all, s.Name)
		if slices.Contains(seen, s.Name) {
			continue
		}
		_, err := f.call(t, viewer, s.Name, `{"target":"payments","cluster":"prod"}`)
		var problem *tools.Problem
		if !errors.As(err, &problem) || problem.Sentence != s.Name+" needs the role "+s.Role.String()+", and you are viewer." {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
	if len(all) < len(seen)+10 {
		t.Errorf("an admin is offered %d tools and a viewer %d", len(all), len(seen))
	}
	if _, err := f.call(t, viewer, "kubectl", `{"command":"rollout restart deployment/payments -n shop","cluster":"prod"}`); err == nil || !strings.Contains(err.Error(), "needs the role operator, and you are viewer") {
		t.Errorf("a viewer restarts with kubectl: %v", err)
	}
	if res, err := f.call(t, viewer, "kubectl", `{"command":"get deployments -n shop","cluster":"prod"}`); err != nil || res.Headline != "3 deployments in prod / shop." {
		t.Errorf("a viewer lists with kubectl: %+v, %v", res, err)
	}
	if _, err := f.call(t, admin, "no_such_tool", `{}`); err == nil || err.Error() != `There is no tool "no_such_tool". Ask /atl help.` {
		t.Errorf("%v", err)
	}
}

func TestArgumentsThatDoNotFitAreExplained(t *testing.T) {
	f := newFixed(t, shops())
	for _, x := range [][2]string{
		{`{"kind":5}`, "kind"}, {`{}`, "kind"}, {`{"kind":"pods","color":"red"}`, "color"}, {`[]`, "object"}, {`{"kind":"pods","unhealthy":"yes"}`, "unhealthy"}, {`{`, "not JSON"}, {`null`, "object"},
	} {
		_, err := f.call(t, named("mia"), "list_resources", x[0])
		var problem *tools.Problem
		if !errors.As(err, &problem) {
			t.Errorf("%s: %v", x[0], err)
			continue
		}
		if s := problem.Sentence; !strings.HasPrefix(s, "The arguments of list_resources ") || !strings.Contains(s, x[1]) || len(s) > 200 || strings.Contains(s, "validating") {
			t.Errorf("%s is not explained well: %s", x[0], s)
		}
	}
}

func TestSchemasAreWhatModelsTake(t *testing.T) {
	f := newFixed(t, nil)
	for _, s := range f.Tools(named("mia")) {
		var schema struct {
			Type       string
			Properties map[string]struct{ Description string }
			Required   []string
		}
		if err := json.Unmarshal(s.Schema, &schema); err != nil || schema.Type != "object" {
			t.Errorf("%s: %s, %v", s.Name, s.Schema, err)
		}
		for name, p := range schema.Properties {
			if p.Description == "" {
				t.Errorf("%s: the argument %s has no description", s.Name, name)
			}
		}
	}
}

func TestWhatAClusterSaysIsCleanedMaskedAndCapped(t *testing.T) {
	rs := shops()
	for i := range 300 {
		rs["prod"] = append(rs["prod"], of("ConfigMap", "shop", fmt.Sprintf("config-%03d", i)))
	}
	rs["prod"] = append(rs["prod"], &report.Resource{Kind: "Event", Namespace: "shop", Name: "e", Detail: &report.Resource_Event{Event: &report.Event{
		Type: "Warning", Reason: "Failed", Count: 1, Last: timestamppb.New(night.Add(-time.Minute)), Regarding: &report.ResourceKey{Kind: "Pod", Namespace: "shop", Name: "p"},
		Message: "cannot\x1b[2K pull \u202egnp.exe\u202c with password=hunter2\nnext line " + strings.Repeat("x", 5000),
	}}})
	f := newFixed(t, rs)
	caller := named("mia")
	caller.Cluster = "prod"
	res, err := f.call(t, caller, "list_resources", `{"kind":"cm"}`)
	if err != nil || len(res.Tables[0].Rows) != 200 || res.Tables[0].Total != 301 || res.Headline != "301 configmaps in prod." {
		t.Errorf("%d of %d rows under %q, %v", len(res.Tables[0].Rows), res.Tables[0].Total, res.Headline, err)
	}
	res, err = f.call(t, caller, "events", `{}`)
	if err != nil || len(res.Tables[0].Rows) != 1 {
		t.Fatalf("%+v, %v", res, err)
	}
	row := res.Tables[0].Rows[0]
	message := row[len(row)-1]
	if !strings.HasPrefix(message, "cannot[2K pull gnp.exe with password=<masked> next line xxx") || len(message) > 1100 || !utf8.ValidString(message) {
		t.Errorf("the message is shown as %q", message)
	}
}

func TestCredentialsAreMaskedAndProseIsNot(t *testing.T) {
	for in, want := range map[string]string{
		"password=hunter2 user=bob":                                                  "password=<masked> user=bob",
		`{"api_key":"abc123","user":"bob"}`:                                          `{"api_key":"<masked>","user":"bob"}`,
		`{"db_password": "pw"}`:                                                      `{"db_password": "<masked>"}`,
		"DB_PASSWORD='a b'":                                                          "DB_PASSWORD='<masked> b'",
		"connect postgres://app:s3cret@db:5432/shop":                                 "connect postgres://app:<masked>@db:5432/shop",
		"redis://:s3cret@redis:6379":                                                 "redis://:<masked>@redis:6379",
		"Authorization: Bearer abc.def-123456789":                                    "Authorization: Bearer <masked>",
		"Authorization: Basic dXNlcjpwYXNz":                                          "Authorization: Basic dXNlcjpwYXNz", // no digit: see below
		"Authorization: Basic dXNlcjpwYXNzd29yZDEy":                                  "Authorization: Basic <masked>",
		"eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.abc-_":                             "<masked>",
		"key AKIAIOSFODNN7EXAMPLE used":                                              "key <masked> used",
		"xoxb-123456789012-abcdefghij":                                               "<masked>",
		"token: 9f8e7d6c":                                                            "token: <masked>",
		"-----BEGIN RSA PRIVATE KEY-----\nMIIB\n-----END RSA PRIVATE KEY-----\nrest": "<masked>\nrest",
		// Sentences about credentials stay readable.
		"invalid token: expired":                          "invalid token: expired",
		"basic authentication failed":                     "basic authentication failed",
		"secret: payments-tls":                            "secret: payments-tls",
		"automountServiceAccountToken: true":              "automountServiceAccountToken: true",
		"Bearer certificates are not accepted":            "Bearer certificates are not accepted",
		"max_tokens=500":                                  "max_tokens=500",
		"GET https://shop.example:8443/cart?id=5 200":     "GET https://shop.example:8443/cart?id=5 200",
		"image registry.example:5000/shop/cart@sha256:ab": "image registry.example:5000/shop/cart@sha256:ab",
		"<masked>": "<masked>",
		"":         "",
	} {
		if got := tools.Mask(in); got != want {
			t.Errorf("%q is shown as %q, want %q", in, got, want)
		}
	}
}

func TestTwoOpenIncidentsAreOrderedAndNothingIsDecidedForTheWrongOne(t *testing.T) {
	rs := shops()
	for c, crashing := range map[string]bool{"prod": true, "staging": true} {
		rs[c] = append(rs[c], pod("shop", "payments", "payments-a", crashing), pod("shop", "payments", "payments-b", crashing), pod("shop", "payments", "payments-c", crashing))
	}
	f := newFixed(t, rs)
	for range 12 {
		f.now = f.now.Add(10 * time.Second)
		for c := range rs {
			f.ingest(t, c, &report.ReportRequest{})
		}
		f.evaluate(t)
	}
	everywhere, inProd := named("mia"), named("mia")
	inProd.Cluster = "prod"
	head := func(caller tools.Caller, tool, args string) string {
		t.Helper()
		res, err := f.call(t, caller, tool, args)
		if err != nil {
			t.Fatalf("%s: %v", tool, err)
		}
		return res.Headline
	}
	if got := head(everywhere, "overview", ``); !strings.HasPrefix(got, "2 things are wrong. The worst is in ") || !strings.Contains(got, "payments keeps crashing") {
		t.Errorf("overview: %q", got)
	}
	if got := head(inProd, "overview", ``); !strings.HasPrefix(got, "One thing is wrong in prod / shop: payments keeps crashing") {
		t.Errorf("overview of prod: %q", got)
	}
	if got := head(everywhere, "incidents", ``); got != "2 incidents are open in prod, staging." {
		t.Errorf("incidents: %q", got)
	}
	if got := head(inProd, "explain", ``); !strings.HasSuffix(got, "· prod / shop") {
		t.Errorf("explain in a thread about prod: %q", got)
	}
	if got := head(inProd, "explain", `{"id":"staging/shop/deployment/payments"}`); got == "" {
		t.Error("another cluster's cannot be asked for")
	}
	for _, tool := range []string{"acknowledge", "silence"} {
		res, err := f.call(t, everywhere, tool, `{}`)
		if err != nil || res.Question != "Which incident?" || len(res.Options) != 2 {
			t.Fatalf("%s took one of two: %+v, %v", tool, res, err)
		}
		again, err := f.call(t, everywhere, tool, string(res.Options[1].Args))
		if err != nil || !strings.Contains(again.Headline, strings.Fields(res.Options[1].Label)[0]) {
			t.Errorf("%+v, %v", again, err)
		}
	}
	f.now = f.now.Add(2 * time.Minute)
	f.evaluate(t)
	res, err := f.call(t, inProd, "overview", ``)
	if err != nil || len(res.Missing) == 0 || !strings.Contains(res.Missing[0], "silent") || !strings.HasPrefix(res.Headline, "One thing is wrong in prod") {
		t.Errorf("a silent agent: %+v, %v", res, err)
	}
}

func TestASilentClusterIsUnknownAndNotWell(t *testing.T) {
	f := newFixed(t, map[string][]*report.Resource{"prod": {node("worker-1")}})
	res, err := f.call(t, named("mia"), "overview", ``)
	if err != nil || res.Headline != "Nothing is wrong that I can see in prod." {
		t.Errorf("%+v, %v", res, err)
	}
	f.now = f.now.Add(time.Minute)
	f.evaluate(t)
	res, err = f.call(t, named("mia"), "overview", ``)
	if err != nil || res.Headline != "The state of prod is unknown: no agent speaks." || res.Tables[0].Rows[0][1] != "unknown: agent silent for 60s" {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestListsFilterByHealthTextAndLabel(t *testing.T) {
	bad := workload(entity.Deployment, "shop", "broken")
	bad.GetWorkload().Ready = 1
	bad.Labels = map[string]string{"tier": "web"}
	empty := of(entity.Service, "shop", "empty")
	empty.Detail = &report.Resource_Service{Service: &report.Service{Selector: map[string]string{"app": "gone"}}}
	lost := of("PersistentVolumeClaim", "shop", "data")
	lost.Detail = &report.Resource_PersistentVolumeClaim{PersistentVolumeClaim: &report.PersistentVolumeClaim{Phase: "Pending"}}
	f := newFixed(t, map[string][]*report.Resource{"prod": {
		workload(entity.Deployment, "shop", "fine"), bad, empty, lost, pod("shop", "fine", "fine-1", false), pod("shop", "broken", "broken-1", true), of("NetworkPolicy", "shop", "np"), of("Ingress", "shop", "in"),
	}})
	for args, want := range map[string]string{
		`{"kind":"deploy"}`:                        "2 deployments in prod.",
		`{"kind":"deploy","unhealthy":true}`:       "1 deployment not well in prod.",
		`{"kind":"pods","unhealthy":true}`:         "1 pod not well in prod.",
		`{"kind":"svc","unhealthy":true}`:          "1 service not well in prod.",
		`{"kind":"pvc","unhealthy":true}`:          "1 persistentvolumeclaim not well in prod.",
		`{"kind":"pods","match":"crashloop"}`:      "1 pod in prod.",
		`{"kind":"deploy","selector":"tier=web"}`:  "1 deployment in prod.",
		`{"kind":"deploy","selector":"tier==web"}`: "1 deployment in prod.",
		`{"kind":"deploy","namespace":"nowhere"}`:  "0 deployments in prod / nowhere.",
		`{"kind":"netpol"}`:                        "1 networkpolicy in prod.",
		`{"kind":"ing"}`:                           "1 ingress in prod.",
	} {
		if res, err := f.call(t, named("mia"), "list_resources", args); err != nil || res.Headline != want {
			t.Errorf("%s: %+v, %v, want %q", args, res, err, want)
		}
	}
}
