package bot

import (
	"context"
	"encoding/json"
	"maps"
	"slices"

	"github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/tools"
)

// evidence tells what is known of the things that a text names. The text came from wherever: it is looked up and nothing
// else. It chooses no language, no model reads it, and the thread does not remember it as something that a person said.
func (b *Bot) evidence(ctx context.Context, in Inbound, caller tools.Caller, text string) (*message.Message, error) {
	in.Text = "explain this"
	caller.Lang, caller.Question, caller.Mentioned = lang(in), in.Text, nil
	caller.Cluster, caller.Incident = "", "" // of where it is read, which says nothing of where it came from
	args, err := json.Marshal(map[string]string{"text": text})
	if err != nil {
		return nil, err
	}
	return b.run(ctx, in, caller, tools.ExplainText, args)
}

// MaxEvidence is how much of a text is looked at, in characters.
const MaxEvidence = 16_000

// Shown gives the strings that people read in what a platform adds to a message: those of the fields, wherever they stand, as plain
// gives them without the platform's marks.
func Shown(v any, fields []string, plain func(string) string) (out []string) {
	switch v := v.(type) {
	case []any:
		for _, x := range v {
			out = append(out, Shown(x, fields, plain)...)
		}
	case map[string]any:
		for _, name := range slices.Sorted(maps.Keys(v)) {
			if s, ok := v[name].(string); ok && slices.Contains(fields, name) {
				out = append(out, plain(s))
				continue
			}
			out = append(out, Shown(v[name], fields, plain)...)
		}
	}
	return out
}

// evidenceIn is the text of a command that names one.
func evidenceIn(args json.RawMessage) string {
	var a struct{ Text string }
	if json.Unmarshal(args, &a) != nil {
		return "" // of which the tool says that it is needed
	}
	return a.Text
}
