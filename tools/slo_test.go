package tools_test

import (
	"strings"
	"testing"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/slo"
	"github.com/bukahou/atlhyper/tools"
)

// counting is a cluster whose Service checkout answers 600 requests a minute. share gives what fails in a minute that is
// so long before the end.
func counting(t *testing.T, annotations map[string]string, share func(ago time.Duration) float64) *fixed {
	t.Helper()
	svc := of(entity.Service, "shop", "checkout")
	svc.Annotations = annotations
	f := newFixed(t, map[string][]*report.Resource{"prod": {svc, workload(entity.Deployment, "shop", "checkout"), of(entity.Service, "shop", "quiet"), of(entity.Ingress, "shop", "web")}})
	for ago := 2 * time.Hour; ago > 0; ago -= 10 * time.Second {
		f.now = night.Add(-ago + 10*time.Second)
		b := &report.ReportRequest{}
		if f.now.Second() == 0 {
			b.Minutes = []*report.TelemetryMinute{{Start: timestamppb.New(f.now.Add(-time.Minute)), Requests: []*report.RequestCount{{
				Entity: &report.EntityRef{Kind: entity.Service, Namespace: "shop", Name: "checkout"}, Layer: slo.Mesh, Total: 600, Errors: 600 * share(ago),
				Bounds: []float64{0.1, 0.3}, Buckets: []float64{500, 90, 10}, Codes: map[string]float64{"200": 600 - 600*share(ago), "503": 600 * share(ago)},
			}}}}
		}
		f.ingest(t, "prod", b)
		f.evaluate(t)
	}
	return f
}

func well(time.Duration) float64 { return 0 }

func failing(ago time.Duration) float64 {
	if ago < 6*time.Minute {
		return 0.4
	}
	return 0
}

func TestAnObjectiveIsSetByAnOperatorAndShownWithItsBudget(t *testing.T) {
	f := counting(t, nil, well)
	res, err := f.call(t, named("mia"), "slo", `{}`)
	if err != nil || res.Headline != "No objective is set in prod." || len(res.Next) != 1 || res.Next[0].Label != "Propose one for checkout" {
		t.Fatalf("%+v, %v", res, err)
	}
	if _, err := f.call(t, named("ken"), "slo_set", `{"target":"checkout","kind":"availability","goal":"99.9"}`); err == nil || !strings.Contains(err.Error(), "needs the role operator") {
		t.Errorf("a viewer sets an objective: %v", err)
	}
	for args, want := range map[string]string{
		`{"target":"checkout","kind":"availability","goal":"0.999"}`:               "0.999 is a fraction: a target is written in percent, such as 99.9.",
		`{"target":"checkout","kind":"speed","goal":"99"}`:                         `"speed" is no kind of objective: availability or latency.`,
		`{"target":"checkout","kind":"latency","goal":"99"}`:                       "A latency objective needs a threshold, such as 300ms.",
		`{"target":"checkout","kind":"availability","goal":"99","window":"90d"}`:   "A window of 90 d cannot be kept: from 1d to 35d.",
		`{"target":"chekout","kind":"availability","goal":"99"}`:                   `I find no Service, Ingress named "chekout" in prod. Did you mean checkout?`,
		`{"target":"checkout","kind":"availability","goal":"99","layer":"moon"}`:   `"moon" is no layer: ingress or mesh.`,
		`{"target":"checkout","kind":"availability","goal":"99","threshold":"1s"}`: "An availability objective has no threshold.",
	} {
		if _, err := f.call(t, named("mia"), "slo_set", args); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v\nwant %s", args, err, want)
		}
	}
	res, err = f.call(t, named("mia"), "slo_set", `{"target":"deployment/checkout","kind":"availability","goal":"99.9"}`)
	if err != nil || res.Headline != "Set: checkout availability 99.9 % over 30 d · prod / shop." || res.Facts[0].Value != "100 % good, at most 100 % of the budget is left" {
		t.Fatalf("%+v, %v", res, err)
	}
	res, err = f.call(t, named("mia"), "slo_set", `{"target":"quiet","kind":"availability","goal":"90"}`)
	if err != nil || len(res.Missing) != 2 || !strings.HasPrefix(res.Missing[0], "nothing counts the requests of quiet yet") || !strings.Contains(res.Missing[1], "not even an outage") {
		t.Fatalf("%+v, %v", res, err)
	}
	res, err = f.call(t, named("ken"), "slo", `{}`)
	if err != nil || res.Headline != "2 objectives in prod, none burns too fast." || len(res.Tables[0].Rows) != 2 || res.Tables[0].Rows[1][2] != "unknown, because nothing counts its requests" {
		t.Fatalf("%+v, %v", res, err)
	}
	zh := named("ken")
	zh.Lang = "zh"
	if res, err := f.call(t, zh, "slo", `{}`); err != nil || res.Headline != "prod 有 2 个目标，没有消耗过快的。" {
		t.Errorf("%+v, %v", res, err)
	}
	if res, err := f.call(t, named("mia"), "slo_remove", `{"target":"quiet","kind":"availability"}`); err != nil || res.Headline != "Removed: quiet availability 90 % over 30 d · prod / shop." {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := f.call(t, named("mia"), "slo_remove", `{"target":"quiet","kind":"availability"}`); err == nil || !strings.Contains(err.Error(), "has no such objective. /atl slo lists them.") {
		t.Errorf("%v", err)
	}
}

func TestABurningBudgetHasItsChart(t *testing.T) {
	f := counting(t, map[string]string{"atlhyper.io/slo-availability": "99.9", "atlhyper.io/slo-window": "7d"}, failing)
	is := f.e.Incidents.Open("prod")
	if len(is) != 1 {
		t.Fatalf("%d incidents are open", len(is))
	}
	ch := tools.IncidentChart(f.e, is[0], "en")
	if ch == nil || ch.Title != "failed requests of checkout" || ch.Unit != "ratio" || ch.Limit < 0.0009 || ch.Limit > 0.0011 || len(ch.Points) != 60 {
		t.Fatalf("the chart is %+v", ch)
	}
	want := "failed requests of checkout, last 60m · now 40 % · least 0 %, most 40 % · the objective allows 0.1 % · the incident began at 02:39 UTC"
	if ch.Alt != want {
		t.Errorf("its text is\n%s, want\n%s", ch.Alt, want)
	}
	if ja := tools.IncidentChart(f.e, is[0], "ja"); ja.Title != "checkout の失敗リクエスト" {
		t.Errorf("in Japanese %q", ja.Title)
	}
	res, err := f.call(t, named("ken"), "slo", `{"target":"checkout"}`)
	if err != nil || !strings.HasPrefix(res.Headline, "service/checkout · prod / shop: 98") || !strings.Contains(res.Headline, "the budget burns at 400×") || len(res.Charts) != 1 {
		t.Errorf("%q, %v", res.Headline, err)
	}
	res, err = f.call(t, named("ken"), "explain", `{}`)
	if err != nil || len(res.Charts) != 1 || !strings.Contains(everything(res), "error budget budget burning 400×") {
		t.Errorf("%s, %v", everything(res), err)
	}
}

func TestAnAnnotationThatMakesNoSenseIsTold(t *testing.T) {
	f := counting(t, map[string]string{"atlhyper.io/slo-availability": "0.999"}, well)
	res, err := f.call(t, named("ken"), "slo", `{}`)
	if err != nil || len(res.Missing) != 1 || !strings.HasPrefix(res.Missing[0], "service/checkout in shop: atlhyper.io/slo-availability is not taken: 0.999 is a fraction") {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestWhatIsTooLittleIsNoProposal(t *testing.T) {
	f := counting(t, nil, well)
	res, err := f.call(t, named("ken"), "slo_propose", `{"target":"quiet"}`)
	if err != nil || !strings.Contains(res.Headline, "too little is known for a proposal: 0 requests in 0 s") {
		t.Errorf("%+v, %v", res, err)
	}
	res, err = f.call(t, named("ken"), "slo_propose", `{"target":"checkout"}`)
	if err != nil || len(res.Tables[0].Rows) != 1 || len(res.Next) != 0 { // 1.7 % are above the last bound: no bound holds 99 %
		t.Errorf("%+v, %v", res, err)
	}
	if res, err = f.call(t, named("mia"), "slo_propose", `{"target":"checkout"}`); err != nil || len(res.Next) != 1 || res.Next[0].Label != "Set availability 99.99 % over 30 d" {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := f.call(t, named("mia"), res.Next[0].Tool, string(res.Next[0].Args)); err != nil {
		t.Errorf("the button does not work: %v", err)
	}
}
