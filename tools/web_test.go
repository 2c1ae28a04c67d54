package tools_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
)

// doors makes links that tell what they were made of.
type doors struct{ err error }

func (d doors) Link(_ context.Context, who people.Person, path, _ string) (string, time.Time, string, error) {
	return "https://page.example/enter?" + who.ID + path, time.Now().Add(5 * time.Minute), "", d.err
}

func TestALinkToThePageIsItsCallersAlone(t *testing.T) {
	f := newFixed(t, map[string][]*report.Resource{"prod": {node("worker-1")}})
	w, err := tools.WebTool(doors{})
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Add(w); err != nil {
		t.Fatal(err)
	}
	if err := f.Add(w); err == nil {
		t.Error("a second tool of the same name was taken")
	}
	mia := named("mia")
	for args, want := range map[string]string{
		`{}`:                      "slack:mia/",
		`{"id":"INC-7"}`:          "slack:mia/incident/INC-7",
		`{"id":"//evil.example"}`: "slack:mia/",
		`{"id":"../audit"}`:       "slack:mia/",
	} {
		res, err := f.call(t, mia, "web", args)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff([]tools.Link{{Label: "Open the page", URL: "https://page.example/enter?" + want}}, res.Links); d != "" || !res.Private {
			t.Errorf("%s: private %v\n%s", args, res.Private, d)
		}
	}
	mia.Incident = "INC-9"
	if res, err := f.call(t, mia, "web", `{}`); err != nil || res.Links[0].URL != "https://page.example/enter?slack:mia/incident/INC-9" {
		t.Errorf("in a thread: %+v, %v", res, err)
	}
	i := slices.IndexFunc(f.Tools(mia), func(s tools.Spec) bool { return s.Name == "web" })
	if i < 0 || !f.Tools(mia)[i].Private || f.Tools(mia)[i].Write {
		t.Error("its spec does not say that it is private")
	}
	if tool, _, ok, err := f.ParseLine("web INC-7"); tool != "web" || !ok || err != nil {
		t.Errorf("read as %q, %v, %v", tool, ok, err)
	}
	shut, err := tools.WebTool(doors{err: &tools.Problem{Sentence: "The page is not served."}})
	if err != nil {
		t.Fatal(err)
	}
	var problem *tools.Problem
	if _, err := shut.Call(t.Context(), mia, nil); !errors.As(err, &problem) {
		t.Errorf("without a page: %v", err)
	}
}
