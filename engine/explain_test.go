package engine_test

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/entity"
)

// TestAScoreIsRecomputedByHandFromWhatIsShown takes an explanation as JSON, as a person at a tool would have it, and nothing else.
func TestAScoreIsRecomputedByHandFromWhatIsShown(t *testing.T) {
	w := newWorld(t)
	app := append(w.app("cart", "cart:v1"), &report.Resource{Kind: entity.Ingress, Namespace: "shop", Name: "front", Uid: "Ingress/front",
		Detail: &report.Resource_Ingress{Ingress: &report.Ingress{Backends: []*report.IngressBackend{{Service: "cart"}}}}})
	w.join("prod", 0, app...)
	level := 1.0
	w.fed["prod"] = func(now time.Time) *report.ReportRequest {
		wobble := 1 + 0.03*float64(now.Unix()/10%7-3)/3
		return w.frame(sample(entity.Service, "cart", "avg_latency", 0.1*level*wobble, 400), sample(entity.Service, "cart", "error_rate", 0.004*level*level*wobble, 400))
	}
	w.pass(20 * time.Minute)
	level = 3
	w.pass(4 * time.Minute)
	w.ingest("prod", &report.ReportRequest{Upserts: w.crashed(app, 0)[:1]})
	w.pass(20 * time.Second)

	for _, ref := range []entity.Ref{
		{Cluster: "prod", Kind: entity.Service, Namespace: "shop", Name: "cart"}, {Cluster: "prod", Kind: entity.Deployment, Namespace: "shop", Name: "cart"}, {Cluster: "prod", Kind: entity.Ingress, Namespace: "shop", Name: "front"},
	} {
		raw, err := json.Marshal(w.e.Explain(ref))
		if err != nil {
			t.Fatal(err)
		}
		var x struct {
			Score struct {
				Local, Statistical, Certain, Time, Final float64
				Elapsed                                  time.Duration
				Terms                                    []struct {
					Kind, Name    string
					Score, Weight float64
				}
			}
			Formula string
			Metrics []struct {
				Metric                            string
				Value, Mean, Spread, Z, Q, Weight float64
				At                                time.Time
			}
			Facts []struct {
				Kind  string
				Score float64
				Since time.Time
			}
			Path []struct{ Final float64 }
		}
		if err := json.Unmarshal(raw, &x); err != nil {
			t.Fatal(err)
		}
		near := func(what string, got, want float64) {
			t.Helper()
			if math.Abs(got-want) > 1e-9 {
				t.Errorf("%s: %s is %.12f by hand and %.12f as shown\n%s", ref.Short(), what, got, want, x.Formula)
			}
		}
		well, certain := 1.0, 1.0
		for _, m := range x.Metrics {
			near("z of "+m.Metric, (m.Value-m.Mean)/m.Spread, m.Z)
			near("q of "+m.Metric, m.Weight*math.Tanh(max(0, math.Abs(m.Z)-3)/2), m.Q)
			well *= 1 - m.Q
			if m.At.IsZero() {
				t.Errorf("%s has no time", m.Metric)
			}
		}
		for _, f := range x.Facts {
			certain *= 1 - f.Score
		}
		near("R_stat", 1-well, x.Score.Statistical)
		near("R_cert", 1-certain, x.Score.Certain)
		factor := 0.0
		if len(x.Metrics) > 0 {
			factor = 0.7 + 0.3*(1-math.Exp(-x.Score.Elapsed.Seconds()/500))
		}
		near("W", factor, x.Score.Time)
		near("R_local", 1-(1-factor*(1-well))*certain, x.Score.Local)
		replicas, worst := 0.0, 0.0
		for _, term := range x.Score.Terms {
			switch {
			case term.Kind != "propagated":
			case term.Name == "selects":
				replicas += term.Score * term.Weight
			default:
				worst = max(worst, term.Score*term.Weight)
			}
		}
		near("R_final", max(x.Score.Local, 0.9*max(min(1, replicas), worst)), x.Score.Final)
		if x.Score.Final == 0 || len(x.Path) == 0 || !strings.Contains(x.Formula, fmt.Sprintf("= %.3f", x.Score.Final)) {
			t.Errorf("%s: risk %.3f, path of %d, formula\n%s", ref.Short(), x.Score.Final, len(x.Path), x.Formula)
		}
	}
}
