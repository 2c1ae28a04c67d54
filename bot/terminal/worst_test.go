package terminal_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/bukahou/atlhyper/bot/card/cardtest"
	"github.com/bukahou/atlhyper/bot/message"
)

func TestEveryCardFitsInItsWorstCases(t *testing.T) {
	for kind := range cardtest.Names {
		for name, m := range cardtest.Cards(kind) {
			t.Run(kind+"/"+name, func(t *testing.T) {
				got := renderer(80, true).Render(m)
				check(t, got, 80)
				check(t, renderer(40, true).Render(m), 40)
				file := filepath.Join("worst", kind, name+".txt")
				if err := os.MkdirAll(filepath.Join("testdata", "worst", kind), 0o755); err != nil {
					t.Fatal(err)
				}
				golden(t, file, got)
				// A key for each button and each option, and nothing of what can be chosen is left out.
				keys := 0
				for _, b := range m.Blocks {
					switch b := b.(type) {
					case message.Actions:
						for _, one := range b.Buttons {
							if one.URL == "" { // which is shown beside the words
								keys++
							}
						}
					case message.Select:
						keys += len(b.Options)
					}
				}
				if n := strings.Count(got, "["); n < keys {
					t.Errorf("%d keys, want %d:\n%s", n, keys, got)
				}
			})
		}
	}
}
