package eval

import (
	"slices"
	"strings"

	"github.com/bukahou/atlhyper/bot"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/tools"
)

// Shown is what a person reads of an answer: a model's own words, or the results whole, without the buttons under them.
func Shown(a *bot.Asked) string {
	out := []string{a.Answer}
	if a.By != "planner" && a.By != "command" {
		return a.Answer
	}
	for _, r := range a.Results {
		out = append(out, r.Headline, r.Question)
		out = append(out, r.Missing...)
		for _, f := range r.Facts {
			out = append(out, f.Label+" "+f.Value+" "+f.Normal)
		}
		for _, t := range r.Tables {
			out = append(out, t.Heading, strings.Join(t.Columns, " "))
			for _, row := range t.Rows {
				out = append(out, strings.Join(row, " "))
			}
		}
		for _, t := range slices.Concat(r.Texts, r.Lists) {
			out = append(out, t.Heading, t.Body)
		}
		for _, c := range r.Charts {
			out = append(out, c.Title, c.Alt)
		}
		for _, o := range r.Options { // the choices of a question
			out = append(out, o.Label)
		}
	}
	return strings.Join(out, "\n")
}

// AskedBack says whether an answer is a question: of a tool, or in a model's last sentence.
func AskedBack(a *bot.Asked) bool {
	if a.By != "planner" && a.By != "command" {
		text := strings.TrimSpace(a.Answer)
		return strings.HasSuffix(text, "?") || strings.HasSuffix(text, "？")
	}
	return slices.ContainsFunc(a.Results, func(r *tools.Result) bool { return r.Question != "" })
}

// Change is a proposed command in the words that Question.Proposes is compared with.
func Change(c command.Command) string {
	_, rest, _ := strings.Cut(tools.Words(c), " ")
	return string(c.Verb) + " " + rest
}
