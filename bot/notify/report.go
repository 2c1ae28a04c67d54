package notify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// longest is how far back a report goes: after months without a run nobody reads them all.
const longest = 31 * 24 * time.Hour

// section is one part of a report: a tool's answer.
type section struct {
	tool string
	args string // JSON
}

// compose makes a report of what the tools answer, as anybody could ask them.
func (n *Notifier) compose(ctx context.Context, s Schedule, at time.Time, lang string) (message.Message, error) {
	p := phrase.For(lang)
	span := at.Sub(previous(s, at)).Round(time.Minute)
	minutes := max(int(span.Minutes()), 1)
	back := fmt.Sprintf(`{"since":"%dm"}`, minutes)
	day := at.In(s.Zone).Format("2006-01-02 15:04 MST")
	var m message.Message
	var parts []section
	switch s.Send {
	case Objectives:
		m.Title = p.Sprintf("Objectives · %s", day)
		parts = []section{{"slo", ""}, {"incident_stats", back}}
	default:
		m.Title = p.Sprintf("Digest · %s", day)
		if s.Send == HandOver {
			m.Title = n.handOverTitle(lang, at) + " · " + day
		}
		parts = []section{
			{"incidents", ""}, {"pending", ""}, {"silences", ""}, {"incidents", fmt.Sprintf(`{"all":true,"since":"%dm"}`, minutes)}, {"incident_stats", back}, {"slo", ""},
		}
		if n.cfg.Plan.Rota != nil {
			parts = append(parts, section{"oncall", ""})
		}
	}
	m.Context = p.Sprintf("the last %s", tools.Age(span))
	said := ""
	for _, part := range parts {
		caller := tools.Caller{Person: people.Person{ID: "schedule:" + s.Name, Given: people.Viewer}, Lang: lang, Place: "schedule/" + s.Name}
		res, err := n.cfg.Tools.Call(ctx, caller, part.tool, json.RawMessage(part.args))
		var problem *tools.Problem
		switch {
		case errors.As(err, &problem): // a report tells what could not be looked at
			m.Blocks = append(m.Blocks, message.Paragraph{Text: problem.Sentence})
			continue
		case err != nil && ctx.Err() == nil: // the rest is worth telling; the registry has logged what broke
			m.Blocks = append(m.Blocks, message.Paragraph{Text: p.Sprintf("Something broke on my side; it is in the log.")})
			continue
		case err != nil:
			return m, err
		}
		res.Options, res.Next = nil, nil // buttons of yesterday help nobody
		one, err := card.Result(res, n.cfg.Now(), lang, nil)
		if err != nil {
			return m, err
		}
		if one.Title != said { // statistics count what the list before them shows
			m.Blocks = append(m.Blocks, message.Paragraph{Heading: strings.TrimRight(one.Title, ".。")})
		}
		said = one.Title
		m.Blocks = append(m.Blocks, one.Blocks...)
	}
	return m, nil
}

// previous is the tick before one, whether anything ran then or not: a digest of a day is one of a day.
func previous(s Schedule, at time.Time) time.Time {
	for back := 2 * time.Hour; back < longest; back *= 2 {
		if first := s.when.Next(at.Add(-back)); !first.IsZero() && first.Before(at) {
			last := first
			for next := s.when.Next(last); next.Before(at); next = s.when.Next(next) {
				last = next
			}
			return last
		}
	}
	return at.Add(-longest)
}

func (n *Notifier) handOverTitle(lang string, at time.Time) string {
	p := phrase.For(lang)
	now, _ := n.cfg.Plan.Rota.At(at)
	if was, ok := n.cfg.Plan.Rota.At(at.Add(-time.Second)); ok && was.Person.Name != now.Person.Name {
		return p.Sprintf("%s takes over from %s", now.Person.Name, was.Person.Name)
	}
	return p.Sprintf("%s is on call now", now.Person.Name)
}
