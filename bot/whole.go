package bot

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// kept is an answer for one person that was cut, as it is kept for the button that sends it whole.
type kept struct {
	Person  string           `json:"person"`
	Message *message.Message `json:"message"`
}

// offerWhole puts a button beneath an answer that the person would not get whole where it was asked for. It is not sent
// unasked: a direct message rings, and what was cut is seldom wanted.
func (b *Bot) offerWhole(ctx context.Context, in Inbound, r Responder, m *message.Message) error {
	c, ok := r.(Courier)
	if !ok || !c.Loses(*m) {
		return nil
	}
	raw, err := json.Marshal(kept{in.Person.ID, m})
	if err != nil {
		return err
	}
	id, err := b.cfg.Store.PutChoice(ctx, raw, b.cfg.Now())
	if err != nil {
		return err
	}
	label := phrase.For(m.Lang).Sprintf("Send me the whole")
	m.Blocks = append(m.Blocks[:len(m.Blocks):len(m.Blocks)], message.Actions{Buttons: []message.Button{{Label: label, Action: card.ActWhole, Subject: id}}})
	return nil
}

// whole sends such an answer to the one person whose it is.
func (b *Bot) whole(ctx context.Context, in Inbound, r Responder, caller tools.Caller) (*message.Message, error) {
	raw, err := b.cfg.Store.Choice(ctx, in.Subject)
	if err != nil {
		b.log.Info("choice not found", "err", err)
		return nil, &tools.Problem{Sentence: "That button is too old.", Remedy: "Ask again."}
	}
	var k kept
	if err := json.Unmarshal(raw, &k); err != nil {
		return nil, fmt.Errorf("stored answer: %w", err)
	}
	if k.Message == nil || k.Person != in.Person.ID {
		return nil, &tools.Problem{Sentence: "That answer is somebody else's.", Remedy: "Ask yourself, and it is yours."}
	}
	c, ok := r.(Courier)
	if !ok { // a surface that brings all of it here
		return k.Message, nil
	}
	if err := c.Send(ctx, *k.Message); err != nil {
		return nil, err
	}
	return &message.Message{Title: phrase.For(caller.Lang).Sprintf("The whole is in your direct messages."), Lang: caller.Lang, Private: true}, nil
}
