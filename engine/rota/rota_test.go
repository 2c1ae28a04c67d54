package rota_test

import (
	"testing"
	"time"

	"github.com/bukahou/atlhyper/engine/document"
	"github.com/bukahou/atlhyper/engine/rota"
)

func read(t *testing.T, text string) *rota.Rota {
	t.Helper()
	r, root, err := document.Parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	zone, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	out := rota.Read(r, root, zone)
	if err := r.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}

const crew = "people: [{name: mia, mail: mia@example.com}, {name: ken, mail: ken@example.com}, {name: zoe, ids: [slack:U3]}]\n"

// at is a moment in the zone of the rota.
func at(t *testing.T, r *rota.Rota, text string) time.Time {
	t.Helper()
	m, err := rota.Moment(text, r.Zone)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestWhoIsOnCall(t *testing.T) {
	for name, c := range map[string]struct {
		rota string
		want map[string]string // at → who
	}{
		"turns of a week change at their hour, also where the clocks change": {
			`shifts: [{name: week, people: [mia, ken], start: 2026-10-19, at: "09:00"}]`,
			map[string]string{
				"2026-10-19 08:59": "", "2026-10-19 09:00": "mia", "2026-10-25 23:00": "mia", "2026-10-26 08:59": "mia", "2026-10-26 09:00": "ken",
				"2026-11-02 08:59": "ken", "2026-11-02 09:00": "mia", "2027-03-29 08:59": "mia", "2027-03-29 09:00": "ken",
			},
		},
		"turns of a day over the hour that is not": {
			`shifts: [{name: day, people: [mia, ken, zoe], start: 2026-03-28, at: "02:30", turn: 1d}]`,
			map[string]string{"2026-03-28 02:29": "", "2026-03-28 02:30": "mia", "2026-03-29 04:00": "ken", "2026-03-30 02:29": "ken", "2026-03-30 02:30": "zoe"},
		},
		"turns of a day over the hour that comes twice": {
			`shifts: [{name: day, people: [mia, ken], start: 2026-10-24, at: "02:30", turn: 1d}]`,
			map[string]string{"2026-10-25T00:29:59Z": "mia", "2026-10-25T01:31:00Z": "ken", "2026-10-26 02:29": "ken", "2026-10-26 02:30": "mia"},
		},
		"the first shift that holds counts, then the next": {
			`shifts:
- {name: office, people: [mia], start: 2026-01-05, hours: {days: mon-fri, from: "09:00", to: "17:00"}}
- {name: night, people: [ken], start: 2026-01-05, hours: {days: mon-thu, from: "17:00", to: "09:00"}}`,
			map[string]string{
				"2026-11-02 09:00": "mia", "2026-11-02 16:59": "mia", "2026-11-02 17:00": "ken", "2026-11-03 08:59": "ken", "2026-11-03 09:00": "mia",
				"2026-11-06 08:59": "ken", "2026-11-06 17:00": "", "2026-11-07 12:00": "",
			},
		},
		"the last override counts": {
			`shifts: [{name: week, people: [mia], start: 2026-01-05}]
overrides:
- {from: 2026-12-24 09:00, to: 2026-12-27 09:00, person: ken}
- {from: 2026-12-25 00:00, to: 2026-12-26 00:00, person: zoe}`,
			map[string]string{
				"2026-12-24 08:59": "mia", "2026-12-24 09:00": "ken", "2026-12-25 00:00": "zoe", "2026-12-26 00:00": "ken", "2026-12-27 09:00": "mia",
			},
		},
		"a shift of another zone": {
			`shifts:
- {name: tokyo, people: [zoe], start: 2026-01-05, zone: Asia/Tokyo, hours: {from: "09:00", to: "17:00"}}
- {name: rest, people: [mia], start: 2026-01-05}`,
			map[string]string{"2026-11-02 00:59": "mia", "2026-11-02 01:00": "zoe", "2026-11-02 08:59": "zoe", "2026-11-02 09:00": "mia", "2026-07-01 01:59": "mia", "2026-07-01 02:00": "zoe", "2026-07-01 09:59": "zoe", "2026-07-01 10:00": "mia"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := read(t, crew+c.rota)
			for when, want := range c.want {
				d, ok := r.At(at(t, r, when))
				if d.Person.Name != want || ok != (want != "") {
					t.Errorf("at %s it is %q, not %q", when, d.Person.Name, want)
				}
			}
		})
	}
}

// TestAChangeIsWhereWhoIsOnCallChanges looks at every minute of a year and a half.
func TestAChangeIsWhereWhoIsOnCallChanges(t *testing.T) {
	r := read(t, crew+`shifts:
- {name: office, people: [mia, zoe], start: 2026-01-05, at: "07:00", turn: 2w, hours: {days: [mon-wed, fri], from: "09:00", to: "17:30"}}
- {name: night, people: [ken, mia], start: 2026-02-01, at: "02:30", turn: 1d, zone: America/New_York}
overrides:
- {from: 2026-03-08 06:00, to: 2026-03-08 09:00, person: zoe}
- {from: 2026-10-25 02:15, to: 2026-10-25 03:45, person: ken}
`)
	begin := at(t, r, "2026-01-01 00:00")
	next, ok := r.Change(begin.Add(-time.Minute))
	before, _ := r.At(begin.Add(-time.Minute))
	changes := 0
	for m := begin; m.Before(begin.AddDate(1, 0, 0)); m = m.Add(time.Minute) {
		now, _ := r.At(m)
		if now.Person.Name == before.Person.Name {
			if ok && m.Equal(next) {
				t.Fatalf("a change was foretold at %v, and there is none", m)
			}
			continue
		}
		if !ok || !m.Equal(next) {
			t.Fatalf("at %v it changes to %q; foretold was %v", m, now.Person.Name, next)
		}
		before = now
		next, ok = r.Change(m)
		changes++
	}
	if changes < 300 {
		t.Errorf("only %d changes were seen", changes)
	}
	if _, ok := read(t, crew+"shifts: [{name: always, people: [mia], start: 2026-01-05}]").Change(begin.AddDate(0, 1, 0)); ok {
		t.Error("who is always on call is followed by somebody")
	}
}
