package discord

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/discord/discordfake"
	"github.com/bukahou/atlhyper/bot/message"
)

// alerting is a message of another system, whose words stand in an embed.
func alerting(t *testing.T, m discordfake.Message) discordfake.Message {
	t.Helper()
	m.Content = `see checkout\_v2`
	ok(t, json.Unmarshal([]byte(`[{"title":"KubePodCrashLooping","description":"pod **payments-7d9c-x2x**","fields":[{"name":"ns","value":"shop"}],"image":{"url":"https://x.example/secret.png"}}]`), &m.Embeds))
	return m
}

func TestAMessageThatIsPointedAtIsEvidenceAndAnsweredToOneAlone(t *testing.T) {
	t.Parallel()
	for name, slow := range map[string]time.Duration{"at once": 0, "after the announcement": 1600 * time.Millisecond} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			overBoth(t, func(t *testing.T, http bool) {
				long := message.Code{Heading: "all", Text: strings.Repeat("a line\n", 2000)}
				o := open(t, officeConfig{http: http, handle: func(ctx context.Context, in bot.Inbound, r bot.Responder) {
					time.Sleep(slow)
					if err := r.Answer(ctx, message.Message{Title: "known", Private: true, Blocks: []message.Block{long}}); err != nil && ctx.Err() == nil {
						t.Error(err)
					}
					if _, lossy := r.(bot.Courier); lossy {
						t.Error("what one person is shown here brings its files itself")
					}
				}})
				said := must[discordfake.Message](t)(o.Say(mia, ops, "look"))
				ok(t, o.Point(ken, alerting(t, said), "Explain this"))
				m := o.expect(t, ops, "known")
				if m.Only != ken || len(m.Files) != 1 || string(m.Files[0].Content) != long.Text {
					t.Errorf("for %q, %d files", m.Only, len(m.Files))
				}
				in := o.in(t, 0)
				if in.Kind != bot.Pointed || in.Text != "" || in.Person.ID != "discord:"+ken || in.Place != (bot.Place{Surface: "discord", Channel: ops}) {
					t.Errorf("%+v", in)
				}
				if in.Evidence != "see checkout_v2\npod **payments-7d9c-x2x**\nns\nshop\nKubePodCrashLooping" {
					t.Errorf("evidence %q", in.Evidence)
				}
				for _, x := range o.Messages(ops) {
					if x.Author == discordfake.BotUser && x.Only != ken {
						t.Errorf("everybody saw %q", x.Text())
					}
				}
				o.noFaults(t)
			})
		})
	}
}

func TestAThreadThatIsPointedIntoIsNotListenedTo(t *testing.T) {
	t.Parallel()
	o := open(t, officeConfig{handle: func(ctx context.Context, in bot.Inbound, r bot.Responder) {
		_ = r.Answer(ctx, message.Message{Title: "known", Private: true})
	}})
	say := must[discordfake.Message](t)
	talk := say(o.Say(mia, ops, "lunch?"))
	people := must[string](t)(o.Thread(mia, talk, "lunch"))
	ok(t, o.Point(ken, say(o.Reply(mia, people, "payments is down")), "Explain this"))
	o.expect(t, people, "known")
	say(o.Reply(mia, people, "so restart it"))
	time.Sleep(50 * time.Millisecond) // it is dropped without a trace
	if got := o.ins(); len(got) != 1 {
		t.Errorf("heard %+v", got)
	}
	o.noFaults(t)
}
