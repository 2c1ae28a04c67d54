package tools_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/tools"
)

// shops are two clusters with the same names in them: nothing may be guessed.
func shops() map[string][]*report.Resource {
	one := func() []*report.Resource {
		return []*report.Resource{
			of("Namespace", "", "shop"), of("Namespace", "", "billing"), node("worker-1"),
			workload(entity.Deployment, "shop", "payments"), of(entity.Service, "shop", "payments"), of("ConfigMap", "shop", "payments"),
			workload(entity.Deployment, "shop", "cart"), workload(entity.Deployment, "billing", "cart"),
			workload(entity.StatefulSet, "billing", "ledger"),
		}
	}
	return map[string][]*report.Resource{
		"prod":    append(one(), workload(entity.Deployment, "shop", "only-prod")),
		"staging": append(one(), pod("shop", "payments", "payments-1", false)),
	}
}

func TestANameIsFoundInEveryFormAndNeverGuessed(t *testing.T) {
	f := newFixed(t, shops())
	inProd := named("mia")
	inProd.Cluster = "prod"
	for _, x := range []struct {
		name   string
		caller tools.Caller
		args   string
		want   string // the headline, or the problem
	}{
		{"a name in a thread's cluster", inProd, `{"target":"payments"}`, "deployment/payments · prod / shop: risk 0, healthy."},
		{"kind and name", inProd, `{"target":"svc/payments"}`, "service/payments · prod / shop: risk 0, healthy."},
		{"a kind in full", inProd, `{"target":"Service/payments"}`, "service/payments · prod / shop: risk 0, healthy."},
		{"namespace and name", inProd, `{"target":"billing/cart"}`, "deployment/cart · prod / billing: risk 0, healthy."},
		{"namespace, kind and name", inProd, `{"target":"shop/deployment/cart"}`, "deployment/cart · prod / shop: risk 0, healthy."},
		{"all four, of another cluster than the thread's", inProd, `{"target":"staging/shop/deployment/cart"}`, "deployment/cart · staging / shop: risk 0, healthy."},
		{"cluster, kind and name of a node", inProd, `{"target":"staging/node/worker-1"}`, "node/worker-1 · staging: risk 0, healthy."},
		{"a node, whatever the namespace", inProd, `{"target":"worker-1","namespace":"shop"}`, "node/worker-1 · prod: risk 0, healthy."},
		{"a namespace beside the name", inProd, `{"target":"cart","namespace":"billing"}`, "deployment/cart · prod / billing: risk 0, healthy."},
		{"a cluster beside the name", inProd, `{"target":"ledger","cluster":"staging"}`, "statefulset/ledger · staging / billing: risk 0, healthy."},
		{"a name of one cluster only", named("mia"), `{"target":"only-prod"}`, "deployment/only-prod · prod / shop: risk 0, healthy."},
		{"a capital letter", inProd, `{"target":"Payments"}`, "deployment/payments · prod / shop: risk 0, healthy."},
		{"a misspelt name", inProd, `{"target":"paymets"}`, `I find no workload, service, node or pod named "paymets" in prod. Did you mean payments?`},
		{"the beginning of a name", inProd, `{"target":"only"}`, `I find no workload, service, node or pod named "only" in prod. Did you mean only-prod?`},
		{"the wrong namespace", inProd, `{"target":"payments","namespace":"billing"}`, `I find no workload, service, node or pod named "payments" in prod / billing. It is in prod / shop.`},
		{"an unknown kind", inProd, `{"target":"shop/gadget/payments"}`, `"gadget" is no kind that I know. Such as pods, deployments, nodes, services, events, cm, pvc, hpa.`},
		{"an unknown cluster", named("mia"), `{"target":"payments","cluster":"prd"}`, `There is no cluster "prd". Known clusters: prod, staging.`},
		{"too many parts", inProd, `{"target":"a/b/c/d/e"}`, "A name is needed. Such as payments, deployment/payments or shop/payments."},
		{"nothing at all", inProd, `{"target":"/"}`, "A name is needed. Such as payments, deployment/payments or shop/payments."},
	} {
		t.Run(x.name, func(t *testing.T) {
			res, err := f.call(t, x.caller, "risk", x.args)
			got := ""
			if err != nil {
				got = err.Error()
			} else {
				got = res.Headline
			}
			if got != x.want {
				t.Errorf("got %q\nwant %q", got, x.want)
			}
		})
	}
}

func TestAnAmbiguousNameAsksAndEachOptionIsACallThatWorks(t *testing.T) {
	f := newFixed(t, shops())
	inProd := named("mia")
	inProd.Cluster = "prod"
	for _, x := range []struct {
		name, tool, args string
		caller           tools.Caller
		question         string
		answers          []string
	}{
		{"two namespaces", "risk", `{"target":"cart"}`, inProd, "Which cart do you mean?", []string{"deployment/cart · prod / billing", "deployment/cart · prod / shop"}},
		{"two clusters", "changes", `{"target":"payments","since":"2h"}`, named("mia"), "Which payments do you mean?",
			[]string{"0 changes in the last 2h in prod deployment/payments", "0 changes in the last 2h in staging deployment/payments"}},
		{"two clusters with two namespaces each", "events", `{"target":"deployment/cart"}`, named("mia"), "Which cart do you mean?",
			[]string{"in prod deployment/cart", "in prod deployment/cart", "in staging deployment/cart", "in staging deployment/cart"}},
		{"a node of two clusters", "topology", `{"target":"node/worker-1","direction":"upstream"}`, named("mia"), "Which worker-1 do you mean?", []string{"node/worker-1 · prod:", "node/worker-1 · staging:"}},
	} {
		t.Run(x.name, func(t *testing.T) {
			res, err := f.call(t, x.caller, x.tool, x.args)
			if err != nil || res.Question != x.question || len(res.Options) != len(x.answers) {
				t.Fatalf("%+v, %v", res, err)
			}
			var labels []string
			for i, o := range res.Options {
				again, err := f.call(t, x.caller, o.Tool, string(o.Args))
				if err != nil || again.Question != "" || !strings.Contains(again.Headline, x.answers[i]) {
					t.Errorf("%s %s gives %+v, %v, want %q", o.Tool, o.Args, again, err, x.answers[i])
				}
				labels = append(labels, o.Label)
			}
			slices.Sort(labels)
			if len(slices.Compact(labels)) != len(res.Options) {
				t.Errorf("two buttons say the same: %q", labels)
			}
		})
	}
	t.Run("no cluster where one is needed", func(t *testing.T) {
		res, err := f.call(t, named("mia"), "top", `{"kind":"pods","namespace":"shop"}`)
		if err != nil || res.Question != "Which cluster?" || len(res.Options) != 2 || !strings.Contains(string(res.Options[0].Args), `"namespace":"shop"`) {
			t.Errorf("%+v, %v", res, err)
		}
	})
	t.Run("pasted kubectl text", func(t *testing.T) {
		res, err := f.call(t, named("mia"), "kubectl", `{"command":"kubectl rollout restart deployment/payments -n shop"}`)
		if err != nil || len(res.Options) != 2 {
			t.Fatalf("%+v, %v", res, err)
		}
		for _, o := range res.Options {
			// No agent is connected, so the dry run fails; but it is known what was meant.
			if _, err := f.call(t, named("mia"), o.Tool, string(o.Args)); err == nil || strings.Contains(err.Error(), "namespace") {
				t.Errorf("%s: %v", o.Args, err)
			}
		}
	})
}

func TestWhatAVerbDoesNotWorkOnIsSaid(t *testing.T) {
	f := newFixed(t, shops())
	caller := named("mia")
	caller.Cluster = "staging"
	for _, x := range [][3]string{
		{"rollout_restart", `{"target":"pod/payments-1"}`, "That works on Deployment, StatefulSet, DaemonSet, and pod/payments-1 is none."},
		{"cordon", `{"target":"deployment/payments"}`, "That works on Node, and deployment/payments is none."},
		{"logs", `{"target":"cm/payments"}`, "That works on Deployment, StatefulSet, DaemonSet, Job, CronJob, Pod, and configmap/payments is none."},
		{"scale", `{"target":"payments","replicas":-1}`, "A workload cannot have fewer than 0 replicas."},
		{"logs", `{"target":"payments","tail":-1}`, "A tail has at least one line."},
		{"logs", `{"target":"payments","since":"soon"}`, `"soon" is no duration. Such as 10m, 1h or 90s.`},
		{"list_resources", `{"kind":"gadgets"}`, `"gadgets" is no kind that I know. Such as pods, deployments, nodes, services, events, cm, pvc, hpa.`},
		{"list_resources", `{"kind":"pods","selector":"app"}`, `The selector "app" is not of the form key=value.`},
		{"topology", `{"target":"payments","direction":"sideways"}`, `"sideways" is no direction. upstream (who depends on it), downstream (what it depends on) or both.`},
		{"silence", `{"for":"1000h"}`, "A silence lasts a week at most. Silence it again when it ends."},
		{"top", `{"kind":"services"}`, "Only pods and nodes can be ranked. Usage: /atl top [pods|nodes] [--by cpu|memory] [-n NAMESPACE] [--cluster C]"},
		{"explain", `{"id":"INC-99"}`, "There is no incident INC-99. /atl incidents --all lists them."},
		{"explain", `{"id":"paymets"}`, `I find no workload, service, node or pod named "paymets" in staging. Did you mean payments?`},
		{"timeline", `{"id":"payments"}`, `No open incident in staging touches "payments". /atl incidents lists the open ones; /atl risk payments shows its score.`},
		{"describe", `{"target":"payments"}`, "The cluster's agent is not connected, so it cannot be asked now. What was last reported is in the other answers, with its age."},
	} {
		if _, err := f.call(t, caller, x[0], x[1]); err == nil || err.Error() != x[2] {
			t.Errorf("%s %s: %v\nwant %s", x[0], x[1], err, x[2])
		}
	}
}

func TestAKindThatMayNotBeListedIsNamedWhereItIsMissed(t *testing.T) {
	f := newFixed(t, shops())
	f.ingest(t, "prod", &report.ReportRequest{Kinds: []*report.KindStatus{{Kind: "Secret", State: report.KindStatus_STATE_FORBIDDEN}}})
	caller := named("mia")
	caller.Cluster = "prod"
	if _, err := f.call(t, caller, "describe", `{"target":"secret/db"}`); err == nil || !strings.Contains(err.Error(), "The agent of prod may not list Secret.") {
		t.Errorf("%v", err)
	}
	res, err := f.call(t, caller, "list_resources", `{"kind":"secrets"}`)
	if err != nil || !slices.Contains(res.Missing, "the agent of prod may not list Secret") {
		t.Errorf("%+v, %v", res, err)
	}
	f.ingest(t, "prod", &report.ReportRequest{Kinds: []*report.KindStatus{{Kind: "Secret", State: report.KindStatus_STATE_LEFT_OUT}}})
	if _, err := f.call(t, caller, "describe", `{"target":"secret/db"}`); err == nil || !strings.Contains(err.Error(), "The agent of prod is set up to leave Secret alone.") {
		t.Errorf("%v", err)
	}
	res, err = f.call(t, caller, "list_resources", `{"kind":"secrets"}`)
	if err != nil || !slices.Contains(res.Missing, "the agent of prod is set up to leave Secret alone") {
		t.Errorf("%+v, %v", res, err)
	}
	if res, err = f.call(t, caller, "overview", `{}`); err != nil || len(res.Missing) > 0 { // somebody decided so: nothing is missing
		t.Errorf("%+v, %v", res, err)
	}
}

func TestWithoutAnyClusterThatIsSaid(t *testing.T) {
	f := newFixed(t, nil)
	for _, s := range f.Tools(named("mia")) {
		if s.Name == "pending" || s.Name == "oncall" || s.ByHand { // they are about people and proposals
			continue
		}
		_, err := f.call(t, named("mia"), s.Name, map[string]string{"list_resources": `{"kind":"pods"}`, "scale": `{"target":"a","replicas":1}`, "set_image": `{"target":"a","image":"b:c"}`, "kubectl": `{"command":"get pods"}`,
			"trace": `{"id":"0af7651916cd43dd8448eb211c80319c"}`, "taint": `{"target":"a","taint":"b=c:NoSchedule"}`, "untaint": `{"target":"a","taint":"b"}`,
			"label": `{"target":"a","label":"b=c"}`, "annotate": `{"target":"a","annotation":"b=c"}`,
			"restart_all": `{"kind":"deployments","selector":"a=b","namespace":"c"}`, "scale_all": `{"kind":"deployments","selector":"a=b","namespace":"c","replicas":1}`,
			"explain_text": `{"text":"payments"}`,
			"slo_set":      `{"target":"a","kind":"availability","goal":"99"}`, "slo_remove": `{"target":"a","kind":"latency"}`}[s.Name]+
			map[bool]string{true: `{"target":"payments"}`}[slices.Contains([]string{"describe", "get_resource", "logs", "metrics", "topology", "rollout_status", "rollout_history", "rollout_restart", "rollback", "delete_pod", "cordon", "uncordon", "drain", "operations", "graph", "rollout_pause", "rollout_resume", "delete_job", "run_cronjob", "slo_propose", "signals", "chart"}, s.Name)])
		var problem *tools.Problem
		if !errors.As(err, &problem) || problem.Sentence != "No cluster has reported yet." {
			t.Errorf("%s: %v", s.Name, err)
		}
	}
}
