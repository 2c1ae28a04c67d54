package gateway_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/gateway"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/terminal"
)

// keyboard is an input that a test types on.
type keyboard struct {
	io.Reader
	w *io.PipeWriter
}

func newKeyboard() *keyboard {
	r, w := io.Pipe()
	return &keyboard{r, w}
}

func (k *keyboard) line(s string) { _, _ = io.WriteString(k.w, s+"\n") }

// page is an output that may be read while it is written.
type page struct {
	mu sync.Mutex
	b  strings.Builder
}

func (p *page) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.Write(b)
}

func (p *page) String() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.b.String()
}

func (p *page) expect(t *testing.T, want string, times int) {
	t.Helper()
	for end := time.Now().Add(8 * time.Second); strings.Count(p.String(), want) < times; time.Sleep(2 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never showed %q %d times:\n%s", want, times, p.String())
		}
	}
}

func (x *house) chat(in io.Reader, token string) (*page, chan error) {
	out, ended := &page{}, make(chan error, 1)
	go func() {
		ended <- gateway.Chat(x.t.Context(), gateway.ChatConfig{Client: x.client(token), In: in, Out: out, Lang: "en", Conversation: "laptop"})
	}()
	return out, ended
}

func wait(t *testing.T, ended chan error) error {
	t.Helper()
	select {
	case err := <-ended:
		return err
	case <-time.After(8 * time.Second):
		t.Fatal("the chat did not end")
		return nil
	}
}

func TestAChatSpeaksWithTheEngineAndSurvivesItsRestart(t *testing.T) {
	answer := func(ctx context.Context, in bot.Inbound, r bot.Responder) {
		if err := r.Answer(ctx, message.Message{Title: "You said " + in.Text + in.Subject}); err != nil {
			t.Error(err)
		}
	}
	x := open(t, answer)
	keys := newKeyboard()
	out, ended := x.chat(keys, x.tokens["mia"])
	out.expect(t, "Connected. Ask", 1)
	keys.line("hello")
	out.expect(t, "You said hello", 1)
	card := message.Message{Title: "checkout is failing", Gist: "open", Blocks: []message.Block{message.Actions{Buttons: []message.Button{{Label: "Explain", Action: "incident.explain", Subject: "INC-1"}}}}}
	show := func() {
		if _, err := x.server.Post(t.Context(), bot.Place{Channel: gateway.Broadcast}, card, "incident/INC-1@client/all", ""); err != nil {
			t.Fatal(err)
		}
		x.post(gateway.Broadcast, "event/1@client/all", "a line in its thread", "incident/INC-1@client/all")
	}
	show()
	out.expect(t, "[1] Explain", 1)
	keys.line("1")
	out.expect(t, "You said INC-1", 1)

	x.stop()
	out.expect(t, "The engine is not reached", 1)
	keys.line("anybody there?")
	out.expect(t, "The engine did not answer", 1)
	x.start(answer)
	show() // again, as after a crash
	out.expect(t, "Connected again.", 1)
	keys.line("hello again")
	out.expect(t, "You said hello again", 1)
	x.post(gateway.Broadcast, "event/2@client/all", "something new", "incident/INC-1@client/all")
	out.expect(t, "something new", 1)
	keys.line("exit")
	if err := wait(t, ended); !errors.Is(err, terminal.ErrLeft) {
		t.Errorf("it ended with %v", err)
	}
	for what, times := range map[string]int{"checkout is failing": 1, "a line in its thread": 1, "not reached": 1, "INC-1 something new": 1} {
		if got := strings.Count(out.String(), what); got != times {
			t.Errorf("%q is shown %d times:\n%s", what, got, out.String())
		}
	}
	keys.w.Close()
}

func TestAChatEndsWhenItsTokenIsTakenAway(t *testing.T) {
	x := open(t, nil)
	keys := newKeyboard()
	defer keys.w.Close()
	if _, ended := x.chat(keys, "atl_wrong"); connect.CodeOf(wait(t, ended)) != connect.CodeUnauthenticated {
		t.Error("a wrong token was not refused at once")
	}
	out, ended := x.chat(keys, x.tokens["ken"])
	out.expect(t, "Connected.", 1)
	if err := x.db.RemovePerson(t.Context(), "ken"); err != nil {
		t.Fatal(err)
	}
	x.stop()
	x.start(nil)
	if err := wait(t, ended); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Errorf("it ended with %v", err)
	}
}

func TestAChatShowsThatItIsOlderThanTheEngineAndGoesOn(t *testing.T) {
	x := open(t, nil)
	keys := newKeyboard()
	out, ended := x.chat(keys, x.tokens["mia"])
	out.expect(t, "Connected.", 1)
	if _, err := x.server.Post(t.Context(), bot.Place{Channel: gateway.Broadcast}, message.Message{Title: "from the future", Tone: 99}, "k", ""); err != nil {
		t.Fatal(err)
	}
	out.expect(t, "older than the engine", 1)
	x.post(gateway.Broadcast, "event/2", "an ordinary one", "")
	out.expect(t, "an ordinary one", 1)
	keys.line("exit")
	if err := wait(t, ended); !errors.Is(err, terminal.ErrLeft) {
		t.Errorf("it ended with %v", err)
	}
	keys.w.Close()
}

func TestWhoSpeaksThroughAPipeSeesTheCardThatAnswers(t *testing.T) {
	var x *house
	x = open(t, func(_ context.Context, in bot.Inbound, _ bot.Responder) {
		go func() { // as the outbox does, a moment later
			time.Sleep(200 * time.Millisecond)
			_, _ = x.server.Post(context.Background(), in.Place, message.Message{Title: "Proposed: " + in.Text}, "proposal/"+in.Text, "") // the test looks at what is shown
		}()
	})
	out, ended := x.chat(strings.NewReader("restart payments\n"), x.tokens["mia"])
	if err := wait(t, ended); !errors.Is(err, terminal.ErrLeft) {
		t.Errorf("it ended with %v", err)
	}
	if !strings.Contains(out.String(), "Proposed: restart payments") {
		t.Errorf("it ended with\n%s", out)
	}
}
