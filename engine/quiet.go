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

// Quiet keeps an incident's thread quiet until a time. It ends at once when the incident gets worse, and by is told so in
// lang.
func (e *Engine) Quiet(ctx context.Context, i *incident.Incident, till time.Time, by people.Person, lang string) error {
	now := e.Now()
	if _, err := e.silences.Add(ctx, silence.Silence{
		Matcher: silence.Matcher{Cluster: i.Cluster, Incident: i.ID}, Stage: i.Stage, Severity: i.Severity, Risk: i.Risk, Till: till, By: by, Lang: lang,
	}, now); err != nil {
		return err
	}
	return e.Incidents.Silence(ctx, i.ID, till, by.Name, now)
}

// Silences lists the silences that hold now, the one that ends first first.
func (e *Engine) Silences() []silence.Silence { return e.silences.List(e.Now()) }

// wakeSilenced ends the silence of incidents that outgrew it.
func (e *Engine) wakeSilenced(ctx context.Context, now time.Time) error {
	var errs []error
	for _, i := range e.Incidents.Open("") {
		if !i.SilencedTill.After(now) {
			continue
		}
		m, err := e.silences.Matches(ctx, i, now)
		if err == nil && m.Ended != nil {
			told, ended := outgrown(i, *m.Ended, m.Why)
			err = e.Incidents.Wake(ctx, i.ID, told, ended, now)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("end the silence of %s: %w", i.ID, err))
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
