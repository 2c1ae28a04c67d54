package bot_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/fleet"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
)

// proposing answers everything with a proposal.
func proposing(id string) brain {
	return func(context.Context, assistant.Request, assistant.Progress) (*assistant.Answer, error) {
		return &assistant.Answer{By: "test", Proposal: id, Results: []*tools.Result{{Headline: "Proposed.", Proposal: id}}}, nil
	}
}

// echo answers with the question and keeps the requests.
type echo struct{ heard []assistant.Request }

func (e *echo) Answer(_ context.Context, req assistant.Request, progress assistant.Progress) (*assistant.Answer, error) {
	e.heard = append(e.heard, req)
	progress("looking")
	cluster := ""
	if strings.Contains(req.Text, "staging") {
		cluster = "staging"
	}
	return &assistant.Answer{Text: "you said: " + req.Text, By: "echo", Results: []*tools.Result{{Headline: "h", Cluster: cluster}}}, nil
}

func TestAnEventThatIsDeliveredTwiceIsAnsweredOnce(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		in := bot.Inbound{ID: "Ev1", Text: "help"}
		first, second := o.say(in), o.say(in)
		o.stop()
		o.start() // a new process remembers it too
		third := o.say(in)
		if len(first.answers) != 1 || len(second.answers)+len(third.answers) != 0 {
			t.Errorf("answered %d, %d and %d times", len(first.answers), len(second.answers), len(third.answers))
		}
	})
}

func TestAStrangerIsNotHeard(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		for _, who := range []people.Person{{ID: "chat:X", Stranger: true}, {ID: mia.ID, Stranger: true}} {
			for _, in := range []bot.Inbound{{Text: "what is wrong?"}, {Kind: bot.Click, Action: card.ActSay, Subject: "help"}, {Kind: bot.Slash}} {
				in.Person = who
				if r := o.say(in); len(r.answers)+len(r.working)+len(r.prompts) != 0 {
					t.Errorf("%+v was answered: %+v", in, r)
				}
			}
		}
	})
}

func TestAnAnswerThatIsQuickerThanThePlatformsOwnIsStillInTheIncidentsThread(t *testing.T) {
	c, e := &chat{}, &echo{}
	inOffice(t, c, func(cfg *bot.Config) {
		cfg.Answerer = e
		c.after = func(string) { // the card is on the screen, and the platform has not told us its id yet
			go c.handle(context.Background(), bot.Inbound{ID: "quick", Kind: bot.Reply, Person: mia, Place: bot.Place{Surface: "chat", Channel: "ops", Thread: "thread-0"}, Text: "is it bad?"}, &replies{})
			time.Sleep(time.Second)
		}
	}, func(t *testing.T, o *office) {
		o.save(newIncident("INC-1", "checkout is failing"), event.IncidentOpened, "")
		settle(10 * time.Second)
		if len(e.heard) != 1 || e.heard[0].Caller.Incident != "INC-1" {
			t.Errorf("heard %+v", e.heard)
		}
	})
}

func TestPeopleMayTalkToEachOtherInAThread(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		c, _ := o.engine.Fleet.Cluster("prod-eu")
		c.SetStatus(func(s *fleet.Status) { s.Synced = false }) // even while the bot is still reading
		thread := bot.Place{Surface: "chat", Channel: "ops", Thread: "thread-0"}
		if r := o.say(bot.Inbound{Kind: bot.Reply, Place: thread, Text: "thanks, I will take a coffee first"}); len(r.answers)+len(r.working) != 0 {
			t.Errorf("it meddled: %+v", r)
		}
		if r := o.say(bot.Inbound{Kind: bot.Mention, Place: thread, Text: "thanks, I will take a coffee first"}); !strings.Contains(o.title(r), "did not understand") {
			t.Errorf("a mention was answered with %q", o.title(r))
		}
	})
}

func TestAnAnswerWaitsForAClusterThatIsBeingReadAndSaysSo(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		c, _ := o.engine.Fleet.Cluster("prod-eu")
		c.SetStatus(func(s *fleet.Status) { s.Synced = false })
		go func() {
			time.Sleep(4 * time.Second)
			c.SetStatus(func(s *fleet.Status) { s.Synced = true })
		}()
		begun := time.Now()
		r := o.say(bot.Inbound{Text: "help"})
		if took := time.Since(begun); took < 4*time.Second || took > 5*time.Second {
			t.Errorf("answered after %v", took)
		}
		if d := cmp.Diff([]string{"reading the cluster"}, r.working); d != "" {
			t.Error(d)
		}
	})
}

func TestAThreadRemembersWhatWasSaidAndWhere(t *testing.T) {
	e := &echo{}
	inOffice(t, &chat{}, func(cfg *bot.Config) { cfg.Answerer = e }, func(t *testing.T, o *office) {
		i := newIncident("INC-1", "checkout is failing")
		o.save(i, event.IncidentOpened, "")
		settle(time.Second)
		thread := bot.Place{Surface: "chat", Channel: "ops", Thread: "thread-0"}
		if got := o.title(o.say(bot.Inbound{Kind: bot.Reply, Place: thread, Text: "why is it so slow?"})); got != "you said: why is it so slow?" {
			t.Errorf("answered %q", got)
		}
		o.say(bot.Inbound{Place: bot.Place{Surface: "chat", Channel: "ops"}, Text: "how is staging doing?"})
		o.stop()
		o.start()
		o.say(bot.Inbound{Kind: bot.Reply, Place: thread, Text: "and now?"})
		o.say(bot.Inbound{Place: bot.Place{Surface: "chat", Channel: "ops"}, Text: "what is there?"})
		if len(e.heard) != 4 {
			t.Fatalf("heard %d questions", len(e.heard))
		}
		inThread, there := e.heard[2], e.heard[3]
		if e.heard[0].Caller.Incident != "INC-1" || inThread.Caller.Incident != "INC-1" || inThread.Caller.Cluster != "prod-eu" {
			t.Errorf("in the thread, it is %+v", inThread.Caller)
		}
		if len(inThread.Targets) != 2 || inThread.Targets[0] != i.Cause.Entity || !strings.Contains(inThread.Context, "checkout is failing") {
			t.Errorf("the thread's incident came as %+v, %q", inThread.Targets, inThread.Context)
		}
		want := []assistant.Turn{{Person: true, Text: "why is it so slow?", By: mia.ID}, {Text: "you said: why is it so slow?"}}
		if d := cmp.Diff(want, inThread.History); d != "" {
			t.Errorf("what was said before in the thread:\n%s", d)
		}
		if there.Caller.Cluster != "staging" || there.Caller.Incident != "" || len(there.History) != 2 {
			t.Errorf("outside the thread, there is %+v after %v", there.Caller, there.History)
		}
	})
}

func TestQuestionsOfOneThreadWaitForEachOther(t *testing.T) {
	var mu sync.Mutex
	history := map[string]int{} // turns that were known when a question was taken up
	slow := brain(func(_ context.Context, r assistant.Request, _ assistant.Progress) (*assistant.Answer, error) {
		mu.Lock()
		history[r.Text] = len(r.History)
		mu.Unlock()
		if r.Text == "first" {
			time.Sleep(10 * time.Second)
		}
		return &assistant.Answer{Text: r.Text + " answered"}, nil
	})
	inOffice(t, &chat{}, func(cfg *bot.Config) { cfg.Answerer = slow }, func(t *testing.T, o *office) {
		begun := time.Now()
		var all sync.WaitGroup
		ask := func(thread, text string) {
			all.Go(func() {
				o.say(bot.Inbound{Kind: bot.Reply, Place: bot.Place{Surface: "chat", Channel: "ops", Thread: thread}, Text: text})
				if took := time.Since(begun); text == "elsewhere" && took > 5*time.Second {
					t.Errorf("another thread waited for %v", took)
				}
			})
			time.Sleep(time.Second)
		}
		ask("t1", "first")
		ask("t1", "second")
		ask("t2", "elsewhere")
		all.Wait()
		if d := cmp.Diff(map[string]int{"first": 0, "second": 2, "elsewhere": 0}, history); d != "" {
			t.Error(d)
		}
	})
}

func TestAThreadForgetsWhatIsLongAgo(t *testing.T) {
	e := &echo{}
	inOffice(t, &chat{}, func(cfg *bot.Config) { cfg.Answerer = e }, func(t *testing.T, o *office) {
		for n := range 30 {
			o.say(bot.Inbound{Text: fmt.Sprint("question ", n)})
		}
		h := e.heard[29].History
		if len(h) != 12 || !h[0].Person || h[11].Text != "you said: question 28" {
			t.Errorf("%d turns, from %+v to %+v", len(h), h[0], h[len(h)-1])
		}
	})
}

func TestWorkIsShownAndTheModelsFailureIsToldOnce(t *testing.T) {
	failing := brain(func(_ context.Context, req assistant.Request, progress assistant.Progress) (*assistant.Answer, error) {
		progress("overview")
		return &assistant.Answer{By: "planner", Degraded: "Gemini does not answer.", Results: []*tools.Result{{Headline: "All is well in prod-eu."}}}, nil
	})
	inOffice(t, &chat{}, func(cfg *bot.Config) { cfg.Answerer = failing }, func(t *testing.T, o *office) {
		r := o.say(bot.Inbound{Text: "how are things?"})
		if d := cmp.Diff([]string{"overview"}, r.working); d != "" {
			t.Error(d)
		}
		if f := r.answers[0].Footer; f != "Answering without the model: Gemini does not answer." {
			t.Errorf("the first footer is %q", f)
		}
		if f := o.say(bot.Inbound{Text: "and now?"}).answers[0].Footer; f != "" {
			t.Errorf("the second footer is %q", f)
		}
	})
}

func TestWhatBreaksIsToldAndLoggedAndTheNextQuestionIsAnswered(t *testing.T) {
	for name, c := range map[string]struct {
		brain      brain
		want, log  string
		wantRemedy string
	}{
		"a panic": {func(context.Context, assistant.Request, assistant.Progress) (*assistant.Answer, error) {
			panic("index out of range")
		}, "Something broke on my side", "index out of range", "Nothing was changed."},
		"an error": {func(context.Context, assistant.Request, assistant.Progress) (*assistant.Answer, error) {
			return nil, errors.New("disk failure")
		}, "Something broke on my side", "disk failure", "Nothing was changed."},
		"a problem": {func(context.Context, assistant.Request, assistant.Progress) (*assistant.Answer, error) {
			return nil, &tools.Problem{Sentence: "There is no pod x.", Remedy: "Did you mean y?"}
		}, "There is no pod x.", "", "Did you mean y?"},
		"a refusal": {func(context.Context, assistant.Request, assistant.Progress) (*assistant.Answer, error) {
			return nil, &command.Denied{Sentence: "Scaling in kube-system is protected;", Remedy: "an admin can break glass."}
		}, "is protected", "", "break glass"},
		"an unsaid one": {func(context.Context, assistant.Request, assistant.Progress) (*assistant.Answer, error) {
			return &assistant.Answer{}, nil
		}, "I have no answer to that.", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, &chat{}, func(cfg *bot.Config) { cfg.Answerer = c.brain }, func(t *testing.T, o *office) {
				r := o.say(bot.Inbound{Text: "something"})
				if got := o.title(r); !strings.Contains(got, c.want) {
					t.Errorf("told %q", got)
				}
				if c.wantRemedy != "" && !strings.Contains(fmt.Sprint(r.answers[0].Blocks), c.wantRemedy) {
					t.Errorf("the remedy is %+v", r.answers[0].Blocks)
				}
				if got := o.title(o.say(bot.Inbound{Text: "help"})); !strings.Contains(got, "Ask me") {
					t.Errorf("then it said %q", got)
				}
				o.stop()
				if !strings.Contains(o.logged.String(), c.log) {
					t.Errorf("the log says:\n%s", o.logged)
				}
			})
		})
	}
}

// clickable finds a button in an answer.
func clickable(t *testing.T, m message.Message, label string) message.Button {
	t.Helper()
	for _, b := range m.Blocks {
		if a, ok := b.(message.Actions); ok {
			for _, x := range a.Buttons {
				if strings.HasPrefix(x.Label, label) {
					return x
				}
			}
		}
	}
	t.Fatalf("no button %q in %+v", label, m)
	return message.Button{}
}

func TestAButtonStandsForItsCallUntilItIsForgotten(t *testing.T) {
	asking := brain(func(context.Context, assistant.Request, assistant.Progress) (*assistant.Answer, error) {
		return &assistant.Answer{By: "planner", Results: []*tools.Result{{
			Headline: "Which do you mean?", Options: []tools.Option{{Label: "The clusters", Tool: "clusters", Args: json.RawMessage(`{}`)}},
		}}}, nil
	})
	inOffice(t, &chat{}, func(cfg *bot.Config) { cfg.Answerer = asking }, func(t *testing.T, o *office) {
		if !tool(o, "clusters") {
			t.Skip("there is no tool clusters")
		}
		b := clickable(t, o.say(bot.Inbound{Text: "something unclear"}).answers[0], "The clusters")
		if b.Action != card.ActChoice || strings.Contains(b.Subject, "clusters") {
			t.Errorf("the button carries %+v", b)
		}
		click := bot.Inbound{Kind: bot.Click, Action: b.Action, Subject: b.Subject}
		if got := o.title(o.say(click)); !strings.Contains(got, "cluster") {
			t.Errorf("the click was answered with %q", got)
		}
		o.ok(o.db.Prune(t.Context(), time.Now().Add(31*24*time.Hour)))
		r := o.say(click)
		if o.title(r) != "That button is too old." || !strings.Contains(fmt.Sprint(r.answers[0].Blocks), "Ask again.") {
			t.Errorf("a forgotten button was answered with %+v", r.answers)
		}
		if got := o.title(o.say(bot.Inbound{Kind: bot.Click, Action: "of.another.version", Subject: "x"})); !strings.Contains(got, "not known any more") {
			t.Errorf("an unknown button was answered with %q", got)
		}
	})
}

func tool(o *office, name string) bool {
	for _, s := range o.tools.Tools(tools.Caller{Person: mia}) {
		if s.Name == name {
			return true
		}
	}
	return false
}

func TestADestructiveApprovalAsksForTheName(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		o.propose("p3", command.W3)
		ken := people.Person{ID: "chat:KEN", Name: "Ken"}
		o.ok(o.engine.People.Grant(t.Context(), people.Grant{Subject: ken.ID, Role: people.Operator, By: mia.ID}))
		click := bot.Inbound{Kind: bot.Click, Person: ken, Action: card.ActApprove, Subject: "p3"}
		r := o.say(click)
		if len(r.prompts) != 1 || r.prompts[0].Fields[0].Hint != "worker-3" || r.prompts[0].Action != card.ActApprove || r.prompts[0].Subject != "p3" || len(r.answers) != 0 {
			t.Fatalf("asked %+v, answered %+v", r.prompts, r.answers)
		}
		click.Kind, click.Values = bot.Submit, map[string]string{"name": "worker-4"}
		if got := o.say(click); len(got.answers) != 1 || len(got.prompts) != 0 {
			t.Errorf("a wrong name was answered with %+v", got)
		}
		x, err := o.engine.Desk.Get(t.Context(), "p3")
		if err != nil || x.State != command.Proposed {
			t.Errorf("after a wrong name it is %v (%v)", x.State, err)
		}
		reject := bot.Inbound{Kind: bot.Click, Action: card.ActReject, Subject: "p3"}
		if r := o.say(reject); len(r.answers) != 0 {
			t.Errorf("a rejection was answered with %+v", r.answers)
		}
		if r := o.say(click); len(r.answers) != 1 || len(r.prompts) != 0 {
			t.Errorf("a click after the decision was answered with %+v", r)
		}
		if got := o.title(o.say(bot.Inbound{Kind: bot.Click, Action: card.ActDiff, Subject: "p3"})); !strings.HasPrefix(got, "What would change") {
			t.Errorf("the diff is %q", got)
		}
	})
}

func TestTheAnswersLanguageIsTheQuestionsScriptOrTheReaders(t *testing.T) {
	e := &echo{}
	inOffice(t, &chat{}, func(cfg *bot.Config) { cfg.Answerer = e }, func(t *testing.T, o *office) {
		for _, c := range []struct{ text, client, want string }{
			{"what is wrong?", "", "en"}, {"what is wrong?", "ja-JP", "ja"}, {"what is wrong?", "fr", "en"}, {"出了什么问题", "en-US", "zh"},
			{"何が起きていますか", "en-US", "ja"}, {"決済サービスの状態は?", "zh-CN", "ja"}, {"payments 怎么了", "", "zh"}, {"ﾛｸﾞ payments please", "en", "ja"},
		} {
			o.say(bot.Inbound{Text: c.text, Lang: c.client})
			if got := e.heard[len(e.heard)-1].Caller.Lang; got != c.want {
				t.Errorf("%q from a client in %q is answered in %s, want %s", c.text, c.client, got, c.want)
			}
		}
	})
}

func TestNothingSaidShowsWhatAPersonWantsNow(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		o.propose("p1", command.W2)
		m := o.say(bot.Inbound{Kind: bot.Slash, Text: ""}).answers[0]
		for _, label := range []string{"Open incidents", "Pending approvals (1)", "My clusters", "What changed in the last hour", "Help"} {
			b := clickable(t, m, label)
			if b.Subject == "pending" {
				continue // the one that waits is shown as its card
			}
			if r := o.say(bot.Inbound{Kind: bot.Click, Action: b.Action, Subject: b.Subject}); len(r.answers) != 1 || r.answers[0].Tone == message.Failed {
				t.Errorf("%s was answered with %+v", label, r.answers)
			}
		}
	})
}

func TestAskGivesTheWholeAnswer(t *testing.T) {
	inOffice(t, &chat{}, func(cfg *bot.Config) {
		cfg.Answerer = brain(func(context.Context, assistant.Request, assistant.Progress) (*assistant.Answer, error) {
			r := &tools.Result{Headline: "checkout is failing in prod-eu.", Incident: "INC-1", Facts: []tools.Fact{{Label: "errors", Value: "31 %"}}, Missing: []string{"telemetry"}}
			return &assistant.Answer{By: "test", Results: []*tools.Result{r}, Calls: []assistant.Call{{Tool: "overview", Result: r}, {Tool: "logs", Err: "no pod"}}}, nil
		})
	}, func(t *testing.T, o *office) {
		i := newIncident("INC-1", "checkout is failing")
		o.save(i, event.IncidentOpened, "")
		a, err := o.bot.Ask(t.Context(), "怎么了", tools.Caller{Person: mia}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if a.Answer != "checkout is failing in prod-eu." || a.Incident != "INC-1" || a.RootCause == nil || a.RootCause.Entity != i.Cause.Entity || len(a.Facts) != 1 || len(a.Missing) != 1 || len(a.Tools) != 2 || a.Tools[1].Error != "no pod" {
			t.Errorf("asked: %+v", a)
		}
		if _, err := json.Marshal(a); err != nil {
			t.Error(err)
		}
	})
}

func TestAPersonAndAChannelHaveTheirLanguages(t *testing.T) {
	e := &echo{}
	inOffice(t, &chat{}, func(cfg *bot.Config) { cfg.Answerer = e }, func(t *testing.T, o *office) {
		heard := func(in bot.Inbound) string {
			o.say(in)
			return e.heard[len(e.heard)-1].Caller.Lang
		}
		if got := o.title(o.say(bot.Inbound{Text: "lang ja"})); got != "日本語で回答します。" {
			t.Errorf("it says %q", got)
		}
		if got := heard(bot.Inbound{Text: "出了什么问题", Lang: "en-US"}); got != "ja" {
			t.Errorf("who asked for Japanese is answered in %s", got)
		}
		ken := people.Person{ID: "chat:KEN", Name: "Ken"}
		if got := heard(bot.Inbound{Person: ken, Text: "what is wrong?"}); got != "en" {
			t.Errorf("somebody else is answered in %s", got)
		}
		if got := o.title(o.say(bot.Inbound{Person: ken, Text: "lang --channel zh"})); !strings.HasPrefix(got, "Only an admin of everything") {
			t.Errorf("a viewer sets the channel's language: %q", got)
		}
		if got := o.title(o.say(bot.Inbound{Text: "lang --channel zh"})); got != "このチャンネルへの通知は中文です。" {
			t.Errorf("it says %q", got)
		}
		i := newIncident("INC-1", "checkout is failing")
		o.save(i, event.IncidentOpened, "")
		o.save(i, event.IncidentChanged, "it is an Incident now: risk 0.90 for 30 s")
		settle(10 * time.Second)
		want := []string{"checkout 正在出错 — prod-eu / shop", "thread-0: 升级为故障：风险 0.90，已持续 30 s"}
		if d := cmp.Diff(want, o.chat.said()); d != "" {
			t.Error(d)
		}
		o.propose("p1", command.W3) // Mia's; what she asked for is in her language where the channel has none
		o.ok(o.db.Enqueue(t.Context(), "", 0, bot.Outgoing{Key: "p1", Place: bot.Place{Surface: "chat", Channel: "dm"}, Body: bodyOf(t, map[string]string{"proposal": "p1"})}))
		settle(10 * time.Second)
		if said := o.chat.said(); said[len(said)-1] != "Mia の提案：node/worker-3 を drain" {
			t.Errorf("her proposal is shown as %q", said[len(said)-1])
		}
		if got := o.title(o.say(bot.Inbound{Text: "lang klingon"})); got != `"klingon" には対応していません。` {
			t.Errorf("it says %q", got)
		}
		o.say(bot.Inbound{Text: "lang auto"})
		if got := heard(bot.Inbound{Text: "出了什么问题"}); got != "zh" {
			t.Errorf("the question's own language is answered in %s", got)
		}
	})
}
