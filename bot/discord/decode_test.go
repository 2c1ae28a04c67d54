package discord

import (
	"testing"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/discord/discordfake"
)

func TestWhatNobodySaidToTheBotIsDropped(t *testing.T) {
	t.Parallel()
	for name, m := range map[string]string{
		"a bot":              `{"id":"1","channel_id":"2","author":{"id":"3","bot":true},"content":"x"}`,
		"the bot itself":     `{"id":"1","channel_id":"2","author":{"id":"100"},"content":"x"}`,
		"a webhook":          `{"id":"1","channel_id":"2","author":{"id":"3"},"webhook_id":"9","content":"x"}`,
		"a join":             `{"id":"1","channel_id":"2","author":{"id":"3"},"type":7,"content":""}`,
		"words withheld":     `{"id":"1","channel_id":"2","guild_id":"4","author":{"id":"3"},"content":""}`,
		"a thread's opening": `{"id":"1","channel_id":"2","guild_id":"4","author":{"id":"3"},"type":21,"content":""}`,
	} {
		if h, err := decodeMessage([]byte(m), discordfake.BotUser); h != nil || err != nil {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
	// A reply to the bot's message mentions it without naming it.
	h, err := decodeMessage([]byte(`{"id":"1","channel_id":"2","guild_id":"4","author":{"id":"3"},"type":19,"content":"why?","mentions":[{"id":"100"}]}`), discordfake.BotUser)
	if err != nil || h == nil || h.in.Text != "why?" {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestPromptsOfBothKindsAreRead(t *testing.T) {
	t.Parallel()
	for name, components := range map[string]string{
		"a label": `[{"type":18,"component":{"type":4,"custom_id":"text","value":" why "}}]`,
		"a list":  `[{"type":18,"component":{"type":3,"custom_id":"text","values":["why"]}}]`,
		"a row":   `[{"type":1,"components":[{"type":4,"custom_id":"text","value":"why"}]}]`,
	} {
		h, err := decodeInteraction([]byte(`{"id":"1","token":"t","type":5,"channel_id":"2","user":{"id":"3"},"data":{"custom_id":"a|b|c","components":` + components + `}}`))
		if err != nil || h.in.Values["text"] != "why" || h.in.Action != "a" || h.in.Subject != "b|c" {
			t.Errorf("%s: %+v, %v", name, h, err)
		}
	}
}

func FuzzDecodeMessage(f *testing.F) {
	f.Add([]byte(`{"id":"1","channel_id":"2","guild_id":"4","author":{"id":"3"},"content":"<@100> hi","mentions":[{"id":"100"}],"timestamp":"2026-01-02T03:04:05.000000+00:00"}`))
	f.Add([]byte(`{"id":"1","channel_id":"2","author":{"id":"3"},"content":"hi"}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if h, err := decodeMessage(payload, discordfake.BotUser); err == nil && h != nil {
			sound(t, h)
			if h.user.ID == discordfake.BotUser || h.user.Bot {
				t.Error("a bot was heard")
			}
		}
	})
}

func FuzzDecodeInteraction(f *testing.F) {
	f.Add([]byte(`{"id":"1","token":"t","type":2,"channel_id":"2","guild_id":"4","member":{"roles":["5"],"user":{"id":"3"}},"data":{"name":"atl","options":[{"name":"text","value":"hi"}]}}`))
	f.Add([]byte(`{"id":"1","token":"t","type":2,"channel_id":"2","user":{"id":"3"},"data":{"name":"Explain this","type":3,"target_id":"9","resolved":{"messages":{"9":{"content":"hi","embeds":[{"title":"t","fields":[{"name":"n","value":["v"]}]}]}}}}}`))
	f.Add([]byte(`{"id":"1","token":"t","type":4,"channel_id":"2","user":{"id":"3"},"data":{"name":"atl","options":[{"name":"cluster","value":"pr","focused":true},{"name":"namespace","value":7}]}}`))
	f.Add([]byte(`{"id":"1","token":"t","type":3,"channel_id":"2","user":{"id":"3"},"data":{"custom_id":"select|0","values":["choice|c1"]}}`))
	f.Add([]byte(`{"id":"1","token":"t","type":3,"channel_id":"2","user":{"id":"3"},"message":{"id":"7","flags":32},"data":{"custom_id":"a|b"}}`))
	f.Fuzz(func(t *testing.T, payload []byte) {
		if h, err := decodeInteraction(payload); err == nil && h != nil {
			sound(t, h)
			if h.token == "" {
				t.Error("no token to answer with")
			}
			if h.in.Kind == bot.Pointed && (h.in.Text != "" || h.in.Action != "") {
				t.Error("what somebody left became somebody's words")
			}
		}
	})
}

// sound checks what the core relies on in every event.
func sound(t *testing.T, h *heard) {
	t.Helper()
	if h.in.ID == "" || h.in.Kind == 0 || h.channel == "" || h.user.ID == "" {
		t.Errorf("half decoded: %+v", h)
	}
}
