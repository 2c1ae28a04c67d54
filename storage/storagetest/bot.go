package storagetest

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/bot"
)

func to(channel string) bot.Place { return bot.Place{Surface: "slack", Channel: channel} }

func out(key, channel, body string) bot.Outgoing {
	return bot.Outgoing{Key: key, Place: to(channel), Body: json.RawMessage(`"` + body + `"`)}
}

// due lists keys and bodies of what is due on Slack.
func due(t *testing.T, s Store, at time.Time) (list []string) {
	t.Helper()
	for _, o := range get(s.Outbox(t.Context(), "slack", at, 100))(t) {
		list = append(list, o.Key+" "+string(o.Body))
	}
	return list
}

func next(t *testing.T, s Store) bot.Outgoing {
	t.Helper()
	l := get(s.Outbox(t.Context(), "slack", now, 1))(t)
	if len(l) == 0 {
		t.Fatal("nothing is due")
	}
	return l[0]
}

func ref(message string) bot.Ref {
	return bot.Ref{Surface: "slack", Channel: "C1", Message: message, Thread: message}
}

func outboxCoalesces(t *testing.T, s Store) {
	ctx := t.Context()
	full := bot.Outgoing{
		Key: "incident/INC-1/parent@slack/C1", Place: bot.Place{Surface: "slack", Channel: "C1", Thread: "t"}, Under: "u", Topic: "incident/INC-1",
		Edit: true, Thread: "INC-1 checkout", Body: json.RawMessage(`{"a":1}`), NotUntil: now,
	}
	must(t, s.Enqueue(ctx, "", 0, full))
	same(t, "all fields", next(t, s), full)
	must(t, s.Enqueue(ctx, "", 0, out("event/1", "C1", "reply")))
	full.Body = json.RawMessage(`{"a":2}`)
	must(t, s.Enqueue(ctx, "", 0, full))
	same(t, "the newest body stands at the old place", due(t, s, now), []string{full.Key + ` {"a":2}`})

	// A back-off survives a newer body: the platform asked for it.
	must(t, s.Postponed(ctx, full.Key, now.Add(time.Minute), "429"))
	full.Body = json.RawMessage(`{"a":3}`)
	must(t, s.Enqueue(ctx, "", 0, full))
	same(t, "while backing off", due(t, s, now), []string(nil))
	l := get(s.Outbox(ctx, "slack", now.Add(time.Minute), 10))(t)
	if len(l) != 1 || l[0].Attempts != 1 || l[0].Failure != "429" || string(l[0].Body) != `{"a":3}` {
		t.Errorf("after the back-off: %+v", l)
	}
}

func outboxOrder(t *testing.T, s Store) {
	ctx := t.Context()
	must(t, s.Enqueue(ctx, "", 0, out("1", "C1", "a"), out("2", "C1", "b"), out("3", "C2", "c"), out("4", "C1", "d")))
	elsewhere := out("5", "C1", "e")
	elsewhere.Place.Surface = "discord"
	must(t, s.Enqueue(ctx, "", 0, elsewhere))
	same(t, "one for each channel, oldest first", due(t, s, now), []string{`1 "a"`, `3 "c"`})
	must(t, s.Postponed(ctx, "1", now.Add(time.Minute), "503"))
	same(t, "nothing overtakes", due(t, s, now), []string{`3 "c"`})
	same(t, "when the head is due again", due(t, s, now.Add(time.Minute)), []string{`1 "a"`, `3 "c"`})
	must(t, s.Dropped(ctx, "1", "channel gone"))
	must(t, s.Delivered(ctx, out("3", "C2", "c"), ref("m3")))
	same(t, "after the head is gone", due(t, s, now), []string{`2 "b"`})
	later := out("6", "C3", "f")
	later.NotUntil = now.Add(time.Second)
	must(t, s.Enqueue(ctx, "", 0, later, out("7", "C3", "g")))
	same(t, "what is to wait blocks its channel", due(t, s, now), []string{`2 "b"`})
}

func outboxNewer(t *testing.T, s Store) {
	ctx := t.Context()
	parent := out("parent", "C1", "alert")
	parent.Topic = "incident/INC-1"
	must(t, s.Enqueue(ctx, "", 0, parent))
	sending := next(t, s)
	parent.Body = json.RawMessage(`"incident"`)
	must(t, s.Enqueue(ctx, "", 0, parent))
	must(t, s.Delivered(ctx, sending, ref("m1")))
	o := next(t, s)
	if !o.Edit || string(o.Body) != `"incident"` || o.Topic != "incident/INC-1" {
		t.Errorf("what stayed: %+v", o)
	}
	got, ok, err := s.RefOf(ctx, "incident/INC-1", to("C1"))
	must(t, err)
	if !ok || got != ref("m1") {
		t.Errorf("it is to edit %+v", got)
	}
	must(t, s.Delivered(ctx, o, ref("m1")))
	same(t, "afterwards", due(t, s, now), []string(nil))

	// A message that nobody was going to edit can be, too.
	must(t, s.Enqueue(ctx, "", 0, out("plain", "C1", "a")))
	sending = next(t, s)
	must(t, s.Enqueue(ctx, "", 0, out("plain", "C1", "b")))
	must(t, s.Delivered(ctx, sending, ref("m2")))
	must(t, s.Enqueue(ctx, "", 0, out("plain", "C1", "c")))
	o = next(t, s)
	got, ok, err = s.RefOf(ctx, o.Topic, to("C1"))
	must(t, err)
	if !o.Edit || string(o.Body) != `"c"` || !ok || got.Message != "m2" {
		t.Errorf("what stayed: %+v, to edit %+v", o, got)
	}
}

func outboxOnce(t *testing.T, s Store) {
	ctx := t.Context()
	must(t, s.Enqueue(ctx, "", 0, out("event/1", "C1", "a")))
	must(t, s.Delivered(ctx, next(t, s), ref("m1")))
	must(t, s.Enqueue(ctx, "", 0, out("event/1", "C1", "a")))
	same(t, "a delivered key enqueued again", due(t, s, now), []string(nil))
	must(t, s.Enqueue(ctx, "", 0, out("event/2", "C1", "b")))
	must(t, s.Dropped(ctx, "event/2", "channel gone"))
	must(t, s.Enqueue(ctx, "", 0, out("event/2", "C1", "b")))
	same(t, "a dropped key enqueued again", due(t, s, now), []string(nil))
	edit := out("event/1", "C1", "newer")
	edit.Edit, edit.Topic = true, "x"
	must(t, s.Enqueue(ctx, "", 0, edit))
	same(t, "an edit under a delivered key", due(t, s, now), []string{`event/1 "newer"`})
	must(t, s.Delivered(ctx, next(t, s), ref("m1")))
	must(t, s.Delivered(ctx, edit, ref("m1")))
	must(t, s.Enqueue(ctx, "", 0, out("old", "C1", "x")))
	must(t, s.Prune(ctx, now.AddDate(0, 0, 8)))
	same(t, "what could not be delivered for a week", due(t, s, now), []string(nil))
	must(t, s.Enqueue(ctx, "", 0, out("old", "C1", "x")))
	same(t, "and is not posted late", due(t, s, now), []string(nil))
}

func outboxCursor(t *testing.T, s Store) {
	ctx := t.Context()
	same(t, "at first", get(s.Cursor(ctx, "slack"))(t), int64(0))
	must(t, s.Enqueue(ctx, "slack", 7, out("1", "C1", "a")))
	same(t, "moved", get(s.Cursor(ctx, "slack"))(t), int64(7))
	if err := s.Enqueue(ctx, "slack", 9, out("2", "C2", "b"), bot.Outgoing{}); err == nil {
		t.Error("a message without a key was taken")
	}
	same(t, "not moved by a failure", get(s.Cursor(ctx, "slack"))(t), int64(7))
	same(t, "nothing enqueued by a failure", due(t, s, now), []string{`1 "a"`})
	must(t, s.Enqueue(ctx, "slack", 8))
	same(t, "moved without messages", get(s.Cursor(ctx, "slack"))(t), int64(8))
	must(t, s.Enqueue(ctx, "", 99, out("3", "C3", "c")))
	same(t, "another reader", get(s.Cursor(ctx, "discord"))(t), int64(0))
	same(t, "an empty reader moves none", get(s.Cursor(ctx, ""))(t), int64(0))
}

func refs(t *testing.T, s Store) {
	ctx := t.Context()
	post := func(topic, channel string, r bot.Ref) {
		t.Helper()
		o := out(topic+"@"+channel, channel, "x")
		o.Topic, o.Edit = topic, true
		must(t, s.Enqueue(ctx, "", 0, o))
		must(t, s.Delivered(ctx, o, r))
	}
	post("incident/INC-1", "C1", bot.Ref{Surface: "slack", Channel: "C1", Message: "m1", Thread: "m1"})
	post("incident/INC-1", "C2", bot.Ref{Surface: "slack", Channel: "C2", Message: "m9", Thread: "m9"})
	post("proposal/p1", "C1", bot.Ref{Surface: "slack", Channel: "C1", Message: "m2", Thread: "m1"})
	post("incident/INC-1", "C1", bot.Ref{Surface: "slack", Channel: "C1", Message: "m1"})
	topic := func(p bot.Place) string { t.Helper(); return get(s.TopicOf(ctx, p))(t) }
	same(t, "the thread's topic is its first", topic(bot.Place{Surface: "slack", Channel: "C1", Thread: "m1"}), "incident/INC-1")
	same(t, "the other channel's thread", topic(bot.Place{Surface: "slack", Channel: "C2", Thread: "m9"}), "incident/INC-1")
	same(t, "a thread of another channel", topic(bot.Place{Surface: "slack", Channel: "C2", Thread: "m1"}), "")
	same(t, "a thread of another surface", topic(bot.Place{Surface: "discord", Channel: "C1", Thread: "m1"}), "")
	same(t, "no thread", topic(to("C1")), "")
	r, ok, err := s.RefOf(ctx, "incident/INC-1", bot.Place{Surface: "slack", Channel: "C1", Thread: "any"})
	must(t, err)
	if !ok || r != (bot.Ref{Surface: "slack", Channel: "C1", Message: "m1", Thread: "m1"}) {
		t.Errorf("an edit without a thread changed the ref to %+v", r)
	}
	if _, ok, err := s.RefOf(ctx, "incident/INC-2", to("C1")); ok || err != nil {
		t.Errorf("an unknown topic: %v %v", ok, err)
	}
}

func conversation(t *testing.T, s Store) {
	ctx := t.Context()
	same(t, "new", get(s.FirstSeen(ctx, "e1", now))(t), true)
	same(t, "repeated", get(s.FirstSeen(ctx, "e1", now.Add(23*time.Hour)))(t), false)
	same(t, "another", get(s.FirstSeen(ctx, "e2", now))(t), true)
	same(t, "after a day", get(s.FirstSeen(ctx, "e1", now.Add(25*time.Hour)))(t), true)

	p := bot.Place{Surface: "slack", Channel: "C1", Thread: "m1"}
	same(t, "no memory", get(s.Memory(ctx, p))(t), json.RawMessage(nil))
	must(t, s.Remember(ctx, p, json.RawMessage(`{"a":1}`), now))
	must(t, s.Remember(ctx, p, json.RawMessage(`{"a":2}`), now))
	same(t, "memory", get(s.Memory(ctx, p))(t), json.RawMessage(`{"a":2}`))
	same(t, "another thread's", get(s.Memory(ctx, to("C1")))(t), json.RawMessage(nil))

	a := get(s.PutChoice(ctx, json.RawMessage(`{"tool":"logs"}`), now))(t)
	b := get(s.PutChoice(ctx, json.RawMessage(`{"tool":"logs"}`), now))(t)
	if a == b || len(a) < 20 {
		t.Errorf("ids %q and %q can be guessed", a, b)
	}
	same(t, "choice", get(s.Choice(ctx, a))(t), json.RawMessage(`{"tool":"logs"}`))
	if _, err := s.Choice(ctx, "x"); err == nil {
		t.Error("an unknown choice was found")
	}

	must(t, s.Prune(ctx, now.AddDate(0, 0, 6)))
	same(t, "memory within a week", get(s.Memory(ctx, p))(t), json.RawMessage(`{"a":2}`))
	must(t, s.Prune(ctx, now.AddDate(0, 0, 31)))
	same(t, "memory after it", get(s.Memory(ctx, p))(t), json.RawMessage(nil))
	if _, err := s.Choice(ctx, a); err == nil {
		t.Error("a choice is remembered after a month")
	}
}
