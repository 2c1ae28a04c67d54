package slack

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/card/cardtest"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/slack/slackfake"
)

// install makes the app what its manifest says.
func install(t *testing.T, s *slackfake.Server) {
	t.Helper()
	raw, err := os.ReadFile("../../deploy/slack/manifest.yaml")
	ok(t, err)
	ok(t, s.Install(raw))
}

// hosting shows a home that says how often it was shown, and answers what is done on it.
func hosting(t *testing.T) bot.Handler {
	n := 0
	return func(ctx context.Context, in bot.Inbound, r bot.Responder) {
		if in.Kind == bot.Click && in.Action == card.ActAsk {
			if err := r.Ask(ctx, bot.Prompt{Title: "Ask AtlHyper", Action: card.ActAsk, Subject: in.Subject, Fields: []bot.Field{{Name: "question", Label: "Question"}}}); err != nil {
				t.Error(err)
			}
			return
		}
		if in.Kind != bot.Home {
			if err := r.Answer(ctx, message.Message{Title: "answered " + in.Action + in.Subject + in.Values["question"]}); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
		if in.Kind == bot.Home || in.AtHome {
			n++
			m := message.Message{Title: fmt.Sprint("home ", n), Blocks: []message.Block{message.Actions{Buttons: []message.Button{
				{Label: "Explain INC-1", Action: card.ActExplain, Subject: "INC-1"}, {Label: "Open the thread", URL: "https://home.slack.com/archives/C0OPS/p1"}, {Label: "Ask…", Action: card.ActAsk, Subject: "question"},
			}}, message.Select{Placeholder: "more", Options: []message.Button{{Label: "INC-2", Action: card.ActExplain, Subject: "INC-2"}}}}}
			if err := r.(bot.Publisher).Publish(ctx, m); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}
	}
}

func (o *office) home(t *testing.T, user, words string) slackfake.Message {
	t.Helper()
	ok(t, o.Wait(o.ctx, func() bool { m, _ := o.Home(user); return strings.Contains(m.Text(), words) }))
	m, _ := o.Home(user)
	return m
}

func TestAHomeIsShownWhenItIsOpenedAndAnewAfterAButton(t *testing.T) {
	overBoth(t, func(t *testing.T, http bool) {
		o := open(t, officeConfig{http: http, handle: hosting(t)})
		install(t, o.Server)
		ok(t, o.OpenMessages(mia)) // which shows nothing of ours
		ok(t, o.OpenHome(mia))
		o.home(t, mia, "home 1")
		if in := o.in(t, 0); in.Kind != bot.Home || in.Person.ID != "slack:U0MIA" || in.Person.Stranger || in.Lang != "en-GB" || in.Place != (bot.Place{Surface: "slack", Channel: "D0MIA"}) {
			t.Errorf("%+v", in)
		}
		if m, _ := o.Home(ken); len(m.Blocks) != 0 {
			t.Error("another sees it")
		}

		ok(t, o.ClickHome(mia, "Explain INC-1"))
		o.home(t, mia, "home 2")
		in := o.in(t, 1)
		if in.Kind != bot.Click || !in.AtHome || in.Action != card.ActExplain || in.Subject != "INC-1" || in.Place.Channel != "D0MIA" || in.Place.Thread != "" {
			t.Errorf("%+v", in)
		}
		if m := o.expect(t, "D0MIA", "answered incident.explainINC-1"); m.Thread != "" {
			t.Errorf("%+v", m)
		}
		ok(t, o.ClickHome(mia, "Open the thread")) // Slack opens it, and tells us, which is acknowledged and no more
		ok(t, o.ClickHome(mia, "INC-2"))
		o.home(t, mia, "home 3")
		o.expect(t, "D0MIA", "answered incident.explainINC-2")

		ok(t, o.ClickHome(mia, "Ask…"))
		ok(t, o.Wait(o.ctx, func() bool { _, open := o.View(mia); return open }))
		v, _ := o.View(mia)
		ok(t, o.Submit(mia, v, map[string]string{"question": "is it bad?"}))
		o.home(t, mia, "home 4")
		if in := o.in(t, 4); in.Kind != bot.Submit || !in.AtHome || in.Values["question"] != "is it bad?" || in.Place.Channel != "D0MIA" {
			t.Errorf("%+v", in)
		}
		o.expect(t, "D0MIA", "answered askquestionis it bad?")
		if _, n := o.Home(mia); n != 4 || len(o.ins()) != 5 {
			t.Errorf("published %d times upon %d events", n, len(o.ins()))
		}
		o.noFaults(t)
	})
}

func TestAHomeThatSlackIsTooBusyForIsShownLater(t *testing.T) {
	o := open(t, officeConfig{handle: hosting(t)})
	install(t, o.Server)
	o.Fail("views.publish", "429", 1)
	ok(t, o.OpenHome(mia))
	o.home(t, mia, "home 1")
	o.noFaults(t)
}

func TestAPersonWhomSlackDoesNotTellOfKeepsTheHomeTheyHad(t *testing.T) {
	now := time.Now()
	o := open(t, officeConfig{handle: hosting(t), change: func(c *Config) { c.Now = func() time.Time { return now } }})
	install(t, o.Server)
	ok(t, o.OpenHome(mia))
	o.home(t, mia, "home 1")
	now = now.Add(time.Hour)
	o.Fail("users.info", "internal_error", 1)
	ok(t, o.OpenHome(mia))
	ok(t, o.OpenHome(mia))
	o.home(t, mia, "home 2")
	if got := len(o.ins()); got != 2 {
		t.Errorf("%d of three looks were told of", got)
	}
}

func TestEveryCardFitsAHomeInItsWorstCases(t *testing.T) {
	fake := slackfake.New(slackfake.Config{})
	defer fake.Close()
	install(t, fake)
	s := newDesk(t, fake)
	for kind := range cardtest.Names {
		for name, m := range cardtest.Cards(kind) {
			r := &responder{s: s, heard: &heard{user: mia, in: bot.Inbound{Place: bot.Place{Surface: "slack", Channel: "D0MIA"}}}}
			if err := r.Publish(t.Context(), m); err != nil {
				t.Errorf("%s/%s: %v: %v", kind, name, err, fake.Faults())
				continue
			}
			home, _ := fake.Home(mia)
			if p := home.Pings(); p != nil {
				t.Errorf("%s/%s pings %q", kind, name, p)
			}
			cardtest.Whole(t, m, home.Text(), len(home.Buttons()), "")
		}
	}
}

func TestTheShortcutOpensTheFormAndIsAnsweredDirectly(t *testing.T) {
	overBoth(t, func(t *testing.T, http bool) {
		o := open(t, officeConfig{http: http, handle: hosting(t)})
		install(t, o.Server)
		ok(t, o.Shortcut(ken, "Ask AtlHyper"))
		ok(t, o.Wait(o.ctx, func() bool { _, open := o.View(ken); return open }))
		v, _ := o.View(ken)
		ok(t, o.Submit(ken, v, map[string]string{"question": "what is wrong?"}))
		if m := o.expect(t, "D0KEN", "answered askquestionwhat is wrong?"); m.Only != "" || m.Thread != "" {
			t.Errorf("%+v", m)
		}
		if in := o.in(t, 1); in.AtHome || in.Person.ID != "slack:U0KEN" {
			t.Errorf("%+v", in)
		}
		if _, n := o.Home(ken); n != 0 {
			t.Error("a home was published that nobody opened")
		}
		o.noFaults(t)
	})
}

func TestAMessageThatIsPointedAtIsEvidenceWithAllThatItShows(t *testing.T) {
	secretly := func(ctx context.Context, in bot.Inbound, r bot.Responder) {
		if err := r.Working(ctx, "looking"); err != nil {
			t.Error(err)
		}
		if err := r.Answer(ctx, message.Message{Title: "known: " + in.Person.Name, Private: true}); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	}
	overBoth(t, func(t *testing.T, http bool) {
		o := open(t, officeConfig{http: http, handle: secretly})
		install(t, o.Server)
		o.AddChannel(slackfake.Channel{ID: "C0FAR", Outside: true})
		o.AddChannel(slackfake.Channel{ID: "D0PAIR", Outside: true}) // of two people
		alert := must[slackfake.Message](t)(o.Say(mia, ops, "alert & more"))
		alert.Attachments = []any{map[string]any{"title": "KubePodCrashLooping", "text": "pod payments-7d9c-x2x", "fields": []any{map[string]any{"title": "ns", "value": "shop"}}, "color": "#f00"}}
		alert.Blocks = []any{map[string]any{"type": "section", "block_id": "b", "text": map[string]any{"type": "mrkdwn", "text": "see <https://x.example|checkout>"}}}
		ok(t, o.Point(ken, alert, "Explain this"))
		m := o.expect(t, ops, "known: Ken")
		if m.Only != ken || m.Thread != "" {
			t.Errorf("everybody sees it: %+v", m)
		}
		in := o.in(t, 0)
		if in.Kind != bot.Pointed || in.Text != "" || in.Action != "" || in.Place != (bot.Place{Surface: "slack", Channel: ops}) {
			t.Errorf("%+v", in)
		}
		for _, want := range []string{"alert & more", "KubePodCrashLooping", "payments-7d9c-x2x", "shop", "see checkout"} {
			if !strings.Contains(in.Evidence, want) {
				t.Errorf("%q is not in %q", want, in.Evidence)
			}
		}
		if strings.Contains(in.Evidence, "#f00") || strings.Contains(in.Evidence, "mrkdwn") {
			t.Errorf("what nobody reads is in %q", in.Evidence)
		}

		reply := must[slackfake.Message](t)(o.Reply(mia, ops, alert.TS, "it is payments"))
		ok(t, o.Point(ken, reply, "Explain this"))
		ok(t, o.Wait(o.ctx, func() bool { return len(o.Thread(ops, alert.TS)) == 3 }))
		must[slackfake.Message](t)(o.Reply(mia, ops, alert.TS, "so restart it"))
		if got := len(o.ins()); got != 2 {
			t.Errorf("a thread that was pointed into is listened to: %+v", o.ins())
		}

		for _, place := range []string{"C0FAR", "D0PAIR"} { // where the bot is not, the response URL reaches the one person
			said := must[slackfake.Message](t)(o.Say(mia, place, "payments is down"))
			ok(t, o.Point(mia, said, "Explain this"))
			if m := o.expect(t, place, "known: Mia"); m.Only != mia {
				t.Errorf("%+v", m)
			}
		}
		o.noFaults(t)
	})
}

func TestWhatAPrivateAnswerCannotBringIsSentDirectly(t *testing.T) {
	long := message.Message{
		Title: "the log", Private: true,
		Blocks: []message.Block{message.Code{Heading: "payments", Text: strings.Repeat("a line of the log\n", 1000)}, message.File{Name: "INC-1.md", Text: "# all"}, message.Image{Name: "errors", PNG: []byte("png"), Alt: "31 %"}},
	}
	public := long
	public.Private = false
	o := open(t, officeConfig{handle: func(ctx context.Context, in bot.Inbound, r bot.Responder) {
		c := r.(bot.Courier)
		if in.Kind == bot.Direct {
			if c.Loses(long) {
				t.Error("a direct message brings it all")
			}
			return
		}
		if !c.Loses(long) || c.Loses(public) || c.Loses(message.Message{Title: "short", Private: true}) {
			t.Error("what is lost is not known")
		}
		if err := c.Send(ctx, long); err != nil {
			t.Error(err)
		}
	}})
	must[slackfake.Message](t)(o.Direct(mia, "hello"))
	o.in(t, 0)
	o.Fail("chat.postMessage", slackfake.Lost, 1)
	ok(t, o.Slash(mia, ops, "/atl", "logs"))
	o.expect(t, "D0MIA", "the log")
	var files []string
	ok(t, o.Wait(o.ctx, func() bool {
		files = nil
		for _, m := range o.Messages("D0MIA") {
			for _, f := range m.Files {
				files = append(files, fmt.Sprint(f.Name, " ", len(f.Content)))
			}
		}
		return len(files) >= 3
	}))
	if got := strings.Join(files, ", "); got != "errors.png 3, whole.txt 18000, INC-1.md 5" {
		t.Error(got)
	}
	n := 0
	for _, m := range o.Messages("D0MIA") {
		if strings.Contains(m.Text(), "the log") {
			n++
		}
	}
	if n != 1 || len(o.Messages(ops)) != 0 {
		t.Errorf("sent %d times, and %d messages in the channel", n, len(o.Messages(ops)))
	}
	o.noFaults(t)
}
