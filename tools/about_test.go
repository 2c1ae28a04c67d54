package tools_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
)

func TestACommandIsPointedAtWhatWasChosen(t *testing.T) {
	f := newFixed(t, map[string][]*report.Resource{"prod": {workload(entity.Deployment, "shop", "payments")}})
	all := tools.About{Cluster: "prod", Namespace: "shop", Workload: "deployment/payments"}
	for _, c := range []struct {
		line  string
		about tools.About
		want  string
	}{
		{"logs", all, "logs deployment/payments -n shop --cluster prod"},
		{`logs "connection  refused" --tail 5`, all, `logs deployment/payments "connection  refused" --tail 5 -n shop --cluster prod`},
		{"scale 5", tools.About{Workload: "deployment/payments"}, "scale deployment/payments 5"},
		{"slo set availability 99.9", tools.About{Workload: "deployment/payments"}, "slo set deployment/payments availability 99.9"},
		{"list pods", tools.About{Namespace: "shop"}, "list pods -n shop"},
		{"", all, "alerts deployment/payments -n shop --cluster prod"},
		{"why is it slow?", all, "why is it slow? (deployment/payments, namespace shop, cluster prod)"},
		{"logs of it please", tools.About{Cluster: "prod"}, "logs of it please (cluster prod)"},
		{"list pods", all, "! list is not about one workload."},
		{"explain INC-1", tools.About{Namespace: "shop"}, "! explain takes no namespace."},
	} {
		got, err := f.Point(c.line, c.about)
		var problem *tools.Problem
		if errors.As(err, &problem) {
			got = "! " + problem.Sentence
		} else if err != nil {
			t.Error(err)
		}
		if got != c.want {
			t.Errorf("%q about %+v: %q, want %q", c.line, c.about, got, c.want)
		}
		if _, _, ok, err := f.ParseLine(got); !strings.HasPrefix(got, "!") && !strings.Contains(got, "(") && (!ok || err != nil) {
			t.Errorf("%q is no command: %v", got, err)
		}
	}
}

func TestNamesAreCompletedForThoseWhoMaySeeThem(t *testing.T) {
	many := []*report.Resource{{Kind: "Namespace", Name: "shop"}, {Kind: "Namespace", Name: "workshop"}, {Kind: "Namespace", Name: "billing"}}
	for i := range 40 {
		many = append(many, workload(entity.Deployment, "shop", fmt.Sprintf("web-%02d", i)))
	}
	many = append(many, workload(entity.StatefulSet, "billing", "myweb"))
	f := newFixed(t, map[string][]*report.Resource{
		"prod-eu": many, "prod-us": {{Kind: "Namespace", Name: "shopfront"}, workload(entity.Deployment, "shopfront", "web-us")}, "staging": nil,
	})
	team := people.Person{ID: "discord:1"}
	for name, c := range map[string]struct {
		who          people.Person
		field, typed string
		about        tools.About
		want         []string
	}{
		"clusters that begin so":          {team, tools.FieldCluster, "prod", tools.About{}, []string{"prod-eu", "prod-us"}},
		"all clusters":                    {team, tools.FieldCluster, "", tools.About{Cluster: "prod-eu"}, []string{"prod-eu", "prod-us", "staging"}},
		"what begins before what holds":   {team, tools.FieldNamespace, "SHOP", tools.About{}, []string{"shop", "shopfront", "workshop"}},
		"namespaces of the chosen":        {team, tools.FieldNamespace, "shop", tools.About{Cluster: "prod-us"}, []string{"shopfront"}},
		"workloads of the chosen":         {team, tools.FieldWorkload, "web", tools.About{Cluster: "prod-us"}, []string{"deployment/web-us"}},
		"workloads of a namespace":        {team, tools.FieldWorkload, "web", tools.About{Namespace: "billing"}, []string{"statefulset/myweb"}},
		"by kind":                         {team, tools.FieldWorkload, "statefulset/m", tools.About{}, []string{"statefulset/myweb"}},
		"nothing of that name":            {team, tools.FieldWorkload, "zebra", tools.About{}, nil},
		"nothing for an unknown field":    {team, "flavour", "", tools.About{}, nil},
		"no cluster for a stranger":       {people.Person{ID: "discord:1", Stranger: true}, tools.FieldCluster, "", tools.About{}, nil},
		"no namespace for a stranger":     {people.Person{ID: "discord:1", Stranger: true}, tools.FieldNamespace, "", tools.About{}, nil},
		"no workload for somebody unkown": {people.Person{}, tools.FieldWorkload, "", tools.About{}, nil},
	} {
		if d := cmp.Diff(c.want, f.Complete(c.who, c.field, c.typed, c.about)); d != "" {
			t.Errorf("%s:\n%s", name, d)
		}
	}
	if got := f.Complete(team, tools.FieldWorkload, "web-", tools.About{Cluster: "prod-eu"}); len(got) != 40 || got[0] != "deployment/web-00" {
		t.Errorf("%d workloads, the first %v", len(got), got[:min(1, len(got))])
	}
}
