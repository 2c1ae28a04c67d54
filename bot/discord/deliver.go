package discord

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/bwmarrin/discordgo"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/message/layout"
)

// nonced is a message with Discord's idempotency key: within some minutes, a message with a nonce that was used
// before is not made again, and the first one is given back.
type nonced struct {
	*discordgo.MessageSend
	Nonce   string `json:"nonce,omitempty"`
	Enforce bool   `json:"enforce_nonce,omitempty"`
}

// Post delivers a message, and starts the thread beneath it. A try again after a lost answer gives the first message,
// by Discord's nonce. Private is not looked at: who reads p.Channel sees the message.
func (d *Discord) Post(ctx context.Context, p bot.Place, m message.Message, key string, thread string) (bot.Ref, error) {
	ref, err := d.post(ctx, p, m, key, nil)
	if err != nil || thread == "" || p.Thread != "" {
		return ref, err
	}
	if err := d.startThread(ctx, p.Channel, ref.Message, thread); err != nil {
		e := deliveryError(fmt.Errorf("start a thread in %s: %w", p.Channel, err))
		if !e.Permanent {
			return bot.Ref{}, e // the nonce makes the next try only start the thread
		}
		// The message stands. What would go beneath it goes into the channel.
		d.log.Warn("cannot start a thread", "channel", p.Channel, "err", e)
		return ref, nil
	}
	ref.Thread = ref.Message // a thread has the id of the message it was started on
	d.places.join(ref.Thread)
	return ref, nil
}

// post sends a message; reply, if set, is the message that it answers.
func (d *Discord) post(ctx context.Context, p bot.Place, m message.Message, key string, reply *discordgo.MessageReference) (bot.Ref, error) {
	r := render(m)
	body := nonced{MessageSend: &discordgo.MessageSend{
		Content: r.Content, Embeds: r.Embeds, Components: r.Components, AllowedMentions: mentioning(m.Mention), Reference: reply,
	}}
	if key != "" {
		body.Nonce, body.Enforce = nonce(key), true
	}
	channel := p.Channel
	if p.Thread != "" {
		channel = p.Thread
	}
	endpoint := discordgo.EndpointChannelMessages(channel)
	var answer []byte
	var err error
	if files := r.files(); len(files) > 0 {
		var contentType string
		var encoded []byte
		if contentType, encoded, err = discordgo.MultipartBodyWithJSON(body, files); err == nil {
			answer, err = d.api.RequestRaw("POST", endpoint, contentType, encoded, endpoint, 0, discordgo.WithContext(ctx))
		}
	} else {
		answer, err = d.api.RequestWithBucketID("POST", endpoint, body, endpoint, discordgo.WithContext(ctx))
	}
	if err != nil {
		return bot.Ref{}, deliveryError(fmt.Errorf("post to %s: %w", channel, err))
	}
	var made struct {
		ID string `json:"id"`
	}
	if err := json.Unmarshal(answer, &made); err != nil || made.ID == "" {
		return bot.Ref{}, deliveryError(fmt.Errorf("post to %s: unreadable answer: %w", channel, err))
	}
	d.places.join(p.Thread)
	return bot.Ref{Surface: "discord", Channel: p.Channel, Message: made.ID, Thread: p.Thread}, nil
}

// nonce is an outbox id in the 25 characters that Discord takes.
func nonce(key string) string {
	sum := sha256.Sum256([]byte(key))
	return base64.RawURLEncoding.EncodeToString(sum[:18])
}

// archiveAfter is how many minutes a quiet thread stays among the open ones: a week, so that a post-mortem finds it.
const archiveAfter = 10_080

func (d *Discord) startThread(ctx context.Context, channel, msg, name string) error {
	const maxName = 100
	name = layout.Cut(layout.OneLine(name), maxName)
	if name == "" {
		name = "…"
	}
	_, err := d.api.MessageThreadStartComplex(channel, msg, &discordgo.ThreadStart{
		Name: name, AutoArchiveDuration: archiveAfter,
	}, discordgo.WithContext(ctx))
	if code(err) == discordgo.ErrCodeThreadAlreadyCreatedForThisMessage {
		return nil
	}
	return err
}

// Edit replaces a message, its pictures too.
func (d *Discord) Edit(ctx context.Context, ref bot.Ref, m message.Message) error {
	r := render(m)
	channel := ref.Channel
	if ref.Thread != "" && ref.Thread != ref.Message {
		channel = ref.Thread // a message within a thread, not the one that it was started on
	}
	_, err := d.api.ChannelMessageEditComplex(&discordgo.MessageEdit{
		Channel: channel, ID: ref.Message,
		Content: &r.Content, Embeds: &r.Embeds, Components: &r.Components,
		Files: r.files(), Attachments: r.attachments(), AllowedMentions: nobody(),
	}, discordgo.WithContext(ctx))
	if err != nil {
		return deliveryError(fmt.Errorf("edit %s in %s: %w", ref.Message, channel, err))
	}
	return nil
}
