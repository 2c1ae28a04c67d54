package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/silence"
)

// Quiet keeps an incident's thread quiet until a time, for a reason that may be empty. It ends at once when the incident
// gets worse, and by is told so in lang.
func (e *Engine) Quiet(ctx context.Context, i *incident.Incident, till time.Time, by people.Person, reason, lang string) error {
	now := e.Now()
	if _, err := e.silences.Add(ctx, silence.Silence{
		Matcher: silence.Matcher{Cluster: i.Cluster, Incident: i.ID}, Stage: i.Stage, Severity: i.Severity, Risk: i.Risk, Till: till, By: by, Lang: lang, Reason: reason,
	}, now); err != nil {
		return err
	}
	return e.Incidents.Silence(ctx, i.ID, till, by.Name, reason, now)
}

// standing is the silence under which an incident opens.
func (e *Engine) standing(ctx context.Context, i *incident.Incident, now time.Time) (till time.Time, by, reason string) {
	m, err := e.silences.Matches(ctx, i, now)
	if err != nil {
		e.log.Error("silence not ended", "incident", i.ID, "err", err)
	}
	if !m.Silenced {
		return time.Time{}, "", ""
	}
	return m.Silence.Till, m.Silence.By.Name, m.Silence.Reason
}

// keepQuiet ends the silence of incidents that outgrew it or outlast it, and makes quiet those that came under one since
// they opened.
func (e *Engine) keepQuiet(ctx context.Context, now time.Time) error {
	var errs []error
	for _, i := range e.Incidents.Open("") {
		m, err := e.silences.Matches(ctx, i, now)
		switch quiet := i.SilencedTill.After(now); {
		case err != nil:
		case quiet && m.Ended != nil:
			told, ended := outgrown(i, *m.Ended, m.Why)
			err = e.Incidents.Wake(ctx, i.ID, told, ended, now)
		case !quiet && m.Silenced:
			err = e.Incidents.Silence(ctx, i.ID, m.Silence.Till, m.Silence.By.Name, m.Silence.Reason, now)
		case quiet && !m.Silenced, !quiet && !i.SilencedTill.IsZero(): // its time is up, or somebody ended it
			err = e.Incidents.Silence(ctx, i.ID, time.Time{}, "", "", now)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("silence of %s: %w", i.ID, err))
		}
	}
	return errors.Join(errs...)
}

// outgrown says how an incident outgrew a silence, in English and in parts.
func outgrown(i *incident.Incident, s silence.Silence, why silence.Why) (string, event.SilenceEnded) {
	e := event.SilenceEnded{By: s.By.Name, ID: s.By.ID, Lang: s.Lang, Why: string(why)}
	text := "the silence of " + s.By.Name + " ended early: "
	switch why {
	case silence.ByStage:
		return text + "it is an Incident now", e
	case silence.BySeverity:
		e.From, e.To = string(s.Severity), string(i.Severity)
		return text + "its severity rose from " + e.From + " to " + e.To, e
	case silence.ByRisk:
		e.From, e.To = fmt.Sprintf("%.2f", s.Risk), fmt.Sprintf("%.2f", i.Risk)
		return text + "its risk rose from " + e.From + " to " + e.To, e
	}
	return text + "it got worse", e
}
