package bot

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/text/message"

	"github.com/bukahou/atlhyper/bot/card"
	msg "github.com/bukahou/atlhyper/bot/message"
	"github.com/bukahou/atlhyper/engine/command"
	"github.com/bukahou/atlhyper/engine/people"
	"github.com/bukahou/atlhyper/tools"
	"github.com/bukahou/atlhyper/tools/phrase"
)

// form begins a prompt with what its buttons say.
func form(p *message.Printer, title string) Prompt {
	return Prompt{Title: title, Submit: p.Sprintf("Go on"), Cancel: p.Sprintf("Cancel")}
}

// namePrompt asks for the name of what a destructive command is about: it is typed, so that it is read.
func namePrompt(x *command.Proposal, lang string) Prompt {
	p, kind := phrase.For(lang), x.Command.Target.Kind
	if x.Command.Bulk() {
		kind = "Namespace"
	}
	out := form(p, p.Sprintf("Type the name"))
	out.Action, out.Subject = card.ActApprove, x.ID
	out.Fields = []Field{{Name: "name", Label: p.Sprintf("Name of the %s", strings.ToLower(kind)), Hint: x.Command.Typed()}}
	return out
}

// silence asks for how long an incident shall be quiet, and why; a form that was filled in silences it. Whoever may not is
// told so before there is anything to fill in.
func (b *Bot) silence(ctx context.Context, in Inbound, r Responder, caller tools.Caller) (*msg.Message, error) {
	caller.Incident = in.Subject
	args := map[string]string{"id": in.Subject}
	if in.Kind == Click && b.decides(ctx, caller) {
		p := phrase.For(caller.Lang)
		prompt := form(p, p.Sprintf("Silence %s", in.Subject))
		prompt.Action, prompt.Subject = card.ActSilence, in.Subject
		prompt.Fields = []Field{
			{Name: "for", Label: p.Sprintf("How long"), Value: "1h", Choices: []Choice{
				{p.Sprintf("%d minutes", 30), "30m"}, {p.Sprintf("%d hours", 1), "1h"}, {p.Sprintf("%d hours", 4), "4h"},
				{p.Sprintf("%d hours", 8), "8h"}, {p.Sprintf("%d hours", 24), "24h"}, {p.Sprintf("%d days", 7), "168h"},
			}},
			{Name: "reason", Label: p.Sprintf("Why"), Hint: p.Sprintf("It is told in the thread and stands in the audit log."), Optional: true},
		}
		return nil, r.Ask(ctx, prompt)
	}
	for _, name := range []string{"for", "reason"} {
		if v := in.Values[name]; v != "" {
			args[name] = v
		}
	}
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	return b.run(ctx, in, caller, "silence", raw)
}

// decides says whether the caller may decide about the incident at hand.
func (b *Bot) decides(ctx context.Context, caller tools.Caller) bool {
	i, err := b.cfg.Engine.Incident(ctx, caller.Incident)
	return err == nil && b.cfg.Engine.People.RoleOf(caller.Person, i.Cluster, i.Namespace) >= people.Operator
}

// lacking asks for the replicas of a call that says all but them: in a form, or where none can open with a button that
// opens one. Anything else that is lacking is told as why says.
func (b *Bot) lacking(ctx context.Context, in Inbound, r Responder, caller tools.Caller, tool string, args json.RawMessage, why error) (*msg.Message, error) {
	may := slices.ContainsFunc(b.cfg.Tools.Tools(caller), func(s tools.Spec) bool { return s.Name == tool })
	if !may || !slices.Equal(b.cfg.Tools.Lacks(tool, args), []string{"replicas"}) {
		if why == nil {
			return b.run(ctx, in, caller, tool, args) // which says what is wrong
		}
		return nil, why
	}
	id, err := b.choice(ctx)(tools.Option{Label: in.Text, Tool: tool, Args: args})
	if err != nil {
		return nil, err
	}
	m, err := b.askReplicas(ctx, in, r, caller, tools.Option{Tool: tool, Args: args}, id)
	if !errors.Is(err, ErrNoPrompt) {
		return m, err
	}
	p := phrase.For(caller.Lang)
	return &msg.Message{Title: p.Sprintf("How many replicas?"), Blocks: []msg.Block{msg.Actions{Buttons: []msg.Button{
		{Label: p.Sprintf("Choose replicas…"), Action: card.ActFill, Subject: id, Style: msg.Primary},
	}}}}, nil
}

// askReplicas opens the form; whoever may not change the workload is told so before there is anything to fill in.
func (b *Bot) askReplicas(ctx context.Context, in Inbound, r Responder, caller tools.Caller, o tools.Option, id string) (*msg.Message, error) {
	p := phrase.For(caller.Lang)
	prompt := form(p, p.Sprintf("How many replicas?"))
	prompt.Action, prompt.Subject = card.ActFill, id
	f := Field{Name: "replicas", Label: p.Sprintf("Replicas"), Hint: p.Sprintf("A whole number. Nothing runs yet: it becomes a proposal.")}
	if what, n, ok := b.cfg.Tools.Replicas(caller, o.Args); ok {
		if b.cfg.Engine.People.RoleOf(caller.Person, what.Cluster, what.Namespace) < people.Operator {
			return b.scale(ctx, in, caller, o, int64(n)) // which says so
		}
		f.Hint = p.Sprintf("%s has %d now. Nothing runs yet: it becomes a proposal.", what.Short(), n)
	}
	prompt.Fields = []Field{f}
	return nil, r.Ask(ctx, prompt)
}

// fill opens the form of a call that lacks its replicas, or makes the call with what was filled in.
func (b *Bot) fill(ctx context.Context, in Inbound, r Responder, caller tools.Caller) (*msg.Message, error) {
	o, err := b.chosen(ctx, in.Subject)
	if err != nil {
		return nil, err
	}
	if in.Kind == Click {
		return b.askReplicas(ctx, in, r, caller, o, in.Subject)
	}
	n, err := strconv.ParseInt(in.Values["replicas"], 10, 32)
	if err != nil {
		p := phrase.For(caller.Lang)
		return nil, &tools.Problem{
			Sentence: p.Sprintf("Replicas are a whole number, and %q is none.", in.Values["replicas"]), Remedy: p.Sprintf("Such as 3. Ask again."),
		}
	}
	return b.scale(ctx, in, caller, o, n)
}

// scale makes a call with a number of replicas.
func (b *Bot) scale(ctx context.Context, in Inbound, caller tools.Caller, o tools.Option, n int64) (*msg.Message, error) {
	args := map[string]any{}
	if err := json.Unmarshal(o.Args, &args); err != nil {
		return nil, fmt.Errorf("stored choice: %w", err)
	}
	args["replicas"] = n
	raw, err := json.Marshal(args)
	if err != nil {
		return nil, err
	}
	in.Text = strings.TrimSpace(o.Label + " " + strconv.FormatInt(n, 10))
	caller.Question = in.Text
	return b.run(ctx, in, caller, o.Tool, raw)
}

// chosen reads what a button stands for.
func (b *Bot) chosen(ctx context.Context, id string) (o tools.Option, err error) {
	raw, err := b.cfg.Store.Choice(ctx, id)
	if err != nil {
		b.log.Info("choice not found", "err", err)
		return o, &tools.Problem{Sentence: "That button is too old.", Remedy: "Ask again."}
	}
	if err := json.Unmarshal(raw, &o); err != nil {
		return o, fmt.Errorf("stored choice: %w", err)
	}
	return o, nil
}

// allClusters is the choice that names none.
const allClusters = "*"

// asking opens a form for a question, and takes what was filled in as if it had been typed.
func (b *Bot) asking(ctx context.Context, in Inbound, r Responder, caller tools.Caller) (*msg.Message, error) {
	p := phrase.For(caller.Lang)
	if in.Kind == Click {
		prompt := form(p, p.Sprintf("Ask AtlHyper"))
		prompt.Action, prompt.Subject = card.ActAsk, in.Subject
		prompt.Fields = []Field{{Name: "question", Label: p.Sprintf("Question"), Hint: p.Sprintf("In plain words, or a command: what is wrong?")}}
		// Where there are more than fit a list, the question names the one that it is about.
		if ids := b.cfg.Engine.Fleet.Clusters(); len(ids) > 1 && len(ids) < maxSuggestions {
			f := Field{Name: tools.FieldCluster, Label: p.Sprintf("Cluster"), Value: allClusters, Choices: []Choice{{p.Sprintf("all of them"), allClusters}}}
			for _, id := range ids {
				f.Choices = append(f.Choices, Choice{id, id})
			}
			prompt.Fields = append(prompt.Fields, f)
		}
		return nil, r.Ask(ctx, prompt)
	}
	in.Kind, in.Text = Direct, in.Values["question"]
	if c := in.Values[tools.FieldCluster]; c != allClusters {
		in.About.Cluster = c
	}
	return b.answer(ctx, in, r)
}

// speak opens a form for the language in which a person is answered, or keeps the one that was chosen.
func (b *Bot) speak(ctx context.Context, in Inbound, r Responder, caller tools.Caller) (*msg.Message, error) {
	p := phrase.For(caller.Lang)
	if in.Kind == Click {
		prompt := form(p, p.Sprintf("Language"))
		prompt.Action, prompt.Subject = card.ActLang, in.Subject
		now := b.cfg.Engine.People.Lang(in.Person.ID)
		if now == "" {
			now = "auto"
		}
		prompt.Fields = []Field{{Name: "lang", Label: p.Sprintf("Language"), Value: now, Choices: []Choice{
			{"English", "en"}, {"中文", "zh"}, {"日本語", "ja"}, {p.Sprintf("that of the question"), "auto"},
		}}}
		return nil, r.Ask(ctx, prompt)
	}
	args, err := json.Marshal(map[string]string{"lang": in.Values["lang"]})
	if err != nil {
		return nil, err
	}
	in.Text, caller.Question = "lang "+in.Values["lang"], "lang "+in.Values["lang"]
	return b.run(ctx, in, caller, "lang", args)
}
