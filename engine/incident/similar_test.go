package incident_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
)

func TestLikeIncidentsAreRankedByCauseEntitiesAndSigns(t *testing.T) {
	day := time.Date(2026, 3, 3, 2, 0, 0, 0, time.UTC)
	ref := func(kind, name string) entity.Ref {
		return entity.Ref{Cluster: "prod", Kind: kind, Namespace: "shop", Name: name}
	}
	payments, cart, checkout := ref(entity.Deployment, "payments"), ref(entity.Deployment, "cart"), ref(entity.Service, "checkout")
	record := func(id string, ago time.Duration, cause entity.Ref, kind string, touched ...entity.Ref) *incident.Incident {
		i := &incident.Incident{ID: id, Cluster: "prod", OpenedAt: day.Add(-ago), Cause: incident.Cause{Entity: cause, Kind: kind, Evidence: []incident.Evidence{{What: kind}}}}
		for _, r := range touched {
			i.Entities = append(i.Entities, incident.Affected{Entity: r})
		}
		return i
	}
	now := record("INC-9", 0, payments, "ImagePullBackOff", payments, checkout, ref(entity.Pod, "payments-1"))
	past := []*incident.Incident{
		record("INC-1", 72*time.Hour, payments, "ImagePullBackOff", payments, checkout, ref(entity.Pod, "payments-0")), // 0.5 + 0.3 + 0.2
		record("INC-2", 48*time.Hour, payments, "OOMKilled", payments),                                                 // 0.3 + 0.15 + 0
		record("INC-3", 24*time.Hour, cart, "ImagePullBackOff", cart),                                                  // 0.15 + 0 + 0.2: by the skin of its teeth
		record("INC-4", 12*time.Hour, cart, "OOMKilled", cart, checkout),                                               // 0.1
		record("INC-5", 96*time.Hour, payments, "ImagePullBackOff", payments, checkout),                                // as INC-1, and older
		record("INC-10", -time.Hour, payments, "ImagePullBackOff", payments, checkout),                                 // later
		now,
	}
	elsewhere := record("INC-6", time.Hour, payments, "ImagePullBackOff", payments, checkout)
	elsewhere.Cluster = "staging"
	merged := record("INC-7", time.Hour, payments, "ImagePullBackOff", payments, checkout)
	merged.MergedInto = "INC-1"
	got := incident.Similar(now, append(past, elsewhere, merged), 10)
	want := []struct {
		id    string
		score float64
	}{{"INC-1", 1}, {"INC-5", 1}, {"INC-2", 0.45}, {"INC-3", 0.35}}
	if len(got) != len(want) {
		t.Fatalf("%d are like it, want %d: %+v", len(got), len(want), got)
	}
	for n, w := range want {
		if got[n].Incident.ID != w.id || math.Abs(got[n].Score-w.score) > 1e-9 {
			t.Errorf("place %d has %s with %v, want %s with %v", n+1, got[n].Incident.ID, got[n].Score, w.id, w.score)
		}
	}
	if all := incident.Similar(now, past, 1); len(all) != 1 {
		t.Errorf("%d for one that was asked for", len(all))
	}
}

func TestLikenessIsWithinItsBoundsAndNoOrderMovesIt(t *testing.T) {
	names := []string{"a", "b", "c"}
	kinds := []string{entity.Deployment, entity.Service, entity.Pod}
	rapid.Check(t, func(t *rapid.T) {
		one := func(id string, at int) *incident.Incident {
			ref := func() entity.Ref {
				return entity.Ref{Cluster: "c", Kind: rapid.SampledFrom(kinds).Draw(t, "kind"), Name: rapid.SampledFrom(names).Draw(t, "name")}
			}
			i := &incident.Incident{ID: id, Cluster: "c", OpenedAt: time.Unix(int64(at), 0)}
			if rapid.Bool().Draw(t, "known") {
				i.Cause = incident.Cause{Entity: ref(), Kind: rapid.SampledFrom(names).Draw(t, "reason")}
			}
			for range rapid.IntRange(0, 4).Draw(t, "touched") {
				i.Entities = append(i.Entities, incident.Affected{Entity: ref()})
			}
			return i
		}
		now := one("now", 100)
		var past []*incident.Incident
		for n := range rapid.IntRange(0, 8).Draw(t, "past") {
			past = append(past, one(string(rune('A'+n)), n/2))
		}
		first := incident.Similar(now, past, 100)
		rand.Shuffle(len(past), func(a, b int) { past[a], past[b] = past[b], past[a] })
		again := incident.Similar(now, past, 100)
		for n, m := range first {
			if m.Score < 0.34 || m.Score > 1 || again[n].Incident != m.Incident || again[n].Score != m.Score {
				t.Fatalf("place %d: %+v, then %+v", n, m, again[n])
			}
		}
		if len(again) != len(first) {
			t.Fatalf("%d, then %d", len(first), len(again))
		}
	})
}
