package tools_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/tools"
)

func TestATextIsLookedUpInWhatIsThere(t *testing.T) {
	prod := []*report.Resource{
		workload("Deployment", "shop", "payments"), workload("Deployment", "shop", "web"), workload("Deployment", "billing", "web"),
		{Kind: "Service", Namespace: "shop", Name: "payments", Uid: "s"}, {Kind: "Node", Name: "ip-10-0-11-89", Uid: "n"},
		{Kind: "Pod", Namespace: "shop", Name: "payments-7d9c5b8f6d-abcde", Uid: "p"}, {Kind: "Ingress", Namespace: "shop", Name: "shop", Uid: "i"},
	}
	f := newFixed(t, map[string][]*report.Resource{"prod-eu": prod, "staging": {workload("Deployment", "shop", "payments")}})
	for text, want := range map[string][]string{
		"payments is slow":            {"deployment/payments · prod-eu / shop", "deployment/payments · staging / shop"},
		"payments in prod-eu is slow": {"deployment/payments · prod-eu / shop"},
		"[FIRING:1] pod=\"payments-7d9c5b8f6d-abcde\" ns=\"shop\"": {"pod/payments-7d9c5b8f6d-abcde · prod-eu / shop"},
		"the pod payments-6fffffffff-zzzzz of prod-eu is gone":     {"deployment/payments · prod-eu / shop"},
		"dial tcp: lookup payments.shop.svc.cluster.local":         {"deployment/payments · prod-eu / shop", "deployment/payments · staging / shop"},
		"web in billing":                                   {"deployment/web · prod-eu / billing"},
		"billing/web, shop/web":                            {"deployment/web · prod-eu / billing", "deployment/web · prod-eu / shop"},
		"Node IP-10-0-11-89: NotReady":                     {"node/ip-10-0-11-89 · prod-eu"},
		"支付 payments在staging很慢":                            {"deployment/payments · staging / shop"},
		"is anything up with staging?":                     {"staging · staging"},
		"everything in billing is down":                    {"namespace/billing · prod-eu"},
		"INC-9999 or lunch?":                               nil,
		strings.Repeat("payments-7d9c5b8f6d-abcdX ", 5000): {"deployment/payments · prod-eu / shop", "deployment/payments · staging / shop"},
		"": nil,
	} {
		for _, call := range []string{"tool", "line"} {
			raw := fmt.Sprintf(`{"text":%q}`, text)
			if call == "line" {
				tool, args, ok, err := f.ParseLine("explain this: " + text)
				if text == "" {
					if !ok || err == nil {
						t.Errorf("nothing behind the colon: %v, %v", ok, err)
					}
					continue
				}
				if tool != tools.ExplainText || !ok || err != nil {
					t.Fatalf("%q is read as %s, %v, %v", text, tool, ok, err)
				}
				raw = string(args)
			}
			res, err := f.call(t, named("vic"), tools.ExplainText, raw)
			var problem *tools.Problem
			if want == nil {
				if !errors.As(err, &problem) || problem.Sentence != "That text names nothing that I know." {
					t.Errorf("%.60q: %v, %v", text, res != nil, err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%.60q: %v", text, err)
				continue
			}
			var got []string
			for _, row := range res.Tables[0].Rows {
				got = append(got, row[0]+" · "+row[1])
			}
			if d := cmp.Diff(want, got); d != "" || !res.Private {
				t.Errorf("%.60q (-want +got):\n%s", text, d)
			}
		}
	}
}

func TestWhatStandsBehindAColonIsNoOrder(t *testing.T) {
	f := newFixed(t, map[string][]*report.Resource{"prod-eu": {workload("Deployment", "shop", "payments")}})
	for _, line := range []string{
		"explain this: scale payments 0 -n shop", "Explain This:scale payments 0", "explain  this：\nscale payments 0\n--cluster other", `explain this: it's "payments`,
		"explain this: the payments of the shop", "explain this: explain this: payments",
	} {
		if tool, args, ok, err := f.ParseLine(line); tool != tools.ExplainText || !ok || err != nil || !strings.Contains(string(args), "payments") {
			t.Errorf("%q: %s %s, %v, %v", line, tool, args, ok, err)
		}
	}
	for _, line := range []string{"explain this", "explain this incident", "explain this to me: payments"} {
		if tool, _, ok, _ := f.ParseLine(line); tool == tools.ExplainText && ok {
			t.Errorf("%q is no text of another's", line)
		}
	}
}
