package silence_test

import (
	"context"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/engine/entity"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/silence"
)

type memory map[string]silence.Silence

func (m memory) Silences(context.Context) ([]silence.Silence, error) {
	return slices.Collect(maps.Values(m)), nil
}

func (m memory) PutSilence(_ context.Context, s silence.Silence) error {
	s.Broken = slices.Clone(s.Broken)
	m[s.ID] = s
	return nil
}

func (m memory) DeleteSilence(_ context.Context, id string) error { delete(m, id); return nil }

var (
	now      = time.Date(2026, 11, 5, 3, 0, 0, 0, time.UTC)
	payments = entity.Ref{Cluster: "prod-eu", Kind: entity.Deployment, Namespace: "shop", Name: "payments"}
	checkout = entity.Ref{Cluster: "prod-eu", Kind: entity.Service, Namespace: "shop", Name: "checkout"}
)

func failing(stage incident.Stage) *incident.Incident {
	return &incident.Incident{
		ID: "INC-1", Cluster: "prod-eu", Stage: stage, Cause: incident.Cause{Entity: payments},
		Entities: []incident.Affected{{Entity: checkout}},
	}
}

func TestMatcher(t *testing.T) {
	elsewhere := payments
	elsewhere.Cluster = "prod-us"
	for name, c := range map[string]struct {
		m    silence.Matcher
		want bool
	}{
		"the cluster":                       {silence.Matcher{Cluster: "prod-eu"}, true},
		"another cluster":                   {silence.Matcher{Cluster: "prod-us"}, false},
		"the incident":                      {silence.Matcher{Cluster: "prod-eu", Incident: "INC-1"}, true},
		"another incident":                  {silence.Matcher{Cluster: "prod-eu", Incident: "INC-2"}, false},
		"the root cause":                    {silence.Matcher{Cluster: "prod-eu", Entity: payments}, true},
		"an affected entity":                {silence.Matcher{Cluster: "prod-eu", Entity: checkout}, true},
		"the same name in another cluster":  {silence.Matcher{Cluster: "prod-us", Entity: elsewhere}, false},
		"the incident and a foreign entity": {silence.Matcher{Cluster: "prod-eu", Incident: "INC-1", Entity: elsewhere}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := c.m.Matches(failing(incident.StageAlert)); got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestASilenceEndsAtOnceWhenItGetsWorseAndDoesNotComeBack(t *testing.T) {
	store := memory{}
	d, err := silence.New(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Add(t.Context(), silence.Silence{Matcher: silence.Matcher{Cluster: "prod-eu"}, Stage: incident.StageWarning, Till: now.Add(3 * time.Hour)}, now); err != nil {
		t.Fatal(err)
	}
	quiet := func(d *silence.Desk, inc *incident.Incident, at time.Time) bool {
		t.Helper()
		m, err := d.Matches(t.Context(), inc, at)
		if err != nil {
			t.Fatal(err)
		}
		return m.Silenced
	}
	if !quiet(d, failing(incident.StageWarning), now) {
		t.Error("told during the silence")
	}
	if quiet(d, failing(incident.StageIncident), now) {
		t.Error("an incident was kept quiet")
	}
	if quiet(d, failing(incident.StageWarning), now) {
		t.Error("the silence came back when the incident eased")
	}
	other := failing(incident.StageWarning)
	other.ID = "INC-2"
	if !quiet(d, other, now) {
		t.Error("the silence ended for an incident that did not get worse")
	}
	again, err := silence.New(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	if quiet(again, failing(incident.StageWarning), now) || !quiet(again, other, now) {
		t.Error("a restart forgot what had got worse")
	}
	if quiet(d, other, now.Add(3*time.Hour)) {
		t.Error("it holds beyond its end")
	}
}

func TestASilenceMadeAtAnIncidentHoldsThroughIt(t *testing.T) {
	d, err := silence.New(t.Context(), memory{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := d.Add(t.Context(), silence.Silence{
		Matcher: silence.Matcher{Cluster: "prod-eu", Incident: "INC-1"},
		Stage:   incident.StageIncident, Till: now.Add(time.Hour),
	}, now); err != nil {
		t.Fatal(err)
	}
	if m, err := d.Matches(t.Context(), failing(incident.StageIncident), now); err != nil || !m.Silenced {
		t.Errorf("told during the silence: %v", err)
	}
}

func TestAddRefusesWhatHasNoEndOrNoPlace(t *testing.T) {
	d, err := silence.New(t.Context(), memory{})
	if err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]silence.Silence{
		"no cluster":                   {Till: now.Add(time.Hour)},
		"no end":                       {Matcher: silence.Matcher{Cluster: "prod-eu"}},
		"an end in the past":           {Matcher: silence.Matcher{Cluster: "prod-eu"}, Till: now.Add(-time.Second)},
		"an end a year away":           {Matcher: silence.Matcher{Cluster: "prod-eu"}, Till: now.AddDate(1, 0, 0)},
		"an entity of another cluster": {Matcher: silence.Matcher{Cluster: "prod-us", Entity: payments}, Till: now.Add(time.Hour)},
	} {
		if _, err := d.Add(t.Context(), s, now); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
}

func TestEndAndPrune(t *testing.T) {
	store := memory{}
	d, err := silence.New(t.Context(), store)
	if err != nil {
		t.Fatal(err)
	}
	var ids []string
	for i := range 3 {
		s, err := d.Add(t.Context(), silence.Silence{Matcher: silence.Matcher{Cluster: "prod-eu"}, Till: now.Add(time.Duration(3-i) * time.Hour)}, now)
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, s.ID)
	}
	if l := d.List(now); len(l) != 3 || l[0].ID != ids[2] {
		t.Errorf("listed %v", l)
	}
	if err := d.End(t.Context(), ids[0]); err != nil {
		t.Fatal(err)
	}
	if err := d.End(t.Context(), ids[0]); !errors.Is(err, silence.ErrNotFound) {
		t.Errorf("ended twice: %v", err)
	}
	if err := d.Prune(t.Context(), now.Add(90*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if len(store) != 1 || len(d.List(now)) != 1 {
		t.Errorf("kept %v", store)
	}
}

func TestWhatOutgrowsASilence(t *testing.T) {
	asked := silence.Silence{Stage: incident.StageIncident, Severity: incident.SeverityMedium, Risk: 0.45}
	for name, c := range map[string]struct {
		silence silence.Silence
		now     incident.Incident
		want    silence.Why
	}{
		"nothing new":                          {asked, incident.Incident{Stage: incident.StageIncident, Severity: incident.SeverityMedium, Risk: 0.5}, ""},
		"it eases":                             {asked, incident.Incident{Stage: incident.StageRecovering, Severity: incident.SeverityMedium, Risk: 0.1}, ""},
		"a higher severity":                    {asked, incident.Incident{Stage: incident.StageIncident, Severity: incident.SeverityHigh, Risk: 0.6}, silence.BySeverity},
		"a risk just below a step":             {asked, incident.Incident{Stage: incident.StageIncident, Severity: incident.SeverityMedium, Risk: 0.64}, ""},
		"the stage comes before the rest":      {silence.Silence{Stage: incident.StageWarning, Severity: incident.SeverityMedium, Risk: 0.45}, incident.Incident{Stage: incident.StageIncident, Severity: incident.SeverityHigh, Risk: 0.7}, silence.ByStage},
		"it comes back after it had eased":     {silence.Silence{Stage: incident.StageIncident, Severity: incident.SeverityCritical, Risk: 0.1}, incident.Incident{Stage: incident.StageIncident, Severity: incident.SeverityCritical, Risk: 0.5}, silence.ByRisk},
		"one that was asked for by stage only": {silence.Silence{Stage: incident.StageIncident}, incident.Incident{Stage: incident.StageIncident, Severity: incident.SeverityCritical, Risk: 1}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			if why, worse := c.silence.Worse(&c.now); why != c.want || worse != (c.want != "") {
				t.Errorf("%q, %v", why, worse)
			}
		})
	}
}

func TestWhatEndedIsToldUntilAnotherHolds(t *testing.T) {
	d, err := silence.New(t.Context(), memory{})
	if err != nil {
		t.Fatal(err)
	}
	add := func(by string, severity incident.Severity) {
		t.Helper()
		if _, err := d.Add(t.Context(), silence.Silence{
			Matcher: silence.Matcher{Cluster: "prod-eu", Incident: "INC-1"}, Stage: incident.StageIncident, Severity: severity, Risk: 0.45,
			Till: now.Add(time.Hour), By: people.Person{Name: by},
		}, now); err != nil {
			t.Fatal(err)
		}
	}
	add("Mia", incident.SeverityMedium)
	worse := failing(incident.StageIncident)
	worse.Severity, worse.Risk = incident.SeverityHigh, 0.61
	for range 2 { // also when the first could not be passed on
		m, err := d.Matches(t.Context(), worse, now)
		if err != nil || m.Silenced || m.Ended == nil || m.Ended.By.Name != "Mia" || m.Why != silence.BySeverity {
			t.Errorf("%+v, %v", m, err)
		}
	}
	add("Ken", incident.SeverityHigh)
	if m, err := d.Matches(t.Context(), worse, now); err != nil || !m.Silenced || m.Silence.By.Name != "Ken" || m.Ended != nil {
		t.Errorf("%+v, %v", m, err)
	}
}
