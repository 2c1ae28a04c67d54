package bot_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/event"
	"github.com/bukahou/atlhyper/engine/people"
)

// offering is a Responder of a surface that can offer what to say, and that opens no prompt when closed.
type offering struct {
	replies
	closed bool
	offers [][]bot.Choice
}

func (r *offering) Suggest(_ context.Context, choices []bot.Choice) error {
	r.offers = append(r.offers, choices)
	return nil
}

func (r *offering) Ask(ctx context.Context, p bot.Prompt) error {
	if r.closed {
		return fmt.Errorf("chat: %w", bot.ErrNoPrompt)
	}
	return r.replies.Ask(ctx, p)
}

func (o *office) hand(in bot.Inbound, r *offering) *offering {
	o.t.Helper()
	ids++
	in.ID = fmt.Sprint("in-", ids)
	if in.Person.ID == "" {
		in.Person = mia
	}
	in.Place = bot.Place{Surface: "chat", Channel: "ops", Thread: "t1"}
	o.bot.Handle(o.t.Context(), in, r)
	return r
}

func TestWhoOpensAConversationIsGreetedAndOfferedWhatIsWorthAsking(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		o.save(newIncident("INC-1", "checkout is failing"), event.IncidentOpened, "")
		r := o.hand(bot.Inbound{Kind: bot.Opened}, &offering{})
		if got := o.title(&r.replies); got != "I watch prod-eu. Ask me in plain words, or with a command." {
			t.Errorf("greeted with %q", got)
		}
		if len(r.offers) != 1 || len(r.offers[0]) < 4 || r.offers[0][0] != (bot.Choice{Label: "Why INC-1: checkout is failing", Value: "explain INC-1"}) {
			t.Errorf("offered %+v", r.offers)
		}
		for _, c := range r.offers[0] { // what is offered is understood
			if got := o.title(o.say(bot.Inbound{Text: c.Value})); c.Value != "What is wrong?" && strings.Contains(got, "did not understand") {
				t.Errorf("%q was answered with %q", c.Value, got)
			}
		}
		if r := o.hand(bot.Inbound{Kind: bot.Moved}, &offering{}); len(r.answers) != 0 || len(r.offers) != 1 {
			t.Errorf("upon another place: %+v", r)
		}
		stranger := people.Person{ID: "chat:X", Stranger: true}
		if r := o.hand(bot.Inbound{Kind: bot.Opened, Person: stranger}, &offering{}); len(r.answers)+len(r.offers) != 0 {
			t.Errorf("a stranger was greeted: %+v", r)
		}
	})
}

func TestWhatIsTypedIsCompletedAndNothingIsRemembered(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		o.furnish()
		in := bot.Inbound{Kind: bot.Complete, Field: "workload", Text: "pay", Person: people.Person{ID: "chat:VIC"}}
		for range 2 { // the same id twice: at each key it is another question
			ids--
			r := o.hand(in, &offering{})
			if len(r.offers) != 1 || !slices.Equal(r.offers[0], []bot.Choice{{Label: "deployment/payments", Value: "deployment/payments"}}) || len(r.answers) != 0 {
				t.Fatalf("offered %+v, answered %+v", r.offers, r.answers)
			}
		}
		in.Person.Stranger = true
		if r := o.hand(in, &offering{}); len(r.offers) != 1 || len(r.offers[0]) != 0 {
			t.Errorf("a stranger was offered %+v", r.offers)
		}
		if r := o.say(in); len(r.answers) != 0 {
			t.Errorf("a surface that cannot offer anything was answered %+v", r.answers)
		}
	})
}

func TestAScalingWithoutReplicasAsksForThemInAFormOrWithAButtonThatOpensOne(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		o.furnish()
		r := o.hand(bot.Inbound{Kind: bot.Slash, Text: "scale payments"}, &offering{})
		if len(r.prompts) != 1 || len(r.answers) != 0 {
			t.Fatalf("%+v", r)
		}
		f := r.prompts[0].Fields[0]
		if f.Name != "replicas" || f.Hint != "deployment/payments has 3 now. Nothing runs yet: it becomes a proposal." {
			t.Errorf("asked %+v", f)
		}
		r = o.hand(bot.Inbound{Kind: bot.Mention, Text: "scale payments"}, &offering{closed: true})
		if got := o.title(&r.replies); got != "How many replicas?" {
			t.Fatalf("answered %q", got)
		}
		b := r.answers[0].Blocks[0].(message.Actions).Buttons[0]
		r = o.hand(bot.Inbound{Kind: bot.Click, Action: b.Action, Subject: b.Subject}, &offering{})
		if len(r.prompts) != 1 || r.prompts[0].Action != card.ActFill {
			t.Fatalf("the button opened %+v", r.prompts)
		}
		for value, want := range map[string]string{"": "Replicas are a whole number", "many": "Replicas are a whole number", "1e3": "Replicas are a whole number", "-1": "fewer than 0"} {
			r := o.hand(bot.Inbound{Kind: bot.Submit, Action: b.Action, Subject: b.Subject, Values: map[string]string{"replicas": value}}, &offering{})
			if got := o.title(&r.replies); !strings.Contains(got, want) {
				t.Errorf("%q was answered with %q", value, got)
			}
		}
		viewer := people.Person{ID: "chat:VIC", Name: "Vic"}
		r = o.hand(bot.Inbound{Kind: bot.Slash, Text: "scale payments", Person: viewer}, &offering{})
		if len(r.prompts) != 0 || len(r.answers) != 1 {
			t.Errorf("a viewer was given a form: %+v", r)
		}
	})
}

func TestAFormThatOpensTooLateSaysWhatToDo(t *testing.T) {
	inOffice(t, &chat{}, nil, func(t *testing.T, o *office) {
		o.save(newIncident("INC-1", "checkout is failing"), event.IncidentOpened, "")
		r := o.hand(bot.Inbound{Kind: bot.Click, Action: card.ActSilence, Subject: "INC-1"}, &offering{closed: true})
		if got := o.title(&r.replies); got != "No form could open any more; nothing was changed." || !strings.Contains(fmt.Sprint(r.answers[0].Blocks), "Press the button again.") {
			t.Errorf("answered %+v", r.answers)
		}
	})
}
