package detect

import (
	"fmt"

	"github.com/robfig/cron/v3"

	"github.com/bukahou/atlhyper/engine/entity"
)

// jobs finds Jobs that gave up. One that a CronJob made lands on the CronJob, until a later run succeeds.
func (p *pass) jobs() {
	for _, r := range p.c.List(entity.Job, "") {
		c := condition(r.GetJob().GetConditions(), "Failed")
		if c.GetStatus() != "True" || r.GetDeleting() != nil {
			continue
		}
		ref := p.c.Workload(r)
		at := p.dated(p.c.Ref(r), "JobFailed", p.at(c.GetLastTransition()))
		if p.now.Sub(at) > p.t.BatchWindow {
			continue
		}
		if owner := p.c.Find(ref); owner.GetCronJob() != nil && p.at(owner.GetCronJob().GetLastSuccess()).After(at) {
			continue
		}
		kind := c.GetReason()
		if kind == "" {
			kind = "BackoffLimitExceeded"
		}
		text := fmt.Sprintf("job/%s gave up after %s", r.GetName(), plural(int(r.GetJob().GetFailed()), "failed pod", "failed pods"))
		if kind != "BackoffLimitExceeded" {
			text = "job/" + r.GetName() + " failed: " + line(c.GetMessage())
		}
		p.raise(Fact{Entity: ref, Kind: kind, Score: 0.70, Text: text, Source: p.c.Ref(r), Since: at, Seen: at})
	}
}

// cronJobs finds CronJobs whose time has come and gone. One whose last run still goes on may be waiting for it.
func (p *pass) cronJobs() {
	for _, r := range p.c.List(entity.CronJob, "") {
		cj := r.GetCronJob()
		if cj.GetSuspend() || cj.GetActive() > 0 || r.GetDeleting() != nil {
			continue
		}
		last := p.at(cj.GetLastSchedule())
		if last.IsZero() {
			last = p.at(r.GetCreated())
		}
		schedule := p.schedule(cj.GetTimeZone(), cj.GetSchedule())
		if schedule == nil || last.IsZero() {
			continue
		}
		due := schedule.Next(last.UTC())
		if due.IsZero() || p.now.Sub(due) < p.t.ScheduleSlack {
			continue
		}
		p.raise(Fact{
			Entity: p.c.Ref(r), Kind: "MissedSchedule", Score: 0.70, Since: p.dated(p.c.Ref(r), "MissedSchedule", due),
			Text: fmt.Sprintf("it should have run at %s (%s ago) by its schedule %q", due.UTC().Format("15:04 MST"), short(p.now.Sub(due)), cj.GetSchedule()),
		})
	}
}

// schedule parses an expression as the CronJob controller does; nil when it does not parse, which the API server would
// not have let in.
func (p *pass) schedule(zone, expr string) cron.Schedule {
	if zone != "" {
		expr = "CRON_TZ=" + zone + " " + expr
	}
	s, ok := p.s.schedules[expr]
	if !ok {
		s, _ = parseSchedule(expr)
		p.s.schedules[expr] = s
	}
	return s
}

// parseSchedule keeps a panic of the parser, which a malformed zone can cause, from stopping the engine.
func parseSchedule(expr string) (s cron.Schedule, err error) {
	defer func() {
		if r := recover(); r != nil {
			s, err = nil, fmt.Errorf("parse schedule %q: %v", expr, r)
		}
	}()
	return cron.ParseStandard(expr)
}
