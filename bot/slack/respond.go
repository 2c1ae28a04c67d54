package slack

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/slack-go/slack"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/message/layout"
)

const (
	// workingEvery is the least time between two steps shown. Slack takes about one message a second and channel.
	workingEvery = 1500 * time.Millisecond
	// responseUses is how often Slack lets a response_url be used. The last two are kept for the answer.
	responseUses = 5
	answerUses   = 2
	// answerTries bounds how often an answer is sent again while Slack refuses. Nobody waits longer for one.
	answerTries = 6
)

// responder answers one event where it was made.
type responder struct {
	s *Slack
	*heard

	shown       bool // Working shows something
	told        bool // Working shows it as the thread's status, which clears itself
	placeholder bot.Ref
	shownAt     time.Time
	uses        int // of the response URL
}

// slashed says that the answer belongs to a slash command, which lives outside the channel until it is answered.
func (r *responder) slashed() bool { return r.in.Kind == bot.Slash && r.responseURL != "" }

// Working shows the step in one message that later steps, and then the answer, replace.
func (r *responder) Working(ctx context.Context, step string) error {
	now := r.s.cfg.Now()
	if (r.shown || r.told) && now.Sub(r.shownAt) < workingEvery {
		return nil
	}
	if r.assisted() {
		r.title(ctx)
		if r.status(ctx, step) {
			r.told, r.shownAt = true, now
			return nil
		}
	}
	m := message.Message{Footer: "⏳ " + step}
	var err error
	switch {
	case r.slashed():
		if r.uses >= responseUses-answerUses {
			return nil
		}
		err = r.respond(ctx, m, true)
	case r.ephemeral:
		// A click on a message that one person sees: only they wait, and the answer is soon there.
		return nil
	case r.placeholder.Message != "":
		err = r.s.Edit(ctx, r.placeholder, m)
	default:
		r.placeholder, err = r.s.post(ctx, r.in.Place, m, "")
	}
	r.shownAt = now
	if err != nil {
		return fmt.Errorf("slack: show progress: %w", err)
	}
	r.shown = true
	return nil
}

// Answer delivers the answer, trying again while Slack is briefly down or full. It returns the last refusal.
func (r *responder) Answer(ctx context.Context, m message.Message) error {
	return again(ctx, "answer", func() error { return r.answer(ctx, m) })
}

// again tries a call until Slack takes it, or refuses it for good.
func again(ctx context.Context, what string, call func() error) error {
	wait := time.Second
	for try := 1; ; try++ {
		err := call()
		if err == nil {
			return nil
		}
		var d *bot.DeliveryError
		if !errors.As(err, &d) {
			d = deliveryError(err)
		}
		if d.Permanent || try == answerTries {
			return fmt.Errorf("slack: %s: %w", what, err)
		}
		if sleep(ctx, max(wait, d.RetryAfter)) != nil {
			return fmt.Errorf("slack: %s: %w", what, err)
		}
		wait *= 2
	}
}

func (r *responder) answer(ctx context.Context, m message.Message) error {
	private := m.Private && !r.direct
	if r.assisted() && r.placeholder.Message == "" {
		r.title(ctx)
		err := r.stream(ctx, m)
		if err == nil || !errors.Is(err, errNotStreamed) {
			return err
		}
		r.s.log.Info("an answer is not streamed", "err", err)
	}
	switch {
	case r.slashed() && private:
		if err := r.respond(ctx, m, true); err == nil {
			return nil
		}
		return r.whisper(ctx, m) // the response URL died with its 30 minutes
	case private:
		if err := r.whisper(ctx, m); err != nil {
			return err
		}
		if r.placeholder.Message == "" { // to clear what the response URL showed would take the answer
			return nil
		}
		return r.clear(ctx)
	case r.placeholder.Message != "":
		return r.s.editOver(ctx, r.placeholder, m)
	}
	err := r.postOnce(ctx, m)
	if code := apiCode(err); r.slashed() && (code == "channel_not_found" || code == "not_in_channel") {
		// A command can be given where the bot is no member. Its response URL reaches even there.
		return r.respond(ctx, m, false)
	}
	if err != nil {
		return err
	}
	return r.clear(ctx)
}

// postOnce posts the answer under a key of its own, so that a try whose outcome is unknown is not doubled.
func (r *responder) postOnce(ctx context.Context, m message.Message) error {
	key := "answer-" + r.in.ID
	_, found, err := r.s.sent.find(ctx, r.in.Place, key, false)
	if err != nil || found {
		return err
	}
	_, err = r.s.post(ctx, r.in.Place, m, key)
	return err
}

// editOver makes the placeholder the answer, and adds its files.
func (s *Slack) editOver(ctx context.Context, ref bot.Ref, m message.Message) error {
	if err := s.Edit(ctx, ref, m); err != nil {
		return err
	}
	s.upload(ctx, ref, render(m))
	return nil
}

// whisper sends a message that the asking person alone sees.
func (r *responder) whisper(ctx context.Context, m message.Message) error {
	options := render(m).options(true)
	if r.in.Place.Thread != "" {
		options = append(options, slack.MsgOptionTS(r.in.Place.Thread))
	}
	_, err := r.s.api.PostEphemeralContext(ctx, r.in.Place.Channel, r.user, options...)
	if err == nil {
		return nil
	}
	if code := apiCode(err); r.responseURL != "" && (code == "channel_not_found" || code == "not_in_channel" || code == "user_not_in_channel") {
		return r.respond(ctx, m, true)
	}
	return deliveryError(fmt.Errorf("post to %s alone: %w", r.user, err))
}

// respond uses the response URL: for the person alone, replacing what it showed them, or for the channel.
func (r *responder) respond(ctx context.Context, m message.Message, private bool) error {
	kind := slack.ResponseTypeInChannel
	if private {
		kind = slack.ResponseTypeEphemeral
	}
	options := append(render(m).options(true), slack.MsgOptionResponseURL(r.responseURL, kind))
	if private && r.shown {
		options = append(options, slack.MsgOptionReplaceOriginal(r.responseURL))
	}
	if _, _, _, err := r.s.api.SendMessageContext(ctx, "", options...); err != nil {
		return deliveryError(fmt.Errorf("response URL: %w", err))
	}
	r.uses++
	if private {
		r.shown = true
		return nil
	}
	return r.clear(ctx)
}

// clear takes away what Working showed. That it stays is not worth failing an answer for.
func (r *responder) clear(ctx context.Context) error {
	if !r.shown {
		return nil
	}
	r.shown = false
	var err error
	if r.placeholder.Message != "" {
		_, _, err = r.s.api.DeleteMessageContext(ctx, r.placeholder.Channel, r.placeholder.Message)
	} else if r.responseURL != "" && r.uses < responseUses {
		r.uses++
		_, _, _, err = r.s.api.SendMessageContext(ctx, "", slack.MsgOptionDeleteOriginal(r.responseURL))
	}
	if err != nil {
		r.s.log.Warn("cannot clear the progress line", "err", err)
	}
	return nil
}

// Ask opens a modal with an input for each field.
func (r *responder) Ask(ctx context.Context, p bot.Prompt) error {
	if r.trigger == "" || r.in.Kind == bot.Submit {
		return fmt.Errorf("slack: %w", bot.ErrNoPrompt)
	}
	back, err := json.Marshal(prompted{Action: p.Action, Subject: p.Subject, Place: r.in.Place, Message: r.in.Message, AtHome: r.in.AtHome})
	if err != nil {
		return fmt.Errorf("slack: ask: %w", err)
	}
	var blocks []slack.Block
	for _, f := range p.Fields {
		blocks = append(blocks, input(f))
	}
	title := orElse(p.Title, "AtlHyper")
	_, err = r.s.api.OpenViewContext(ctx, r.trigger, slack.ModalViewRequest{
		Type:            slack.VTModal,
		CallbackID:      promptCallback,
		Title:           plain(layout.Cut(layout.OneLine(title), maxViewTitle)),
		Submit:          plain(layout.Cut(orElse(p.Submit, "OK"), maxViewTitle)),
		Close:           plain(layout.Cut(orElse(p.Cancel, "Cancel"), maxViewTitle)),
		PrivateMetadata: string(back),
		Blocks:          slack.Blocks{BlockSet: blocks},
	})
	if apiCode(err) == "expired_trigger_id" {
		return fmt.Errorf("slack: %w: %w", bot.ErrNoPrompt, err)
	}
	if err != nil {
		return fmt.Errorf("slack: ask: %w", err)
	}
	return nil
}

// Slack's limits of a modal's parts, in characters.
const (
	maxViewTitle = 24
	maxChoices   = 100
)

// input is one field of a modal. Its block and its element are both named as the field.
func input(f bot.Field) slack.Block {
	var element slack.BlockElement
	if len(f.Choices) > 0 {
		var options []*slack.OptionBlockObject
		var first *slack.OptionBlockObject
		for _, c := range f.Choices[:min(len(f.Choices), maxChoices)] {
			o := slack.NewOptionBlockObject(c.Value, plain(layout.Cut(layout.OneLine(orElse(c.Label, c.Value)), maxLabel)), nil)
			if c.Value == f.Value {
				first = o
			}
			options = append(options, o)
		}
		e := slack.NewOptionsSelectBlockElement(slack.OptTypeStatic, nil, f.Name, options...)
		e.InitialOption = first
		element = e
	} else {
		e := slack.NewPlainTextInputBlockElement(nil, f.Name)
		e.MaxLength, e.InitialValue = maxSection, layout.Cut(f.Value, maxSection)
		element = e
	}
	block := slack.NewInputBlock(f.Name, plain(layout.Cut(orElse(f.Label, f.Name), maxField)), nil, element)
	block.Optional = f.Optional
	if f.Hint != "" {
		block.Hint = plain(layout.Cut(f.Hint, maxField))
	}
	return block
}

func orElse(s, other string) string {
	if strings.TrimSpace(s) == "" {
		return other
	}
	return s
}
