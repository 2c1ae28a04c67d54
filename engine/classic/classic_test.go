package classic

import (
	"math"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/engine/baseline"
	"github.com/bukahou/atlhyper/engine/detect"
	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/risk"
	"github.com/bukahou/atlhyper/engine/topology"
)

func ref(kind, name string) entity.Ref {
	return entity.Ref{Cluster: "prod", Kind: kind, Namespace: "shop", Name: name}
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-6 {
		t.Errorf("%s is %.6f, want %.6f", what, got, want)
	}
}

func TestTheScoreIsASigmoidAroundThreeDeviations(t *testing.T) {
	near(t, "at 3", Score(3), 0.5)
	near(t, "at 0", Score(0), 0.047426)
	near(t, "at 5", Score(5), 0.880797)
}

// An outlier moves its own yardstick: however large it is, the deviation stays below 5.32.
func TestTheSampleMovesItsOwnYardstick(t *testing.T) {
	a := New(0)
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	svc := ref(entity.Service, "cart")
	for i := range 150 {
		now = now.Add(10 * time.Second)
		a.Observe(now, svc, "avg_latency", 0.1+0.001*float64(i%2), 0)
		if n := len(a.Anomalies("prod", now, nil)); i < cold-1 && n > 0 {
			t.Fatalf("judged after %d samples", i+1)
		}
	}
	now = now.Add(10 * time.Second)
	a.Observe(now, svc, "avg_latency", 1e6, 0)
	got := a.Anomalies("prod", now, nil)
	near(t, "the deviation of a million", got[0].Z, (1-alpha)/math.Sqrt(alpha))
}

func TestRiskByHand(t *testing.T) {
	svc, deploy, pod, node, front := ref(entity.Service, "cart"), ref(entity.Deployment, "cart"), ref(entity.Pod, "cart-0"), ref(entity.Node, "n1"), ref(entity.Ingress, "front")
	well := ref(entity.Pod, "cart-1")
	g := topology.New(nil, []topology.Edge{
		{From: front, To: svc, Type: topology.RoutesTo, Weight: 1}, {From: svc, To: deploy, Type: topology.Selects, Weight: 1},
		{From: deploy, To: pod, Type: topology.Selects, Weight: 0.5}, {From: deploy, To: well, Type: topology.Selects, Weight: 0.5},
		{From: pod, To: node, Type: topology.RunsOn, Weight: 1},
	})
	now := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	in := risk.Input{
		Now: now, Cluster: "prod", Graph: g,
		Facts:     []detect.Fact{{Entity: pod, Kind: "CrashLoopBackOff", Score: 0.90, Since: now}, {Entity: pod, Kind: "BackOff", Score: 0.85, Since: now}},
		Anomalies: []baseline.Anomaly{{Entity: svc, Metric: "error_rate", Q: 1, Weight: 0.10}, {Entity: svc, Metric: "avg_latency", Q: 0.5, Weight: 0.05}},
		First:     func(entity.Ref) time.Time { return now.Add(-5 * time.Minute) },
	}
	a := Scorer{}.Score(in)
	w := 0.7 + 0.3*(1-math.Exp(-300.0/500))
	near(t, "W after five minutes", a.Of(pod).Time, w)
	near(t, "R_det of two facts", a.Of(pod).Certain, 0.90*0.85)
	near(t, "R_stat of the service", a.Of(svc).Statistical, 0.10+0.05*0.5)
	near(t, "R_final of the pod", a.Of(pod).Final, w*0.765)
	service := 0.6*w*0.125 + 0.4*(w*0.765+0)/2 // the average over both pods, through the workload
	near(t, "R_final of the service", a.Of(svc).Final, service)
	near(t, "R_final of the ingress", a.Of(front).Final, 0.4*service)
	if v := (Scorer{}).Blame(in, []entity.Ref{svc, pod, front}); v.Entity != pod {
		t.Errorf("blamed %s", v.Entity.Short())
	}
}
