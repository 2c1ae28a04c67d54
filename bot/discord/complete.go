package discord

import (
	"context"
	"fmt"

	"github.com/bwmarrin/discordgo"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message/layout"
)

// Discord's limits of suggestions.
const (
	maxSuggestions = 25
	maxSuggestion  = 100 // characters of each
)

// complete has suggestions made for a person who types an option. They are asked for at every key, so nothing is looked
// up but who it is.
func (d *Discord) complete(run *session, h *heard) {
	ctx, cancel := context.WithTimeout(run.ctx, completeWithin)
	defer cancel()
	var err error
	if h.in.Person, err = d.places.person(ctx, h, d.cfg.GuildID); err != nil {
		d.log.Warn("cannot look a person up, they are taken for a stranger", "user", h.in.Person.ID, "err", err)
	}
	h.in.Place, h.in.At = bot.Place{Surface: "discord", Channel: h.channel}, d.cfg.Now()
	run.handler(ctx, h.in, &suggester{responder: &responder{d: d, run: run, heard: h}})
}

// suggester answers with suggestions alone.
type suggester struct{ *responder }

// Suggest implements bot.Suggester. What is too long to be chosen whole is left out: a name that is cut is no name.
func (s *suggester) Suggest(ctx context.Context, choices []bot.Choice) error {
	out := []*discordgo.ApplicationCommandOptionChoice{}
	for _, c := range choices {
		label := layout.OneLine(c.Label)
		if n := layout.Runes(c.Value); n == 0 || n > maxSuggestion || label == "" || len(out) == maxSuggestions {
			continue
		}
		out = append(out, &discordgo.ApplicationCommandOptionChoice{Name: layout.Cut(label, maxSuggestion), Value: c.Value})
	}
	// Not by InteractionRespond, which leaves an empty list out: then Discord shows a failure instead of nothing.
	endpoint := discordgo.EndpointInteractionResponse(s.id, s.token)
	body := map[string]any{"type": discordgo.InteractionApplicationCommandAutocompleteResult, "data": map[string]any{"choices": out}}
	if _, err := s.d.api.RequestWithBucketID("POST", endpoint, body, endpoint, discordgo.WithContext(ctx)); err != nil {
		return fmt.Errorf("discord: suggest: %w", err)
	}
	return nil
}
