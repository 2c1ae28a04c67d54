package terminal

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// form is a prompt that is being answered, a line for each field.
type form struct {
	prompt bot.Prompt
	at     int // the field that the next line answers
	values map[string]string
}

func (f *form) field() bot.Field { return f.prompt.Fields[f.at] }

// asking says whether the next line answers a prompt: then an empty one has a meaning.
func (t *Terminal) asking() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.form != nil
}

// question asks for the field at hand, or ends the asking when there is none left. The caller holds mu.
func (t *Terminal) question() (more bool) {
	f := t.form
	if f.at >= len(f.prompt.Fields) {
		t.leave()
		return false
	}
	x, p := f.field(), phrase.For(t.cfg.Lang)
	said := clean(x.Label)
	if x.Hint != "" {
		said += " (" + clean(x.Hint) + ")"
	}
	switch { // what a line without anything does
	case x.Value != "":
		said = p.Sprintf("%s, or nothing for %s:", said, clean(labelOf(x, x.Value)))
	case x.Optional:
		said = p.Sprintf("%s, or nothing:", said)
	default:
		said = p.Sprintf("%s, or nothing to leave it:", said)
	}
	if t.screen != nil {
		t.screen.SetPrompt(oneLine(x.Label) + ": ") // before it writes, which paints the prompt anew
	}
	lines := Wrap(said, t.draw().width()-1, "", "")
	for i, c := range x.Choices {
		lines = append(lines, Wrap(clean(c.Label), t.draw().width()-1, fmt.Sprintf("  %d  ", i+1), "     ")...)
	}
	t.write(strings.Join(lines, "\n") + "\n")
	return true
}

// fill takes a line as the answer to the field at hand and says whether the form is complete. A line that is no answer
// asks again; nothing at all, where something is needed, leaves the form. The caller holds mu.
func (t *Terminal) fill(line string) (complete bool) {
	f, p := t.form, phrase.For(t.cfg.Lang)
	x := f.field()
	value := strings.TrimSpace(line)
	switch {
	case value == "" && (x.Value != "" || x.Optional):
		value = x.Value
	case value == "":
		t.leave()
		t.write(p.Sprintf("Nothing typed: it is left as it is.") + "\n")
		return false
	case len(x.Choices) > 0:
		chosen, ok := choose(x.Choices, value)
		if !ok {
			t.write(p.Sprintf("Type a number from 1 to %d.", len(x.Choices)) + "\n")
			return false
		}
		value = chosen
	}
	f.values[x.Name] = value
	f.at++
	return !t.question()
}

// leave ends the asking. The caller holds mu.
func (t *Terminal) leave() {
	t.form = nil
	if t.screen != nil {
		t.screen.SetPrompt(t.cfg.Prompt)
	}
}

// choose finds the choice that a line names by its number, its words or its value.
func choose(all []bot.Choice, line string) (value string, ok bool) {
	if n, err := strconv.Atoi(line); err == nil && n >= 1 && n <= len(all) {
		return all[n-1].Value, true
	}
	for _, c := range all {
		if strings.EqualFold(line, c.Label) || strings.EqualFold(line, c.Value) {
			return c.Value, true
		}
	}
	return "", false
}

// labelOf is what a person calls a value of a field.
func labelOf(x bot.Field, value string) string {
	for _, c := range x.Choices {
		if c.Value == value {
			return c.Label
		}
	}
	return value
}
