package assistant

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/bukahou/atlhyper/tools"
)

// The caps on what one tool result tells the model, in bytes.
const (
	maxField  = 4 << 10
	maxResult = 32 << 10
)

// shown is a result as the model sees it. What came out of a cluster as free text stands under untrusted_text and nowhere
// else, so that the prompt can say what it is. A proposal's id is not in it: the model has no use for one.
type shown struct {
	Cut       string       `json:"cut,omitempty"`
	Headline  string       `json:"headline"`
	Cluster   string       `json:"cluster,omitempty"`
	Observed  string       `json:"observed,omitempty"`
	Age       string       `json:"age,omitempty"`
	Missing   []string     `json:"could_not_look_at,omitempty"`
	Facts     []shownFact  `json:"facts,omitempty"`
	Tables    []shownTable `json:"tables,omitempty"`
	Lists     []shownText  `json:"lists,omitempty"`
	Untrusted []shownText  `json:"untrusted_text,omitempty"`
	Question  string       `json:"question_to_the_person,omitempty"`
	Options   []shownCall  `json:"options,omitempty"`
	Next      []shownCall  `json:"next,omitempty"`
	Incident  string       `json:"incident,omitempty"`
}

type shownFact struct {
	Label  string `json:"label"`
	Value  string `json:"value"`
	Normal string `json:"normal,omitempty"`
	Age    string `json:"age,omitempty"`
}

type shownTable struct {
	Heading string     `json:"heading,omitempty"`
	Columns []string   `json:"columns"`
	Rows    [][]string `json:"rows"`
	Total   int        `json:"total"`
}

type shownText struct {
	Heading string `json:"heading,omitempty"`
	Body    string `json:"body"`
	Cut     bool   `json:"cut,omitempty"`
}

type shownCall struct {
	Label string          `json:"label"`
	Tool  string          `json:"tool"`
	Args  json.RawMessage `json:"args,omitempty"`
}

// limits are the caps of one attempt to fit a result: bytes of a text field, and elements of each list.
type limits struct{ field, items int }

// render gives a result as compact JSON of at most maxResult bytes. It tightens the limits until the result fits, so
// that a long log does not push out the facts beside it, and says that it cut.
func render(res *tools.Result, now time.Time) json.RawMessage {
	for _, l := range []limits{{maxField, 200}, {maxField, 60}, {2048, 40}, {1024, 25}, {512, 12}, {256, 6}, {128, 3}} {
		s, cut := l.show(res, now)
		if cut {
			s.Cut = fmt.Sprintf("Too long to show whole: at most %d bytes of a text and %d items of a list are here; ask for less, or for a part.", l.field, l.items)
		}
		if b := compact(s); len(b) <= maxResult {
			return b
		}
	}
	headline, _ := clip(untrusted(res.Headline), 512)
	return compact(shown{Headline: headline, Cut: "The result is too large to show; ask for a part of it."})
}

// Render gives a result as every model sees it, whoever runs the model: compact JSON of at most 32 KiB in which text of a
// cluster stands under untrusted_text. now is what ages are counted from.
func Render(res *tools.Result, now time.Time) json.RawMessage { return render(res, now) }

// compact marshals without the escapes for HTML, which would triple the length of logs.
func compact(v any) json.RawMessage {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		// Only an option's arguments can fail, when a tool gave broken JSON.
		return json.RawMessage(`{"headline":"the result could not be written as JSON"}`)
	}
	return bytes.TrimSpace(b.Bytes())
}

func (l limits) show(res *tools.Result, now time.Time) (shown, bool) {
	cut := false
	text := func(s string) string {
		// First roughly, so that the middle of a large log is not cleaned only to be cut.
		s, _ = clip(s, 4*l.field)
		out, short := clip(untrusted(s), l.field)
		cut = cut || short
		return out
	}
	age := func(at time.Time) string {
		if at.IsZero() {
			return ""
		}
		return now.Sub(at).Round(time.Second).String()
	}
	s := shown{
		Headline: text(res.Headline), Cluster: text(res.Cluster), Age: age(res.Observed),
		Question: text(res.Question), Incident: text(res.Incident),
	}
	if !res.Observed.IsZero() {
		s.Observed = res.Observed.UTC().Format(time.RFC3339)
	}
	for _, m := range first(res.Missing, l.items, &cut) {
		s.Missing = append(s.Missing, text(m))
	}
	for _, f := range first(res.Facts, l.items, &cut) {
		s.Facts = append(s.Facts, shownFact{text(f.Label), text(f.Value), text(f.Normal), age(f.At)})
	}
	for _, t := range first(res.Tables, l.items, &cut) {
		st := shownTable{Heading: text(t.Heading), Total: max(t.Total, len(t.Rows)), Rows: [][]string{}}
		for _, c := range first(t.Columns, l.items, &cut) {
			st.Columns = append(st.Columns, text(c))
		}
		for _, row := range first(t.Rows, l.items, &cut) {
			var cells []string
			for _, c := range first(row, l.items, &cut) {
				cells = append(cells, text(c))
			}
			st.Rows = append(st.Rows, cells)
		}
		s.Tables = append(s.Tables, st)
	}
	texts := func(in []tools.Text) []shownText {
		var out []shownText
		for _, t := range first(in, l.items, &cut) {
			body := text(t.Body)
			out = append(out, shownText{text(t.Heading), body, t.Truncated || len(body) < len(t.Body)})
		}
		return out
	}
	shown := res.Texts
	for _, f := range res.Files {
		shown = append(slices.Clip(shown), tools.Text{Heading: f.Name, Body: f.Body})
	}
	s.Lists, s.Untrusted = texts(res.Lists), texts(shown)
	calls := func(in []tools.Option) []shownCall {
		var out []shownCall
		for _, o := range first(in, min(l.items, 20), &cut) {
			out = append(out, shownCall{text(o.Label), o.Tool, o.Args})
		}
		return out
	}
	s.Options, s.Next = calls(res.Options), calls(res.Next)
	return s, cut
}

// first gives the first n of list and notes when there were more.
func first[T any](list []T, n int, cut *bool) []T {
	if len(list) <= n {
		return list
	}
	*cut = true
	return list[:n]
}
