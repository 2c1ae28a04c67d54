package bot

import "context"

// maxSuggestions is how many ways to go on are offered: what the strictest platform shows.
const maxSuggestions = 25

// complete offers what an option of a command may hold. A stranger is offered nothing. It is asked at every key, so it
// remembers nothing and reads only what is in memory.
func (b *Bot) complete(ctx context.Context, in Inbound, r Responder) {
	s, ok := r.(Suggester)
	if !ok {
		return
	}
	var choices []Choice
	for _, name := range b.cfg.Tools.Complete(in.Person, in.Field, in.Text, in.About) {
		if choices = append(choices, Choice{Label: name, Value: name}); len(choices) == maxSuggestions {
			break
		}
	}
	if err := s.Suggest(ctx, choices); err != nil && ctx.Err() == nil {
		b.log.Warn("suggestions not shown", "surface", in.Place.Surface, "err", err)
	}
}
