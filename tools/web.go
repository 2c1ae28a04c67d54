package tools

import (
	"context"
	"time"

	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Links makes links that open the page for one person, once. path is where it leads. note says what keeps it from
// working for everybody, "" for nothing. It returns a *Problem when no page is served. It is safe for concurrent use.
type Links interface {
	Link(ctx context.Context, who people.Person, path, lang string) (url string, till time.Time, note string, err error)
}

// WebTool gives the caller a link to the page. It is for the caller alone: never for a channel, never for a model.
func WebTool(l Links) (Tool, error) {
	type args struct {
		ID string `json:"id,omitempty" jsonschema:"incident whose page is opened; the thread's when left out"`
	}
	s := shape{name: "web", verb: "web", usage: "web [INCIDENT]", pos: []string{"id"}, private: true}
	return define(s, func(ctx context.Context, caller Caller, a args) (*Result, error) {
		path := "/"
		if a.ID == "" {
			a.ID = caller.Incident
		}
		if incidentID.MatchString(a.ID) {
			path = "/incident/" + a.ID
		}
		url, till, note, err := l.Link(ctx, caller.Person, path, caller.Lang)
		if err != nil {
			return nil, err
		}
		p := phrase.For(caller.Lang)
		res := &Result{
			Headline: p.Sprintf("Your link to the page. It works once, for %s, and is yours alone.", Age(time.Until(till).Round(time.Minute))),
			Links:    []Link{{Label: p.Sprintf("Open the page"), URL: url}}, Private: true,
		}
		if note != "" {
			res.Missing = []string{note}
		}
		return res, nil
	})
}
