package bot

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/bot/assistant"
	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// show renders a result. A proposal is not rendered here: its card goes through the outbox, because it will be edited.
func (b *Bot) show(ctx context.Context, in Inbound, caller tools.Caller, res *tools.Result) (*message.Message, error) {
	if res.Proposal != "" {
		again, err := b.postProposal(ctx, in.Place, res.Proposal)
		switch {
		case err != nil:
			return nil, err
		case again: // where a card stands, it is only edited: silence would look like a broken button
			m, err := b.card(ctx, res, caller.Lang)
			m.Footer = phrase.For(caller.Lang).Sprintf("Its card is in this channel already.")
			return &m, err
		case len(res.Lists) == 0:
			return nil, nil
		}
		// The card says what the headline says; only what the card lacks is left to show.
		res = &tools.Result{Headline: phrase.For(caller.Lang).Sprintf("Beside the proposal:"), Lists: res.Lists}
	}
	m, err := b.card(ctx, res, caller.Lang)
	return &m, err
}

// card renders a result. Those with pictures take turns.
func (b *Bot) card(ctx context.Context, res *tools.Result, lang string) (message.Message, error) {
	if len(res.Charts) > 0 {
		select {
		case b.easel <- struct{}{}:
			defer func() { <-b.easel }()
		case <-ctx.Done():
			return message.Message{}, ctx.Err()
		}
	}
	return card.Result(res, b.cfg.Now(), lang, b.choice(ctx))
}

// postProposal puts a proposal's card where it was asked for, and says whether it stands there already.
func (b *Bot) postProposal(ctx context.Context, p Place, id string) (again bool, err error) {
	places, err := b.cfg.Store.Places(ctx, "proposal/"+id)
	if err != nil {
		return false, err
	}
	again = slices.ContainsFunc(places, func(x Place) bool { return x.Surface == p.Surface && x.Channel == p.Channel })
	seq := ""
	if again {
		seq = seqAgain
	}
	o, err := proposalOut(p, id, seq)
	if err != nil {
		return false, err
	}
	return again, b.cfg.Store.Enqueue(ctx, "", 0, o)
}

func (b *Bot) home(ctx context.Context, caller tools.Caller) (*message.Message, error) {
	overview, err := b.cfg.Tools.Call(ctx, caller, "overview", nil)
	if err != nil {
		return nil, err
	}
	pending, err := b.cfg.Engine.Desk.Pending(ctx)
	if err != nil {
		return nil, err
	}
	m, err := card.Home(overview, len(pending), b.cfg.Now(), caller.Lang, b.choice(ctx))
	return &m, err
}

func (b *Bot) showAnswer(ctx context.Context, in Inbound, caller tools.Caller, a *assistant.Answer) (*message.Message, error) {
	p := phrase.For(caller.Lang)
	var footer []string
	if a.Degraded != "" {
		footer = append(footer, p.Sprintf("Answering without the model: %s", phrase.Say(caller.Lang, a.Degraded)))
	}
	if len(a.Unverified) > 0 {
		footer = append(footer, p.Sprintf("Not found in any reading: %s", strings.Join(a.Unverified, ", ")))
	}
	footer = append(footer, a.Notes...)
	if a.Proposal != "" {
		again, err := b.postProposal(ctx, in.Place, a.Proposal)
		if err != nil {
			return nil, err
		}
		if again {
			footer = append(footer, p.Sprintf("Its card is in this channel already."))
		}
		if a.Text == "" && len(footer) == 0 {
			return nil, nil
		}
	}
	var m message.Message
	switch {
	case a.Text != "":
		first, rest, _ := strings.Cut(strings.TrimSpace(a.Text), "\n")
		m.Title = strings.Trim(first, "*# ")
		if rest = strings.TrimSpace(rest); rest != "" {
			m.Blocks = append(m.Blocks, message.Markdown{Text: rest})
		}
		if a.By != "" {
			footer = append(footer, steps(a, b.cfg.Now(), caller.Lang))
		}
	case len(a.Results) > 0:
		for i, res := range a.Results {
			if res.Proposal != "" {
				continue
			}
			one, err := b.card(ctx, res, caller.Lang)
			if err != nil {
				return nil, err
			}
			if i == 0 || m.Title == "" {
				m = one
				continue
			}
			m.Blocks = append(m.Blocks, message.Paragraph{Heading: one.Title})
			m.Blocks = append(m.Blocks, one.Blocks...)
		}
	}
	if m.Title == "" {
		if a.Proposal != "" && len(footer) == 0 {
			return nil, nil
		}
		m.Title = p.Sprintf("I have no answer to that.")
		if a.Proposal != "" {
			m.Title = p.Sprintf("Proposed; see the card.")
		}
	}
	if m.Footer != "" {
		footer = append(footer, m.Footer)
	}
	m.Footer = strings.Join(footer, " · ")
	return &m, nil
}

// steps folds what was looked at into one line, each with the figures of the answer that it gave and how old they are:
// "gemini looked at: metrics (31 %, 2.4 s; 12s old), logs".
func steps(a *assistant.Answer, now time.Time, lang string) string {
	p := phrase.For(lang)
	lead := p.Sprintf("%s looked at:", a.By)
	if len(a.Calls) == 0 {
		return strings.TrimSuffix(lead, ":")
	}
	names := make([]string, 0, len(a.Calls))
	for n, c := range a.Calls {
		name := strings.ReplaceAll(c.Tool, "_", " ")
		var figures []string
		for _, x := range a.Cited {
			if x.Call == n {
				figures = append(figures, x.Figure)
			}
		}
		if len(figures) > 0 {
			name += " (" + strings.Join(figures, ", ")
			if c.Result != nil && !c.Result.Observed.IsZero() {
				name += "; " + p.Sprintf("%s old", tools.Age(max(0, now.Sub(c.Result.Observed))))
			}
			name += ")"
		}
		names = append(names, name)
	}
	return lead + " " + strings.Join(names, ", ")
}
