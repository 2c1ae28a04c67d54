package storagetest

import (
	"testing"
	"time"

	"github.com/bukahou/atlhyper/bot/notify"
)

func notices(t *testing.T, s Store) {
	ctx := t.Context()
	same(t, "nothing was told", get(s.Notice(ctx, "INC-1"))(t), notify.Notice{Incident: "INC-1"})
	n := notify.Notice{Incident: "INC-1", Severity: "high", Targets: []string{"a", "b"}, Over: true, Round: 2}
	must(t, s.PutNotice(ctx, "notify", 7, n, out("k", "C1", "told")))
	same(t, "what was told", get(s.Notice(ctx, "INC-1"))(t), n)
	same(t, "what is on its way", due(t, s, now), []string{`k "told"`})
	same(t, "how far it was read", get(s.Cursor(ctx, "notify"))(t), int64(7))
	if err := s.PutNotice(ctx, "notify", 8, notify.Notice{Incident: "INC-1"}, out("l", "C1", "more"), out("", "C1", "no key")); err == nil {
		t.Error("a message without a key was taken")
	}
	same(t, "after a failure", get(s.Notice(ctx, "INC-1"))(t), n)
	same(t, "and its queue", due(t, s, now), []string{`k "told"`})
	must(t, s.PutNotice(ctx, "notify", 9, notify.Notice{}))
	same(t, "the cursor alone", get(s.Cursor(ctx, "notify"))(t), int64(9))
}

func runs(t *testing.T, s Store) {
	ctx := t.Context()
	same(t, "never", get(s.LastRun(ctx, "morning"))(t), time.Time{})
	must(t, s.PutRun(ctx, "morning", now, out("k", "C1", "report")))
	same(t, "once", get(s.LastRun(ctx, "morning"))(t), now)
	if err := s.PutRun(ctx, "morning", now.Add(time.Hour), out("", "C1", "no key")); err == nil {
		t.Error("a message without a key was taken")
	}
	same(t, "after a failure", get(s.LastRun(ctx, "morning"))(t), now)
	same(t, "what is on its way", due(t, s, now), []string{`k "report"`})
}
