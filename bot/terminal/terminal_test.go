package terminal_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/card"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/terminal"
	"github.com/bukahou/atlhyper/engine/incident"
	"github.com/bukahou/atlhyper/engine/people"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer is an output that may be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// take gives what was written since the last time.
func (b *buffer) take() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.b.String()
	b.b.Reset()
	return s
}

func quietTerminal(in io.Reader) (*terminal.Terminal, *buffer) {
	out := &buffer{}
	return terminal.New(terminal.Config{
		In: in, Out: out, Person: people.Person{ID: "terminal:local", Local: true}, Lang: "en", Plain: true, Now: func() time.Time { return now },
	}), out
}

func TestPipedLinesAreAnsweredInOrderAndToTheEnd(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want []string
	}{
		"the last line needs no line feed":   {"first\n\n  second  \nthird", []string{"first", "second", "third"}},
		"exit leaves, in its turn":           {"first\nexit\nsecond\n", []string{"first"}},
		"so does quit":                       {"quit\nfirst\n", nil},
		"nothing at all":                     {"", nil},
		"a number that no button has":        {"7\nfirst\n", []string{"first"}},
		"Windows' line ends are line ends":   {"first\r\nsecond\r\n", []string{"first", "second"}},
		"a question that begins with a word": {"exit code 137, why?\n", []string{"exit code 137, why?"}},
	} {
		t.Run(name, func(t *testing.T) {
			term, out := quietTerminal(strings.NewReader(c.in))
			var heard []string
			err := term.Run(t.Context(), func(ctx context.Context, in bot.Inbound, r bot.Responder) {
				time.Sleep(time.Millisecond)
				heard = append(heard, in.Text)
				if err := r.Working(ctx, "looking"); err != nil {
					t.Error(err)
				}
				if err := r.Answer(ctx, message.Message{Title: "answer to " + in.Text}); err != nil {
					t.Error(err)
				}
			})
			if !errors.Is(err, terminal.ErrLeft) {
				t.Errorf("it ended with %v", err)
			}
			if d := cmp.Diff(c.want, heard); d != "" {
				t.Error(d)
			}
			said := out.String()
			for _, w := range c.want {
				if !strings.Contains(said, "answer to "+w+"\n") {
					t.Errorf("no answer to %q in %q", w, said)
				}
			}
			if strings.Contains(said, "looking") || strings.Contains(said, "\x1b") {
				t.Errorf("what only a screen can use went into the pipe: %q", said)
			}
			if strings.HasPrefix(c.in, "7") && !strings.Contains(said, "No button has the number 7.") {
				t.Errorf("nothing about the number: %q", said)
			}
		})
	}
}

func TestAReadErrorIsNotAGoodbye(t *testing.T) {
	broken := errors.New("tty on fire")
	term, _ := quietTerminal(io.MultiReader(strings.NewReader("hello\n"), errorReader{broken}))
	if err := term.Run(t.Context(), func(context.Context, bot.Inbound, bot.Responder) {}); !errors.Is(err, broken) {
		t.Errorf("got %v", err)
	}
}

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

func actions(labels ...string) message.Message {
	m := message.Message{Title: "t"}
	row := message.Actions{}
	for _, l := range labels {
		row.Buttons = append(row.Buttons, message.Button{Label: l, Action: "act." + l, Subject: "INC-1"})
	}
	m.Blocks = append(m.Blocks, row)
	return m
}

func TestAButtonKeepsItsNumberWhenItsCardIsShownAgain(t *testing.T) {
	term, out := quietTerminal(strings.NewReader(""))
	post := func(key string, m message.Message) string {
		t.Helper()
		if _, err := term.Post(t.Context(), term.Place(), m, key, ""); err != nil {
			t.Fatal(err)
		}
		return out.take()
	}
	post("a", actions("Explain", "Fix", "Ack"))
	post("b", actions("Other"))
	again := post("a", actions("Explain", "Ack"))
	for _, want := range []string{"[1] Explain", "[3] Ack"} {
		if !strings.Contains(again, want) {
			t.Errorf("no %q in\n%s", want, again)
		}
	}
	for typed, want := range map[string]string{"1": "act.Explain", "[2]": "act.Fix", "3": "act.Ack", "4": "act.Other"} {
		in, ok := term.Inbound(typed)
		if !ok || in.Kind != bot.Click || in.Action != want || in.Subject != "INC-1" || in.Text != "" || in.Place != term.Place() {
			t.Errorf("%s stands for %+v (%v), want %s", typed, in, ok, want)
		}
	}
	for _, typed := range []string{"0", "5", "-1", "99999"} {
		if in, ok := term.Inbound(typed); ok {
			t.Errorf("%s stands for %+v", typed, in)
		}
	}
	if in, ok := term.Inbound("99999999999999999999 pods?"); !ok || in.Kind != bot.Direct {
		t.Errorf("a question that begins with a number: %+v", in)
	}
	number, label, ok := term.Button("act.Fix")
	if number != 2 || label != "Fix" || !ok {
		t.Errorf("the button of an action: %d %q %v", number, label, ok)
	}
}

func TestEveryLineHasAnIdOfItsOwn(t *testing.T) {
	term, _ := quietTerminal(strings.NewReader(""))
	seen := map[string]bool{}
	for range 100 {
		in, _ := term.Inbound("same")
		if seen[in.ID] {
			t.Fatalf("%s twice", in.ID)
		}
		seen[in.ID] = true
	}
}

func TestTheNextLineAnswersAPrompt(t *testing.T) {
	term, out := quietTerminal(strings.NewReader("3\nagain\n\nwords\n"))
	asks := 0
	var heard []string
	err := term.Run(t.Context(), func(ctx context.Context, in bot.Inbound, r bot.Responder) {
		heard = append(heard, fmt.Sprint(in.Kind, in.Action, in.Subject, in.Text))
		if in.Text == "again" {
			asks++
			if err := r.Ask(ctx, bot.Prompt{Title: "Type the name", Fields: []bot.Field{{Name: "name", Label: "Name of the node", Hint: "worker-\x1b[31m3"}}, Action: "approve", Subject: "p1"}); err != nil {
				t.Error(err)
			}
		}
	})
	if !errors.Is(err, terminal.ErrLeft) {
		t.Fatal(err)
	}
	// The number had no button, the empty line left the prompt, and the words after it are words again.
	if d := cmp.Diff([]string{fmt.Sprint(bot.Direct, "", "", "again"), fmt.Sprint(bot.Direct, "", "", "words")}, heard); d != "" {
		t.Error(d)
	}
	if s := out.String(); !strings.Contains(s, "Type the name.\nName of the node (worker-3), or nothing to leave it:") || !strings.Contains(s, "it is left as it is") {
		t.Errorf("said %q", s)
	}

	if err := term.Responder().Ask(t.Context(), bot.Prompt{Title: "T", Fields: []bot.Field{{Name: "name", Label: "L"}}, Action: "approve", Subject: "p1"}); err != nil {
		t.Fatal(err)
	}
	in, ok := term.Inbound("worker-3")
	if !ok || in.Kind != bot.Submit || in.Action != "approve" || in.Subject != "p1" || in.Values["name"] != "worker-3" {
		t.Errorf("the typed name came as %+v", in)
	}
	if in, _ := term.Inbound("worker-3"); in.Kind != bot.Direct {
		t.Errorf("the line after it came as %+v", in)
	}
}

func TestAPromptOfSeveralFieldsIsAskedLineByLine(t *testing.T) {
	prompt := bot.Prompt{Title: "Silence INC-1", Action: "silence", Subject: "INC-1", Fields: []bot.Field{
		{Name: "for", Label: "How long", Value: "1h", Choices: []bot.Choice{{Label: "30 minutes", Value: "30m"}, {Label: "one hour", Value: "1h"}}},
		{Name: "reason", Label: "Why", Hint: "it is told", Optional: true},
	}}
	for name, c := range map[string]struct {
		lines []string
		want  map[string]string
	}{
		"by numbers":           {[]string{"1", "a deploy"}, map[string]string{"for": "30m", "reason": "a deploy"}},
		"by words":             {[]string{"30 Minutes", "a deploy"}, map[string]string{"for": "30m", "reason": "a deploy"}},
		"as it stands there":   {[]string{"", ""}, map[string]string{"for": "1h", "reason": ""}},
		"after what is no one": {[]string{"3", "0", "soon", "2", ""}, map[string]string{"for": "1h", "reason": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			term, out := quietTerminal(strings.NewReader(""))
			if err := term.Responder().Ask(t.Context(), prompt); err != nil {
				t.Fatal(err)
			}
			for i, l := range c.lines {
				in, complete := term.Inbound(l)
				if last := i == len(c.lines)-1; complete != last {
					t.Fatalf("after %q complete is %v", l, complete)
				}
				if complete {
					if d := cmp.Diff(c.want, in.Values); d != "" || in.Kind != bot.Submit || in.Subject != "INC-1" {
						t.Errorf("%+v %s", in, d)
					}
				}
			}
			for _, want := range []string{"Silence INC-1.", "How long, or nothing for one hour:\n  1  30 minutes\n  2  one hour\n", "Why (it is told), or nothing:"} {
				if s := out.String(); !strings.Contains(s, want) {
					t.Errorf("it never said %q:\n%s", want, s)
				}
			}
		})
	}
}

func TestAnEditIsPrintedOnlyWhenItIsNews(t *testing.T) {
	term, out := quietTerminal(strings.NewReader(""))
	ref, err := term.Post(t.Context(), term.Place(), opened(nil), "incident/INC-214@terminal/local", "INC-214")
	if err != nil {
		t.Fatal(err)
	}
	if first := out.take(); !strings.Contains(first, "╭─ 03:00:00 ─") || !strings.Contains(first, "checkout is failing") {
		t.Errorf("the first card:\n%s", first)
	}
	edit := func(m message.Message) string {
		t.Helper()
		if err := term.Edit(t.Context(), ref, m); err != nil {
			t.Fatal(err)
		}
		return out.take()
	}
	for name, c := range map[string]struct {
		change func(*incident.Incident)
		news   bool
	}{
		"only older": {func(i *incident.Incident) { i.OpenedAt = i.OpenedAt.Add(-time.Hour) }, false},
		"other figures": {func(i *incident.Incident) {
			i.Cause.Summary, i.Entities[1].Why = "deployment/payments: 44 s", "error rate 35 %"
		}, false},
		"an acknowledgment": {func(i *incident.Incident) { i.Acknowledged = "Mia" }, true},
		"another cause":     {func(i *incident.Incident) { i.Cause.Entity.Name = "redis" }, true},
		"a fix":             {func(i *incident.Incident) { i.Fix, i.FixSummary = "p1", "roll back" }, true},
		"recovering":        {func(i *incident.Incident) { i.Stage = incident.StageRecovering }, true},
	} {
		edit(opened(nil))
		if got := edit(opened(c.change)); (got != "") != c.news {
			t.Errorf("%s: printed %q", name, got)
		}
	}
	// What has no gist is news when it reads differently.
	edit(message.Message{Title: "a", Context: "1 s"})
	if got := edit(message.Message{Title: "a", Context: "2 s"}); got != "" {
		t.Errorf("an age was printed as news: %q", got)
	}
	if got := edit(message.Message{Title: "b"}); !strings.Contains(got, "b") {
		t.Errorf("another title was not printed: %q", got)
	}
}

func TestALineInAThreadNamesItsIncidentAndIsSaidOnce(t *testing.T) {
	term, out := quietTerminal(strings.NewReader(""))
	place := term.Place()
	place.Thread = "incident/INC-1@terminal/local"
	note := message.Message{Title: strings.Repeat("it is recovering and ", 8) + "done"}
	for range 2 { // a client that connects again is told again
		if _, err := term.Post(t.Context(), place, note, "event/7@terminal/local", ""); err != nil {
			t.Fatal(err)
		}
	}
	got := out.take()
	if strings.Count(got, "done") != 1 || !strings.HasPrefix(got, "  ↳ 03:00:00 INC-1 it is recovering") {
		t.Errorf("said:\n%s", got)
	}
	for l := range strings.SplitSeq(got, "\n") {
		if terminal.Columns(l) > 100 {
			t.Errorf("too wide: %q", l)
		}
	}
	if _, err := term.Post(t.Context(), term.Place(), message.Message{Tone: message.Unknown, Title: "The agent of prod-eu is silent."}, "event/8", ""); err != nil {
		t.Fatal(err)
	}
	if got := out.take(); got != "03:00:00 ⚪ The agent of prod-eu is silent.\n" {
		t.Errorf("said %q", got)
	}
}

func TestADecisionIsToldInPassing(t *testing.T) {
	term, out := quietTerminal(strings.NewReader(""))
	if _, err := term.Post(t.Context(), term.Place(), proposal("verified"), "proposal/p1", ""); err != nil {
		t.Fatal(err)
	}
	want := "03:00:00 ✅ Roll back deployment/payments to revision 17\n         verified · asked by Mia · 6/6 ready; checkout errors 31 % → 0.3 %\n"
	if d := cmp.Diff(want, out.take()); d != "" {
		t.Error(d)
	}
}

func TestAProblemIsShownWithItsRemedy(t *testing.T) {
	term, out := quietTerminal(strings.NewReader(""))
	if err := term.Responder().Answer(t.Context(), card.Problem("There is no pod x.", "Did you mean y?", "en")); err != nil {
		t.Fatal(err)
	}
	if got := out.take(); !strings.Contains(got, "❌ There is no pod x.") || !strings.Contains(got, "Did you mean y?") {
		t.Errorf("said:\n%s", got)
	}
}
