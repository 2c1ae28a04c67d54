package tools_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/tools"
)

func TestALineIsACommandOrAQuestion(t *testing.T) {
	f := newFixed(t, map[string][]*report.Resource{"prod": {
		workload(entity.Deployment, "shop", "payments"), workload(entity.Deployment, "shop", "events"), workload(entity.Deployment, "shop", "it"), node("worker-1"),
	}})
	for line, want := range map[string]string{
		// A verb, its arguments and its flags.
		"status":                                `overview {}`,
		"STATUS":                                `overview {}`,
		"logs payments":                         `logs {"target":"payments"}`,
		"  logs   payments  ":                   `logs {"target":"payments"}`,
		"logs payments -n shop --tail 50":       `logs {"namespace":"shop","tail":50,"target":"payments"}`,
		"logs -n shop payments":                 `logs {"namespace":"shop","target":"payments"}`,
		"logs payments --tail=50 --since=10m":   `logs {"since":"10m","tail":50,"target":"payments"}`,
		"logs payments -c app -p":               `logs {"container":"app","previous":true,"target":"payments"}`,
		"logs payments --previous=false":        `logs {"previous":false,"target":"payments"}`,
		"list pods --unhealthy -l app=cart":     `list_resources {"kind":"pods","selector":"app=cart","unhealthy":true}`,
		"silence INC-1 --for 30m":               `silence {"for":"30m","id":"INC-1"}`,
		"drain worker-1 --delete-emptydir-data": `drain {"delete_emptydir_data":true,"target":"worker-1"}`,
		// The rest of the line, up to a flag, and quotes.
		"logs payments connection refused":             `logs {"grep":"connection refused","target":"payments"}`,
		"logs payments connection refused --tail 5":    `logs {"grep":"connection refused","tail":5,"target":"payments"}`,
		`logs payments "connection  refused" -n shop`:  `logs {"grep":"connection  refused","namespace":"shop","target":"payments"}`,
		`logs payments --grep 'a "quoted" word'`:       `logs {"grep":"a \"quoted\" word","target":"payments"}`,
		"kubectl get pods -n shop -o wide":             `kubectl {"command":"get pods -n shop -o wide"}`,
		`kubectl set image deploy/payments 'app=x:v2'`: `kubectl {"command":"set image deploy/payments 'app=x:v2'"}`,
		"scale payments 5":                             `scale {"replicas":5,"target":"payments"}`,
		"scale payments to 5":                          `scale {"replicas":5,"target":"payments"}`,
		"rollback payments":                            `rollback {"target":"payments"}`,
		"rollback payments 17":                         `rollback {"revision":17,"target":"payments"}`,
		"rollback payments v2.3.1":                     `rollback {"target":"payments","version":"v2.3.1"}`,
		"delete payments --node worker-1":              `delete_pod {"node":"worker-1","target":"payments"}`,
		"events payments":                              `events {"target":"payments"}`, // though a Deployment is called events
		"events":                                       `events {}`,
		"events --since 5m":                            `events {"since":"5m"}`,
		"set-image payments shop/payments:v2 -c app":   `set_image {"container":"app","image":"shop/payments:v2","target":"payments"}`,
		"describe deployment payments":                 `describe {"target":"deployment/payments"}`,
		"scale deploy payments 5":                      `scale {"replicas":5,"target":"deploy/payments"}`,
		"logs events error":                            `logs {"grep":"error","target":"events"}`, // a Deployment of that name exists
		"get pods -n shop":                             `get_resource {"namespace":"shop","target":"pods"}`,
		"logs it":                                      `logs {"target":"it"}`,
		"topology payments upstream --depth 2":         `topology {"depth":2,"direction":"upstream","target":"payments"}`,
		// What begins like a command and is a sentence.
		"logs of payments":             "question",
		"status of payments":           "question",
		"fix this":                     "question",
		"explain why checkout is slow": "question",
		"scale is a problem, why?":     "question",
		"list all pods":                "question",
		"what's wrong":                 "question",
		"why?":                         "question",
		"":                             "question",
		"   ":                          "question",
		"payments logs":                "question",
		"events got slow":              "question", // about the Deployment
		// What is wrong with a command is said, with its usage.
		"logs":                                   "logs needs TARGET. Usage: /atl logs TARGET",
		"logs payments --tial 5":                 "logs has no flag --tial. Usage: /atl logs TARGET",
		"logs payments -x":                       "logs has no flag -x. Usage: ",
		"logs payments --tail":                   "--tail needs a value. Usage: ",
		"logs payments --tail few":               `tail must be a whole number, and "few" is none. Usage: `,
		"logs payments -p=maybe":                 `previous must be true or false, and "maybe" is neither. Usage: `,
		"scale payments five":                    `replicas must be a whole number, and "five" is none. Usage: /atl scale TARGET REPLICAS`,
		"scale payments":                         "scale needs REPLICAS. Usage: /atl scale TARGET REPLICAS",
		"cordon worker-1 worker-2":               `"worker-2" is one word too many. Usage: /atl cordon`,
		"slo":                                    `slo {}`,
		"slo checkout":                           `slo {"target":"checkout"}`,
		"slo of checkout":                        `question`,
		"slo set checkout availability 99.9 30d": `slo_set {"goal":"99.9","kind":"availability","target":"checkout","window":"30d"}`,
		"SLO Set checkout latency 99 --threshold 300ms -n shop": `slo_set {"goal":"99","kind":"latency","namespace":"shop","target":"checkout","threshold":"300ms"}`,
		"slo set checkout":                 "slo set needs KIND. Usage: /atl slo set",
		"slo remove checkout latency":      `slo_remove {"kind":"latency","target":"checkout"}`,
		"slo propose checkout":             `slo_propose {"target":"checkout"}`,
		"chart checkout errors --since 6h": `chart {"metric":"errors","since":"6h","target":"checkout"}`,
		"clusters now":                     `"now" is one word too many. Usage: /atl clusters`,
	} {
		t.Run(line, func(t *testing.T) {
			tool, args, ok, err := f.ParseLine(line)
			got := strings.TrimSpace(tool + " " + string(args))
			var problem *tools.Problem
			switch {
			case !ok:
				got = "question"
			case errors.As(err, &problem):
				got = problem.Error()
			case err != nil:
				t.Fatal(err)
			}
			if got != want && (problem == nil || !strings.HasPrefix(got, want)) {
				t.Errorf("got %s\nwant %s", got, want)
			}
		})
	}
}

func TestEveryUsageIsTrue(t *testing.T) {
	f := newFixed(t, nil)
	for _, s := range f.Tools(named("mia")) {
		words := strings.Fields(s.Usage)
		if len(words) == 0 || !strings.HasPrefix(s.Usage+" ", s.Verb+" ") || s.Summary == "" || strings.Contains(s.Summary, "\n") || !strings.HasSuffix(s.Summary, ".") || len(s.Description) < len(s.Summary)+40 {
			t.Errorf("%s: usage %q, summary %q, %d bytes of description", s.Name, s.Usage, s.Summary, len(s.Description))
		}
		for _, w := range words {
			flag := strings.Trim(w, "[]")
			if !strings.HasPrefix(flag, "-") {
				continue
			}
			// Each flag of a usage is accepted: with a value when it needs one.
			_, _, ok, err := f.ParseLine(s.Verb + " " + flag + " 1")
			if _, _, _, bare := f.ParseLine(s.Verb + " " + flag); ok && err != nil && bare != nil && strings.Contains(err.Error(), "has no flag") {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
	}
}

func FuzzParseLine(f *testing.F) {
	w := newFixed(f, map[string][]*report.Resource{"prod": {workload(entity.Deployment, "shop", "payments")}})
	for _, s := range []string{"logs payments -n shop", `logs payments "a b`, "kubectl get pods", "scale payments to 5", "list pods --=x", "- --", "logs \x00"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, line string) {
		tool, args, ok, err := w.ParseLine(line)
		var problem *tools.Problem
		if err != nil && !errors.As(err, &problem) {
			t.Fatal(err)
		}
		if !ok || err != nil {
			return
		}
		if _, err := w.call(t, named("mia"), tool, string(args)); err != nil && !errors.As(err, &problem) {
			t.Errorf("%s %s: %v", tool, args, err)
		}
	})
}
