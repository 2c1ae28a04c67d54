package terminal

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// ErrLeft is returned by Run when the person left: the end of input, "exit" or Ctrl-D.
var ErrLeft = errors.New("left")

// typed is what the keyboard gave: a line, or the error that ended it.
type typed struct {
	line string
	err  error
}

// Run implements bot.Surface: it reads lines until the input ends or ctx does. Lines are answered one after the other. At
// a screen a person may leave while an answer is being made; what comes through a pipe is answered to its end first.
func (t *Terminal) Run(ctx context.Context, h bot.Handler) error {
	read, restore, err := t.open()
	if err != nil {
		return err
	}
	defer restore()
	t.mu.Lock()
	screen := t.screen != nil
	t.greet()
	t.mu.Unlock()

	ctx, cancel := context.WithCancel(ctx)
	lines := make(chan typed)
	go func() { // ends with the process when the keyboard stays silent: a read of a terminal cannot be cancelled
		for {
			line, err := read()
			select {
			case lines <- typed{strings.TrimSpace(line), err}:
			case <-ctx.Done():
				return
			}
			if err != nil {
				return
			}
		}
	}()
	var answered chan struct{} // closed when the line at hand is answered; nil when none is
	defer func() {
		cancel()
		if answered != nil {
			<-answered
		}
	}()
	var queue []typed
	for {
		for answered == nil && len(queue) > 0 {
			next := queue[0]
			queue = queue[1:]
			if next.err != nil {
				return ended(next.err)
			}
			if isExit(next.line) {
				return ErrLeft
			}
			answered = t.answer(ctx, h, next.line)
		}
		select {
		case <-ctx.Done():
			return nil
		case x := <-lines:
			t.mu.Lock()
			t.passing = false // what was typed stands between
			t.mu.Unlock()
			if screen && x.err != nil {
				return ended(x.err)
			}
			if screen && isExit(x.line) {
				return ErrLeft
			}
			queue = append(queue, x)
		case <-answered:
			answered = nil
		}
	}
}

func isExit(line string) bool { return line == "exit" || line == "quit" || line == "q" }

func ended(err error) error {
	if errors.Is(err, io.EOF) {
		return ErrLeft
	}
	return fmt.Errorf("read the terminal: %w", err)
}

// answer handles one line and gives what is closed afterwards; nil when there is nothing to wait for.
func (t *Terminal) answer(ctx context.Context, h bot.Handler, line string) chan struct{} {
	if line == "" && !t.asking() {
		return nil
	}
	in, ok := t.Inbound(line)
	if !ok {
		return nil
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		h(ctx, in, &responder{t: t})
	}()
	return done
}

// greet writes the greeting, broken at words. The caller holds mu.
func (t *Terminal) greet() {
	if g := strings.TrimRight(t.cfg.Greeting, "\n"); g != "" {
		t.write(strings.Join(Wrap(g, t.draw().width()-1, "", ""), "\n") + "\n")
	}
}

// open prepares the keyboard: a line editor on a screen, plain lines otherwise.
func (t *Terminal) open() (read func() (string, error), restore func(), err error) {
	in, isFile := t.cfg.In.(*os.File)
	out, outFile := t.cfg.Out.(*os.File)
	if !isFile || !outFile || !term.IsTerminal(int(in.Fd())) || !term.IsTerminal(int(out.Fd())) {
		t.mu.Lock()
		t.render.Plain = true
		t.mu.Unlock()
		lines := bufio.NewReader(t.cfg.In)
		return func() (string, error) {
			s, err := lines.ReadString('\n')
			if s != "" {
				return s, nil
			}
			return s, err
		}, func() {}, nil
	}
	state, err := term.MakeRaw(int(in.Fd()))
	if err != nil {
		return nil, nil, fmt.Errorf("prepare the terminal: %w", err)
	}
	screen := term.NewTerminal(struct {
		io.Reader
		io.Writer
	}{in, out}, t.cfg.Prompt)
	screen.AutoCompleteCallback = t.complete
	t.mu.Lock()
	t.screen = screen
	t.size = func() (int, int, error) { return term.GetSize(int(out.Fd())) }
	t.mu.Unlock()
	return screen.ReadLine, func() {
		t.mu.Lock()
		t.screen = nil
		t.mu.Unlock()
		_ = term.Restore(int(in.Fd()), state) // nothing can be done about it
	}, nil
}

// maxShown is how many ways to go on are listed at most.
const maxShown = 40

// complete extends what is typed to what all candidates share, and lists them when that is no step forward.
func (t *Terminal) complete(line string, pos int, key rune) (string, int, bool) {
	if key != '\t' || t.cfg.Complete == nil || pos != len(line) {
		return "", 0, false
	}
	found := t.cfg.Complete(line)
	before := line[:strings.LastIndexByte(line, ' ')+1]
	word := line[len(before):]
	switch len(found) {
	case 0:
		return line, pos, true
	case 1:
		line = before + found[0] + " "
		return line, len(line), true
	}
	common := found[0]
	for _, f := range found[1:] {
		for !strings.HasPrefix(f, common) {
			_, n := utf8.DecodeLastRuneInString(common)
			common = common[:len(common)-n]
		}
	}
	if len(common) > len(word) {
		line = before + common
		return line, len(line), true
	}
	list := strings.Join(found[:min(len(found), maxShown)], "  ")
	if more := len(found) - maxShown; more > 0 {
		list += "  " + phrase.For(t.cfg.Lang).Sprintf("+%d more", more)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	lines := Wrap(clean(list), t.draw().width()-1, "  ", "  ")
	for i, l := range lines {
		lines[i] = t.render.paint(dim, l) + "\n"
	}
	t.write(strings.Join(lines, ""))
	return line, pos, true
}
