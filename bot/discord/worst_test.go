package discord

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"testing"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/bot/card/cardtest"
)

func TestEveryCardFitsInItsWorstCases(t *testing.T) {
	d, fake := desk(t)
	for kind := range cardtest.Names {
		for name, m := range cardtest.Cards(kind) {
			t.Run(kind+"/"+name, func(t *testing.T) {
				var out bytes.Buffer
				enc := json.NewEncoder(&out)
				enc.SetEscapeHTML(false)
				enc.SetIndent("", " ")
				ok(t, enc.Encode(render(m)))
				file := filepath.Join("testdata", "worst", kind, name+".golden.json")
				cardtest.Golden(t, file, out.Bytes(), *update)

				before := len(fake.Faults())
				ref, err := d.Post(t.Context(), bot.Place{Surface: "discord", Channel: ops}, m, "", "")
				ok(t, err)
				if f := fake.Faults()[before:]; len(f) > 0 {
					t.Fatal(f)
				}
				got, _ := fake.Message(ops, ref.Message)
				if got.Pinged {
					t.Error("it may ping")
				}
				cardtest.Whole(t, m, got.Text(), len(got.Buttons()), out.String())
			})
		}
	}
}
