package notify_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/notify"
	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/incident"
)

// hand is a clock that a test moves.
type hand struct {
	mu  sync.Mutex
	now time.Time
}

func (h *hand) Now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.now
}

func (h *hand) set(t time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.now = t
}

func TestASchedulesTimes(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	at := func(day, clock string) time.Time {
		x, err := time.ParseInLocation("2006-01-02 15:04", day+" "+clock, berlin)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{}
		clock := &hand{now: at("2026-10-23", "08:00")}
		p := plan(t, "zone: Europe/Berlin\n"+pager+`
schedules:
- {name: morning, send: digest, at: "0 9 * * *", to: [pager]}
`, pagerEnv)
		w := newWorld(t, p, func(c *notify.Config) { c.Transport, c.Poll, c.Now = h, time.Second, clock.Now })
		w.start()
		defer func() { w.stop() }()
		var want []string
		step := func(now time.Time, due ...time.Time) {
			t.Helper()
			clock.set(now)
			settle()
			for _, d := range due {
				want = append(want, fmt.Sprintf("schedule/morning/%d@pager", d.Unix()))
			}
			if d := cmp.Diff(want, h.keys()); d != "" {
				t.Fatalf("at %v:\n%s", now, d)
			}
		}
		step(at("2026-10-23", "08:59"))
		step(at("2026-10-23", "09:00"), at("2026-10-23", "09:00"))
		step(at("2026-10-23", "23:00"))
		// The clocks go back on the 25th: the time of day stays.
		step(at("2026-10-24", "09:00"), at("2026-10-24", "09:00"))
		step(at("2026-10-25", "08:59"))
		step(at("2026-10-25", "09:00"), at("2026-10-25", "09:00"))
		w.stop()
		// Nothing runs for three days and a bit: one report makes up for it, that of the newest time.
		clock.set(at("2026-10-28", "22:00"))
		w.start()
		step(at("2026-10-28", "22:00"), at("2026-10-28", "09:00"))
		w.stop()
		w.start()
		step(at("2026-10-29", "08:59"))
		step(at("2026-10-29", "09:00"), at("2026-10-29", "09:00"))
	})
}

func TestAReportIsNotDoubledByACrashAndNotLostByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{}
		clock := &hand{now: time.Date(2026, 11, 5, 8, 0, 0, 0, time.UTC)}
		p := plan(t, pager+"schedules:\n- {name: morning, send: slo, at: \"0 9 * * *\", to: [pager]}\n", pagerEnv)
		w := newWorld(t, p, func(c *notify.Config) { c.Transport, c.Poll, c.Now = h, time.Second, clock.Now })
		w.start()
		settle()
		clock.set(time.Date(2026, 11, 5, 9, 0, 0, 0, time.UTC))
		for range 5 { // it dies again and again around its time
			time.Sleep(700 * time.Millisecond)
			w.stop()
			w.start()
		}
		settle()
		w.stop()
		if keys := h.keys(); len(keys) != 1 {
			t.Errorf("told %q", keys)
		}
	})
}

const onDuty = `
zone: Europe/Berlin
mail: {server: "localhost:1", tls: none, from: a@example.com}
targets:
- {name: pager, webhook: {env: PAGER}}
rota:
  people: [{name: mia, ids: [slack:U1]}, {name: ken, ids: [slack:U2], mail: ken@example.com}]
  shifts: [{name: week, people: [mia, ken], start: 2026-11-02, at: "09:00"}]
schedules:
- {name: shift, send: handover, to: [chat, oncall, pager]}
- {name: morning, send: digest, at: "0 9 * * *", to: [chat], lang: ja}
- {name: budgets, send: slo, at: "0 9 * * mon", to: [chat], lang: zh}
`

func TestTheReportsAsTheyAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{}
		due := time.Date(2026, 11, 9, 8, 0, 0, 0, time.UTC) // nine o'clock in Berlin, a Monday
		clock := &hand{now: due.Add(-time.Minute)}
		p := plan(t, onDuty, pagerEnv)
		w := newWorld(t, p, func(c *notify.Config) {
			c.Transport, c.Poll, c.Now, c.Chat = h, time.Second, clock.Now, []bot.Place{{Surface: "slack", Channel: "C1"}}
		})
		i := failing("INC-1", incident.SeverityHigh)
		i.OpenedAt = due.Add(-3 * time.Hour)
		w.save(i, event.IncidentOpened)
		done := over(failing("INC-2", incident.SeverityMedium))
		done.OpenedAt = due.Add(-9 * time.Hour)
		done.ResolvedAt, done.ClosedAt = done.OpenedAt.Add(19*time.Minute), done.OpenedAt.Add(19*time.Minute)
		w.save(done, event.IncidentOpened)
		w.ok(w.engine.Incidents.Load(t.Context()))
		w.start()
		settle()
		clock.set(due)
		settle()
		w.stop()
		var b strings.Builder
		for {
			waiting, err := w.db.Outbox(t.Context(), "slack", time.Now().Add(time.Hour), 10)
			w.ok(err)
			if len(waiting) == 0 {
				break
			}
			for _, o := range waiting {
				var e struct{ Message message.Message }
				w.ok(json.Unmarshal(o.Body, &e))
				fmt.Fprintf(&b, "%s to %v\n%s\n", o.Key, e.Message.Mention, terminal.Renderer{Width: 110, Plain: true}.Render(e.Message))
				w.ok(w.db.Delivered(t.Context(), o, bot.Ref{}))
			}
		}
		golden(t, "reports.txt", b.String())
		if keys := h.keys(); len(keys) != 1 || keys[0] != fmt.Sprintf("schedule/shift/%d@pager", due.Unix()) {
			t.Errorf("the pager got %q", keys)
		}
		mails, err := w.db.Outbox(t.Context(), notify.Surface, time.Now().Add(time.Hour), 10)
		w.ok(err)
		if len(mails) != 1 || mails[0].Place.Channel != "mail/ken@example.com" {
			t.Errorf("mailed %+v", mails)
		}
	})
}
