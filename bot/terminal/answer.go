package terminal

import (
	"context"
	"fmt"
	"strings"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
)

// responder answers on the same screen.
type responder struct{ t *Terminal }

// Responder answers what Inbound made, for a driver that types by itself.
func (t *Terminal) Responder() bot.Responder { return &responder{t: t} }

// Working implements bot.Responder: one line, which the next step or the answer replaces. Without a screen there is
// nobody to wait.
func (r *responder) Working(_ context.Context, step string) error {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.screen == nil || step == "" {
		return nil
	}
	lead := "  … "
	said := wrap(oneLine(step), t.draw().width()-1, lead, lead)[0]
	t.write(t.render.paint(dim, said) + "\n")
	t.passing = true
	return nil
}

// Answer implements bot.Responder.
func (r *responder) Answer(_ context.Context, m message.Message) error {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(m.Blocks) == 0 {
		t.write(t.draw().Line(m, ""))
		return nil
	}
	t.write(t.draw().Render(m))
	return nil
}

// Ask implements bot.Responder: the next line that is typed answers the prompt.
func (r *responder) Ask(_ context.Context, p bot.Prompt) error {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	said := fmt.Sprintf("%s. %s (%s), or nothing to leave it:", clean(p.Title), clean(p.Label), clean(p.Hint))
	t.asked(&p) // before it writes, which paints the prompt anew
	t.write(strings.Join(wrap(said, t.draw().width()-1, "", ""), "\n") + "\n")
	return nil
}
