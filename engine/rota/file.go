package rota

import (
	"net/mail"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/engine/document"
)

// Read reads a rota out of a document:
//
//	people:
//	- name: mia
//	  ids: [slack:U123]            # whom to mention in a chat
//	  mail: mia@example.com        # at least one of the two
//	shifts:
//	- name: week
//	  people: [mia, ken]           # in this order
//	  start: 2026-01-05            # when the first turn begins
//	  at: "09:00"                  # when turns change; 00:00 when left out
//	  turn: 7d                     # or 1w; how long a turn is, in days
//	  zone: Europe/Berlin          # the document's when left out
//	  hours: {days: mon-fri, from: "09:00", to: "18:00"}   # on call only then; always when left out
//	overrides:
//	- {from: 2026-12-24 09:00, to: 2026-12-26 09:00, person: ken}
//
// The first shift that holds counts, and the last override before it.
func Read(r *document.Reader, n *document.Node, zone *time.Location) *Rota {
	out := &Rota{Zone: zone}
	f := file{r, out}
	var shifts, overrides *document.Node
	r.Fields(n, map[string]func(*document.Node){
		"people":    func(n *document.Node) { r.Each(n, f.person) },
		"shifts":    func(n *document.Node) { shifts = n }, // after the people, wherever they stand
		"overrides": func(n *document.Node) { overrides = n },
	})
	if shifts == nil {
		r.Fault(n, "a rota needs shifts")
		return out
	}
	r.Each(shifts, f.shift)
	if overrides != nil {
		r.Each(overrides, f.override)
	}
	return out
}

type file struct {
	*document.Reader
	rota *Rota
}

func (f file) person(n *document.Node) {
	var p Person
	f.Fields(n, map[string]func(*document.Node){
		"name": func(n *document.Node) { p.Name = f.Text(n) },
		"ids": func(n *document.Node) {
			p.IDs = f.Texts(n)
			for _, id := range p.IDs {
				if surface, rest, ok := strings.Cut(id, ":"); !ok || rest == "" || surface != "slack" && surface != "discord" {
					f.Fault(n, "%q is nobody's id: write slack:U123 or discord:456", id)
				}
			}
		},
		"mail": func(n *document.Node) { p.Mail = Address(f.Reader, n) },
	})
	switch {
	case p.Name == "":
		f.Fault(n, "a person needs a name")
	case len(p.IDs) == 0 && p.Mail == "":
		f.Fault(n, "%s cannot be reached: give ids, mail or both", p.Name)
	case slices.ContainsFunc(f.rota.People, func(x Person) bool { return x.Name == p.Name }):
		f.Fault(n, "%s stands in people twice", p.Name)
	}
	f.rota.People = append(f.rota.People, p)
}

func (f file) named(n *document.Node, name string) Person {
	i := slices.IndexFunc(f.rota.People, func(p Person) bool { return p.Name == name })
	if i < 0 {
		f.Fault(n, "%s does not stand in people: add them there", name)
		return Person{}
	}
	return f.rota.People[i]
}

func (f file) shift(n *document.Node) {
	s := Shift{Zone: f.rota.Zone, Turn: 7}
	var start string
	var startNode, hours *document.Node
	f.Fields(n, map[string]func(*document.Node){
		"name": func(n *document.Node) { s.Name = f.Text(n) },
		"people": func(n *document.Node) {
			for _, name := range f.Texts(n) {
				s.People = append(s.People, f.named(n, name))
			}
		},
		"start": func(n *document.Node) { start, startNode = f.Text(n), n },
		"at":    func(n *document.Node) { s.At = Clock(f.Reader, n) },
		"turn":  func(n *document.Node) { s.Turn = f.turn(n) },
		"zone":  func(n *document.Node) { s.Zone = Zone(f.Reader, n) },
		"hours": func(n *document.Node) { hours = n },
	})
	switch {
	case s.Name == "":
		f.Fault(n, "a shift needs a name")
	case len(s.People) == 0:
		f.Fault(n, "shift %s needs people", s.Name)
	case startNode == nil:
		f.Fault(n, "shift %s needs start, the day on which the first turn begins, such as 2026-01-05", s.Name)
	default:
		var err error
		if s.Start, err = time.ParseInLocation(time.DateOnly, start, s.Zone); err != nil {
			f.Fault(startNode, "%q is no day: write it as 2026-01-05", start)
		} else if y := s.Start.Year(); y < 1990 || y > 2200 { // a slip of the pen; turns are counted from it
			f.Fault(startNode, "%s is too far away: write the day on which a turn began lately", start)
		}
	}
	if hours != nil {
		h := ReadHours(f.Reader, hours, s.Zone)
		s.Hours = &h
	}
	f.rota.Shifts = append(f.rota.Shifts, s)
}

func (f file) turn(n *document.Node) int {
	text := f.Text(n)
	for unit, days := range map[string]int{"d": 1, "w": 7} {
		if number, ok := strings.CutSuffix(text, unit); ok {
			if k, err := strconv.Atoi(number); err == nil && k > 0 && k*days <= 366 {
				return k * days
			}
		}
	}
	f.Fault(n, "%q is no turn: write days or weeks, such as 7d or 2w", text)
	return 7
}

func (f file) override(n *document.Node) {
	var o Override
	zone := f.rota.Zone
	var from, to *document.Node
	f.Fields(n, map[string]func(*document.Node){
		"from":   func(n *document.Node) { from = n },
		"to":     func(n *document.Node) { to = n },
		"zone":   func(n *document.Node) { zone = Zone(f.Reader, n) },
		"person": func(n *document.Node) { o.Person = f.named(n, f.Text(n)) },
	})
	if from == nil || to == nil || o.Person.Name == "" {
		f.Fault(n, "an override needs from, to and a person")
		return
	}
	for text, at := range map[*document.Node]*time.Time{from: &o.From, to: &o.To} {
		var err error
		if *at, err = Moment(f.Text(text), zone); err != nil {
			f.Fault(text, "%q is no time: write it as 2026-12-24 09:00", text.Value)
			return
		}
	}
	if !o.To.After(o.From) {
		f.Fault(to, "it must end after it begins")
	}
	f.rota.Overrides = append(f.rota.Overrides, o)
}

// Moment reads a point in time as people write it, in a zone unless it names one.
func Moment(text string, zone *time.Location) (time.Time, error) {
	for _, layout := range []string{"2006-01-02 15:04", "2006-01-02T15:04", "2006-01-02 15:04:05", time.DateOnly} {
		if t, err := time.ParseInLocation(layout, text, zone); err == nil {
			return t, nil
		}
	}
	return time.Parse(time.RFC3339, text)
}

// Zone reads a time zone.
func Zone(r *document.Reader, n *document.Node) *time.Location {
	name := r.Text(n)
	zone, err := time.LoadLocation(name)
	if err != nil || name == "Local" {
		r.Fault(n, "%q is no time zone: write one such as Europe/Berlin or UTC", name)
		return time.UTC
	}
	return zone
}

// Clock reads a time of day as its minutes.
func Clock(r *document.Reader, n *document.Node) int {
	text := r.Text(n)
	if text == "24:00" {
		return 24 * 60
	}
	t, err := time.Parse("15:04", text)
	if err != nil {
		r.Fault(n, "%q is no time of day: write it as 09:00", text)
	}
	return t.Hour()*60 + t.Minute()
}

// Address reads a mail address.
func Address(r *document.Reader, n *document.Node) string {
	text := r.Text(n)
	a, err := mail.ParseAddress(text)
	if text != "" && (err != nil || a.Address != text) {
		r.Fault(n, "%q is no mail address: write it as mia@example.com", text)
	}
	return text
}

var weekdays = []string{"sun", "mon", "tue", "wed", "thu", "fri", "sat"}

// ReadHours reads hours of the week: days such as mon-fri or [sat, sun], from and to. What is left out is all days, and
// the whole day.
func ReadHours(r *document.Reader, n *document.Node, zone *time.Location) Hours {
	h := Hours{Zone: zone, To: 24 * 60}
	for i := range h.Days {
		h.Days[i] = true
	}
	r.Fields(n, map[string]func(*document.Node){
		"days": func(n *document.Node) {
			h.Days = [7]bool{}
			for _, text := range r.Texts(n) {
				from, to, span := strings.Cut(strings.ToLower(text), "-")
				if !span {
					to = from
				}
				first, last := slices.Index(weekdays, from), slices.Index(weekdays, to)
				if first < 0 || last < 0 {
					r.Fault(n, "%q is no day of the week: write mon, or mon-fri", text)
					continue
				}
				for d := first; ; d = (d + 1) % 7 {
					h.Days[d] = true
					if d == last {
						break
					}
				}
			}
		},
		"from": func(n *document.Node) { h.From = Clock(r, n) },
		"to":   func(n *document.Node) { h.To = Clock(r, n) },
		"zone": func(n *document.Node) { h.Zone = Zone(r, n) },
	})
	return h
}
