package terminal

import (
	"context"
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
	said := Wrap(oneLine(step), t.draw().width()-1, lead, lead)[0]
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

// Ask implements bot.Responder: the next lines that are typed answer the prompt, one a field.
func (r *responder) Ask(_ context.Context, p bot.Prompt) error {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	t.form = &form{prompt: p, values: map[string]string{}}
	t.write(strings.Join(Wrap(clean(p.Title)+".", t.draw().width()-1, "", ""), "\n") + "\n")
	t.question()
	return nil
}
