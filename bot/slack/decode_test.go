package slack

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"github.com/slack-go/slack"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/slack/slackfake"
)

// contextOf is a test's context, or for a generated case the background.
func contextOf(t any) context.Context {
	if t, ok := t.(interface{ Context() context.Context }); ok {
		return t.Context()
	}
	return context.Background()
}

var self = identity{User: slackfake.BotUser, Bot: slackfake.BotID, Team: slackfake.Team}

func TestWhatSlackMarksUpIsReadAsItWasTyped(t *testing.T) {
	for in, want := range map[string]string{
		"  pods in shop ":                            "pods in shop",
		"a &lt;b&gt; &amp; c":                        "a <b> & c",
		"&amp;lt;":                                   "&lt;",
		"see <#C1|ops> and <#C2>":                    "see #ops and #C2",
		"ask <@U1|ken> or <@U2>":                     "ask @ken or @U2",
		"<!here> <!channel>":                         "@here @channel",
		"<http://shop.example.com|shop.example.com>": "shop.example.com",
		"<https://x.example/a?b=1&amp;c=2>":          "https://x.example/a?b=1&c=2",
		"<mailto:a@b.c|a@b.c>":                       "a@b.c",
	} {
		if got := plainText(in); got != want {
			t.Errorf("%q reads %q, want %q", in, got, want)
		}
	}
}

func TestEventsThatNobodySaidAreDropped(t *testing.T) {
	for name, event := range map[string]string{
		"an edit":               `{"type":"message","subtype":"message_changed","channel":"D1","channel_type":"im","ts":"1.1","user":"U1"}`,
		"a join":                `{"type":"message","subtype":"channel_join","channel":"C1","ts":"1.1","user":"U1"}`,
		"a bot":                 `{"type":"message","channel":"D1","channel_type":"im","ts":"1.1","user":"U1","bot_id":"B1","text":"x"}`,
		"the bot itself":        `{"type":"message","channel":"D1","channel_type":"im","ts":"1.1","user":"U0BOT","text":"x"}`,
		"an edited mention":     `{"type":"app_mention","channel":"C1","ts":"1.1","user":"U1","text":"x","edited":{"ts":"1.2"}}`,
		"talk in a channel":     `{"type":"message","channel":"C1","channel_type":"channel","ts":"1.1","user":"U1","text":"x"}`,
		"a mention's twin":      `{"type":"message","channel":"C1","channel_type":"channel","ts":"1.2","thread_ts":"1.1","user":"U1","text":"<@U0BOT> x"}`,
		"a reaction":            `{"type":"reaction_added","user":"U1","channel":"C1","ts":"1.1"}`,
		"nobody":                `{"type":"app_mention","channel":"C1","ts":"1.1","text":"x"}`,
		"an event without text": `{}`,
	} {
		h, err := decodeEvent([]byte(`{"type":"event_callback","event_id":"Ev1","event":`+event+`}`), self)
		if h != nil || err != nil {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

func FuzzDecodeEvent(f *testing.F) {
	f.Add([]byte(`{"type":"event_callback","event_id":"Ev1","event":{"type":"assistant_thread_started","event_ts":"1.1","assistant_thread":{"user_id":"U1","channel_id":"D1","thread_ts":"1.1","context":{"channel_id":"C1"}}}}`))
	f.Add([]byte(`{"type":"event_callback","event_id":"Ev1","event":{"type":"app_home_opened","channel":"D1","user":"U1","tab":"home","event_ts":"1.1","view":{"id":"V1"}}}`))
	f.Add([]byte(`{"type":"event_callback","event_id":"Ev1","event":{"type":"app_mention","channel":"C1","ts":"1.1","user":"U1","text":"<@U0BOT> hi"}}`))
	f.Add([]byte(`{"type":"event_callback","event_id":"Ev1","event":{"type":"message","channel_type":"im","channel":"D1","ts":"1.1","thread_ts":"1.0","user":"U1","text":"<a|b"}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		h, err := decodeEvent(payload, self)
		if err != nil || h == nil {
			return
		}
		sound(t, h)
		if h.user == self.User {
			t.Error("the bot heard itself")
		}
		if strings.Contains(h.in.Text, "<@"+self.User+">") && !strings.Contains(string(payload), "&") && !strings.Contains(string(payload), "\\u") {
			t.Errorf("the mention is still there: %q", h.in.Text)
		}
	})
}

func FuzzDecodeInteraction(f *testing.F) {
	f.Add([]byte(`{"type":"block_actions","user":{"id":"U1"},"trigger_id":"t","container":{"channel_id":"C1","message_ts":"1.1"},"actions":[{"type":"static_select","action_id":"select#0","selected_option":{"value":"choice#c1"}}]}`))
	f.Add([]byte(`{"type":"block_actions","user":{"id":"U1","team_id":"T1"},"trigger_id":"t","container":{"channel_id":"C1","message_ts":"1.1"},"actions":[{"action_id":"incident.explain#0.0","block_id":"b","value":"INC-1","type":"button"}]}`))
	f.Add([]byte(`{"type":"block_actions","user":{"id":"U1"},"trigger_id":"t","container":{"type":"view","view_id":"V1"},"view":{"id":"V1","type":"home","private_metadata":"D1"},"actions":[{"action_id":"ask#3.0","value":"question","type":"button"}]}`))
	f.Add([]byte(`{"type":"block_actions","user":{"id":"U1"},"trigger_id":"t","actions":[{"action_id":"link#1.1","type":"button"}]}`))
	f.Add([]byte(`{"type":"shortcut","user":{"id":"U1"},"trigger_id":"t","callback_id":"atlhyper.ask","action_ts":"1.1"}`))
	f.Add([]byte(`{"type":"message_action","user":{"id":"U1"},"trigger_id":"t","callback_id":"atlhyper.explain","channel":{"id":"C1"},"message":{"ts":"1.1","text":"a <b|c>","blocks":[{"text":{"text":"x"}}],"attachments":[{"fields":[{"title":"t","value":["v"]}]}]}}`))
	f.Add([]byte(`{"type":"view_submission","user":{"id":"U1"},"view":{"id":"V1","callback_id":"atlhyper.prompt","private_metadata":"{\"action\":\"a\",\"place\":{\"channel\":\"C1\"}}","state":{"values":{"text":{"text":{"value":"x"}}}}}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		h, err := decodeInteraction(payload)
		if err != nil || h == nil {
			return
		}
		sound(t, h)
		if (h.in.Action == "") != (h.in.Kind == bot.Pointed) {
			t.Errorf("action %q of kind %d", h.in.Action, h.in.Kind)
		}
		if h.in.Kind != bot.Pointed && h.in.Evidence != "" || h.in.Text != "" {
			t.Error("what somebody left became somebody's words")
		}
	})
}

func FuzzDecodeCommand(f *testing.F) {
	f.Add("U1", "C1", "t", "pods <@U1|x> &amp;")
	f.Fuzz(func(t *testing.T, user, channel, trigger, text string) {
		h, err := decodeCommand(slack.SlashCommand{UserID: user, ChannelID: channel, TriggerID: trigger, Text: text})
		if err == nil {
			sound(t, h)
		}
	})
}

// sound checks what the core relies on in every event.
func sound(t *testing.T, h *heard) {
	t.Helper()
	if h.in.ID == "" || h.in.Kind == 0 || h.in.Place.Channel == "" || h.user == "" {
		t.Errorf("half decoded: %+v", h)
	}
}

func FuzzMarkdown(f *testing.F) {
	f.Add(sampleMarkdown)
	f.Add("**a*b**c_ _d_ [x](y) ![z](w) ``` ~~~~ `` ` ")
	f.Fuzz(func(t *testing.T, s string) {
		m := render(message.Message{Title: "t", Blocks: []message.Block{message.Markdown{Text: s}}})
		encoded, err := json.Marshal(m.Blocks)
		if err != nil {
			t.Fatal(err)
		}
		for _, kind := range []string{`"mrkdwn"`, `"broadcast"`, `"user"`, `"usergroup"`, `"image"`} {
			if strings.Contains(string(encoded), `"type":`+kind) {
				t.Errorf("markdown made a %s", kind)
			}
		}
	})
}

func TestPlacesSurviveAPrompt(t *testing.T) {
	p := prompted{Action: "a", Subject: "s", Place: bot.Place{Surface: "slack", Channel: "C1", Thread: "1.1"}, Message: bot.Ref{Channel: "C1", Message: "1.1"}}
	back, err := json.Marshal(p)
	ok(t, err)
	payload, err := json.Marshal(map[string]any{
		"type": "view_submission", "user": map[string]any{"id": "U1"},
		"view": map[string]any{"id": "V1", "callback_id": promptCallback, "private_metadata": string(back)},
	})
	ok(t, err)
	h, err := decodeInteraction(payload)
	ok(t, err)
	if h.in.Place != p.Place || h.in.Message != p.Message || h.in.Subject != "s" {
		t.Errorf("%+v", h.in)
	}
}
