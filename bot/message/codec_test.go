package message

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"
)

// anyMessage draws a message with blocks of every kind.
func anyMessage(t *rapid.T) Message {
	text := rapid.String()
	texts := rapid.SliceOfN(text, 1, 4)
	more := rapid.IntRange(0, 300)
	block := rapid.OneOf(
		rapid.Custom(func(t *rapid.T) Block { return Paragraph{text.Draw(t, "heading"), text.Draw(t, "text")} }),
		rapid.Custom(func(t *rapid.T) Block { return Markdown{text.Draw(t, "text")} }),
		rapid.Custom(func(t *rapid.T) Block {
			fact := rapid.Custom(func(t *rapid.T) Fact { return Fact{text.Draw(t, "label"), text.Draw(t, "value")} })
			return Facts{text.Draw(t, "heading"), rapid.SliceOfN(fact, 1, 4).Draw(t, "facts")}
		}),
		rapid.Custom(func(t *rapid.T) Block {
			return Table{text.Draw(t, "heading"), texts.Draw(t, "columns"), rapid.SliceOfN(texts, 1, 4).Draw(t, "rows"), more.Draw(t, "more")}
		}),
		rapid.Custom(func(t *rapid.T) Block {
			return Code{text.Draw(t, "heading"), text.Draw(t, "text"), rapid.Bool().Draw(t, "truncated")}
		}),
		rapid.Custom(func(t *rapid.T) Block {
			return List{text.Draw(t, "heading"), texts.Draw(t, "items"), more.Draw(t, "more")}
		}),
		rapid.Custom(func(t *rapid.T) Block {
			return Image{text.Draw(t, "name"), rapid.SliceOfN(rapid.Byte(), 1, 20).Draw(t, "png"), text.Draw(t, "alt"), text.Draw(t, "spark")}
		}),
		rapid.Custom(func(t *rapid.T) Block { return File{text.Draw(t, "name"), text.Draw(t, "text")} }),
		rapid.Custom(func(t *rapid.T) Block {
			button := rapid.Custom(func(t *rapid.T) Button {
				return Button{text.Draw(t, "label"), text.Draw(t, "action"), text.Draw(t, "subject"), Style(rapid.IntRange(0, 2).Draw(t, "style")), text.Draw(t, "url")}
			})
			if rapid.Bool().Draw(t, "list") {
				return Select{text.Draw(t, "placeholder"), rapid.SliceOfN(button, 1, 9).Draw(t, "options")}
			}
			return Actions{rapid.SliceOfN(button, 1, 4).Draw(t, "buttons")}
		}),
	)
	return Message{
		Tone: Tone(rapid.IntRange(int(Plain), int(Proposal)).Draw(t, "tone")), Title: text.Draw(t, "title"), Context: text.Draw(t, "context"),
		Blocks: rapid.SliceOfN(block, 1, 8).Draw(t, "blocks"), Footer: text.Draw(t, "footer"), Private: rapid.Bool().Draw(t, "private"), Gist: text.Draw(t, "gist"), Mention: texts.Draw(t, "mention"),
	}
}

func TestAMessageComesBackAsItWent(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := anyMessage(t)
		raw, err := json.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		var back Message
		if err := json.Unmarshal(raw, &back); err != nil {
			t.Fatalf("%v in %s", err, raw)
		}
		if d := cmp.Diff(m, back); d != "" {
			t.Fatal(d)
		}
	})
}

func TestWhatANewerEngineSaysIsRefusedWhole(t *testing.T) {
	for name, c := range map[string]struct{ raw, want string }{
		"a block of an unknown type":  {`{"title":"t","blocks":[{"type":"hologram","data":{}}]}`, `unknown block "hologram"`},
		"a block without a type":      {`{"title":"t","blocks":[{"data":{}}]}`, `unknown block ""`},
		"a tone beyond the last":      {`{"tone":10,"title":"t"}`, "unknown tone 10"},
		"a tone before the first":     {`{"tone":-1,"title":"t"}`, "unknown tone -1"},
		"a block whose data is wrong": {`{"title":"t","blocks":[{"type":"table","data":{"Rows":"none"}}]}`, "cannot unmarshal"},
		"a block without data":        {`{"title":"t","blocks":[{"type":"table"}]}`, "unexpected end"},
	} {
		t.Run(name, func(t *testing.T) {
			m := Message{Title: "as it was"}
			err := json.Unmarshal([]byte(c.raw), &m)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an error with %q", err, c.want)
			}
			if m.Title != "as it was" {
				t.Errorf("half of it was taken: %+v", m)
			}
		})
	}
}

// foreign is a block that the codec does not know.
type foreign struct{ Block }

func TestABlockWithoutAWireFormIsAnErrorAndNotAGap(t *testing.T) {
	if raw, err := json.Marshal(Message{Title: "t", Blocks: []Block{foreign{}}}); err == nil {
		t.Errorf("written as %s", raw)
	}
}

func TestEveryToneHasAMarkOfItsOwn(t *testing.T) {
	seen := map[string]Tone{}
	for tone := Alert; tone <= Proposal; tone++ {
		mark := tone.Mark()
		if other, ok := seen[mark]; ok || mark == "" {
			t.Errorf("tone %d shows %q, as tone %d does", tone, mark, other)
		}
		seen[mark] = tone
	}
	for _, none := range []Tone{Plain, -1, Proposal + 1} {
		if none.Mark() != "" {
			t.Errorf("tone %d shows %q", none, none.Mark())
		}
	}
}

func FuzzUnmarshal(f *testing.F) {
	for _, m := range []Message{
		{Title: "plain"},
		{Tone: Incident, Title: "t", Context: "c", Footer: "f", Private: true, Gist: "g", Blocks: []Block{
			Paragraph{"h", "t"}, Markdown{"**b**"}, Facts{"h", []Fact{{"l", "v"}}}, Table{"h", []string{"A"}, [][]string{{"1"}}, 2}, Code{"h", "t", true},
			List{"h", []string{"i"}, 3}, Image{"n", []byte{1}, "a", "▁█"}, Actions{[]Button{{"l", "a", "s", Danger, ""}}}, Select{"p", []Button{{"l", "a", "s", Default, ""}}},
		}},
	} {
		raw, err := json.Marshal(m)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Add([]byte(`{"blocks":[{"type":"facts","data":null}]}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		var m Message
		if json.Unmarshal(raw, &m) != nil {
			return
		}
		again, err := json.Marshal(m)
		if err != nil {
			t.Fatalf("what was read cannot be written: %v", err)
		}
		var back Message
		if err := json.Unmarshal(again, &back); err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if d := cmp.Diff(m, back); d != "" {
			t.Error(d)
		}
	})
}

func TestALegibleMessageHoldsNothingThatDisguises(t *testing.T) {
	bad := "a\u202eb\u2066c\x1bd\ufeffe\u200ff\n\tg"
	const want = "abcdef\n\tg"
	m := Legible(Message{Tone: Alert, Title: bad, Context: bad, Footer: bad, Private: true, Gist: bad, Blocks: []Block{
		Paragraph{bad, bad}, Markdown{bad}, Facts{bad, []Fact{{bad, bad}}}, Table{bad, []string{bad}, [][]string{{bad}}, 3}, Code{bad, bad, true},
		List{bad, []string{bad}, 2}, Image{bad, []byte{1}, bad, bad}, File{bad, bad}, Actions{[]Button{{bad, "a", "s", Danger, ""}}}, Select{bad, []Button{{bad, "a", "s", Default, ""}}},
	}})
	clean := Message{Tone: Alert, Title: want, Context: want, Footer: want, Private: true, Gist: bad, Blocks: []Block{
		Paragraph{want, want}, Markdown{want}, Facts{want, []Fact{{want, want}}}, Table{want, []string{want}, [][]string{{want}}, 3}, Code{want, want, true},
		List{want, []string{want}, 2}, Image{want, []byte{1}, want, want}, File{want, want}, Actions{[]Button{{want, "a", "s", Danger, ""}}}, Select{want, []Button{{want, "a", "s", Default, ""}}},
	}}
	if d := cmp.Diff(clean, m); d != "" {
		t.Error(d)
	}
}
