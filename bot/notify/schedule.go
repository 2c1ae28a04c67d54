package notify

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/rota"
)

// The reports.
const (
	Digest     = "digest"   // what happened, what is open, how budgets stand
	HandOver   = "handover" // the same, from who was on call to who is
	Objectives = "slo"      // every objective with its budget
)

// Schedule is a report that comes by itself.
type Schedule struct {
	Name string
	Send string // one of the reports
	Zone *time.Location
	To   []string
	Lang string // "" for the default
	when interface{ Next(time.Time) time.Time }
}

// handOver is due whenever somebody else takes over.
type handOver struct{ rota *rota.Rota }

// Next implements cron.Schedule; the zero time when nobody takes over in sight. A shift that nobody follows hands over to
// nobody.
func (h handOver) Next(t time.Time) time.Time {
	for at, ok := h.rota.Change(t); ok; at, ok = h.rota.Change(at) {
		if _, on := h.rota.At(at); on {
			return at
		}
	}
	return time.Time{}
}

// due gives the newest time at which s was due after last and not after now; ok is false when it was not due. Of several
// that were missed only the newest counts.
func (s Schedule) due(last, now time.Time) (at time.Time, ok bool) {
	for next := s.when.Next(last); !next.IsZero() && !next.After(now); next = s.when.Next(next) {
		at, ok = next, true
	}
	return at, ok
}

// keepTime makes the reports when they are due.
func (n *Notifier) keepTime(ctx context.Context) error {
	last := map[string]time.Time{}
	for _, s := range n.cfg.Plan.Schedules {
		at, err := n.cfg.Store.LastRun(ctx, s.Name)
		if err == nil && at.IsZero() { // it begins now: what would have been due before it stood in the file was not missed
			at = n.cfg.Now()
			err = n.cfg.Store.PutRun(ctx, s.Name, at)
		}
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("read when %s last ran: %w", s.Name, err)
		}
		last[s.Name] = at
	}
	again := map[string]time.Time{} // when to try anew what could not be made
	for n.pause(ctx) {
		now := n.cfg.Now()
		for _, s := range n.cfg.Plan.Schedules {
			at, ok := s.due(last[s.Name], now)
			if !ok || time.Now().Before(again[s.Name]) {
				continue
			}
			if err := n.report(ctx, s, at); err != nil {
				if ctx.Err() == nil {
					n.log.Error("report not made", "schedule", s.Name, "err", err)
				}
				again[s.Name] = time.Now().Add(time.Minute)
				continue
			}
			last[s.Name] = at
		}
	}
	return nil
}

// report makes one report and puts it on its way to all its targets, once whatever dies in between.
func (n *Notifier) report(ctx context.Context, s Schedule, at time.Time) error {
	var out []bot.Outgoing
	var errs []error
	what := fmt.Sprintf("schedule/%s/%d", s.Name, at.Unix())
	made := map[string]*message.Message{} // by language
	in := func(lang string) *message.Message {
		if made[lang] == nil {
			m, err := n.compose(ctx, s, at, lang)
			errs = append(errs, err)
			made[lang] = &m
		}
		return made[lang]
	}
	lang := func(t Target) string {
		if s.Lang != "" {
			return s.Lang
		}
		return n.lang(t)
	}
	add := func(o []bot.Outgoing, err error) { out, errs = append(out, o...), append(errs, err) }
	var person *rota.Person
	if n.cfg.Plan.Rota != nil && slices.Contains(s.To, OnCall) {
		if d, ok := n.cfg.Plan.Rota.At(at); ok {
			person = &d.Person
		}
	}
	for _, to := range s.To {
		e := envelope{Target: to, Kind: s.Send, At: at}
		switch {
		case to == Chat:
			for _, place := range n.cfg.Chat {
				m := *in(lang(Target{}))
				if person != nil {
					m.Mention = idsOn(*person, place.Surface)
				}
				o, err := bot.Finished(what+"@"+place.Surface+"/"+place.Channel, place, "", m)
				add([]bot.Outgoing{o}, err)
			}
		case to == OnCall && person == nil:
		case to == OnCall:
			e.Message = in(lang(Target{}))
			add(n.mailed(what, e, *person))
			if !slices.Contains(s.To, Chat) { // else the report in the chat mentions them
				add(n.mention(what, "", *person, *e.Message))
			}
		default:
			t, _ := n.cfg.Plan.find(to)
			e.Message = in(lang(t))
			add(n.addressed(what, e))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return err
	}
	return n.cfg.Store.PutRun(ctx, s.Name, at, out...)
}
