package engine_test

import (
	"testing"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/silence"
)

// TestWhatPeopleCallNoiseProposesItsSilenceAndIsQuietUnderIt has one workload crash for a while four times, each far enough
// from the last to be an incident of its own.
func TestWhatPeopleCallNoiseProposesItsSilenceAndIsQuietUnderIt(t *testing.T) {
	w := newWorld(t)
	cart, ads := w.app("cart", "cart:v1"), w.app("ads", "ads:v1")
	w.join("prod", 0, append(cart, ads...)...)
	mia, ken := people.Person{ID: "slack:mia", Name: "Mia"}, people.Person{ID: "slack:ken", Name: "Ken"}
	crash := func(app []*report.Resource, lasts time.Duration) *incident.Incident {
		t.Helper()
		w.ingest("prod", &report.ReportRequest{Upserts: w.crashed(app, 0)})
		w.pass(lasts)
		newest := w.incidents()[0]
		w.ingest("prod", &report.ReportRequest{Upserts: app})
		w.pass(3 * time.Hour)
		return newest
	}
	judge := func(i *incident.Incident, by people.Person, j incident.Judgement) *incident.Incident {
		t.Helper()
		out, err := w.e.Judge(t.Context(), i.ID, by, j)
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	noisy := func(i *incident.Incident) (incident.NoisyCause, bool) {
		t.Helper()
		r, loud, err := w.e.NoisyCause(t.Context(), i)
		if err != nil {
			t.Fatal(err)
		}
		return r, loud
	}
	w.pass(5 * time.Minute)
	var last *incident.Incident
	for n := range 3 {
		if n > 0 {
			if r, loud := noisy(last); loud {
				t.Fatalf("after %d votes it is noisy: %+v", n, r)
			}
		}
		last = judge(crash(cart, 20*time.Second), mia, incident.Noise)
	}
	right := judge(crash(ads, 20*time.Second), mia, incident.Right)
	if _, loud := noisy(right); loud {
		t.Error("one right cause is noisy")
	}
	r, loud := noisy(last)
	if !loud || r.Entity != last.Cause.Entity || r.Tally.Noise != 3 || r.Tally.Judged() != 3 || r.Stage != incident.StageAlert {
		t.Fatalf("three times noise: %v, %+v", loud, r)
	}
	tr, err := w.e.Track(t.Context(), "prod", night)
	if err != nil || tr.Incidents != 4 || tr.Judged != 4 || len(tr.Causes) != 1 || tr.Causes[0].Noise != 3 || tr.Causes[0].Right != 1 {
		t.Errorf("the track record: %+v, %v", tr, err)
	}
	// A second opinion: of one each the later counts.
	last = judge(last, ken, incident.Wrong)
	if got := last.Judged(); got.Judgement != incident.Wrong || got.By != ken.ID {
		t.Errorf("with Ken's vote: %+v", got)
	}
	if r, loud := noisy(last); loud {
		t.Errorf("with Ken's vote: %+v", r)
	}
	last = judge(last, ken, incident.Noise)
	m := silence.Matcher{Cluster: r.Cluster, Namespace: r.Namespace, Entity: r.Entity, Kind: r.Kind}
	if _, err := w.e.QuietCause(t.Context(), m, r.Stage, w.now.Add(7*24*time.Hour), mia, "", "en"); err != nil {
		t.Fatal(err)
	}
	if _, loud := noisy(last); loud {
		t.Error("what is silenced proposes its silence again")
	}
	if i := crash(cart, 20*time.Second); i.ID != "INC-5" || i.SilencedTill.IsZero() {
		t.Errorf("under the silence: %s quiet until %v", i.ID, i.SilencedTill)
	}
	if i := crash(ads, 20*time.Second); i.ID != "INC-6" || !i.SilencedTill.IsZero() {
		t.Errorf("another workload: %s quiet until %v", i.ID, i.SilencedTill)
	}
	w.restart()
	w.join("prod", 0, append(cart, ads...)...)
	w.pass(time.Minute)
	if i := crash(cart, 5*time.Minute); i.ID != "INC-7" || i.Stage != incident.StageIncident || !i.SilencedTill.IsZero() {
		t.Errorf("what becomes an Incident: %s, %s, quiet until %v", i.ID, i.Stage, i.SilencedTill)
	}
	if all := w.e.Silences(); len(all) != 1 || w.e.EndSilence(t.Context(), all[0].ID) != nil || len(w.e.Silences()) != 0 {
		t.Errorf("the silences: %+v", all)
	}
}
