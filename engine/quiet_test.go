package engine_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
)

func TestASilenceEndsWhenItGetsWorseAndSaysWhoseAndWhy(t *testing.T) {
	w := newWorld(t)
	app := w.app("cart", "cart:v1")
	w.join("prod", 0, app...)
	w.pass(time.Minute)
	w.ingest("prod", &report.ReportRequest{Upserts: w.crashed(app, 0)[:1]}) // one of three
	w.pass(20 * time.Second)
	is := w.incidents()
	if len(is) != 1 || is[0].Stage == incident.StageIncident {
		t.Fatalf("incidents are %+v", is)
	}
	mia := people.Person{ID: "slack:U1", Name: "Mia"}
	if err := w.e.Quiet(t.Context(), is[0], w.now.Add(3*time.Hour), mia, "", "ja"); err != nil {
		t.Fatal(err)
	}
	if s := w.e.Silences(); len(s) != 1 || s[0].Severity != is[0].Severity || s[0].By.ID != "slack:U1" {
		t.Errorf("silences are %+v", s)
	}
	w.restart()
	w.join("prod", 0, app...)
	w.ingest("prod", &report.ReportRequest{Upserts: w.crashed(app, 0)})
	w.pass(3 * time.Minute)
	ended := w.told(event.SilenceEnd)
	if len(ended) != 1 {
		t.Fatalf("told %+v", ended)
	}
	var got event.SilenceEnded
	if err := json.Unmarshal(ended[0].Data, &got); err != nil {
		t.Fatal(err)
	}
	if got.By != "Mia" || got.ID != "slack:U1" || got.Lang != "ja" || got.Why == "" {
		t.Errorf("told %+v", got)
	}
	i := w.incidents()[0]
	if !i.SilencedTill.IsZero() || ended[0].Incident != i.ID {
		t.Errorf("quiet until %v, told of %s", i.SilencedTill, ended[0].Incident)
	}
	var line []string
	for _, e := range i.Timeline {
		if e.Kind == "silenced" {
			line = append(line, e.Text)
		}
	}
	if d := cmp.Diff(ended[0].Note, line[len(line)-1]); d != "" || len(line) != 2 {
		t.Errorf("the timeline says %q\n%s", line, d)
	}
	w.pass(10 * time.Minute)
	if again := w.told(event.SilenceEnd); len(again) != 1 {
		t.Errorf("told %d times", len(again))
	}
}
