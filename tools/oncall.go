package tools

import (
	"context"
	"strings"
	"time"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/rota"
	"github.com/bukahou/atlhyper/tools/phrase"
)

type onCallArgs struct {
	When string `json:"when,omitempty" jsonschema:"a time such as 2026-12-24 09:00, a day, tomorrow, or +8h; now when left out"`
}

func onCallTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "oncall", verb: "oncall", usage: "oncall [WHEN]", pos: []string{"when…"}}
	return define(s, func(_ context.Context, caller Caller, a onCallArgs) (*Result, error) {
		p, now := phrase.For(caller.Lang), e.Now()
		if e.Rota == nil {
			return nil, &Problem{Sentence: p.Sprintf("There is no rota, so nobody is known to be on call."), Remedy: p.Sprintf("Add rota to the file that ATLHYPER_ROUTES names.")}
		}
		at, err := moment(a.When, now, e.Rota.Zone)
		if err != nil {
			return nil, &Problem{Sentence: p.Sprintf("%q is no time.", a.When), Remedy: p.Sprintf("Write 2026-12-24 09:00, 2026-12-24, tomorrow or +8h.")}
		}
		return onCall(p, e.Rota, at, now), nil
	})
}

// moment reads when is meant.
func moment(text string, now time.Time, zone *time.Location) (time.Time, error) {
	text = strings.TrimSpace(text)
	switch strings.ToLower(text) {
	case "", "now":
		return now, nil
	case "tomorrow":
		return now.In(zone).AddDate(0, 0, 1), nil
	}
	if ahead, ok := strings.CutPrefix(text, "+"); ok {
		d, err := duration(ahead, 0)
		return now.Add(d), err
	}
	return rota.Moment(text, zone)
}

// clockIn is a time as the rota's people read it.
func clockIn(t time.Time, zone *time.Location) string {
	return t.In(zone).Format("Mon 2006-01-02 15:04 MST")
}

// onCall tells who is on call at a time and who follows.
func onCall(p *message.Printer, r *rota.Rota, at, now time.Time) *Result {
	d, on := r.At(at)
	change, changes := r.Change(at)
	res := &Result{Observed: now, Data: d}
	who := p.Sprintf("Nobody")
	if on {
		who = d.Person.Name
	}
	switch {
	case !at.Equal(now) && changes:
		res.Headline = p.Sprintf("%s is on call at %s, until %s.", who, clockIn(at, r.Zone), clockIn(change, r.Zone))
	case !at.Equal(now):
		res.Headline = p.Sprintf("%s is on call at %s.", who, clockIn(at, r.Zone))
	case changes:
		res.Headline = p.Sprintf("%s is on call, until %s.", who, clockIn(change, r.Zone))
	default:
		res.Headline = p.Sprintf("%s is on call.", who)
	}
	if on {
		why := d.Shift
		if d.Override {
			why = p.Sprintf("stands in")
		}
		res.Facts = append(res.Facts, Fact{Label: p.Sprintf("Shift"), Value: why})
		for _, id := range d.Person.IDs {
			res.Facts = append(res.Facts, Fact{Label: p.Sprintf("Reached by"), Value: id})
		}
	}
	t := Table{Heading: p.Sprintf("Next"), Columns: []string{"FROM", "WHO", "SHIFT"}}
	for range 5 {
		if !changes {
			break
		}
		next, on := r.At(change)
		name, shift := p.Sprintf("Nobody"), ""
		if on {
			name, shift = next.Person.Name, next.Shift
		}
		if next.Override {
			shift = p.Sprintf("stands in")
		}
		t.Rows = append(t.Rows, []string{clockIn(change, r.Zone), name, shift})
		change, changes = r.Change(change)
	}
	if len(t.Rows) > 0 {
		res.Tables = []Table{t}
	}
	return res
}
