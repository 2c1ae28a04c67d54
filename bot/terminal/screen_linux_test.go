package terminal_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/terminal"
)

// screen is a pseudo-terminal with a Terminal on it.
type screen struct {
	t      *testing.T
	master *os.File
	said   *buffer
	term   *terminal.Terminal
	ended  chan error
}

func ioctl(t *testing.T, f *os.File, request uintptr, arg unsafe.Pointer) {
	t.Helper()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), request, uintptr(arg)); errno != 0 {
		t.Fatalf("ioctl %#x: %v", request, errno)
	}
}

func openScreen(t *testing.T, h bot.Handler) *screen {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skipf("no pseudo-terminals here: %v", err)
	}
	var number, unlock int32
	ioctl(t, master, syscall.TIOCSPTLCK, unsafe.Pointer(&unlock))
	ioctl(t, master, syscall.TIOCGPTN, unsafe.Pointer(&number))
	size := [4]uint16{40, 60}
	ioctl(t, master, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	slave, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, master: master, said: &buffer{}, ended: make(chan error, 1)}
	s.term = terminal.New(terminal.Config{
		In: slave, Out: slave, Lang: "en", Greeting: "Hello, and welcome to a greeting that is too long for this narrow screen.\n",
		Complete: func(line string) []string {
			var out []string
			for _, w := range []string{"restart", "resume", "rollback"} {
				if strings.HasPrefix(w, line) {
					out = append(out, w)
				}
			}
			return out
		},
	})
	read := make(chan struct{})
	go func() {
		defer close(read)
		b := make([]byte, 4096)
		for {
			n, err := master.Read(b)
			if err != nil {
				return
			}
			_, _ = s.said.Write(b[:n]) // a buffer
		}
	}()
	ctx, cancel := context.WithCancel(context.Background())
	go func() { s.ended <- s.term.Run(ctx, h) }()
	t.Cleanup(func() {
		cancel()
		s.end()
		s.key("\r\x04") // ends the read that still waits for a key, which Close would wait for
		slave.Close()
		master.Close()
		<-read
	})
	s.expect("> ")
	return s
}

// end waits for Run and gives what it returned.
func (s *screen) end() error {
	s.t.Helper()
	select {
	case err := <-s.ended:
		s.ended <- err
		return err
	case <-time.After(5 * time.Second):
		s.t.Fatal("the terminal did not end")
		return nil
	}
}

func (s *screen) key(keys string) {
	s.t.Helper()
	if _, err := s.master.WriteString(keys); err != nil {
		s.t.Fatal(err)
	}
}

func (s *screen) expect(want string) {
	s.t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !strings.Contains(s.said.String(), want); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			s.t.Fatalf("the screen never showed %q:\n%q", want, s.said.String())
		}
	}
}

func TestAScreenCompletesAsksAndReplacesWhatIsUnderWay(t *testing.T) {
	s := openScreen(t, func(ctx context.Context, in bot.Inbound, r bot.Responder) {
		switch in.Kind {
		case bot.Submit:
			_ = r.Answer(ctx, message.Message{Title: "typed " + in.Values["name"]})
		case bot.Direct:
			_ = r.Working(ctx, "overview")
			_ = r.Working(ctx, "logs")
			if in.Text == "ask" {
				_ = r.Ask(ctx, bot.Prompt{Title: "Type the name", Fields: []bot.Field{{Name: "name", Label: "Name of the node", Hint: "worker-3"}}})
				return
			}
			_ = r.Answer(ctx, message.Message{Title: "heard " + in.Text, Blocks: []message.Block{message.Paragraph{Text: "so"}}})
		}
	})
	s.expect("Hello, and welcome to a greeting that is too long for this\r\nnarrow screen.")
	s.key("r\t")
	s.expect("restart  resume  rollback")
	s.key("es\t") // common to two of them already
	s.key("t\t")  // one is left: completed, with a space behind it
	s.key("payments\r")
	s.expect("heard restart payments")
	s.expect("\x1b[1A\x1b[2K") // the step was replaced
	s.expect(strings.Repeat("─", 58) + "╮")
	s.key("ask\r")
	s.expect("Name of the node: ")
	s.key("worker-3\r")
	s.expect("typed worker-3")
	s.key("exit\r")
	if err := s.end(); !errors.Is(err, terminal.ErrLeft) {
		t.Errorf("it ended with %v", err)
	}
}

func TestAPersonMayLeaveWhileAnAnswerIsBeingMade(t *testing.T) {
	for name, key := range map[string]string{"exit": "exit\r", "Ctrl-C": "\x03", "Ctrl-D": "\x04"} {
		t.Run(name, func(t *testing.T) {
			given := make(chan error, 1)
			s := openScreen(t, func(ctx context.Context, _ bot.Inbound, r bot.Responder) {
				_ = r.Working(ctx, "a long look")
				<-ctx.Done()
				given <- ctx.Err()
			})
			s.key("why?\r")
			s.expect("a long look")
			s.key(key)
			if err := s.end(); !errors.Is(err, terminal.ErrLeft) {
				t.Errorf("it ended with %v", err)
			}
			if err := <-given; err == nil {
				t.Error("the answer was not given up")
			}
		})
	}
}

func TestAScreenThatIsMadeWiderIsUsed(t *testing.T) {
	s := openScreen(t, func(context.Context, bot.Inbound, bot.Responder) {})
	size := [4]uint16{40, 90}
	ioctl(t, s.master, syscall.TIOCSWINSZ, unsafe.Pointer(&size))
	if _, err := s.term.Post(t.Context(), s.term.Place(), actions("Explain"), "k", ""); err != nil {
		t.Fatal(err)
	}
	s.expect("╰" + strings.Repeat("─", 88) + "╯")
}
