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

// Quiet keeps an incident's thread quiet until a time. It ends at once when the incident gets worse.
func (e *Engine) Quiet(ctx context.Context, i *incident.Incident, till time.Time, by people.Person) error {
	now := e.Now()
	if _, err := e.silences.Add(ctx, silence.Silence{Matcher: silence.Matcher{Cluster: i.Cluster, Incident: i.ID}, Stage: i.Stage, Till: till, By: by}, now); err != nil {
		return err
	}
	return e.Incidents.Silence(ctx, i.ID, till, by.Name, now)
}

// wakeSilenced ends the silence of incidents that outgrew it.
func (e *Engine) wakeSilenced(ctx context.Context, now time.Time) error {
	var errs []error
	for _, i := range e.Incidents.Open("") {
		if !i.SilencedTill.After(now) {
			continue
		}
		_, silenced, err := e.silences.Matches(ctx, i, now)
		if err == nil && !silenced {
			err = e.Incidents.Silence(ctx, i.ID, time.Time{}, "its getting worse", now)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("end the silence of %s: %w", i.ID, err))
		}
	}
	return errors.Join(errs...)
}

// Silences lists the silences that hold now, the one that ends first first.
func (e *Engine) Silences() []silence.Silence { return e.silences.List(e.Now()) }
