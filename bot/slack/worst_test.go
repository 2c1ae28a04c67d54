package slack

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/bukahou/atlhyper/bot/card/cardtest"
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
				cardtest.Golden(t, file, out.Bytes(), *update)

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
				cardtest.Whole(t, m, got.Text(), len(got.Buttons()), out.String())
			})
		}
	}
}
