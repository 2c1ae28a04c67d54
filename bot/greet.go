package bot

import (
	"context"
	"strings"

	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// greet begins a conversation that a person opened: in one sentence what can be asked, and what is worth asking now. When
// only the place beside it changed, what is worth asking is offered anew, and nothing is said.
func (b *Bot) greet(ctx context.Context, in Inbound, r Responder) {
	p := phrase.For(lang(in))
	if in.Kind == Opened {
		title := p.Sprintf("Ask me in plain words, or with a command.")
		if ids := b.cfg.Engine.Fleet.Clusters(); len(ids) > 0 {
			title = p.Sprintf("I watch %s. Ask me in plain words, or with a command.", strings.Join(ids[:min(len(ids), 5)], ", "))
		}
		m := message.Message{Title: title, Blocks: []message.Block{message.Paragraph{Text: p.Sprintf("Nothing that changes a cluster runs before somebody has approved it.")}}}
		if err := r.Answer(ctx, m); err != nil {
			if ctx.Err() == nil {
				b.log.Error("greeting not delivered", "surface", in.Place.Surface, "err", err)
			}
			return
		}
	}
	s, ok := r.(Suggester)
	if !ok {
		return
	}
	var choices []Choice
	if open, err := b.cfg.Engine.ListIncidents(ctx, incident.Filter{Open: true, Limit: 1}); err == nil && len(open) > 0 {
		choices = append(choices, Choice{Label: p.Sprintf("Why %s: %s", open[0].ID, phrase.Say(lang(in), open[0].Title)), Value: "explain " + open[0].ID})
	}
	choices = append(choices,
		Choice{Label: p.Sprintf("What is wrong?"), Value: p.Sprintf("What is wrong?")},
		Choice{Label: p.Sprintf("What changed in the last hour"), Value: "changes --since 1h"},
		Choice{Label: p.Sprintf("What waits for approval"), Value: "pending"},
		Choice{Label: p.Sprintf("Help"), Value: "help"},
	)
	if err := s.Suggest(ctx, choices); err != nil && ctx.Err() == nil {
		b.log.Warn("suggestions not shown", "surface", in.Place.Surface, "err", err)
	}
}
