package slack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/slack-go/slack"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/message/layout"
)

// metadataType marks the messages that the outbox sent. Their payload's "key" is the outbox's id.
const metadataType = "atlhyper_message"

// Post delivers a message, with its pictures and files in the thread beneath it. Slack has no idempotency key, so the key
// travels in the message's metadata, and Post looks for it before it posts again: after an attempt whose outcome is
// not known, and once for each place after a start, since the process before may have died between delivering a
// message and noting it. Private is not looked at: who reads p.Channel sees the message.
func (s *Slack) Post(ctx context.Context, p bot.Place, m message.Message, key string, _ string) (bot.Ref, error) {
	ref, found, err := s.sent.find(ctx, p, key, true)
	if err != nil {
		return bot.Ref{}, err
	}
	if found {
		return ref, nil
	}
	return s.post(ctx, p, m, key)
}

// post sends a message without looking for it first.
func (s *Slack) post(ctx context.Context, p bot.Place, m message.Message, key string) (bot.Ref, error) {
	r := render(m)
	options := func(blocks bool) []slack.MsgOption {
		o := r.options(blocks)
		if p.Thread != "" {
			o = append(o, slack.MsgOptionTS(p.Thread))
		}
		if key != "" {
			o = append(o, slack.MsgOptionMetadata(slack.SlackMetadata{
				EventType: metadataType, EventPayload: map[string]any{"key": key},
			}))
		}
		return o
	}
	channel, ts, err := s.api.PostMessageContext(ctx, p.Channel, options(true)...)
	if refusesBlocks(err) {
		s.log.Error("slack refuses the blocks of a message, it goes out as plain text", "err", err, "key", key)
		channel, ts, err = s.api.PostMessageContext(ctx, p.Channel, options(false)...)
	}
	if err != nil {
		d := deliveryError(fmt.Errorf("post to %s: %w", p.Channel, err))
		if ambiguous(err) {
			s.sent.doubt(key)
		}
		return bot.Ref{}, d
	}
	ref := refTo(p, ts)
	ref.Channel = orElse(channel, p.Channel) // of a person's id it is the direct channel, and only that takes edits and files
	if ref.Channel != p.Channel {
		s.directs.learn(p.Channel, ref.Channel)
	}
	s.sent.delivered(p, ref, key)
	s.threads.join(bot.Place{Surface: "slack", Channel: ref.Channel, Thread: ref.Thread})
	s.upload(ctx, ref, r)
	return ref, nil
}

// refTo names a message. Beneath one that is itself in a thread, one answers in that thread.
func refTo(p bot.Place, ts string) bot.Ref {
	thread := p.Thread
	if thread == "" {
		thread = ts
	}
	return bot.Ref{Surface: "slack", Channel: p.Channel, Message: ts, Thread: thread}
}

// Edit replaces a message. Pictures are not uploaded again, their figures are in the text.
func (s *Slack) Edit(ctx context.Context, ref bot.Ref, m message.Message) error {
	r := render(m)
	_, _, _, err := s.api.UpdateMessageContext(ctx, ref.Channel, ref.Message, r.options(true)...)
	if refusesBlocks(err) {
		s.log.Error("slack refuses the blocks of an edit, it goes out as plain text", "err", err, "message", ref.Message)
		_, _, _, err = s.api.UpdateMessageContext(ctx, ref.Channel, ref.Message,
			append(r.options(false), slack.MsgOptionBlocks())...)
	}
	if err != nil {
		return deliveryError(fmt.Errorf("edit %s in %s: %w", ref.Message, ref.Channel, err))
	}
	return nil
}

func (r rendered) options(blocks bool) []slack.MsgOption {
	o := []slack.MsgOption{
		slack.MsgOptionText(r.Text, false),
		slack.MsgOptionDisableMarkdown(),
		slack.MsgOptionDisableLinkUnfurl(),
		slack.MsgOptionDisableMediaUnfurl(),
	}
	if blocks {
		o = append(o, slack.MsgOptionBlocks(r.Blocks...))
	}
	return o
}

// upload puts pictures, files, and texts that had to be cut into the thread of a message. A failure is only logged: the
// message is delivered, and an error here would make the outbox deliver it twice.
func (s *Slack) upload(ctx context.Context, ref bot.Ref, r rendered) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	thread := ref.Thread
	if isDirect(ref.Channel) && thread == ref.Message {
		thread = "" // a direct message is not made a thread for a file
	}
	var files []slack.UploadFileParameters
	for _, image := range r.images {
		if len(image.PNG) > 0 {
			files = append(files, slack.UploadFileParameters{
				Reader: bytes.NewReader(image.PNG), FileSize: len(image.PNG),
				Filename: fileName(image.Name), Title: layout.OneLine(image.Name), AltTxt: layout.Cut(image.Alt, 1000),
			})
		}
	}
	for _, code := range r.whole {
		title := orElse(layout.Cut(layout.OneLine(code.Heading), maxHeader), "text")
		files = append(files, slack.UploadFileParameters{
			Reader: strings.NewReader(code.Text), FileSize: len(code.Text), Filename: "whole.txt", Title: title,
		})
	}
	for _, f := range r.files {
		if f.Text != "" {
			files = append(files, slack.UploadFileParameters{
				Reader: strings.NewReader(f.Text), FileSize: len(f.Text), Filename: layout.OneLine(f.Name), Title: layout.OneLine(f.Name),
			})
		}
	}
	for _, f := range files {
		f.Channel, f.ThreadTimestamp = ref.Channel, thread
		if _, err := s.api.UploadFileContext(ctx, f); err != nil {
			s.log.Warn("cannot upload a file", "name", f.Title, "channel", ref.Channel, "err", err)
		}
	}
}

func fileName(name string) string {
	if name = layout.OneLine(name); name == "" {
		name = "chart"
	}
	if len(name) < 4 || name[len(name)-4:] != ".png" {
		name += ".png"
	}
	return name
}

const (
	// recallMessages is how far back a key is looked for: Slack's page for an internal app.
	recallMessages = 100
	// ledgerSize bounds what the ledger remembers.
	ledgerSize = 10_000
)

// ledger remembers which keys may have been delivered although nobody saw the answer.
type ledger struct {
	api *slack.Client
	now func() time.Time

	mu       sync.Mutex // guards what follows
	self     identity
	doubtful map[string]bool
	seen     map[bot.Place]bool // places whose last messages were read, or written by this process
	found    map[string]bot.Ref // keys found there
}

func newLedger(api *slack.Client, now func() time.Time) *ledger {
	return &ledger{
		api: api, now: now,
		doubtful: map[string]bool{}, seen: map[bot.Place]bool{}, found: map[string]bot.Ref{},
	}
}

func (l *ledger) setSelf(self identity) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.self = self
}

func (l *ledger) doubt(key string) {
	if key == "" {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.doubtful) >= ledgerSize {
		clear(l.doubtful)
	}
	l.doubtful[key] = true
}

// delivered notes a message that this process sent. In the thread beneath a new one, no earlier process can have written.
func (l *ledger) delivered(p bot.Place, ref bot.Ref, key string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.Thread == "" {
		l.seen[bot.Place{Surface: p.Surface, Channel: p.Channel, Thread: ref.Thread}] = true
	}
	delete(l.doubtful, key)
	delete(l.found, key)
}

// find looks for a message with this key, when there is reason to think that it may exist. restart counts the first
// message to a place since the start as such a reason.
func (l *ledger) find(ctx context.Context, p bot.Place, key string, restart bool) (bot.Ref, bool, error) {
	l.mu.Lock()
	doubtful := l.doubtful[key]
	read := doubtful || restart && !l.seen[p]
	ref, ok := l.found[key]
	l.mu.Unlock()
	if ok || !read || key == "" {
		return ref, ok, nil
	}

	found, err := l.read(ctx, p)
	if err != nil {
		d := deliveryError(fmt.Errorf("look for message %s in %s: %w", key, p.Channel, err))
		if !d.Permanent {
			return bot.Ref{}, false, d
		}
		// The history may not be read here. A message that is perhaps doubled beats one that is never sent.
		found = nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.seen) >= ledgerSize {
		clear(l.seen)
		clear(l.found)
	}
	l.seen[p] = true
	for k, ref := range found {
		l.found[k] = ref
	}
	delete(l.doubtful, key)
	ref, ok = l.found[key]
	return ref, ok, nil
}

func (l *ledger) read(ctx context.Context, p bot.Place) (map[string]bot.Ref, error) {
	var messages []slack.Message
	if p.Thread == "" {
		page, err := l.api.GetConversationHistoryContext(ctx, &slack.GetConversationHistoryParameters{
			ChannelID: p.Channel, Limit: recallMessages, IncludeAllMetadata: true,
		})
		if err != nil {
			return nil, err
		}
		messages = page.Messages
	} else {
		// A thread is read from its first message on, so the last pages are asked for by time.
		page, _, _, err := l.api.GetConversationRepliesContext(ctx, &slack.GetConversationRepliesParameters{
			ChannelID: p.Channel, Timestamp: p.Thread, Limit: recallMessages, IncludeAllMetadata: true,
			Oldest: fmt.Sprintf("%d.000000", l.now().Add(-recallWindow).Unix()),
		})
		if err != nil {
			return nil, err
		}
		messages = page
	}
	l.mu.Lock()
	self := l.self
	l.mu.Unlock()
	found := map[string]bot.Ref{}
	for _, m := range messages {
		if self.Bot != "" && m.BotID != self.Bot {
			continue // another app may use the same words
		}
		key, _ := m.Metadata.EventPayload["key"].(string)
		if m.Metadata.EventType != metadataType || key == "" {
			continue
		}
		found[key] = refTo(p, m.Timestamp)
	}
	return found, nil
}

// recallWindow is how old a message may be that a retry finds. The outbox has long given up on older ones.
const recallWindow = time.Hour

// sleep waits, or says why it did not.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func stack() string { return string(debug.Stack()) }

// refusesBlocks says that the blocks, and not the message, are what Slack objects to.
func refusesBlocks(err error) bool {
	var e slack.SlackErrorResponse
	if !errors.As(err, &e) {
		return false
	}
	switch e.Err {
	case "invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "block_mismatch":
		return true
	}
	return false
}
