package tools

import (
	"context"
	"slices"

	"github.com/bukahou/atlhyper/engine"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools/phrase"
)

type langArgs struct {
	Lang    string `json:"lang,omitempty" jsonschema:"en, zh, ja, or auto for the language of the question; says what is set when left out"`
	Channel bool   `json:"channel,omitempty" jsonschema:"of this channel: what is told there without being asked"`
}

// ownName are the languages by their own names.
var ownName = map[string]string{"en": "English", "zh": "中文", "ja": "日本語"}

// langTool says in which language a person is answered, and a channel told. It is by hand: it is said by the person alone.
func langTool(e *engine.Engine) (Tool, error) {
	s := shape{name: "lang", verb: "lang", usage: "lang [en|zh|ja|auto] [--channel]", pos: []string{"lang"}, role: people.Viewer, hand: true}
	return define(s, func(ctx context.Context, caller Caller, a langArgs) (*Result, error) {
		p := phrase.For(caller.Lang)
		subject := caller.Person.ID
		if a.Channel {
			if role := e.People.RoleOf(caller.Person, "", ""); role < people.Admin && a.Lang != "" {
				return nil, &Problem{Sentence: p.Sprintf("Only an admin of everything sets a channel's language, and you are %s.", role), Remedy: p.Sprintf("For yourself it is lang without --channel.")}
			}
			if caller.Place == "" {
				return nil, &Problem{Sentence: p.Sprintf("This is no channel."), Remedy: p.Sprintf("Ask in the channel that it is about.")}
			}
			subject = people.Channel(caller.Place)
		}
		switch {
		case a.Lang == "":
		case a.Lang != "auto" && !slices.Contains(phrase.Langs, a.Lang):
			return nil, &Problem{Sentence: p.Sprintf("%q is not spoken here.", a.Lang), Remedy: p.Sprintf("It is en, zh or ja, or auto for the language of the question.")}
		default:
			lang := a.Lang
			if lang == "auto" {
				lang = ""
			}
			if a.Channel {
				if _, err := e.Audit.Append(ctx, caller.Person, "channel.language", "", caller.Place, map[string]string{"lang": a.Lang, "question": caller.Question}); err != nil {
					return nil, err
				}
			}
			if err := e.People.SetLang(ctx, subject, lang); err != nil {
				return nil, err
			}
			if lang != "" && !a.Channel {
				p = phrase.For(lang) // it counts from this answer on
			}
		}
		res := &Result{Observed: e.Now(), Data: map[string]string{"lang": e.People.Lang(subject)}}
		switch name := ownName[e.People.Lang(subject)]; {
		case a.Channel && name == "":
			res.Headline = p.Sprintf("What is told in this channel is in the language of the installation.")
		case a.Channel:
			res.Headline = p.Sprintf("What is told in this channel is in %s.", name)
		case name == "":
			res.Headline = p.Sprintf("You are answered in the language of your question, else in that of your client.")
		default:
			res.Headline = p.Sprintf("You are answered in %s.", name)
		}
		return res, nil
	})
}
