package engine

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/engine/silence"
)

// Quiet keeps an incident's thread quiet until a time, for a reason that may be empty. It ends at once when the incident
// gets worse.
func (e *Engine) Quiet(ctx context.Context, i *incident.Incident, till time.Time, by people.Person, reason string) error {
	now := e.Now()
	if _, err := e.silences.Add(ctx, silence.Silence{Matcher: silence.Matcher{Cluster: i.Cluster, Incident: i.ID}, Stage: i.Stage, Till: till, By: by, Reason: reason}, now); err != nil {
		return err
	}
	return e.Incidents.Silence(ctx, i.ID, till, by.Name, reason, now)
}

// standing is the silence under which an incident opens.
func (e *Engine) standing(ctx context.Context, i *incident.Incident, now time.Time) (till time.Time, by, reason string) {
	s, silenced, err := e.silences.Matches(ctx, i, now)
	if err != nil {
		e.log.Error("silence not ended", "incident", i.ID, "err", err)
	}
	if !silenced {
		return time.Time{}, "", ""
	}
	return s.Till, s.By.Name, s.Reason
}

// keepQuiet ends the silence of incidents that outgrew it or outlast it, and makes quiet those that came under one since
// they opened.
func (e *Engine) keepQuiet(ctx context.Context, now time.Time) error {
	var errs []error
	for _, i := range e.Incidents.Open("") {
		s, silenced, err := e.silences.Matches(ctx, i, now)
		switch quiet := i.SilencedTill.After(now); {
		case err != nil:
		case quiet && !silenced:
			err = e.Incidents.Silence(ctx, i.ID, time.Time{}, "its getting worse", "", now)
		case !quiet && silenced:
			err = e.Incidents.Silence(ctx, i.ID, s.Till, s.By.Name, s.Reason, now)
		case !quiet && !i.SilencedTill.IsZero():
			err = e.Incidents.Silence(ctx, i.ID, time.Time{}, "", "", now)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("silence of %s: %w", i.ID, err))
		}
	}
	return errors.Join(errs...)
}
