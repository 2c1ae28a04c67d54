package storagetest

import (
	"testing"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/slo"
)

func objectives(t *testing.T, s Store) {
	ctx := t.Context()
	o := slo.Objective{
		Entity: entity.Ref{Cluster: "prod-eu", Kind: entity.Service, Namespace: "shop", Name: "checkout"}, Layer: slo.Mesh, Kind: slo.Latency,
		Target: 0.99, Threshold: 300 * time.Millisecond, Window: 7 * 24 * time.Hour, Source: slo.FromChat, By: "Mia", At: now,
	}
	other := o
	other.Kind, other.Threshold = slo.Availability, 0
	must(t, s.PutObjective(ctx, o))
	must(t, s.PutObjective(ctx, other))
	o.Target = 0.95
	must(t, s.PutObjective(ctx, o))
	same(t, "objectives", get(s.Objectives(ctx))(t), []slo.Objective{other, o})
	if !get(s.DeleteObjective(ctx, o.Key()))(t) || get(s.DeleteObjective(ctx, o.Key()))(t) {
		t.Error("an objective is there once")
	}
	same(t, "what is left", get(s.Objectives(ctx))(t), []slo.Objective{other})
}

func rollups(t *testing.T, s Store) {
	ctx := t.Context()
	hour := now.Truncate(time.Hour)
	r := slo.Rollup{
		Entity: entity.Ref{Cluster: "prod-eu", Kind: entity.Ingress, Namespace: "shop", Name: "shop"}, Layer: slo.Ingress, Route: "shop.example.com/",
		Start: hour, Span: time.Hour, Known: 59, Total: 4020.5, Errors: 1240, Bounds: []float64{0.1, 0.3}, Buckets: []float64{1, 2, 3}, Codes: map[string]float64{"200": 2780},
	}
	old, day := r, r
	old.Start = hour.Add(-30 * 24 * time.Hour)
	day.Start, day.Span = old.Start.Truncate(24*time.Hour), 24*time.Hour
	must(t, s.PutRollups(ctx, "prod-eu", []slo.Rollup{r, old, day}))
	r.Known, r.Total = 60, 5000
	must(t, s.PutRollups(ctx, "prod-eu", []slo.Rollup{r}))
	elsewhere := r
	elsewhere.Entity.Cluster = "prod-us"
	must(t, s.PutRollups(ctx, "prod-us", []slo.Rollup{elsewhere}))
	same(t, "hours", get(s.Rollups(ctx, "prod-eu", time.Hour, hour))(t), []slo.Rollup{r})
	same(t, "all hours", get(s.Rollups(ctx, "prod-eu", time.Hour, time.Time{}))(t), []slo.Rollup{old, r})
	must(t, s.Prune(ctx, now))
	same(t, "hours after a prune", get(s.Rollups(ctx, "prod-eu", time.Hour, time.Time{}))(t), []slo.Rollup{r})
	same(t, "days after a prune", get(s.Rollups(ctx, "prod-eu", 24*time.Hour, time.Time{}))(t), []slo.Rollup{day})
	must(t, s.Prune(ctx, now.Add(60*24*time.Hour)))
	same(t, "days after their retention", get(s.Rollups(ctx, "prod-eu", 24*time.Hour, time.Time{}))(t), []slo.Rollup(nil))
}
