package engine

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/agent/report"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/fleet"
)

// What may be degraded, beside the telemetry sources.
const (
	reading = "reading of the API server"
	kindOf  = "kind " // and the kind that may not be listed
)

// someOf names a few things and counts the rest.
func someOf(names []string) string {
	const shown = 4
	if len(names) <= shown+1 {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more kinds", strings.Join(names[:shown], ", "), len(names)-shown)
}

// watchAgent tells an agent's silence, its return, a clock that is off and kinds that cannot be read, each once.
func (e *Engine) watchAgent(ctx context.Context, now time.Time, c *fleet.Cluster, v *view) error {
	st := c.Status()
	var events []event.Event
	tell := func(t event.Type, note string, args ...any) {
		events = append(events, event.Event{At: now, Type: t, Cluster: c.ID(), Note: fmt.Sprintf(note, args...)})
	}
	silent := now.Sub(st.LastSeen) > e.cfg.SilentAfter
	if silent != st.Silent {
		if silent {
			tell(event.ClusterSilent, "The agent of %s is silent since %s: its state is unknown, and nothing there is opened or closed meanwhile.", c.ID(), st.LastSeen.UTC().Format("15:04:05 MST"))
		} else {
			tell(event.ClusterBack, "The agent of %s speaks again.", c.ID())
		}
	}
	degraded := map[string]string{}
	if skew := st.Skew.Abs(); skew > e.cfg.SkewLimit {
		degraded["clock"] = fmt.Sprintf("The clock of %s is off by %s; the engine's clock counts.", c.ID(), skew.Round(time.Second))
	}
	for _, src := range c.Sources() { // one that never gave anything is a choice, and is said in the answers
		switch what := "telemetry source " + src.GetSource(); {
		case src.GetAvailable():
			v.sourced[what] = true
		case v.sourced[what]:
			degraded[what] = fmt.Sprintf("The telemetry source %s of %s gives nothing any more: %s.", src.GetSource(), c.ID(), strings.TrimSuffix(src.GetMessage(), "."))
		}
	}
	var forbidden, failing []string
	var reason string
	for _, k := range c.Kinds() {
		switch k.GetState() {
		case report.KindStatus_STATE_FORBIDDEN:
			forbidden = append(forbidden, k.GetKind())
		case report.KindStatus_STATE_FAILING:
			failing = append(failing, k.GetKind())
			reason = k.GetMessage()
		}
	}
	// An API server that is away fails every kind within seconds: that is one message, once it lasted, and one at its end.
	switch {
	case len(failing) == 0:
		v.failing = time.Time{}
	case v.failing.IsZero():
		v.failing = now
	}
	if len(failing) > 0 && (v.degraded[reading] || now.Sub(v.failing) >= e.cfg.SilentAfter/9) {
		degraded[reading] = fmt.Sprintf("The agent of %s cannot read %s: %s.", c.ID(), someOf(failing), strings.TrimSuffix(reason, "."))
	}

	e.mu.RLock()
	for _, what := range slices.Sorted(maps.Keys(degraded)) {
		if !v.degraded[what] {
			tell(event.ClusterDegraded, "%s", degraded[what])
		}
	}
	var news, allowed []string
	for _, kind := range forbidden {
		degraded[kindOf+kind] = kind
		if !v.degraded[kindOf+kind] {
			news = append(news, kind)
		}
	}
	for _, what := range slices.Sorted(maps.Keys(v.degraded)) {
		switch kind, isKind := strings.CutPrefix(what, kindOf); {
		case degraded[what] != "":
		case isKind && !slices.Contains(failing, kind):
			allowed = append(allowed, kind)
		case !isKind:
			tell(event.ClusterRecovered, "The %s of %s is well again.", what, c.ID())
		}
	}
	e.mu.RUnlock()
	if len(news) > 0 {
		tell(event.ClusterDegraded, "The agent of %s may not list %s: that is not watched. Everything else is.", c.ID(), someOf(news))
	}
	if len(allowed) > 0 {
		tell(event.ClusterRecovered, "The agent of %s reads %s again.", c.ID(), someOf(allowed))
	}
	if len(events) == 0 {
		return nil
	}
	// Stored first: what could not be told now is told at the next evaluation.
	if err := e.cfg.Store.AppendEvents(ctx, events...); err != nil {
		return fmt.Errorf("tell the state of %s: %w", c.ID(), err)
	}
	c.SetStatus(func(s *fleet.Status) { s.Silent = silent })
	e.mu.Lock()
	defer e.mu.Unlock()
	v.degraded = map[string]bool{}
	for what := range degraded {
		v.degraded[what] = true
	}
	return nil
}
