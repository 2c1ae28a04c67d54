package slack

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/slack/slackfake"
)

// longAnswer has many parts, names that mean something in Slack's markup, buttons and small print.
func longAnswer(question string) message.Message {
	m := message.Message{Title: "You asked: " + question, Footer: "as of 3 s ago"}
	for i := range 30 {
		m.Blocks = append(m.Blocks, message.Paragraph{Heading: fmt.Sprint("Part ", i), Text: "<!channel> *x*"})
	}
	m.Blocks = append(m.Blocks, message.Actions{Buttons: []message.Button{{Label: "Go on", Action: "choice", Subject: "c"}}})
	return m
}

// assistant answers as the bot does: a greeting with suggestions, then questions, one step before each answer.
func assistant(t *testing.T, working chan struct{}) bot.Handler {
	return func(ctx context.Context, in bot.Inbound, r bot.Responder) {
		switch in.Kind {
		case bot.Opened, bot.Moved:
			if in.Kind == bot.Opened {
				if err := r.Answer(ctx, message.Message{Title: "Ask me."}); err != nil && ctx.Err() == nil {
					t.Error(err)
				}
			}
			var choices []bot.Choice
			for i := range 6 {
				choices = append(choices, bot.Choice{Label: fmt.Sprint("Question ", i), Value: fmt.Sprint("question ", i, in.Kind)})
			}
			if err := r.(bot.Suggester).Suggest(ctx, choices); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		case bot.Direct:
			if err := r.Working(ctx, "reading the logs"); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
			if working != nil {
				<-working
			}
			if err := r.Answer(ctx, longAnswer(in.Text)); err != nil && ctx.Err() == nil { // the test may be over before the reply is in
				t.Error(err)
			}
		}
	}
}

// whole waits for a message that shows the words and is not being written any more.
func (o *office) whole(t *testing.T, channel, words string) (m slackfake.Message) {
	t.Helper()
	ok(t, o.Wait(o.ctx, func() bool {
		for _, x := range o.Thread(channel, o.lastThread(channel)) {
			if strings.Contains(x.Text(), words) && !x.Streaming {
				m = x
				return true
			}
		}
		return false
	}))
	return m
}

// lastThread is the newest thread of a channel.
func (o *office) lastThread(channel string) string {
	all := o.Messages(channel)
	return all[len(all)-1].TS
}

func TestAnAssistantsThreadGreetsSuggestsShowsItsWorkAndStreams(t *testing.T) {
	overBoth(t, func(t *testing.T, http bool) {
		working := make(chan struct{})
		o := open(t, officeConfig{http: http, handle: assistant(t, working)})
		a := must[slackfake.AssistantThread](t)(o.OpenAssistant(mia, ops))
		if m := o.expect(t, a.Channel, "Ask me."); m.Thread != a.Thread || m.Parts != 0 {
			t.Errorf("greeted with %+v", m)
		}
		if in := o.in(t, 0); in.Kind != bot.Opened || in.Person.ID != "slack:"+mia || in.Place.Thread != a.Thread || in.Lang != "en-GB" {
			t.Errorf("opened: %+v", in)
		}
		state := func() slackfake.AssistantThread { return o.Assistant(a.Channel, a.Thread) }
		ok(t, o.Wait(o.ctx, func() bool { return len(state().Suggestions) == 4 }))
		first := state().Suggestions[0]
		ok(t, o.LookAt(mia, a, "C0OTHER"))
		ok(t, o.Wait(o.ctx, func() bool { return state().Suggestions[0] != first }))

		must[slackfake.Message](t)(o.Reply(mia, a.Channel, a.Thread, "why is "+strings.Repeat("payments ", 30)+"slow?"))
		ok(t, o.Wait(o.ctx, func() bool { return state().Status == "reading the logs" }))
		if title := state().Title; !strings.HasPrefix(title, "why is payments") || len([]rune(title)) > 100 {
			t.Errorf("the thread is called %q", title)
		}
		close(working)
		m := o.whole(t, a.Channel, "Part 29")
		if m.Parts < 3 || m.Thread != a.Thread || len(m.Buttons()) != 1 || len(m.Pings()) != 0 || !strings.Contains(m.Text(), "as of 3 s ago") {
			t.Errorf("streamed in %d parts, buttons %v, pings %v:\n%s", m.Parts, m.Buttons(), m.Pings(), m.Text())
		}
		if s := state(); s.Status != "" {
			t.Errorf("the status stays: %q", s.Status)
		}
		must[slackfake.Message](t)(o.Reply(mia, a.Channel, a.Thread, "and now?"))
		o.whole(t, a.Channel, "You asked: and now?")
		if title := state().Title; !strings.HasPrefix(title, "why is payments") {
			t.Errorf("a second question renamed the thread: %q", title)
		}
		o.noFaults(t)
	})
}

func TestAnAnswerThatCannotBeStreamedIsAMessageAndStandsOnce(t *testing.T) {
	for name, c := range map[string]struct {
		wrong    func(o *office)
		streamed bool
	}{
		"nothing goes wrong":         {func(*office) {}, true},
		"no stream can begin":        {func(o *office) { o.Fail("chat.startStream", "unknown_method", 1) }, false},
		"Slack is full":              {func(o *office) { o.Fail("chat.startStream", "429", 1) }, false},
		"it breaks off":              {func(o *office) { o.Fail("chat.appendStream", "internal_error", 1) }, false},
		"its end is refused":         {func(o *office) { o.Fail("chat.stopStream", "internal_error", 1) }, false},
		"no status can be shown":     {func(o *office) { o.Fail("assistant.threads.setStatus", "missing_scope", 1) }, false},
		"a status fails for now":     {func(o *office) { o.Fail("assistant.threads.setStatus", "503", 1) }, true},
		"the thread cannot be named": {func(o *office) { o.DropScope("assistant:write") }, true},
		"the bot was started since":  {func(o *office) { o.surface.open = assistantBook{} }, true},
	} {
		t.Run(name, func(t *testing.T) {
			o := open(t, officeConfig{handle: assistant(t, nil)})
			a := must[slackfake.AssistantThread](t)(o.OpenAssistant(mia, ops))
			o.expect(t, a.Channel, "Ask me.")
			ok(t, o.Wait(o.ctx, func() bool { return len(o.Assistant(a.Channel, a.Thread).Suggestions) > 0 }))
			c.wrong(o)
			must[slackfake.Message](t)(o.Reply(mia, a.Channel, a.Thread, "why?"))
			m := o.whole(t, a.Channel, "Go on")
			if (m.Parts > 0) != c.streamed {
				t.Errorf("it came in %d parts", m.Parts)
			}
			shown := 0
			for _, x := range o.Thread(a.Channel, a.Thread) {
				if strings.Contains(x.Text(), "You asked") {
					shown++
				}
			}
			if shown != 1 {
				t.Errorf("the answer stands %d times", shown)
			}
		})
	}
}

func TestADirectThreadThatIsNoAssistantsIsAnsweredWithMessages(t *testing.T) {
	o := open(t, officeConfig{handle: assistant(t, nil)})
	asked := must[slackfake.Message](t)(o.Direct(mia, "hello"))
	o.expect(t, asked.Channel, "You asked: hello")
	for i := range 2 {
		must[slackfake.Message](t)(o.Reply(mia, asked.Channel, asked.TS, fmt.Sprint("question ", i)))
		if m := o.expect(t, asked.Channel, fmt.Sprint("You asked: question ", i)); m.Parts != 0 {
			t.Errorf("streamed in %d parts", m.Parts)
		}
	}
	if n := o.Calls("assistant.threads.setStatus"); n != 1 {
		t.Errorf("it was tried %d times", n)
	}
	o.noFaults(t)
}
