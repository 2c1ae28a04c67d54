package slack

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/slack-go/slack"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/message/layout"
)

// Slack's limits of an assistant's thread.
const (
	maxPrompts     = 4
	maxThreadTitle = 100 // Slack names none; its list shows less
	maxStatus      = 100 // as above
	partBlocks     = 10  // how much of an answer comes at once
)

// assistantBook knows which direct threads are an assistant's, where a status, a title and a streamed answer can be shown.
// One that is not known, as after a restart, is tried once.
type assistantBook struct {
	mu       sync.Mutex // guards what follows
	untitled map[bot.Place]bool
	plain    map[bot.Place]bool // those in which Slack refused
}

func (b *assistantBook) begin(p bot.Place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.untitled == nil || len(b.untitled) >= bookSize {
		b.untitled = map[bot.Place]bool{}
	}
	b.untitled[p] = true
	delete(b.plain, p)
}

// titling says whether a thread still wants a title, once.
func (b *assistantBook) titling(p bot.Place) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	wants := b.untitled[p]
	delete(b.untitled, p)
	return wants
}

func (b *assistantBook) refused(p bot.Place) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.plain == nil || len(b.plain) >= bookSize {
		b.plain = map[bot.Place]bool{}
	}
	b.plain[p] = true
}

func (b *assistantBook) isPlain(p bot.Place) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.plain[p]
}

// assisted says that the answer goes into an assistant's thread, as far as is known.
func (r *responder) assisted() bool {
	return r.in.Kind == bot.Direct && r.direct && r.in.Place.Thread != "" && !r.s.open.isPlain(r.in.Place)
}

// title names the thread after the first question in it.
func (r *responder) title(ctx context.Context) {
	if !r.assisted() || !r.s.open.titling(r.in.Place) {
		return
	}
	err := r.s.api.SetAssistantThreadsTitleContext(ctx, slack.AssistantThreadsSetTitleParameters{
		ChannelID: r.in.Place.Channel, ThreadTS: r.in.Place.Thread, Title: layout.Cut(layout.OneLine(r.in.Text), maxThreadTitle),
	})
	if err != nil {
		r.s.log.Warn("cannot name an assistant's thread", "err", err)
	}
}

// status shows what is being done, which Slack takes away when the answer comes. It says false where that cannot be: then
// the step is shown as a message.
func (r *responder) status(ctx context.Context, step string) bool {
	err := r.s.api.SetAssistantThreadsStatusContext(ctx, slack.AssistantThreadsSetStatusParameters{
		ChannelID: r.in.Place.Channel, ThreadTS: r.in.Place.Thread, Status: layout.Cut(layout.OneLine(step), maxStatus),
	})
	if err == nil {
		return true
	}
	if deliveryError(err).Permanent {
		r.s.open.refused(r.in.Place)
		r.s.log.Info("a direct thread is no assistant's, it is answered with messages", "channel", r.in.Place.Channel, "err", err)
		return false
	}
	r.s.log.Warn("cannot show a status", "err", err)
	return true
}

// Suggest implements bot.Suggester: what a person may begin the thread with.
func (r *responder) Suggest(ctx context.Context, choices []bot.Choice) error {
	p := slack.AssistantThreadsSetSuggestedPromptsParameters{ChannelID: r.in.Place.Channel, ThreadTS: r.in.Place.Thread}
	for _, c := range choices[:min(len(choices), maxPrompts)] {
		p.AddPrompt(layout.Cut(layout.OneLine(c.Label), maxLabel), c.Value)
	}
	if err := r.s.api.SetAssistantThreadsSuggestedPromptsContext(ctx, p); err != nil {
		return fmt.Errorf("slack: suggest: %w", err)
	}
	return nil
}

// errNotStreamed says that nothing of an answer is left of a try to stream it: it goes out as a message.
var errNotStreamed = errors.New("slack: not streamed")

// stream delivers an answer part by part: what it says first at once, the buttons at its end. When that breaks off, what
// was shown is taken away and errNotStreamed returned.
func (r *responder) stream(ctx context.Context, m message.Message) error {
	x := render(m)
	body := x.Blocks
	var tail []slack.Block
	for len(body) > 1 && foot(body[len(body)-1]) {
		tail, body = append([]slack.Block{body[len(body)-1]}, tail...), body[:len(body)-1]
	}
	if len(body) == 0 {
		return errNotStreamed
	}
	first := min(2, len(body))
	to := []slack.MsgOption{
		slack.MsgOptionTS(r.in.Place.Thread), slack.MsgOptionRecipientUserID(r.user), slack.MsgOptionRecipientTeamID(r.s.self().Team),
		slack.MsgOptionChunks(slack.NewBlocksChunk(body[:first]...)),
	}
	channel := r.in.Place.Channel
	_, ts, err := r.s.api.StartStreamContext(ctx, channel, to...)
	if err != nil {
		if ctx.Err() != nil {
			return err
		}
		if deliveryError(err).Permanent {
			r.s.open.refused(r.in.Place)
		}
		return fmt.Errorf("%w: %w", errNotStreamed, err)
	}
	for from := first; from < len(body) && err == nil; from += partBlocks {
		part := body[from:min(from+partBlocks, len(body))]
		_, _, err = r.s.api.AppendStreamContext(ctx, channel, ts, slack.MsgOptionChunks(slack.NewBlocksChunk(part...)))
	}
	if err == nil {
		var last []slack.MsgOption
		if len(tail) > 0 {
			last = append(last, slack.MsgOptionBlocks(tail...))
		}
		_, _, err = r.s.api.StopStreamContext(ctx, channel, ts, last...)
	}
	if ctx.Err() != nil {
		return err
	}
	if err != nil && apiCode(err) != "message_not_in_streaming_state" { // which is what a second stop is told
		_, _, _ = r.s.api.StopStreamContext(ctx, channel, ts) // else it could not be deleted
		if _, _, gone := r.s.api.DeleteMessageContext(ctx, channel, ts); gone != nil {
			r.s.log.Warn("cannot take back half an answer", "err", gone)
		}
		return fmt.Errorf("%w: %w", errNotStreamed, err)
	}
	r.s.upload(ctx, refTo(r.in.Place, ts), x)
	return nil
}

// foot says that a block belongs to the end of an answer: buttons, lists to choose from, small print.
func foot(b slack.Block) bool {
	switch b.BlockType() {
	case slack.MBTAction, slack.MBTContext:
		return true
	}
	return false
}
