package main

import (
	"context"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/bukahou/atlhyper/bot/discord/discordfake"
	"github.com/bukahou/atlhyper/bot/slack/slackfake"
	"github.com/bukahou/atlhyper/deploy/lab"
)

// said is a message on any platform, as a person sees it.
type said struct {
	channel, id, text string
	buttons           []string
}

// room is the channel for incidents on one platform, with its admin in it. It hides only what differs by nature: ids
// and where a thread's messages stand.
type room interface {
	flags() []string // that make the program come here
	channel() []said // outside threads
	thread(of said) []said
	press(m said, label string) error
	WaitConnected(ctx context.Context) error
	Wait(ctx context.Context, condition func() bool) error
	Faults() []string
	Close()
}

type slackRoom struct{ *slackfake.Server }

func (r slackRoom) flags() []string {
	return []string{
		"--slack-bot-token", slackfake.BotToken, "--slack-app-token", slackfake.AppToken, "--slack-api-url", r.URL(), "--slack-channel", ops,
		"--admins", "slack:" + mia,
	}
}

func slackSaid(all []slackfake.Message) []said {
	var out []said
	for _, m := range all {
		s := said{channel: m.Channel, id: m.TS, text: m.Text()}
		for _, b := range m.Buttons() {
			s.buttons = append(s.buttons, b.Label)
		}
		out = append(out, s)
	}
	return out
}

func (r slackRoom) channel() []said       { return slackSaid(r.Messages(ops)) }
func (r slackRoom) thread(of said) []said { return slackSaid(r.Thread(ops, of.id)) }
func (r slackRoom) press(m said, label string) error {
	return r.Click(mia, slackfake.Message{Channel: m.channel, TS: m.id}, label)
}

type discordRoom struct{ *discordfake.Server }

func (r discordRoom) flags() []string {
	return []string{
		"--discord-bot-token", discordfake.BotToken, "--discord-app-id", discordfake.BotUser, "--discord-guild-id", discordfake.Guild,
		"--discord-channel", discordfake.Ops, "--discord-api-url", r.URL(), "--admins", "discord:" + discordfake.Mia,
	}
}

func discordSaid(all []discordfake.Message) []said {
	var out []said
	for _, m := range all {
		s := said{channel: m.Channel, id: m.ID, text: m.Text()}
		for _, b := range m.Buttons() {
			s.buttons = append(s.buttons, b.Label)
		}
		out = append(out, s)
	}
	return out
}

func (r discordRoom) channel() []said { return discordSaid(r.Messages(discordfake.Ops)) }

func (r discordRoom) thread(of said) []said {
	m, ok := r.Message(of.channel, of.id)
	if !ok || m.Thread == "" {
		return nil
	}
	return discordSaid(r.Messages(m.Thread))
}

// press waits for a parent's thread, which Discord opens by a second call: no person is faster than that.
func (r discordRoom) press(m said, label string) error {
	if m.channel == discordfake.Ops {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := r.Wait(ctx, func() bool { now, _ := r.Message(m.channel, m.id); return now.Thread != "" }); err != nil {
			return fmt.Errorf("the message has no thread: %w", err)
		}
	}
	return r.Click(discordfake.Mia, discordfake.Message{Channel: m.channel, ID: m.id}, label)
}

// visit is the program in a room, watching the lab.
type visit struct {
	room
	t   *testing.T
	log string
}

// expect waits until one of the messages shows all the words.
func (v *visit) expect(where string, messages func() []said, words ...string) (found said) {
	v.t.Helper()
	ctx, cancel := context.WithTimeout(v.t.Context(), 45*time.Second)
	defer cancel()
	err := v.Wait(ctx, func() bool {
		for _, m := range messages() {
			if !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(m.text, w) }) {
				found = m
				return true
			}
		}
		return false
	})
	if err != nil {
		for _, m := range append(v.channel(), messages()...) {
			v.t.Logf("%s in %s:\n%s", m.id, m.channel, m.text)
		}
		v.t.Fatalf("%s never showed %q", where, words)
	}
	return found
}

func (v *visit) click(m said, prefix string) {
	v.t.Helper()
	i := slices.IndexFunc(m.buttons, func(b string) bool { return strings.HasPrefix(b, prefix) })
	if i < 0 {
		v.t.Fatalf("no button %q… in:\n%s", prefix, m.text)
	}
	if err := v.press(m, m.buttons[i]); err != nil {
		v.t.Fatal(err)
	}
}

func TestTheIncidentThreadIsTheSameOnEveryPlatform(t *testing.T) {
	for _, platform := range []struct {
		name, deployment string
		open             func() room
	}{
		{"Slack", "inventory", func() room { return slackRoom{slackfake.New(slackfake.Config{})} }},
		{"Discord", "recommendations", func() room { return discordRoom{discordfake.New(discordfake.Config{})} }},
	} {
		t.Run(platform.name, func(t *testing.T) {
			l := shared.Lab(t)
			if err := l.SeedShop(t.Context()); err != nil {
				t.Fatal(err)
			}
			name, before := platform.deployment, imageOf(t, l, platform.deployment)
			data := t.TempDir()
			v := &visit{room: platform.open(), t: t, log: filepath.Join(data, "log")}
			t.Cleanup(v.Close)
			p := launch(t, v.log, append([]string{
				"up", "--headless", "--kubeconfig", l.Kubeconfig(), "--cluster-id", "lab", "--data-dir", data, "--time-scale", "20",
			}, v.flags()...)...)
			t.Cleanup(func() {
				p.stop()
				for _, f := range v.Faults() {
					t.Errorf("%s would have complained: %s", platform.name, f)
				}
			})
			if err := v.WaitConnected(p.alive); err != nil {
				t.Fatalf("AtlHyper did not come: %v", err)
			}
			breakImage(t, l, name)

			parent := v.expect("the channel", v.channel, name, "lab / shop", "INC-1")
			inThread := func() []said { return v.thread(parent) }
			// Mia's Discord speaks Japanese, so her answers there are told by what is not translated.
			v.click(parent, "Explain")
			v.expect("the thread", inThread, "deployment/"+name, "missing-1", "R_final")
			v.click(parent, "Timeline")
			v.expect("the thread", inThread, "INC-1 · "+name)
			v.click(parent, "Acknowledge")
			v.expect("the thread", inThread, "Mia", "INC-1")
			v.click(parent, "Suggest fix")
			card := v.expect("the thread", inThread, "roll back deployment/"+name, "accepted by the API server", "W1")
			v.click(card, "Show diff")
			v.expect("the thread", inThread, "+ "+before)
			v.click(card, "Roll back")
			v.expect("the thread", inThread, "verified")
			if got := imageOf(t, l, name); got != before {
				t.Errorf("the API server holds image %s, want %s again", got, before)
			}
			resolved := v.expect("the channel", v.channel, "INC-1", "resolved", "Fixed by", "Mia")
			if resolved.id != parent.id {
				t.Error("resolved in another message than it was opened in")
			}
			decided := v.expect("the thread", inThread, "Roll back deployment/"+name, "approved by Mia")
			if decided.id != card.id || !slices.Equal(decided.buttons, []string{"Undo"}) {
				t.Errorf("the card was not decided in place with only Undo left; buttons %q", decided.buttons)
			}
			if all := v.channel(); len(all) != 1 {
				t.Errorf("%d messages in the channel, want the one parent", len(all))
			}
		})
	}
}

// breakImage sets an image that no registry has, until the test ends.
func breakImage(t *testing.T, l *lab.Lab, deployment string) {
	t.Helper()
	t.Cleanup(func() {
		if err := l.Heal(context.Background(), lab.ShopNamespace, deployment); err != nil {
			t.Errorf("heal %s: %v", deployment, err)
		}
	})
	if err := l.ImagePull(t.Context(), lab.ShopNamespace, deployment); err != nil {
		t.Fatal(err)
	}
}

func imageOf(t *testing.T, l *lab.Lab, deployment string) string {
	t.Helper()
	d, err := l.Client().AppsV1().Deployments(lab.ShopNamespace).Get(t.Context(), deployment, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return d.Spec.Template.Spec.Containers[0].Image
}
