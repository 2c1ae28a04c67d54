package discord

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/discord/discordfake"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/tools"
)

func TestMain(m *testing.M) {
	// The tests mostly wait: the library sleeps a second whenever it closes its connection.
	_ = flag.Set("test.parallel", "16")
	goleak.VerifyTestMain(m)
}

const (
	ops = discordfake.Ops
	mia = discordfake.Mia
	ken = discordfake.Ken
)

// office is a Discord server, the surface in it, and a handler that notes what it was given.
type office struct {
	*discordfake.Server
	surface *Discord
	ctx     context.Context
	stop    func() error // ends Run and gives what it returned
	entry   *httptest.Server

	mu    sync.Mutex
	heard []bot.Inbound
}

type officeConfig struct {
	fake   discordfake.Config
	http   bool // interactions over signed HTTP
	change func(*Config)
	handle bot.Handler
}

func open(t *testing.T, oc officeConfig) *office {
	t.Helper()
	o := &office{Server: discordfake.New(oc.fake)}
	cfg := Config{
		BotToken: discordfake.BotToken, GuildID: discordfake.Guild, APIURL: o.URL(), PublicKey: o.PublicKey(),
		Logger: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
	if oc.change != nil {
		oc.change(&cfg)
	}
	surface, err := New(cfg)
	ok(t, err)
	o.surface = surface
	o.entry = httptest.NewServer(surface.Handler())
	if oc.http {
		o.InteractionsURL(o.entry.URL + "/discord/interactions")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	o.ctx = ctx
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
		o.entry.Close()
		o.Close()
	})
	ok(t, o.WaitConnected(ctx))
	return o
}

func (o *office) until(t *testing.T, f func() bool) {
	t.Helper()
	for !f() {
		if o.ctx.Err() != nil {
			t.Fatal("it did not happen")
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func (o *office) ins() []bot.Inbound {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]bot.Inbound(nil), o.heard...)
}

// in waits for the n-th thing that was heard.
func (o *office) in(t *testing.T, n int) bot.Inbound {
	t.Helper()
	o.until(t, func() bool { return len(o.ins()) > n })
	return o.ins()[n]
}

func (o *office) expect(t *testing.T, channel, words string) discordfake.Message {
	t.Helper()
	m, err := o.WaitMessage(o.ctx, channel, words)
	ok(t, err)
	return m
}

func (o *office) noFaults(t *testing.T) {
	t.Helper()
	for _, f := range o.Faults() {
		t.Errorf("Discord objects: %s", f)
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
	t.Run("over the gateway", func(t *testing.T) { t.Parallel(); f(t, false) })
	t.Run("over signed HTTP", func(t *testing.T) { t.Parallel(); f(t, true) })
}

func TestEachWayOfSpeakingIsHeardAndAnsweredInItsPlace(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, http bool) {
		o := open(t, officeConfig{http: http, handle: echo})
		if c := o.Commands(); !slices.Equal(c, []string{"atl"}) {
			t.Errorf("commands %v", c)
		}
		for locale, want := range map[string]string{"zh-CN": "关于哪个集群", "ja": "対象のクラスター"} {
			if d := o.Described(locale); len(d) != 5 || slices.Contains(d, "") || d[2] != want {
				t.Errorf("%s: the command is described as %q", locale, d)
			}
		}
		say := must[discordfake.Message](t)

		ok(t, o.Slash(mia, ops, "pods in shop"))
		in := o.in(t, 0)
		if in.Kind != bot.Slash || in.Text != "pods in shop" || in.Person.ID != "discord:401" || in.Person.Name != "Mia" || in.Lang != "ja" ||
			in.Person.Stranger || !slices.Equal(in.Person.Groups, []string{"discord:role:501"}) || in.Place != (bot.Place{Surface: "discord", Channel: ops}) {
			t.Errorf("slash: %+v", in)
		}
		if m := o.expect(t, ops, "you said pods in shop"); m.Only != "" || m.Edits != 0 {
			t.Errorf("a quick answer is the first one: %+v", m)
		}

		asked := say(o.Mention(ken, ops, "what is wrong?"))
		in = o.in(t, 1)
		if in.Kind != bot.Mention || in.Text != "what is wrong?" || in.Place != (bot.Place{Surface: "discord", Channel: ops, Thread: asked.ID}) {
			t.Errorf("mention: %+v", in)
		}
		o.expect(t, asked.ID, "you said what is wrong?")
		if name := o.ThreadName(asked.ID); name != "what is wrong?" {
			t.Errorf("the thread is called %q", name)
		}

		say(o.Reply(mia, asked.ID, "and in staging?"))
		in = o.in(t, 2)
		if in.Kind != bot.Reply || in.Text != "and in staging?" || in.Place.Thread != asked.ID || in.Place.Channel != ops {
			t.Errorf("reply: %+v", in)
		}
		o.expect(t, asked.ID, "you said and in staging?")

		direct := say(o.Direct(mia, "are we fine?"))
		in = o.in(t, 3)
		if in.Kind != bot.Direct || in.Place.Thread != "" || in.Person.Stranger || len(in.Person.Groups) != 1 {
			t.Errorf("direct: %+v", in)
		}
		o.expect(t, direct.Channel, "you said are we fine?")

		talk := say(o.Say(mia, ops, "lunch?"))
		people := must[string](t)(o.Thread(mia, talk, "lunch"))
		looked := o.Calls("GET /channels/{channel}")
		say(o.Reply(ken, people, "yes"))
		o.until(t, func() bool { return o.Calls("GET /channels/{channel}") > looked })
		time.Sleep(20 * time.Millisecond) // it is dropped without a trace
		say(o.Mention(ken, people, "and you?"))
		o.expect(t, people, "you said and you?")
		say(o.Reply(ken, people, "well?")) // the bot speaks here by now
		o.expect(t, people, "you said well?")
		if got := len(o.ins()); got != 6 {
			t.Errorf("%d things heard: %+v", got, o.ins())
		}
		o.noFaults(t)
	})
}

func TestAnIncidentIsOneMessageWithAThread(t *testing.T) {
	t.Parallel()
	o := open(t, officeConfig{handle: echo})
	p := bot.Place{Surface: "discord", Channel: ops}
	m := message.Message{Tone: message.Incident, Title: "checkout is failing", Blocks: []message.Block{
		message.Image{Name: "errors", PNG: []byte("png"), Alt: "errors 0.2 % → 31 %"},
		message.Actions{Buttons: []message.Button{{Label: "Explain", Action: "incident.explain", Subject: "INC-1"}}},
	}}
	ref, err := o.surface.Post(o.ctx, p, m, "k1", strings.Repeat("INC-1 checkout ", 10))
	ok(t, err)
	if ref.Thread != ref.Message || o.ThreadName(ref.Thread) == "" {
		t.Errorf("%+v", ref)
	}
	p.Thread = ref.Thread
	reply, err := o.surface.Post(o.ctx, p, message.Message{Title: "why"}, "k2", "")
	ok(t, err)
	ok(t, o.surface.Edit(o.ctx, reply, message.Message{Title: "why, again"}))
	o.expect(t, ref.Thread, "why, again")

	card := o.expect(t, ops, "checkout is failing")
	if len(card.Files) != 1 || !strings.Contains(card.Text(), "errors 0.2 % → 31 %") {
		t.Errorf("%+v", card)
	}
	ok(t, o.Click(mia, card, "Explain"))
	o.expect(t, ref.Thread, "you said incident.explain") // beneath the message
	if in := o.in(t, 0); in.Message != ref || in.Place != p || in.Subject != "INC-1" {
		t.Errorf("%+v, want message %+v", in, ref)
	}
	say := must[discordfake.Message](t)
	say(o.Reply(ken, ref.Thread, "looking"))
	o.expect(t, ref.Thread, "you said looking")

	ok(t, o.surface.Edit(o.ctx, ref, message.Message{Tone: message.Resolved, Title: "checkout recovered"}))
	if got := o.expect(t, ops, "🟢 checkout recovered"); got.ID != ref.Message || len(got.Buttons()) != 0 || len(got.Files) != 0 {
		t.Errorf("%+v", got)
	}
	o.noFaults(t)
}

func TestAButtonAndItsPrompt(t *testing.T) {
	t.Parallel()
	overBoth(t, func(t *testing.T, http bool) {
		o := open(t, officeConfig{http: http, handle: func(ctx context.Context, in bot.Inbound, r bot.Responder) {
			switch {
			case in.Kind == bot.Click && in.Action == "proposal.reject":
				if err := r.Ask(ctx, bot.Prompt{Title: "Why reject this proposal of Mia's, which took a while?", Fields: []bot.Field{
					{Name: "reason", Label: "Reason", Hint: "one line"}, {Name: "note", Label: "Note", Optional: true},
					{Name: "again", Label: "Ask again", Choices: []bot.Choice{{Label: "never", Value: "no"}, {Label: "in a week", Value: "168h"}}, Value: "no"},
				}, Action: "proposal.reason", Subject: in.Subject}); err != nil && ctx.Err() == nil { // the test may be over before the reply is in
					t.Error(err)
				}
			case in.Kind == bot.Click:
				_ = r.Answer(ctx, message.Message{Title: "clicked " + in.Action + " " + in.Subject, Private: in.Action == "secret"})
			case in.Kind == bot.Submit:
				_ = r.Answer(ctx, message.Message{Title: "rejected " + in.Subject + ": " + in.Values["reason"] + in.Values["note"] + " " + in.Values["again"]})
			}
		}})
		card := message.Message{Tone: message.Proposal, Title: "Roll back payments", Blocks: []message.Block{message.Actions{Buttons: []message.Button{
			{Label: "Roll back to v2.3.1", Action: "proposal.approve", Subject: "P-7", Style: message.Primary},
			{Label: "Reject", Action: "proposal.reject", Subject: "P-7", Style: message.Danger},
			{Label: "Whisper", Action: "secret", Subject: "x|y"},
		}}, message.Select{Placeholder: "Which payments?", Options: []message.Button{
			{Label: "payments in shop", Action: "choice", Subject: "c-6"}, {Label: "payments in refunds", Action: "choice", Subject: "c-7"},
		}}}}
		_, err := o.surface.Post(o.ctx, bot.Place{Surface: "discord", Channel: ops}, card, "k1", "P-7")
		ok(t, err)
		m := o.expect(t, ops, "Roll back payments")
		if err := o.Click(mia, m, "Roll it back"); err == nil {
			t.Error("a button that is not there was clicked")
		}
		ok(t, o.Click(mia, m, "Roll back to v2.3.1"))
		o.expect(t, m.ID, "clicked proposal.approve P-7")
		ok(t, o.Click(mia, m, "Whisper"))
		if a := o.expect(t, ops, "clicked secret x|y"); a.Only != mia {
			t.Errorf("a private answer is for the person alone: %+v", a)
		}
		ok(t, o.Click(ken, m, "Reject"))
		ok(t, o.Wait(o.ctx, func() bool { _, open := o.Prompt(ken); return open }))
		prompt, _ := o.Prompt(ken)
		if err := o.Submit(ken, prompt, nil); err == nil {
			t.Error("a field that is needed was left empty")
		}
		if err := o.Submit(ken, prompt, map[string]string{"reason": "r", "again": "perhaps"}); err == nil {
			t.Error("something was chosen that is no choice")
		}
		for _, label := range []string{"Reason", "one line", "Note", "never", "in a week"} {
			if !strings.Contains(prompt.Text(), label) {
				t.Errorf("the prompt lacks %q:\n%s", label, prompt.Text())
			}
		}
		ok(t, o.Submit(ken, prompt, map[string]string{"reason": " too risky ", "again": "168h"}))
		o.expect(t, m.ID, "rejected P-7: too risky 168h")

		ok(t, o.Choose(mia, m, "payments in refunds"))
		o.expect(t, m.ID, "clicked choice c-7")
		o.noFaults(t)
	})
}

func TestOptionsAreCompletedWithinDiscordsLimits(t *testing.T) {
	overBoth(t, func(t *testing.T, http bool) {
		o := open(t, officeConfig{http: http, handle: func(ctx context.Context, in bot.Inbound, r bot.Responder) {
			if in.Kind != bot.Complete {
				_ = r.Answer(ctx, message.Message{Title: fmt.Sprintf("heard %s about %s %s %s", in.Text, in.About.Cluster, in.About.Namespace, in.About.Workload)})
				return
			}
			var choices []bot.Choice
			for i := range 40 {
				choices = append(choices, bot.Choice{Label: fmt.Sprint(in.Text, i), Value: fmt.Sprint(in.Text, i)})
			}
			choices[1].Value = strings.Repeat("x", 101)
			choices[2].Label = strings.Repeat("é", 200)
			if in.Person.Stranger || in.Text == "nothing" {
				choices = nil
			}
			if err := r.(bot.Suggester).Suggest(ctx, choices); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		}})
		got, err := o.Suggestions(o.ctx, mia, ops, "workload", "web-", map[string]string{"text": "logs", "cluster": "prod", "namespace": "shop"})
		ok(t, err)
		if len(got) != 25 || got[0].Value != "web-0" || got[1].Value != "web-2" || len([]rune(got[1].Name)) != 100 {
			t.Errorf("suggested %+v", got)
		}
		in := o.in(t, 0)
		want := tools.About{Cluster: "prod", Namespace: "shop"}
		if in.Kind != bot.Complete || in.Field != "workload" || in.Text != "web-" || in.About != want || in.Person.ID != "discord:"+mia || in.Person.Stranger {
			t.Errorf("heard %+v", in)
		}
		if got, err := o.Suggestions(o.ctx, mia, ops, "cluster", "nothing", nil); err != nil || len(got) != 0 {
			t.Errorf("no suggestions came as %v, %v", got, err)
		}
		o.AddUser(discordfake.User{ID: ken, Name: "Ken", Bot: true})
		if got, err := o.Suggestions(o.ctx, ken, ops, "cluster", "prod", nil); err != nil || len(got) != 0 {
			t.Errorf("a stranger was suggested %v, %v", got, err)
		}
		ok(t, o.SlashWith(mia, ops, map[string]string{"text": "logs", "cluster": "prod", "namespace": "shop", "workload": "deployment/web"}))
		o.expect(t, ops, "heard logs about prod shop deployment/web")
		o.noFaults(t)
	})
}

func TestProgressIsOneMessageThatBecomesTheAnswer(t *testing.T) {
	t.Parallel()
	o := open(t, officeConfig{fake: discordfake.Config{AnswerWithin: time.Second}, handle: func(ctx context.Context, in bot.Inbound, r bot.Responder) {
		for _, step := range []string{"one", "two", "three"} {
			if err := r.Working(ctx, step); err != nil {
				t.Error(err)
			}
		}
		if err := r.Ask(ctx, bot.Prompt{Title: "late", Action: "a", Fields: []bot.Field{{Name: "f"}}}); !errors.Is(err, bot.ErrNoPrompt) {
			t.Errorf("a prompt after the first answer: %v", err)
		}
		_ = r.Answer(ctx, message.Message{Title: "done " + in.Text, Private: strings.HasPrefix(in.Text, "quietly")})
	}})
	say := must[discordfake.Message](t)
	asked := say(o.Mention(mia, ops, "check"))
	if m := o.expect(t, asked.ID, "done check"); m.Edits != 1 {
		t.Errorf("%d edits", m.Edits)
	}
	ok(t, o.Slash(mia, ops, "loudly"))
	if m := o.expect(t, ops, "done loudly"); m.Edits != 2 {
		t.Errorf("%d edits", m.Edits)
	}
	ok(t, o.Slash(mia, ops, "quietly"))
	if m := o.expect(t, ops, "done quietly"); m.Only != mia {
		t.Errorf("%+v", m)
	}
	direct := say(o.Direct(mia, "hello"))
	o.expect(t, direct.Channel, "done hello")
	for _, m := range append(o.Messages(ops), o.Messages(asked.ID)...) {
		if strings.Contains(m.Text(), "⏳") {
			t.Errorf("still there: %s", m.Text())
		}
	}
	o.noFaults(t)
}

func TestASlowAnswerIsAnnouncedInTime(t *testing.T) {
	t.Parallel()
	o := open(t, officeConfig{fake: discordfake.Config{AnswerWithin: 2 * time.Second}, handle: func(ctx context.Context, in bot.Inbound, r bot.Responder) {
		time.Sleep(2300 * time.Millisecond)
		echo(ctx, in, r)
	}})
	ok(t, o.Slash(mia, ops, "slowly"))
	o.expect(t, ops, "you said slowly")
	o.noFaults(t)
}

func TestPrivateAnswersToMessagesGoToThePersonAlone(t *testing.T) {
	t.Parallel()
	o := open(t, officeConfig{handle: func(ctx context.Context, in bot.Inbound, r bot.Responder) {
		_ = r.Answer(ctx, message.Message{Title: "a word in private", Private: true})
	}})
	must[discordfake.Message](t)(o.Mention(mia, ops, "may I?"))
	o.expect(t, "9"+mia, "a word in private")
	if all := o.Messages(ops); len(all) != 1 {
		t.Errorf("%+v", all)
	}
}

func TestStrangersAreMarked(t *testing.T) {
	t.Parallel()
	o := open(t, officeConfig{})
	o.AddUser(discordfake.User{ID: "499", Name: "Passer-by", Outside: true})
	say := must[discordfake.Message](t)
	say(o.Direct("499", "hello"))
	if in := o.in(t, 0); !in.Person.Stranger {
		t.Errorf("not a member: %+v", in.Person)
	}
	o.Fail("GET /guilds/{guild}/members/{user}", "500", 1)
	say(o.Direct(mia, "hello"))
	if in := o.in(t, 1); !in.Person.Stranger {
		t.Errorf("nobody could vouch for them: %+v", in.Person)
	}
	say(o.Direct(mia, "hello"))
	if in := o.in(t, 2); in.Person.Stranger {
		t.Errorf("a member: %+v", in.Person)
	}

	elsewhere := open(t, officeConfig{change: func(c *Config) { c.GuildID = "299" }})
	say(elsewhere.Mention(mia, ops, "hello"))
	if in := elsewhere.in(t, 0); !in.Person.Stranger {
		t.Errorf("of another server: %+v", in.Person)
	}
	anywhere := open(t, officeConfig{change: func(c *Config) { c.GuildID = "" }})
	say(anywhere.Mention(mia, ops, "hello"))
	say(anywhere.Direct(mia, "hello"))
	anywhere.in(t, 1)
	for _, in := range anywhere.ins() {
		if in.Person.Stranger != (in.Kind == bot.Direct) {
			t.Errorf("without a server, direct messages are from strangers: %+v", in)
		}
	}
}

func TestTheGatewayComesBack(t *testing.T) {
	t.Parallel()
	for name, politely := range map[string]bool{"when asked to": true, "when the line broke": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := open(t, officeConfig{handle: echo})
			before := o.surface.LastEvent()
			o.Disconnect(politely)
			must[discordfake.Message](t)(o.Direct(mia, "while you were away"))
			o.expect(t, "9"+mia, "you said while you were away")
			ok(t, o.WaitConnected(o.ctx))
			must[discordfake.Message](t)(o.Direct(mia, "back?"))
			o.expect(t, "9"+mia, "you said back?")
			if !o.surface.LastEvent().After(before) {
				t.Error("LastEvent stands still")
			}
		})
	}
}

func TestWithoutTheContentIntentMentionsStillWork(t *testing.T) {
	t.Parallel()
	o := open(t, officeConfig{fake: discordfake.Config{NoContentIntent: true}, handle: echo})
	asked := must[discordfake.Message](t)(o.Mention(mia, ops, "hello"))
	o.expect(t, asked.ID, "you said hello")
	o.noFaults(t)
}

func TestARepeatedEventKeepsItsID(t *testing.T) {
	t.Parallel()
	o := open(t, officeConfig{})
	must[discordfake.Message](t)(o.Direct(mia, "once"))
	ok(t, o.Redeliver())
	if a, b := o.in(t, 0), o.in(t, 1); a.ID == "" || a.ID != b.ID {
		t.Errorf("%q and %q", a.ID, b.ID)
	}
}

func TestARevokedTokenEndsRunWithItsRemedy(t *testing.T) {
	t.Parallel()
	fake := discordfake.New(discordfake.Config{})
	defer fake.Close()
	fake.Revoke()
	d, err := New(Config{BotToken: discordfake.BotToken, APIURL: fake.URL()})
	ok(t, err)
	if err := d.Run(t.Context(), echo); err == nil || !strings.Contains(err.Error(), "DISCORD_BOT_TOKEN") {
		t.Errorf("got %v", err)
	}
}

func TestAWrongSettingIsNamed(t *testing.T) {
	t.Parallel()
	for _, cfg := range []Config{{}, {BotToken: "x", PublicKey: "zz"}, {BotToken: "x", APIURL: "nowhere"}} {
		if _, err := New(cfg); err == nil || !strings.Contains(err.Error(), "DISCORD_") {
			t.Errorf("got %v", err)
		}
	}
}

func TestTheHTTPEntryTakesOnlyWhatDiscordSigned(t *testing.T) {
	t.Parallel()
	o := open(t, officeConfig{})
	address := o.entry.URL + "/discord/interactions"
	post := func(body string, at time.Time) (int, string) {
		status, text, err := o.PostSigned(address, body, at)
		ok(t, err)
		return status, text
	}
	if status, text := post(`{"type":1}`, time.Now()); status != 200 || text != `{"type":1}` {
		t.Errorf("ping: %d %s", status, text)
	}
	if status, _ := post(`{"type":1}`, time.Now().Add(-time.Hour)); status != 401 {
		t.Errorf("an old signature: %d", status)
	}
	if status, _ := post(`nonsense`, time.Now()); status != 400 {
		t.Errorf("nonsense: %d", status)
	}
	o.surface.key = append([]byte{1}, o.surface.key[1:]...)
	if status, _ := post(`{"type":1}`, time.Now()); status != 401 {
		t.Errorf("somebody else's signature: %d", status)
	}
}

func TestAMessageIsNeverDoubled(t *testing.T) {
	t.Parallel()
	o := open(t, officeConfig{})
	p := bot.Place{Surface: "discord", Channel: ops}
	o.Fail("POST /channels/{channel}/messages", discordfake.Lost, 1)
	if _, err := o.surface.Post(o.ctx, p, message.Message{Title: "INC-1"}, "k1", "INC-1"); asDelivery(t, err).Permanent {
		t.Error("a lost answer is not the end")
	}
	o.Fail("POST /channels/{channel}/messages/{message}/threads", "503", 1)
	_, err := o.surface.Post(o.ctx, p, message.Message{Title: "INC-1"}, "k1", "INC-1")
	asDelivery(t, err)
	ref, err := o.surface.Post(o.ctx, p, message.Message{Title: "INC-1"}, "k1", "INC-1")
	ok(t, err)
	if all := o.Messages(ops); len(all) != 1 || all[0].ID != ref.Message || o.ThreadName(ref.Thread) != "INC-1" {
		t.Errorf("%+v, %+v", ref, all)
	}
}

func asDelivery(t *testing.T, err error) *bot.DeliveryError {
	t.Helper()
	var d *bot.DeliveryError
	if !errors.As(err, &d) {
		t.Fatalf("%v is no delivery error", err)
	}
	return d
}

func TestFailuresSayWhetherToTryAgainAndWhatToDo(t *testing.T) {
	t.Parallel()
	o := open(t, officeConfig{fake: discordfake.Config{Burst: 3}})
	p := bot.Place{Surface: "discord", Channel: ops}
	const route = "POST /channels/{channel}/messages"
	for _, c := range []struct {
		name, code string
		permanent  bool
		remedy     string
	}{
		{"a missing permission", "403 50013", true, "Send Messages"},
		{"a channel that is gone", "404 10003", true, "DISCORD_CHANNEL"},
		{"a broken gateway of theirs", "502", false, ""},
		{"an outage", "503", false, ""},
		{"a token that is gone", "401", false, "DISCORD_BOT_TOKEN"},
		{"something about the message", "400 50035", true, ""},
	} {
		o.Fail(route, c.code, 1)
		_, err := o.surface.Post(o.ctx, p, message.Message{Title: "x"}, "k-"+c.name, "")
		if d := asDelivery(t, err); d.Permanent != c.permanent || !strings.Contains(d.Remedy, c.remedy) || (c.remedy != "" && d.Remedy == "") {
			t.Errorf("%s: %+v", c.name, d)
		}
	}
	var last error
	for i := range 4 {
		_, last = o.surface.Post(o.ctx, p, message.Message{Title: "x"}, fmt.Sprint("k", i), "")
	}
	if d := asDelivery(t, last); d.RetryAfter < time.Second || d.Permanent {
		t.Errorf("the rate of a channel: %+v", d)
	}
	o2 := open(t, officeConfig{})
	o2.Fail("POST /channels/{channel}/messages/{message}/threads", "403 50013", 1)
	if ref, err := o2.surface.Post(o2.ctx, p, message.Message{Title: "x"}, "k", "name"); err != nil || ref.Thread != "" {
		t.Errorf("without threads the message still stands: %+v, %v", ref, err)
	}
}

func TestALostFirstAnswerIsNotGivenTwice(t *testing.T) {
	t.Parallel()
	o := open(t, officeConfig{handle: echo})
	o.Fail("POST /interactions/{interaction}/{token}/callback", discordfake.Lost, 1)
	ok(t, o.Slash(mia, ops, "hello"))
	o.expect(t, ops, "you said hello")
	ok(t, o.stop())
	if all := o.Messages(ops); len(all) != 1 {
		t.Errorf("%+v", all)
	}
}
