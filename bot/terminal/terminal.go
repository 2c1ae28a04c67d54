// Package terminal is the chat in a terminal: the same cards in box-drawing, number keys for buttons, history and
// completion. It is also what scripts and the unattended demo speak through: without a screen it reads lines and
// prints plain cards.
package terminal

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// Channel is the one channel that a terminal has.
const Channel = "local"

// Config of a Terminal.
type Config struct {
	In     io.Reader
	Out    io.Writer
	Person people.Person
	Lang   string
	Now    func() time.Time // shown before each card
	// Complete gives the words that may follow what is typed, for the tab key.
	Complete func(line string) []string
	// Greeting is printed first.
	Greeting string
	Width    int // 0: the screen's, or 100
	Plain    bool
	Prompt   string // default "> "
}

// Terminal implements bot.Surface for one person at one keyboard.
type Terminal struct {
	cfg Config

	mu      sync.Mutex     // guards all below and the order of output
	screen  *term.Terminal // nil without a screen
	size    func() (w, h int, err error)
	out     io.Writer
	render  Renderer
	buttons []message.Button
	numbers map[button]int
	form    *form // the next line answers its field; nil: the next line is for the conversation
	ids     int
	passing bool              // the last line on the screen says what is being done, and the next text replaces it
	shown   map[string]string // what was last news of each message, by its key: an edit without news prints nothing
}

type button struct{ action, subject string }

// New makes a terminal; it does not touch the screen yet.
func New(cfg Config) *Terminal {
	if cfg.Prompt == "" {
		cfg.Prompt = "> "
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	t := &Terminal{cfg: cfg, out: cfg.Out, numbers: map[button]int{}, shown: map[string]string{}}
	t.render = Renderer{Width: cfg.Width, Plain: cfg.Plain, Number: t.number}
	if t.render.Width == 0 {
		t.render.Width = 100
	}
	return t
}

// Name implements bot.Surface.
func (t *Terminal) Name() string { return "terminal" }

// Place is where a terminal's messages go.
func (t *Terminal) Place() bot.Place { return bot.Place{Surface: t.Name(), Channel: Channel} }

// Inbound makes what a typed line stands for: a button's number, the last answer to a prompt, or words. It is not ok when
// there is nothing to hand on: what was typed is no button's number, or the prompt asks for more.
func (t *Terminal) Inbound(line string) (in bot.Inbound, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ids++
	in = bot.Inbound{
		ID: fmt.Sprintf("terminal-%d-%d-%d", os.Getpid(), time.Now().UnixNano(), t.ids), Kind: bot.Direct,
		Person: t.cfg.Person, Place: t.Place(), Text: line, Lang: t.cfg.Lang, At: t.cfg.Now(),
	}
	if f := t.form; f != nil {
		if !t.fill(line) {
			return in, false
		}
		in.Kind, in.Action, in.Subject, in.Text, in.Values = bot.Submit, f.prompt.Action, f.prompt.Subject, "", f.values
		return in, true
	}
	n, err := strconv.Atoi(strings.Trim(line, "[]"))
	if err != nil {
		return in, true
	}
	if n < 1 || n > len(t.buttons) {
		t.write(phrase.For(t.cfg.Lang).Sprintf("No button has the number %s.", oneLine(line)) + "\n")
		return in, false
	}
	b := t.buttons[n-1]
	in.Kind, in.Action, in.Subject, in.Text = bot.Click, b.Action, b.Subject, ""
	return in, true
}

// Button finds the newest button of an action; the unattended demo presses what a person would.
func (t *Terminal) Button(action string) (number int, label string, ok bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for i := len(t.buttons) - 1; i >= 0; i-- {
		if t.buttons[i].Action == action {
			return i + 1, t.buttons[i].Label, true
		}
	}
	return 0, "", false
}

// Echo shows what the unattended demo types.
func (t *Terminal) Echo(line string) { t.print(line + "\n") }

// number gives a button its key: the same button keeps it when its card is shown again. The caller holds mu.
func (t *Terminal) number(b message.Button) int {
	k := button{b.Action, b.Subject}
	n, ok := t.numbers[k]
	if !ok {
		t.buttons = append(t.buttons, b)
		n = len(t.buttons)
		t.numbers[k] = n
	}
	t.buttons[n-1] = b // the label may have changed
	return n
}

// Post implements bot.Surface.
func (t *Terminal) Post(_ context.Context, p bot.Place, m message.Message, key string, _ string) (bot.Ref, error) {
	t.show(key, m, p.Thread)
	return bot.Ref{Surface: t.Name(), Channel: Channel, Message: key, Thread: key}, nil
}

// Edit implements bot.Surface: a terminal cannot reach back, so the card is printed anew when it says something new.
func (t *Terminal) Edit(_ context.Context, ref bot.Ref, m message.Message) error {
	t.show(ref.Message, m, "")
	return nil
}

func (t *Terminal) show(key string, m message.Message, thread string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if key != "" {
		news := gist(m)
		if t.shown[key] == news {
			return
		}
		t.shown[key] = news
	}
	when, r := t.cfg.Now().UTC().Format("15:04:05"), t.draw()
	switch {
	case len(m.Blocks) > 0:
		t.write(r.card(m, when))
	case thread != "":
		t.write(r.Line(m, "  ↳ "+when+" "+topic(thread)+" "))
	default:
		t.write(r.Line(m, when+" "))
	}
}

// gist is what counts as news of a message: what it says counts for it, or all but the context line, where ages tick.
func gist(m message.Message) string {
	if m.Gist != "" {
		return m.Gist
	}
	m.Context = ""
	raw, err := json.Marshal(m)
	if err != nil {
		return m.Title // cannot be: messages come from where they were written or read as JSON
	}
	return string(raw)
}

// topic gives the incident's id out of a thread's name, "incident/INC-1@terminal/local".
func topic(thread string) string {
	id, _, _ := strings.Cut(thread, "@")
	return oneLine(id[strings.LastIndexByte(id, '/')+1:])
}

// draw gives the renderer for the window as it is now. The caller holds mu.
func (t *Terminal) draw() Renderer {
	if t.screen != nil {
		if w, h, err := t.size(); err == nil && w > 0 {
			_ = t.screen.SetSize(w, h) // fails as the next write does
			if t.cfg.Width == 0 {
				t.render.Width = w
			}
		}
	}
	return t.render
}

func (t *Terminal) print(s string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.write(s)
}

// up goes to the line above and empties it.
const up = "\x1b[1A\x1b[2K"

// write sends text to the screen above the prompt, or to the output. The caller holds mu.
func (t *Terminal) write(s string) {
	if t.screen == nil {
		_, _ = io.WriteString(t.out, s) // a closed pipe ends the process
		return
	}
	if t.passing {
		t.passing = false
		s = up + s
	}
	_, _ = t.screen.Write([]byte(s)) // a screen that is gone ends the read as well
}
