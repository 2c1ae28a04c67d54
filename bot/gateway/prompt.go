package gateway

import "github.com/bukahou/atlhyper/bot"

func wirePrompt(p bot.Prompt) *Prompt {
	out := &Prompt{Title: p.Title, Action: p.Action, Subject: p.Subject, Submit: p.Submit, Cancel: p.Cancel}
	for _, f := range p.Fields {
		x := &Field{Name: f.Name, Label: f.Label, Hint: f.Hint, Value: f.Value, Optional: f.Optional}
		for _, c := range f.Choices {
			x.Choices = append(x.Choices, &Choice{Label: c.Label, Value: c.Value})
		}
		out.Fields = append(out.Fields, x)
	}
	return out
}

func promptOf(p *Prompt) bot.Prompt {
	out := bot.Prompt{Title: p.GetTitle(), Action: p.GetAction(), Subject: p.GetSubject(), Submit: p.GetSubmit(), Cancel: p.GetCancel()}
	for _, f := range p.GetFields() {
		x := bot.Field{Name: f.GetName(), Label: f.GetLabel(), Hint: f.GetHint(), Value: f.GetValue(), Optional: f.GetOptional()}
		for _, c := range f.GetChoices() {
			x.Choices = append(x.Choices, bot.Choice{Label: c.GetLabel(), Value: c.GetValue()})
		}
		out.Fields = append(out.Fields, x)
	}
	return out
}
