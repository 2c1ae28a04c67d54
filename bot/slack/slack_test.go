package slack

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/slack/slackfake"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	ops = "C0OPS"
	mia = "U0MIA"
	ken = "U0KEN"
)

// office is a workspace, the surface in it, and a handler that notes what it was given.
type office struct {
	*slackfake.Server
	surface *Slack
	ctx     context.Context
	stop    func() error // ends Run and gives what it returned

	mu    sync.Mutex
	heard []bot.Inbound
}

type officeConfig struct {
	fake   slackfake.Config
	http   bool
	change func(*Config)
	handle bot.Handler // after noting; nothing when nil
}

func open(t *testing.T, oc officeConfig) *office {
	t.Helper()
	o := &office{Server: slackfake.New(oc.fake)}
	cfg := Config{
		BotToken: slackfake.BotToken, AppToken: slackfake.AppToken, APIURL: o.URL(),
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if oc.http {
		cfg.AppToken, cfg.SigningSecret = "", slackfake.SigningSecret
	}
	if oc.change != nil {
		oc.change(&cfg)
	}
	surface, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	o.surface = surface
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	o.ctx = ctx
	var entry *httptest.Server
	if oc.http {
		entry = httptest.NewServer(surface.Handler())
		o.EventsURL(entry.URL)
	}
	ended := make(chan error, 1)
	go func() {
		ended <- surface.Run(ctx, func(ctx context.Context, in bot.Inbound, r bot.Responder) {
			o.mu.Lock()
			o.heard = append(o.heard, in)
			o.mu.Unlock()
			if oc.handle != nil {
				oc.handle(ctx, in, r)
			}
		})
	}()
	var once sync.Once
	var result error
	o.stop = func() error {
		once.Do(func() { cancel(); result = <-ended })
		return result
	}
	t.Cleanup(func() {
		_ = o.stop()
		if entry != nil {
			entry.Close()
		}
		o.Close()
	})
	if oc.http {
		o.until(t, func() bool { surface.mu.Lock(); defer surface.mu.Unlock(); return surface.session != nil })
	} else if err := o.WaitConnected(ctx); err != nil {
		t.Fatal(err)
	}
	return o
}

// until waits for what the workspace does not see.
func (o *office) until(t *testing.T, f func() bool) {
	t.Helper()
	for !f() {
		if o.ctx.Err() != nil {
			t.Fatal("it did not happen")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// in waits for the n-th thing that was heard.
func (o *office) in(t *testing.T, n int) bot.Inbound {
	t.Helper()
	o.until(t, func() bool { return len(o.ins()) > n })
	return o.ins()[n]
}

func (o *office) ins() []bot.Inbound {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]bot.Inbound(nil), o.heard...)
}

func (o *office) expect(t *testing.T, channel, words string) slackfake.Message {
	t.Helper()
	m, err := o.WaitMessage(o.ctx, channel, words)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func (o *office) noFaults(t *testing.T) {
	t.Helper()
	for _, f := range o.Faults() {
		t.Errorf("Slack objects: %s", f)
	}
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func must[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		ok(t, err)
		return v
	}
}

// echo answers everything with its text.
func echo(ctx context.Context, in bot.Inbound, r bot.Responder) {
	_ = r.Answer(ctx, message.Message{Title: "you said " + in.Text + in.Action})
}

func overBoth(t *testing.T, f func(t *testing.T, http bool)) {
	t.Run("over socket mode", func(t *testing.T) { f(t, false) })
	t.Run("over signed HTTP", func(t *testing.T) { f(t, true) })
}

func TestEachWayOfSpeakingIsHeardAndAnsweredInItsPlace(t *testing.T) {
	overBoth(t, func(t *testing.T, http bool) {
		o := open(t, officeConfig{http: http, handle: echo})

		ok(t, o.Slash(mia, ops, "/atl", "pods in shop <& co>"))
		in := o.in(t, 0)
		if in.Kind != bot.Slash || in.Text != "pods in shop <& co>" || in.Person.ID != "slack:U0MIA" || in.Person.Name != "Mia" ||
			in.Person.Stranger || in.Lang != "en-GB" || in.Place != (bot.Place{Surface: "slack", Channel: ops}) {
			t.Errorf("slash: %+v", in)
		}
		if m := o.expect(t, ops, "you said pods in shop <& co>"); m.Thread != "" || m.Only != "" {
			t.Errorf("the answer to a slash command is for the channel: %+v", m)
		}

		asked := must[slackfake.Message](t)(o.Mention(ken, ops, "what is wrong?"))
		in = o.in(t, 1)
		if in.Kind != bot.Mention || in.Text != "what is wrong?" || in.Place.Thread != asked.TS || in.Lang != "ja-JP" {
			t.Errorf("mention: %+v", in)
		}
		if m := o.expect(t, ops, "you said what is wrong?"); m.Thread != asked.TS {
			t.Errorf("a mention is answered in a thread beneath it: %+v", m)
		}

		must[slackfake.Message](t)(o.Reply(mia, ops, asked.TS, "and in staging?"))
		in = o.in(t, 2)
		if in.Kind != bot.Reply || in.Text != "and in staging?" || in.Place.Thread != asked.TS {
			t.Errorf("reply: %+v", in)
		}
		o.expect(t, ops, "you said and in staging?")

		direct := must[slackfake.Message](t)(o.Direct(mia, "are we fine?"))
		in = o.in(t, 3)
		if in.Kind != bot.Direct || in.Text != "are we fine?" || in.Place.Thread != "" {
			t.Errorf("direct: %+v", in)
		}
		if m := o.expect(t, direct.Channel, "you said are we fine?"); m.Thread != "" {
			t.Errorf("a direct message is answered beside it: %+v", m)
		}
		if got := len(o.ins()); got != 4 {
			t.Errorf("%d things heard, want 4: %+v", got, o.ins())
		}
		o.noFaults(t)
	})
}

func TestWhatIsNotForTheBotIsLeftAlone(t *testing.T) {
	o := open(t, officeConfig{handle: echo})
	say := must[slackfake.Message](t)
	talk := say(o.Say(mia, ops, "lunch?"))
	say(o.Reply(ken, ops, talk.TS, "yes")) // a thread of people
	ref, err := o.surface.Post(o.ctx, bot.Place{Surface: "slack", Channel: ops}, message.Message{Title: "INC-1"}, "k1", "INC-1")
	ok(t, err)
	say(o.Reply(ken, ops, ref.Thread, "looking")) // a thread of the bot's
	o.expect(t, ops, "you said looking")
	// In another thread than "yes", which a mention would make one that the bot takes part in.
	other := say(o.Say(mia, ops, "coffee?"))
	say(o.MentionIn(ken, ops, other.TS, "what about this")) // a mention in people's thread: once, as a mention
	o.expect(t, ops, "you said what about this")
	var texts []string
	for _, in := range o.ins() {
		texts = append(texts, in.Text)
	}
	slices.Sort(texts) // events are handled side by side
	if got := strings.Join(texts, "|"); got != "looking|what about this" {
		t.Errorf("heard %q", got)
	}
	o.noFaults(t)
}

func TestThreadsOfAnEarlierLifeAreRecognised(t *testing.T) {
	o := open(t, officeConfig{handle: echo})
	p := bot.Place{Surface: "slack", Channel: ops}
	ref, err := o.surface.post(o.ctx, p, message.Message{Title: "INC-1"}, "k1")
	ok(t, err)
	o.surface.threads = newThreadBook(o.surface.api) // as after a restart
	o.surface.threads.setSelf(identity{User: slackfake.BotUser, Bot: slackfake.BotID})
	must[slackfake.Message](t)(o.Reply(ken, ops, ref.Thread, "still there?"))
	o.expect(t, ops, "you said still there?")
}

func TestAButtonAndItsPrompt(t *testing.T) {
	overBoth(t, func(t *testing.T, http bool) {
		o := open(t, officeConfig{http: http, handle: func(ctx context.Context, in bot.Inbound, r bot.Responder) {
			switch {
			case in.Kind == bot.Click && in.Action == "proposal.reject":
				if err := r.Ask(ctx, bot.Prompt{Title: "Why reject this proposal of Mia's?", Fields: []bot.Field{
					{Name: "reason", Label: "Reason", Hint: "one line"}, {Name: "note", Label: "Note", Optional: true},
					{Name: "again", Label: "Ask again", Choices: []bot.Choice{{Label: "never", Value: "no"}, {Label: "in a week", Value: "168h"}}, Value: "no"},
				}, Action: "proposal.reason", Subject: in.Subject}); err != nil {
					t.Error(err)
				}
			case in.Kind == bot.Click:
				_ = r.Answer(ctx, message.Message{Title: "clicked " + in.Action + " " + in.Subject, Private: in.Action == "secret"})
			case in.Kind == bot.Submit:
				_ = r.Answer(ctx, message.Message{Title: "rejected " + in.Subject + ": " + in.Values["reason"] + in.Values["note"] + " " + in.Values["again"]})
			}
		}})
		card := message.Message{Tone: message.Proposal, Title: "Roll back payments", Blocks: []message.Block{
			message.Actions{Buttons: []message.Button{
				{Label: "Roll back to v2.3.1", Action: "proposal.approve", Subject: "P-7"},
				{Label: "Reject", Action: "proposal.reject", Subject: "P-7", Style: message.Danger},
			}},
			message.Actions{Buttons: []message.Button{
				{Label: "Approve too", Action: "proposal.approve", Subject: "P-8"},
				{Label: "Whisper", Action: "secret", Subject: "x"},
			}},
			message.Select{Placeholder: "Which payments?", Options: []message.Button{
				{Label: "payments in shop", Action: "choice", Subject: "c-6"}, {Label: "payments in refunds", Action: "choice", Subject: "c-7"},
			}},
		}}
		ref, err := o.surface.Post(o.ctx, bot.Place{Surface: "slack", Channel: ops}, card, "k1", "")
		ok(t, err)
		m := o.expect(t, ops, "Roll back payments")

		if err := o.Click(mia, m, "Roll it back"); err == nil {
			t.Error("a button that is not there was clicked")
		}
		ok(t, o.Click(mia, m, "Roll back to v2.3.1"))
		if a := o.expect(t, ops, "clicked proposal.approve P-7"); a.Thread != m.TS {
			t.Errorf("the answer to a click goes beneath the message: %+v", a)
		}
		in := o.in(t, 0)
		if in.Kind != bot.Click || in.Message.Message != m.TS || in.Place.Thread != m.TS || in.Message.Thread != ref.Thread {
			t.Errorf("click: %+v", in)
		}
		ok(t, o.Click(mia, m, "Approve too"))
		o.expect(t, ops, "clicked proposal.approve P-8")
		ok(t, o.Click(mia, m, "Whisper"))
		if a := o.expect(t, ops, "clicked secret"); a.Only != mia {
			t.Errorf("a private answer is for the person alone: %+v", a)
		}

		ok(t, o.Click(ken, m, "Reject"))
		ok(t, o.Wait(o.ctx, func() bool { _, open := o.View(ken); return open }))
		view, _ := o.View(ken)
		if err := o.Submit(ken, view, nil); err == nil {
			t.Error("a field that is needed was left empty")
		}
		if err := o.Submit(ken, view, map[string]string{"reason": "r", "again": "perhaps"}); err == nil {
			t.Error("something was chosen that is no choice")
		}
		for _, label := range []string{"Reason", "one line", "Note", "never", "in a week"} {
			if !strings.Contains(view.Text(), label) {
				t.Errorf("the prompt lacks %q:\n%s", label, view.Text())
			}
		}
		ok(t, o.Submit(ken, view, map[string]string{"reason": " too risky ", "again": "168h"}))
		if a := o.expect(t, ops, "rejected P-7: too risky 168h"); a.Thread != m.TS {
			t.Errorf("the prompt's answer goes where it was opened: %+v", a)
		}
		ok(t, o.Choose(mia, m, "payments in refunds"))
		o.expect(t, ops, "clicked choice c-7")
		o.noFaults(t)
	})
}

func TestProgressIsOneMessageThatBecomesTheAnswer(t *testing.T) {
	var mu sync.Mutex
	now := time.Now()
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	o := open(t, officeConfig{
		change: func(c *Config) { c.Now = clock },
		handle: func(ctx context.Context, in bot.Inbound, r bot.Responder) {
			for _, step := range []string{"one", "two", "three"} {
				if err := r.Working(ctx, step); err != nil {
					t.Error(err)
				}
			}
			mu.Lock()
			now = now.Add(2 * time.Second)
			mu.Unlock()
			_ = r.Working(ctx, "four")
			_ = r.Answer(ctx, message.Message{Title: "done " + in.Text, Private: in.Text == "quietly"})
		},
	})
	asked := must[slackfake.Message](t)(o.Mention(mia, ops, "check"))
	m := o.expect(t, ops, "done check")
	if thread := o.Thread(ops, asked.TS); len(thread) != 2 {
		t.Errorf("one message answers: %v", thread)
	}
	if m.Edits != 2 { // "four" and the answer; "two" and "three" came too soon
		t.Errorf("%d edits", m.Edits)
	}
	must[slackfake.Message](t)(o.Mention(mia, ops, "quietly"))
	if m := o.expect(t, ops, "done quietly"); m.Only != mia {
		t.Errorf("not private: %+v", m)
	}
	ok(t, o.Slash(mia, ops, "/atl", "loudly"))
	o.expect(t, ops, "done loudly")
	ok(t, o.Slash(mia, ops, "/atl", "quietly"))
	o.until(t, func() bool { return o.Calls("response_url") == 6 })
	ok(t, o.Wait(o.ctx, func() bool {
		for _, m := range append(o.Messages(ops), o.Thread(ops, asked.TS)...) {
			if strings.Contains(m.Text(), "⏳") {
				return false
			}
		}
		return true
	}))
	o.noFaults(t)
}

func TestACommandWhereTheBotIsNoMemberIsStillAnswered(t *testing.T) {
	o := open(t, officeConfig{handle: echo})
	o.AddChannel(slackfake.Channel{ID: "C0FAR", Name: "far", Outside: true})
	ok(t, o.Slash(mia, "C0FAR", "/atl", "help"))
	if m := o.expect(t, "C0FAR", "you said help"); m.Only != "" {
		t.Errorf("%+v", m)
	}
}

func TestGroupsAndAddressesAreThoseOfNow(t *testing.T) {
	o := open(t, officeConfig{})
	o.AddUser(slackfake.User{ID: "U1ADA", Name: "Ada", Email: "ada@example.com"})
	o.AddUser(slackfake.User{ID: "U2EVE", Name: "Eve", Email: "ada@example.com", Unconfirmed: true})
	o.AddUser(slackfake.User{ID: "U3GUEST", Name: "Guest", Guest: true})
	o.SetGroup("S0ONCALL", "U1ADA", "U3GUEST")
	o.SetGroup("S0ALL", "U1ADA", "U2EVE")
	for i, c := range []struct {
		user, email string
		groups      []string
	}{
		{"U1ADA", "ada@example.com", []string{"slack:S0ALL", "slack:S0ONCALL"}},
		{"U2EVE", "", []string{"slack:S0ALL"}},
		{"U3GUEST", "", nil},
	} {
		must[slackfake.Message](t)(o.Mention(c.user, ops, "hello"))
		if p := o.in(t, i).Person; p.Email != c.email || !slices.Equal(p.Groups, c.groups) {
			t.Errorf("%s: %+v", c.user, p)
		}
	}
	if n := o.Calls("usergroups.list"); n != 1 {
		t.Errorf("groups were looked up %d times", n)
	}
}

func TestWhomATextMentionsIsKnownById(t *testing.T) {
	for in, want := range map[string]string{
		"grant <@U1|mia> operator":                  "@mia=slack:U1",
		"grant <@U1> operator":                      "@U1=slack:U1",
		"grant <!subteam^S1|@oncall> admin":         "@subteam^S1=slack:S1",
		"<@U1|mia> or <@U2|mia>":                    "@mia=",
		"grant @mia operator &lt;@U1&gt; <#C1|ops>": "",
	} {
		var got []string
		for text, id := range mentioned(in) {
			got = append(got, text+"="+id)
			if id != "" && !strings.Contains(plainText(in), text) {
				t.Errorf("%s: %q is not in the text", in, text)
			}
		}
		if strings.Join(got, " ") != want {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func TestStrangersAreMarked(t *testing.T) {
	o := open(t, officeConfig{})
	for _, u := range []slackfake.User{
		{ID: "U1GUEST", Name: "Guest", Guest: true},
		{ID: "U2AWAY", Name: "Away", Team: slackfake.OtherTeam},
		{ID: "U3GONE", Name: "Gone", Deleted: true},
		{ID: "U4BOT", Name: "Robot", Bot: true},
	} {
		o.AddUser(u)
	}
	for i, user := range []string{"U1GUEST", "U2AWAY", "U3GONE", "U4BOT", "U5NOBODY"} {
		must[slackfake.Message](t)(o.Mention(user, ops, "hello"))
		if in := o.in(t, i); !in.Person.Stranger || in.Person.ID != "slack:"+user {
			t.Errorf("%s: %+v", user, in.Person)
		}
	}
	must[slackfake.Message](t)(o.Mention(mia, ops, "hello"))
	if in := o.in(t, 5); in.Person.Stranger {
		t.Errorf("Mia is no stranger: %+v", in.Person)
	}
	before := o.Calls("users.info")
	must[slackfake.Message](t)(o.Mention(mia, ops, "hello again"))
	o.in(t, 6)
	if o.Calls("users.info") != before {
		t.Error("a person just looked up was looked up again")
	}
}

func TestARepeatedEventKeepsItsID(t *testing.T) {
	overBoth(t, func(t *testing.T, http bool) {
		o := open(t, officeConfig{http: http})
		must[slackfake.Message](t)(o.Direct(mia, "once"))
		ok(t, o.Redeliver())
		if a, b := o.in(t, 0), o.in(t, 1); a.ID == "" || a.ID != b.ID {
			t.Errorf("%q and %q", a.ID, b.ID)
		}
	})
}

func TestSocketModeComesBack(t *testing.T) {
	for _, politely := range []bool{true, false} {
		o := open(t, officeConfig{handle: echo})
		o.until(t, func() bool { return !o.surface.LastEvent().IsZero() })
		before := o.surface.LastEvent()
		o.Disconnect(politely)
		ok(t, o.WaitConnected(o.ctx))
		must[slackfake.Message](t)(o.Mention(mia, ops, "back?"))
		o.expect(t, ops, "you said back?")
		if !o.surface.LastEvent().After(before) {
			t.Error("LastEvent stands still")
		}
	}
}

func TestAPanicInOneAnswerLeavesTheOthersAlone(t *testing.T) {
	o := open(t, officeConfig{handle: func(ctx context.Context, in bot.Inbound, r bot.Responder) {
		if in.Text == "boom" {
			panic("boom")
		}
		echo(ctx, in, r)
	}})
	must[slackfake.Message](t)(o.Direct(mia, "boom"))
	m := must[slackfake.Message](t)(o.Direct(mia, "fine?"))
	o.expect(t, m.Channel, "you said fine?")
}

func TestEventsAreAcknowledgedBeforeTheWork(t *testing.T) {
	overBoth(t, func(t *testing.T, http bool) {
		o := open(t, officeConfig{
			http: http, fake: slackfake.Config{AckWithin: 150 * time.Millisecond},
			handle: func(ctx context.Context, in bot.Inbound, r bot.Responder) {
				time.Sleep(250 * time.Millisecond)
				echo(ctx, in, r)
			},
		})
		ok(t, o.Slash(mia, ops, "/atl", "slowly"))
		o.expect(t, ops, "you said slowly")
		o.noFaults(t)
	})
}

func TestFatalFaultsEndRunWithTheirRemedy(t *testing.T) {
	for name, c := range map[string]struct {
		break_ func(*slackfake.Server)
		want   string
	}{
		"a revoked token":                    {func(s *slackfake.Server) { s.Revoke() }, "SLACK_BOT_TOKEN"},
		"an app token without its one scope": {func(s *slackfake.Server) { s.DropScope("connections:write") }, "connections:write"},
	} {
		t.Run(name, func(t *testing.T) {
			fake := slackfake.New(slackfake.Config{})
			defer fake.Close()
			c.break_(fake)
			s, err := New(Config{BotToken: slackfake.BotToken, AppToken: slackfake.AppToken, APIURL: fake.URL()})
			ok(t, err)
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			if err := s.Run(ctx, echo); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
			if err := s.Check(ctx); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("Check: %v", err)
			}
		})
	}
}

func TestCheckNamesWhatIsMissing(t *testing.T) {
	fake := slackfake.New(slackfake.Config{})
	defer fake.Close()
	check := func(channel string) error {
		s, err := New(Config{BotToken: slackfake.BotToken, AppToken: slackfake.AppToken, APIURL: fake.URL(), Channel: channel})
		ok(t, err)
		return s.Check(t.Context())
	}
	fake.AddChannel(slackfake.Channel{ID: "C0FAR", Outside: true})
	ok(t, check(ops))
	ok(t, check(""))
	if err := check("C0FAR"); err == nil || !strings.Contains(err.Error(), "/invite @atlhyper") {
		t.Errorf("got %v", err)
	}
	if err := check("C0NONE"); err == nil || !strings.Contains(err.Error(), "/invite @atlhyper") {
		t.Errorf("got %v", err)
	}
}

func TestAMissingSettingIsNamed(t *testing.T) {
	for _, cfg := range []Config{{}, {BotToken: "x"}} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "SLACK_") {
			t.Errorf("got %v", err)
		}
	}
}

func TestTheHTTPEntryTakesOnlyWhatSlackSigned(t *testing.T) {
	o := open(t, officeConfig{http: true})
	entry := httptest.NewServer(o.surface.Handler())
	defer entry.Close()
	const form = "application/x-www-form-urlencoded"
	body := "command=%2Fatl&text=hi&user_id=U0MIA&channel_id=C0OPS&trigger_id=t1&team_id=" + slackfake.Team
	send := func(path, contentType, body, secret string, at time.Time) int {
		req, err := slackfake.SignedRequest(entry.URL+path, contentType, body, secret, at)
		ok(t, err)
		resp, err := http.DefaultClient.Do(req.WithContext(t.Context()))
		ok(t, err)
		_ = resp.Body.Close()
		return resp.StatusCode
	}
	for name, c := range map[string]struct {
		secret string
		at     time.Time
		want   int
	}{
		"signed now":               {slackfake.SigningSecret, time.Now(), 200},
		"signed by somebody else":  {"guess", time.Now(), 401},
		"signed six minutes ago":   {slackfake.SigningSecret, time.Now().Add(-6 * time.Minute), 401},
		"signed in the far future": {slackfake.SigningSecret, time.Now().Add(6 * time.Minute), 401},
	} {
		if got := send("/slack/commands", form, body, c.secret, c.at); got != c.want {
			t.Errorf("%s: %d, want %d", name, got, c.want)
		}
	}
	// A payload in the query is not covered by the signature.
	o.in(t, 0)
	query := `/slack/interactions?payload=%7B%22type%22%3A%22block_actions%22%2C%22user%22%3A%7B%22id%22%3A%22U0MIA%22%7D%7D`
	if got := send(query, form, "x=1", slackfake.SigningSecret, time.Now()); got != 200 {
		t.Errorf("%d", got)
	}
	if got := send("/slack/events", "application/json", `{"type":"url_verification","challenge":"c"}`, slackfake.SigningSecret, time.Now()); got != 200 {
		t.Errorf("challenge: %d", got)
	}
	if got := send("/slack/events", "application/json", strings.Repeat("x", maxBody+1), slackfake.SigningSecret, time.Now()); got != 400 {
		t.Errorf("a body without end: %d", got)
	}
	ok(t, o.stop())
	if got := send("/slack/commands", form, body, slackfake.SigningSecret, time.Now()); got != 503 {
		t.Errorf("after Run: %d, want 503", got)
	}
	if got := len(o.ins()); got != 1 {
		t.Errorf("%d things heard, want the one that was signed", got)
	}
}

func TestRunTwiceIsRefused(t *testing.T) {
	o := open(t, officeConfig{})
	if err := o.surface.Run(o.ctx, echo); err == nil || errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}

func TestCheckNamesTheScopesThatLack(t *testing.T) {
	fake := slackfake.New(slackfake.Config{})
	defer fake.Close()
	fake.DropScope("files:write")
	fake.DropScope("users:read")
	s, err := New(Config{BotToken: slackfake.BotToken, AppToken: slackfake.AppToken, APIURL: fake.URL(), Channel: ops})
	ok(t, err)
	if err := s.Check(t.Context()); err == nil || !strings.Contains(err.Error(), "lacks files:write, users:read: add that under OAuth & Permissions") {
		t.Errorf("got %v", err)
	}
}
