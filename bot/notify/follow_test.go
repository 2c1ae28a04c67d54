package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/notify"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/incident"
)

const pager = `
targets:
- {name: pager, webhook: {env: PAGER}}
default: [pager]
`

var pagerEnv = map[string]string{"PAGER": "https://pager.example/secret-path"}

func TestAnIncidentIsToldWhenItOpensWorsensAndEndsAndNotBetween(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{}
		w := newWorld(t, plan(t, pager, pagerEnv), func(c *notify.Config) { c.Transport, c.Poll = h, time.Second })
		w.start()
		defer func() { w.stop() }()
		i := failing("INC-1", incident.SeverityMedium)
		w.save(i, event.IncidentOpened)
		settle()
		w.save(i, event.IncidentChanged)
		i.Acknowledged = "Mia"
		w.save(i, event.IncidentChanged)
		settle()
		i.Severity = incident.SeverityCritical
		w.save(i, event.IncidentChanged)
		settle()
		i.Stage = incident.StageRecovering
		w.save(i, event.IncidentChanged)
		w.save(over(i), event.IncidentChanged)
		settle()
		i.ClosedAt = i.ResolvedAt
		w.save(i, event.IncidentChanged)
		settle()
		i.Stage, i.ResolvedAt, i.ClosedAt = incident.StageWarning, time.Time{}, time.Time{}
		w.save(i, event.IncidentChanged)
		settle()
		w.save(over(i), event.IncidentChanged)
		settle()
		want := []string{
			"notify/INC-1/0/opened-medium@pager", "notify/INC-1/0/worsened-critical@pager", "notify/INC-1/0/resolved@pager", "notify/INC-1/1/back@pager", "notify/INC-1/1/resolved@pager",
		}
		if d := cmp.Diff(want, h.keys()); d != "" {
			t.Error(d)
		}
	})
}

// settle lets simulated time pass.
func settle() {
	time.Sleep(10 * time.Second)
	synctest.Wait()
}

func TestAnHourWithoutTheTargetAndARestartLoseNothingAndDoubleNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		h := &hooks{answer: func(n int, _ received) (int, http.Header) {
			switch {
			case !up.Load() && n%2 == 0:
				return 0, nil
			case !up.Load():
				return 503, nil
			}
			return 200, nil
		}}
		w := newWorld(t, plan(t, pager, pagerEnv), func(c *notify.Config) { c.Transport, c.Poll = h, time.Second })
		w.start()
		defer func() { w.stop() }()
		var want []string
		for n := range 10 {
			i := failing(fmt.Sprint("INC-", n), incident.SeverityHigh)
			w.save(i, event.IncidentOpened)
			want = append(want, fmt.Sprintf("notify/%s/0/opened-high@pager", i.ID))
			time.Sleep(3 * time.Minute)
			if n%3 == 0 {
				w.stop()
				w.start()
			}
			w.save(over(i), event.IncidentChanged)
			want = append(want, fmt.Sprintf("notify/%s/0/resolved@pager", i.ID))
			time.Sleep(3 * time.Minute)
		}
		up.Store(true)
		time.Sleep(2 * time.Minute)
		w.stop()
		w.start()
		time.Sleep(2 * time.Minute)
		if d := cmp.Diff(want, h.keys()); d != "" {
			t.Error(d)
		}
		if log := w.logged.String(); strings.Contains(log, "secret-path") {
			t.Errorf("the log holds the address:\n%s", log)
		}
	})
}

// forgetful is a store whose process dies before it can write down that something was delivered.
type forgetful struct {
	notify.Store
	dead atomic.Bool
}

func (f *forgetful) Delivered(ctx context.Context, o bot.Outgoing, ref bot.Ref) error {
	if f.dead.Load() {
		return errors.New("killed")
	}
	return f.Store.Delivered(ctx, o, ref)
}

func TestWhatIsSentAgainAfterACrashCarriesTheSameKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h, store := &hooks{}, &forgetful{}
		w := newWorld(t, plan(t, pager, pagerEnv), func(c *notify.Config) { c.Transport, c.Poll = h, time.Hour; store.Store, c.Store = c.Store, store })
		store.dead.Store(true)
		w.start()
		w.save(failing("INC-1", incident.SeverityHigh), event.IncidentOpened)
		time.Sleep(2*time.Hour + time.Minute)
		w.stop()
		store.dead.Store(false)
		w.start()
		time.Sleep(5 * time.Hour)
		w.stop()
		keys := h.keys()
		if len(keys) < 2 || len(slices.Compact(slices.Clone(keys))) != 1 {
			t.Errorf("keys %q", keys)
		}
	})
}

func TestWhatATargetAsksOrRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		code    int
		header  http.Header
		after   time.Duration // until it is tried again
		dropped bool
	}{
		"too many requests": {429, http.Header{"Retry-After": {"90"}}, 90 * time.Second, false},
		"a server's fault":  {500, nil, time.Second, false},
		"a wrong address":   {404, nil, time.Second, false},
		"a redirect":        {302, http.Header{"Location": {"http://169.254.169.254/"}}, time.Second, false},
		"a bad message":     {400, nil, 0, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var tries []time.Time
				h := &hooks{answer: func(int, received) (int, http.Header) {
					if tries = append(tries, time.Now()); len(tries) == 1 {
						return c.code, c.header
					}
					return 200, nil
				}}
				w := newWorld(t, plan(t, pager, pagerEnv), func(cfg *notify.Config) { cfg.Transport, cfg.Poll = h, 100*time.Millisecond })
				w.start()
				w.save(failing("INC-1", incident.SeverityHigh), event.IncidentOpened)
				time.Sleep(5 * time.Minute)
				w.stop()
				switch {
				case c.dropped && len(tries) != 1:
					t.Errorf("tried %d times", len(tries))
				case c.dropped:
				case len(tries) != 2:
					t.Errorf("tried %d times", len(tries))
				case tries[1].Sub(tries[0]) < c.after || tries[1].Sub(tries[0]) > c.after+2*time.Second:
					t.Errorf("tried again after %v", tries[1].Sub(tries[0]))
				}
			})
		})
	}
}

func TestARedirectIsNotFollowed(t *testing.T) {
	var led atomic.Int32
	inner := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { led.Add(1) }))
	defer inner.Close()
	outer := httptest.NewServer(http.RedirectHandler(inner.URL, http.StatusTemporaryRedirect))
	defer outer.Close()
	w := newWorld(t, plan(t, pager, map[string]string{"PAGER": outer.URL + "/secret-path"}), nil)
	w.start()
	w.save(failing("INC-1", incident.SeverityHigh), event.IncidentOpened)
	for end := time.Now().Add(10 * time.Second); !strings.Contains(w.logged.String(), "name the address itself") && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	w.stop()
	if log := w.logged.String(); led.Load() != 0 || !strings.Contains(log, "name the address itself") || strings.Contains(log, "secret-path") {
		t.Errorf("led to the inside %d times; the log says:\n%s", led.Load(), log)
	}
}

func TestAWebhookAndSlackGetTheirForms(t *testing.T) {
	var got []received
	done := make(chan struct{}, 10)
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var raw json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&raw); err != nil {
			t.Error(err)
		}
		got = append(got, received{header: r.Header, path: r.URL.Path, body: string(raw)})
		done <- struct{}{}
	}))
	defer server.Close()
	p := plan(t, `
targets:
- {name: hook, webhook: {env: HOOK}, token: {env: TOKEN}}
- {name: slack, slack: {env: SLACK}, lang: ja}
routes:
- {to: [hook], continue: true}
- {to: [slack]}
`, map[string]string{"HOOK": server.URL + "/hook", "TOKEN": "t0ken", "SLACK": server.URL + "/services/T/B/x"})
	w := newWorld(t, p, func(c *notify.Config) { c.Now = func() time.Time { return opened.Add(6 * time.Minute) } })
	i := failing("INC-1", incident.SeverityHigh)
	i.Title = `checkout <!channel> & "x" is failing`
	w.save(i, event.IncidentOpened)
	w.start()
	<-done
	<-done
	w.settle()
	w.stop()
	slices.SortFunc(got, func(a, b received) int { return strings.Compare(a.path, b.path) })
	var b strings.Builder
	for _, r := range got {
		var v any
		if err := json.Unmarshal([]byte(r.body), &v); err != nil {
			t.Fatal(err)
		}
		pretty, err := json.MarshalIndent(v, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "POST %s\nContent-Type: %s\nIdempotency-Key: %s\nAuthorization: %s\n\n%s\n\n", r.path, r.header.Get("Content-Type"), r.header.Get("Idempotency-Key"), r.header.Get("Authorization"), pretty)
	}
	golden(t, "webhooks.txt", b.String())
}

func TestWhoIsOnCallIsMailedAndMentionedInTheThread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := plan(t, `
rota:
  people:
  - {name: mia, ids: [slack:U1, discord:7]}
  - {name: ken, ids: [slack:U2]}
  shifts:
  - {name: day, people: [mia, ken], start: 1999-12-27, turn: 1w}
routes:
- {severity: high, to: [oncall]}
`, nil)
		w := newWorld(t, p, func(c *notify.Config) { c.Chat, c.Poll = []bot.Place{{Surface: "slack", Channel: "C1"}}, time.Second })
		w.start()
		defer func() { w.stop() }()
		i := failing("INC-1", incident.SeverityHigh)
		w.save(i, event.IncidentOpened)
		settle()
		mentions := func() (out []string) {
			for {
				due, err := w.db.Outbox(t.Context(), "slack", time.Now(), 10)
				w.ok(err)
				if len(due) == 0 {
					return out
				}
				for _, o := range due {
					out = append(out, o.Key+" under "+o.Under+" "+string(o.Body))
					w.ok(w.db.Delivered(t.Context(), o, bot.Ref{}))
				}
			}
		}
		if m := mentions(); len(m) != 0 {
			t.Errorf("mentioned before the bot has a thread: %q", m)
		}
		w.ok(w.db.Enqueue(t.Context(), bot.Reader, 1<<40)) // the bot has read everything
		settle()
		// The bubble begins on a Saturday in the turn of mia; five days later it is ken's.
		w.stop()
		time.Sleep(5 * 24 * time.Hour)
		w.start()
		i.Severity = incident.SeverityCritical
		w.save(i, event.IncidentChanged)
		settle()
		w.save(over(i), event.IncidentChanged)
		settle()
		want := []string{
			`notify/INC-1/0/opened-high@slack/C1/U1 under incident/INC-1 {"message":{"title":"mia is on call: [high] INC-1: checkout is failing — prod-eu / shop","mention":["U1"]}}`,
			`notify/INC-1/0/opened-critical@slack/C1/U2 under incident/INC-1 {"message":{"title":"ken is on call: [critical] INC-1: checkout is failing — prod-eu / shop","mention":["U2"]}}`,
		}
		if d := cmp.Diff(want, mentions()); d != "" {
			t.Error(d)
		}
	})
}

func TestASilenceHoldsUntilItGetsWorse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{}
		w := newWorld(t, plan(t, pager, pagerEnv), func(c *notify.Config) { c.Transport, c.Poll = h, time.Second })
		w.start()
		defer func() { w.stop() }()
		i := failing("INC-1", incident.SeverityMedium)
		w.save(i, event.IncidentOpened)
		settle()
		w.save(over(i), event.IncidentChanged)
		settle()
		i.Stage, i.ResolvedAt, i.SilencedTill = incident.StageWarning, time.Time{}, time.Now().Add(time.Hour)
		w.save(i, event.IncidentChanged)
		settle()
		if keys := h.keys(); len(keys) != 2 {
			t.Errorf("told in a silence: %q", keys)
		}
		i.Severity = incident.SeverityHigh
		w.save(i, event.IncidentChanged)
		settle()
		if keys := h.keys(); len(keys) != 3 || keys[2] != "notify/INC-1/1/back@pager" {
			t.Errorf("told %q", keys)
		}
	})
}

func TestAMergedIncidentEndsForWhoHeardOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hooks{}
		w := newWorld(t, plan(t, pager, pagerEnv), func(c *notify.Config) { c.Transport, c.Poll = h, time.Second })
		w.start()
		defer func() { w.stop() }()
		i := failing("INC-2", incident.SeverityMedium)
		w.save(i, event.IncidentOpened)
		settle()
		i.MergedInto = "INC-1"
		w.save(i, event.IncidentMerged)
		// Nobody heard of this one: it was over before it was read.
		w.save(over(failing("INC-3", incident.SeverityHigh)), event.IncidentOpened)
		settle()
		if d := cmp.Diff([]string{"notify/INC-2/0/opened-medium@pager", "notify/INC-2/0/merged@pager"}, h.keys()); d != "" {
			t.Error(d)
		}
	})
}
