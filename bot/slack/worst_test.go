package slack

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/bukahou/atlhyper/bot/card/cardtest"
	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/bot/slack/slackfake"
)

func TestEveryCardFitsInItsWorstCases(t *testing.T) {
	fake := slackfake.New(slackfake.Config{Burst: -1})
	defer fake.Close()
	s := newDesk(t, fake)
	for kind := range cardtest.Names {
		for name, m := range cardtest.Cards(kind) {
			t.Run(kind+"/"+name, func(t *testing.T) {
				// A block a line: what changed is seen at once.
				var out bytes.Buffer
				enc := json.NewEncoder(&out)
				enc.SetEscapeHTML(false)
				x := render(m)
				ok(t, enc.Encode(x.Text))
				for _, b := range x.Blocks {
					ok(t, enc.Encode(b))
				}
				file := filepath.Join("testdata", "worst", kind, name+".golden.jsonl")
				if *update {
					ok(t, os.MkdirAll(filepath.Dir(file), 0o755))
					ok(t, os.WriteFile(file, out.Bytes(), 0o644))
				}
				want, err := os.ReadFile(file)
				ok(t, err)
				if d := cmp.Diff(string(want), out.String()); d != "" {
					t.Errorf("run with -update when this is meant (-want +got):\n%s", d)
				}

				before := len(fake.Faults())
				ref, err := s.post(contextOf(t), channel, m, "k")
				ok(t, err)
				if f := fake.Faults()[before:]; len(f) > 0 {
					t.Fatal(f)
				}
				got, _ := fake.Message(channel.Channel, ref.Message)
				if p := got.Pings(); p != nil {
					t.Errorf("it pings %q", p)
				}
				if n := len(got.Buttons()); n != buttonsOf(m) {
					t.Errorf("%d buttons, want %d", n, buttonsOf(m))
				}
				if m.Footer != "" && !strings.Contains(got.Text(), m.Footer[:min(10, len(m.Footer))]) {
					t.Errorf("the small print is missing:\n%s", got.Text())
				}
				if i := strings.IndexFunc(out.String(), disguises); i >= 0 {
					t.Errorf("it holds %U, which turns text around", []rune(out.String()[i:])[0])
				}
			})
		}
	}
}

func buttonsOf(m message.Message) int {
	n := 0
	for _, b := range m.Blocks {
		if a, ok := b.(message.Actions); ok {
			n += len(a.Buttons)
		}
	}
	return n
}

// disguises says that a character changes the direction of those around it.
func disguises(r rune) bool { return r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 }
