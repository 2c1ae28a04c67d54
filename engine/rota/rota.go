// Package rota knows who is on call: people, the shifts in which they take turns, and who stands in for whom. All its
// bounds are moments of a time zone's own calendar, so a turn that ends at 09:00 ends at 09:00 on both sides of a change
// of the clocks.
package rota

import (
	"slices"
	"time"
)

// Person is somebody who can be on call.
type Person struct {
	Name string
	IDs  []string // in chats: "slack:U123", "discord:77"
	Mail string   `json:"-"` // "" for none; an address is not for every answer
}

// Hours are times of the week in a time zone.
type Hours struct {
	Days     [7]bool // by time.Weekday: the days on which they begin
	From, To int     // minutes of the day; To is on the next day when it is not after From
	Zone     *time.Location
}

// day is midnight of a moment's day in a zone, shifted by whole days.
func day(t time.Time, zone *time.Location, shift int) time.Time {
	y, m, d := t.In(zone).Date()
	return time.Date(y, m, d+shift, 0, 0, 0, 0, zone)
}

// on gives the hours that begin on a day; ok is false when none do.
func (h Hours) on(midnight time.Time) (from, to time.Time, ok bool) {
	y, m, d := midnight.Date()
	next := d
	if h.To <= h.From {
		next++
	}
	return time.Date(y, m, d, 0, h.From, 0, 0, h.Zone), time.Date(y, m, next, 0, h.To, 0, 0, h.Zone), h.Days[midnight.Weekday()]
}

// Hold says whether a moment lies in them.
func (h Hours) Hold(t time.Time) bool {
	for _, shift := range []int{-1, 0} { // those of yesterday may reach into today
		if from, to, ok := h.on(day(t, h.Zone, shift)); ok && !t.Before(from) && t.Before(to) {
			return true
		}
	}
	return false
}

// Shift is a duty that people take in turns.
type Shift struct {
	Name   string
	Zone   *time.Location
	Start  time.Time // midnight of the day on which the first turn begins
	At     int       // minute of the day at which turns change
	Turn   int       // days
	People []Person
	Hours  *Hours // nil: always
}

// bound is when turn k begins.
func (s Shift) bound(k int) time.Time {
	y, m, d := s.Start.Date()
	return time.Date(y, m, d+k*s.Turn, 0, s.At, 0, 0, s.Zone)
}

// turn is which turn holds at a moment, negative before the first.
func (s Shift) turn(t time.Time) int {
	k := int(t.Sub(s.bound(0)).Hours()/24) / s.Turn
	for s.bound(k).After(t) {
		k--
	}
	for !s.bound(k + 1).After(t) {
		k++
	}
	return k
}

func (s Shift) at(t time.Time) (Person, bool) {
	k := s.turn(t)
	if k < 0 || s.Hours != nil && !s.Hours.Hold(t) {
		return Person{}, false
	}
	return s.People[k%len(s.People)], true
}

// Override puts one person on call for a time, whatever the shifts say.
type Override struct {
	From, To time.Time
	Person   Person
}

// Rota is who is on call when. The last override that holds counts, then the first shift.
type Rota struct {
	Zone      *time.Location // in which its times are told
	People    []Person
	Shifts    []Shift
	Overrides []Override
}

// Duty is somebody's being on call.
type Duty struct {
	Person   Person
	Shift    string // "" for an override
	Override bool
}

// At says who is on call at a moment; ok is false when nobody is.
func (r *Rota) At(t time.Time) (d Duty, ok bool) {
	for _, o := range slices.Backward(r.Overrides) {
		if !t.Before(o.From) && t.Before(o.To) {
			return Duty{Person: o.Person, Override: true}, true
		}
	}
	for _, s := range r.Shifts {
		if p, on := s.at(t); on {
			return Duty{Person: p, Shift: s.Name}, true
		}
	}
	return Duty{}, false
}

// Ahead is how far Change looks.
const Ahead = 400 * 24 * time.Hour

// Change gives the next moment after t at which somebody else is on call, or nobody; ok is false when none comes within
// Ahead.
func (r *Rota) Change(t time.Time) (at time.Time, ok bool) {
	now, on := r.At(t)
	for from := t; from.Before(t.Add(Ahead)); { // a stretch at a time: the next change is mostly near
		till := from.Add(14 * 24 * time.Hour)
		for _, b := range r.bounds(from, till) {
			if d, is := r.At(b); is != on || d.Person.Name != now.Person.Name {
				return b, true
			}
		}
		from = till
	}
	return time.Time{}, false
}

// bounds lists when something may change after from and up to till, in order.
func (r *Rota) bounds(from, till time.Time) []time.Time {
	var out []time.Time
	add := func(t time.Time) {
		if t.After(from) && !t.After(till) {
			out = append(out, t)
		}
	}
	for _, o := range r.Overrides {
		add(o.From)
		add(o.To)
	}
	for _, s := range r.Shifts {
		for k := max(s.turn(from), 0); !s.bound(k).After(till); k++ {
			add(s.bound(k))
		}
		if s.Hours == nil {
			continue
		}
		for d := -2; ; d++ {
			midnight := day(from, s.Hours.Zone, d)
			if midnight.After(till) {
				break
			}
			if begin, end, ok := s.Hours.on(midnight); ok {
				add(begin)
				add(end)
			}
		}
	}
	slices.SortFunc(out, time.Time.Compare)
	return slices.CompactFunc(out, time.Time.Equal)
}
