package bot

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/bukahou/atlhyper/bot/card"
	msg "github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// The providers that a model may be of.
const (
	ProviderGemini = "gemini"
	ProviderOpenAI = "openai" // or whatever speaks as it does
)

// ModelSetup is which model answers. It never holds the key.
type ModelSetup struct {
	Provider string    `json:"provider"` // "" when the planner answers alone
	Model    string    `json:"model"`
	URL      string    `json:"url,omitempty"`
	By       string    `json:"by,omitempty"` // the person who set it up in chat, "" when the configuration did
	At       time.Time `json:"at,omitzero"`
}

// Models is where the model is set up. It is safe for concurrent use.
type Models interface {
	// Model is which answers now.
	Model() ModelSetup
	// SetModel tries a model with its key, keeps both, the key sealed, and lets it answer from the next question on. What the
	// person can mend is a *tools.Problem.
	SetModel(ctx context.Context, s ModelSetup, key string) error
	// ClearModel forgets what was set up in chat: the configuration's counts again.
	ClearModel(ctx context.Context) error
}

// help lists the commands of a caller. The home and the model's set-up are none of the tools: they are the conversation's, and
// no program may fill in the form.
func (b *Bot) help(caller tools.Caller) []tools.Spec {
	p := phrase.For(caller.Lang)
	specs := append(b.cfg.Tools.Help(caller), tools.Spec{Verb: "home", Usage: "home", Summary: p.Sprintf("What is wrong now, the clusters, who is on call, and who you are here."), Role: people.Viewer})
	if b.cfg.Models != nil && b.cfg.Engine.People.RoleOf(caller.Person, "", "") >= people.Admin {
		summary := p.Sprintf("Which model answers; set opens a form for another one and its key.")
		specs = append(specs, tools.Spec{Verb: "model", Usage: "model [set|clear]", Summary: summary, Role: people.Admin, ByHand: true})
	}
	return specs
}

// keyLike is from how many characters on a word behind "model" is taken for a key, which must reach neither a model nor the
// thread's memory.
const keyLike = 16

// aboutModel gives what stands behind the command model. Spoken words may begin with it and be a question.
func aboutModel(text string, kind Kind) (word string, ok bool) {
	words := strings.Fields(text)
	if len(words) == 0 || !strings.EqualFold(words[0], "model") {
		return "", false
	}
	rest := words[1:]
	word = strings.ToLower(strings.Join(rest, " "))
	command := len(rest) == 0 || word == "clear" || strings.EqualFold(rest[0], "set") || len(rest) == 1 && len(rest[0]) >= keyLike
	return word, command || kind == Slash
}

// model shows which model answers, opens the form for another, or takes what was filled in. All of it is an admin's of everything.
// A key comes by the form alone: what stands in a message is read by whoever reads the channel.
func (b *Bot) model(ctx context.Context, in Inbound, r Responder, caller tools.Caller, word string) (*msg.Message, error) {
	p := phrase.For(caller.Lang)
	if b.cfg.Engine.People.RoleOf(in.Person, "", "") < people.Admin {
		return nil, &tools.Problem{Sentence: p.Sprintf("Only an admin of everything looks at the model's set-up."), Remedy: p.Sprintf("Ask an admin: grants lists them.")}
	}
	if b.cfg.Models == nil {
		return nil, &tools.Problem{Sentence: p.Sprintf("The model is set up where this was started."), Remedy: p.Sprintf("See the guide's page on models.")}
	}
	switch {
	case in.Kind == Submit:
		return b.takeModel(ctx, in, caller)
	case in.Kind == Click, word == "set":
		return nil, r.Ask(ctx, modelPrompt(b.cfg.Models.Model(), caller.Lang))
	case word == "clear":
		if _, err := b.cfg.Engine.Audit.Append(ctx, in.Person, "model.cleared", "", "model", nil); err != nil {
			return nil, err
		}
		if err := b.cfg.Models.ClearModel(ctx); err != nil {
			return nil, err
		}
	case word != "":
		return nil, &tools.Problem{
			Sentence: p.Sprintf("A key is never typed into a message."), Remedy: p.Sprintf("If that was one, revoke it at its provider. The form opens with: model set."),
		}
	}
	return modelCard(b.cfg.Models.Model(), caller.Lang), nil
}

func modelCard(s ModelSetup, lang string) *msg.Message {
	p := phrase.For(lang)
	m := &msg.Message{Title: p.Sprintf("No model is set up: the planner answers."), Private: true}
	if s.Provider != "" {
		m.Title = p.Sprintf("%s answers.", s.Model)
		facts := []msg.Fact{{Label: p.Sprintf("provider"), Value: s.Provider}}
		if s.URL != "" {
			facts = append(facts, msg.Fact{Label: p.Sprintf("address"), Value: s.URL})
		}
		from := p.Sprintf("the configuration")
		if s.By != "" {
			from = s.By + ", " + s.At.UTC().Format("2006-01-02 15:04 MST")
		}
		m.Blocks = append(m.Blocks, msg.Facts{Facts: append(facts, msg.Fact{Label: p.Sprintf("set up by"), Value: from})})
	}
	m.Blocks = append(m.Blocks, msg.Actions{Buttons: []msg.Button{{Label: p.Sprintf("Set a model…"), Action: card.ActModel, Subject: "model"}}})
	if s.By != "" {
		m.Footer = p.Sprintf("model clear goes back to the configuration's.")
	}
	return m
}

func modelPrompt(s ModelSetup, lang string) Prompt {
	p := phrase.For(lang)
	out := form(p, p.Sprintf("Set a model"))
	out.Action, out.Subject = card.ActModel, "model"
	provider := s.Provider
	if provider == "" {
		provider = ProviderGemini
	}
	out.Fields = []Field{
		{Name: "provider", Label: p.Sprintf("Provider"), Value: provider, Choices: []Choice{
			{"Gemini", ProviderGemini}, {p.Sprintf("OpenAI, or what speaks as it does"), ProviderOpenAI},
		}},
		{Name: "model", Label: p.Sprintf("Model"), Value: s.Model, Hint: "gemini-3.8-flash"},
		{Name: "url", Label: p.Sprintf("Address"), Value: s.URL, Hint: p.Sprintf("Empty for the provider's own."), Optional: true},
		{Name: "key", Label: p.Sprintf("API key"), Hint: p.Sprintf("It is tried, then kept sealed, and shown to nobody."), Optional: true},
	}
	return out
}

// takeModel keeps what the form says. Neither the thread's memory nor a log nor the audit log gets the key.
func (b *Bot) takeModel(ctx context.Context, in Inbound, caller tools.Caller) (*msg.Message, error) {
	p, v := phrase.For(caller.Lang), func(name string) string { return strings.TrimSpace(in.Values[name]) }
	s := ModelSetup{Provider: v("provider"), Model: v("model"), URL: v("url"), By: in.Person.Name, At: b.cfg.Now()}
	switch {
	case s.Provider != ProviderGemini && s.Provider != ProviderOpenAI:
		return nil, &tools.Problem{Sentence: p.Sprintf("%q is no provider.", s.Provider), Remedy: p.Sprintf("It is gemini or openai.")}
	case s.Model == "":
		return nil, &tools.Problem{Sentence: p.Sprintf("The model's name is missing."), Remedy: p.Sprintf("Such as gemini-3.8-flash. Press Set a model… again.")}
	case v("key") == "" && (s.Provider == ProviderGemini || s.URL == ""):
		return nil, &tools.Problem{Sentence: p.Sprintf("The API key is missing."), Remedy: p.Sprintf("Only a server of your own, with its address, may need none.")}
	}
	if _, err := b.cfg.Engine.Audit.Append(ctx, in.Person, "model.set", "", s.Provider+"/"+s.Model, map[string]string{"url": s.URL}); err != nil {
		return nil, err
	}
	if err := b.cfg.Models.SetModel(ctx, s, v("key")); err != nil {
		var problem *tools.Problem
		if errors.As(err, &problem) && problem.Remedy == "" {
			problem.Remedy = p.Sprintf("Nothing was changed.")
		}
		return nil, err
	}
	return modelCard(b.cfg.Models.Model(), caller.Lang), nil
}
