package discord

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/bwmarrin/discordgo"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/message/layout"
)

const (
	// acknowledgeAfter is how long the first answer of an interaction may take before it is announced. Discord's
	// deadline is 3 s, and the call itself needs some of them.
	acknowledgeAfter = 1500 * time.Millisecond
	// workingEvery is the least time between two steps shown.
	workingEvery = 1500 * time.Millisecond
	// answerTries bounds how often an answer is sent again while Discord refuses.
	answerTries = 6
)

// responder answers one event where it was made. An interaction's first answer decides for good whether a prompt may
// open and whether the answer is for one person: so the first answer waits for what the core has to say, and is an
// acknowledgement only when that takes long, or when progress is shown.
type responder struct {
	d   *Discord
	run *session
	*heard

	placeholder bot.Ref // Working's message, for what is answered by messages
	threaded    bool    // the thread of a mention was started, or cannot be
	shownAt     time.Time
	quiet       bool // what is announced is for the person alone: nothing will follow

	timer *time.Timer
	work  sync.WaitGroup // the timer's call

	mu    sync.Mutex // guards state, held over the first answer
	state int
}

// The states of an interaction.
const (
	waiting      = iota // no first answer yet
	acknowledged        // announced: the answer is still owed
	answered
)

// errTooLate says that the interaction was acknowledged: upon that no prompt can follow.
var errTooLate = fmt.Errorf("discord: %w: it must open within seconds of the click", bot.ErrNoPrompt)

func newResponder(ctx context.Context, d *Discord, run *session, h *heard) *responder {
	r := &responder{d: d, run: run, heard: h}
	if r.token != "" {
		r.work.Add(1)
		r.timer = time.AfterFunc(acknowledgeAfter, func() {
			defer r.work.Done()
			if err := r.acknowledge(ctx); err != nil {
				d.log.Warn("cannot acknowledge an interaction", "err", err)
			}
		})
	}
	return r
}

// close ends the responder. An interaction that nobody answered, because the answer is a card elsewhere, is acknowledged
// all the same, so that it shows no failure; an announcement that nothing follows is taken away.
func (r *responder) close() {
	if r.timer == nil {
		return
	}
	if r.timer.Stop() {
		r.work.Done()
	}
	r.work.Wait()
	if r.state == answered || r.onMessage() && r.state == acknowledged || r.run.ctx.Err() != nil {
		return
	}
	ctx, cancel := context.WithTimeout(r.run.ctx, callTimeout)
	defer cancel()
	r.quiet = true
	err := r.acknowledge(ctx)
	if err == nil && !r.onMessage() {
		err = r.d.api.InteractionResponseDelete(r.interaction(), discordgo.WithContext(ctx))
	}
	if err != nil {
		r.d.log.Warn("cannot close an interaction", "err", err)
	}
}

func (r *responder) interaction() *discordgo.Interaction {
	return &discordgo.Interaction{ID: r.id, AppID: r.run.app, Token: r.token}
}

// onMessage says that the interaction came from a message's button, or from a prompt that one opened, whose acknowledgement promises nothing visible.
func (r *responder) onMessage() bool {
	return r.in.Kind == bot.Click || r.in.Kind == bot.Submit && r.in.Message.Message != ""
}

// acknowledge announces the answer, unless the first answer was given.
func (r *responder) acknowledge(ctx context.Context) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != waiting {
		return nil
	}
	kind := discordgo.InteractionResponseDeferredChannelMessageWithSource
	if r.onMessage() {
		kind = discordgo.InteractionResponseDeferredMessageUpdate
	}
	answer := &discordgo.InteractionResponse{Type: kind}
	if (r.quiet || r.in.Kind == bot.Pointed) && !r.onMessage() {
		answer.Data = &discordgo.InteractionResponseData{Flags: discordgo.MessageFlagsEphemeral}
	}
	err := r.d.api.InteractionRespond(r.interaction(), answer, discordgo.WithContext(ctx))
	if err != nil && !taken(err) {
		return err
	}
	r.state = acknowledged
	return nil
}

// taken says that Discord has a first answer already: that of a try whose own answer was lost.
func taken(err error) bool {
	return code(err) == discordgo.ErrCodeInteractionHasAlreadyBeenAcknowledged
}

// Working shows the step in one message that later steps, and then the answer, replace.
func (r *responder) Working(ctx context.Context, step string) error {
	now := r.d.cfg.Now()
	if !r.shownAt.IsZero() && now.Sub(r.shownAt) < workingEvery {
		return nil
	}
	r.shownAt = now
	m := message.Message{Context: "⏳ " + step}
	var err error
	switch {
	case r.in.Kind == bot.Slash:
		// A command's first answer is the announcement, which later steps and the answer replace.
		if err = r.acknowledge(ctx); err == nil {
			err = r.editOriginal(ctx, m)
		}
	case r.token != "":
		// A click's answer may be for one person, or beneath the message: nothing is shown before it is known.
		err = r.acknowledge(ctx)
	case r.placeholder.Message != "":
		err = r.d.Edit(ctx, r.placeholder, m)
	default:
		r.placeholder, err = r.say(ctx, m, "")
	}
	if err != nil {
		return fmt.Errorf("discord: show progress: %w", err)
	}
	return nil
}

// Answer delivers the answer, trying again while Discord is briefly down or full. It returns the last refusal.
func (r *responder) Answer(ctx context.Context, m message.Message) error {
	wait := time.Second
	for try := 1; ; try++ {
		err := r.answer(ctx, m)
		if err == nil {
			return nil
		}
		var e *bot.DeliveryError
		if !errors.As(err, &e) {
			e = deliveryError(err)
		}
		if e.Permanent || try == answerTries || sleep(ctx, max(wait, e.RetryAfter)) != nil {
			return fmt.Errorf("discord: answer: %w", err)
		}
		wait *= 2
	}
}

func (r *responder) answer(ctx context.Context, m message.Message) error {
	private := m.Private && r.guild != "" // a direct message is private already
	switch {
	case r.token == "" && r.placeholder.Message != "":
		return r.d.Edit(ctx, r.placeholder, m)
	case r.token == "":
		// What was written in a channel can be answered to one person alone only by a direct message.
		if private {
			return r.whisper(ctx, m)
		}
		_, err := r.say(ctx, m, "answer-"+r.id)
		return err
	case r.onMessage() && !private:
		if err := r.acknowledge(ctx); err != nil {
			return err
		}
		_, err := r.say(ctx, m, "answer-"+r.id)
		return err
	}

	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state == waiting {
		x := render(m)
		data := &discordgo.InteractionResponseData{
			Content: x.Content, Embeds: x.Embeds, Components: x.Components, Files: x.files(), AllowedMentions: nobody(),
		}
		if private {
			data.Flags = discordgo.MessageFlagsEphemeral
		}
		err := r.d.api.InteractionRespond(r.interaction(), &discordgo.InteractionResponse{
			Type: discordgo.InteractionResponseChannelMessageWithSource, Data: data,
		}, discordgo.WithContext(ctx))
		if err == nil || taken(err) {
			r.state = answered
			return nil
		}
		return err
	}
	if !private {
		err := r.editOriginal(ctx, m)
		if refused := deliveryError(err); err != nil && refused.Permanent {
			_, err = r.say(ctx, m, "answer-"+r.id) // the token died with its 15 minutes
		}
		if err == nil {
			r.state = answered
		}
		return err
	}
	// The announcement was for everyone, and the answer is not: it gives way to a message of its own.
	if !r.onMessage() && r.state == acknowledged {
		if err := r.d.api.InteractionResponseDelete(r.interaction(), discordgo.WithContext(ctx)); err != nil && !deliveryError(err).Permanent {
			return err
		}
		r.state = answered
	}
	x := render(m)
	_, err := r.d.api.FollowupMessageCreate(r.interaction(), true, &discordgo.WebhookParams{
		Content: x.Content, Embeds: x.Embeds, Components: x.Components, Files: x.files(),
		AllowedMentions: nobody(), Flags: discordgo.MessageFlagsEphemeral,
	}, discordgo.WithContext(ctx))
	return err
}

func (r *responder) editOriginal(ctx context.Context, m message.Message) error {
	x := render(m)
	_, err := r.d.api.InteractionResponseEdit(r.interaction(), &discordgo.WebhookEdit{
		Content: &x.Content, Embeds: &x.Embeds, Components: &x.Components,
		Files: x.files(), Attachments: x.attachments(), AllowedMentions: nobody(),
	}, discordgo.WithContext(ctx))
	return err
}

// say posts into the event's place. A mention in a channel gets its thread first; where none can be started the answer
// is a reply in the channel.
func (r *responder) say(ctx context.Context, m message.Message, key string) (bot.Ref, error) {
	place := r.in.Place
	var reply *discordgo.MessageReference
	if r.in.Kind == bot.Mention && place.Thread == r.id {
		if !r.threaded {
			err := r.d.startThread(ctx, place.Channel, r.id, r.in.Text)
			if err != nil && !deliveryError(err).Permanent {
				return bot.Ref{}, deliveryError(fmt.Errorf("start a thread in %s: %w", place.Channel, err))
			}
			if err != nil {
				r.d.log.Warn("cannot start a thread", "channel", place.Channel, "err", err)
				r.in.Place.Thread, place.Thread = "", ""
			}
			r.threaded = true
		}
		if place.Thread == "" {
			reply = &discordgo.MessageReference{MessageID: r.id, ChannelID: place.Channel}
		}
	}
	return r.d.post(ctx, place, m, key, reply)
}

// whisper sends a direct message.
func (r *responder) whisper(ctx context.Context, m message.Message) error {
	c, err := r.d.api.UserChannelCreate(r.user.ID, discordgo.WithContext(ctx))
	if err != nil {
		return deliveryError(fmt.Errorf("open a direct message: %w", err))
	}
	_, err = r.d.post(ctx, bot.Place{Surface: "discord", Channel: c.ID}, m, "answer-"+r.id, nil)
	return err
}

// field is a label with an input in it, a kind that the library does not know yet. Its own kind, an input in a row, is
// deprecated.
type field struct{ bot.Field }

// Type is Discord's number for a label.
func (field) Type() discordgo.ComponentType { return 18 }

// MarshalJSON gives the wire form.
func (f field) MarshalJSON() ([]byte, error) {
	const maxLabel, maxHint, maxInput = 45, 100, 4000
	input := map[string]any{"custom_id": f.Name, "required": !f.Optional}
	if len(f.Choices) > 0 {
		var options []map[string]any
		for _, c := range f.Choices[:min(len(f.Choices), maxOptions)] {
			o := map[string]any{"label": layout.Cut(layout.OneLine(firstOf(c.Label, c.Value)), maxOption), "value": c.Value}
			if c.Value == f.Value {
				o["default"] = true
			}
			options = append(options, o)
		}
		input["type"], input["options"] = discordgo.SelectMenuComponent, options
	} else {
		input["type"], input["style"], input["max_length"] = discordgo.TextInputComponent, discordgo.TextInputShort, maxInput
		if f.Value != "" {
			input["value"] = layout.Cut(f.Value, maxInput)
		}
	}
	out := map[string]any{
		"type": f.Type(), "label": layout.Cut(layout.OneLine(firstOf(f.Label, f.Name)), maxLabel), "component": input,
	}
	if hint := layout.Cut(layout.OneLine(f.Hint), maxHint); hint != "" {
		out["description"] = hint
	}
	return json.Marshal(out)
}

// Ask opens a prompt. It must be the interaction's first answer.
func (r *responder) Ask(ctx context.Context, p bot.Prompt) error {
	if r.token == "" || r.in.Kind == bot.Submit {
		return fmt.Errorf("discord: %w", bot.ErrNoPrompt)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state != waiting {
		return errTooLate
	}
	const maxTitle, maxFields = 45, 5
	var fields []discordgo.MessageComponent
	for _, f := range p.Fields[:min(len(p.Fields), maxFields)] {
		fields = append(fields, field{f})
	}
	err := r.d.api.InteractionRespond(r.interaction(), &discordgo.InteractionResponse{
		Type: discordgo.InteractionResponseModal,
		Data: &discordgo.InteractionResponseData{
			CustomID:   p.Action + actionMark + p.Subject,
			Title:      layout.Cut(layout.OneLine(firstOf(p.Title, "AtlHyper")), maxTitle),
			Components: fields,
		},
	}, discordgo.WithContext(ctx))
	if err != nil {
		return fmt.Errorf("discord: ask: %w", err)
	}
	r.state = answered
	return nil
}
